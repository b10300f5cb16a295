//! A segment of the table: a bucketized cuckoo hash of one part of the keys. It
//! grows, shrinks and is swept alone, so that no single operation is long.
//!
//! Every entry lies in one of two buckets, and either follows from the other and the mark.
//! So a search for a free slot, a lookup that finds nothing and a sweep read marks only;
//! entries lie in far memory and are read to confirm a match and to be moved.

use super::entry::{Entry, Key};
use super::marks::{Marks, SLOTS};
use super::slices::{Live, Slices};
use crate::prefetch::fetch;

/// Most buckets that one insert looks beyond (count), which nearly never is more than two;
/// to fail only means growing a little early.
const SEARCH_MAX: usize = 64;

/// Buckets that a search looks at before it decides.
const AT_ONCE: usize = 4;

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    bucket: u32,
    slot: u8,
}

/// A slot that was made free for a new entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacancy {
    /// Where.
    pub place: Place,
    /// A dead entry went for it.
    pub reused: bool,
    /// The chain of the dead entry.
    pub chain: Option<u32>,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    marks: Box<[Marks]>,
    /// One for each of the marks.
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
    parent: u16,
    /// The slot of the parent whose entry could move here.
    slot: u16,
}

const ROOT: u16 = u16::MAX;

impl Segment {
    /// An empty segment.
    pub fn new(buckets: usize, lower: i64) -> Segment {
        Segment { marks: vec![Marks::NONE; buckets].into_boxed_slice(), entries: vec![[Entry::NONE; SLOTS]; buckets].into_boxed_slice(), used: 0, lower }
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
    pub fn homes(&self, key: Key) -> [usize; 2] {
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

    /// Fetches the entry that a lookup of the key will probably read, or that an insert will
    /// probably write; wants the marks.
    #[inline]
    pub fn prefetch_entry(&self, key: Key, live: Live) {
        if self.marks.is_empty() {
            return;
        }
        let homes = self.homes(key);
        for home in homes {
            if let Some(slot) = self.marks[home].like(key.print(), live).first() {
                return fetch(&self.entries[home][slot]);
            }
        }
        let (home, slot) = self.emptier(homes, live);
        if let Some(slot) = slot {
            fetch(&self.entries[home][slot]);
        }
    }

    /// The emptier of two buckets and its first free slot. The fewer full buckets, the fewer searches.
    #[inline]
    fn emptier(&self, homes: [usize; 2], live: Live) -> (usize, Option<usize>) {
        let free = homes.map(|home| self.marks[home].free(live));
        let best = usize::from(free[1].count() > free[0].count());
        (homes[best], free[best].first())
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

    /// Writes an entry where `Segment::find` found its key or `Segment::vacate` made room for it.
    #[inline]
    pub fn set(&mut self, place: Place, entry: Entry, print: u8, tag: u8) {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        self.entries[bucket][slot] = entry;
        (self.marks[bucket].prints[slot], self.marks[bucket].tags[slot]) = (print, tag);
    }

    /// Empties a slot.
    pub fn clear(&mut self, place: Place) {
        self.marks[place.bucket as usize].tags[place.slot as usize] = 0;
        self.used -= 1;
    }

    /// Makes a slot free for a key that has no live entry, moving others to their other bucket
    /// if need be. It counts as used: the entry must be set. `None` = no free slot within reach.
    ///
    /// The new entry itself stays out of this, in registers: bytes that were just put together
    /// in memory and are read back in one piece wait for every store before them, and stores
    /// into the table take long.
    #[inline]
    pub fn vacate(&mut self, homes: [usize; 2], live: Live) -> Option<Vacancy> {
        match self.emptier(homes, live) {
            (home, Some(slot)) => Some(self.take(home, slot)),
            (_, None) => self.search(homes, live),
        }
    }

    /// Takes a free slot. An empty one is not read: its line may be far.
    #[inline]
    fn take(&mut self, bucket: usize, slot: usize) -> Vacancy {
        let place = Place { bucket: bucket as u32, slot: slot as u8 };
        if self.marks[bucket].tags[slot] == 0 {
            self.used += 1;
            return Vacancy { place, reused: false, chain: None };
        }
        Vacancy { place, reused: true, chain: self.entries[bucket][slot].chain() }
    }

    #[inline]
    fn copy(&mut self, from: (usize, usize), to: (usize, usize)) {
        self.entries[to.0][to.1] = self.entries[from.0][from.1];
        self.marks[to.0].prints[to.1] = self.marks[from.0].prints[from.1];
        self.marks[to.0].tags[to.1] = self.marks[from.0].tags[from.1];
    }

    /// Looks one step beyond two full buckets, which is nearly always enough: at a few others
    /// at once, because a loop that stops at the first open one waits for one after the other.
    #[inline(never)]
    fn search(&mut self, homes: [usize; 2], live: Live) -> Option<Vacancy> {
        for home in homes {
            for group in 0..SLOTS / AT_ONCE {
                let slots: [usize; AT_ONCE] = std::array::from_fn(|at| group * AT_ONCE + at);
                let there = slots.map(|slot| self.other(home, self.marks[home].prints[slot]));
                let free = there.map(|there| self.marks[there].free(live).first());
                for ((slot, there), free) in slots.into_iter().zip(there).zip(free) {
                    if let Some(free) = free {
                        let taken = self.take(there, free);
                        self.copy((home, slot), (there, free));
                        return Some(Vacancy { place: Place { bucket: home as u32, slot: slot as u8 }, ..taken });
                    }
                }
            }
        }
        self.search_on(homes, live)
    }

    /// Breadth first from both homes over "the entry here could move there", until a bucket
    /// with a free slot; then every entry on the way moves one step, which frees a slot in a home.
    #[inline(never)]
    fn search_on(&mut self, homes: [usize; 2], live: Live) -> Option<Vacancy> {
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
                    let taken = self.take(there, free);
                    self.copy((here, slot), (there, free));
                    return Some(Vacancy { place: self.shift(&steps, next, slot), ..taken });
                }
                steps[end] = Step { bucket: there as u32, parent: next as u16, slot: slot as u16 };
                end += 1;
            }
            next += 1;
        }
        None
    }

