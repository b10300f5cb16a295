//! Rows of `dead_letters`: what could not become an event or an incident, and why.

use datafusion::arrow::error::ArrowError;

use super::cells::Cells;
use super::columns::{Column, Columns, FIELDS, Kind};
use super::rows::Origin;
use crate::incident::split::members;

const COLUMNS: [(&str, Kind); 15] = [
    ("reason", Kind::Text),
    ("detail", Kind::Text),
    ("pipeline", Kind::Text),
    ("timestamp", Kind::Time),
    ("source_name", Kind::Text),
    ("source_topic", Kind::Text),
    ("source_partition", Kind::Integer),
    ("source_offset", Kind::Integer),
    ("source_element", Kind::Integer),
    ("key", Kind::Text),
    ("raw", Kind::Text),
    ("record_partition", Kind::Integer),
    ("record_offset", Kind::Integer),
    ("record_time", Kind::Time),
    (FIELDS, Kind::Map),
];

/// The columns of the table.
pub fn columns() -> Columns {
    COLUMNS.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect()
}

/// Appends the letter of a record; false for a record that is none.
///
/// # Errors
/// A bug of the builders.
pub fn push(cells: &mut Cells, value: &[u8], origin: &Origin) -> Result<bool, ArrowError> {
    let Some(members) = simdutf8::basic::from_utf8(value).ok().and_then(members) else { return Ok(false) };
    for (key, token) in &members {
        let name = key.trim_matches('"');
        match name {
            "source" => {
                let places = [
                    ("name", "source_name"),
                    ("topic", "source_topic"),
                    ("partition", "source_partition"),
                    ("offset", "source_offset"),
                    ("element", "source_element"),
                ];
                cells.group(token, &places);
            }
            "reason" | "detail" | "pipeline" | "timestamp" | "key" | "raw" => {
                if !cells.token(name, token) && *token != "null" {
                    cells.rest(key, token);
                }
            }
            _ => cells.rest(key, token),
        }
    }
    origin.fill(cells);
    cells.end_row()?;
    Ok(true)
}
