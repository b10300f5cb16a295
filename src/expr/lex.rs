//! Cuts expression text into tokens. Every token knows its place, so that an
//! error can point at it.

use super::path::{is_key_continue, is_key_start};

/// A piece of the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A bare word: keyword, function name or key.
    Word(String),
    /// `"quoted key"`
    Quoted(String),
    /// `'text'`
    Text(String),
    /// A number, as written.
    Number(String),
    /// An operator or punctuation mark.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// What is wrong with the text, where, and what may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// First byte of the place.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ParseError {
    /// An error at a place.
    pub fn new(start: usize, end: usize, message: impl Into<String>) -> ParseError {
        ParseError { start, end, message: message.into(), hint: None }
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> ParseError {
        self.hint = Some(hint.into());
        self
    }
}

/// A token and its place.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The token.
    pub token: Token,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

// Longest first, so that `<=` is not read as `<`.
const SIGNS: [&str; 22] = ["<=", ">=", "<>", "!=", "!~", "||", "::", "=", "<", ">", "~", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "."];

const FOREIGN: [(&str, &str); 4] =
    [("==", "equality is written with one `=`"), ("&&", "write AND"), ("=~", "a regular expression match is written `x ~ 'regex'`"), ("!", "write NOT")];

/// All tokens of `text`, the last one being [`Token::End`].
pub fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (token, len) = if c == '\'' {
            let (content, len) = quoted(rest, '\'')
                .ok_or_else(|| ParseError::new(at, text.len(), "this text has no closing quote").hint("a quote inside text is written twice: 'it''s'"))?;
            (Token::Text(content), len)
        } else if c == '"' {
            let (content, len) = quoted(rest, '"').ok_or_else(|| {
                ParseError::new(at, text.len(), "this quoted key has no closing quote")
                    .hint("double quotes hold a key of the event; text goes in single quotes")
            })?;
            (Token::Quoted(content), len)
        } else if c.is_ascii_digit() {
            let len = number_len(rest);
            (Token::Number(rest[..len].to_owned()), len)
        } else if is_key_start(c) {
            let len = rest.find(|c| !is_key_continue(c)).unwrap_or(rest.len());
            (Token::Word(rest[..len].to_owned()), len)
        } else if let Some((sign, hint)) = FOREIGN.iter().find(|(s, _)| rest.starts_with(s) && !rest.starts_with("!=") && !rest.starts_with("!~")) {
            return Err(ParseError::new(at, at + sign.len(), format!("`{sign}` is not an operator here")).hint(*hint));
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            (Token::Sign(sign), sign.len())
        } else {
            let (shown, hint) = match c {
                '\u{2018}'..='\u{201f}' => (c.to_string(), "a word processor has curled this quote: text goes in straight single quotes, 'like this'"),
                '`' => (c.to_string(), "keys with unusual characters go in double quotes, not in backticks"),
                _ => (c.escape_default().to_string(), "keys with unusual characters go in double quotes, text in single quotes"),
            };
            return Err(ParseError::new(at, at + c.len_utf8(), format!("unexpected character `{shown}`")).hint(hint));
        };
        found.push(Placed { token, start: at, end: at + len });
        at += len;
    }
    found.push(Placed { token: Token::End, start: text.len(), end: text.len() });
    Ok(found)
}

/// The content of a quoted piece at the start of `text` (a doubled quote is one
/// quote) and its length in the text.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            content.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, at + 1));
        }
    }
    None
}

/// Length of the number at the start of `text`: digits, fraction, exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(len + 1 + sign..).map_or(0, |_| digits(len + 1 + sign));
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}
