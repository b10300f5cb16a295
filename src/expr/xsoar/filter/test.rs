//! The built-in tests.

use serde_json::Value;

use super::Takes::{Any, AnyNegated, Whole};
use super::{Filter, Sides, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::pattern::{Dialect, Flags, compile};
use crate::expr::xsoar::transform::date::moment;
use crate::expr::xsoar::value::{as_flag, as_number, cast_number, equal, into_list, is_empty, scalar_text};

/// The filters of this file.
pub const TABLE: &[Filter] = &[
    row("isEqualString", Any, false, |s, _| texts(s, |a, b| a == b)),
    row("isNotEqualString", AnyNegated, false, |s, _| texts(s, |a, b| a != b)),
    row("containsString", Any, false, |s, _| texts(s, |a, b| a.contains(b))),
    row("notContainsString", AnyNegated, false, |s, _| texts(s, |a, b| !a.contains(b))),
    row("startWith", Any, false, |s, _| texts(s, |a, b| a.starts_with(b))),
    row("notStartWith", AnyNegated, false, |s, _| texts(s, |a, b| !a.starts_with(b))),
    row("endWith", Any, false, |s, _| texts(s, |a, b| a.ends_with(b))),
    row("notEndWith", AnyNegated, false, |s, _| texts(s, |a, b| !a.ends_with(b))),
    row("match", Any, false, matches),
    row("stringHasLength", Any, false, has_text_length),
    row("inList", Any, false, |s, _| in_list(s)),
    row("notInList", AnyNegated, false, |s, _| in_list(s).map(|held| !held)),
    row("isEqualNumber", Any, false, |s, _| numbers(s, |a, b| a == b)),
    row("isNotEqualNumber", AnyNegated, false, |s, _| numbers(s, |a, b| a != b)),
    row("greaterThan", Any, false, |s, _| numbers(s, |a, b| a > b)),
    row("greaterThanOrEqual", Any, false, |s, _| numbers(s, |a, b| a >= b)),
    row("lessThan", Any, false, |s, _| numbers(s, |a, b| a < b)),
    row("lessThanOrEqual", Any, false, |s, _| numbers(s, |a, b| a <= b)),
    row("isBefore", Any, false, |s, env| dates(s, env, |a, b| a < b)),
    row("isAfter", Any, false, |s, env| dates(s, env, |a, b| a > b)),
    row("isSame", Any, false, |s, env| dates(s, env, |a, b| a == b)),
    row("isTrue", Any, true, |s, _| Ok(as_flag(s.left) == Some(true))),
    row("isFalse", Any, true, |s, _| Ok(as_flag(s.left) == Some(false))),
    row("isExists", Whole, true, |s, _| Ok(!s.left.is_null())),
    row("isNotExists", Whole, true, |s, _| Ok(s.left.is_null())),
    row("isEmpty", Whole, true, |s, _| Ok(is_empty(s.left))),
    row("isNotEmpty", Whole, true, |s, _| Ok(!is_empty(s.left))),
    row("containsGeneral", Whole, false, contains),
    row("notContainsGeneral", Whole, false, |s, env| contains(s, env).map(|held| !held)),
    row("in", Whole, false, within),
    row("notIn", Whole, false, |s, env| within(s, env).map(|held| !held)),
    row("hasLength", Whole, false, has_length),
];

fn text(value: &Value, sides: &Sides<'_>) -> Result<String, Fault> {
    let text = scalar_text(value).ok_or(Fault::Cast { operator: sides.operator, wanted: "text" })?;
    Ok(if sides.ignore_case { text.to_lowercase() } else { text })
}

fn texts(sides: &Sides<'_>, test: fn(&str, &str) -> bool) -> Result<bool, Fault> {
    Ok(test(&text(sides.left, sides)?, &text(sides.right, sides)?))
}

fn numbers(sides: &Sides<'_>, test: fn(f64, f64) -> bool) -> Result<bool, Fault> {
    Ok(test(cast_number(sides.left, sides.operator)?, cast_number(sides.right, sides.operator)?))
}

fn dates(sides: &Sides<'_>, env: &Env<'_>, test: fn(i64, i64) -> bool) -> Result<bool, Fault> {
    let read = |value: &Value| moment(value, env).map(|moment| moment.utc_us()).ok_or(Fault::Cast { operator: sides.operator, wanted: "a date" });
    Ok(test(read(sides.left)?, read(sides.right)?))
}

fn matches(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let left = scalar_text(sides.left).ok_or(Fault::Cast { operator: sides.operator, wanted: "text" })?;
    let right = scalar_text(sides.right).ok_or(Fault::Cast { operator: sides.operator, wanted: "text" })?;
    env.budget.steps(left.len() / 16 + 1)?;
    compile(&right, Dialect::Go, Flags { ignore_case: sides.ignore_case, ..Flags::default() }, sides.operator)?.is_match(&left)
}

fn has_text_length(sides: &Sides<'_>, _: &Env<'_>) -> Result<bool, Fault> {
    let left = text(sides.left, sides)?.chars().count();
    Ok(match as_number(sides.right) {
        Some(length) => left as f64 == length,
        // The documentation compares the lengths of two texts.
        None => left == text(sides.right, sides)?.chars().count(),
    })
}

/// Items of a list, or of a text with commas; trimmed.
fn listed(sides: &Sides<'_>) -> Result<Vec<String>, Fault> {
    match sides.right {
        Value::Array(items) => items.iter().map(|item| Ok(text(item, sides)?.trim().to_owned())).collect(),
        other => Ok(text(other, sides)?.split(',').map(|item| item.trim().to_owned()).collect()),
    }
}

fn in_list(sides: &Sides<'_>) -> Result<bool, Fault> {
    let left = text(sides.left, sides)?;
    Ok(listed(sides)?.contains(&left))
}

/// An item equals the right side, or is a text that holds it.
fn contains(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    if sides.left.is_null() || sides.right.is_null() {
        return Ok(false);
    }
    let wanted = text(sides.right, sides).ok();
    for item in into_list(sides.left.clone()) {
        env.budget.steps(1)?;
        let holds = match (text(&item, sides).ok(), &wanted) {
            (Some(item), Some(wanted)) => item.contains(wanted.as_str()),
            _ => equal(&item, sides.right),
        };
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same(a: &Value, b: &Value, sides: &Sides<'_>) -> bool {
    equal(a, b) || matches!((text(a, sides), text(b, sides)), (Ok(a), Ok(b)) if a == b)
}

/// An item of the left side is one of the right side.
fn within(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let right: Vec<Value> = match sides.right {
        Value::Object(members) => members.keys().map(|key| Value::from(key.as_str())).collect(),
        other => into_list(other.clone()),
    };
    for item in into_list(sides.left.clone()) {
        env.budget.steps(right.len() + 1)?;
        if right.iter().any(|known| same(&item, known, sides)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_length(sides: &Sides<'_>, _: &Env<'_>) -> Result<bool, Fault> {
    let length = match sides.left {
        Value::Null => 0,
        Value::Array(items) => items.len(),
        _ => 1,
    };
    Ok(length as f64 == cast_number(sides.right, sides.operator)?)
}
