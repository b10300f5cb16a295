//! Owns what is kept of runs: the newest state of each, written in batches, all or nothing. The
//! one in memory is for tests and single processes; on Kafka a batch is a transaction on the
//! `runs` topic with the position in `incidents`, and the lease is the membership of the group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fair::Class;
use crate::respond::run::timer::TimerFact;
use crate::respond::run::{Edit, Entry, Run, RunState};

/// A run, and where it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunRef {
    /// Its id: 32 hex digits as a number.
    pub id: u128,
    /// The partition of its incident.
    pub partition: i32,
}

impl RunRef {
    /// Of this run.
    pub fn of(run: &Run, partition: i32) -> RunRef {
        RunRef { id: u128::from_str_radix(&run.id, 16).unwrap_or_default(), partition }
    }

    /// The 32 hex digits.
    pub fn hex(self) -> String {
        format!("{:032x}", self.id)
    }
}

/// What a member has to know of a run that it takes over.
#[derive(Debug, Clone)]
pub struct Hint {
    /// Where it stands.
    pub state: RunState,
    /// How urgent it is.
    pub class: Class,
    /// The type of its incident.
    pub type_name: Arc<str>,
    /// When it goes on by itself, in microseconds.
    pub wakes_us: Option<i64>,
}

/// What has to be known of a run without reading its state.
#[derive(Debug, Clone)]
pub struct About {
    /// Where it stands.
    pub state: RunState,
    /// How urgent it is.
    pub class: Class,
    /// The type of its incident.
    pub type_name: Arc<str>,
    /// When it goes on by itself, in microseconds.
    pub wakes_us: Option<i64>,
    /// Its incident, by id.
    pub incident: String,
    /// Its playbook, by name.
    pub playbook: String,
    /// The version of that; empty before it begins.
    pub version: String,
    /// See [`Run::depth`].
    pub depth: u64,
}

impl About {
    /// True where nothing can happen any more.
    pub fn is_done(&self) -> bool {
        self.state.is_over() && self.wakes_us.is_none()
    }

    /// Of this run.
    pub fn of(run: &Run) -> About {
        let severity = run.incident.get("severity").and_then(crate::expr::xsoar::value::as_number).unwrap_or(0.0);
        About {
            state: run.state,
            class: Class::of(severity),
            type_name: run.incident.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().into(),
            // What is over may have timers that go on; that they are there is told in this way.
            wakes_us: run.wakes_at().or((run.state.is_over() && !run.is_done()).then_some(0)),
            incident: run.incident_id().to_owned(),
            playbook: run.playbook.clone(),
            version: run.pinned.get(&run.playbook).cloned().unwrap_or_default(),
            depth: run.depth,
        }
    }
}

/// What is written of one step.
#[derive(Debug, Clone)]
pub struct Record {
    /// The run.
    pub run: RunRef,
    /// What is known of it without its state.
    pub about: About,
    /// Its state, as JSON; empty: it is forgotten.
    pub state: Vec<u8>,
    /// War room entries.
    pub entries: Vec<Entry>,
    /// Changes of incidents: facts, with their numbers in the run.
    pub edits: Vec<(u64, Edit)>,
    /// What became of timers: facts, likewise.
    pub timers: Vec<(u64, TimerFact)>,
    /// The incident, where another run starts on it.
    pub incident: Option<serde_json::Value>,
}

impl Record {
    /// Nothing yet of this run.
    pub fn of(run: RunRef) -> Record {
        let about = About {
            state: RunState::New,
            class: Class::Medium,
            type_name: "".into(),
            wakes_us: None,
            incident: String::new(),
            playbook: String::new(),
            version: String::new(),
            depth: 0,
        };
        Record { run, about, state: Vec::new(), entries: Vec::new(), edits: Vec::new(), timers: Vec::new(), incident: None }
    }
}

/// Why a batch was not written. Nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Somebody else owns these runs now: what is in memory is to be forgotten.
    #[error("these runs belong to another member now")]
    Fenced,
    /// It may work later.
    #[error("the journal cannot be written: {0}")]
    Passing(String),
}

/// Keeps the newest state of runs.
pub trait Journal {
    /// Writes a batch, all or nothing.
    ///
    /// # Errors
    /// A lost lease, a journal that cannot be written.
    fn commit(&mut self, batch: &[Record]) -> Result<(), JournalError>;
    /// The state of a run that is not over.
    fn load(&mut self, run: RunRef) -> Option<Run>;
    /// True for a run that was ever written and is not forgotten.
    fn knows(&mut self, run: RunRef) -> bool;
    /// Whether calls may begin: not longer than a session after the last commit that the group
    /// checked. A member that stood still finds that in the past.
    fn may_begin(&self) -> bool;
}

/// A journal in memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// Newest states by run.
    pub states: BTreeMap<String, Vec<u8>>,
    /// War room.
    pub entries: Vec<Entry>,
    /// Changes of incidents, with their runs.
    pub edits: Vec<(String, Edit)>,
    /// What became of timers.
    pub timers: Vec<TimerFact>,
    /// Batches so far.
    pub commits: u64,
    /// Bytes of all states that were written.
    pub bytes: u64,
    /// Entries and edits are counted, not kept: for floods.
    pub counts_only: bool,
    /// Batches are refused from now on.
    pub fenced: bool,
}

impl Journal for Memory {
    fn commit(&mut self, batch: &[Record]) -> Result<(), JournalError> {
        if self.fenced {
            return Err(JournalError::Fenced);
        }
        self.commits += 1;
        for record in batch {
            self.bytes += record.state.len() as u64;
            if record.state.is_empty() {
                self.states.remove(&record.run.hex());
            } else {
                self.states.insert(record.run.hex(), record.state.clone());
            }
            if !self.counts_only {
                self.entries.extend(record.entries.iter().cloned());
                self.edits.extend(record.edits.iter().map(|(_, edit)| (record.run.hex(), edit.clone())));
                self.timers.extend(record.timers.iter().map(|(_, timer)| timer.clone()));
            }
        }
        Ok(())
    }

    fn load(&mut self, run: RunRef) -> Option<Run> {
        serde_json::from_slice(self.states.get(&run.hex())?).ok()
    }

    fn knows(&mut self, run: RunRef) -> bool {
        self.states.contains_key(&run.hex())
    }

    fn may_begin(&self) -> bool {
        !self.fenced
    }
}
