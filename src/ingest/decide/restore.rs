//! A shard from its index blocks: begun and fed on any thread, then installed in the decider.
//!
//! Blocks of one partition come in the order in which they were written. Each is read whole
//! before anything of it enters, so a damaged one leaves no trace. With a shard per partition
//! incidents enter as they come. With one shard for all partitions (`scope: process`) the order
//! of decisions counts over partitions too, so blocks carry it: they are kept as bytes, sorted
//! at the end, and those of one batch are merged.

use super::block::{Block, BlockError};
use super::notes::{Clocks, Notes};
use super::shard::Shard;
use super::{DecideSpec, RuleSpec, Scope, Stats};

/// A shard that is being restored.
pub struct ShardRestore {
    spec: DecideSpec,
    shard: Box<Shard>,
    /// With [`Scope::Process`]: blocks that wait for the others.
    waiting: Vec<Waiting>,
    notes: Notes,
    report: Report,
    /// How far the longest index reaches back (ms).
    reach: i64,
}

/// A block of a shard that several partitions share.
struct Waiting {
    /// First and last order of its incidents; `None` (from before the partitions shared a
    /// shard) sorts first.
    orders: Option<(u64, u64)>,
    clocks: Option<Clocks>,
    partition: u16,
    bytes: Box<[u8]>,
}

/// What restoring did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Blocks applied.
    pub blocks: u64,
    /// Blocks whose incidents are all beyond the horizon: only looked at.
    pub old_blocks: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Entries that entered an index.
    pub entries: u64,
    /// Entries of rules that are not in the pipeline now, or with another `match`: left out.
    pub unknown_rules: u64,
    /// Values of `where` that were kept for other fields than those read now: left out.
    pub other_values: u64,
    /// Per partition: the offset behind the last block. The next row to decide is this one.
    pub next: Vec<(u16, i64)>,
}

/// A restored shard.
pub struct Restored {
    pub(super) shard: Box<Shard>,
    /// What was done.
    pub report: Report,
}

impl Restored {
    /// Sizes and horizons.
    pub fn stats(&self) -> Stats {
        self.shard.stats()
    }
}

impl ShardRestore {
    /// Begins with an empty shard.
    pub fn new(spec: &DecideSpec) -> ShardRestore {
        let reach = |rule: &RuleSpec| rule.within_ms.max(0).saturating_add(spec.late_max_ms.max(0));
        let reach = spec.rules.iter().filter(|rule| rule.matches).map(reach).max().unwrap_or(0);
        let shard = Box::new(Shard::new(spec));
        ShardRestore { spec: spec.clone(), shard, waiting: Vec::new(), notes: Notes::default(), report: Report::default(), reach }
    }

    /// Says how far the clock will be in the end, if that is known (from the newest block): what
    /// is beyond the horizon then does not even enter. Before the first block.
    pub fn ends_at(&mut self, clocks: Clocks) {
        self.shard.set_clocks(clocks);
    }

    /// Applies the blocks of one record of a partition (its number in this process).
    pub fn apply(&mut self, partition: u16, mut value: &[u8]) -> Result<(), BlockError> {
        while !value.is_empty() {
            let (block, rest) = Block::read(value)?;
            let bytes = value.get(..value.len() - rest.len()).unwrap_or_default();
            self.apply_block(partition, &block, bytes)?;
            value = rest;
        }
        Ok(())
    }

    fn apply_block(&mut self, partition: u16, block: &Block<'_>, bytes: &[u8]) -> Result<(), BlockError> {
        // No incident is younger than the clock after it.
        if block.clocks.is_some_and(|clocks| clocks.clock_ms < self.shard.clocks().clock_ms.saturating_sub(self.reach)) {
            self.report.old_blocks += 1;
            self.shard.skip_orders(block.orders);
        } else if self.spec.scope == Scope::Process && block.incidents() > 0 {
            self.waiting.push(Waiting { orders: block.orders, clocks: block.clocks, partition, bytes: bytes.into() });
        } else {
            self.notes.reset(self.spec.scope);
            self.read_rows(block, partition)?;
            self.enter();
            self.set_clocks(block.clocks);
        }
        self.report.blocks += 1;
        self.report.bytes += bytes.len() as u64;
        match self.report.next.iter_mut().find(|(known, _)| *known == partition) {
            Some((_, next)) => *next = block.header.to,
            None => self.report.next.push((partition, block.header.to)),
        }
        Ok(())
    }

    fn read_rows(&mut self, block: &Block<'_>, partition: u16) -> Result<(), BlockError> {
        let left_out = block.read_rows(&self.spec, partition, &mut self.notes)?;
        self.report.unknown_rules += left_out.entries;
        self.report.other_values += left_out.values;
        Ok(())
    }

    fn enter(&mut self) {
        self.report.entries += self.shard.enter_all(&self.spec, &self.notes);
    }

    fn set_clocks(&mut self, clocks: Option<Clocks>) {
        if let Some(clocks) = clocks {
            self.shard.set_clocks(clocks);
        }
    }

    /// The shard. Fails only with [`Scope::Process`], where blocks are read only now.
    pub fn finish(mut self) -> Result<Restored, BlockError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // A stable sort: what has no order stays as it came.
        waiting.sort_by_key(|block| block.orders);
        let mut rest = waiting.as_slice();
        while let Some((first, _)) = rest.split_first() {
            // The blocks of one batch overlap; batches do not.
            let mut last = first.orders.map(|orders| orders.1);
            let mut count = 1;
            while let (Some(end), Some((from, to))) = (last, rest.get(count).and_then(|block| block.orders))
                && from <= end
            {
                last = Some(end.max(to));
                count += 1;
            }
            let (group, behind) = rest.split_at(count);
            self.merge(group)?;
            rest = behind;
        }
        self.shard.restored();
        Ok(Restored { shard: self.shard, report: self.report })
    }

    fn merge(&mut self, group: &[Waiting]) -> Result<(), BlockError> {
        self.notes.reset(self.spec.scope);
        for waiting in group {
            let (block, _) = Block::read(&waiting.bytes)?;
            self.read_rows(&block, waiting.partition)?;
        }
        if group.len() > 1 {
            self.notes.sort();
        }
        self.enter();
        group.iter().for_each(|waiting| self.set_clocks(waiting.clocks));
        Ok(())
    }
}
