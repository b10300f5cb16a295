//! The byte bound of a shard, shared by its indexes: half of it is divided evenly and
//! guaranteed, the other half goes to whoever asks first. So one busy rule cannot
//! starve the others, and one rule alone can use nearly all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one index may spend.
#[derive(Debug)]
pub(super) struct Purse {
    /// Bytes that are this index's own.
    guaranteed: usize,
    /// Bytes in use.
    spent: usize,
    /// Bytes left in the common half. Only asked when something grows; one thread owns a
    /// shard, the atomic just lets the shard move between threads.
    common: Arc<AtomicUsize>,
}

impl Purse {
    /// Purses for `count` indexes that together may spend `bytes`.
    pub fn divide(bytes: usize, count: usize) -> impl Iterator<Item = Purse> {
        let guaranteed = bytes / 2 / count.max(1);
        let common = Arc::new(AtomicUsize::new(bytes - guaranteed * count));
        (0..count).map(move |_| Purse { guaranteed, spent: 0, common: Arc::clone(&common) })
    }

    /// The purse of an index that shares with nobody.
    pub fn alone(bytes: usize) -> Purse {
        Purse { guaranteed: bytes, spent: 0, common: Arc::default() }
    }

    /// Takes bytes, or takes nothing and says no.
    pub fn take(&mut self, bytes: usize) -> bool {
        let spent = self.spent.saturating_add(bytes);
        let from_common = spent.saturating_sub(self.guaranteed) - self.spent.saturating_sub(self.guaranteed);
        let left = self.common.load(Ordering::Relaxed);
        if from_common > left {
            return false;
        }
        self.common.store(left - from_common, Ordering::Relaxed);
        self.spent = spent;
        true
    }

    /// Gives bytes back.
    pub fn give(&mut self, bytes: usize) {
        let spent = self.spent.saturating_sub(bytes);
        let to_common = self.spent.saturating_sub(self.guaranteed) - spent.saturating_sub(self.guaranteed);
        self.common.fetch_add(to_common, Ordering::Relaxed);
        self.spent = spent;
    }

    /// Bytes in use.
    pub fn spent(&self) -> usize {
        self.spent
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.give(self.spent);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn half_is_guaranteed_and_nothing_is_spent_twice() {
        let mut purses: Vec<Purse> = Purse::divide(1_000, 2).collect();
        let (one, two) = purses.split_at_mut(1);
        assert!(one[0].take(750));
        assert!(!one[0].take(1));
        assert!(two[0].take(250));
        assert!(!two[0].take(1));
        one[0].give(100);
        assert!(!two[0].take(101));
        assert!(two[0].take(100));
        one[0].give(650);
        assert!(two[0].take(400));
        assert!(one[0].take(250) && !one[0].take(1));
    }
}
