//! A date and time as read from text, and what turns it into microseconds since the epoch.

use chrono_tz::Tz;

use super::zone::Zone;

/// Earliest time, 0000-01-01T00:00:00Z, in microseconds: RFC 3339 cannot write an earlier one.
const TIME_MIN: i64 = -62_167_219_200_000_000;
/// Latest time, 9999-12-31T23:59:59.999999Z.
const TIME_MAX: i64 = 253_402_300_799_999_999;

/// Where a time is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The text does not say.
    Unknown,
    /// Seconds east of UTC.
    Offset(i32),
    /// A named zone.
    Named(Tz),
}

/// What a text says, checked piece by piece.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// The year, where the text has one.
    pub year: Option<u32>,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// Second of the day; 86,400 in a leap second.
    pub second: u32,
    /// Microseconds of the second.
    pub micros: u32,
    /// Where.
    pub place: Place,
}

impl Moment {
    /// Midnight of a day of a year.
    pub(super) fn date(year: Option<u32>, month: u32, day: u32) -> Moment {
        Moment { year, month, day, second: 0, micros: 0, place: Place::Unknown }
    }

    /// Sets the time of day. A second 60 (a leap second) is the first of the next minute.
    pub(super) fn set_time(&mut self, hour: u32, minute: u32, second: u32) -> Option<()> {
        self.second = second_of_day(hour, minute, second)?;
        Some(())
    }

    /// Microseconds since the epoch. A missing year is the one that brings the time nearest to
    /// `record` (microseconds); without a record time there is no telling.
    pub(super) fn micros(&self, zone: &Zone, record: Option<i64>) -> Option<i64> {
        if let Some(year) = self.year {
            return self.in_year(year, zone);
        }
        let record = record?;
        let (around, _, _) = crate::expr::value::civil(record.div_euclid(86_400_000_000));
        // February 29 may be up to eight years away; any other day is within one.
        let reach = if (self.month, self.day) == (2, 29) { 8 } else { 1 };
        (around - reach..=around + reach).filter_map(|year| self.in_year(u32::try_from(year).ok()?, zone)).min_by_key(|micros| micros.abs_diff(record))
    }

    fn in_year(&self, year: u32, zone: &Zone) -> Option<i64> {
        let local = days(year, self.month, self.day)? * 86_400 + i64::from(self.second);
        let seconds = match self.place {
            Place::Unknown => zone.to_utc(local),
            Place::Offset(offset) => local - i64::from(offset),
            Place::Named(tz) => Zone::named(tz).to_utc(local),
        };
        in_range(seconds * 1_000_000 + i64::from(self.micros))
    }
}

/// The time, if RFC 3339 can write it.
#[inline]
pub(super) fn in_range(micros: i64) -> Option<i64> {
    (TIME_MIN..=TIME_MAX).contains(&micros).then_some(micros)
}

/// Second of the day.
#[inline]
pub(super) fn second_of_day(hour: u32, minute: u32, second: u32) -> Option<u32> {
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Days since the epoch of a date of the years 0 to 9999, if it exists.
///
/// Years begin in March, so that the leap day comes last and the days before month `m` (from 0)
/// are `(979 m + 16) / 32` (Neri and Schneider, "Euclidean affine functions and their application
/// to calendar algorithms").
#[inline]
pub(super) fn days(year: u32, month: u32, day: u32) -> Option<i64> {
    if year > 9999 || !(1..=12).contains(&month) {
        return None;
    }
    let length = match month {
        2 if is_leap(year) => 29,
        2 => 28,
        // 31 for 1, 3, 5, 7, 8, 10, 12.
        _ => 30 | (month ^ (month >> 3)),
    };
    if day == 0 || day > length {
        return None;
    }
    let before_march = u32::from(month <= 2);
    // One cycle of 400 years ahead keeps January and February of the year 0 above zero.
    let year = year + 400 - before_march;
    let month = month + 12 * before_march - 3;
    let century = year / 100;
    let of_year = (979 * month + 16) / 32 + day - 1;
    let days = year * 1461 / 4 - century + century / 4 + of_year;
    Some(i64::from(days) - DAYS_TO_1970)
}

/// Days from 1 March of the year −400 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468 + 146_097;

#[inline]
fn is_leap(year: u32) -> bool {
    // A multiple of 4 and 25 is one of 100, and one of 100 and 16 one of 400.
    year & 3 == 0 && (!year.is_multiple_of(25) || year & 15 == 0)
}
