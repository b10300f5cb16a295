//! A segment of the table: a bucketized cuckoo hash of one part of the keys. It
//! grows, shrinks and is swept alone, so that no single operation is long.
//!
//! Every entry lies in one of two buckets, and either follows from the other and the mark.
//! So a search for a free slot, a lookup that finds nothing and a sweep read marks only,
//! eight bytes a bucket in an array apart; entries lie in far memory and are read to
//! confirm a match and to be moved.

use super::bucket::{Entry, Key, Marks, SLOTS};
use super::slices::Live;

/// Most buckets that one insert looks at for a free slot (count). At a load of 0.95 ten are
/// enough on average; to fail only means growing a little early.
const SEARCH_MAX: usize = 128;

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    bucket: u32,
    slot: u8,
}

/// What became of an attempt to place an entry.
#[derive(Debug)]
pub(super) enum Placed {
    /// It went into an empty slot.
    Fresh,
    /// It took the slot of this dead entry.
    Over(Entry),
    /// No free slot within reach.
    Full,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    marks: Box<[Marks]>,
    /// Four for each of the marks.
    entries: Box<[[Entry; SLOTS]]>,
    /// Slots that are not empty.
    used: u32,
    /// No entry is of a slice before this one.
    lower: i64,
}

/// A step of the search for a free slot: the bucket, and from where it was reached.
#[derive(Clone, Copy, Default)]
struct Step {
    bucket: u32,
    parent: u8,
    /// The slot of the parent whose entry could move here.
    slot: u8,
}

const ROOT: u8 = u8::MAX;
const _: () = assert!(SEARCH_MAX < ROOT as usize);

impl Segment {
    /// An empty segment.
    pub fn new(buckets: usize, lower: i64) -> Segment {
        Segment {
            marks: vec![Marks::NONE; buckets].into_boxed_slice(),
            entries: vec![[Entry::NONE; SLOTS]; buckets].into_boxed_slice(),
            used: 0,
            lower,
        }
    }

    /// Number of buckets.
    #[inline]
    pub fn buckets(&self) -> usize {
        self.marks.len()
    }

    /// Entries held, dead ones that were not overwritten or swept yet included.
    #[inline]
    pub fn used(&self) -> usize {
        self.used as usize
    }

    /// The slice before which there is nothing.
    #[inline]
    pub fn lower(&self) -> i64 {
        self.lower
    }

    /// The bytes of a segment with so many buckets.
    pub fn bytes(buckets: usize) -> usize {
        buckets * (size_of::<[Entry; SLOTS]>() + size_of::<Marks>())
    }

    /// A number of 32 bits as a bucket. Scaling (not masking) allows any number of buckets
    /// and keeps the order of buckets when the number changes.
    #[inline]
    fn scale(&self, number: u32) -> usize {
        ((u64::from(number) * self.marks.len() as u64) >> 32) as usize
    }

    /// The other bucket of an entry that lies in `bucket`: its mirror image, with a mirror
    /// that the print places. The other's other is the one again.
    #[inline]
    fn other(&self, bucket: usize, print: u8) -> usize {
        let mirror = self.scale((u32::from(print) + 1).wrapping_mul(0x9e37_79b1));
        if mirror >= bucket { mirror - bucket } else { mirror + self.marks.len() - bucket }
    }

    /// The two buckets of a key. There must be buckets.
    #[inline]
    fn homes(&self, key: Key) -> [usize; 2] {
        let first = self.scale(key.low as u32);
        [first, self.other(first, key.print())]
    }

    /// Fetches the marks that a lookup of the key will read.
    #[inline]
    pub fn prefetch(&self, key: Key) {
        if !self.marks.is_empty() {
            for home in self.homes(key) {
                fetch(&self.marks[home]);
            }
        }
    }

    /// Fetches the entry that a lookup of the key will probably read; wants the marks.
    #[inline]
    pub fn prefetch_entry(&self, key: Key, live: Live) {
        if !self.marks.is_empty() {
            for home in self.homes(key) {
                if let Some(slot) = self.marks[home].like(key.print(), live).first() {
                    return fetch(&self.entries[home][slot]);
                }
            }
        }
    }

