//! A segment of the table: a bucketized cuckoo hash of one part of the keys. It
//! grows, shrinks and is swept alone, so that no single operation is long.

use super::bucket::{Bucket, Entry, Key, SLOTS};
use super::slices::{STAMPS, unstamp};

/// Most buckets that one insert looks at for a free slot (count). At a load of 0.95 about
/// six are enough on average and fewer than one insert in a million fails, which only
/// means growing a little early.
const SEARCH_MAX: usize = 96;

/// Which stamps of a segment are dead: those of slices before a floor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dead {
    lower: u8,
    ages: u8,
}

impl Dead {
    /// Slices before `floor`, in a segment that holds none before `lower`.
    #[inline]
    pub fn new(lower: i64, floor: i64) -> Dead {
        Dead { lower: lower as u8, ages: (floor - lower).clamp(0, STAMPS) as u8 }
    }

    #[inline]
    fn is(self, stamp: u8) -> bool {
        stamp.wrapping_sub(self.lower) & (STAMPS as u8 - 1) < self.ages
    }
}

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

/// What a sweep left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swept {
    /// Entries that went.
    pub gone: usize,
    /// The oldest slice that is still there.
    pub oldest: Option<i64>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    buckets: Box<[Bucket]>,
    /// One bit a bucket: it has an empty slot. A search asks these bits instead of loading
    /// the buckets, most of which are full.
    open: Box<[u64]>,
    /// Entries held, dead ones that were not overwritten or swept yet included.
    used: u32,
    /// No entry is of a slice before this one: stamps are read relative to it.
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
        let open = vec![u64::MAX; buckets.div_ceil(64)].into_boxed_slice();
        Segment { buckets: vec![Bucket::EMPTY; buckets].into_boxed_slice(), open, used: 0, lower }
    }

    /// Number of buckets.
    #[inline]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Entries held.
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
        buckets * size_of::<Bucket>() + buckets.div_ceil(64) * size_of::<u64>()
    }

    /// The two buckets of a key. Scaling (not masking) allows any number of buckets and
    /// keeps the order of buckets when the number changes.
    #[inline]
    fn homes(&self, key: Key) -> (usize, usize) {
        let scale = |half: u32| ((u64::from(half) * self.buckets.len() as u64) >> 32) as usize;
        (scale(key.low as u32), scale((key.low >> 32) as u32))
    }

    /// Fetches the lines of a key's two buckets.
    #[inline]
    pub fn prefetch(&self, key: Key) {
        let (one, two) = self.homes(key);
        if let (Some(one), Some(two)) = (self.buckets.get(one), self.buckets.get(two)) {
            fetch(one);
            fetch(two);
        }
    }

    /// Where a key is. A segment without buckets holds nothing.
    #[inline]
    pub fn find(&self, key: Key) -> Option<Place> {
        let (one, two) = self.homes(key);
        if let Some(slot) = self.buckets.get(one)?.find(key) {
            return Some(Place { bucket: one as u32, slot: slot as u8 });
        }
        let slot = self.buckets.get(two)?.find(key)?;
        Some(Place { bucket: two as u32, slot: slot as u8 })
    }

    /// The entry at a place, and its slice.
    #[inline]
    pub fn get(&self, place: Place) -> (Entry, i64) {
        let entry = self.buckets[place.bucket as usize].get(place.slot as usize);
        (entry, unstamp(entry.stamp, self.lower))
    }

    /// Overwrites the entry at a place with one of the same key.
    #[inline]
    pub fn set(&mut self, place: Place, entry: Entry) {
        self.buckets[place.bucket as usize].set(place.slot as usize, entry);
    }

    #[inline]
    fn is_open(&self, bucket: usize) -> bool {
        self.open[bucket / 64] >> (bucket % 64) & 1 == 1
    }

    /// Places an entry whose key is not there yet, moving others to their second bucket if need be.
    #[inline]
    pub fn place(&mut self, entry: Entry, dead: Dead) -> Placed {
        let (one, two) = self.homes(entry.key);
        if self.is_open(one) || self.is_open(two) {
            // The emptier of both: the fewer full buckets, the fewer searches.
            let home = if self.buckets[one].empty() >= self.buckets[two].empty() { one } else { two };
            if let Some(slot) = self.buckets[home].free(|_| false) {
                return self.fill(home, slot, entry);
            }
        }
        for home in [one, two] {
            if let Some(slot) = self.buckets[home].free(|stamp| dead.is(stamp)) {
                return self.fill(home, slot, entry);
            }
        }
        for home in [one, two] {
            for slot in 0..SLOTS {
                let there = self.other(home, slot);
                if self.is_open(there) {
                    return self.push_on(home, slot, there, entry);
                }
            }
        }
        self.search(one, two, entry, dead)
    }

    /// The other bucket in which the entry of a slot could be.
    #[inline]
    fn other(&self, bucket: usize, slot: usize) -> usize {
        let (one, two) = self.homes(self.buckets[bucket].key(slot));
        if one == bucket { two } else { one }
    }

    /// Writes into a slot that is empty or dead.
    #[inline]
    fn fill(&mut self, at: usize, slot: usize, entry: Entry) -> Placed {
        let bucket = &mut self.buckets[at];
        let old = (!bucket.is_empty(slot)).then(|| bucket.get(slot));
        bucket.set(slot, entry);
        match old {
            Some(old) => Placed::Over(old),
            None => {
                if bucket.empty() == 0 {
                    self.open[at / 64] &= !(1 << (at % 64));
                }
                self.used += 1;
                Placed::Fresh
            }
        }
    }

    /// Moves the entry of a slot to its other, open bucket and takes the slot.
    #[inline]
    fn push_on(&mut self, home: usize, slot: usize, there: usize, entry: Entry) -> Placed {
        let Some(free) = self.buckets[there].free(|_| false) else { return Placed::Full };
        let moved = self.buckets[home].get(slot);
        self.buckets[home].set(slot, entry);
        self.fill(there, free, moved)
    }

    /// Breadth first from both homes over "the entry here could move there", until a bucket
    /// with a free slot; then every entry on the way back moves one step.
    #[inline(never)]
    fn search(&mut self, one: usize, two: usize, entry: Entry, dead: Dead) -> Placed {
        let mut steps = [Step::default(); SEARCH_MAX];
        steps[0] = Step { bucket: one as u32, parent: ROOT, slot: 0 };
        steps[1] = Step { bucket: two as u32, parent: ROOT, slot: 0 };
        let (mut next, mut end) = (0, if one == two { 1 } else { 2 });
        while next < end {
            let here = steps[next].bucket as usize;
            // Roots were looked at; a bucket further on is loaded only now.
            if steps[next].parent != ROOT
                && let Some(free) = self.buckets[here].free(|stamp| dead.is(stamp))
            {
                let old = self.buckets[here].get(free);
                self.shift(&steps, next, free, entry);
                return Placed::Over(old);
            }
            for slot in 0..SLOTS {
                let there = self.other(here, slot);
                let is_open = self.is_open(there);
                if !is_open && end == SEARCH_MAX || on_the_way(&steps, next, there as u32) {
                    continue;
                }
                if is_open {
                    let Some(free) = self.buckets[there].free(|_| false) else { continue };
                    let moved = self.buckets[here].get(slot);
                    self.shift(&steps, next, slot, entry);
                    return self.fill(there, free, moved);
                }
                steps[end] = Step { bucket: there as u32, parent: next as u8, slot: slot as u8 };
                end += 1;
            }
            next += 1;
        }
        Placed::Full
    }

    /// Makes way along a path: frees the slot of the root by moving every entry one step
    /// towards `slot` of step `at`, whose own entry the caller has, and places the new entry.
    fn shift(&mut self, steps: &[Step], mut at: usize, mut slot: usize, entry: Entry) {
        while steps[at].parent != ROOT {
            let parent = steps[at].parent as usize;
            let moved = self.buckets[steps[parent].bucket as usize].get(steps[at].slot as usize);
            self.buckets[steps[at].bucket as usize].set(slot, moved);
            slot = steps[at].slot as usize;
            at = parent;
        }
        self.buckets[steps[at].bucket as usize].set(slot, entry);
    }

    /// Puts an entry in the place of the oldest one in its two buckets, which is returned.
    /// The last resort: only when there is no room, no more bytes and nothing to sweep.
    pub fn replace_oldest(&mut self, entry: Entry) -> Option<Entry> {
        let (one, two) = self.homes(entry.key);
        let mut oldest: Option<((i64, u32), Place)> = None;
        for home in [one, two] {
            for slot in 0..SLOTS {
                let place = Place { bucket: home as u32, slot: slot as u8 };
                let (there, slice) = self.get(place);
                if oldest.is_none_or(|(age, _)| (slice, there.rest) < age) {
                    oldest = Some(((slice, there.rest), place));
                }
            }
        }
        let (_, place) = oldest?;
        let old = self.get(place).0;
        self.set(place, entry);
        Some(old)
    }

    /// Empties the slots of all slices before `floor` and raises `lower` to `mark` (at most
    /// `floor`). Hands the dead entries that have a chain to `bury`.
    pub fn sweep(&mut self, floor: i64, mark: i64, mut bury: impl FnMut(Entry)) -> Swept {
        let dead = Dead::new(self.lower, floor);
        let (mut gone, mut oldest) = (0, i64::MAX);
        for (at, bucket) in self.buckets.iter_mut().enumerate() {
            for slot in 0..SLOTS {
                if bucket.is_empty(slot) {
                    continue;
                }
                if dead.is(bucket.stamp(slot)) {
                    let entry = bucket.get(slot);
                    if entry.chained {
                        bury(entry);
                    }
                    bucket.clear(slot);
                    self.open[at / 64] |= 1 << (at % 64);
                    gone += 1;
                } else {
                    oldest = oldest.min(unstamp(bucket.stamp(slot), self.lower));
                }
            }
        }
        self.used -= gone;
        self.lower = self.lower.max(mark.min(floor));
        Swept { gone: gone as usize, oldest: (self.used > 0).then_some(oldest) }
    }

    /// The same entries in another number of buckets; `None` if they do not fit. No entry
    /// may be dead (sweep first).
    pub fn rebuilt(&self, buckets: usize) -> Option<Segment> {
        let mut new = Segment::new(buckets, self.lower);
        let none = Dead::new(0, 0);
        for (at, bucket) in self.buckets.iter().enumerate() {
            for slot in 0..SLOTS {
                if bucket.is_empty(slot) {
                    continue;
                }
                let entry = bucket.get(slot);
                // By the same half of the key, buckets keep their order: reading and
                // writing both walk forward.
                let (first, second) = new.homes(entry.key);
                let home = if self.homes(entry.key).0 == at { first } else { second };
                if let Some(free) = new.buckets[home].free(|_| false) {
                    new.fill(home, free, entry);
                } else if matches!(new.place(entry, none), Placed::Full) {
                    return None;
                }
            }
        }
        Some(new)
    }
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

/// Asks the processor to load a bucket; its 112 bytes lie on two or three lines.
#[inline]
fn fetch(bucket: &Bucket) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(bucket).cast::<i8>();
        // SAFETY: a prefetch is a hint that reads nothing and cannot fault; both addresses
        // lie inside the bucket behind the reference (112 bytes).
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at);
            _mm_prefetch::<_MM_HINT_T0>(at.add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bucket;
}
