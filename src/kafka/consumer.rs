//! The poll thread: one `BaseConsumer`, one OS thread. It copies messages into
//! the open batches, cuts them and hands them on; nothing else happens here.
//! What the group says and the records come in queues of their own (see `fetch`).
//!
//! **Backpressure.** A full channel is waited on for [`SEND_WAIT`] at a time,
//! and between the waits the group is listened to, so that its
//! `max.poll.interval` never passes. Pausing throws librdkafka's prefetched
//! messages away, so partitions are paused only after [`PAUSE_AFTER`].
//!
//! **Stopping.** Raise the flag: the thread seals what is open, hands it on and
//! ends, which closes the channel behind it. The group member itself lives
//! until the last [`Committer`] is dropped, so that what is in flight can
//! still be committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ingest::batch::RawBatch;

use super::commit::Committer;
use super::credit::Credit;
use super::cutter::{Cut, Cutter};
use super::error::{Error, is_passing};
use super::events::{Event, EventQueue};
use super::fetch::FetchQueue;
use super::log::Logging;
use super::membership::Membership;
use super::progress::Progress;
use super::settings::Settings;
use super::steering::Steering;
use super::taker::Taker;
use super::topics::SourceTopics;

/// How long one wait for a full channel may last before the consumer polls
/// again: far below `max.poll.interval.ms` (5 minutes) and any session timeout.
pub const SEND_WAIT: Duration = Duration::from_secs(1);

/// How long the channel must be full before partitions are paused.
pub const PAUSE_AFTER: Duration = Duration::from_secs(10);

/// How long a stopping consumer tries to hand on what it has read. What it
/// cannot hand on is not committed, hence read again.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Longest wait in one poll: how quickly the stop flag is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Longest wait of a batch, beyond its linger, while others fill up.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(150);

/// Shortest wait for a message while no worker waits for a batch.
const BUSY_WAIT: Duration = Duration::from_millis(1);

/// Between two looks at how much is left to read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So many records are little (count): as many as one batch takes.
const LITTLE: i64 = 8192;

/// How long the broker may take to tell the committed offsets.
const COMMITTED_WAIT: Duration = Duration::from_secs(10);

/// Whether offsets may be missing between two records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Never: a gap means lost records. For the embedded broker.
    Forbidden,
    /// Transaction markers and compaction leave gaps. For real Kafka.
    Legal,
}

/// What a consumer needs to start.
pub struct ConsumerSpec {
    /// Client properties, made by [`Settings::consumer`].
    pub settings: Settings,
    /// Which topic feeds which source.
    pub topics: Arc<SourceTopics>,
    /// When a batch is complete.
    pub cut: Cut,
    /// Whether missing offsets are an error.
    pub gaps: Gaps,
    /// Where to give credit back, as which reader. `None` on real Kafka.
    pub credit: Option<(Arc<Credit>, usize)>,
    /// Raised to end the thread.
    pub stop: Arc<AtomicBool>,
    /// Who decides when a partition may be read and when it may go. `None`: partitions are
    /// read from their committed offsets at once, and must not be taken away.
    pub steering: Option<Box<dyn Steering>>,
}

/// A running poll thread.
pub struct Consumer {
    thread: JoinHandle<Result<(), Error>>,
    committer: Committer,
    progress: Arc<Progress>,
}

