//! The reference evaluator: one value for one context, step by step. It defines what an
//! XSOAR expression means; the columnar kernels are held equal to it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::env::Env;
use super::external::apply as apply_script;
use super::fault::Fault;
use super::filter;
use super::path::Dt;
use super::prepared::{Chain, Left, Operator, Piece, Prepared, PreparedTest, PreparedTests, Source, Step, Tester};
use super::transform::{self, Args};
use super::value::{as_flag, text_of, unwrap_list};

impl Prepared {
    /// The value; null where there is none.
    pub fn evaluate(&self, env: &Env<'_>) -> Result<Value, Fault> {
        match self {
            Prepared::Unset => Ok(Value::Null),
            Prepared::Constant(value) => Ok(value.clone()),
            Prepared::Path(dt) => path(dt, env),
            Prepared::Template(pieces) => template(pieces, env),
            Prepared::Complex(chain) => env.budget.deeper(|| chain.evaluate(env)),
            Prepared::Broken(reason) => Err(Fault::Unusable(reason.to_string())),
        }
    }
}

/// A path of the context. `lists.<name>` is read from the lists, unless the context has it.
fn path(dt: &Dt, env: &Env<'_>) -> Result<Value, Fault> {
    let found = dt.evaluate(env.context, &env.budget)?;
    if found.is_null()
        && let [super::path::Step::Name(first), super::path::Step::Name(name), ..] = dt.steps()
        && &**first == "lists"
        && let Some(content) = env.list(name)
    {
        let content = match content {
            // JSON lists can be walked; a text is one text.
            Value::String(text) if dt.steps().len() > 2 => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            other => other,
        };
        let mut lists = Map::new();
        lists.insert(name.to_string(), content);
        let mut root = Map::new();
        root.insert("lists".to_owned(), Value::Object(lists));
        return dt.evaluate(&Value::Object(root), &env.budget);
    }
    Ok(found)
}

fn template(pieces: &[Piece], env: &Env<'_>) -> Result<Value, Fault> {
    let mut out = String::new();
    for piece in pieces {
        let before = out.len();
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Value(dt) => out.push_str(&text_of(&path(dt, env)?)),
        }
        env.budget.bytes(out.len() - before)?;
    }
    Ok(Value::String(out))
}

impl Source {
    /// The value that the steps of a chain begin with.
    pub fn evaluate(&self, env: &Env<'_>) -> Result<Value, Fault> {
        match self {
            Source::Path(dt) => path(dt, env),
            Source::Filtered { root, tests, accessor } => filtered(root, tests, accessor, env),
            Source::Broken(reason) => Err(Fault::Unusable(reason.to_string())),
        }
    }
}

/// True when a test of these items reads beyond them: an item lacks a member that the top may have.
pub fn reads_beyond(items: &[Value], tests: &PreparedTests, env: &Env<'_>) -> bool {
    tests.iter().flatten().any(|test| match &test.left {
        Left::ItemOrGlobal(dt) => items.iter().any(|item| dt.evaluate(item, &env.budget).map_or(true, |value| value.is_null())),
        _ => false,
    })
}

impl Chain {
    fn evaluate(&self, env: &Env<'_>) -> Result<Value, Fault> {
        let mut value = self.source.evaluate(env)?;
        for step in &self.steps {
            value = step.apply(&value, env)?;
        }
        Ok(value)
    }
}

fn filtered(root: &Dt, tests: &PreparedTests, accessor: &Dt, env: &Env<'_>) -> Result<Value, Fault> {
    keep(root.items(env.context, &env.budget)?, tests, accessor, env)
}

/// What the items that pass lead to.
pub fn keep(items: Vec<Value>, tests: &PreparedTests, accessor: &Dt, env: &Env<'_>) -> Result<Value, Fault> {
    let mut found = Vec::new();
    for item in items {
        if !passes(tests, Some(&item), env)? {
            continue;
        }
        if accessor.steps().is_empty() {
            found.push(item);
        } else {
            // What each item leads to is flattened by one level.
            found.extend(accessor.items(&item, &env.budget)?);
        }
    }
    Ok(unwrap_list(found))
}

/// True when all groups have a test that passes.
pub fn passes(tests: &PreparedTests, item: Option<&Value>, env: &Env<'_>) -> Result<bool, Fault> {
    for group in tests {
        let mut held = group.is_empty();
        for test in group {
            if test.passes(item, env)? {
                held = true;
                break;
            }
        }
        if !held {
            return Ok(false);
        }
    }
    Ok(true)
}

impl PreparedTest {
    fn passes(&self, item: Option<&Value>, env: &Env<'_>) -> Result<bool, Fault> {
        env.budget.steps(1)?;
        let item = item.unwrap_or(env.context);
        let left = match &self.left {
            Left::Global(value) => Cow::Owned(value.evaluate(env)?),
            Left::Item => Cow::Borrowed(item),
            Left::OfItem(dt) => Cow::Owned(dt.evaluate(item, &env.budget)?),
            Left::ItemOrGlobal(dt) => match dt.evaluate(item, &env.budget)? {
                Value::Null => Cow::Owned(dt.evaluate(env.context, &env.budget)?),
                found => Cow::Owned(found),
            },
        };
        let right = self.right.evaluate(env)?;
        match &self.filter {
            Tester::Known(filter) => filter::apply(filter, &left, &right, self.ignore_case, env),
            Tester::External(name) => {
                let mut args = Map::new();
                args.insert("left".to_owned(), left.clone().into_owned());
                args.insert("right".to_owned(), right);
                // It sees the left side as it is, and as an argument.
                let answer = external(name, true, &left, &args, env)?;
                Ok(as_flag(&answer).unwrap_or(false))
            }
            Tester::Unknown(name) => Err(Fault::Unusable(format!("there is no operator `{name}`"))),
        }
    }
}

impl Step {
    /// Applies the step to a value.
    pub fn apply(&self, value: &Value, env: &Env<'_>) -> Result<Value, Fault> {
        env.budget.deeper(|| {
            let values = self.args.iter().map(|(name, arg)| Ok((Cow::Borrowed(&**name), arg.evaluate(env)?))).collect::<Result<Vec<_>, Fault>>()?;
            match &self.operator {
                Operator::Known(known) => transform::apply(known, value, &Args { operator: known.name, values: &values }, env),
                Operator::External(name, whole) => external(name, *whole, value, &given(values), env),
                Operator::Unknown(name) => Err(Fault::Unusable(format!("there is no operator `{name}`"))),
            }
        })
    }
}

/// Arguments that are given.
pub fn given<'a>(values: impl IntoIterator<Item = (Cow<'a, str>, Value)>) -> Map<String, Value> {
    values.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.into_owned(), value)).collect()
}

fn external(name: &str, whole: bool, value: &Value, args: &Map<String, Value>, env: &Env<'_>) -> Result<Value, Fault> {
    let fault = |what: &str| Fault::Script { name: name.to_owned(), what: what.to_owned() };
    let scripts = env.scripts.ok_or_else(|| fault("no scripts are set up"))?;
    apply_script(scripts, name, whole, &[value], args).pop().unwrap_or_else(|| Err(fault("it gave no answer")))
}
