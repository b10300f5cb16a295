//! All transformers: names, aliases, arguments, and what they do to a value.

use std::borrow::Cow;

use serde_json::Value;

use super::env::Env;
use super::fault::Fault;
use super::value::{as_number, cast_text, is_falsy, text_of};

pub mod choose;
pub mod condition;
pub mod date;
pub mod list;
pub mod map;
pub mod net;
pub mod number;
pub mod object;
pub mod regex;
pub mod table;
pub mod text;

/// What a transformer does: value, arguments, surroundings → value.
pub type Run = fn(&Value, &Args<'_>, &Env<'_>) -> Result<Value, Fault>;

/// How a transformer takes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One item; a list item by item. Null stays null.
    Item,
    /// The same, and null is a value too.
    AnyItem,
    /// One item; items that give nothing are left out of a list.
    Found,
    /// The value as a whole.
    Whole,
}

/// A transformer.
#[derive(Debug)]
pub struct Transformer {
    /// Its modern name.
    pub name: &'static str,
    /// How it takes its value.
    pub takes: Takes,
    /// Arguments that must be given.
    pub required: &'static [&'static str],
    /// Arguments that may be given.
    pub optional: &'static [&'static str],
    /// What it does.
    pub run: Run,
}

/// The arguments of one call; an argument that is null counts as not given.
#[derive(Debug)]
pub struct Args<'a> {
    /// The operator, for messages.
    pub operator: &'static str,
    /// Name and value.
    pub values: &'a [(Cow<'a, str>, Value)],
}

impl<'a> Args<'a> {
    /// An argument.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// An argument as text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        self.get(name).map(|value| cast_text(value, self.operator)).transpose()
    }

    /// An argument as text, or a default.
    pub fn text_or(&self, name: &str, default: &str) -> Result<String, Fault> {
        Ok(self.text(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// An argument that must be there, as text.
    pub fn need_text(&self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or(Fault::Argument { operator: self.operator, what: "a required argument is missing" })
    }

    /// An argument as a number; an empty text counts as not given.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(value) if text_of(value).trim().is_empty() => Ok(None),
            Some(value) => as_number(value).map(Some).ok_or(Fault::Argument { operator: self.operator, what: "an argument is not a number" }),
        }
    }

    /// An argument that must be there, as a number.
    pub fn need_number(&self, name: &str) -> Result<f64, Fault> {
        self.number(name)?.ok_or(Fault::Argument { operator: self.operator, what: "a required argument is missing" })
    }

    /// An argument as a truth value.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            None => default,
            Some(Value::String(text)) => match text.trim() {
                "" => default,
                text => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes"),
            },
            Some(other) => !is_falsy(other),
        }
    }

    /// The script raises an error.
    pub fn raise<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault::Raised { operator: self.operator, what })
    }
}

/// Finds a transformer by any of its names.
pub fn find(name: &str) -> Option<&'static Transformer> {
    let name = match name {
        "d8d43bef-f48a-47ad-8502-b191d615158c" => "SetIfEmpty",
        _ => strip_category(name),
    };
    let all = || TABLES.iter().flat_map(|table| table.iter());
    all().find(|known| known.name == name).or_else(|| all().find(|known| known.name.eq_ignore_ascii_case(name)))
}

/// `string.concat` → `concat`
pub fn strip_category(name: &str) -> &str {
    match name.split_once('.') {
        Some(("general" | "string" | "number" | "date" | "boolean" | "list" | "other", rest)) => rest,
        _ => name,
    }
}

/// Names of all transformers.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter().map(|known| known.name))
}

static TABLES: [&[Transformer]; 9] = [text::TABLE, list::TABLE, number::TABLE, date::TABLE, regex::TABLE, object::TABLE, net::TABLE, choose::TABLE, map::TABLE];

/// Applies a transformer to a value: item by item, or as a whole.
pub fn apply(transformer: &Transformer, value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    env.budget.steps(1)?;
    let items = match (transformer.takes, value) {
        (Takes::Whole, _) => return (transformer.run)(value, args, env),
        (Takes::Item | Takes::Found, Value::Null) => return Ok(Value::Null),
        (_, Value::Array(items)) => items,
        _ => return (transformer.run)(value, args, env),
    };
    env.budget.bytes(items.len() * 16)?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        env.budget.steps(1)?;
        let made = match (transformer.takes, item) {
            (Takes::Item | Takes::Found, Value::Null) => Value::Null,
            _ => (transformer.run)(item, args, env)?,
        };
        match made {
            // What each item gives is flattened by one level.
            Value::Array(inner) => {
                env.budget.bytes(inner.len() * 16)?;
                out.extend(inner);
            }
            Value::Null if transformer.takes == Takes::Found => {}
            other => out.push(other),
        }
    }
    Ok(Value::Array(out))
}

/// A text that is about to be made.
pub fn made(text: String, env: &Env<'_>) -> Result<Value, Fault> {
    env.budget.bytes(text.len())?;
    Ok(Value::String(text))
}

/// A row of the table.
pub const fn row(name: &'static str, takes: Takes, required: &'static [&'static str], optional: &'static [&'static str], run: Run) -> Transformer {
    Transformer { name, takes, required, optional, run }
}
