//! Transformers of lists.

use serde_json::Value;

use super::Takes::Whole;
use super::{Args, Transformer, made, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::value::{arg_list, equal, into_list, is_empty, is_falsy, sorted_json, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("uniq", Whole, &[], &[], uniq),
    row("join", Whole, &[], &["separator"], join),
    row("append", Whole, &["item"], &[], append),
    row("AppendIfNotEmpty", Whole, &[], &["item", "raw"], append_if_not_empty),
    row("atIndex", Whole, &["index"], &[], at_index),
    row("count", Whole, &[], &[], |value, _, _| Ok(Value::from(count(value)))),
    row("slice", Whole, &[], &["from", "to"], slice),
    row("sliceByItem", Whole, &[], &["from", "to"], slice_by_item),
    row("splice", Whole, &["index"], &["deleteCount", "item"], splice),
    row("indexOf", Whole, &["item"], &["fromLast"], index_of),
    row("sort", Whole, &[], &["descending"], sort),
    row("FirstArrayElement", Whole, &[], &[], |value, _, _| Ok(end_of(value, <[Value]>::first))),
    row("LastArrayElement", Whole, &[], &[], |value, _, _| Ok(end_of(value, <[Value]>::last))),
    row("GetFirstObject", Whole, &[], &[], |value, _, _| Ok(end_of(value, <[Value]>::first))),
    row("ReverseList", Whole, &[], &[], reverse),
    row("JoinIfSingleElementOnly", Whole, &[], &[], single),
    row("ConvertToSingleElementArray", Whole, &[], &[], to_list),
    row("ProductJoin", Whole, &["list2"], &["join"], product_join),
    row("StringifyArray", Whole, &[], &[], |value, _, env| made(sorted_json(&Value::Array(into_list(value.clone()))), env)),
    row("StringToArray", Whole, &[], &[], string_to_array),
    row("GetRange", Whole, &["range"], &[], get_range),
    row("RemoveEmpty", Whole, &[], &["empty_values"], remove_empty),
    row("RemoveMatches", Whole, &["filters"], &["ignore_case"], remove_matches),
];

fn uniq(value: &Value, _: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for item in items {
        let key = uniq_key(item);
        env.budget.bytes(key.len())?;
        if seen.insert(key) {
            kept.push(item.clone());
        }
    }
    Ok(Value::Array(kept))
}

/// Equal values have equal keys: numbers by value, members in any order.
fn uniq_key(value: &Value) -> String {
    match value {
        Value::Number(_) => text_of(value),
        Value::Array(_) | Value::Object(_) => sorted_json(value),
        other => other.to_string(),
    }
}

fn join(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let separator = args.text_or("separator", "")?;
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => {
            env.budget.bytes(separator.len().saturating_mul(items.len()))?;
            made(items.iter().map(item_text).collect::<Vec<_>>().join(&separator), env)
        }
        other => made(item_text(other), env),
    }
}

/// Items that are lists or objects are JSON.
fn item_text(item: &Value) -> String {
    if matches!(item, Value::Array(_)) { item.to_string() } else { text_of(item) }
}

fn append(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Some(item) = args.get("item") else { return Ok(value.clone()) };
    let mut items = into_list(value.clone());
    items.extend(into_list(item.clone()));
    env.budget.bytes(items.len() * 16)?;
    Ok(Value::Array(items))
}

fn append_if_not_empty(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let mut items = if is_falsy(value) { Vec::new() } else { into_list(value.clone()) };
    if let Some(item) = args.get("item").filter(|item| !is_empty(item)) {
        items.extend(if args.flag("raw", false) { into_list(item.clone()) } else { arg_list(item) });
    }
    env.budget.bytes(items.len() * 16)?;
    Ok(Value::Array(items))
}

fn at_index(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let index = args.need_number("index")?;
    let items = into_list(value.clone());
    let found = (index >= 0.0).then(|| items.get(index as usize)).flatten();
    Ok(found.cloned().unwrap_or(Value::Null))
}

fn count(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Array(items) => items.len(),
        _ => 1,
    }
}

fn slice(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let bound = |number: Option<f64>, default: usize| number.map_or(default, |number| (number.max(0.0) as usize).min(items.len()));
    let from = bound(args.number("from")?, 0);
    let to = bound(args.number("to")?, items.len()).max(from);
    Ok(Value::Array(items.get(from..to).unwrap_or_default().to_vec()))
}

/// The place of an item; a text argument finds a number too.
fn place(items: &[Value], wanted: &Value) -> Option<usize> {
    items.iter().position(|item| same_item(item, wanted))
}

fn same_item(item: &Value, wanted: &Value) -> bool {
    equal(item, wanted) || !matches!(item, Value::Object(_) | Value::Array(_)) && text_of(item) == text_of(wanted)
}

fn slice_by_item(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let from = match args.get("from") {
        Some(wanted) => place(items, wanted).unwrap_or(items.len()),
        None => 0,
    };
    let rest = items.get(from..).unwrap_or_default();
    let to = args.get("to").and_then(|wanted| place(rest, wanted)).unwrap_or(rest.len());
    Ok(Value::Array(rest.get(..to).unwrap_or_default().to_vec()))
}

