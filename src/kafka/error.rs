//! What can go wrong with Kafka: whose fault it is, and whether trying again helps.
//!
//! Messages name topics, partitions, offsets, property names and librdkafka's
//! codes; never a payload, a key, or the value of a property.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine, the network, or a setting: the operator.
    Environment,
    /// The broker refused or lost something: its administrator.
    Broker,
    /// This program broke its own rules: us.
    Programmer,
}

/// Why no broker lets us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// None can be reached.
    Down,
    /// Name or password are wrong.
    Login,
    /// Encryption could not be agreed on.
    Tls,
}

/// A Kafka error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property that librdkafka does not accept, or that we must not let go.
    #[error("the Kafka property `{key}` cannot be used: {reason}")]
    Property {
        /// The property's name (its value may be a secret and is not kept).
        key: String,
        /// Why.
        reason: String,
    },
    /// librdkafka or a broker answered with an error code.
    #[error("{action} failed: {code}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// librdkafka's code.
        code: Code,
        /// True when the client instance cannot be used any more.
        fatal: bool,
    },
    /// librdkafka refused with a text instead of a code.
    #[error("{action} failed: {reason}")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// librdkafka's text.
        reason: String,
    },
    /// A broker answered with a code, and said more than its code.
    #[error("{action} failed: {reason}")]
    Answered {
        /// What was being done.
        action: &'static str,
        /// librdkafka's code.
        code: Code,
        /// The broker's words.
        reason: String,
    },
    /// No broker lets us in.
    #[error("cannot reach the brokers: {reason}")]
    Unreachable {
        /// What kind of reason.
        kind: Refusal,
        /// librdkafka's words.
        reason: String,
    },
    /// The topic is not there.
    #[error("the topic `{topic}` does not exist")]
    NoSuchTopic {
        /// Its name.
        topic: String,
    },
    /// A topic is named twice, or a record names one that was not declared.
    #[error("the topic `{topic}` is {problem}")]
    TopicTable {
        /// Its name or number.
        topic: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More partitions than the 16-bit dense numbers can name.
    #[error("more than 65,536 partitions are in use")]
    TooManyPartitions,
    /// Offsets are missing where none may be: the embedded broker dropped them.
    #[error("{topic}[{partition}]: offsets {expected} to {found} are missing: the broker dropped records that were not read yet")]
    Gap {
        /// Topic.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// The offset that should have come.
        expected: i64,
        /// The offset that came.
        found: i64,
    },
    /// The position lies before what the broker still has.
    #[error("{topic}[{partition}]: the broker no longer has the next offset to read")]
    Trimmed {
        /// Topic.
        topic: String,
        /// Kafka partition.
        partition: i32,
    },
    /// Another member took partitions from this consumer.
    #[error("{partitions} partitions were revoked: another member joined the group, which the embedded mode does not allow")]
    Revoked {
        /// How many.
        partitions: usize,
    },
    /// Another process came to the group as the same member.
    #[error("another process runs as this member: it came to the group with the same `instance`")]
    Fenced,
    /// A record was not stored.
    #[error("batch {seq}: {failed} of its records were not delivered: {code}")]
    Undelivered {
        /// The batch's number.
        seq: u64,
        /// How many of its records failed.
        failed: u32,
        /// The first failure's code.
        code: Code,
    },
    /// A generated event was not stored.
    #[error("{failed} generated events were not delivered: {code}")]
    Unfed {
        /// How many.
        failed: u32,
        /// The first failure's code.
        code: Code,
    },
    /// No reader made room on a topic of the embedded broker.
    #[error("{topic}[{partition}]: nobody read from it for {waited:?}; the embedded broker holds no more")]
    NoCredit {
        /// Topic.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// How long the writer waited.
        waited: Duration,
    },
    /// Something took longer than it may.
    #[error("{action} took longer than {waited:?}")]
    TimedOut {
        /// What was being done.
        action: &'static str,
        /// The limit.
        waited: Duration,
    },
    /// The stop flag was raised while waiting.
    #[error("stopped while {action}")]
    Stopped {
        /// What was being done.
        action: &'static str,
    },
    /// The other end of a channel is gone, so its thread ended early.
    #[error("the thread that {who} ended early")]
    Downstream {
        /// What that thread does.
        who: &'static str,
    },
    /// Batches must arrive in the order of their numbers, without gaps.
    #[error("batch {found} arrived where batch {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A record's ranges lie outside its batch's bytes.
    #[error("batch {seq}: record {record} points outside the batch's bytes")]
    BadRange {
        /// The batch's number.
        seq: u64,
        /// Index of the record.
        record: usize,
    },
    /// A thread could not be started, or panicked.
    #[error("the {name} thread {problem}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What happened.
        problem: &'static str,
    },
}

