//! A decoded value: where its text is in the arena and what kind of JSON it is.
//! Eight bytes, so that a column of a batch stays in cache.

/// Bits of [`Slot`] that hold a length; texts are shorter than 64 MiB.
const LEN_BITS: u32 = 26;
const LEN_MASK: u64 = (1 << LEN_BITS) - 1;
const KIND_SHIFT: u32 = 32 + LEN_BITS;

/// Longest text in bytes that a slot can point at.
pub const SLOT_LEN_MAX: usize = LEN_MASK as usize;

/// What kind of JSON value a [`Slot`] points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The event has no such value.
    Missing = 0,
    /// `null`.
    Null = 1,
    /// `true`.
    True = 2,
    /// `false`.
    False = 3,
    /// A number; the text is its digits as written.
    Number = 4,
    /// A string without escapes: the text between the quotes is the content.
    String = 5,
    /// A string with at least one escape: see [`super::unescape`].
    StringEscaped = 6,
    /// An object; the text is its raw JSON, braces included.
    Object = 7,
    /// An array; the text is its raw JSON, brackets included.
    Array = 8,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 9;

    /// True for both kinds of strings.
    pub fn is_string(self) -> bool {
        matches!(self, Kind::String | Kind::StringEscaped)
    }

    fn from_bits(bits: u64) -> Kind {
        match bits {
            1 => Kind::Null,
            2 => Kind::True,
            3 => Kind::False,
            4 => Kind::Number,
            5 => Kind::String,
            6 => Kind::StringEscaped,
            7 => Kind::Object,
            8 => Kind::Array,
            _ => Kind::Missing,
        }
    }
}

/// One value of an event: start (byte offset in the arena), length and kind.
/// For strings start and length are those of the content, without the quotes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot(u64);

impl Slot {
    /// No value.
    pub const MISSING: Slot = Slot(0);

    /// A value of `len` bytes (at most [`SLOT_LEN_MAX`]) at byte `start` of the arena.
    #[inline(always)]
    pub fn new(kind: Kind, start: u32, len: u32) -> Slot {
        debug_assert!(len as usize <= SLOT_LEN_MAX, "a slot holds 26 bits of length");
        Slot(u64::from(start) | (u64::from(len) & LEN_MASK) << 32 | (kind as u64) << KIND_SHIFT)
    }

    /// The same kind and length at another place.
    #[inline(always)]
    pub(super) fn at(self, start: u32) -> Slot {
        Slot(self.0 & !u64::from(u32::MAX) | u64::from(start))
    }

    /// The kind of value.
    #[inline(always)]
    pub fn kind(self) -> Kind {
        Kind::from_bits(self.0 >> KIND_SHIFT)
    }

    /// First byte of the text in the arena.
    #[inline(always)]
    pub fn start(self) -> u32 {
        self.0 as u32
    }

    /// Bytes of the text.
    #[inline(always)]
    pub fn len(self) -> u32 {
        (self.0 >> 32 & LEN_MASK) as u32
    }

    /// True when the text is empty: a missing value or the string `""`.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// True when the event has no such value.
    #[inline(always)]
    pub fn is_missing(self) -> bool {
        self.0 >> KIND_SHIFT == Kind::Missing as u64
    }

    /// The text: for strings the bytes between the quotes, otherwise the token itself.
    /// Empty when the slot does not belong to this arena.
    #[inline]
    pub fn raw<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        let start = self.start() as usize;
        arena.get(start..start + self.len() as usize).unwrap_or_default()
    }

    /// The JSON token: as [`Slot::raw`], but for strings with the quotes.
    #[inline]
    pub fn token<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        if !self.kind().is_string() {
            return self.raw(arena);
        }
        let end = self.start() as usize + self.len() as usize + 1;
        arena.get((self.start() as usize).wrapping_sub(1)..end).unwrap_or_default()
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}@{}+{}", self.kind(), self.start(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_parts() {
        for kind in [Kind::Missing, Kind::Null, Kind::True, Kind::False, Kind::Number, Kind::String] {
            let slot = Slot::new(kind, u32::MAX - 7, SLOT_LEN_MAX as u32);
            assert_eq!((slot.kind(), slot.start(), slot.len()), (kind, u32::MAX - 7, SLOT_LEN_MAX as u32));
        }
        assert!(Slot::MISSING.is_missing());
        assert_eq!(std::mem::size_of::<Slot>(), 8);
    }

    #[test]
    fn a_token_has_its_quotes() {
        let arena = br#"{"a":"bc"}"#;
        let slot = Slot::new(Kind::String, 6, 2);
        assert_eq!(slot.raw(arena), b"bc");
        assert_eq!(slot.token(arena), b"\"bc\"");
        assert_eq!(Slot::new(Kind::String, 60, 2).token(arena), b"");
    }
}