impl Consumer {
    /// Joins the group and starts the thread. Sealed batches leave through `out`
    /// (make it bounded); used arenas come back through `arenas`.
    ///
    /// # Errors
    /// Properties that librdkafka refuses; a credit gate that lacks one of the topics.
    pub fn spawn(spec: ConsumerSpec, out: Sender<RawBatch>, arenas: Receiver<Vec<u8>>) -> Result<Consumer, Error> {
        let action = "starting the consumer";
        let consumer: BaseConsumer<Logging> = spec.settings.client_config().create_with_context(Logging).map_err(|error| Error::from_kafka(action, error))?;
        let consumer = Arc::new(consumer);
        let topics = spec.topics;
        let names: Vec<&str> = topics.topics().iter().map(|topic| topic.name.as_str()).collect();
        let credit = names
            .iter()
            .map(|name| match &spec.credit {
                None => Ok(None),
                Some((credit, reader)) => credit
                    .reader(name, *reader)
                    .map(Some)
                    .ok_or_else(|| Error::TopicTable { topic: (*name).to_owned(), problem: "not under the credit gate, or has no such reader" }),
            })
            .collect::<Result<_, _>>()?;
        let queue = EventQueue::new(Arc::clone(&consumer))?;
        consumer.subscribe(&names).map_err(|error| Error::from_kafka(action, error))?;
        let progress = Arc::new(Progress::new(topics.partitions().len()));
        let committer = Committer::new(Arc::clone(&consumer), Arc::clone(topics.partitions()));
        let taker = Taker {
            cutter: Cutter::new(spec.cut, topics.sources(), arenas),
            expected: vec![None; topics.partitions().len()],
            last_topic: None,
            gaps: spec.gaps,
            credit,
            progress: Arc::clone(&progress),
            reading: vec![false; topics.partitions().len()],
            topics,
        };
        let mut poller = Poller {
            records: FetchQueue::new(consumer)?,
            queue,
            owned: vec![false; taker.reading.len()],
            taker,
            out,
            stop: spec.stop,
            paused: false,
            next_seq: 0,
            generation: 0,
            looked: Instant::now(),
            steering: spec.steering,
            deferred: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || match poller.run() {
                // Whatever failed, this is why.
                Err(_) if poller.queue.is_fenced() => Err(Error::Fenced),
                done => done,
            })
            .map_err(|_| Error::Thread { name: "poll", problem: "could not be started" })?;
        Ok(Consumer { thread, committer, progress })
    }

    /// For transactions that move this member's offsets.
    pub fn membership(&self) -> Membership {
        self.committer.membership()
    }

    /// Commits for this group member; give it to the producer thread.
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }

    /// Counters and positions, readable at any time.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// True when the thread has ended, with or without an error: [`Consumer::join`] tells.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// Why it ended, if not because of the stop flag.
    pub fn join(self) -> Result<(), Error> {
        self.thread.join().unwrap_or(Err(Error::Thread { name: "poll", problem: "panicked" }))
    }
}

pub(super) struct Poller {
    /// What the group says, and errors of the client.
    pub(super) queue: EventQueue,
    /// The records.
    pub(super) records: FetchQueue,
    pub(super) taker: Taker,
    out: Sender<RawBatch>,
    stop: Arc<AtomicBool>,
    paused: bool,
    /// Number of the next batch handed on.
    next_seq: u64,
    /// What batches carry, see [`Command::Rewind`].
    pub(super) generation: u32,
    /// When it was last looked how much is left to read.
    looked: Instant,
    pub(super) steering: Option<Box<dyn Steering>>,
    /// Per dense partition: the group gave it to us.
    pub(super) owned: Vec<bool>,
    /// Assignments that came while a full channel was waited for.
    pub(super) deferred: VecDeque<Rebalance>,
}

/// What the group says about partitions.
pub(super) enum Rebalance {
    Assigned(Vec<(String, i32)>),
    Revoked { partitions: Vec<(String, i32)>, lost: bool },
}

impl Poller {
    fn run(&mut self) -> Result<(), Error> {
        let done = self.read();
        // The queue of records goes now, the member may stay for a while: it must not fetch what nobody
        // takes. Where that fails the group is gone, and nothing is fetched either.
        let _ = self.set_paused(true);
        done
    }

    fn read(&mut self) -> Result<(), Error> {
        while !self.stop.load(Ordering::Relaxed) {
            while let Some(rebalance) = self.deferred.pop_front() {
                self.rebalance(rebalance)?;
            }
            self.obey()?;
            let now = Instant::now();
            // Age cuts a batch only when a worker waits for one. Under load batches fill up
            // instead, and the cost per event falls: what a flood needs.
            while self.out.is_empty() && self.taker.cutter.cut_lingering(now, Duration::ZERO) {
                self.hand_on()?;
            }
            // A quiet source must not wait for ever behind busy ones.
            while self.taker.cutter.cut_lingering(now, QUIET_WAIT_MAX) {
                self.hand_on()?;
            }
            let due = self.taker.cutter.due_in(now).unwrap_or(POLL_WAIT).min(POLL_WAIT);
            let wait = if self.out.is_empty() { due } else { due.max(BUSY_WAIT) };
            let wait = wait.min(self.records.pause(now));
            // librdkafka counts in whole milliseconds; rounded down, the rest would be polled away.
            let wait = Duration::from_millis(wait.as_micros().div_ceil(1000) as u64);
            self.forward(now);
            if !self.notices()? {
                continue;
            }
            if self.take()? == 0 {
                self.look_ahead(now);
                let Poller { records, taker, .. } = self;
                if let Some(event) = records.wait(wait) {
                    served(event, taker)?;
                }
            }
            self.hand_on()?;
        }
        self.taker.cutter.cut_all();
        self.hand_on()
    }

