//! Owns how a value becomes what a field of some type holds.
//!
//! Only the shape is settled here (text, list, number, …). What a time or a severity means is the
//! same for packs and for pipelines, and is settled where all fields are (`ingest::plan`).

use serde_json::Value;

use crate::expr::xsoar::value::{as_number, number_value, scalar_text, text_of};

use super::field::FieldType;

/// Characters of a short text; the product keeps no more.
pub const SHORT_TEXT_MAX: usize = 60_000;

/// A value as a field of a type holds it; `None` if it holds nothing then. `Err` tells a value
/// that cannot be one: the field is empty as well, and the incident says so.
pub fn convert(kind: FieldType, value: Value) -> Result<Option<Value>, NotA> {
    if is_nothing(&value) {
        return Ok(None);
    }
    Ok(Some(match kind {
        FieldType::ShortText | FieldType::SingleSelect | FieldType::User | FieldType::Role | FieldType::Url => Value::String(short(text_of(&value))),
        FieldType::LongText | FieldType::Markdown | FieldType::Html => Value::String(text_of(&value)),
        FieldType::Number => match (&value, as_number(&value)) {
            // Digits beyond a double stay what they are.
            (Value::Number(_), _) => value,
            (_, Some(number)) => number_value(number),
            (Value::Bool(truth), _) => Value::from(u8::from(*truth)),
            _ => return Err(NotA("a number")),
        },
        FieldType::Boolean => match truth(&value) {
            Some(truth) => Value::Bool(truth),
            None => return Ok(None),
        },
        FieldType::Date => match value {
            Value::String(_) | Value::Number(_) => value,
            Value::Array(_) => match scalar_text(&value) {
                Some(text) => Value::String(text),
                None => return Err(NotA("a time")),
            },
            _ => return Err(NotA("a time")),
        },
        FieldType::MultiSelect | FieldType::TagsSelect => Value::Array(words(value)),
        FieldType::Grid => Value::Array(match value {
            Value::Array(rows) if rows.iter().all(Value::is_object) => rows,
            Value::Object(_) => vec![value],
            // Rows come as their JSON text, too.
            Value::String(text) => match serde_json::from_str::<Value>(&text) {
                Ok(Value::Array(rows)) if rows.iter().all(Value::is_object) => rows,
                Ok(row @ Value::Object(_)) => vec![row],
                _ => return Err(NotA("a list of rows")),
            },
            _ => return Err(NotA("a list of rows")),
        }),
        FieldType::Attachments => match value {
            Value::Array(_) => value,
            other => Value::Array(vec![other]),
        },
        FieldType::Timer => match value {
            Value::Object(_) => value,
            _ => return Err(NotA("a timer")),
        },
        FieldType::Internal => value,
    }))
}

/// A severity: 0 to 4, also as text, or by its name.
pub fn severity(value: Value) -> Result<Option<Value>, NotA> {
    const NAMES: [(&str, f64); 6] = [("unknown", 0.0), ("informational", 0.5), ("low", 1.0), ("medium", 2.0), ("high", 3.0), ("critical", 4.0)];
    if is_nothing(&value) {
        return Ok(None);
    }
    let text = scalar_text(&value).unwrap_or_default();
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())).map(|(_, number)| *number);
    match named.or_else(|| as_number(&value)) {
        Some(number) if (0.0..=4.0).contains(&number) => Ok(Some(number_value(number))),
        _ => Err(NotA("a severity")),
    }
}

/// A value that a field cannot hold, and what it should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not {0}")]
pub struct NotA(pub &'static str);

/// Nothing was found: the field keeps what it has. An empty text is a value.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(Value::is_null),
        _ => false,
    }
}

fn short(text: String) -> String {
    // Most texts are shorter than that in bytes already.
    if text.len() <= SHORT_TEXT_MAX {
        return text;
    }
    text.chars().take(SHORT_TEXT_MAX).collect()
}

/// 0, `false`, `False` and other numbers, `true`, `True`; anything else is neither.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        Value::String(text) => match text.as_str() {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => as_number(value).map(|number| number != 0.0),
        },
        Value::Array(items) => match items.as_slice() {
            [one] => truth(one),
            _ => None,
        },
        _ => None,
    }
}

/// The words of a selection: a list, or a text with commas.
fn words(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).collect(),
        Value::String(text) => text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Value::from).collect(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_take_the_shape_of_their_field() {
        use FieldType::*;
        let cases = [
            (ShortText, json!(["a", 7, true]), Ok(Some(json!("a,7,true")))),
            (ShortText, json!(""), Ok(Some(json!("")))),
            (ShortText, json!({"a": [1]}), Ok(Some(json!("{\"a\":[1]}")))),
            (ShortText, json!(null), Ok(None)),
            (LongText, json!([]), Ok(None)),
            (LongText, json!([null]), Ok(None)),
            (Number, json!("7"), Ok(Some(json!(7)))),
            (Number, json!(" 7.5 "), Ok(Some(json!(7.5)))),
            (Number, json!("x"), Err(NotA("a number"))),
            (Number, json!([3]), Ok(Some(json!(3)))),
            (Boolean, json!(0), Ok(Some(json!(false)))),
            (Boolean, json!("True"), Ok(Some(json!(true)))),
            (Boolean, json!("TRUE"), Ok(None)),
            (Boolean, json!("yes"), Ok(None)),
            (MultiSelect, json!("a, b,,c"), Ok(Some(json!(["a", "b", "c"])))),
            (MultiSelect, json!(["a", 1]), Ok(Some(json!(["a", 1])))),
            (TagsSelect, json!("one"), Ok(Some(json!(["one"])))),
            (Grid, json!({"a": 1}), Ok(Some(json!([{"a": 1}])))),
            (Grid, json!("[{\"a\":1}]"), Ok(Some(json!([{"a": 1}])))),
            (Grid, json!("text"), Err(NotA("a list of rows"))),
            (Date, json!(1_600_000_000), Ok(Some(json!(1_600_000_000)))),
            (Date, json!(["2020-01-01T00:00:00Z"]), Ok(Some(json!("2020-01-01T00:00:00Z")))),
            (Date, json!({}), Err(NotA("a time"))),
            (Internal, json!({"a": 1}), Ok(Some(json!({"a": 1})))),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(convert(kind, value.clone()), expected, "{kind:?} {value}");
        }
    }

    #[test]
    fn severities_have_names() {
        let cases = [
            (json!("High"), Ok(Some(json!(3)))),
            (json!("0.5"), Ok(Some(json!(0.5)))),
            (json!(4), Ok(Some(json!(4)))),
            (json!(7), Err(NotA("a severity"))),
            (json!(null), Ok(None)),
        ];
        for (value, expected) in cases {
            assert_eq!(severity(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn a_short_text_is_cut_at_a_character() {
        let long = "ö".repeat(SHORT_TEXT_MAX + 1);
        let found = convert(FieldType::ShortText, Value::from(long));
        assert!(matches!(found, Ok(Some(Value::String(text))) if text.chars().count() == SHORT_TEXT_MAX));
    }
}
