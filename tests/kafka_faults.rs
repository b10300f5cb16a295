//! The Kafka room when something is wrong: errors of the broker, dropped
//! records, odd sizes, missing topics, long stalls.

#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use catchment::ingest::batch::RawBatch;
use catchment::kafka::{Credit, Cut, EMBEDDED_MESSAGE_BYTES_MAX, Error, Failure, Feeder, OutputBatch, Request, Settings, TopicReader, discover};
use crossbeam_channel::bounded;

use crate::kafka_embedded::{CUT, OUTPUT, OUTPUT_PARTITIONS, SOURCES, Stage, WAIT, number};

#[test]
fn what_the_broker_drops_is_loud() {
    let stage = Stage::new();
    // A gate that lets everything through: 60 MB into six partitions of 5 MiB.
    let topics: Vec<_> = stage.credit.topics().cloned().collect();
    let open = Credit::with_limit(&topics, u64::MAX);
    let wide = Stage { credit: open, ..stage };
    wide.feed(60_000, 1_000, 64).join().unwrap();
    let (batches_in, batches_out) = bounded::<RawBatch>(64);
    let (_arenas_in, arenas_out) = bounded(1);
    let consumer = wide.consumer(CUT, batches_in, arenas_out);
    for batch in batches_out {
        drop(batch);
    }
    let error = consumer.join().unwrap_err();
    assert!(matches!(error, Error::Trimmed { .. } | Error::Gap { .. }), "{error}");
}

#[test]
fn odd_sizes_pass_and_a_record_beyond_the_limit_is_refused() {
    const LARGEST: usize = EMBEDDED_MESSAGE_BYTES_MAX - 1024;
    let stage = Stage::new();
    let settings = Settings::feeder(stage.broker.bootstrap());
    let mut feeder = Feeder::start(&settings, &stage.credit, Arc::clone(&stage.stop)).unwrap();
    let topic = feeder.topic(SOURCES[0]).unwrap();
    let (batches_in, batches_out) = bounded::<RawBatch>(64);
    let (_arenas_in, arenas_out) = bounded(1);
    let cut = Cut { rows: 1, ..CUT };
    let consumer = stage.consumer(cut, batches_in, arenas_out);
    // Two of the largest are more than the gate lets through at once: the second waits for its reader.
    let sizes = [0, 1, LARGEST, LARGEST, LARGEST, 2];
    for size in sizes {
        feeder.send(topic, Some(b"key"), &vec![7; size], 1_000).unwrap();
    }
    for size in sizes {
        let batch = batches_out.recv_timeout(WAIT).unwrap();
        let message = batch.messages[0];
        assert_eq!((message.len as usize, message.timestamp_us), (size, 1_000_000));
        assert_eq!(&batch.arena[message.key.0 as usize..][..message.key.1 as usize], b"key");
    }
    feeder.send(topic, None, b"without a key", 0).unwrap();
    assert_eq!(batches_out.recv_timeout(WAIT).unwrap().messages[0].key.1, 0);
    let error = feeder.send(topic, None, &vec![7; 2 * LARGEST], 0).unwrap_err();
    assert!(error.to_string().contains("feeding an event"), "{error}");
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
}

