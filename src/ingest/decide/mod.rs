//! Decisions, row by row: which event becomes an incident, which is dropped,
//! attached to an earlier incident, linked or created closed.
//!
//! Conditions (`when`) and fingerprints (`match`) arrive already evaluated for
//! the whole batch; the loop in `rules` walks the rows in offset order and the
//! rules in their order. A `shard::Shard` per input partition (one for all with
//! [`Scope::Process`]) holds a clock and, per matching rule, an [`index::Index`]
//! of the incidents created lately; `candidates` keeps the creation-time values
//! that `where existing.x` reads.
//!
//! # What exactly is decided
//!
//! - **Clock.** The greatest decision time seen in the shard, this row included;
//!   it never goes back. No wall clock: a replay decides alike.
//! - **Horizon** of a rule: `within + late_max` behind the clock, to the millisecond.
//!   A row older than that is *late* for the rule: it matches nothing there and does
//!   not enter that index. A row counts once in [`Decided::late`], and only if a rule
//!   that it reached, whose `when` held and whose fingerprint is not NULL, skipped it
//!   for that reason. Being exactly on the horizon is not late.
//! - **Live** is an incident whose own time is not beyond the rule's horizon. A row
//!   matches a live incident of equal fingerprint when `|row - incident| <= within`
//!   (both ends included, the incident may be the younger one) and `where` is true.
//!   A row at most `late_max` behind the clock therefore sees everything within
//!   `within`; between that and the horizon, only what the horizon still holds.
//! - **`oldest` / `newest`** go by arrival (the order of decisions), not by time: the
//!   first or last created of those that match.
//! - **Who is remembered.** Every created incident, closed at birth or not, in the
//!   index of every rule (shadow rules too) for which it has a fingerprint, whether or
//!   not that rule's `when` held; one closed at birth not in those of [`RuleSpec::open_only`]. Dropped and attached rows never; attaching does not
//!   refresh an incident's time.
//! - **A rule applies** when `when` holds and, with `match`, a target is found. A
//!   fingerprint of 0 (a NULL in a match field) never applies and is never remembered.
//!   `drop_and_update`, `link` and `link_and_close` need a target: without `match`
//!   they never apply (`check` refuses such rules). `where` without `match` is ignored.
//! - **Shadow** rules that would apply are counted and change nothing, not even which
//!   later rule acts. In [`Mode::First`] rules behind the acting one are not reached
//!   and not counted.
//! - **[`Mode::All`]**: drop > drop_and_update > close > link_and_close > link. Under
//!   drop nothing is attached or linked; under drop_and_update every applying
//!   drop_and_update rule attaches to its own target (two rules may name the same one)
//!   and nothing is linked; a created row carries the links of every applying `link`
//!   and `link_and_close` rule. The verdict names the first rule of the winning action.
//! - **`where`** sees values as of creation. If they were evicted (bytes) the incident
//!   does not match and [`Decided::where_unknown`] counts it. One search asks at most
//!   [`WHERE_TRIES_MAX`] incidents.
//! - **Bytes.** [`DecideSpec::index_bytes_max`] bounds each shard. With any `where`, half of it is
//!   for the values that `where` reads; the rest is for the indexes, of which half is divided
//!   evenly and half goes to whoever needs it first. At its bound an index gives up its oldest
//!   sixteenth: duplicates may pass, nothing is lost, [`Stats::horizon_ms`] shows it. Where that makes no room
//!   (a hot key's chain; a flood of one millisecond) single incidents go, and [`Stats::evicted`]
//!   counts them.
//!   A bound too small for even an empty index remembers nothing.
//! - **Itself.** A row that comes again under its own origin (a dead letter that is fed twice) may
//!   match itself: `drop_and_update` then ends it without an attachment, and nothing links to itself.
//! - **Ranges.** A horizon is cut at 8.7 years, times at +-18 million years. Origins of one
//!   partition only go forward; if they do go back, values of `where` from there on are
//!   forgotten, and an index may still name the incidents of the first time.
//! - **A dropped shard** is forgotten whole, with [`Scope::Process`] that of all partitions.
//! - All of it depends on the order of rows only, never on how they are cut into batches.
//!
//! # What survives aborts and crashes
//!
//! Deciding runs ahead of the transactions that make its results last. [`Decider::decide_noted`]
//! notes what it remembers: for [`block`]s, which go to a topic with the results, and for
//! [`Decider::undo`], which takes out all that [`Decider::commit`] has not confirmed. After
//! undoing, and after restoring from the blocks of all committed batches ([`ShardRestore`],
//! [`Decider::install`]), every later decision is that of a decider to which nothing ever
//! happened and that saw the committed rows only. The clocks are part of that, those of rows
//! without a time too ([`Decider::fill_in`]). In detail:
//!
//! - What was live at the last commit is held until the next, though the clock moves on: up to
//!   a quarter of a horizon. If the clock goes further, or bytes run out, `undo` empties the
//!   shard and names its partition, which then has to be restored.
//! - At the byte bound only the promise above holds (duplicates may pass, nothing is lost):
//!   which slice goes first depends on the layout of the tables, and that is not the same
//!   after undoing or restoring. Stats may differ too: tables that grew stay large.
//! - [`Scope::Process`]: the order of decisions over partitions is in the blocks.
//! - A rule's entries are found again by its [`rule_key()`]; those of unknown rules, and values
//!   for another [`where_key()`], are left out. A longer `within` finds what the topic still has.
//! - [`DecideSpec::at_least_once`] is for results that last before their offsets do: rows come
//!   again, and the index may know them and what came after them. Such a row is created again
//!   (its id is the same) and remembered once; what came later in its partition does not count
//!   for it. A row without a time of its own may be remembered twice: its time differs.
//! - [`DecideSpec::groups`] and [`Decider::decide`] are for `replay` and `demo`, where nothing lasts.

