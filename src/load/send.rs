//! Sends events on their schedule and notes what was sent.
//!
//! Open loop: event n of a segment is meant for `beginning + n / rate`, whatever the brokers
//! do. It is handed over in the first millisecond after that; if the producer's queue is
//! full it waits, and its intended time stays. So whoever measures from the intended time
//! sees every stall once for each event that it held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::ahead::Ahead;
use super::audit::Expected;
use super::book::{Book, ELEMENTS_MAX, NO_GROUP, Sent};
use super::event::{Message, Outcome};
use super::latency::histogram;
use super::live::Live;
use super::pace::{Clock, Pace};
use crate::error::Error;
use crate::kafka::{Feeder, Flood, FloodRecord};

/// Longest sleep between two looks at the schedule.
const TICK: Duration = Duration::from_millis(1);
/// Shortest: at a high rate the next event is always due in microseconds, and a sleep costs more than
/// handing one over.
const NAP: Duration = Duration::from_micros(500);
/// Events sent between two looks at the clock (count): some ten microseconds of work.
const LOOK_EVERY: u64 = 32;
/// Wait for room in the producer's queue.
const FULL_WAIT: Duration = Duration::from_millis(1);

/// Where events go.
pub enum Outlet {
    /// The embedded broker, under its credit gate.
    Embedded(Feeder),
    /// A cluster.
    Cluster(Flood),
}

/// A message on its way: its tag is its index.
#[derive(Debug, Clone, Copy)]
struct Pending {
    shelf: u32,
    sent: Sent,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

/// Sends events. One thread uses it.
pub struct Sender {
    outlet: Outlet,
    ahead: Ahead,
    /// Topics of the outlet, each with the first shelf of its partitions in the book.
    topics: Vec<(String, u32)>,
    keyed: bool,
    book: Arc<Book>,
    live: Arc<Live>,
    clock: Clock,
    expected: Expected,
    pending: Vec<Pending>,
    free: u32,
    failed: Failed,
}

/// Messages that the cluster did not take.
#[derive(Debug, Default)]
pub struct Failed {
    /// How many.
    pub count: u64,
    /// Why the first one was not taken.
    pub first: Option<crate::kafka::Error>,
}

/// A part of a run at one pace.
#[derive(Debug)]
pub struct Segment {
    /// How fast it was meant to be.
    pub pace: Pace,
    /// Events sent.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes of keys and payloads.
    pub bytes: u64,
    /// Seconds from the first event to the last.
    pub seconds: f64,
    /// From intended time to handing over, in microseconds: the sender's own share of latency.
    pub delay: Histogram<u64>,
    /// Times that the producer's queue was full.
    pub full: u64,
    /// True if it was ended before its time.
    pub stopped: bool,
}

impl Segment {
    /// Events per second.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-6)
    }
}

/// What a [`Sender`] sends from.
pub struct SenderSpec {
    /// Where events go.
    pub outlet: Outlet,
    /// The topics of the outlet in its order, each with its partitions.
    pub topics: Vec<(String, i32)>,
    /// False: events go without their key, so partitions take turns.
    pub keyed: bool,
    /// Where it is noted what was sent; its shelves are the partitions in the order of `topics`.
    pub book: Arc<Book>,
    /// Progress.
    pub live: Arc<Live>,
    /// The run's clock.
    pub clock: Clock,
}

impl Sender {
    /// A sender of what `ahead` renders.
    pub fn new(spec: SenderSpec, ahead: Ahead) -> Sender {
        let mut first = 0;
        let mut topics = Vec::with_capacity(spec.topics.len());
        for (name, partitions) in spec.topics {
            topics.push((name, first));
            first += partitions.max(0) as u32;
        }
        Sender {
            outlet: spec.outlet,
            ahead,
            topics,
            keyed: spec.keyed,
            book: spec.book,
            live: spec.live,
            clock: spec.clock,
            expected: Expected::default(),
            pending: Vec::new(),
            free: NONE,
            failed: Failed::default(),
        }
    }

