//! Transformers that choose: defaults, conditions.

use serde_json::Value;

use super::Takes::{AnyItem, Whole};
use super::{Args, Transformer, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::value::{arg_list, arg_texts, equal, is_empty, is_falsy, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("SetIfEmpty", Whole, &["defaultValue"], &["applyIfEmpty"], set_if_empty),
    row("ConvertAllExcept", AnyItem, &["convertTo"], &["except"], convert_all_except),
    row(
        "If-Then-Else",
        Whole,
        &[],
        &["equals", "then", "else", "condition", "conditionB", "lhs", "rhs", "options", "lhsB", "rhsB", "optionsB", "operator", "conditionInBetween"],
        if_then_else,
    ),
    row("If-Elif", Whole, &[], &["conditions", "flags", "variables"], if_elif),
    row("GetListContent", AnyItem, &[], &[], list_content),
    row("FormatTemplate", Whole, &[], &["template", "variable_markers", "template_type", "variables", "keep_symbol_to_null"], format_template),
];

fn set_if_empty(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let default = || Ok(args.get("defaultValue").cloned().unwrap_or(Value::Null));
    if value.is_null() {
        return default();
    }
    if !args.flag("applyIfEmpty", true) {
        return Ok(value.clone());
    }
    // One item alone stands for itself in the test.
    let tested = match value {
        Value::Array(items) if items.len() == 1 => items.first().unwrap_or(value),
        other => other,
    };
    let word = matches!(tested, Value::String(text) if text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("null"));
    if is_empty(tested) || word { default() } else { Ok(value.clone()) }
}

fn convert_all_except(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let except = args.get("except").map(arg_list).unwrap_or_default();
    let kept = !value.is_null() && except.iter().any(|known| equal(known, value) || text_of(known) == text_of(value));
    Ok(if kept { value.clone() } else { args.get("convertTo").cloned().unwrap_or(Value::Null) })
}

fn if_then_else(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    // An argument that is not given stands for the value.
    let or_value = |name: &str| args.get(name).cloned().unwrap_or_else(|| value.clone());
    let options = args.get("options").map(arg_texts).unwrap_or_default();
    let fold = options.iter().any(|option| option.eq_ignore_ascii_case("case-insensitive"));
    let test = match (args.get("equals"), args.text("condition")?) {
        (_, Some(condition)) if !condition.is_empty() => {
            let (left, right) = (or_value("lhs"), or_value("rhs"));
            super::condition::compare(&condition, &left, &right, fold, env)?
        }
        (Some(wanted), _) => super::condition::compare("==", &args.get("lhs").cloned().unwrap_or_else(|| value.clone()), wanted, fold, env)?,
        (None, _) => match (args.get("lhs"), args.get("rhs")) {
            (None, None) => !is_falsy(value),
            _ => super::condition::compare("==", &or_value("lhs"), &or_value("rhs"), fold, env)?,
        },
    };
    Ok(or_value(if test { "then" } else { "else" }))
}

fn if_elif(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let conditions = match args.get("conditions") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.cloned().unwrap_or(Value::Null),
    };
    let Value::Array(conditions) = conditions else { return args.raise("`conditions` is not a JSON list") };
    let flags = args.get("flags").map(arg_texts).unwrap_or_default();
    for entry in &conditions {
        let result = match (entry.get("condition").and_then(Value::as_str), entry.get("default")) {
            (Some(condition), _) => match super::condition::holds(condition, value, &flags, env)? {
                true => entry.get("return"),
                false => continue,
            },
            (None, default) => default,
        };
        return match result {
            Some(Value::String(text)) if text.starts_with("#{") && text.ends_with('}') => {
                let path = text.get(2..text.len() - 1).unwrap_or_default();
                crate::expr::xsoar::path::Dt::plain(path).evaluate(value, &env.budget)
            }
            Some(Value::String(text)) if text == "#VALUE" => Ok(value.clone()),
            other => Ok(other.cloned().unwrap_or(Value::Null)),
        };
    }
    Ok(Value::Null)
}

fn list_content(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    match env.list(&text_of(value)) {
        Some(content) => Ok(content),
        None => args.raise("there is no such list"),
    }
}

/// `${path}` in a text, read from the value (`template` given) or from the context.
fn format_template(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let template = match args.text("template")? {
        Some(template) => template,
        None => text_of(value),
    };
    let markers = args.text_or("variable_markers", "${,}")?;
    let (open, close) = markers.split_once(',').unwrap_or((markers.as_str(), ""));
    if open.is_empty() || close.is_empty() {
        return args.raise("`variable_markers` are two texts with a comma between");
    }
    let root = if args.get("template").is_some() { value } else { env.context };
    let mut out = String::new();
    let mut rest = template.as_str();
    while let Some(at) = rest.find(open) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + open.len()..).unwrap_or_default();
        let Some(end) = after.find(close) else { break };
        let found = crate::expr::xsoar::path::Dt::plain(after.get(..end).unwrap_or_default()).evaluate(root, &env.budget)?;
        let found = text_of(&found);
        env.budget.bytes(found.len())?;
        out.push_str(&found);
        rest = after.get(end + close.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    super::made(out, env)
}
