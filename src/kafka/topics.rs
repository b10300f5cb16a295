//! Which topics feed which source, and the dense numbers of their partitions.
//!
//! The table is made before the consumer starts, from the broker's metadata,
//! and never changes; a topic that grows is noticed at the next start.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::Offset;

use crate::ingest::batch::Partitions;

use super::error::Error;
use super::log::Logging;
use super::settings::Settings;

/// Where to begin in a partition for which the group has no committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that the broker still has.
    Earliest,
    /// Records produced from now on.
    Latest,
    /// This offset. The embedded mode uses 0: "earliest" would skip silently
    /// what the broker has dropped already.
    Offset(i64),
}

impl Start {
    pub(super) fn offset(self) -> Offset {
        match self {
            Start::Earliest => Offset::Beginning,
            Start::Latest => Offset::End,
            Start::Offset(offset) => Offset::Offset(offset),
        }
    }
}

/// A topic that feeds a source.
#[derive(Debug, Clone)]
pub struct SourceTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Index of the source in the pipeline.
    pub source: u16,
    /// Copy record headers into the batches (only if an expression reads them).
    pub headers: bool,
    /// Where to begin without a committed offset.
    pub start: Start,
    /// What stands for the topic in incident ids: Kafka's id of it; `None`: its name.
    pub identity: Option<String>,
}

/// The topics of a consumer. Immutable; cheap to clone behind an `Arc`.
#[derive(Debug)]
pub struct SourceTopics {
    topics: Vec<SourceTopic>,
    /// Dense number of partition 0 of each topic.
    first: Vec<u16>,
    partitions: Arc<Partitions>,
}

impl SourceTopics {
    /// Numbers the partitions of these topics, in order.
    ///
    /// # Errors
    /// A topic named twice or without partitions, or more than 65,536 partitions.
    pub fn new(topics: Vec<SourceTopic>) -> Result<SourceTopics, Error> {
        let mut partitions = Partitions::default();
        let mut first = Vec::with_capacity(topics.len());
        for (at, topic) in topics.iter().enumerate() {
            let wrong = |problem| Error::TopicTable { topic: topic.name.clone(), problem };
            if topics.iter().take(at).any(|earlier| earlier.name == topic.name) {
                return Err(wrong("named twice"));
            }
            if topic.partitions < 1 {
                return Err(wrong("without partitions"));
            }
            first.push(u16::try_from(partitions.len()).map_err(|_| Error::TooManyPartitions)?);
            for partition in 0..topic.partitions {
                let number = partitions.number(&topic.name, partition).ok_or(Error::TooManyPartitions)?;
                if let Some(identity) = &topic.identity {
                    partitions.identify(number, identity);
                }
            }
        }
        Ok(SourceTopics { topics, first, partitions: Arc::new(partitions) })
    }

    /// The table behind the dense numbers of messages and offsets.
    pub fn partitions(&self) -> &Arc<Partitions> {
        &self.partitions
    }

    /// The topics, in the order given.
    pub fn topics(&self) -> &[SourceTopic] {
        &self.topics
    }

    /// Index of a topic.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }

    /// Dense number of a partition of the topic with this index.
    pub(super) fn number(&self, topic: usize, partition: i32) -> Option<u16> {
        let known = self.topics.get(topic)?.partitions;
        let first = *self.first.get(topic)?;
        if partition >= known { None } else { first.checked_add(u16::try_from(partition).ok()?) }
    }

    /// Dense number of a partition by its topic's name.
    pub fn number_of(&self, topic: &str, partition: i32) -> Option<u16> {
        self.number(self.index(topic)?, partition)
    }

    /// One more than the largest number of a source.
    pub(super) fn sources(&self) -> usize {
        self.topics.iter().map(|topic| topic.source as usize + 1).max().unwrap_or(0)
    }
}

/// Asks the cluster how many partitions these topics have, in the order given.
///
/// # Errors
/// [`Error::NoSuchTopic`], or what the broker answered.
pub fn discover(settings: &Settings, topics: &[&str], timeout: Duration) -> Result<Vec<(String, i32)>, Error> {
    let action = "reading the topics' metadata";
    let client: BaseConsumer<Logging> = settings.client_config().create_with_context(Logging).map_err(|error| Error::from_kafka(action, error))?;
    let mut found = Vec::with_capacity(topics.len());
    for name in topics {
        let metadata = client.fetch_metadata(Some(name), timeout).map_err(|error| Error::from_kafka(action, error))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == *name) else {
            return Err(Error::NoSuchTopic { topic: (*name).to_owned() });
        };
        match topic.error().map(Code::from) {
            None | Some(Code::LeaderNotAvailable) => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                return Err(Error::NoSuchTopic { topic: (*name).to_owned() });
            }
            Some(code) => return Err(Error::Failed { action, code, fatal: false }),
        }
        let count = i32::try_from(topic.partitions().len()).map_err(|_| Error::TooManyPartitions)?;
        if count == 0 {
            return Err(Error::NoSuchTopic { topic: (*name).to_owned() });
        }
        found.push(((*name).to_owned(), count));
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: i32, source: u16) -> SourceTopic {
        SourceTopic { name: name.into(), partitions, source, headers: false, start: Start::Offset(0), identity: None }
    }

    #[test]
    fn numbers_are_dense_over_topics() {
        let topics = SourceTopics::new(vec![topic("a", 3, 0), topic("b", 2, 1)]).unwrap();
        assert_eq!(topics.number_of("a", 2), Some(2));
        assert_eq!(topics.number_of("b", 0), Some(3));
        assert_eq!(topics.number_of("b", 2), None);
        assert_eq!(topics.number_of("b", -1), None);
        assert_eq!(topics.number_of("c", 0), None);
        assert_eq!(topics.partitions().name(4), ("b", 1));
        assert_eq!(topics.sources(), 2);
    }

    #[test]
    fn refuses_what_cannot_be_numbered() {
        assert!(matches!(SourceTopics::new(vec![topic("a", 1, 0), topic("a", 1, 1)]), Err(Error::TopicTable { .. })));
        assert!(matches!(SourceTopics::new(vec![topic("a", 0, 0)]), Err(Error::TopicTable { .. })));
    }
}
