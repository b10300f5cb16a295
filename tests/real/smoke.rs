//! Is the broker real, and does the harness do what it says? Written with rdkafka alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::records::record;
use super::{Broker, Home, Input, Isolation, WAIT, require_kafka, unique, until};

fn transactional(kafka: &Broker, id: &str) -> BaseProducer {
    let producer: BaseProducer = kafka.client().set("transactional.id", id).set("transaction.timeout.ms", "10000").create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, values: std::ops::Range<u32>) {
    for n in values {
        let input = Input { partition: Some((n % 2) as i32), ..Input::new(n.to_string(), format!("value {n}")) };
        producer.send(record(topic, &input)).map_err(|(error, _)| error).unwrap();
    }
}

fn numbers(rows: &[super::Row]) -> Vec<u32> {
    let mut found: Vec<u32> = rows.iter().map(|row| std::str::from_utf8(&row.key).unwrap().parse().unwrap()).collect();
    found.sort_unstable();
    found
}

/// What no broker but a real one does, of those that we tried.
#[test]
fn real_aborted_records_are_invisible_and_committed_ones_visible() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("smoke", 2, &[]);
    let producer = transactional(kafka, &unique("smoke"));
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0..100);
    producer.flush(WAIT).unwrap();
    assert_eq!(kafka.read(&topic), [], "nothing is visible before the commit");
    producer.abort_transaction(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 100..110);
    producer.commit_transaction(WAIT).unwrap();

    let rows = kafka.read(&topic);
    assert_eq!(numbers(&rows), (100..110).collect::<Vec<_>>());
    assert_eq!(rows[0].text(), "value 100");
    // 50 aborted records and their marker stand before, one marker behind.
    assert_eq!((rows[0].partition, rows[0].offset), (0, 51));
    assert_eq!(kafka.watermarks(&topic, 0), (0, 57));
    assert_eq!(numbers(&kafka.read_as(&topic, Isolation::All)), (0..110).collect::<Vec<_>>());
}

#[test]
fn real_a_second_producer_of_the_same_id_fences_the_first() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("smoke", 2, &[]);
    let id = unique("smoke");
    let zombie = transactional(kafka, &id);
    zombie.begin_transaction().unwrap();
    send(&zombie, &topic, 0..10);
    zombie.flush(WAIT).unwrap();
    let heir = transactional(kafka, &id);
    heir.begin_transaction().unwrap();
    send(&heir, &topic, 10..20);
    heir.commit_transaction(WAIT).unwrap();
    let Err(KafkaError::Transaction(error)) = zombie.commit_transaction(WAIT) else { panic!("a zombie committed") };
    assert!(error.is_fatal(), "{error}");
    assert_eq!(numbers(&kafka.read(&topic)), (10..20).collect::<Vec<_>>());
}

#[test]
fn real_offsets_move_with_their_transaction_or_not_at_all() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("smoke", 2, &[]);
    let group = unique("smoke");
    kafka.produce(&topic, (0..20).map(|n: u32| Input { partition: Some((n % 2) as i32), ..Input::new(n.to_string(), "") }));
    assert_eq!(kafka.lag(&group, &topic), 20);

    let mut config = kafka.client();
    config.set("group.id", &group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&topic]).unwrap();
    let mut seen = 0;
    until("the member reads everything", WAIT, || {
        while let Some(message) = consumer.poll(Duration::from_millis(50)) {
            seen += usize::from(message.unwrap().payload().is_some());
        }
        seen == 20
    });
    let producer = transactional(kafka, &unique("smoke"));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(10)).unwrap();
    list.add_partition_offset(&topic, 1, Offset::Offset(10)).unwrap();
    for commit in [false, true] {
        producer.begin_transaction().unwrap();
        producer.send_offsets_to_transaction(&list, &consumer.group_metadata().unwrap(), WAIT).unwrap();
        assert_eq!(kafka.committed(&group, &topic), BTreeMap::new(), "an open transaction moved offsets");
        if commit {
            producer.commit_transaction(WAIT).unwrap();
        } else {
            producer.abort_transaction(WAIT).unwrap();
        }
    }
    kafka.until_read(&group, &[&topic], WAIT);
    assert_eq!(kafka.committed(&group, &topic), BTreeMap::from([(0, 10), (1, 10)]));
    drop(consumer);
}

#[test]
fn real_two_hundred_thousand_records_come_back_as_they_went() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("smoke", 6, &[("retention.ms", "-1")]);
    const COUNT: u32 = 200_000;
    let input = |n: u32| Input {
        headers: vec![("n".to_owned(), n.to_le_bytes().to_vec())],
        timestamp_ms: 1_700_000_000_000 + i64::from(n),
        ..Input::new(format!("key {}", n % 1000), vec![b'.'; 500])
    };
    // Records of 2023, which any retention would delete at once.
    let since = Instant::now();
    assert_eq!(kafka.produce(&topic, (0..COUNT).map(input)), u64::from(COUNT));
    let produced = since.elapsed();
    let mut next = BTreeMap::new();
    let mut count = 0;
    kafka.each(&topic, Isolation::Committed, &BTreeMap::new(), |row| {
        let n = u32::from_le_bytes(row.header("n").unwrap().try_into().unwrap());
        assert_eq!((row.key.as_slice(), row.timestamp_ms), (format!("key {}", n % 1000).as_bytes(), 1_700_000_000_000 + i64::from(n)));
        assert_eq!(row.partition, catchment::kafka::partition_of(&row.key, 6), "partitions are those of Java's murmur2");
        let due = next.entry(row.partition).or_insert(0);
        assert_eq!(row.offset, *due, "no gaps without transactions");
        *due += 1;
        count += 1;
    });
    assert_eq!(count, COUNT);
    println!("{COUNT} records of 500 bytes: produced in {produced:?}, produced and read in {:?}", since.elapsed());
}

