//! What the decoder produces: one row an event, one column a path.

use super::column::SlotColumn;
use super::shape::Shape;
use super::slot::Slot;

/// Columnar result of decoding, reused between batches.
///
/// `columns[path]` has the rows that have a value there; `events`, `messages` and `elements` have the same length.
#[derive(Debug, Default)]
pub struct Rows {
    /// One column per path of the shape, in the order given to [`Shape::new`].
    pub columns: Vec<SlotColumn>,
    /// Numbers of computed columns that failed on some row (there they hold a null).
    pub failed: Vec<usize>,
    /// The raw text of each event.
    pub events: Vec<Slot>,
    /// The `message` argument of the decode call that each row came from.
    pub messages: Vec<u32>,
    /// 0-based number of each row among the events of its message.
    pub elements: Vec<u16>,
    /// Only with `top_level`: key and value of every top-level member, row after row, in the
    /// order of the text, duplicates included. Keys may be [`super::Kind::StringEscaped`].
    pub top: Vec<(Slot, Slot)>,
    /// Only with `top_level`, beside `top`: which of the top-level keys that the paths read this is, see
    /// [`Shape::top_key_paths`], or [`super::NO_TOP_KEY`]. A member of `NO_TOP_KEY` is mapped by nothing.
    pub top_keys: Vec<u16>,
    /// Only with `top_level`: the end of each row's members in `top`.
    pub top_ends: Vec<u32>,
}

impl Rows {
    /// Empty rows for a shape.
    pub fn new(shape: &Shape) -> Rows {
        Rows { columns: vec![SlotColumn::default(); shape.path_count()], ..Rows::default() }
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The top-level members of a row (empty without `top_level`).
    pub fn top_of(&self, row: usize) -> &[(Slot, Slot)] {
        let end = self.top_ends.get(row).map_or(0, |end| *end as usize);
        let start = row.checked_sub(1).and_then(|before| self.top_ends.get(before)).map_or(0, |end| *end as usize);
        self.top.get(start..end).unwrap_or_default()
    }

    /// Makes column `to` what column `from` is, but for nulls.
    pub(in crate::ingest) fn copy(&mut self, from: usize, to: usize) {
        let rows = self.len();
        let Some(mut column) = self.columns.get_mut(to).map(std::mem::take) else { return };
        column.clear();
        if let Some(from) = self.columns.get(from) {
            column.copy(from, rows);
        }
        if let Some(place) = self.columns.get_mut(to) {
            *place = column;
        }
    }

    /// Completes a row whose columns and top-level members are there.
    #[inline(always)]
    pub(super) fn end_row(&mut self, event: Slot, message: u32, element: u16, top_level: bool) {
        self.events.push(event);
        self.messages.push(message);
        self.elements.push(element);
        if top_level {
            self.top_ends.push(self.top.len() as u32);
        }
    }

    /// Drops all rows from number `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.failed.clear();
        self.events.truncate(rows);
        self.messages.truncate(rows);
        self.elements.truncate(rows);
        self.top_ends.truncate(rows);
        let top = self.top_ends.last().map_or(0, |end| *end as usize);
        self.top.truncate(top);
        self.top_keys.truncate(top);
    }
}
