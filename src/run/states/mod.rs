//! Room: what members have in common that keep states in a compacted topic beside the facts that
//! they read: the cache on disk, its restoring, the partitions that they own, the look at the brokers.

pub mod parts;
pub mod restore;
pub mod store;
pub mod watch;