    /// What must become of the events sent so far.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Microseconds of the run's clock.
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The rendering thread, to change simulated time.
    pub fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Sends events at `pace` until `events` are sent, `length` is over (without it: all that
    /// there are), `stop` is raised, or `enough` says so; both are asked every few milliseconds.
    ///
    /// # Errors
    /// What the producer cannot recover from.
    pub fn run(&mut self, pace: Pace, events: u64, length: Option<Duration>, stop: &AtomicBool, enough: &dyn Fn() -> bool) -> Result<Segment, Error> {
        self.ahead.warm_up();
        let begin = self.clock.now_us();
        let mut segment = Segment { pace, events: 0, messages: 0, bytes: 0, seconds: 0.0, delay: histogram()?, full: 0, stopped: false };
        let events = length.map_or(u64::MAX, |length| pace.events(length)).min(events);
        let length_us = length.map_or(u64::MAX, |length| length.as_micros() as u64);
        let mut now = begin;
        let mut asked = Instant::now();
        'all: loop {
            let elapsed = now - begin;
            let due = pace.due(elapsed).min(events);
            let mut until_look = LOOK_EVERY;
            while segment.events < due && until_look > 0 {
                until_look -= 1;
                let Some(message) = self.ahead.peek() else { break 'all };
                let intended = if pace == Pace::Max { now } else { begin + pace.due_us(segment.events) };
                let Some(number) = self.topics.iter().position(|(name, _)| name == message.topic) else {
                    return Err(Error::bug(format!("the generator writes to `{}`, which nobody declared", message.topic)));
                };
                let sent = Sent { intended_us: intended, expect: expect(message, self.keyed), group: group_of(message) };
                let size = (message.key.len() + message.payload.len()) as u64;
                let counted = message.outcomes.len() as u64;
                if !self.hand_over(number, sent)? {
                    segment.full += 1;
                    self.serve(FULL_WAIT)?;
                    now = self.clock.now_us();
                    if stop.load(Ordering::Relaxed) {
                        segment.stopped = true;
                        break 'all;
                    }
                    continue;
                }
                if let Some(message) = self.ahead.peek() {
                    self.expected.add(&message.outcomes, &message.groups);
                }
                self.ahead.take();
                segment.delay.saturating_record(now.saturating_sub(intended).max(1));
                segment.events += counted;
                segment.messages += 1;
                segment.bytes += size;
                self.live.sent.fetch_add(counted, Ordering::Relaxed);
                self.live.messages.fetch_add(1, Ordering::Relaxed);
            }
            self.serve(Duration::ZERO)?;
            now = self.clock.now_us();
            if segment.events >= events || (pace == Pace::Max && now - begin >= length_us) {
                break;
            }
            if asked.elapsed() >= TICK * 5 || stop.load(Ordering::Relaxed) {
                asked = Instant::now();
                if stop.load(Ordering::Relaxed) || enough() {
                    segment.stopped = true;
                    break;
                }
            }
            if segment.events >= due {
                let next = begin + pace.due_us(segment.events);
                let wait = Duration::from_micros(next.saturating_sub(now)).clamp(NAP, TICK);
                std::thread::sleep(wait);
                now = self.clock.now_us();
            }
        }
        segment.seconds = (self.clock.now_us() - begin) as f64 / 1e6;
        Ok(segment)
    }

    /// Hands the peeked message over. False when the queue is full.
    fn hand_over(&mut self, topic: usize, sent: Sent) -> Result<bool, Error> {
        let Some(first) = self.topics.get(topic).map(|(_, first)| *first) else { return Ok(true) };
        let tag = match &self.outlet {
            Outlet::Embedded(_) => 0,
            Outlet::Cluster(_) => self.reserve(sent),
        };
        let Some(message) = self.ahead.peek() else { return Ok(true) };
        let key = (self.keyed && !message.key.is_empty()).then_some(message.key.as_slice());
        match &mut self.outlet {
            Outlet::Embedded(feeder) => {
                let (partition, offset) = feeder.send(topic, key, &message.payload, message.timestamp_ms)?;
                self.book.stored(first as usize + partition as usize, offset, sent);
                self.live.stored.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Outlet::Cluster(flood) => {
                let record = FloodRecord { topic, key, payload: &message.payload, timestamp_ms: message.timestamp_ms, tag: tag as usize };
                match flood.send(record)? {
                    Some(partition) => {
                        if let Some(pending) = self.pending.get_mut(tag as usize) {
                            pending.shelf = first + partition as u32;
                        }
                        Ok(true)
                    }
                    None => {
                        release(&mut self.pending, &mut self.free, tag);
                        Ok(false)
                    }
                }
            }
        }
    }

    fn reserve(&mut self, sent: Sent) -> u32 {
        let tag = self.free;
        let pending = Pending { shelf: 0, sent, next_free: NONE };
        match self.pending.get_mut(tag as usize) {
            Some(slot) => {
                self.free = slot.next_free;
                *slot = pending;
                tag
            }
            None => {
                self.pending.push(pending);
                (self.pending.len() - 1) as u32
            }
        }
    }

    /// Serves delivery reports.
    fn serve(&mut self, wait: Duration) -> Result<u64, Error> {
        let Outlet::Cluster(flood) = &mut self.outlet else { return Ok(0) };
        let (pending, free, book, failed) = (&mut self.pending, &mut self.free, &self.book, &mut self.failed);
        let reports = flood.serve(wait, |tag, stored| {
            if let Some(message) = pending.get(tag) {
                match stored {
                    Ok(offset) => book.stored(message.shelf as usize, offset, message.sent),
                    Err(error) => {
                        failed.count += 1;
                        failed.first.get_or_insert(error);
                    }
                }
                release(pending, free, tag as u32);
            }
        })?;
        self.live.stored.fetch_add(reports, Ordering::Relaxed);
        Ok(reports)
    }

    /// Waits until the fate of everything sent is known, at most so long. True if it is.
    ///
    /// # Errors
    /// As [`Sender::run`].
    pub fn flush(&mut self, limit: Duration) -> Result<bool, Error> {
        let since = Instant::now();
        loop {
            self.serve(TICK)?;
            match &mut self.outlet {
                Outlet::Embedded(feeder) => {
                    feeder.flush()?;
                    return Ok(true);
                }
                Outlet::Cluster(flood) if flood.open() == 0 => return Ok(true),
                Outlet::Cluster(_) if since.elapsed() > limit => return Ok(false),
                Outlet::Cluster(_) => {}
            }
        }
    }

    /// Ends sending: what was expected, and what the cluster did not take (with messages whose
    /// fate is not known among it).
    pub fn finish(self) -> (Expected, Failed) {
        let mut failed = self.failed;
        if let Outlet::Cluster(flood) = &self.outlet {
            failed.count += flood.open();
        }
        (self.expected, failed)
    }
}

fn release(pending: &mut [Pending], free: &mut u32, tag: u32) {
    if let Some(slot) = pending.get_mut(tag as usize) {
        slot.next_free = *free;
        *free = tag;
    }
}

/// Which events of a message must become incidents. Without keys any event of a group may.
fn expect(message: &Message, keyed: bool) -> u16 {
    let must = |outcome: &Outcome, group: &Option<u64>| match outcome {
        Outcome::Incident { .. } => true,
        Outcome::Attached(_) => !keyed && group.is_some(),
        _ => false,
    };
    let pairs = message.outcomes.iter().zip(&message.groups).take(ELEMENTS_MAX);
    pairs.enumerate().fold(0, |mask, (at, (outcome, group))| mask | u16::from(must(outcome, group)) << at)
}

/// The group of a message in the book: that of its only event.
fn group_of(message: &Message) -> u32 {
    match message.groups.as_slice() {
        [Some(group)] => u32::try_from(*group).unwrap_or(NO_GROUP),
        _ => NO_GROUP,
    }
}
