//! `demo`: the driver of `load` with an engine of its own on the embedded broker. A flood
//! as fast as it goes, then a calm part at a third of the flood's speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::answers::Difference;
use super::audit::{Ids, Verdict};
use super::book::Book;
use super::engine::{CLUSTER, Engine, EngineSpec, PARTITIONS, Progress, Stage, named};
use super::latency::{Percentiles, percentiles};
use super::live::Live as Sending;
use super::pace::{Clock, Pace};
use super::send::{Outlet, Sender, SenderSpec};
use super::tail::{Ends, Keep, Tail, TailSpec};
use super::{Generator, GeneratorSpec};
use crate::error::Error;
use crate::ingest::ledger;
use crate::ingest::plan::Plan;
use crate::kafka::{EmbeddedBroker, Feeder, Settings, TopicReader};

/// Longest wait for the queue to run empty between flood and calm.
const CALM_WAIT_MAX: Duration = Duration::from_secs(600);
/// How long the audit waits for records that the broker has acknowledged.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Slowest calm part (events per second).
const CALM_RATE_MIN: f64 = 100.0;

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
    /// What was sent and read back.
    pub sending: Arc<Sending>,
    /// What the engine did.
    pub engine: Arc<Progress>,
    /// True in the calm part at the end.
    pub calm: AtomicBool,
}

impl Live {
    /// Messages that are sent and not done.
    pub fn lag(&self) -> u64 {
        lag(&self.sending, &self.engine)
    }
}

fn lag(sending: &Sending, engine: &Progress) -> u64 {
    sending.messages.load(Ordering::Relaxed).saturating_sub(engine.done.load(Ordering::Relaxed))
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
    /// Messages per second of the calm part.
    pub calm_rate: f64,
    /// Latency in the flood, where events queue.
    pub latency_flood: Percentiles,
    /// Latency in the calm part.
    pub latency_calm: Percentiles,
    /// CPU seconds of the workers.
    pub worker_cpu_seconds: f64,
    /// Keys and bytes of the indexes at the end.
    pub index: (u64, u64),
}

/// What was sent in which time.
struct Sent {
    flood: (f64, u64),
    calm_rate: f64,
    /// `None` if there was no calm part.
    latency_flood: Option<Percentiles>,
}

/// Runs to the end. `live` shows the progress; `keep` takes down facts; `stop` ends it early.
///
/// # Errors
/// What could not be started, or failed on the way.
pub fn drive(spec: &DriveSpec, live: &Live, keep: Option<Keep>, stop: Arc<AtomicBool>) -> Result<DriveReport, Error> {
    let clock = Clock::start();
    let engine_spec = EngineSpec {
        plan: spec.plan.clone(),
        inputs: &spec.topics,
        incidents: &spec.incidents_topic,
        dead_letters: &spec.dead_letters_topic,
        workers: spec.workers,
    };
    let stage = Stage::start(&engine_spec)?;
    let outputs = [(spec.incidents_topic.as_str(), PARTITIONS), (spec.dead_letters_topic.as_str(), PARTITIONS)];
    let shelves = spec.topics.iter().flat_map(|(name, _)| (0..PARTITIONS).map(move |partition| (name.clone(), partition, 0)));
    let book = Arc::new(Book::new(shelves.collect(), true));
    // From the end to the beginning, so that nothing is produced that nobody reads.
    let tail = Tail::spawn(TailSpec {
        reader: TopicReader::open(&Settings::reader(stage.broker.bootstrap()).embedded(), &outputs, Some((&stage.credit, 0)))?,
        incidents: spec.incidents_topic.clone(),
        dead_letters: spec.dead_letters_topic.clone(),
        book: book.clone(),
        ids: ids(spec).map(Arc::new),
        clock,
        live: live.sending.clone(),
        metrics: true,
        keep,
    })?;
    let of_metrics = (live.sending.clone(), live.engine.clone());
    let engine = Engine::start(stage, &engine_spec, live.engine.clone(), move || lag(&of_metrics.0, &of_metrics.1))?;
    let feeder = Feeder::start(&Settings::feeder(engine.bootstrap()), engine.credit(), stop.clone())?;
    let generator = Generator::new(spec.generate.clone()).map_err(|error| Error::bug(error.to_string()))?;
    let sender = SenderSpec {
        outlet: Outlet::Embedded(feeder),
        topics: spec.topics.iter().map(|(name, _)| (name.clone(), PARTITIONS)).collect(),
        keyed: true,
        book: book.clone(),
        live: live.sending.clone(),
        clock,
    };
    let mut sender = Sender::new(sender, Ahead::start(generator)?);
    let sent = match feed(spec, &mut sender, &tail, live, &stop) {
        Ok(sent) => sent,
        Err(error) => {
            engine.abort();
            // What it found no longer matters: the error does.
            let _ = tail.abort();
            return Err(error);
        }
    };
    let ends: Ends = book.ranges().into_iter().map(|(topic, partition, _, end)| (topic, partition, end)).collect();
    let (used, broker) = engine.finish(&ends)?;
    let ends = output_ends(&broker, &outputs)?;
    let tailed = tail.finish(ends, TAIL_WAIT_MAX)?;
    drop(broker);

    let (expected, _) = sender.finish();
    let counts = live.engine.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let verdict = tailed.found.verdict(&expected, &book, ids(spec).as_ref(), Some(named(&counts, &spec.plan)));
    let mut audit = Vec::new();
    if !counts.adds_up() {
        audit.push(format!("the ledger: {} events read, {} ended", counts.events, counts.ended()));
    }
    let Verdict { facts, ledger_differences, .. } = &verdict;
    let (facts, differences) = (*facts, ledger_differences.clone());
    audit.extend(Verdict { ledger_differences: Vec::new(), ..verdict }.lines());
    // Without a calm part everything was the flood.
    let rest = percentiles(&tailed.latencies);
    let (latency_flood, latency_calm) = sent.latency_flood.map_or((rest, Percentiles::default()), |flood| (flood, rest));
    Ok(DriveReport {
        differences,
        audit,
        facts,
        flood: sent.flood,
        calm_rate: sent.calm_rate,
        latency_flood,
        latency_calm,
        worker_cpu_seconds: used.worker_cpu_seconds,
        index: used.index,
        counts,
    })
}

