//! The pipeline on the embedded broker, as `demo` runs it: consumer, workers, producer, in
//! the order produce → all acks → commit. The driver outside knows it by its topics only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::answers::Counts;
use super::tail::Ends;
use crate::error::Error;
use crate::incident::time_text::TimeText;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::facts_out::{FactAt, take_facts};
use crate::ingest::ledger;
use crate::ingest::output::Output;
use crate::ingest::plan::Plan;
use crate::ingest::pool::Pool;
use crate::ingest::worker::{Shared, random_key};
use crate::kafka::{
    Consumer, ConsumerSpec, Credit, CreditTopic, Cut, Delivered, EMBEDDED_MESSAGE_BYTES_MAX, EmbeddedBroker, Gaps, OutputBatch, OutputTopic, Producer,
    ProducerSpec, Settings, SourceTopic, SourceTopics, Start,
};
use crate::serve::metrics;

/// Partitions of every topic (count): enough to spread keys, few enough to see.
pub const PARTITIONS: i32 = 2;
/// What stands for the cluster's id in ids of incidents.
pub const CLUSTER: &str = "embedded";
/// Batches between the workers and the producer (count).
const OUTPUTS_AHEAD: usize = 4;
/// Longest wait for the last records at the end (a broker in this process answers in milliseconds).
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How often indexes are looked at for metrics.
const STATS_EVERY: Duration = Duration::from_millis(500);

/// How far the engine is; read it at any time.
#[derive(Default)]
pub struct Progress {
    /// Messages whose output is acknowledged.
    pub done: AtomicU64,
    /// The ledger so far.
    pub counts: Mutex<ledger::Counts>,
}

/// What to run.
pub struct EngineSpec<'a> {
    /// The compiled pipeline.
    pub plan: Arc<Plan>,
    /// Topics to read, each with its source's number.
    pub inputs: &'a [(String, u16)],
    /// Topic of facts.
    pub incidents: &'a str,
    /// Topic of dead letters.
    pub dead_letters: &'a str,
    /// Worker threads.
    pub workers: usize,
}

/// A broker and a pipeline that reads from it.
pub struct Engine {
    broker: EmbeddedBroker,
    credit: Arc<Credit>,
    topics: Arc<SourceTopics>,
    consumer: Consumer,
    producer: Producer,
    emitter: JoinHandle<Result<Used, Error>>,
    stop: Arc<AtomicBool>,
    abort: Arc<AtomicBool>,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// CPU seconds of the workers.
    pub worker_cpu_seconds: f64,
    /// Keys and bytes of the indexes at the end.
    pub index: (u64, u64),
}

/// The broker, before anything runs on it: whoever reads the output opens it first, so that
/// nothing is produced that nobody reads.
pub struct Stage {
    /// The broker, with all topics.
    pub broker: EmbeddedBroker,
    /// Its credit gate.
    pub credit: Arc<Credit>,
}

impl Stage {
    /// Starts a broker with the topics of a pipeline.
    ///
    /// # Errors
    /// When the broker cannot be started.
    pub fn start(spec: &EngineSpec<'_>) -> Result<Stage, Error> {
        let inputs = spec.inputs.iter().map(|(name, _)| name.as_str());
        let all: Vec<(&str, i32)> = inputs.chain([spec.incidents, spec.dead_letters]).map(|name| (name, PARTITIONS)).collect();
        let broker = EmbeddedBroker::start(&all)?;
        let under_credit = |(name, partitions): &(&str, i32)| CreditTopic { name: (*name).to_owned(), partitions: *partitions, readers: 1 };
        Ok(Stage { broker, credit: Credit::new(&all.iter().map(under_credit).collect::<Vec<_>>()) })
    }
}

