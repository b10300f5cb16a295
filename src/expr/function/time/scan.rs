//! A cursor over the bytes of a time text, and the pieces that many formats share:
//! numbers, names of months, time of day, offsets.

use std::str::FromStr;

use chrono_tz::Tz;

use super::moment::{Moment, Place};

/// A cursor. Methods that return `None` may have moved it; the caller then gives up or starts anew.
#[derive(Clone)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

const MONTHS: [&[u8]; 12] =
    [b"january", b"february", b"march", b"april", b"may", b"june", b"july", b"august", b"september", b"october", b"november", b"december"];
const WEEKDAYS: [&[u8]; 7] = [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// One of the bytes.
    pub(super) fn eat_any(&mut self, bytes: &[u8]) -> bool {
        let hit = self.peek().is_some_and(|b| bytes.contains(&b));
        self.at += usize::from(hit);
        hit
    }

    /// Passes over blanks; true if there was one.
    pub(super) fn blanks(&mut self) -> bool {
        let start = self.at;
        while self.eat_any(b" \t") {}
        self.at > start
    }

    /// How many bytes from here on fit.
    pub(super) fn run(&self, fits: impl Fn(u8) -> bool) -> usize {
        self.rest().iter().take_while(|b| fits(**b)).count()
    }

    pub(super) fn digits(&self) -> usize {
        self.run(|b| b.is_ascii_digit())
    }

    /// A number of `min` to `max` digits (at most 9), all that stand here.
    pub(super) fn number(&mut self, min: usize, max: usize) -> Option<u32> {
        let count = self.digits();
        if !(min..=max).contains(&count) {
            return None;
        }
        self.fixed(count)
    }

    /// The number of exactly the next `count` digits (at most 9), whatever follows.
    pub(super) fn fixed(&mut self, count: usize) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + count)?;
        let mut number = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u32::from(digit - b'0');
        }
        self.at += count;
        Some(number)
    }

    fn word(&mut self) -> &'a [u8] {
        let count = self.run(|b| b.is_ascii_alphabetic());
        let word = self.rest().get(..count).unwrap_or_default();
        self.at += count;
        word
    }

    /// The number (from 0) of a name written in full or with at least three letters; `Sept.` too.
    fn name(&mut self, names: &[&[u8]]) -> Option<usize> {
        let word = self.word();
        if word.len() < 3 {
            return None;
        }
        let found = names.iter().position(|name| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
        if found.is_some() {
            self.eat(b'.');
        }
        found
    }

    /// A month, 1 to 12.
    pub(super) fn month(&mut self) -> Option<u32> {
        self.name(&MONTHS).map(|month| month as u32 + 1)
    }

    /// A weekday; it is not compared with the date.
    pub(super) fn weekday(&mut self) -> Option<()> {
        self.name(&WEEKDAYS).map(|_| ())
    }

    /// `hh:mm[:ss[.fraction]] [AM|PM]`, hours of one or two digits.
    pub(super) fn time_of_day(&mut self, moment: &mut Moment) -> Option<()> {
        let hour = self.number(1, 2)?;
        if !self.eat(b':') {
            return None;
        }
        let minute = self.number(2, 2)?;
        let mut second = 0;
        if self.eat(b':') {
            second = self.number(2, 2)?;
            moment.micros = self.fraction()?;
        }
        let hour = self.half_of_day(hour)?;
        moment.set_time(hour, minute, second)
    }

    /// `hhmm[ss[.fraction]]`.
    pub(super) fn compact_time(&mut self, moment: &mut Moment) -> Option<()> {
        let hour = self.fixed(2)?;
        let minute = self.fixed(2)?;
        let mut second = 0;
        if self.digits() > 0 {
            second = self.number(2, 2)?;
            moment.micros = self.fraction()?;
        }
        moment.set_time(hour, minute, second)
    }

    /// A fraction of any length after `.` or `,` in microseconds, cut off after them; 0 where there is none.
    #[inline]
    pub(super) fn fraction(&mut self) -> Option<u32> {
        let Some(b'.' | b',') = self.peek() else { return Some(0) };
        let (micros, count) = fraction(self.bytes.get(self.at + 1..).unwrap_or_default())?;
        self.at += 1 + count;
        Some(micros)
    }

    /// The hour of the day for an hour that `AM` or `PM` may follow.
    fn half_of_day(&mut self, hour: u32) -> Option<u32> {
        let mut ahead = self.clone();
        ahead.blanks();
        let word = ahead.word();
        let after_noon = if word.eq_ignore_ascii_case(b"PM") {
            true
        } else if word.eq_ignore_ascii_case(b"AM") {
            false
        } else {
            return Some(hour);
        };
        *self = ahead;
        (1..=12).contains(&hour).then_some(hour % 12 + if after_noon { 12 } else { 0 })
    }

    /// `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss` → seconds east of UTC.
    pub(super) fn offset(&mut self) -> Option<i32> {
        let west = match self.peek()? {
            b'+' => false,
            b'-' => true,
            _ => return None,
        };
        self.at += 1;
        let hours = self.fixed(2)?;
        let (mut minutes, mut seconds) = (0, 0);
        if self.eat(b':') {
            minutes = self.fixed(2)?;
            if self.eat(b':') {
                seconds = self.fixed(2)?;
            }
        } else if self.digits() > 0 {
            minutes = self.fixed(2)?;
        }
        if self.digits() > 0 || hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let east = (hours * 3600 + minutes * 60 + seconds) as i32;
        Some(if west { -east } else { east })
    }

    /// The place where the time is told, if it stands here: an offset, `Z`, `UTC`, `GMT+1`, one of
    /// the American abbreviations of RFC 2822, an IANA name. What may follow an offset to explain it
    /// (`+0000 UTC`, `-0700 (PDT)`, `+02:00[Europe/Paris]`) is passed over. Other abbreviations mean
    /// different offsets to different people and fail.
    pub(super) fn place(&mut self, moment: &mut Moment) -> Option<()> {
        self.blanks();
        match self.peek() {
            Some(b'+' | b'-') => moment.place = Place::Offset(self.offset()?),
            Some(b'A'..=b'Z' | b'a'..=b'z') => {
                let count = self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
                let word = self.rest().get(..count).unwrap_or_default();
                if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)) {
                    moment.place = Place::Offset(hours * 3600);
                    self.at += count;
                } else if word.contains(&b'/') {
                    moment.place = Place::Named(Tz::from_str(std::str::from_utf8(word).ok()?).ok()?);
                    self.at += count;
                } else {
                    let name = self.word();
                    if !(name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"GMT")) {
                        return None;
                    }
                    moment.place = Place::Offset(self.offset()?);
                }
            }
            _ => return Some(()),
        }
        self.explanation();
        Some(())
    }

    fn explanation(&mut self) {
        let mut ahead = self.clone();
        ahead.blanks();
        let close = match ahead.peek() {
            Some(b'[') => b']',
            Some(b'(') => b')',
            _ if ahead.word() == b"UTC" => {
                *self = ahead;
                return;
            }
            _ => return,
        };
        let inside = ahead.run(|b| b != close);
        ahead.skip(inside);
        if ahead.eat(close) {
            *self = ahead;
        }
    }
}

const ABBREVIATIONS: [(&str, i32); 12] =
    [("Z", 0), ("UTC", 0), ("GMT", 0), ("UT", 0), ("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6), ("PST", -8), ("PDT", -7)];

/// The digits at the start of the text as a fraction: microseconds and how many digits there are.
#[inline]
pub(super) fn fraction(digits: &[u8]) -> Option<(u32, usize)> {
    let (mut micros, mut weight, mut count) = (0, 100_000, 0);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        micros += u32::from(digit) * weight;
        weight /= 10;
        count += 1;
    }
    (count > 0).then_some((micros, count))
}
