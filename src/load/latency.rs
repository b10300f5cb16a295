//! Latency from the intended time of an event to its committed incident: histograms over
//! the whole, and a figure for every second.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::Error;

/// Largest latency that is told apart (microseconds): an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Seconds that are kept (count): longer than the longest run.
pub const SECONDS_MAX: usize = 13 * 3600;

/// Percentiles of a histogram, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Half are faster.
    pub p50_us: u64,
    /// 9 of 10 are faster.
    pub p90_us: u64,
    /// 99 of 100 are faster.
    pub p99_us: u64,
    /// 999 of 1,000 are faster.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One second of a run, by when incidents were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Second {
    /// Seconds since the beginning.
    pub at: u64,
    /// Events sent so far.
    pub sent: u64,
    /// Incidents seen in it.
    pub incidents: u64,
    /// Events produced and not committed by the ingest group; `None`: not known.
    pub lag: Option<u64>,
    /// Half of its incidents are faster (microseconds).
    pub p50_us: u64,
    /// 99 of 100 are faster (microseconds).
    pub p99_us: u64,
    /// The slowest (microseconds).
    pub max_us: u64,
}

/// Collects latencies.
#[derive(Debug, Clone)]
pub struct Latencies {
    all: Histogram<u64>,
    second: Histogram<u64>,
}

/// A histogram of microseconds up to an hour, of three digits: 180 KB.
///
/// # Errors
/// None: the bounds are constants that the library accepts.
pub fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).map_err(|error| Error::bug(error.to_string()))
}

impl Latencies {
    /// Nothing collected yet.
    ///
    /// # Errors
    /// As [`histogram`].
    pub fn new() -> Result<Latencies, Error> {
        Ok(Latencies { all: histogram()?, second: histogram()? })
    }

    /// One more.
    pub fn record(&mut self, micros: u64) {
        self.all.saturating_record(micros);
        self.second.saturating_record(micros);
    }

    /// Ends a second; its figures without `sent` and `lag`.
    pub fn second(&mut self, at: u64) -> Second {
        let of = percentiles(&self.second);
        self.second.reset();
        Second { at, incidents: of.count, p50_us: of.p50_us, p99_us: of.p99_us, max_us: of.max_us, ..Second::default() }
    }

    /// Over everything so far.
    pub fn all(&self) -> &Histogram<u64> {
        &self.all
    }

    /// Forgets everything: a new part of the run begins.
    pub fn reset(&mut self) {
        self.all.reset();
        self.second.reset();
    }
}

/// The percentiles of a histogram; zeros if it is empty.
pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    if histogram.is_empty() {
        return Percentiles::default();
    }
    Percentiles {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p90_us: histogram.value_at_quantile(0.9),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

/// A histogram as one line of text: the share of incidents that took 1, 2, 5, 10, … ms at most.
pub fn line(histogram: &Histogram<u64>) -> String {
    const EDGES_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut from = 0;
    let mut columns = Vec::new();
    for edge in EDGES_MS.iter().map(|ms| ms * 1_000).chain([u64::MAX]) {
        columns.push(histogram.count_between(from, edge.saturating_sub(1).min(LATENCY_US_MAX)));
        from = edge;
    }
    let most = columns.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| if *count == 0 { BARS[0] } else { BARS[(count * 7).div_ceil(most).clamp(1, 7) as usize + 1] };
    let first = columns.iter().position(|count| *count > 0).unwrap_or(0);
    let last = columns.iter().rposition(|count| *count > 0).unwrap_or(0);
    let name = |at: usize| match EDGES_MS.get(at) {
        Some(ms) if *ms < 1_000 => format!("{ms} ms"),
        Some(ms) => format!("{} s", ms / 1_000),
        None => "more".to_owned(),
    };
    let low = if first == 0 { "0".to_owned() } else { name(first - 1) };
    let bars: Vec<String> = columns.iter().take(last + 1).skip(first).map(|count| bar(count).to_string()).collect();
    format!("{low} |{}| {}", bars.join(""), name(last))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_seconds() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(percentiles(latencies.all()), Percentiles::default());
        for n in 1..=1_000 {
            latencies.record(n * 100);
        }
        let second = latencies.second(4);
        assert_eq!((second.at, second.incidents), (4, 1_000));
        latencies.record(5_000_000);
        assert_eq!(latencies.second(5).incidents, 1);
        let of = percentiles(latencies.all());
        assert_eq!(of.count, 1_001);
        assert!((49_000..52_000).contains(&of.p50_us) && (98_000..101_000).contains(&of.p99_us), "{of:?}");
        assert!(of.max_us >= 5_000_000);
    }

    #[test]
    fn a_stall_is_in_the_histogram_once_for_every_event_that_was_due() {
        // Ten events a second, answered at once; then nothing for ten seconds, then all.
        let mut latencies = Latencies::new().unwrap();
        for n in 0..200u64 {
            let intended = n * 100_000;
            let answered = if (100..200).contains(&n) { 20_000_000 } else { intended + 1_000 };
            latencies.record(answered - intended);
        }
        let of = percentiles(latencies.all());
        assert!(of.p90_us > 7_000_000, "{of:?}");
        assert!(of.p50_us <= 110_000, "{of:?}");
    }

    #[test]
    fn a_line_shows_where_the_latencies_are() {
        let mut latencies = Latencies::new().unwrap();
        for (ms, times) in [(3, 10), (7, 80), (15, 10), (30, 1)] {
            (0..times).for_each(|_| latencies.record(ms * 1_000));
        }
        assert_eq!(line(latencies.all()), "2 ms |▂█▂▂| 50 ms");
        latencies.reset();
        assert_eq!(line(latencies.all()), "0 | | 1 ms");
    }
}
