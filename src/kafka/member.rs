//! A subscribed group member whose poll loop is its owner's thread: the queue of
//! events, and what may be done about them. The keeper's way to read; ingest has
//! `consumer`, which cuts batches.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, is_passing};
use super::events::{Event, EventQueue};
use super::log::Logging;
use super::membership::Membership;
use super::reader::Record;
use super::settings::Settings;
use super::topics::Start;

/// Topic and partition.
pub type Part = (String, i32);

/// What a member's queue had to say.
pub enum MemberEvent<'a> {
    /// A record.
    Record(Record<'a>),
    /// A partition has nothing at or after this offset for now.
    End {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
        /// The next offset.
        offset: i64,
    },
    /// The group gave these partitions. Answer with [`Member::assign`], at once; partitions
    /// may be left out and assigned later.
    Assigned(Vec<Part>),
    /// The group takes these partitions. Bring to an end what concerns them, then answer with
    /// [`Member::unassign`]. `lost`: they are somebody else's already, nothing of them may be committed.
    Revoked {
        /// Which.
        parts: Vec<Part>,
        /// The session was lost.
        lost: bool,
    },
    /// An error that does not pass by itself.
    Failed(Error),
}

/// A member of a consumer group.
pub struct Member {
    queue: EventQueue,
}

impl Member {
    /// Joins the group with a subscription to these topics.
    ///
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn join(settings: &Settings, topics: &[&str]) -> Result<Member, Error> {
        let wrong = |error| Error::from_kafka("joining the group", error);
        let consumer: BaseConsumer<Logging> = settings.client_config().create_with_context(Logging).map_err(wrong)?;
        let consumer = Arc::new(consumer);
        let queue = EventQueue::new(Arc::clone(&consumer))?;
        consumer.subscribe(topics).map_err(wrong)?;
        Ok(Member { queue })
    }

    /// Leaves the group and comes back, so that partitions are divided anew. Those that are read are
    /// taken first, as always ([`MemberEvent::Revoked`]).
    ///
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn rejoin(&mut self, topics: &[&str]) -> Result<(), Error> {
        rejoin(self.queue.consumer(), topics)
    }

    /// True when the group took this member for replaced: that is the cause of whatever fails now.
    pub fn is_fenced(&self) -> bool {
        self.queue.is_fenced()
    }

    /// For transactions that move this member's offsets.
    pub fn membership(&self) -> Membership {
        Membership(Arc::clone(self.queue.consumer()))
    }

