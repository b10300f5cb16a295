//! What a node is over the rows of a batch.

use crate::ingest::decode::{Kind, Rows, Slot};

/// A column of a node while a batch is computed.
#[derive(Debug, Default)]
pub struct Column {
    /// Per row.
    pub slots: Vec<Slot>,
    /// It is this column of the event, nulls aside; it has slots of its own only once somebody needs them.
    pub same: Option<usize>,
    /// Rows that it was computed for.
    pub rows: u64,
    /// Rows that went through the reference evaluator, and for how long.
    pub fallback: u64,
    /// Nanoseconds in the reference evaluator.
    pub fallback_ns: u64,
    /// Rows on which it failed.
    pub failed: Vec<u32>,
}

impl Column {
    /// Forgets a batch; so many rows are wanted of the next.
    pub fn begin(&mut self, rows: usize) {
        self.slots.clear();
        self.failed.clear();
        self.same = None;
        (self.rows, self.fallback, self.fallback_ns) = (rows as u64, 0, 0);
    }

    /// Gives it slots of its own.
    pub fn settle(&mut self, rows: &Rows) {
        let Some(same) = self.same.filter(|_| self.slots.is_empty()).and_then(|same| rows.columns.get(same)) else { return };
        self.slots.resize(rows.len(), Slot::MISSING);
        for (row, slot) in same.present().filter(|(_, slot)| slot.kind() != Kind::Null) {
            if let Some(place) = self.slots.get_mut(row as usize) {
                *place = slot;
            }
        }
    }

    /// Makes each slot of another column into one of this; `None` fails.
    pub fn each(&mut self, from: &Column, selected: &[u32], mut make: impl FnMut(Slot, u32) -> Option<Slot>) {
        self.failed.extend_from_slice(&from.failed);
        (self.fallback, self.fallback_ns) = (from.fallback, from.fallback_ns);
        for row in selected {
            // What failed before stays without a value.
            if !from.failed.is_empty() && from.failed.binary_search(row).is_ok() {
                continue;
            }
            let slot = from.slots.get(*row as usize).copied().unwrap_or(Slot::MISSING);
            match make(slot, *row) {
                Some(slot) => self.slots[*row as usize] = slot,
                None => self.failed.push(*row),
            }
        }
        self.failed.sort_unstable();
        self.failed.dedup();
    }
}
