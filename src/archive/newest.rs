//! Which rows are the newest of their incident. In the base every row is, but for those that the tail
//! or the live rows go on from; of the tail and the live rows this is found out here, once per version
//! of the table, and for the live rows once per change. A query then only has to leave rows out by
//! their place: no sorting, no join.

use std::collections::{BTreeMap, BTreeSet, HashMap as StdHashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelection};
use datafusion::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use futures::TryStreamExt;
use hashbrown::{HashMap, HashSet};
use object_store::ObjectStore;

use super::ArchiveError;
use super::reader::Reader;
use super::repeats::Repeats;
use super::ring::{Segment, View};
use super::table::{DataFile, Pinned};
use crate::incident::id::IncidentId;

const DAY_MICROS: i64 = 86_400_000_000;
/// Columns that order the versions of an incident, and its day.
const KEYS: [&str; 5] = ["id", "version", "record_kind", "record_offset", "created"];

/// The order of versions: version, then states before facts of the same, then the later record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) version: i64,
    pub(super) state: bool,
    pub(super) offset: i64,
}

/// The keys of some rows.
#[derive(Debug, Default)]
pub struct Keys {
    pub(super) ids: Vec<u128>,
    pub(super) ranks: Vec<Rank>,
    pub(super) days: Vec<Option<i32>>,
}

impl Keys {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| ArchiveError::Bug(format!("rows without `{name}`")));
        let (id, kind) = (text(column("id")?)?, text(column("record_kind")?)?);
        let (version, offset) = (column("version")?.as_primitive::<Int64Type>(), column("record_offset")?.as_primitive::<Int64Type>());
        let created = column("created")?.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            // What is no id of ours cannot be the same as another one: its place is its id.
            self.ids.push(IncidentId::parse(&id(row)).map_or(0, |id| id.0));
            self.ranks.push(Rank { version: version.value(row), state: kind(row) == "state", offset: offset.value(row) });
            self.days.push(created.is_valid(row).then(|| day(created.value(row))).flatten());
        }
        Ok(())
    }

    /// Of rows in memory.
    pub(super) fn of(batch: &RecordBatch) -> Result<Keys, ArchiveError> {
        let mut keys = Keys::default();
        keys.add(batch)?;
        Ok(keys)
    }
}

/// Texts of a column, whatever kind of string it has.
fn text(array: &Arc<dyn Array>) -> Result<Box<dyn Fn(usize) -> String + '_>, ArchiveError> {
    if let Some(array) = array.as_string_view_opt() {
        return Ok(Box::new(|row| array.value(row).to_owned()));
    }
    if let Some(array) = array.as_string_opt::<i32>() {
        return Ok(Box::new(|row| array.value(row).to_owned()));
    }
    Err(ArchiveError::Bug("a text column of another type".into()))
}

/// The day of a time.
pub fn day(micros: i64) -> Option<i32> {
    i32::try_from(micros.div_euclid(DAY_MICROS)).ok()
}

/// The newest rows of the tail of one version.
#[derive(Debug, Default)]
pub struct Tail {
    /// Per file: its keys.
    pub(super) files: Vec<(String, Arc<Keys>)>,
    pub(super) newest: HashMap<u128, (Rank, u32, u32)>,
    /// Incidents that may be in the base, too.
    ids: HashSet<u128>,
    /// Their days of creation.
    days: BTreeSet<Option<i32>>,
}

/// What a query has to leave out.
#[derive(Debug, Default)]
pub struct Newest {
    /// Incidents whose row in the base is not the newest.
    pub ids: Arc<HashSet<u128>>,
    /// Days of creation of these: the base of other days holds newest rows only.
    pub days: BTreeSet<Option<i32>>,
    /// Per file of the tail, the rows to be read; none of a file: nothing.
    pub tail: BTreeMap<String, Rows>,
    /// Per live segment, the rows that count.
    pub live: Vec<BooleanArray>,
}

/// Rows of a file.
#[derive(Debug, Clone)]
pub enum Rows {
    /// All.
    All,
    /// These, and how many.
    Some(RowSelection, usize),
}

