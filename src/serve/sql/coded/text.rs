//! Texts as numbers. Columns of an archive repeat few values, and the reader of Parquet makes every
//! repetition point to the same bytes of a dictionary; so where a text lies mostly tells which one it is,
//! and its bytes are looked at once per dictionary, not once per row.

use std::hash::BuildHasher;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, StringViewArray, StringViewBuilder};
use datafusion::arrow::buffer::Buffer;
use datafusion::common::{DataFusionError, Result};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::sync::Arc;

use super::codes::{Recent, next};

/// Longest text that lies in its view itself, in bytes (the format of Arrow).
const INLINE: u32 = 12;
/// Buffers that are kept so that their addresses stay theirs (count). What a column of plain pages
/// brings anew with each page is let go.
const HELD: usize = 8;

/// The numbers of the texts of a column.
pub(super) struct TextCoder {
    /// By view (short texts) or place (others).
    recent: Recent<u128>,
    held: Vec<Buffer>,
    bytes: Vec<u8>,
    /// Where text number n ends in `bytes`.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    null: Option<u32>,
}

impl TextCoder {
    pub(super) fn new() -> TextCoder {
        TextCoder {
            recent: Recent::new(),
            held: Vec::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            null: None,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.recent.size() + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.capacity() * size_of::<u32>()
    }

    pub(super) fn codes(&mut self, array: &ArrayRef, codes: &mut Vec<u32>) -> Result<()> {
        let texts = array.as_string_view_opt().ok_or_else(|| DataFusionError::Internal("texts that are no views".into()))?;
        self.hold(texts.data_buffers());
        let places: Vec<usize> = texts.data_buffers().iter().map(|buffer| buffer.as_ptr() as usize).collect();
        codes.reserve(texts.len());
        for (row, view) in texts.views().iter().enumerate() {
            if texts.is_null(row) {
                codes.push(self.of_null()?);
                continue;
            }
            // The low 32 bits are the length, so short and long ones differ.
            let key = if *view as u32 <= INLINE {
                *view
            } else {
                let view = ByteView::from(*view);
                let place = places.get(view.buffer_index as usize).copied().unwrap_or_default() + view.offset as usize;
                (place as u128) << 64 | u128::from(view.length)
            };
            let hash = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let code = match self.recent.get(key, hash) {
                Some(code) => code,
                None => {
                    let code = self.of_text(texts.value(row))?;
                    self.recent.put(key, hash, code);
                    code
                }
            };
            codes.push(code);
        }
        Ok(())
    }

    /// Keeps the buffers of a batch: as long as they are held, no other bytes can have their address.
    fn hold(&mut self, buffers: &[Buffer]) {
        let known = |held: &[Buffer], buffer: &Buffer| held.iter().any(|held| held.as_ptr() == buffer.as_ptr() && held.len() == buffer.len());
        let new: Vec<Buffer> = buffers.iter().filter(|buffer| !known(&self.held, buffer)).cloned().collect();
        if self.held.len() + new.len() > HELD {
            self.recent.clear();
            self.held.clear();
            self.held.extend(buffers.iter().cloned());
        } else {
            self.held.extend(new);
        }
    }

    fn of_null(&mut self) -> Result<u32> {
        if let Some(code) = self.null {
            return Ok(code);
        }
        let code = next(self.len())?;
        self.ends.push(self.bytes.len());
        self.null = Some(code);
        Ok(code)
    }

    fn of_text(&mut self, text: &str) -> Result<u32> {
        let TextCoder { bytes, ends, table, hasher, null, .. } = self;
        let hash = hasher.hash_one(text.as_bytes());
        let known = |code: &u32| *null != Some(*code) && text_of(bytes, ends, *code) == text.as_bytes();
        if let Some(code) = table.find(hash, known) {
            return Ok(*code);
        }
        let code = next(ends.len())?;
        bytes.extend_from_slice(text.as_bytes());
        ends.push(bytes.len());
        table.insert_unique(hash, code, |code| hasher.hash_one(text_of(bytes, ends, *code)));
        Ok(code)
    }

    /// The texts of these numbers.
    pub(super) fn values(&self, codes: &[u32]) -> Result<ArrayRef> {
        let mut texts = StringViewBuilder::with_capacity(codes.len());
        for code in codes {
            if self.null == Some(*code) {
                texts.append_null();
            } else {
                let text = std::str::from_utf8(text_of(&self.bytes, &self.ends, *code));
                texts.append_value(text.map_err(|_| DataFusionError::Internal("a text that is none".into()))?);
            }
        }
        let texts: StringViewArray = texts.finish();
        Ok(Arc::new(texts))
    }
}

fn text_of<'a>(bytes: &'a [u8], ends: &[usize], code: u32) -> &'a [u8] {
    let at = code as usize;
    let from = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(at).and_then(|to| bytes.get(from..*to)).unwrap_or_default()
}
