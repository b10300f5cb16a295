//! Numbers that count from 1970: seconds, milliseconds, microseconds or nanoseconds.

use super::moment::in_range;
use super::scan::{Scan, fraction};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// The unit that puts a number between 1973 and 5138 (seconds: from 1970 on); the steps lie
    /// where the number in the smaller unit would be March 1973.
    fn by_magnitude(number: u64) -> Unit {
        match number {
            0..100_000_000_000 => Unit::Seconds,
            100_000_000_000..100_000_000_000_000 => Unit::Millis,
            100_000_000_000_000..100_000_000_000_000_000 => Unit::Micros,
            _ => Unit::Nanos,
        }
    }
}

/// Most digits before the point: the nanoseconds of today have 19, and 19 fit 64 bits.
const DIGITS_MAX: usize = 19;

/// A number (sign, digits, fraction, exponent) as microseconds since the epoch. Digits beyond
/// the microsecond are cut off. Without a unit it is told by the number's magnitude.
pub(super) fn parse(text: &[u8], unit: Option<Unit>) -> Option<i64> {
    let mut scan = Scan::new(text);
    let negative = scan.eat(b'-');
    if !negative {
        scan.eat(b'+');
    }
    let digits = scan.digits();
    if !(1..=DIGITS_MAX).contains(&digits) {
        return None;
    }
    let whole = scan.rest().iter().take(digits).fold(0u64, |number, byte| number * 10 + u64::from(byte - b'0'));
    scan.skip(digits);
    let mut millionths = 0;
    if scan.eat(b'.') {
        let (value, count) = fraction(scan.rest())?;
        millionths = value;
        scan.skip(count);
    }
    if let Some(b'e' | b'E') = scan.peek() {
        return exponent(text, unit);
    }
    if !scan.is_end() {
        return None;
    }
    let millionths = i64::from(millionths);
    let number = i64::try_from(whole).ok()?;
    let micros = match unit.unwrap_or_else(|| Unit::by_magnitude(whole)) {
        Unit::Seconds => number.checked_mul(1_000_000)?.checked_add(millionths)?,
        Unit::Millis => number.checked_mul(1000)?.checked_add(millionths / 1000)?,
        Unit::Micros => number,
        Unit::Nanos => number / 1000,
    };
    in_range(if negative { -micros } else { micros })
}

/// `1.600044263e9`: some JSON writers have no other way.
fn exponent(text: &[u8], unit: Option<Unit>) -> Option<i64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let scale = match unit.unwrap_or_else(|| Unit::by_magnitude(number.abs() as u64)) {
        Unit::Seconds => 1e6,
        Unit::Millis => 1e3,
        Unit::Micros => 1.0,
        Unit::Nanos => 1e-3,
    };
    // A float that is out of range becomes the nearest integer, which is out of range too.
    in_range((number * scale).round() as i64)
}
