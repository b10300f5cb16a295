//! What tests put into topics and read back, with rdkafka alone: nothing of ours takes part,
//! so that our mistakes cannot hide here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{Broker, WAIT, unique, until};

/// One record as a test wants it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    /// Which partition; `None`: that of the key, as Java clients choose it.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds; 0: now.
    pub(crate) timestamp_ms: i64,
}

impl Input {
    pub(crate) fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Input {
        Input { key: key.as_ref().to_vec(), value: value.as_ref().to_vec(), ..Input::default() }
    }
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    /// `None`: a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp_ms: i64,
}

impl Row {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap_or_default()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

/// What a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Records of committed transactions, and records without one.
    Committed,
    /// All records, also aborted ones.
    All,
}

/// Counts deliveries that failed.
struct Delivered(std::sync::atomic::AtomicU64);

impl ClientContext for Delivered {}
impl ProducerContext for Delivered {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT))
}

/// A record of [`Input`], ready to send.
pub(crate) fn record<'a>(topic: &'a str, input: &'a Input) -> BaseRecord<'a, [u8], [u8]> {
    let mut record = BaseRecord::to(topic).payload(input.value.as_slice());
    record.key = (!input.key.is_empty()).then_some(input.key.as_slice());
    record.partition = input.partition;
    record.timestamp = (input.timestamp_ms > 0).then_some(input.timestamp_ms);
    record.headers = (!input.headers.is_empty()).then(|| {
        let all = OwnedHeaders::new_with_capacity(input.headers.len());
        input.headers.iter().fold(all, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
    });
    record
}

impl Broker {
    /// A client's configuration: where the broker is, and nothing else.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        // Faults are on purpose: librdkafka's own account of them helps nobody.
        config.set("log_level", "2");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Makes a topic with a name that begins so, and waits until all its partitions have leaders.
    pub(crate) fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = unique(name);
        self.create(&name, partitions, configs);
        name
    }

    /// Makes a topic of exactly this name.
    pub(crate) fn create(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let admin = self.admin();
        wait_for(admin.create_topics([&topic], &options())).unwrap()[0].as_ref().unwrap();
        let reader: BaseConsumer = self.client().create().unwrap();
        until(&format!("topic {name} has leaders"), WAIT, || {
            let Ok(metadata) = reader.fetch_metadata(Some(name), WAIT) else { return false };
            let parts = metadata.topics()[0].partitions();
            parts.len() == partitions as usize && parts.iter().all(|part| part.error().is_none() && part.leader() >= 0)
        });
    }

    /// Deletes a topic.
    pub(crate) fn delete(&self, name: &str) {
        let admin = self.admin();
        wait_for(admin.delete_topics(&[name], &options())).unwrap()[0].as_ref().unwrap();
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub(crate) fn trim(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        let admin = self.admin();
        wait_for(admin.delete_records(&list, &options())).unwrap().elements()[0].error().unwrap();
    }

    /// Whether a topic of this name is there.
    pub(crate) fn exists(&self, name: &str) -> bool {
        let reader: BaseConsumer = self.client().create().unwrap();
        let metadata = reader.fetch_metadata(Some(name), WAIT).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == name && topic.error().is_none())
    }

    /// Sets the configs of a topic; those that are not named go back to their defaults.
    pub(crate) fn configure(&self, topic: &str, configs: &[(&str, &str)]) {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in configs {
            change = change.set(key, value);
        }
        let admin = self.admin();
        wait_for(admin.alter_configs(&[change], &options())).unwrap()[0].as_ref().unwrap();
    }

    /// Produces records as fast as the broker takes them, and returns when all are stored.
    pub(crate) fn produce(&self, topic: &str, inputs: impl IntoIterator<Item = Input>) -> u64 {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("batch.size", "1000000").set("partitioner", "murmur2_random");
        config.set("queue.buffering.max.messages", "200000").set("message.max.bytes", "100000000");
        let producer: BaseProducer<Delivered> = config.create_with_context(Delivered(0.into())).unwrap();
        let mut count = 0;
        for input in inputs {
            let mut next = record(topic, &input);
            while let Err((error, back)) = producer.send(next) {
                assert_eq!(error, KafkaError::MessageProduction(Code::QueueFull), "producing to {topic}");
                producer.poll(Duration::from_millis(5));
                next = back;
            }
            count += 1;
            if count % 1000 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(WAIT * 2).unwrap();
        let failed = producer.context().0.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(failed, 0, "records that {topic} did not take");
        count
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let reader: BaseConsumer = self.client().create().unwrap();
        let metadata = reader.fetch_metadata(Some(topic), WAIT).unwrap();
        metadata.topics()[0].partitions().len() as i32
    }

    /// As [`Broker::read`], when no transaction is open any more: that one was committed is known
    /// before all partitions show it, the more so while a leader is missing.
    pub(crate) fn read_settled(&self, topic: &str) -> Vec<Row> {
        let reader = |level: &str| -> BaseConsumer { self.client().set("isolation.level", level).create().unwrap() };
        let (stable, all) = (reader("read_committed"), reader("read_uncommitted"));
        let end = |reader: &BaseConsumer, partition| reader.fetch_watermarks(topic, partition, WAIT).ok().map(|(_, end)| end);
        for partition in 0..self.partitions(topic) {
            until(&format!("no transaction is open in {topic}, partition {partition}"), WAIT, || {
                end(&stable, partition).is_some_and(|stable| Some(stable) == end(&all, partition))
            });
        }
        self.read(topic)
    }

    /// All committed records of a topic, by partition and offset. An open transaction ends the
    /// read of its partition where it began.
    pub(crate) fn read(&self, topic: &str) -> Vec<Row> {
        self.read_as(topic, Isolation::Committed)
    }

    /// All records of a topic, by partition and offset.
    pub(crate) fn read_as(&self, topic: &str, isolation: Isolation) -> Vec<Row> {
        let mut rows = Vec::new();
        self.each(topic, isolation, &BTreeMap::new(), |row| rows.push(row));
        rows.sort_by_key(|row| (row.partition, row.offset));
        rows
    }

    /// Gives the records of a topic to `each`, from the offsets given (else from the oldest) to the
    /// end of what is stable now. Per partition in order.
    pub(crate) fn each(&self, topic: &str, isolation: Isolation, from: &BTreeMap<i32, i64>, mut each: impl FnMut(Row)) {
        let level = if isolation == Isolation::Committed { "read_committed" } else { "read_uncommitted" };
        let mut config = self.client();
        config.set("group.id", "read").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", level).set("auto.offset.reset", "error").set("check.crcs", "true");
        let reader: BaseConsumer = config.create().unwrap();
        let partitions = self.partitions(topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let start = from.get(&partition).map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
            list.add_partition_offset(topic, partition, start).unwrap();
        }
        reader.assign(&list).unwrap();
        let mut open: std::collections::BTreeSet<i32> = (0..partitions).collect();
        let mut heard = Instant::now();
        while !open.is_empty() {
            assert!(heard.elapsed() < WAIT, "nothing comes from {topic}, partitions {open:?}");
            match reader.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                // Brokers that restart are asked again by the client itself.
                Some(Err(KafkaError::MessageConsumption(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut))) => continue,
                Some(Err(error)) => panic!("reading {topic}: {error}"),
                Some(Ok(message)) if open.contains(&message.partition()) => each(row(&message)),
                Some(Ok(_)) => {}
            }
            heard = Instant::now();
        }
    }

    /// Oldest offset, and one past the newest record (or marker) of a partition.
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let mut config = self.client();
        let reader: BaseConsumer = config.set("isolation.level", "read_uncommitted").create().unwrap();
        reader.fetch_watermarks(topic, partition, WAIT).unwrap()
    }

    /// The committed offsets of a group for a topic, by partition; those of open transactions do
    /// not count yet.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut config = self.client();
        // Reading committed records only would wait for open transactions.
        let reader: BaseConsumer = config.set("group.id", group).set("isolation.level", "read_uncommitted").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let since = Instant::now();
        let list = loop {
            match reader.committed_offsets(list.clone(), WAIT) {
                Ok(list) => break list,
                Err(error) => assert!(since.elapsed() < WAIT, "committed offsets of {group}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let offset = |part: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match part.offset() {
            Offset::Offset(offset) => Some((part.partition(), offset)),
            _ => None,
        };
        list.elements().iter().filter_map(offset).collect()
    }

    /// Offsets between a group's position and the end of a topic. Markers of transactions at the
    /// very end, which no group ever passes, do not count.
    pub(crate) fn lag(&self, group: &str, topic: &str) -> u64 {
        let committed = self.committed(group, topic);
        let mut lag = 0;
        let mut near = BTreeMap::new();
        for partition in 0..self.partitions(topic) {
            let (low, high) = self.watermarks(topic, partition);
            let at = committed.get(&partition).copied().unwrap_or(low);
            near.insert(partition, at);
            lag += u64::try_from(high - at).unwrap_or(0);
        }
        // So few may be markers only: look.
        if lag > 0 && lag <= 1000 {
            lag = 0;
            self.each(topic, Isolation::Committed, &near, |_| lag += 1);
        }
        lag
    }

    /// Waits until a group has read these topics to the end.
    pub(crate) fn until_read(&self, group: &str, topics: &[&str], limit: Duration) {
        until(&format!("group {group} reads {topics:?} to the end"), limit, || {
            std::thread::sleep(Duration::from_millis(100));
            topics.iter().all(|topic| self.lag(group, topic) == 0)
        });
    }
}

fn row(message: &impl Message) -> Row {
    let headers = message.headers().map(|headers| {
        let own = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.unwrap_or_default().to_vec());
        headers.iter().map(own).collect()
    });
    Row {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}
