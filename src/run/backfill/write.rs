//! What batches became, as facts in transactions with the positions that they end at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use super::feed::WRITTEN;
use super::{BackfillSpec, MARK, Report};
use crate::error::Error;
use crate::incident::id::IncidentId;
use crate::incident::split::{find, members, text};
use crate::incident::time_text::TimeText;
use crate::ingest::facts_out::{FactAt, take_facts};
use crate::ingest::ledger::Counts;
use crate::ingest::output::Output;
use crate::ingest::pool::Pool;
use crate::ingest::worker::Shared;
use crate::kafka::{Admin, At, Delivery, Gaps, Membership, OutputBatch, OutputTopic, Settings, TopicReader, Transactor, TxnError};

/// When a transaction is cut: age, bytes, facts.
const CUT_AGE: Duration = Duration::from_millis(200);
const CUT_BYTES: usize = 4 << 20;
const CUT_FACTS: usize = 5_000;
/// Wait for a batch while no transaction is open.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Incidents that `merge` can tell apart (count): 16 bytes each.
const EXISTING_MAX: usize = 64 << 20;
/// How long reading what is there may take.
const READ_WAIT: Duration = Duration::from_secs(1_800);
/// One wait for a record of it.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Incidents that are there already.
pub(super) enum Existing {
    /// It does not matter.
    None,
    /// These.
    Some(HashSet<u128>),
}

impl Existing {
    /// All incidents of which there is a state since the time began. (A state is written after its event.)
    /// Those that an interrupted run of this backfill wrote are its own.
    pub fn read(spec: &BackfillSpec, admin: &Admin, reader: &Settings) -> Result<Existing, Error> {
        let mark = spec.mark();
        let topic = admin.existing(&[&spec.names.incident_state])?.remove(0);
        let parts: Vec<(&str, i32)> = (0..topic.partitions).map(|partition| (topic.name.as_str(), partition)).collect();
        let starts = admin.offsets(&parts, At::Time(spec.window.0))?;
        let ends: Vec<(String, i32, i64)> =
            parts.iter().zip(admin.offsets(&parts, At::End)?).map(|((name, partition), end)| ((*name).to_owned(), *partition, end)).collect();
        let mut topic_reader = TopicReader::open_at(reader, &[(&topic.name, starts)], Gaps::Legal, None)?;
        let mut ids = HashSet::new();
        let since = Instant::now();
        while !topic_reader.reached(&ends) {
            topic_reader.poll(POLL_WAIT, |record| {
                let id = record.key().and_then(|key| std::str::from_utf8(key).ok()).and_then(IncidentId::parse);
                let own = members_of(record.payload()).and_then(|members| text(find(&members, MARK)?)).is_some_and(|said| said == mark);
                ids.extend(id.filter(|_| !own).map(|id| id.0));
            })?;
            if ids.len() > EXISTING_MAX {
                return Err(Error::user("there are too many incidents since then to merge with").hint("take a shorter time, or --to another topic"));
            }
            if since.elapsed() > READ_WAIT {
                return Err(Error::environment(format!("{} could not be read to its end in time", topic.name)));
            }
        }
        Ok(Existing::Some(ids))
    }

    fn has(&self, id: IncidentId) -> bool {
        matches!(self, Existing::Some(ids) if ids.contains(&id.0))
    }
}

fn members_of(value: &[u8]) -> Option<Vec<(&str, &str)>> {
    std::str::from_utf8(value).ok().and_then(members)
}

pub(super) struct Writer {
    transactor: Transactor,
    member: Membership,
    shared: Arc<Shared>,
    existing: Existing,
    /// Incidents that this run wrote; attachments of others are not news.
    made: HashSet<u128>,
    mark: String,
    report: Report,
    times: TimeText,
    /// Of the open transaction.
    since: Instant,
    bytes: usize,
    facts: usize,
    ends: BTreeMap<u16, i64>,
}

impl Writer {
    pub fn start(
        settings: &Settings,
        (topic, partitions): (&str, i32),
        member: Membership,
        shared: Arc<Shared>,
        existing: Existing,
        mark: String,
    ) -> Result<Writer, Error> {
        let topics = vec![OutputTopic { name: topic.to_owned(), partitions }];
        let transactor = Transactor::start(settings, Delivery::ExactlyOnce, topics).map_err(TxnError::into_error)?;
        let report = Report { counts: Counts::new(&shared.plan), ..Report::default() };
        Ok(Writer {
            transactor,
            member,
            shared,
            existing,
            made: HashSet::new(),
            mark,
            report,
            times: TimeText::default(),
            since: Instant::now(),
            bytes: 0,
            facts: 0,
            ends: BTreeMap::new(),
        })
    }

