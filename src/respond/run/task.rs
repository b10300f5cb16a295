//! Owns the state of one task of a run: where it stands, what it waits for, and the loop that it is in the
//! middle of. Like the run it is JSON on the `runs` topic.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A task of a frame.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Task {
    /// Where it stands.
    #[serde(rename = "s", default, skip_serializing_if = "Status::is_idle")]
    pub status: Status,
    /// Edges that lead here and are not resolved yet.
    #[serde(rename = "u", default, skip_serializing_if = "is_zero")]
    pub unresolved: u32,
    /// One of the resolved ones was taken.
    #[serde(rename = "t", default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
    /// Attempts, polls, questions so far.
    #[serde(rename = "a", default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// Retries that are left; set with the first error.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// What it waits for, or what is to be done when it wakes.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Box<Wait>>,
    /// The loop that it is in the middle of.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<Box<Turns>>,
    /// Why it failed.
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is not known yet whether it runs.
    #[default]
    Idle,
    /// It can start.
    Ready,
    /// A command, script or sub-playbook of it runs.
    Running,
    /// It waits for a person.
    Person,
    /// It waits for an approval.
    Approval,
    /// It waits for a time.
    Sleeping,
    /// Done.
    Done,
    /// It will not run.
    Skipped,
    /// It failed, and the run with it.
    Failed,
}

impl Status {
    fn is_idle(&self) -> bool {
        *self == Status::Idle
    }

    /// True where a person can do something about it.
    pub fn is_for_people(self) -> bool {
        matches!(self, Status::Person | Status::Approval | Status::Failed)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Status::Idle => "idle",
            Status::Ready => "ready",
            Status::Running => "running",
            Status::Person => "waits for a person",
            Status::Approval => "waits for approval",
            Status::Sleeping => "waits",
            Status::Done => "done",
            Status::Skipped => "skipped",
            Status::Failed => "failed",
        }
    }
}

/// What a sleeping, running or waiting task goes on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// It ends then.
    Sleep {
        /// Microseconds since 1970.
        until_us: i64,
    },
    /// It is tried again then.
    Retry {
        /// Microseconds since 1970.
        until_us: i64,
    },
    /// A command runs, or waits for approval; whether it is known to be under way.
    Call(Box<Pending>),
    /// A command is asked again then.
    Poll {
        /// The call to repeat.
        call: Box<Pending>,
        /// Microseconds since 1970.
        until_us: i64,
        /// It is given up then.
        deadline_us: i64,
    },
    /// `GenericPolling`: a command is repeated until an expression selects nothing.
    Generic(Box<Generic>),
    /// The next turn of a loop starts then.
    Turn {
        /// Microseconds since 1970.
        until_us: i64,
    },
    /// A person.
    Person {
        /// When the person must have done it; 0: no promise.
        due_us: i64,
        /// Who has to do it, if it is said.
        assignee: String,
        /// Only that one may.
        restricted: bool,
        /// When to remind, in microseconds; 0: never, or it was done.
        #[serde(default)]
        remind_us: i64,
    },
}

/// A call as it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The command or script.
    pub command: String,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// What it is given.
    pub arguments: Map<String, Value>,
    /// Seconds after which it is given up; 0: as the command says.
    #[serde(default)]
    pub timeout_s: u32,
    /// When a poll that it is part of is given up, in microseconds; 0: it is none.
    #[serde(default)]
    pub deadline_us: i64,
}

/// `GenericPolling` in the middle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generic {
    /// The command.
    pub command: String,
    /// Its argument for the ids.
    pub argument: String,
    /// Other arguments.
    pub others: Map<String, Value>,
    /// What selects those that are still pending.
    pub dt: String,
    /// Ids that are still pending.
    pub ids: Vec<String>,
    /// Microseconds between two rounds.
    pub interval_us: i64,
    /// The next round; while a round runs, the round.
    pub until_us: i64,
    /// It is given up then.
    pub deadline_us: i64,
}

/// A loop in the middle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turns {
    /// Turns that ended.
    pub done: u32,
    /// Inputs of the turns of a `forEach`; else the same for all.
    pub inputs: Vec<Map<String, Value>>,
    /// The context that turns share.
    pub context: Option<u32>,
    /// An automation was asked whether to stop.
    #[serde(default)]
    pub asking: bool,
}

impl Wait {
    /// When it ends by itself.
    pub fn until_us(&self) -> Option<i64> {
        match self {
            Wait::Sleep { until_us } | Wait::Retry { until_us } | Wait::Poll { until_us, .. } | Wait::Turn { until_us } => Some(*until_us),
            Wait::Generic(generic) => Some(generic.until_us),
            Wait::Call(_) | Wait::Person { .. } => None,
        }
    }

    /// When whoever it waits for has to be reminded.
    pub fn reminds_us(&self) -> Option<i64> {
        match self {
            Wait::Person { remind_us, .. } if *remind_us > 0 => Some(*remind_us),
            _ => None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
