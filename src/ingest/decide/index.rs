//! Which incidents were created lately, by fingerprint: the index of one rule in one shard.
//!
//! A segmented bucketized cuckoo table of 28-byte entries (`segment`). An entry
//! holds one incident, or names the chain (`chain`) of a key with several. Time
//! runs in slices (`slices`): what is behind the floor is dead, and a dead slot is
//! free for whoever comes by. Every segment grows, shrinks and is swept alone, at its own
//! moment, so that no insert waits for more than one segment.

mod back;
mod room;

use super::anchors::Anchors;
use super::chain::{Chains, Member};
use super::entry::{Entry, Held, Key};
use super::horizon::Horizon;
use super::marks::SLOTS;
use super::purse::Purse;
use super::segment::{Segment, Vacancy};
use super::slices::{AGE_MAX, TIME_MAX_MS, tag};
use super::{LinkTo, Origin};

/// Segments of an index (count, a power of two). At 10 million keys one has 40,000 entries
/// in 1.2 MB, which are rewritten within a millisecond.
const SEGMENTS: usize = 256;
/// Share of slots in use at which a segment has to act, in 1/128.
const FULL: usize = 125;
/// Growth of a segment. Less = fewer bytes a key and more rewriting: every insert into an
/// index that has to grow pays for 1 / (GROWTH - 1) moves.
const GROWTH: f64 = 1.16;
/// Growth of a segment below [`QUICK`] buckets: what it wastes there is little, whatever else the
/// process holds, and every member starts there.
const QUICK_GROWTH: f64 = 1.5;
/// See [`QUICK_GROWTH`]: with so many a segment has 32 KB, the index 8 MB.
const QUICK: f64 = 64.0;
/// A segment below this size (buckets) grows bucket by bucket.
const SMALL: usize = 8;
/// Sweeps of different segments are spread over this many slices.
const SWEEP_SPREAD: i64 = 32;

/// What became of an incident that was entered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entered {
    /// It is not remembered: too old, no bytes, or one of the same key and time stands for it.
    Nothing,
    /// It came to whatever was there.
    Added,
    /// It took the place of this one, which nobody asks for any more.
    Replaced(Member),
}

/// The index of one matching rule in one shard.
pub struct Index {
    horizon: Horizon,
    /// Which incident of a key is asked for; `None` = any of them (a `where` decides).
    only: Option<LinkTo>,
    /// None before the first incident.
    segments: Vec<Segment>,
    chains: Chains,
    anchors: Anchors,
    keys: usize,
    evicted: u64,
    purse: Purse,
}

impl Index {
    /// An index for rows up to `late_max` ms behind the clock and targets up to `within` ms
    /// away. `only`: the rule always asks for that incident of a key and has no `where`.
    /// A horizon has at most 8.7 years.
    pub(super) fn new(within: i64, late_max: i64, only: Option<LinkTo>, purse: Purse) -> Index {
        Index {
            horizon: Horizon::new(within, late_max),
            only,
            segments: Vec::new(),
            chains: Chains::default(),
            anchors: Anchors::default(),
            keys: 0,
            evicted: 0,
            purse,
        }
    }

    /// An index on its own that may hold `bytes` and is always asked for the same incident of a key.
    pub fn alone(within: i64, late_max: i64, link_to: LinkTo, bytes: usize) -> Index {
        Index::new(within, late_max, Some(link_to), Purse::alone(bytes))
    }

    /// Moves the clock, which never goes back.
    #[inline]
    pub fn advance(&mut self, clock: i64) {
        self.horizon.advance(clock);
    }

    /// Whether a time is beyond the horizon that the rule gives.
    #[inline]
    pub fn is_late(&self, time: i64) -> bool {
        self.horizon.is_late(time)
    }

    /// Fetches what a lookup of the fingerprint will read first.
    #[inline]
    pub fn prefetch(&self, fingerprint: u128) {
        let key = Key::new(fingerprint);
        if let Some(segment) = self.segments.get(segment_of(key)) {
            segment.prefetch(key);
        }
    }

