//! Fills a cache from its compacted topic before a partition of facts is read. Reading is done on a thread
//! of its own, one partition after the other, so that the member's loop goes on meanwhile; writing
//! into the cache is left to the loop, so that nothing comes from a partition that was taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::Error;
use crate::kafka::{Admin, At, Error as KafkaError, Membership, PartitionReader, Record, Settings, Start};

/// Bytes of records handed over at once.
const CHUNK_BYTES: usize = 2 << 20;
/// Chunks on their way to the loop (count).
const CHUNKS_AHEAD: usize = 2;
/// Longest wait for the committed position: a transaction that a dead member left open is
/// resolved by the broker after `transaction.timeout.ms`.
const COMMITTED_WAIT: Duration = Duration::from_secs(60);

/// Longest wait for the thread at the end.
const END_WAIT: Duration = Duration::from_secs(2);

/// A partition to be opened.
pub struct Job {
    pub partition: i32,
    /// Tells answers apart when a partition comes, goes and comes again.
    pub epoch: u64,
    /// Up to which offset the cache is filled; `None`: not at all.
    pub filled: Option<i64>,
    /// The partition was taken away meanwhile.
    pub cancelled: Arc<AtomicBool>,
}

/// A record as it goes into the cache: the id, the value and what is said about it; no value: a
/// tombstone.
pub type Cached = (u128, Option<(Vec<u8>, Vec<u8>)>);

/// What the thread has to say about a partition.
pub struct Answer {
    pub partition: i32,
    pub epoch: u64,
    pub what: What,
}

pub enum What {
    /// What is cached is not the beginning of what is in the topic: forget it.
    Forget,
    /// Records, and the offset behind them.
    Records(Vec<Cached>, i64),
    /// All is read.
    Done(Opened),
    /// It cannot be read.
    Failed(Error),
}

/// A partition whose states are all in the cache.
pub struct Opened {
    /// Where facts are read from.
    pub start: Start,
    /// Facts that the broker deleted before anybody read them.
    pub lost: u64,
    /// Records read.
    pub records: u64,
    /// The time it took.
    pub took: Duration,
}

/// The thread. It ends when this is dropped.
pub struct Restorer {
    jobs: Option<Sender<Job>>,
    answers: Option<Receiver<Answer>>,
    thread: JoinHandle<()>,
}

/// What the thread works with.
pub struct Source {
    pub admin: Arc<Admin>,
    pub settings: Settings,
    pub membership: Membership,
    pub facts: String,
    pub states: String,
    /// What of a record goes into the cache; `None` for one whose key is none of ours.
    pub cached: fn(&Record<'_>) -> Option<Cached>,
}

impl Restorer {
    pub fn start(source: Source) -> Result<Restorer, Error> {
        // As many jobs as partitions at the most.
        let (jobs, todo) = unbounded::<Job>();
        let (answer, answers) = bounded(CHUNKS_AHEAD);
        let thread = std::thread::Builder::new().name("restore".into()).spawn(move || {
            let mut reader = None;
            for job in &todo {
                let say = |what| answer.send(Answer { partition: job.partition, epoch: job.epoch, what }).map_err(|_| Ended::Cancelled);
                let opened = source.open(&job, &mut reader, &say);
                // One reader for a burst of partitions; after an error it begins anew.
                if todo.is_empty() || opened.is_err() {
                    reader = None;
                }
                let what = match opened {
                    Ok(opened) => What::Done(opened),
                    Err(Ended::Cancelled) => continue,
                    Err(Ended::Failed(error)) => What::Failed(error),
                };
                if say(what).is_err() {
                    return;
                }
            }
        })?;
        Ok(Restorer { jobs: Some(jobs), answers: Some(answers), thread })
    }

    pub fn open(&self, job: Job) -> Result<(), Error> {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(Error::bug("the thread that restores has ended")) }
    }

    /// What the thread has to say, if anything.
    pub fn answer(&self) -> Option<Answer> {
        self.answers.as_ref()?.try_recv().ok()
    }
}

impl Drop for Restorer {
    /// Waits for the thread, which holds the membership; not for long, as it may wait for a broker.
    fn drop(&mut self) {
        self.jobs = None;
        self.answers = None;
        let since = Instant::now();
        while !self.thread.is_finished() && since.elapsed() < END_WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Why reading ended early.
enum Ended {
    Cancelled,
    Failed(Error),
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Ended {
        Ended::Failed(error.into())
    }
}

impl Source {
    fn open(&self, job: &Job, reader: &mut Option<PartitionReader>, say: &dyn Fn(What) -> Result<(), Ended>) -> Result<Opened, Ended> {
        let began = Instant::now();
        let partition = job.partition;
        // First the position: it is stable, so what is committed with it is below the high watermark.
        let committed = self.membership.committed(&[(&self.facts, partition)], COMMITTED_WAIT)?.first().copied().flatten();
        let parts = [(self.states.as_str(), partition), (self.facts.as_str(), partition)];
        let (begins, ends) = (self.admin.offsets(&parts, At::Begin)?, self.admin.offsets(&parts, At::End)?);
        let (Some(low), Some(high), Some(oldest)) = (begins.first().copied(), ends.first().copied(), begins.get(1).copied()) else {
            return Err(Ended::Failed(Error::bug("two partitions were asked for")));
        };
        let mut from = job.filled;
        if from.is_some_and(|from| !(low..=high).contains(&from)) {
            say(What::Forget)?;
            from = None;
        }
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let mut opened = Opened { start: Start::Earliest, lost: 0, records: 0, took: Duration::ZERO };
        if let Some(committed) = committed {
            opened.start = Start::Offset(committed.max(oldest));
            opened.lost = u64::try_from(oldest - committed).unwrap_or(0);
        }
        if from == Some(high) {
            opened.took = began.elapsed();
            return Ok(opened);
        }
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(PartitionReader::open(&self.settings)?),
        };
        let read = reader.read_to_end(&self.states, partition, from, |record| -> Result<(), Ended> {
            crate::run::failpoint::hit("during_restore");
            if job.cancelled.load(Ordering::Relaxed) {
                return Err(Ended::Cancelled);
            }
            let Some(cached) = (self.cached)(record) else { return Ok(()) };
            bytes += record.payload().len() + 128;
            chunk.push(cached);
            if bytes >= CHUNK_BYTES {
                bytes = 0;
                say(What::Records(std::mem::take(&mut chunk), record.offset + 1))?;
            }
            Ok(())
        })?;
        say(What::Records(chunk, read.next))?;
        Ok(Opened { records: read.records, took: began.elapsed(), ..opened })
    }
}
