//! Owns how points in time are written and read: microseconds since 1970 here, text outside.

use chrono::{DateTime, SecondsFormat, Utc};

/// RFC 3339 with milliseconds.
pub fn iso_us(us: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(us).map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The wall clock. Runs never ask it themselves: time comes with each step.
pub fn now_us() -> i64 {
    Utc::now().timestamp_micros()
}
