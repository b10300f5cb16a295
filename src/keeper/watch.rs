//! Asks the brokers now and then how far the facts reach: the lag for metrics, and whether
//! anybody answers for `/readyz`. A thread of its own, so that brokers which are silent hold
//! nothing up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::measure::record_sizes;
use crate::error::Error;
use crate::kafka::{Admin, At, Settings};
use crate::run::health::RoleHealth;

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How quickly the end is noticed.
const STEP: Duration = Duration::from_millis(50);
/// Longest wait for the thread at the end: it may wait for a broker.
const END_WAIT: Duration = Duration::from_secs(2);
/// Under which name trouble is told.
const PART: &str = "brokers";

/// What the keeper's loop has come to.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Partitions that are read, with the offset behind their last committed fact.
    pub positions: Vec<(i32, i64)>,
    /// Incidents in them, about.
    pub incidents: usize,
}

/// What the thread and the loop have in common.
#[derive(Default)]
struct Shared {
    standing: Mutex<Standing>,
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
    pub fn start(settings: &Settings, facts: &str, health: &Arc<RoleHealth>) -> Result<Watch, Error> {
        let shared = Arc::new(Shared::default());
        let (own, settings, facts, health) = (shared.clone(), settings.clone(), facts.to_owned(), health.clone());
        let thread = std::thread::Builder::new().name("keeper-watch".into()).spawn(move || {
            look(&own, &settings, &facts, &health);
            health.tell(PART, None);
        })?;
        Ok(Watch { shared, thread: Some(thread) })
    }

    /// Tells the thread where the loop stands.
    pub fn stands(&self, standing: Standing) {
        *self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let since = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && since.elapsed() < END_WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

fn look(shared: &Shared, settings: &Settings, facts: &str, health: &RoleHealth) {
    // Its own connection: the keeper's may wait longer for an answer than a person wants to.
    let mut admin: Option<Admin> = None;
    let mut asked: Option<Instant> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(STEP);
        if asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            continue;
        }
        asked = Some(Instant::now());
        let standing = shared.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match lag(&mut admin, settings, facts, &standing) {
            Ok(lag) => {
                health.tell(PART, None);
                record_sizes(standing.positions.len(), lag, standing.incidents);
            }
            Err(error) => {
                // What it has seen of a broker that restarts would be told again and again.
                admin = None;
                tracing::debug!(%error, "the keeper's lag is not known");
                if error.retryable() && !shared.stop.load(Ordering::Relaxed) {
                    health.tell(PART, Some(format!("the brokers do not answer: {error}")));
                }
            }
        }
    }
}

/// Facts behind the positions.
fn lag(admin: &mut Option<Admin>, settings: &Settings, facts: &str, standing: &Standing) -> Result<u64, crate::kafka::Error> {
    let admin = match admin {
        Some(admin) => admin,
        None => admin.insert(Admin::connect(settings, ANSWER_WAIT)?),
    };
    // Without partitions of our own: does anybody answer?
    let first = [(0, 0)];
    let positions = if standing.positions.is_empty() { &first[..] } else { &standing.positions[..] };
    let asked: Vec<(&str, i32)> = positions.iter().map(|(partition, _)| (facts, *partition)).collect();
    let ends = admin.offsets(&asked, At::End)?;
    Ok(ends.iter().zip(&standing.positions).map(|(end, (_, next))| u64::try_from(end - next).unwrap_or(0)).sum())
}
