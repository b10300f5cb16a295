//! Time in slices: an entry stores its slice in seven bits and its place inside
//! the slice in 32, and whole slices expire or are given up together.

/// Slices that one horizon spans. More = finer give-up at the byte bound, but all live
/// slices and those not swept yet must stay apart in seven bits.
pub(super) const SLICES: i64 = 64;
/// Distinct stamps; slice numbers are stored modulo this.
pub(super) const STAMPS: i64 = 128;
/// Longest horizon (ms): a place inside a slice has 32 bits. About 8.7 years.
pub(super) const REACH_MAX_MS: i64 = SLICES * u32::MAX as i64;
/// Times are held within this distance of 1970 (ms, about 18 million years), so that no sum overflows.
pub(super) const TIME_MAX_MS: i64 = 1 << 59;

/// How an index cuts time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slices {
    /// Milliseconds a slice, 1 to `u32::MAX`.
    len: i64,
}

impl Slices {
    /// Slices for a horizon that reaches `reach` ms back.
    pub fn new(reach: i64) -> Slices {
        Slices { len: ((reach.clamp(0, REACH_MAX_MS) + SLICES - 1) / SLICES).max(1) }
    }

    /// The slice in which a time lies.
    #[inline]
    pub fn of(self, time: i64) -> i64 {
        time.div_euclid(self.len)
    }

    /// Milliseconds from the start of its slice to a time.
    #[inline]
    pub fn rest(self, time: i64) -> u32 {
        time.rem_euclid(self.len) as u32
    }

    /// The first time of a slice.
    #[inline]
    pub fn start(self, slice: i64) -> i64 {
        slice * self.len
    }
}

/// The stamp of a slice.
#[inline]
pub(super) fn stamp(slice: i64) -> u8 {
    (slice & (STAMPS - 1)) as u8
}

/// The slice behind a stamp, given a lower bound that lies less than [`STAMPS`] below it.
#[inline]
pub(super) fn unstamp(stamp: u8, lower: i64) -> i64 {
    lower + ((i64::from(stamp) - lower) & (STAMPS - 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_survive() {
        for reach in [0, 1, 63, 64, 65, 3_600_000, 90_000_000, REACH_MAX_MS, i64::MAX] {
            let slices = Slices::new(reach);
            for time in [-TIME_MAX_MS, -1_000_001, -1, 0, 1, 1_790_000_000_123, TIME_MAX_MS] {
                let slice = slices.of(time);
                assert_eq!(slices.start(slice) + i64::from(slices.rest(time)), time);
                for back in [0, 1, 64, 127] {
                    assert_eq!(unstamp(stamp(slice), slice - back), slice);
                }
                let reached = slices.of(time - reach.min(REACH_MAX_MS));
                assert!(slice - reached <= SLICES + 1, "reach {reach} spans {} slices", slice - reached);
            }
        }
    }
}
