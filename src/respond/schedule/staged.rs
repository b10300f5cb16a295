//! Owns what the next commit writes: one record a run, the newest state, and what was said on the
//! way there; and the entries by which the war room is an audit record: calls, results, questions.

use std::collections::HashMap;

use super::journal::{Record, RunRef};
use crate::respond::limits::cut;
use crate::respond::run::task::Wait;
use crate::respond::run::{Ask, Call, Entry, Failure, Key, Output, Run};

/// Bytes of what an entry tells of an error.
const ERROR_BYTES: usize = 1_000;

/// What the next commit writes.
#[derive(Debug, Default)]
pub struct Staged {
    records: Vec<Record>,
    place: HashMap<u128, usize>,
    bytes: usize,
}

impl Staged {
    /// Adds what a step said. Of a run that was stepped twice in one batch the last state counts.
    pub fn add(&mut self, record: Record) {
        self.bytes += record.state.len() + record.entries.iter().map(|entry| entry.text.len() + 300).sum::<usize>();
        match self.place.get(&record.run.id).and_then(|place| self.records.get_mut(*place)) {
            Some(staged) => {
                self.bytes -= staged.state.len();
                staged.state = record.state;
                staged.about = record.about;
                staged.entries.extend(record.entries);
                staged.edits.extend(record.edits);
                staged.timers.extend(record.timers);
                staged.incident = record.incident.or(staged.incident.take());
            }
            None => {
                self.place.insert(record.run.id, self.records.len());
                self.records.push(record);
            }
        }
    }

    /// True for a run that is in it.
    pub fn has(&self, at: RunRef) -> bool {
        self.place.contains_key(&at.id)
    }

    /// The state of a run that is in it.
    pub fn state(&self, at: RunRef) -> Option<&[u8]> {
        self.place.get(&at.id).and_then(|place| self.records.get(*place)).map(|record| record.state.as_slice())
    }

    /// All of it.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// True where there is nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Runs.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// It is written.
    pub fn clear(&mut self) {
        self.records.clear();
        self.place.clear();
        self.bytes = 0;
    }

    /// Only these stay.
    pub fn retain(&mut self, stays: impl Fn(&RunRef) -> bool) {
        let records = std::mem::take(&mut self.records);
        self.clear();
        records.into_iter().filter(|record| stays(&record.run)).for_each(|record| self.add(record));
    }
}

fn entry(run: &Run, id: String, at_us: i64, task: &str, command: &str, kind: &str, text: String) -> Entry {
    let actor = format!("playbook:{}", run.playbook);
    Entry { id, at_us, actor, task: task.to_owned(), command: command.to_owned(), kind: kind.to_owned(), text, key: String::new() }
}

fn named(run: &Run, what: char, key: Key) -> String {
    format!("{what}{}.{}.{}@{}", key.frame, key.task, key.attempt, run.id)
}

/// A command is started.
pub fn call_entry(run: &Run, call: &Call, now_us: i64) -> Entry {
    let started = entry(run, named(run, 'c', call.key), now_us, &call.task, &call.command, "call", String::new());
    Entry { key: call.idempotency_key.clone(), ..started }
}

/// A command ended; `None` where nobody waits for it.
pub fn result_entry(run: &Run, key: Key, result: &Result<Output, Failure>, now_us: i64) -> Option<Entry> {
    let task = run.task(key.frame, key.task).filter(|task| task.attempt == key.attempt)?;
    let command = match task.wait.as_deref()? {
        Wait::Call(pending) => pending.command.as_str(),
        Wait::Generic(generic) => generic.command.as_str(),
        _ => return None,
    };
    let text = match result {
        Ok(Output { poll: Some(poll), .. }) => format!("again in {} s", poll.after_s),
        Ok(_) => "done".to_owned(),
        Err(failure) => format!("{}: {}", failure.kind.name(), cut(&failure.message, ERROR_BYTES)),
    };
    let ended = entry(run, named(run, 'r', key), now_us, "", command, "result", text);
    Some(Entry { key: run.idempotency_key(key), ..ended })
}

/// A person is asked.
pub fn question_entry(run: &Run, ask: &Ask, now_us: i64) -> Entry {
    let what = if ask.subject.is_empty() { &ask.name } else { &ask.subject };
    entry(run, named(run, 'q', ask.key), now_us, &ask.task, "", "question", cut(what, ERROR_BYTES).to_owned())
}
