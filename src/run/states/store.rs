//! The newest record of every id, on local disk: a cache of a compacted topic, which is the
//! truth. Per partition it knows up to which offset of that topic it is filled, and it may
//! hold newer records than that, never older ones than it says.
//!
//! A store that is damaged, or was filled from other topics, is wiped and filled again: that
//! costs the time of reading the topic, and nothing else.
//!
//! A partition that is taken away is kept: it often comes back, and then only what was written
//! meanwhile is read. What was kept for longer than [`KEPT_MAX`] is wiped when it comes back,
//! since tombstones do not stay in the topic for ever.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Slice};

/// How long the data of a partition may lie unused. Half of Kafka's default for keeping
/// tombstones (`delete.retention.ms`, 24 hours).
pub const KEPT_MAX: Duration = Duration::from_secs(12 * 3600);
/// Least memory for blocks that were read, in bytes.
const CACHE_BYTES_MIN: u64 = 1 << 20;
/// Least memory of one partition's unwritten part, in bytes.
const MEMTABLE_BYTES_MIN: u64 = 1 << 20;
/// Most memory of one partition's unwritten part, in bytes: more only makes recovery longer.
const MEMTABLE_BYTES_MAX: u64 = 16 << 20;
/// Disk that logs of what is not in tables yet may take, in bytes; the least that is allowed.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Counts up when the layout of the store changes: older stores are wiped.
const FORMAT: &str = "1";

/// Where the store is and what it may use.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// What is cached, for messages: `incident states`.
    pub what: &'static str,
    /// Its directory; nothing else may be in it.
    pub dir: PathBuf,
    /// Whose states these are: cluster, pipeline, topic ids.
    pub identity: String,
    /// Partitions of the topic: memory is divided among them.
    pub partitions: i32,
    /// Memory, in bytes: half for blocks that were read, half for what is not on disk yet.
    pub memory_bytes: u64,
}

/// The store failed. Wiping it is always right; see [`Store::distrust`].
#[derive(Debug, thiserror::Error)]
#[error("the cache of {what} in {dir}: {problem}")]
pub struct StoreError {
    what: &'static str,
    dir: String,
    problem: String,
}

/// The store.
pub struct Store {
    what: &'static str,
    dir: PathBuf,
    database: Database,
    meta: Keyspace,
    partitions: HashMap<i32, Keyspace>,
    memtable_bytes: u64,
}

/// A record as it was written: the value, and what was said about it in headers.
pub struct Stored {
    bytes: Slice,
    value: usize,
}

impl Stored {
    /// The JSON.
    pub fn value(&self) -> &[u8] {
        self.bytes.get(self.value..).unwrap_or_default()
    }

    /// What was said about it.
    pub fn head(&self) -> &[u8] {
        self.bytes.get(4..self.value).unwrap_or_default()
    }
}

impl Store {
    /// Opens a store, or makes an empty one, wiping what is there if it is damaged or foreign.
    ///
    /// # Errors
    /// A directory that cannot be written, or is in use by another process.
    pub fn open(spec: &StoreSpec) -> Result<Store, StoreError> {
        let mark = distrusted(&spec.dir);
        if mark.exists() {
            tracing::warn!(what = spec.what, dir = %spec.dir.display(), "a cache failed before: it is filled anew");
            wipe(spec.what, &spec.dir)?;
            std::fs::remove_file(&mark).map_err(|error| StoreError { what: spec.what, dir: mark.display().to_string(), problem: error.to_string() })?;
        }
        if let Some(parent) = spec.dir.parent() {
            std::fs::create_dir_all(parent).map_err(|error| StoreError { what: spec.what, dir: parent.display().to_string(), problem: error.to_string() })?;
        }
        let first = guarded(|| Store::open_as_it_is(spec));
        match first {
            Ok(Some(store)) => return Ok(store),
            Ok(None) => tracing::info!(what = spec.what, dir = %spec.dir.display(), "a cache belongs to other topics: it is filled anew"),
            // Somebody else's: wiping it would pull it from under their feet.
            Err(error) if error.problem.contains("Locked") => return Err(error),
            Err(error) => tracing::warn!(%error, "a cache cannot be used: it is filled anew"),
        }
        wipe(spec.what, &spec.dir)?;
        let wrong = || StoreError { what: spec.what, dir: spec.dir.display().to_string(), problem: "it cannot be made".to_owned() };
        guarded(|| Store::open_as_it_is(spec))?.ok_or_else(wrong)
    }

