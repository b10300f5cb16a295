//! Drives a pipeline on the embedded broker with generated events, and audits what
//! comes out: counters against the generator's answers, the output topics against the counters.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use hdrhistogram::Histogram;

use super::{Answers, Counts, Difference, Generator, GeneratorSpec, Message};
use crate::error::Error;
use crate::incident::time_text::TimeText;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::facts_out::push_facts;
use crate::ingest::ledger;
use crate::ingest::output::Output;
use crate::ingest::plan::Plan;
use crate::ingest::pool::Pool;
use crate::ingest::worker::{Shared, random_key};
use crate::kafka::{
    Consumer, ConsumerSpec, Credit, CreditTopic, Cut, Delivered, EMBEDDED_MESSAGE_BYTES_MAX, EmbeddedBroker, Feeder, Gaps, OutputBatch, OutputTopic, Producer,
    ProducerSpec, Settings, SourceTopic, SourceTopics, Start, TopicReader,
};
use crate::serve::metrics;

/// Partitions of every topic (count): enough to spread keys, few enough to see.
const PARTITIONS: i32 = 2;
/// Batches between the workers and the producer (count).
const OUTPUTS_AHEAD: usize = 4;
/// Longest wait for the last records at the end (a broker in this process answers in milliseconds).
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long the audit waits for records that the broker has acknowledged.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often indexes are looked at for metrics.
const STATS_EVERY: Duration = Duration::from_millis(500);

/// What to drive.
pub struct DriveSpec {
    /// The compiled pipeline.
    pub plan: Arc<Plan>,
    /// Topic of facts.
    pub incidents_topic: String,
    /// Topic of dead letters.
    pub dead_letters_topic: String,
    /// Topics that the generator writes, each with its source's number.
    pub topics: Vec<(String, u16)>,
    /// What to generate.
    pub generate: GeneratorSpec,
    /// Of the events, this share (0 to 1) comes last and slowly, to measure latency without a queue.
    pub calm_share: f64,
    /// Worker threads.
    pub workers: usize,
}

/// How far a run is; read it at any time.
#[derive(Default)]
pub struct Live {
    /// Messages fed to the broker.
    pub fed: AtomicU64,
    /// Messages whose output is acknowledged.
    pub done: AtomicU64,
    /// The ledger so far.
    pub counts: Mutex<ledger::Counts>,
    /// True in the calm part at the end.
    pub calm: AtomicBool,
}

/// Times from an event's arrival at the broker to its acknowledged incident, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    /// How many incidents were measured.
    pub count: u64,
    /// Half are faster.
    pub p50_us: u64,
    /// 99 of 100 are faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What a run showed.
pub struct DriveReport {
    /// The engine's ledger.
    pub counts: ledger::Counts,
    /// Where it differs from the generator's answers.
    pub differences: Vec<Difference>,
    /// What is wrong with the output topics.
    pub audit: Vec<String>,
    /// Facts read back from the output topic: created, attached, linked.
    pub facts: (u64, u64, u64),
    /// Seconds of the flood, and messages in it.
    pub flood: (f64, u64),
    /// Events per second of the calm part.
    pub calm_rate: f64,
    /// Latency in the flood, where events queue.
    pub latency_flood: Latency,
    /// Latency in the calm part.
    pub latency_calm: Latency,
    /// CPU seconds of the workers.
    pub worker_cpu_seconds: f64,
    /// Bytes and keys of the indexes at the end.
    pub index: (u64, u64),
}

