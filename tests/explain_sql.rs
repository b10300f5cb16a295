//! `explain --sql`: the printed query, run by DataFusion over a batch of decoded events,
//! yields the rows that the engine yields.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use catchment::cli::explain_sql::query;
use catchment::expr::compile::column_name;
use catchment::expr::sql::register;
use catchment::expr::typed::Source;
use catchment::expr::value::{Type, Value};
use catchment::ingest::batch::{ARENA_PADDING, Message, Partitions};
use catchment::ingest::columns::Arena;
use catchment::ingest::decode::{DecodeLimits, Decoder, Rows};
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Arrival, Options};
use catchment::ingest::scene::{NO_TIME, Scene};
use catchment::ingest::trial::Trial;
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::SessionContext;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn plan(path: &Path) -> Arc<Plan> {
    let (compiled, diagnostics) = catchment::cli::load::compile(path, &Options { arrival: Some(Arrival::Occurred) });
    Arc::new(compiled.unwrap_or_else(|| panic!("{}", diagnostics.plain())).1)
}

/// One message a line, of which only those are taken that are one event.
fn lines(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read(root().join("fixtures/events").join(name)).unwrap();
    text.split(|b| *b == b'\n').filter(|line| line.starts_with(b"{")).map(<[u8]>::to_vec).collect()
}

