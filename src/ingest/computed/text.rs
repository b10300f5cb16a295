//! The text of a list or an object, made of its tokens: what `text_of` says of the value, as the
//! content of a JSON string, without the value. Whatever could read differently once it was parsed
//! (other escapes, other numbers, keys that repeat) is left to `text_of`.

use super::cell;
use super::tokens::{items, string_end};

/// Levels that are followed; what is deeper is left to the parser, which has a bound of its own.
const DEPTH_MAX: usize = 64;
/// Keys of one object that are compared with each other.
const KEYS_MAX: usize = 64;

/// Appends the text of a checked list or object in its escaped form; `None` where the value itself
/// has to be asked, and what was appended so far means nothing.
pub fn push_text(json: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match json.first()? {
        b'[' => list(json, out, 0),
        b'{' => object(json, out),
        _ => None,
    }
}

/// The texts of items, with commas between them.
fn list(json: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut first = true;
    items(json, |item| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        match item.first()? {
            // The content of a string is its text, escaped as it should be.
            b'"' => out.extend_from_slice(content(item.get(1..item.len() - 1)?)?),
            b'[' => list(item, out, depth + 1)?,
            b'{' => object(item, out)?,
            b'n' => {}
            b't' | b'f' => out.extend_from_slice(item),
            _ => out.extend_from_slice(number(item)?),
        }
        Some(())
    })
}

/// A string's content whose escapes are those that a writer chooses, too.
fn content(content: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', content.get(at..)?) {
        at += found + 2;
        if !matches!(content.get(at - 1)?, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') {
            return None;
        }
    }
    Some(content)
}

/// A number that is written as it was read: whole, or with a short fraction and no zero at either end.
fn number(token: &[u8]) -> Option<&[u8]> {
    if cell::is_plain(token) {
        return Some(token);
    }
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let point = memchr::memchr(b'.', digits)?;
    let (whole, fraction) = (digits.get(..point)?, digits.get(point + 1..)?);
    let good = digits.len() <= cell::PLAIN_DIGITS
        && whole.first().is_some_and(|first| *first != b'0')
        && fraction.last().is_some_and(|last| *last != b'0')
        && whole.iter().chain(fraction).all(u8::is_ascii_digit);
    good.then_some(token)
}

/// An object that is open: whether it is one or a list, and where its keys begin among all.
struct Open {
    object: bool,
    keys: usize,
}

/// An object as compact JSON, escaped once more: it stands within a string.
fn object(json: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut open: Vec<Open> = Vec::with_capacity(8);
    let mut keys: Vec<&[u8]> = Vec::with_capacity(16);
    let mut at = 0;
    // A string that comes now is a key.
    let mut key = false;
    loop {
        match json.get(at)? {
            b'"' => {
                let start = at + 1;
                at = string_end(json, start)?;
                let text = content(json.get(start..at)?)?;
                at += 1;
                if std::mem::take(&mut key) {
                    let known = keys.get(open.last()?.keys..)?;
                    if known.len() == KEYS_MAX || text.contains(&b'\\') || known.contains(&text) {
                        return None;
                    }
                    keys.push(text);
                }
                out.extend_from_slice(b"\\\"");
                again(text, out);
                out.extend_from_slice(b"\\\"");
            }
            b @ (b'{' | b'[') => {
                if open.len() == DEPTH_MAX {
                    return None;
                }
                key = *b == b'{';
                open.push(Open { object: key, keys: keys.len() });
                out.push(*b);
                at += 1;
            }
            b @ (b'}' | b']') => {
                keys.truncate(open.pop()?.keys);
                key = false;
                out.push(*b);
                at += 1;
            }
            b @ (b',' | b':') => {
                key = *b == b',' && open.last()?.object;
                out.push(*b);
                at += 1;
            }
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            first => {
                let rest = json.get(at..)?;
                let len = rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))?;
                let token = rest.get(..len)?;
                out.extend_from_slice(if first.is_ascii_alphabetic() { token } else { number(token)? });
                at += len;
            }
        }
        if open.is_empty() {
            return Some(());
        }
    }
}

/// Escapes what is escaped already.
fn again(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\\', b'"', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b'\\');
        let (special, after) = from.split_at(1);
        out.extend_from_slice(special);
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::push_text;
    use crate::expr::xsoar::value::text_of;

    #[test]
    fn as_the_value_says_or_not_at_all() {
        let texts = [
            r#"[]"#,
            r#"[1, "a\nb", null, true, [2, [3]], {"k" : [1, 2], "l": {"m": null}}]"#,
            r#"{ "a": "x \"y\" \\ z", "b": [ ], "c": {}, "n": -12.5, "t": false }"#,
            r#"{"a": {"a": 1}, "b": {"a": 2}, "c": ["a", "a"]}"#,
            r#"{"url": "https:\/\/x"}"#,
            r#"{"u": "\u00e9"}"#,
            r#"{"a": 1, "a": 2}"#,
            r#"[1.0]"#,
            r#"[0.5, 1e3]"#,
            r#"[-0]"#,
            r#"[12345678901234567890]"#,
            r#"{"é": "ü", "tab": "\t"}"#,
        ];
        let mut made = 0;
        for text in texts {
            let mut out = Vec::new();
            if push_text(text.as_bytes(), &mut out).is_some() {
                made += 1;
                let wanted = Value::from(text_of(&serde_json::from_str::<Value>(text).unwrap())).to_string();
                assert_eq!(format!("\"{}\"", String::from_utf8(out).unwrap()), wanted, "{text}");
            }
        }
        assert_eq!(made, 5);
    }

    proptest::proptest! {
        #[test]
        fn drawn_values(seed in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let value = drawn(&mut seed.iter().copied(), 0);
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let mut out = Vec::new();
                if push_text(text.as_bytes(), &mut out).is_some() {
                    let wanted = Value::from(text_of(&value)).to_string();
                    proptest::prop_assert_eq!(format!("\"{}\"", String::from_utf8(out).unwrap()), wanted);
                } else {
                    // Drawn values are left to the parser for their numbers only, and for what is no list or object.
                    proptest::prop_assert!(!value.is_array() && !value.is_object() || text.contains('.') || text.contains("\\u"), "{}", text);
                }
            }
        }
    }

    fn drawn(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> Value {
        let mut next = || bytes.next().unwrap_or(0);
        match next() % if depth < 5 { 10 } else { 6 } {
            0 => Value::Null,
            1 => Value::Bool(next() % 2 == 0),
            2 => Value::from(i64::from(next()) - 100),
            3 => Value::from(f64::from(next()) / 8.0),
            4 | 5 => Value::from(String::from_iter((0..next() % 5).map(|_| char::from(next() % 128)))),
            6 | 7 => {
                let count = next() % 4;
                (0..count).map(|_| drawn(bytes, depth + 1)).collect()
            }
            _ => {
                let count = next() % 4;
                Value::Object((0..count).map(|n| (format!("k{}", n % 3), drawn(bytes, depth + 1))).collect())
            }
        }
    }
}
