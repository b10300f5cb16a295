//! Makes partitions ready to be read: their committed offset, and their index restored
//! from the index topic up to it. One thread, off the poll thread, which must go on polling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use metrics::histogram;

use super::begin::Begin;
use super::steer::Note;
use crate::config::model::Start;
use crate::ingest::decide::block::{Block, BlockError};
use crate::ingest::decide::{Clocks, DecideSpec, Decider, ShardRestore};
use crate::kafka::{Admin, Error, Membership, PartitionReader, Settings, SourceTopics};
use crate::run::failpoint;
use crate::run::health::RoleHealth;

/// How long the committed offset may stay unknown: a dead member's open transaction holds it
/// back until the broker has aborted that.
const COMMITTED_WAIT: Duration = Duration::from_secs(60);
/// Pause before a partition is tried again; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest pause: a person who has mended something should not wait for long.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Under which name trouble is told.
const PART: &str = "restore";
/// Offsets at the end of an index partition in which its newest block is looked for.
const TAIL: i64 = 64;
/// How quickly the stop flag is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// Partitions to be made ready together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Dense numbers, each with its epoch: void when a partition's epoch is another.
    pub partitions: Vec<(u16, u32)>,
    /// Restore the index; else it is enough if the committed offsets are where this process believes them.
    pub whole: bool,
}

/// Puts a restored index in its place.
pub type Install = Box<dyn FnOnce(&mut Decider) + Send>;

/// Partitions that are ready.
pub struct Prepared {
    /// Dense number, epoch as in the task, and where to read on.
    pub partitions: Vec<(u16, u32, i64)>,
    /// Their index; `None`: the one in place is right.
    pub install: Option<Install>,
}

/// What the thread needs.
pub struct PrepareSpec {
    /// The input.
    pub topics: Arc<SourceTopics>,
    /// Where reading begins without a committed offset, by the topic's place in `topics` and partition.
    pub begins: Vec<Vec<Begin>>,
    /// Identity of each source topic (its Kafka id), by its place in `topics`.
    pub identities: Vec<String>,
    /// The member whose offsets count.
    pub member: Membership,
    /// For readers of the index topic.
    pub reader: Settings,
    /// The index topic.
    pub index_topic: String,
    /// Partitions that it has.
    pub index_partitions: i32,
    /// What the indexes are made of.
    pub decide: DecideSpec,
    /// See `Steer`.
    pub epochs: Arc<[AtomicU32]>,
    /// Committed offsets as far as this process knows.
    pub positions: Arc<[AtomicI64]>,
    /// Where trouble is told.
    pub health: Arc<RoleHealth>,
    /// Ends the thread.
    pub stop: Arc<AtomicBool>,
}

/// A task that failed and is tried again.
struct Again {
    at: Instant,
    pause: Duration,
    task: Task,
    error: String,
}

/// Runs until the channel closes or the stop flag is raised.
pub fn run(spec: &PrepareSpec, admin: &Admin, tasks: &Receiver<Task>, notes: &Sender<Note>) {
    work(spec, admin, tasks, notes);
    spec.health.tell(PART, None);
}

