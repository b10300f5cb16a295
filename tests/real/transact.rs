//! The transactional producer on a real broker: what is committed, what is not, who is fenced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use catchment::kafka::{Delivery, Member, MemberEvent, OutputBatch, OutputTopic, Settings, Start, Transactor, TxnError};

use super::{Broker, Input, Isolation, Row, WAIT, require_kafka, unique, until};

const PARTITIONS: i32 = 3;
const TIMEOUT: Duration = Duration::from_secs(10);

fn start(kafka: &Broker, id: &str, topic: &str) -> Transactor {
    try_start(&Settings::transactional(kafka.bootstrap(), id, TIMEOUT), topic).unwrap()
}

fn try_start(settings: &Settings, topic: &str) -> Result<Transactor, TxnError> {
    Transactor::start(settings, Delivery::ExactlyOnce, vec![OutputTopic { name: topic.to_owned(), partitions: PARTITIONS }])
}

fn put(transactor: &mut Transactor, keys: std::ops::Range<u32>) -> Result<(), TxnError> {
    keys.into_iter().try_for_each(|n| transactor.produce(0, None, n.to_string().as_bytes(), format!("value {n}").as_bytes(), &[], 0))
}

/// librdkafka reads values where the batch wrote them. Buffers that come back are overwritten here at
/// once, as the next batch would: whoever gave them back too early would be seen in the topic.
#[test]
fn real_buffers_come_back_when_nobody_reads_them_any_more() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("held", PARTITIONS, &[("max.message.bytes", "2000000")]);
    let mut transactor = start(kafka, &unique("held"), &topic);
    let (mut spare, mut expected): (Vec<Vec<u8>>, Vec<u32>) = (Vec::new(), Vec::new());
    for n in 0..30_u32 {
        transactor.begin().unwrap();
        for part in 0..3 {
            let mut batch = OutputBatch { bytes: spare.pop().unwrap_or_default(), ..Default::default() };
            batch.clear();
            for of in 0..200 {
                let key = (n * 3 + part) * 200 + of;
                // Small ones are copied into requests, large ones (above 64 KiB) are sent from where they lie.
                let len = if of == 7 { 150_000 } else { 900 };
                assert!(batch.push(0, key.to_string().as_bytes(), format!("{key} ").repeat(len / 6).as_bytes(), 0));
            }
            transactor.produce_batch(&mut batch).unwrap();
            assert!(batch.bytes.is_empty(), "they are held");
            assert_eq!(transactor.bytes().count(), 0, "nothing comes back before the end");
        }
        if n % 3 == 2 {
            transactor.abort().unwrap();
        } else {
            transactor.commit().unwrap();
            expected.extend(n * 600..(n + 1) * 600);
        }
        spare.extend(transactor.bytes());
        assert_eq!(spare.len(), 3);
        spare.iter_mut().for_each(|bytes| bytes.fill(b'#'));
    }
    let rows = kafka.read(&topic);
    assert_eq!(keys(&rows), expected);
    for row in &rows {
        let key = String::from_utf8(row.key.clone()).unwrap();
        assert!(row.text().split_ascii_whitespace().all(|word| word == key), "a value of another record");
    }
}

/// One whole transaction.
fn transaction(transactor: &mut Transactor, keys: std::ops::Range<u32>) -> Result<(), TxnError> {
    transactor.begin()?;
    put(transactor, keys)?;
    transactor.commit()
}

fn keys(rows: &[Row]) -> Vec<u32> {
    let mut found: Vec<u32> = rows.iter().map(|row| String::from_utf8(row.key.clone()).unwrap().parse().unwrap()).collect();
    found.sort_unstable();
    found
}

fn range(keys: std::ops::Range<u32>) -> Vec<u32> {
    keys.collect()
}

/// A member that has got all partitions of a topic, and reads from where the group stands.
fn join(kafka: &Broker, group: &str, instance: &str, topic: &str) -> Member {
    let mut member = Member::join(&Settings::member(kafka.bootstrap(), group, instance), &[topic]).unwrap();
    let mut given = 0;
    until("the member gets its partitions", WAIT, || {
        let event = member.poll(Duration::from_millis(50), |event| if let MemberEvent::Assigned(parts) = event { Some(parts) } else { None });
        if let Some(parts) = event.flatten() {
            given += parts.len();
            let parts: Vec<(&str, i32)> = parts.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
            let at = member.committed(&parts, WAIT).unwrap();
            let starts: Vec<_> = parts.iter().zip(at).map(|((topic, partition), at)| (*topic, *partition, Start::Offset(at.unwrap_or(0)))).collect();
            member.assign(&starts).unwrap();
        }
        given == PARTITIONS as usize
    });
    member
}

