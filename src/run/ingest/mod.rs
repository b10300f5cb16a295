//! The ingest role: events from Kafka through the stages, facts to Kafka, exactly once.
//!
//! | thread | does |
//! |---|---|
//! | poll thread (`kafka::Consumer`) | reads, cuts batches; obeys [`steer`] |
//! | workers (`ingest::pool`) | all stages |
//! | `emit` | outputs in order → records |
//! | [`writer`] | transactions |
//! | [`prepare`] | committed offsets and indexes of partitions that are given to us |
//! | `watch` | lag and sizes for metrics and health |

pub mod begin;
pub mod gate;
pub mod prepare;
pub mod records;
mod steer;
mod watch;
pub mod writer;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::config::limits::MemoryShares;
use crate::config::model::{Source, Start};
use crate::error::Error;
use crate::ingest::decide::Scope;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::files::BATCH_ROWS_MAX;
use crate::ingest::plan::Plan;
use crate::ingest::pool::Pool;
use crate::ingest::worker::Shared;
use crate::kafka::{Admin, Consumer, ConsumerSpec, Cut, Delivery, Gaps, OutputTopic, Settings, SourceTopic, SourceTopics, has_patterns};
use crate::run::fencing::Fencing;
use crate::run::health::RoleHealth;
use crate::run::names::Names;
use crate::serve::latency::EVENT_TO_INCIDENT;
use crate::serve::metrics;
use begin::{Asked, Seen};
use gate::Gate;
use records::Encoder;
use steer::{Note, Steer};
use writer::{Chunk, TxnCut, WriterSpec};

/// Batches between the workers and the writer (count): what a transaction is filled with
/// while the one before commits.
const CHUNKS_AHEAD: usize = 8;
/// Arenas kept for reuse (count).
const ARENAS_KEPT: usize = 16;
/// How long the brokers may take to answer questions.
const ADMIN_WAIT: Duration = Duration::from_secs(15);
/// Room that a record's own framing needs below the topic's limit, in bytes: batch header,
/// key, times, and the fact around an incident.
pub(super) const FRAMING_BYTES: usize = 1024;
/// Least `max.message.bytes` with which an incident, and what a rule remembers of one, always fits.
const MESSAGE_BYTES_MIN: usize = 128 << 10;
/// `max.message.bytes` where a topic does not say (Kafka's default).
const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// What the role needs.
#[derive(Clone)]
pub struct IngestSpec {
    /// The compiled pipeline.
    pub plan: Arc<Plan>,
    /// Its sources, with the topics that feed them.
    pub sources: Vec<Source>,
    /// Topics and groups.
    pub names: Names,
    /// The brokers.
    pub bootstrap: String,
    /// The user's librdkafka properties.
    pub properties: BTreeMap<String, String>,
    /// This member's name.
    pub instance: String,
    /// What is promised.
    pub delivery: Delivery,
    /// When a transaction is cut.
    pub cut: TxnCut,
    /// How long a dead member's transaction locks its partitions.
    pub txn_timeout: Duration,
    /// How long a batch waits for more events.
    pub batch_linger: Duration,
    /// Worker threads.
    pub workers: usize,
    /// How memory is divided.
    pub shares: MemoryShares,
    /// Limits of the decoder.
    pub decode: DecodeLimits,
    /// How often in a row the group took this member for replaced.
    pub fencing: Arc<Fencing>,
    /// What this process has seen of the input.
    pub seen: Arc<Seen>,
}

/// How the role ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was told to.
    Stopped,
    /// There is another pipeline, or the topics of the input have changed: start again.
    Changed,
}