/// When each message reached the broker: microseconds since the epoch by dense partition number and offset.
type SendTimes = Arc<Vec<Mutex<Vec<i64>>>>;

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end. `live` shows the progress; `stop` ends it early.
pub fn drive(spec: DriveSpec, live: Arc<Live>, stop: Arc<AtomicBool>) -> Result<DriveReport, Error> {
    let plan = spec.plan.clone();
    let inputs: Vec<&str> = spec.topics.iter().map(|(name, _)| name.as_str()).collect();
    let outputs = [spec.incidents_topic.as_str(), spec.dead_letters_topic.as_str()];
    let all: Vec<(&str, i32)> = inputs.iter().chain(&outputs).map(|name| (*name, PARTITIONS)).collect();
    let broker = EmbeddedBroker::start(&all)?;
    let credit =
        Credit::new(&all.iter().map(|(name, partitions)| CreditTopic { name: (*name).to_owned(), partitions: *partitions, readers: 1 }).collect::<Vec<_>>());
    let topics = spec.topics.iter().map(|(name, source)| SourceTopic {
        name: name.clone(),
        partitions: PARTITIONS,
        source: *source,
        headers: plan.reads_headers,
        start: Start::Offset(0),
        identity: None,
    });
    let topics = Arc::new(SourceTopics::new(topics.collect())?);
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        partitions: topics.partitions().clone(),
        cluster: "embedded".into(),
        arrival: None,
        fingerprint_key: random_key(),
        decode: DecodeLimits::default(),
        record_bytes_max: Some(EMBEDDED_MESSAGE_BYTES_MAX / 2),
        decide: None,
        trace: false,
        spare: Default::default(),
    });
    let sent: SendTimes = Arc::new((0..topics.partitions().len()).map(|_| Mutex::new(Vec::new())).collect());
    let abort = Arc::new(AtomicBool::new(false));
    // How many records the auditing reader has to find; unknown until the producer is done.
    let expected = Arc::new(AtomicU64::new(u64::MAX));

    // From the end to the beginning, so that nothing is produced that nobody reads.
    let tail = spawn_tail(Settings::reader(broker.bootstrap()), &outputs, &credit, expected.clone())?;
    let mut pool = Pool::start(shared.clone(), spec.workers)?;
    let (recycle, arenas) = bounded(16);
    let consumer_stop = Arc::new(AtomicBool::new(false));
    let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
    let consumer = Consumer::spawn(
        ConsumerSpec {
            settings: Settings::consumer(broker.bootstrap(), &plan.name).embedded(),
            topics: topics.clone(),
            cut: Cut { bytes: crate::ingest::files::batch_bytes(&plan), rows: crate::ingest::files::BATCH_ROWS_MAX, linger: Duration::from_millis(5) },
            gaps: Gaps::Forbidden,
            credit: Some((credit.clone(), 0)),
            stop: consumer_stop.clone(),
            steering: None,
        },
        batches,
        arenas,
    )?;
    pool.close();
    let (out, produce) = bounded::<OutputBatch>(OUTPUTS_AHEAD);
    let latencies = Arc::new(Mutex::new((histogram()?, histogram()?)));
    let producer = {
        let (latencies, calm_from, live) = (latencies.clone(), Arc::new(AtomicI64::new(0)), live.clone());
        let on_delivered = move |done: Delivered| {
            if live.calm.load(Ordering::Relaxed) {
                let _ = calm_from.compare_exchange(0, done.received_us, Ordering::Relaxed, Ordering::Relaxed);
            }
            let calm_from = calm_from.load(Ordering::Relaxed);
            let mut latencies = lock(&latencies);
            for record in done.batch.records.iter().filter(|record| record.origin_us > 0) {
                let micros = done.acked_us.saturating_sub(record.origin_us).max(0) as u64;
                metrics::record_latency(micros);
                let calm = calm_from > 0 && record.origin_us >= calm_from;
                let histogram = if calm { &mut latencies.1 } else { &mut latencies.0 };
                histogram.saturating_record(micros);
            }
            for interval in done.batch.offsets.intervals() {
                live.done.fetch_add((interval.to - interval.from) as u64, Ordering::Relaxed);
            }
        };
        let spec = ProducerSpec {
            settings: Settings::producer(broker.bootstrap()).embedded(),
            topics: outputs.iter().map(|name| OutputTopic { name: (*name).to_owned(), partitions: PARTITIONS }).collect(),
            committer: Some(consumer.committer()),
            credit: Some(credit.clone()),
            abort: abort.clone(),
        };
        Producer::spawn(spec, produce, on_delivered)?
    };
    let emitter = {
        let (plan, shared, sent, live) = (plan.clone(), shared.clone(), sent.clone(), live.clone());
        std::thread::Builder::new().name("emit".into()).spawn(move || -> Result<(u64, (u64, u64)), Error> {
            let mut times = TimeText::default();
            let mut looked = Instant::now();
            while let Some(mut output) = pool.recv()? {
                metrics::record_batch(&output.counts, &plan, output.source);
                lock(&live.counts).add(&output.counts);
                if let Some(arena) = output.arena.take() {
                    let _ = recycle.try_send(arena);
                }
                let batch = to_batch(&output, &plan, &shared, &sent, &mut times)?;
                shared.spare.give(std::mem::take(&mut output.incidents));
                if out.send(batch).is_err() {
                    // The producer has failed; its own error is the one to report.
                    break;
                }
                if looked.elapsed() > STATS_EVERY {
                    looked = Instant::now();
                    plan.tables.reload_changed();
                    metrics::record_index(&pool.index_stats(), &plan);
                    metrics::record_lag(live.fed.load(Ordering::Relaxed).saturating_sub(live.done.load(Ordering::Relaxed)));
                }
            }
            let stats = pool.index_stats();
            metrics::record_index(&stats, &plan);
            let index = (stats.iter().map(|(_, s)| s.keys).sum(), stats.iter().map(|(_, s)| s.bytes).sum());
            Ok((pool.finish(), index))
        })?
    };

    let fed = feed(&spec, &broker, &credit, &topics, &sent, &live, &stop);
    let (answers, flood, calm_rate, ends) = match fed {
        Ok(fed) => fed,
        Err(error) => {
            abort.store(true, Ordering::Relaxed);
            consumer_stop.store(true, Ordering::Relaxed);
            expected.store(0, Ordering::Relaxed);
            return Err(error);
        }
    };
    let ends: Vec<(u16, i64)> = ends.iter().filter_map(|(topic, partition, end)| Some((topics.number_of(topic, *partition)?, *end))).collect();
    let waited = Instant::now();
    while !consumer.progress().reached(&ends) && !consumer.is_finished() && waited.elapsed() < DRAIN_MAX {
        std::thread::sleep(Duration::from_millis(2));
    }
    consumer_stop.store(true, Ordering::Relaxed);
    consumer.join()?;
    let (cpu_us, index) = emitter.join().map_err(|_| Error::bug("the emitting thread failed"))??;
    let produced = producer.join()?.records;
    expected.store(produced, Ordering::Relaxed);
    let tailed = tail.join().map_err(|_| Error::bug("the auditing reader failed"))??;
    drop(broker);

    let counts = lock(&live.counts).clone();
    let differences = answers.compare(&named(&counts, &plan));
    let audit = tailed.audit(&counts);
    let latencies = lock(&latencies);
    Ok(DriveReport {
        differences,
        audit,
        facts: (tailed.created, tailed.attached_facts, tailed.linked),
        flood,
        calm_rate,
        latency_flood: latency(&latencies.0),
        latency_calm: latency(&latencies.1),
        worker_cpu_seconds: cpu_us as f64 / 1e6,
        index,
        counts,
    })
}

