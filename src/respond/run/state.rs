//! Owns the state of a run: all that is needed to go on with it elsewhere. It is JSON on the
//! `runs` topic; what can be had from the playbook is not in it. Its tasks are in `task`.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::task::{Status, Task, Wait};

/// A task of a run: the frame (one turn of a playbook), the number of the task in its playbook, and
/// how often it was tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Which turn of which playbook.
    pub frame: u32,
    /// Which task.
    pub task: u32,
    /// Which attempt, poll or question of it.
    pub attempt: u32,
}

/// A run of a playbook on an incident.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// 32 hex digits.
    pub id: String,
    /// The incident with all its fields, as tasks see it.
    pub incident: Value,
    /// Which playbook of which version: (name, version). Sub-playbooks are added when they start.
    pub pinned: BTreeMap<String, String>,
    /// The playbook, by name.
    pub playbook: String,
    /// Inputs that it was given, in the place of what the playbook says.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub given: Map<String, Value>,
    /// Where it stands.
    pub state: RunState,
    /// Turns of playbooks that are going on. The first one is the playbook itself.
    pub frames: BTreeMap<u32, Frame>,
    /// The number of the next frame.
    pub next_frame: u32,
    /// Contexts by number; frames name theirs.
    pub contexts: BTreeMap<u32, Value>,
    /// Tasks that can start, in order.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub ready: VecDeque<(u32, u32)>,
    /// Tasks that were started so far.
    pub started: u64,
    /// War room entries so far.
    pub entries: u64,
    /// Changes of incidents so far: with the run's id they name facts.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub changes: u64,
    /// The mode that it was asked for with, if it was; what holds for all runs may be stricter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Runs whose playbooks created this incident, one by the other.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub depth: u64,
    /// The newest entries, for tasks that read them.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub recent: VecDeque<Recent>,
    /// Lists that this run changed: they shadow those of the packs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, String>,
    /// Indicators that it knows: value → type and fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub indicators: Map<String, Value>,
    /// What it did with the incident's timers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timers: BTreeMap<String, super::timer::Timer>,
    /// Calls that were not let begin yet: whoever goes on with the run lets them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub held: std::collections::BTreeSet<Key>,
    /// Its tasks that wait, as people know them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Waits>,
    /// A close that waits for the type's closure script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// When it began, in microseconds.
    pub began_us: i64,
    /// When it ended, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted, not begun.
    New,
    /// Something of it runs, or can.
    Running,
    /// All that is left waits: for a person, a time, an approval.
    Waiting,
    /// Done.
    Completed,
    /// A task failed, and nothing goes on before a person has decided.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl RunState {
    /// For people and SQL.
    pub fn name(self) -> &'static str {
        match self {
            RunState::New => "new",
            RunState::Running => "running",
            RunState::Waiting => "waiting",
            RunState::Completed => "completed",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<RunState> {
        let all = [RunState::New, RunState::Running, RunState::Waiting, RunState::Completed, RunState::Failed, RunState::Cancelled];
        all.into_iter().find(|state| state.name() == name)
    }

    /// True where nothing happens any more.
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Completed | RunState::Cancelled)
    }
}

/// A task that waits: what tables and commands say of it without its playbook at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Which turn of which playbook.
    pub frame: u32,
    /// Its id in the playbook.
    pub task: String,
    /// Its name.
    pub name: String,
    /// What for.
    pub status: Status,
    /// Since when, in microseconds.
    pub since_us: i64,
    /// Until when, in microseconds; 0: it is not known, or there is no promise.
    #[serde(default)]
    pub until_us: i64,
    /// Who is asked, if it is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
}

/// A close that waits for the type's closure script: its task ends when the script does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closing {
    /// The task that closes.
    pub key: Key,
    /// Why.
    pub reason: String,
    /// What else there is to say.
    pub notes: String,
}

/// A war room entry that is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recent {
    /// Its id.
    pub id: String,
    /// It tells an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
    /// Its text, cut.
    pub text: String,
}

