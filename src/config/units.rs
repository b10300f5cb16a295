//! Owns how durations and byte sizes are written: `5m`, `1h30m`, `256MiB`.

use thiserror::Error;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// Units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, i64); 6] = [("w", WEEK_MS), ("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];

/// Units of a size in bytes. Powers of ten and of two are told apart, as in SI and IEC.
const SIZE_UNITS: [(&str, u64); 9] =
    [("B", 1), ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Nothing, or something that does not begin with a digit.
    #[error("a number and a unit are expected")]
    Malformed,
    /// A number without its unit.
    #[error("a unit is missing after {0}")]
    NoUnit(String),
    /// A unit that does not exist here.
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    /// `30m1h`, `1h1h`: larger units come first, each once.
    #[error("larger units come first, each once")]
    Order,
    /// More than the type can hold.
    #[error("too large")]
    TooLarge,
}

/// A duration in milliseconds: whole numbers with `w`, `d`, `h`, `m`, `s`, `ms`,
/// larger units first (`1h30m`). `0` needs no unit.
///
/// # Errors
/// [`UnitError`] says what is wrong with the text.
pub fn parse_duration_ms(text: &str) -> Result<i64, UnitError> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(0);
    }
    let mut total: i64 = 0;
    let mut smallest = i64::MAX;
    while !rest.is_empty() {
        let (number, unit, after) = split_part(rest)?;
        let unit_ms = DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms).ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))?;
        if unit_ms >= smallest {
            return Err(UnitError::Order);
        }
        smallest = unit_ms;
        let count: i64 = number.parse().map_err(|_| UnitError::TooLarge)?;
        total = count.checked_mul(unit_ms).and_then(|part| total.checked_add(part)).ok_or(UnitError::TooLarge)?;
        rest = after;
    }
    if smallest == i64::MAX { Err(UnitError::Malformed) } else { Ok(total) }
}

/// A size in bytes: `512B`, `64KiB`, `256MiB`, `1GB`.
///
/// # Errors
/// [`UnitError`] says what is wrong with the text.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let (number, unit, rest) = split_part(text)?;
    if !rest.is_empty() {
        return Err(UnitError::Malformed);
    }
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))?;
    let count: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    count.checked_mul(factor).ok_or(UnitError::TooLarge)
}

/// Splits `12ms30s` into `12`, `ms` and the rest.
fn split_part(text: &str) -> Result<(&str, &str, &str), UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Malformed);
    }
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let unit = unit.trim_end();
    if unit.is_empty() {
        return Err(UnitError::NoUnit(number.to_owned()));
    }
    Ok((number, unit, rest))
}

/// A duration as it would be written in a pipeline: `1h30m`, `250ms`, `0s`.
pub fn format_duration_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms.unsigned_abs();
    let mut text = String::new();
    if ms < 0 {
        text.push('-');
    }
    for (name, unit_ms) in DURATION_UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        // 366d says more than 52w2d.
        if name == "w" && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        if rest >= unit_ms {
            text.push_str(&format!("{}{name}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    text
}

/// A size as it would be written: the largest binary unit that divides it, else bytes.
pub fn format_bytes(bytes: u64) -> String {
    for (name, factor) in SIZE_UNITS.iter().rev() {
        if name.ends_with("iB") && bytes >= *factor && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_alike() {
        for text in ["5m", "1h30m", "1d", "250ms", "2w", "3d4h5m6s7ms", "366d"] {
            assert_eq!(parse_duration_ms(text).map(format_duration_ms), Ok(text.to_owned()));
        }
        assert_eq!(parse_duration_ms(" 1h 30m "), Ok(90 * MINUTE_MS));
        assert_eq!(parse_duration_ms("0"), Ok(0));
        assert_eq!(parse_duration_ms("60"), Err(UnitError::NoUnit("60".into())));
        assert_eq!(parse_duration_ms("5min"), Err(UnitError::UnknownUnit("min".into())));
        assert_eq!(parse_duration_ms("30m1h"), Err(UnitError::Order));
        assert_eq!(parse_duration_ms("1h1h"), Err(UnitError::Order));
        assert_eq!(parse_duration_ms(""), Err(UnitError::Malformed));
        assert_eq!(parse_duration_ms("soon"), Err(UnitError::Malformed));
        assert_eq!(parse_duration_ms("-5m"), Err(UnitError::Malformed));
        assert_eq!(parse_duration_ms("99999999999999999999d"), Err(UnitError::TooLarge));
        assert_eq!(parse_duration_ms("999999999999999d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_read_and_print_alike() {
        for text in ["1B", "64KiB", "256MiB", "3GiB"] {
            assert_eq!(parse_bytes(text).map(format_bytes), Ok(text.to_owned()));
        }
        assert_eq!(parse_bytes("1MB"), Ok(1_000_000));
        assert_eq!(parse_bytes("1500"), Err(UnitError::NoUnit("1500".into())));
        assert_eq!(parse_bytes("1M"), Err(UnitError::UnknownUnit("M".into())));
        assert_eq!(parse_bytes("1MiB2B"), Err(UnitError::Malformed));
        assert_eq!(parse_bytes("99999999999TiB"), Err(UnitError::TooLarge));
    }
}