fn splice(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let mut items = into_list(value.clone());
    let index = (args.need_number("index")?.max(0.0) as usize).min(items.len());
    let count = args.number("deleteCount")?.unwrap_or(0.0).max(0.0) as usize;
    let end = index.saturating_add(count).min(items.len());
    // Removed at the index, added after it: in `a,b,c,d` index 2 gives `a,b,c,w,d`.
    let kept = usize::from(count == 0 && index < items.len());
    items.drain(index..end);
    if let Some(item) = args.get("item") {
        items.insert(index + kept, item.clone());
    }
    Ok(Value::Array(items))
}

fn index_of(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let items = into_list(value.clone());
    let wanted = args.get("item").cloned().unwrap_or(Value::Null);
    let found = if args.flag("fromLast", false) { items.iter().rposition(|item| same_item(item, &wanted)) } else { place(&items, &wanted) };
    Ok(found.map_or(Value::from(-1), Value::from))
}

fn sort(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let Value::Array(items) = value else { return Ok(value.clone()) };
    let mut items = items.clone();
    env.budget.steps(items.len())?;
    // Numbers by value and before texts, texts byte by byte.
    let key = |item: &Value| match item {
        Value::Number(number) => (0, number.as_f64().unwrap_or_default(), String::new()),
        other => (1, 0.0, text_of(other)),
    };
    items.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
    });
    if args.flag("descending", false) {
        items.reverse();
    }
    Ok(Value::Array(items))
}

fn end_of(value: &Value, pick: fn(&[Value]) -> Option<&Value>) -> Value {
    match value {
        Value::Array(items) => pick(items).unwrap_or(value).clone(),
        other => other.clone(),
    }
}

fn reverse(value: &Value, _: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    Ok(match value {
        Value::Array(items) => Value::Array(items.iter().rev().cloned().collect()),
        other => other.clone(),
    })
}

fn single(value: &Value, _: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    Ok(match value {
        Value::Array(items) if items.len() == 1 => items.first().cloned().unwrap_or(Value::Null),
        other => other.clone(),
    })
}

fn to_list(value: &Value, _: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    Ok(match value {
        Value::Array(_) => value.clone(),
        other if is_falsy(other) => Value::Array(Vec::new()),
        other => Value::Array(vec![other.clone()]),
    })
}

fn product_join(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let (first, second) = (arg_list(value), args.get("list2").map(arg_list).unwrap_or_default());
    let between = args.text_or("join", "=")?;
    env.budget.steps(first.len().saturating_mul(second.len()))?;
    let mut out = Vec::new();
    for a in &first {
        for b in &second {
            let text = format!("{}{between}{}", text_of(a), text_of(b));
            env.budget.bytes(text.len() + 32)?;
            out.push(Value::String(text));
        }
    }
    Ok(Value::Array(out))
}

fn string_to_array(value: &Value, _: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    Ok(match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Array(items)) => Value::Array(items),
            _ => Value::Array(vec![value.clone()]),
        },
        other => Value::Array(into_list(other.clone())),
    })
}

fn get_range(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let items = into_list(value.clone());
    let mut out = Vec::new();
    for part in args.need_text("range")?.split(',') {
        let number = |text: &str, open: usize| if text.trim().is_empty() { Some(open) } else { text.trim().parse::<usize>().ok() };
        let range = match part.split_once('-') {
            Some((from, to)) => number(from, 0).zip(number(to, items.len())),
            None => number(part, usize::MAX).map(|index| (index, index)),
        };
        let Some((from, to)) = range else { return args.raise("a range is `from-to` or an index") };
        let end = to.saturating_add(1).min(items.len());
        let part = items.get(from.min(end)..end).unwrap_or_default();
        env.budget.bytes(part.len() * 32)?;
        out.extend_from_slice(part);
    }
    Ok(Value::Array(out))
}

fn remove_empty(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let also: Vec<String> = args.get("empty_values").map(crate::expr::xsoar::value::arg_texts).unwrap_or_default();
    let keep = |item: &Value| !is_empty(item) && !also.iter().any(|text| item.as_str() == Some(text));
    Ok(match value {
        Value::Array(items) => Value::Array(items.iter().filter(|item| keep(item)).cloned().collect()),
        other if keep(other) => Value::Array(vec![other.clone()]),
        _ => Value::Array(Vec::new()),
    })
}

fn remove_matches(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    use crate::expr::xsoar::pattern::{Dialect, Flags, compile};
    let flags = Flags { ignore_case: args.flag("ignore_case", true), ..Flags::default() };
    let patterns: Vec<_> = args
        .get("filters")
        .map(crate::expr::xsoar::value::arg_texts)
        .unwrap_or_default()
        .iter()
        .map(|pattern| compile(pattern, Dialect::Python, flags, "RemoveMatches"))
        .collect::<Result<_, _>>()?;
    let mut kept = Vec::new();
    for item in into_list(value.clone()) {
        let text = text_of(&item);
        let mut hit = false;
        for pattern in &patterns {
            env.budget.steps(text.len() / 16 + 1)?;
            hit |= pattern.is_match(&text)?;
        }
        if !hit {
            kept.push(item);
        }
    }
    Ok(Value::Array(kept))
}