mod anchors;
pub mod block;
mod candidates;
mod chain;
mod entry;
pub mod fingerprint;
mod horizon;
pub mod index;
mod keys;
mod marks;
mod notes;
mod purse;
mod restore;
mod rules;
mod segment;
mod shard;
mod slices;
mod undo;
mod verdict;

use std::sync::Arc;

pub use candidates::CANDIDATE_BYTES_MAX;
pub use fingerprint::Fingerprinter;
pub use keys::{rule_key, where_key};
pub use notes::{Clocks, Notes};
pub use restore::{Report, Restored, ShardRestore};
pub use rules::{Decider, Undone};
pub use shard::Stats;
pub use verdict::{Attach, Decided, Link, Verdict};

/// Most incidents that one search asks `where` about (count). A condition that is never
/// true over one hot key would otherwise cost the square of the events.
pub const WHERE_TRIES_MAX: usize = 256;

/// No time is known.
pub const NO_TIME: i64 = i64::MIN;

/// Where an incident comes from; its id is derived from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Dense partition number.
    pub partition: u16,
    /// Kafka offset (`replay`: line number).
    pub offset: i64,
    /// Number of the event inside its message, 0-based.
    pub element: u16,
}

/// What a rule does with a row to which it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The event ends here.
    Drop,
    /// The event ends as an attachment of the matched incident.
    DropAndUpdate,
    /// An incident, linked to the matched one.
    Link,
    /// An incident created closed, linked to the matched one.
    LinkAndClose,
    /// An incident created closed.
    Close,
}

/// Which of several matching incidents is the target, by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkTo {
    /// The one created first.
    Oldest,
    /// The one created last.
    Newest,
}

/// How many rules act on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The first rule that applies.
    First,
    /// All of them; the strongest verdict wins.
    All,
}

/// Within which rows incidents are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Rows of one input partition.
    Partition,
    /// All rows that this process reads.
    Process,
}

