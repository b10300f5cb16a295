//! RFC 3339 and its relatives: the form nearly every event has, read without chrono and
//! without a branch per byte.

use super::moment::{Moment, days, in_range, second_of_day};
use super::scan::Scan;
use super::zone::Zone;

/// Length of `2026-11-21T18:45:00`.
const HEAD: usize = 19;

/// The common forms: `YYYY-MM-DD`, `T`, `t` or a blank, `hh:mm:ss`, a fraction, and `Z`, an offset
/// or nothing. `None` says only that this is not one of them; [`general`] knows more.
#[inline]
pub(super) fn common(text: &[u8], zone: &Zone) -> Option<i64> {
    let head: &[u8; HEAD] = text.first_chunk()?;
    let date = u64::from_le_bytes(*head.first_chunk()?);
    let time = u64::from_le_bytes(*head.get(8..)?.first_chunk()?);
    let tail = u32::from_le_bytes(*head.last_chunk()?);
    // Digits become 0 to 9 and separators 0; whatever else there is shows in a high nibble.
    let date = date ^ u64::from_le_bytes(*b"0000-00-");
    let time = time ^ u64::from_le_bytes(*b"00T00:00");
    let tail = tail ^ u32::from_le_bytes(*b"0:00");
    let between = (time >> 16) as u8;
    // `T`, `t` or a blank, after the exclusive or with `T`.
    if !matches!(between, 0 | 0x20 | 0x74) {
        return None;
    }
    let time = time & !0xFF_0000;
    const SIX: u64 = 0x0606_0606_0606_0606;
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    let separators = date & 0xFF00_00FF_0000_0000 | time & 0x0000_FF00_0000_0000 | u64::from(tail & 0xFF00);
    let digits = (date | date.wrapping_add(SIX) | time | time.wrapping_add(SIX) | u64::from(tail) | u64::from(tail).wrapping_add(SIX)) & HIGH;
    if separators | digits != 0 {
        return None;
    }
    // Every byte becomes ten times itself plus the next one, which stays below 100.
    let (date, time, tail) = (date * 10 + (date >> 8), time * 10 + (time >> 8), tail * 10 + (tail >> 8));
    let pair = |chunk: u64, at: u32| u32::from((chunk >> (8 * at)) as u8);
    let days = days(pair(date, 0) * 100 + pair(date, 2), pair(date, 5), pair(time, 0))?;
    let seconds = second_of_day(pair(time, 3), pair(time, 6), pair(u64::from(tail), 2))?;
    let local = days * 86_400 + i64::from(seconds);

    let mut rest = text.get(HEAD..)?;
    let mut micros = 0;
    if let [b'.' | b',', digits @ ..] = rest {
        let (value, count) = fraction_at_end(text, digits)?;
        micros = value;
        rest = digits.get(count..)?;
    }
    let utc = match rest {
        [b'Z' | b'z'] => local,
        [] => zone.to_utc(local),
        _ => {
            let mut scan = Scan::new(rest);
            let offset = scan.offset()?;
            if !scan.is_end() {
                return None;
            }
            local - i64::from(offset)
        }
    };
    in_range(utc * 1_000_000 + i64::from(micros))
}

/// The same as [`fraction`](super::scan::fraction) of `digits`, which are the end of a `text` of at least 8 bytes: all
/// digits at once, so that fractions of different lengths cost no mispredicted branches.
#[inline]
fn fraction_at_end(text: &[u8], digits: &[u8]) -> Option<(u32, usize)> {
    let chunk = match digits.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        // The last 8 bytes of the text, those before the digits shifted out.
        None if digits.is_empty() => return None,
        None => u64::from_le_bytes(*text.last_chunk::<8>()?) >> (64 - 8 * digits.len()),
    };
    let chunk = chunk ^ u64::from_le_bytes(*b"00000000");
    let wrong = (chunk | chunk.wrapping_add(0x0606_0606_0606_0606)) & 0xF0F0_F0F0_F0F0_F0F0;
    let count = wrong.trailing_zeros() as usize / 8;
    let more = if count == 8 { digits.iter().skip(8).take_while(|b| b.is_ascii_digit()).count() } else { 0 };
    // What is no digit, and what is beyond the microsecond, counts as 0.
    let chunk = chunk & !(u64::MAX << (8 * count.min(6)));
    // Two digits, then four, then eight (the last two are 0).
    let pairs = (chunk * 10 + (chunk >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    let eight = (fours as u32) * 10_000 + (fours >> 32) as u32;
    (count > 0).then_some((eight / 100, count + more))
}

/// `YYYY-MM-DD` or `YYYY/MM/DD`, months and days of one or two digits, then perhaps a time
/// (seconds may be missing) and the place; also `YYYYMMDD[T]hhmm[ss]`.
pub(super) fn general(text: &[u8]) -> Option<Moment> {
    let mut scan = Scan::new(text);
    let mut moment = match scan.digits() {
        4 => {
            let year = scan.fixed(4)?;
            let separator = scan.peek().filter(|b| matches!(b, b'-' | b'/'))?;
            scan.skip(1);
            let month = scan.number(1, 2)?;
            if !scan.eat(separator) {
                return None;
            }
            Moment::date(Some(year), month, scan.number(1, 2)?)
        }
        8 | 12 | 14 => Moment::date(Some(scan.fixed(4)?), scan.fixed(2)?, scan.fixed(2)?),
        _ => return None,
    };
    if scan.is_end() {
        return Some(moment);
    }
    if scan.digits() > 0 {
        scan.compact_time(&mut moment)?;
    } else {
        // `T`, or blanks with perhaps an `@` or `at` is left to the formats with names.
        if !scan.eat_any(b"Tt") && !scan.blanks() {
            return None;
        }
        match scan.digits() {
            4 | 6 => scan.compact_time(&mut moment)?,
            _ => scan.time_of_day(&mut moment)?,
        }
    }
    scan.place(&mut moment)?;
    scan.is_end().then_some(moment)
}
