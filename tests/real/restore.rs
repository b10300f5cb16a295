//! Reading a partition to its high watermark, as the index is restored: over aborted records,
//! markers at the very end, transactions that are still open, and a beginning that is gone.

use std::time::{Duration, Instant};

use catchment::kafka::{Delivery, Error, OutputTopic, ReadToEnd, Settings, Transactor, read_to_end, watermarks};

use super::exactly_once::{DRAIN, Scene};
use super::process::Catchment;
use super::{Broker, Input, Isolation, WAIT, require_kafka, unique, until};

const EMPTY: [u32; 0] = [];

fn start(kafka: &Broker, topic: &str) -> Transactor {
    let topics = vec![OutputTopic { name: topic.to_owned(), partitions: 1 }];
    Transactor::start(&Settings::transactional(kafka.bootstrap(), &unique("restore"), Duration::from_secs(10)), Delivery::ExactlyOnce, topics).unwrap()
}

fn put(transactor: &mut Transactor, keys: std::ops::Range<u32>) {
    transactor.begin().unwrap();
    for n in keys {
        transactor.produce(0, Some(0), n.to_string().as_bytes(), b"x", &[], 0).unwrap();
    }
}

fn restore(kafka: &Broker, topic: &str, from: Option<i64>) -> Result<(ReadToEnd, Vec<u32>), Error> {
    let mut seen = Vec::new();
    let done = read_to_end(&Settings::reader(kafka.bootstrap()), topic, 0, from, |record| {
        seen.push(std::str::from_utf8(record.key().unwrap()).unwrap().parse().unwrap());
        Ok::<(), Error>(())
    })?;
    assert_eq!(done.records, seen.len() as u64);
    Ok((done, seen))
}

fn ends(kafka: &Broker, topic: &str) -> (i64, i64) {
    watermarks(&Settings::reader(kafka.bootstrap()), topic, 0).unwrap()
}

#[test]
fn real_restore_passes_what_was_aborted_and_markers_at_the_end() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("restore", 1, &[]);
    assert_eq!(restore(kafka, &topic, None).unwrap(), (ReadToEnd { from: 0, next: 0, records: 0 }, vec![]), "an empty partition");
    let mut transactor = start(kafka, &topic);
    // Nothing but what was aborted: 5 records and a marker.
    put(&mut transactor, 0..5);
    until("the records are stored", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 5);
    transactor.abort().unwrap();
    until("the marker is stored", WAIT, || ends(kafka, &topic).1 == 6);
    assert_eq!(restore(kafka, &topic, None).unwrap().1, EMPTY);
    put(&mut transactor, 10..20);
    transactor.commit().unwrap();
    put(&mut transactor, 20..25);
    until("the records are stored", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 20);
    transactor.abort().unwrap();
    until("the marker is stored", WAIT, || ends(kafka, &topic).1 == 23);

    let since = Instant::now();
    let (done, seen) = restore(kafka, &topic, None).unwrap();
    assert_eq!(seen, (10..20).collect::<Vec<_>>());
    assert_eq!((done.from, done.next), (0, 23), "the next read begins behind the markers");
    // From the middle of a committed transaction, from its marker, from the end.
    assert_eq!(restore(kafka, &topic, Some(14)).unwrap().1, (18..20).collect::<Vec<_>>());
    assert_eq!(restore(kafka, &topic, Some(16)).unwrap().1, EMPTY);
    assert_eq!(restore(kafka, &topic, Some(23)).unwrap(), (ReadToEnd { from: 23, next: 23, records: 0 }, vec![]));
    assert!(matches!(restore(kafka, &topic, Some(24)), Err(Error::Trimmed { .. })), "what was read before is not there: another topic of this name");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[test]
fn real_restore_waits_for_a_transaction_that_is_open() {
    let Some(kafka) = require_kafka() else { return };
    for commit in [true, false] {
        let topic = kafka.topic("restore", 1, &[]);
        let (mut first, mut second) = (start(kafka, &topic), start(kafka, &topic));
        put(&mut first, 0..5);
        until("the records are stored", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 5);
        // Committed, but behind records of which nobody knows yet.
        put(&mut second, 5..10);
        second.commit().unwrap();
        let since = Instant::now();
        let (done, seen) = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1500));
                if commit { first.commit() } else { first.abort() }.unwrap();
            });
            restore(kafka, &topic, None).unwrap()
        });
        assert!(since.elapsed() >= Duration::from_millis(1500), "it did not wait");
        assert_eq!(seen, (if commit { 0 } else { 5 }..10).collect::<Vec<_>>());
        assert!(done.next >= 11, "{done:?}");
    }
}

/// A process was killed in the middle: the broker ends its transaction after the timeout.
#[test]
fn real_restore_waits_for_a_transaction_of_the_dead() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("restore", 1, &[]);
    let mut living = start(kafka, &topic);
    let mut dead = start(kafka, &topic);
    put(&mut dead, 0..5);
    until("the records are stored", WAIT, || kafka.read_as(&topic, Isolation::All).len() == 5);
    // Dropped without an abort, as far as the broker can tell.
    drop(dead);
    put(&mut living, 5..10);
    living.commit().unwrap();
    let since = Instant::now();
    let (_, seen) = restore(kafka, &topic, None).unwrap();
    assert_eq!(seen, (5..10).collect::<Vec<_>>());
    println!("restored {:?} after the producer died", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(30));
}

#[test]
fn real_restore_takes_what_retention_left() {
    let Some(kafka) = require_kafka() else { return };
    let topic = kafka.topic("restore", 1, &[]);
    let mut transactor = start(kafka, &topic);
    for n in 0..4 {
        put(&mut transactor, n * 5..n * 5 + 5);
        transactor.commit().unwrap();
    }
    kafka.trim(&topic, 0, 7);
    assert_eq!(ends(kafka, &topic), (7, 24));
    for from in [None, Some(0), Some(7)] {
        let (done, seen) = restore(kafka, &topic, from).unwrap();
        assert_eq!((done, seen), (ReadToEnd { from: 7, next: 24, records: 14 }, (6..20).collect()), "{from:?}");
    }
}

/// A day of memory, and a minute between events: most of the index topic is history.
#[test]
fn real_restore_of_an_index_enters_only_what_can_still_match() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "horizon");
    let event = |n: u64| {
        let key = format!("key {n}");
        Input { timestamp_ms: 1_790_000_000_000 + n as i64 * 60_000, ..Input::new(&key, format!(r#"{{"k":"{key}","n":{n},"noise":false}}"#)) }
    };
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    for round in 0..6 {
        kafka.produce(&scene.source, (round * 2_000..(round + 1) * 2_000).map(event));
        scene.drained();
    }
    member.stop(DRAIN);
    let before = member.stderr().len();
    let mut member = scene.start(&home, None);
    // A repeat of what is remembered.
    kafka.produce(&scene.source, [event(11_999)]);
    scene.drained();
    let restored = |member: &Catchment| member.stderr()[before..].matches("index restored").count();
    until("all six partitions are restored", DRAIN, || restored(&member) == 6);
    member.stop(DRAIN);
    scene.check();
    let said = member.stderr()[before..].to_owned();
    let entries =
        said.lines().filter(|line| line.contains("index restored")).filter_map(|line| line.split_once("entries=")?.1.split(' ').next()?.parse::<u64>().ok());
    let entered: u64 = entries.sum();
    println!("{entered} of 12000 incidents entered");
    assert!((1_440..=6_000).contains(&entered), "{entered} of 12000 incidents entered");
}