fn offsets(topic: &str, next: i64) -> Vec<(&str, i32, i64)> {
    (0..PARTITIONS).map(|partition| (topic, partition, next)).collect()
}

#[test]
fn real_a_commit_shows_all_of_it_and_an_abort_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[]);
    let mut transactor = start(kafka, &unique("txn"), &topic);
    transactor.begin().unwrap();
    put(&mut transactor, 0..1000).unwrap();
    transactor.abort().unwrap();
    assert!(!transactor.is_open());
    assert_eq!(kafka.read(&topic), []);

    transactor.begin().unwrap();
    transactor.produce(0, Some(2), b"1000", b"value", &[("version", b"7"), ("fact", b"")], 1_700_000_000_123).unwrap();
    transactor.produce(0, None, b"1001", b"", &[], 0).unwrap();
    assert_eq!(kafka.read(&topic), [], "nothing is visible before the commit");
    transactor.commit().unwrap();
    let rows = kafka.read(&topic);
    assert_eq!(keys(&rows), [1000, 1001]);
    let row = rows.iter().find(|row| row.key == b"1000").unwrap();
    assert_eq!((row.partition, row.text(), row.timestamp_ms), (2, "value", 1_700_000_000_123));
    assert_eq!((row.header("version"), row.header("fact"), row.header("x")), (Some(&b"7"[..]), Some(&b""[..]), None));
    let other = rows.iter().find(|row| row.key == b"1001").unwrap();
    assert_eq!(other.partition, catchment::kafka::partition_of(b"1001", PARTITIONS));

    // A batch at once: topics and partitions mixed, the order within each kept.
    batch_of_many(kafka);

    // Many in a row, with aborted ones and empty ones between.
    for n in 0..100 {
        transactor.begin().unwrap();
        put(&mut transactor, 2000 + n * 10..2000 + (n + 1) * 10).unwrap();
        if n % 10 == 9 { transactor.abort() } else { transactor.commit() }.unwrap();
        transaction(&mut transactor, 0..0).unwrap();
    }
    let seen = keys(&kafka.read(&topic));
    let expected = [1000, 1001].into_iter().chain((0..1000).filter(|n| n / 10 % 10 != 9).map(|n| 2000 + n));
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

fn batch_of_many(kafka: &Broker) {
    let names = [kafka.topic("bulk", PARTITIONS, &[]), kafka.topic("bulk", 2, &[])];
    let topics = [PARTITIONS, 2].iter().zip(&names).map(|(partitions, name)| OutputTopic { name: name.clone(), partitions: *partitions }).collect();
    // Room for less than the batch, so that it is handed over in pieces.
    let few = BTreeMap::from([("queue.buffering.max.messages".to_owned(), "1000".to_owned())]);
    let settings = Settings::transactional(kafka.bootstrap(), &unique("bulk"), Duration::from_secs(10)).with_user(&few).unwrap();
    let mut transactor = Transactor::start(&settings, Delivery::ExactlyOnce, topics).unwrap();
    let mut batch = OutputBatch::default();
    let mut expected: BTreeMap<(usize, i32), Vec<String>> = BTreeMap::new();
    for n in 0..5_000u32 {
        let (topic, key) = ((n % 3 == 0) as usize, (n % 700).to_string());
        let value = if n == 17 { String::new() } else { n.to_string() };
        assert!(batch.push(topic as u16, key.as_bytes(), value.as_bytes(), 0));
        let mut partition = catchment::kafka::partition_of(key.as_bytes(), [PARTITIONS, 2][topic]);
        if n % 100 == 1 {
            partition = 1;
            batch.set_partition(partition);
        }
        expected.entry((topic, partition)).or_default().push(value);
    }
    transactor.begin().unwrap();
    transactor.produce_batch(&mut batch).unwrap();
    transactor.commit().unwrap();
    for (topic, name) in names.iter().enumerate() {
        let mut found: BTreeMap<(usize, i32), Vec<String>> = BTreeMap::new();
        for row in kafka.read(name) {
            assert!(row.value.is_some(), "an empty value is no tombstone");
            found.entry((topic, row.partition)).or_default().push(row.text().to_owned());
        }
        assert!(found.iter().all(|(place, values)| expected[place] == *values), "records are in their order");
        assert_eq!(found.len(), expected.keys().filter(|place| place.0 == topic).count());
    }
}

