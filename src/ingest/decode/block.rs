//! 64 bytes of text and the questions that the index asks about them: the portable answer.
//! An answer is a mask, bit *i* for byte *i*.

use super::index::PRIMITIVE;

/// 64 bytes, loaded; bytes beyond the end of the text read as spaces.
pub(super) trait Block: Copy {
    /// Accumulates whether any byte was not ASCII.
    type High: Copy;
    /// Nothing seen.
    const ZERO_HIGH: Self::High;

    /// The 64 bytes from `at` on.
    ///
    /// # Safety
    /// `at < text.len()`, and the CPU has the features of this block (so for all functions here).
    unsafe fn load(text: &[u8], at: usize) -> Self;
    /// Notes bytes that are not ASCII.
    fn add_high(self, high: &mut Self::High);
    /// True when all bytes noted were ASCII.
    fn is_ascii(high: Self::High) -> bool;
    /// Bytes equal to `byte`.
    fn equal(self, byte: u8) -> u64;
    /// Bytes below U+0020.
    fn control(self) -> u64;
    /// `{ } [ ] : ,`, and perhaps 0x0c and 0x1a, which the walk refuses as it refuses any unknown kind.
    fn operators(self) -> u64;
    /// Blank, tab, line feed, carriage return.
    fn spaces(self) -> u64;
    /// Bytes that may follow a backslash.
    fn escapable(self) -> u64;
    /// Bit *i* is the parity of bits 0..=i.
    fn prefix_xor(bits: u64) -> u64;
    /// Stores kind (the byte, [`PRIMITIVE`] for bits of `primitives`) and position (`base` + bit number) of each
    /// bit of `tokens`, of which `primitives` are some.
    ///
    /// # Safety
    /// There is room for 64 elements at both pointers.
    unsafe fn store(self, tokens: u64, primitives: u64, base: u32, kinds: *mut u8, positions: *mut u32);
}

/// The bytes from `at` on, padded with blanks.
#[inline(always)]
pub(super) fn tail(text: &[u8], at: usize) -> [u8; 64] {
    let mut bytes = [b' '; 64];
    let rest = text.get(at..).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    bytes
}

/// [`Block::store`], four tokens at a time: a loop that writes a little too much mispredicts less.
///
/// # Safety
/// There is room for 64 elements at both pointers.
#[inline(always)]
pub(super) unsafe fn store_by_bit(
    bytes: &[u8; 64],
    mut tokens: u64,
    primitives: u64,
    base: u32,
    kinds: *mut u8,
    positions: *mut u32,
) {
    let mut to = 0;
    // At most 16 rounds of 4: `to` stays below 64.
    while tokens != 0 {
        for _ in 0..4 {
            // With no bit left this is 64, and a rubbish token is written behind the last one.
            let bit = tokens.trailing_zeros();
            let byte = bytes[(bit % 64) as usize];
            let kind = if primitives >> (bit % 64) & 1 == 1 { PRIMITIVE } else { byte };
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

/// 64 bytes on any machine.
#[derive(Clone, Copy)]
pub(super) struct Portable([u8; 64]);

impl Portable {
    #[inline(always)]
    fn mask(self, is: impl Fn(u8) -> bool) -> u64 {
        let mut mask = 0;
        for (i, byte) in self.0.iter().enumerate() {
            mask |= u64::from(is(*byte)) << i;
        }
        mask
    }
}

impl Block for Portable {
    type High = u8;
    const ZERO_HIGH: u8 = 0;

    #[inline(always)]
    unsafe fn load(text: &[u8], at: usize) -> Portable {
        match text.get(at..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => Portable(*bytes),
            None => Portable(tail(text, at)),
        }
    }

    #[inline(always)]
    fn add_high(self, high: &mut u8) {
        *high |= self.0.iter().fold(0, |all, byte| all | byte);
    }

    #[inline(always)]
    fn is_ascii(high: u8) -> bool {
        high < 0x80
    }

    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        self.mask(|b| b == byte)
    }

    #[inline(always)]
    fn control(self) -> u64 {
        self.mask(|b| b < 0x20)
    }

    #[inline(always)]
    fn operators(self) -> u64 {
        self.mask(|b| matches!(b, b'{' | b'}' | b'[' | b']' | b':' | b',' | 0x0c | 0x1a))
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        self.mask(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        self.mask(|b| matches!(b, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u'))
    }

    #[inline(always)]
    fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    unsafe fn store(self, tokens: u64, primitives: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
        // SAFETY: passed on from the caller.
        unsafe { store_by_bit(&self.0, tokens, primitives, base, kinds, positions) }
    }
}
