//! Two incidents of one event, field by field.

use serde_json::{Map, Value};

use crate::cli::text::{Cut, clip, visible};

/// Characters of a value that are kept for showing.
pub const VALUE_CHARS_MAX: usize = 60;

/// Fields that are not compared: made of the pipeline's name and version, told by the end
/// or by the type, or the event itself.
const SKIPPED: [&str; 10] = ["id", "pipeline", "pipeline_version", "type", "raw", "version", "status", "closed", "linked", "attached"];

/// A field whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field; labels are `labels.key`, the source is `source.name`.
    pub field: String,
    /// The value before, for showing; `None`: none.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
}

/// All fields that differ, in the order of the new incident, lost ones last.
pub fn field_changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found
}

fn compare(before: &Map<String, Value>, after: &Map<String, Value>, prefix: &str, found: &mut Vec<FieldChange>) {
    let keys = after.keys().chain(before.keys().filter(|key| !after.contains_key(*key)));
    for key in keys {
        if prefix.is_empty() && SKIPPED.contains(&key.as_str()) {
            continue;
        }
        let (a, b) = (value(before, key), value(after, key));
        if a == b {
            continue;
        }
        if prefix.is_empty() && (key == "labels" || key == "source") {
            let empty = Map::new();
            let inner = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
            compare(inner(a).as_ref().unwrap_or(&empty), inner(b).as_ref().unwrap_or(&empty), &format!("{key}."), found);
            continue;
        }
        found.push(FieldChange { field: visible(&format!("{prefix}{key}")).into_owned(), before: a.map(shown), after: b.map(shown) });
    }
}

fn value<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => visible(text).into_owned(),
        other => visible(&other.to_string()).into_owned(),
    };
    // A text that could be taken for something else keeps its quotes.
    let text = match value {
        Value::String(inner) if inner.is_empty() || inner == "–" || serde_json::from_str::<Value>(inner).is_ok() || inner.trim() != inner => {
            format!("\"{text}\"")
        }
        _ => text,
    };
    clip(&text, VALUE_CHARS_MAX, Cut::End).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_compared_and_ids_are_not() {
        let before =
            json!({"id":"1","type":"A","severity":2,"user":"Bob","gone":1,"labels":{"a":1,"b":2},"source":{"name":"x","offset":1},"same":[1],"none":null});
        let after = json!({"id":"2","type":"B","severity":3,"user":"bob","labels":{"a":1},"source":{"name":"x","offset":1},"same":[1],"new":"7"});
        let found = field_changes(before.as_object().unwrap(), after.as_object().unwrap());
        let words: Vec<String> =
            found.iter().map(|c| format!("{}:{}>{}", c.field, c.before.as_deref().unwrap_or("-"), c.after.as_deref().unwrap_or("-"))).collect();
        assert_eq!(words, ["severity:2>3", "user:Bob>bob", "labels.b:2>-", "new:->\"7\"", "gone:1>-"]);
    }
}
