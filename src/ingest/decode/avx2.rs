//! The index's questions about 64 bytes, answered by AVX2.

use std::arch::x86_64::*;

use super::block::{Block, padded, store_by_bit};
use super::index::PRIMITIVE;
use super::x86::{ESCAPABLE, HIGH_BIT, OPERATORS, SPACES, prefix_xor};

/// Two registers of 32 bytes.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256i, __m256i);

/// Bit *i* is the top bit of byte *i*.
#[inline(always)]
unsafe fn mask256(low: __m256i, high: __m256i) -> u64 {
    // SAFETY: AVX2 is the caller's promise.
    let (low, high) = unsafe { (_mm256_movemask_epi8(low) as u32, _mm256_movemask_epi8(high) as u32) };
    u64::from(low) | u64::from(high) << 32
}

/// A table of 16 bytes in both halves of a register.
#[inline(always)]
unsafe fn table256(table: &[u8; 16]) -> __m256i {
    // SAFETY: the table has 16 bytes; AVX2 is the caller's promise.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) }
}

// What follows are functions, not closures: only functions can be told to be inlined, and without that each
// instruction of a block becomes a call.

#[inline(always)]
unsafe fn operators256(v: __m256i) -> __m256i {
    // SAFETY: AVX2 is the caller's promise; so below.
    unsafe {
        let folded = _mm256_or_si256(v, _mm256_set1_epi8(0x20));
        _mm256_cmpeq_epi8(folded, _mm256_shuffle_epi8(table256(&OPERATORS), v))
    }
}

#[inline(always)]
unsafe fn spaces256(v: __m256i) -> __m256i {
    // SAFETY: AVX2 is the caller's promise.
    unsafe { _mm256_cmpeq_epi8(v, _mm256_shuffle_epi8(table256(&SPACES), v)) }
}

/// The bytes that may *not* follow a backslash.
#[inline(always)]
unsafe fn inescapable256(v: __m256i) -> __m256i {
    // SAFETY: see the impl.
    unsafe {
        let half = _mm256_and_si256(_mm256_srli_epi16::<4>(v), _mm256_set1_epi8(15));
        let bit = _mm256_shuffle_epi8(table256(&HIGH_BIT), half);
        let allowed = _mm256_and_si256(bit, _mm256_shuffle_epi8(table256(&ESCAPABLE), v));
        _mm256_cmpeq_epi8(allowed, _mm256_setzero_si256())
    }
}

#[inline(always)]
unsafe fn control256(v: __m256i) -> __m256i {
    // SAFETY: see the impl.
    unsafe { _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8(0x1f)), _mm256_set1_epi8(0x1f)) }
}

impl Avx2 {
    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        // SAFETY: an `Avx2` is only loaded on a CPU that has it.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            mask256(_mm256_cmpeq_epi8(self.0, byte), _mm256_cmpeq_epi8(self.1, byte))
        }
    }
}

// SAFETY of all that follows: an `Avx2` is only loaded on a CPU that has it.
impl Block for Avx2 {
    /// All bytes, ored, and the lowest of each 32.
    type Range = (__m256i, __m256i);
    // SAFETY: any bits are a value of this type.
    const NO_BYTES: Self::Range = unsafe { std::mem::transmute(([0u8; 32], [u8::MAX; 32])) };

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Avx2 {
        // SAFETY: the caller's promise.
        unsafe { Avx2(_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Avx2 {
        // SAFETY: the caller's promise; the padded copy has 64 bytes.
        unsafe { Avx2::load(padded(from, len).as_ptr()) }
    }

    #[inline(always)]
    fn add_to(self, range: &mut Self::Range) {
        // SAFETY: see the impl.
        unsafe {
            range.0 = _mm256_or_si256(range.0, _mm256_or_si256(self.0, self.1));
            range.1 = _mm256_min_epu8(range.1, _mm256_min_epu8(self.0, self.1));
        }
    }

    #[inline(always)]
    fn is_ascii(range: Self::Range) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm256_movemask_epi8(range.0) == 0 }
    }

    #[inline(always)]
    fn has_control(range: Self::Range) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm256_movemask_epi8(control256(range.1)) != 0 }
    }

    #[inline(always)]
    fn quotes(self) -> u64 {
        self.equal(b'"')
    }

    #[inline(always)]
    fn backslashes(self) -> u64 {
        self.equal(b'\\')
    }

    #[inline(always)]
    fn letters_u(self) -> u64 {
        self.equal(b'u')
    }

    #[inline(always)]
    fn control(self) -> u64 {
        // SAFETY: see the impl.
        unsafe { mask256(control256(self.0), control256(self.1)) }
    }

    #[inline(always)]
    fn operators(self) -> u64 {
        // SAFETY: see the impl.
        unsafe { mask256(operators256(self.0), operators256(self.1)) }
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        // SAFETY: see the impl.
        unsafe { mask256(spaces256(self.0), spaces256(self.1)) }
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        // SAFETY: see the impl.
        unsafe { !mask256(inescapable256(self.0), inescapable256(self.1)) }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: see the impl; `has_avx2` asks for pclmulqdq.
        unsafe { prefix_xor(bits) }
    }

    #[inline(always)]
    unsafe fn store(self, tokens: u64, _named: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
        let mut kinds_of = [0; 64];
        // SAFETY: the array has 64 bytes; the rest is passed on from the caller.
        unsafe {
            _mm256_storeu_si256(kinds_of.as_mut_ptr().cast(), kinds256(self.0));
            _mm256_storeu_si256(kinds_of.as_mut_ptr().add(32).cast(), kinds256(self.1));
            store_by_bit::<false>(&kinds_of, tokens, base, kinds, positions);
        }
    }
}

/// What kind of token each byte would be.
#[inline(always)]
unsafe fn kinds256(v: __m256i) -> __m256i {
    // SAFETY: AVX2 is the caller's promise.
    unsafe {
        let named = _mm256_or_si256(operators256(v), _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'"' as i8)));
        _mm256_blendv_epi8(_mm256_set1_epi8(PRIMITIVE as i8), v, named)
    }
}
