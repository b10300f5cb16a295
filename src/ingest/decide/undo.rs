//! What was put into a shard since the last commit, so that it can be taken out again.
//!
//! Batches are decided ahead of the transaction that makes them last. Each leaves a mark; a
//! commit forgets the marks up to a batch, and what came before the first mark left over
//! stays. Undoing goes backwards to the commit. What an index throws away meanwhile is held
//! (see `horizon`); if it could not be, the batch in which that happened is noted here, and
//! until that batch is committed the shard can only be restored from its topic.

use std::collections::VecDeque;

use super::Origin;
use super::chain::Member;
use super::notes::{Clocks, noted, parts};

/// Where a shard stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Its clocks.
    pub clocks: Clocks,
    /// Incidents that it ever remembered.
    pub order: u64,
}

/// Where a batch ended.
#[derive(Debug)]
struct Mark {
    seq: u64,
    point: Point,
    /// Length of the lists below, counted from the first commit on.
    prints: u64,
    values: u64,
}

/// The log of one shard.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    /// What entered an index, see `notes::noted`.
    prints: VecDeque<u128>,
    /// Incidents whose place was taken, with the number of the print that did so.
    replaced: VecDeque<(u64, Member)>,
    /// Whose values were kept.
    values: VecDeque<Origin>,
    prints_gone: u64,
    values_gone: u64,
    marks: VecDeque<Mark>,
    committed: Option<Point>,
    /// The last batch in which something went that undoing would need.
    lost: Option<u64>,
}

impl UndoLog {
    /// The log of a shard that was restored up to here.
    pub fn restored(point: Point) -> UndoLog {
        UndoLog { committed: Some(point), ..UndoLog::default() }
    }

    /// Notes an incident that entered an index, and whose place it took.
    #[inline]
    pub fn enter(&mut self, rule: usize, fingerprint: u128, replaced: Option<Member>) {
        if let Some(member) = replaced {
            self.replaced.push_back((self.prints_gone + self.prints.len() as u64, member));
        }
        self.prints.push_back(noted(rule, fingerprint));
    }

    /// Notes an incident whose values are kept.
    #[inline]
    pub fn keep(&mut self, origin: Origin) {
        self.values.push_back(origin);
    }

    /// Ends a batch. `lost`: something went that undoing would need.
    pub fn close(&mut self, seq: u64, point: Point, lost: bool) {
        if lost {
            self.lost = Some(seq);
        }
        if self.at_rest(point) && !lost {
            return;
        }
        let (prints, values) = (self.prints_gone + self.prints.len() as u64, self.values_gone + self.values.len() as u64);
        self.marks.push_back(Mark { seq, point, prints, values });
    }

    /// Whether nothing happened since the last mark.
    fn at_rest(&self, point: Point) -> bool {
        match self.marks.back() {
            Some(mark) => mark.point == point && mark.prints == self.prints_gone + self.prints.len() as u64,
            None => self.committed == Some(point) && self.prints.is_empty(),
        }
    }

    /// Forgets the marks up to and including a batch. Where the shard stood then, if that is news.
    pub fn commit(&mut self, seq: u64) -> Option<Point> {
        let mut last = None;
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.seq <= seq) {
            last = Some(mark);
        }
        let mark = last?;
        self.prints.drain(..(mark.prints - self.prints_gone) as usize);
        self.values.drain(..(mark.values - self.values_gone) as usize);
        (self.prints_gone, self.values_gone) = (mark.prints, mark.values);
        while self.replaced.pop_front_if(|(at, _)| *at < mark.prints).is_some() {}
        self.lost = self.lost.filter(|lost| *lost > seq);
        self.committed = Some(mark.point);
        self.committed
    }

    /// Where to go back to; `None` = to nothing.
    pub fn committed(&self) -> Option<Point> {
        self.committed
    }

    /// Whether there is nothing to undo.
    pub fn is_clean(&self, point: Point) -> bool {
        self.marks.is_empty() && self.prints.is_empty() && self.committed == Some(point)
    }

    /// Whether it cannot be undone in place.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// The last print: rule, fingerprint and whose place it took.
    pub fn pop_print(&mut self) -> Option<(usize, u128, Option<Member>)> {
        let (rule, fingerprint) = parts(self.prints.pop_back()?);
        let at = self.prints_gone + self.prints.len() as u64;
        let replaced = self.replaced.pop_back_if(|(by, _)| *by == at).map(|(_, member)| member);
        Some((rule, fingerprint, replaced))
    }

    /// The last incident whose values are kept.
    pub fn pop_values(&mut self) -> Option<Origin> {
        self.values.pop_back()
    }

    /// All was undone.
    pub fn clear(&mut self) {
        self.marks.clear();
    }
}
