//! Compaction: rows of the tail move to the base, and versions that they take the place of to the layer
//! of older ones; small files become large ones. Every run is one commit that replaces files by files
//! with the same rows, so readers see either the one or the other.
//!
//! The base of a day is divided by the first bits of the ids into as many parts as fill files, and a
//! run writes anew only the parts that the tail has incidents of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake_core::kernel::Add;
use futures::TryStreamExt;
use hashbrown::{HashMap, HashSet};
use object_store::ObjectStore;

use super::ArchiveError;
use super::blooms::Places;
use super::commit::uuid;
use super::files::{FILE_BYTES, FileWriter, Partition, put};
use super::newest::{Index, Tail};
use super::repeats::Pair;
use super::scan::{Bucket, Only, Scan};
use super::sort::Sorter;
use super::table::{Committed, DataFile, Pinned, Table};
use crate::incident::id::IncidentId;

/// Rows of the tail at which they move to the base (count): what every query looks at beside the base.
pub const TAIL_ROWS: usize = 500_000;
/// Longest that rows stay in the tail.
pub const TAIL_AGE: Duration = Duration::from_secs(3_600);
/// Small files at which they become one (count).
const SMALL_FILES: usize = 16;
/// Rows whose fact has not come by then stand for themselves.
const SETTLED_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Threads of a run: the rest of the machine has other work.
const THREADS: usize = 2;
/// Bytes of a batch while rows are sorted: merging holds one of each run.
const BATCH_BYTES: u64 = 4 << 20;
/// Rows of a batch, at least and at most (count).
const BATCH_ROWS: (u64, u64) = (16, 4_096);
/// How much larger rows are in memory than in files, about.
const UNPACKED: u64 = 10;
/// Most parts of a day's base, in bits: 4,096 parts of 128 MB are half a terabyte a day.
const BITS_MAX: u32 = 12;

/// The store of the table in a session of ours.
pub fn store_url(table: &str) -> Result<ObjectStoreUrl, ArchiveError> {
    Ok(ObjectStoreUrl::parse(format!("archive://{}", table.replace('_', "-")))?)
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// There was nothing to do.
    Nothing,
    /// Files were replaced.
    Replaced {
        /// So many.
        old: usize,
        /// By so many.
        new: usize,
    },
    /// Somebody else was faster.
    Rival,
}

/// A table that is being compacted.
pub struct Compactor {
    table: Table,
    runtime: Arc<RuntimeEnv>,
    session: SessionContext,
    url: ObjectStoreUrl,
    index: Index,
}

impl Compactor {
    /// For this table.
    ///
    /// # Errors
    /// A bug.
    pub fn new(table: Table) -> Result<Compactor, ArchiveError> {
        let runtime = RuntimeEnvBuilder::new().build_arc()?;
        let url = store_url(table.name())?;
        runtime.register_object_store(url.as_ref(), table.store().clone());
        Ok(Compactor { table, session: session(&runtime, BATCH_ROWS.1), runtime, url, index: Index::default() })
    }

    /// Fits batches to the rows that there are: a few large ones are as much as thousands of small ones.
    fn fit(&mut self, files: &[&DataFile]) {
        let (bytes, rows) = files.iter().fold((0, 0), |sum, file| (sum.0 + file.size, sum.1 + file.rows.unwrap_or(0)));
        let row_bytes = (bytes / rows.max(1)).max(1) * UNPACKED;
        self.session = session(&self.runtime, (BATCH_BYTES / row_bytes).clamp(BATCH_ROWS.0, BATCH_ROWS.1));
    }

    /// The table.
    pub fn table(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Moves the tail to the base. `now`: even if there is little of it.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn tail(&mut self, now: bool) -> Result<Ran, ArchiveError> {
        self.table.refresh().await?;
        let pinned = self.table.pinned()?;
        let files: Vec<&DataFile> = pinned.layer("tail").collect();
        let Some(oldest) = files.iter().map(|file| file.written_ms).min() else { return Ok(Ran::Nothing) };
        let rows: u64 = files.iter().filter_map(|file| file.rows).sum();
        let age = |written_ms: i64| Duration::from_millis(u64::try_from(chrono::Utc::now().timestamp_millis() - written_ms).unwrap_or(0));
        if !now && rows < TAIL_ROWS as u64 && age(oldest) < TAIL_AGE {
            return self.small("tail").await;
        }
        self.fit(&files);
        let tail = self.index.tail(self.table.store(), &pinned).await?;
        let written: BTreeMap<&str, i64> = files.iter().map(|file| (file.path.as_str(), file.written_ms)).collect();
        let old = |path: &str| written.get(path).is_some_and(|written| age(*written) >= SETTLED_AFTER);
        let mut run = Run { compactor: self, pinned: &pinned, tail: &tail, adds: Vec::new(), gone: BTreeSet::new(), moved: HashSet::new() };
        run.days(&tail.settled(&old)).await?;
        if run.moved.is_empty() {
            // Nothing but states whose facts have not come yet.
            return self.small("tail").await;
        }
        run.rest(&files).await?;
        let (adds, gone) = (run.adds, run.gone.into_iter().collect::<Vec<_>>());
        self.replaced(gone, adds).await
    }

    /// Joins small files of a layer.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn small(&mut self, layer: &'static str) -> Result<Ran, ArchiveError> {
        let pinned = self.table.pinned()?;
        let small: Vec<&DataFile> = pinned.layer(layer).filter(|file| file.size < FILE_BYTES as u64 / 2).collect();
        if small.len() < SMALL_FILES {
            return Ok(Ran::Nothing);
        }
        self.fit(&small);
        let partition = Partition { layer: (!layer.is_empty()).then_some(layer), day: None };
        let plan = self.scan(&pinned).files(&small, None, None, None)?;
        let mut adds = Vec::new();
        self.write(plan, &partition, "part", &mut adds).await?;
        let gone = small.iter().map(|file| file.path.clone()).collect();
        self.replaced(gone, adds).await
    }