/// One rule, as far as deciding needs it.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// For reports.
    pub name: Arc<str>,
    /// Identifies the rule's index over restarts and changes of other rules, see [`rule_key()`].
    pub rule_key: u64,
    /// What it does.
    pub action: Action,
    /// It compares with earlier incidents (`match`).
    pub matches: bool,
    /// It has a `where` condition.
    pub has_where: bool,
    /// Greatest distance in time to the matched incident, in milliseconds.
    pub within_ms: i64,
    /// Which incident is the target.
    pub link_to: LinkTo,
    /// Incidents that are created closed are not remembered for it.
    pub open_only: bool,
    /// Count only.
    pub shadow: bool,
}

/// All that a [`Decider`] needs to know of a pipeline.
#[derive(Debug, Clone)]
pub struct DecideSpec {
    /// How many rules act on a row.
    pub mode: Mode,
    /// The rules in their order.
    pub rules: Vec<RuleSpec>,
    /// Shard by partition, or one shard.
    pub scope: Scope,
    /// With [`Scope::Partition`]: partitions that share a shard, as the shard's number by partition
    /// number (`replay`: files of one source). Empty: each partition has its own.
    pub groups: Vec<u16>,
    /// Identifies what [`WhereSource::capture`] yields, see [`where_key()`].
    pub where_key: u64,
    /// Rows may come again after a crash although the index remembers them already
    /// (no transactions): such a row is created again, and remembered once.
    pub at_least_once: bool,
    /// How far behind the clock a row may be and still see everything within `within`,
    /// in milliseconds. A row may be `max_skew` ahead of its arrival and another
    /// `late_max` behind, so the caller passes the sum of both.
    pub late_max_ms: i64,
    /// Bytes that one shard may hold: tables, chains and candidates.
    pub index_bytes_max: usize,
}

/// What is known of one rule for all rows of a batch.
#[derive(Debug, Clone, Default)]
pub struct RuleInput {
    /// `when`, per row; `None` = always true.
    pub holds: Option<Vec<bool>>,
    /// [`Fingerprinter`] values per row, 0 = a NULL in a match field; `None` without `match`.
    pub fingerprints: Option<Vec<u128>>,
}

impl RuleInput {
    #[inline]
    pub(crate) fn holds(&self, row: usize) -> bool {
        self.holds.as_ref().is_none_or(|holds| holds.get(row).copied().unwrap_or(false))
    }

    #[inline]
    pub(crate) fn fingerprint(&self, row: usize) -> u128 {
        self.fingerprints.as_ref().and_then(|all| all.get(row).copied()).unwrap_or(0)
    }
}

/// Origins and times of the rows of a batch, in microseconds since the epoch.
pub struct RowTimes<'a> {
    /// Where each row comes from.
    pub origins: &'a [Origin],
    /// When it occurred; [`NO_TIME`] is filled in.
    pub occurred: &'a mut [i64],
    /// When it arrived; [`NO_TIME`] is filled in.
    pub created: &'a mut [i64],
}

/// One batch, in offset order per partition.
pub struct BatchInput<'a> {
    /// Origin of each row. Offsets of a partition only go forward, elements within an offset too.
    pub origins: &'a [Origin],
    /// Decision time of each row, already clamped, in milliseconds since the epoch.
    pub times_ms: &'a [i64],
    /// One entry per rule of the spec, in its order.
    pub rules: &'a [RuleInput],
    /// Values for `where`.
    pub values: &'a mut dyn WhereSource,
}

/// Gives and compares the values that `where` conditions use.
pub trait WhereSource {
    /// Creation-time values of a row, all that any `where` reads; opaque to this room.
    fn capture(&mut self, row: usize) -> Box<[u8]>;
    /// Whether `where` of `rule` is true for `row` as `new` and captured values as `existing`.
    fn holds(&mut self, rule: usize, row: usize, existing: &[u8]) -> bool;
}

/// For pipelines without any `where`.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoWhere;

impl WhereSource for NoWhere {
    fn capture(&mut self, _row: usize) -> Box<[u8]> {
        Box::default()
    }

    fn holds(&mut self, _rule: usize, _row: usize, _existing: &[u8]) -> bool {
        true
    }
}
