//! `FIELD=VALUE` as a person writes it → a field's name and a JSON token.

use crate::config::Pipeline;
use crate::config::schema::FieldKind;
use crate::config::suggest;
use crate::error::Error;
use crate::incident::encode::push_string;
use crate::incident::fold::SYSTEM_FIELDS;
use crate::incident::split::{elements, is_json, text};
use crate::incident::time_text::read_time;

/// Words for severities.
const SEVERITIES: [(&str, &str); 6] = [("unknown", "0"), ("info", "0.5"), ("low", "1"), ("medium", "2"), ("high", "3"), ("critical", "4")];

/// A text as a JSON token.
pub fn token_of(text: &str) -> Box<str> {
    let mut token = Vec::with_capacity(text.len() + 2);
    push_string(&mut token, text);
    String::from_utf8(token).unwrap_or_default().into()
}

/// Reads one `FIELD=VALUE`. With `any`, fields that the pipeline does not know are taken too.
pub fn field_of(written: &str, pipeline: &Pipeline, any: bool) -> Result<(Box<str>, Box<str>), Error> {
    let (name, value) = written.split_once('=').ok_or_else(|| Error::user("a field and its value are written FIELD=VALUE").hint("for example: owner=ann"))?;
    if SYSTEM_FIELDS.contains(&name) {
        return Err(Error::user(format!("`{name}` is filled by Catchment itself and cannot be set")));
    }
    let mapped = pipeline.map.iter().flat_map(|section| section.fields.iter().map(|(field, _)| field.value.as_str()));
    let declared = pipeline.schema.fields.iter().map(|field| field.name.as_str());
    let mut known: Vec<&str> = mapped.chain(declared).chain(["type", "severity"]).filter(|name| !SYSTEM_FIELDS.contains(name)).collect();
    known.sort_unstable();
    known.dedup();
    if !any && !known.contains(&name) {
        let near = suggest::nearest(name, known.iter().copied());
        let hint =
            near.map_or_else(|| "--any-field sets it all the same".to_owned(), |near| format!("did you mean `{near}`? --any-field sets it all the same"));
        return Err(Error::user(format!("the pipeline neither declares nor maps a field `{name}`")).hint(hint));
    }
    let kind = match name {
        "severity" => Some(FieldKind::Severity),
        "type" => Some(FieldKind::Text),
        _ => pipeline.schema.field(name).map(|field| field.kind),
    };
    let token = token(value, kind).ok_or_else(|| {
        let (what, example) = wanted(kind);
        Error::user(format!("the value of `{name}` is not {what}")).hint(format!("for example: {name}={example}"))
    })?;
    Ok((name.into(), token))
}

fn token(value: &str, kind: Option<FieldKind>) -> Option<Box<str>> {
    let as_it_is = || Some(Box::from(value.trim()));
    if value == "null" {
        return as_it_is();
    }
    let is_text = text(value).is_some();
    match kind {
        Some(FieldKind::Text | FieldKind::Ip) if is_text => as_it_is(),
        Some(FieldKind::Text) => Some(token_of(value)),
        Some(FieldKind::Ip) => value.parse::<std::net::IpAddr>().ok().map(|_| token_of(value)),
        Some(FieldKind::Time) => {
            let inner = text(value).unwrap_or(value.into());
            read_time(&inner).map(|_| token_of(&inner))
        }
        Some(FieldKind::Severity) => {
            let known = |(word, number): &&(&str, &str)| *number == value || word.eq_ignore_ascii_case(value);
            SEVERITIES.iter().find(known).map(|(_, number)| Box::from(*number))
        }
        Some(FieldKind::Number | FieldKind::Duration) => is_number(value).then(as_it_is)?,
        Some(FieldKind::Integer) => (is_number(value) && !value.contains(['.', 'e', 'E'])).then(as_it_is)?,
        Some(FieldKind::Boolean) => matches!(value, "true" | "false").then(as_it_is)?,
        Some(FieldKind::List) => elements(value).is_some().then(as_it_is)?,
        Some(FieldKind::Json) => is_json(value).then(as_it_is)?,
        None if is_json(value) => as_it_is(),
        None => Some(token_of(value)),
    }
}

fn is_number(value: &str) -> bool {
    is_json(value) && value.trim_start().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn wanted(kind: Option<FieldKind>) -> (&'static str, &'static str) {
    match kind {
        Some(FieldKind::Ip) => ("an IP address", "192.0.2.7"),
        Some(FieldKind::Time) => ("a time", "2026-03-02T08:00:00Z"),
        Some(FieldKind::Severity) => ("a severity: 0, 0.5, 1, 2, 3, 4, or unknown, info, low, medium, high, critical", "high"),
        Some(FieldKind::Number) => ("a number", "1.5"),
        Some(FieldKind::Duration) => ("a duration in seconds", "90"),
        Some(FieldKind::Integer) => ("a whole number", "3"),
        Some(FieldKind::Boolean) => ("true or false", "true"),
        Some(FieldKind::List) => ("a list", "'[\"a\", \"b\"]'"),
        Some(FieldKind::Json) => ("JSON", "'{\"a\": 1}'"),
        Some(FieldKind::Text) | None => ("a text", "ann"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_by_kind() {
        let of = |value, kind| token(value, kind).map(String::from);
        assert_eq!(of("12", Some(FieldKind::Text)).unwrap(), "\"12\"");
        assert_eq!(of("a \"b\"", Some(FieldKind::Text)).unwrap(), "\"a \\\"b\\\"\"");
        assert_eq!(of("\"a\"", Some(FieldKind::Text)).unwrap(), "\"a\"");
        assert_eq!((of("12", None).unwrap(), of("1e999", None).unwrap(), of("ann", None).unwrap()), ("12".into(), "1e999".into(), "\"ann\"".into()));
        assert_eq!((of("High", Some(FieldKind::Severity)).unwrap(), of("0.5", Some(FieldKind::Severity)).unwrap()), ("3".into(), "0.5".into()));
        assert_eq!((of("5", Some(FieldKind::Severity)), of("x", Some(FieldKind::Number)), of("1.5", Some(FieldKind::Integer))), (None, None, None));
        assert_eq!((of("yes", Some(FieldKind::Boolean)), of("1.2.3", Some(FieldKind::Ip)), of("{", Some(FieldKind::Json))), (None, None, None));
        assert_eq!(of("2026-03-02T08:00:00Z", Some(FieldKind::Time)).unwrap(), "\"2026-03-02T08:00:00Z\"");
        assert_eq!((of("[1]", Some(FieldKind::List)).unwrap(), of("{}", Some(FieldKind::List))), ("[1]".into(), None));
        assert_eq!(of("null", Some(FieldKind::Severity)).unwrap(), "null");
    }
}