#[test]
fn real_a_zombie_of_the_same_id_commits_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[]);
    let id = unique("txn");
    let mut zombie = start(kafka, &id, &topic);
    transaction(&mut zombie, 0..10).unwrap();
    zombie.begin().unwrap();
    put(&mut zombie, 10..20).unwrap();
    until("the open transaction reaches the broker", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 20);
    let mut heir = start(kafka, &id, &topic);
    transaction(&mut heir, 20..30).unwrap();
    let since = Instant::now();
    let error = put(&mut zombie, 30..40).and_then(|()| zombie.commit()).unwrap_err();
    assert!(matches!(error, TxnError::Fatal(_)), "{error}");
    assert!(matches!(zombie.abort(), Err(TxnError::Fatal(_))));
    assert!(matches!(zombie.begin(), Err(TxnError::Fatal(_))), "a zombie stays one");
    assert!(since.elapsed() < Duration::from_secs(10), "it took {:?} to be told", since.elapsed());
    transaction(&mut heir, 40..50).unwrap();
    assert_eq!(keys(&kafka.read(&topic)), [range(0..10), range(20..30), range(40..50)].concat());
}

#[test]
fn real_positions_move_with_the_outputs_or_not_at_all() {
    let Some(kafka) = require_kafka() else { return };
    let (input, output) = (kafka.topic("in", PARTITIONS, &[]), kafka.topic("out", PARTITIONS, &[]));
    let group = unique("txn");
    kafka.produce(&input, (0..300).map(|n: i32| Input { partition: Some(n % PARTITIONS), ..Input::new("", "x") }));
    let member = join(kafka, &group, "a", &input);
    let mut transactor = start(kafka, &unique("txn"), &output);
    for (next, commit) in [(40, false), (50, true), (60, false)] {
        transactor.begin().unwrap();
        put(&mut transactor, next..next + 1).unwrap();
        transactor.send_offsets(&member.membership(), &offsets(&input, i64::from(next))).unwrap();
        if commit { transactor.commit() } else { transactor.abort() }.unwrap();
    }
    assert_eq!(kafka.committed(&group, &input), BTreeMap::from([(0, 50), (1, 50), (2, 50)]));
    assert_eq!(keys(&kafka.read(&output)), [50]);
    assert_eq!(kafka.lag(&group, &input), 150);
}

/// Two processes under one instance name, or one that slept while another took its place: the
/// producer alone would not notice, if the two have different transactional ids.
#[test]
fn real_a_member_that_was_replaced_moves_no_position() {
    let Some(kafka) = require_kafka() else { return };
    let (input, output) = (kafka.topic("in", PARTITIONS, &[]), kafka.topic("out", PARTITIONS, &[]));
    let group = unique("txn");
    let old = join(kafka, &group, "a", &input);
    let mut transactor = start(kafka, &unique("txn"), &output);
    transactor.begin().unwrap();
    put(&mut transactor, 0..10).unwrap();
    let new = join(kafka, &group, "a", &input);
    let error = transactor.send_offsets(&old.membership(), &offsets(&input, 7)).and_then(|()| transactor.commit()).unwrap_err();
    assert!(matches!(error, TxnError::Abort(_) | TxnError::Fatal(_)), "{error:?}");
    let _ = transactor.abort();
    assert_eq!(kafka.committed(&group, &input), BTreeMap::new());

    let mut transactor = start(kafka, &unique("txn"), &output);
    transactor.begin().unwrap();
    put(&mut transactor, 10..20).unwrap();
    transactor.send_offsets(&new.membership(), &offsets(&input, 9)).unwrap();
    transactor.commit().unwrap();
    assert_eq!(kafka.committed(&group, &input)[&0], 9);
    assert_eq!(keys(&kafka.read(&output)), range(10..20));
}

