//! The loop: rows in offset order, rules in their order, one verdict a row.

use super::notes::Notes;
use super::restore::{Restored, ShardRestore};
use super::shard::{Search, Shard, Stats, Undo};
use super::verdict::{Attach, Decided, Link, Verdict};
use super::{Action, BatchInput, DecideSpec, Mode, NO_TIME, Origin, RowTimes, RuleSpec, Scope};

/// How many rows ahead of its decision what a row's lookups read first is fetched: far
/// enough for memory to answer, near enough for the lines to be still in the cache.
const PREFETCH_ROWS: usize = 12;
/// The same for what they read then, when the first has arrived.
const PREFETCH_ENTRY_ROWS: usize = 6;

/// What [`Decider::undo`] could not do in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Partitions whose shards are empty now and have to be restored from their topic before
    /// rows of theirs are decided. With [`Scope::Process`] 0, and all partitions are meant.
    pub restore: Vec<u16>,
}

/// Decides batches; owns the state of all shards. One thread owns it.
pub struct Decider {
    spec: DecideSpec,
    /// By partition number; only number 0 with [`Scope::Process`].
    shards: Vec<Option<Box<Shard>>>,
}

impl Decider {
    /// A decider that remembers nothing yet.
    pub fn new(spec: DecideSpec) -> Decider {
        Decider { spec, shards: Vec::new() }
    }

    /// What it was made from.
    pub fn spec(&self) -> &DecideSpec {
        &self.spec
    }

    /// Decides all rows of a batch, for good: nothing is noted and nothing can be undone.
    /// `out` is cleared first.
    pub fn decide(&mut self, input: &mut BatchInput<'_>, out: &mut Decided) {
        self.run::<false>(input, out, &mut Notes::default());
    }

