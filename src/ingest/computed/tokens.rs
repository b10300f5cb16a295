//! Walks the tokens of JSON that the decoder has checked: no values are made.

/// Where a JSON value of checked text ends.
pub fn end_of(json: &[u8], start: usize) -> Option<usize> {
    let mut open = 0usize;
    let mut at = start;
    loop {
        match json.get(at)? {
            b'"' => {
                at = string_end(json, at + 1)? + 1;
            }
            b'{' | b'[' => {
                open += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                open = open.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            _ => {
                while json.get(at).is_some_and(|b| !matches!(b, b',' | b':' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
                    at += 1;
                }
            }
        }
        if open == 0 {
            return Some(at);
        }
    }
}

/// Where the string ends whose content begins here: its quote.
pub fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    // Most strings are short: eight bytes at once, and a call for what is longer than some of these.
    for _ in 0..4 {
        let Some(word) = json.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) else { break };
        let word = u64::from_le_bytes(word);
        let found = zeroes(word ^ QUOTES) | zeroes(word ^ BACKSLASHES);
        if found == 0 {
            at += 8;
            continue;
        }
        at += (found.trailing_zeros() / 8) as usize;
        if json.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);

/// The high bit of the first byte that is zero (and perhaps of some behind it).
fn zeroes(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

fn skip_blanks(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Shows each element of a checked list.
pub fn items<'j>(json: &'j [u8], mut see: impl FnMut(&'j [u8]) -> Option<()>) -> Option<()> {
    let mut at = skip_blanks(json, 1);
    while json.get(at)? != &b']' {
        let end = end_of(json, at)?;
        see(json.get(at..end)?)?;
        at = skip_blanks(json, end);
        if json.get(at)? == &b',' {
            at = skip_blanks(json, at + 1);
        }
    }
    Some(())
}

/// Shows each member of a checked object: its key as written, without the quotes, and its value.
pub fn members<'j>(json: &'j [u8], mut see: impl FnMut(&'j [u8], &'j [u8]) -> Option<()>) -> Option<()> {
    let mut at = skip_blanks(json, 1);
    while json.get(at)? != &b'}' {
        let end = end_of(json, at)?;
        let key = json.get(at + 1..end - 1)?;
        let start = skip_blanks(json, skip_blanks(json, end) + 1);
        let end = end_of(json, start)?;
        see(key, json.get(start..end)?)?;
        at = skip_blanks(json, end);
        if json.get(at)? == &b',' {
            at = skip_blanks(json, at + 1);
        }
    }
    Some(())
}
