//! What stands in rows of incidents.
#![allow(clippy::unwrap_used)]

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use super::*;
use crate::config::schema::{FieldKind, FieldSpec, Schema};
use crate::config::source_map::Span;

fn columns() -> Columns {
    let field =
        |name: &str, kind| FieldSpec { name: name.to_owned(), kind, required: false, scale: None, description: None, span: Span { file: 0, start: 0, end: 0 } };
    Columns::new(&Schema {
        fields: vec![field("host", FieldKind::Text), field("port", FieldKind::Integer), field("score", FieldKind::Number)],
        ..Schema::default()
    })
}

const ORIGIN: Origin = Origin { partition: 3, offset: 42, timestamp_ms: Some(1_000) };

fn text<'a>(batch: &'a RecordBatch, column: &str) -> Option<&'a str> {
    let column = batch.column_by_name(column).unwrap().as_string_view();
    column.is_valid(0).then(|| column.value(0))
}

fn fields(batch: &RecordBatch) -> Vec<(String, String)> {
    let map = batch.column_by_name("fields").unwrap().as_map().value(0);
    let (keys, values) = (map.column(0).as_string::<i32>().clone(), map.column(1).as_string::<i32>().clone());
    keys.iter().zip(values.iter()).map(|(key, value)| (key.unwrap().to_owned(), value.unwrap().to_owned())).collect()
}

#[test]
fn a_created_fact() {
    let mut rows = Rows::new(&columns());
    let fact = r#"{"fact":"created","fact_id":"a","incident":{"id":"0f3a","type":"Login \u0041","severity":3,"occurred":"2026-03-02T08:00:00Z","created":"2026-03-02T08:00:01.5Z","host":"h1","port":"x","score":1e999,"other":[1, 2],"labels":{"a":1e999},"raw":{"b":"\ud800"},"source":{"name":"s","topic":"t","partition":1,"offset":9,"element":0},"pipeline":"p","status":"open","version":1}}"#;
    assert!(rows.push_fact(fact.as_bytes(), &ORIGIN).unwrap());
    assert!(!rows.push_fact(br#"{"fact":"attached","id":"a"}"#, &ORIGIN).unwrap());
    assert!(!rows.push_fact(b"\xff", &ORIGIN).unwrap());
    let batch = rows.finish().unwrap();
    assert_eq!(batch.num_rows(), 1);
    assert_eq!((text(&batch, "id"), text(&batch, "type"), text(&batch, "host")), (Some("0f3a"), Some("Login A"), Some("h1")));
    assert_eq!((text(&batch, "labels"), text(&batch, "raw")), (Some(r#"{"a":1e999}"#), Some(r#"{"b":"\ud800"}"#)));
    assert_eq!((text(&batch, "source_topic"), text(&batch, "record_kind"), text(&batch, "closed_by")), (Some("t"), Some("created"), None));
    let created = batch.column_by_name("created").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(created, 1_772_438_401_500_000);
    let integer = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!((integer("version"), integer("source_offset"), integer("record_partition"), integer("record_offset")), (1, 9, 3, 42));
    // What is not of its column's type is not lost.
    assert!(batch.column_by_name("port").unwrap().is_null(0) && batch.column_by_name("score").unwrap().is_null(0));
    let rest = [("port", "x"), ("score", "1e999"), ("other", "[1, 2]")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(fields(&batch), rest);
}

#[test]
fn a_state() {
    let mut rows = Rows::new(&columns());
    let state = r#"{"id":"0f3a","type":"T","severity":0.5,"host":null,"status":"closed","version":7,"closed":{"rule":"noise","at":"2026-03-02T08:00:00Z"},"attached":{"count":12,"first":"2026-03-02T08:00:00Z","last":"2026-03-02T09:00:00Z","rules":{"r":12},"samples":[]},"linked":[{"id":"b","rule":"r"}],"updated":{"actor":"ann","at":"2026-03-02T08:00:00Z","fact":"f"},"last_rejected":{"reason":"if_version"}}"#;
    assert!(rows.push_state(state.as_bytes(), &ORIGIN).unwrap());
    assert!(!rows.push_state(b"", &ORIGIN).unwrap());
    let batch = rows.finish().unwrap();
    assert_eq!((text(&batch, "closed_by"), text(&batch, "updated_by"), text(&batch, "status")), (Some("rule:noise"), Some("ann"), Some("closed")));
    assert_eq!((text(&batch, "attached_rules"), text(&batch, "linked")), (Some(r#"{"r":12}"#), Some(r#"[{"id":"b","rule":"r"}]"#)));
    assert_eq!(batch.column_by_name("severity").unwrap().as_primitive::<Float64Type>().value(0), 0.5);
    assert_eq!(batch.column_by_name("attached_count").unwrap().as_primitive::<Int64Type>().value(0), 12);
    assert_eq!(fields(&batch), [("last_rejected".to_owned(), r#"{"reason":"if_version"}"#.to_owned())]);
}