fn histogram() -> Result<Histogram<u64>, Error> {
    // Up to ten minutes in microseconds, three digits.
    Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| Error::bug(error.to_string()))
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency { count: histogram.len(), p50_us: histogram.value_at_quantile(0.5), p99_us: histogram.value_at_quantile(0.99), max_us: histogram.max() }
}

/// Facts and dead letters of one output as Kafka records.
fn to_batch(output: &Output, plan: &Plan, shared: &Shared, sent: &SendTimes, times: &mut TimeText) -> Result<OutputBatch, Error> {
    let mut batch = OutputBatch { seq: output.seq, offsets: output.offsets.clone(), ..OutputBatch::default() };
    let mut facts = Vec::new();
    let mut ends = Vec::new();
    push_facts(output, plan, &shared.partitions, times, &mut facts, &mut |id, end| ends.push((id, end)));
    let mut from = 0;
    let mut fits = true;
    for (number, (id, end)) in ends.into_iter().enumerate() {
        let line = output.lines.get(number);
        let arrived = |line: &crate::ingest::output::Created| lock(sent.get(line.origin.partition as usize)?).get(line.origin.offset as usize).copied();
        let origin_us = line.and_then(arrived).unwrap_or(0);
        let timestamp_ms = line.map_or(0, |line| line.created.div_euclid(1000));
        fits &= batch.push(0, &id.hex(), &facts[from..end], timestamp_ms, origin_us);
        from = end;
    }
    for letter in output.dead.split(|byte| *byte == b'\n').filter(|letter| !letter.is_empty()) {
        fits &= batch.push(1, &[], letter, 0, 0);
    }
    if fits { Ok(batch) } else { Err(Error::bug("an output batch outgrew 4 GiB")) }
}