/// On the embedded broker a topic's name stands for its id.
fn ids(spec: &DriveSpec) -> Option<Ids> {
    let topics = spec.topics.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
    Some(Ids { tenant: spec.plan.tenant.as_deref()?.to_owned(), pipeline: spec.plan.name.to_string(), cluster: CLUSTER.to_owned(), topics })
}

/// Feeds all events: a flood, then a calm part at a third of the flood's speed.
fn feed(spec: &DriveSpec, sender: &mut Sender, tail: &Tail, live: &Live, stop: &AtomicBool) -> Result<Sent, Error> {
    let calm = spec.calm_share.clamp(0.0, 1.0);
    let flood_events = (spec.generate.events as f64 * (1.0 - calm)) as u64;
    let started = Instant::now();
    let flood = sender.run(Pace::Max, if calm > 0.0 { flood_events } else { u64::MAX }, None, stop, &|| false)?;
    // Let the queue run empty, then go on slowly.
    sender.flush(CALM_WAIT_MAX)?;
    while live.lag() > 0 && started.elapsed() < CALM_WAIT_MAX && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut sent = Sent { flood: (seconds, flood.messages), calm_rate: 0.0, latency_flood: None };
    if calm > 0.0 && !stop.load(Ordering::Relaxed) {
        tail.settle();
        sent.latency_flood = Some(percentiles(&tail.take_latencies(sender.now_us())));
        live.calm.store(true, Ordering::Relaxed);
        let pace = Pace::PerSecond((flood.events as f64 / seconds / 3.0).max(CALM_RATE_MIN));
        let calm = sender.run(pace, u64::MAX, None, stop, &|| false)?;
        sent.calm_rate = calm.messages as f64 / calm.seconds.max(1e-3);
        sender.flush(CALM_WAIT_MAX)?;
    }
    Ok(sent)
}

/// Where the output topics end now.
fn output_ends(broker: &EmbeddedBroker, outputs: &[(&str, i32)]) -> Result<Ends, Error> {
    let mut ends = Ends::new();
    for (name, partitions) in outputs {
        for partition in 0..*partitions {
            ends.push(((*name).to_owned(), partition, broker.end(name, partition, TAIL_WAIT_MAX)?));
        }
    }
    Ok(ends)
}
