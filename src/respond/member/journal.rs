//! Owns the journal on Kafka: a batch is one transaction of run states, war room entries, facts, and
//! the position of a partition that is ours; always one, as the group checks a membership only
//! where a position is committed. The cache on disk is written after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{self, Origin};
use super::intake::DEPTH;
use super::lease::{Lease, clock_us};
use crate::kafka::{Membership, Record as KafkaRecord, Transactor, TxnError};
use crate::respond::clock::{iso_us, now_us};
use crate::respond::run::{Run, RunState};
use crate::respond::schedule::fair::Class;
use crate::respond::schedule::journal::{About, Hint, Journal, JournalError, Record, RunRef};
use crate::run::failpoint;
use crate::run::states::restore::Cached;
use crate::run::states::store::{Store, StoreError};

/// Topics by their number in the transactor.
pub const RUNS: u16 = 0;
/// See [`RUNS`].
pub const WAR_ROOM: u16 = 1;
/// See [`RUNS`].
pub const FACTS: u16 = 2;
/// See [`RUNS`].
pub const CONTROL: u16 = 3;

/// The journal.
pub struct KafkaJournal {
    /// The states of runs, on disk.
    pub store: Store,
    /// Writes.
    pub transactor: Transactor,
    /// Until when calls may begin.
    pub lease: Arc<Lease>,
    /// Whose incidents runs create.
    pub origin: Origin,
    /// The topic of facts.
    pub incidents: String,
    /// The largest fact, in bytes.
    pub fact_bytes_max: usize,
    /// Whose positions are committed.
    pub membership: Membership,
    /// Positions that were read and are not committed.
    pub ahead: BTreeMap<i32, i64>,
    /// A partition that is ours, at the position that is committed: committed again where nothing was read.
    pub anchor: Option<(i32, i64)>,
    /// Up to where the cache is filled after the next commit.
    pub marks: Vec<(i32, i64)>,
    /// Positions of the last commit.
    pub moved: Vec<(i32, i64)>,
    /// Partitions in which the last commit wrote states.
    pub touched: BTreeSet<i32>,
    /// Why the last batch was not written.
    pub failed: Option<TxnError>,
    /// Why the cache cannot be used any more.
    pub broken: Option<StoreError>,
}

impl KafkaJournal {
    fn write(&mut self, batch: &[Record]) -> Result<(), TxnError> {
        let now = now_us();
        let updated = iso_us(now);
        self.transactor.begin()?;
        for record in batch {
            let (key, about) = (record.run.hex(), &record.about);
            let wakes = about.wakes_us.map(|wakes| wakes.to_string()).unwrap_or_default();
            let headers: [(&str, &[u8]); 7] = [
                ("incident", about.incident.as_bytes()),
                ("playbook", about.playbook.as_bytes()),
                ("state", about.state.name().as_bytes()),
                ("updated", updated.as_bytes()),
                ("class", about.class.name().as_bytes()),
                ("wakes", wakes.as_bytes()),
                ("type", about.type_name.as_bytes()),
            ];
            self.transactor.produce(RUNS, Some(record.run.partition), key.as_bytes(), &record.state, &headers, 0)?;
            for entry in &record.entries {
                self.transactor.produce(WAR_ROOM, None, about.incident.as_bytes(), &facts::entry(record, &key, entry), &[], 0)?;
            }
            if record.edits.is_empty() && record.timers.is_empty() {
                continue;
            }
            let depth = (about.depth + 1).to_string();
            for fact in facts::facts(record, now, &self.origin) {
                if fact.value.len() > self.fact_bytes_max {
                    tracing::error!(run = key, "a change of an incident by a playbook is larger than the topic takes: left out");
                    continue;
                }
                let headers: &[(&str, &[u8])] = if fact.creates { &[(DEPTH, depth.as_bytes())] } else { &[] };
                self.transactor.produce(FACTS, None, fact.key.as_bytes(), &fact.value, headers, 0)?;
            }
        }
        failpoint::hit("respond_after_produce");
        let mut positions: Vec<(&str, i32, i64)> = self.ahead.iter().map(|(partition, next)| (self.incidents.as_str(), *partition, *next)).collect();
        if positions.is_empty() {
            positions.extend(self.anchor.iter().map(|(partition, next)| (self.incidents.as_str(), *partition, *next)));
        }
        self.transactor.send_offsets(&self.membership, &positions)?;
        self.transactor.commit()
    }

    fn cache(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut write = self.store.write();
        for record in batch {
            let at = record.run;
            if record.state.is_empty() {
                write.remove(at.partition, at.id)?;
                continue;
            }
            // Of what is over only that it was there.
            let state: &[u8] = if record.about.is_done() { &[] } else { &record.state };
            write.put(at.partition, at.id, state, &head_of(&record.about))?;
        }
        for (partition, end) in &self.marks {
            write.filled(*partition, *end);
        }
        write.commit()
    }
}