type Ends = Vec<(String, i32, i64)>;

/// Feeds all events: a flood, then a calm part at a third of the flood's speed.
fn feed(
    spec: &DriveSpec,
    broker: &EmbeddedBroker,
    credit: &Arc<Credit>,
    topics: &SourceTopics,
    sent: &SendTimes,
    live: &Live,
    stop: &Arc<AtomicBool>,
) -> Result<(Answers, (f64, u64), f64, Ends), Error> {
    let mut generator = Generator::new(spec.generate.clone()).map_err(|error| Error::bug(error.to_string()))?;
    let mut feeder = Feeder::start(&Settings::feeder(broker.bootstrap()), credit, stop.clone())?;
    let numbers: Vec<(&str, usize)> = spec.topics.iter().filter_map(|(name, _)| Some((name.as_str(), feeder.topic(name)?))).collect();
    let mut answers = Answers::new();
    let mut message = Message::default();
    let flood_events = (spec.generate.events as f64 * (1.0 - spec.calm_share.clamp(0.0, 1.0))) as u64;
    let started = Instant::now();
    let mut flood = None;
    let mut calm_fed = 0u64;
    let mut calm_started = started;
    let mut calm_rate = 0.0;
    while generator.next(&mut message) {
        if flood.is_none() && generator.made() >= flood_events && spec.calm_share > 0.0 {
            // Let the queue run empty, then go on slowly.
            feeder.flush()?;
            let fed = live.fed.load(Ordering::Relaxed);
            while live.done.load(Ordering::Relaxed) < fed && started.elapsed() < DRAIN_MAX * 10 && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let seconds = started.elapsed().as_secs_f64();
            flood = Some((seconds, fed));
            calm_rate = (fed as f64 / seconds / 3.0).max(100.0);
            calm_started = Instant::now();
            live.calm.store(true, Ordering::Relaxed);
        }
        if flood.is_some() {
            calm_fed += 1;
            let due = Duration::from_secs_f64(calm_fed as f64 / calm_rate);
            if let Some(wait) = due.checked_sub(calm_started.elapsed()).filter(|wait| *wait > Duration::from_micros(500)) {
                std::thread::sleep(wait);
            }
        }
        answers.add_all(&message.outcomes);
        let Some((_, number)) = numbers.iter().find(|(name, _)| *name == message.topic) else {
            return Err(Error::bug(format!("the generator writes to `{}`, which no source reads", message.topic)));
        };
        let key = (!message.key.is_empty()).then_some(message.key.as_slice());
        let (partition, _) = feeder.send(*number, key, &message.payload, message.timestamp_ms)?;
        if let Some(times) = topics.number_of(message.topic, partition).and_then(|number| sent.get(number as usize)) {
            lock(times).push(now_us());
        }
        live.fed.fetch_add(1, Ordering::Relaxed);
    }
    let fed = feeder.finish()?;
    let flood = flood.unwrap_or_else(|| (started.elapsed().as_secs_f64(), live.fed.load(Ordering::Relaxed)));
    Ok((answers, flood, calm_rate, fed.ends.iter().map(|(topic, partition, end)| (topic.to_string(), *partition, *end)).collect()))
}

/// The engine's counts by name, as the generator's answers have them.
pub fn named(counts: &ledger::Counts, plan: &Plan) -> Counts {
    let by = |counts: &[u64], names: &mut dyn Iterator<Item = &str>| {
        counts.iter().zip(names).filter(|(n, _)| **n > 0).map(|(n, name)| (name.to_owned(), *n)).collect()
    };
    let rules = || plan.rules.iter().map(|r| &*r.name);
    Counts {
        events: counts.events,
        incidents: by(&counts.incidents, &mut plan.types.iter().map(|t| &**t)),
        filtered: by(&counts.filtered, &mut plan.filters.iter().map(|f| &*f.name)),
        unclassified: counts.unclassified,
        dropped: by(&counts.dropped, &mut rules()),
        attached: by(&counts.attached, &mut rules()),
        closed: by(&counts.closed, &mut rules()),
        linked: by(&counts.linked, &mut rules()),
        dead_letters: counts.dead.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect(),
    }
}

