//! `6 months ago`, `in 15m`, `yesterday`: a shift of a moment.

use super::{DAY_US, Moment, Parts, days_in_month};

/// Parts of one text, such as `1 day 2 hours`.
const PARTS_MAX: usize = 16;
/// Years that a shift can span.
const MONTHS_MAX: i64 = 12 * 9999;

/// A shift: months first, then time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift {
    /// Months.
    pub months: i64,
    /// Microseconds.
    pub us: i64,
}

/// Reads a shift. Without a sign and without `in` it goes back: `15m` is 15 minutes ago.
pub fn parse(text: &str) -> Option<Shift> {
    let lower = text.trim().to_lowercase();
    match lower.as_str() {
        "now" | "today" => return Some(Shift::default()),
        "yesterday" => return Some(Shift { us: -DAY_US, ..Shift::default() }),
        "tomorrow" => return Some(Shift { us: DAY_US, ..Shift::default() }),
        _ => {}
    }
    let (mut sign, mut rest) = (-1, lower.as_str());
    if let Some(after) = rest.strip_prefix("in ").or_else(|| rest.strip_prefix('+')) {
        (sign, rest) = (1, after.trim());
    } else if let Some(after) = rest.strip_prefix('-') {
        rest = after.trim();
    }
    for (suffix, direction) in [("from now", 1), ("later", 1), ("ago", -1)] {
        if let Some(before) = rest.strip_suffix(suffix) {
            (sign, rest) = (direction, before.trim());
        }
    }
    let mut shift = Shift::default();
    let mut parts = 0;
    while !rest.is_empty() {
        parts += 1;
        if parts > PARTS_MAX {
            return None;
        }
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (count, after) = match rest.get(..digits)? {
            "" => match rest.split_once(' ')? {
                ("a" | "an" | "one", after) => (1.0, after),
                _ => return None,
            },
            number => (number.parse::<f64>().ok()?, rest.get(digits..)?),
        };
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let seconds = match after.get(..letters)? {
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            "mo" | "mon" | "month" | "months" => {
                shift.months = shift.months.checked_add(sign * count as i64)?;
                0.0
            }
            "y" | "yr" | "yrs" | "year" | "years" => {
                shift.months = shift.months.checked_add(sign.checked_mul((count as i64).checked_mul(12)?)?)?;
                0.0
            }
            _ => return None,
        };
        let us = count * seconds * 1e6;
        if us.abs() > 9e17 || shift.months.abs() > MONTHS_MAX {
            return None;
        }
        shift.us = shift.us.checked_add(sign * us as i64)?;
        rest = after.get(letters..)?.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    (parts > 0).then_some(shift)
}

impl Moment {
    /// Shifts the clock time; `None` beyond the years 0 to 9999.
    pub fn shifted(self, shift: Shift) -> Option<Moment> {
        let mut p = self.parts();
        let months = p.year * 12 + p.month - 1 + shift.months;
        (p.year, p.month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        p.day = p.day.min(days_in_month(p.year, p.month));
        let local_us = Parts { ..p }.local_us()?.checked_add(shift.us)?;
        let moved = Moment { local_us, ..self };
        (0..=super::YEAR_MAX).contains(&moved.parts().year).then_some(moved)
    }
}
