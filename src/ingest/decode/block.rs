//! 64 bytes of text and the questions that the index asks about them: the portable answer.
//! An answer is a mask, bit *i* for byte *i*.

use super::index::PRIMITIVE;

/// 64 bytes, loaded; bytes beyond the end of the text read as spaces.
///
/// All functions ask for a CPU with the features of the block: only `load` is unsafe, as nothing can be done without it.
pub(super) trait Block: Copy {
    /// Which bytes there were at all, roughly.
    type Range: Copy;
    /// No bytes.
    const NO_BYTES: Self::Range;

    /// The 64 bytes at `from`.
    ///
    /// # Safety
    /// 64 bytes can be read at `from`, and the CPU has the features of this block.
    unsafe fn load(from: *const u8) -> Self;
    /// The `len` (at most 64) bytes at `from`.
    ///
    /// # Safety
    /// `len` bytes can be read at `from`, and the CPU has the features of this block.
    unsafe fn load_part(from: *const u8, len: usize) -> Self;
    /// Takes the bytes into a range.
    fn add_to(self, range: &mut Self::Range);
    /// True when all bytes of the range were ASCII.
    fn is_ascii(range: Self::Range) -> bool;
    /// True when a byte of the range was below U+0020.
    fn has_control(range: Self::Range) -> bool;
    /// `"`.
    fn quotes(self) -> u64;
    /// `\\`.
    fn backslashes(self) -> u64;
    /// `u`.
    fn letters_u(self) -> u64;
    /// Bytes below U+0020.
    fn control(self) -> u64;
    /// `{ } [ ] : ,`, and perhaps 0x0c and 0x1a, which the walk refuses as it refuses any unknown kind.
    fn operators(self) -> u64;
    /// Blank, tab, line feed, carriage return.
    fn spaces(self) -> u64;
    /// Bytes that may follow a backslash.
    fn escapable(self) -> u64;
    /// Bit *i* is the parity of bits 0..=i.
    #[inline(always)]
    fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }
    /// Stores kind and position (`base` + bit number) of each bit of `tokens`. The kind is the byte for operators and
    /// quotes, which are `named`, and [`PRIMITIVE`] for others.
    ///
    /// # Safety
    /// There is room for 64 elements at both pointers.
    unsafe fn store(self, tokens: u64, named: u64, base: u32, kinds: *mut u8, positions: *mut u32);
}

/// `len` (at most 64) bytes at `from`, padded with blanks.
///
/// # Safety
/// `len` bytes can be read at `from`.
#[inline(always)]
pub(super) unsafe fn padded(from: *const u8, len: usize) -> [u8; 64] {
    let mut bytes = [b' '; 64];
    // SAFETY: the caller's promise.
    let rest = unsafe { std::slice::from_raw_parts(from, len) };
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    bytes
}

/// [`Block::store`], four tokens at a time: a loop that writes a little too much mispredicts less. `bytes`
/// are the kinds of the bytes as tokens already or, with `NAME`, get them from [`KINDS`].
///
/// # Safety
/// There is room for 64 elements at both pointers.
#[inline(always)]
pub(super) unsafe fn store_by_bit<const NAME: bool>(bytes: &[u8; 64], mut tokens: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
    let mut to = 0;
    // At most 16 rounds of 4: `to` stays below 64.
    while tokens != 0 {
        for _ in 0..4 {
            // With no bit left this is 64, and a rubbish token is written behind the last one.
            let bit = tokens.trailing_zeros();
            let byte = bytes[(bit % 64) as usize];
            let kind = if NAME { KINDS[byte as usize] } else { byte };
            // SAFETY: `to < 64`, the room that the caller gave.
            unsafe {
                kinds.add(to).write(kind);
                positions.add(to).write(base.wrapping_add(bit));
            }
            to += 1;
            tokens &= tokens.wrapping_sub(1);
        }
    }
}

/// Bits of [`CLASSES`].
const QUOTE: u32 = 0;
const BACKSLASH: u32 = 1;
const OPERATOR: u32 = 2;
const SPACE: u32 = 3;
const CONTROL: u32 = 4;
const ESCAPABLE: u32 = 5;
const LETTER_U: u32 = 6;
const HIGH: u32 = 7;

/// The same bit of all eight bytes of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// What each byte is.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        classes[i] = (byte == b'"') as u8
            | ((byte == b'\\') as u8) << BACKSLASH
            | (matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | 0x0c | 0x1a) as u8) << OPERATOR
            | (matches!(byte, b' ' | b'\t' | b'\n' | b'\r') as u8) << SPACE
            | ((byte < 0x20) as u8) << CONTROL
            | (matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') as u8) << ESCAPABLE
            | ((byte == b'u') as u8) << LETTER_U
            | ((byte >= 0x80) as u8) << HIGH;
        i += 1;
    }
    classes
};

/// What kind of token each byte would be.
const KINDS: [u8; 256] = {
    let mut kinds = [PRIMITIVE; 256];
    let mut i = 0;
    while i < 256 {
        if CLASSES[i] & (1 << QUOTE | 1 << OPERATOR) != 0 {
            kinds[i] = i as u8;
        }
        i += 1;
    }
    kinds
};

/// 64 bytes on any machine, and their classes in the same order, eight to a word.
#[derive(Clone, Copy)]
pub(super) struct Portable {
    bytes: [u8; 64],
    classes: [u64; 8],
}

impl Portable {
    #[inline(always)]
    fn new(bytes: [u8; 64]) -> Portable {
        let mut classes = [0; 8];
        for (word, bytes) in classes.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(bytes.map(|byte| CLASSES[byte as usize]));
        }
        Portable { bytes, classes }
    }

    /// The bytes of a class.
    #[inline(always)]
    fn of(&self, class: u32) -> u64 {
        let mut mask = 0;
        for (i, word) in self.classes.iter().enumerate() {
            // The multiplication moves bit 8 i to bit 56 + i; no two of the other products meet, so nothing carries.
            let bits = (word >> class & EACH).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            mask |= bits << (8 * i);
        }
        mask
    }
}

impl Block for Portable {
    /// All classes there were.
    type Range = u64;
    const NO_BYTES: u64 = 0;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Portable {
        // SAFETY: the caller's promise.
        Portable::new(unsafe { from.cast::<[u8; 64]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Portable {
        // SAFETY: the caller's promise.
        Portable::new(unsafe { padded(from, len) })
    }

    #[inline(always)]
    fn add_to(self, range: &mut u64) {
        *range |= self.classes.iter().fold(0, |all, word| all | word);
    }

    #[inline(always)]
    fn is_ascii(range: u64) -> bool {
        range & EACH << HIGH == 0
    }

    #[inline(always)]
    fn has_control(range: u64) -> bool {
        range & EACH << CONTROL != 0
    }

    #[inline(always)]
    fn quotes(self) -> u64 {
        self.of(QUOTE)
    }

    #[inline(always)]
    fn backslashes(self) -> u64 {
        self.of(BACKSLASH)
    }

    #[inline(always)]
    fn letters_u(self) -> u64 {
        self.of(LETTER_U)
    }

    #[inline(always)]
    fn control(self) -> u64 {
        self.of(CONTROL)
    }

    #[inline(always)]
    fn operators(self) -> u64 {
        self.of(OPERATOR)
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        self.of(SPACE)
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        self.of(ESCAPABLE)
    }

    #[inline(always)]
    unsafe fn store(self, tokens: u64, _named: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
        // SAFETY: passed on from the caller.
        unsafe { store_by_bit::<true>(&self.bytes, tokens, base, kinds, positions) }
    }
}
