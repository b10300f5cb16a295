//! JSON objects and arrays split into the raw tokens of their members. Events are copied into
//! incidents verbatim and may hold what JSON libraries refuse (`1e999`, lone surrogates), so
//! states and facts are taken apart here and never parsed as a whole.
//!
//! The whole grammar of RFC 8259 is checked on the way, whatever the bytes are; what is
//! returned are slices of the input.

use std::borrow::Cow;

use super::encode::word_must_escape;

/// Deepest nesting (levels). An event may nest 128 deep, and stands three levels inside a fact.
pub const DEPTH_MAX: usize = 140;

/// A member of an object: its key as written, quotes and all, and the token of its value.
pub type Member<'a> = (&'a str, &'a str);

/// The members of the object that `json` is, in order; `None` if it is anything else.
pub fn members(json: &str) -> Option<Vec<Member<'_>>> {
    let mut cursor = Cursor { text: json, at: 0 };
    let mut found = Vec::new();
    cursor.object(1, &mut |key, value| found.push((key, value)))?;
    cursor.end().then_some(found)
}

/// The elements of the array that `json` is, in order; `None` if it is anything else.
pub fn elements(json: &str) -> Option<Vec<&str>> {
    let mut cursor = Cursor { text: json, at: 0 };
    let mut found = Vec::new();
    cursor.array(1, &mut |value| found.push(value))?;
    cursor.end().then_some(found)
}

/// True for whole, correct JSON text of any kind.
pub fn is_json(json: &str) -> bool {
    let mut cursor = Cursor { text: json, at: 0 };
    cursor.value(1).is_some() && cursor.end()
}

/// The value of a key among members; of several the last one.
pub fn find<'a>(members: &[Member<'a>], key: &str) -> Option<&'a str> {
    let named = |(token, _): &&Member<'a>| token.get(1..token.len().saturating_sub(1)) == Some(key);
    members.iter().rev().find(named).map(|(_, value)| *value)
}

/// The text of a string token; `None` for other tokens, and for strings that are no text
/// (lone halves of surrogate pairs).
pub fn text(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    // One string: no number in it, and a lone half is an error, as it should be.
    serde_json::from_str::<String>(token).ok().map(Cow::Owned)
}

/// The number of an integer token.
pub fn integer<N: std::str::FromStr>(token: &str) -> Option<N> {
    token.parse().ok()
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank, left where it is.
    fn token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.token()? == byte).then(|| self.at += 1)
    }

    fn end(&mut self) -> bool {
        self.token().is_none()
    }

    /// Passes over one value.
    fn value(&mut self, depth: usize) -> Option<&'a str> {
        let first = self.token()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'{' => self.object(depth, &mut |_, _| {})?,
            b'[' => self.array(depth, &mut |_| {})?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.text.get(start..self.at)
    }

    fn object(&mut self, depth: usize, each: &mut dyn FnMut(&'a str, &'a str)) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.token()?;
            let start = self.at;
            self.string()?;
            let key = self.text.get(start..self.at)?;
            self.eat(b':')?;
            each(key, self.value(depth + 1)?);
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize, each: &mut dyn FnMut(&'a str)) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            each(self.value(depth + 1)?);
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            while let Some(chunk) = bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>())
                && !word_must_escape(u64::from_le_bytes(*chunk))
            {
                self.at += 8;
            }
            match *bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    self.at += match bytes.get(self.at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if bytes.get(self.at + 2..self.at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                        _ => return None,
                    };
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }
}
