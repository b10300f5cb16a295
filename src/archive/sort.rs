//! Sorts the rows of a base file by time of creation and id, whatever they weigh: what fits into
//! memory is sorted there, more of it in runs on disk that are merged. DataFusion's sort would do, but
//! it counts wide rows with long texts several times and gives up with memory that it has.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;

use super::ArchiveError;

/// Bytes of rows that are sorted in memory; more of them go to disk.
const RUN_BYTES: usize = 128 << 20;

/// Takes rows in any order.
pub struct Sorter {
    /// Rows of a batch that leaves (count).
    rows: usize,
    run_bytes: usize,
    held: Vec<RecordBatch>,
    bytes: usize,
    runs: Vec<File>,
}

/// Gives them back in order.
pub enum Sorted {
    /// All of them are in memory: the batches, and rows of them in order, from the first that is left.
    Memory {
        /// Where the rows are.
        held: Vec<RecordBatch>,
        /// Batch and row.
        order: Vec<(usize, usize)>,
        /// How many have left.
        at: usize,
        /// Rows of a batch.
        rows: usize,
    },
    /// They are on disk.
    Disk {
        /// Sorted runs that have rows left.
        runs: Vec<Run>,
        /// Rows of a batch.
        rows: usize,
    },
}

impl Sorter {
    /// For batches of so many rows.
    pub fn new(rows: usize) -> Sorter {
        Sorter { rows: rows.max(1), run_bytes: RUN_BYTES, held: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// A disk that cannot be written to.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = dense(batch)?;
        self.bytes += batch.get_array_memory_size();
        self.held.push(batch);
        if self.bytes >= self.run_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), ArchiveError> {
        let held = std::mem::take(&mut self.held);
        self.bytes = 0;
        let Some(first) = held.first() else { return Ok(()) };
        let schema = first.schema();
        let order = order_of(&held)?;
        let mut writer = StreamWriter::try_new(BufWriter::new(tempfile::tempfile().map_err(ArrowError::from)?), &schema)?;
        for part in order.chunks(self.rows) {
            writer.write(&taken(&held, part)?)?;
        }
        writer.finish()?;
        let mut file = writer.into_inner()?.into_inner().map_err(|error| ArrowError::from(error.into_error()))?;
        file.rewind().map_err(ArrowError::from)?;
        self.runs.push(file);
        Ok(())
    }

    /// That was all.
    ///
    /// # Errors
    /// A disk that cannot be written to or read from.
    pub fn finish(mut self) -> Result<Sorted, ArchiveError> {
        if self.runs.is_empty() {
            let order = order_of(&self.held)?;
            return Ok(Sorted::Memory { held: self.held, order, at: 0, rows: self.rows });
        }
        self.spill()?;
        let mut runs = Vec::with_capacity(self.runs.len());
        for file in self.runs {
            runs.extend(Run::open(file)?);
        }
        Ok(Sorted::Disk { runs, rows: self.rows })
    }
}

impl Sorted {
    /// The next rows, in order.
    ///
    /// # Errors
    /// A disk that cannot be read from.
    pub fn next(&mut self) -> Result<Option<RecordBatch>, ArchiveError> {
        match self {
            Sorted::Memory { held, order, at, rows } => {
                let Some(part) = order.get(*at..order.len().min(*at + *rows)).filter(|part| !part.is_empty()) else { return Ok(None) };
                *at += part.len();
                Ok(Some(taken(held, part)?))
            }
            Sorted::Disk { runs, rows } => merged(runs, *rows),
        }
    }
}

/// The next rows of all runs.
fn merged(runs: &mut Vec<Run>, rows: usize) -> Result<Option<RecordBatch>, ArchiveError> {
    // Batches that rows are taken from, and which of them each run stands in.
    let mut held: Vec<RecordBatch> = runs.iter().map(|run| run.batch.clone()).collect();
    let mut place: Vec<usize> = (0..runs.len()).collect();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(rows);
    while order.len() < rows {
        let Some(least) = (0..runs.len()).reduce(|a, b| if runs[b].key() < runs[a].key() { b } else { a }) else { break };
        order.push((place[least], runs[least].at));
        runs[least].at += 1;
        if runs[least].at < runs[least].batch.num_rows() {
            continue;
        }
        if runs[least].advance()? {
            place[least] = held.len();
            held.push(runs[least].batch.clone());
        } else {
            runs.remove(least);
            place.remove(least);
        }
    }
    if order.is_empty() { Ok(None) } else { Ok(Some(taken(&held, &order)?)) }
}

/// A sorted run on disk.
pub struct Run {
    reader: StreamReader<BufReader<File>>,
    batch: RecordBatch,
    keys: Keys,
    at: usize,
}

impl Run {
    fn open(file: File) -> Result<Option<Run>, ArchiveError> {
        let mut reader = StreamReader::try_new(BufReader::new(file), None)?;
        let Some(batch) = reader.next().transpose()? else { return Ok(None) };
        Ok(Some(Run { keys: Keys::of(&batch)?, reader, batch, at: 0 }))
    }

