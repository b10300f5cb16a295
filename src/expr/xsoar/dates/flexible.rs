//! Dates as people write them, by the rules of Python's `dateutil` parser: numbers find
//! their roles by size and order, names of months and zones by themselves.

use super::{DAY_US, Moment, Parts, civil, days_in_month, is_weekday, month_number};

/// Characters of a date text; longer ones are none.
const LENGTH_MAX: usize = 200;
/// Two digits mean a year near this one, where today is not known.
const CENTURY_YEAR: i64 = 2020;

/// How ambiguous dates are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `05-11` is the 5th of November.
    pub day_first: bool,
    /// `05-11-12` begins with the year.
    pub year_first: bool,
    /// Words that mean nothing are skipped.
    pub fuzzy: bool,
    /// What is not written is taken from this day; without one, a date without a year is none.
    pub now_us: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'t> {
    Digits(&'t str),
    Word(&'t str),
    Other(char),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut list = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = |test: fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
        let end = if c.is_ascii_digit() {
            let end = length(|c| c.is_ascii_digit());
            list.push(Token::Digits(&rest[..end]));
            end
        } else if c.is_alphabetic() {
            let end = length(char::is_alphabetic);
            list.push(Token::Word(&rest[..end]));
            end
        } else {
            list.push(Token::Other(c));
            c.len_utf8()
        };
        rest = &rest[end..];
    }
    list
}

/// A number that is a year, a month or a day, and its digits.
#[derive(Debug, Clone, Copy)]
struct Number {
    value: i64,
    digits: usize,
}

#[derive(Default)]
struct Reader {
    numbers: Vec<Number>,
    month: Option<(i64, usize)>,
    time: Option<(i64, i64, i64, i64)>,
    afternoon: Option<bool>,
    offset_s: Option<i32>,
}

/// Reads a date; `None` where the text is none.
pub fn parse(text: &str, options: Options) -> Option<Moment> {
    if text.is_empty() || text.len() > LENGTH_MAX {
        return None;
    }
    let tokens = tokens(text);
    let mut reader = Reader::default();
    let mut at = 0;
    while at < tokens.len() {
        at += reader.step(&tokens, at, options.fuzzy)?;
    }
    reader.finish(options)
}

