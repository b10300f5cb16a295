//! Transformers of objects and of JSON.

use serde_json::{Map, Value};

use super::Takes::{AnyItem, Found, Item, Whole};
use super::{Args, Transformer, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::value::{arg_texts, equal, into_list, is_falsy, sorted_json, text_of, unwrap_list};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("getField", Found, &["field"], &[], get_field),
    row("ParseJSON", Item, &[], &[], parse_json),
    row("DT", AnyItem, &["dt"], &[], dt),
    row("Jmespath", Whole, &["expression"], &[], jmespath),
    row("WhereFieldEquals", Whole, &["field", "equalTo"], &["getField", "stringify"], where_field_equals),
    row("GetValuesOfMultipleFields", Whole, &["key", "list"], &[], values_of_fields),
    row("ConvertKeysToTableFieldFormat", Item, &[], &[], convert_keys),
    row("SortBy", Whole, &["keys"], &["descending_keys"], sort_by),
    row("DedupBy", Whole, &["keys"], &[], dedup_by),
    row("MergeDictArray", Whole, &["merge_with"], &["conflict", "dict_match"], merge_lists),
    row("MakePair", Whole, &["array2"], &["array1_key", "array2_key", "determine_output_length_by"], make_pair),
    row("IgnoreFieldsFromJson", Whole, &["ignored_fields"], &[], ignore_fields),
    row("JsonToTable", Whole, &[], &["title", "headers", "json_transform_properties", "is_auto_json_transform"], super::table::json_to_table),
];

fn get_field(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let field = args.need_text("field")?;
    match value {
        Value::Object(members) => match members.get(&field) {
            Some(member) => Ok(member.clone()),
            None => Dt::plain(&field).evaluate(value, &env.budget),
        },
        _ => Ok(Value::Null),
    }
}

/// The error object that stands for text that is no JSON.
fn parse_json(value: &Value, _: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = match value {
        Value::Object(_) | Value::Array(_) => "[object Object]".to_owned(),
        scalar => text_of(scalar),
    };
    env.budget.bytes(text.len())?;
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({"name": "SyntaxError", "message": "the text is not JSON"})))
}

fn dt(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = args.need_text("dt")?;
    Dt::cached(&text).map_err(|error| Fault::Unusable(error.what))?.evaluate(value, &env.budget)
}

/// Characters and brackets of a JMESPath expression: its parser and evaluator recurse.
const JMESPATH_MAX: (usize, usize) = (4096, 32);
/// Nodes of a value that a JMESPath expression may visit, times the length of the expression.
const JMESPATH_NODES_MAX: usize = 200_000;

fn jmespath(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = args.need_text("expression")?;
    let brackets = text.bytes().filter(|b| matches!(b, b'(' | b'[' | b'{' | b'!' | b'&' | b'|')).count();
    if text.len() > JMESPATH_MAX.0 || brackets > JMESPATH_MAX.1 {
        return Err(Fault::Argument { operator: args.operator, what: "the expression is too large" });
    }
    let parsed = match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let value = parsed.as_ref().unwrap_or(value);
    let nodes = count_nodes(value, JMESPATH_NODES_MAX);
    if nodes >= JMESPATH_NODES_MAX {
        return Err(Fault::Budget { limit: JMESPATH_NODES_MAX as u64, unit: "nodes of a value" });
    }
    env.budget.steps(nodes.saturating_mul(brackets + 1))?;
    let expression = jmespath::compile(&text).map_err(|_| Fault::Argument { operator: args.operator, what: "not a JMESPath expression" })?;
    let found = expression.search(value).map_err(|_| Fault::Raised { operator: args.operator, what: "the expression does not fit the value" })?;
    Ok(serde_json::to_value(&*found).unwrap_or(Value::Null))
}

fn count_nodes(value: &Value, limit: usize) -> usize {
    let mut ahead = vec![value];
    let mut count = 0;
    while let Some(value) = ahead.pop() {
        count += 1;
        if count >= limit {
            break;
        }
        match value {
            Value::Array(items) => ahead.extend(items),
            Value::Object(members) => ahead.extend(members.values()),
            _ => {}
        }
    }
    count
}

fn where_field_equals(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let (field, wanted) = (args.need_text("field")?, args.get("equalTo").cloned().unwrap_or(Value::Null));
    let parsed = match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    };
    let pick = args.text("getField")?.filter(|field| !field.is_empty());
    let mut found = Vec::new();
    for item in into_list(parsed) {
        env.budget.steps(1)?;
        // As Python compares: a text never equals a number.
        let hit = item.as_object().and_then(|members| members.get(&field)).is_some_and(|member| equal(member, &wanted));
        if hit {
            found.push(match &pick {
                Some(pick) => item.get(pick).cloned().unwrap_or(Value::Null),
                None => item,
            });
        }
    }
    if found.len() == 1 {
        return Ok(found.pop().unwrap_or(Value::Null));
    }
    super::made(Value::Array(found).to_string(), env)
}