#[test]
fn real_a_node_that_hangs_or_dies_comes_back_with_its_records() {
    let Some(kafka) = Broker::private(1) else { return };
    let topic = kafka.topic("fault", 2, &[]);
    let fill = |from: u32| kafka.produce(&topic, (from..from + 1000).map(|n| Input::new(n.to_string(), "x")));
    fill(0);
    kafka.pause(1);
    let since = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| fill(1000));
        std::thread::sleep(Duration::from_secs(2));
        kafka.resume(1);
    });
    assert!(since.elapsed() >= Duration::from_secs(2));
    kafka.kill(1);
    std::thread::scope(|scope| {
        scope.spawn(|| fill(2000));
        kafka.restart(1);
    });
    kafka.restart(1);
    assert_eq!(numbers(&kafka.read(&topic)), (0..3000).collect::<Vec<_>>());
}

#[test]
fn real_three_nodes_go_on_without_one() {
    let Some(kafka) = Broker::private(3) else { return };
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    let topic = kafka.topic("fault", 6, &[]);
    let fill = |from: u32| kafka.produce(&topic, (from..from + 1000).map(|n| Input::new(n.to_string(), "x")));
    fill(0);
    let producer = transactional(&kafka, "fault");
    kafka.kill(2);
    fill(1000);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 2000..2010);
    producer.commit_transaction(WAIT).unwrap();
    assert_eq!(numbers(&kafka.read(&topic)), (0..2010).collect::<Vec<_>>());
    kafka.restart(2);
    until("all replicas are in sync again", WAIT, || {
        let described = kafka.tool(&["TopicCommand", "--describe", "--topic", &topic, "--under-replicated-partitions"]);
        !described.contains("Partition:")
    });
}

#[test]
fn real_rights_are_checked_and_can_be_revoked() {
    let Some(kafka) = Broker::secure() else { return };
    let topic = kafka.topic("secret", 1, &[]);
    let connect = |protocol: &str, address: &str| {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", kafka.fact(address)).set("security.protocol", protocol).set("log_level", "2");
        config.set("ssl.ca.location", kafka.fact("ca")).set("message.timeout.ms", "5000");
        if address.starts_with("sasl") {
            config.set("sasl.mechanism", "SCRAM-SHA-512").set("sasl.username", kafka.fact("user")).set("sasl.password", kafka.fact("password"));
        } else {
            config.set("ssl.certificate.location", kafka.fact("cert")).set("ssl.key.location", kafka.fact("key"));
        }
        config
    };
    let send = |config: &rdkafka::ClientConfig| {
        let (told, answers) = std::sync::mpsc::channel();
        let producer: BaseProducer<Told> = config.create_with_context(Told(told)).unwrap();
        producer.send(record(&topic, &Input::new("0", "x"))).map_err(|(error, _)| error).unwrap();
        let _ = producer.flush(WAIT);
        answers.try_recv().unwrap()
    };
    let ways = [("sasl_ssl", "sasl_ssl"), ("sasl_plaintext", "sasl"), ("ssl", "ssl")];
    for (protocol, address) in ways {
        assert_eq!(send(&connect(protocol, address)), None, "{protocol}");
    }
    let wrong = connect("sasl_ssl", "sasl_ssl").set("sasl.password", "wrong").clone();
    assert!(send(&wrong).is_some(), "a wrong password was let in");
    kafka.acl("revoke", &["--operation", "All", "--topic", "*"]);
    until("the right is gone", WAIT, || ways.iter().all(|(protocol, address)| send(&connect(protocol, address)) == Some(Code::TopicAuthorizationFailed)));
    kafka.acl("grant", &["--operation", "All", "--topic", &topic]);
    until("the right is back", WAIT, || send(&connect("ssl", "ssl")).is_none());
    assert!(kafka.read(&topic).len() >= 4, "the plain listener needs no right");
}

/// Passes on what became of each record.
struct Told(std::sync::mpsc::Sender<Option<Code>>);
impl rdkafka::ClientContext for Told {}
impl rdkafka::producer::ProducerContext for Told {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
        let code = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        let _ = self.0.send(code);
    }
}

/// Needs no broker: processes, their signals and their words.
#[test]
fn real_processes_are_started_signalled_and_heard() {
    let Some(kafka) = require_kafka() else { return };
    let home = Home::new(kafka, "");
    assert!(home.path().join("catchment.yaml").is_file());
    assert!(home.run(&["completions", "bash"]).status.success());
    let mut failing = home.spawn("failing", &["nonsense"], &[]);
    assert!(!failing.wait(WAIT).success());
    failing.until_said("nonsense", WAIT);
    assert_eq!(failing.stdout(), "");
    let pipeline = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/soc");
    let mut long = home.spawn("long", &["demo", "--pipeline", pipeline, "--events", "1000000000"], &[]);
    assert!(long.status().is_none());
    long.pause();
    long.resume();
    long.kill();
    assert!(long.ended_by(libc::SIGKILL), "{:?}: {}", long.status(), long.stderr());
}