    /// Writes until there are no more batches.
    pub fn run(mut self, pool: &mut Pool) -> Result<Report, Error> {
        loop {
            let wait = if self.transactor.is_open() { CUT_AGE.saturating_sub(self.since.elapsed()) } else { IDLE_WAIT };
            match pool.recv_timeout(wait)? {
                Err(()) => {}
                Ok(None) => break,
                Ok(Some(mut output)) => {
                    let seq = output.seq;
                    if output.generation == WRITTEN {
                        self.add(&mut output)?;
                    } else {
                        self.report.before += output.counts.events;
                    }
                    self.shared.spare.give(std::mem::take(&mut output.incidents));
                    // Nothing is undone here: an error ends the run.
                    pool.turnstile().committed(seq);
                }
            }
            let full = self.bytes >= CUT_BYTES || self.facts >= CUT_FACTS || self.since.elapsed() >= CUT_AGE;
            if self.transactor.is_open() && full {
                self.commit().map_err(TxnError::into_error)?;
            }
        }
        if self.transactor.is_open() {
            self.commit().map_err(TxnError::into_error)?;
        }
        Ok(self.report)
    }

    /// What is attached to these is news.
    fn note_made(&mut self, output: &Output) {
        if let Existing::Some(_) = &self.existing {
            self.made.extend(output.lines.iter().filter(|line| !self.existing.has(line.id)).map(|line| line.id.0));
        }
    }

    fn add(&mut self, output: &mut Output) -> Result<(), Error> {
        self.report.counts.add(&output.counts);
        let merges = matches!(self.existing, Existing::Some(_));
        if merges {
            self.note_made(output);
            let made = &self.made;
            output.attaches.retain(|attach| made.contains(&attach.target_id.0));
            output.links.retain(|link| made.contains(&link.other.0));
        }
        self.marked(output);
        let mut facts = Vec::new();
        let bytes = take_facts(output, &self.shared.plan, &self.shared.partitions, &mut self.times, &mut |fact| facts.push(fact));
        let mut batch = OutputBatch { seq: output.seq, offsets: std::mem::take(&mut output.offsets), bytes, ..OutputBatch::default() };
        let mut fits = true;
        let links_from = facts.len() - output.links.len();
        for (number, FactAt { key, fact }) in facts.into_iter().enumerate() {
            let created = output.lines.get(number);
            if created.is_some_and(|line| self.existing.has(line.id)) {
                self.report.existing += 1;
                continue;
            }
            let kind = if created.is_some() { 0 } else { 1 + usize::from(number >= links_from) };
            if let Some(count) = self.report.written.get_mut(kind) {
                *count += 1;
            }
            fits &= batch.push_written(0, key, fact, created.map_or(0, |line| line.created));
            batch.push_header(MARK, self.mark.as_bytes());
        }
        if !fits {
            return Err(Error::bug("an output batch outgrew 4 GiB"));
        }
        self.produce(&mut batch).map_err(TxnError::into_error)?;
        self.shared.spare.give(batch.bytes);
        Ok(())
    }

    /// Incidents say of themselves that they come from a backfill, behind what else was mapped.
    fn marked(&mut self, output: &mut Output) {
        let member = format!(",\"{MARK}\":\"{}\"", self.mark);
        let mut incidents = Vec::with_capacity(output.incidents.len() + output.lines.len() * member.len());
        let mut at = 0;
        for line in &mut output.lines {
            let incident = output.incidents.get(at..at + line.len as usize).unwrap_or_default();
            at += line.len as usize;
            let (body, rest) = incident.split_at(incident.len().min(line.body as usize));
            incidents.extend_from_slice(body);
            incidents.extend_from_slice(member.as_bytes());
            incidents.extend_from_slice(rest);
            line.body += member.len() as u32;
            line.len += member.len() as u32;
        }
        output.incidents = incidents;
    }

    fn produce(&mut self, batch: &mut OutputBatch) -> Result<(), TxnError> {
        if !self.transactor.is_open() {
            self.transactor.begin()?;
            (self.since, self.bytes, self.facts) = (Instant::now(), 0, 0);
            self.ends.clear();
        }
        self.bytes += batch.bytes.len();
        self.transactor.produce_batch(batch)?;
        self.facts += batch.records.len();
        for interval in batch.offsets.intervals() {
            let end = self.ends.entry(interval.partition).or_insert(interval.to);
            *end = interval.to.max(*end);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), TxnError> {
        let partitions = &self.shared.partitions;
        let offsets: Vec<(&str, i32, i64)> = self
            .ends
            .iter()
            .map(|(number, to)| {
                let (topic, partition) = partitions.name(*number);
                (topic, partition, *to)
            })
            .collect();
        self.transactor.send_offsets(&self.member, &offsets)?;
        crate::run::failpoint::hit("backfill_before_commit");
        self.transactor.commit()
    }
}

impl Report {
    /// Facts that were written.
    pub fn facts(&self) -> u64 {
        self.written.iter().sum()
    }
}

impl super::Progress {
    /// Share of what there is to read, in percent.
    pub fn percent(&self) -> u64 {
        let total = self.total.load(Ordering::Relaxed);
        (self.read.load(Ordering::Relaxed) * 100).checked_div(total).unwrap_or(100).min(100)
    }
}