    /// True if there are more rows.
    fn advance(&mut self) -> Result<bool, ArchiveError> {
        let Some(batch) = self.reader.next().transpose()? else { return Ok(false) };
        self.keys = Keys::of(&batch)?;
        self.batch = batch;
        self.at = 0;
        Ok(true)
    }

    fn key(&self) -> (Option<i64>, Option<&str>) {
        self.keys.get(self.at)
    }
}

/// What rows are sorted by.
struct Keys {
    created: TimestampMicrosecondArray,
    ids: StringViewArray,
}

impl Keys {
    fn of(batch: &RecordBatch) -> Result<Keys, ArchiveError> {
        let created = batch.column_by_name("created").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let ids = batch.column_by_name("id").and_then(|column| column.as_string_view_opt());
        let (created, ids) = created.zip(ids).ok_or_else(|| ArchiveError::Bug("rows without time or id".into()))?;
        Ok(Keys { created: created.clone(), ids: ids.clone() })
    }

    /// What has no time comes first.
    fn get(&self, row: usize) -> (Option<i64>, Option<&str>) {
        (self.created.is_valid(row).then(|| self.created.value(row)), self.ids.is_valid(row).then(|| self.ids.value(row)))
    }
}

/// The rows of batches in order.
fn order_of(held: &[RecordBatch]) -> Result<Vec<(usize, usize)>, ArchiveError> {
    let keys = held.iter().map(Keys::of).collect::<Result<Vec<_>, _>>()?;
    let mut order: Vec<(Option<i64>, usize, usize)> = Vec::with_capacity(held.iter().map(RecordBatch::num_rows).sum());
    for (number, keys) in keys.iter().enumerate() {
        order.extend((0..keys.ids.len()).map(|row| (keys.get(row).0, number, row)));
    }
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| keys[a.1].get(a.2).1.cmp(&keys[b.1].get(b.2).1)));
    Ok(order.into_iter().map(|(_, batch, row)| (batch, row)).collect())
}

fn taken(held: &[RecordBatch], order: &[(usize, usize)]) -> Result<RecordBatch, ArchiveError> {
    let held: Vec<&RecordBatch> = held.iter().collect();
    dense(&interleave_record_batch(&held, order)?)
}

/// The same rows in memory of their own: texts that were read from Parquet point into the pages that
/// they came from, which a few rows keep alive as well as many.
fn dense(batch: &RecordBatch) -> Result<RecordBatch, ArchiveError> {
    let own = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => std::sync::Arc::new(column.as_string_view().gc()) as ArrayRef,
        _ => column.clone(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema: SchemaRef = batch.schema();
    Ok(RecordBatch::try_new_with_options(schema, batch.columns().iter().map(own).collect(), &options)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn batch(rows: &[(Option<i64>, u32)]) -> RecordBatch {
        let created: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.0)).with_timezone("UTC"));
        let id: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| format!("{:032x}", row.1))));
        let text: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| "some text ".repeat(row.1 as usize % 50))));
        RecordBatch::try_from_iter_with_nullable([("id", id, false), ("created", created, true), ("text", text, false)]).unwrap()
    }

    #[test]
    fn the_same_in_memory_and_on_disk() {
        let rows: Vec<(Option<i64>, u32)> = (0..5_000u32).map(|n| ((n % 97 != 0).then_some(i64::from(n.wrapping_mul(2_654_435_761) % 700)), n)).collect();
        let mut wanted = rows.clone();
        wanted.sort_unstable();
        for run_bytes in [usize::MAX, 100_000, 1] {
            let mut sorter = Sorter { run_bytes, ..Sorter::new(64) };
            rows.chunks(300).for_each(|rows| sorter.push(&batch(rows)).unwrap());
            assert_eq!(sorter.runs.is_empty(), run_bytes == usize::MAX);
            let mut sorted = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some(batch) = sorted.next().unwrap() {
                assert!(batch.num_rows() <= 64);
                let keys = Keys::of(&batch).unwrap();
                found.extend((0..batch.num_rows()).map(|row| (keys.get(row).0, u32::from_str_radix(keys.get(row).1.unwrap(), 16).unwrap())));
            }
            assert!(found == wanted, "{run_bytes}");
        }
        assert!(Sorter::new(7).finish().unwrap().next().unwrap().is_none());
    }

    #[test]
    fn a_row_of_many_holds_its_own_text_only() {
        let all = batch(&(0..1_000).map(|n| (Some(0), n * 50 + 49)).collect::<Vec<_>>());
        let one = all.slice(10, 1);
        let own = dense(&one).unwrap();
        assert_eq!(own, one);
        assert!(own.get_array_memory_size() < 20_000 && one.get_array_memory_size() > 200_000);
    }
}
