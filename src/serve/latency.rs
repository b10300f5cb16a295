//! Histograms of latencies that are counted where they are recorded.
//!
//! The `metrics` crate keeps every sample until somebody asks for the figures. At a hundred
//! thousand incidents a second that is megabytes between two looks, and without looks for
//! ever. Here a sample is one more in a bucket, and costs a search among fourteen bounds.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper bounds of the buckets, in microseconds, and as Prometheus writes them, in seconds.
const BOUNDS: [(u64, &str); 14] = [
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (200_000, "0.2"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_000_000, "2"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

/// From events' arrival at the broker to their acknowledged incidents.
pub static EVENT_TO_INCIDENT: Latency = Latency::new("catchment_event_to_incident_seconds");

/// From facts' records to their committed states.
pub static FACT_TO_STATE: Latency = Latency::new("catchment_fact_to_state_seconds");

/// From the first record of a transaction of ingest to its end.
pub static TRANSACTION: Latency = Latency::new("catchment_transaction_seconds");

/// Of that, what its end took: offsets, outstanding acks, commit. Until then nobody sees its incidents.
pub static TRANSACTION_END: Latency = Latency::new("catchment_transaction_end_seconds");

/// All of them, as they are shown.
const ALL: [&Latency; 4] = [&EVENT_TO_INCIDENT, &FACT_TO_STATE, &TRANSACTION, &TRANSACTION_END];

/// One histogram; may be recorded to and shown from any thread.
pub struct Latency {
    name: &'static str,
    /// Per bound, and behind them what is above the last.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Latency {
    const fn new(name: &'static str) -> Latency {
        Latency { name, buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], sum_us: AtomicU64::new(0) }
    }

    /// Adds times in microseconds.
    pub fn record(&self, micros: impl IntoIterator<Item = u64>) {
        let (mut counts, mut sum) = ([0_u64; BOUNDS.len() + 1], 0_u64);
        for micros in micros {
            if let Some(count) = counts.get_mut(BOUNDS.partition_point(|(bound, _)| *bound < micros)) {
                *count += 1;
            }
            sum = sum.saturating_add(micros);
        }
        for (bucket, count) in self.buckets.iter().zip(counts).filter(|(_, count)| *count > 0) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(sum, Ordering::Relaxed);
    }

    /// Adds the time since then.
    pub fn record_since(&self, began: Instant) {
        self.record([u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)]);
    }

    /// Appends the histogram in Prometheus' text form; nothing if nothing was recorded.
    fn show(&self, out: &mut String) {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return;
        }
        let name = self.name;
        let mut below = 0;
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (count, (_, bound)) in counts.iter().zip(BOUNDS) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}\n{name}_sum {sum}\n{name}_count {total}\n");
    }
}

/// Appends all histograms that have samples.
pub fn show_all(out: &mut String) {
    ALL.iter().for_each(|latency| latency.show(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_at_or_below_their_bounds() {
        let latency = Latency::new("x_seconds");
        let mut out = String::new();
        latency.show(&mut out);
        assert_eq!(out, "", "nothing recorded, nothing shown");
        latency.record([0, 1_000, 1_001, 70_000, 61_000_000]);
        latency.record([2_000]);
        latency.show(&mut out);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.first(), Some(&"# TYPE x_seconds histogram"));
        for line in [
            "x_seconds_bucket{le=\"0.001\"} 2",
            "x_seconds_bucket{le=\"0.002\"} 4",
            "x_seconds_bucket{le=\"0.05\"} 4",
            "x_seconds_bucket{le=\"0.1\"} 5",
            "x_seconds_bucket{le=\"60\"} 5",
            "x_seconds_bucket{le=\"+Inf\"} 6",
            "x_seconds_sum 61.074001",
            "x_seconds_count 6",
        ] {
            assert!(lines.contains(&line), "{line} in\n{out}");
        }
    }
}
