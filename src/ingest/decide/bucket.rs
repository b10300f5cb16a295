//! The unit of the table: four entries of 28 bytes side by side.

/// Entries a bucket.
pub(super) const SLOTS: usize = 4;
/// Bits of an offset that an entry keeps.
pub(super) const OFFSET_BITS: u32 = 40;

/// The 112 bits of a fingerprint that an entry keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Bits 0..64, never 0: 0 marks an empty slot. Its halves choose the two buckets.
    pub low: u64,
    /// Bits 64..112. Its top bits choose the segment.
    pub high: u64,
}

impl Key {
    /// The key of a fingerprint.
    #[inline]
    pub fn new(fingerprint: u128) -> Key {
        let low = fingerprint as u64;
        Key { low: low | u64::from(low == 0), high: (fingerprint >> 64) as u64 & 0xffff_ffff_ffff }
    }
}

/// One remembered key, unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Which key.
    pub key: Key,
    /// Stamp of the slice of its newest time.
    pub stamp: u8,
    /// The key has several incidents: `offset` is the number of their chain.
    pub chained: bool,
    /// Milliseconds from the start of the slice to the newest time.
    pub rest: u32,
    /// Low [`OFFSET_BITS`] bits of the incident's offset, or the chain.
    pub offset: u64,
    /// The incident's partition.
    pub partition: u16,
    /// The incident's element.
    pub element: u16,
}

/// Four entries, field by field, so that a probe reads what it compares side by side.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Bucket {
    low: [u64; SLOTS],
    high: [u32; SLOTS],
    high_top: [u16; SLOTS],
    /// Stamp in the upper seven bits, "has a chain" in the lowest.
    tag: [u8; SLOTS],
    rest: [u32; SLOTS],
    offset: [u32; SLOTS],
    offset_top: [u8; SLOTS],
    partition: [u16; SLOTS],
    element: [u16; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == SLOTS * 28);

impl Bucket {
    /// A bucket without entries.
    pub const EMPTY: Bucket = Bucket {
        low: [0; SLOTS],
        high: [0; SLOTS],
        high_top: [0; SLOTS],
        tag: [0; SLOTS],
        rest: [0; SLOTS],
        offset: [0; SLOTS],
        offset_top: [0; SLOTS],
        partition: [0; SLOTS],
        element: [0; SLOTS],
    };

    /// The slot that holds a key.
    #[inline]
    pub fn find(&self, key: Key) -> Option<usize> {
        (0..SLOTS).find(|at| self.low[*at] == key.low && self.key(*at) == key)
    }

    /// The first slot that is empty or whose stamp is dead.
    #[inline]
    pub fn free(&self, dead: impl Fn(u8) -> bool) -> Option<usize> {
        (0..SLOTS).find(|at| self.low[*at] == 0 || dead(self.tag[*at] >> 1))
    }

    /// How many slots are empty.
    #[inline]
    pub fn empty(&self) -> u32 {
        self.low.iter().map(|low| u32::from(*low == 0)).sum()
    }

    /// Whether a slot holds nothing.
    #[inline]
    pub fn is_empty(&self, slot: usize) -> bool {
        self.low[slot] == 0
    }

    /// The key in a slot.
    #[inline]
    pub fn key(&self, slot: usize) -> Key {
        Key { low: self.low[slot], high: u64::from(self.high[slot]) | u64::from(self.high_top[slot]) << 32 }
    }

    /// The stamp in a slot.
    #[inline]
    pub fn stamp(&self, slot: usize) -> u8 {
        self.tag[slot] >> 1
    }

    /// The entry in a slot.
    #[inline]
    pub fn get(&self, slot: usize) -> Entry {
        Entry {
            key: self.key(slot),
            stamp: self.tag[slot] >> 1,
            chained: self.tag[slot] & 1 == 1,
            rest: self.rest[slot],
            offset: u64::from(self.offset[slot]) | u64::from(self.offset_top[slot]) << 32,
            partition: self.partition[slot],
            element: self.element[slot],
        }
    }

    /// Writes an entry into a slot.
    #[inline]
    pub fn set(&mut self, slot: usize, entry: Entry) {
        self.low[slot] = entry.key.low;
        self.high[slot] = entry.key.high as u32;
        self.high_top[slot] = (entry.key.high >> 32) as u16;
        self.tag[slot] = entry.stamp << 1 | u8::from(entry.chained);
        self.rest[slot] = entry.rest;
        self.offset[slot] = entry.offset as u32;
        self.offset_top[slot] = (entry.offset >> 32) as u8;
        self.partition[slot] = entry.partition;
        self.element[slot] = entry.element;
    }

    /// Empties a slot.
    #[inline]
    pub fn clear(&mut self, slot: usize) {
        self.low[slot] = 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_packing() {
        let key = Key::new(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef_u128);
        let entry = Entry { key, stamp: 127, chained: true, rest: u32::MAX, offset: (1 << OFFSET_BITS) - 2, partition: 65_535, element: 65_534 };
        for slot in 0..SLOTS {
            let mut bucket = Bucket::EMPTY;
            bucket.set(slot, entry);
            let got = bucket.get(slot);
            assert_eq!(format!("{got:?}"), format!("{entry:?}"));
            assert_eq!((bucket.find(key), bucket.stamp(slot)), (Some(slot), 127));
            assert_eq!(bucket.free(|_| false), Some(usize::from(slot == 0)));
            bucket.clear(slot);
            assert!(bucket.is_empty(slot) && bucket.find(key).is_none());
        }
        assert_eq!(Key::new(1 << 64).low, 1, "a zero low half is not an empty slot");
    }
}
