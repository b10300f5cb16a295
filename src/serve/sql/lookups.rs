//! Tables that are not in the archive: the pipeline's lookup tables, and tables whose time has not come.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;

use crate::config::lookup::LookupTable;
use crate::config::model::Pipeline;

/// Lines of a sample file that are shown at the most (count), and bytes of all of them.
const SAMPLE_LINES: usize = 10_000;
const SAMPLE_BYTES: usize = 16 << 20;

/// Every lookup table of a pipeline, as `lookup_<name>`.
///
/// # Errors
/// A bug.
pub fn tables(pipeline: &Pipeline) -> Result<Vec<(String, Arc<dyn TableProvider>)>> {
    pipeline.lookups.iter().map(|lookup| Ok((format!("lookup_{}", lookup.name.value), table(&lookup.table)?))).collect()
}

fn table(lookup: &LookupTable) -> Result<Arc<dyn TableProvider>> {
    let data = lookup.current();
    let columns = lookup.columns();
    let schema = Arc::new(Schema::new(columns.iter().map(|name| Field::new(name, DataType::Utf8View, true)).collect::<Vec<_>>()));
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in 0..columns.len() {
        let mut builder = StringViewBuilder::with_capacity(data.rows());
        for row in 0..u32::try_from(data.rows()).unwrap_or(u32::MAX) {
            builder.append_option(data.cell(row, column).filter(|cell| !cell.is_empty()));
        }
        arrays.push(Arc::new(builder.finish()));
    }
    memory(schema, arrays)
}

fn memory(schema: SchemaRef, arrays: Vec<ArrayRef>) -> Result<Arc<dyn TableProvider>> {
    let batch = if arrays.is_empty() { RecordBatch::new_empty(schema.clone()) } else { RecordBatch::try_new(schema.clone(), arrays)? };
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// The events in the directory `samples` of a pipeline, line by line: `file`, `line`, `event`.
///
/// # Errors
/// A bug.
pub fn sample(pipeline: &Pipeline) -> Result<Arc<dyn TableProvider>> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("file", DataType::Utf8View, false),
        Field::new("line", DataType::Int64, false),
        Field::new("event", DataType::Utf8View, false),
    ]));
    let (mut files, mut lines, mut events) = (StringViewBuilder::new(), datafusion::arrow::array::Int64Builder::new(), StringViewBuilder::new());
    let mut bytes = 0;
    let mut paths: Vec<_> = std::fs::read_dir(pipeline.dir.join("samples")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    'files: for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "ndjson" || ending == "jsonl")) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for (number, line) in (1i64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            bytes += line.len();
            if lines.values_slice().len() >= SAMPLE_LINES || bytes > SAMPLE_BYTES {
                break 'files;
            }
            files.append_value(path.file_name().unwrap_or_default().to_string_lossy());
            lines.append_value(number);
            events.append_value(line);
        }
    }
    memory(schema, vec![Arc::new(files.finish()), Arc::new(lines.finish()), Arc::new(events.finish())])
}

/// Tables of playbooks, which do not exist yet: empty, so that queries and dashboards can be written.
///
/// # Errors
/// A bug.
pub fn later() -> Result<Vec<(String, Arc<dyn TableProvider>)>> {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let runs = vec![text("run_id"), text("incident_id"), text("playbook"), text("status"), text("task"), time("started"), time("ended"), text("error")];
    let room = vec![text("incident_id"), time("at"), text("actor"), text("kind"), text("task"), text("entry")];
    let empty = |fields: Vec<Field>| memory(Arc::new(Schema::new(fields)), Vec::new());
    Ok(vec![("playbook_runs".to_owned(), empty(runs)?), ("war_room".to_owned(), empty(room)?)])
}
