//! The marks of a bucket: part of the key and the slice of each of its sixteen entries,
//! side by side, so that one look at half a cache line tells what may match and what is free.

use super::slices::Live;

/// Entries a bucket. At 16 and a load of 0.95 one insert in eight finds both buckets of its
/// key full; at 4 it would be two in three, and each would have to move others.
pub(super) const SLOTS: usize = 16;

/// The marks of a bucket's slots.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Marks {
    /// Part of the keys.
    pub prints: [u8; SLOTS],
    /// Tags of their slices, see `slices`; 0 = empty.
    pub tags: [u8; SLOTS],
}

impl Marks {
    /// Empty slots only.
    pub const NONE: Marks = Marks { prints: [0; SLOTS], tags: [0; SLOTS] };

    /// Slots whose entry is live and could be of a key with this print.
    #[inline]
    pub fn like(&self, print: u8, live: Live) -> Slots {
        Slots(equal(self.prints, print) & within(self.tags, live.tags()))
    }

    /// Slots that are empty or dead.
    #[inline]
    pub fn free(&self, live: Live) -> Slots {
        Slots(!within(self.tags, live.tags()))
    }
}

/// Some slots of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots(u16);

impl Slots {
    /// How many.
    #[inline]
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The first of them.
    #[inline]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize % SLOTS)
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = self.first()?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

/// Bits of the bytes that equal one.
#[cfg(target_arch = "x86_64")]
#[inline]
fn equal(bytes: [u8; SLOTS], one: u8) -> u16 {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { sse2::equal(bytes, one) }
}

/// Bits of the bytes that are not 0 and lie at most `span` behind `first`, going round.
#[cfg(target_arch = "x86_64")]
#[inline]
fn within(bytes: [u8; SLOTS], tags: (u8, u8)) -> u16 {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { sse2::within(bytes, tags) }
}

/// Sixteen bytes at a time. In plain words an insert takes more than twice as long.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::*;

    use super::SLOTS;

    #[inline]
    #[target_feature(enable = "sse2")]
    pub fn equal(bytes: [u8; SLOTS], one: u8) -> u16 {
        _mm_movemask_epi8(_mm_cmpeq_epi8(vector(bytes), _mm_set1_epi8(one as i8))) as u16
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub fn within(bytes: [u8; SLOTS], (first, span): (u8, u8)) -> u16 {
        let bytes = vector(bytes);
        let behind = _mm_sub_epi8(bytes, _mm_set1_epi8(first as i8));
        let near = _mm_cmpeq_epi8(_mm_min_epu8(behind, _mm_set1_epi8(span as i8)), behind);
        let empty = _mm_cmpeq_epi8(bytes, _mm_setzero_si128());
        _mm_movemask_epi8(_mm_andnot_si128(empty, near)) as u16
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn vector(bytes: [u8; SLOTS]) -> __m128i {
        let all = u128::from_le_bytes(bytes);
        _mm_set_epi64x((all >> 64) as i64, all as i64)
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn equal(bytes: [u8; SLOTS], one: u8) -> u16 {
    plain::equal(bytes, one)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn within(bytes: [u8; SLOTS], tags: (u8, u8)) -> u16 {
    plain::within(bytes, tags)
}

/// The same in plain words: for other processors, and to test the above.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::SLOTS;

    pub fn equal(bytes: [u8; SLOTS], one: u8) -> u16 {
        (0..SLOTS).fold(0, |bits, at| bits | u16::from(bytes[at] == one) << at)
    }

    pub fn within(bytes: [u8; SLOTS], (first, span): (u8, u8)) -> u16 {
        (0..SLOTS).fold(0, |bits, at| bits | u16::from(bytes[at] != 0 && bytes[at].wrapping_sub(first) <= span) << at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::slices::tag;
    use super::*;

    #[test]
    fn marks_tell_what_is_free_and_what_may_match() {
        let live = Live::new(100, 110);
        let mut marks = Marks::NONE;
        for (slot, (print, slice)) in [(7, 105), (7, 99), (8, 110), (7, 111), (7, 100)].into_iter().enumerate() {
            (marks.prints[slot], marks.tags[slot]) = (print, tag(slice));
        }
        assert_eq!(marks.free(live).collect::<Vec<_>>(), [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(marks.like(7, live).collect::<Vec<_>>(), [0, 4]);
        assert_eq!((marks.like(0, live).first(), marks.free(live).count()), (None, 13));
    }

    #[test]
    fn vectors_and_plain_words_agree() {
        let mut bytes = [0u8; SLOTS];
        for round in 0..60_000u32 {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = (round.wrapping_mul(2_654_435_761).rotate_left(at as u32 * 5) >> (round % 23)) as u8;
            }
            let (first, span) = (round as u8, (round >> 8) as u8);
            assert_eq!(equal(bytes, first), plain::equal(bytes, first));
            assert_eq!(within(bytes, (first, span)), plain::within(bytes, (first, span)));
        }
    }
}
