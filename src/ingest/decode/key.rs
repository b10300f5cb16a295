//! Keys of a node of the shape and a table to find them: most keys of an event match none, and that must cost little.

use super::shape::Edge;

/// Slots of a [`KeyTable`] per key: few keys that do not match meet one that is there.
const SLOTS_PER_KEY: usize = 16;

/// `MASKS[n]` keeps the first `n` bytes of a word.
const MASKS: [u64; 9] = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff];

/// The first and last eight bytes of a key (all of it, twice, when it is shorter) and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    first: u64,
    last: u64,
    len: u32,
}

impl Ends {
    /// From words at the start of a key and at byte `len - 8` or 0; see [`Ends::last_at`].
    #[inline(always)]
    pub fn new(first: u64, last: u64, len: u32) -> Ends {
        let mask = MASKS[(len as usize).min(8)];
        Ends { first: first & mask, last: last & mask, len }
    }

    /// Where in a key of `len` bytes the second word starts.
    #[inline(always)]
    pub fn last_at(len: u32) -> u32 {
        len.saturating_sub(8)
    }

    fn of(key: &[u8]) -> Ends {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(key.get(at..).unwrap_or_default()) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        };
        let len = key.len() as u32;
        Ends::new(word(0), word(Ends::last_at(len) as usize), len)
    }

    #[inline(always)]
    fn hash(self, multiplier: u64) -> u64 {
        (self.first.wrapping_add(self.last.rotate_left(25)) ^ u64::from(self.len)).wrapping_mul(multiplier)
    }
}

/// A key to look for.
#[derive(Debug)]
pub(super) struct Key {
    ends: Ends,
    text: Box<[u8]>,
}

impl Key {
    pub fn new(text: &[u8]) -> Key {
        Key { ends: Ends::of(text), text: text.into() }
    }

    /// Compares with a key of the event; `text` is asked for only when the ends do not tell.
    #[inline(always)]
    fn is<'a>(&self, ends: Ends, text: impl FnOnce() -> &'a [u8]) -> bool {
        self.ends == ends && (ends.len <= 16 || *self.text == *text())
    }
}

/// Hash table from keys to edge numbers, with linear probing.
#[derive(Debug)]
pub(super) struct KeyTable {
    /// Edge number + 1, or 0. A power of two long.
    slots: Box<[u16]>,
    shift: u32,
    multiplier: u64,
    len: usize,
}

impl Default for KeyTable {
    fn default() -> KeyTable {
        KeyTable { slots: [0; 2].into(), shift: 63, multiplier: 0, len: 0 }
    }
}

impl KeyTable {
    /// A table of the keys of `edges` (at most 65,534; what is beyond is not found).
    pub fn new(edges: &[Edge]) -> KeyTable {
        let edges = edges.get(..edges.len().min(usize::from(u16::MAX) - 1)).unwrap_or_default();
        let bits = (edges.len() * SLOTS_PER_KEY).max(2).next_power_of_two().trailing_zeros();
        let mut best = (usize::MAX, KeyTable::default());
        // Any odd multiplier does; the one with the fewest collisions of a few is better.
        let mut multiplier = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..32 {
            let table = KeyTable::fill(edges, bits, multiplier);
            if table.0 < best.0 {
                best = table;
            }
            multiplier = multiplier.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        }
        best.1
    }

    /// The table and how many keys are not in their own slot.
    fn fill(edges: &[Edge], bits: u32, multiplier: u64) -> (usize, KeyTable) {
        let mut slots = vec![0u16; 1 << bits].into_boxed_slice();
        let shift = 64 - bits;
        let mut displaced = 0;
        for (number, edge) in edges.iter().enumerate() {
            let mut at = (edge.key.ends.hash(multiplier) >> shift) as usize;
            while slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (slots.len() - 1);
                displaced += 1;
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = number as u16 + 1;
            }
        }
        (displaced, KeyTable { slots, shift, multiplier, len: edges.len() })
    }

    /// How many keys there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of the edge with this key. `edges` are those that the table was made from.
    #[inline(always)]
    pub fn find_ends<'a>(&self, edges: &[Edge], ends: Ends, text: impl Fn() -> &'a [u8]) -> Option<u16> {
        let mut at = (ends.hash(self.multiplier) >> self.shift) as usize;
        loop {
            let number = self.slots.get(at).copied().unwrap_or(0).checked_sub(1)?;
            if edges.get(number as usize).is_some_and(|edge| edge.key.is(ends, &text)) {
                return Some(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// As [`KeyTable::find_ends`], by the whole key.
    pub fn find(&self, edges: &[Edge], key: &[u8]) -> Option<u16> {
        self.find_ends(edges, Ends::of(key), || key)
    }
}