/// What was read back from the output topics.
#[derive(Debug, Default)]
struct Tailed {
    created: u64,
    attached_facts: u64,
    attached_events: u64,
    linked: u64,
    dead: u64,
    repeated: u64,
    unknown: u64,
    orphans: u64,
}

impl Tailed {
    fn audit(&self, counts: &ledger::Counts) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut same = |what: &str, topic: u64, ledger: u64| {
            if topic != ledger {
                wrong.push(format!("{what}: {topic} on the topic, {ledger} in the ledger"));
            }
        };
        same("incidents", self.created, counts.incidents_total());
        same("attached events", self.attached_events, counts.attached_total());
        same("links", self.linked, counts.linked.iter().sum());
        same("dead letters", self.dead, counts.dead_total());
        same("facts that came twice", self.repeated, 0);
        same("facts about unknown incidents", self.orphans, 0);
        same("records that are no facts", self.unknown, 0);
        if !counts.adds_up() {
            wrong.push(format!("the ledger: {} events read, {} ended", counts.events, counts.ended()));
        }
        wrong
    }
}

fn spawn_tail(
    settings: Settings,
    outputs: &[&str; 2],
    credit: &Arc<Credit>,
    expected: Arc<AtomicU64>,
) -> Result<std::thread::JoinHandle<Result<Tailed, Error>>, Error> {
    let topics: Vec<(&str, i32)> = outputs.iter().map(|name| (*name, PARTITIONS)).collect();
    let mut reader = TopicReader::open(&settings, &topics, Some((credit, 0)))?;
    let dead = outputs[1].to_owned();
    Ok(std::thread::Builder::new().name("tail".into()).spawn(move || {
        let mut tailed = Tailed::default();
        let mut facts: HashSet<u128> = HashSet::new();
        let mut incidents: HashSet<u128> = HashSet::new();
        let mut about: Vec<u128> = Vec::new();
        let mut seen = 0;
        let mut waiting = None;
        loop {
            reader.poll(Duration::from_millis(20), |record| {
                seen += 1;
                if record.topic == dead {
                    tailed.dead += 1;
                } else {
                    tailed.read(record.payload(), &mut facts, &mut incidents, &mut about);
                }
            })?;
            let expected = expected.load(Ordering::Relaxed);
            if expected != u64::MAX && waiting.is_none() {
                waiting = Some(Instant::now());
            }
            // What does not come in time is missing, and the audit says so.
            if seen >= expected || waiting.is_some_and(|since: Instant| since.elapsed() > TAIL_WAIT_MAX) {
                tailed.orphans = about.iter().filter(|id| !incidents.contains(id)).count() as u64;
                return Ok(tailed);
            }
        }
    })?)
}

impl Tailed {
    fn read(&mut self, payload: &[u8], facts: &mut HashSet<u128>, incidents: &mut HashSet<u128>, about: &mut Vec<u128>) {
        let Ok(fact) = serde_json::from_slice::<FactHead<'_>>(payload) else {
            self.unknown += 1;
            return;
        };
        let (Ok(id), kind) = (u128::from_str_radix(fact.fact_id, 16), fact.fact) else {
            self.unknown += 1;
            return;
        };
        self.repeated += u64::from(!facts.insert(id));
        match kind {
            "created" => {
                self.created += 1;
                incidents.insert(id);
            }
            "attached" => {
                self.attached_facts += 1;
                self.attached_events += fact.count.unwrap_or_default();
            }
            "linked" => self.linked += 1,
            _ => self.unknown += 1,
        }
        about.extend(fact.id.and_then(|id| u128::from_str_radix(id, 16).ok()));
    }
}

/// The members of a fact that the audit looks at.
#[derive(serde::Deserialize)]
struct FactHead<'a> {
    fact: &'a str,
    fact_id: &'a str,
    id: Option<&'a str>,
    count: Option<u64>,
}
