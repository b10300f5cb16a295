//! Writes data files: Parquet, with the statistics that let readers of any kind leave files and parts
//! of files out.

use std::collections::HashMap;
use std::sync::Arc;

use super::ArchiveError;
use super::columns::{DAY, LAYER};
use super::measures::Measures;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use datafusion::parquet::schema::types::ColumnPath;
use deltalake_core::kernel::Add;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};

/// Size at which a file is full, in bytes: large enough to be read in one go, small enough to be
/// written anew.
pub const FILE_BYTES: usize = 128 << 20;
/// Rows of a row group: what can be left out at once, by time or by the filter of ids.
pub const ROW_GROUP_ROWS: usize = 128 << 10;
/// How wrong the filter of ids may be.
const BLOOM_FPP: f64 = 0.01;
/// Columns of JSON: their values rarely repeat and nobody asks for the smallest.
const BULKY: [&str; 3] = ["labels", "raw", "linked"];
fn properties(bloom: bool) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(concat!("catchment ", env!("CARGO_PKG_VERSION")).to_owned());
    for name in BULKY {
        let path = ColumnPath::from(name);
        builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    let id = ColumnPath::from("id");
    builder = builder.set_column_dictionary_enabled(id.clone(), false);
    if bloom {
        builder = builder
            .set_column_bloom_filter_enabled(id.clone(), true)
            .set_column_bloom_filter_fpp(id.clone(), BLOOM_FPP)
            .set_column_bloom_filter_max_ndv(id, ROW_GROUP_ROWS as u64);
    }
    builder.build()
}

/// A file that is being written, in memory.
pub struct FileWriter {
    writer: ArrowWriter<Vec<u8>>,
    measures: Measures,
}

impl FileWriter {
    /// For rows of this schema. `bloom`: with a filter of ids, for files that stay.
    ///
    /// # Errors
    /// A bug.
    pub fn new(schema: &SchemaRef, bloom: bool) -> Result<FileWriter, ArchiveError> {
        // Other readers know strings, not the view of them.
        let options = ArrowWriterOptions::new().with_properties(properties(bloom)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?;
        Ok(FileWriter { writer, measures: Measures::default() })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// A bug.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        self.measures.add(batch);
        Ok(self.writer.write(batch)?)
    }

    /// Bytes so far, roughly.
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.measures.rows
    }

    /// Ends the file: its bytes, and what the log says about it.
    ///
    /// # Errors
    /// A bug.
    pub fn finish(self) -> Result<(Vec<u8>, String), ArchiveError> {
        let stats = self.measures.json();
        Ok((self.writer.into_inner()?, stats))
    }
}

/// Puts a finished file where it belongs, and tells the log's entry for it.
///
/// # Errors
/// A store that refuses or stays away.
pub async fn put(store: &Arc<dyn ObjectStore>, path: String, partition: &Partition, bytes: Vec<u8>, stats: String) -> Result<Add, ArchiveError> {
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    store.put(&Path::from(path.as_str()), PutPayload::from(bytes)).await?;
    Ok(Add {
        path,
        partition_values: partition.values(),
        size,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// Which part of the table a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// Layer; `None` in tables without layers.
    pub layer: Option<&'static str>,
    /// Day of creation, days since 1970.
    pub day: Option<i32>,
}

impl Partition {
    fn values(&self) -> HashMap<String, Option<String>> {
        match self.layer {
            None => HashMap::new(),
            Some(layer) => HashMap::from([(LAYER.to_owned(), Some(layer.to_owned())), (DAY.to_owned(), self.day.map(day_text))]),
        }
    }

    /// Where its files are, relative to the table.
    pub fn directory(&self) -> String {
        match (self.layer, self.day) {
            (None, _) => String::new(),
            (Some(layer), None) => format!("{LAYER}={layer}/{DAY}=__HIVE_DEFAULT_PARTITION__/"),
            (Some(layer), Some(day)) => format!("{LAYER}={layer}/{DAY}={}/", day_text(day)),
        }
    }
}

/// `2026-03-02` for days since 1970.
pub fn day_text(day: i32) -> String {
    let first = chrono::NaiveDate::default();
    first.checked_add_signed(chrono::Duration::days(i64::from(day))).unwrap_or(first).format("%Y-%m-%d").to_string()
}

/// Days since 1970 of `2026-03-02`.
pub fn day_of(text: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).ok()
}
