//! Owns how entry context is merged into a context: `A.B(val.ID && val.ID == obj.ID)` updates the
//! item that is meant, or appends; and how a sub-playbook's outputs get to its caller.

use serde_json::{Map, Value};

use crate::expr::xsoar::context::append;
use crate::expr::xsoar::fault::{Budget, Fault};
use crate::expr::xsoar::js::interpret::{Interpreter, Stop};
use crate::expr::xsoar::js::operate::truthy;
use crate::expr::xsoar::js::parse::Parser;
use crate::expr::xsoar::value::{equal, into_list};

/// Merges one entry of an entry context.
///
/// # Errors
/// A selector that cannot be read, or that takes too long.
pub fn entry(context: &mut Value, key: &str, value: Value, budget: &Budget) -> Result<(), Fault> {
    let Some((path, selector)) = split(key) else {
        put(context, key, value);
        return Ok(());
    };
    let Some(selector) = selector else {
        put(context, path, value);
        return Ok(());
    };
    let unreadable = |_| Fault::Unusable("the selector of an output cannot be read".to_owned());
    let mut parser = Parser::new(selector, 0).map_err(unreadable)?;
    let test = parser.expression().map_err(unreadable)?;
    let always = selector.trim() == "true";
    let place = at(context, path);
    let old = place.take();
    let was_list = old.is_array();
    let mut items = into_list(old);
    for new in into_list(value) {
        let mut found = None;
        for (number, item) in items.iter().enumerate() {
            if always || holds(&test, item, &new, budget)? {
                found = Some(number);
                break;
            }
        }
        match (found.and_then(|number| items.get_mut(number)), new) {
            (Some(Value::Object(known)), Value::Object(new)) => known.extend(new),
            (Some(item), new) => *item = new,
            (None, new) => items.push(new),
        }
    }
    // The first object alone is stored as an object, a second one makes it a list.
    let alone = items.len() == 1 && !was_list;
    *at(context, path) = if alone { items.pop().unwrap_or(Value::Null) } else { Value::Array(items) };
    Ok(())
}

/// Without a selector: absent → as it is, else a list of old and new.
fn put(context: &mut Value, key: &str, value: Value) {
    append(context, key, value);
}

/// `path(selector)` → path and selector.
fn split(key: &str) -> Option<(&str, Option<&str>)> {
    let open = key.find('(')?;
    let close = key.rfind(')')?;
    let selector = key.get(open + 1..close)?.trim();
    let rest = key.get(close + 1..).unwrap_or_default();
    // A path behind the selector is not a place to write to.
    let path = key.get(..open)?.trim().trim_end_matches('.');
    (rest.trim().is_empty()).then_some((path, (!selector.is_empty()).then_some(selector)))
}

fn holds(test: &crate::expr::xsoar::js::ast::Expr, item: &Value, new: &Value, budget: &Budget) -> Result<bool, Fault> {
    let mut interpreter = match Interpreter::new(budget, item, &[]) {
        Ok(interpreter) => interpreter,
        Err(stop) => return stopped(stop),
    };
    let val = interpreter.heap.enter(item, budget)?;
    interpreter.bind("val", val);
    let obj = interpreter.heap.enter(new, budget)?;
    interpreter.bind("obj", obj);
    match interpreter.evaluate(test) {
        Ok(value) => Ok(truthy(&value)),
        Err(stop) => stopped(stop),
    }
}

/// An exception is no match.
fn stopped(stop: Stop) -> Result<bool, Fault> {
    match stop {
        Stop::Throw(_) => Ok(false),
        Stop::Fault(fault) => Err(fault),
    }
}

/// The place of a dotted key, made where it is missing.
fn at<'c>(context: &'c mut Value, path: &str) -> &'c mut Value {
    let mut place = context;
    for level in path.split('.').map(str::trim).filter(|level| !level.is_empty()).take(64) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(members) => members.entry(level.to_owned()).or_insert(Value::Null),
            other => other,
        };
    }
    place
}

