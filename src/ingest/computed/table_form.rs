//! Keys of objects and the columns that they become, and objects with the same keys in the same places:
//! compared, and written over, by sixteen bytes.

use std::sync::Arc;

use crate::expr::xsoar::transform::object::column_key;

/// An object that was seen before.
#[derive(Debug)]
pub struct Form {
    /// Its columns, in order.
    pub columns: Vec<Arc<Column>>,
    /// The kinds of its tokens, if all columns are as long as their keys; then parts of keys are where they were, too.
    pub kinds: Box<[u8]>,
    parts: Box<[Place]>,
}

/// A part of a key in an object of a form.
#[derive(Debug)]
struct Place {
    /// The token of the key, counted from the brace, and the place of the part behind it.
    token: usize,
    behind: usize,
    part: Part,
}

impl Form {
    /// The form of an object with these kinds of tokens and keys.
    pub fn new(kinds: &[u8], tokens: &[usize], columns: &[Arc<Column>]) -> Form {
        let even = columns.iter().all(|column| column.name.len() == column.len);
        let parts = tokens.iter().zip(columns).filter(|_| even).flat_map(|(token, column)| {
            let place = |(number, part): (usize, &Part)| Place { token: *token, behind: 1 + 16 * number, part: *part };
            column.parts.iter().enumerate().map(place)
        });
        Form { parts: parts.collect(), kinds: kinds.into(), columns: columns.to_vec() }
    }

    /// Writes the columns of an object over its keys if all of it is as in the form, else nothing.
    #[inline(always)]
    pub fn write(&self, kinds: &[u8], positions: &[u32], arena: &mut [u8], shift: usize) -> bool {
        if self.parts.is_empty() || !kinds.starts_with(&self.kinds) {
            return false;
        }
        let mut different = 0;
        let mut each = |change: bool| {
            for Place { token, behind, part } in &self.parts {
                let at = positions.get(*token).map_or(0, |position| *position as usize) + behind;
                let there = sixteen(arena, at).unwrap_or_default();
                different |= (there ^ part.bytes) & part.mask;
                put_sixteen(arena, at + shift, if change { there ^ part.other } else { there });
            }
            different == 0
        };
        // Keys are compared while they are written over: nearly always they are the same.
        each(true) || each(false)
    }
}

/// A key, and the column that it becomes.
#[derive(Debug)]
pub struct Column {
    /// Bytes of the key.
    pub len: usize,
    /// The name.
    pub name: Box<str>,
    /// The key is its column's name already.
    pub same: bool,
    /// The key with its closing quote.
    parts: Box<[Part]>,
}

/// Sixteen bytes of a key that are compared, and written over, at once.
#[derive(Debug, Clone, Copy)]
struct Part {
    bytes: u128,
    mask: u128,
    /// In which bits a name of the same length differs.
    other: u128,
}

impl Column {
    /// The column of a key as it is written.
    pub fn new(key: &str) -> Column {
        let name = column_key(key);
        let closed = [key.as_bytes(), b"\""].concat();
        let wide = |bytes: &[u8]| {
            let mut wide = [0; 16];
            wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            u128::from_le_bytes(wide)
        };
        let part = |(at, part): (usize, &[u8])| {
            let (bytes, mask) = (wide(part), wide(&[0xff; 16][..part.len()]));
            let written = name.as_bytes().get(16 * at..).filter(|_| name.len() == key.len()).unwrap_or_default();
            let known = key.as_bytes().get(16 * at..).unwrap_or_default();
            let other = if written.is_empty() { 0 } else { wide(&written[..written.len().min(16)]) ^ wide(&known[..known.len().min(16)]) };
            Part { bytes, mask, other }
        };
        let parts = closed.chunks(16).enumerate().map(part).collect();
        Column { len: key.len(), same: name == key, name: name.into(), parts }
    }

    /// True where this key stands.
    #[inline(always)]
    pub fn is_at(&self, arena: &[u8], at: usize) -> bool {
        let mut at = at;
        for part in &self.parts {
            if sixteen(arena, at).is_none_or(|there| (there ^ part.bytes) & part.mask != 0) {
                return false;
            }
            at += 16;
        }
        true
    }

    /// Writes the name over the copy of its key, which stands `shift` bytes behind it and is as long.
    #[inline(always)]
    pub fn write_over(&self, arena: &mut [u8], at: usize, shift: usize) {
        for (number, part) in self.parts.iter().enumerate() {
            let at = at + 16 * number;
            let written = sixteen(arena, at).unwrap_or_default() ^ part.other;
            put_sixteen(arena, at + shift, written);
        }
    }
}

/// Sixteen bytes; behind a list that is converted, and behind its copy, there always are as many.
#[inline(always)]
fn sixteen(arena: &[u8], at: usize) -> Option<u128> {
    arena.get(at..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u128::from_le_bytes(*bytes))
}

#[inline(always)]
fn put_sixteen(arena: &mut [u8], at: usize, bytes: u128) {
    if let Some(to) = arena.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut()) {
        *to = bytes.to_le_bytes();
    }
}