/// One turn of a playbook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frame {
    /// The playbook, by name.
    pub playbook: String,
    /// The task that it is the body of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<(u32, u32)>,
    /// Which turn of a loop, from 0.
    pub turn: u32,
    /// Its context, by number.
    pub context: u32,
    /// Its inputs.
    pub inputs: Map<String, Value>,
    /// Its tasks, as the playbook numbers them.
    pub tasks: Vec<Task>,
    /// Tasks that are ready, running or waiting.
    pub live: u32,
}

impl Run {
    /// A run that has not begun. Its id follows from what it is a run of.
    pub fn new(incident_id: &str, playbook: &str, trigger: &str, incident: Value) -> Run {
        Run {
            id: hash(&[b"run", incident_id.as_bytes(), playbook.as_bytes(), trigger.as_bytes()]),
            incident,
            pinned: BTreeMap::new(),
            playbook: playbook.to_owned(),
            given: Map::new(),
            state: RunState::New,
            frames: BTreeMap::new(),
            next_frame: 0,
            contexts: BTreeMap::new(),
            ready: VecDeque::new(),
            started: 0,
            entries: 0,
            changes: 0,
            mode: String::new(),
            depth: 0,
            recent: VecDeque::new(),
            lists: BTreeMap::new(),
            indicators: Map::new(),
            timers: BTreeMap::new(),
            held: std::collections::BTreeSet::new(),
            waits: Vec::new(),
            closing: None,
            began_us: 0,
            ended_us: None,
            reason: String::new(),
        }
    }

    /// The id of the incident.
    pub fn incident_id(&self) -> &str {
        self.incident.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// The key by which the outside knows a call: the same whenever it is repeated.
    pub fn idempotency_key(&self, key: Key) -> String {
        // Frames are numbered in the order in which they start, which depends on nothing else than
        // the results that are committed.
        hash(&[self.id.as_bytes(), &key.frame.to_be_bytes(), &key.task.to_be_bytes(), &key.attempt.to_be_bytes()])
    }

    /// Its state would not fit into a record, or could not be read again: it fails, and what it knew goes.
    pub fn too_large(&mut self) {
        self.state = RunState::Failed;
        self.reason = "its state became larger than a record of the topic takes, or too deep".to_owned();
        self.frames.clear();
        self.contexts.clear();
        self.ready.clear();
        self.held.clear();
        self.recent.clear();
        self.lists.clear();
        self.indicators.clear();
        if let Value::Object(incident) = &mut self.incident {
            incident.retain(|name, value| ["id", "type", "severity"].contains(&name.as_str()) && !value.is_object() && !value.is_array());
        }
    }

    /// A task.
    pub fn task(&self, frame: u32, task: u32) -> Option<&Task> {
        self.frames.get(&frame)?.tasks.get(task as usize)
    }

    /// A task.
    pub fn task_mut(&mut self, frame: u32, task: u32) -> Option<&mut Task> {
        self.frames.get_mut(&frame)?.tasks.get_mut(task as usize)
    }

    /// The next time at which a task wakes, somebody has to be reminded, or a timer has to be looked at, in
    /// microseconds. The timers of an incident outlive the run that started them: a run that is over looks after
    /// them until they have ended.
    pub fn wakes_at(&self) -> Option<i64> {
        let reminders = self.tasks().filter(|task| task.status == Status::Person).filter_map(|task| task.wait.as_deref().and_then(Wait::reminds_us));
        let timers = self.timers.values().filter_map(super::timer::Timer::looks_at);
        self.sleeps_until().into_iter().chain(reminders).chain(timers).min()
    }

    /// The next time at which a task goes on by itself, in microseconds.
    pub fn sleeps_until(&self) -> Option<i64> {
        let sleeping = self.tasks().filter(|task| task.status == Status::Sleeping && self.state != RunState::Failed);
        sleeping.filter_map(|task| task.wait.as_deref().and_then(Wait::until_us)).min()
    }

    /// True where nothing can happen any more: it is over, and no timer of it runs.
    pub fn is_done(&self) -> bool {
        self.state.is_over() && !self.timers.values().any(super::timer::Timer::is_going)
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.frames.values().flat_map(|frame| &frame.tasks)
    }
}

fn is_none_yet(number: &u64) -> bool {
    *number == 0
}

/// 32 hex digits of parts, each with its length.
pub fn hash(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
