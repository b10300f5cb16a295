//! What a member that runs playbooks counts, for its caller and for Prometheus.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::respond::schedule::coordinator::Counts;

/// What a member has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RespondTotals {
    /// Runs and calls.
    pub counts: Counts,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions taken back.
    pub aborts: u64,
    /// Partitions opened.
    pub opened: u64,
    /// Records read from `runs` to do so.
    pub restored: u64,
}

/// What there is right now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Runs that wait for their turn.
    pub queued: usize,
    /// Runs in memory.
    pub running: usize,
    /// Runs that wait for a time.
    pub sleeping: usize,
    /// Calls that are held back.
    pub held: usize,
    /// Calls under way.
    pub calls: usize,
    /// Seconds that the run which waits longest for its turn has waited.
    pub oldest_s: u32,
}

impl RespondTotals {
    /// Adds a committed transaction.
    pub(super) fn committed(&mut self, took: Duration) {
        self.commits += 1;
        counter!("catchment_respond_transactions_total", "outcome" => "committed").increment(1);
        histogram!("catchment_respond_commit_seconds").record(took.as_secs_f64());
    }

    /// Tells what came since the last time.
    pub(super) fn counted(&mut self, now: Counts) {
        let before = std::mem::replace(&mut self.counts, now);
        let of = |outcome: &'static str, now: u64, before: u64| {
            counter!("catchment_respond_runs_total", "outcome" => outcome).increment(now.saturating_sub(before));
        };
        of("accepted", now.accepted, before.accepted);
        of("completed", now.completed, before.completed);
        of("failed", now.failed, before.failed);
        of("cancelled", now.cancelled, before.cancelled);
        counter!("catchment_respond_calls_total").increment(now.calls.saturating_sub(before.calls));
        counter!("catchment_respond_steps_total").increment(now.steps.saturating_sub(before.steps));
    }

    pub(super) fn aborted(&mut self) {
        self.aborts += 1;
        counter!("catchment_respond_transactions_total", "outcome" => "aborted").increment(1);
    }

    pub(super) fn opened(&mut self, records: u64) {
        self.opened += 1;
        self.restored += records;
        counter!("catchment_respond_restored_records_total").increment(records);
    }
}

/// Tells how much there is right now.
pub(super) fn record_sizes(sizes: Sizes) {
    gauge!("catchment_respond_queued").set(sizes.queued as f64);
    gauge!("catchment_respond_running").set(sizes.running as f64);
    gauge!("catchment_respond_sleeping").set(sizes.sleeping as f64);
    gauge!("catchment_respond_held_calls").set(sizes.held as f64);
    gauge!("catchment_respond_calls").set(sizes.calls as f64);
    gauge!("catchment_respond_oldest_queued_seconds").set(f64::from(sizes.oldest_s));
}

/// Partitions that are read, facts that wait in them, runs that are cached (about).
pub(super) fn record_lag(partitions: usize, lag: u64, runs: usize) {
    gauge!("catchment_respond_partitions").set(partitions as f64);
    gauge!("catchment_respond_lag_records").set(lag as f64);
    gauge!("catchment_respond_runs_cached").set(runs as f64);
}
