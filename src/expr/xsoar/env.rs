//! What an evaluation sees beside the expression: the context, lists, the clock, scripts, bounds.

use serde_json::{Map, Value};

use super::fault::{Budget, Fault};

/// A user's own operators, run outside of the process.
pub trait Scripts {
    /// Runs one on many values; an answer each, in their order.
    fn run(&self, name: &str, calls: &[Call]) -> Vec<Result<Value, Fault>>;
}

/// One value for a script, with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The value.
    pub value: Value,
    /// The arguments that are given.
    pub args: Map<String, Value>,
    /// Bytes of both, about.
    pub bytes: usize,
}

impl Call {
    /// A call.
    pub fn new(value: Value, args: Map<String, Value>) -> Call {
        let bytes = size(&value) + args.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
        Call { value, args, bytes }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 8,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 8,
        Value::Object(members) => members.iter().map(|(key, value)| key.len() + size(value)).sum::<usize>() + 8,
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
    }
}

/// Where the content of a list is found by its name.
pub type Lists<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// The surroundings of an evaluation.
pub struct Env<'a> {
    /// The event, or the incident's context.
    pub context: &'a Value,
    /// The content of a list by its name.
    pub lists: Option<&'a Lists<'a>>,
    /// The time that `now` means, in microseconds since 1970; where none is known, what asks for it fails.
    pub now_us: Option<i64>,
    /// A user's own operators.
    pub scripts: Option<&'a dyn Scripts>,
    /// The bounds on the work.
    pub budget: Budget,
}

impl<'a> Env<'a> {
    /// Surroundings with a context and nothing else.
    pub fn new(context: &'a Value) -> Env<'a> {
        Env { context, lists: None, now_us: None, scripts: None, budget: Budget::default() }
    }

    /// The time that `now` means.
    pub fn now(&self, operator: &'static str) -> Result<i64, Fault> {
        self.now_us.ok_or(Fault::Raised { operator, what: "the time of the event is not known" })
    }

    /// The content of a list.
    pub fn list(&self, name: &str) -> Option<Value> {
        self.lists.and_then(|lists| lists(name))
    }
}
