//! Bytes of JSON: the few writers that incidents, facts and dead letters are made of.
//! They append to a reused buffer and never fail.

use crate::expr::value::push_time;

/// Appends a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// True for bytes that JSON strings must escape.
#[inline(always)]
fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Eight bytes at once: a high bit set where a byte must be escaped (the classic
/// "has a byte less than / equal to" tricks; false positives behind a hit do no harm,
/// because the caller then looks byte by byte).
#[inline(always)]
pub(super) fn word_must_escape(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let has_quote = quote.wrapping_sub(ONES) & !quote;
    let has_slash = slash.wrapping_sub(ONES) & !slash;
    (below_space | has_quote | has_slash) & HIGH != 0
}

/// Appends text with JSON escapes, without quotes.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut clean = 0;
    let mut at = 0;
    while at < text.len() {
        if let Some(chunk) = text.get(at..at + 8) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            if !word_must_escape(u64::from_le_bytes(word)) {
                at += 8;
                continue;
            }
        }
        let byte = text[at];
        if must_escape(byte) {
            out.extend_from_slice(&text[clean..at]);
            push_escape(out, byte);
            clean = at + 1;
        }
        at += 1;
    }
    out.extend_from_slice(&text[clean..]);
}

#[cold]
fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]),
    }
}

/// Bytes that [`push_padded`] copies at once.
pub const STRIDE: usize = 32;
/// Longest text that is copied in strides.
const STRIDES_MAX: usize = 4 * STRIDE;

/// Appends `len` bytes that stand at `start` of a longer buffer; nothing where they are not there.
/// Short texts are copied in strides, behind their end if need be, and cut off: a copy of fixed
/// length is a few instructions, one of any length a call.
#[inline]
pub fn push_padded(out: &mut Vec<u8>, buffer: &[u8], start: usize, len: usize) {
    let end = out.len() + len;
    if let Some(wide) = buffer.get(start..start + len.next_multiple_of(STRIDE)).filter(|_| len <= STRIDES_MAX) {
        for stride in wide.as_chunks::<STRIDE>().0 {
            out.extend_from_slice(stride);
        }
        out.truncate(end);
    } else if let Some(exact) = buffer.get(start..start + len) {
        out.extend_from_slice(exact);
    }
}

/// Appends a number: whole ones up to 2^53 without a fraction, else the shortest text
/// that reads back as the same double.
pub fn push_number(out: &mut Vec<u8>, number: f64) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
    } else if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    }
}

/// Appends an integer.
pub fn push_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a time as a JSON string, RFC 3339 in UTC.
pub fn push_time_string(out: &mut Vec<u8>, micros: i64) {
    out.push(b'"');
    // Times of a flood are close together: the seconds are written once and kept.
    thread_local! {
        static LAST: std::cell::RefCell<(i64, String)> = const { std::cell::RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(last, text)| {
        if *last != micros || text.is_empty() {
            text.clear();
            push_time(text, micros);
            *last = micros;
        }
        out.extend_from_slice(text.as_bytes());
    });
    out.push(b'"');
}

/// Appends raw JSON on one line: line breaks between tokens become blanks. (Inside
/// strings JSON has none.)
pub fn push_raw(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        out[start..].iter_mut().filter(|b| matches!(**b, b'\n' | b'\r')).for_each(|b| *b = b' ');
    }
}

/// Appends standard base64 (RFC 4648, padded): for bytes that are not UTF-8.
pub fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let word = u32::from(chunk[0]) << 16 | u32::from(*chunk.get(1).unwrap_or(&0)) << 8 | u32::from(*chunk.get(2).unwrap_or(&0));
        for place in 0..4 {
            out.push(if place <= chunk.len() { DIGITS[(word >> (18 - 6 * place)) as usize & 63] } else { b'=' });
        }
    }
}

/// Reads standard base64; `None` where it is not.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0u32, 0);
    for digit in text {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back() {
        for text in ["", "plain", "a\"b\\c\nd\r\te\u{0}\u{1f}f", "exactly8", "12345678\"9012345", "é\u{7f}😀 long enough to cross words\u{1}"] {
            let mut out = Vec::new();
            push_string(&mut out, text);
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn base64_reads_back() {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let mut text = Vec::new();
            push_base64(&mut text, &bytes);
            assert_eq!(base64(&text).unwrap(), bytes);
        }
        assert_eq!(base64(b"a*b="), None);
    }
}
