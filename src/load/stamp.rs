//! Times as products write them: a civil date computed once per event, printed in
//! a dozen formats without going through a formatting library.

use super::rng::Draw;

/// The ways in which the products of the profiles write a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-03-02T08:00:00Z`
    Rfc3339,
    /// `2026-03-02T08:00:00.123Z`
    Rfc3339Ms,
    /// `2026-03-02T08:00:00.123456Z`
    Rfc3339Us,
    /// `2026-03-02T08:00:00.1234567Z`, as .NET does
    Rfc3339Ticks,
    /// `2026-03-02T08:00:00.123456+0000`, as Suricata does
    Suricata,
    /// `2026-03-02 08:00:00`
    Space,
    /// `2026-03-02 08:00:00.123`
    SpaceMs,
    /// `2026/03/02 08:00:00`
    Slash,
    /// `1772438400`
    Epoch,
    /// `1772438400123`
    EpochMs,
    /// `1772438400.123456`, as Zeek does
    EpochFraction,
}

impl TimeFormat {
    /// The name used in templates.
    pub fn from_name(name: &str) -> Option<TimeFormat> {
        Some(match name {
            "rfc3339" => TimeFormat::Rfc3339,
            "rfc3339ms" => TimeFormat::Rfc3339Ms,
            "rfc3339us" => TimeFormat::Rfc3339Us,
            "rfc3339ticks" => TimeFormat::Rfc3339Ticks,
            "suricata" => TimeFormat::Suricata,
            "space" => TimeFormat::Space,
            "spacems" => TimeFormat::SpaceMs,
            "slash" => TimeFormat::Slash,
            "epoch" => TimeFormat::Epoch,
            "epochms" => TimeFormat::EpochMs,
            "epochf" => TimeFormat::EpochFraction,
            _ => return None,
        })
    }
}

/// A point in time, split into what the formats print.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    ms: i64,
    year: u32,
    month: u32,
    day: u32,
    second_of_day: u32,
    milli: u32,
}

impl Stamp {
    /// Splits milliseconds since the epoch; times before 1970 are taken as 1970.
    pub fn new(ms: i64) -> Stamp {
        let ms = ms.max(0);
        let days = ms / 86_400_000;
        let in_day = ms % 86_400_000;
        // Civil date from days, after Howard Hinnant's `civil_from_days`.
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = (yoe + era * 400 + i64::from(month <= 2)) as u32;
        Stamp { ms, year, month, day, second_of_day: (in_day / 1000) as u32, milli: (in_day % 1000) as u32 }
    }

    /// Milliseconds since the epoch.
    pub fn ms(&self) -> i64 {
        self.ms
    }

    /// Appends the time; digits below a millisecond come from `draw`.
    pub fn push(&self, format: TimeFormat, draw: &mut impl Draw, out: &mut Vec<u8>) {
        match format {
            TimeFormat::Rfc3339 => {
                self.push_civil(b'-', b'T', out);
                out.push(b'Z');
            }
            TimeFormat::Rfc3339Ms => {
                self.push_civil(b'-', b'T', out);
                out.push(b'.');
                push_padded(u64::from(self.milli), 3, out);
                out.push(b'Z');
            }
            TimeFormat::Rfc3339Us => {
                self.push_civil(b'-', b'T', out);
                out.push(b'.');
                push_padded(self.micros(draw), 6, out);
                out.push(b'Z');
            }
            TimeFormat::Rfc3339Ticks => {
                self.push_civil(b'-', b'T', out);
                out.push(b'.');
                // A last digit of 0 would be left out by the product: avoid it.
                push_padded(self.micros(draw) * 10 + 1 + draw.below(9), 7, out);
                out.push(b'Z');
            }
            TimeFormat::Suricata => {
                self.push_civil(b'-', b'T', out);
                out.push(b'.');
                push_padded(self.micros(draw), 6, out);
                out.extend_from_slice(b"+0000");
            }
            TimeFormat::Space => self.push_civil(b'-', b' ', out),
            TimeFormat::SpaceMs => {
                self.push_civil(b'-', b' ', out);
                out.push(b'.');
                push_padded(u64::from(self.milli), 3, out);
            }
            TimeFormat::Slash => self.push_civil(b'/', b' ', out),
            TimeFormat::Epoch => push_int(self.ms as u64 / 1000, out),
            TimeFormat::EpochMs => push_int(self.ms as u64, out),
            TimeFormat::EpochFraction => {
                push_int(self.ms as u64 / 1000, out);
                out.push(b'.');
                push_padded(self.micros(draw), 6, out);
            }
        }
    }

    fn micros(&self, draw: &mut impl Draw) -> u64 {
        u64::from(self.milli) * 1000 + draw.below(1000)
    }

    fn push_civil(&self, date: u8, between: u8, out: &mut Vec<u8>) {
        let (h, m, s) = (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        let mut text = *b"0000-00-00T00:00:00";
        put2(&mut text, 0, self.year / 100);
        put2(&mut text, 2, self.year % 100);
        text[4] = date;
        put2(&mut text, 5, self.month);
        text[7] = date;
        put2(&mut text, 8, self.day);
        text[10] = between;
        put2(&mut text, 11, h);
        put2(&mut text, 14, m);
        put2(&mut text, 17, s);
        out.extend_from_slice(&text);
    }
}

fn put2(text: &mut [u8; 19], at: usize, value: u32) {
    text[at] = b'0' + (value / 10 % 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

/// Appends a number in decimal.
pub fn push_int(value: u64, out: &mut Vec<u8>) {
    let mut text = [0u8; 20];
    let mut at = text.len();
    let mut rest = value;
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends the last `digits` decimal digits of a number, zeros in front.
pub fn push_padded(value: u64, digits: usize, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + digits, b'0');
    let mut rest = value;
    for slot in out[from..].iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::rng::StoryRng;

    fn text(ms: i64, format: TimeFormat) -> String {
        let mut out = Vec::new();
        Stamp::new(ms).push(format, &mut StoryRng::new(1, 1), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn civil_dates() {
        assert_eq!(text(0, TimeFormat::Rfc3339), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_399_999, TimeFormat::SpaceMs), "2000-02-28 23:59:59.999");
        assert_eq!(text(951_782_400_000, TimeFormat::Rfc3339Ms), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_772_438_400_123, TimeFormat::Rfc3339Ms), "2026-03-02T08:00:00.123Z");
        assert_eq!(text(4_102_444_799_000, TimeFormat::Slash), "2099/12/31 23:59:59");
        assert_eq!(text(1_772_438_400_123, TimeFormat::EpochMs), "1772438400123");
    }

    #[test]
    fn fractions_keep_the_millisecond() {
        assert!(text(1_772_438_400_123, TimeFormat::EpochFraction).starts_with("1772438400.123"));
        assert!(text(1_772_438_400_007, TimeFormat::Rfc3339Ticks).starts_with("2026-03-02T08:00:00.007"));
        assert!(text(1_772_438_400_123, TimeFormat::Suricata).ends_with("+0000"));
    }

    #[test]
    fn integers() {
        let mut out = Vec::new();
        push_int(0, &mut out);
        push_int(u64::MAX, &mut out);
        push_padded(7, 3, &mut out);
        assert_eq!(out, b"018446744073709551615007");
    }
}
