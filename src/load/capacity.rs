//! The search for capacity: the highest rate at which lag stays flat. Pure decisions; who
//! drives the load feeds the steps in.
//!
//! Doubling until a rate is too much, halving the interval, then the whole `flat` time at
//! the rate that was found; if that is too much after all, a tenth less.

use std::time::Duration;

use serde::Serialize;

/// The interval is narrow enough when its ends differ by this factor.
const NARROW: f64 = 1.08;
/// How much less is tried when the rate that was found does not hold.
const STEP_DOWN: f64 = 0.9;
/// How often that is done (count).
const STEPS_DOWN_MAX: u32 = 5;
/// Slowest rate that is tried (events per second).
const RATE_MIN: f64 = 10.0;
/// Shortest step, and a step's share of the whole `flat` time while searching.
const SHORT_MIN: Duration = Duration::from_secs(5);
const SHORT_SHARE: u32 = 6;
/// Lag may grow by so many seconds' worth of events over a step: commits come in steps, too.
const GROWTH_SECONDS_MAX: f64 = 0.25;
/// And by so many events in any case: at low rates a single batch would decide.
const GROWTH_EVENTS_MIN: f64 = 50.0;
/// A step is over early when lag reaches so many seconds' worth of events.
const LAG_SECONDS_MAX: f64 = 5.0;
/// Share of the wanted rate that must have been sent, or the sender was the limit.
const SENT_MIN: f64 = 0.97;

/// One rate that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// Events per second that were wanted.
    pub rate: f64,
    /// Events per second that were sent.
    pub sent: f64,
    /// How long.
    pub seconds: f64,
    /// Lag at its highest.
    pub lag_max: u64,
    /// By how much lag grew.
    pub growth: f64,
    /// True if lag stayed flat.
    pub flat: bool,
    /// True if events could not be sent as fast as they should: the rate was not really tried.
    pub sender_bound: bool,
    /// True if it was kept up for the whole `flat` time.
    pub whole: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Try this rate for so long.
    Try {
        /// Events per second.
        rate: f64,
        /// How long.
        length: Duration,
        /// The whole `flat` time: this rate is to be the answer.
        whole: bool,
    },
    /// The search is over: the capacity, if any rate was flat, in events per second.
    Done(Option<f64>),
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    start: f64,
    whole: Duration,
    low: Option<f64>,
    high: Option<f64>,
    downs: u32,
    done: Option<Option<f64>>,
}

impl Search {
    /// Begins at `start` events per second; the answer is to be flat for `flat`.
    pub fn new(start: f64, flat: Duration) -> Search {
        Search { start: start.max(RATE_MIN), whole: flat, low: None, high: None, downs: 0, done: None }
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let short = (self.whole / SHORT_SHARE).max(SHORT_MIN).min(self.whole);
        let quick = |rate| Next::Try { rate, length: short, whole: false };
        match (self.done, self.low, self.high) {
            (Some(answer), ..) => Next::Done(answer),
            (None, None, None) => quick(self.start),
            (None, Some(low), None) => quick(low * 2.0),
            (None, None, Some(high)) if high / 2.0 < RATE_MIN => Next::Done(None),
            (None, None, Some(high)) => quick(high / 2.0),
            (None, Some(low), Some(high)) if self.downs == 0 && high / low > NARROW => quick((low + high) / 2.0),
            (None, Some(low), Some(_)) => Next::Try { rate: low, length: self.whole, whole: true },
        }
    }

    /// What became of the last [`Search::next`].
    pub fn record(&mut self, step: &Step) {
        // A rate that could not be sent was not tried: it bounds the search like one that is too much.
        let good = step.flat && !step.sender_bound;
        if step.whole && good {
            self.done = Some(Some(step.rate));
        } else if step.whole {
            self.downs += 1;
            self.high = Some(step.rate);
            self.low = Some(step.rate * STEP_DOWN);
            if self.downs > STEPS_DOWN_MAX || step.rate * STEP_DOWN < RATE_MIN {
                self.done = Some(None);
            }
        } else if good {
            self.low = Some(step.rate);
        } else {
            self.high = Some(step.rate);
        }
    }
}

