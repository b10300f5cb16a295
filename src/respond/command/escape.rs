//! Owns how values get into text that means something: a URL, JSON, a header. Values come from
//! events, and events from attackers: what they insert ends as data.

use serde_json::Value;

use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::prepared::{Piece, Prepared};
use crate::expr::xsoar::value::text_of;

/// What the text around `${…}` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// Nothing in particular.
    Plain,
    /// A URL: values are percent-encoded, as one segment or one parameter. One at the very
    /// beginning is a URL itself.
    Url,
    /// JSON: inside quotes values are escaped, outside they are JSON themselves.
    Json,
    /// A line of words: a value is one word, or a part of one.
    Word,
    /// A list of mail addresses: a value is one address, or a part of one.
    Address,
}

/// What an argument of a command is.
pub fn escape_of(command: &str, argument: &str) -> Escape {
    match (command.to_lowercase().as_str(), argument.to_lowercase().as_str()) {
        ("http" | "http-get", "url") => Escape::Url,
        ("http" | "http-get", "json" | "headers" | "query" | "params") => Escape::Json,
        ("scheduleentry", "command") => Escape::Word,
        ("send-mail" | "sendemail", "to" | "cc" | "bcc" | "replyto") => Escape::Address,
        _ => Escape::Plain,
    }
}

/// Evaluates an argument with its values escaped. Only templates need it: a value that stands
/// alone is what the author wanted there.
///
/// # Errors
/// As evaluating it does.
pub fn escaped(prepared: &Prepared, escape: Escape, env: &Env<'_>) -> Result<Value, Fault> {
    let Prepared::Template(pieces) = prepared else { return prepared.evaluate(env) };
    let mut out = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        let before = out.len();
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Value(path) => {
                let value = Prepared::Path(path.clone()).evaluate(env)?;
                match escape {
                    Escape::Url if number == 0 => out.push_str(&text_of(&value)),
                    Escape::Url => percent(&text_of(&value), &mut out),
                    Escape::Json if inside_quotes(&out) => {
                        let quoted = Value::from(text_of(&value)).to_string();
                        out.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
                    }
                    Escape::Json => out.push_str(&value.to_string()),
                    Escape::Word => out.push_str(&word(&value, "")?),
                    Escape::Address => out.push_str(&word(&value, ",;:<>()[]\\")?),
                    Escape::Plain => out.push_str(&text_of(&value)),
                }
            }
        }
        env.budget.bytes(out.len() - before)?;
    }
    if escape == Escape::Url && climbs(&out) {
        return Err(Fault::Unusable("dots alone cannot be a part of a URL: they would lead elsewhere".to_owned()));
    }
    Ok(Value::String(out))
}

/// A value that cannot end the word that it stands in.
fn word(value: &Value, others: &str) -> Result<String, Fault> {
    let text = text_of(value);
    match text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '"' || others.contains(c)) {
        true => Err(Fault::Unusable("a value that is put into a list of words is more than one word".to_owned())),
        false => Ok(text),
    }
}

/// Everything but letters, digits and `-_~.`.
fn percent(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// True where a segment of the path is `.` or `..`: URLs know no way to write them as data.
fn climbs(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

/// True where a JSON text ends inside of a string.
fn inside_quotes(text: &str) -> bool {
    let mut inside = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => inside = !inside,
            b'\\' if inside => drop(bytes.next()),
            _ => {}
        }
    }
    inside
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::expr::xsoar::model::{Argument, Place};
    use crate::expr::xsoar::prepare::{Options, prepare};
    use serde_json::json;

    fn with(text: &str, escape: Escape) -> String {
        text_of(&tried(text, escape).unwrap())
    }

    fn tried(text: &str, escape: Escape) -> Result<Value, Fault> {
        let context = json!({ "user": "a/../b?x=1&y#\"\r\n", "base": "http://h:1/", "list": ["a", "\""], "dots": "..", "dot": ".", "n": 5 });
        let (prepared, _) = prepare(&Argument::Simple(text.to_owned()), Place::Text, &Options::default());
        escaped(&prepared, escape, &Env::new(&context))
    }

    #[test]
    fn values_stay_values() {
        assert_eq!(with("http://h/users/${user}/lock", Escape::Url), "http://h/users/a%2F..%2Fb%3Fx%3D1%26y%23%22%0D%0A/lock");
        assert_eq!(with("${base}users/a${dots}/x", Escape::Url), "http://h:1/users/a../x");
        for climbing in ["${base}users/${dots}/x", "${base}users/.${dot}/x", "${base}users/%2e${dot}"] {
            assert!(tried(climbing, Escape::Url).is_err(), "{climbing}");
        }
        let json = with(r#"{"user": "${user}", "n": ${n}, "all": ${list}, "none": ${missing}}"#, Escape::Json);
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read, json!({ "user": "a/../b?x=1&y#\"\r\n", "n": 5, "all": ["a", "\""], "none": null }));
        assert_eq!(with("${user}", Escape::Json), "a/../b?x=1&y#\"\r\n");
        assert_eq!(with("a${n}@corp.example", Escape::Address), "a5@corp.example");
        assert_eq!(with("!get url=${base}", Escape::Word), "!get url=http://h:1/");
        for more in ["${user}@corp.example", "soc@corp.example,${list}", "x ${base}"] {
            assert!(tried(more, Escape::Address).is_err(), "{more}");
        }
        assert!(tried("!get user=${user}", Escape::Word).is_err());
    }
}