#[test]
fn real_without_transactions_positions_follow_the_acks() {
    let Some(kafka) = require_kafka() else { return };
    let (input, output) = (kafka.topic("in", PARTITIONS, &[]), kafka.topic("out", PARTITIONS, &[]));
    let group = unique("txn");
    let member = join(kafka, &group, "a", &input);
    let topics = vec![OutputTopic { name: output.clone(), partitions: PARTITIONS }];
    let mut transactor = Transactor::start(&Settings::producer(kafka.bootstrap()), Delivery::AtLeastOnce, topics).unwrap();
    for (next, commit) in [(10, false), (20, true)] {
        transactor.begin().unwrap();
        put(&mut transactor, next..next + 5).unwrap();
        transactor.send_offsets(&member.membership(), &offsets(&input, i64::from(next))).unwrap();
        if commit { transactor.commit() } else { transactor.abort() }.unwrap();
    }
    assert_eq!(kafka.committed(&group, &input)[&1], 20);
    let seen = keys(&kafka.read(&output));
    assert!(seen.ends_with(&range(20..25)), "{seen:?}");
}

#[test]
fn real_a_record_that_is_too_large_is_refused_and_the_producer_goes_on() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[("max.message.bytes", "20000")]);
    let mut transactor = start(kafka, &unique("txn"), &topic);
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let refused = |transactor: &mut Transactor, size: usize| {
        transactor.begin().unwrap();
        put(transactor, 0..10).unwrap();
        let large: Vec<u8> = noise.iter().cycle().take(size).copied().collect();
        let error = transactor.produce(0, None, b"11", &large, &[], 0).and_then(|()| transactor.commit()).unwrap_err();
        transactor.abort().unwrap();
        error
    };
    // Beyond the topic's limit, and beyond the client's own. A refused record leaves a gap in
    // librdkafka's numbers: at most one more abort closes it.
    for size in [100_000, 2_000_000] {
        let mut error = refused(&mut transactor, size);
        if matches!(error, TxnError::Abort(_)) {
            error = refused(&mut transactor, size);
        }
        assert!(matches!(error, TxnError::Refused(_)), "{size}: {error:?}");
    }
    if let Err(error) = transaction(&mut transactor, 20..30) {
        assert!(matches!(error, TxnError::Abort(_)), "{error:?}");
        transactor.abort().unwrap();
        transaction(&mut transactor, 20..30).unwrap();
    }
    assert_eq!(keys(&kafka.read(&topic)), range(20..30));
}

#[test]
fn real_rights_that_are_missing_are_refusals() {
    let Some(kafka) = Broker::secure() else { return };
    let (input, output) = (kafka.topic("in", PARTITIONS, &[]), kafka.topic("out", PARTITIONS, &[]));
    let user = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", kafka.fact("user")),
        ("sasl.password", kafka.fact("password")),
        ("ssl.ca.location", kafka.fact("ca")),
    ];
    let user: BTreeMap<String, String> = user.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let settings = |id: &str| Settings::transactional(kafka.fact("sasl_ssl"), id, TIMEOUT).with_user(&user).unwrap();
    let mut transactor = try_start(&settings("a"), &output).unwrap();
    transaction(&mut transactor, 0..10).unwrap();

    kafka.acl("revoke", &["--operation", "All", "--topic", "*"]);
    kafka.acl("grant", &["--operation", "Describe", "--topic", "*"]);
    until("writing is refused", WAIT, || {
        let done = transaction(&mut transactor, 10..20);
        if let Err(error) = &done {
            assert!(matches!(error, TxnError::Refused(_)), "{error:?}");
            // The broker knows of no transaction that it could take back, which breaks the client.
            if transactor.abort().is_err() {
                transactor = try_start(&settings("a"), &output).unwrap();
            }
        }
        done.is_err()
    });
    kafka.acl("grant", &["--operation", "All", "--topic", &output]);
    until("writing goes on", WAIT, || match transaction(&mut transactor, 20..30) {
        Ok(()) => true,
        Err(_) => transactor.abort().is_err(),
    });

    let member = join(&kafka, "group", "a", &input);
    kafka.acl("revoke", &["--operation", "All", "--group", "*"]);
    until("moving positions is refused", WAIT, || {
        transactor.begin().unwrap();
        let done = transactor.send_offsets(&member.membership(), &offsets(&input, 5)).and_then(|()| transactor.commit());
        if let Err(error) = &done {
            assert!(matches!(error, TxnError::Refused(_)), "{error:?}");
            // The broker knows of no transaction that it could take back, which breaks the client.
            if transactor.abort().is_err() {
                transactor = try_start(&settings("a"), &output).unwrap();
            }
        }
        done.is_err()
    });
    kafka.acl("revoke", &["--operation", "All", "--transactional-id", "*"]);
    until("the transactional id is refused", WAIT, || match try_start(&settings("b"), &output) {
        Ok(_) => false,
        Err(error) => {
            assert!(matches!(error, TxnError::Refused(_)), "{error:?}");
            true
        }
    });
}

