//! The producer thread: it takes encoded batches in order, produces their
//! records, waits until every record of a batch is stored, and then commits the
//! batch's offsets: *produce → all acks → commit*, the order of the embedded
//! mode (at least once). Several batches are in flight at a time; they are
//! completed in their order, so a committed offset never passes an open batch.
//!
//! Acks are counted per batch through the delivery opaque, which is the number
//! of the batch's slot: no allocation and no future per record.
//!
//! The thread ends when the channel of batches closes, after everything in it
//! was delivered and committed; or with an error, and then nothing at or after
//! the failed batch is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};

use crate::ingest::offsets::Offsets;

use super::acks::{AckContext, AckState, Acks, now_us};
use super::commit::Committer;
use super::credit::{Credit, CreditWriter, cost};
use super::error::Error;
use super::output::{OutRecord, OutputBatch};
use super::partitioner::partition_of;
use super::reports::ReportQueue;
use super::settings::Settings;

/// Batches whose acks may be outstanding: enough to keep the broker busy, few
/// enough that little is repeated after a crash.
const WINDOW: usize = 32;

/// Offsets of completed batches are committed together at this pace, and at
/// once when nothing else is in flight. A commit costs a round trip.
const COMMIT_EVERY: Duration = Duration::from_millis(20);

/// Wait for acks in one poll: how late a new batch is noticed while others are in flight.
const ACK_WAIT: Duration = Duration::from_millis(1);

/// Wait for a batch when nothing is in flight.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// Records between two polls while producing: keeps the queue of delivery reports short.
const POLL_EVERY: usize = 512;

/// A topic that records are produced to.
#[derive(Debug, Clone)]
pub struct OutputTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has; a key's partition is murmur2(key) mod this.
    pub partitions: i32,
}

/// What a producer thread needs to start.
pub struct ProducerSpec {
    /// Client properties, made by [`Settings::producer`].
    pub settings: Settings,
    /// The topics that `OutRecord::topic` numbers.
    pub topics: Vec<OutputTopic>,
    /// Commits the offsets of stored batches. `None`: nothing is committed.
    pub committer: Option<Committer>,
    /// The credit gate; every topic must be under it. `None` on real Kafka.
    pub credit: Option<Arc<Credit>>,
    /// Raised to give up while waiting for credit or for room. Not the consumer's stop
    /// flag: a clean end is a closed channel, after which everything is still delivered.
    pub abort: Arc<AtomicBool>,
}

/// A batch whose records are stored and whose offsets are committed, with the
/// times on the way, microseconds since the epoch. Its buffers may be reused.
#[derive(Debug)]
pub struct Delivered {
    /// The batch as it was handed in.
    pub batch: OutputBatch,
    /// The thread took the batch.
    pub received_us: i64,
    /// Its last record was handed to librdkafka.
    pub produced_us: i64,
    /// The last ack arrived. From a record's `origin_us` to here is its latency.
    pub acked_us: i64,
    /// The offsets were committed.
    pub committed_us: i64,
}

/// What a producer thread has done in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerTotals {
    /// Batches stored and committed.
    pub batches: u64,
    /// Records stored.
    pub records: u64,
    /// Keys and values, bytes.
    pub bytes: u64,
    /// Commits sent.
    pub commits: u64,
    /// Times that librdkafka's queue was full.
    pub queue_full: u64,
}

/// A running producer thread.
pub struct Producer {
    thread: JoinHandle<Result<ProducerTotals, Error>>,
}

