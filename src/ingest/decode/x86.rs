//! What the index needs on x86-64: which instructions there are, ways into its pass that are compiled for them, and what
//! [`Avx2`] and [`Avx512`] share.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::avx512::Avx512;
use super::index::Index;
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
pub(super) const OPERATORS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b':', b'{', b',', b'}', 0, 0];
/// White space by its low four bits; 0 and 0xff match no byte that has these low bits.
pub(super) const SPACES: [u8; 16] = [b' ', 0, 0, 0, 0, 0, 0, 0, 0, b'\t', b'\n', 0, 0, b'\r', 0, 0];

/// Bit *h* of entry *l* is set when the byte `h << 4 | l` may follow a backslash.
pub(super) const ESCAPABLE: [u8; 16] = escapable();
/// `1 << h` for a high half below 8.
pub(super) const HIGH_BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

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

/// The parity of all bits below and at each bit, by carry-less multiplication with all ones.
#[inline(always)]
pub(super) unsafe fn prefix_xor(bits: u64) -> u64 {
    // SAFETY: pclmulqdq is the caller's promise.
    unsafe {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product) as u64
    }
}
