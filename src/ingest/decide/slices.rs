//! Time in slices: an entry stores its slice in a tag of one byte and its place inside
//! the slice in 32 bits, and whole slices expire or are given up together.

/// Slices that one horizon spans. More = finer give-up at the byte bound, but all live
/// slices and those not swept yet must stay apart in one byte.
pub(super) const SLICES: i64 = 64;
/// Tags of slices are 1 to this many; 0 is an empty slot.
const TAGS: i64 = 255;
/// Slices behind the clock at which a tag must be gone. Far enough below [`TAGS`] that a
/// tag never looks like one of a later slice, far enough above [`SLICES`] that sweeps are rare.
pub(super) const AGE_MAX: i64 = 2 * SLICES;
/// Slices behind the horizon that may be held for undoing: a quarter of a horizon. Batches that
/// move the clock further before they are committed cannot be undone in place.
pub(super) const HELD_MAX: i64 = SLICES / 4;
/// Longest horizon (ms): a place inside a slice has 32 bits. About 8.7 years.
pub(super) const REACH_MAX_MS: i64 = SLICES * u32::MAX as i64;
/// Times are held within this distance of 1970 (ms, about 18 million years), so that no sum overflows.
pub(super) const TIME_MAX_MS: i64 = 1 << 59;

const _: () = assert!(AGE_MAX < TAGS && SLICES + HELD_MAX + 2 < AGE_MAX);

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

    /// The first time of a slice.
    #[inline]
    pub fn start(self, slice: i64) -> i64 {
        slice * self.len
    }
}

/// The tag of a slice.
#[inline]
pub(super) fn tag(slice: i64) -> u8 {
    1 + slice.rem_euclid(TAGS) as u8
}

/// The slices that are live now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// The first of them.
    pub floor: i64,
    /// The last: that of the clock.
    pub now: i64,
    floor_tag: u8,
    /// From the tag of the floor to that of now, counted through 0 if they go round.
    span: u8,
}

impl Live {
    /// From `floor` to `now`, at most [`AGE_MAX`] slices.
    pub fn new(floor: i64, now: i64) -> Live {
        let last = now.clamp(floor, floor + AGE_MAX);
        Live { floor, now, floor_tag: tag(floor), span: tag(last).wrapping_sub(tag(floor)) }
    }

    /// Whether a tag belongs to a live slice.
    #[inline]
    pub fn holds(self, tag: u8) -> bool {
        (tag != 0) & (tag.wrapping_sub(self.floor_tag) <= self.span)
    }

    /// The first live tag, and how far behind it the last one lies, going round through 0,
    /// which is nobody's.
    #[inline]
    pub fn tags(self) -> (u8, u8) {
        (self.floor_tag, self.span)
    }

    /// Slices from the floor to a tag's, going round; nonsense for tag 0.
    #[inline]
    fn age(self, tag: u8) -> u8 {
        let (age, round) = tag.overflowing_sub(self.floor_tag);
        age.wrapping_sub(u8::from(round))
    }

    /// The same slices, for a sweep of tags that were all given to slices from `lower` to
    /// `lower + AGE_MAX`, however long ago: a tag of long ago looks like one of today.
    pub fn since(self, lower: i64) -> Sweep {
        Sweep { lower: Live::new(lower, lower), dead: (self.floor - lower).clamp(0, TAGS) as u8 }
    }

    /// The slice of a live tag.
    #[inline]
    pub fn slice(self, tag: u8) -> i64 {
        self.floor + i64::from(self.age(tag))
    }
}

/// Tells live tags in something that was not looked at for long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    lower: Live,
    dead: u8,
}

impl Sweep {
    /// Whether a tag belongs to a live slice.
    #[inline]
    pub fn holds(self, tag: u8) -> bool {
        (tag != 0) & (self.lower.age(tag) >= self.dead)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_spans_few_slices() {
        for reach in [0, 1, 63, 64, 65, 3_600_000, 90_000_000, REACH_MAX_MS, i64::MAX] {
            let slices = Slices::new(reach);
            for time in [-TIME_MAX_MS, -1_000_001, -1, 0, 1, 1_790_000_000_123, TIME_MAX_MS] {
                let slice = slices.of(time);
                assert!(slices.start(slice) <= time && time - slices.start(slice) <= i64::from(u32::MAX) && time < slices.start(slice + 1));
                let reached = slices.of(time - reach.min(REACH_MAX_MS));
                assert!(slice - reached <= SLICES + 1, "reach {reach} spans {} slices", slice - reached);
            }
        }
    }

    #[test]
    fn tags_tell_live_slices() {
        for now in -300..600 {
            for span in [0, 1, 64, 65, AGE_MAX] {
                let live = Live::new(now - span, now);
                assert!(!live.holds(0));
                for slice in now - AGE_MAX..=now {
                    assert_eq!(live.holds(tag(slice)), slice >= now - span, "slice {slice} at {now}, span {span}");
                    if slice >= now - span {
                        assert_eq!(live.slice(tag(slice)), slice);
                    }
                }
            }
        }
    }

    #[test]
    fn a_sweep_is_not_fooled_by_tags_gone_round() {
        for lower in [-1_000, -1, 0, 77] {
            for now in (lower..lower + 1_200).chain([lower + 1_000_000]) {
                let sweep = Live::new(now - 65, now).since(lower);
                for slice in lower..=lower + AGE_MAX {
                    assert_eq!(sweep.holds(tag(slice)), slice >= now - 65, "slice {slice} at {now}, none before {lower}");
                }
                assert!(!sweep.holds(0));
            }
        }
    }
}