/// Runs until `stop` or `swap` is raised; then everything read is written and committed.
///
/// # Errors
/// What ended it early. Nothing is lost: the next start goes on from the committed offsets.
pub fn run(spec: &IngestSpec, stop: &Arc<AtomicBool>, swap: &AtomicBool, health: &Arc<RoleHealth>) -> Result<Ended, Error> {
    let began = Instant::now();
    let reader = Settings::reader(&spec.bootstrap).with_user(&spec.properties)?;
    let admin = Arc::new(Admin::connect(&reader, ADMIN_WAIT)?);
    // Names first: a topic that comes in between is new to the next start.
    let names = has_patterns(&spec.sources).then(|| admin.topic_names()).transpose()?;
    let input = Input::find(&spec.sources, &spec.names.own(), &admin)?;
    let begins = spec.seen.begin(&input.asked(&spec.sources), names, &spec.names.ingest_group, &admin)?;
    let topics = Arc::new(input.topics);
    let [facts, dead_letters, index] = outputs(spec, &admin)?;
    let message_bytes = message_bytes(&[&spec.names.incidents, &spec.names.dead_letters, &spec.names.index], &admin)?;
    let inputs = topics.topics().iter().map(|topic| topic.name.clone()).zip(input.identities.iter().cloned());
    let outputs = [(&spec.names.incidents, &facts), (&spec.names.dead_letters, &dead_letters), (&spec.names.index, &index)];
    let identities: Vec<(String, String)> = inputs.chain(outputs.map(|(name, (_, identity))| (name.clone(), identity.clone()))).collect();

    let partitions = topics.partitions().len();
    let plan = spec.plan.clone();
    let mut decide = plan.decide.clone();
    // The bound is per shard; a member can be given all partitions.
    decide.index_bytes_max = usize::try_from(spec.shares.index + spec.shares.candidates).unwrap_or(usize::MAX) / partitions.max(1);
    decide.at_least_once = spec.delivery == Delivery::AtLeastOnce;
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        partitions: topics.partitions().clone(),
        cluster: admin.cluster_id().to_owned(),
        arrival: None,
        fingerprint_key: fingerprint_key(admin.cluster_id(), &index.1, &plan.name),
        decode: spec.decode,
        record_bytes_max: Some(message_bytes.saturating_sub(FRAMING_BYTES)),
        trace: false,
        decide: Some(decide.clone()),
        facts: true,
        spare: Default::default(),
    });

    let gate = Arc::new(Gate::default());
    let epochs: Arc<[AtomicU32]> = (0..partitions).map(|_| AtomicU32::new(0)).collect();
    let positions: Arc<[AtomicI64]> = (0..partitions).map(|_| AtomicI64::new(-1)).collect();
    let changed = Arc::new(AtomicBool::new(false));
    let ending = Arc::new(AtomicBool::new(false));
    let rejoin = Arc::new(AtomicBool::new(false));
    let together = decide.scope == Scope::Process;
    let consumer_stop = Arc::new(AtomicBool::new(false));
    let helpers_stop = Arc::new(AtomicBool::new(false));
    let (note, notes) = unbounded::<Note>();
    let (task, tasks) = unbounded();

    let mut pool = Pool::start(shared.clone(), spec.workers)?;
    let (recycle, arenas) = bounded(ARENAS_KEPT);
    let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
    let member_settings =
        Settings::member(&spec.bootstrap, &spec.names.ingest_group, &spec.instance).prefetch(spec.shares.fetch).with_user(&spec.properties)?;
    let consumer = Consumer::spawn(
        ConsumerSpec {
            settings: member_settings,
            topics: topics.clone(),
            cut: Cut { bytes: crate::ingest::files::batch_bytes(&plan), rows: BATCH_ROWS_MAX, linger: spec.batch_linger },
            gaps: Gaps::Legal,
            credit: None,
            stop: consumer_stop.clone(),
            steering: Some(Box::new(Steer::new(gate.clone(), epochs.clone(), notes, task, together, rejoin.clone(), changed.clone()))),
        },
        batches,
        arenas,
    )?;
    pool.close();
    let member = consumer.membership();

    let preparing = {
        let prepare = prepare::PrepareSpec {
            topics: topics.clone(),
            begins,
            identities: input.identities,
            health: health.clone(),
            member: member.clone(),
            reader: reader.clone(),
            index_topic: spec.names.index.clone(),
            index_partitions: index.0,
            decide: decide.clone(),
            epochs: epochs.clone(),
            positions: positions.clone(),
            stop: helpers_stop.clone(),
        };
        let (admin, note) = (admin.clone(), note.clone());
        std::thread::Builder::new().name("prepare".into()).spawn(move || prepare::run(&prepare, &admin, &tasks, &note))?
    };

    let transactional = match spec.delivery {
        Delivery::ExactlyOnce => Settings::transactional(&spec.bootstrap, &spec.names.transactional_id("ingest", &spec.instance), spec.txn_timeout),
        Delivery::AtLeastOnce => Settings::producer(&spec.bootstrap).only_failures(),
    };
    let transactional = transactional.message_bytes(message_bytes).with_user(&spec.properties)?;
    let (out, chunks) = bounded::<Chunk>(CHUNKS_AHEAD);
    let turnstile = pool.turnstile();
    let on_commit = {
        let (plan, turnstile) = (plan.clone(), turnstile.clone());
        Box::new(move |chunks: &[Chunk]| committed(chunks, &plan, &turnstile))
    };
    let topic = |name: &str, partitions: i32| OutputTopic { name: name.to_owned(), partitions };
    let writing = writer::spawn(
        WriterSpec {
            settings: transactional,
            delivery: spec.delivery,
            topics: vec![topic(&spec.names.incidents, facts.0), topic(&spec.names.dead_letters, dead_letters.0), topic(&spec.names.index, index.0)],
            member,
            partitions: topics.partitions().clone(),
            plan: plan.clone(),
            gate: gate.clone(),
            cut: spec.cut,
            positions: positions.clone(),
            progress: consumer.progress().clone(),
            spare: shared.spare.clone(),
            stop: ending.clone(),
            health: health.clone(),
            changed: changed.clone(),
        },
        chunks,
        on_commit,
    )?;
    let watching = watch::spawn(watch::WatchSpec {
        admin: admin.clone(),
        topics: topics.clone(),
        positions: positions.clone(),
        turnstile,
        plan: plan.clone(),
        progress: consumer.progress().clone(),
        health: health.clone(),
        identities,
        changed: changed.clone(),
        sources: spec.sources.clone(),
        except: spec.names.own().iter().map(|name| (*name).to_owned()).collect(),
        group: spec.names.ingest_group.clone(),
        instance: spec.instance.clone(),
        rejoin,
        stop: helpers_stop.clone(),
    })?;
    let emitting = {
        let (plan, shared) = (plan.clone(), shared.clone());
        std::thread::Builder::new().name("emit".into()).spawn(move || -> Result<(), Error> {
            let mut encoder = Encoder::new(&plan, &shared);
            while let Some(mut output) = pool.recv()? {
                if let Some(acted) = &output.control {
                    let _ = note.send(Note::Acted(acted.clone()));
                }
                if let Some(arena) = output.arena.take() {
                    let _ = recycle.try_send(arena);
                }
                let chunk = encoder.chunk(&mut output)?;
                if out.send(chunk).is_err() {
                    // The writer has failed; its own error is the one to report.
                    break;
                }
            }
            pool.finish();
            Ok(())
        })?
    };

    while !stop.load(Ordering::Relaxed)
        && !swap.load(Ordering::Relaxed)
        && !changed.load(Ordering::Relaxed)
        && !consumer.is_finished()
        && !writing.is_finished()
        && !emitting.is_finished()
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    consumer_stop.store(true, Ordering::Relaxed);
    ending.store(true, Ordering::Relaxed);
    let read = consumer.join();
    let emitted = emitting.join().unwrap_or_else(|_| Err(Error::bug("the emitting thread failed")));
    let written = writing.join().unwrap_or(Err(crate::kafka::Error::Thread { name: "writer", problem: "panicked" }));
    helpers_stop.store(true, Ordering::Relaxed);
    let _ = preparing.join();
    let _ = watching.join();
    health.set_reading(false);
    if matches!(read, Err(crate::kafka::Error::Fenced)) {
        return Err(spec.fencing.judge(began.elapsed()));
    }
    emitted?;
    let totals = written?;
    read?;
    tracing::info!(transactions = totals.transactions, records = totals.records, aborted = totals.aborted, "ingest ended");
    Ok(if stop.load(Ordering::Relaxed) { Ended::Stopped } else { Ended::Changed })
}