    /// Where the live entry of a key is. A segment without buckets holds nothing.
    #[inline]
    pub fn find(&self, key: Key, live: Live) -> Option<Place> {
        if self.marks.is_empty() {
            return None;
        }
        for home in self.homes(key) {
            for slot in self.marks[home].like(key.print(), live) {
                if self.entries[home][slot].is(key) {
                    return Some(Place { bucket: home as u32, slot: slot as u8 });
                }
            }
        }
        None
    }

    /// The entry at a place, and its tag.
    #[inline]
    pub fn get(&self, place: Place) -> (Entry, u8) {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        (self.entries[bucket][slot], self.marks[bucket].tags[slot])
    }

    /// Overwrites a live entry with another of the same key.
    #[inline]
    pub fn set(&mut self, place: Place, entry: Entry, tag: u8) {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        self.entries[bucket][slot] = entry;
        self.marks[bucket].tags[slot] = tag;
    }

    /// Places an entry whose key has no live one yet, moving others to their other bucket if need be.
    #[inline]
    pub fn place(&mut self, new: Item, live: Live) -> Placed {
        let first = self.scale(new.entry.half());
        let homes = [first, self.other(first, new.print)];
        let free = homes.map(|home| self.marks[home].free(live));
        // The emptier of both: the fewer full buckets, the fewer searches.
        let best = usize::from(free[1].count() > free[0].count());
        match free[best].first() {
            Some(slot) => self.fill(homes[best], slot, new),
            None => self.search(homes, new, live),
        }
    }

    #[inline]
    fn item(&self, bucket: usize, slot: usize) -> Item {
        let marks = &self.marks[bucket];
        Item { entry: self.entries[bucket][slot], print: marks.prints[slot], tag: marks.tags[slot] }
    }

    #[inline]
    fn write(&mut self, bucket: usize, slot: usize, item: Item) {
        let marks = &mut self.marks[bucket];
        (marks.prints[slot], marks.tags[slot]) = (item.print, item.tag);
        self.entries[bucket][slot] = item.entry;
    }

    /// Writes into a free slot.
    #[inline]
    fn fill(&mut self, bucket: usize, slot: usize, new: Item) -> Placed {
        // An empty slot is not read: its line may be far, and a write does not wait for it.
        let placed = match self.marks[bucket].tags[slot] {
            0 => Placed::Fresh,
            _ => Placed::Over(self.entries[bucket][slot]),
        };
        self.used += u32::from(matches!(placed, Placed::Fresh));
        self.write(bucket, slot, new);
        placed
    }

    /// Breadth first from both homes over "the entry here could move there", until a bucket
    /// with a free slot; then every entry on the way moves one step and the new one takes
    /// the slot that this frees in a home.
    #[inline(never)]
    fn search(&mut self, homes: [usize; 2], new: Item, live: Live) -> Placed {
        let mut steps = [Step::default(); SEARCH_MAX];
        steps[0] = Step { bucket: homes[0] as u32, parent: ROOT, slot: 0 };
        steps[1] = Step { bucket: homes[1] as u32, parent: ROOT, slot: 0 };
        let (mut next, mut end) = (0, if homes[0] == homes[1] { 1 } else { 2 });
        while next < end {
            let here = steps[next].bucket as usize;
            for slot in 0..SLOTS {
                let there = self.other(here, self.marks[here].prints[slot]);
                let free = self.marks[there].free(live).first();
                if free.is_none() && end == SEARCH_MAX || on_the_way(&steps, next, there as u32) {
                    continue;
                }
                if let Some(free) = free {
                    let moved = self.item(here, slot);
                    self.shift(&steps, next, slot, new);
                    return self.fill(there, free, moved);
                }
                steps[end] = Step { bucket: there as u32, parent: next as u8, slot: slot as u8 };
                end += 1;
            }
            next += 1;
        }
        Placed::Full
    }

