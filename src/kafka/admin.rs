//! What a cluster says about itself and its topics: ids, partitions, offsets. Plain values in
//! and out; every call waits for its answer, at most as long as [`Admin::connect`] was told.

use std::fmt;
use std::time::Duration;

use rdkafka::bindings::{self as sys, rd_kafka_admin_op_t as Op};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::groups::GroupList;

use super::error::{Error, Refusal, is_passing};
use super::events::OwnedEvent;
use super::settings::Settings;
use request::{Client, Started, Watch, c_name, code, list, text};

mod offsets;
mod request;
mod resolve;
mod topic;

pub use offsets::At;
pub use resolve::{has_patterns, source_topics};
pub use topic::{ConfigValue, NewTopic};

/// What `group` needs of the requests.
pub(super) mod wire {
    pub(in crate::kafka) use super::offsets::{Partitions, read_partitions};
    pub(in crate::kafka) use super::request::{c_name, code, list, text};
}

/// A connection for questions about the cluster, and for creating topics.
pub struct Admin {
    client: Client,
    cluster: Cluster,
}

/// What the cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id: part of every incident's id.
    pub id: String,
    /// Number of brokers.
    pub brokers: usize,
}

/// Kafka's id of a topic: another one after it was deleted and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    /// As Kafka's own tools write it: 22 characters, base64 for URLs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        // 128 bits and four zero bits make 22 digits of six.
        for digit in 0..22u32 {
            let bits = if digit < 21 { self.0 >> (122 - 6 * digit) } else { self.0 << 4 };
            f.write_str(char::from(DIGITS[(bits & 63) as usize]).encode_utf8(&mut [0; 4]))?;
        }
        Ok(())
    }
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id; `None`: the brokers are older than Kafka 2.8 and have none.
    pub id: Option<TopicId>,
    /// How many partitions it has.
    pub partitions: i32,
    /// Copies of its first partition.
    pub replication: i32,
}

impl Topic {
    /// What identifies the topic in incident ids: its id, or its name where there is none.
    pub fn identity(&self) -> String {
        self.id.map_or_else(|| self.name.clone(), |id| id.to_string())
    }
}

impl Admin {
    /// Connects, and asks the cluster for its id.
    ///
    /// # Errors
    /// Properties that librdkafka refuses; [`Error::Unreachable`] with the reason.
    pub fn connect(settings: &Settings, timeout: Duration) -> Result<Admin, Error> {
        let wrong = |error| Error::from_kafka("connecting to the brokers", error);
        let consumer: BaseConsumer<Watch> = settings.client_config().create_with_context(Watch::default()).map_err(wrong)?;
        let client = Client::new(consumer, timeout);
        let cluster = client.cluster().map_err(|error| match error {
            // Something took the connection and kept silent: a controller's port, a proxy.
            Error::TimedOut { .. } => Error::Unreachable { kind: Refusal::Down, reason: format!("nothing answered as a Kafka broker does within {timeout:?}") },
            error => error,
        })?;
        Ok(Admin { client, cluster })
    }

