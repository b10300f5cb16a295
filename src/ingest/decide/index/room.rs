//! Room for one more key: what an index does when a segment is full.
//!
//! It sweeps, grows, and at the byte bound gives up what is oldest.

use super::super::entry::{Entry, Key};
use super::super::marks::SLOTS;
use super::super::segment::{Segment, Vacancy};
use super::{GROWTH, Index, SMALL, next_size, spread};

/// Share of slots in use, in 1/128, up to which a sweep counts as having made room enough.
const ROOMY: usize = 123;
/// Times that one insert may grow a segment: more than one is a freak of small segments.
const GROWTHS_MAX: usize = 8;
/// The part of a segment that is given up at once: a sixteenth. To find it takes a look at sixteen entries
/// for each that goes.
const THIN: usize = 16;

impl Index {
    /// Sweeps, grows, gives up the oldest or, in the end, a neighbour, until there is a slot.
    #[inline(never)]
    pub(super) fn make_room(&mut self, at: usize, key: Key) -> Option<Vacancy> {
        // Right after a sweep the lower bound lies `spread` before the floor: no news, no sweep.
        if self.segments[at].lower() + spread(at) < self.horizon.live.floor {
            self.sweep(at);
        }
        if self.is_roomy(at)
            && let Some(vacancy) = self.try_vacate(at, key)
        {
            return Some(vacancy);
        }
        let mut buckets = self.segments[at].buckets();
        for _ in 0..GROWTHS_MAX {
            let (large, small) = (next_size(buckets, at), (buckets as f64 * GROWTH) as usize + 1);
            // What a large step costs may not be there, and a small one still be paid.
            buckets = match (self.resize(at, large), small < large) {
                (true, _) => large,
                (false, true) if self.resize(at, small) => small,
                _ => break,
            };
            if self.segments[at].buckets() == buckets
                && let Some(vacancy) = self.try_vacate(at, key)
            {
                return Some(vacancy);
            }
        }
        // No more bytes: what is only held for undoing goes first.
        if self.horizon.release() {
            self.sweep(at);
            if self.is_roomy(at)
                && let Some(vacancy) = self.try_vacate(at, key)
            {
                return Some(vacancy);
            }
        }
        // Then the oldest of it, enough for a while: one at a time, every insert would look through the whole segment.
        if !self.is_roomy(at) {
            self.thin(at);
        }
        if self.segments[at].buckets() == 0 && !self.resize(at, 1) {
            self.evict(1);
            return None;
        }
        if let Some(vacancy) = self.try_vacate(at, key) {
            return Some(vacancy);
        }
        self.evict(1);
        let segment = &mut self.segments[at];
        let vacancy = segment.vacate_oldest(segment.homes(key), self.horizon.live)?;
        Some(self.settled(vacancy))
    }

    /// Empties what is given up in a segment, and if that is not enough gives up its oldest part, in all segments.
    fn thin(&mut self, at: usize) {
        let (live, slices) = (self.horizon.live, self.horizon.slices);
        self.empty_before(at, self.horizon.kept_from(), 0);
        let part = self.segments[at].used() / THIN;
        if self.is_roomy(at) || part == 0 {
            return;
        }
        let Some((time, ties)) = self.segments[at].oldest_part(live, slices, part) else { return };
        self.horizon.give_up_before(time);
        self.evict(ties as u64);
        self.empty_before(at, time, ties);
    }

    /// Empties the slots of a segment whose entries are from before a time, and `ties` of that very time.
    fn empty_before(&mut self, at: usize, from: i64, ties: usize) {
        let (live, slices) = (self.horizon.live, self.horizon.slices);
        let (chains, purse) = (&mut self.chains, &mut self.purse);
        self.keys -= self.segments[at].thin(live, slices, from, ties, |old| {
            if let Some(number) = old.chain() {
                chains.free(number, purse);
            }
        });
    }

    /// Whether a segment has enough free slots for a while.
    fn is_roomy(&self, at: usize) -> bool {
        let segment = &self.segments[at];
        let slots = segment.buckets() * SLOTS;
        segment.used() < slots && segment.used() * 128 <= slots * ROOMY
    }

    /// Empties the dead slots of a segment and shrinks it if most of it is empty.
    pub(super) fn sweep(&mut self, at: usize) {
        let (chains, purse) = (&mut self.chains, &mut self.purse);
        let segment = &mut self.segments[at];
        let bury = (!chains.is_empty()).then_some(|old: Entry| {
            if let Some(number) = old.chain() {
                chains.free(number, purse);
            }
        });
        self.keys -= segment.sweep(self.horizon.live, self.horizon.live.floor - spread(at), bury);
        let (used, buckets) = (segment.used(), segment.buckets());
        if used == 0 {
            self.purse.give(Segment::bytes(buckets));
            *segment = Segment::new(0, segment.lower());
        } else if buckets > SMALL && used < buckets * SLOTS / 2 {
            let fitting = next_size(next_size(used.div_ceil(SLOTS), at), at);
            if fitting < buckets {
                self.resize(at, fitting);
            }
        }
    }

    /// Rewrites a swept segment with another number of buckets. False when that may not be
    /// paid; when the entries do not fit, nothing changes.
    fn resize(&mut self, at: usize, buckets: usize) -> bool {
        let old = self.segments[at].buckets();
        if buckets > old && !self.purse.take(Segment::bytes(buckets - old)) {
            return false;
        }
        match self.segments[at].rebuilt(buckets, self.horizon.live) {
            Some(new) => {
                self.segments[at] = new;
                self.purse.give(Segment::bytes(old.saturating_sub(buckets)));
            }
            None => self.purse.give(Segment::bytes(buckets.saturating_sub(old))),
        }
        true
    }
}