impl Producer {
    /// Starts the thread. `delivered` is called on it for every batch, in order,
    /// after its commit; it must not block.
    ///
    /// # Errors
    /// Properties that librdkafka refuses; a credit gate that lacks one of the topics.
    pub fn spawn(spec: ProducerSpec, batches: Receiver<OutputBatch>, delivered: impl FnMut(Delivered) + Send + 'static) -> Result<Producer, Error> {
        let producer: BaseProducer<AckContext> =
            spec.settings.client_config().create_with_context(AckContext).map_err(|error| Error::from_kafka("starting the producer", error))?;
        let mut targets = Vec::with_capacity(spec.topics.len());
        for topic in spec.topics {
            let wrong = |problem| Error::TopicTable { topic: topic.name.clone(), problem };
            if topic.partitions < 1 {
                return Err(wrong("without partitions"));
            }
            let credit = match &spec.credit {
                None => None,
                Some(credit) => Some(credit.writer(&topic.name).ok_or_else(|| wrong("not under the credit gate"))?),
            };
            targets.push(Target { topic, credit, turn: 0 });
        }
        let mut worker = Worker {
            reports: ReportQueue::new(Arc::new(producer))?,
            acks: Acks::new(WINDOW),
            targets,
            committer: spec.committer,
            abort: spec.abort,
            in_flight: VecDeque::with_capacity(WINDOW),
            settled: Vec::new(),
            next_seq: 0,
            last_commit: Instant::now(),
            totals: ProducerTotals::default(),
            delivered: Box::new(delivered),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-produce".to_owned())
            .spawn(move || worker.run(&batches))
            .map_err(|_| Error::Thread { name: "producer", problem: "could not be started" })?;
        Ok(Producer { thread })
    }

    /// True when the thread has ended, with or without an error: [`Producer::join`] tells.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is delivered and committed, or failed.
    ///
    /// # Errors
    /// Why the thread ended early.
    pub fn join(self) -> Result<ProducerTotals, Error> {
        self.thread.join().unwrap_or(Err(Error::Thread { name: "producer", problem: "panicked" }))
    }
}

struct Target {
    topic: OutputTopic,
    credit: Option<CreditWriter>,
    /// Next partition for a record without a key.
    turn: i32,
}

struct InFlight {
    batch: OutputBatch,
    slot: usize,
    received_us: i64,
    produced_us: i64,
    acked_us: i64,
}

struct Worker {
    reports: ReportQueue,
    acks: Acks,
    targets: Vec<Target>,
    committer: Option<Committer>,
    abort: Arc<AtomicBool>,
    in_flight: VecDeque<InFlight>,
    /// All acks are in; the commit is still to come.
    settled: Vec<InFlight>,
    next_seq: u64,
    last_commit: Instant,
    totals: ProducerTotals,
    delivered: Box<dyn FnMut(Delivered) + Send>,
}

impl Worker {
    fn run(&mut self, batches: &Receiver<OutputBatch>) -> Result<ProducerTotals, Error> {
        let mut open = true;
        while open || !self.in_flight.is_empty() {
            let idle = self.in_flight.is_empty();
            let next = if !open || self.in_flight.len() >= WINDOW {
                None
            } else if idle {
                match batches.recv_timeout(IDLE_WAIT) {
                    Ok(batch) => Some(batch),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        None
                    }
                }
            } else {
                match batches.try_recv() {
                    Ok(batch) => Some(batch),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => {
                        open = false;
                        None
                    }
                }
            };
            match next {
                Some(batch) => self.produce(batch)?,
                None if idle => self.serve(Duration::ZERO)?,
                None => self.serve(ACK_WAIT)?,
            }
            self.settle()?;
        }
        self.commit()?;
        Ok(self.totals)
    }

    fn produce(&mut self, batch: OutputBatch) -> Result<(), Error> {
        if batch.seq != self.next_seq {
            return Err(Error::OutOfOrder { expected: self.next_seq, found: batch.seq });
        }
        self.next_seq += 1;
        let slot = (batch.seq % WINDOW as u64) as usize;
        let received_us = now_us();
        self.acks.open(slot, batch.records.len());
        for (at, record) in batch.records.iter().enumerate() {
            self.send(&batch, at, record, slot)?;
            if at % POLL_EVERY == POLL_EVERY - 1 {
                self.serve(Duration::ZERO)?;
            }
        }
        let produced_us = now_us();
        self.in_flight.push_back(InFlight { batch, slot, received_us, produced_us, acked_us: 0 });
        Ok(())
    }

