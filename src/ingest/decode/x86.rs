//! The index's questions about 64 bytes, answered by AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::block::{Block, padded, store_by_bit};
use super::index::{Index, PRIMITIVE};
use super::reject::Reject;

/// True when [`Avx2`] may be used.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

/// True when [`Avx512`] may be used.
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// [`Index::build_by`] with AVX2.
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,popcnt")]
pub(super) fn build_avx2(index: &mut Index, text: &[u8], base: u32) -> Result<(), Reject> {
    // SAFETY: this function has the features of `Avx2`.
    unsafe { index.build_by::<Avx2>(text, base) }
}

/// [`Index::build_by`] with AVX-512.
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
pub(super) fn build_avx512(index: &mut Index, text: &[u8], base: u32) -> Result<(), Reject> {
    // SAFETY: this function has the features of `Avx512`.
    unsafe { index.build_by::<Avx512>(text, base) }
}

/// Operators by their low four bits, compared with the byte | 0x20 (which makes `[` a `{` and `]` a `}`).
const OPERATORS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b':', b'{', b',', b'}', 0, 0];
/// White space by its low four bits; 0 and 0xff match no byte that has these low bits.
const SPACES: [u8; 16] = [b' ', 0, 0, 0, 0, 0, 0, 0, 0, b'\t', b'\n', 0, 0, b'\r', 0, 0];

/// Bit *h* of entry *l* is set when the byte `h << 4 | l` may follow a backslash.
const ESCAPABLE: [u8; 16] = escapable();
/// `1 << h` for a high half below 8.
const HIGH_BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

const fn escapable() -> [u8; 16] {
    let allowed = *b"\"\\/bfnrtu";
    let mut table = [0; 16];
    let mut i = 0;
    while i < allowed.len() {
        table[(allowed[i] & 15) as usize] |= 1 << (allowed[i] >> 4);
        i += 1;
    }
    table
}

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

/// The parity of all bits below and at each bit, by carry-less multiplication with all ones.
#[inline(always)]
unsafe fn prefix_xor(bits: u64) -> u64 {
    // SAFETY: pclmulqdq is the caller's promise.
    unsafe {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product) as u64
    }
}

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