    /// Tells when little is left to read. Where events come all the time, the very end of a
    /// partition is seldom seen.
    fn look_ahead(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let Taker { topics, reading, progress, .. } = &self.taker;
        let (table, numbers) = (topics.partitions(), (0..u16::MAX).zip(reading).filter(|(_, reading)| **reading));
        let positions = numbers.map(|(number, _)| {
            let (topic, partition) = table.name(number);
            (topic, partition, progress.position(number))
        });
        if self.records.unread(positions) <= LITTLE {
            progress.caught_up();
        }
    }

    /// Has what is read come to our queue, where that is due.
    fn forward(&mut self, now: Instant) {
        if !self.records.is_due(now) {
            return;
        }
        let table = self.taker.topics.partitions();
        let reading = (0..u16::MAX).zip(&self.taker.reading).filter(|(_, reading)| **reading);
        self.records.forward(reading.map(|(number, _)| table.name(number)), now);
    }

    /// Serves what the group says, to its end, whatever it is: records behind it must not overtake
    /// it. False when there is an assignment to look at.
    fn notices(&mut self) -> Result<bool, Error> {
        let Poller { queue, taker, deferred, .. } = self;
        while deferred.is_empty() {
            match queue.poll(Duration::ZERO) {
                None => return Ok(true),
                Some(Event::Assigned(partitions)) => deferred.push_back(Rebalance::Assigned(partitions)),
                Some(Event::Revoked(partitions)) => {
                    let lost = queue.is_lost();
                    deferred.push_back(Rebalance::Revoked { partitions, lost });
                }
                Some(event) => served(event, taker)?,
            }
        }
        Ok(false)
    }

    /// Takes a burst of records into the open batches; says how many.
    fn take(&mut self) -> Result<u32, Error> {
        let Poller { records, taker, .. } = self;
        records.take(|event| served(event, taker))
    }

    /// Sends what is sealed, until an assignment wants to be looked at.
    #[inline]
    pub(super) fn hand_on(&mut self) -> Result<(), Error> {
        while let Some(batch) = self.taker.cutter.take() {
            if !self.send(batch)? {
                break;
            }
        }
        Ok(())
    }

    /// False when the batch was put back because there is an assignment to look at.
    fn send(&mut self, mut batch: RawBatch) -> Result<bool, Error> {
        let messages = batch.messages.len();
        let mut waited = Duration::ZERO;
        loop {
            (batch.seq, batch.generation) = (self.next_seq, self.generation);
            match self.out.send_timeout(batch, SEND_WAIT) {
                Ok(()) => break,
                Err(SendTimeoutError::Disconnected(_)) => return Err(Error::Downstream { who: "takes batches" }),
                Err(SendTimeoutError::Timeout(back)) => batch = back,
            }
            waited += SEND_WAIT;
            self.taker.progress.stalled();
            if self.stop.load(Ordering::Relaxed) && waited >= STOP_WAIT {
                return Err(Error::Stopped { action: "handing on the last batches" });
            }
            if waited >= PAUSE_AFTER && !self.paused {
                self.pause(true)?;
            }
            if !self.notices()? {
                self.taker.cutter.untake(batch);
                return Ok(false);
            }
        }
        self.next_seq += 1;
        self.taker.progress.sent(messages);
        if self.paused {
            self.pause(false)?;
        }
        Ok(true)
    }

    /// Sends all that is sealed while partitions wait to be given away: serves nothing. False when
    /// the time is up.
    pub(super) fn hand_on_until(&mut self, deadline: Instant) -> Result<bool, Error> {
        while let Some(mut batch) = self.taker.cutter.take() {
            let messages = batch.messages.len();
            (batch.seq, batch.generation) = (self.next_seq, self.generation);
            match self.out.send_deadline(batch, deadline) {
                Ok(()) => {}
                Err(SendTimeoutError::Disconnected(_)) => return Err(Error::Downstream { who: "takes batches" }),
                Err(SendTimeoutError::Timeout(back)) => {
                    self.taker.cutter.untake(back);
                    return Ok(false);
                }
            }
            self.next_seq += 1;
            self.taker.progress.sent(messages);
        }
        Ok(true)
    }

