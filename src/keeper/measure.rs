//! What a keeper counts, for its caller and for Prometheus.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge, histogram};

use crate::serve::latency::FACT_TO_STATE;

/// What a keeper has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeeperTotals {
    /// Committed facts by kind (`created`, …; `none` for records that are no facts) and by what
    /// became of them (`applied`, `repeated`, …).
    pub facts: BTreeMap<(&'static str, &'static str), u64>,
    /// Records written to `incident-state`.
    pub states: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions taken back.
    pub aborts: u64,
    /// Partitions opened.
    pub opened: u64,
    /// Records read from `incident-state` to do so.
    pub restored: u64,
    /// The time that took.
    pub restoring: Duration,
    /// Facts that the broker had deleted before they were read (offsets).
    pub lost: u64,
}

impl KeeperTotals {
    /// Committed facts with this outcome, of any kind.
    pub fn outcome(&self, name: &str) -> u64 {
        self.facts.iter().filter(|((_, outcome), _)| *outcome == name).map(|(_, count)| count).sum()
    }

    /// Adds one committed transaction.
    pub(super) fn committed(&mut self, facts: &BTreeMap<(&'static str, &'static str), u64>, states: u64) {
        for ((kind, outcome), count) in facts {
            *self.facts.entry((kind, outcome)).or_insert(0) += count;
            counter!("catchment_keeper_facts_total", "fact" => *kind, "outcome" => *outcome).increment(*count);
        }
        self.states += states;
        self.commits += 1;
        counter!("catchment_keeper_states_total").increment(states);
        counter!("catchment_keeper_transactions_total", "outcome" => "committed").increment(1);
    }

    pub(super) fn aborted(&mut self) {
        self.aborts += 1;
        counter!("catchment_keeper_transactions_total", "outcome" => "aborted").increment(1);
    }

    pub(super) fn opened(&mut self, records: u64, took: Duration) {
        self.opened += 1;
        self.restored += records;
        self.restoring += took;
        counter!("catchment_keeper_restored_records_total").increment(records);
        histogram!("catchment_keeper_restore_seconds").record(took.as_secs_f64());
    }

    pub(super) fn lost(&mut self, facts: u64) {
        self.lost += facts;
        counter!("catchment_keeper_facts_lost_total").increment(facts);
    }
}

/// Times from facts' records, in milliseconds since 1970, to their committed states, now.
pub(super) fn record_latencies(times: &[i64]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    FACT_TO_STATE.record(times.iter().map(|time| u64::try_from(now.saturating_sub(*time)).unwrap_or(0).saturating_mul(1000)));
}

/// Partitions that are read, facts that wait in them, incidents that are cached (about).
pub(super) fn record_sizes(partitions: usize, lag: u64, incidents: usize) {
    gauge!("catchment_keeper_partitions").set(partitions as f64);
    gauge!("catchment_keeper_lag_records").set(lag as f64);
    gauge!("catchment_keeper_incidents").set(incidents as f64);
}