/// Books what a transaction made true.
fn committed(chunks: &[Chunk], plan: &Plan, turnstile: &crate::ingest::turnstile::Turnstile) {
    let now = crate::kafka::now_us();
    for chunk in chunks {
        metrics::record_batch(&chunk.counts, plan, chunk.source);
        let stored = chunk.batch.records.iter().filter(|record| record.origin_us > 0);
        EVENT_TO_INCIDENT.record(stored.map(|record| u64::try_from(now.saturating_sub(record.origin_us)).unwrap_or(0)));
    }
    if let Some(last) = chunks.last() {
        turnstile.committed(last.batch.seq);
    }
}

/// The input as the cluster has it.
pub(super) struct Input {
    pub(super) topics: SourceTopics,
    identities: Vec<String>,
}

impl Input {
    /// The topics of these sources; `except`: what patterns do not mean.
    pub(super) fn find(sources: &[Source], except: &[&str], admin: &Admin) -> Result<Input, Error> {
        let found = admin.sources(sources, except)?;
        let missing: Vec<&str> = found.iter().filter(|(_, _, topic)| topic.is_none()).map(|(_, name, _)| name.as_str()).collect();
        if !missing.is_empty() {
            return Err(Error { retry: false, ..Error::environment(format!("input topics that do not exist: {}", missing.join(", "))) }
                .hint("create them where their producer lives, or for a trial with `catchment topics PIPELINE --create --create-inputs 6`"));
        }
        if found.is_empty() {
            return Err(Error::environment("no topic feeds this pipeline").hint("no topic of the cluster matches the patterns of its sources"));
        }
        let (mut topics, mut identities) = (Vec::new(), Vec::new());
        for (source, name, topic) in found {
            let Some(topic) = topic else { continue };
            identities.push(topic.identity());
            topics.push(SourceTopic {
                name,
                partitions: topic.partitions,
                source,
                headers: true,
                start: crate::kafka::Start::Earliest,
                identity: Some(topic.identity()),
            });
        }
        Ok(Input { topics: SourceTopics::new(topics)?, identities })
    }