impl Rows {
    pub(super) fn of(chosen: Vec<bool>) -> Rows {
        match chosen.iter().filter(|chosen| **chosen).count() {
            count if count == chosen.len() => Rows::All,
            count => Rows::Some(RowSelection::from_filters(&[BooleanArray::from(chosen)]), count),
        }
    }
}

/// The cache of what is known of tails.
#[derive(Default)]
pub struct Index {
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: StdHashMap<String, Arc<Keys>>,
    tail: Option<(u64, Arc<Tail>)>,
}

impl Index {
    /// The newest rows of the tail of this version.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn tail(&self, store: &Arc<dyn ObjectStore>, table: &Pinned) -> Result<Arc<Tail>, ArchiveError> {
        let known = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &state.tail {
                Some((version, tail)) if *version == table.version => return Ok(tail.clone()),
                _ => state.keys.clone(),
            }
        };
        let mut files = Vec::new();
        for file in table.layer("tail") {
            let keys = match known.get(&file.path) {
                Some(keys) => keys.clone(),
                None => Arc::new(read_keys(store, file).await?),
            };
            files.push((file.path.clone(), keys));
        }
        let tail = Arc::new(Tail::of(files));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.tail.as_ref().is_none_or(|(version, _)| *version < table.version) {
            state.keys = tail.files.iter().cloned().collect();
            state.tail = Some((table.version, tail.clone()));
        }
        Ok(tail)
    }
}

impl Tail {
    fn of(files: Vec<(String, Arc<Keys>)>) -> Tail {
        let rows = files.iter().map(|(_, keys)| keys.ids.len()).sum();
        let mut tail = Tail { newest: HashMap::with_capacity(rows), ..Tail::default() };
        for (number, (_, keys)) in (0u32..).zip(&files) {
            for (row, (id, rank)) in (0u32..).zip(keys.ids.iter().zip(&keys.ranks)) {
                let place = (*rank, number, row);
                tail.newest.entry(*id).and_modify(|known| *known = place.max(*known)).or_insert(place);
                if rank.state {
                    tail.ids.insert(*id);
                    tail.days.insert(keys.days.get(row as usize).copied().flatten());
                }
            }
        }
        tail.files = files;
        tail
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.files.iter().map(|(_, keys)| keys.ids.len()).sum()
    }

    /// What a query over this tail and these live rows has to leave out.
    ///
    /// # Errors
    /// A bug.
    pub fn newest(&self, live: &[Arc<Segment>]) -> Result<Newest, ArchiveError> {
        // The newest of the live rows alone, then against the tail.
        let keys = live.iter().map(|segment| Keys::of(&segment.batch)).collect::<Result<Vec<_>, _>>()?;
        let mut newest: HashMap<u128, (Rank, usize, usize)> = HashMap::new();
        for (number, keys) in keys.iter().enumerate() {
            for (row, (id, rank)) in keys.ids.iter().zip(&keys.ranks).enumerate() {
                let place = (*rank, number, row);
                newest.entry(*id).and_modify(|known| *known = place.max(*known)).or_insert(place);
            }
        }
        let mut ids = self.ids.clone();
        let mut days = self.days.clone();
        let mut gone: HashSet<(u32, u32)> = HashSet::new();
        let mut masks: Vec<Vec<bool>> = keys.iter().map(|keys| vec![false; keys.ids.len()]).collect();
        for (id, (rank, number, row)) in &newest {
            match self.newest.get(id) {
                Some((older, file, at)) if older < rank => {
                    gone.insert((*file, *at));
                }
                Some(_) => continue,
                None => {}
            }
            masks[*number][*row] = true;
            if rank.state {
                ids.insert(*id);
                days.insert(keys[*number].days[*row]);
            }
        }
        let mut tail = BTreeMap::new();
        for (number, (path, keys)) in (0u32..).zip(&self.files) {
            let counts = |row: u32, id: &u128| self.newest.get(id).is_some_and(|(_, file, at)| *file == number && *at == row) && !gone.contains(&(number, row));
            tail.insert(path.clone(), Rows::of((0u32..).zip(&keys.ids).map(|(row, id)| counts(row, id)).collect()));
        }
        let live = masks.into_iter().map(|mask| BooleanArray::new(BooleanBuffer::from(mask), None)).collect();
        Ok(Newest { ids: Arc::new(ids), days, tail, live })
    }

