//! Playbooks on Kafka: the role `respond`. A member of the group `<pipeline>.respond` that holds
//! partition p of `incidents` runs the playbooks of its incidents; their states are in partition p
//! of `runs`.
//!
//! | file | job |
//! |---|---|
//! | `work` | the loop: one thread, one member, one producer, one coordinator |
//! | `partitions` | partitions come and go: runs are taken over, and given up |
//! | `intake` | facts that start runs, and what people say |
//! | `journal` | a batch is a transaction; the cache of states |
//! | `facts` | what runs did, as facts and entries of the war room |
//! | `lease` | until when calls may begin |
//! | `pool` | the threads on which calls are done |
//! | `scout` | looks ahead for what is urgent, where facts have piled up |
//! | `surroundings` | what files and people say, laid over each other; texts of versions |
//! | `control` | what people paused, in which mode the others are, texts of pinned playbooks |
//! | `measure` | counters and metrics |
//!
//! What holds, whatever dies:
//! - A run is accepted in one transaction with the position behind the fact that started it; its id
//!   follows from that fact, so it is accepted once.
//! - A call begins after the state that names it is committed by a transaction that the group checked,
//!   not longer ago than the session less a margin; what follows from its result begins after that is
//!   committed. Whoever takes a run over repeats only calls without a committed result.
//! - After any abort all partitions are opened anew from the topics; calls that this process has
//!   under way then are known to be, and their results count.

mod control;
mod facts;
mod intake;
mod journal;
mod lease;
mod measure;
mod partitions;
mod pool;
mod scout;
mod surroundings;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use lease::Lease;
pub use measure::{RespondTotals, Sizes};

use super::setup::Setup;
use crate::error::Error;
use crate::kafka::{Admin, Error as KafkaError, Settings, Topic};
use crate::run::Names;
use crate::run::fencing::Fencing;
use crate::run::health::RoleHealth;
use crate::run::states::store::{Store, StoreSpec};
use work::Responder;

/// Longest wait for answers about the cluster.
const ADMIN_WAIT: Duration = Duration::from_secs(30);
/// The record size of Kafka's topics and of librdkafka when nothing is said, in bytes.
const RECORD_BYTES_DEFAULT: usize = 1_000_000;
/// What a record has beside its value, in bytes: key, headers, framing.
const RECORD_OVERHEAD: usize = 4 << 10;

/// What a member that runs playbooks needs.
pub struct RespondSpec {
    /// Topics and group.
    pub names: Names,
    /// Our static id in the group.
    pub instance: String,
    /// The member of the group: [`Settings::member`] with [`Names::respond_group`].
    pub member: Settings,
    /// Its session: partitions are somebody else's so long after the last sign of life.
    pub session: Duration,
    /// Its producer: [`Settings::transactional`] with the id of the role `respond`.
    pub transactional: Settings,
    /// For reading `runs` and what people said: [`Settings::reader`].
    pub reader: Settings,
    /// For questions: [`Settings::admin`].
    pub admin: Settings,
    /// Where states are cached; see [`store_dir`].
    pub store_dir: PathBuf,
    /// Memory of the cache, in bytes: the share `respond` of the limits.
    pub memory_bytes: u64,
    /// Runs that wait for their turn (count); reading stops beyond that.
    pub queued_runs_max: usize,
    /// Runs whose calls are under way at once (count).
    pub running_runs_max: usize,
    /// What the pipeline says, and what it says next.
    pub next: Arc<Next>,
    /// Where it tells whether partitions are read, and what keeps it from working.
    pub health: Arc<RoleHealth>,
    /// How often in a row its group took it for replaced; outlives one run.
    pub fencing: Arc<Fencing>,
}

/// The setup that a member runs with, handed over from whoever loads it.
#[derive(Default)]
pub struct Next {
    current: Mutex<Option<Arc<Setup>>>,
    changed: AtomicBool,
}

