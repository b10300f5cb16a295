//! A message as its tokens: unchecked access for the walk, and the text ranges of values.

use super::index::Index;
use super::reject::{Reject, RejectReason};
use super::slot::{Kind, Slot};

/// Why and where (arena offset) the walk stopped, in one word, so that results stay in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(u64);

impl Fault {
    #[cold]
    pub fn syntax(at: u32) -> Fault {
        Fault(u64::from(at))
    }

    #[cold]
    pub fn depth(at: u32) -> Fault {
        Fault(u64::from(at) | 1 << 32)
    }

    /// As the reject of the message that starts at arena offset `start`.
    pub fn reject(self, start: usize) -> Reject {
        let reason = if self.0 >> 32 == 0 { RejectReason::Syntax } else { RejectReason::Depth };
        Reject { reason, at: (self.0 as u32).saturating_sub(start as u32) }
    }
}

/// The tokens of one message beside its bytes.
///
/// Functions take token numbers. A number is good when it is less than [`super::index::SENTINELS`] beyond the last token; the walk keeps to that by moving past a token only after it has seen that its kind
/// is not 0 (the kind of sentinels).
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    /// Kinds and positions of the tokens, of those that follow, and of the sentinels.
    kinds: &'a [u8],
    positions: &'a [u32],
    count: usize,
    escapes: &'a [u64],
    has_escapes: bool,
    bytes: &'a [u8],
    start: u32,
}

/// `":` as two kinds, read little-endian.
pub(super) const KEY_COLON: u32 = 0x3a22;