impl Journal for KafkaJournal {
    fn commit(&mut self, batch: &[Record]) -> Result<(), JournalError> {
        if self.ahead.is_empty() && self.anchor.is_none() {
            return Err(JournalError::Fenced);
        }
        // Before the group is asked: what it says is true from then on.
        let asked = clock_us();
        if let Err(error) = self.write(batch) {
            let why = error.error().to_string();
            self.failed = Some(error);
            return Err(JournalError::Passing(why));
        }
        self.lease.renew(asked);
        failpoint::hit("respond_after_commit");
        if let Err(error) = self.cache(batch) {
            let why = error.to_string();
            self.broken = Some(error);
            return Err(JournalError::Passing(why));
        }
        self.touched = batch.iter().map(|record| record.run.partition).collect();
        self.moved = std::mem::take(&mut self.ahead).into_iter().collect();
        Ok(())
    }

    fn load(&mut self, run: RunRef) -> Option<Run> {
        let stored = match self.store.get(run.partition, run.id) {
            Ok(stored) => stored?,
            Err(error) => {
                self.broken = Some(error);
                return None;
            }
        };
        if stored.value().is_empty() {
            return None;
        }
        let read = serde_json::from_slice(stored.value());
        // A build that is older than the one which wrote it, perhaps; a newer one goes on with it.
        read.inspect_err(|_| tracing::error!(run = run.hex(), "the state of a run cannot be read: it stands still")).ok()
    }

    fn knows(&mut self, run: RunRef) -> bool {
        match self.store.get(run.partition, run.id) {
            Ok(stored) => stored.is_some(),
            Err(error) => {
                self.broken = Some(error);
                true
            }
        }
    }

    fn may_begin(&self) -> bool {
        self.lease.holds()
    }
}

/// What the cache says about a run beside its state.
fn head_of(about: &About) -> Vec<u8> {
    let wakes = about.wakes_us.map(|wakes| wakes.to_string()).unwrap_or_default();
    head(about.state.name(), about.class.name(), &wakes, &about.type_name)
}

fn head(state: &str, class: &str, wakes: &str, type_name: &str) -> Vec<u8> {
    [state, class, wakes, type_name].join("\n").into_bytes()
}

/// Reads it. `known`: types so far, so that a million runs of one type share its name.
pub fn hint_of(head: &[u8], known: &mut BTreeSet<Arc<str>>) -> Option<Hint> {
    let mut parts = std::str::from_utf8(head).ok()?.splitn(4, '\n');
    let state = RunState::parse(parts.next()?)?;
    let class = Class::parse(parts.next()?)?;
    let wakes_us = parts.next()?.parse().ok();
    let name = parts.next()?;
    let type_name = match known.get(name) {
        Some(known) => known.clone(),
        None => {
            let name: Arc<str> = name.into();
            known.insert(name.clone());
            name
        }
    };
    Some(Hint { state, class, type_name, wakes_us })
}

/// A record of `runs` for the cache; `None` for one whose key is no run's.
pub fn cached(record: &KafkaRecord<'_>) -> Option<Cached> {
    let key = std::str::from_utf8(record.key()?).ok().filter(|key| key.len() == 32)?;
    let id = u128::from_str_radix(key, 16).ok()?;
    if record.payload().is_empty() {
        return Some((id, None));
    }
    let (mut state, mut class, mut wakes, mut type_name) = (String::new(), String::new(), String::new(), String::new());
    record.headers(|name, value| {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            "state" => state = text(),
            "class" => class = text(),
            "wakes" => wakes = text(),
            "type" => type_name = text(),
            _ => {}
        }
    });
    let over = wakes.is_empty() && RunState::parse(&state).is_some_and(RunState::is_over);
    let value = if over { Vec::new() } else { record.payload().to_vec() };
    Some((id, Some((value, head(&state, &class, &wakes, &type_name)))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cache_says_is_read_again() {
        let mut known = BTreeSet::new();
        let hint = hint_of(&head("waiting", "low", "17", "A\nB"), &mut known).unwrap();
        assert_eq!((hint.state, hint.class, hint.wakes_us, &*hint.type_name), (RunState::Waiting, Class::Low, Some(17), "A\nB"));
        let again = hint_of(&head("new", "critical", "", "A\nB"), &mut known).unwrap();
        assert!(again.wakes_us.is_none() && Arc::ptr_eq(&hint.type_name, &again.type_name));
        assert!(hint_of(b"nonsense", &mut known).is_none());
    }
}
