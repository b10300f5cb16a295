//! Times as JSON text, fast: the date of the last second is kept, since the times of
//! a flood lie close together.

use crate::expr::value::{civil, push_time};

/// Reads what [`TimeText`] writes, and any other RFC 3339: microseconds since the epoch.
pub fn read_time(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// Writes times as RFC 3339 strings in UTC.
#[derive(Debug, Clone)]
pub struct TimeText {
    second: i64,
    /// Quote, date and time of day of `second`.
    text: [u8; 20],
    day: i64,
    micros: i64,
    /// The whole of `micros`, which often comes again: what occurred was created then.
    whole: [u8; 32],
    len: usize,
}

impl Default for TimeText {
    fn default() -> TimeText {
        TimeText { second: i64::MIN, text: [0; 20], day: i64::MIN, micros: 0, whole: [0; 32], len: 0 }
    }
}

impl TimeText {
    /// Appends `"2026-11-21T18:45:00.123Z"` with its quotes.
    pub fn push(&mut self, out: &mut Vec<u8>, micros: i64) {
        if micros == self.micros && self.len > 0 {
            return self.push_whole(out);
        }
        let second = micros.div_euclid(1_000_000);
        let fraction = micros.rem_euclid(1_000_000) as u32;
        if second != self.second && !self.set(second) {
            // Years beyond 0–9999: rare enough for the slow way.
            let mut text = String::new();
            push_time(&mut text, micros);
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
            return;
        }
        let buffer = &mut self.whole;
        buffer[..20].copy_from_slice(&self.text);
        let digit = |n: u32| b'0' + (n % 10) as u8;
        let mut len = 20;
        if fraction != 0 {
            let milli = fraction / 1000;
            buffer[20..24].copy_from_slice(&[b'.', digit(milli / 100), digit(milli / 10), digit(milli)]);
            len = 24;
            let micro = fraction % 1000;
            if micro != 0 {
                buffer[24..27].copy_from_slice(&[digit(micro / 100), digit(micro / 10), digit(micro)]);
                len = 27;
            }
        }
        buffer[len] = b'Z';
        buffer[len + 1] = b'"';
        self.micros = micros;
        self.len = len + 2;
        self.push_whole(out);
    }

    fn push_whole(&self, out: &mut Vec<u8>) {
        // A copy of fixed length is a few instructions; what is too much is cut off.
        let end = out.len() + self.len;
        out.extend_from_slice(&self.whole);
        out.truncate(end);
    }

    /// Prepares the text of a second: quote, date, time of day.
    fn set(&mut self, second: i64) -> bool {
        let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
        let digit = |n: i64| b'0' + (n % 10) as u8;
        if days != self.day {
            let (year, month, day) = civil(days);
            if !(0..=9999).contains(&year) {
                return false;
            }
            self.text[0] = b'"';
            self.text[1..5].copy_from_slice(&[digit(year / 1000), digit(year / 100), digit(year / 10), digit(year)]);
            self.text[5..8].copy_from_slice(&[b'-', digit(month / 10), digit(month)]);
            self.text[8..12].copy_from_slice(&[b'-', digit(day / 10), digit(day), b'T']);
            self.day = days;
        }
        let (hour, minute, sec) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        self.text[12..].copy_from_slice(&[digit(hour / 10), digit(hour), b':', digit(minute / 10), digit(minute), b':', digit(sec / 10), digit(sec)]);
        self.second = second;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_plain_way() {
        let mut fast = TimeText::default();
        for micros in [0, 1, 999_999, -1, 1_795_286_700_123_000, 1_795_286_700_123_456, 951_782_400_000_000, i64::MAX, i64::MIN, -62_167_219_200_000_000] {
            let mut slow = String::new();
            push_time(&mut slow, micros);
            for _ in 0..2 {
                let mut out = Vec::new();
                fast.push(&mut out, micros);
                assert_eq!(String::from_utf8_lossy(&out), format!("\"{slow}\""));
                assert_eq!(read_time(&slow), Some(micros.clamp(-62_167_219_200_000_000, 253_402_300_799_999_999)));
            }
        }
    }
}
