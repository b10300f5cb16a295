//! Room: what the engine can do itself: the product's built-in commands, and the automation
//! scripts that playbooks lean on. They change the run and nothing else, so they are part of the
//! step; what has an effect outside is handed on as a call.

mod compare;
mod context;
pub mod escape;
mod flow;
pub mod generic;
mod incident;
mod indicator;
mod lists;
mod room;
mod timers;

use serde_json::{Map, Value};

use super::run::task::Generic;
use super::run::{Failure, FailureKind, Output, Step};
use crate::expr::xsoar::value::{arg_list, arg_texts, as_flag, as_number, is_empty, text_of};

/// A built-in.
#[derive(Debug)]
pub struct Builtin {
    /// As playbooks call it.
    pub name: &'static str,
    /// Arguments that it needs.
    pub required: &'static [&'static str],
    /// Does it.
    pub run: Run,
}

/// What a built-in is: it sees the run, the frame and the task that it is called from.
pub type Run = fn(&mut Step<'_>, u32, u32, &Args) -> Result<Did, Failure>;

/// What a built-in did, or wants done.
#[derive(Debug)]
pub enum Did {
    /// It is done.
    Done(Output),
    /// Another command does it.
    Instead(String, Map<String, Value>),
    /// The task ends after so many seconds.
    Sleep(i64),
    /// A command is repeated until nothing is pending.
    Generic(Box<Generic>),
    /// The incident is closed, if the type's closure script has nothing against it.
    Close {
        /// Why.
        reason: String,
        /// What else there is to say.
        notes: String,
    },
}

/// Arguments of a built-in.
#[derive(Debug, Default)]
pub struct Args(Map<String, Value>);

impl Args {
    /// Arguments by name.
    pub fn new(given: Map<String, Value>) -> Args {
        Args(given)
    }

    /// One as it is; names count without case. An empty text counts as given.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)).filter(|value| !value.is_null())
    }

    /// Its text; empty if it is not given.
    pub fn text(&self, name: &str) -> String {
        self.value(name).map(text_of).unwrap_or_default()
    }

    /// Its text, if it is given and not empty.
    pub fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Its items: a list, JSON of a list, or text with commas.
    pub fn list(&self, name: &str) -> Vec<Value> {
        self.value(name).map(arg_list).unwrap_or_default()
    }

    /// The same as texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.value(name).map(arg_texts).unwrap_or_default().into_iter().filter(|text| !text.is_empty()).collect()
    }

    /// `true` or `yes`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        as_flag(value).or_else(|| match text_of(value).trim().to_lowercase().as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(as_number)
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

const GROUPS: [&[Builtin]; 8] =
    [compare::COMMANDS, context::COMMANDS, flow::COMMANDS, incident::COMMANDS, indicator::COMMANDS, lists::COMMANDS, room::COMMANDS, timers::COMMANDS];

/// The built-in of a name, as written or in another case.
pub fn find(name: &str) -> Option<&'static Builtin> {
    let name = name.trim();
    all().find(|known| known.name == name).or_else(|| all().find(|known| known.name.eq_ignore_ascii_case(name)))
}

/// All built-ins.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    GROUPS.into_iter().flatten()
}

/// A built-in that says a text: a label, a value.
fn says(text: impl Into<String>) -> Result<Did, Failure> {
    Ok(Did::Done(Output { contents: Value::String(text.into()), ..Output::default() }))
}

/// `yes` or `no`.
fn label(yes: bool) -> Result<Did, Failure> {
    says(if yes { "yes" } else { "no" })
}

/// Done, with a line for the war room.
fn told(text: impl Into<String>) -> Result<Did, Failure> {
    Ok(Did::Done(Output { readable: text.into(), ..Output::default() }))
}

/// An argument that cannot be used.
fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Argument, message)
}

/// True where nothing worth writing was given.
fn nothing(value: Option<&Value>) -> bool {
    value.is_none_or(is_empty)
}
