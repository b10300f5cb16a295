//! Transformers that map values by tables.

use serde_json::{Map, Value};

use super::Takes::{AnyItem, Whole};
use super::{Args, Transformer, made, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::pattern::{Dialect, Flags, compile};
use crate::expr::xsoar::value::{arg_list, arg_texts, as_number, number_value, spaced_json, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("MapValuesTransformer", Whole, &["input_values", "mapped_values"], &[], map_values),
    row("MapRangeValues", AnyItem, &["map_from", "map_to"], &["sep"], map_ranges),
    row(
        "MapPattern",
        AnyItem,
        &["mappings"],
        &["algorithm", "caseless", "priority", "context", "flags", "compare_fields", "wildcards", "default_value"],
        map_pattern,
    ),
];

/// A pair of equal rank is mapped; an object is mapped member by member, its pairs written `key: value`.
fn map_values(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let (from, to) = (args.get("input_values").map(arg_texts).unwrap_or_default(), args.get("mapped_values").map(arg_list).unwrap_or_default());
    if from.len() != to.len() {
        return args.raise("the numbers of input and mapped values differ");
    }
    env.budget.steps(from.len() + 1)?;
    let find = |text: &str| from.iter().position(|known| known == text).and_then(|at| to.get(at));
    let parsed = match value {
        Value::String(text) if text.starts_with('{') => serde_json::from_str::<Value>(text).ok().filter(Value::is_object),
        _ => None,
    };
    match parsed.as_ref().unwrap_or(value) {
        Value::Object(members) => {
            let mut out = Map::new();
            for (key, member) in members {
                let pairs = [format!("{key}: {}", text_of(member)), format!("{key}:{}", text_of(member))];
                out.insert(key.clone(), pairs.iter().find_map(|pair| find(pair)).unwrap_or(member).clone());
            }
            made(spaced_json(&Value::Object(out)), env)
        }
        Value::Array(items) => Ok(Value::Array(items.iter().map(|item| find(&text_of(item)).unwrap_or(item).clone()).collect())),
        Value::Null => Ok(Value::Null),
        scalar => Ok(find(&text_of(scalar)).unwrap_or(scalar).clone()),
    }
}

fn read_number(text: &str) -> Value {
    as_number(&Value::from(text.trim())).map_or_else(|| Value::from(text.trim()), number_value)
}

fn map_ranges(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let separator = args.text_or("sep", ",")?;
    let parts = |name: &str| -> Result<Vec<String>, Fault> {
        let text = args.need_text(name)?;
        Ok(if separator.is_empty() { vec![text] } else { text.split(separator.as_str()).map(|part| part.trim().to_owned()).collect() })
    };
    let (from, to) = (parts("map_from")?, parts("map_to")?);
    if from.len() != to.len() {
        return args.raise("the numbers of values to map from and to differ");
    }
    env.budget.steps(from.len() + 1)?;
    let text = text_of(value);
    let number = as_number(value);
    let hit = |known: &String| {
        if known.trim() == text.trim() {
            return true;
        }
        let Some(number) = number else { return false };
        // A range is `a-b`; a minus in front belongs to the number.
        let split =
            known.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| (known.get(..at).unwrap_or_default(), known.get(at + 1..).unwrap_or_default()));
        match split {
            Some((low, high)) => {
                let bounds = as_number(&Value::from(low)).zip(as_number(&Value::from(high)));
                bounds.is_some_and(|(low, high)| low <= number && number <= high)
            }
            None => as_number(&Value::from(known.as_str())) == Some(number),
        }
    };
    Ok(match from.iter().position(hit).and_then(|at| to.get(at)) {
        Some(mapped) => read_number(mapped),
        None => read_number(&text),
    })
}

fn map_pattern(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let mappings = match args.get("mappings") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.cloned().unwrap_or(Value::Null),
    };
    let algorithm = args.text_or("algorithm", "literal")?;
    let caseless = args.flag("caseless", true);
    let text = text_of(value);
    let pairs: Vec<(String, Value)> = match mappings {
        Value::Object(members) => members.into_iter().collect(),
        Value::Array(items) => {
            items.iter().filter_map(|item| Some((item.get("pattern")?.as_str()?.to_owned(), item.get("output").cloned().unwrap_or(Value::Null)))).collect()
        }
        _ => return args.raise("`mappings` is not JSON"),
    };
    for (pattern, output) in pairs {
        env.budget.steps(text.len() / 16 + 1)?;
        let regex = match algorithm.as_str() {
            "regex" | "regmatch" => pattern.clone(),
            "wildcard" => regex::escape(&pattern).replace(r"\*", ".*").replace(r"\?", "."),
            _ => regex::escape(&pattern),
        };
        let flags = Flags { ignore_case: caseless, multi_line: false, dot_all: true };
        let compiled = compile(&format!("^(?:{regex})$"), Dialect::Python, flags, args.operator)?;
        if !value.is_null() && compiled.is_match(&text)? {
            return Ok(match output {
                Value::Object(members) if members.contains_key("output") => members.get("output").cloned().unwrap_or(Value::Null),
                other => other,
            });
        }
    }
    Ok(args.get("default_value").unwrap_or(value).clone())
}