/// The table `events`: a column for every input of the source's expressions.
fn table(plan: &Plan, number: usize, messages: &[Vec<u8>]) -> RecordBatch {
    let source = &plan.sources[number];
    let mut decoder = Decoder::new(source.shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&source.shape);
    let mut arena = Vec::new();
    let mut list = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let start = arena.len() as u32;
        arena.extend_from_slice(message);
        list.push(Message {
            start,
            len: message.len() as u32,
            partition: 0,
            offset: number as i64,
            timestamp_us: NO_TIME,
            key: (start, 0),
            headers: (0, 0),
            element: None,
        });
    }
    arena.extend_from_slice(&[0; ARENA_PADDING]);
    for (number, message) in list.iter().enumerate() {
        decoder.decode(&arena, message.range(), number as u32, &mut rows).unwrap();
    }
    let mut partitions = Partitions::default();
    partitions.append("trial");
    let arena = Arena::new(arena);
    let scene = Scene::new(source, &arena, &list, &[], &partitions, &rows);
    let selected: Vec<u32> = (0..rows.len() as u32).collect();
    let numbers = UInt64Array::from_iter_values(rows.messages.iter().zip(&rows.elements).map(|(m, e)| u64::from(*m) << 16 | u64::from(*e)));
    let mut fields = vec![Field::new("_row", DataType::UInt64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
    for ((input, ty), _) in &source.inputs.list {
        if matches!(input, Source::Field(_) | Source::Shared(_)) {
            continue;
        }
        let column = scene.input(&(input.clone(), *ty), &selected, None);
        fields.push(Field::new(column_name(input, *ty), column.data_type().clone(), true));
        columns.push(column);
    }
    if !fields.iter().any(|f| f.name() == "_timestamp") {
        let none = datafusion::arrow::array::new_null_array(&DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), rows.len());
        fields.push(Field::new("_timestamp", none.data_type().clone(), true));
        columns.push(none);
    }
    // Splices are not inputs of an expression: paths that only they read get a text column.
    for path in &source.paths {
        let input = (Source::Event(path.clone()), Type::Text);
        let name = column_name(&input.0, Type::Text);
        if !fields.iter().any(|f| *f.name() == name) {
            let column = scene.input(&input, &selected, None);
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
        for ty in [Type::Number, Type::Boolean] {
            let name = column_name(&input.0, ty);
            if !fields.iter().any(|f| *f.name() == name) {
                let column = scene.input(&(input.0.clone(), ty), &selected, None);
                fields.push(Field::new(name, column.data_type().clone(), true));
                columns.push(column);
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The value of an SQL result cell as text, times as RFC 3339.
fn cell(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let ty = match column.data_type() {
        DataType::Timestamp(..) => Type::Time,
        DataType::Boolean => Type::Boolean,
        data_type if data_type.is_numeric() => Type::Number,
        _ => Type::Text,
    };
    let column = datafusion::arrow::compute::cast(column, &catchment::expr::library::arrow_type(ty)).unwrap();
    let value = catchment::expr::reference::array_value(&column, row, ty);
    assert_ne!(value, Value::Null);
    value.to_text().map(|text| text.into_owned())
}

fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => catchment::expr::value::number_text(number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

fn same(sql: &str, engine: &serde_json::Value) -> bool {
    if sql == text(engine) {
        return true;
    }
    let parsed: Option<serde_json::Value> = serde_json::from_str(sql).ok();
    match (parsed, engine) {
        (Some(serde_json::Value::Number(a)), serde_json::Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Some(serde_json::Value::Number(a)), serde_json::Value::String(b)) => b.parse().ok() == a.as_f64(),
        (Some(a), b) => a == *b,
        _ => false,
    }
}

fn compare(pipeline: &str, source: &str, file: &str) -> usize {
    let plan = plan(&root().join(pipeline));
    let number = plan.sources.iter().position(|s| *s.name == *source).unwrap();
    let messages = lines(file);
    let mut trial = Trial::new(plan.clone(), Some(Arrival::Occurred));
    let (ends, _) = trial.show(number as u16, messages.iter().map(Vec::as_slice)).unwrap();

    let session = SessionContext::new();
    let tables = plan.tables.clone();
    register(&session, Arc::new(move |table, column| tables.bind(table, column).ok()));
    session.register_batch("events", table(&plan, number, &messages)).unwrap();
    let text_of_query = query(&plan, &plan.sources[number]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime
        .block_on(async { session.sql(&text_of_query).await?.collect().await })
        .unwrap_or_else(|error| panic!("{pipeline} {source}: {error}\n{text_of_query}"));

    let classified: Vec<_> = ends.iter().filter(|end| end.type_name.is_some()).collect();
    let mut at = 0;
    for batch in &batches {
        let rows = batch.column_by_name("_row").unwrap();
        let types = batch.column_by_name("type").unwrap();
        for row in 0..batch.num_rows() {
            let end = classified[at];
            at += 1;
            let place = (end.message as u64) << 16 | u64::from(end.element);
            assert_eq!(cell(rows, row).unwrap(), place.to_string(), "{file}");
            assert_eq!(cell(types, row).as_deref(), end.type_name.as_deref(), "{file}, message {}", end.message);
            let Some(incident) = &end.incident else { continue };
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()).skip(2) {
                let engine = incident.get(field.name()).filter(|v| !v.is_null());
                match (cell(column, row), engine) {
                    (Some(sql), Some(engine)) => assert!(same(&sql, engine), "{file}, message {}, {}: SQL {sql:?}, engine {engine}", end.message, field.name()),
                    (None, None) => {}
                    // The engine fills in the record's time and severity 0.
                    (None, Some(_)) if matches!(field.name().as_str(), "occurred" | "severity") => {}
                    (sql, engine) => panic!("{file}, message {}, {}: SQL {sql:?}, engine {engine:?}", end.message, field.name()),
                }
            }
        }
    }
    assert_eq!(at, classified.len(), "{file}: as many rows as classified events");
    at
}

#[test]
fn the_bench_pipeline_as_sql_yields_the_same_rows() {
    assert!(compare("fixtures/pipelines/bench", "bench", "bench.ndjson") > 10);
}

#[test]
fn the_soc_pipeline_as_sql_yields_the_same_rows() {
    let mut rows = 0;
    for (source, file) in [("windows", "windows-security.ndjson"), ("okta", "okta.ndjson"), ("mail", "mail.ndjson"), ("cloudtrail", "cloudtrail.ndjson")] {
        rows += compare("pipelines/soc", source, file);
    }
    assert!(rows > 10, "only {rows} rows");
}
