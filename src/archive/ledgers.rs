//! Rows of `ledger`: what became of the events of one transaction, one row per outcome and name. The
//! rows whose `outcome` is an end of events add up to those of `read`.

use datafusion::arrow::error::ArrowError;
use serde_json::Value;

use super::cells::Cells;
use super::columns::{Column, Columns, Kind};
use super::rows::Origin;

const COLUMNS: [(&str, Kind); 8] = [
    ("outcome", Kind::Text),
    ("name", Kind::Text),
    ("events", Kind::Integer),
    ("pipeline", Kind::Text),
    ("pipeline_version", Kind::Text),
    ("record_partition", Kind::Integer),
    ("record_offset", Kind::Integer),
    ("record_time", Kind::Time),
];

/// Outcome, and where its counts stand: those of names, or a number. The first six are the ends that
/// an event can have.
const OUTCOMES: [(&str, &[&str]); 13] = [
    ("incident", &["incidents", "by_type"]),
    ("filtered", &["filtered", "by_filter"]),
    ("unclassified", &["unclassified"]),
    ("dropped", &["dropped", "by_rule"]),
    ("attached", &["attached", "by_rule"]),
    ("dead_letter", &["dead_letters", "by_reason"]),
    ("read", &["events"]),
    ("closed", &["closed", "by_rule"]),
    ("linked", &["linked", "by_rule"]),
    ("rule_shadow", &["rule_shadow"]),
    ("filter_shadow", &["filtered", "shadow"]),
    ("late", &["late"]),
    ("field_error", &["field_errors"]),
];

/// The columns of the table.
pub fn columns() -> Columns {
    COLUMNS.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect()
}

/// Appends the rows of a ledger record; false for a record that is none.
///
/// # Errors
/// A bug of the builders.
pub fn push(cells: &mut Cells, value: &[u8], origin: &Origin) -> Result<bool, ArrowError> {
    let Ok(record) = serde_json::from_slice::<Value>(value) else { return Ok(false) };
    let Some(counts) = record.get("counts") else { return Ok(false) };
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut row = |outcome: &str, name: Option<&str>, events: i64| {
        cells.text("outcome", outcome);
        if let Some(name) = name {
            cells.text("name", name);
        }
        cells.integer("events", events);
        cells.text("pipeline", text("pipeline"));
        cells.text("pipeline_version", text("pipeline_version"));
        origin.fill(cells);
        cells.end_row()
    };
    for (outcome, path) in OUTCOMES {
        match path.iter().try_fold(counts, |value, key| value.get(key)) {
            Some(Value::Object(names)) => {
                for (name, events) in names {
                    row(outcome, Some(name), events.as_i64().unwrap_or(0))?;
                }
            }
            Some(value) if value.as_i64().is_some_and(|events| events > 0) => row(outcome, None, value.as_i64().unwrap_or(0))?,
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    use serde_json::json;

    use super::*;

    #[test]
    fn ends_add_up_to_events() {
        let counts = json!({
            "events": 10, "incidents": { "total": 3, "by_type": { "A": 2, "B": 1 } }, "filtered": { "total": 2, "by_filter": { "noise": 2 }, "shadow": { "quiet": 4 } },
            "unclassified": 1, "dropped": { "total": 1, "by_rule": { "r": 1 } }, "attached": { "total": 2, "by_rule": { "s": 2 } },
            "closed": { "by_rule": { "c": 1 } }, "linked": { "by_rule": {} }, "rule_shadow": {}, "dead_letters": { "total": 1, "by_reason": { "syntax": 1 } }, "late": 0,
        });
        let record = json!({ "ledger": 1, "pipeline": "p", "pipeline_version": "v", "offsets": [], "counts": counts }).to_string();
        let mut cells = Cells::new(&columns());
        let origin = Origin { partition: 0, offset: 7, timestamp_ms: Some(5) };
        assert!(push(&mut cells, record.as_bytes(), &origin).unwrap());
        assert!(!push(&mut cells, b"CTIX", &origin).unwrap());
        let batch = cells.finish().unwrap();
        let (outcomes, events) = (batch.column(0).as_string_view(), batch.column(2).as_primitive::<Int64Type>());
        let sum = |wanted: &dyn Fn(&str) -> bool| (0..batch.num_rows()).filter(|row| wanted(outcomes.value(*row))).map(|row| events.value(row)).sum::<i64>();
        assert_eq!(sum(&|outcome| OUTCOMES[..6].iter().any(|(end, _)| *end == outcome)), 10);
        assert_eq!(sum(&|outcome| outcome == "read"), 10);
        assert_eq!(sum(&|outcome| outcome == "filter_shadow"), 4);
    }
}
