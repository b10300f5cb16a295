//! Dates in content: what people and products write, read and printed.

pub mod flexible;
pub mod go;
pub mod relative;
pub mod strptime;

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
/// Years that can be printed and counted with: 0 to 9999.
pub const YEAR_MAX: i64 = 9999;

/// A point in time as written: clock time and, if it was given, the offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970-01-01T00:00:00 of the clock where it was written.
    pub local_us: i64,
    /// Seconds east of UTC; `None`: no zone was written, and UTC is meant.
    pub offset_s: Option<i32>,
}

/// The parts of a clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Parts {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub micros: i64,
}

impl Moment {
    /// Microseconds since the epoch, UTC.
    pub fn utc_us(self) -> i64 {
        self.local_us - i64::from(self.offset_s.unwrap_or(0)) * 1_000_000
    }

    /// The parts of the clock time.
    pub fn parts(self) -> Parts {
        let days = self.local_us.div_euclid(DAY_US);
        let of_day = self.local_us.rem_euclid(DAY_US);
        let (year, month, day) = civil(days);
        let seconds = of_day / 1_000_000;
        Parts { year, month, day, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60, micros: of_day % 1_000_000 }
    }

    /// Day of the week, Monday = 0.
    pub fn weekday(self) -> usize {
        (self.local_us.div_euclid(DAY_US) + 3).rem_euclid(7) as usize
    }

    /// As Python's `isoformat()`: `2020-06-11T17:34:35.754203+03:00`.
    pub fn iso(self) -> String {
        let p = self.parts();
        let mut text = format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", p.year, p.month, p.day, p.hour, p.minute, p.second);
        if p.micros > 0 {
            text.push_str(&format!(".{:06}", p.micros));
        }
        if let Some(offset) = self.offset_s {
            text.push_str(&offset_text(offset, ":"));
        }
        text
    }
}

/// `+03:00`
pub fn offset_text(offset_s: i32, between: &str) -> String {
    let minutes = offset_s.abs() / 60;
    format!("{}{:02}{between}{:02}", if offset_s < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

impl Parts {
    /// Midnight of a date.
    pub fn date(year: i64, month: i64, day: i64) -> Parts {
        Parts { year, month, day, hour: 0, minute: 0, second: 0, micros: 0 }
    }

    /// The clock time; `None` where there is no such date or time.
    pub fn local_us(self) -> Option<i64> {
        let valid = (0..=YEAR_MAX).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..=60).contains(&self.second);
        valid.then(|| days(self.year, self.month, self.day) * DAY_US + (self.hour * 3600 + self.minute * 60 + self.second) * 1_000_000 + self.micros)
    }
}

/// Days of a month.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch → (year, month, day), proleptic Gregorian.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// (year, month, day) → days since the epoch.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Full names of months.
pub const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
/// Full names of weekdays, Monday first.
pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The number of a month by its name or its first three letters.
pub fn month_number(word: &str) -> Option<i64> {
    let word = word.trim_end_matches('.');
    let known = |name: &str| {
        name.eq_ignore_ascii_case(word) || word.len() == 3 && name[..3].eq_ignore_ascii_case(word) || word.eq_ignore_ascii_case("sept") && name == "September"
    };
    MONTHS.iter().position(|name| known(name)).map(|at| at as i64 + 1)
}

/// True for the name of a weekday or its first three letters.
pub fn is_weekday(word: &str) -> bool {
    WEEKDAYS.iter().any(|name| name.eq_ignore_ascii_case(word) || word.len() == 3 && name[..3].eq_ignore_ascii_case(word))
}

/// What built-in date operators read: any layout of the documentation, ISO 8601 with or without
/// zone, and epoch numbers (seconds below 1e11, else milliseconds).
pub fn read(text: &str, now_us: Option<i64>) -> Option<Moment> {
    let text = text.trim();
    if text.len() > 9 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return epoch(text.parse().ok()?);
    }
    flexible::parse(text, flexible::Options { now_us, ..flexible::Options::default() })
}

/// An epoch number.
pub fn epoch(number: f64) -> Option<Moment> {
    let seconds = if number.abs() < 1e11 { number } else { number / 1000.0 };
    let micros = seconds * 1e6;
    // Beyond the year 9999 nothing can be printed.
    (micros.abs() < 2.5e17).then_some(Moment { local_us: micros as i64, offset_s: Some(0) })
}
