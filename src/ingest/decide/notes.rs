//! What a batch put into the indexes, in order: what index blocks are made of.
//!
//! Notes are taken inside the turn, so they are flat lists that are only appended to; they
//! are put into bytes outside of it ([`block`](super::block)).

use super::fingerprint::FINGERPRINT_BITS;
use super::{Origin, Scope};

/// The clocks of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Greatest decision time seen (ms since the epoch).
    pub clock_ms: i64,
    /// Latest arrival of a row (µs since the epoch): what rows without a time get.
    pub row_clock_us: i64,
}

/// An incident that was remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotedRow {
    pub origin: Origin,
    pub time: i64,
    /// Its number among all that the shard ever remembered.
    pub order: u64,
    /// Where its part of `Notes::prints` ends.
    pub prints_end: usize,
    /// Where its part of `Notes::values` ends, if it has values for `where`.
    pub values_end: Option<usize>,
}

/// What [`Decider::decide_noted`](super::Decider::decide_noted) remembered; buffers are reused.
#[derive(Debug, Default)]
pub struct Notes {
    pub(super) rows: Vec<NotedRow>,
    /// Rule number above, 112 bits of the fingerprint below: see `noted` and `parts`.
    pub(super) prints: Vec<u128>,
    pub(super) values: Vec<u8>,
    /// Clocks of all shards after the batch, by number of the shard.
    pub(super) clocks: Vec<(u16, Clocks)>,
    /// All partitions share shard 0.
    pub(super) one_shard: bool,
}

impl Notes {
    /// Empties the buffers and keeps their capacity.
    pub(super) fn reset(&mut self, scope: Scope) {
        self.rows.clear();
        self.prints.clear();
        self.values.clear();
        self.clocks.clear();
        self.one_shard = scope == Scope::Process;
    }

    /// Number of incidents noted.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was remembered.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The clocks of a partition's shard after the batch; `None` if it has not seen any row.
    pub fn clocks(&self, partition: u16) -> Option<Clocks> {
        let number = if self.one_shard { 0 } else { partition };
        self.clocks.iter().find(|(shard, _)| *shard == number).map(|(_, clocks)| *clocks)
    }

    /// Ends the notes of an incident, unless nothing was noted of it. True if something was.
    #[inline]
    pub(super) fn end_row(&mut self, origin: Origin, time: i64, order: u64, has_values: bool) -> bool {
        let before = self.rows.last().map_or(0, |row| row.prints_end);
        if self.prints.len() == before && !has_values {
            return false;
        }
        let values_end = has_values.then_some(self.values.len());
        self.rows.push(NotedRow { origin, time, order, prints_end: self.prints.len(), values_end });
        true
    }

    /// The rows of a partition, one half and the other, with the clocks; `None` if there is only one.
    pub fn halves(&self, partition: u16) -> Option<[Notes; 2]> {
        let rows = || self.all().filter(|(row, ..)| row.origin.partition == partition);
        let count = rows().count();
        if count < 2 {
            return None;
        }
        let part = |from: usize, count: usize| {
            let mut part = Notes { one_shard: self.one_shard, clocks: self.clocks.clone(), ..Notes::default() };
            for (row, prints, values) in rows().skip(from).take(count) {
                part.prints.extend_from_slice(prints);
                part.values.extend_from_slice(values.unwrap_or_default());
                part.end_row(row.origin, row.time, row.order, values.is_some());
            }
            part
        };
        Some([part(0, count / 2), part(count / 2, count)])
    }

    /// Puts the rows in their order over all partitions.
    pub(super) fn sort(&mut self) {
        let mut sorted = Notes { one_shard: self.one_shard, ..Notes::default() };
        let mut all: Vec<_> = self.all().collect();
        all.sort_by_key(|(row, ..)| row.order);
        for (row, prints, values) in all {
            sorted.prints.extend_from_slice(prints);
            sorted.values.extend_from_slice(values.unwrap_or_default());
            sorted.end_row(row.origin, row.time, row.order, values.is_some());
        }
        *self = sorted;
    }

    /// All rows with their prints and values.
    pub(super) fn all(&self) -> impl Iterator<Item = (&NotedRow, &[u128], Option<&[u8]>)> {
        let (mut prints_at, mut values_at) = (0, 0);
        self.rows.iter().map(move |row| {
            let prints = self.prints.get(prints_at..row.prints_end).unwrap_or_default();
            prints_at = row.prints_end;
            let values = row.values_end.map(|end| self.values.get(std::mem::replace(&mut values_at, end)..end).unwrap_or_default());
            (row, prints, values)
        })
    }
}

/// A rule's number and a fingerprint in one word.
#[inline]
pub(super) fn noted(rule: usize, fingerprint: u128) -> u128 {
    (rule as u128) << FINGERPRINT_BITS | fingerprint & ((1 << FINGERPRINT_BITS) - 1)
}

/// The rule's number and the fingerprint of such a word.
#[inline]
pub(super) fn parts(word: u128) -> (usize, u128) {
    ((word >> FINGERPRINT_BITS) as usize, word & ((1 << FINGERPRINT_BITS) - 1))
}
