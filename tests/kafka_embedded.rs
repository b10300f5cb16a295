//! The Kafka room end to end on the embedded broker: feeder → consumer → a
//! trivial transform → producer → reader. Nothing is lost, the order per
//! partition holds, offsets are committed behind the results, nothing grows.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catchment::ingest::batch::RawBatch;
use catchment::kafka::{
    Consumer, ConsumerSpec, Credit, CreditTopic, Cut, Delivered, EmbeddedBroker, Fed, Feeder, Gaps, OutputBatch, OutputTopic, Producer, ProducerSpec, Settings,
    SourceTopic, SourceTopics, Start, TopicReader, discover,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

pub(crate) const SOURCES: [&str; 2] = ["events.a", "events.b"];
const SOURCE_PARTITIONS: i32 = 3;
pub(crate) const OUTPUT: &str = "incidents";
pub(crate) const OUTPUT_PARTITIONS: i32 = 6;
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// A broker with two input topics and one output topic, and what runs on it.
pub(crate) struct Stage {
    pub(crate) broker: EmbeddedBroker,
    pub(crate) credit: Arc<Credit>,
    pub(crate) topics: Arc<SourceTopics>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Laid over the producing clients' settings.
    pub(crate) properties: BTreeMap<String, String>,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let mut topics: Vec<(&str, i32)> = SOURCES.iter().map(|name| (*name, SOURCE_PARTITIONS)).collect();
        topics.push((OUTPUT, OUTPUT_PARTITIONS));
        let broker = EmbeddedBroker::start(&topics).unwrap();
        let under_credit = |(name, partitions): &(&str, i32)| CreditTopic { name: (*name).to_owned(), partitions: *partitions, readers: 1 };
        let credit = Credit::new(&topics.iter().map(under_credit).collect::<Vec<_>>());
        let settings = Settings::consumer(broker.bootstrap(), "probe").embedded();
        let sources = discover(&settings, &SOURCES, WAIT)
            .unwrap()
            .into_iter()
            .zip(0..)
            .map(|((name, partitions), source)| SourceTopic { name, partitions, source, headers: false, start: Start::Offset(0), identity: None })
            .collect();
        let topics = Arc::new(SourceTopics::new(sources).unwrap());
        Stage { broker, credit, topics, stop: Arc::new(AtomicBool::new(false)), properties: BTreeMap::new() }
    }

    pub(crate) fn consumer(&self, cut: Cut, out: Sender<RawBatch>, arenas: Receiver<Vec<u8>>) -> Consumer {
        let spec = ConsumerSpec {
            steering: None,
            settings: Settings::consumer(self.broker.bootstrap(), "catchment").embedded(),
            topics: Arc::clone(&self.topics),
            cut,
            gaps: Gaps::Forbidden,
            credit: Some((Arc::clone(&self.credit), 0)),
            stop: Arc::clone(&self.stop),
        };
        Consumer::spawn(spec, out, arenas).unwrap()
    }

    pub(crate) fn producer(&self, consumer: &Consumer, batches: Receiver<OutputBatch>, delivered: impl FnMut(Delivered) + Send + 'static) -> Producer {
        let spec = ProducerSpec {
            settings: Settings::producer(self.broker.bootstrap()).embedded().with_user(&self.properties).unwrap(),
            topics: vec![OutputTopic { name: OUTPUT.to_owned(), partitions: OUTPUT_PARTITIONS }],
            committer: Some(consumer.committer()),
            credit: Some(Arc::clone(&self.credit)),
            abort: Arc::new(AtomicBool::new(false)),
        };
        Producer::spawn(spec, batches, delivered).unwrap()
    }

    /// `count` messages of `size` bytes: source, key number and number within the key, then filling.
    pub(crate) fn feed(&self, count: u64, size: usize, keys: u64) -> JoinHandle<Fed> {
        let settings = Settings::feeder(self.broker.bootstrap()).with_user(&self.properties).unwrap();
        let mut feeder = Feeder::start(&settings, &self.credit, Arc::clone(&self.stop)).unwrap();
        let topics = SOURCES.map(|name| feeder.topic(name).unwrap());
        std::thread::spawn(move || {
            let mut payload = vec![b'.'; size];
            for n in 0..count {
                let (key, nth) = (n % keys, n / keys);
                payload[..8].copy_from_slice(&key.to_le_bytes());
                payload[8..16].copy_from_slice(&nth.to_le_bytes());
                let topic = topics[(key % 2) as usize];
                feeder.send(topic, Some(&key.to_le_bytes()), &payload, 1_700_000_000_000 + n as i64).unwrap();
            }
            feeder.finish().unwrap()
        })
    }

    /// Copies every message into a record with the same key.
    pub(crate) fn transform(batches: Receiver<RawBatch>, out: Sender<OutputBatch>, arenas: Sender<Vec<u8>>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for batch in batches {
                let mut output = OutputBatch { seq: batch.seq, offsets: batch.offsets, ..Default::default() };
                for message in &batch.messages {
                    let key = &batch.arena[message.key.0 as usize..(message.key.0 + message.key.1) as usize];
                    assert!(output.push(0, key, &batch.arena[message.range()], message.timestamp_us));
                    output.push_header("source", &batch.source.to_le_bytes());
                }
                out.send(output).unwrap();
                let _ = arenas.try_send(batch.arena);
            }
        })
    }
}

