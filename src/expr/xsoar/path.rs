//! Context paths and DT: `File(val.Size > 9).Name=val.toLowerCase()`. A path is a chain of
//! steps over a list of current values; a name on a list fans out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::fault::{Budget, Fault};
use super::js::ast::{Expr, Statement};
use super::js::interpret::{Interpreter, Stop};
use super::js::operate::truthy;
use super::js::parse::{Parser, SyntaxError};
use super::value::unwrap_list;

/// Steps of one path.
const STEPS_MAX: usize = 128;
/// Expressions that a thread remembers.
const CACHED_MAX: usize = 64;

/// One step of a path.
#[derive(Debug, Clone)]
pub enum Step {
    /// The member of an object; of each, on a list.
    Name(Box<str>),
    /// An element, 0-based.
    Index(i64),
    /// Elements, both ends included.
    Range(i64, i64),
    /// Only those values for which it is true.
    Select(Arc<Expr>),
}

/// A path, perhaps with selectors and a mutator.
#[derive(Debug, Clone, Default)]
pub struct Dt {
    steps: Vec<Step>,
    mutator: Option<Arc<Expr>>,
    functions: Arc<[Statement]>,
}

/// The values that a way leads to.
struct Found<'v> {
    values: Vec<&'v Value>,
    /// They were gathered from a list; else there is at most one, and it is taken as it is.
    gathered: bool,
}

impl Dt {
    /// Reads a path or a DT expression.
    pub fn parse(text: &str) -> Result<Dt, SyntaxError> {
        let mut dt = Dt::default();
        let error = |at: usize, what: &str| SyntaxError { at, what: what.to_owned() };
        let rest = |at: usize| text.get(at..).unwrap_or_default();
        let mut at = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        while at < end {
            if dt.steps.len() > STEPS_MAX {
                return Err(error(at, "a path has at most 128 steps"));
            }
            match rest(at).as_bytes().first() {
                Some(b'.') => at += 1,
                Some(b'[') => {
                    let length = rest(at).find(']').ok_or_else(|| error(at, "`[` is not closed"))?;
                    let inner = text.get(at + 1..at + length).unwrap_or_default();
                    dt.steps.push(index(inner).ok_or_else(|| error(at, "`[…]` holds an index or a range"))?);
                    at += length + 1;
                }
                Some(b'(') => {
                    let mut parser = Parser::new(text, at + 1)?;
                    // An empty selector passes everything.
                    if !parser.is_symbol(")") {
                        dt.steps.push(Step::Select(Arc::new(parser.expression()?)));
                    }
                    at = parser.closing(")")?;
                }
                Some(b'=') => {
                    let mut parser = Parser::new(text, at + 1)?;
                    dt.mutator = Some(Arc::new(parser.expression()?));
                    if !parser.accept(";")? && !parser.at_end() {
                        return Err(error(parser.at(), "expected `;` or the end"));
                    }
                    dt.functions = parser.statements()?.into();
                    return Ok(dt);
                }
                Some(b';') => {
                    dt.functions = Parser::new(text, at + 1)?.statements()?.into();
                    return Ok(dt);
                }
                Some(b')' | b'}') => return Err(error(at, "a bracket closes that was not opened")),
                _ => {
                    let ahead = text.get(at..end).unwrap_or_default();
                    let length = ahead.find(['.', '(', ')', '=', ';', '}']).unwrap_or(ahead.len());
                    let name = ahead.get(..length).unwrap_or_default();
                    if !name.trim().is_empty() {
                        dt.steps.push(Step::Name(name.trim().into()));
                    }
                    at += length;
                }
            }
        }
        Ok(dt)
    }

    /// Reads it, or finds it among those that this thread has read before.
    pub fn cached(text: &str) -> Result<Arc<Dt>, SyntaxError> {
        thread_local! {
            static CACHE: RefCell<HashMap<Box<str>, Arc<Dt>>> = RefCell::new(HashMap::new());
        }
        if let Some(found) = CACHE.with(|cache| cache.borrow().get(text).cloned()) {
            return Ok(found);
        }
        let dt = Arc::new(Dt::parse(text)?);
        CACHE.with(|cache| {
            let mut cache = cache.borrow_mut();
            if cache.len() >= CACHED_MAX {
                cache.clear();
            }
            cache.insert(text.into(), dt.clone());
        });
        Ok(dt)
    }

    /// Reads a plain path: names between dots, whatever they hold.
    pub fn plain(text: &str) -> Dt {
        let parts = text.trim().split('.').filter(|part| !part.is_empty()).take(STEPS_MAX);
        let step = |part: &str| match part.strip_prefix('[').and_then(|part| part.strip_suffix(']')).and_then(index) {
            Some(step) => step,
            None => Step::Name(part.into()),
        };
        Dt { steps: parts.map(step).collect(), ..Dt::default() }
    }