impl<'a> Tokens<'a> {
    /// `arena` is what `index` was built from, with [`super::PADDING`] bytes behind the message, which starts at `start`.
    #[inline(always)]
    pub fn new(index: &'a Index, arena: &'a [u8], start: u32) -> Tokens<'a> {
        Tokens {
            kinds: index.kinds(),
            positions: index.positions(),
            count: index.count(),
            escapes: index.escapes(),
            has_escapes: index.has_escapes(),
            bytes: arena,
            start,
        }
    }

    /// Tokens `from..to` alone, counted from 0.
    #[inline(always)]
    pub fn part(&self, from: usize, to: usize) -> Tokens<'a> {
        let kinds = self.kinds.get(from..).unwrap_or_default();
        let positions = self.positions.get(from..).unwrap_or_default();
        Tokens { kinds, positions, count: to - from, ..*self }
    }

    /// Kinds of all tokens.
    #[inline(always)]
    pub fn kinds(&self) -> &'a [u8] {
        self.kinds.get(..self.count).unwrap_or_default()
    }

    /// The token at an arena offset, if there is one.
    pub fn token_at(&self, position: u32) -> Option<u32> {
        let tokens = self.positions.get(..self.count)?;
        tokens.binary_search(&position).ok().map(|token| token as u32)
    }

    /// How many tokens there are.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The kind of token `i`; 0 past the last.
    #[inline(always)]
    pub fn kind(&self, i: usize) -> u8 {
        debug_assert!(i < self.kinds.len());
        // SAFETY: `i` is a good token number, see the type: within the tokens and sentinels.
        unsafe { *self.kinds.get_unchecked(i) }
    }

    /// Kinds of tokens `i..i + 4`, the first in the lowest byte.
    #[inline(always)]
    pub fn kinds4(&self, i: usize) -> u32 {
        debug_assert!(i + 4 <= self.kinds.len());
        // SAFETY: as for `kind`; three sentinels more are there when `i` is a token or the first sentinel.
        u32::from_le(unsafe { self.kinds.as_ptr().add(i).cast::<u32>().read_unaligned() })
    }

    /// Arena offset of token `i`; the end of the message past the last.
    #[inline(always)]
    pub fn position(&self, i: usize) -> u32 {
        debug_assert!(i < self.positions.len());
        // SAFETY: as for `kind`; both arrays have the same length.
        unsafe { *self.positions.get_unchecked(i) }
    }

    /// The byte at an arena offset within the message.
    #[inline(always)]
    pub fn byte(&self, at: u32) -> u8 {
        debug_assert!((at as usize) < self.bytes.len());
        // SAFETY: offsets come from the index, which was built from this arena.
        unsafe { *self.bytes.get_unchecked(at as usize) }
    }

    /// Eight bytes from an arena offset within the message, the first in the lowest byte.
    #[inline(always)]
    pub fn word(&self, at: u32) -> u64 {
        debug_assert!(at as usize + 8 <= self.bytes.len());
        // SAFETY: the offset is within the message, and 64 bytes of padding follow it.
        u64::from_le(unsafe { self.bytes.as_ptr().add(at as usize).cast::<u64>().read_unaligned() })
    }

    /// Where sixteen bytes can be read that start at most [`super::PADDING`] − 16 bytes behind one of the message.
    #[inline(always)]
    pub fn bytes16(&self, at: u32) -> *const [u8; 16] {
        debug_assert!(at as usize + 16 <= self.bytes.len());
        // SAFETY: the offset is in the arena, which has 64 bytes of padding behind the message.
        unsafe { self.bytes.as_ptr().add(at as usize).cast() }
    }

    /// The bytes of a range of the arena.
    #[inline]
    pub fn text(&self, start: u32, len: u32) -> &'a [u8] {
        self.bytes.get(start as usize..start as usize + len as usize).unwrap_or_default()
    }

    /// True when the bytes of the message hold a backslash.
    #[inline(always)]
    pub fn has_escape(&self, start: u32, len: u32) -> bool {
        self.has_escapes && self.find_escape(start - self.start, len)
    }

    #[inline(always)]
    fn find_escape(&self, from: u32, len: u32) -> bool {
        if len >= 64 {
            return self.find_escape_far(from, len);
        }
        let word = (from / 64) as usize;
        let low = self.escapes.get(word).copied().unwrap_or(0);
        let high = self.escapes.get(word + 1).copied().unwrap_or(0);
        // 64 bits from `from` on, of which the first `len` count.
        let bits = low >> (from % 64) | high << 1 << (63 - from % 64);
        bits & ((1 << len) - 1) != 0
    }

    #[inline(never)]
    fn find_escape_far(&self, from: u32, len: u32) -> bool {
        let (first, last) = (from as usize / 64, (from + len) as usize / 64);
        let words = self.escapes.get(first..=last).unwrap_or_default();
        let (head, tail) = (!0 << (from % 64), !(!0 << ((from + len) % 64)));
        match words {
            [first, between @ .., last] => first & head != 0 || last & tail != 0 || between.iter().any(|bits| *bits != 0),
            [one] => one & head & tail != 0,
            [] => false,
        }
    }

    /// Content of the string that token `i` opens: start and length, without the quotes.
    #[inline(always)]
    pub fn string(&self, i: usize) -> (u32, u32) {
        let start = self.position(i) + 1;
        // The closing quote is the last byte before the next token that is not white space:
        // whatever else stood there would be a token of its own.
        let mut end = self.position(i + 1) - 1;
        while self.byte(end) != b'"' {
            end -= 1;
        }
        (start, end - start)
    }

    /// The string that token `i` opens, as a slot.
    #[inline(always)]
    pub fn string_slot(&self, i: usize) -> Slot {
        let (start, len) = self.string(i);
        let kind = if self.has_escape(start, len) { Kind::StringEscaped } else { Kind::String };
        Slot::new(kind, start, len)
    }

    /// The container of tokens `i..after` as a slot.
    #[inline(always)]
    pub fn container_slot(&self, i: usize, after: usize) -> Slot {
        let kind = if self.kind(i) == b'{' { Kind::Object } else { Kind::Array };
        Slot::new(kind, self.position(i), self.position(after - 1) + 1 - self.position(i))
    }

    /// The checked value of tokens `i..after`.
    #[inline(always)]
    pub fn slot(&self, i: usize, after: usize) -> Slot {
        match self.kind(i) {
            b'"' => self.string_slot(i),
            b'{' | b'[' => self.container_slot(i, after),
            _ => self.good_primitive_slot(i),
        }
    }
}
