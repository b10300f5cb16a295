//! From the bits of an offset that an entry keeps back to the whole offset.

use super::Origin;
use super::entry::OFFSET_BITS;

/// The offset last remembered of each partition: entries keep the low 39 bits of theirs, and
/// the nearest offset with these bits is meant.
#[derive(Debug, Default)]
pub(super) struct Anchors(Vec<(u16, i64)>);

impl Anchors {
    /// Notes an incident that is remembered now.
    #[inline]
    pub fn set(&mut self, origin: Origin) {
        if let [(partition, offset)] = &mut self.0[..]
            && *partition == origin.partition
        {
            *offset = origin.offset;
            return;
        }
        match self.0.binary_search_by_key(&origin.partition, |anchor| anchor.0) {
            Ok(at) => self.0[at].1 = origin.offset,
            Err(at) => self.0.insert(at, (origin.partition, origin.offset)),
        }
    }

    /// The origin behind what an entry keeps.
    #[inline]
    pub fn origin(&self, offset: u64, partition: u16, element: u16) -> Origin {
        let at = self.0.binary_search_by_key(&partition, |anchor| anchor.0);
        let anchor = at.ok().and_then(|at| self.0.get(at)).map_or(0, |anchor| anchor.1);
        let ahead = (offset.wrapping_sub(anchor as u64) << (64 - OFFSET_BITS)) as i64 >> (64 - OFFSET_BITS);
        Origin { partition, offset: anchor.wrapping_add(ahead), element }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_offset_is_meant() {
        let mut anchors = Anchors::default();
        let origin = |partition, offset| Origin { partition, offset, element: 5 };
        for partition in [3, 0, 65_535, 3] {
            for base in [0i64, 1 << 38, 1 << OFFSET_BITS, (1 << OFFSET_BITS) - 3, 1 << 62] {
                anchors.set(origin(partition, base));
                for away in [0, 1, 5, 1_000_000_000, (1 << (OFFSET_BITS - 1)) - 1] {
                    for offset in [base - away, base + away] {
                        let bits = offset as u64 & ((1 << OFFSET_BITS) - 1);
                        assert_eq!(anchors.origin(bits, partition, 5), origin(partition, offset));
                    }
                }
            }
        }
    }
}
