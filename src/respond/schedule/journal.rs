//! Owns what is kept of runs: the newest state of each, written in batches, all or nothing. The
//! one in memory is for tests and single processes; on Kafka a batch is a transaction on the
//! `runs` topic with the position in `incidents`, and the lease is the membership of the group.

use std::collections::BTreeMap;

use crate::respond::run::timer::TimerFact;
use crate::respond::run::{Edit, Entry, Run};

/// What is written of one step.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The run.
    pub run: String,
    /// Its state, as JSON; empty: it is forgotten.
    pub state: Vec<u8>,
    /// War room entries.
    pub entries: Vec<Entry>,
    /// Changes of incidents: facts.
    pub edits: Vec<Edit>,
    /// What became of timers: facts.
    pub timers: Vec<TimerFact>,
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
    /// The state of a run.
    fn load(&self, run: &str) -> Option<Run>;
    /// Until when calls may begin, in microseconds: the last commit that the group checked, plus
    /// what is left of the session. A member that stood still finds this in the past.
    fn lease_until_us(&self) -> i64;
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
                self.states.remove(&record.run);
            } else {
                self.states.insert(record.run.clone(), record.state.clone());
            }
            if !self.counts_only {
                self.entries.extend(record.entries.iter().cloned());
                self.edits.extend(record.edits.iter().map(|edit| (record.run.clone(), edit.clone())));
                self.timers.extend(record.timers.iter().cloned());
            }
        }
        Ok(())
    }

    fn load(&self, run: &str) -> Option<Run> {
        serde_json::from_slice(self.states.get(run)?).ok()
    }

    fn lease_until_us(&self) -> i64 {
        if self.fenced { 0 } else { i64::MAX }
    }
}