impl Next {
    /// With a first one.
    pub fn new(setup: Setup) -> Next {
        Next { current: Mutex::new(Some(Arc::new(setup))), changed: AtomicBool::new(false) }
    }

    /// Hands over another one.
    pub fn set(&self, setup: Setup) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(setup));
        self.changed.store(true, Ordering::Release);
    }

    fn current(&self) -> Option<Arc<Setup>> {
        self.changed.store(false, Ordering::Release);
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }
}

/// The directory of the cache of one member.
pub fn store_dir(state_dir: &Path, pipeline: &str, instance: &str) -> PathBuf {
    state_dir.join(format!("{pipeline}-{instance}.respond"))
}

/// Runs playbooks until `stop` is set; calls that are under way by then have some seconds to end.
///
/// # Errors
/// Topics that are missing or do not fit together, brokers that refuse or stay away, a cache that
/// cannot be written. Nothing is lost by any of them: run it again.
pub fn run(spec: &RespondSpec, stop: &AtomicBool) -> Result<RespondTotals, Error> {
    let cache_failed = AtomicBool::new(false);
    let done = responded(spec, stop, &cache_failed);
    spec.health.set_reading(false);
    match done {
        // Everything that was done is committed: the cache is no reason to fail.
        Err(error) if stop.load(Ordering::Relaxed) && cache_failed.load(Ordering::Relaxed) => {
            tracing::warn!(%error, "stopped without its cache");
            Ok(RespondTotals::default())
        }
        done => done,
    }
}

fn responded(spec: &RespondSpec, stop: &AtomicBool, cache_failed: &AtomicBool) -> Result<RespondTotals, Error> {
    let admin = Admin::connect(&spec.admin, ADMIN_WAIT)?;
    let topics = topics(spec, &admin)?;
    let store = StoreSpec {
        what: "playbook runs",
        dir: spec.store_dir.clone(),
        identity: format!("{} {} {} {}", spec.names.pipeline, admin.cluster_id(), topics.facts.identity(), topics.runs.identity()),
        partitions: topics.runs.partitions,
        memory_bytes: spec.memory_bytes,
    };
    let store = Store::open(&store).inspect_err(|_| cache_failed.store(true, Ordering::Relaxed))?;
    let mut responder = Responder::start(spec, admin, store, cache_failed, topics)?;
    let done = responder.run(stop);
    responder.end(done)
}

/// The topics of playbooks.
struct Topics {
    facts: Topic,
    runs: Topic,
    war_room: Topic,
    /// The largest record that each of them takes.
    record_bytes_max: usize,
}

/// Facts and runs must have the same partitions: a run's state is in the partition of its incident.
fn topics(spec: &RespondSpec, admin: &Admin) -> Result<Topics, Error> {
    let names = [spec.names.incidents.as_str(), &spec.names.runs, &spec.names.war_room, &spec.names.respond_control];
    let found = admin.existing(&names).map_err(|error| {
        let missing = matches!(error, KafkaError::NoSuchTopic { .. });
        let error = Error::from(error);
        if missing { error.hint(format!("`catchment topics` with the pipeline `{}` and --create makes it", spec.names.pipeline)) } else { error }
    })?;
    let [facts, runs, war_room, _] = <[Topic; 4]>::try_from(found).map_err(|_| Error::bug("four topics were asked for"))?;
    if facts.partitions != runs.partitions {
        let message = format!("`{}` has {} partitions and `{}` has {}: they must have the same", facts.name, facts.partitions, runs.name, runs.partitions);
        return Err(Error::user(message).hint("a topic can get more partitions, not fewer; a run stays in the partition of its incident"));
    }
    let configs = admin.configs(&names)?;
    let bytes = configs.iter().filter_map(|configs| configs.get("max.message.bytes")?.value.parse::<usize>().ok()).min();
    Ok(Topics { facts, runs, war_room, record_bytes_max: bytes.unwrap_or(RECORD_BYTES_DEFAULT) })
}