    /// Decides all rows of a batch as [`Decider::decide`] does, notes what it remembers (`notes`
    /// is cleared first), and can undo it until [`Decider::commit`] says otherwise. `seq` grows
    /// from batch to batch. A decider is used in this way or in the other, not in both.
    pub fn decide_noted(&mut self, seq: u64, input: &mut BatchInput<'_>, out: &mut Decided, notes: &mut Notes) {
        notes.reset(self.spec.scope);
        self.run::<true>(input, out, notes);
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if let Some(shard) = shard {
                shard.close(seq);
                notes.clocks.push((at as u16, shard.clocks()));
            }
        }
    }

    /// All batches up to and including `seq` are committed: they are not undone any more.
    pub fn commit(&mut self, seq: u64) {
        self.shards.iter_mut().flatten().for_each(|shard| shard.commit(seq));
    }

    /// Undoes all batches that are not committed: every later decision is as if they had never
    /// been decided. Shards for which that cannot be done in place are forgotten and returned.
    pub fn undo(&mut self) -> Undone {
        let mut undone = Undone::default();
        for (at, slot) in self.shards.iter_mut().enumerate() {
            match slot.as_mut().map(|shard| shard.undo()) {
                None | Some(Undo::Done) => {}
                Some(Undo::Gone) => *slot = None,
                Some(Undo::Restore) => {
                    *slot = None;
                    undone.restore.push(at as u16);
                }
            }
        }
        undone
    }

    /// Sets [`DecideSpec::index_bytes_max`] for shards that are made or restored from now on.
    /// Those that are there keep theirs: give each the share that it has when this process
    /// holds the most partitions that it may come to hold.
    pub fn set_bytes(&mut self, per_shard: usize) {
        self.spec.index_bytes_max = per_shard;
    }

    /// Begins to restore the shard of a partition (with [`Scope::Process`]: of all partitions)
    /// from index blocks. This needs no access to the decider and can go on on another thread.
    pub fn begin_restore(&self) -> ShardRestore {
        ShardRestore::new(&self.spec)
    }

    /// Puts a restored shard in the place of what a partition's shard remembered, if anything.
    pub fn install(&mut self, partition: u16, restored: Restored) {
        let at = self.number_of(partition);
        if at >= self.shards.len() {
            self.shards.resize_with(at + 1, || None);
        }
        self.shards[at] = Some(restored.shard);
    }

    fn run<const NOTE: bool>(&mut self, input: &mut BatchInput<'_>, out: &mut Decided, notes: &mut Notes) {
        out.reset(self.spec.rules.len());
        let rows = input.origins.len().min(input.times_ms.len());
        for row in 0..rows.min(PREFETCH_ROWS) {
            self.prefetch(input, row, Shard::prefetch);
        }
        for row in 0..rows {
            if row + PREFETCH_ROWS < rows {
                self.prefetch(input, row + PREFETCH_ROWS, Shard::prefetch);
            }
            if row + PREFETCH_ENTRY_ROWS < rows {
                self.prefetch(input, row + PREFETCH_ENTRY_ROWS, Shard::prefetch_entry);
            }
            let at = self.shard_of(input.origins[row]);
            let shard = shard(&self.spec, &mut self.shards, at);
            let verdict = decide_row(&self.spec, shard, input, row, out);
            if let Verdict::Create { close, .. } = verdict {
                shard.remember::<NOTE>(&self.spec, input, row, close.is_some(), notes);
            }
            out.verdicts.push(verdict);
        }
    }

    /// Gives rows without a time one: to arrival that of the event, or else the latest arrival
    /// of the shard so far; to the event that of its arrival. The order of rows decides, never
    /// a wall clock. Comes before [`Decider::decide`] for the same rows. Returns how many
    /// had no time of arrival.
    pub fn fill_in(&mut self, times: &mut RowTimes<'_>) -> u64 {
        let mut unknown = 0;
        let rows = times.origins.iter().zip(times.occurred.iter_mut()).zip(times.created.iter_mut());
        for ((origin, occurred), created) in rows {
            let at = self.shard_of(*origin);
            let clock = &mut shard(&self.spec, &mut self.shards, at).row_clock;
            if *created == NO_TIME {
                unknown += 1;
                *created = if *occurred == NO_TIME { *clock } else { *occurred };
            }
            *clock = (*clock).max(*created);
            if *occurred == NO_TIME {
                *occurred = *created;
            }
        }
        unknown
    }

    /// Forgets all that a partition's shard remembers (the partition was revoked). With
    /// [`Scope::Process`] that is everything: what the partition added cannot be told apart.
    pub fn drop_shard(&mut self, partition: u16) {
        let at = self.number_of(partition);
        if let Some(shard) = self.shards.get_mut(at) {
            *shard = None;
        }
    }

    /// Sizes and horizons of all shards, with their partition number (0 with [`Scope::Process`]).
    pub fn stats(&self) -> Vec<(u16, Stats)> {
        let live = self.shards.iter().enumerate().filter_map(|(at, shard)| Some((at, shard.as_ref()?)));
        live.map(|(at, shard)| (at as u16, shard.stats())).collect()
    }

    /// Number of the shard in which a row is decided.
    #[inline]
    pub fn shard_of(&self, origin: Origin) -> usize {
        match self.spec.scope {
            Scope::Partition => self.spec.groups.get(origin.partition as usize).map_or(origin.partition as usize, |group| *group as usize),
            Scope::Process => 0,
        }
    }

    fn number_of(&self, partition: u16) -> usize {
        match self.spec.scope {
            Scope::Partition => partition as usize,
            Scope::Process => 0,
        }
    }

    #[inline]
    fn prefetch(&self, input: &BatchInput<'_>, row: usize, fetch: impl Fn(&Shard, usize, u128)) {
        let at = self.shard_of(input.origins[row]);
        if let Some(Some(shard)) = self.shards.get(at) {
            for (number, rule) in input.rules.iter().enumerate() {
                fetch(shard, number, rule.fingerprint(row));
            }
        }
    }
}