    fn pause(&mut self, on: bool) -> Result<(), Error> {
        self.set_paused(on)?;
        if on {
            self.taker.progress.paused();
            tracing::warn!(waited = ?PAUSE_AFTER, "the stages behind the consumer are full: partitions paused");
        }
        self.paused = on;
        Ok(())
    }

    fn set_paused(&mut self, on: bool) -> Result<(), Error> {
        let consumer = self.queue.consumer();
        let assigned = consumer.assignment().map_err(|error| Error::from_kafka("reading the assignment", error))?;
        let done = if on { consumer.pause(&assigned) } else { consumer.resume(&assigned) };
        done.map_err(|error| Error::from_kafka("pausing or resuming partitions", error))
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), Error> {
        match (rebalance, self.steering.is_some()) {
            (Rebalance::Assigned(partitions), false) => self.assign_committed(&partitions),
            (Rebalance::Assigned(partitions), true) => self.assigned(&partitions),
            // The embedded broker has one member, so nobody can take anything from it.
            (Rebalance::Revoked { partitions, .. }, false) => Err(Error::Revoked { partitions: partitions.len() }),
            (Rebalance::Revoked { partitions, lost }, true) => self.revoked(&partitions, lost),
        }
    }

    /// Takes partitions over without steering: from the committed offset, or where the source says.
    fn assign_committed(&mut self, partitions: &[(String, i32)]) -> Result<(), Error> {
        let consumer = self.queue.consumer();
        let wrong = |error| Error::from_kafka("assigning partitions", error);
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition);
        }
        let committed = consumer.committed_offsets(list, COMMITTED_WAIT).map_err(|error| Error::from_kafka("reading committed offsets", error))?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let taker = &mut self.taker;
            let index = taker.topics.index(topic);
            let (Some(index), Some(number)) = (index, taker.topics.number_of(topic, partition)) else {
                // A partition added after the start: it has no number, so it waits for the next start.
                tracing::warn!(topic, partition, "this partition is new and will be read after a restart");
                continue;
            };
            let start = taker.topics.topics().get(index).map_or(Offset::Invalid, |topic| topic.start.offset());
            let offset = match element.offset() {
                Offset::Offset(offset) => Offset::Offset(offset),
                _ => start,
            };
            let known = if let Offset::Offset(offset) = offset { Some(offset) } else { None };
            if let Some(expected) = taker.expected.get_mut(number as usize) {
                *expected = known;
            }
            if let Some(reading) = taker.reading.get_mut(number as usize) {
                *reading = true;
            }
            taker.progress.starts_at(number, known.unwrap_or(0));
            list.add_partition_offset(topic, partition, offset).map_err(wrong)?;
        }
        self.taker.last_topic = None;
        let done = if self.queue.is_cooperative() { consumer.incremental_assign(&list) } else { consumer.assign(&list) };
        done.map_err(wrong)?;
        self.records.started();
        self.taker.progress.set_assigned();
        tracing::info!(partitions = list.count(), "assigned");
        Ok(())
    }
}

/// Does what an event of a partition asks for.
#[inline]
fn served(event: Event<'_>, taker: &mut Taker) -> Result<(), Error> {
    match event {
        Event::Message(message) => taker.take(&message)?,
        Event::End { topic, partition, offset } => {
            if let Some(number) = taker.topics.number_of(&topic, partition) {
                taker.progress.ended(number, offset);
            }
        }
        Event::Failed { code, fatal, at } => failed(code, fatal, at)?,
        // Assignments come in the group's queue only, and are taken out there.
        Event::Served | Event::Assigned(_) | Event::Revoked(_) => {}
    }
    Ok(())
}

/// Tells what ends the consumer from what librdkafka heals by itself.
fn failed(code: Code, fatal: bool, at: Option<(String, i32)>) -> Result<(), Error> {
    match (code, at) {
        (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some((topic, partition))) => Err(Error::Trimmed { topic, partition }),
        (Code::FencedInstanceId, _) => Err(Error::Fenced),
        (Code::UnknownTopicOrPartition | Code::UnknownTopic, Some((topic, _))) => Err(Error::NoSuchTopic { topic }),
        (code, _) if is_passing(code) && !fatal => {
            tracing::warn!(?code, "the consumer reports a passing error");
            Ok(())
        }
        (code, _) => Err(Error::Failed { action: "reading", code, fatal }),
    }
}
