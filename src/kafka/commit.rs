//! Committing the offsets of completed batches to the consumer group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ingest::batch::Partitions;
use crate::ingest::offsets::Offsets;

use super::error::Error;
use super::log::Logging;
use super::membership::Membership;

/// Attempts of one commit: a coordinator that moves is found again within a few.
const ATTEMPTS: u32 = 5;

/// Pause between attempts.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Commits for the member behind a [`super::Consumer`]. Holding one keeps that
/// member in its group, so drop it when the last batch is committed.
#[derive(Clone)]
pub struct Committer {
    consumer: Arc<BaseConsumer<Logging>>,
    partitions: Arc<Partitions>,
}

impl Committer {
    pub(super) fn new(consumer: Arc<BaseConsumer<Logging>>, partitions: Arc<Partitions>) -> Committer {
        Committer { consumer, partitions }
    }

    /// The member itself.
    pub(super) fn membership(&self) -> Membership {
        Membership(Arc::clone(&self.consumer))
    }

    /// Commits the ends of these intervals and waits for the broker's answer.
    ///
    /// # Errors
    /// What the broker answered, after a few attempts if it was passing.
    pub fn commit(&self, offsets: &Offsets) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(offsets.intervals().len());
        for interval in offsets.intervals() {
            let (topic, partition) = self.partitions.name(interval.partition);
            // `to` is the next offset to read, which is what Kafka calls the committed offset.
            list.add_partition_offset(topic, partition, Offset::Offset(interval.to)).map_err(|error| Error::from_kafka("naming offsets to commit", error))?;
        }
        let mut attempt = 1;
        loop {
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let error = Error::from_kafka("committing offsets", error);
                    if attempt == ATTEMPTS || !error.retryable() {
                        return Err(error);
                    }
                    tracing::warn!(attempt, %error, "trying again");
                }
            }
            attempt += 1;
            std::thread::sleep(RETRY_AFTER);
        }
    }

    /// The committed offset of each dense partition, `None` where there is none.
    ///
    /// # Errors
    /// What the broker answered.
    pub fn committed(&self, timeout: Duration) -> Result<Vec<Option<i64>>, Error> {
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        let numbers = 0..u16::try_from(self.partitions.len()).unwrap_or(u16::MAX);
        for number in numbers {
            let (topic, partition) = self.partitions.name(number);
            list.add_partition(topic, partition);
        }
        let list = self.consumer.committed_offsets(list, timeout).map_err(|error| Error::from_kafka("reading committed offsets", error))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(list.elements().iter().map(|element| offset(element.offset())).collect())
    }
}
