//! Casts and comparisons of JSON values, as operators see them.

use serde_json::{Map, Number, Value};

use super::fault::Fault;

/// A number as text: whole numbers without a fraction, else the shortest text that reads back the same.
pub fn number_text(number: &Number) -> String {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(n), ..) => n.to_string(),
        (_, Some(n), _) => n.to_string(),
        (_, _, Some(n)) => float_text(n),
        _ => number.to_string(),
    }
}

/// The same for a double.
pub fn float_text(number: f64) -> String {
    // `-0` is `0`; beyond 1e21 JavaScript and Go write an exponent.
    let number = number + 0.0;
    if number.abs() < 1e21 { format!("{number}") } else { format!("{number:e}") }
}

/// A double as a JSON number: whole ones without a fraction. What is not finite is null.
pub fn number_value(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT { Value::from(number as i64) } else { Number::from_f64(number).map_or(Value::Null, Value::Number) }
}

/// The text of any value: what `${…}` inside a text and `join` write. Lists are joined with commas, objects are JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Object(_) => value.to_string(),
    }
}

/// A scalar as text; `None` for lists and objects, and for null.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(text_of(value)),
        // One item alone stands for itself.
        Value::Array(items) if items.len() == 1 => scalar_text(items.first()?),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A scalar as text, or a cast fault.
pub fn cast_text(value: &Value, operator: &'static str) -> Result<String, Fault> {
    match value {
        Value::Null => Ok(String::new()),
        _ => scalar_text(value).ok_or(Fault::Cast { operator, wanted: "text" }),
    }
}

/// Text → number: decimal, surrounding blanks allowed.
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let first = *text.as_bytes().first()?;
    // `f64::from_str` also takes `inf` and `nan`.
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A number, or a text that holds one.
pub fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => parse_number(text),
        // One item alone stands for itself.
        Value::Array(items) if items.len() == 1 => as_number(items.first()?),
        _ => None,
    }
}

/// A number, or a cast fault.
pub fn cast_number(value: &Value, operator: &'static str) -> Result<f64, Fault> {
    as_number(value).ok_or(Fault::Cast { operator, wanted: "a number" })
}

/// A truth value, or its text.
pub fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Null, `""`, `[]` and `{}`.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What Python calls false: empty values, 0, false.
pub fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        other => is_empty(other),
    }
}

/// Deep equality; 1 equals 1.0, the order of members does not matter.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| equal(x, y))),
        _ => a == b,
    }
}

/// A list; any other value but null is a list of one.
pub fn into_list(value: Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        other => vec![other],
    }
}

/// What scripts make of an argument that may be a list, JSON of a list, or text with commas (`argToList`).
pub fn arg_list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => {
            if text.starts_with('[')
                && text.ends_with(']')
                && let Ok(Value::Array(items)) = serde_json::from_str(text)
            {
                return items;
            }
            text.split(',').map(|part| Value::from(part.trim())).collect()
        }
        other => vec![other.clone()],
    }
}

/// The same as texts.
pub fn arg_texts(value: &Value) -> Vec<String> {
    arg_list(value).iter().map(text_of).collect()
}

/// Values found on a way: none is null, one is itself, more are a list.
pub fn unwrap_list(mut values: Vec<Value>) -> Value {
    match values.len() {
        0 => Value::Null,
        1 => values.pop().unwrap_or(Value::Null),
        _ => Value::Array(values),
    }
}

/// Compact JSON with the keys of objects sorted.
pub fn sorted_json(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut pairs: Vec<_> = members.iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// JSON as Python's `json.dumps` writes it: a blank after each comma and colon.
pub fn spaced_json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced_json).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced_json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// How deep a value nests; stops counting at `limit`.
pub fn deeper_than(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|item| deeper_than(item, limit - 1)),
        Value::Object(members) => limit == 0 || members.values().any(|member| deeper_than(member, limit - 1)),
        _ => false,
    }
}
