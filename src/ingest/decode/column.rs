//! The slots of one path over the rows of a batch: only what is there.
//!
//! A pipeline for many products asks for hundreds of paths, of which an event has a
//! few: a column costs memory and time only for events that have its value. While every
//! row has one, the column is dense and row numbers need not be kept. What is computed for a
//! good part of the rows is dense, too, and missing in the others.

use super::slot::{Kind, Slot};

/// Computed columns are sparse where fewer than one row of so many has a value.
const SPARSE_BELOW: usize = 8;

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

    /// Takes the slots of all rows from the first on; the column is empty.
    pub(in crate::ingest) fn fill(&mut self, slots: &[Slot]) {
        let there = slots.iter().filter(|slot| !slot.is_missing()).count();
        if there * SPARSE_BELOW >= slots.len() {
            self.slots.extend_from_slice(slots);
        } else if there > 0 {
            let there = slots.iter().enumerate().filter(|(_, slot)| !slot.is_missing());
            there.for_each(|(row, slot)| self.push(row, *slot));
        }
    }

    /// Takes the slots of another column over so many rows, nulls aside; the column is empty.
    pub(in crate::ingest) fn copy(&mut self, from: &SlotColumn, rows: usize) {
        let without_null = |slot: &Slot| if slot.kind() == Kind::Null { Slot::MISSING } else { *slot };
        if !from.sparse {
            self.slots.extend(from.slots.iter().map(without_null));
        } else if from.slots.len() * SPARSE_BELOW >= rows {
            self.slots.resize(rows, Slot::MISSING);
            for (row, slot) in from.present() {
                if let Some(place) = self.slots.get_mut(row as usize) {
                    *place = without_null(&slot);
                }
            }
        } else {
            from.present().filter(|(_, slot)| slot.kind() != Kind::Null).for_each(|(row, slot)| self.push(row as usize, slot));
        }
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
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_missing());
        slots.map(|(at, slot)| (if self.sparse { self.rows[at] } else { at as u32 }, *slot))
    }

    /// Reads rows one after the other; fast where they ascend.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { column: self, at: 0 }
    }

    /// All slots, in the order of rows.
    pub(in crate::ingest) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How many slots there are.
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

    #[test]
    fn copies_and_holes_read_alike() {
        let slot = |kind: Kind, row: u32| Slot::new(kind, row * 10, 1);
        for step in [1usize, 2, 7, 30] {
            for nulls in [1u32, 3, 1000] {
                let wanted = |row: u32| if (row as usize).is_multiple_of(step) && !row.is_multiple_of(nulls) { slot(Kind::Number, row) } else { Slot::MISSING };
                let mut from = SlotColumn::default();
                for row in (0..100u32).filter(|row| (*row as usize).is_multiple_of(step)) {
                    from.push(row as usize, if row.is_multiple_of(nulls) { slot(Kind::Null, row) } else { wanted(row) });
                }
                let (mut copied, mut filled) = (SlotColumn::default(), SlotColumn::default());
                copied.copy(&from, 100);
                filled.fill(&(0..100).map(wanted).collect::<Vec<_>>());
                for column in [copied, filled] {
                    let mut cursor = column.cursor();
                    assert!(
                        (0..110)
                            .all(|row| column.get(row as usize) == if row < 100 { wanted(row) } else { Slot::MISSING }
                                && cursor.get(row) == column[row as usize])
                    );
                    assert_eq!(column.present().count(), (0..100).filter(|row| !wanted(*row).is_missing()).count());
                }
            }
        }
    }
}
