//! Plans that read the table: plain scans of Parquet files with everything that lets parts be left out,
//! joined with the live rows. Which rows are the newest is settled before (`newest`), so nothing here
//! sorts or joins.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetAccessPlan, ParquetRowSelection, RowGroupAccess};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::union::UnionExec;
use hashbrown::HashSet;
use object_store::ObjectMeta;

use super::blooms::Places;
use super::measures::MEASURED;
use super::newest::{Newest, Rows};
use super::pruned::{concerned, shared};
use super::repeats::{Pair, Repeats, without};
use super::ring::View;
use super::table::DataFile;
use crate::incident::id::IncidentId;
use crate::incident::state_read;

/// What a scan works with.
pub struct Scan<'a> {
    /// Of the query.
    pub session: &'a dyn Session,
    /// Where the table's store is registered.
    pub url: ObjectStoreUrl,
    /// The columns of the table.
    pub schema: SchemaRef,
    /// Which of them are asked for; `None`: all.
    pub projection: Option<&'a Vec<usize>>,
    /// How many rows suffice.
    pub limit: Option<usize>,
    /// Over the columns of the table: rows for which it does not hold may be left out.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// Which groups of rows of a file may be wanted; of others all are.
    pub places: Places,
}

impl Scan<'_> {
    /// The newest version of every incident.
    ///
    /// # Errors
    /// A bug.
    pub fn incidents(&self, view: &View, newest: &Newest) -> Result<Arc<dyn ExecutionPlan>> {
        let (touched, plain): (Vec<&DataFile>, Vec<&DataFile>) = view.table.layer("base").partition(|file| newest.days.contains(&file.day));
        let mut parts = Vec::new();
        if !plain.is_empty() {
            parts.push(self.files(&plain, None, self.projection, self.limit)?);
        }
        if !touched.is_empty() {
            parts.push(self.only(&touched, None, Only { ids: newest.ids.clone(), among: false, bucket: Bucket::ALL })?);
        }
        let tail: Vec<&DataFile> = view.table.layer("tail").collect();
        if !tail.is_empty() {
            parts.push(self.files(&tail, Some(&newest.tail), self.projection, self.limit)?);
        }
        let live = view.live.iter().zip(&newest.live).map(|(segment, mask)| filter_record_batch(&segment.batch, mask)).collect::<Result<Vec<_>, _>>()?;
        self.joined(parts, live)
    }

    /// Every version of every incident, once.
    ///
    /// # Errors
    /// A bug.
    pub fn versions(&self, view: &View, repeats: &Repeats) -> Result<Arc<dyn ExecutionPlan>> {
        let (tail, rest): (Vec<&DataFile>, Vec<&DataFile>) = view.table.files.iter().partition(|file| file.layer == "tail");
        let (touched, plain): (Vec<&DataFile>, Vec<&DataFile>) = rest.into_iter().partition(|file| repeats.days.contains(&file.day));
        let mut parts = Vec::new();
        if !plain.is_empty() {
            parts.push(self.files(&plain, None, self.projection, self.limit)?);
        }
        if !touched.is_empty() {
            let (wanted, places, asked) = self.with_columns(["id", "version"])?;
            parts.push(without(self.files(&touched, None, Some(&wanted), None)?, &repeats.pairs, places[0], places[1], asked)?);
        }
        if !tail.is_empty() {
            parts.push(self.files(&tail, Some(&repeats.tail), self.projection, self.limit)?);
        }
        let live = view.live.iter().zip(&repeats.live).map(|(segment, mask)| filter_record_batch(&segment.batch, mask)).collect::<Result<Vec<_>, _>>()?;
        self.joined(parts, live)
    }

    /// The columns that are asked for, and behind them those of these that are not; where these are, and
    /// how many are asked for.
    fn with_columns<const N: usize>(&self, names: [&str; N]) -> Result<(Vec<usize>, [usize; N], usize)> {
        let mut wanted: Vec<usize> = self.projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let asked = wanted.len();
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            let column = self.schema.index_of(name)?;
            *place = wanted.iter().position(|known| *known == column).unwrap_or_else(|| {
                wanted.push(column);
                wanted.len() - 1
            });
        }
        Ok((wanted, places, asked))
    }

    /// All rows of these files, and these.
    ///
    /// # Errors
    /// A bug.
    pub fn all(&self, files: &[DataFile], live: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let files: Vec<&DataFile> = files.iter().collect();
        let parts = if files.is_empty() { Vec::new() } else { vec![self.files(&files, None, self.projection, self.limit)?] };
        self.joined(parts, live)
    }

    /// Plans and rows in memory, one after the other.
    ///
    /// # Errors
    /// A bug.
    pub fn joined(&self, mut parts: Vec<Arc<dyn ExecutionPlan>>, live: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let live = live.into_iter().filter(|batch| batch.num_rows() > 0).map(|batch| padded(&batch, &self.schema)).collect::<Result<Vec<_>>>()?;
        if !live.is_empty() {
            parts.push(MemorySourceConfig::try_new_exec(&[live], self.schema.clone(), self.projection.cloned())?);
        }
        match parts.len() {
            0 => {
                let schema = match self.projection {
                    Some(projection) => Arc::new(self.schema.project(projection)?),
                    None => self.schema.clone(),
                };
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    /// The rows of a plan with all columns that say none of this.
    ///
    /// # Errors
    /// A bug.
    pub fn unsaid(&self, plan: Arc<dyn ExecutionPlan>, pairs: &Arc<HashSet<Pair>>) -> Result<Arc<dyn ExecutionPlan>> {
        if pairs.is_empty() {
            return Ok(plan);
        }
        let (_, [id, version], asked) = self.with_columns(["id", "version"])?;
        without(plan, pairs, id, version, asked)
    }

    /// Those rows of files that are of these incidents.
    ///
    /// # Errors
    /// A bug.
    pub fn only(&self, files: &[&DataFile], chosen: Option<&BTreeMap<String, Rows>>, only: Only) -> Result<Arc<dyn ExecutionPlan>> {
        let (wanted, [place], asked) = self.with_columns(["id"])?;
        let scan = self.files(files, chosen, Some(&wanted), None)?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("id", place));
        let schema = scan.schema();
        let config = Arc::new(self.session.config_options().clone());
        let listed = ScalarFunctionExpr::try_new(Arc::new(ScalarUDF::from(Listed::new(only))), vec![column], &schema, config)?;
        let filter: FilterExec = FilterExecBuilder::new(Arc::new(listed), scan).apply_projection(Some((0..asked).collect()))?.build()?;
        Ok(Arc::new(filter))
    }

    /// Rows of files; of some only those that are chosen.
    ///
    /// # Errors
    /// A bug.
    pub fn files(
        &self,
        files: &[&DataFile],
        chosen: Option<&BTreeMap<String, Rows>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let told: Vec<Arc<Statistics>> = files.iter().map(|file| Arc::new(statistics(file, &self.schema))).collect();
        let concerned = concerned(&told, &self.schema, self.condition.as_ref());
        let mut rows = Some(0);
        let mut found = Vec::with_capacity(files.len());
        for ((file, told), _) in files.iter().zip(told).zip(concerned).filter(|(_, concerned)| *concerned) {
            let mut part = PartitionedFile::new_from_meta(ObjectMeta {
                location: object_store::path::Path::from(file.path.as_str()),
                last_modified: chrono::DateTime::from_timestamp_millis(file.written_ms).unwrap_or_default(),
                size: file.size,
                e_tag: None,
                version: None,
            });
            let mut count = file.rows;
            if let Some(Rows::Some(selection, chosen)) = chosen.and_then(|chosen| chosen.get(&file.path)) {
                if *chosen == 0 {
                    continue;
                }
                count = Some(*chosen as u64);
                part = part.with_extension(ParquetRowSelection::new(selection.clone()));
            } else {
                part = part.with_statistics(told);
            }
            if let Some(groups) = self.places.get(&file.path) {
                if !groups.contains(&true) {
                    continue;
                }
                let access = |wanted: &bool| if *wanted { RowGroupAccess::Scan } else { RowGroupAccess::Skip };
                part = part.with_extension(ParquetAccessPlan::new(groups.iter().map(access).collect()));
                count = None;
            }
            rows = rows.zip(count).map(|(sum, count)| sum + count);
            found.push(part);
        }
        let store = self.session.runtime_env().object_store(&self.url)?;
        let cache = self.session.runtime_env().cache_manager.get_file_metadata_cache();
        let options = self.session.table_options().parquet.clone();
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, cache)));
        let mut whole = Statistics::new_unknown(&self.schema);
        whole.num_rows = rows.map_or(Precision::Absent, |rows| Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)));
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(shared(found, self.session.config().target_partitions()))
            .with_statistics(whole)
            .with_limit(limit)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// A batch with the columns of the table: those that it lacks are empty.