    /// What the cluster says about itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.cluster.id
    }

    /// Makes a request with `start` and waits for its answer.
    pub(super) fn request(&self, action: &'static str, op: Op, start: impl FnOnce(Started)) -> Result<OwnedEvent, Error> {
        self.client.request(action, op, start)
    }

    /// Calls `ask` again while it fails for a moment only.
    pub(super) fn retry<T>(&self, ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.client.retry(ask)
    }

    /// What the brokers say of this group in the oldest requests; see `division`.
    pub(super) fn plain_group(&self, group: &str, wait: Duration) -> KafkaResult<GroupList> {
        self.client.consumer().fetch_group_list(Some(group), wait)
    }

    /// The names of all topics that we may see, without Kafka's own (`__…`), in order.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn topic_names(&self) -> Result<Vec<String>, Error> {
        let action = "listing the topics";
        let metadata = self.client.consumer().fetch_metadata(None, self.client.timeout()).map_err(|error| Error::from_kafka(action, error))?;
        let mut names: Vec<String> = metadata.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| !name.starts_with("__")).collect();
        names.sort();
        Ok(names)
    }

    /// These topics in the order given, `None` for one that does not exist.
    ///
    /// # Errors
    /// What the brokers answered, also for a single topic (no permission, for example).
    pub fn topics(&self, names: &[&str]) -> Result<Vec<Option<Topic>>, Error> {
        self.retry(|| self.topics_now(names))
    }

    fn topics_now(&self, names: &[&str]) -> Result<Vec<Option<Topic>>, Error> {
        let action = "describing topics";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let owned = names.iter().map(|name| c_name(name)).collect::<Result<Vec<_>, Error>>()?;
        let mut pointers: Vec<_> = owned.iter().map(|name| name.as_ptr()).collect();
        let event = self.client.request(action, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, |(rk, options, queue)| {
            // SAFETY: the names outlive the call, which copies them twice; the collection is ours.
            unsafe {
                let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
                sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
                sys::rd_kafka_TopicCollection_destroy(topics);
            }
        })?;
        let mut found = Vec::with_capacity(names.len());
        // SAFETY: the event is alive, of this type, and owns the list, which is copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for topic in list(topics.cast_const(), count) {
                found.push((text(sys::rd_kafka_TopicDescription_name(*topic)), read_topic(*topic)));
            }
        }
        names.iter().map(|name| found.iter().find(|(known, _)| known == name).map_or(Ok(None), |(_, topic)| topic_or_error(name, topic))).collect()
    }

    /// As [`Admin::topics`], for topics that must be there.
    ///
    /// # Errors
    /// [`Error::NoSuchTopic`] for the first one that is not.
    pub fn existing(&self, names: &[&str]) -> Result<Vec<Topic>, Error> {
        let found = self.topics(names)?;
        let missing = |name: &&str| Error::NoSuchTopic { topic: (*name).to_owned() };
        names.iter().zip(found).map(|(name, topic)| topic.ok_or_else(|| missing(name))).collect()
    }
}

/// What one description says, or the code that stands in its place.
type Described = Result<Topic, Code>;

fn topic_or_error(name: &str, topic: &Described) -> Result<Option<Topic>, Error> {
    match topic {
        Ok(topic) => Ok(Some(topic.clone())),
        Err(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Err(code) if is_passing(*code) => Err(Error::Failed { action: "describing topics", code: *code, fatal: false }),
        Err(code) => Err(Error::Answered { action: "describing topics", code: *code, reason: format!("{name}: {code}") }),
    }
}

/// # Safety
/// `topic` is alive.
unsafe fn read_topic(topic: *const sys::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: the caller's promise; what is read belongs to the description.
    unsafe {
        if let Some(code) = code(sys::rd_kafka_TopicDescription_error(topic)) {
            return Err(code);
        }
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut replicas = 0;
        if let Some(first) = list(partitions.cast_const(), count).first() {
            sys::rd_kafka_TopicPartitionInfo_replicas(*first, &mut replicas);
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() {
            0
        } else {
            let (high, low) = (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id));
            (u128::from(high as u64) << 64) | u128::from(low as u64)
        };
        Ok(Topic {
            name: text(sys::rd_kafka_TopicDescription_name(topic)),
            id: (id != 0).then_some(TopicId(id)),
            partitions: i32::try_from(count).unwrap_or(i32::MAX),
            replication: i32::try_from(replicas).unwrap_or(i32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_written_as_kafka_does() {
        // As org.apache.kafka.common.Uuid prints them: ONE_UUID.
        assert_eq!(TopicId(1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId(0).to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId(u128::MAX).to_string(), "_____________________w");
        assert_eq!(TopicId(0xfb << 120).to_string(), "-wAAAAAAAAAAAAAAAAAAAA");
    }
}
