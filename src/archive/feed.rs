//! Which rows a record of a topic becomes.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;

use super::cells::Cells;
use super::columns::Columns;
use super::ring::Topic;
use super::rows::{Origin, Rows};
use super::{ledgers, letters, playbooks};
use crate::kafka::Record;
use crate::run::ingest::records::LEDGER_KEY;

/// Which table rows are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Facts and states.
    Incidents,
    /// Dead letters.
    Letters,
    /// The ledger records of the index topic.
    Ledger,
    /// States of runs of playbooks.
    Runs,
    /// Entries of the war room.
    WarRoom,
}

/// Rows of one table that are being built.
pub enum Feeds {
    /// Of incidents.
    Incidents(Rows, Columns),
    /// Of dead letters.
    Letters(Cells),
    /// Of the ledger.
    Ledger(Cells),
    /// Of runs of playbooks.
    Runs(Cells),
    /// Of the war room.
    WarRoom(Cells),
}

impl Feeds {
    /// For a table; `columns`: those of incidents.
    pub fn new(source: Source, columns: &Columns) -> Feeds {
        match source {
            Source::Incidents => Feeds::Incidents(Rows::new(columns), columns.clone()),
            Source::Letters => Feeds::Letters(Cells::new(&letters::columns())),
            Source::Ledger => Feeds::Ledger(Cells::new(&ledgers::columns())),
            Source::Runs => Feeds::Runs(Cells::new(&playbooks::run_columns())),
            Source::WarRoom => Feeds::WarRoom(Cells::new(&playbooks::war_room_columns())),
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        match self {
            Feeds::Incidents(rows, _) => rows.len(),
            Feeds::Letters(cells) | Feeds::Ledger(cells) | Feeds::Runs(cells) | Feeds::WarRoom(cells) => cells.len(),
        }
    }

    /// Appends the rows of a record; false where it has none. `keep_first`: also a state that only
    /// repeats the fact that created its incident.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn push(&mut self, topic: Topic, record: &Record<'_>, keep_first: bool) -> Result<bool, ArrowError> {
        let origin = Origin { partition: record.partition, offset: record.offset, timestamp_ms: record.timestamp_ms };
        let value = record.payload();
        if value.is_empty() {
            return Ok(false);
        }
        match self {
            Feeds::Incidents(rows, _) if topic == Topic::Facts => rows.push_fact(value, &origin),
            Feeds::Incidents(rows, _) => {
                let mut first = (false, false);
                record.headers(|name, value| match name {
                    "version" => first.0 = value == b"1",
                    "outcome" => first.1 = value == b"applied",
                    _ => {}
                });
                if first == (true, true) && !keep_first {
                    return Ok(false);
                }
                rows.push_state(value, &origin)
            }
            Feeds::Letters(cells) => letters::push(cells, value, &origin),
            Feeds::Ledger(cells) if record.key() == Some(LEDGER_KEY) => ledgers::push(cells, value, &origin),
            Feeds::Ledger(_) => Ok(false),
            Feeds::Runs(cells) => {
                let mut updated = None;
                record.headers(|name, value| {
                    if name == "updated" {
                        updated = std::str::from_utf8(value).ok().map(str::to_owned);
                    }
                });
                playbooks::push_run(cells, value, updated.as_deref(), &origin)
            }
            Feeds::WarRoom(cells) => playbooks::push_entry(cells, value, &origin),
        }
    }

    /// The rows; begins anew.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        match self {
            Feeds::Incidents(rows, _) => rows.finish(),
            Feeds::Letters(cells) | Feeds::Ledger(cells) | Feeds::Runs(cells) | Feeds::WarRoom(cells) => cells.finish(),
        }
    }

    /// Forgets the rows.
    pub fn clear(&mut self) {
        *self = match self {
            Feeds::Incidents(_, columns) => Feeds::Incidents(Rows::new(columns), columns.clone()),
            Feeds::Letters(_) => Feeds::new(Source::Letters, &letters::columns()),
            Feeds::Ledger(_) => Feeds::new(Source::Ledger, &ledgers::columns()),
            Feeds::Runs(_) => Feeds::new(Source::Runs, &playbooks::run_columns()),
            Feeds::WarRoom(_) => Feeds::new(Source::WarRoom, &playbooks::war_room_columns()),
        };
    }
}