pub fn padded(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let column = |field: &Arc<datafusion::arrow::datatypes::Field>| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => Ok(datafusion::arrow::compute::cast(column, field.data_type())?),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// What the log says of a file, as the planner wants it.
fn statistics(file: &DataFile, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    if let Some(rows) = file.rows {
        statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
    }
    for name in MEASURED {
        let Ok(at) = schema.index_of(name) else { continue };
        let kind = schema.field(at).data_type();
        let of = |key: &str| file.stats.get(key).and_then(|values| values.get(name));
        let value = |key: &str| of(key).and_then(|value| scalar(value, kind)).map_or(Precision::Absent, Precision::Exact);
        let nulls = of("nullCount").and_then(serde_json::Value::as_u64).and_then(|nulls| usize::try_from(nulls).ok());
        if let Some(column) = statistics.column_statistics.get_mut(at) {
            *column = ColumnStatistics::new_unknown();
            column.min_value = value("minValues");
            column.max_value = value("maxValues");
            column.null_count = nulls.map_or(Precision::Absent, Precision::Exact);
        }
    }
    statistics
}

fn scalar(value: &serde_json::Value, kind: &DataType) -> Option<ScalarValue> {
    Some(match kind {
        DataType::Utf8View => ScalarValue::Utf8View(Some(value.as_str()?.to_owned())),
        DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
        DataType::Float64 => ScalarValue::Float64(Some(value.as_f64()?)),
        DataType::Timestamp(_, zone) => ScalarValue::TimestampMicrosecond(Some(state_read::time(&value.to_string())?), zone.clone()),
        _ => return None,
    })
}

/// A part of all ids: those whose first bits are this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Its number.
    pub number: u32,
    /// How many bits that is.
    pub bits: u32,
}

