//! Asks the brokers now and then how far the facts reach: the lag for metrics, and whether
//! anybody answers for `/readyz`; and whether the group has left partitions to nobody. A thread
//! of its own, so that brokers which are silent hold nothing up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kafka::{Admin, At, Settings};
use crate::run::beside;
use crate::run::health::RoleHealth;
use crate::run::orphans::Orphans;

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How quickly the end is noticed.
const STEP: Duration = Duration::from_millis(50);
/// Under which name trouble is told.
const PART: &str = "brokers";

/// What a loop has come to.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Partitions that are read, with the offset behind their last committed fact.
    pub positions: Vec<(i32, i64)>,
    /// Ids that are cached, about.
    pub cached: usize,
}

/// Whom to look after.
pub struct WatchSpec {
    /// For questions: [`Settings::admin`].
    pub settings: Settings,
    /// The topic that is read, and its partitions.
    pub facts: String,
    #[allow(missing_docs)]
    pub partitions: i32,
    /// The group that reads it, and our static id in it.
    pub group: String,
    #[allow(missing_docs)]
    pub instance: String,
    /// Where trouble is told.
    pub health: Arc<RoleHealth>,
    /// Told how many partitions are read, how many records wait in them, and how many ids are cached.
    pub sizes: fn(usize, u64, usize),
}

/// What the thread and the loop have in common.
#[derive(Default)]
struct Shared {
    standing: Mutex<Standing>,
    /// The group left partitions to nobody, and it is our turn to join again.
    rejoin: AtomicBool,
    stop: AtomicBool,
}

/// The thread. It ends when this is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(spec: WatchSpec) -> Result<Watch, Error> {
        let shared = Arc::new(Shared::default());
        let orphans = Orphans::new(&spec.group, &spec.instance);
        let mut look = Look { shared: shared.clone(), spec, orphans, admin: None };
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            look.run();
            look.spec.health.tell(PART, None);
        })?;
        Ok(Watch { shared, thread: Some(thread) })
    }

    /// Tells the thread where the loop stands. True if the member has to join its group again.
    pub fn stands(&self, standing: Standing) -> bool {
        *self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        self.shared.rejoin.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        beside::end(&mut self.thread);
    }
}

/// What the thread works with.
struct Look {
    shared: Arc<Shared>,
    spec: WatchSpec,
    orphans: Orphans,
    /// Its own connection: the loop's may wait longer for an answer than a person wants to.
    admin: Option<Admin>,
}

impl Look {
    fn run(&mut self) {
        let mut asked: Option<Instant> = None;
        while !self.shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(STEP);
            if asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
                continue;
            }
            asked = Some(Instant::now());
            if let Err(error) = self.ask() {
                tracing::debug!(%error, "the lag is not known");
                if self.shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                if error.retryable() {
                    self.spec.health.tell(PART, Some(format!("the brokers do not answer: {error}")));
                } else {
                    // A client that was refused once says so for ever. (One whose broker hangs is better kept:
                    // letting it go waits for what is on its way.)
                    self.admin = None;
                }
            }
        }
    }

    fn ask(&mut self) -> Result<(), crate::kafka::Error> {
        let standing = self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let admin = match &mut self.admin {
            Some(admin) => admin,
            None => self.admin.insert(Admin::connect(&self.spec.settings, ANSWER_WAIT)?),
        };
        // Without partitions of our own: does anybody answer?
        let first = [(0, 0)];
        let positions = if standing.positions.is_empty() { &first[..] } else { &standing.positions[..] };
        let asked: Vec<(&str, i32)> = positions.iter().map(|(partition, _)| (self.spec.facts.as_str(), *partition)).collect();
        let ends = admin.offsets(&asked, At::End)?;
        let lag = ends.iter().zip(&standing.positions).map(|(end, (_, next))| u64::try_from(end - next).unwrap_or(0)).sum();
        self.spec.health.tell(PART, None);
        (self.spec.sizes)(standing.positions.len(), lag, standing.cached);
        if self.orphans.look(admin, &[(self.spec.facts.as_str(), self.spec.partitions)]) {
            self.shared.rejoin.store(true, Ordering::Release);
        }
        Ok(())
    }
}
