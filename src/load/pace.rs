//! The schedule: which event is due when. Open loop: what is due does not depend on
//! how the system does, so a stall shows in the latency of all events due meanwhile.

use std::fmt;
use std::time::{Duration, Instant};

/// Largest rate that can be asked for (events per second): far above what one producer can send.
const RATE_MAX: f64 = 100e6;

/// How fast events are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they can be handed over.
    Max,
    /// So many per second, evenly.
    PerSecond(f64),
}

impl Pace {
    /// Reads `200`, `50k`, `1.5M`, each with or without `/s`, or `max`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Pace, String> {
        if text.trim() == "max" {
            return Ok(Pace::Max);
        }
        match count(text.trim().trim_end_matches("/s")) {
            Some(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(Pace::PerSecond(rate)),
            Some(_) => Err("a rate lies between 0 and 100M events per second".to_owned()),
            None => Err("expected a rate such as 200, 50k, 1.5M or max".to_owned()),
        }
    }

    /// When event number `n` of a segment is due, microseconds after its beginning.
    pub fn due_us(self, n: u64) -> u64 {
        match self {
            Pace::Max => 0,
            Pace::PerSecond(rate) => (n as f64 * 1e6 / rate) as u64,
        }
    }

    /// How many events of a segment are due `elapsed_us` after its beginning: event 0 at once.
    pub fn due(self, elapsed_us: u64) -> u64 {
        match self {
            Pace::Max => u64::MAX,
            Pace::PerSecond(rate) => (elapsed_us as f64 * rate / 1e6) as u64 + 1,
        }
    }

    /// How many events belong to a segment of this length.
    pub fn events(self, length: Duration) -> u64 {
        match self {
            Pace::Max => u64::MAX,
            Pace::PerSecond(rate) => (length.as_secs_f64() * rate).round().max(1.0) as u64,
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Max => f.write_str("max"),
            Pace::PerSecond(rate) => write!(f, "{}/s", short(*rate)),
        }
    }
}

/// Reads a count with a unit: `200`, `50k`, `1.5M`.
pub fn count(text: &str) -> Option<f64> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    // `f64::from_str` would also read `inf` and `1e3`.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|n| n * unit)
}

/// A count in three digits and a unit: `12.5k`.
pub fn short(n: f64) -> String {
    let (n, unit) = if n >= 999_500.0 {
        (n / 1e6, "M")
    } else if n >= 999.5 {
        (n / 1e3, "k")
    } else {
        (n, "")
    };
    let digits = if n >= 99.95 {
        0
    } else if n >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{n:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// The run's own clock: monotonic, shared by the threads that send and that read.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Microseconds since the beginning.
    pub fn now_us(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, pace) in [
            ("200", Pace::PerSecond(200.0)),
            ("50k", Pace::PerSecond(50_000.0)),
            ("1.5M/s", Pace::PerSecond(1_500_000.0)),
            (" max ", Pace::Max),
            ("0.5", Pace::PerSecond(0.5)),
        ] {
            assert_eq!(Pace::parse(text).unwrap(), pace, "{text}");
        }
        for text in ["", "k", "-5", "inf", "1e9", "0", "fast", "1.2.3", "200M"] {
            assert!(Pace::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_event_is_due_when_the_schedule_says_so() {
        let pace = Pace::PerSecond(1_000.0);
        assert_eq!((pace.due(0), pace.due(999), pace.due(1_000), pace.due(1_000_000)), (1, 1, 2, 1_001));
        assert_eq!((pace.due_us(0), pace.due_us(1), pace.due_us(2_500)), (0, 1_000, 2_500_000));
        for rate in [0.3, 7.0, 333.3, 50_000.0, 1_234_567.0] {
            let pace = Pace::PerSecond(rate);
            for n in [0, 1, 2, 999, 123_456] {
                // Due at its time and not a tick before: rounding to microseconds aside.
                assert!(pace.due(pace.due_us(n) + 1) > n, "{rate} {n}");
                assert!(pace.due(pace.due_us(n).saturating_sub(2)) <= n + 1 + (rate / 1e6 * 3.0) as u64, "{rate} {n}");
            }
        }
        assert_eq!(Pace::PerSecond(200.0).events(Duration::from_millis(2_500)), 500);
    }

    #[test]
    fn counts_are_short() {
        for (n, text) in [(7.0, "7"), (999.0, "999"), (1_000.0, "1k"), (12_500.0, "12.5k"), (999_900.0, "1M"), (1_500_000.0, "1.5M"), (100_000.0, "100k")] {
            assert_eq!(short(n), text);
        }
    }
}
