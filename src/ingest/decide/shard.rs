//! What one input partition remembers: its clocks, an index per matching rule and
//! the candidates of `where`. There are two ways in, [`Shard::remember`] when deciding and
//! [`Shard::enter_all`] when restoring, and one out, [`Shard::undo`].

use super::candidates::Candidates;
use super::index::{Entered, Index};
use super::notes::{Clocks, Notes, noted, parts};
use super::purse::Purse;
use super::undo::{Point, UndoLog};
use super::{BatchInput, DecideSpec, LinkTo, Origin, RuleSpec, WHERE_TRIES_MAX};

/// Entries ahead of the one that enters whose marks are fetched when restoring.
const PREFETCH_AHEAD: usize = 24;
/// The same for the entry itself.
const PREFETCH_ENTRY_AHEAD: usize = 12;

/// Sizes of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Greatest decision time seen, ms since the epoch.
    pub clock_ms: i64,
    /// Keys held, over all rules (expired ones that were not swept yet included).
    pub keys: u64,
    /// Bytes of tables, chains and candidates.
    pub bytes: u64,
    /// Per rule: how far back its index reaches, in ms; 0 for rules without `match`.
    /// Less than `within + late_max` = it gave up early for want of bytes.
    pub horizon_ms: Vec<i64>,
    /// Incidents forgotten early one by one, where giving up slices made no room: a hot key's
    /// chain, or more keys in a single slice than the bound holds.
    pub evicted: u64,
}

/// State of one shard.
pub struct Shard {
    clock: i64,
    /// Latest time of arrival of a row (µs): what a row without a time gets.
    pub row_clock: i64,
    indexes: Vec<Option<Index>>,
    candidates: Option<Candidates>,
    /// Incidents remembered so far: their order over all partitions of the shard.
    order: u64,
    log: UndoLog,
}

/// What a row looks for in the index of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Number of the rule.
    pub rule: usize,
    /// Which incident of several.
    pub link_to: LinkTo,
    /// The row's fingerprint.
    pub fingerprint: u128,
    /// The row's time (ms).
    pub time: i64,
    /// The row's origin, if it may be remembered already: it and what came later in its
    /// partition do not count.
    pub own: Option<Origin>,
}

/// What became of a shard whose last batches were to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// It is as it was at the last commit.
    Done,
    /// Nothing of it was ever committed: it has to go.
    Gone,
    /// It cannot be undone in place: it has to go and be restored.
    Restore,
}

impl Shard {
    /// An empty shard for the rules of a pipeline.
    pub fn new(spec: &DecideSpec) -> Shard {
        let horizon = |rule: &RuleSpec| rule.within_ms.max(0).saturating_add(spec.late_max_ms.max(0));
        let asks = spec.rules.iter().filter(|rule| rule.matches && rule.has_where).map(horizon).max();
        let values_max = if asks.is_some() { spec.index_bytes_max / 2 } else { 0 };
        let matching = spec.rules.iter().filter(|rule| rule.matches).count();
        let mut purses = Purse::divide(spec.index_bytes_max - values_max, matching);
        let index = |rule: &RuleSpec| {
            let purse = if rule.matches { purses.next() } else { None }?;
            // A row that comes again must find what it found, not what came to stand for it.
            let only = (!rule.has_where && !spec.at_least_once).then_some(rule.link_to);
            Some(Index::new(rule.within_ms, spec.late_max_ms, only, purse))
        };
        let candidates = asks.map(|horizon| Candidates::new(horizon, values_max));
        Shard { clock: i64::MIN, row_clock: 0, indexes: spec.rules.iter().map(index).collect(), candidates, order: 0, log: UndoLog::default() }
    }

    /// Moves the clock to a row's time, never back.
    #[inline]
    pub fn advance(&mut self, time: i64) {
        if time > self.clock {
            self.clock = time;
            for index in self.indexes.iter_mut().flatten() {
                index.advance(time);
            }
            if let Some(candidates) = &mut self.candidates {
                candidates.advance(time);
            }
        }
    }

    /// Fetches what looking up `fingerprint` will read first.
    #[inline]
    pub fn prefetch(&self, rule: usize, fingerprint: u128) {
        if let (Some(Some(index)), true) = (self.indexes.get(rule), fingerprint != 0) {
            index.prefetch(fingerprint);
        }
    }

    /// Fetches what it will read then.
    #[inline]
    pub fn prefetch_entry(&self, rule: usize, fingerprint: u128) {
        if let (Some(Some(index)), true) = (self.indexes.get(rule), fingerprint != 0) {
            index.prefetch_entry(fingerprint);
        }
    }