/// The shard of a number, made if need be.
#[inline]
fn shard<'a>(spec: &DecideSpec, shards: &'a mut Vec<Option<Box<Shard>>>, at: usize) -> &'a mut Shard {
    if at >= shards.len() {
        shards.resize_with(at + 1, || None);
    }
    shards[at].get_or_insert_with(|| Box::new(Shard::new(spec)))
}

/// Decides one row and moves the shard's clock; remembers nothing.
fn decide_row(spec: &DecideSpec, shard: &mut Shard, input: &mut BatchInput<'_>, row: usize, out: &mut Decided) -> Verdict {
    shard.advance(input.times_ms[row]);
    let (attaches, links) = (out.attaches.len(), out.links.len());
    let mut late = false;
    let origin = input.origins[row];
    let own = spec.at_least_once.then_some(origin);
    let again = spec.at_least_once && shard.knows(input, row);
    let (mut drop, mut attach, mut close, mut link_and_close) = (None, None, None, None);
    for (number, rule) in spec.rules.iter().enumerate() {
        let Some(target) = applies(rule, number, shard, input, row, own, &mut late, out) else { continue };
        if rule.shadow {
            out.shadow[number] += 1;
            continue;
        }
        let (short, row) = (number as u16, row as u32);
        match (rule.action, target) {
            (Action::Drop, _) => drop = drop.or(Some(short)),
            (Action::Close, _) => close = close.or(Some(short)),
            // An event that is fed again under its first coordinates finds itself: it is no repeat of its own.
            (Action::DropAndUpdate, Some(target)) if target == origin => attach = attach.or(Some(short)),
            (Action::Link | Action::LinkAndClose, Some(target)) if target == origin => continue,
            (Action::DropAndUpdate, Some(target)) => {
                attach = attach.or(Some(short));
                out.attaches.push(Attach { row, rule: short, target });
            }
            (Action::Link, Some(target)) => out.links.push(Link { row, rule: short, target }),
            (Action::LinkAndClose, Some(target)) => {
                link_and_close = link_and_close.or(Some(short));
                out.links.push(Link { row, rule: short, target });
            }
            (Action::DropAndUpdate | Action::Link | Action::LinkAndClose, None) => continue,
        }
        if spec.mode == Mode::First {
            break;
        }
    }
    out.late += u64::from(late);
    if again {
        // It was created once, before a crash.
        out.attaches.truncate(attaches);
        (drop, attach) = (None, None);
    }
    if let Some(rule) = drop {
        out.attaches.truncate(attaches);
        out.links.truncate(links);
        return Verdict::Drop { rule };
    }
    if let Some(rule) = attach {
        out.links.truncate(links);
        return Verdict::Attach { rule };
    }
    Verdict::Create { close: close.or(link_and_close), linked: out.links.len() > links }
}

/// `None`: the rule does not apply. Otherwise the matched incident, if the rule has `match`.
#[inline]
#[allow(clippy::too_many_arguments)]
fn applies(
    rule: &RuleSpec,
    number: usize,
    shard: &mut Shard,
    input: &mut BatchInput<'_>,
    row: usize,
    own: Option<Origin>,
    late: &mut bool,
    out: &mut Decided,
) -> Option<Option<Origin>> {
    let given = input.rules.get(number)?;
    if !given.holds(row) {
        return None;
    }
    if !rule.matches {
        let needs_target = matches!(rule.action, Action::DropAndUpdate | Action::Link | Action::LinkAndClose);
        return (!needs_target).then_some(None);
    }
    let fingerprint = given.fingerprint(row);
    if fingerprint == 0 {
        return None;
    }
    let time = input.times_ms[row];
    if shard.is_late(number, time) {
        *late = true;
        return None;
    }
    let search = Search { rule: number, link_to: rule.link_to, fingerprint, time, own };
    if rule.has_where {
        let holds = |existing: &[u8]| input.values.holds(number, row, existing);
        shard.find_where(search, holds, &mut out.where_unknown).map(Some)
    } else {
        shard.find(search).map(Some)
    }
}