    /// Serves one event, waiting up to `wait` for it; `None` when there was none that
    /// concerns the owner. Must be called at least every few minutes (`max.poll.interval.ms`).
    pub fn poll<R>(&mut self, wait: Duration, each: impl FnOnce(MemberEvent<'_>) -> R) -> Option<R> {
        let lost = self.queue.is_lost();
        let event = match self.queue.poll(wait)? {
            Event::Served => return None,
            Event::Message(fetched) => {
                let topic = fetched.topic_name();
                return Some(each(MemberEvent::Record(Record::of(&fetched, topic))));
            }
            Event::End { topic, partition, offset } => MemberEvent::End { topic, partition, offset },
            Event::Assigned(parts) => MemberEvent::Assigned(parts),
            Event::Revoked(parts) => MemberEvent::Revoked { parts, lost },
            Event::Failed { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, at: Some((topic, partition)), .. } => {
                MemberEvent::Failed(Error::Trimmed { topic, partition })
            }
            Event::Failed { code: Code::FencedInstanceId, .. } => MemberEvent::Failed(Error::Fenced),
            Event::Failed { code: Code::UnknownTopicOrPartition | Code::UnknownTopic, at: Some((topic, _)), .. } => {
                MemberEvent::Failed(Error::NoSuchTopic { topic })
            }
            Event::Failed { code, fatal: false, .. } if is_passing(code) => {
                tracing::warn!(?code, "the member reports a passing error");
                return None;
            }
            Event::Failed { code, fatal, .. } => MemberEvent::Failed(Error::Failed { action: "reading", code, fatal }),
        };
        Some(each(event))
    }

    /// Reads these partitions from here on, beside those read already.
    ///
    /// # Errors
    /// A partition that the group did not give.
    pub fn assign(&mut self, parts: &[(&str, i32, Start)]) -> Result<(), Error> {
        assign(self.queue.consumer(), parts)
    }

    /// Stops reading these partitions, which must be read; answers [`MemberEvent::Revoked`]
    /// with those that were. An empty list is legal.
    ///
    /// # Errors
    /// A partition that is not read.
    pub fn unassign(&mut self, parts: &[(&str, i32)]) -> Result<(), Error> {
        unassign(self.queue.consumer(), parts)
    }

    /// Fetches no more of these partitions for now. What was fetched and not read yet is fetched again later.
    ///
    /// # Errors
    /// A partition that is not read.
    pub fn pause(&mut self, parts: &[(&str, i32)]) -> Result<(), Error> {
        let wrong = |error| Error::from_kafka("pausing partitions", error);
        self.queue.consumer().pause(&listed(parts)).map_err(wrong)
    }

    /// Fetches these partitions again.
    ///
    /// # Errors
    /// A partition that is not read.
    pub fn resume(&mut self, parts: &[(&str, i32)]) -> Result<(), Error> {
        let wrong = |error| Error::from_kafka("resuming partitions", error);
        self.queue.consumer().resume(&listed(parts)).map_err(wrong)
    }

    /// The committed offset of each partition, `None` where there is none. Waits while a
    /// transaction that would move it is open.
    ///
    /// # Errors
    /// What the broker answered, or that it did not in time.
    pub fn committed(&self, parts: &[(&str, i32)], timeout: Duration) -> Result<Vec<Option<i64>>, Error> {
        committed(self.queue.consumer(), parts, timeout)
    }
}

pub(super) fn assign(consumer: &BaseConsumer<Logging>, parts: &[(&str, i32, Start)]) -> Result<(), Error> {
    let wrong = |error| Error::from_kafka("assigning partitions", error);
    let mut list = TopicPartitionList::with_capacity(parts.len());
    for (topic, partition, start) in parts {
        list.add_partition_offset(topic, *partition, start.offset()).map_err(wrong)?;
    }
    consumer.incremental_assign(&list).map_err(wrong)
}

fn listed(parts: &[(&str, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(parts.len());
    for (topic, partition) in parts {
        list.add_partition(topic, *partition);
    }
    list
}

pub(super) fn rejoin(consumer: &BaseConsumer<Logging>, topics: &[&str]) -> Result<(), Error> {
    consumer.unsubscribe();
    consumer.subscribe(topics).map_err(|error| Error::from_kafka("joining the group again", error))
}

pub(super) fn unassign(consumer: &BaseConsumer<Logging>, parts: &[(&str, i32)]) -> Result<(), Error> {
    consumer.incremental_unassign(&listed(parts)).map_err(|error| Error::from_kafka("giving partitions back", error))
}

/// Longest single question for committed offsets; they are asked again until the time is up.
const ASK_WAIT: Duration = Duration::from_secs(5);

pub(super) fn committed(consumer: &BaseConsumer<Logging>, parts: &[(&str, i32)], timeout: Duration) -> Result<Vec<Option<i64>>, Error> {
    let since = std::time::Instant::now();
    loop {
        let mut list = TopicPartitionList::with_capacity(parts.len());
        for (topic, partition) in parts {
            list.add_partition(topic, *partition);
        }
        let answer = consumer.committed_offsets(list, ASK_WAIT.min(timeout)).map_err(|error| Error::from_kafka("reading committed offsets", error));
        let list = match answer {
            Ok(list) => list,
            Err(error) if error.retryable() && since.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(error) => return Err(error),
        };
        let found = |(topic, partition): &(&str, i32)| match list.find_partition(topic, *partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        return Ok(parts.iter().map(found).collect());
    }
}
