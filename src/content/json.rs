//! Owns JSON text → [`Node`]: the same tree that YAML becomes, with the place of every value.
//!
//! Packs are JSON and YAML; what reads items sees one tree. The grammar is RFC 8259, with a
//! byte order mark allowed in front. A key that stands twice is a warning, and the last one
//! wins, as in the product.

use std::collections::HashMap;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::node::{Node, Style, Value};
use crate::config::source_map::{Span, Spanned};

/// Nesting of a JSON file, in levels. Layouts and mappers of real packs stay below 30.
pub const JSON_DEPTH_MAX: usize = 128;

/// Reads one file of `out`. `None` if it is not JSON or too deep: then a mistake says so.
pub fn read(file: u32, out: &mut Diagnostics) -> Option<Node> {
    let files = out.files().clone();
    let text = files.file(file).map(|file| file.text.as_str())?;
    let mut reader = Reader { file, text, at: if text.starts_with('\u{feff}') { 3 } else { 0 }, depth: 0, twice: Vec::new() };
    let result = reader.document();
    for (key, span) in std::mem::take(&mut reader.twice) {
        out.push(Diagnostic::warning("duplicate-key", format!("`{key}` is given twice; the last one counts")).at(span));
    }
    match result {
        Ok(node) => Some(node),
        Err((at, message)) => {
            out.push(Diagnostic::error("json", message).at(Span::new(file, at, at + 1)));
            None
        }
    }
}

type Failure = (usize, String);

struct Reader<'t> {
    file: u32,
    text: &'t str,
    at: usize,
    depth: usize,
    twice: Vec<(String, Span)>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, Failure> {
        self.blanks();
        if self.peek().is_none() {
            return Err((0, "the file is empty".to_owned()));
        }
        let node = self.value()?;
        self.blanks();
        match self.peek() {
            None => Ok(node),
            Some(_) => Err((self.at, "text after the end of the value".to_owned())),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn span(&self, start: usize) -> Span {
        Span::new(self.file, start, self.at)
    }

    fn value(&mut self) -> Result<Node, Failure> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => return self.nested(Reader::object),
            Some(b'[') => return self.nested(Reader::array),
            Some(b'"') => Value::Text { text: self.string()?, style: Style::Double },
            Some(b't') => self.word("true", Value::Boolean(true))?,
            Some(b'f') => self.word("false", Value::Boolean(false))?,
            Some(b'n') => self.word("null", Value::Null { written: true })?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err((start, "expected a value: an object, a list, a text in double quotes, a number, true, false or null".to_owned())),
            None => return Err((start, "the file ends where a value is expected".to_owned())),
        };
        Ok(Node { span: self.span(start), value })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, Failure>) -> Result<Node, Failure> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err((self.at, format!("nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, Failure> {
        let start = self.at;
        self.at += 1;
        let mut entries: Vec<(Spanned<String>, Node)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node { span: self.span(start), value: Value::Mapping(entries) });
        }
        loop {
            self.blanks();
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                let hint = match self.peek() {
                    Some(b'}') => "a comma before `}`",
                    None => "the file ends inside an object",
                    Some(_) => "expected a key in double quotes",
                };
                return Err((key_at, hint.to_owned()));
            }
            let key = Spanned::new(self.string()?, self.span(key_at));
            self.blanks();
            if self.peek() != Some(b':') {
                return Err((self.at, "expected `:` after the key".to_owned()));
            }
            self.at += 1;
            self.blanks();
            let node = self.value()?;
            match seen.get(&key.value) {
                Some(&index) => {
                    self.twice.push((key.value.clone(), key.span));
                    if let Some(slot) = entries.get_mut(index) {
                        *slot = (key, node);
                    }
                }
                None => {
                    seen.insert(key.value.clone(), entries.len());
                    entries.push((key, node));
                }
            }
            if self.more(b'}')? {
                continue;
            }
            return Ok(Node { span: self.span(start), value: Value::Mapping(entries) });
        }
    }

    fn array(&mut self) -> Result<Node, Failure> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node { span: self.span(start), value: Value::List(items) });
        }
        loop {
            self.blanks();
            items.push(self.value()?);
            if !self.more(b']')? {
                return Ok(Node { span: self.span(start), value: Value::List(items) });
            }
        }
    }

    /// Steps over a comma (true) or the closing bracket (false).
    fn more(&mut self, close: u8) -> Result<bool, Failure> {
        self.blanks();
        let byte = self.peek();
        if byte == Some(b',') || byte == Some(close) {
            self.at += 1;
            return Ok(byte == Some(b','));
        }
        let what = if byte.is_none() { "the file ends" } else { "found something else" };
        Err((self.at, format!("expected `,` or `{}`, but {what}", char::from(close))))
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Failure> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err((self.at, format!("expected `{word}`")));
        }
        self.at += word.len();
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let start = self.at;
        let wrong = |at: usize| Err((at, "this is not a JSON number".to_owned()));
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (zero && whole > 1) {
            return wrong(start);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return wrong(start);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return wrong(start);
            }
        }
        Ok(Value::Number(self.text.get(start..self.at).unwrap_or_default().to_owned()))
    }

    /// A text; escapes are left to serde_json, which knows all of them.
    fn string(&mut self) -> Result<String, Failure> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..0x20) => return Err((self.at, "a raw line break or control character in a text; write \\n".to_owned())),
                Some(_) => self.at += 1,
                None => return Err((start, "a text without its closing quote".to_owned())),
            }
        }
        self.at += 1;
        let token = self.text.get(start..self.at).unwrap_or_default();
        if !escaped {
            return Ok(token.get(1..token.len() - 1).unwrap_or_default().to_owned());
        }
        serde_json::from_str(token).map_err(|_| (start, "a text with a bad escape".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, String> {
        let mut out = Diagnostics::new();
        let file = out.add_file("x.json", text);
        read(file, &mut out).ok_or_else(|| out.plain())
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn agrees_with_serde_json() {
        for text in
            [r#"{"a": [1, -2.5e3, true, null, "x\n\u00e9\ud83d\ude00"], "b": {}, "c": []}"#, "[]", " \"a\" ", "0", "-0.0", "\u{feff}{}", r#"{"a":1,"a":2}"#]
        {
            let ours = parse(text).unwrap().to_json();
            let theirs: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
            assert_eq!(ours, theirs, "{text}");
        }
        for text in
            ["", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "01", "1.", "1e", "-", "tru", "\"a", "\"\\x\"", "\"\\", "{} {}", "nul", "[1 2]", "{\"a\" 1}", "\"\n\""]
        {
            assert!(parse(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn places_are_exact() {
        let text = "{\n  \"key\": \"v\\u0061l\"\n}";
        let node = parse(text).unwrap();
        let Value::Mapping(entries) = &node.value else { unreachable!() };
        let (key, value) = &entries[0];
        assert_eq!(&text[key.span.start as usize..key.span.end as usize], "\"key\"");
        assert_eq!(&text[value.span.start as usize..value.span.end as usize], "\"v\\u0061l\"");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(1_000_000);
        assert!(parse(&deep).is_err_and(|message| message.contains("deeper")));
        let legal = "[".repeat(JSON_DEPTH_MAX) + &"]".repeat(JSON_DEPTH_MAX);
        assert!(parse(&legal).is_ok());
    }
}