    /// Moves every entry on the way to step `at` one step on, the last into `slot`, whose
    /// own entry the caller has; the new one takes the slot of the root.
    fn shift(&mut self, steps: &[Step], mut at: usize, mut slot: usize, new: Item) {
        while steps[at].parent != ROOT {
            let (parent, from_slot) = (steps[at].parent as usize, steps[at].slot as usize);
            let moved = self.item(steps[parent].bucket as usize, from_slot);
            self.write(steps[at].bucket as usize, slot, moved);
            (at, slot) = (parent, from_slot);
        }
        self.write(steps[at].bucket as usize, slot, new);
    }

    /// Puts an entry in the place of the oldest one in its two buckets, which is returned.
    /// The last resort: only when there is no room, no more bytes and nothing to sweep.
    pub fn replace_oldest(&mut self, new: Item, live: Live) -> Option<Entry> {
        let first = self.scale(new.entry.half());
        let homes = [first, self.other(first, new.print)];
        let places = homes.into_iter().flat_map(|home| (0..SLOTS).map(move |slot| (home, slot)));
        let age = |(home, slot): &(usize, usize)| (live.slice(self.marks[*home].tags[*slot]), self.entries[*home][*slot].rest());
        let (home, slot) = places.min_by_key(age)?;
        let old = self.entries[home][slot];
        self.write(home, slot, new);
        Some(old)
    }

    /// Empties the slots of all dead slices; from now on there is nothing before `lower`,
    /// which is at most the floor. `bury` gets the dead entries; without it they are not even
    /// read. Returns how many went.
    pub fn sweep(&mut self, live: Live, lower: i64, mut bury: Option<impl FnMut(Entry)>) -> usize {
        let (before, sweep) = (self.used, live.since(self.lower));
        self.used = 0;
        for (marks, entries) in self.marks.iter_mut().zip(&self.entries) {
            for (tag, entry) in marks.tags.iter_mut().zip(entries) {
                let stays = sweep.holds(*tag);
                if let (Some(bury), false, true) = (&mut bury, stays, *tag != 0) {
                    bury(*entry);
                }
                *tag = if stays { *tag } else { 0 };
                self.used += u32::from(stays);
            }
        }
        self.lower = self.lower.max(lower.min(live.floor));
        (before - self.used) as usize
    }

    /// The oldest live slice that has entries here.
    pub fn oldest(&self, live: Live) -> Option<i64> {
        let tags = self.marks.iter().flat_map(|marks| marks.tags);
        tags.filter(|tag| live.holds(*tag)).map(|tag| live.slice(tag)).min()
    }

    /// The live entries in another number of buckets; `None` if they do not fit. Nothing
    /// may be dead (sweep first).
    pub fn rebuilt(&self, buckets: usize, live: Live) -> Option<Segment> {
        let mut new = Segment::new(buckets, self.lower);
        for bucket in 0..self.marks.len() {
            for slot in 0..SLOTS {
                if !live.holds(self.marks[bucket].tags[slot]) {
                    continue;
                }
                // First buckets keep their order: mostly, reading and writing both walk forward.
                let item = self.item(bucket, slot);
                let first = new.scale(item.entry.half());
                let placed = match new.marks[first].free(live).first() {
                    Some(free) => new.fill(first, free, item),
                    None => new.place(item, live),
                };
                if matches!(placed, Placed::Full) {
                    return None;
                }
            }
        }
        Some(new)
    }
}

/// An entry with its mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// The entry.
    pub entry: Entry,
    /// The part of its key that is in the mark.
    pub print: u8,
    /// The tag of its slice.
    pub tag: u8,
}

/// Whether a bucket is already on the way to step `at`.
fn on_the_way(steps: &[Step], mut at: usize, bucket: u32) -> bool {
    loop {
        if steps[at].bucket == bucket {
            return true;
        }
        if steps[at].parent == ROOT {
            return false;
        }
        at = steps[at].parent as usize;
    }
}

/// Asks the processor to load a value of less than a line's length.
#[inline]
fn fetch<T>(value: &T) {
    const { assert!(size_of::<T>() <= 64) };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a prefetch is a hint that reads nothing and cannot fault; both addresses
        // lie inside the value behind the reference.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at);
            if align_of::<T>() < size_of::<T>() {
                _mm_prefetch::<_MM_HINT_T0>(at.add(size_of::<T>() - 1));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