    fn asked(&self, sources: &[Source]) -> Vec<Asked> {
        let start = |source: u16| sources.get(source as usize).map_or(Start::Latest, |source| source.start);
        let asked = |(topic, identity): (&SourceTopic, &String)| Asked {
            name: topic.name.clone(),
            identity: identity.clone(),
            partitions: topic.partitions,
            start: start(topic.source),
        };
        self.topics.topics().iter().zip(&self.identities).map(asked).collect()
    }
}

/// Partitions and identity of facts, dead letters, index.
fn outputs(spec: &IngestSpec, admin: &Admin) -> Result<[(i32, String); 3], Error> {
    let names = [spec.names.incidents.as_str(), spec.names.dead_letters.as_str(), spec.names.index.as_str()];
    let found = admin.topics(&names)?;
    let missing: Vec<&str> = names.iter().zip(&found).filter(|(_, topic)| topic.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(Error { retry: false, ..Error::environment(format!("output topics that do not exist: {}", missing.join(", "))) }
            .hint("`catchment topics PIPELINE --create` makes them"));
    }
    let mut all = found.into_iter().flatten().map(|topic| (topic.partitions, topic.identity()));
    match (all.next(), all.next(), all.next()) {
        (Some(facts), Some(dead_letters), Some(index)) => Ok([facts, dead_letters, index]),
        _ => Err(Error::bug("the cluster described fewer topics than it was asked for")),
    }
}

/// The smallest `max.message.bytes` of the topics that are written.
pub(super) fn message_bytes(names: &[&str], admin: &Admin) -> Result<usize, Error> {
    let configs = admin.configs(names)?;
    let limit = |config: &BTreeMap<String, crate::kafka::ConfigValue>| config.get("max.message.bytes").and_then(|value| value.value.parse::<usize>().ok());
    let limits = configs.iter().map(|config| limit(config).unwrap_or(MESSAGE_BYTES_DEFAULT));
    let (bytes, name) = limits.zip(names.iter().copied()).min().unwrap_or((MESSAGE_BYTES_DEFAULT, ""));
    if bytes < MESSAGE_BYTES_MIN {
        return Err(Error { retry: false, ..Error::environment(format!("the topic {name} takes records of {bytes} bytes at most (max.message.bytes)")) }
            .hint(format!("set it to {MESSAGE_BYTES_MIN} or more")));
    }
    Ok(bytes)
}

/// The secret of fingerprints: the same for all members and as long as the index topic lives, and
/// unknown to whoever only writes events (ids of clusters and topics are random).
pub(super) fn fingerprint_key(cluster: &str, index_topic: &str, pipeline: &str) -> [u8; 16] {
    let mut hash = SipHasher13::new_with_key(b"catchment prints");
    for part in [cluster, index_topic, pipeline] {
        hash.write(&(part.len() as u64).to_le_bytes());
        hash.write(part.as_bytes());
    }
    hash.finish128().as_bytes()
}
