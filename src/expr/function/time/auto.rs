//! `'auto'`: which of the known forms a text has is told by its first bytes; then it must fit
//! the whole form. Nothing is guessed where two readings are usual: `3/4/2021` is American
//! only because that is what the products that write it mean, `13/4/2021` fails.

use super::epoch;
use super::iso;
use super::moment::Moment;
use super::scan::Scan;
use super::zone::Zone;

/// Any known form. `record`: the record's time in microseconds, for texts without a year.
#[inline]
pub(super) fn parse(text: &str, zone: &Zone, record: Option<i64>) -> Option<i64> {
    let bytes = text.as_bytes();
    match iso::common(bytes, zone) {
        Some(micros) => Some(micros),
        None => other(bytes.trim_ascii(), zone, record),
    }
}

/// Only RFC 3339 and its relatives.
#[inline]
pub(super) fn parse_iso(text: &str, zone: &Zone) -> Option<i64> {
    let bytes = text.as_bytes();
    match iso::common(bytes, zone) {
        Some(micros) => Some(micros),
        None => iso::general(bytes.trim_ascii())?.micros(zone, None),
    }
}

#[inline(never)]
fn other(text: &[u8], zone: &Zone, record: Option<i64>) -> Option<i64> {
    let digits = Scan::new(text).digits();
    let moment = match (text.first()?, text.get(digits)) {
        (b'0'..=b'9', Some(b'-' | b'/')) if digits == 4 => iso::general(text)?,
        // Eight or fourteen digits alone that begin with a year from 1900 to 2099 are a date: as seconds they would
        // lie in August 1970, as milliseconds in the year 2572 or later.
        (b'0'..=b'9', _) if matches!(digits, 8 | 14) => match iso::general(text) {
            Some(moment) if plausible(&moment) || !matches!(text.get(digits), None | Some(b'.')) => moment,
            _ => return epoch::parse(text, None),
        },
        (b'0'..=b'9', Some(b'/' | b' ' | b'-')) if digits <= 2 => day_first(text)?,
        (b'0'..=b'9' | b'-' | b'+', _) => return epoch::parse(text, None),
        (b'[', _) => day_first(text.strip_prefix(b"[")?.strip_suffix(b"]")?)?,
        (b'/', _) => return date_call(text),
        (b'A'..=b'Z' | b'a'..=b'z', _) => name_first(text)?,
        _ => return None,
    };
    moment.micros(zone, record)
}

fn plausible(moment: &Moment) -> bool {
    moment.year.is_some_and(|year| (1900..2100).contains(&year))
}

/// `/Date(1510000000000)/`: what .NET makes of a time in JSON; an offset in it only says where
/// it is to be shown.
fn date_call(text: &[u8]) -> Option<i64> {
    let inside = text.strip_prefix(b"/Date(")?.strip_suffix(b")/")?;
    let mut scan = Scan::new(inside);
    scan.eat(b'-');
    let digits = scan.digits();
    scan.skip(digits);
    let number = inside.get(..inside.len() - scan.rest().len())?;
    if !scan.is_end() {
        scan.offset()?;
    }
    if !scan.is_end() {
        return None;
    }
    epoch::parse(number, Some(epoch::Unit::Millis))
}

/// `10/Oct/2000:13:55:36 -0700`, `03 Nov 2021 10:11:12 +0000`, `03-Nov-2021 10:11:12.123`, and the
/// American `7/1/2020 12:30:00 PM`, `05/03/2021-10:11:12.123456`.
fn day_first(text: &[u8]) -> Option<Moment> {
    let mut scan = Scan::new(text);
    let first = scan.number(1, 2)?;
    let separator = scan.peek()?;
    if !matches!(separator, b'/' | b' ' | b'-') {
        return None;
    }
    scan.skip(1);
    scan.blanks();
    let (month, day) = match scan.digits() {
        0 => (scan.month()?, first),
        // Month first, with slashes only: `03-04-2021` has no usual order.
        _ if separator == b'/' => (first, scan.number(1, 2)?),
        _ => return None,
    };
    if !scan.eat(separator) {
        return None;
    }
    scan.blanks();
    let mut moment = Moment::date(Some(year(&mut scan)?), month, day);
    if scan.is_end() {
        return Some(moment);
    }
    // One of these stands between date and time.
    if !scan.eat_any(b":-") {
        scan.eat(b',');
        if !scan.blanks() {
            return None;
        }
    }
    scan.time_of_day(&mut moment)?;
    scan.place(&mut moment)?;
    scan.is_end().then_some(moment)
}

/// A year of four digits, or of two as RFC 2822 reads them: 00 to 49 are 2000 to 2049.
fn year(scan: &mut Scan<'_>) -> Option<u32> {
    match scan.digits() {
        4 => scan.fixed(4),
        2 => scan.fixed(2).map(|year| if year < 50 { 2000 + year } else { 1900 + year }),
        _ => None,
    }
}

/// `Mon, 02 Jan 2006 15:04:05 -0700`, `Mon Jan  2 15:04:05 2006`, `Mon Jan 2 15:04:05 UTC 2006`,
/// `Nov  3 10:11:12`, `Nov 3 2021 10:11:12.123 UTC`, `Nov 3, 2021 @ 10:11:12.123`, `Nov 3 10:11:12 2021 GMT`.
fn name_first(text: &[u8]) -> Option<Moment> {
    let mut scan = Scan::new(text);
    if scan.clone().weekday().is_some() {
        scan.weekday()?;
        scan.eat(b',');
        if !scan.blanks() {
            return None;
        }
        if scan.digits() > 0 {
            return day_first(scan.rest());
        }
    }
    let month = scan.month()?;
    if !scan.blanks() {
        return None;
    }
    let day = scan.number(1, 2)?;
    scan.eat(b',');
    if !scan.blanks() {
        return None;
    }
    let mut moment = Moment::date(None, month, day);
    if scan.digits() == 4 {
        moment.year = Some(scan.fixed(4)?);
        if scan.is_end() {
            return Some(moment);
        }
        // `2021 10:11:12`, `2021, 10:11:12`, `2021 @ 10:11:12`, Cisco's `2021: 10:11:12`.
        scan.eat_any(b",:");
        scan.blanks();
        if scan.eat(b'@') {
            scan.blanks();
        }
    }
    scan.time_of_day(&mut moment)?;
    year_after(&mut scan, &mut moment)?;
    scan.place(&mut moment)?;
    year_after(&mut scan, &mut moment)?;
    // rsyslog ends the header of some devices with a colon: `Nov 3 10:11:12:`.
    scan.eat(b':');
    scan.is_end().then_some(moment)
}

/// A year behind the time, if there is none yet and one stands here.
fn year_after(scan: &mut Scan<'_>, moment: &mut Moment) -> Option<()> {
    let mut ahead = scan.clone();
    ahead.blanks();
    if moment.year.is_none() && ahead.digits() == 4 {
        moment.year = Some(ahead.fixed(4)?);
        *scan = ahead;
    }
    Some(())
}

/// Only what syslog writes: `Nov  3 10:11:12` with its relatives (RFC 3164), or RFC 3339 (RFC 5424).
pub(super) fn parse_syslog(text: &str, zone: &Zone, record: Option<i64>) -> Option<i64> {
    match name_first(text.as_bytes().trim_ascii()) {
        Some(moment) => moment.micros(zone, record),
        None => parse_iso(text, zone),
    }
}
