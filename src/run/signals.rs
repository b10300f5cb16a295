//! Signals as events: the first SIGTERM or SIGINT asks to stop, the second stops at once,
//! SIGHUP asks to load the pipeline anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

/// Exit code after a second signal: 128 + SIGTERM, as shells count.
const EXIT_AT_ONCE: i32 = 143;

/// What signals have asked for.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Stop: drain and commit.
    pub stop: Arc<AtomicBool>,
    /// Load the pipeline anew; whoever does clears it.
    pub reload: Arc<AtomicBool>,
}

impl Signals {
    /// Listens on a thread of its own for as long as the process lives.
    ///
    /// # Errors
    /// If the system gives no signals.
    pub fn listen() -> Result<Signals, Error> {
        let signals = Signals::default();
        let shared = signals.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut term, mut int, mut hup) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = term.recv() => shared.asked_to_stop(),
                        _ = int.recv() => shared.asked_to_stop(),
                        _ = hup.recv() => shared.reload.store(true, Ordering::Release),
                    }
                }
            });
        })?;
        Ok(signals)
    }

    fn asked_to_stop(&self) {
        if self.stop.swap(true, Ordering::AcqRel) {
            eprintln!("stopped at once; what was not committed is read again at the next start");
            std::process::exit(EXIT_AT_ONCE);
        }
        eprintln!("stopping: what was read is written and committed (a second signal stops at once)");
    }
}
