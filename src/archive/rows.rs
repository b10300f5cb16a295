//! Builds rows of `incident_versions` from what stands in the topics: `created` facts and states.
//! Incidents are taken apart into raw tokens; what has no column of its own, or a value that is not
//! of its column's type, goes to the map, so nothing is lost.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use hashbrown::HashMap;

use super::cells::Cells;
use super::columns::{Columns, is_fixed};
use crate::incident::split::{elements, find, members, text};

/// Where a row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl Origin {
    /// Sets the columns that say so.
    pub fn fill(&self, cells: &mut Cells) {
        cells.integer("record_partition", i64::from(self.partition));
        cells.integer("record_offset", self.offset);
        if let Some(ms) = self.timestamp_ms {
            cells.time("record_time", ms.saturating_mul(1_000));
        }
    }
}

/// Which topic a row of incidents came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// `incidents`: a `created` fact, version 1.
    Created,
    /// `incident-state`.
    State,
}

impl RecordKind {
    /// As in the column `record_kind`. Of one version, the greater text is the newer one.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::Created => "created",
            RecordKind::State => "state",
        }
    }
}

/// Fixed columns that an incident has a member of the same name for.
const PLAIN: [&str; 12] = ["id", "version", "type", "severity", "status", "created", "occurred", "tenant", "pipeline", "pipeline_version", "labels", "raw"];
const SOURCE: [(&str, &str); 5] =
    [("name", "source_name"), ("topic", "source_topic"), ("partition", "source_partition"), ("offset", "source_offset"), ("element", "source_element")];
const CLOSED: [(&str, &str); 4] = [("at", "closed_at"), ("actor", "closed_by"), ("reason", "close_reason"), ("notes", "close_notes")];
const ATTACHED: [(&str, &str); 4] = [("count", "attached_count"), ("first", "attached_first"), ("last", "attached_last"), ("rules", "attached_rules")];
const UPDATED: [(&str, &str); 2] = [("actor", "updated_by"), ("at", "updated_at")];

/// Rows of incidents, one after the other.
pub struct Rows {
    cells: Cells,
    /// Columns by the token of the key whose value they take.
    places: HashMap<String, usize>,
}

impl Rows {
    /// For a table of these columns.
    pub fn new(columns: &Columns) -> Rows {
        let own = |name: &str| !is_fixed(name) || PLAIN.contains(&name);
        let places = columns.iter().enumerate().filter(|(_, column)| own(&column.name)).map(|(at, column)| (format!("\"{}\"", column.name), at)).collect();
        Rows { cells: Cells::new(columns), places }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends the incident of a `created` fact; false for a record that is no such fact.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn push_fact(&mut self, value: &[u8], origin: &Origin) -> Result<bool, ArrowError> {
        let created = simdutf8::basic::from_utf8(value).ok().and_then(members).and_then(|members| {
            let created = find(&members, "fact")? == "\"created\"";
            created.then(|| find(&members, "incident")).flatten()
        });
        created.map_or(Ok(false), |incident| self.push(incident, RecordKind::Created, origin))
    }

    /// Appends a version of an incident; false for a value that is no incident.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn push_state(&mut self, value: &[u8], origin: &Origin) -> Result<bool, ArrowError> {
        simdutf8::basic::from_utf8(value).map_or(Ok(false), |incident| self.push(incident, RecordKind::State, origin))
    }

    fn push(&mut self, incident: &str, kind: RecordKind, origin: &Origin) -> Result<bool, ArrowError> {
        let Some(members) = members(incident) else { return Ok(false) };
        if find(&members, "id").is_none() || find(&members, "version").is_none() {
            return Ok(false);
        }
        for (key, token) in members.iter().filter(|(_, token)| *token != "null") {
            self.member(key, token);
        }
        self.cells.text("record_kind", kind.as_str());
        origin.fill(&mut self.cells);
        self.cells.end_row()?;
        Ok(true)
    }

    fn member(&mut self, key: &str, token: &str) {
        if let Some(at) = self.places.get(key) {
            if !self.cells.token_at(*at, token) {
                self.cells.rest(key, token);
            }
            return;
        }
        match key {
            "\"source\"" => self.cells.group(token, &SOURCE),
            "\"closed\"" => {
                // As in `updated`: a rule is an actor, too.
                if let Some(rule) = members(token).and_then(|members| text(find(&members, "rule")?)) {
                    self.cells.text("closed_by", &format!("rule:{rule}"));
                }
                self.cells.group(token, &CLOSED);
            }
            "\"attached\"" => self.cells.group(token, &ATTACHED),
            "\"updated\"" => self.cells.group(token, &UPDATED),
            "\"linked\"" if elements(token).is_some() => drop(self.cells.token("linked", token)),
            _ => self.cells.rest(key, token),
        }
    }

    /// The rows, as a batch; begins anew.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.cells.finish()
    }
}

#[cfg(test)]
#[path = "rows_test.rs"]
mod tests;