/// The little-endian number at the start of a payload.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

pub(crate) const CUT: Cut = Cut { bytes: 1 << 20, rows: 8192, linger: Duration::from_millis(5) };

#[test]
fn three_hundred_thousand_messages_arrive_in_order() {
    const COUNT: u64 = 300_000;
    const KEYS: u64 = 1_000;
    let stage = Stage::new();
    let (batches_in, batches_out) = bounded(8);
    let (arenas_in, arenas_out) = bounded(16);
    let (outputs_in, outputs_out) = bounded(8);
    let (reports_in, reports_out) = unbounded();
    let begun = Instant::now();
    let consumer = stage.consumer(CUT, batches_in, arenas_out);
    let progress = Arc::clone(consumer.progress());
    let committer = consumer.committer();
    let transform = Stage::transform(batches_out, outputs_in, arenas_in);
    let producer = stage.producer(&consumer, outputs_out, move |delivered| {
        let Delivered { batch, received_us, produced_us, acked_us, committed_us } = delivered;
        let in_order = received_us <= produced_us && produced_us <= acked_us && acked_us <= committed_us;
        reports_in.send((batch.seq, batch.records.len() as u64, in_order)).unwrap();
    });
    let feeder = stage.feed(COUNT, 500, KEYS);

    let settings = Settings::reader(stage.broker.bootstrap()).embedded();
    let mut tail = TopicReader::open(&settings, &[(OUTPUT, OUTPUT_PARTITIONS)], Some((&stage.credit, 0))).unwrap();
    let mut next: HashMap<u64, u64> = HashMap::new();
    let mut seen = 0;
    while seen < COUNT {
        assert!(begun.elapsed() < WAIT, "{seen} of {COUNT} came");
        assert!(!consumer.is_finished(), "{:?}", consumer.join());
        assert!(!producer.is_finished(), "{:?}", producer.join());
        tail.poll(Duration::from_millis(10), |record| {
            let (key, nth) = (number(record.payload()), number(&record.payload()[8..]));
            assert_eq!(record.key(), Some(&key.to_le_bytes()[..]));
            let due = next.entry(key).or_default();
            assert_eq!(nth, *due, "order within key {key}");
            *due += 1;
            let mut source = None;
            record.headers(|name, value| source = Some((name.to_owned(), value.to_vec())));
            assert_eq!(source, Some(("source".to_owned(), ((key % 2) as u16).to_le_bytes().to_vec())));
            seen += 1;
        })
        .unwrap();
    }
    let elapsed = begun.elapsed();
    let fed = feeder.join().unwrap();
    assert_eq!(fed.records, COUNT);
    assert_eq!(next.len() as u64, KEYS);
    assert!(next.values().all(|n| *n == COUNT / KEYS));
    assert_eq!(tail.drain(WAIT, |_| {}).unwrap(), 0, "nothing came twice");

    let ends: Vec<(u16, i64)> = fed.ends.iter().filter_map(|(topic, partition, end)| Some((stage.topics.number_of(topic, *partition)?, *end))).collect();
    assert_eq!(ends.len(), 6);
    assert!(progress.reached(&ends));
    let waiting = Instant::now();
    while !progress.drained() {
        assert!(waiting.elapsed() < WAIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
    transform.join().unwrap();
    let totals = producer.join().unwrap();
    assert_eq!((totals.records, totals.batches), (COUNT, progress.batches()));
    let reports: Vec<_> = reports_out.iter().collect();
    assert!(reports.iter().zip(0..).all(|((seq, _, in_order), n)| *seq == n && *in_order));
    assert_eq!(reports.iter().map(|(_, records, _)| records).sum::<u64>(), COUNT);
    let committed = committer.committed(WAIT).unwrap();
    for (partition, end) in ends {
        assert_eq!(committed[partition as usize], Some(end), "offsets are committed behind the results");
    }
    println!("{:.0} msg/s, {} batches, {} commits", COUNT as f64 / elapsed.as_secs_f64(), totals.batches, totals.commits);
}

#[test]
fn a_slow_stage_holds_everything_back_and_loses_nothing() {
    const COUNT: u64 = 60_000;
    let stage = Stage::new();
    let (batches_in, batches_out) = bounded::<RawBatch>(1);
    let (_arenas_in, arenas_out) = bounded(1);
    let consumer = stage.consumer(CUT, batches_in, arenas_out);
    let feeder = stage.feed(COUNT, 1_000, 64);
    // Nobody takes batches: the consumer must not read on without bound.
    let waiting = Instant::now();
    while consumer.progress().stalls() < 2 {
        assert!(waiting.elapsed() < WAIT);
        std::thread::sleep(Duration::from_millis(10));
    }
    let held = consumer.progress().bytes();
    assert!(held < 6 << 20, "{held} bytes were read ahead");
    let mut rows = 0;
    while rows < COUNT {
        rows += batches_out.recv_timeout(WAIT).unwrap().messages.len() as u64;
    }
    assert_eq!(feeder.join().unwrap().records, COUNT);
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
    assert!(batches_out.recv().is_err(), "the channel closes behind the consumer");
}

#[test]
fn batches_of_one_row_are_numbered_without_gaps() {
    let stage = Stage::new();
    let (batches_in, batches_out) = bounded(64);
    let (_arenas_in, arenas_out) = bounded(1);
    let cut = Cut { bytes: 1 << 20, rows: 1, linger: Duration::from_secs(1) };
    let consumer = stage.consumer(cut, batches_in, arenas_out);
    let feeder = stage.feed(2_000, 100, 16);
    for seq in 0..2_000 {
        let batch = batches_out.recv_timeout(WAIT).unwrap();
        assert_eq!((batch.seq, batch.messages.len()), (seq, 1));
    }
    feeder.join().unwrap();
    stage.stop.store(true, Ordering::Relaxed);
    consumer.join().unwrap();
}

#[test]
fn a_restart_continues_at_the_committed_offsets() {
    let stage = Stage::new();
    stage.feed(1_000, 100, 16).join().unwrap();
    let mut rows = 0;
    for round in 0..2 {
        let (batches_in, batches_out) = bounded::<RawBatch>(64);
        let (_arenas_in, arenas_out) = bounded(1);
        let cut = Cut { linger: Duration::from_millis(1), ..CUT };
        let consumer = stage.consumer(cut, batches_in, arenas_out);
        let committer = consumer.committer();
        while rows < 1_000 * (round + 1) {
            let batch = batches_out.recv_timeout(WAIT).unwrap();
            rows += batch.messages.len();
            committer.commit(&batch.offsets).unwrap();
        }
        stage.stop.store(true, Ordering::Relaxed);
        consumer.join().unwrap();
        assert_eq!(batches_out.iter().map(|batch| batch.messages.len()).sum::<usize>(), 0);
        drop(committer);
        stage.stop.store(false, Ordering::Relaxed);
        if round == 0 {
            stage.feed(1_000, 100, 16).join().unwrap();
        }
    }
    assert_eq!(rows, 2_000);
}