#[test]
fn passing_errors_of_the_broker_lose_and_reorder_nothing() {
    const COUNT: u64 = 20_000;
    let mut stage = Stage::new();
    // Retried requests keep their order only with idempotence, which the embedded mode leaves out;
    // and since the mock does not check sequence numbers, only with one request at a time.
    for (key, value) in [("enable.idempotence", "true"), ("max.in.flight", "1")] {
        stage.properties.insert(key.to_owned(), value.to_owned());
    }
    let (batches_in, batches_out) = bounded(8);
    let (arenas_in, arenas_out) = bounded(16);
    let (outputs_in, outputs_out) = bounded(8);
    let consumer = stage.consumer(Cut { rows: 256, ..CUT }, batches_in, arenas_out);
    let committer = consumer.committer();
    let transform = Stage::transform(batches_out, outputs_in, arenas_in);
    let producer = stage.producer(&consumer, outputs_out, |_| {});
    stage.broker.fail(Request::Produce, Failure::Passing, 8).unwrap();
    stage.broker.fail(Request::Fetch, Failure::Passing, 4).unwrap();
    stage.broker.fail(Request::Commit, Failure::Passing, 2).unwrap();
    let feeder = stage.feed(COUNT, 200, 64);
    let settings = Settings::reader(stage.broker.bootstrap()).embedded();
    let mut tail = TopicReader::open(&settings, &[(OUTPUT, OUTPUT_PARTITIONS)], Some((&stage.credit, 0))).unwrap();
    let (mut next, mut seen, begun) = (HashMap::<u64, u64>::new(), 0, Instant::now());
    while seen < COUNT {
        assert!(begun.elapsed() < WAIT, "{seen} of {COUNT} came");
        tail.poll(Duration::from_millis(10), |record| {
            let due = next.entry(number(record.payload())).or_default();
            assert_eq!(number(&record.payload()[8..]), *due);
            *due += 1;
            seen += 1;
        })
        .unwrap();
    }
    feeder.join().unwrap();
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
    transform.join().unwrap();
    assert_eq!(producer.join().unwrap().records, COUNT);
    let committed: i64 = committer.committed(WAIT).unwrap().into_iter().flatten().sum();
    assert_eq!(committed, COUNT as i64);
}

/// One life of the embedded path, until it fails or has delivered what was fed. Returns how many
/// events were committed in the end, and what ended it.
fn life(stage: &Stage, count: u64) -> (i64, Result<(), Error>) {
    let (batches_in, batches_out) = bounded(8);
    let (arenas_in, arenas_out) = bounded(16);
    let (outputs_in, outputs_out) = bounded(8);
    stage.stop.store(false, Ordering::Relaxed);
    let consumer = stage.consumer(Cut { rows: 64, ..CUT }, batches_in, arenas_out);
    let committer = consumer.committer();
    let transform = std::thread::spawn(move || {
        for batch in batches_out {
            let mut output = OutputBatch { seq: batch.seq, offsets: batch.offsets, ..Default::default() };
            for message in &batch.messages {
                assert!(output.push(0, b"", &batch.arena[message.range()], 0));
            }
            // A producer that has ended takes no batches.
            if outputs_in.send(output).is_err() {
                return;
            }
            let _ = arenas_in.try_send(batch.arena);
        }
    });
    let producer = stage.producer(&consumer, outputs_out, |_| {});
    let committed = || committer.committed(WAIT).unwrap().into_iter().flatten().sum::<i64>();
    let begun = Instant::now();
    while committed() < count as i64 && !producer.is_finished() && !consumer.is_finished() {
        assert!(begun.elapsed() < WAIT, "{} of {count} are committed", committed());
        std::thread::sleep(Duration::from_millis(20));
    }
    stage.stop.store(true, Ordering::Relaxed);
    let read = consumer.join();
    transform.join().unwrap();
    let written = producer.join().map(|_| ());
    (committed(), written.and(read))
}

