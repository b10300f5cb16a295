//! A small JSON reader over text that arrived inside a field. It checks the whole grammar of
//! RFC 8259 as it goes, copies nothing and never panics; nesting is bounded.

use std::borrow::Cow;

use crate::expr::path::Step;

/// Deepest nesting of JSON inside a field, as deep as an event itself may nest.
pub const JSON_DEPTH_MAX: usize = 128;

/// A place in JSON text. All functions return `None` for text that is not JSON.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0, depth: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank, left where it is.
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek_token()? == byte).then(|| self.at += 1)
    }

    /// Nothing but blanks follows.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek_token().is_none().then_some(())
    }

    fn slice(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at)
    }

    /// Passes over one value; gives its text.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let first = self.peek_token()?;
        let start = self.at;
        match first {
            b'"' => self.string().map(|_| ())?,
            b'{' => self.members(|reader, _| reader.value().map(|_| ()))?,
            b'[' => self.elements(|reader| reader.value().map(|_| ()))?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.slice(start)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
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

    /// Passes over a string; gives what is between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    let content = self.slice(start);
                    self.at += 1;
                    return content;
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

    /// Goes through an object; `see` gets each key as written and must pass over its value.
    pub(super) fn members(&mut self, mut see: impl FnMut(&mut Reader<'a>, &'a str) -> Option<()>) -> Option<()> {
        self.nested(b'{', b'}', |reader| {
            reader.peek_token();
            let key = reader.string()?;
            reader.eat(b':')?;
            see(reader, key)
        })
    }

    /// Goes through an array; `see` must pass over each value.
    pub(super) fn elements(&mut self, see: impl FnMut(&mut Reader<'a>) -> Option<()>) -> Option<()> {
        self.nested(b'[', b']', see)
    }

    fn nested(&mut self, open: u8, close: u8, mut see: impl FnMut(&mut Reader<'a>) -> Option<()>) -> Option<()> {
        self.eat(open)?;
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            return None;
        }
        if self.eat(close).is_none() {
            loop {
                see(self)?;
                if self.eat(b',').is_none() {
                    self.eat(close)?;
                    break;
                }
            }
        }
        self.depth -= 1;
        Some(())
    }
}

/// True for whole, correct JSON text.
pub(super) fn is_json(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.value().is_some() && reader.end().is_some()
}

/// The value of a JSON token as the text that expressions see: a string's content, the digits
/// of a number, the raw text of a container; none for null.
pub(super) fn token_text(token: &str) -> Option<Cow<'_, str>> {
    match token.as_bytes().first()? {
        b'"' => Some(content(token.get(1..token.len().saturating_sub(1))?)),
        b'n' => None,
        _ => Some(Cow::Borrowed(token)),
    }
}

/// What is between the quotes of a string, with its escapes resolved.
pub(super) fn content(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let (c, len) = escape(escaped);
        text.push(c);
        rest = escaped.get(len..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character that an escape stands for, and its length after the backslash.
/// A lone half of a surrogate pair is U+FFFD.
fn escape(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    match text.as_bytes().first() {
        Some(b'u') => {
            let Some(first) = unit(1) else { return (char::REPLACEMENT_CHARACTER, 1) };
            let second = if text.get(5..7) == Some("\\u") { unit(7) } else { None };
            let pair = [first, second.unwrap_or(0)];
            match (char::decode_utf16(pair).next(), second) {
                (Some(Ok(c)), Some(_)) if (0xD800..0xDC00).contains(&first) => (c, 11),
                (Some(Ok(c)), _) => (c, 5),
                _ => (char::REPLACEMENT_CHARACTER, 5),
            }
        }
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(other) if other.is_ascii() => (char::from(*other), 1),
        _ => (char::REPLACEMENT_CHARACTER, 0),
    }
}

/// The way to a value, prepared for reading: keys may also stand in the text joined by dots.
#[derive(Debug)]
pub(super) struct Way(Box<[Hop]>);

#[derive(Debug)]
enum Hop {
    Index(u32),
    /// The key at this step, then the same joined with the one after it, and so on.
    Keys(Box<[Box<str>]>),
}

impl Way {
    pub(super) fn new(steps: &[Step]) -> Way {
        let hops = (0..steps.len()).map(|from| {
            let mut joined = String::new();
            let mut keys: Vec<Box<str>> = Vec::new();
            for step in steps.iter().skip(from) {
                match step {
                    Step::Index(index) if keys.is_empty() => return Hop::Index(*index),
                    Step::Index(_) | Step::Computed(_) => break,
                    Step::Key(key) | Step::Member(key) => {
                        if !keys.is_empty() {
                            joined.push('.');
                        }
                        joined.push_str(key);
                        keys.push(joined.as_str().into());
                    }
                }
            }
            Hop::Keys(keys.into())
        });
        Way(hops.collect())
    }

    /// The token at the end of the way, in text that [`is_json`]. As in events: the last of equal
    /// keys wins, and the value that is nested deepest wins over flat dotted keys.
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.find_from(0, text).map(|(_, token)| token)
    }

    /// The token and through how many containers it was reached.
    fn find_from<'a>(&self, from: usize, text: &'a str) -> Option<(usize, &'a str)> {
        let Some(hop) = self.0.get(from) else { return Some((0, text)) };
        let mut reader = Reader::new(text);
        match hop {
            Hop::Index(index) => {
                let mut left = *index;
                let mut found = None;
                reader.elements(|reader| {
                    let token = reader.value()?;
                    if left == 0 {
                        found = Some(token);
                        return None;
                    }
                    left -= 1;
                    Some(())
                });
                self.find_from(from + 1, found?).map(|(depth, token)| (depth + 1, token))
            }
            Hop::Keys(keys) => {
                let mut found: Vec<Option<&'a str>> = vec![None; keys.len()];
                reader.members(|reader, key| {
                    let key = content(key);
                    let token = reader.value()?;
                    if let Some(place) = keys.iter().position(|name| **name == *key).and_then(|at| found.get_mut(at)) {
                        *place = Some(token);
                    }
                    Some(())
                });
                let mut best: Option<(usize, &'a str)> = None;
                for (used, token) in found.into_iter().enumerate() {
                    let Some((depth, token)) = token.and_then(|token| self.find_from(from + used + 1, token)) else { continue };
                    // Tokens are slices of one text: the later one has the greater address.
                    if best.is_none_or(|(best_depth, other)| (depth + 1, token.as_ptr()) > (best_depth, other.as_ptr())) {
                        best = Some((depth + 1, token));
                    }
                }
                best
            }
        }
    }
}
