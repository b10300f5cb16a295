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
    #[inline(always)]
    fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }
    /// Stores kind and position (`base` + bit number) of each bit of `tokens`. The kind is the byte for bits of `named`,
    /// [`PRIMITIVE`] for others.
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

/// [`Block::store`], four tokens at a time: a loop that writes a little too much mispredicts less.
///
/// # Safety
/// There is room for 64 elements at both pointers.
#[inline(always)]
pub(super) unsafe fn store_by_bit(
    bytes: &[u8; 64],
    mut tokens: u64,
    named: u64,
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
            let kind = if named >> (bit % 64) & 1 == 1 { byte } else { PRIMITIVE };
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
    /// All bytes, ored, and the lowest one.
    type Range = (u8, u8);
    const NO_BYTES: (u8, u8) = (0, u8::MAX);

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Portable {
        // SAFETY: the caller's promise.
        Portable(unsafe { from.cast::<[u8; 64]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Portable {
        // SAFETY: the caller's promise.
        Portable(unsafe { padded(from, len) })
    }

    #[inline(always)]
    fn add_to(self, range: &mut (u8, u8)) {
        range.0 |= self.0.iter().fold(0, |all, byte| all | byte);
        range.1 = self.0.iter().fold(range.1, |lowest, byte| lowest.min(*byte));
    }

    #[inline(always)]
    fn is_ascii(range: (u8, u8)) -> bool {
        range.0 < 0x80
    }

    #[inline(always)]
    fn has_control(range: (u8, u8)) -> bool {
        range.1 < 0x20
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
    unsafe fn store(self, tokens: u64, named: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
        // SAFETY: passed on from the caller.
        unsafe { store_by_bit(&self.0, tokens, named, base, kinds, positions) }
    }
}
