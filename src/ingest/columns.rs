//! Decoded slots → Arrow columns, for the rows that are still alive and the types
//! that expressions ask for.
//!
//! Text columns are views into the batch's arena: nothing is copied but texts of at
//! most 12 bytes (which live inside the view) and strings with escapes.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, StringViewArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

use super::decode::{Kind, Slot, SlotColumn, unescape};
use crate::expr::value::{Type, Value, parse_boolean, parse_number};

/// The arena of a batch, shared with the columns that point into it.
#[derive(Debug, Clone)]
pub struct Arena {
    buffer: Buffer,
}

impl Arena {
    /// Shares a sealed arena.
    pub fn new(bytes: Vec<u8>) -> Arena {
        Arena { buffer: Buffer::from_vec(bytes) }
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_slice()
    }

    /// Takes the memory back for the next batch, if no column points into it any more.
    pub fn recycle(self) -> Option<Vec<u8>> {
        self.buffer.into_vec().ok()
    }
}

/// The column of `slots` at `rows`, as `ty`. A value that cannot be read as `ty` is NULL.
pub fn column(arena: &Arena, slots: &SlotColumn, rows: &[u32], ty: Type) -> ArrayRef {
    let mut slots = slots.cursor();
    from_slots(arena, rows.len(), rows.iter().map(|row| slots.get(*row)), ty)
}

/// One column of several: `parts` are slots (none: no event has any) and the rows at which they are read.
pub fn joined<'a>(arena: &Arena, parts: impl Iterator<Item = (Option<&'a SlotColumn>, &'a [u32])>, ty: Type) -> ArrayRef {
    let slots: Vec<Slot> = parts
        .flat_map(|(slots, rows)| {
            let mut slots = slots.map(SlotColumn::cursor);
            rows.iter().map(move |row| slots.as_mut().map_or(Slot::MISSING, |slots| slots.get(*row)))
        })
        .collect();
    from_slots(arena, slots.len(), slots.into_iter(), ty)
}

#[inline(always)]
fn from_slots(arena: &Arena, rows: usize, slots: impl Iterator<Item = Slot>, ty: Type) -> ArrayRef {
    match ty {
        Type::Number => Arc::new(slots.map(|slot| number(arena.bytes(), slot)).collect::<Float64Array>()),
        Type::Boolean => Arc::new(slots.map(|slot| boolean(arena.bytes(), slot)).collect::<BooleanArray>()),
        _ => Arc::new(text_column(arena, rows, slots)),
    }
}

/// The value of one slot as `ty`, for the row-at-a-time evaluator.
pub fn value(arena: &[u8], slot: Slot, ty: Type) -> Value<'_> {
    match ty {
        Type::Number => number(arena, slot).map_or(Value::Null, Value::Number),
        Type::Boolean => boolean(arena, slot).map_or(Value::Null, Value::Boolean),
        _ => match slot.kind() {
            Kind::Missing | Kind::Null => Value::Null,
            Kind::StringEscaped => unescaped(arena, slot).map_or(Value::Null, |text| Value::Text(text.into())),
            _ => std::str::from_utf8(slot.raw(arena)).map_or(Value::Null, |text| Value::Text(text.into())),
        },
    }
}

/// True for a whole number written as digits, however many.
pub fn is_integer(arena: &[u8], slot: Slot) -> bool {
    slot.kind() == Kind::Number && slot.raw(arena).iter().all(|b| b.is_ascii_digit() || *b == b'-')
}

/// The number that a slot is, or holds as text.
pub fn number(arena: &[u8], slot: Slot) -> Option<f64> {
    match slot.kind() {
        Kind::Number | Kind::String => {
            let raw = slot.raw(arena);
            small_integer(raw).or_else(|| parse_number(std::str::from_utf8(raw).ok()?))
        }
        Kind::StringEscaped => parse_number(&unescaped(arena, slot)?),
        _ => None,
    }
}

#[cold]
fn unescaped(arena: &[u8], slot: Slot) -> Option<String> {
    let mut content = Vec::new();
    unescape(slot.raw(arena), &mut content);
    String::from_utf8(content).ok()
}

/// Whole numbers of up to 15 digits, which is what most numbers in logs are.
#[inline]
fn small_integer(raw: &[u8]) -> Option<f64> {
    if raw.is_empty() || raw.len() > 15 {
        return None;
    }
    let mut number = 0u64;
    for byte in raw {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number as f64)
}

/// The truth value that a slot is, or holds as text.
pub fn boolean(arena: &[u8], slot: Slot) -> Option<bool> {
    match slot.kind() {
        Kind::True => Some(true),
        Kind::False => Some(false),
        Kind::String => parse_boolean(std::str::from_utf8(slot.raw(arena)).ok()?),
        Kind::StringEscaped => parse_boolean(&unescaped(arena, slot)?),
        _ => None,
    }
}

/// Longest text that a view holds itself (Arrow columnar format, "Variable-size Binary View Layout").
const INLINE_MAX: usize = 12;

fn text_column(arena: &Arena, rows: usize, slots: impl Iterator<Item = Slot>) -> StringViewArray {
    let bytes = arena.bytes();
    let mut views: Vec<u128> = Vec::with_capacity(rows);
    let mut valid = BooleanBufferBuilder::new(rows);
    let mut nulls = 0usize;
    let mut unescaped: Vec<u8> = Vec::new();
    for slot in slots {
        match slot.kind() {
            Kind::Missing | Kind::Null => {
                views.push(0);
                valid.append(false);
                nulls += 1;
            }
            Kind::StringEscaped => {
                let start = unescaped.len();
                unescape(slot.raw(bytes), &mut unescaped);
                views.push(view(&unescaped, start, unescaped.len() - start, 1));
                valid.append(true);
            }
            _ => {
                views.push(view(bytes, slot.start() as usize, slot.len() as usize, 0));
                valid.append(true);
            }
        }
    }
    let nulls = (nulls > 0).then(|| NullBuffer::new(valid.finish()));
    let mut buffers = vec![arena.buffer.clone()];
    if !unescaped.is_empty() {
        buffers.push(Buffer::from_vec(unescaped));
    }
    // SAFETY: every view was made by `view` from an in-bounds range of its buffer, and the
    // decoder has validated the message as UTF-8 (`unescape` yields UTF-8 from it).
    unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, nulls) }
}

/// A view of `len` bytes at `start` of buffer number `buffer`; empty where out of bounds.
#[inline]
fn view(bytes: &[u8], start: usize, len: usize, buffer: u32) -> u128 {
    let Some(text) = bytes.get(start..start + len) else { return 0 };
    let mut word = [0u8; 16];
    word[..4].copy_from_slice(&(len as u32).to_le_bytes());
    if len <= INLINE_MAX {
        match bytes.get(start..start + INLINE_MAX) {
            // A copy of fixed length is one instruction; what is too much is masked away.
            Some(wide) => {
                word[4..].copy_from_slice(wide);
                let keep = (len as u32 + 4) * 8;
                let mask = if keep >= 128 { u128::MAX } else { (1u128 << keep) - 1 };
                return u128::from_le_bytes(word) & mask;
            }
            None => word[4..4 + len].copy_from_slice(text),
        }
        return u128::from_le_bytes(word);
    }
    word[4..8].copy_from_slice(&text[..4]);
    word[8..12].copy_from_slice(&buffer.to_le_bytes());
    word[12..].copy_from_slice(&(start as u32).to_le_bytes());
    u128::from_le_bytes(word)
}
