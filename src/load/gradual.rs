//! A hash map that grows a little at a time.
//!
//! A plain one moves all its entries at once whenever it is full: a million of them take a tenth of a
//! second, on one of two cores. The thread that reads the output would report that as latency of the
//! pipeline. Here entries lie in many small maps. Each grows for itself; random as their sizes are,
//! they do it one after another, over seconds.

use std::hash::{BuildHasher, Hash};

use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap};

/// Small maps (count): of a million entries each moves some thousands at once, within a millisecond.
const SHARDS: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct GradualMap<K, V> {
    hasher: DefaultHashBuilder,
    shards: Box<[HashMap<K, V>]>,
    len: usize,
}

impl<K, V> Default for GradualMap<K, V> {
    fn default() -> GradualMap<K, V> {
        let hasher = DefaultHashBuilder::default();
        GradualMap { shards: (0..SHARDS).map(|_| HashMap::with_hasher(hasher.clone())).collect(), hasher, len: 0 }
    }
}

impl<K: Eq + Hash, V> GradualMap<K, V> {
    /// Entries (count).
    pub fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.shards[self.shard(key)].get(key)
    }

    /// The value of a key, which gets one if it has none.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let shard = self.shard(&key);
        match self.shards[shard].entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                self.len += 1;
                free.insert(V::default())
            }
        }
    }

    /// Gives a key a value; returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let shard = self.shard(&key);
        let before = self.shards[shard].insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let shard = self.shard(key);
        let removed = self.shards[shard].remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(HashMap::iter)
    }

    /// Bits of the hash that the maps themselves do not look at: they place by the lowest, and tell apart by the highest.
    fn shard(&self, key: &K) -> usize {
        (self.hasher.hash_one(key) >> 40) as usize % SHARDS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_map_holds() {
        let mut map = GradualMap::default();
        for key in 0..10_000_u32 {
            assert_eq!(map.insert(key, key + 1), None);
        }
        assert_eq!(map.insert(7, 0), Some(8));
        *map.get_or_default(7) += 5;
        *map.get_or_default(20_000) += 1;
        assert_eq!((map.get(&7), map.get(&20_000), map.get(&30_000)), (Some(&5), Some(&1), None));
        assert_eq!((map.remove(&8), map.remove(&8)), (Some(9), None));
        assert_eq!((map.len(), map.iter().count()), (10_000, 10_000));
    }

    /// What it is for: no insertion moves more than a small part of what is there.
    #[test]
    fn it_does_not_move_everything_at_once() {
        let mut map = GradualMap::default();
        let mut room: usize = 0;
        for key in 0..200_000_u32 {
            map.insert(key, ());
            let now = map.shards.iter().map(|shard| shard.capacity()).sum::<usize>();
            assert!(now - room <= 4096, "{key}: room for {room} entries, then for {now}");
            room = now;
        }
    }
}
