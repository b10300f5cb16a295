//! Owns how expressions of a task are evaluated: on the frame's context with `incident`, `inputs`
//! and what else there is put into it for that time, without copying it.

use serde_json::{Map, Value, json};

use super::effect::{Failure, FailureKind};
use super::step::Step;
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::evaluate::passes;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::prepared::{Prepared, PreparedTests};
use crate::expr::xsoar::value::text_of;
use crate::respond::command::escape::{Escape, escaped};

impl Step<'_> {
    /// Evaluates something as a task of a frame sees it.
    pub(super) fn view<T>(&mut self, frame: u32, modules: bool, work: impl FnOnce(&Env<'_>) -> T) -> T {
        let number = self.run.frames.get(&frame).map_or(0, |frame| frame.context);
        let mut context = self.run.contexts.get_mut(&number).map(std::mem::take).unwrap_or_default();
        if !context.is_object() {
            context = Value::Object(Map::new());
        }
        let incident = std::mem::take(&mut self.run.incident);
        let inputs = self.run.frames.get_mut(&frame).map(|frame| std::mem::take(&mut frame.inputs)).unwrap_or_default();
        let mut put: Vec<(&str, Value)> = vec![("incident", incident), ("inputs", Value::Object(inputs))];
        if modules {
            put.push(("modules", Value::Array(self.world.modules.clone())));
        }
        let mut displaced: Vec<(&str, Option<Value>)> = Vec::with_capacity(put.len());
        if let Value::Object(members) = &mut context {
            for (name, value) in put {
                displaced.push((name, members.insert(name.to_owned(), value)));
            }
        }
        let (lists, world) = (&self.run.lists, self.world);
        let find = |name: &str| lists.get(name).map(|text| Value::String(text.clone())).or_else(|| world.list(name));
        let done = work(&Env { lists: Some(&find), now_us: Some(self.now_us), ..Env::new(&context) });
        if let Value::Object(members) = &mut context {
            for (name, old) in displaced.into_iter().rev() {
                let value = match old {
                    Some(old) => members.insert(name.to_owned(), old),
                    None => members.shift_remove(name),
                };
                match (name, value) {
                    ("incident", Some(value)) => self.run.incident = value,
                    ("inputs", Some(Value::Object(value))) => {
                        if let Some(frame) = self.run.frames.get_mut(&frame) {
                            frame.inputs = value;
                        }
                    }
                    _ => {}
                }
            }
        }
        if let Some(place) = self.run.contexts.get_mut(&number) {
            *place = context;
        }
        done
    }

    /// Arguments; those without a value are left out.
    pub(super) fn arguments(&mut self, frame: u32, given: &[(String, Prepared)], escapes: &dyn Fn(&str) -> Escape) -> Result<Map<String, Value>, Failure> {
        let modules = self.program_of(frame).is_some_and(|program| program.reads_modules);
        self.view(frame, modules, |env| {
            let mut found = Map::new();
            for (name, prepared) in given {
                env.budget.renew();
                let value = match escapes(name) {
                    Escape::Plain => prepared.evaluate(env),
                    escape => escaped(prepared, escape, env),
                };
                let value = value.map_err(|fault| expression(name, &fault))?;
                if !value.is_null() {
                    found.insert(name.clone(), value);
                }
            }
            Ok(found)
        })
    }

    /// One value.
    pub(super) fn value(&mut self, frame: u32, what: &str, prepared: &Prepared) -> Result<Value, Failure> {
        if matches!(prepared, Prepared::Unset) {
            return Ok(Value::Null);
        }
        let modules = self.program_of(frame).is_some_and(|program| program.reads_modules);
        self.view(frame, modules, |env| prepared.evaluate(env)).map_err(|fault| expression(what, &fault))
    }

    /// One text.
    pub(super) fn text(&mut self, frame: u32, what: &str, prepared: &Prepared) -> Result<String, Failure> {
        self.value(frame, what, prepared).map(|value| text_of(&value))
    }

    /// True where tests hold on the whole context.
    pub(super) fn holds(&mut self, frame: u32, tests: &PreparedTests) -> Result<bool, Failure> {
        let modules = self.program_of(frame).is_some_and(|program| program.reads_modules);
        self.view(frame, modules, |env| passes(tests, None, env)).map_err(|fault| expression("a condition", &fault))
    }

    /// The context of a frame.
    pub fn context_of(&mut self, frame: u32) -> &mut Value {
        let number = self.run.frames.get(&frame).map_or(0, |frame| frame.context);
        let context = self.run.contexts.entry(number).or_insert_with(|| json!({}));
        if !context.is_object() {
            *context = json!({});
        }
        context
    }
}

/// A fault as the failure of a task. Faults hold no values.
pub(super) fn expression(what: &str, fault: &Fault) -> Failure {
    Failure { message: format!("{what}: {fault}"), retry: fault.may_pass(), kind: FailureKind::Expression }
}
