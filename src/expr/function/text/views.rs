//! Building text columns by hand: a value of up to 12 bytes lives in its view, a longer
//! one in a shared buffer, and a piece of an existing value needs no copy at all.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, NullBufferBuilder, StringViewArray};
use datafusion::arrow::buffer::{Buffer, ScalarBuffer};

/// Longest value that a view holds itself, in bytes (fixed by the Arrow format).
const INLINE_MAX: usize = 12;
/// A buffer of at least this many bytes is closed and the next one begun, so that growing it
/// moves little and, with values of at most [`super::TEXT_BYTES_MAX`], offsets stay far below 2^32.
const BUFFER_BYTES: usize = 4 << 20;

/// A text to be written: short ones as a view, so that they are copied without a loop.
#[derive(Clone, Copy)]
pub(in crate::expr::function) enum Piece<'t> {
    /// The view of a text of at most 12 bytes.
    Short(u128),
    /// A longer text.
    Long(&'t str),
}

impl<'t> Piece<'t> {
    pub(in crate::expr::function) fn of(text: &'t str) -> Piece<'t> {
        inline_view(text.as_bytes()).map_or(Piece::Long(text), Piece::Short)
    }

    /// A value of a column; none where it is NULL.
    #[inline]
    pub(in crate::expr::function) fn at(column: &'t StringViewArray, row: usize) -> Option<Piece<'t>> {
        if column.is_null(row) {
            return None;
        }
        let view = *column.views().get(row)?;
        Some(if (view as u32) as usize <= INLINE_MAX { Piece::Short(view) } else { Piece::Long(column.value(row)) })
    }

    #[inline]
    pub(in crate::expr::function) fn len(&self) -> usize {
        match self {
            Piece::Short(view) => *view as u32 as usize,
            Piece::Long(text) => text.len(),
        }
    }
}

/// First size of a buffer in bytes per row; it doubles where values are longer.
const ROW_BYTES: usize = 16;

/// Writes values one after another; the result is a `StringViewArray`.
pub(in crate::expr::function) struct TextWriter {
    views: Vec<u128>,
    nulls: NullBufferBuilder,
    buffers: Vec<Buffer>,
    /// The buffer being filled. Beyond `end` there are at least [`SLACK`] bytes of no meaning.
    current: Vec<u8>,
    /// Where the value being written begins, and where it ends so far.
    start: usize,
    end: usize,
}

/// Room behind the last value, so that short pieces are written and read as whole 16 bytes.
const SLACK: usize = 16;

impl TextWriter {
    /// A writer for `rows` values.
    pub(in crate::expr::function) fn new(rows: usize) -> TextWriter {
        TextWriter {
            views: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
            buffers: Vec::new(),
            current: vec![0; rows.saturating_mul(ROW_BYTES).min(BUFFER_BYTES) + SLACK],
            start: 0,
            end: 0,
        }
    }

    /// Appends to the value being written, which may become at most [`super::TEXT_BYTES_MAX`] bytes long.
    #[inline]
    pub(in crate::expr::function) fn push(&mut self, piece: Piece<'_>) {
        let end = self.end + piece.len();
        if end + SLACK > self.current.len() {
            self.grow(end + SLACK);
        }
        match piece {
            Piece::Short(view) => {
                if let Some(place) = self.current.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut) {
                    *place = (view >> 32).to_le_bytes();
                }
            }
            Piece::Long(text) => {
                if let Some(place) = self.current.get_mut(self.end..end) {
                    place.copy_from_slice(text.as_bytes());
                }
            }
        }
        self.end = end;
    }

    #[cold]
    fn grow(&mut self, wanted: usize) {
        self.current.resize(wanted.max(2 * self.current.len()).max(1024), 0);
    }

    /// Ends the value; it is NULL, whatever was pushed, unless it is `known`.
    #[inline]
    pub(in crate::expr::function) fn end(&mut self, known: bool) {
        let length = self.end - self.start;
        self.nulls.append(known);
        if !known {
            self.views.push(0);
            self.end = self.start;
        } else if length <= INLINE_MAX {
            let bytes = self.current.get(self.start..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u128::from_le_bytes(*bytes));
            let kept = bytes & !(u128::MAX << (8 * length));
            self.views.push(kept << 32 | length as u128);
            self.end = self.start;
        } else {
            let value = self.current.get(self.start..self.end).unwrap_or_default();
            self.views.push(long_view(value, self.buffers.len() as u32, self.start as u32));
            self.start = self.end;
            if self.end >= BUFFER_BYTES {
                self.close();
            }
        }
    }

    /// Closes the current buffer.
    #[cold]
    fn close(&mut self) {
        let mut full = std::mem::replace(&mut self.current, vec![0; SLACK]);
        full.truncate(self.end);
        self.buffers.push(Buffer::from_vec(full));
        (self.start, self.end) = (0, 0);
    }

    /// The column.
    pub(in crate::expr::function) fn finish(mut self) -> ArrayRef {
        if self.end > 0 {
            self.close();
        }
        // SAFETY: every view was made by `end` and is that of a NULL (zero) or of pieces written one after the
        // other, each the bytes of a whole `str` (a short piece is the view of one): a short view holds them,
        // padded with zeros; a long one points at them within the buffer of its number and repeats the first four.
        // There are as many null bits as views.
        Arc::new(unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(self.views), self.buffers, self.nulls.finish()) })
    }
}

/// A column of pieces of the values of `source`, sharing its buffers. `piece` says which slice
/// of its value a row keeps; NULL where it says none (or gives a text from elsewhere).
pub(super) fn pieces(source: &StringViewArray, mut piece: impl FnMut(&str) -> Option<&str>) -> ArrayRef {
    let rows = source.len();
    let mut views = Vec::with_capacity(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for (row, whole_view) in source.views().iter().enumerate() {
        let view = if source.is_null(row) {
            None
        } else {
            let whole = source.value(row);
            piece(whole).and_then(|part| piece_view(*whole_view, whole, part))
        };
        views.push(view.unwrap_or(0));
        nulls.append(view.is_some());
    }
    // SAFETY: a short view holds the bytes of a whole `str`; a long one is a range of the bytes that a valid
    // long view of `source` points at (`piece_view` checks that), and these bytes were handed out as a `str`.
    Arc::new(unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), source.data_buffers().to_vec(), nulls.finish()) })
}

/// The view of `part`, a slice of the value `whole` that `whole_view` stands for.
fn piece_view(whole_view: u128, whole: &str, part: &str) -> Option<u128> {
    if let Some(view) = inline_view(part.as_bytes()) {
        return Some(view);
    }
    // A piece of more than 12 bytes comes from a value of more than 12 bytes, which lies in a buffer.
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    if start.checked_add(part.len())? > whole.len() {
        return None;
    }
    let (buffer, offset) = ((whole_view >> 64) as u32, (whole_view >> 96) as u32);
    Some(long_view(part.as_bytes(), buffer, offset + start as u32))
}

/// The view of a value that fits into it.
#[inline]
fn inline_view(value: &[u8]) -> Option<u128> {
    if value.len() > INLINE_MAX {
        return None;
    }
    let mut view = [0u8; 16];
    view.get_mut(4..4 + value.len())?.copy_from_slice(value);
    Some(u128::from_le_bytes(view) | value.len() as u128)
}

#[inline]
fn long_view(value: &[u8], buffer: u32, offset: u32) -> u128 {
    let prefix = value.first_chunk::<4>().map_or(0, |p| u32::from_le_bytes(*p));
    value.len() as u128 | u128::from(prefix) << 32 | u128::from(buffer) << 64 | u128::from(offset) << 96
}
