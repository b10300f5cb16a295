//! Values of the interpreter. Lists, objects, functions and scopes are numbers into one
//! heap that goes when the evaluation ends: cycles cannot leak.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ast::Function;
use crate::expr::xsoar::fault::{Budget, Fault};
use crate::expr::xsoar::pattern::Pattern;
use crate::expr::xsoar::value::number_value;

/// Levels of a value that goes in or comes out.
const VALUE_LEVELS_MAX: usize = 128;
/// What a value costs on the heap beside its text, roughly.
const VALUE_BYTES: usize = 32;

/// A value.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Js {
    Undefined,
    Null,
    Flag(bool),
    Number(f64),
    Text(Arc<str>),
    /// A list of the heap.
    List(usize),
    /// An object of the heap.
    Object(usize),
    /// A function of the heap.
    Function(usize),
    /// A function or namespace of the language, by name: `parseInt`, `Math`, `Math.max`.
    Native(Arc<str>),
    Regex(Arc<Pattern>, bool),
}

impl Js {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Js {
        Js::Text(text.into())
    }

    /// Undefined or null.
    pub fn is_nullish(&self) -> bool {
        matches!(self, Js::Undefined | Js::Null)
    }
}

/// Members of an object in the order in which they came.
#[derive(Debug, Default)]
pub struct Members {
    keys: Vec<Arc<str>>,
    values: HashMap<Arc<str>, Js>,
}

impl Members {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Js> {
        self.values.get(key)
    }

    /// Sets a key; a new one comes last.
    pub fn set(&mut self, key: Arc<str>, value: Js) {
        if self.values.insert(key.clone(), value).is_none() {
            self.keys.push(key);
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        if self.values.remove(key).is_some() {
            self.keys.retain(|known| &**known != key);
        }
    }

    /// Keys in order.
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }
}

/// Names in one function call.
#[derive(Debug, Default)]
pub struct Scope {
    /// What they are bound to.
    pub names: HashMap<Arc<str>, Js>,
    /// The scope around it.
    pub parent: Option<usize>,
}

/// What an evaluation has made.
#[derive(Debug, Default)]
pub struct Heap {
    lists: Vec<Vec<Js>>,
    objects: Vec<Members>,
    functions: Vec<(Arc<Function>, usize)>,
    /// All scopes.
    pub scopes: Vec<Scope>,
}

impl Heap {
    /// Makes a list.
    pub fn list(&mut self, items: Vec<Js>, budget: &Budget) -> Result<Js, Fault> {
        budget.bytes(VALUE_BYTES * (items.len() + 1))?;
        self.lists.push(items);
        Ok(Js::List(self.lists.len() - 1))
    }

    /// Makes an object.
    pub fn object(&mut self, members: Members, budget: &Budget) -> Result<Js, Fault> {
        budget.bytes(2 * VALUE_BYTES * (members.keys.len() + 1))?;
        self.objects.push(members);
        Ok(Js::Object(self.objects.len() - 1))
    }

    /// Makes a function.
    pub fn function(&mut self, function: Arc<Function>, scope: usize) -> Js {
        self.functions.push((function, scope));
        Js::Function(self.functions.len() - 1)
    }

    /// The items of a list.
    pub fn items(&self, list: usize) -> &[Js] {
        self.lists.get(list).map_or(&[], Vec::as_slice)
    }

    /// The items of a list, to change them.
    pub fn items_mut(&mut self, list: usize) -> Option<&mut Vec<Js>> {
        self.lists.get_mut(list)
    }

    /// The members of an object.
    pub fn members(&self, object: usize) -> Option<&Members> {
        self.objects.get(object)
    }

    /// The members of an object, to change them.
    pub fn members_mut(&mut self, object: usize) -> Option<&mut Members> {
        self.objects.get_mut(object)
    }

    /// A function and the scope that it was made in.
    pub fn function_at(&self, function: usize) -> Option<(Arc<Function>, usize)> {
        self.functions.get(function).cloned()
    }

    /// A JSON value comes in.
    pub fn enter(&mut self, value: &Value, budget: &Budget) -> Result<Js, Fault> {
        self.enter_at(value, budget, VALUE_LEVELS_MAX)
    }

    fn enter_at(&mut self, value: &Value, budget: &Budget, levels: usize) -> Result<Js, Fault> {
        budget.steps(1)?;
        Ok(match value {
            Value::Null => Js::Null,
            Value::Bool(flag) => Js::Flag(*flag),
            Value::Number(number) => Js::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => {
                budget.bytes(text.len())?;
                Js::text(text.as_str())
            }
            Value::Array(_) | Value::Object(_) if levels == 0 => return Err(Fault::Budget { limit: VALUE_LEVELS_MAX as u64, unit: "levels" }),
            Value::Array(items) => {
                let items = items.iter().map(|item| self.enter_at(item, budget, levels - 1)).collect::<Result<_, _>>()?;
                self.list(items, budget)?
            }
            Value::Object(object) => {
                let mut members = Members::default();
                for (key, value) in object {
                    budget.bytes(key.len())?;
                    let value = self.enter_at(value, budget, levels - 1)?;
                    members.set(key.as_str().into(), value);
                }
                self.object(members, budget)?
            }
        })
    }

    /// A value goes out as JSON; `None` for undefined and functions.
    pub fn leave(&self, value: &Js, budget: &Budget) -> Result<Option<Value>, Fault> {
        self.leave_at(value, budget, VALUE_LEVELS_MAX)
    }

    fn leave_at(&self, value: &Js, budget: &Budget, levels: usize) -> Result<Option<Value>, Fault> {
        budget.steps(1)?;
        Ok(Some(match value {
            Js::Undefined | Js::Function(_) | Js::Native(_) => return Ok(None),
            Js::Null => Value::Null,
            Js::Flag(flag) => Value::Bool(*flag),
            Js::Number(number) => number_value(*number),
            Js::Text(text) => {
                budget.bytes(text.len())?;
                Value::from(&**text)
            }
            Js::Regex(..) => Value::Object(Map::new()),
            // A list that holds itself would never end.
            Js::List(_) | Js::Object(_) if levels == 0 => return Err(Fault::Budget { limit: VALUE_LEVELS_MAX as u64, unit: "levels" }),
            Js::List(list) => {
                budget.bytes(VALUE_BYTES * self.items(*list).len())?;
                let items = self.items(*list).iter().map(|item| Ok(self.leave_at(item, budget, levels - 1)?.unwrap_or(Value::Null)));
                Value::Array(items.collect::<Result<_, Fault>>()?)
            }
            Js::Object(object) => {
                let mut out = Map::new();
                if let Some(members) = self.members(*object) {
                    for key in members.keys() {
                        budget.bytes(key.len() + VALUE_BYTES)?;
                        if let Some(member) = members.get(key)
                            && let Some(member) = self.leave_at(member, budget, levels - 1)?
                        {
                            out.insert(key.to_string(), member);
                        }
                    }
                }
                Value::Object(out)
            }
        }))
    }
}