fn values_of_fields(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let mut out: Vec<Value> = into_list(value.clone()).into_iter().filter(|item| !is_falsy(item)).collect();
    let key = args.get("key").cloned().unwrap_or(Value::Null);
    for object in into_list(key) {
        for name in args.get("list").map(arg_texts).unwrap_or_default() {
            env.budget.steps(1)?;
            let member = object.get(&name).cloned().unwrap_or(Value::Null);
            let members = into_list(member).into_iter().filter(|item| !is_falsy(item));
            out.extend(members);
            env.budget.bytes(out.len())?;
        }
    }
    Ok(Value::Array(out))
}

/// Characters of a key that count.
const KEY_CHARS: usize = 255;

/// The key of a table's column: first 255 characters, letters and digits only, lower case.
pub fn column_key(key: &str) -> String {
    key.chars().take(KEY_CHARS).filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn convert_keys(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Value::Object(members) = value else { return args.raise("the input is not an object") };
    env.budget.bytes(members.len() * 32)?;
    Ok(Value::Object(members.iter().map(|(key, value)| (column_key(key), value.clone())).collect::<Map<_, _>>()))
}

fn key_of(item: &Value, keys: &[String], env: &Env<'_>) -> Result<Vec<Value>, Fault> {
    keys.iter().map(|key| item.get(key).cloned().map_or_else(|| Dt::plain(key).evaluate(item, &env.budget), Ok)).collect()
}

fn sort_by(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let keys = args.get("keys").map(arg_texts).unwrap_or_default();
    let descending = args.get("descending_keys").map(arg_texts).unwrap_or_default();
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        keyed.push((key_of(item, &keys, env)?, item.clone()));
    }
    keyed.sort_by(|(a, _), (b, _)| {
        let each = a.iter().zip(b).zip(&keys).map(|((a, b), key)| {
            let order = order(a, b);
            if descending.contains(key) || descending.iter().any(|all| all == "*") { order.reverse() } else { order }
        });
        each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    Ok(Value::Array(keyed.into_iter().map(|(_, item)| item).collect()))
}

/// Null first, then numbers, then texts.
fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    let rank = |value: &Value| match value {
        Value::Null => (0, 0.0, String::new()),
        Value::Number(number) => (1, number.as_f64().unwrap_or_default(), String::new()),
        other => (2, 0.0, text_of(other)),
    };
    let (a, b) = (rank(a), rank(b));
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
}

fn dedup_by(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let keys = args.get("keys").map(arg_texts).unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for item in items {
        let key = sorted_json(&Value::Array(key_of(item, &keys, env)?));
        env.budget.bytes(key.len())?;
        if seen.insert(key) {
            kept.push(item.clone());
        }
    }
    Ok(Value::Array(kept))
}

/// The nth object of one list takes the members of the nth of the other.
fn merge_lists(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let mut items = into_list(value.clone());
    let others = args.get("merge_with").cloned().map(parse_text).map(into_list).unwrap_or_default();
    let keep = args.text_or("conflict", "")? == "skip";
    for (number, other) in others.into_iter().enumerate() {
        env.budget.steps(1)?;
        match (items.get_mut(number), other) {
            (Some(Value::Object(to)), Value::Object(from)) => {
                for (key, value) in from {
                    if !(keep && to.contains_key(&key)) {
                        to.insert(key, value);
                    }
                }
            }
            (Some(_), _) => {}
            (None, other) => items.push(other),
        }
    }
    Ok(Value::Array(items))
}

fn parse_text(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

fn make_pair(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let (first, second) = (into_list(value.clone()), args.get("array2").cloned().map(into_list).unwrap_or_default());
    let (one, two) = (args.text_or("array1_key", "")?, args.text_or("array2_key", "")?);
    let length = match args.text_or("determine_output_length_by", "shorter")?.as_str() {
        "longer" => first.len().max(second.len()),
        "array1" => first.len(),
        "array2" => second.len(),
        _ => first.len().min(second.len()),
    };
    env.budget.bytes(length * 64)?;
    let at = |list: &[Value], number: usize| list.get(number).cloned().unwrap_or(Value::Null);
    let pair = |number: usize| {
        let (a, b) = (at(&first, number), at(&second, number));
        if one.is_empty() || two.is_empty() { Value::Array(vec![a, b]) } else { serde_json::json!({&one: a, &two: b}) }
    };
    Ok(Value::Array((0..length).map(pair).collect()))
}

fn ignore_fields(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let ignored = args.get("ignored_fields").map(arg_texts).unwrap_or_default();
    let mut items = into_list(parse_text(value.clone()));
    for item in &mut items {
        if let Value::Object(members) = item {
            members.retain(|key, _| !ignored.contains(key));
        }
    }
    Ok(if value.is_array() { Value::Array(items) } else { unwrap_list(items) })
}
