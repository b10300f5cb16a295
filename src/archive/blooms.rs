//! The filters of ids of data files, kept in memory: a question for a few incidents by id opens only the
//! files, and reads only the groups of rows, that can hold them. Without it each such question would
//! read the filters of all files anew (160 KB for 128 K rows), which costs more than all else about it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::ParquetRecordBatchStreamBuilder;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::ObjectStore;

use super::ArchiveError;
use super::reader::Reader;
use super::table::{DataFile, Pinned};

/// Most memory for filters of a table, in bytes: those of about 60 million incidents. What has no place
/// is read by whoever asks.
const BYTES_MAX: usize = 128 << 20;
/// Ids beyond which a question is no point question (count).
const IDS_MAX: usize = 256;
/// Files that are read at the same time (count).
const READERS: usize = 8;
/// Bytes of a block of such a filter (the format of Parquet).
const BLOCK_BYTES: usize = 32;

/// Per file, for each group of rows, whether it can hold one of the ids.
pub type Places = HashMap<String, Vec<bool>>;

/// Of one file: a filter for each group of rows; `None` for one that has none.
type Filters = Vec<Option<Sbbf>>;

/// The filters of a table.
#[derive(Default)]
pub struct Blooms {
    known: Mutex<HashMap<String, Arc<Filters>>>,
}

/// The ids that rows must have for which this condition holds; `None` if it does not say, or says many.
pub fn ids(condition: &Arc<dyn PhysicalExpr>) -> Option<Vec<String>> {
    let of_ids = |guarantee: &LiteralGuarantee| guarantee.column.name == "id" && guarantee.guarantee == Guarantee::In && guarantee.literals.len() <= IDS_MAX;
    let text = |value: ScalarValue| match value {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text,
        _ => None,
    };
    let guarantee = LiteralGuarantee::analyze(condition).into_iter().find(of_ids)?;
    guarantee.literals.into_iter().map(text).collect()
}

impl Blooms {
    /// Where these ids can be. Files that are not told may hold any.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn places(&self, store: &Arc<dyn ObjectStore>, table: &Pinned, ids: &[String]) -> Result<Places, ArchiveError> {
        let files: Vec<&DataFile> = table.files.iter().filter(|file| file.layer != "tail").collect();
        let known = self.renewed(&files);
        let mut reads = Vec::new();
        for file in files {
            if !known.contains_key(&file.path) {
                reads.push(read(store.clone(), file.path.clone(), file.size).boxed());
            }
        }
        let read: Vec<(String, Arc<Filters>)> = futures::stream::iter(reads).buffer_unordered(READERS).try_collect().await?;
        let can =
            |filters: &Filters| filters.iter().map(|filter| filter.as_ref().is_none_or(|filter| ids.iter().any(|id| filter.check(id.as_str())))).collect();
        let places = known.iter().chain(read.iter().map(|(path, filters)| (path, filters)));
        let places = places.map(|(path, filters)| (path.clone(), can(filters))).collect();
        self.keep(read);
        Ok(places)
    }

    /// What is known of these files; what is known of others is let go.
    fn renewed(&self, files: &[&DataFile]) -> HashMap<String, Arc<Filters>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let paths: std::collections::HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        known.retain(|path, _| paths.contains(path.as_str()));
        known.clone()
    }

    fn keep(&self, read: Vec<(String, Arc<Filters>)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = known.values().map(|filters| size(filters)).sum();
        for (path, filters) in read {
            bytes += size(&filters);
            if bytes > BYTES_MAX {
                return;
            }
            known.insert(path, filters);
        }
    }
}

fn size(filters: &Filters) -> usize {
    filters.iter().flatten().map(|filter| filter.num_blocks() * BLOCK_BYTES).sum()
}

async fn read(store: Arc<dyn ObjectStore>, path: String, bytes: u64) -> Result<(String, Arc<Filters>), ArchiveError> {
    let reader = Reader::new(store, &path, bytes);
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, ArrowReaderOptions::new()).await?;
    let column = builder.parquet_schema().columns().iter().position(|column| column.name() == "id");
    let mut filters = Vec::with_capacity(builder.metadata().num_row_groups());
    for group in 0..builder.metadata().num_row_groups() {
        filters.push(match column {
            Some(column) => builder.get_row_group_column_bloom_filter(group, column).await?,
            None => None,
        });
    }
    Ok((path, Arc::new(filters)))
}
