//! The membership of a group, for whoever moves its offsets on another thread than the consumer's.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::Error;
use super::log::Logging;
use super::member::committed;

/// The membership whose offsets a transaction moves.
#[derive(Clone)]
pub struct Membership(pub(super) Arc<BaseConsumer<Logging>>);

impl Membership {
    /// As `Member::committed`.
    ///
    /// # Errors
    /// What the broker answered, or that it did not in time.
    pub fn committed(&self, parts: &[(&str, i32)], timeout: Duration) -> Result<Vec<Option<i64>>, Error> {
        committed(&self.0, parts, timeout)
    }

    /// Commits positions outside of any transaction: for a start that was chosen and must not change.
    ///
    /// # Errors
    /// What the broker answered.
    pub fn commit(&self, offsets: &[(&str, i32, i64)]) -> Result<(), Error> {
        let wrong = |error| Error::from_kafka("committing the first offsets", error);
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, next) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next)).map_err(wrong)?;
        }
        self.0.commit(&list, CommitMode::Sync).map_err(wrong)
    }

    /// Who we are in the group right now; must be read immediately before it is used.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.0.group_metadata()
    }
}
