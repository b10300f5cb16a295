//! The stream of events as batches, not faster than allowed. Batches whose events are written and such
//! whose events only fill the index are never mixed; `generation` tells them apart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender};

use super::lanes::{Flow, Held, Lanes};
use super::{BackfillSpec, Progress};
use crate::error::Error;
use crate::ingest::batch::RawBatch;
use crate::ingest::files::{BATCH_ROWS_MAX, batch_bytes};
use crate::kafka::{Member, MemberEvent, Part, SourceTopics, Start};
use crate::load::pace::Pace;

/// One wait for records.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Event time after which batches are complete, so that sources stay together, in milliseconds.
const SPAN_MS: i64 = 1_000;
/// How far reading may run ahead of the rate.
const AHEAD: Duration = Duration::from_millis(100);

/// The generation of batches whose events are written; 0 for others.
pub(super) const WRITTEN: u32 = 1;

/// Answers the group until it has given so many partitions, none of which is read yet; how many it gave.
pub(super) fn assigned(member: &mut Member, wanted: usize, wait: Duration, stop: &AtomicBool) -> Result<usize, Error> {
    let since = Instant::now();
    let mut have: Vec<Part> = Vec::new();
    while have.len() < wanted && since.elapsed() < wait && !stop.load(Ordering::Relaxed) {
        let mut failed = None;
        let mut gone = false;
        member.poll(POLL_WAIT, |event| match event {
            MemberEvent::Assigned(parts) => have.extend(parts),
            MemberEvent::Revoked { parts, .. } => {
                have.retain(|part| !parts.contains(part));
                gone = true;
            }
            MemberEvent::Failed(error) => failed = Some(error),
            MemberEvent::Record(_) | MemberEvent::End { .. } => {}
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        if gone {
            member.unassign(&[])?;
        }
    }
    Ok(have.len())
}

pub(super) struct Feed {
    lanes: Lanes,
    batches: Sender<RawBatch>,
    /// Per source and kind.
    open: Vec<Option<RawBatch>>,
    seq: u64,
    /// Event time at which the open batches began.
    began_ms: Option<i64>,
    bytes_max: usize,
    rate: Pace,
    /// The oldest time that rules remember at the beginning.
    reaches_to_ms: i64,
}

impl Feed {
    pub fn new(spec: &BackfillSpec, topics: &SourceTopics, lanes: Lanes, batches: Sender<RawBatch>) -> Feed {
        let sources = topics.topics().iter().map(|topic| topic.source as usize + 1).max().unwrap_or(0);
        let open = (0..sources * 2).map(|_| None).collect();
        Feed {
            lanes,
            batches,
            open,
            seq: 0,
            began_ms: None,
            bytes_max: batch_bytes(&spec.plan),
            rate: spec.rate,
            reaches_to_ms: spec.window.0.saturating_sub(spec.reach_ms),
        }
    }

    /// Reads to the end. `done`: nobody takes batches any more.
    pub fn run(mut self, member: &mut Member, stop: &AtomicBool, done: &AtomicBool, progress: &Progress) -> Result<(), Error> {
        let starts: Vec<(&str, i32, Start)> = self.lanes.starts().map(|(topic, partition, next)| (topic, partition, Start::Offset(next))).collect();
        member.assign(&starts)?;
        let began = Instant::now();
        let mut read = 0u64;
        while !self.lanes.is_done() && !stop.load(Ordering::Relaxed) && !done.load(Ordering::Acquire) {
            let early = Duration::from_micros(self.rate.due_us(read)).saturating_sub(began.elapsed());
            if early > AHEAD {
                // Not so long that the group thinks us gone.
                std::thread::sleep(early.min(POLL_WAIT));
            }
            self.take(member)?;
            for (topic, partition) in self.lanes.resumed() {
                member.resume(&[(&topic, partition)])?;
            }
            while began.elapsed() + AHEAD >= Duration::from_micros(self.rate.due_us(read)) {
                let Some((record, number, source, emits)) = self.lanes.pop() else { break };
                read += 1;
                progress.read.fetch_add(1, Ordering::Relaxed);
                if !self.add(&record, number, source, emits, done) {
                    return Ok(());
                }
            }
        }
        if let Some(cut_ms) = self.lanes.cut_ms {
            progress.short_ms.store(cut_ms.saturating_sub(self.reaches_to_ms).max(0), Ordering::Relaxed);
        }
        self.seal_all(done);
        Ok(())
    }

    fn take(&mut self, member: &mut Member) -> Result<(), Error> {
        let lanes = &mut self.lanes;
        let mut answer: Option<(Flow, Part)> = None;
        let mut failed = None;
        member.poll(POLL_WAIT, |event| match event {
            MemberEvent::Record(record) => {
                let mut headers = Vec::new();
                record.headers(|name, value| headers.push((name.to_owned(), value.to_vec())));
                let held = Held {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms.unwrap_or(0),
                    payload: record.payload().to_vec(),
                    key: record.key().map(<[u8]>::to_vec),
                    headers,
                };
                answer = Some((lanes.push(record.topic, record.partition, held), (record.topic.to_owned(), record.partition)));
            }
            MemberEvent::End { topic, partition, offset } => {
                answer = Some((lanes.ended(&topic, partition, offset), (topic, partition)));
            }
            MemberEvent::Assigned(_) => {}
            MemberEvent::Revoked { .. } => {
                failed =
                    Some(Error::environment("the group took partitions away: is this backfill running elsewhere? Start it again, and it goes on where it was"));
            }
            MemberEvent::Failed(error) => failed = Some(error.into()),
        });
        match (failed, answer) {
            (Some(error), _) => Err(error),
            (None, Some((Flow::Pause, (topic, partition)))) => Ok(member.pause(&[(&topic, partition)])?),
            _ => Ok(()),
        }
    }

    /// False where nobody takes batches any more.
    fn add(&mut self, record: &Held, number: u16, source: u16, emits: bool, done: &AtomicBool) -> bool {
        if self.began_ms.is_some_and(|began| record.timestamp_ms >= began + SPAN_MS) && !self.seal_all(done) {
            return false;
        }
        self.began_ms.get_or_insert(record.timestamp_ms);
        let at = source as usize * 2 + usize::from(emits);
        let Some(slot) = self.open.get_mut(at) else { return true };
        let batch = slot.get_or_insert_with(|| {
            let mut batch = RawBatch::new(0, source, Vec::new());
            batch.generation = if emits { WRITTEN } else { 0 };
            batch
        });
        // Records are far below what a batch can address, and a full one is handed on at once.
        batch.push(&record.payload, record.key.as_deref(), number, record.offset, record.timestamp_ms.saturating_mul(1000));
        for (name, value) in &record.headers {
            batch.push_header(name, value);
        }
        let full = batch.messages.len() >= BATCH_ROWS_MAX || batch.bytes() >= self.bytes_max;
        !full || self.seal(at, done)
    }

    fn seal_all(&mut self, done: &AtomicBool) -> bool {
        self.began_ms = None;
        (0..self.open.len()).all(|at| self.seal(at, done))
    }

    fn seal(&mut self, at: usize, done: &AtomicBool) -> bool {
        let Some(mut batch) = self.open.get_mut(at).and_then(Option::take) else { return true };
        batch.seal();
        batch.seq = self.seq;
        self.seq += 1;
        loop {
            match self.batches.send_timeout(batch, POLL_WAIT) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) if !done.load(Ordering::Acquire) => batch = back,
                Err(_) => return false,
            }
        }
    }
}
