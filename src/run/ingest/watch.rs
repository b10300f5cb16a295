//! Looks now and then at what moves slowly: lag, indexes, lookup tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::model::Source;
use crate::ingest::plan::Plan;
use crate::ingest::turnstile::Turnstile;
use crate::kafka::{Admin, Progress, SourceTopics, has_patterns, source_topics};
use crate::run::health::RoleHealth;
use crate::run::orphans::Orphans;
use crate::serve::metrics;

/// Between two looks at lookup tables and indexes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two questions to the brokers about the ends of partitions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for topics that match a pattern: on a large cluster they are many.
const TOPICS_EVERY: Duration = Duration::from_secs(10);
/// Under which name trouble is told.
const PART: &str = "brokers";
/// How quickly the stop flag is noticed.
const STEP: Duration = Duration::from_millis(50);

/// What is looked at.
pub struct WatchSpec {
    /// For questions.
    pub admin: Arc<Admin>,
    /// The input.
    pub topics: Arc<SourceTopics>,
    /// Committed offsets, -1 = not ours or not known.
    pub positions: Arc<[AtomicI64]>,
    /// The indexes.
    pub turnstile: Arc<Turnstile>,
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// What the poll thread does.
    pub progress: Arc<Progress>,
    /// Where readiness is told.
    pub health: Arc<RoleHealth>,
    /// Topics with what identified them at the start: input and outputs.
    pub identities: Vec<(String, String)>,
    /// Raised when one of them is another now, or gone.
    pub changed: Arc<AtomicBool>,
    /// The sources, whose patterns may match new topics.
    pub sources: Vec<Source>,
    /// What the pipeline writes: never found by a pattern.
    pub except: Vec<String>,
    /// The group of the members, and which of them we are.
    pub group: String,
    /// As above.
    pub instance: String,
    /// Raised when partitions must be divided anew.
    pub rejoin: Arc<AtomicBool>,
    /// Ends the thread.
    pub stop: Arc<AtomicBool>,
}

/// Starts the thread.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(spec: WatchSpec) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("watch".into()).spawn(move || watch(&spec))
}

fn watch(spec: &WatchSpec) {
    look(spec);
    spec.health.tell(PART, None);
}

fn look(spec: &WatchSpec) {
    let mut orphans = Orphans::new(&spec.group, &spec.instance);
    let topics: Vec<(&str, i32)> = spec.topics.topics().iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
    let (mut looked, mut searched, mut asked) = (Instant::now(), Instant::now(), Instant::now() - ASK_EVERY);
    while !spec.stop.load(Ordering::Relaxed) {
        std::thread::sleep(STEP);
        spec.health.set_reading(spec.progress.assigned());
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            spec.plan.tables.reload_changed();
            metrics::record_index(&spec.turnstile.stats(), &spec.plan);
            metrics::record_costs(&spec.plan);
        }
        if searched.elapsed() >= TOPICS_EVERY {
            searched = Instant::now();
            if let Some(topic) = appeared(spec) {
                tracing::info!(topic, "a new topic feeds this pipeline: all begins anew with it");
                spec.changed.store(true, Ordering::Release);
            }
        }
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            match lag(spec) {
                Ok(lag) => {
                    spec.health.tell(PART, None);
                    metrics::record_lag(lag);
                }
                Err(error) => {
                    tracing::debug!(%error, "the lag is not known");
                    if error.retryable() {
                        spec.health.tell(PART, Some(format!("the brokers do not answer: {error}")));
                    }
                }
            }
            if orphans.look(&spec.admin, &topics) {
                spec.rejoin.store(true, Ordering::Release);
            }
            if changed(spec) {
                spec.changed.store(true, Ordering::Release);
            }
        }
    }
}

/// A topic that matches a pattern of a source and is not read yet.
fn appeared(spec: &WatchSpec) -> Option<String> {
    if !has_patterns(&spec.sources) {
        return None;
    }
    let existing = spec.admin.topic_names().ok()?;
    let except: Vec<&str> = spec.except.iter().map(String::as_str).collect();
    let known = |name: &str| spec.topics.topics().iter().any(|topic| topic.name == name);
    source_topics(&spec.sources, &existing, &except).into_iter().map(|(_, name)| name).find(|name| !known(name))
}

/// True if a topic is not the one of the start: its offsets and its sequence numbers mean nothing any more,
/// and on the index topic's identity rest the fingerprints. Or if one that is read has more partitions:
/// mostly the group gives them to somebody before this is seen.
fn changed(spec: &WatchSpec) -> bool {
    let names: Vec<&str> = spec.identities.iter().map(|(name, _)| name.as_str()).collect();
    // Brokers that do not answer, or not to us, say nothing about topics.
    let Ok(found) = spec.admin.topics(&names) else { return false };
    for ((name, identity), topic) in spec.identities.iter().zip(&found) {
        let Some(topic) = topic.as_ref().filter(|topic| topic.identity() == *identity) else {
            tracing::error!(topic = name, "this topic was deleted (and perhaps made again) while we ran: all begins anew with the topics as they are now");
            return true;
        };
        let read = spec.topics.topics().iter().find(|read| read.name == *name);
        if read.is_some_and(|read| topic.partitions > read.partitions) {
            tracing::info!(topic = name, partitions = topic.partitions, "this topic has more partitions now: reading begins anew to take them in");
            return true;
        }
    }
    false
}

/// Records between the committed offsets of our partitions and their ends.
fn lag(spec: &WatchSpec) -> Result<u64, crate::kafka::Error> {
    let mut lag = 0;
    let mut number = 0;
    for topic in spec.topics.topics() {
        let owned: Vec<i64> =
            (0..topic.partitions).map(|partition| spec.positions.get(number + partition as usize).map_or(-1, |p| p.load(Ordering::Acquire))).collect();
        number += topic.partitions as usize;
        if owned.iter().all(|position| *position < 0) {
            continue;
        }
        let ends = spec.admin.watermarks(&topic.name, topic.partitions)?;
        lag +=
            ends.iter().zip(&owned).filter(|(_, position)| **position >= 0).map(|((_, end), position)| u64::try_from(end - position).unwrap_or(0)).sum::<u64>();
    }
    Ok(lag)
}
