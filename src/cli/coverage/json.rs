//! A walk over the text of an event that the decoder has accepted: members of an object,
//! elements of an array. On anything else it ends early; it never fails.

use std::borrow::Cow;

use crate::ingest::decode::unescape;

/// The members of an object, in the order of the text, duplicates included.
pub struct Members<'a>(Walk<'a>);

/// The elements of an array.
pub struct Elements<'a>(Walk<'a>);

#[derive(Clone, Copy)]
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
}

/// The members of the object whose text this is.
pub fn members(object: &[u8]) -> Members<'_> {
    Members(Walk { text: object, at: 1 })
}

/// The elements of the array whose text this is.
pub fn elements(array: &[u8]) -> Elements<'_> {
    Elements(Walk { text: array, at: 1 })
}

impl<'a> Iterator for Members<'a> {
    /// Key without its quotes (escapes as written), text of the value.
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.skip(b" \t\r\n,");
        let key = self.0.value()?;
        let key = key.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        self.0.skip(b" \t\r\n:");
        Some((key, self.0.value()?))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.0.skip(b" \t\r\n,");
        self.0.value()
    }
}

impl<'a> Walk<'a> {
    fn skip(&mut self, set: &[u8]) {
        while self.text.get(self.at).is_some_and(|byte| set.contains(byte)) {
            self.at += 1;
        }
    }

    /// The value that begins here; `None` at the end of the container.
    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match *self.text.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    if depth == 0 {
                        return None;
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => self.at += 1,
                _ => {
                    while self.text.get(self.at).is_some_and(|byte| !b" \t\r\n,:}]".contains(byte)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    /// Moves behind the string that begins here.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return Some(());
            }
            self.at += 1;
        }
    }
}

/// The content of a string: its text without quotes, escapes undone.
pub fn content(quoted: &[u8]) -> Cow<'_, str> {
    if quoted.contains(&b'\\') {
        let mut out = Vec::new();
        unescape(quoted, &mut out);
        return Cow::Owned(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()));
    }
    String::from_utf8_lossy(quoted)
}

/// The content of a JSON string token; `None` for every other token.
pub fn string(token: &[u8]) -> Option<Cow<'_, str>> {
    Some(content(token.strip_prefix(b"\"")?.strip_suffix(b"\"")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found_in_order() {
        let event = br#" { "a" : 1 , "b\"}":"x,]\\", "c":[1, {"d":[]} ,"]"],"e":{},"f":null}"#;
        let event = &event[1..];
        let found: Vec<(&str, &str)> = members(event).map(|(k, v)| (std::str::from_utf8(k).unwrap(), std::str::from_utf8(v).unwrap())).collect();
        assert_eq!(found, [("a", "1"), ("b\\\"}", "\"x,]\\\\\""), ("c", "[1, {\"d\":[]} ,\"]\"]"), ("e", "{}"), ("f", "null")]);
        let list: Vec<&[u8]> = elements(found[2].1.as_bytes()).collect();
        assert_eq!(list, [&b"1"[..], b"{\"d\":[]}", b"\"]\""]);
        assert_eq!(members(b"{}").count() + elements(b"[ ]").count(), 0);
        assert_eq!(string(br#""a\u00e9\n""#).unwrap(), "aé\n");
    }

    #[test]
    fn broken_text_ends_the_walk() {
        for text in [&b""[..], b"{", b"{\"a", b"{\"a\":", b"{\"a\":[1", b"{]", b"[}", b"{:::}", b"{\"\\"] {
            assert!(members(text).count() < 3);
            assert!(elements(text).count() < 5);
        }
    }
}
