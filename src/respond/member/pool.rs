//! Owns the threads on which calls are done, and how many at once. A call looks at the lease as its
//! last act before it begins; one that panics has an end, too.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures::FutureExt as _;
use tokio::sync::Semaphore;

use super::lease::Lease;
use crate::error::Error;
use crate::respond::outside::permit::Permit;
use crate::respond::run::{Failure, FailureKind, Key, Output};
use crate::respond::schedule::coordinator::Begin;
use crate::respond::schedule::driver::Caller;
use crate::respond::schedule::journal::RunRef;

/// Threads: calls wait, they do not compute.
const THREADS: usize = 2;

/// How a call ended.
pub enum Ended {
    /// It was done, well or not.
    Done(RunRef, Key, Box<Result<Output, Failure>>),
    /// The lease was over before it began.
    NotBegun(Box<Begin>),
}

/// The threads.
pub struct Pool {
    runtime: tokio::runtime::Runtime,
    permits: Arc<Semaphore>,
    lease: Arc<Lease>,
    tell: Sender<Ended>,
    /// How calls ended.
    pub ended: Receiver<Ended>,
}

impl Pool {
    /// Starts them, for so many calls at once.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn start(calls: usize, lease: Arc<Lease>) -> Result<Pool, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).thread_name("call").enable_all().build()?;
        // As many as calls were let begin, which is bounded there.
        let (tell, ended) = unbounded();
        Ok(Pool { runtime, permits: Arc::new(Semaphore::new(calls.max(1))), lease, tell, ended })
    }

    /// Begins a call.
    pub fn begin(&self, begin: Begin, outside: &Arc<dyn Caller>) {
        let (permits, lease, tell, outside) = (self.permits.clone(), self.lease.clone(), self.tell.clone(), outside.clone());
        self.runtime.spawn(async move {
            let Ok(_permit) = permits.acquire_owned().await else { return };
            if !lease.holds() {
                let _ = tell.send(Ended::NotBegun(Box::new(begin)));
                return;
            }
            let (run, key) = (begin.run, begin.call.key);
            let inside = lease.clone();
            let may = Permit::new(move || inside.holds());
            let call = begin.call.clone();
            let work = AssertUnwindSafe(may.clone().around(async move { outside.call(call).await })).catch_unwind();
            let broken = |_| Err(Failure::new(FailureKind::InDoubt, "the call broke off: this is a bug"));
            let result = work.await.unwrap_or_else(broken);
            if may.was_refused() {
                let _ = tell.send(Ended::NotBegun(Box::new(begin)));
                return;
            }
            // Nobody listens any more: the journal knows that the call was begun.
            let _ = tell.send(Ended::Done(run, key, Box::new(result)));
        });
    }

    /// Ends the threads; calls that are under way are left to themselves.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}
