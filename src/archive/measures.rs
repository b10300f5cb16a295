//! Smallest and largest values of a file's columns, and how many are missing: what the log tells of
//! a file, so that readers leave it out without opening it.

use std::collections::HashMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{max, max_string_view, min, min_string_view};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use serde_json::{Map, Value, json};

/// Columns that are measured.
pub const MEASURED: [&str; 11] =
    ["id", "version", "type", "severity", "status", "created", "occurred", "record_kind", "record_partition", "record_offset", "record_time"];

/// Longest text that is told, in bytes; a column with longer ones has no extremes.
const TEXT_BYTES_MAX: usize = 64;

/// Of the rows so far.
#[derive(Default)]
pub struct Measures {
    /// How many rows.
    pub rows: u64,
    columns: HashMap<&'static str, Measure>,
}

#[derive(Default)]
struct Measure {
    range: Option<(Extreme, Extreme)>,
    /// Something was too long to be told.
    untold: bool,
    nulls: u64,
}

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Extreme {
    Text(String),
    Integer(i64),
    Number(f64),
    Time(i64),
}

impl Extreme {
    fn json(&self) -> Option<Value> {
        Some(match self {
            Extreme::Text(text) => json!(text),
            Extreme::Integer(number) => json!(number),
            Extreme::Number(number) => json!(number),
            Extreme::Time(micros) => json!(chrono::DateTime::from_timestamp_micros(*micros)?.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
        })
    }

    fn is_told(&self) -> bool {
        !matches!(self, Extreme::Text(text) if text.len() > TEXT_BYTES_MAX)
    }
}

impl Measures {
    /// Takes rows into account.
    pub fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for name in MEASURED {
            let Some(array) = batch.column_by_name(name) else { continue };
            let measure = self.columns.entry(name).or_default();
            measure.nulls += array.null_count() as u64;
            let Some((least, most)) = extremes(array.as_ref()) else { continue };
            measure.untold |= !least.is_told() || !most.is_told();
            measure.range = Some(match measure.range.take() {
                None => (least, most),
                Some((known_least, known_most)) => (if least < known_least { least } else { known_least }, if most > known_most { most } else { known_most }),
            });
        }
    }

    /// As Delta's log has them.
    pub fn json(&self) -> String {
        let extremes = |get: &dyn Fn(&(Extreme, Extreme)) -> Option<Value>| {
            let told = |(name, measure): (&&str, &Measure)| {
                let range = measure.range.as_ref().filter(|_| !measure.untold)?;
                Some(((*name).to_owned(), get(range)?))
            };
            self.columns.iter().filter_map(told).collect::<Map<_, _>>()
        };
        let nulls: Map<String, Value> = self.columns.iter().map(|(name, measure)| ((*name).to_owned(), json!(measure.nulls))).collect();
        json!({
            "numRecords": self.rows,
            "minValues": extremes(&|(least, _)| least.json()),
            "maxValues": extremes(&|(_, most)| most.json()),
            "nullCount": nulls,
        })
        .to_string()
    }
}

/// Smallest and largest value; `None` where all are missing, or the type has no order here.
fn extremes(array: &dyn Array) -> Option<(Extreme, Extreme)> {
    Some(match array.data_type() {
        DataType::Utf8View => {
            let array = array.as_string_view();
            (Extreme::Text(min_string_view(array)?.to_owned()), Extreme::Text(max_string_view(array)?.to_owned()))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            (Extreme::Integer(min(array)?), Extreme::Integer(max(array)?))
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            (Extreme::Number(min(array)?), Extreme::Number(max(array)?))
        }
        DataType::Timestamp(_, _) => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            (Extreme::Time(min(array)?), Extreme::Time(max(array)?))
        }
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn extremes_over_batches() {
        let batch = |types: Vec<Option<&str>>, versions: Vec<i64>| {
            let columns: Vec<(&str, ArrayRef)> = vec![("type", Arc::new(StringViewArray::from(types))), ("version", Arc::new(Int64Array::from(versions)))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let mut measures = Measures::default();
        measures.add(&batch(vec![Some("b"), None], vec![5, 3]));
        measures.add(&batch(vec![None, None], vec![4, 4]));
        measures.add(&batch(vec![Some("c"), Some("a")], vec![9, 4]));
        let json: Value = serde_json::from_str(&measures.json()).unwrap();
        assert_eq!(json["numRecords"], 6);
        assert_eq!((&json["minValues"]["type"], &json["maxValues"]["type"]), (&json!("a"), &json!("c")));
        assert_eq!((&json["minValues"]["version"], &json["maxValues"]["version"]), (&json!(3), &json!(9)));
        assert_eq!(json["nullCount"]["type"], 3);
        // A text that is too long to be told: nothing is told of its column, for good.
        measures.add(&batch(vec![Some(&"x".repeat(65)), None], vec![1, 1]));
        measures.add(&batch(vec![Some("z"), None], vec![1, 1]));
        let json: Value = serde_json::from_str(&measures.json()).unwrap();
        assert!(json["maxValues"].get("type").is_none() && json["minValues"].get("type").is_none());
        assert_eq!(json["minValues"]["version"], 1);
    }
}