    /// A path of some steps.
    pub fn of(steps: Vec<Step>) -> Dt {
        Dt { steps, ..Dt::default() }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// True for a path without selectors and mutator.
    pub fn is_plain(&self) -> bool {
        self.mutator.is_none() && self.steps.iter().all(|step| !matches!(step, Step::Select(_)))
    }

    /// The mutator of `.=…`, where the path is empty.
    pub fn whole_mutator(&self) -> Option<&Expr> {
        self.mutator.as_deref().filter(|_| self.steps.is_empty())
    }

    /// The value: null where there is none, the value itself where there is one, else a list.
    pub fn evaluate(&self, root: &Value, budget: &Budget) -> Result<Value, Fault> {
        let values = self.values(root, budget)?;
        Ok(match values {
            Values::One(value) => value,
            Values::Gathered(values) => unwrap_list(values),
        })
    }

    /// The values as the items of a list: a stored list counts as its elements.
    pub fn items(&self, root: &Value, budget: &Budget) -> Result<Vec<Value>, Fault> {
        Ok(match self.values(root, budget)? {
            Values::One(Value::Array(items)) => items,
            Values::One(Value::Null) => Vec::new(),
            Values::One(value) => vec![value],
            Values::Gathered(values) => values,
        })
    }

    fn values(&self, root: &Value, budget: &Budget) -> Result<Values, Fault> {
        let found = self.walk(root, budget)?;
        let Some(mutator) = &self.mutator else {
            return Ok(match (found.gathered, found.values.first()) {
                (true, _) => Values::Gathered(found.values.into_iter().cloned().collect()),
                (false, value) => Values::One(value.copied().cloned().unwrap_or(Value::Null)),
            });
        };
        let targets: Vec<&Value> = match (found.gathered, found.values.first()) {
            // `.=…` sees everything as it is.
            _ if self.steps.is_empty() => vec![root],
            (false, Some(Value::Array(items))) => items.iter().collect(),
            _ => found.values,
        };
        let mut made = Vec::new();
        for target in targets {
            match self.run(mutator, target, root, budget)? {
                Some(Value::Null) | None => {}
                Some(value) => made.push(value),
            }
        }
        Ok(Values::Gathered(made))
    }

    fn walk<'v>(&self, root: &'v Value, budget: &Budget) -> Result<Found<'v>, Fault> {
        let mut found = Found { values: vec![root], gathered: false };
        for step in &self.steps {
            budget.steps(1)?;
            found = match step {
                Step::Name(name) => member(&found, name, budget)?,
                Step::Index(index) => {
                    let items = found.items();
                    let item = usize::try_from(*index).ok().and_then(|index| items.get(index).copied());
                    Found { values: item.into_iter().collect(), gathered: false }
                }
                Step::Range(from, to) => {
                    let items = found.items();
                    let from = usize::try_from(*from).unwrap_or(0).min(items.len());
                    let to = usize::try_from(to.saturating_add(1)).unwrap_or(0).clamp(from, items.len());
                    Found { values: items.get(from..to).unwrap_or_default().to_vec(), gathered: true }
                }
                Step::Select(test) => {
                    let mut kept = Vec::new();
                    for item in found.items() {
                        if self.holds(test, item, root, budget)? {
                            kept.push(item);
                        }
                    }
                    Found { values: kept, gathered: true }
                }
            };
            if found.values.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// An exception in a selector is no match.
    fn holds(&self, test: &Expr, item: &Value, root: &Value, budget: &Budget) -> Result<bool, Fault> {
        let mut interpreter = match self.interpreter(item, root, budget) {
            Ok(interpreter) => interpreter,
            Err(stop) => return stopped(stop).map(|()| false),
        };
        match interpreter.evaluate(test) {
            Ok(value) => Ok(truthy(&value)),
            Err(stop) => stopped(stop).map(|()| false),
        }
    }

    /// An exception in a mutator yields no value.
    fn run(&self, mutator: &Expr, target: &Value, root: &Value, budget: &Budget) -> Result<Option<Value>, Fault> {
        let mut interpreter = match self.interpreter(target, root, budget) {
            Ok(interpreter) => interpreter,
            Err(stop) => return stopped(stop).map(|()| None),
        };
        match interpreter.evaluate(mutator) {
            Ok(value) => interpreter.heap.leave(&value, budget),
            Err(stop) => stopped(stop).map(|()| None),
        }
    }

    fn interpreter<'b>(&self, val: &Value, root: &'b Value, budget: &'b Budget) -> Result<Interpreter<'b>, Stop> {
        let mut interpreter = Interpreter::new(budget, root, &self.functions)?;
        let val = interpreter.heap.enter(val, budget)?;
        interpreter.bind("val", val);
        Ok(interpreter)
    }
}

enum Values {
    One(Value),
    Gathered(Vec<Value>),
}

fn stopped(stop: Stop) -> Result<(), Fault> {
    match stop {
        Stop::Throw(_) => Ok(()),
        Stop::Fault(fault) => Err(fault),
    }
}

impl<'v> Found<'v> {
    /// The values as a list: a stored list counts as its elements, a single value as a list of one.
    fn items(&self) -> Vec<&'v Value> {
        match self.values.as_slice() {
            [Value::Array(items)] if !self.gathered => items.iter().collect(),
            values => values.to_vec(),
        }
    }
}

/// The member of each current value. Null counts as missing; what a list fans out to is flattened by one level.
fn member<'v>(found: &Found<'v>, name: &str, budget: &Budget) -> Result<Found<'v>, Fault> {
    let fans_out = found.gathered || matches!(found.values.as_slice(), [Value::Array(_)]);
    let mut values = Vec::new();
    // Lists in lists are walked without recursion, in order.
    let mut ahead: Vec<&'v Value> = found.values.iter().rev().copied().collect();
    while let Some(value) = ahead.pop() {
        budget.steps(1)?;
        match value {
            Value::Array(items) => ahead.extend(items.iter().rev()),
            Value::Object(members) => match members.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) if fans_out => values.extend(items.iter().filter(|item| !item.is_null())),
                Some(member) => values.push(member),
            },
            _ => {}
        }
    }
    Ok(Found { values, gathered: fans_out })
}

fn index(inner: &str) -> Option<Step> {
    match inner.split_once(':') {
        None => inner.trim().parse().ok().map(Step::Index),
        Some((from, to)) => {
            let bound = |text: &str, open: i64| if text.trim().is_empty() { Some(open) } else { text.trim().parse().ok() };
            Some(Step::Range(bound(from, 0)?, bound(to, i64::MAX)?))
        }
    }
}