fn work(spec: &PrepareSpec, admin: &Admin, tasks: &Receiver<Task>, notes: &Sender<Note>) {
    // Those that failed wait here while others go on: one damaged partition must not stop the rest.
    let mut failed: Vec<Again> = Vec::new();
    // One for a burst of partitions; it goes when there is nothing to do.
    let mut reader = None;
    while !spec.stop.load(Ordering::Relaxed) {
        let due = failed.iter().position(|again| again.at <= Instant::now());
        let (task, pause) = match (tasks.try_recv(), due) {
            (Ok(task), _) => (task, RETRY_MIN),
            (Err(_), Some(due)) => {
                let again = failed.remove(due);
                (again.task, (again.pause * 2).min(RETRY_MAX))
            }
            (Err(_), None) => match tasks.recv_timeout(IDLE_WAIT) {
                Ok(task) => (task, RETRY_MIN),
                Err(RecvTimeoutError::Timeout) => {
                    reader = None;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            },
        };
        let partitions = task.partitions.len();
        match current(spec, &task).then(|| prepare(spec, admin, &task, &mut reader)) {
            None | Some(Err(Failed::Void)) => {}
            Some(Ok(prepared)) => {
                if notes.send(Note::Prepared(prepared)).is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                reader = None;
                tracing::warn!(partitions, %error, "partitions are not ready yet: trying again");
                failed.push(Again { at: Instant::now() + pause, pause, task, error: error.to_string() });
            }
        }
        failed.retain(|again| current(spec, &again.task));
        let unread: usize = failed.iter().map(|again| again.task.partitions.len()).sum();
        spec.health.tell(PART, failed.first().map(|again| format!("{unread} partitions are not read: {}", again.error)));
    }
}

fn current(spec: &PrepareSpec, task: &Task) -> bool {
    task.partitions.iter().all(|(partition, epoch)| spec.epochs.get(*partition as usize).is_some_and(|now| now.load(Ordering::Acquire) == *epoch))
}

fn prepare(spec: &PrepareSpec, admin: &Admin, task: &Task, reader: &mut Option<PartitionReader>) -> Result<Prepared, Failed> {
    let names: Vec<(&str, i32)> = task.partitions.iter().map(|(number, _)| spec.topics.partitions().name(*number)).collect();
    let committed = spec.member.committed(&names, COMMITTED_WAIT)?;
    let mut partitions = Vec::with_capacity(names.len());
    let mut moved = false;
    for (((number, epoch), (topic, partition)), committed) in task.partitions.iter().zip(&names).zip(committed) {
        let start = match committed {
            Some(offset) => offset,
            None => {
                // Fixed now: else `latest` would mean something else after a crash before the first commit.
                let place = spec.topics.topics().iter().position(|known| known.name == *topic);
                let begin = place.and_then(|place| spec.begins.get(place)?.get(*partition as usize)).copied();
                let offset = match begin.unwrap_or(Begin::Rule(Start::Latest)) {
                    Begin::Rule(start) => admin.start_offset(topic, *partition, start)?,
                    Begin::Offset(offset) => offset.max(admin.start_offset(topic, *partition, Start::Earliest)?),
                };
                spec.member.commit(&[(topic, *partition, offset)])?;
                offset
            }
        };
        moved |= spec.positions.get(*number as usize).map(|position| position.swap(start, Ordering::AcqRel)) != Some(start);
        partitions.push((*number, *epoch, start));
    }
    let install = if task.whole || moved { Some(restore(spec, task, reader)?) } else { None };
    Ok(Prepared { partitions, install })
}

/// Reads the index partitions of the same numbers; blocks of other topics there are skipped.
fn restore(spec: &PrepareSpec, task: &Task, reader: &mut Option<PartitionReader>) -> Result<Install, Failed> {
    let began = Instant::now();
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(PartitionReader::open(&spec.reader)?),
    };
    let mut restore = ShardRestore::new(&spec.decide);
    let mut first = None;
    let mut parts = Vec::with_capacity(task.partitions.len());
    for (number, _) in &task.partitions {
        first = first.or(Some(*number));
        let (topic, partition) = spec.topics.partitions().name(*number);
        if partition >= spec.index_partitions {
            return Err(Failed::Layout { topic: topic.to_owned(), partition, has: spec.index_partitions });
        }
        let key = block_key(spec.topics.partitions().identity(*number), partition);
        if let Some(clocks) = newest_clocks(reader, &spec.index_topic, partition, &key)? {
            restore.ends_at(clocks);
        }
        parts.push((*number, topic, partition, key));
    }
    for (number, topic, partition, key) in parts {
        let read = reader.read_to_end::<Failed>(&spec.index_topic, partition, None, |record| {
            if !current(spec, task) {
                return Err(Failed::Void);
            }
            failpoint::hit("during_restore");
            if record.key() == Some(&key) {
                restore.apply(number, record.payload())?;
            }
            Ok(())
        })?;
        tracing::debug!(topic, partition, records = read.records, "index partition read");
    }
    let restored = restore.finish()?;
    let report = &restored.report;
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(partitions = task.partitions.len(), blocks = report.blocks, entries = report.entries, seconds, "index restored");
    if report.unknown_rules > 0 {
        tracing::warn!(
            entries = report.unknown_rules,
            "a rule's `match` is new or has changed: what was remembered under the old one is not used, so repeats of older incidents may become incidents once more"
        );
    }
    histogram!("catchment_restore_seconds").record(seconds);
    let first = first.unwrap_or_default();
    Ok(Box::new(move |decider: &mut Decider| decider.install(first, restored)))
}

/// How far the clocks of a partition have come, if its newest block is near the end: what is
/// beyond the horizon then need not even be entered. A block that cannot be read is met again.
fn newest_clocks(reader: &mut PartitionReader, index_topic: &str, partition: i32, key: &[u8]) -> Result<Option<Clocks>, Error> {
    let mut newest = None;
    reader.read_tail::<Error>(index_topic, partition, TAIL, |record| {
        let mut bytes = if record.key() == Some(key) { record.payload() } else { &[] };
        while let Ok((block, rest)) = Block::read(bytes) {
            newest = block.clocks.or(newest);
            bytes = rest;
        }
        Ok(())
    })?;
    Ok(newest)
}

/// Key of a partition's blocks in the index topic.
pub fn block_key(identity: &str, partition: i32) -> Vec<u8> {
    format!("{identity}/{partition}").into_bytes()
}

/// Why partitions are not ready.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error("the index topic holds a damaged or newer block: {0}")]
    Block(#[from] BlockError),
    #[error("{topic}[{partition}] has no partition of its number in the index topic, which has {has}: add partitions to it")]
    Layout { topic: String, partition: i32, has: i32 },
    #[error("given away meanwhile")]
    Void,
}
