//! The slots of one path over the rows of a batch: only what is there.
//!
//! A pipeline for many products asks for hundreds of paths, of which an event has a
//! few: a column costs memory and time only for events that have its value. While every
//! row has one, the column is dense and row numbers need not be kept.

use super::slot::Slot;

/// Slots of one path, by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotColumn {
    slots: Vec<Slot>,
    /// Row of each slot, ascending; empty while the column is dense.
    rows: Vec<u32>,
    sparse: bool,
}

impl SlotColumn {
    /// Adds the value of a row, which lies beyond all rows added before.
    #[inline(always)]
    pub(in crate::ingest) fn push(&mut self, row: usize, slot: Slot) {
        if !self.sparse {
            if row == self.slots.len() {
                self.slots.push(slot);
                return;
            }
            self.become_sparse();
        }
        self.rows.push(row as u32);
        self.slots.push(slot);
    }

    /// Takes the slots of all rows from the first on, if none is missing; the column is empty.
    pub(in crate::ingest) fn fill(&mut self, slots: &[Slot]) -> bool {
        let whole = !slots.iter().any(|slot| slot.is_missing());
        if whole {
            self.slots.extend_from_slice(slots);
        }
        whole
    }

    #[cold]
    fn become_sparse(&mut self) {
        self.sparse = true;
        self.rows.clear();
        self.rows.extend(0..self.slots.len() as u32);
    }

    /// The slot of a row; [`Slot::MISSING`] where the event has no such value.
    #[inline(always)]
    pub fn get(&self, row: usize) -> Slot {
        if !self.sparse { self.slots.get(row).copied().unwrap_or(Slot::MISSING) } else { self.find(row) }
    }

    fn find(&self, row: usize) -> Slot {
        // A slot stands at most at its row's number.
        let candidates = self.rows.get(..=row.min(self.rows.len().saturating_sub(1))).unwrap_or_default();
        candidates.binary_search(&(row as u32)).ok().and_then(|at| self.slots.get(at)).copied().unwrap_or(Slot::MISSING)
    }

    /// The values that are there: row and slot, in the order of rows.
    pub fn present(&self) -> impl Iterator<Item = (u32, Slot)> + '_ {
        self.slots.iter().enumerate().map(|(at, slot)| (if self.sparse { self.rows[at] } else { at as u32 }, *slot))
    }

    /// Reads rows one after the other; fast where they ascend.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { column: self, at: 0 }
    }

    /// How many values are there.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when no event has such a value.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Forgets all rows, keeps the memory.
    pub(in crate::ingest) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Drops all rows from number `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        if rows == 0 {
            self.slots.clear();
            self.rows.clear();
            self.sparse = false;
        } else if self.sparse {
            let keep = self.rows.partition_point(|row| (*row as usize) < rows);
            self.rows.truncate(keep);
            self.slots.truncate(keep);
        } else {
            self.slots.truncate(rows);
        }
    }
}

impl std::ops::Index<usize> for SlotColumn {
    type Output = Slot;

    fn index(&self, row: usize) -> &Slot {
        const MISSING: &Slot = &Slot::MISSING;
        if !self.sparse {
            return self.slots.get(row).unwrap_or(MISSING);
        }
        self.rows.binary_search(&(row as u32)).ok().and_then(|at| self.slots.get(at)).unwrap_or(MISSING)
    }
}

/// Reads a column row by row.
pub struct Cursor<'a> {
    column: &'a SlotColumn,
    at: usize,
}

impl Cursor<'_> {
    /// The slot of a row.
    #[inline(always)]
    pub fn get(&mut self, row: u32) -> Slot {
        if !self.column.sparse {
            return self.column.slots.get(row as usize).copied().unwrap_or(Slot::MISSING);
        }
        let rows = &self.column.rows;
        if self.at > 0 && rows.get(self.at - 1).is_some_and(|before| *before >= row) {
            self.at = rows.partition_point(|known| *known < row);
        }
        while rows.get(self.at).is_some_and(|known| *known < row) {
            self.at += 1;
        }
        match rows.get(self.at) {
            Some(known) if *known == row => self.column.slots[self.at],
            _ => Slot::MISSING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::Kind;
    use super::*;

    #[test]
    fn dense_and_sparse_read_alike() {
        let slot = |row: u32| Slot::new(Kind::Number, row * 10, 1);
        for step in [1usize, 2, 7] {
            let mut column = SlotColumn::default();
            let has = |row: usize| row.is_multiple_of(step) || row < 5;
            (0..100).filter(|row| has(*row)).for_each(|row| column.push(row, slot(row as u32)));
            let mut cursor = column.cursor();
            for row in (0..120u32).chain([3, 50, 4, 99, 0]) {
                let expected = if row < 100 && has(row as usize) { slot(row) } else { Slot::MISSING };
                assert_eq!(column.get(row as usize), expected);
                assert_eq!(column[row as usize], expected);
                assert_eq!(cursor.get(row), expected);
            }
            assert!(column.present().all(|(row, found)| found == slot(row)));
            column.truncate(7);
            assert_eq!(column.get(8), Slot::MISSING);
            assert_eq!(column.get(4), slot(4));
            column.truncate(0);
            assert!(column.is_empty());
        }
    }
}
