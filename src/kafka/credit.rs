//! The credit gate of the embedded broker: no writer runs further ahead of the
//! slowest reader of a partition than [`CREDIT_BYTES`].
//!
//! librdkafka's mock cluster keeps 5 MiB or 100,000 message sets per partition
//! and drops the oldest ones silently beyond that, read or not. So every topic
//! there, input and output, has an account per partition: bytes written, and
//! bytes read by each of its readers. Both sides count a record by [`cost`].
//!
//! An account is a few atomics; there is no lock and no queue. A writer that
//! has to wait sleeps in short steps and gets its acks served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::Error;

/// Bytes that may lie unread in one partition. The mock drops at 5 MiB, a whole
/// message set at a time; 2 MiB leaves room for one set of any usual size.
pub const CREDIT_BYTES: u64 = 2 << 20;

/// Bytes added to each record for framing. Also bounds the message sets: even
/// with one record a set, 2 MiB are at most 21,845 sets.
pub const RECORD_OVERHEAD: u64 = 96;

/// How long a writer waits for readers before it gives up: longer than any
/// healthy pause, short enough that a forgotten reader is noticed.
pub const CREDIT_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a record counts for, in bytes. `headers` is the sum of the header names and values.
pub fn cost(key: usize, value: usize, headers: usize) -> u64 {
    (key + value + headers) as u64 + RECORD_OVERHEAD
}

/// A topic under the gate.
#[derive(Debug, Clone)]
pub struct CreditTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many readers must have read a record before its room is free (at least 1).
    pub readers: usize,
}

/// On its own cache lines: the two sides of an account live on different threads.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

#[derive(Debug)]
struct Account {
    written: Counter,
    read: Box<[Counter]>,
}

impl Account {
    fn read_by_slowest(&self) -> u64 {
        self.read.iter().map(|counter| counter.0.load(Ordering::Acquire)).min().unwrap_or(u64::MAX)
    }
}

/// The accounts of all topics of an embedded broker.
#[derive(Debug)]
pub struct Credit {
    topics: Vec<(CreditTopic, Vec<Account>)>,
    limit: u64,
}

impl Credit {
    /// Accounts for these topics, [`CREDIT_BYTES`] per partition.
    pub fn new(topics: &[CreditTopic]) -> Arc<Credit> {
        Credit::with_limit(topics, CREDIT_BYTES)
    }

    /// Accounts with another limit, in bytes per partition.
    pub fn with_limit(topics: &[CreditTopic], limit: u64) -> Arc<Credit> {
        let accounts = |topic: &CreditTopic| {
            (0..topic.partitions.max(0))
                .map(|_| Account { written: Counter::default(), read: (0..topic.readers.max(1)).map(|_| Counter::default()).collect() })
                .collect()
        };
        Arc::new(Credit { topics: topics.iter().map(|t| (t.clone(), accounts(t))).collect(), limit })
    }

    /// Number of a topic, in the order given to [`Credit::new`].
    pub fn topic(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|(topic, _)| topic.name == name)
    }

    /// The topics under the gate.
    pub fn topics(&self) -> impl Iterator<Item = &CreditTopic> {
        self.topics.iter().map(|(topic, _)| topic)
    }

    /// The writing side of a topic; `None` when the topic is not under the gate.
    pub fn writer(self: &Arc<Credit>, topic: &str) -> Option<CreditWriter> {
        let number = self.topic(topic)?;
        let partitions = self.topics.get(number)?.1.len();
        Some(CreditWriter { topic: number, seen: vec![0; partitions], credit: Arc::clone(self) })
    }

    /// The side of reader number `reader` (0-based) of a topic; `None` when there is no such topic or reader.
    pub fn reader(self: &Arc<Credit>, topic: &str, reader: usize) -> Option<CreditReader> {
        let topic = self.topic(topic)?;
        let (spec, _) = self.topics.get(topic)?;
        (reader < spec.readers.max(1)).then(|| CreditReader { topic, reader, credit: Arc::clone(self) })
    }

    fn account(&self, topic: usize, partition: i32) -> Option<&Account> {
        self.topics.get(topic)?.1.get(usize::try_from(partition).ok()?)
    }
}

/// Takes credit before a record is produced.
#[derive(Debug, Clone)]
pub struct CreditWriter {
    topic: usize,
    /// Per partition: what the slowest reader had read when last looked at. It only grows, so
    /// an old value is safe; and the readers' cache lines are touched only when it runs out.
    seen: Vec<u64>,
    credit: Arc<Credit>,
}

