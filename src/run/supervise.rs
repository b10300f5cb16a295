//! Keeps a role running: starts it again after errors that pass, ends the process on those
//! that a person has to mend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Fault};

use super::health::RoleHealth;

/// Pause before a role is started again; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A role that ran this long without an error begins with the shortest pause again.
const STEADY: Duration = Duration::from_secs(60);

/// How a role's run ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// It wants to be started again.
    Again,
}

/// Runs `role` until it is told to stop, or fails for good.
///
/// # Errors
/// The user's fault, a bug, or what trying again does not mend.
pub fn supervise(name: &str, stop: &Arc<AtomicBool>, health: &RoleHealth, mut role: impl FnMut() -> Result<Ended, Error>) -> Result<(), Error> {
    let mut pause = PAUSE_MIN;
    let mut before = false;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let error = match role() {
            Ok(Ended::Stopped) => return Ok(()),
            Ok(Ended::Again) => continue,
            Err(error) => error,
        };
        let steady = began.elapsed() >= STEADY;
        // At the first start what is missing is told at once; later it may come back.
        let hopeless = error.fault != Fault::Environment || (!before && !steady && !health.worked() && !error.retry);
        if hopeless || stop.load(Ordering::Relaxed) {
            return Err(error);
        }
        before = true;
        if steady {
            pause = PAUSE_MIN;
        }
        tracing::error!(role = name, %error, pause = ?pause, "the role ended and is started again");
        health.set_trouble(Some(error.message.clone()));
        let until = Instant::now() + pause;
        pause = (pause * 2).min(PAUSE_MAX);
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        health.set_trouble(None);
    }
    Ok(())
}