/// True when a step may end before its time: this is too much.
pub fn hopeless(rate: f64, lag: u64) -> bool {
    lag as f64 > (rate * LAG_SECONDS_MAX).max(1_000.0)
}

/// Judges a step by its samples of lag: `(microseconds, events)`, in order.
pub fn judge(rate: f64, sent: f64, seconds: f64, whole: bool, ended_early: bool, samples: &[(u64, u64)]) -> Step {
    let lag_max = samples.iter().map(|(_, lag)| *lag).max().unwrap_or(0);
    // The first quarter warms up; medians do not mind a pause of the collector or the disk.
    let quarter = samples.len() / 4;
    let median = |samples: &[(u64, u64)]| {
        let mut lags: Vec<u64> = samples.iter().map(|(_, lag)| *lag).collect();
        lags.sort_unstable();
        lags.get(lags.len() / 2).copied().unwrap_or(0) as f64
    };
    let before = median(samples.get(quarter..2 * quarter).unwrap_or_default());
    let after = median(samples.get(samples.len() - quarter..).unwrap_or_default());
    let growth = after - before;
    let flat = !ended_early && quarter > 0 && growth <= (rate * GROWTH_SECONDS_MAX).max(GROWTH_EVENTS_MIN);
    Step { rate, sent, seconds, lag_max, growth, flat, sender_bound: !ended_early && sent < rate * SENT_MIN, whole }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FLAT: Duration = Duration::from_secs(60);

    /// Searches a pipeline that can do `capacity` for short times and `lasting` for long ones.
    fn search(start: f64, capacity: f64, lasting: f64) -> (Option<f64>, Vec<f64>) {
        let mut search = Search::new(start, FLAT);
        let mut tried = Vec::new();
        loop {
            match search.next() {
                Next::Done(answer) => return (answer, tried),
                Next::Try { rate, length, whole } => {
                    assert!(tried.len() < 60, "{tried:?}");
                    assert_eq!(length, if whole { FLAT } else { Duration::from_secs(10) });
                    tried.push(rate);
                    let can = if whole { lasting } else { capacity };
                    let seconds = length.as_secs_f64();
                    let samples: Vec<(u64, u64)> = (0..50)
                        .map(|n| {
                            let at = seconds * f64::from(n) / 50.0;
                            ((at * 1e6) as u64, (rate * 0.05 + (rate - can).max(0.0) * at) as u64)
                        })
                        .collect();
                    search.record(&judge(rate, rate, seconds, whole, false, &samples));
                }
            }
        }
    }

    #[test]
    fn it_finds_what_the_pipeline_can_do() {
        for (start, capacity) in [(1_000.0, 57_000.0), (1_000.0, 900.0), (100_000.0, 3_000.0), (5_000.0, 5_000.0)] {
            let (answer, tried) = search(start, capacity, capacity);
            let answer = answer.unwrap();
            // A short step lets about two percent and a half pass.
            assert!((capacity * 0.9..capacity * 1.05).contains(&answer), "{start} {capacity}: {answer} {tried:?}");
            assert!(tried.len() < 16, "{tried:?}");
        }
    }

    #[test]
    fn what_does_not_last_is_not_the_answer() {
        let (answer, _) = search(1_000.0, 10_000.0, 8_000.0);
        assert!((6_800.0..8_200.0).contains(&answer.unwrap()), "{answer:?}");
        assert_eq!(search(1_000.0, 0.0, 0.0).0, None);
    }

    #[test]
    fn what_could_not_be_sent_is_not_the_answer() {
        let mut search = Search::new(1_000.0, FLAT);
        let samples: Vec<(u64, u64)> = (0..50).map(|n| (n, 10)).collect();
        let step = judge(1_000.0, 500.0, 10.0, false, false, &samples);
        assert!(step.sender_bound && step.flat);
        search.record(&step);
        assert!(matches!(search.next(), Next::Try { rate, .. } if rate == 500.0));
    }

    #[test]
    fn a_step_without_samples_is_not_flat() {
        assert!(!judge(1_000.0, 1_000.0, 10.0, false, false, &[]).flat);
        assert!(hopeless(1_000.0, 6_000) && !hopeless(1_000.0, 4_000) && !hopeless(10.0, 900));
    }
}