    /// `None` for one that belongs to others.
    fn open_as_it_is(spec: &StoreSpec) -> Result<Option<Store>, StoreError> {
        let wrong = |error: fjall::Error| failed(spec.what, &spec.dir, &error);
        let half = spec.memory_bytes / 2;
        let database = Database::builder(&spec.dir)
            .cache_size(half.max(CACHE_BYTES_MIN))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(wrong)?;
        let meta = database.keyspace("meta", || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MIN)).map_err(wrong)?;
        let identity = format!("{FORMAT} {}", spec.identity);
        match meta.get("identity").map_err(wrong)? {
            Some(found) if *found == *identity.as_bytes() => {}
            Some(_) => return Ok(None),
            None => meta.insert("identity", identity.as_bytes()).map_err(wrong)?,
        }
        // A memtable that is full waits in memory while it is written: twice its size.
        let partitions = u64::try_from(spec.partitions).unwrap_or(0).max(1);
        let memtable_bytes = (half / partitions / 2).clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX);
        Ok(Some(Store { what: spec.what, dir: spec.dir.clone(), database, meta, partitions: HashMap::new(), memtable_bytes }))
    }

    /// Opens a partition's part; the offset of the topic from which it is to be filled,
    /// `None`: from the start.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn open_partition(&mut self, partition: i32) -> Result<Option<i64>, StoreError> {
        let now = seconds();
        let found = guarded(|| self.meta.get(filled_key(partition)).map_err(|error| self.failed(&error)))?;
        let filled = found.and_then(|bytes| {
            let (offset, at) = bytes.split_first_chunk::<8>()?;
            let kept = now.saturating_sub(u64::from_be_bytes(*at.first_chunk()?));
            (kept <= KEPT_MAX.as_secs()).then_some(i64::from_be_bytes(*offset))
        });
        self.keyspace(partition)?;
        if filled.is_none() {
            self.clear(partition)?;
        }
        Ok(filled)
    }

    /// Forgets all of a partition.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn clear(&mut self, partition: i32) -> Result<(), StoreError> {
        let keyspace = self.keyspace(partition)?;
        guarded(|| {
            self.meta.remove(filled_key(partition)).map_err(|error| self.failed(&error))?;
            keyspace.clear().map_err(|error| self.failed(&error))
        })
    }

    /// The record of an id.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn get(&mut self, partition: i32, id: u128) -> Result<Option<Stored>, StoreError> {
        let keyspace = self.keyspace(partition)?;
        let found = guarded(|| keyspace.get(id.to_be_bytes()).map_err(|error| self.failed(&error)))?;
        Ok(found.and_then(|bytes| {
            let length = u32::from_le_bytes(*bytes.first_chunk()?);
            let value = 4 + usize::try_from(length).ok()?;
            (value <= bytes.len()).then_some(Stored { bytes, value })
        }))
    }

    /// Every id of a partition, with what was said about it. `each` ends it early with `false`.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn each(&mut self, partition: i32, mut each: impl FnMut(u128, &[u8]) -> bool) -> Result<(), StoreError> {
        let keyspace = self.keyspace(partition)?;
        guarded(|| {
            for entry in keyspace.iter() {
                let (key, bytes) = entry.into_inner().map_err(|error| self.failed(&error))?;
                let id = key.first_chunk().map(|bytes| u128::from_be_bytes(*bytes));
                let length = bytes.first_chunk().and_then(|bytes| usize::try_from(u32::from_le_bytes(*bytes)).ok());
                let (Some(id), Some(head)) = (id, length.and_then(|length| bytes.get(4..4 + length))) else { continue };
                if !each(id, head) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Begins to write.
    pub fn write(&mut self) -> StoreWrite<'_> {
        let batch = self.database.batch();
        StoreWrite { store: self, batch }
    }

    /// Something about it failed: the next [`Store::open`] wipes it, also after a crash.
    pub fn distrust(&self) {
        // It stays beside the store's own files, which it leaves alone.
        if let Err(error) = std::fs::write(distrusted(&self.dir), b"") {
            tracing::warn!(%error, dir = %self.dir.display(), "remove this directory before the next start: it is only a cache");
        }
    }

    /// Ids of a partition, about.
    pub fn approximate_len(&mut self, partition: i32) -> usize {
        self.keyspace(partition).map_or(0, |keyspace| keyspace.approximate_len())
    }

    fn keyspace(&mut self, partition: i32) -> Result<Keyspace, StoreError> {
        if let Some(keyspace) = self.partitions.get(&partition) {
            return Ok(keyspace.clone());
        }
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        let keyspace = guarded(|| self.database.keyspace(&format!("p{partition}"), options).map_err(|error| self.failed(&error)))?;
        self.partitions.insert(partition, keyspace.clone());
        Ok(keyspace)
    }

    fn failed(&self, error: &fjall::Error) -> StoreError {
        failed(self.what, &self.dir, error)
    }
}

/// Records and positions that get into the store together, or not at all.
pub struct StoreWrite<'a> {
    store: &'a mut Store,
    batch: fjall::OwnedWriteBatch,
}

