//! Owns what can be asked of a coordinator.

use std::cmp::Reverse;

use super::Coordinator;
use crate::respond::run::{Ask, Key};
use crate::respond::schedule::fair::Class;
use crate::respond::schedule::journal::{Journal, RunRef};

impl<J: Journal> Coordinator<J> {
    /// True where something waits to be committed.
    pub fn is_dirty(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Bytes and runs that wait to be committed.
    pub fn staged(&self) -> (usize, usize) {
        (self.staged.bytes(), self.staged.len())
    }

    /// True for a call whose result is waited for.
    pub fn waits_for(&self, at: RunRef, key: Key) -> bool {
        self.under_way.contains_key(&(at, key))
    }

    /// Seconds that the run which waits longest for its turn has waited.
    pub fn oldest_s(&self, now_us: i64) -> u32 {
        let now_s = u32::try_from(now_us / 1_000_000).unwrap_or(0);
        let queued = self.fair.fronts().chain(self.aside.iter().map(|(_, _, queued)| queued));
        queued.map(|queued| now_s.saturating_sub(queued.since_s)).max().unwrap_or(0)
    }

    /// True while calls may begin: the lease holds.
    pub fn may_begin(&self) -> bool {
        self.journal.may_begin()
    }

    /// Calls whose results did not come yet.
    pub fn under_way(&self) -> usize {
        self.under_way.values().filter(|result| result.is_none()).count()
    }

    /// The same of one partition's runs that are here.
    pub fn busy(&self, partition: i32) -> bool {
        self.active.values().any(|active| active.at.partition == partition && active.calls > 0)
    }

    /// Questions to people since the last time.
    pub fn asks(&mut self) -> Vec<(RunRef, Ask)> {
        std::mem::take(&mut self.asks)
    }

    /// When something is to be done by itself, in microseconds.
    pub fn next_us(&self) -> Option<i64> {
        let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
        wake.into_iter().chain(self.waits.next_us()).min()
    }

    /// Runs that wait for their turn, and runs in memory.
    pub fn load(&self) -> (usize, usize) {
        (self.fair.len() + self.aside.len(), self.active.len())
    }

    /// Runs that wait for a time, and calls that are held back.
    pub fn held(&self) -> (usize, usize) {
        (self.wake_of.len(), self.waits.held())
    }

    /// What waits, by class and type.
    pub fn waiting(&self) -> Vec<(Class, String, usize)> {
        self.fair.waiting().map(|(class, name, count)| (class, name.to_string(), count)).collect()
    }
}
