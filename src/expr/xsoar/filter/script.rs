//! Tests that are scripts of the product, but those of networks.

use serde_json::Value;

use super::Takes::{Any, Whole};
use super::{Filter, Sides, row};
use crate::expr::xsoar::dates::{Moment, relative};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::transform::date::moment;
use crate::expr::xsoar::value::{arg_list, as_number, equal, into_list, is_falsy, text_of};

/// The filters of this file.
pub const TABLE: &[Filter] = &[
    row("StringContainsArray", Whole, false, contains_array),
    row("InRange", Any, false, in_range),
    row("AnyMatch", Whole, false, any_match),
    row("ArrayAnyMatch", Whole, false, array_any_match),
    row("AfterRelativeDate", Any, false, |s, env| relative_date(s, env).map(|order| order == Some(std::cmp::Ordering::Greater))),
    row("BeforeRelativeDate", Any, false, |s, env| relative_date(s, env).map(|order| order == Some(std::cmp::Ordering::Less))),
];

/// The left text holds an item of the right side; a list on the left holds it as an item.
fn contains_array(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    if is_falsy(sides.left) || is_falsy(sides.right) {
        return Ok(false);
    }
    let right = into_list(sides.right.clone());
    env.budget.steps(right.len() + 1)?;
    Ok(match sides.left {
        Value::Array(items) => right.iter().any(|wanted| items.iter().any(|item| equal(item, wanted))),
        left => {
            let left = text_of(left);
            right.iter().any(|wanted| left.contains(&text_of(wanted)))
        }
    })
}

fn in_range(sides: &Sides<'_>, _: &Env<'_>) -> Result<bool, Fault> {
    let right = text_of(sides.right);
    let bounds = right.split_once(',').and_then(|(from, to)| as_number(&Value::from(from)).zip(as_number(&Value::from(to))));
    Ok(as_number(sides.left).zip(bounds).is_some_and(|(number, (from, to))| from <= number && number <= to))
}

/// Items without the single quotes around them, in lower case. Double quotes count.
fn unquoted(value: &Value) -> Vec<String> {
    let strip = |text: String| text.trim().trim_matches('\'').to_lowercase();
    arg_list(value).iter().map(text_of).map(strip).collect()
}

fn any_match(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let (left, right) = (unquoted(sides.left), unquoted(sides.right));
    env.budget.steps(left.len().saturating_mul(right.len()) + 1)?;
    Ok(right.iter().any(|wanted| left.iter().any(|item| item.contains(wanted.as_str()))))
}

fn array_any_match(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let (left, right) = (arg_list(sides.left), arg_list(sides.right));
    env.budget.steps(left.len().saturating_mul(right.len()) + 1)?;
    let same = |a: &Value, b: &Value| equal(a, b) || text_of(a).eq_ignore_ascii_case(&text_of(b));
    Ok(left.iter().any(|item| right.iter().any(|wanted| same(item, wanted))))
}

/// How the left date stands to a time such as `6 months ago`; `None` where one cannot be read.
fn relative_date(sides: &Sides<'_>, env: &Env<'_>) -> Result<Option<std::cmp::Ordering>, Fault> {
    let right = text_of(sides.right);
    let bound = match relative::parse(&right) {
        Some(shift) => Moment { local_us: env.now(sides.operator)?, offset_s: Some(0) }.shifted(shift),
        None => None,
    };
    let bound = bound.or_else(|| moment(sides.right, env));
    Ok(moment(sides.left, env).zip(bound).map(|(at, bound)| at.utc_us().cmp(&bound.utc_us())))
}
