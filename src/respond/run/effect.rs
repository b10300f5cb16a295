//! Owns what goes into a step and what comes out of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::{Key, RunState};
use crate::respond::program::Program;

/// What happened to a run.
#[derive(Debug, Clone)]
pub enum Transition {
    /// It begins.
    Begin,
    /// A call ended.
    Result {
        /// Which.
        key: Key,
        /// How.
        result: Result<Output, Failure>,
    },
    /// A time has come: whatever waits for it goes on.
    Due,
    /// A person answered.
    Answer(Answer),
    /// There was more to do than one step does.
    More,
    /// Somebody else closed the incident: its timers stop.
    Closed,
    /// Somebody else gave the incident's fields these values; null: none.
    Fields(Map<String, Value>),
    /// A person ends the run.
    Cancel {
        /// Who.
        actor: String,
    },
}

/// What a person says about a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The task, by its id in the playbook; of several the first that waits.
    pub task: String,
    /// The frame, where the id is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Who says it.
    pub actor: String,
    /// The label, for questions and decisions.
    #[serde(default)]
    pub label: String,
    /// Answers to a form, by the ids of its questions.
    #[serde(default)]
    pub answers: Map<String, Value>,
    /// A comment.
    #[serde(default)]
    pub comment: String,
    /// A failed task is tried again, instead of counting as done.
    #[serde(default)]
    pub again: bool,
    /// An approval is refused.
    #[serde(default)]
    pub refuse: bool,
}

/// What a command, script or built-in yields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Entry context: key expression → value.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// What it says as such: what labels and `extend-context` read.
    #[serde(default)]
    pub contents: Value,
    /// For people.
    #[serde(default)]
    pub readable: String,
    /// It is not done: ask again.
    #[serde(default)]
    pub poll: Option<Poll>,
}

/// Ask again later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// Seconds until then; at least 1.
    pub after_s: u32,
    /// What is given then; empty: the same.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Seconds after which it is given up, from the first poll on.
    #[serde(default)]
    pub timeout_s: u32,
}

/// Why a call failed. The message is for the war room; it holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub message: String,
    /// Trying again may help.
    pub retry: bool,
    /// Which kind, for counts.
    pub kind: FailureKind,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// There is no such command, script or playbook.
    Unknown,
    /// An argument is missing or cannot be used.
    Argument,
    /// An expression has no value.
    Expression,
    /// It said so itself.
    Said,
    /// It took too long.
    Timeout,
    /// The other side could not be reached.
    Unreachable,
    /// Protected, forbidden, or refused by a person.
    Refused,
    /// A bound was reached.
    Bound,
    /// It is not known whether it happened.
    InDoubt,
}

impl FailureKind {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Unknown => "unknown command",
            FailureKind::Argument => "argument",
            FailureKind::Expression => "expression",
            FailureKind::Said => "said so itself",
            FailureKind::Timeout => "timeout",
            FailureKind::Unreachable => "unreachable",
            FailureKind::Refused => "refused",
            FailureKind::Bound => "bound",
            FailureKind::InDoubt => "in doubt",
        }
    }
}

impl Failure {
    /// A failure that stays one.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { message: message.into(), retry: false, kind }
    }

    /// One that may pass.
    pub fn passing(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { message: message.into(), retry: true, kind }
    }
}

/// What a step wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Something outside is to be done. It must not begin before the step is committed.
    Call(Call),
    /// A person is asked.
    Ask(Ask),
    /// Something for the war room.
    Entry(Entry),
    /// The incident changes.
    Edit(Edit),
    /// A list changes.
    List(String, String),
    /// A timer of the incident changes.
    Timer(super::timer::TimerFact),
    /// A task began or ended, for traces.
    Task(Traced),
    /// The run's state changed.
    State(RunState),
    /// There is more to do: step again with [`Transition::More`].
    More,
}

/// What happened to a task.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The playbook.
    pub program: Arc<Program>,
    /// Which turn of it.
    pub frame: u32,
    /// The task.
    pub task: u32,
    /// What happened.
    pub what: Happened,
}

/// What happened to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It began.
    Started,
    /// It ended, perhaps with a label.
    Done(Option<String>),
    /// It failed.
    Failed(FailureKind),
}

/// A side effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Whose result it will be.
    pub key: Key,
    /// The same whenever it is repeated.
    pub idempotency_key: String,
    /// The task, by id, for people.
    pub task: String,
    /// The command or script.
    pub command: String,
    /// Whose command; `None`: anybody's.
    pub brand: Option<String>,
    /// What it is given.
    pub arguments: Map<String, Value>,
    /// Seconds after which it is given up; 0: as the command says.
    pub timeout_s: u32,
}

/// A question to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Whose answer it will be.
    pub key: Key,
    /// The task, by id.
    pub task: String,
    /// Its name.
    pub name: String,
    /// `manual`, `question`, `decision`, `form`, `approval`; `reminder`: no new one, it reminds of one that waits.
    pub kind: String,
    /// Who is asked.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// What may be answered; empty: anything, or nothing.
    pub replies: Vec<String>,
    /// Questions of a form: id, text, type, options.
    pub questions: Vec<(String, String, String, Vec<String>)>,
    /// Until when, in microseconds; 0: no promise.
    pub due_us: i64,
    /// When to remind, in microseconds; 0: never.
    pub remind_us: i64,
}

/// Something for the war room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `<number>@<run>`.
    pub id: String,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Who: `playbook:<name>`, or a person.
    pub actor: String,
    /// The task, by id; empty: none.
    pub task: String,
    /// The command; empty: none.
    pub command: String,
    /// `note`, `error`, `warning`, `entry`, `evidence`, `reminder`, `call`, `result`, `question`, `answer`.
    pub kind: String,
    /// The text.
    pub text: String,
    /// The idempotency key of the call; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

/// A change of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "edit")]
pub enum Edit {
    /// Fields get values; null removes.
    Set {
        /// Another incident than the run's.
        incident: Option<String>,
        /// cliName → value.
        fields: Map<String, Value>,
    },
    /// It is closed.
    Close {
        /// Another incident than the run's.
        incident: Option<String>,
        /// Why.
        reason: String,
        /// What else there is to say.
        notes: String,
    },
    /// It is opened again.
    Reopen {
        /// Another incident than the run's.
        incident: Option<String>,
    },
    /// Incidents belong together, or no longer.
    Link {
        /// `link`, `unlink`, `duplicate`.
        action: String,
        /// The incident that they are linked with.
        incident: String,
        /// Those.
        others: Vec<String>,
    },
    /// A new one.
    Create {
        /// Its id: follows from run, task and turn.
        id: String,
        /// Its fields.
        fields: Map<String, Value>,
    },
    /// Another playbook takes over.
    Playbook {
        /// Its name.
        name: String,
    },
}