    /// Whether a time is beyond the rule's horizon.
    #[inline]
    pub fn is_late(&self, rule: usize, time: i64) -> bool {
        self.indexes[rule].as_ref().is_none_or(|index| index.is_late(time))
    }

    /// The incident that a row matches.
    #[inline]
    pub fn find(&mut self, search: Search) -> Option<Origin> {
        let Search { rule, link_to, fingerprint, time, own } = search;
        let index = self.indexes[rule].as_mut()?;
        match own {
            None => index.find(fingerprint, time, link_to, |_| Some(true)),
            Some(own) => index.find(fingerprint, time, link_to, |origin| Some(is_before(origin, own))),
        }
    }

    /// The same, for a rule with `where`: the first in `link_to` order for which `holds` is true.
    pub fn find_where(&mut self, search: Search, mut holds: impl FnMut(&[u8]) -> bool, unknown: &mut u64) -> Option<Origin> {
        let Search { rule, link_to, fingerprint, time, own } = search;
        let candidates = self.candidates.as_ref()?;
        let mut tries = 0;
        self.indexes[rule].as_mut()?.find(fingerprint, time, link_to, |origin| {
            if own.is_some_and(|own| !is_before(origin, own)) {
                return Some(false);
            }
            if tries == WHERE_TRIES_MAX {
                return None;
            }
            tries += 1;
            match candidates.get(origin) {
                Some(existing) => Some(holds(existing)),
                None => {
                    *unknown += 1;
                    Some(false)
                }
            }
        })
    }

    /// Whether an index remembers the row itself, from before a crash.
    pub fn knows(&mut self, input: &BatchInput<'_>, row: usize) -> bool {
        let (origin, time) = (input.origins[row], input.times_ms[row]);
        let mut indexes = self.indexes.iter_mut().zip(input.rules);
        indexes.any(|(index, given)| match (index, given.fingerprint(row)) {
            (Some(index), fingerprint) if fingerprint != 0 => index.knows(fingerprint, time, origin),
            _ => false,
        })
    }

    /// Takes a created incident into the index of every rule for which it has a fingerprint.
    /// With `NOTE`, notes all that it changes, for a block and for undoing.
    pub fn remember<const NOTE: bool>(&mut self, spec: &DecideSpec, input: &mut BatchInput<'_>, row: usize, closed: bool, notes: &mut Notes) {
        let (origin, time) = (input.origins[row], input.times_ms[row]);
        let mut asked = false;
        for (number, (rule, given)) in spec.rules.iter().zip(input.rules).enumerate() {
            let Some(index) = &mut self.indexes[number] else { continue };
            let fingerprint = given.fingerprint(row);
            if fingerprint == 0 || closed && rule.open_only || index.is_late(time) || spec.at_least_once && index.knows(fingerprint, time, origin) {
                continue;
            }
            let entered = index.enter(fingerprint, time, origin);
            asked |= rule.has_where;
            if NOTE {
                let replaced = match entered {
                    Entered::Nothing => continue,
                    Entered::Added => None,
                    Entered::Replaced(member) => Some(member),
                };
                self.log.enter(number, fingerprint, replaced);
                notes.prints.push(noted(number, fingerprint));
            }
        }
        let mut kept = false;
        if let (true, Some(candidates)) = (asked, &mut self.candidates)
            // Rows that come again with `at_least_once`, and events that are fed again under their
            // first coordinates. What came later must not be forgotten for them.
            && !((spec.at_least_once || NOTE) && candidates.is_behind(origin))
        {
            let values = input.values.capture(row);
            kept = candidates.insert(origin, time, &values);
            if NOTE && kept {
                self.log.keep(origin);
                notes.values.extend_from_slice(&values);
            }
        }
        if NOTE && notes.end_row(origin, time, self.order, kept) {
            self.order += 1;
        }
    }

    /// Where it stands.
    fn point(&self) -> Point {
        Point { clocks: self.clocks(), order: self.order }
    }

    /// Its clocks.
    pub fn clocks(&self) -> Clocks {
        Clocks { clock_ms: self.clock, row_clock_us: self.row_clock }
    }

    /// Ends a batch that was noted.
    pub fn close(&mut self, seq: u64) {
        let lost = self.take_lost();
        self.log.close(seq, self.point(), lost);
        self.hold();
    }

    fn take_lost(&mut self) -> bool {
        let lost = self.indexes.iter_mut().flatten().fold(false, |lost, index| lost | index.take_lost());
        lost | self.candidates.as_mut().is_some_and(Candidates::take_lost)
    }

    fn hold(&mut self) {
        // Without a clock nothing can expire.
        if self.clock > i64::MIN {
            self.indexes.iter_mut().flatten().for_each(Index::hold);
            self.candidates.iter_mut().for_each(Candidates::hold);
        }
    }