impl Engine {
    /// Starts the pipeline. `lag` says how many messages wait, for the metrics.
    ///
    /// # Errors
    /// Threads or clients that cannot be started.
    pub fn start(stage: Stage, spec: &EngineSpec<'_>, progress: Arc<Progress>, lag: impl Fn() -> u64 + Send + 'static) -> Result<Engine, Error> {
        let Stage { broker, credit } = stage;
        let plan = spec.plan.clone();
        let topics = spec.inputs.iter().map(|(name, source)| SourceTopic {
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
            cluster: CLUSTER.into(),
            arrival: None,
            fingerprint_key: random_key(),
            decode: DecodeLimits::default(),
            record_bytes_max: Some(EMBEDDED_MESSAGE_BYTES_MAX / 2),
            decide: None,
            trace: false,
            facts: true,
            spare: Default::default(),
        });
        let mut pool = Pool::start(shared.clone(), spec.workers)?;
        let (recycle, arenas) = bounded(16);
        let stop = Arc::new(AtomicBool::new(false));
        let abort = Arc::new(AtomicBool::new(false));
        let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
        let consumer = Consumer::spawn(
            ConsumerSpec {
                settings: Settings::consumer(broker.bootstrap(), &plan.name).embedded(),
                topics: topics.clone(),
                cut: Cut { bytes: crate::ingest::files::batch_bytes(&plan), rows: crate::ingest::files::BATCH_ROWS_MAX, linger: Duration::from_millis(5) },
                gaps: Gaps::Forbidden,
                credit: Some((credit.clone(), 0)),
                stop: stop.clone(),
                steering: None,
            },
            batches,
            arenas,
        )?;
        pool.close();
        let (out, produce) = bounded::<OutputBatch>(OUTPUTS_AHEAD);
        let producer = {
            let progress = progress.clone();
            let spare = shared.spare.clone();
            let on_delivered = move |done: Delivered| {
                for interval in done.batch.offsets.intervals() {
                    progress.done.fetch_add((interval.to - interval.from) as u64, Ordering::Relaxed);
                }
                spare.give(done.batch.bytes);
            };
            let spec = ProducerSpec {
                settings: Settings::producer(broker.bootstrap()).embedded(),
                topics: [spec.incidents, spec.dead_letters].map(|name| OutputTopic { name: name.to_owned(), partitions: PARTITIONS }).into(),
                committer: Some(consumer.committer()),
                credit: Some(credit.clone()),
                abort: abort.clone(),
            };
            Producer::spawn(spec, produce, on_delivered)?
        };
        let emitter = std::thread::Builder::new().name("emit".into()).spawn(move || -> Result<Used, Error> {
            let mut times = TimeText::default();
            let mut looked = Instant::now();
            while let Some(mut output) = pool.recv()? {
                metrics::record_batch(&output.counts, &plan, output.source);
                progress.counts.lock().unwrap_or_else(PoisonError::into_inner).add(&output.counts);
                if let Some(arena) = output.arena.take() {
                    let _ = recycle.try_send(arena);
                }
                let batch = to_batch(&mut output, &plan, &shared, &mut times)?;
                if out.send(batch).is_err() {
                    // The producer has failed; its own error is the one to report.
                    break;
                }
                if looked.elapsed() > STATS_EVERY {
                    looked = Instant::now();
                    plan.tables.reload_changed();
                    metrics::record_index(&pool.index_stats(), &plan);
                    metrics::record_costs(&plan);
                    metrics::record_lag(lag());
                }
            }
            let stats = pool.index_stats();
            metrics::record_index(&stats, &plan);
            let index = (stats.iter().map(|(_, s)| s.keys).sum(), stats.iter().map(|(_, s)| s.bytes).sum());
            Ok(Used { worker_cpu_seconds: pool.finish() as f64 / 1e6, index })
        })?;
        Ok(Engine { broker, credit, topics, consumer, producer, emitter, stop, abort })
    }

    /// `host:port` of the broker.
    pub fn bootstrap(&self) -> &str {
        self.broker.bootstrap()
    }

    /// The broker's credit gate.
    pub fn credit(&self) -> &Arc<Credit> {
        &self.credit
    }

    /// Ends it at once: an error elsewhere.
    pub fn abort(self) {
        self.abort.store(true, Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until the inputs are read to these ends and their output is acknowledged. The
    /// broker lives on in the result, for those who still read.
    ///
    /// # Errors
    /// Why a thread ended early.
    pub fn finish(self, ends: &Ends) -> Result<(Used, EmbeddedBroker), Error> {
        let ends: Vec<(u16, i64)> = ends.iter().filter_map(|(topic, partition, end)| Some((self.topics.number_of(topic, *partition)?, *end))).collect();
        let waited = Instant::now();
        while !self.consumer.progress().reached(&ends) && !self.consumer.is_finished() && waited.elapsed() < DRAIN_MAX {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.stop.store(true, Ordering::Relaxed);
        self.consumer.join()?;
        let used = self.emitter.join().map_err(|_| Error::bug("the emitting thread failed"))??;
        self.producer.join()?;
        Ok((used, self.broker))
    }
}

/// Facts and dead letters of one output as Kafka records.
fn to_batch(output: &mut Output, plan: &Plan, shared: &Shared, times: &mut TimeText) -> Result<OutputBatch, Error> {
    let mut batch = OutputBatch { seq: output.seq, offsets: output.offsets.clone(), ..OutputBatch::default() };
    let mut facts = Vec::new();
    batch.bytes = take_facts(output, plan, &shared.partitions, times, &mut |fact| facts.push(fact));
    let mut fits = true;
    for FactAt { key, fact } in facts {
        fits &= batch.push_written(0, key, fact, 0);
    }
    for letter in output.dead.split(|byte| *byte == b'\n').filter(|letter| !letter.is_empty()) {
        fits &= batch.push(1, &[], letter, 0);
    }
    if fits { Ok(batch) } else { Err(Error::bug("an output batch outgrew 4 GiB")) }
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
