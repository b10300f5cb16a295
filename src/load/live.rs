//! How far a run is, for other threads to read while it lasts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::latency::{SECONDS_MAX, Second};

/// Lag that nobody has measured.
const UNKNOWN: u64 = u64::MAX;

/// How far a run is. Counters only grow, except lag.
#[derive(Debug)]
pub struct Live {
    /// Events handed to the producer.
    pub sent: AtomicU64,
    /// Messages handed to the producer.
    pub messages: AtomicU64,
    /// Messages that the broker has stored.
    pub stored: AtomicU64,
    /// Incidents read back.
    pub incidents: AtomicU64,
    /// Dead letters read back.
    pub dead_letters: AtomicU64,
    lag: AtomicU64,
    doing: Mutex<String>,
    seconds: Mutex<Vec<Second>>,
}

impl Default for Live {
    fn default() -> Live {
        let zero = || AtomicU64::new(0);
        Live {
            sent: zero(),
            messages: zero(),
            stored: zero(),
            incidents: zero(),
            dead_letters: zero(),
            lag: AtomicU64::new(UNKNOWN),
            doing: Mutex::default(),
            seconds: Mutex::default(),
        }
    }
}

impl Live {
    /// What the run is doing.
    pub fn doing(&self) -> String {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the run is doing.
    pub fn do_now(&self, what: impl Into<String>) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// Events stored and not committed by the ingest group.
    pub fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != UNKNOWN)
    }

    /// Sets the lag.
    pub fn set_lag(&self, lag: Option<u64>) {
        self.lag.store(lag.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// One more second is over.
    pub fn push_second(&self, mut second: Second) {
        second.sent = self.sent.load(Ordering::Relaxed);
        second.lag = self.lag();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() < SECONDS_MAX {
            seconds.push(second);
        }
    }

    /// The seconds so far, from number `from` on.
    pub fn seconds(&self, from: usize) -> Vec<Second> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).get(from..).unwrap_or_default().to_vec()
    }

    /// The last second that is over.
    pub fn last(&self) -> Option<Second> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }
}