    /// All batches up to and including this one are committed.
    pub fn commit(&mut self, seq: u64) {
        if let Some(point) = self.log.commit(seq) {
            self.indexes.iter_mut().flatten().for_each(|index| index.commit(point.clocks.clock_ms));
            self.candidates.iter_mut().for_each(|candidates| candidates.commit(point.clocks.clock_ms));
        }
    }

    /// Takes out what was put in since the last commit, and moves the clocks back.
    pub fn undo(&mut self) -> Undo {
        let Some(point) = self.log.committed() else { return Undo::Gone };
        if self.log.is_clean(self.point()) {
            return Undo::Done;
        }
        if self.take_lost() || self.log.is_lost() || point.clocks.clock_ms == i64::MIN {
            return Undo::Restore;
        }
        while let Some((rule, fingerprint, replaced)) = self.log.pop_print() {
            let Some(Some(index)) = self.indexes.get_mut(rule) else { return Undo::Restore };
            if !index.take_back(fingerprint, replaced) {
                return Undo::Restore;
            }
        }
        while let Some(origin) = self.log.pop_values() {
            if !self.candidates.as_mut().is_some_and(|candidates| candidates.take_back(origin)) {
                return Undo::Restore;
            }
        }
        self.log.clear();
        (self.clock, self.row_clock, self.order) = (point.clocks.clock_ms, point.clocks.row_clock_us, point.order);
        self.indexes.iter_mut().flatten().for_each(|index| index.rewind(self.clock));
        self.candidates.iter_mut().for_each(|candidates| candidates.rewind_clock(self.clock));
        Undo::Done
    }

    /// Takes in what was noted once, in its order. Returns how many entries are new in an index.
    pub fn enter_all(&mut self, spec: &DecideSpec, notes: &Notes) -> u64 {
        let (mut entered, mut at) = (0, 0);
        for (row, prints, values) in notes.all() {
            for print in prints {
                let ahead = |by: usize| notes.prints.get(at + by).map(|print| parts(*print));
                if let Some((rule, fingerprint)) = ahead(PREFETCH_AHEAD) {
                    self.prefetch(rule, fingerprint);
                }
                if let Some((rule, fingerprint)) = ahead(PREFETCH_ENTRY_AHEAD) {
                    self.prefetch_entry(rule, fingerprint);
                }
                at += 1;
                let (rule, fingerprint) = parts(*print);
                let Some(Some(index)) = self.indexes.get_mut(rule) else { continue };
                if spec.at_least_once && index.knows(fingerprint, row.time, row.origin) {
                    continue;
                }
                entered += u64::from(!matches!(index.enter(fingerprint, row.time, row.origin), Entered::Nothing));
            }
            if let (Some(values), Some(candidates)) = (values, &mut self.candidates)
                && candidates.wants(row.time)
                && !(spec.at_least_once && candidates.is_behind(row.origin))
            {
                candidates.insert(row.origin, row.time, values);
            }
            self.order = self.order.max(row.order.saturating_add(1));
        }
        entered
    }

    /// Passes over incidents that are not worth entering.
    pub fn skip_orders(&mut self, orders: Option<(u64, u64)>) {
        self.order = orders.map_or(self.order, |(_, last)| self.order.max(last.saturating_add(1)));
    }

    /// Moves the clocks to what a block says, never back.
    pub fn set_clocks(&mut self, clocks: Clocks) {
        self.advance(clocks.clock_ms);
        self.row_clock = self.row_clock.max(clocks.row_clock_us);
    }

    /// It stands where its topic ends: what is there now is never undone.
    pub fn restored(&mut self) {
        self.take_lost();
        self.log = UndoLog::restored(self.point());
        self.hold();
    }

    /// Sizes and horizons.
    pub fn stats(&self) -> Stats {
        let indexes = || self.indexes.iter().flatten();
        Stats {
            clock_ms: self.clock,
            keys: indexes().map(|index| index.keys() as u64).sum(),
            bytes: indexes().map(|index| index.bytes() as u64).sum::<u64>() + self.candidates.as_ref().map_or(0, |candidates| candidates.bytes() as u64),
            horizon_ms: self.indexes.iter().map(|index| index.as_ref().map_or(0, Index::horizon_ms)).collect(),
            evicted: indexes().map(Index::evicted).sum(),
        }
    }
}

/// Whether an incident was created before a row of its partition; of other partitions nobody knows.
#[inline]
fn is_before(origin: Origin, row: Origin) -> bool {
    origin.partition != row.partition || (origin.offset, origin.element) < (row.offset, row.element)
}
