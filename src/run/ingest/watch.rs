//! Looks now and then at what moves slowly: lag, indexes, lookup tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ingest::plan::Plan;
use crate::ingest::turnstile::Turnstile;
use crate::kafka::{Admin, Progress, SourceTopics};
use crate::run::health::RoleHealth;
use crate::serve::metrics;

/// Between two looks at lookup tables and indexes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two questions to the brokers about the ends of partitions.
const ASK_EVERY: Duration = Duration::from_secs(5);
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
    let (mut looked, mut asked) = (Instant::now(), Instant::now() - ASK_EVERY);
    while !spec.stop.load(Ordering::Relaxed) {
        std::thread::sleep(STEP);
        spec.health.set_reading(spec.progress.assigned());
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            spec.plan.tables.reload_changed();
            metrics::record_index(&spec.turnstile.stats(), &spec.plan);
        }
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            match lag(spec) {
                Ok(lag) => metrics::record_lag(lag),
                Err(error) => tracing::debug!(%error, "the lag is not known"),
            }
        }
    }
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
