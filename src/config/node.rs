//! Owns the tree of a YAML file as we read it: every node knows its bytes in the file.

use serde_json::Value as Json;

use super::source_map::{Span, Spanned};

/// A value in a YAML file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes. For a key without a value: the key.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// The kinds of value (YAML 1.2 core schema, without infinities and NaN: those are text).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing; `written` if it says so (`null`, `~`).
    Null {
        /// False when nothing stands there.
        written: bool,
    },
    /// `true`, `false`
    Boolean(bool),
    /// A number, as written.
    Number(String),
    /// Text.
    Text {
        /// The text, unescaped and folded.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, keys unique.
    Mapping(Vec<(Spanned<String>, Node)>),
}

/// How a text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// As a `|` or `>` block.
    Block,
}

impl Node {
    /// What it is, for "expected x, not …".
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null { .. } => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text { .. } => "text",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// True if nothing was written.
    pub fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Null { .. })
    }

    /// A place to point at that is short: the first key of a mapping, the first item
    /// of a list, the value itself otherwise.
    pub fn head(&self) -> Span {
        match &self.value {
            Value::Mapping(entries) => entries.first().map_or(self.span, |(key, _)| key.span),
            Value::List(items) => items.first().map_or(self.span, Node::head),
            _ => self.span,
        }
    }

    /// A short place that stands for the value itself: it, or the start of a collection.
    pub fn point(&self) -> Span {
        match &self.value {
            Value::Mapping(_) | Value::List(_) => self.head(),
            _ => self.span,
        }
    }

    /// The text of a word, as the user wrote it: text, or a number's digits.
    pub fn word(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            Value::Number(raw) => Some(raw),
            _ => None,
        }
    }

    /// The same value as JSON. Numbers beyond 64 bits become doubles.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null { .. } => Json::Null,
            Value::Boolean(truth) => Json::Bool(*truth),
            Value::Number(raw) => {
                let text = json_number(raw);
                serde_json::from_str(&text).unwrap_or(Json::String(text))
            }
            Value::Text { text, .. } => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Mapping(entries) => Json::Object(entries.iter().map(|(key, node)| (key.value.clone(), node.to_json())).collect()),
        }
    }
}

/// What a scalar without quotes means in YAML 1.2 (core schema).
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" => Value::Null { written: false },
        "~" | "null" | "Null" | "NULL" => Value::Null { written: true },
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text { text: text.to_owned(), style: Style::Plain },
    }
}

fn is_number(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.len() <= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.len() <= 21 && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at).unwrap_or(""), text.get(at + 1..)),
        None => (text, None),
    };
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    exponent_ok && digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

/// A YAML number as JSON (and our expressions) write it: decimal, no `+`, no leading
/// zeros, digits on both sides of the point.
pub fn json_number(raw: &str) -> String {
    if let Some(hex) = raw.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_or_else(|_| raw.to_owned(), |n| n.to_string());
    }
    if let Some(octal) = raw.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).map_or_else(|_| raw.to_owned(), |n| n.to_string());
    }
    let (sign, rest) = match raw.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", raw.strip_prefix('+').unwrap_or(raw)),
    };
    let end = rest.find(['e', 'E']).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(end);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for text in ["1", "-9223372036854775808", "+7", "007", "0x1F", "0o17", "1.5", ".5", "3.", "1e5", "-2.5E-3"] {
            assert!(matches!(resolve_plain(text), Value::Number(_)), "{text}");
        }
        for text in ["1.2.3", "1h", "0x", "0xZZ", "-", ".", "e5", "1e", "yes", "on", ".inf", "2026-11-21", "12:30", "1_000"] {
            assert!(matches!(resolve_plain(text), Value::Text { .. }), "{text}");
        }
        assert_eq!(resolve_plain("NULL"), Value::Null { written: true });
        assert_eq!(resolve_plain(""), Value::Null { written: false });
        assert_eq!(resolve_plain("True"), Value::Boolean(true));
    }

    #[test]
    fn numbers_become_json() {
        let pairs = [
            ("007", "7"),
            ("+7", "7"),
            ("0x1F", "31"),
            ("0o17", "15"),
            (".5", "0.5"),
            ("3.", "3"),
            ("-0.5e3", "-0.5e3"),
            ("18446744073709551616", "18446744073709551616"),
            ("0", "0"),
            ("-00", "-0"),
        ];
        for (raw, json) in pairs {
            assert_eq!(json_number(raw), json);
        }
    }
}
