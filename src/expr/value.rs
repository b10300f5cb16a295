//! Types and values of expressions: few, closed, and the same for both evaluators.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What an expression yields. Any of them may be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// Only NULL itself has this type; it becomes any other.
    Null,
    /// UTF-8 text.
    Text,
    /// An IEEE double.
    Number,
    /// TRUE or FALSE.
    Boolean,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Time,
    /// Seconds between two times, as a double.
    Duration,
}

impl Type {
    /// The type's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "NULL",
            Type::Text => "text",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::Time => "time",
            Type::Duration => "duration",
        }
    }
}

/// One value, borrowing its text where it can.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Missing, JSON null, or the result of a function that could not read its input.
    Null,
    /// UTF-8 text.
    Text(Cow<'a, str>),
    /// An IEEE double; never NaN or infinite.
    Number(f64),
    /// TRUE or FALSE.
    Boolean(bool),
    /// Microseconds since the epoch.
    Time(i64),
    /// Seconds.
    Duration(f64),
}

impl<'a> Value<'a> {
    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// A number, or NULL where it is not finite: JSON has no infinity.
    pub fn number(number: f64) -> Value<'static> {
        if number.is_finite() { Value::Number(number) } else { Value::Null }
    }

    /// The same value, owning its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Null => Value::Null,
            Value::Number(number) => Value::Number(number),
            Value::Boolean(truth) => Value::Boolean(truth),
            Value::Time(micros) => Value::Time(micros),
            Value::Duration(seconds) => Value::Duration(seconds),
        }
    }

    /// The value as text: what `text(x)` and the match key of a rule see.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Value::Null => return None,
            Value::Text(text) => Cow::Borrowed(&**text),
            Value::Number(number) | Value::Duration(number) => Cow::Owned(number_text(*number)),
            Value::Boolean(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Value::Time(micros) => {
                let mut text = String::new();
                push_time(&mut text, *micros);
                Cow::Owned(text)
            }
        })
    }
}

/// A number as text: whole numbers up to 2^53 without a fraction, else the
/// shortest text that reads back as the same double.
pub fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        itoa::Buffer::new().format(number as i64).to_owned()
    } else {
        ryu::Buffer::new().format(number).to_owned()
    }
}

/// Text → number, as JSON writes numbers (surrounding blanks allowed, nothing else).
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim_ascii();
    // `f64::from_str` also takes `inf`, `nan`, `1.`, `+1`: keep to what a log may mean by a number.
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || first == b'-' || first == b'+' || first == b'.') {
        return None;
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n + 0.0)
}

/// Text → truth value.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim_ascii() {
        t if t.eq_ignore_ascii_case("true") => Some(true),
        t if t.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Appends a time as RFC 3339 in UTC: `2026-11-21T18:45:00Z`, with 3 or 6 digits of
/// fraction where there is one. Years outside 0–9999 are clamped, since RFC 3339 has no others.
pub fn push_time(out: &mut String, micros: i64) {
    const MIN: i64 = -62_167_219_200_000_000; // 0000-01-01T00:00:00Z
    const MAX: i64 = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999Z
    let micros = micros.clamp(MIN, MAX);
    let seconds = micros.div_euclid(1_000_000);
    let fraction = micros.rem_euclid(1_000_000);
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let two = |n: i64| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
    let century = two(year / 100);
    let (yy, mo, dd) = (two(year % 100), two(month), two(day));
    let (hh, mi, ss) = (two(of_day / 3600), two(of_day / 60 % 60), two(of_day % 60));
    let text = [century[0], century[1], yy[0], yy[1], b'-', mo[0], mo[1], b'-', dd[0], dd[1], b'T', hh[0], hh[1], b':', mi[0], mi[1], b':', ss[0], ss[1]];
    out.extend(text.iter().map(|b| *b as char));
    if fraction != 0 {
        // Writing to a String cannot fail.
        let _ = if fraction % 1000 == 0 { write!(out, ".{:03}", fraction / 1000) } else { write!(out, ".{fraction:06}") };
    }
    out.push('Z');
}

/// Days since the epoch → (year, month, day), proleptic Gregorian.
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// (year, month, day) → days since the epoch; the inverse of [`civil`].
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
