//! Writing to a context: what `Set`, entry contexts and `DeleteContext` do to it.

use serde_json::{Map, Value};

use super::fault::{Budget, Fault};
use super::path::Dt;
use super::pattern::{Dialect, Flags, compile};
use super::value::{as_flag, into_list, is_falsy, text_of};

/// Levels of a dotted key.
const LEVELS_MAX: usize = 64;

/// A typed text: JSON where it is JSON, else itself.
pub fn typed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

fn levels(key: &str) -> Vec<&str> {
    key.trim().split('.').map(str::trim).filter(|level| !level.is_empty()).take(LEVELS_MAX).collect()
}

/// The place of a dotted key; what stands in the way and is no object is replaced by one.
fn slot<'c>(context: &'c mut Value, key: &str) -> &'c mut Value {
    let mut at = context;
    for level in levels(key) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(members) => members.entry(level.to_owned()).or_insert(Value::Null),
            other => other,
        };
    }
    at
}

/// Overwrites a dotted key.
pub fn overwrite(context: &mut Value, key: &str, value: Value) {
    *slot(context, key) = value;
}

/// Adds to a dotted key: nothing there → stored as it is; else a list of old and new.
pub fn append(context: &mut Value, key: &str, value: Value) {
    let place = slot(context, key);
    *place = match std::mem::take(place) {
        Value::Null => value,
        old => {
            let mut items = into_list(old);
            items.extend(into_list(value));
            Value::Array(items)
        }
    };
}

/// `Set`: parses typed text unless `stringify`; overwrites unless `append`.
pub fn set(context: &mut Value, key: &str, value: Value, append_to: bool, stringify: bool) {
    let value = if stringify { Value::String(text_of(&value)) } else { typed(value) };
    if append_to { append(context, key, value) } else { overwrite(context, key, value) }
}

/// What `SetAndHandleEmpty` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handled {
    /// A value was written.
    pub written: bool,
    /// The key was deleted before.
    pub deleted_first: bool,
}

/// `SetAndHandleEmpty`: an empty value writes nothing; without `append=false` it appends.
pub fn set_and_handle_empty(context: &mut Value, key: &str, value: &Value, append_to: Option<&Value>, stringify: bool) -> Handled {
    if is_falsy(value) {
        return Handled::default();
    }
    let deleted_first = append_to.and_then(as_flag) == Some(false);
    if deleted_first {
        delete(context, key);
    }
    set(context, key, value.clone(), true, stringify);
    Handled { written: true, deleted_first }
}

/// Removes a dotted key.
pub fn delete(context: &mut Value, key: &str) {
    let levels = levels(key);
    let Some((last, before)) = levels.split_last() else { return };
    let mut at = context;
    for level in before {
        match at.get_mut(*level) {
            Some(next) => at = next,
            None => return,
        }
    }
    if let Value::Object(members) = at {
        members.shift_remove(*last);
    }
}

/// Removes one item of the list at a dotted key; with the last item the key goes.
pub fn delete_item(context: &mut Value, key: &str, index: usize) -> Result<(), Fault> {
    let place = slot(context, key);
    let mut items = into_list(place.take());
    if index >= items.len() {
        *place = Value::Array(items);
        return Err(Fault::Argument { operator: "DeleteContext", what: "the index is out of range" });
    }
    items.remove(index);
    if items.is_empty() {
        delete(context, key);
    } else {
        *place = Value::Array(items);
    }
    Ok(())
}

/// Removes everything but some dotted keys.
pub fn keep_only(context: &mut Value, keys: &[String], budget: &Budget) -> Result<(), Fault> {
    let mut kept = Value::Object(Map::new());
    for key in keys {
        let value = Dt::plain(key).evaluate(context, budget)?;
        if !value.is_null() {
            overwrite(&mut kept, key, value);
        }
    }
    *context = kept;
    Ok(())
}

/// `extend-context`: `key=path::key2=path2`, the right sides read from the contents of a result.
pub fn extend(context: &mut Value, text: &str, contents: &Value, budget: &Budget) -> Result<(), Fault> {
    for part in text.split("::") {
        let Some((key, path)) = part.split_once('=') else { continue };
        let path = Dt::parse(path).map_err(|error| Fault::Unusable(error.what))?;
        let value = path.evaluate(contents, budget)?;
        if !value.is_null() {
            append(context, key, value);
        }
    }
    Ok(())
}

/// `forEach`: iteration i takes element i of every list; a scalar is repeated; the longest list counts.
pub fn for_each(inputs: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let length = |value: &Value| match value {
        Value::Array(items) => items.len(),
        _ => 1,
    };
    let turns = inputs.values().map(length).max().unwrap_or(0);
    let pick = |value: &Value, turn: usize| match value {
        Value::Array(items) => items.get(turn).cloned().unwrap_or(Value::Null),
        scalar => scalar.clone(),
    };
    (0..turns).map(|turn| inputs.iter().map(|(name, value)| (name.clone(), pick(value, turn))).collect()).collect()
}

/// How `FilterByList` compares.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListMatch {
    /// Without regard to case.
    pub ignore_case: bool,
    /// Items must be equal; else a value may be a pattern found in an item.
    pub exact: bool,
}

/// `FilterByList`: values that a list holds, and those that it does not. Values may be patterns.
pub fn filter_by_list(list: &[String], values: &[String], how: ListMatch) -> Result<(Vec<String>, Vec<String>), Fault> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for value in values {
        let flags = Flags { ignore_case: how.ignore_case, ..Flags::default() };
        // A value that is no pattern is compared as it is.
        let pattern = if how.exact { None } else { compile(value, Dialect::JavaScript, flags, "FilterByList").ok() };
        let mut held = false;
        for item in list.iter().filter(|item| !item.is_empty()) {
            let same = if how.ignore_case { item.eq_ignore_ascii_case(value) } else { item == value };
            let matched = match &pattern {
                Some(pattern) => pattern.is_match(item)?,
                None => false,
            };
            held |= same || matched;
        }
        if held { &mut inside } else { &mut outside }.push(value.clone());
    }
    Ok((inside, outside))
}