    async fn replaced(&mut self, gone: Vec<String>, adds: Vec<Add>) -> Result<Ran, ArchiveError> {
        crate::run::failpoint::hit("archive_before_replace");
        match self.table.replace(&gone, &adds, true).await? {
            Committed::Yes => Ok(Ran::Replaced { old: gone.len(), new: adds.len() }),
            Committed::Foreign(_) | Committed::Replaced => Ok(Ran::Rival),
        }
    }

    fn scan(&self, pinned: &Pinned) -> ScanOf {
        ScanOf { state: self.session.state(), url: self.url.clone(), schema: pinned.columns.arrow() }
    }

    /// Writes the rows of a plan to files of one partition, in the order in which they come.
    async fn write(&self, plan: Arc<dyn ExecutionPlan>, partition: &Partition, name: &str, adds: &mut Vec<Add>) -> Result<(), ArchiveError> {
        let mut files = Files::new(self, plan.schema(), partition, name, false)?;
        let mut rows = self.rows(plan)?;
        while let Some(batch) = rows.try_next().await? {
            files.write(&batch, adds).await?;
        }
        files.finish(adds).await
    }

    /// The same in the order of the base: by time of creation and id.
    async fn write_sorted(&self, plan: Arc<dyn ExecutionPlan>, partition: &Partition, name: &str, adds: &mut Vec<Add>) -> Result<(), ArchiveError> {
        let mut files = Files::new(self, plan.schema(), partition, name, true)?;
        let mut sorter = Sorter::new(self.session.copied_config().batch_size());
        let mut rows = self.rows(plan)?;
        while let Some(batch) = rows.try_next().await? {
            sorter.push(&batch)?;
        }
        let mut sorted = sorter.finish()?;
        while let Some(batch) = sorted.next()? {
            files.write(&batch, adds).await?;
        }
        files.finish(adds).await
    }

    fn rows(&self, plan: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream, ArchiveError> {
        let many = plan.properties().partitioning.partition_count() > 1;
        let plan: Arc<dyn ExecutionPlan> = if many { Arc::new(CoalescePartitionsExec::new(plan)) } else { plan };
        Ok(execute_stream(plan, self.session.task_ctx())?)
    }
}

/// Files of one partition that are being written.
struct Files<'a> {
    store: &'a Arc<dyn ObjectStore>,
    schema: SchemaRef,
    partition: &'a Partition,
    name: &'a str,
    bloom: bool,
    writer: FileWriter,
}

impl<'a> Files<'a> {
    fn new(compactor: &'a Compactor, schema: SchemaRef, partition: &'a Partition, name: &'a str, bloom: bool) -> Result<Files<'a>, ArchiveError> {
        Ok(Files { store: compactor.table.store(), writer: FileWriter::new(&schema, bloom)?, schema, partition, name, bloom })
    }

    async fn write(&mut self, batch: &RecordBatch, adds: &mut Vec<Add>) -> Result<(), ArchiveError> {
        self.writer.write(batch)?;
        if self.writer.bytes() >= FILE_BYTES {
            let next = FileWriter::new(&self.schema, self.bloom)?;
            let full = std::mem::replace(&mut self.writer, next);
            self.put(full, adds).await?;
        }
        Ok(())
    }

    async fn finish(mut self, adds: &mut Vec<Add>) -> Result<(), ArchiveError> {
        if self.writer.rows() > 0 {
            let last = FileWriter::new(&self.schema, self.bloom)?;
            let full = std::mem::replace(&mut self.writer, last);
            self.put(full, adds).await?;
        }
        Ok(())
    }

    async fn put(&self, full: FileWriter, adds: &mut Vec<Add>) -> Result<(), ArchiveError> {
        let path = format!("{}{}-{}.parquet", self.partition.directory(), self.name, uuid());
        let (bytes, stats) = full.finish()?;
        adds.push(put(self.store, path, self.partition, bytes, stats).await?);
        Ok(())
    }
}

/// What scans work with.
struct ScanOf {
    state: datafusion::execution::SessionState,
    url: ObjectStoreUrl,
    schema: SchemaRef,
}

impl ScanOf {
    fn scan(&self) -> Scan<'_> {
        Scan {
            session: &self.state,
            url: self.url.clone(),
            schema: self.schema.clone(),
            projection: None,
            limit: None,
            condition: None,
            places: Places::default(),
        }
    }

