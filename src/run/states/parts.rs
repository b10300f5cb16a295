//! Owns the partitions that the group gave: each is opened (its states are read into the cache)
//! before its facts are read. What a member does with them is its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::restore::{Answer, Job, Opened, Restorer, What};
use super::store::{Store, StoreError};
use crate::error::Error;
use crate::kafka::Start;

/// A partition that the group gave us.
enum Owned {
    /// Its states are read into the cache.
    Opening { epoch: u64, cancelled: Arc<AtomicBool> },
    /// Its facts are read.
    Reading {
        /// States were written that the cache's mark does not cover.
        written: bool,
        /// Behind the last fact that was committed.
        next: i64,
    },
}

/// Why a partition could not be opened.
pub enum Wrong {
    /// The cache.
    Store(StoreError),
    /// Anything else.
    Other(Error),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Wrong {
        Wrong::Store(error)
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        Wrong::Other(error)
    }
}

/// The partitions of one member.
pub struct Parts {
    owned: BTreeMap<i32, Owned>,
    epoch: u64,
    restorer: Restorer,
}

impl Parts {
    /// None yet.
    pub fn new(restorer: Restorer) -> Parts {
        Parts { owned: BTreeMap::new(), epoch: 0, restorer }
    }

    /// All, whether they are read yet or not.
    pub fn all(&self) -> Vec<i32> {
        self.owned.keys().copied().collect()
    }

    /// True while some are not read yet.
    pub fn opening(&self) -> bool {
        self.owned.values().any(|owned| matches!(owned, Owned::Opening { .. }))
    }

    /// Those that are read, with the offset behind the last fact that was committed.
    pub fn read(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.owned.iter().filter_map(|(partition, owned)| match owned {
            Owned::Reading { next, .. } => Some((*partition, *next)),
            Owned::Opening { .. } => None,
        })
    }

    /// Behind the last committed fact of a partition; `None`: it is not read.
    pub fn next(&self, partition: i32) -> Option<i64> {
        match self.owned.get(&partition) {
            Some(Owned::Reading { next, .. }) => Some(*next),
            _ => None,
        }
    }

    /// Begins to open one.
    ///
    /// # Errors
    /// The cache, a thread that has ended.
    pub fn open(&mut self, store: &mut Store, partition: i32) -> Result<(), Wrong> {
        self.epoch += 1;
        let cancelled = Arc::new(AtomicBool::new(false));
        let filled = store.open_partition(partition)?;
        if let Some(Owned::Opening { cancelled, .. }) = self.owned.insert(partition, Owned::Opening { epoch: self.epoch, cancelled: cancelled.clone() }) {
            cancelled.store(true, Ordering::Relaxed);
        }
        Ok(self.restorer.open(Job { partition, epoch: self.epoch, filled, cancelled })?)
    }

    /// Writes what was read into the cache; a partition whose states are all there, if one is.
    ///
    /// # Errors
    /// The cache, a topic that cannot be read.
    pub fn opened(&mut self, store: &mut Store) -> Result<Option<(i32, Opened)>, Wrong> {
        while let Some(Answer { partition, epoch, what }) = self.restorer.answer() {
            if !matches!(self.owned.get(&partition), Some(Owned::Opening { epoch: now, .. }) if *now == epoch) {
                continue;
            }
            match what {
                What::Forget => store.clear(partition)?,
                What::Records(records, next) => {
                    let mut write = store.write();
                    records.iter().try_for_each(|(id, record)| match record {
                        Some((value, head)) => write.put(partition, *id, value, head),
                        None => write.remove(partition, *id),
                    })?;
                    write.filled(partition, next);
                    write.commit()?;
                }
                What::Failed(error) => return Err(error.into()),
                What::Done(opened) => {
                    if opened.lost > 0 {
                        tracing::error!(
                            partition,
                            facts = opened.lost,
                            "facts were deleted by the broker before they were read: members stood still for longer than the topic keeps them"
                        );
                    }
                    let next = match opened.start {
                        Start::Offset(offset) => offset,
                        _ => 0,
                    };
                    self.owned.insert(partition, Owned::Reading { written: false, next });
                    return Ok(Some((partition, opened)));
                }
            }
        }
        Ok(None)
    }

    /// Gives one back; true if it was read.
    pub fn remove(&mut self, partition: i32) -> bool {
        match self.owned.remove(&partition) {
            Some(Owned::Opening { cancelled, .. }) => {
                cancelled.store(true, Ordering::Relaxed);
                false
            }
            Some(Owned::Reading { .. }) => true,
            None => false,
        }
    }

    /// Nothing is opened any more.
    pub fn cancel(&self) {
        for owned in self.owned.values() {
            if let Owned::Opening { cancelled, .. } = owned {
                cancelled.store(true, Ordering::Relaxed);
            }
        }
    }

    /// A position was committed.
    pub fn committed(&mut self, partition: i32, to: i64) {
        if let Some(Owned::Reading { next, .. }) = self.owned.get_mut(&partition) {
            *next = to;
        }
    }

    /// States were written, or are all covered by a mark of the cache.
    pub fn set_written(&mut self, partition: i32, on: bool) {
        if let Some(Owned::Reading { written, .. }) = self.owned.get_mut(&partition) {
            *written = on;
        }
    }

    /// Of these partitions those in which states were written that the mark does not cover, with
    /// their positions.
    pub fn written(&self, partitions: &[i32]) -> Vec<(i32, i64)> {
        let of = |partition: &i32| match self.owned.get(partition) {
            Some(Owned::Reading { written: true, next }) => Some((*partition, *next)),
            _ => None,
        };
        partitions.iter().filter_map(of).collect()
    }
}
