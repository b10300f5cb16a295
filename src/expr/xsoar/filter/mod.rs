//! All filters: names, aliases, and what they test.

use serde_json::Value;

use super::env::Env;
use super::fault::Fault;
use super::transform::strip_category;

pub mod net;
pub mod script;
pub mod test;

/// The two sides of a test. A missing value is null.
pub struct Sides<'a> {
    /// The operator, for messages.
    pub operator: &'static str,
    /// The left side.
    pub left: &'a Value,
    /// The right side.
    pub right: &'a Value,
    /// Texts are compared without regard to case.
    pub ignore_case: bool,
}

/// What a filter tests.
pub type Run = fn(&Sides<'_>, &Env<'_>) -> Result<bool, Fault>;

/// How a filter takes a list on its left side, and a missing value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Passes when an item passes; false when a side is missing.
    Any,
    /// The same, for negated tests: true when a side is missing.
    AnyNegated,
    /// The value as a whole.
    Whole,
}

/// A filter.
#[derive(Debug)]
pub struct Filter {
    /// Its modern name.
    pub name: &'static str,
    /// How it takes its left side.
    pub takes: Takes,
    /// It has no right side.
    pub unary: bool,
    /// What it tests.
    pub run: Run,
}

/// A row of the table.
pub const fn row(name: &'static str, takes: Takes, unary: bool, run: Run) -> Filter {
    Filter { name, takes, unary, run }
}

/// Legacy names that are not just a modern name with a prefix.
const LEGACY: [(&str, &str); 18] = [
    ("string.isEqual", "isEqualString"),
    ("string.isNotEqual", "isNotEqualString"),
    ("string.contains", "containsString"),
    ("string.notContains", "notContainsString"),
    ("string.hasLength", "stringHasLength"),
    ("number.isEqual", "isEqualNumber"),
    ("number.isNotEqual", "isNotEqualNumber"),
    ("general.contains", "containsGeneral"),
    ("general.notContains", "notContainsGeneral"),
    ("string.startsWith", "startWith"),
    ("string.endsWith", "endWith"),
    ("string.notStartsWith", "notStartWith"),
    ("string.notEndsWith", "notEndWith"),
    ("startsWith", "startWith"),
    ("endsWith", "endWith"),
    ("isEqual", "isEqualString"),
    ("isNotEqual", "isNotEqualString"),
    ("contains", "containsString"),
];

/// Finds a filter by any of its names.
pub fn find(name: &str) -> Option<&'static Filter> {
    let legacy = LEGACY.iter().find(|(legacy, _)| legacy.eq_ignore_ascii_case(name)).map(|(_, modern)| *modern);
    let name = legacy.unwrap_or_else(|| strip_category(name));
    let all = || TABLES.iter().flat_map(|table| table.iter());
    all().find(|known| known.name == name).or_else(|| all().find(|known| known.name.eq_ignore_ascii_case(name)))
}

/// Names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter().map(|known| known.name))
}

static TABLES: [&[Filter]; 3] = [test::TABLE, net::TABLE, script::TABLE];

/// Tests a value: item by item where the operator is one of scalars.
pub fn apply(filter: &Filter, left: &Value, right: &Value, ignore_case: bool, env: &Env<'_>) -> Result<bool, Fault> {
    env.budget.steps(1)?;
    let sides = |left| Sides { operator: filter.name, left, right, ignore_case };
    match filter.takes {
        Takes::Whole => (filter.run)(&sides(left), env),
        takes => {
            let missing = takes == Takes::AnyNegated;
            if left.is_null() || right.is_null() && !filter.unary {
                return Ok(missing);
            }
            let Value::Array(items) = left else { return (filter.run)(&sides(left), env) };
            for item in items {
                env.budget.steps(1)?;
                let passes = if item.is_null() { missing } else { (filter.run)(&sides(item), env)? };
                if passes {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}