/// The topic goes while a transaction is open; another of the same name comes.
#[test]
fn real_a_deleted_topic_is_a_refusal() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[]);
    let id = unique("txn");
    let mut transactor = start(kafka, &id, &topic);
    transaction(&mut transactor, 0..10).unwrap();
    kafka.delete(&topic);
    // The records of the first transaction wait for it until they time out; from then on it is known.
    let since = Instant::now();
    until("the topic is named as the cause", WAIT, || match transaction(&mut transactor, 10..20) {
        Err(TxnError::Refused(error)) => {
            println!("known after {:?}: {error}", since.elapsed());
            true
        }
        Err(error) => {
            println!("after {:?}: {error:?}", since.elapsed());
            if transactor.abort().is_err() {
                transactor = start(kafka, &id, &topic);
            }
            false
        }
        Ok(()) => false,
    });
    let _ = transactor.abort();
    kafka.create(&topic, PARTITIONS, &[]);
    let mut transactor = start(kafka, &id, &topic);
    until("the new topic is written", WAIT, || match transaction(&mut transactor, 20..30) {
        Ok(()) => true,
        Err(_) => transactor.abort().is_err(),
    });
    assert_eq!(keys(&kafka.read(&topic)), range(20..30));
}

#[test]
fn real_a_restart_of_the_broker_is_waited_for() {
    let Some(kafka) = Broker::private(1) else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[]);
    let mut transactor = start(&kafka, "txn", &topic);
    transaction(&mut transactor, 0..10).unwrap();
    for (round, killed) in [(1, false), (2, true)] {
        transactor.begin().unwrap();
        put(&mut transactor, round * 10..round * 10 + 5).unwrap();
        if killed {
            kafka.kill(1);
        }
        kafka.restart(1);
        // Committed, or taken back and written again; not both, not neither.
        match put(&mut transactor, round * 10 + 5..round * 10 + 10).and_then(|()| transactor.commit()) {
            Ok(()) => println!("round {round}: the transaction lived through it"),
            Err(error) => {
                println!("round {round}: {error:?}");
                assert!(matches!(error, TxnError::Abort(_) | TxnError::Fatal(_)), "{error:?}");
                if transactor.abort().is_err() {
                    transactor = start(&kafka, "txn", &topic);
                }
                transaction(&mut transactor, round * 10..round * 10 + 10).unwrap();
            }
        }
    }
    assert_eq!(keys(&kafka.read(&topic)), range(0..30));
}

/// The broker hangs longer than a transaction may take: it is taken back there, and the
/// producer must not believe that it was committed.
#[test]
fn real_a_broker_that_hangs_beyond_the_timeout_takes_the_transaction_back() {
    let Some(kafka) = Broker::private(1) else { return };
    let topic = kafka.topic("txn", PARTITIONS, &[]);
    let settings = Settings::transactional(kafka.bootstrap(), "txn", Duration::from_secs(3));
    let mut transactor = try_start(&settings, &topic).unwrap();
    transaction(&mut transactor, 0..10).unwrap();
    transactor.begin().unwrap();
    put(&mut transactor, 10..15).unwrap();
    until("the open transaction reaches the broker", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 15);
    kafka.pause(1);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(8));
            kafka.resume(1);
        });
        put(&mut transactor, 15..20).and_then(|()| transactor.commit())
    });
    let error = done.unwrap_err();
    println!("{error:?}");
    assert!(matches!(error, TxnError::Abort(_) | TxnError::Fatal(_)), "{error:?}");
    if transactor.abort().is_err() {
        transactor = try_start(&settings, &topic).unwrap();
    }
    transaction(&mut transactor, 20..30).unwrap();
    assert_eq!(keys(&kafka.read(&topic)), [range(0..10), range(20..30)].concat());
}
