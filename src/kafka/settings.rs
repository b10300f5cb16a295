//! Client properties as data: every one that we set, with the reason why.
//!
//! A user's `kafka:` section in `catchment.yaml` is laid over them, except over
//! those on which correctness rests. Values that may be secrets are never
//! printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::error::Error;

/// Upper bound of one record on the embedded broker, in bytes with framing (real
/// Kafka takes what the topic allows). The mock holds 5 MiB per partition, and it
/// loses a message set that does not fit there together with the one before it.
pub const EMBEDDED_MESSAGE_BYTES_MAX: usize = 2 << 20;

/// Prefetched but unread bytes per consumer, KiB: the largest share of memory
/// that librdkafka holds for us.
const QUEUED_KBYTES_MAX: &str = "65536";

/// Properties that a user may not change: name, the only value, and the reason.
const FIXED: &[(&str, &str, &str)] = &[
    ("enable.auto.commit", "false", "offsets are committed only after their results are stored"),
    ("enable.auto.offset.store", "false", "offsets are committed only after their results are stored"),
    ("enable.partition.eof", "true", "the end of a partition tells that a source is drained"),
    ("delivery.report.only.error", "", "the way in which batches wait for their records rests on it"),
    ("auto.offset.reset", "error", "the start is always explicit; a reset would skip records silently"),
    ("isolation.level", "read_committed", "what was aborted never happened"),
    ("partition.assignment.strategy", "cooperative-sticky", "partitions are handed over one by one, while the others go on"),
    ("acks", "all", "an offset may be committed only after all replicas stored the results"),
    ("request.required.acks", "all", "an offset may be committed only after all replicas stored the results"),
    ("enable.idempotence", "true", "records of one key must keep their order when a request is retried"),
    ("test.mock.num.brokers", "0", "the embedded broker is started by the program"),
];

#[derive(Clone)]
struct Setting {
    value: String,
    reason: &'static str,
}

/// The properties of one client.
#[derive(Clone)]
pub struct Settings {
    entries: BTreeMap<String, Setting>,
}

/// librdkafka's session where nothing is said, in milliseconds.
const SESSION_MS_DEFAULT: u64 = 45_000;

impl Settings {
    fn new(bootstrap: &str) -> Settings {
        let mut settings = Settings { entries: BTreeMap::new() };
        settings.set("bootstrap.servers", bootstrap, "the brokers");
        settings.set("client.id", "catchment", "names us in the broker's logs and quotas");
        settings.set("statistics.interval.ms", "0", "its JSON costs CPU, and our own counters tell more");
        settings.set("enable.metrics.push", "false", "nobody asked for our figures to be sent to the brokers");
        settings
    }

    /// A member of the consumer group `group`.
    pub fn consumer(bootstrap: &str, group: &str) -> Settings {
        let mut settings = Settings::new(bootstrap);
        settings.set("group.id", group, "the consumer group");
        settings.set("enable.auto.commit", "false", "offsets are committed only after their results are stored");
        settings.set("enable.auto.offset.store", "false", "offsets are committed only after their results are stored");
        settings.set("enable.partition.eof", "true", "the end of a partition tells that a source is drained");
        settings.set("isolation.level", "read_committed", "what was aborted never happened; and committed offsets are asked for when they are stable");
        settings.set("allow.auto.create.topics", "false", "a typo must not create a topic");
        settings.set("queued.max.messages.kbytes", QUEUED_KBYTES_MAX, "bounds prefetched memory: 64 MiB");
        settings.set(
            "queued.min.messages",
            "1000",
            "keep fetching ahead of the poll thread, of each partition; each message costs some hundred bytes beside its own",
        );
        settings.set("fetch.queue.backoff.ms", "10", "the default stalls a full prefetch queue for a second; less than this costs memory behind a lag");
        settings
    }

    /// The same on real Kafka, as the static member `instance`: after a restart it gets its
    /// partitions back at once, and nobody else's are touched.
    pub fn member(bootstrap: &str, group: &str, instance: &str) -> Settings {
        let mut settings = Settings::consumer(bootstrap, group);
        settings.set("auto.offset.reset", "error", "the start is always explicit; a reset would skip records silently");
        settings.set("group.instance.id", instance, "a static member: a restart within the session timeout is no rebalance");
        settings.set("partition.assignment.strategy", "cooperative-sticky", "partitions are handed over one by one, while the others go on");
        settings.set("session.timeout.ms", "10000", "how long the partitions of a dead member wait for it");
        settings.set("heartbeat.interval.ms", "2000", "a fifth of the session");
        settings.set("fetch.min.bytes", "262144", "for less than this the broker waits a little: an answer for each record is what brokers work most for");
        settings.set("fetch.wait.max.ms", "5", "how long it may wait for that: less than a transaction, which is what most events wait for anyway");
        settings.set("topic.metadata.refresh.interval.ms", "30000", "new partitions are noticed within half a minute");
        settings
    }

