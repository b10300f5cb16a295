//! Owns what a task of a playbook is.

use crate::config::source_map::{Span, Spanned};
use crate::content::argument::{Conditions, Expression};

pub use super::message::{Form, Message, Question};

/// A task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Task {
    /// Its key, by which others name it.
    pub id: String,
    /// Where its key stands.
    pub span: Span,
    /// What people call it; forms put their answers below this name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it does.
    pub action: Action,
    /// Label → tasks that start when it ends with that label. `#none#` is the edge without a
    /// label, `#default#` the one for all other labels, `#error#` the way after an error.
    pub next: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
    /// What the command, script or playbook is given, without the special ones.
    pub arguments: Vec<(Spanned<String>, Expression)>,
    /// What stands among the arguments and is for the engine.
    pub options: Options,
    /// A sub-playbook has a context of its own.
    pub separate_context: bool,
    /// What an error means.
    pub on_error: OnError,
    /// If what it runs is not there, it and what follows from it alone do not run.
    pub skip_unavailable: bool,
    /// Whether it writes into the war room.
    pub quiet: Quiet,
    /// What it writes becomes notes.
    pub note: bool,
    /// When indicators are extracted: 0 default, 1 none, 2 inline, 3 out of band.
    pub extraction: i64,
    /// Incident fields that are set after it.
    pub field_mapping: Vec<(Spanned<String>, Expression)>,
    /// Timers that it starts, stops, pauses.
    pub timers: Vec<Timer>,
    /// Who has to do it.
    pub assignee: Expression,
    /// Nobody else may.
    pub restricted: bool,
    /// Minutes until a person must have done it; 0: no promise.
    pub sla_minutes: i64,
    /// Minutes before that at which the person is reminded.
    pub reminder_minutes: i64,
    /// How its sub-playbook is repeated.
    pub repeat: Option<Repeat>,
    /// Context keys whose values are shown.
    pub results: Vec<String>,
    /// What it writes becomes evidence, with this description.
    pub evidence: Option<Expression>,
    /// For people.
    pub tags: Vec<String>,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Action {
    /// Nothing: the playbook begins.
    Start,
    /// Nothing: a heading.
    #[default]
    Title,
    /// A person does it.
    Manual,
    /// A command of an integration, or a built-in one.
    Command(Command),
    /// An automation, by name or id.
    Script(Spanned<String>),
    /// A playbook, by name or id.
    Playbook(Spanned<String>),
    /// The first condition that holds gives the label.
    Condition(Vec<Branch>),
    /// A command's or script's text is the label.
    ConditionBy(Automation),
    /// A person is asked, and the answer is the label.
    Ask(Box<Message>),
    /// A person decides; the decision is the label.
    Decide,
    /// People fill in a form.
    Collect(Box<Form>, Option<Box<Message>>),
}

/// What gives a label.
#[derive(Debug, Clone, PartialEq)]
pub enum Automation {
    /// A command.
    Command(Command),
    /// A script, by name or id.
    Script(Spanned<String>),
}

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Whose it is; `None`: every active instance that has it runs it.
    pub brand: Option<String>,
    /// Its name.
    pub name: Spanned<String>,
}

impl Command {
    /// True for the product's own: `setIncident`, `closeInvestigation`, …
    pub fn is_builtin(&self) -> bool {
        self.brand.as_deref() == Some("Builtin")
    }
}

/// A condition and its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Compared without case.
    pub label: Spanned<String>,
    /// Evaluated once, on the whole context.
    pub when: Conditions,
}

/// Special arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// `key=path::key2=path2`: what of the result goes into the context besides.
    pub extend_context: Option<Expression>,
    /// Nothing else does.
    pub ignore_outputs: Option<Expression>,
    /// The instance that runs it.
    pub using: Option<Expression>,
    /// The brand whose instances run it.
    pub using_brand: Option<Expression>,
    /// Seconds after which it is given up.
    pub execution_timeout: Option<Expression>,
    /// How often an error is tried again.
    pub retry_count: Option<Expression>,
    /// Seconds in between.
    pub retry_interval: Option<Expression>,
    /// The raw answer is shown.
    pub raw_response: Option<Expression>,
    /// When indicators are extracted.
    pub auto_extract: Option<Expression>,
}

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The playbook stops.
    #[default]
    Stop,
    /// It goes on as if nothing were.
    Continue,
    /// It goes on along `#error#`.
    ErrorPath,
}

/// Whether a task writes into the war room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quiet {
    /// As its playbook.
    #[default]
    Inherit,
    /// It does not.
    On,
    /// It does.
    Off,
}

/// A timer's start or end.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// The field, by cliName.
    pub field: Spanned<String>,
    /// `start`, `stop`, `pause`.
    pub action: String,
}

/// How a sub-playbook is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// Seconds between two runs.
    pub wait_seconds: i64,
    /// Runs at the most.
    pub max: i64,
    /// Until when.
    pub until: Until,
}

/// When repeating ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Until {
    /// After the longest list among the inputs.
    ForEach,
    /// When a condition on the sub-playbook's context holds.
    Holds(Conditions),
    /// When an automation says so.
    Says {
        /// The automation, by name or id.
        script: Spanned<String>,
        /// What it is given.
        arguments: Vec<(Spanned<String>, Expression)>,
        /// What it says then.
        answer: String,
    },
}