    fn files(
        &self,
        files: &[&DataFile],
        chosen: Option<&BTreeMap<String, super::newest::Rows>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, ArchiveError> {
        Ok(self.scan().files(files, chosen, projection, limit)?)
    }
}

/// One run over the tail.
struct Run<'a> {
    compactor: &'a Compactor,
    pinned: &'a Pinned,
    tail: &'a Tail,
    adds: Vec<Add>,
    gone: BTreeSet<String>,
    /// Incidents whose rows have left the tail.
    moved: HashSet<u128>,
}

impl Run<'_> {
    /// Day by day: what enters the base, and what leaves it.
    async fn days(&mut self, settled: &HashSet<u128>) -> Result<(), ArchiveError> {
        let mut days: BTreeMap<Option<i32>, HashSet<u128>> = BTreeMap::new();
        for (id, day) in self.tail.incidents() {
            days.entry(day).or_default().insert(id);
        }
        for (day, ids) in days {
            let base: Vec<&DataFile> = self.pinned.layer("base").filter(|file| file.day == day).collect();
            let known: HashMap<u128, i64> = self.said(&base, &|id| ids.contains(&id)).await?.into_iter().collect();
            let eligible: HashSet<u128> = ids.into_iter().filter(|id| settled.contains(id) || known.contains_key(id)).collect();
            if !eligible.is_empty() {
                self.day(day, &base, &eligible, &known).await?;
                self.moved.extend(eligible);
            }
        }
        Ok(())
    }

    /// Which versions of these incidents are in these files.
    async fn said(&self, files: &[&DataFile], ids: &dyn Fn(u128) -> bool) -> Result<HashSet<Pair>, ArchiveError> {
        let mut said = HashSet::new();
        if files.is_empty() {
            return Ok(said);
        }
        let scan = self.compactor.scan(self.pinned);
        let columns = vec![scan.schema.index_of("id")?, scan.schema.index_of("version")?];
        let plan = scan.files(files, None, Some(&columns), None)?;
        let plan: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(plan));
        let mut rows = execute_stream(plan, self.compactor.session.task_ctx())?;
        while let Some(batch) = rows.try_next().await? {
            let (found, versions) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
            let pairs = found.iter().zip(versions.iter()).filter_map(|(id, version)| Some((IncidentId::parse(id?)?.0, version?)));
            said.extend(pairs.filter(|(id, _)| ids(*id)));
        }
        Ok(said)
    }

    /// What the tail says and what is kept of it elsewhere already.
    async fn again(&self, day: Option<i32>, known: &HashMap<u128, i64>, news: &HashSet<u128>) -> Result<HashSet<Pair>, ArchiveError> {
        let late: HashSet<Pair> = self.tail.pairs().into_iter().filter(|(id, version)| known.get(id).is_some_and(|base| version <= base)).collect();
        if late.is_empty() {
            return Ok(late);
        }
        let older: Vec<&DataFile> = self.pinned.layer("older").filter(|file| file.day == day).collect();
        let ids: HashSet<u128> = late.iter().map(|(id, _)| *id).collect();
        let mut said = self.said(&older, &|id| ids.contains(&id)).await?;
        // What the base says stays there, unless there is news of the incident: then the tail's row stands for it.
        said.extend(known.iter().filter(|(id, _)| !news.contains(*id)).map(|(id, version)| (*id, *version)));
        Ok(said.into_iter().filter(|pair| late.contains(pair)).collect())
    }

    async fn day(&mut self, day: Option<i32>, base: &[&DataFile], eligible: &HashSet<u128>, known: &HashMap<u128, i64>) -> Result<(), ArchiveError> {
        // A fact that comes again is no news of an incident that is in the base.
        let newer: Arc<HashSet<u128>> = Arc::new(eligible.iter().copied().filter(|id| !(self.tail.is_new(*id) && known.contains_key(id))).collect());
        let again: Arc<HashSet<u128>> = Arc::new(eligible.iter().copied().filter(|id| !newer.contains(id)).collect());
        let eligible = Arc::new(eligible.clone());
        let tail: Vec<&DataFile> = self.pinned.layer("tail").collect();
        let newest = self.tail.newest(&[])?;
        let rest = self.tail.rest();
        let repeated = Arc::new(self.again(day, known, &newer).await?);
        let said = Arc::new(self.tail.pairs());
        let bits = self.bits(base, eligible.len());
        let same = base.iter().all(|file| bucket_of(&file.path).is_some_and(|bucket| bucket.bits == bits));
        let scan_of = self.compactor.scan(self.pinned);
        for number in 0..1u32 << bits {
            let bucket = Bucket { number, bits };
            // Other parts stay as they are.
            if same && !eligible.iter().any(|id| bucket.has(*id)) {
                continue;
            }
            let part: Vec<&DataFile> = base.iter().copied().filter(|file| !same || bucket_of(&file.path) == Some(bucket)).collect();
            self.gone.extend(part.iter().map(|file| file.path.clone()));
            let scan = scan_of.scan();
            let only = |ids: &Arc<HashSet<u128>>, among| Only { ids: ids.clone(), among, bucket };
            let (mut now, mut then) = (Vec::new(), Vec::new());
            if !part.is_empty() {
                now.push(scan.only(&part, None, only(&newer, false))?);
                then.push(scan.unsaid(scan.only(&part, None, only(&newer, true))?, &said)?);
            }
            now.push(scan.only(&tail, Some(&newest.tail), only(&newer, true))?);
            then.push(scan.unsaid(scan.only(&tail, Some(&rest), only(&eligible, true))?, &repeated)?);
            then.push(scan.unsaid(scan.only(&tail, Some(&newest.tail), only(&again, true))?, &repeated)?);
            let name = format!("b{number}of{}", 1u32 << bits);
            let base = Partition { layer: Some("base"), day };
            self.compactor.write_sorted(scan.joined(now, Vec::new())?, &base, &name, &mut self.adds).await?;
            let older = Partition { layer: Some("older"), day };
            self.compactor.write_sorted(scan.joined(then, Vec::new())?, &older, &name, &mut self.adds).await?;
        }
        Ok(())
    }

    /// Bits of the parts of a day: as many as make them fill a file, and never fewer than there are.
    fn bits(&self, base: &[&DataFile], new: usize) -> u32 {
        let now = base.iter().filter_map(|file| bucket_of(&file.path)).map(|bucket| bucket.bits).max().unwrap_or(0);
        let (bytes, rows) = self.pinned.layer("tail").fold((0, 0), |sum, file| (sum.0 + file.size, sum.1 + file.rows.unwrap_or(0)));
        let more = bytes / rows.max(1) * new as u64;
        let all: u64 = base.iter().map(|file| file.size).sum::<u64>() + more;
        // Files in order of creation compress better than the tail does: some slack.
        let full = all.div_ceil(FILE_BYTES as u64).max(1);
        let wanted = full.next_power_of_two().trailing_zeros();
        wanted.clamp(now, BITS_MAX.max(now))
    }

    /// What stays in the tail, in one file.
    async fn rest(&mut self, tail: &[&DataFile]) -> Result<(), ArchiveError> {
        self.gone.extend(tail.iter().map(|file| file.path.clone()));
        let scan_of = self.compactor.scan(self.pinned);
        let plan = scan_of.scan().only(tail, None, Only { ids: Arc::new(self.moved.clone()), among: false, bucket: Bucket::ALL })?;
        let partition = Partition { layer: Some("tail"), day: None };
        self.compactor.write(plan, &partition, "part", &mut self.adds).await
    }
}

fn session(runtime: &Arc<RuntimeEnv>, batch_rows: u64) -> SessionContext {
    let rows = usize::try_from(batch_rows).unwrap_or(usize::MAX);
    SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(THREADS).with_batch_size(rows), runtime.clone())
}

/// The part of its day that a file of the base holds.
fn bucket_of(path: &str) -> Option<Bucket> {
    let (number, of) = path.rsplit('/').next()?.strip_prefix('b')?.split('-').next()?.split_once("of")?;
    let of: u32 = of.parse().ok().filter(|of: &u32| of.is_power_of_two())?;
    Some(Bucket { number: number.parse().ok()?, bits: of.trailing_zeros() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_the_first_bits() {
        let bucket = bucket_of("layer=base/day=2026-03-02/b3of4-00ff.parquet").unwrap();
        assert_eq!(bucket, Bucket { number: 3, bits: 2 });
        assert!(bucket.has(u128::MAX) && !bucket.has(0) && Bucket::ALL.has(7));
        assert_eq!(bucket_of("part-00ff.parquet"), None);
        assert_eq!(bucket_of("b1of3-00ff.parquet"), None);
    }
}
