//! The in-process broker: librdkafka's mock cluster, for `demo` and tests.
//!
//! It is a real Kafka endpoint on 127.0.0.1 (other processes can connect), but
//! it lives in memory and dies with this value. It has no admin API, so topics
//! are created here; its transactions are protocol only, so nobody may use
//! them; and it drops unread records beyond 5 MiB a partition, so every writer
//! goes through the credit gate (`credit`).

use std::time::Duration;

use rdkafka::bindings::{self, rd_kafka_resp_err_t as RespErr};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaApiKey;

use super::error::Error;
use super::log::Logging;

const NOT_LEADER: RespErr = RespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
const TIMED_OUT: RespErr = RespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
const COORDINATOR_LOADING: RespErr = RespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;

/// One broker is enough: the mock serves all of them from one thread.
const BROKERS: &str = "1";

/// A kind of request that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Storing records.
    Produce,
    /// Reading records.
    Fetch,
    /// Committing offsets.
    Commit,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// As a broker's requests do while it loses its leadership.
    Passing,
    /// The connection is cut.
    Cut,
    /// The record is larger than the topic takes.
    TooLarge,
    /// A permission is missing.
    Denied,
}

/// A running embedded broker. Keep it alive as long as any client uses it.
pub struct EmbeddedBroker {
    // The mock cluster belongs to this client and ends with it.
    owner: BaseProducer<Logging>,
    bootstrap: String,
    topics: Vec<(String, i32)>,
}

impl EmbeddedBroker {
    /// Starts a broker with these topics, `(name, partitions)`.
    ///
    /// # Errors
    /// When the port cannot be opened, or a topic's name or partition count is not accepted.
    pub fn start(topics: &[(&str, i32)]) -> Result<EmbeddedBroker, Error> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", BROKERS);
        let owner: BaseProducer<Logging> = config.create_with_context(Logging).map_err(|error| Error::from_kafka("starting the embedded broker", error))?;
        let mut broker = EmbeddedBroker { owner, bootstrap: String::new(), topics: Vec::new() };
        let bootstrap = broker.cluster()?.bootstrap_servers();
        broker.bootstrap = bootstrap;
        // Without this the first member of a group waits 3 s for others to join.
        // SAFETY: the handle is that of the live client `owner`; `cluster()` above has shown
        // that it has a mock cluster, which lives as long as the client.
        unsafe {
            let cluster = bindings::rd_kafka_handle_mock_cluster(broker.owner.client().native_ptr());
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
        for (topic, partitions) in topics {
            broker.create_topic(topic, *partitions)?;
        }
        Ok(broker)
    }

    /// Creates one more topic.
    ///
    /// # Errors
    /// When it exists, or the name or the number of partitions is not accepted.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> Result<(), Error> {
        let action = "creating a topic on the embedded broker";
        self.cluster()?.create_topic(name, partitions, 1).map_err(|error| Error::from_kafka(action, error))?;
        self.topics.push((name.to_owned(), partitions));
        Ok(())
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The topics created so far, with their partitions.
    pub fn topics(&self) -> &[(String, i32)] {
        &self.topics
    }

    /// The offset behind the last record of a partition.
    ///
    /// # Errors
    /// When there is no such partition, or no answer within `timeout`.
    pub fn end(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, Error> {
        let watermarks = self.owner.client().fetch_watermarks(topic, partition, timeout);
        watermarks.map(|(_, end)| end).map_err(|error| Error::from_kafka("reading the ends of the partitions", error))
    }

    /// Makes the next `times` requests of this kind fail. For tests.
    ///
    /// # Errors
    /// When the broker is gone.
    pub fn fail(&self, request: Request, failure: Failure, times: usize) -> Result<(), Error> {
        let key = match request {
            Request::Produce => RDKafkaApiKey::Produce,
            Request::Fetch => RDKafkaApiKey::Fetch,
            Request::Commit => RDKafkaApiKey::OffsetCommit,
        };
        let errors: &[RespErr] = match (failure, request) {
            (Failure::Passing, Request::Produce) => &[NOT_LEADER, TIMED_OUT],
            (Failure::Passing, Request::Fetch) => &[NOT_LEADER],
            (Failure::Passing, Request::Commit) => &[COORDINATOR_LOADING],
            (Failure::Cut, _) => &[RespErr::RD_KAFKA_RESP_ERR__TRANSPORT],
            (Failure::TooLarge, _) => &[RespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
            (Failure::Denied, Request::Commit) => &[RespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
            (Failure::Denied, _) => &[RespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
        };
        let errors: Vec<RespErr> = errors.iter().copied().cycle().take(times).collect();
        self.cluster()?.request_errors(key, &errors);
        Ok(())
    }

    fn cluster(&self) -> Result<rdkafka::mocking::MockCluster<'_, Logging>, Error> {
        self.owner
            .client()
            .mock_cluster()
            .ok_or(Error::Refused { action: "starting the embedded broker", reason: "librdkafka gave no mock cluster".to_owned() })
    }
}