    /// Incidents of the tail that may enter the base: their `created` row is here, or a row of theirs
    /// is in one of these files. (A state can come before the fact that created its incident, which
    /// must not pass for new afterwards.) Others enter it only where they are in it already.
    pub fn settled(&self, old: &dyn Fn(&str) -> bool) -> HashSet<u128> {
        let mut settled = HashSet::new();
        for (path, keys) in &self.files {
            let all = old(path);
            settled.extend(keys.ids.iter().zip(&keys.ranks).filter(|(_, rank)| all || !rank.state).map(|(id, _)| *id));
        }
        settled
    }

    /// True for an incident of which the tail has its `created` row only.
    pub fn is_new(&self, id: u128) -> bool {
        !self.ids.contains(&id)
    }

    /// All incidents of the tail, with the day of creation of each.
    pub fn incidents(&self) -> HashMap<u128, Option<i32>> {
        let of = |keys: &Arc<Keys>| keys.ids.iter().copied().zip(keys.days.iter().copied()).collect::<Vec<_>>();
        self.files.iter().flat_map(|(_, keys)| of(keys)).collect()
    }
}

async fn read_keys(store: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<Keys, ArchiveError> {
    let reader = Reader::new(store.clone(), &file.path, file.size);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, ArrowReaderOptions::new()).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), KEYS);
    let mut rows = builder.with_projection(mask).build()?;
    let mut keys = Keys::default();
    while let Some(batch) = rows.try_next().await? {
        keys.add(&batch)?;
    }
    Ok(keys)
}

/// What all versions of a view leave out.
///
/// # Errors
/// Files that cannot be read.
pub async fn repeats_of_view(index: &Index, store: &Arc<dyn ObjectStore>, view: &View) -> Result<Repeats, ArchiveError> {
    index.tail(store, &view.table).await?.repeats(&view.live)
}

/// The newest rows of a view.
///
/// # Errors
/// Files that cannot be read.
pub async fn of_view(index: &Index, store: &Arc<dyn ObjectStore>, view: &View) -> Result<Newest, ArchiveError> {
    index.tail(store, &view.table).await?.newest(&view.live)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys(rows: &[(u128, i64, bool, i64)]) -> Arc<Keys> {
        let rank = |(_, version, state, offset): &(u128, i64, bool, i64)| Rank { version: *version, state: *state, offset: *offset };
        Arc::new(Keys {
            ids: rows.iter().map(|row| row.0).collect(),
            ranks: rows.iter().map(rank).collect(),
            days: rows.iter().map(|row| Some(row.0 as i32)).collect(),
        })
    }

    #[test]
    fn the_newest_of_the_tail() {
        let tail =
            Tail::of(vec![("a".into(), keys(&[(1, 1, false, 0), (2, 1, false, 1), (3, 4, true, 7)])), ("b".into(), keys(&[(1, 2, true, 3), (2, 1, true, 4)]))]);
        let newest = tail.newest(&[]).unwrap();
        // 1: version 2. 2: the state of the same version. 3: from the base on.
        let count = |name: &str| match &newest.tail[name] {
            Rows::All => usize::MAX,
            Rows::Some(_, count) => *count,
        };
        assert_eq!((count("a"), count("b")), (1, usize::MAX));
        assert_eq!(newest.ids.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
        assert_eq!(newest.days, BTreeSet::from([Some(1), Some(2), Some(3)]));
        assert_eq!(tail.settled(&|_| false), HashSet::from([1, 2]));
        assert_eq!(tail.settled(&|path| path == "a"), HashSet::from([1, 2, 3]));
    }

    #[test]
    fn incidents_that_were_only_created_leave_the_base_alone() {
        let tail = Tail::of(vec![("a".into(), keys(&[(1, 1, false, 0), (2, 1, false, 1)]))]);
        let newest = tail.newest(&[]).unwrap();
        assert!(newest.ids.is_empty() && newest.days.is_empty());
        assert!(matches!(newest.tail["a"], Rows::All));
    }
}
