//! Owns what happens when partitions come and go: their states are restored, their runs are taken
//! over bit by bit, and given up again after a last commit.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::journal::hint_of;
use super::work::Responder;
use crate::error::Error;
use crate::kafka::{At, Part, Start};
use crate::respond::clock::now_us;
use crate::respond::run::RunState;
use crate::respond::schedule::coordinator::Taken;
use crate::respond::schedule::journal::{Hint, RunRef};

/// Runs whose states are read to take them over, between two commits (count).
const TAKEN_AT_ONCE: usize = 500;
/// Runs that are queued again, between two commits (count): no state is read for them.
const QUEUED_AT_ONCE: usize = 50_000;
/// How long calls of a partition that is given up may take to end.
const REVOKE_CALLS_WAIT: Duration = Duration::from_secs(2);

/// A partition whose runs are taken over.
pub(super) struct Taking {
    start: Start,
    runs: VecDeque<Taken>,
}

/// True for a run whose state has to be read.
fn is_costly(taken: &Taken) -> bool {
    !matches!(&taken.hint, Some(Hint { state: RunState::New | RunState::Waiting | RunState::Completed | RunState::Cancelled, .. }))
}

impl Responder<'_> {
    /// The group gave partitions: none is read before its runs are here.
    pub(super) fn assigned(&mut self, parts: &[Part]) -> Result<(), Error> {
        self.member.assign(&[])?;
        for (_, partition) in parts {
            self.open(*partition)?;
        }
        self.tell_reading();
        Ok(())
    }

    fn open(&mut self, partition: i32) -> Result<(), Error> {
        self.unpaused(partition);
        let done = self.parts.open(&mut self.coordinator.journal.store, partition);
        done.map_err(|wrong| self.wrong(wrong))
    }

    /// Partitions whose states are all there.
    pub(super) fn opened(&mut self) -> Result<(), Error> {
        loop {
            let opened = self.parts.opened(&mut self.coordinator.journal.store);
            let Some((partition, opened)) = opened.map_err(|wrong| self.wrong(wrong))? else { return Ok(()) };
            let (mut runs, mut known) = (VecDeque::new(), BTreeSet::new());
            let each = self.coordinator.journal.store.each(partition, |id, head| {
                let hint = hint_of(head, &mut known);
                if hint.as_ref().is_none_or(|hint| !hint.state.is_over() || hint.wakes_us.is_some()) {
                    runs.push_back(Taken { run: RunRef { id, partition }, hint });
                }
                true
            });
            each.map_err(|error| self.broken(error))?;
            tracing::info!(partition, records = opened.records, runs = runs.len(), took = ?opened.took, "runs of playbooks restored");
            self.totals.opened(opened.records);
            self.taking.insert(partition, Taking { start: opened.start, runs });
        }
    }

    /// Takes over some of the runs that wait for it; a partition whose runs are all here is read.
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        let Some((partition, mut taking)) = self.taking.pop_first() else { return Ok(()) };
        let (mut costly, mut all) = (0, 0);
        let mut some = Vec::new();
        while costly < TAKEN_AT_ONCE
            && all < QUEUED_AT_ONCE
            && let Some(taken) = taking.runs.pop_front()
        {
            costly += usize::from(is_costly(&taken));
            all += 1;
            some.push(taken);
        }
        self.coordinator.take_over(some, now_us());
        if let Some(error) = self.coordinator.journal.broken.take() {
            return Err(self.broken(error));
        }
        if !taking.runs.is_empty() {
            self.taking.insert(partition, taking);
            return Ok(());
        }
        self.member.assign(&[(&self.spec.names.incidents, partition, taking.start)])?;
        self.tell_reading();
        Ok(())
    }

    /// The group takes partitions: what was done is committed before they go.
    pub(super) fn revoked(&mut self, parts: &[Part], lost: bool) -> Result<(), Error> {
        let gone: Vec<i32> = parts.iter().map(|(_, partition)| *partition).collect();
        if lost {
            // Somebody else has them already; our part of it must not be committed.
            gone.iter().for_each(|partition| self.give_up(*partition));
        } else {
            // A result that is committed here is not in doubt elsewhere.
            self.drain(REVOKE_CALLS_WAIT, |coordinator| gone.iter().any(|partition| coordinator.busy(*partition)));
            let done = self.commit_and_mark(&gone);
            self.coordinator.hold(false);
            done?;
        }
        crate::run::failpoint::hit("in_revoke");
        let mut read = Vec::new();
        for partition in gone {
            self.give_up(partition);
            let assigned = !self.taking.contains_key(&partition);
            self.taking.remove(&partition);
            if self.parts.remove(partition) && assigned {
                read.push((self.spec.names.incidents.as_str(), partition));
            }
        }
        self.member.unassign(&read)?;
        self.tell_reading();
        Ok(())
    }

    fn give_up(&mut self, partition: i32) {
        self.coordinator.forget(partition, false);
        self.coordinator.journal.ahead.remove(&partition);
        self.unpaused(partition);
    }

    /// Opens all partitions anew, from what is committed.
    pub(super) fn rewind(&mut self) -> Result<(), Error> {
        let all = self.parts.all();
        let topic = self.spec.names.incidents.as_str();
        let read: Vec<(&str, i32)> = self
            .parts
            .read()
            .map(|(partition, _)| partition)
            .filter(|partition| !self.taking.contains_key(partition))
            .map(|partition| (topic, partition))
            .collect();
        self.member.unassign(&read)?;
        self.taking.clear();
        self.coordinator.journal.ahead.clear();
        for partition in all {
            self.coordinator.forget(partition, true);
            self.open(partition)?;
        }
        self.tell_reading();
        Ok(())
    }

    /// Commits, and tells the cache up to where it is filled in these partitions: their ends, asked
    /// for first, if the commit after it, which the group checks, goes through. Then all before these
    /// ends was written by us or read at the opening, and is in the cache.
    pub(super) fn commit_and_mark(&mut self, partitions: &[i32]) -> Result<(), Error> {
        let dirty = self.parts.written(partitions);
        let asked: Vec<(&str, i32)> = dirty.iter().map(|(partition, _)| (self.spec.names.runs.as_str(), *partition)).collect();
        let ends = self.admin.offsets(&asked, At::End).unwrap_or_else(|error| {
            // Only a cache: a later mark does.
            tracing::debug!(%error, "the cache is not marked");
            Vec::new()
        });
        let marks: Vec<(i32, i64)> = dirty.iter().zip(ends).map(|((partition, _), end)| (*partition, end)).collect();
        self.commit(&marks)
    }

    /// Ready is who reads all that it was given, also where that is nothing.
    fn tell_reading(&self) {
        self.spec.health.set_reading(!self.parts.opening() && self.taking.is_empty());
    }
}