/// What of a context the declared outputs name: lists and objects keep their shape.
pub fn project(context: &Value, paths: &[Vec<&str>]) -> Map<String, Value> {
    let mut out = Map::new();
    let Value::Object(members) = context else { return out };
    for (name, value) in members {
        let below: Vec<&[&str]> = paths.iter().filter(|path| path.first() == Some(&name.as_str())).map(|path| path.get(1..).unwrap_or_default()).collect();
        if below.is_empty() {
            continue;
        }
        if let Some(value) = part(value, &below) {
            out.insert(name.clone(), value);
        }
    }
    out
}

fn part(value: &Value, paths: &[&[&str]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return (!value.is_null()).then(|| value.clone());
    }
    match value {
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(|item| part(item, paths)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let mut out = Map::new();
            for (name, value) in members {
                let below: Vec<&[&str]> =
                    paths.iter().filter(|path| path.first() == Some(&name.as_str())).map(|path| path.get(1..).unwrap_or_default()).collect();
                if !below.is_empty()
                    && let Some(value) = part(value, &below)
                {
                    out.insert(name.clone(), value);
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        _ => None,
    }
}

/// Outputs into the caller's context: what is there already is not added again.
pub fn outputs(context: &mut Value, found: Map<String, Value>) {
    for (key, value) in found {
        if !context.is_object() {
            *context = Value::Object(Map::new());
        }
        let Value::Object(members) = context else { return };
        let place = members.entry(key).or_insert(Value::Null);
        *place = match place.take() {
            Value::Null => value,
            old => {
                let was_list = old.is_array();
                let mut items = into_list(old);
                for new in into_list(value) {
                    if !items.iter().any(|item| equal(item, &new)) {
                        items.push(new);
                    }
                }
                if items.len() == 1 && !was_list { items.pop().unwrap_or(Value::Null) } else { Value::Array(items) }
            }
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_item_that_is_meant_is_updated() {
        let mut context = json!({});
        let budget = Budget::default();
        let key = "Acme.Alert(val.ID && val.ID == obj.ID)";
        entry(&mut context, key, json!({"ID": 1, "a": 1}), &budget).unwrap();
        assert_eq!(context, json!({"Acme": {"Alert": {"ID": 1, "a": 1}}}));
        entry(&mut context, key, json!([{"ID": 1, "b": 2}, {"ID": 2}]), &budget).unwrap();
        assert_eq!(context, json!({"Acme": {"Alert": [{"ID": 1, "a": 1, "b": 2}, {"ID": 2}]}}));
        entry(&mut context, "Acme.Count(true)", json!({"n": 1}), &budget).unwrap();
        entry(&mut context, "Acme.Count(true)", json!({"m": 1}), &budget).unwrap();
        assert_eq!(context["Acme"]["Count"], json!({"n": 1, "m": 1}));
        entry(&mut context, "Plain", json!(1), &budget).unwrap();
        entry(&mut context, "Plain", json!([2, 3]), &budget).unwrap();
        assert_eq!(context["Plain"], json!([1, 2, 3]));
        assert!(entry(&mut context, "X(val ==)", json!(1), &budget).is_err());
    }

    #[test]
    fn only_declared_outputs_leave_and_not_twice() {
        let child = json!({"File": [{"MD5": "a", "Size": 1}, {"MD5": "b"}], "Secret": 1, "Deep": {"x": {"y": 1, "z": 2}}});
        let found = project(&child, &[vec!["File", "MD5"], vec!["Deep", "x", "y"]]);
        assert_eq!(Value::Object(found.clone()), json!({"File": [{"MD5": "a"}, {"MD5": "b"}], "Deep": {"x": {"y": 1}}}));
        let mut parent = json!({"File": {"MD5": "a"}});
        outputs(&mut parent, found.clone());
        outputs(&mut parent, found);
        assert_eq!(parent["File"], json!([{"MD5": "a"}, {"MD5": "b"}]));
    }
}