    /// Moves every entry on the way to step `at` one step on, the last into `slot`, whose own
    /// has moved before. Returns the place that this frees in the root.
    fn shift(&mut self, steps: &[Step], mut at: usize, mut slot: usize) -> Place {
        while steps[at].parent != ROOT {
            let (parent, from_slot) = (steps[at].parent as usize, steps[at].slot as usize);
            self.copy((steps[parent].bucket as usize, from_slot), (steps[at].bucket as usize, slot));
            (at, slot) = (parent, from_slot);
        }
        Place { bucket: steps[at].bucket, slot: slot as u8 }
    }

    /// The place of the oldest entry in two full buckets, for a new entry. The last resort:
    /// only when there is no room, no more bytes and nothing to sweep.
    pub fn vacate_oldest(&mut self, homes: [usize; 2], live: Live) -> Option<Vacancy> {
        let places = homes.into_iter().flat_map(|home| (0..SLOTS).map(move |slot| (home, slot)));
        let age = |(home, slot): &(usize, usize)| (live.slice(self.marks[*home].tags[*slot]), self.entries[*home][*slot].rest());
        let (home, slot) = places.min_by_key(age)?;
        Some(self.take(home, slot))
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

    /// The time before which the `count` oldest live entries lie, and how many of those lie at that very time.
    pub fn oldest_part(&self, live: Live, slices: Slices, count: usize) -> Option<(i64, usize)> {
        let mut times: Vec<i64> = self.times(live, slices).flatten().collect();
        let last = count.min(times.len()).checked_sub(1)?;
        let time = *times.select_nth_unstable(last).1;
        Some((time, times.get(..=last)?.iter().filter(|other| **other == time).count()))
    }

    /// Empties the slots of all entries that are dead or from before `from`, and of `ties` at that very
    /// time. `bury` gets them. Returns how many went.
    pub fn thin(&mut self, live: Live, slices: Slices, from: i64, mut ties: usize, mut bury: impl FnMut(Entry)) -> usize {
        let goes: Vec<bool> = self
            .times(live, slices)
            .map(|time| {
                let tied = time == Some(from) && ties > 0;
                ties -= usize::from(tied);
                tied || time.is_none_or(|time| time < from)
            })
            .collect();
        let before = self.used;
        let slots = self.marks.iter_mut().zip(&self.entries).flat_map(|(marks, entries)| marks.tags.iter_mut().zip(entries));
        for ((tag, entry), _) in slots.zip(goes).filter(|((tag, _), goes)| *goes && **tag != 0) {
            bury(*entry);
            *tag = 0;
            self.used -= 1;
        }
        (before - self.used) as usize
    }

    /// The newest time of the entry in every slot; `None` where there is none that is live.
    fn times(&self, live: Live, slices: Slices) -> impl Iterator<Item = Option<i64>> {
        let slots = self.marks.iter().zip(&self.entries).flat_map(|(marks, entries)| marks.tags.into_iter().zip(entries));
        slots.map(move |(tag, entry)| live.holds(tag).then(|| slices.start(live.slice(tag)) + i64::from(entry.rest())))
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
                let (entry, print) = (self.entries[bucket][slot], self.marks[bucket].prints[slot]);
                // What lay in its first bucket does so again: mostly, reading and writing both
                // walk forward.
                let first = new.scale(entry.half());
                let homes = [first, new.other(first, print)];
                let same = homes[usize::from(self.scale(entry.half()) != bucket)];
                let place = match new.marks[same].free(live).first() {
                    Some(free) => new.take(same, free).place,
                    None => new.vacate(homes, live)?.place,
                };
                new.set(place, entry, print, self.marks[bucket].tags[slot]);
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