impl StoreWrite<'_> {
    /// A record.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn put(&mut self, partition: i32, id: u128, value: &[u8], head: &[u8]) -> Result<(), StoreError> {
        let keyspace = self.store.keyspace(partition)?;
        let mut bytes = Vec::with_capacity(4 + head.len() + value.len());
        bytes.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(value);
        self.batch.insert(&keyspace, id.to_be_bytes(), bytes);
        Ok(())
    }

    /// A tombstone.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub fn remove(&mut self, partition: i32, id: u128) -> Result<(), StoreError> {
        let keyspace = self.store.keyspace(partition)?;
        self.batch.remove(&keyspace, id.to_be_bytes());
        Ok(())
    }

    /// Everything before this offset of the topic is in the store.
    pub fn filled(&mut self, partition: i32, next: i64) {
        let mut bytes = next.to_be_bytes().to_vec();
        bytes.extend_from_slice(&seconds().to_be_bytes());
        self.batch.insert(&self.store.meta, filled_key(partition), bytes);
    }

    /// Writes it all.
    ///
    /// # Errors
    /// A store that cannot be used any more, a full disk.
    pub fn commit(self) -> Result<(), StoreError> {
        let StoreWrite { store, batch } = self;
        guarded(|| batch.commit().map_err(|error| store.failed(&error)))
    }
}

fn distrusted(dir: &Path) -> PathBuf {
    dir.with_extension("distrusted")
}

fn filled_key(partition: i32) -> String {
    format!("filled {partition}")
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn failed(what: &'static str, dir: &Path, error: &fjall::Error) -> StoreError {
    // Keys are ids, and values are not in its errors.
    let problem = match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "a write before this one failed".to_owned(),
        error => error.to_string(),
    };
    StoreError { what, dir: dir.display().to_string(), problem }
}

/// A damaged file can make the library panic; to us that is one more way of being damaged.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let broken = || StoreError { what: "states", dir: "the state directory".to_owned(), problem: "the storage engine gave up on its files".to_owned() };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken()))
}

fn wipe(what: &'static str, dir: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError { what, dir: dir.display().to_string(), problem: error.to_string() }),
    }
}

impl From<StoreError> for crate::error::Error {
    fn from(error: StoreError) -> crate::error::Error {
        crate::error::Error::environment(error.to_string()).hint("it is only a cache: is there room on the disk, and may this user write there?")
    }
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;