impl CreditWriter {
    /// Takes `bytes` if the partition has room. A record larger than the whole
    /// limit is let through when nothing else is unread, or it could never pass.
    pub fn try_take(&mut self, partition: i32, bytes: u64) -> bool {
        let seen = usize::try_from(partition).ok().and_then(|at| self.seen.get_mut(at));
        // A partition without an account would be one that no reader empties.
        let (Some(seen), Some(account)) = (seen, self.credit.account(self.topic, partition)) else { return false };
        let mut written = account.written.0.load(Ordering::Relaxed);
        loop {
            let fits = |read: u64| written <= read || written - read + bytes <= self.credit.limit;
            if !fits(*seen) {
                *seen = account.read_by_slowest();
                if !fits(*seen) {
                    return false;
                }
            }
            let taken = account.written.0.compare_exchange_weak(written, written + bytes, Ordering::AcqRel, Ordering::Relaxed);
            match taken {
                Ok(_) => return true,
                Err(now) => written = now,
            }
        }
    }

    /// Takes `bytes`, waiting for readers. While it waits it calls `meanwhile`
    /// over and over, which must take about a millisecond: the place to serve acks.
    ///
    /// # Errors
    /// [`Error::Stopped`] when `stop` is raised, [`Error::NoCredit`] after
    /// [`CREDIT_WAIT_MAX`], or what `meanwhile` returns.
    pub fn take(&mut self, partition: i32, bytes: u64, stop: &AtomicBool, mut meanwhile: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
        if self.try_take(partition, bytes) {
            return Ok(());
        }
        let since = Instant::now();
        loop {
            meanwhile()?;
            if self.try_take(partition, bytes) {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped { action: "waiting for readers of the embedded broker" });
            }
            let waited = since.elapsed();
            if waited > CREDIT_WAIT_MAX {
                let topic = self.credit.topics.get(self.topic).map(|(topic, _)| topic.name.clone()).unwrap_or_default();
                return Err(Error::NoCredit { topic, partition, waited });
            }
        }
    }

    /// Bytes of a partition that its slowest reader has not read yet.
    pub fn unread(&self, partition: i32) -> u64 {
        self.credit.account(self.topic, partition).map_or(0, |account| account.written.0.load(Ordering::Acquire).saturating_sub(account.read_by_slowest()))
    }
}

/// Gives credit back as records are read.
#[derive(Debug, Clone)]
pub struct CreditReader {
    topic: usize,
    reader: usize,
    credit: Arc<Credit>,
}

impl CreditReader {
    /// This reader has read `bytes` of a partition.
    pub fn give(&self, partition: i32, bytes: u64) {
        let account = self.credit.account(self.topic, partition);
        if let Some(counter) = account.and_then(|account| account.read.get(self.reader)) {
            counter.0.fetch_add(bytes, Ordering::Release);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one_topic(readers: usize, limit: u64) -> Arc<Credit> {
        Credit::with_limit(&[CreditTopic { name: "t".into(), partitions: 2, readers }], limit)
    }

    #[test]
    fn the_slowest_reader_counts() {
        let credit = one_topic(2, 100);
        let mut writer = credit.writer("t").unwrap();
        let (a, b) = (credit.reader("t", 0).unwrap(), credit.reader("t", 1).unwrap());
        assert!(credit.reader("t", 2).is_none() && credit.writer("u").is_none());
        assert!(writer.try_take(0, 60) && !writer.try_take(0, 60));
        assert!(writer.try_take(1, 60), "partitions have accounts of their own");
        a.give(0, 60);
        assert!(!writer.try_take(0, 60), "one reader is not enough");
        b.give(0, 60);
        assert!(writer.try_take(0, 60));
        assert_eq!(writer.unread(0), 60);
        assert!(!writer.try_take(7, 1), "no account, no credit");
    }

    #[test]
    fn a_huge_record_passes_alone() {
        let credit = one_topic(1, 100);
        let (mut writer, reader) = (credit.writer("t").unwrap(), credit.reader("t", 0).unwrap());
        assert!(writer.try_take(0, 1_000));
        assert!(!writer.try_take(0, 1));
        reader.give(0, 1_000);
        assert!(writer.try_take(0, 1));
    }

    #[test]
    fn waiting_ends_by_credit_or_by_the_flag() {
        let credit = one_topic(1, 100);
        let (mut writer, reader) = (credit.writer("t").unwrap(), credit.reader("t", 0).unwrap());
        let stop = AtomicBool::new(false);
        assert!(writer.try_take(0, 100));
        let mut calls = 0;
        writer
            .take(0, 50, &stop, || {
                calls += 1;
                if calls == 3 {
                    reader.give(0, 80);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(calls, 3);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(writer.take(0, 100, &stop, || Ok(())), Err(Error::Stopped { .. })));
    }
}