impl Error {
    /// Wraps librdkafka's error. Property values are dropped: they may be secrets.
    pub(super) fn from_kafka(action: &'static str, error: KafkaError) -> Error {
        match error {
            KafkaError::ClientConfig(_, _, key, _) => Error::Property { key, reason: "librdkafka does not know it or does not accept its value".to_owned() },
            KafkaError::MessageConsumptionFatal(code) => Error::Failed { action, code, fatal: true },
            KafkaError::Transaction(error) => Error::Failed { action, code: error.code(), fatal: error.is_fatal() },
            other => match other.rdkafka_error_code() {
                Some(code) => Error::Failed { action, code, fatal: code == Code::Fatal },
                None => Error::Refused { action, reason: other.to_string() },
            },
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Error::Property { .. }
            | Error::Refused { .. }
            | Error::Unreachable { .. }
            | Error::NoSuchTopic { .. }
            | Error::TooManyPartitions
            | Error::Revoked { .. }
            | Error::Fenced
            | Error::TimedOut { .. }
            | Error::Stopped { .. } => Fault::Environment,
            Error::Failed { code, .. } | Error::Answered { code, .. } | Error::Undelivered { code, .. } | Error::Unfed { code, .. } => fault_of(*code),
            Error::Gap { .. } | Error::Trimmed { .. } => Fault::Broker,
            Error::TopicTable { .. }
            | Error::NoCredit { .. }
            | Error::Downstream { .. }
            | Error::OutOfOrder { .. }
            | Error::BadRange { .. }
            | Error::Thread { .. } => Fault::Programmer,
        }
    }

    /// True when something was to be made that is there already.
    pub fn already_exists(&self) -> bool {
        matches!(self, Error::Answered { code: Code::TopicAlreadyExists, .. } | Error::Failed { code: Code::TopicAlreadyExists, .. })
    }

    /// What a person may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Unreachable { kind: Refusal::Down, .. } => Some("are the brokers running, and are `brokers` (or --brokers) and `security.protocol` right?"),
            Error::Unreachable { kind: Refusal::Login, .. } => Some("look at `security` in catchment.yaml: mechanism, username, password"),
            Error::Unreachable { kind: Refusal::Tls, .. } => Some("look at `security` in catchment.yaml: protocol, ca, certificate, key"),
            Error::Fenced => Some("give each process an `instance` of its own in its catchment.yaml"),
            Error::NoSuchTopic { .. } => Some("`catchment topics PIPELINE` tells what must exist; with --create it makes what the pipeline writes"),
            Error::Failed { code, .. } | Error::Answered { code, .. } => match code {
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed => Some("`catchment topics PIPELINE --offline` prints the permissions (ACLs) that are needed"),
                _ => None,
            },
            _ => None,
        }
    }

    /// True when a record was larger than its topic takes.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Error::Failed { code: Code::MessageSizeTooLarge, .. })
    }

    /// True when the same call may succeed a little later.
    pub fn retryable(&self) -> bool {
        match self {
            Error::Failed { code, fatal, .. } => !fatal && is_passing(*code),
            Error::Answered { code, .. } => is_passing(*code),
            Error::TimedOut { .. } | Error::Unreachable { kind: Refusal::Down, .. } => true,
            _ => false,
        }
    }
}

fn fault_of(code: Code) -> Fault {
    match code {
        Code::InvalidArgument | Code::State | Code::Conflict | Code::NotImplemented | Code::Fatal | Code::Unknown => Fault::Programmer,
        // librdkafka numbers its own errors below zero: nearly all are about reaching the broker.
        other if (other as i32) < 0 => Fault::Environment,
        _ => Fault::Broker,
    }
}

/// Conditions that librdkafka or the cluster normally heals by itself.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::QueueFull
            | Code::WaitingForCoordinator
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_property_does_not_show_its_value() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("security.protocol", "hunter2");
        let native = config.create_native_config();
        let Err(error) = native else { panic!("librdkafka accepted it") };
        let error = Error::from_kafka("creating a client", error);
        assert_eq!(error.fault(), Fault::Environment);
        let text = format!("{error} {error:?}");
        assert!(text.contains("security.protocol"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn codes_are_sorted_by_fault_and_by_retry() {
        let failed = |code| Error::Failed { action: "x", code, fatal: false };
        assert_eq!(failed(Code::BrokerTransportFailure).fault(), Fault::Environment);
        assert!(failed(Code::BrokerTransportFailure).retryable());
        assert_eq!(failed(Code::TopicAuthorizationFailed).fault(), Fault::Broker);
        assert!(!failed(Code::TopicAuthorizationFailed).retryable());
        assert_eq!(failed(Code::InvalidArgument).fault(), Fault::Programmer);
        assert!(!Error::Failed { action: "x", code: Code::BrokerTransportFailure, fatal: true }.retryable());
    }
}
