//! The keeper: the one owner of incident state. A member of the group `<pipeline>.keeper` that
//! holds partition p of `incidents` applies its facts in order, through one pure function, and
//! writes the newest version of each incident to partition p of `incident-state`, in one
//! transaction with the position in `incidents`. Nobody else assigns versions.
//!
//! | file | job |
//! |---|---|
//! | `work` | the loop: one thread, one member, one producer |
//! | `batch` | facts folded since the last commit: one state per incident |
//! | `measure` | counters and metrics |
//!
//! The cache, its restoring and the look at the brokers are in [`crate::run::states`].
//!
//! What holds, whatever dies:
//! - A state and the position behind the facts that led to it become visible together, or not
//!   at all: transactions, checked against the membership of the group. A keeper needs brokers that
//!   allow transactions; there is no at-least-once keeper.
//! - The cache is written after the commit, so it is never ahead of the topics. It knows up to
//!   where it is filled; what was committed behind that is read from the topic when a partition is
//!   opened. Without a cache the whole of the partition is read.
//! - After any abort all partitions are opened anew: position from the group, states from the topic.

mod batch;
mod measure;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use measure::KeeperTotals;

use crate::error::Error;
use crate::kafka::{Admin, Error as KafkaError, Settings, Topic};
use crate::run::fencing::Fencing;
use crate::run::health::RoleHealth;
use crate::run::names::Names;
use crate::run::states::store::{Store, StoreSpec};
use work::Keeper;

/// Oldest that a fact becomes before its transaction is committed: a quarter of what a person
/// notices, and enough for thousands of facts.
pub const CUT_AGE: Duration = Duration::from_millis(20);
/// Most bytes of facts and states of one transaction; they are in memory until it is committed.
pub const CUT_BYTES: usize = 4 << 20;
/// Most facts of one transaction (count): well under the time that one may take.
pub const CUT_FACTS: u64 = 5_000;
/// Longest wait for answers about the cluster.
const ADMIN_WAIT: Duration = Duration::from_secs(30);
/// The record size of Kafka's topics and of librdkafka when nothing is said, in bytes.
const RECORD_BYTES_DEFAULT: usize = 1_000_000;

/// What a keeper needs.
pub struct KeeperSpec {
    /// Topics and group.
    pub names: Names,
    /// Our static id in the group.
    pub instance: String,
    /// The member of the group: [`Settings::member`] with [`Names::keeper_group`].
    pub member: Settings,
    /// Its producer: [`Settings::transactional`] with the id of the role `keeper`.
    pub transactional: Settings,
    /// For reading `incident-state`: [`Settings::reader`].
    pub reader: Settings,
    /// For questions: [`Settings::admin`].
    pub admin: Settings,
    /// Where states are cached; see [`store_dir`].
    pub store_dir: PathBuf,
    /// Memory of the cache, in bytes: the share `keeper` of the limits.
    pub memory_bytes: u64,
    /// Where it tells whether partitions are read, and what keeps it from working.
    pub health: Arc<RoleHealth>,
    /// How often in a row its group took it for replaced; outlives one run.
    pub fencing: Arc<Fencing>,
}

/// The directory of the cache of one member.
pub fn store_dir(state_dir: &Path, pipeline: &str, instance: &str) -> PathBuf {
    state_dir.join(format!("{pipeline}-{instance}.keeper"))
}

/// Keeps incidents until `stop` is set; what was read by then is committed.
///
/// # Errors
/// Topics that are missing or do not fit together, brokers that refuse or stay away, a cache that
/// cannot be written. Nothing is lost by any of them: run it again.
pub fn run(spec: &KeeperSpec, stop: &Arc<AtomicBool>) -> Result<KeeperTotals, Error> {
    let cache_failed = AtomicBool::new(false);
    let done = kept(spec, stop, &cache_failed);
    spec.health.set_reading(false);
    match done {
        // Everything that was read is committed, or is read again: the cache is no reason to fail.
        Err(error) if stop.load(Ordering::Relaxed) && cache_failed.load(Ordering::Relaxed) => {
            tracing::warn!(%error, "stopped without its cache");
            Ok(KeeperTotals::default())
        }
        done => done,
    }
}

fn kept(spec: &KeeperSpec, stop: &Arc<AtomicBool>, cache_failed: &AtomicBool) -> Result<KeeperTotals, Error> {
    let admin = Admin::connect(&spec.admin, ADMIN_WAIT)?;
    let (facts, states) = topics(spec, &admin)?;
    let store = StoreSpec {
        what: "incident states",
        dir: spec.store_dir.clone(),
        identity: format!("{} {} {} {}", spec.names.pipeline, admin.cluster_id(), facts.identity(), states.identity()),
        partitions: states.partitions,
        memory_bytes: spec.memory_bytes,
    };
    let record_bytes_max = record_bytes(spec, &admin)?;
    let store = Store::open(&store).inspect_err(|_| cache_failed.store(true, Ordering::Relaxed))?;
    let mut keeper = Keeper::start(spec, admin, store, cache_failed, states.partitions, record_bytes_max)?;
    let done = keeper.run(stop);
    keeper.end(done)
}

/// Both topics, which must have the same partitions: an incident's state is in the partition of its facts.
fn topics(spec: &KeeperSpec, admin: &Admin) -> Result<(Topic, Topic), Error> {
    let names = [spec.names.incidents.as_str(), spec.names.incident_state.as_str()];
    let found = admin.existing(&names).map_err(|error| {
        let missing = matches!(error, KafkaError::NoSuchTopic { .. });
        let error = Error::from(error);
        if missing { error.hint(format!("`catchment topics` with the pipeline `{}` and --create makes it", spec.names.pipeline)) } else { error }
    })?;
    let [facts, states] = <[Topic; 2]>::try_from(found).map_err(|_| Error::bug("two topics were asked for"))?;
    if facts.partitions != states.partitions {
        let message = format!("`{}` has {} partitions and `{}` has {}: they must have the same", facts.name, facts.partitions, states.name, states.partitions);
        return Err(
            Error::user(message).hint("a topic can get more partitions, not fewer; incidents keep the partition of their facts only in topics that never grew")
        );
    }
    Ok((facts, states))
}

/// The largest record that the topic takes.
fn record_bytes(spec: &KeeperSpec, admin: &Admin) -> Result<usize, Error> {
    let configs = admin.configs(&[&spec.names.incident_state])?;
    let found = configs.first().and_then(|configs| configs.get("max.message.bytes")).and_then(|config| config.value.parse().ok());
    Ok(found.unwrap_or(RECORD_BYTES_DEFAULT))
}
