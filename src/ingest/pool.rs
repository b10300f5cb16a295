//! The worker pool: batches in, outputs out in the order in which batches were cut.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::time::Duration;

use super::batch::RawBatch;
use super::output::Output;
use super::turnstile::Turnstile;
use super::worker::{Shared, Worker};

/// Stack of a worker thread in bytes: expressions recurse, and may be nested deeply.
const WORKER_STACK_BYTES: usize = 16 << 20;
/// Batches that wait for a worker, per worker (count): enough that none starves while
/// the reader fills the next.
const BATCHES_AHEAD: usize = 2;

/// A worker failed; the message says how, without any value of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a worker failed ({0}): this is a bug of catchment, please report it")]
pub struct WorkerFailed(pub String);

/// Running workers.
pub struct Pool {
    /// Where batches go; drop it to end the run.
    batches: Option<Sender<RawBatch>>,
    outputs: Receiver<Result<Output, WorkerFailed>>,
    turnstile: Arc<Turnstile>,
    threads: Vec<JoinHandle<()>>,
    cpu_us: Arc<AtomicU64>,
    /// Outputs that came before their turn.
    early: BTreeMap<u64, Output>,
    next: u64,
}

impl Pool {
    /// Starts `workers` threads.
    pub fn start(shared: Arc<Shared>, workers: usize) -> std::io::Result<Pool> {
        let workers = workers.max(1);
        let turnstile = Arc::new(Turnstile::new(shared.decide.clone().unwrap_or_else(|| shared.plan.decide.clone())));
        let (batches, inbox) = bounded::<RawBatch>(workers * BATCHES_AHEAD);
        let (outbox, outputs) = bounded(workers * BATCHES_AHEAD);
        let mut threads = Vec::new();
        let cpu_us = Arc::new(AtomicU64::new(0));
        for number in 0..workers {
            let (shared, inbox, outbox, turnstile, cpu_us) = (shared.clone(), inbox.clone(), outbox.clone(), turnstile.clone(), cpu_us.clone());
            let run = move || {
                run_worker(shared, inbox, outbox, turnstile);
                cpu_us.fetch_add(thread_cpu_us(), Ordering::Relaxed);
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{number}")).stack_size(WORKER_STACK_BYTES).spawn(run)?);
        }
        Ok(Pool { batches: Some(batches), outputs, turnstile, threads, cpu_us, early: BTreeMap::new(), next: 0 })
    }

    /// Where batches go, in the order of their numbers. The run ends when all clones of
    /// it and the pool's own ([`Pool::close`]) are dropped.
    pub fn sender(&self) -> Option<Sender<RawBatch>> {
        self.batches.clone()
    }

    /// No more batches come from the pool's owner.
    pub fn close(&mut self) {
        self.batches = None;
    }

    /// The turnstile, which holds the indexes.
    pub fn turnstile(&self) -> Arc<Turnstile> {
        self.turnstile.clone()
    }

    /// Sizes and horizons of the indexes.
    pub fn index_stats(&self) -> Vec<(u16, super::decide::Stats)> {
        self.turnstile.stats()
    }

    /// Ends all workers and returns the CPU microseconds that they used. Outputs not
    /// taken yet are lost: call it when [`Pool::recv`] has given `None`.
    pub fn finish(mut self) -> u64 {
        self.stop();
        self.cpu_us.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.batches = None;
        self.turnstile.end();
        // Workers that wait for room in the outbox must see that nobody reads it.
        self.outputs = crossbeam_channel::never();
        for thread in self.threads.drain(..) {
            // A panic was reported through the outbox already.
            let _ = thread.join();
        }
    }

    /// The next output in order; `None` when all batches are done.
    pub fn recv(&mut self) -> Result<Option<Output>, WorkerFailed> {
        loop {
            if let Some(output) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(Some(output));
            }
            match self.outputs.recv() {
                Ok(output) => {
                    let output = output?;
                    self.early.insert(output.seq, output);
                }
                Err(_) if self.early.is_empty() => return Ok(None),
                Err(_) => return Err(WorkerFailed("a batch is missing".into())),
            }
        }
    }

    /// As [`Pool::recv`], but gives up after `wait`: `Ok(Err(()))`.
    #[allow(clippy::result_unit_err)]
    pub fn recv_timeout(&mut self, wait: Duration) -> Result<Result<Option<Output>, ()>, WorkerFailed> {
        loop {
            if let Some(output) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(Ok(Some(output)));
            }
            match self.outputs.recv_timeout(wait) {
                Ok(output) => {
                    let output = output?;
                    self.early.insert(output.seq, output);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Err(())),
                Err(RecvTimeoutError::Disconnected) if self.early.is_empty() => return Ok(Ok(None)),
                Err(RecvTimeoutError::Disconnected) => return Err(WorkerFailed("a batch is missing".into())),
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// CPU microseconds that this thread has used.
fn thread_cpu_us() -> u64 {
    // SAFETY: `clock_gettime` fills the struct that it is given; zero is a valid value of it.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

fn run_worker(shared: Arc<Shared>, inbox: Receiver<RawBatch>, outbox: Sender<Result<Output, WorkerFailed>>, turnstile: Arc<Turnstile>) {
    let mut worker = Worker::new(shared);
    for batch in inbox {
        let done = catch_unwind(AssertUnwindSafe(|| worker.process(batch, &turnstile)));
        let result = match done {
            Ok(Ok(output)) => Ok(output),
            // Whoever failed has reported it.
            Ok(Err(_)) => return,
            Err(_) => {
                turnstile.end();
                Err(WorkerFailed("it panicked".into()))
            }
        };
        let failed = result.is_err();
        if outbox.send(result).is_err() || failed {
            return;
        }
    }
}
