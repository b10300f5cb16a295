//! Python's `strptime`: a text by a format such as `%Y-%m-%dT%H:%M:%S.%f%z`.

use super::{Moment, Parts, is_weekday, month_number};

/// Reads a text by a format; `None` where it does not fit.
pub fn parse(text: &str, format: &str) -> Option<Moment> {
    let mut p = Parts::date(1900, 1, 1);
    let mut offset_s = None;
    let mut afternoon = None;
    let mut rest = text;
    let mut codes = format.chars();
    while let Some(c) = codes.next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        if c != '%' {
            rest = rest.strip_prefix(c)?;
            continue;
        }
        let mut number = |digits: usize| -> Option<i64> {
            let length = rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
            let value = rest.get(..length)?.parse().ok()?;
            rest = rest.get(length..)?;
            Some(value)
        };
        match codes.next()? {
            'Y' => p.year = number(4)?,
            'y' => {
                let year = number(2)?;
                p.year = if year < 69 { 2000 + year } else { 1900 + year };
            }
            'm' => p.month = number(2)?,
            'd' | 'e' => p.day = number(2)?,
            'H' => p.hour = number(2)?,
            'I' => p.hour = number(2)?,
            'M' => p.minute = number(2)?,
            'S' => p.second = number(2)?,
            'j' => {
                let day = number(3)?;
                let (_, month, of_month) = super::civil(super::days(p.year, 1, 1) + day - 1);
                (p.month, p.day) = (month, of_month);
            }
            'f' => {
                let length = rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
                let six: String = rest.get(..length).filter(|digits| !digits.is_empty())?.chars().chain("000000".chars()).take(6).collect();
                p.micros = six.parse().ok()?;
                rest = rest.get(length..)?;
            }
            'p' => {
                afternoon = Some(match rest.get(..2)? {
                    word if word.eq_ignore_ascii_case("pm") => true,
                    word if word.eq_ignore_ascii_case("am") => false,
                    _ => return None,
                });
                rest = rest.get(2..)?;
            }
            'b' | 'B' | 'h' => {
                let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
                p.month = month_number(rest.get(..length)?)?;
                rest = rest.get(length..)?;
            }
            'a' | 'A' => {
                let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
                rest.get(..length).filter(|word| is_weekday(word))?;
                rest = rest.get(length..)?;
            }
            'z' => {
                if let Some(after) = rest.strip_prefix('Z') {
                    offset_s = Some(0);
                    rest = after;
                    continue;
                }
                let sign = match rest.chars().next()? {
                    '+' => 1,
                    '-' => -1,
                    _ => return None,
                };
                let digits: String = rest.chars().skip(1).filter(|c| *c != ':').take(4).collect();
                let length = 5 + usize::from(rest.as_bytes().get(3) == Some(&b':'));
                let (hours, minutes) = (digits.get(..2)?.parse::<i32>().ok()?, digits.get(2..4)?.parse::<i32>().ok()?);
                offset_s = Some(sign * (hours * 3600 + minutes * 60));
                rest = rest.get(length..)?;
            }
            'Z' => {
                let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
                rest = rest.get(length..)?;
            }
            '%' => rest = rest.strip_prefix('%')?,
            _ => return None,
        }
    }
    match afternoon {
        Some(true) if p.hour < 12 => p.hour += 12,
        Some(false) if p.hour == 12 => p.hour = 0,
        _ => {}
    }
    rest.is_empty().then_some(())?;
    Some(Moment { local_us: p.local_us()?, offset_s })
}
