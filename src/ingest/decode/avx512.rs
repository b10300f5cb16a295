//! The index's questions about 64 bytes, answered by AVX-512. What limits the pass is port 5, which all comparisons into masks
//! need: each instruction there counts.

use std::arch::x86_64::*;

use super::block::Block;
use super::index::PRIMITIVE;
use super::x86::{ESCAPABLE, HIGH_BIT, OPERATORS, SPACES, prefix_xor};

/// One register of 64 bytes.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512i);

/// The numbers 0..64.
const IOTA: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 64 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// A table of 16 bytes in all four quarters of a register.
#[inline(always)]
unsafe fn table512(table: &[u8; 16]) -> __m512i {
    // SAFETY: the table has 16 bytes; AVX-512 is the caller's promise.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())) }
}

impl Avx512 {
    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        // SAFETY: an `Avx512` is only loaded on a CPU that has it.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }
}

// SAFETY of all that follows: an `Avx512` is only loaded on a CPU that has it.
impl Block for Avx512 {
    /// All bytes, ored, and the lowest of each 64.
    type Range = (__m512i, __m512i);
    // SAFETY: any bits are a value of this type.
    const NO_BYTES: Self::Range = unsafe { std::mem::transmute(([0u8; 64], [u8::MAX; 64])) };

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Avx512 {
        // SAFETY: the caller's promise.
        unsafe { Avx512(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Avx512 {
        let mask = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
        // SAFETY: the caller's promise; masked-off bytes are not read.
        unsafe { Avx512(_mm512_mask_loadu_epi8(_mm512_set1_epi8(b' ' as i8), mask, from.cast())) }
    }

    #[inline(always)]
    fn add_to(self, range: &mut Self::Range) {
        // SAFETY: see the impl.
        unsafe {
            range.0 = _mm512_or_si512(range.0, self.0);
            range.1 = _mm512_min_epu8(range.1, self.0);
        }
    }

    #[inline(always)]
    fn is_ascii(range: Self::Range) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm512_movepi8_mask(range.0) == 0 }
    }

    #[inline(always)]
    fn has_control(range: Self::Range) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm512_cmplt_epu8_mask(range.1, _mm512_set1_epi8(0x20)) != 0 }
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
        unsafe { _mm512_cmplt_epu8_mask(self.0, _mm512_set1_epi8(0x20)) }
    }

    #[inline(always)]
    fn operators(self) -> u64 {
        // SAFETY: see the impl.
        unsafe {
            let folded = _mm512_or_si512(self.0, _mm512_set1_epi8(0x20));
            _mm512_cmpeq_epi8_mask(folded, _mm512_shuffle_epi8(table512(&OPERATORS), self.0))
        }
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        // SAFETY: see the impl.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_shuffle_epi8(table512(&SPACES), self.0)) }
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        // SAFETY: see the impl.
        unsafe {
            let half = _mm512_and_si512(_mm512_srli_epi16::<4>(self.0), _mm512_set1_epi8(15));
            let bit = _mm512_shuffle_epi8(table512(&HIGH_BIT), half);
            _mm512_test_epi8_mask(bit, _mm512_shuffle_epi8(table512(&ESCAPABLE), self.0))
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: see the impl; `has_avx512` asks for pclmulqdq.
        unsafe { prefix_xor(bits) }
    }

    #[inline(always)]
    unsafe fn store(self, tokens: u64, named: u64, base: u32, kinds: *mut u8, positions: *mut u32) {
        // SAFETY: there is room for 64 elements at both pointers.
        unsafe {
            let bytes = _mm512_mask_blend_epi8(named, _mm512_set1_epi8(PRIMITIVE as i8), self.0);
            _mm512_storeu_si512(kinds.cast(), _mm512_maskz_compress_epi8(tokens, bytes));
            let numbers = _mm512_maskz_compress_epi8(tokens, _mm512_loadu_si512(IOTA.as_ptr().cast()));
            let base = _mm512_set1_epi32(base as i32);
            // Blocks of 17 to 32 tokens are common in small events, more than 32 are not.
            store_positions::<0>(numbers, base, positions);
            store_positions::<16>(numbers, base, positions);
            if tokens.count_ones() > 32 {
                store_positions::<32>(numbers, base, positions);
                store_positions::<48>(numbers, base, positions);
            }
        }
    }
}

/// Stores bytes `FROM..FROM + 16` of `numbers`, each plus `base`.
///
/// # Safety
/// AVX-512, and room for `FROM + 16` elements.
#[inline(always)]
unsafe fn store_positions<const FROM: usize>(numbers: __m512i, base: __m512i, positions: *mut u32) {
    // SAFETY: the caller's promises.
    unsafe {
        // One permutation instead of extraction and extension: every fourth byte, the others 0.
        let spread = _mm512_loadu_si512(SPREAD[FROM / 16].as_ptr().cast());
        let wide = _mm512_maskz_permutexvar_epi8(0x1111_1111_1111_1111, spread, numbers);
        _mm512_storeu_si512(positions.add(FROM).cast(), _mm512_add_epi32(base, wide));
    }
}

/// Where each byte of four registers of 16 numbers comes from.
const SPREAD: [[u8; 64]; 4] = {
    let mut spread = [[0; 64]; 4];
    let mut i = 0;
    while i < 256 {
        spread[i / 64][i % 64] = (i / 4) as u8;
        i += 1;
    }
    spread
};