    /// Fetches what it will read then, or what an insert will write; wants the first to be there.
    #[inline]
    pub fn prefetch_entry(&self, fingerprint: u128) {
        let key = Key::new(fingerprint);
        if let Some(segment) = self.segments.get(segment_of(key)) {
            segment.prefetch_entry(key, self.horizon.live);
        }
    }

    /// The first (by `link_to`) live incident within `within` of `time` for which `accept` says
    /// `Some(true)`; its `None` ends the search.
    #[inline]
    pub fn find(&mut self, fingerprint: u128, time: i64, link_to: LinkTo, mut accept: impl FnMut(Origin) -> Option<bool>) -> Option<Origin> {
        let key = Key::new(fingerprint);
        let at = segment_of(key);
        if self.segments.get(at)?.lower() + AGE_MAX <= self.horizon.live.now {
            self.sweep(at);
        }
        let segment = self.segments.get(at)?;
        let (entry, tag) = segment.get(segment.find(key, self.horizon.live)?);
        let window = self.horizon.window(time);
        match entry.held() {
            Held::Chain(number) => self.chains.find(number, window, link_to, accept),
            Held::One { offset, partition, element } => {
                if !window.holds(self.newest(&entry, tag)) {
                    return None;
                }
                let origin = self.anchors.origin(offset, partition, element);
                (accept(origin) == Some(true)).then_some(origin)
            }
        }
    }

    /// The newest time of an entry's incidents.
    #[inline]
    fn newest(&self, entry: &Entry, tag: u8) -> i64 {
        self.horizon.slices.start(self.horizon.live.slice(tag)) + i64::from(entry.rest())
    }

    /// Takes a created incident in, unless its time is behind all that is live.
    #[inline]
    pub fn insert(&mut self, fingerprint: u128, time: i64, origin: Origin) {
        self.enter(fingerprint, time, origin);
    }

    /// The same, and says what changed.
    #[inline]
    pub(super) fn enter(&mut self, fingerprint: u128, time: i64, origin: Origin) -> Entered {
        let time = time.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        self.advance(time);
        if time < self.horizon.live_from {
            return Entered::Nothing;
        }
        let key = Key::new(fingerprint);
        let at = segment_of(key);
        if self.segments.is_empty() && !self.open() {
            return Entered::Nothing;
        }
        if self.segments[at].lower() + AGE_MAX <= self.horizon.live.now {
            self.sweep(at);
        }
        self.anchors.set(origin);
        let member = Member { time, origin };
        match self.segments[at].find(key, self.horizon.live) {
            Some(place) => {
                let (entry, tag) = self.segments[at].get(place);
                let newest = self.newest(&entry, tag);
                let (entered, now) = self.joined(key, &entry, newest, member);
                if let Some((entry, tag)) = now {
                    self.segments[at].set(place, entry, key.print(), tag);
                }
                entered
            }
            None => {
                let Some(vacancy) = self.vacate(at, key) else { return Entered::Nothing };
                let (entry, tag) = self.entry(key, time, one(origin));
                self.segments[at].set(vacancy.place, entry, key.print(), tag);
                Entered::Added
            }
        }
    }

    /// An entry and its tag.
    #[inline]
    fn entry(&self, key: Key, newest: i64, held: Held) -> (Entry, u8) {
        let slices = self.horizon.slices;
        let slice = slices.of(newest);
        (Entry::new(key, (newest - slices.start(slice)) as u32, held), tag(slice))
    }