impl Reader {
    /// Reads what stands at `at`; returns how many tokens it took.
    fn step(&mut self, tokens: &[Token<'_>], at: usize, fuzzy: bool) -> Option<usize> {
        let digits = |at: usize| match tokens.get(at) {
            Some(Token::Digits(digits)) => Some(*digits),
            _ => None,
        };
        let is = |at: usize, c: char| tokens.get(at) == Some(&Token::Other(c));
        match tokens.get(at)? {
            Token::Digits(first) => {
                if is(at + 1, ':') && digits(at + 2).is_some() && self.time.is_none() {
                    return self.clock(tokens, at);
                }
                match first.len() {
                    8 if self.numbers.is_empty() => {
                        self.packed_date(first)?;
                        return Some(1);
                    }
                    14 if self.numbers.is_empty() => {
                        self.packed_date(first.get(..8)?)?;
                        self.packed_time(first.get(8..)?)?;
                        return Some(1);
                    }
                    6 | 4 if self.numbers.len() >= 3 && self.time.is_none() => {
                        self.packed_time(first)?;
                        return Some(1);
                    }
                    _ => {}
                }
                // `3PM`
                let spaced = usize::from(is(at + 1, ' '));
                if self.time.is_none()
                    && let Some(Token::Word(word)) = tokens.get(at + 1 + spaced)
                    && (word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm"))
                {
                    self.time = Some((first.parse().ok()?, 0, 0, 0));
                    return Some(1);
                }
                if self.numbers.len() >= 3 || self.numbers.len() == 2 && self.month.is_some() {
                    return fuzzy.then_some(1);
                }
                self.numbers.push(Number { value: first.parse().ok().filter(|value| *value <= 9999)?, digits: first.len() });
                Some(1)
            }
            Token::Word(word) => {
                if let Some(month) = month_number(word).filter(|_| self.month.is_none()) {
                    self.month = Some((month, self.numbers.len()));
                    // `Jan.`
                    return Some(1 + usize::from(is(at + 1, '.') && !matches!(tokens.get(at + 2), Some(Token::Digits(_)))));
                }
                let lower = word.to_ascii_lowercase();
                let ordinal = matches!(lower.as_str(), "st" | "nd" | "rd" | "th") && at > 0 && digits(at - 1).is_some();
                if ordinal || is_weekday(word) || matches!(lower.as_str(), "t" | "and" | "at" | "on" | "of" | "ad") {
                    return Some(1);
                }
                match lower.as_str() {
                    "am" | "a" if self.time.is_some() => self.afternoon = Some(false),
                    "pm" | "p" if self.time.is_some() => self.afternoon = Some(true),
                    "z" | "utc" | "gmt" if self.time.is_some() || self.numbers.len() > 1 => self.offset_s = Some(0),
                    // A zone that only its users know counts as UTC, unnamed.
                    _ if self.time.is_some() && word.len() <= 5 && word.chars().all(|c| c.is_ascii_uppercase()) => {}
                    _ if fuzzy => {}
                    _ => return None,
                }
                Some(1)
            }
            Token::Other('+' | '-') if self.time.is_some() && self.offset_s.is_none_or(|offset| offset == 0) && digits(at + 1).is_some() => {
                let negative = is(at, '-');
                let (hours, minutes, used) = match (digits(at + 1)?, is(at + 2, ':').then(|| digits(at + 3)).flatten()) {
                    (hours, Some(minutes)) => (hours, minutes, 4),
                    (packed, None) if packed.len() == 4 => (packed.get(..2)?, packed.get(2..)?, 2),
                    (hours, None) if hours.len() <= 2 => (hours, "0", 2),
                    _ => return fuzzy.then_some(2),
                };
                let seconds = hours.parse::<i32>().ok().filter(|h| *h < 24)? * 3600 + minutes.parse::<i32>().ok().filter(|m| *m < 60)? * 60;
                self.offset_s = Some(if negative { -seconds } else { seconds });
                Some(used)
            }
            Token::Other(c) if c.is_whitespace() || matches!(c, ',' | '-' | '/' | '.' | ';' | '(' | ')' | '\'') => Some(1),
            Token::Other(_) => fuzzy.then_some(1),
        }
    }

    /// `15:04[:05[.000]]`
    fn clock(&mut self, tokens: &[Token<'_>], at: usize) -> Option<usize> {
        let digits = |at: usize| match tokens.get(at) {
            Some(Token::Digits(digits)) => Some(*digits),
            _ => None,
        };
        let is = |at: usize, c: char| tokens.get(at) == Some(&Token::Other(c));
        let (hour, minute) = (digits(at)?.parse().ok()?, digits(at + 2)?.parse().ok()?);
        let (mut second, mut micros, mut used) = (0, 0, 3);
        if is(at + 3, ':')
            && let Some(seconds) = digits(at + 4)
        {
            second = seconds.parse().ok()?;
            used = 5;
            if (is(at + 5, '.') || is(at + 5, ','))
                && let Some(fraction) = digits(at + 6)
            {
                let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
                micros = six.parse().ok()?;
                used = 7;
            }
        }
        self.time = Some((hour, minute, second, micros));
        Some(used)
    }

    fn packed_date(&mut self, digits: &str) -> Option<()> {
        for range in [0..4, 4..6, 6..8] {
            let part = digits.get(range)?;
            self.numbers.push(Number { value: part.parse().ok()?, digits: part.len() });
        }
        Some(())
    }

    fn packed_time(&mut self, digits: &str) -> Option<()> {
        let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), |part| part.parse().ok());
        self.time = Some((part(0)?, part(2)?, part(4)?, 0));
        Some(())
    }

    fn finish(self, options: Options) -> Option<Moment> {
        if self.numbers.is_empty() && self.month.is_none() && self.time.is_none() {
            return None;
        }
        let (year, month, day) = self.resolve(options)?;
        let today = options.now_us.map(|now| civil(now.div_euclid(DAY_US)));
        let year = match year {
            Some(year) => full_year(year, today.map_or(CENTURY_YEAR, |(year, ..)| year)),
            None => today?.0,
        };
        let month = match month {
            Some(month) => month.value,
            None => today?.1,
        };
        // A day that was not written fits into the month.
        let day = match day {
            Some(day) => day.value,
            None => today?.2.min(days_in_month(year, month)),
        };
        let (mut hour, minute, second, micros) = self.time.unwrap_or_default();
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        let local_us = Parts { year, month, day, hour, minute, second, micros }.local_us()?;
        Some(Moment { local_us, offset_s: self.offset_s })
    }

    /// Which number is the year, which the month, which the day.
    #[allow(clippy::type_complexity)]
    fn resolve(&self, options: Options) -> Option<(Option<Number>, Option<Number>, Option<Number>)> {
        let mut list = self.numbers.clone();
        let named = self.month.map(|(month, at)| {
            let month = Number { value: month, digits: 2 };
            list.insert(at.min(list.len()), month);
            at
        });
        let big = |number: &Number| number.value > 31 || number.digits > 2;
        let small = |number: &Number, limit: i64| number.value <= limit && number.digits <= 2;
        Some(match (list.as_slice(), named) {
            ([], _) => (None, None, None),
            ([month], Some(_)) => (None, Some(*month), None),
            ([one], None) if big(one) => (Some(*one), None, None),
            ([one], None) => (None, None, Some(*one)),
            ([a, b], Some(0)) if big(b) => (Some(*b), Some(*a), None),
            ([a, b], Some(0)) => (None, Some(*a), Some(*b)),
            ([a, b], Some(_)) if big(a) => (Some(*a), Some(*b), None),
            ([a, b], Some(_)) => (None, Some(*b), Some(*a)),
            ([a, b], None) if big(a) => (Some(*a), Some(*b), None),
            ([a, b], None) if big(b) => (Some(*b), Some(*a), None),
            ([a, b], None) if options.day_first && small(b, 12) => (None, Some(*b), Some(*a)),
            ([a, b], None) => (None, Some(*a), Some(*b)),
            ([a, b, c], Some(0)) if big(b) => (Some(*b), Some(*a), Some(*c)),
            ([a, b, c], Some(0)) => (Some(*c), Some(*a), Some(*b)),
            ([a, b, c], Some(1)) if big(a) || options.year_first && small(c, 31) => (Some(*a), Some(*b), Some(*c)),
            ([a, b, c], Some(1)) => (Some(*c), Some(*b), Some(*a)),
            ([a, b, c], Some(_)) if big(b) => (Some(*b), Some(*c), Some(*a)),
            ([a, b, c], Some(_)) => (Some(*a), Some(*c), Some(*b)),
            ([a, b, c], None) if big(a) || options.year_first && small(b, 12) && small(c, 31) => {
                if options.day_first && small(c, 12) {
                    (Some(*a), Some(*c), Some(*b))
                } else {
                    (Some(*a), Some(*b), Some(*c))
                }
            }
            ([a, b, c], None) if a.value > 12 || options.day_first && small(b, 12) => (Some(*c), Some(*b), Some(*a)),
            ([a, b, c], None) => (Some(*c), Some(*a), Some(*b)),
            _ => return None,
        })
    }
}

/// A year of two digits is the nearest one.
fn full_year(year: Number, this_year: i64) -> i64 {
    if year.digits > 2 {
        return year.value;
    }
    let near = this_year - this_year % 100 + year.value;
    if near >= this_year + 50 {
        near - 100
    } else if near < this_year - 50 {
        near + 100
    } else {
        near
    }
}
