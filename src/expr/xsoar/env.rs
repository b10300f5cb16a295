//! What an evaluation sees beside the expression: the context, lists, the clock, scripts, bounds.

use serde_json::Value;

use super::fault::{Budget, Fault};

/// A user's own operators, run outside of the process.
pub trait Scripts {
    /// True for a script of this name.
    fn knows(&self, name: &str) -> bool;
    /// Runs one on a value with its arguments.
    fn run(&self, name: &str, value: &Value, args: &serde_json::Map<String, Value>) -> Result<Value, Fault>;
}

/// Where the content of a list is found by its name.
pub type Lists<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// The surroundings of an evaluation.
pub struct Env<'a> {
    /// The event, or the incident's context.
    pub context: &'a Value,
    /// The content of a list by its name.
    pub lists: Option<&'a Lists<'a>>,
    /// The time that `now` means, in microseconds since 1970.
    pub now_us: i64,
    /// A user's own operators.
    pub scripts: Option<&'a dyn Scripts>,
    /// The bounds on the work.
    pub budget: Budget,
}

impl<'a> Env<'a> {
    /// Surroundings with a context and nothing else.
    pub fn new(context: &'a Value) -> Env<'a> {
        Env { context, lists: None, now_us: 0, scripts: None, budget: Budget::default() }
    }

    /// The content of a list.
    pub fn list(&self, name: &str) -> Option<Value> {
        self.lists.and_then(|lists| lists(name))
    }
}