    /// What becomes of the entry of a key, whose newest time is given, when one more
    /// incident joins; `None` = it stays as it is.
    fn joined(&mut self, key: Key, entry: &Entry, newest: i64, member: Member) -> (Entered, Option<(Entry, u8)>) {
        let alone = self.entry(key, member.time, one(member.origin));
        if newest < self.horizon.kept_from() {
            if let Some(number) = entry.chain() {
                self.chains.free(number, &mut self.purse);
            }
            return (Entered::Added, Some(alone));
        }
        let later = newest.max(member.time);
        // Of two incidents of one time, a rule that only asks for the oldest (newest) never sees the other.
        match (entry.held(), self.only) {
            (Held::Chain(number), only) => {
                if let (Some(only), Some(last)) = (only, self.chains.last_at(number, member.time)) {
                    let old = *last;
                    if only == LinkTo::Oldest {
                        return (Entered::Nothing, None);
                    }
                    last.origin = member.origin;
                    return (Entered::Replaced(old), None);
                }
                let gone = self.chains.push(number, member, self.horizon.kept_from(), &mut self.purse);
                if gone > 0 {
                    self.evict(gone as u64);
                }
                (Entered::Added, Some(self.entry(key, later, Held::Chain(number))))
            }
            (Held::One { .. }, Some(LinkTo::Oldest)) if newest == member.time => (Entered::Nothing, None),
            (Held::One { offset, partition, element }, only) => {
                let first = Member { time: newest, origin: self.anchors.origin(offset, partition, element) };
                let same = only.is_some() && newest == member.time;
                // Held for undoing only: what undoing needs is in its log from now on.
                if same || newest < self.horizon.live_from {
                    return (Entered::Replaced(first), Some(alone));
                }
                let Some(number) = self.chains.create(first, member, &mut self.purse) else {
                    self.evict(1);
                    return (Entered::Added, Some(alone));
                };
                (Entered::Added, Some(self.entry(key, later, Held::Chain(number))))
            }
        }
    }

    fn evict(&mut self, incidents: u64) {
        self.evicted += incidents;
        self.horizon.lose();
    }

    /// Creates the segments, empty. False when not even they may be paid.
    fn open(&mut self) -> bool {
        if !self.purse.take(SEGMENTS * size_of::<Segment>()) {
            return false;
        }
        let lower = |at: usize| self.horizon.live.floor - spread(at);
        self.segments = (0..SEGMENTS).map(|at| Segment::new(0, lower(at))).collect();
        true
    }

    /// A slot for a key that has none; `None` = there are no bytes for it.
    #[inline]
    fn vacate(&mut self, at: usize, key: Key) -> Option<Vacancy> {
        let segment = &self.segments[at];
        if segment.used() < full(segment.buckets() * SLOTS)
            && let Some(vacancy) = self.try_vacate(at, key)
        {
            return Some(vacancy);
        }
        self.make_room(at, key)
    }

    #[inline]
    fn try_vacate(&mut self, at: usize, key: Key) -> Option<Vacancy> {
        let segment = &mut self.segments[at];
        let vacancy = segment.vacate(segment.homes(key), self.horizon.live)?;
        Some(self.settled(vacancy))
    }

    /// Books what a vacancy cost.
    #[inline]
    fn settled(&mut self, vacancy: Vacancy) -> Vacancy {
        self.keys += usize::from(!vacancy.reused);
        if let Some(number) = vacancy.chain {
            self.chains.free(number, &mut self.purse);
        }
        vacancy
    }

    /// Keys held, those included that are dead and not yet swept.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.purse.spent()
    }

    /// How far back it reaches, in ms: `within + late_max`, or less if slices were given up.
    pub fn horizon_ms(&self) -> i64 {
        self.horizon.reached()
    }

    /// Incidents that were forgotten early, one by one, because not even giving up slices made room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[inline]
fn segment_of(key: Key) -> usize {
    (key.high >> 40) as usize & (SEGMENTS - 1)
}

/// Used slots at which a segment is full.
#[inline]
fn full(slots: usize) -> usize {
    if slots <= SMALL * SLOTS { slots } else { slots * FULL / 128 }
}

/// How many slices earlier than its peers a segment is swept.
fn spread(at: usize) -> i64 {
    (at as i64 * 13) % SWEEP_SPREAD
}

/// The size (buckets) after `buckets` in the series of one segment. The series of the
/// segments are shifted against each other, so that at any moment some have just grown and
/// others are nearly full: together they neither double nor stall.
fn next_size(buckets: usize, at: usize) -> usize {
    if buckets < SMALL {
        return buckets + 1;
    }
    let mut size = SMALL as f64 * QUICK_GROWTH.powf(at as f64 / SEGMENTS as f64);
    while size as usize <= buckets {
        size *= if size < QUICK { QUICK_GROWTH } else { GROWTH };
    }
    size as usize
}

/// What an entry says of a single incident.
#[inline]
fn one(origin: Origin) -> Held {
    Held::One { offset: origin.offset as u64, partition: origin.partition, element: origin.element }
}
