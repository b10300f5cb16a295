//! What one input partition remembers: its clock, an index per matching rule and
//! the candidates of `where`. [`Shard::remember`] is the only way in.

use super::candidates::Candidates;
use super::index::Index;
use super::purse::Purse;
use super::{BatchInput, DecideSpec, LinkTo, Origin, RuleSpec, WHERE_TRIES_MAX};

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
            let only = (!rule.has_where).then_some(rule.link_to);
            Some(Index::new(rule.within_ms, spec.late_max_ms, only, purse))
        };
        let candidates = asks.map(|horizon| Candidates::new(horizon, values_max));
        Shard { clock: i64::MIN, row_clock: 0, indexes: spec.rules.iter().map(index).collect(), candidates }
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
    pub fn find(&mut self, rule: usize, link_to: LinkTo, fingerprint: u128, time: i64) -> Option<Origin> {
        self.indexes[rule].as_mut()?.find(fingerprint, time, link_to, |_| Some(true))
    }

    /// The same, for a rule with `where`: the first in `link_to` order for which `holds` is true.
    pub fn find_where(
        &mut self,
        rule: usize,
        link_to: LinkTo,
        fingerprint: u128,
        time: i64,
        mut holds: impl FnMut(&[u8]) -> bool,
        unknown: &mut u64,
    ) -> Option<Origin> {
        let candidates = self.candidates.as_ref()?;
        let mut tries = 0;
        self.indexes[rule].as_mut()?.find(fingerprint, time, link_to, |origin| {
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

    /// Takes a created incident into the index of every rule for which it has a fingerprint.
    pub fn remember(&mut self, rules: &[RuleSpec], input: &mut BatchInput<'_>, row: usize) {
        let (origin, time) = (input.origins[row], input.times_ms[row]);
        let mut asked = false;
        for (number, (rule, given)) in rules.iter().zip(input.rules).enumerate() {
            let Some(index) = &mut self.indexes[number] else { continue };
            let fingerprint = given.fingerprint(row);
            if fingerprint == 0 || index.is_late(time) {
                continue;
            }
            index.insert(fingerprint, time, origin);
            asked |= rule.has_where;
        }
        if let (true, Some(candidates)) = (asked, &mut self.candidates) {
            candidates.insert(origin, time, &input.values.capture(row));
        }
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