impl Bucket {
    /// All ids.
    pub const ALL: Bucket = Bucket { number: 0, bits: 0 };

    /// True for an id in it.
    pub fn has(self, id: u128) -> bool {
        self.bits == 0 || id >> (128 - self.bits.min(32)) == u128::from(self.number)
    }
}

/// Which incidents' rows are wanted.
#[derive(Debug, Clone)]
pub struct Only {
    /// Incidents.
    pub ids: Arc<HashSet<u128>>,
    /// True: these; false: all others.
    pub among: bool,
    /// And of this part only.
    pub bucket: Bucket,
}

impl Only {
    fn has(&self, id: u128) -> bool {
        self.bucket.has(id) && self.ids.contains(&id) == self.among
    }
}

/// The function that tells ids that are wanted.
#[derive(Debug)]
struct Listed {
    only: Only,
    signature: Signature,
}

impl Listed {
    fn new(only: Only) -> Listed {
        Listed { only, signature: Signature::exact(vec![DataType::Utf8View], Volatility::Immutable) }
    }
}

impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.only.ids, &other.only.ids) && (self.only.among, self.only.bucket) == (other.only.among, other.only.bucket)
    }
}

impl Eq for Listed {}

impl Hash for Listed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.only.ids).hash(state);
    }
}

impl ScalarUDFImpl for Listed {
    fn name(&self) -> &str {
        if self.only.among { "moves" } else { "has_no_newer_version" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ids = args.args.first().ok_or_else(|| DataFusionError::Internal("one argument".into()))?.to_array(args.number_rows)?;
        let ids = ids.as_string_view_opt().ok_or_else(|| DataFusionError::Internal("ids are text".into()))?;
        // What is no id of ours is 0, as in `newest`.
        let listed: BooleanArray = ids.iter().map(|id| Some(self.only.has(id.and_then(IncidentId::parse).map_or(0, |id| id.0)))).collect();
        Ok(ColumnarValue::Array(Arc::new(listed) as ArrayRef))
    }
}