    fn send(&mut self, batch: &OutputBatch, at: usize, record: &OutRecord, slot: usize) -> Result<(), Error> {
        let bad = || Error::BadRange { seq: batch.seq, record: at };
        let target = self
            .targets
            .get_mut(record.topic as usize)
            .ok_or_else(|| Error::TopicTable { topic: format!("number {}", record.topic), problem: "not declared for the producer" })?;
        let key = batch.slice(&record.key).ok_or_else(bad)?;
        let value = batch.slice(&record.value).ok_or_else(bad)?;
        let headers = batch.headers_of(record).ok_or_else(bad)?;
        let partition = if let Some(partition) = record.partition {
            partition
        } else if key.is_empty() {
            target.turn = (target.turn + 1) % target.topic.partitions;
            target.turn
        } else {
            partition_of(key, target.topic.partitions)
        };
        if let Some(credit) = &mut target.credit {
            let header_bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            let (reports, acks) = (&self.reports, &self.acks);
            credit.take(partition, cost(key.len(), value.len(), header_bytes), &self.abort, || {
                reports.poll(ACK_WAIT, |slot, failure| acks.answer(slot, failure))
            })?;
        }
        let mut to_send = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&target.topic.name, slot).partition(partition).payload(value);
        to_send.key = (!key.is_empty()).then_some(key);
        to_send.headers = (!headers.is_empty()).then(|| {
            let empty = OwnedHeaders::new_with_capacity(headers.len());
            headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(*value) }))
        });
        loop {
            match self.reports.producer().send(to_send) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    self.totals.queue_full += 1;
                    if self.abort.load(Ordering::Relaxed) {
                        return Err(Error::Stopped { action: "waiting for room in the producer's queue" });
                    }
                    self.reports.poll(ACK_WAIT, |slot, failure| self.acks.answer(slot, failure))?;
                    to_send = back;
                }
                Err((error, _)) => return Err(Error::from_kafka("producing a record", error)),
            }
        }
        self.totals.records += 1;
        self.totals.bytes += (key.len() + value.len()) as u64;
        Ok(())
    }

    /// Serves acks, waiting up to `wait` for the first.
    fn serve(&self, wait: Duration) -> Result<(), Error> {
        self.reports.poll(wait, |slot, failure| self.acks.answer(slot, failure))
    }

    /// Moves batches whose acks are all in to `settled`, and commits when it is time.
    fn settle(&mut self) -> Result<(), Error> {
        while let Some(front) = self.in_flight.front() {
            match self.acks.state(front.slot) {
                AckState::Open => break,
                AckState::Failed { failed, code } => {
                    return Err(Error::Undelivered { seq: front.batch.seq, failed, code });
                }
                AckState::Done { at_us } => {
                    if let Some(mut done) = self.in_flight.pop_front() {
                        // A batch without records has no ack: it is done when it is produced.
                        done.acked_us = at_us.max(done.produced_us);
                        self.settled.push(done);
                    }
                }
            }
        }
        if !self.settled.is_empty() && (self.in_flight.is_empty() || self.last_commit.elapsed() >= COMMIT_EVERY) {
            self.commit()?;
        }
        Ok(())
    }

    /// Commits what is settled and reports it.
    fn commit(&mut self) -> Result<(), Error> {
        if self.settled.is_empty() {
            return Ok(());
        }
        if let Some(committer) = &self.committer {
            let mut ends = Offsets::default();
            for done in &self.settled {
                // Adding the last offset of each interval is enough to commit its end.
                for interval in done.batch.offsets.intervals() {
                    ends.add(interval.partition, interval.to - 1);
                }
            }
            committer.commit(&ends)?;
            self.totals.commits += 1;
        }
        self.last_commit = Instant::now();
        let committed_us = now_us();
        for InFlight { batch, received_us, produced_us, acked_us, .. } in self.settled.drain(..) {
            self.totals.batches += 1;
            (self.delivered)(Delivered { batch, received_us, produced_us, acked_us, committed_us });
        }
        Ok(())
    }
}
