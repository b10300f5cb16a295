//! Walks the tokens of JSON that the decoder has checked: no values are made.

/// Where a JSON value of checked text ends.
pub fn end_of(json: &[u8], start: usize) -> Option<usize> {
    let mut open = 0usize;
    let mut at = start;
    loop {
        match json.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    let rest = json.get(at..)?;
                    at += memchr::memchr2(b'"', b'\\', rest)?;
                    if json.get(at) == Some(&b'"') {
                        break;
                    }
                    at += 2;
                }
                at += 1;
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