    /// How long a member of a group may give no sign of life before others get its partitions.
    pub fn session(&self) -> std::time::Duration {
        let millis = self.entries.get("session.timeout.ms").and_then(|setting| setting.value.parse().ok());
        std::time::Duration::from_millis(millis.unwrap_or(SESSION_MS_DEFAULT))
    }

    /// Bytes that may be fetched ahead.
    pub fn prefetch(mut self, bytes: u64) -> Settings {
        // librdkafka counts in KiB and knows no limit above 2 GiB.
        let kib = (bytes / 1024).clamp(1024, 2_097_151);
        self.set("queued.max.messages.kbytes", &kib.to_string(), "the share of `limits.memory` for what is fetched and not read yet");
        self
    }

    /// The producer of results.
    pub fn producer(bootstrap: &str) -> Settings {
        let mut settings = Settings::new(bootstrap);
        settings.set("acks", "all", "an offset may be committed only after all replicas stored the results");
        settings.set("enable.idempotence", "true", "records of one key keep their order when a request is retried");
        settings.set("linger.ms", "2", "a batch's records are sent at once; waiting longer only adds latency");
        settings.set("batch.size", "524288", "large message sets; an eighth of what a partition may hold unread");
        settings.set("queue.buffering.max.messages", "100000", "bounds the queue; a full queue is waited for");
        settings.set("queue.buffering.max.kbytes", "65536", "bounds the queue's memory: 64 MiB");
        settings
    }

    /// The transactional producer `id` of results on real Kafka, whose transactions live `timeout` at most.
    pub fn transactional(bootstrap: &str, id: &str, timeout: Duration) -> Settings {
        let mut settings = Settings::producer(bootstrap);
        settings.set("transactional.id", id, "a second producer of this id fences the first");
        let millis = timeout.as_millis().to_string();
        settings.set("transaction.timeout.ms", &millis, "how long the partitions of a dead member stay locked");
        settings.set("message.timeout.ms", &millis, "a record that is not stored within its transaction's life never will be");
        let half = (timeout.as_millis() / 2).to_string();
        settings.set("topic.metadata.propagation.max.ms", &half, "a topic that was deleted is named as the cause soon after the first timeout");
        settings.set("linger.ms", "5", "fewer requests; the commit sends at once what still waits");
        settings.set("retry.backoff.ms", "10", "the first transaction after another is refused for some milliseconds");
        settings.only_failures()
    }

    /// A producer that flushes instead of counting acks.
    pub fn only_failures(mut self) -> Settings {
        self.set("delivery.report.only.error", "true", "the flush waits for all of them; only failures tell something");
        self
    }

    /// Largest record, which is also the largest message set: what the topics take.
    pub fn message_bytes(mut self, bytes: usize) -> Settings {
        // librdkafka knows no limit below 1,000 bytes.
        self.set("message.max.bytes", &bytes.max(1000).to_string(), "the smallest `max.message.bytes` of the topics that are written");
        self
    }

    /// The producer of generated events on the embedded broker: throughput before latency.
    pub fn feeder(bootstrap: &str) -> Settings {
        let mut settings = Settings::producer(bootstrap).embedded();
        settings.set("linger.ms", "5", "the mock serves one message set per partition and fetch: make them large");
        settings.set("delivery.report.only.error", "true", "successes are counted by the queue running empty");
        settings
    }

    /// A client that only asks about the cluster and makes topics.
    pub fn admin(bootstrap: &str) -> Settings {
        let mut settings = Settings::new(bootstrap);
        settings.set("allow.auto.create.topics", "false", "asking about a topic must not create it");
        settings.set("socket.timeout.ms", "15000", "a client that is let go waits so long for a broker that hangs");
        settings
    }

    /// The producer of `load` on a real cluster: an open schedule, every record's offset reported.
    pub fn load(bootstrap: &str) -> Settings {
        let mut settings = Settings::producer(bootstrap);
        settings.set("client.id", "catchment-load", "tells the load apart from the pipeline in the broker's logs and quotas");
        settings.set("linger.ms", "5", "as Kafka's own clients have it; it counts as latency");
        settings.set("queue.buffering.max.messages", "200000", "bounds the queue; what is due meanwhile keeps its intended time");
        settings
    }

