//! An entry of the table: 28 bytes, two of them in its mark (`marks`), which is all
//! that a search looks at, and 26 here.

/// Bits of an offset that an entry keeps.
pub(super) const OFFSET_BITS: u32 = 39;
/// In the byte of the uppermost offset bits: the entry names a chain.
const CHAINED: u8 = 1 << (OFFSET_BITS - 32);

/// The 112 bits of a fingerprint that an entry keeps. Fingerprints are keyed hashes: any
/// of their bits can choose a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Bits 0..64. The lower half chooses the first bucket.
    pub low: u64,
    /// Bits 64..112. The lowest eight are in the mark, the top ones choose the segment.
    pub high: u64,
}

impl Key {
    /// The key of a fingerprint.
    #[inline]
    pub fn new(fingerprint: u128) -> Key {
        Key { low: fingerprint as u64, high: (fingerprint >> 64) as u64 & 0xffff_ffff_ffff }
    }

    /// The part of it that is in the mark.
    #[inline]
    pub fn print(self) -> u8 {
        self.high as u8
    }
}

/// What an entry says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// One incident: the low [`OFFSET_BITS`] bits of its offset, partition, element.
    One { offset: u64, partition: u16, element: u16 },
    /// Several: the number of their chain.
    Chain(u32),
}

/// An entry as it lies in memory, without its mark. Copied whole when it moves.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed)]
pub(super) struct Entry {
    low: u64,
    /// Bits 8..40 and 40..48 of the key's upper part.
    high: u32,
    high_top: u8,
    offset_top: u8,
    offset: u32,
    rest: u32,
    partition: u16,
    element: u16,
}

const _: () = assert!(size_of::<Entry>() == 26);

impl Entry {
    /// No entry; only the mark says whether there is one.
    pub const NONE: Entry = Entry { low: 0, high: 0, high_top: 0, offset_top: 0, offset: 0, rest: 0, partition: 0, element: 0 };

    /// An entry whose newest time lies `rest` ms behind the start of its slice.
    #[inline]
    pub fn new(key: Key, rest: u32, held: Held) -> Entry {
        let (offset, flag, partition, element) = match held {
            Held::One { offset, partition, element } => (offset & ((1 << OFFSET_BITS) - 1), 0, partition, element),
            Held::Chain(number) => (u64::from(number), CHAINED, 0, 0),
        };
        Entry {
            low: key.low,
            high: (key.high >> 8) as u32,
            high_top: (key.high >> 40) as u8,
            offset_top: (offset >> 32) as u8 | flag,
            offset: offset as u32,
            rest,
            partition,
            element,
        }
    }

    /// The half of its key that chooses the first bucket.
    #[inline]
    pub fn half(&self) -> u32 {
        self.low as u32
    }

    /// Whether it is of this key, whose print its mark has.
    #[inline]
    pub fn is(&self, key: Key) -> bool {
        self.low == key.low && u64::from(self.high) | u64::from(self.high_top) << 32 == key.high >> 8
    }

    /// Milliseconds from the start of its slice to its newest time.
    #[inline]
    pub fn rest(&self) -> u32 {
        self.rest
    }

    /// What it says.
    #[inline]
    pub fn held(&self) -> Held {
        match self.chain() {
            Some(number) => Held::Chain(number),
            None => Held::One { offset: u64::from(self.offset) | u64::from(self.offset_top) << 32, partition: self.partition, element: self.element },
        }
    }

    /// Its chain, if it has one.
    #[inline]
    pub fn chain(&self) -> Option<u32> {
        (self.offset_top & CHAINED != 0).then_some(self.offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_packing() {
        let key = Key::new(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef_u128);
        let one = Held::One { offset: (1 << OFFSET_BITS) - 2, partition: 65_535, element: 65_534 };
        for held in [one, Held::Chain(u32::MAX), Held::Chain(0)] {
            let entry = Entry::new(key, u32::MAX - 1, held);
            assert_eq!((entry.half(), entry.rest(), entry.held()), (key.low as u32, u32::MAX - 1, held));
            for bit in 8..48 {
                assert!(!entry.is(Key { high: key.high ^ 1 << bit, ..key }));
            }
            assert!(entry.is(key) && !entry.is(Key { low: !key.low, ..key }) && key.print() == 0x10);
        }
    }
}
