//! The live ring: rows that were read from the topics and are not in the table yet, and with them the
//! version of the table that they go on from. Both change together, under one lock, so a query that
//! takes both sees every row once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;

use super::table::Pinned;

/// A topic that a table is fed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `incidents`.
    Facts,
    /// `incident-state`.
    States,
    /// `dead-letters`.
    Letters,
    /// `index`, for the ledger in it.
    Index,
    /// `runs`.
    Runs,
    /// `war-room`.
    WarRoom,
}

/// A partition of a topic.
pub type Feed = (Topic, i32);

/// Rows that were read one after the other.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The rows.
    pub batch: RecordBatch,
    /// Bytes of the records that they came from.
    pub bytes: usize,
    /// Which offsets they cover, per partition: from (inclusive) to (exclusive).
    pub covers: BTreeMap<Feed, (i64, i64)>,
}

/// What a query sees.
#[derive(Debug, Clone)]
pub struct View {
    /// The table.
    pub table: Pinned,
    /// Rows beyond it.
    pub live: Vec<Arc<Segment>>,
    /// Partitions whose rows are in the table only, as others read them: at most a commit behind.
    pub missing: Vec<i32>,
}

struct State {
    table: Option<Pinned>,
    segments: Vec<Arc<Segment>>,
    bytes: usize,
    /// Partitions that are read here, and all there are.
    reading: BTreeSet<Feed>,
    all: BTreeSet<Feed>,
    /// Counts changes.
    epoch: u64,
}

/// The ring of a process.
pub struct Ring {
    state: Mutex<State>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring { state: Mutex::new(State { table: None, segments: Vec::new(), bytes: 0, reading: BTreeSet::new(), all: BTreeSet::new(), epoch: 0 }) }
    }
}

impl Ring {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows that were read.
    pub fn push(&self, segment: Segment) {
        let mut state = self.state();
        state.bytes += segment.bytes;
        state.segments.push(Arc::new(segment));
        state.epoch += 1;
    }

    /// The rows that are not in the table.
    pub fn waiting(&self) -> Vec<Arc<Segment>> {
        self.state().segments.clone()
    }

    /// Bytes of the records whose rows wait.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// The table has changed, and holds these segments now.
    pub fn committed(&self, table: Pinned, stored: &[Arc<Segment>]) {
        let mut state = self.state();
        state.segments.retain(|segment| !stored.iter().any(|gone| Arc::ptr_eq(gone, segment)));
        state.bytes = state.segments.iter().map(|segment| segment.bytes).sum();
        state.table = Some(table);
        state.epoch += 1;
    }

    /// Forgets rows that are not in the table: they will be read again, here or elsewhere.
    pub fn forget(&self) {
        let mut state = self.state();
        state.segments.clear();
        state.bytes = 0;
        state.epoch += 1;
    }

    /// Which partitions are read here, of how many there are.
    pub fn reading(&self, here: BTreeSet<Feed>, all: BTreeSet<Feed>) {
        let mut state = self.state();
        (state.reading, state.all) = (here, all);
        state.epoch += 1;
    }

    /// What a query sees now; `None` before the table is open.
    pub fn view(&self) -> Option<View> {
        let state = self.state();
        let missing: BTreeSet<i32> = state.all.difference(&state.reading).map(|(_, partition)| *partition).collect();
        let missing = missing.into_iter().collect();
        Some(View { table: state.table.clone()?, live: state.segments.clone(), missing })
    }

    /// Changes with whatever a query would see.
    pub fn epoch(&self) -> u64 {
        self.state().epoch
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::archive::columns::Columns;
    use crate::config::schema::Schema;

    fn segment(topic: Topic, from: i64, to: i64) -> Segment {
        let columns = Columns::new(&Schema::default());
        Segment { batch: RecordBatch::new_empty(columns.arrow()), bytes: 10, covers: BTreeMap::from([((topic, 0), (from, to))]) }
    }

    #[test]
    fn what_is_stored_leaves_with_the_version_that_has_it() {
        let ring = Ring::default();
        assert!(ring.view().is_none());
        let table = |version| Pinned { version, columns: Columns::new(&Schema::default()), files: Arc::default() };
        ring.committed(table(1), &[]);
        ring.push(segment(Topic::Facts, 0, 5));
        let stored = ring.waiting();
        ring.push(segment(Topic::Facts, 5, 9));
        let before = ring.view().unwrap();
        ring.committed(table(2), &stored);
        let after = ring.view().unwrap();
        // Either the old version and both, or the new one and the rest.
        assert_eq!((before.table.version, before.live.len()), (1, 2));
        assert_eq!((after.table.version, after.live.len(), ring.bytes()), (2, 1, 10));
        assert_eq!(after.live[0].covers[&(Topic::Facts, 0)], (5, 9));
    }

    #[test]
    fn partitions_that_others_read_are_told() {
        let ring = Ring::default();
        ring.committed(Pinned { version: 0, columns: Columns::new(&Schema::default()), files: Arc::default() }, &[]);
        let feeds = |partitions: std::ops::Range<i32>| {
            partitions.flat_map(|partition| [(Topic::Facts, partition), (Topic::States, partition)]).collect::<BTreeSet<_>>()
        };
        ring.reading(feeds(0..1).into_iter().chain([(Topic::Facts, 1)]).collect(), feeds(0..3));
        assert_eq!(ring.view().unwrap().missing, [1, 2]);
    }
}