    /// A reader of whole topics: assigned by hand, never committing.
    pub fn reader(bootstrap: &str) -> Settings {
        let group = format!("catchment-reader-{}", std::process::id());
        let mut settings = Settings::consumer(bootstrap, &group);
        settings.set("auto.offset.reset", "error", "reading from the start must not skip anything silently");
        settings.set("socket.timeout.ms", "15000", "how long after a broker that hung is asked anew");
        settings
    }

    /// Adapts a consumer or producer to the embedded broker.
    pub fn embedded(mut self) -> Settings {
        if self.entries.contains_key("group.id") {
            self.set("auto.offset.reset", "error", "a dropped record must be loud: the start is explicit, so no reset is ever due");
            self.set("group.protocol", "consumer", "joins in milliseconds; with the classic one the mock keeps a member that left for 45 s");
            self.set("fetch.wait.max.ms", "5", "the mock answers an empty fetch only after this time");
            self.set("fetch.error.backoff.ms", "20", "errors on loopback pass at once or not at all");
        } else {
            self.set("enable.idempotence", "false", "in this process nothing fails, so nothing is retried; and a producer id costs the first 500 ms");
            self.set("compression.type", "none", "credit is counted in plain bytes, and loopback is faster than zstd");
        }
        self.set("message.max.bytes", &EMBEDDED_MESSAGE_BYTES_MAX.to_string(), "what the mock can hold beside other records");
        self.set("reconnect.backoff.ms", "10", "the broker is in this process");
        self
    }

    /// Lays the user's properties over ours. Not for the embedded broker: there
    /// is nothing to tune, and brokers or security of the user's do not apply.
    ///
    /// # Errors
    /// [`Error::Property`] for one on which correctness rests, unless it says the same.
    pub fn with_user(mut self, user: &BTreeMap<String, String>) -> Result<Settings, Error> {
        for (key, value) in user {
            match FIXED.iter().find(|(fixed, ..)| fixed == key) {
                Some((_, only, reason)) if only != value => {
                    return Err(Error::Property { key: key.clone(), reason: format!("it is fixed, because {reason}") });
                }
                _ => {}
            }
            self.entries.insert(key.clone(), Setting { value: value.clone(), reason: "set in catchment.yaml" });
        }
        Ok(self)
    }

    /// Name, printable value, and reason of every property.
    pub fn explain(&self) -> impl Iterator<Item = (&str, &str, &'static str)> {
        self.entries.iter().map(|(key, setting)| {
            let value = if is_secret(key) { "***" } else { setting.value.as_str() };
            (key.as_str(), value, setting.reason)
        })
    }

    fn set(&mut self, key: &str, value: &str, reason: &'static str) {
        self.entries.insert(key.to_owned(), Setting { value: value.to_owned(), reason });
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, setting) in &self.entries {
            config.set(key, &setting.value);
        }
        // Otherwise the level would follow the `log` crate, which we do not use.
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.explain().map(|(key, value, _)| (key, value))).finish()
    }
}

/// True for a property whose value must not be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "secret", "passphrase", "private.key", "key.pem", "token", "oauthbearer.config", "jaas"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn user(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn librdkafka_accepts_all_of_them() {
        for settings in [
            Settings::consumer("localhost:1", "g"),
            Settings::consumer("localhost:1", "g").embedded(),
            Settings::producer("localhost:1"),
            Settings::producer("localhost:1").embedded(),
            Settings::feeder("localhost:1"),
            Settings::reader("localhost:1").embedded(),
            Settings::admin("localhost:1"),
        ] {
            settings.client_config().create_native_config().unwrap();
        }
    }

    #[test]
    fn the_user_may_tune_but_not_break() {
        let settings = Settings::consumer("localhost:1", "g");
        let tuned = settings.clone().with_user(&user("fetch.min.bytes", "100")).unwrap();
        assert!(tuned.explain().any(|(key, value, _)| key == "fetch.min.bytes" && value == "100"));
        let error = settings.clone().with_user(&user("enable.auto.commit", "true")).unwrap_err();
        assert!(error.to_string().contains("enable.auto.commit"), "{error}");
        assert!(settings.with_user(&user("enable.auto.commit", "false")).is_ok());
    }

    #[test]
    fn secrets_are_masked() {
        let mut kafka = user("sasl.password", "hunter2");
        kafka.insert("ssl.key.pem".into(), "-----BEGIN".into());
        let settings = Settings::consumer("localhost:1", "g").with_user(&kafka).unwrap();
        let text = format!("{settings:?}");
        assert!(text.contains("sasl.password") && !text.contains("hunter2") && !text.contains("BEGIN"), "{text}");
    }
}