/// What the broker refuses ends the run, which says so; the next one goes on where it stood, and
/// nothing is lost: what was stored and not committed is stored again.
#[test]
fn refused_requests_end_the_run_and_lose_nothing() {
    const COUNT: u64 = 5_000;
    let cases: [(Request, Failure, &str); 4] = [
        (Request::Produce, Failure::TooLarge, "MessageSizeTooLarge"),
        (Request::Produce, Failure::Denied, "TopicAuthorizationFailed"),
        (Request::Commit, Failure::Denied, "committing offsets failed: GroupAuthorizationFailed"),
        (Request::Fetch, Failure::Denied, "TopicAuthorizationFailed"),
    ];
    for (request, failure, words) in cases {
        let mut stage = Stage::new();
        stage.properties.insert("enable.idempotence".into(), "true".into());
        stage.feed(COUNT, 200, 64).join().unwrap();
        stage.broker.fail(request, failure, 1).unwrap();
        let (committed, ended) = life(&stage, COUNT);
        let error = ended.expect_err("it went on");
        assert!(error.to_string().contains(words), "{request:?} {failure:?}: {error}");
        assert!(committed < COUNT as i64 && !error.retryable(), "{request:?} {failure:?}: {committed} committed; {error}");
        let (committed, ended) = life(&stage, COUNT);
        ended.unwrap();
        assert_eq!(committed, COUNT as i64, "{request:?} {failure:?}");
        assert_eq!(stored(&stage).len() as u64, COUNT, "{request:?} {failure:?}: events that came through");
    }
}

/// The different events in the output.
fn stored(stage: &Stage) -> HashSet<(u64, u64)> {
    let settings = Settings::reader(stage.broker.bootstrap()).embedded();
    let mut tail = TopicReader::open(&settings, &[(OUTPUT, OUTPUT_PARTITIONS)], None).unwrap();
    let mut seen = HashSet::new();
    tail.drain(WAIT, |record| _ = seen.insert((number(record.payload()), number(&record.payload()[8..])))).unwrap();
    seen
}

#[test]
fn connections_that_are_cut_lose_nothing() {
    const COUNT: u64 = 5_000;
    for request in [Request::Produce, Request::Fetch, Request::Commit] {
        let mut stage = Stage::new();
        stage.properties.insert("enable.idempotence".into(), "true".into());
        stage.feed(COUNT, 200, 64).join().unwrap();
        stage.broker.fail(request, Failure::Cut, 2).unwrap();
        let (committed, ended) = life(&stage, COUNT);
        ended.unwrap();
        assert_eq!((committed, stored(&stage).len() as u64), (COUNT as i64, COUNT), "{request:?}");
    }
}

#[test]
fn a_missing_topic_is_named() {
    let stage = Stage::new();
    let settings = Settings::consumer(stage.broker.bootstrap(), "probe").embedded();
    let error = discover(&settings, &["nowhere"], WAIT).unwrap_err();
    assert!(matches!(&error, Error::NoSuchTopic { topic } if topic == "nowhere"), "{error}");
}

#[test]
fn batches_out_of_order_end_the_producer() {
    let stage = Stage::new();
    let (batches_in, batches_out) = bounded::<RawBatch>(1);
    let (_arenas_in, arenas_out) = bounded(1);
    let consumer = stage.consumer(CUT, batches_in, arenas_out);
    let (outputs_in, outputs_out) = bounded(8);
    let producer = stage.producer(&consumer, outputs_out, |_| {});
    outputs_in.send(OutputBatch { seq: 1, ..Default::default() }).unwrap();
    let error = producer.join().unwrap_err();
    assert!(matches!(error, Error::OutOfOrder { expected: 0, found: 1 }), "{error}");
    drop(batches_out);
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
}

#[test]
#[ignore = "takes 13 s: a consumer pauses only after 10 s"]
fn a_long_stall_pauses_and_resumes_without_loss() {
    const COUNT: u64 = 30_000;
    let stage = Stage::new();
    let (batches_in, batches_out) = bounded::<RawBatch>(1);
    let (_arenas_in, arenas_out) = bounded(1);
    let consumer = stage.consumer(CUT, batches_in, arenas_out);
    let feeder = stage.feed(COUNT, 1_000, 64);
    let waiting = Instant::now();
    while consumer.progress().pauses() == 0 {
        assert!(waiting.elapsed() < WAIT && !consumer.is_finished());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    let mut rows = 0;
    while rows < COUNT {
        rows += batches_out.recv_timeout(WAIT).unwrap().messages.len() as u64;
    }
    feeder.join().unwrap();
    assert_eq!(consumer.progress().messages(), COUNT, "nothing was read twice");
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
}
