//! An archive written in one go from facts that are at hand: what `demo` leaves behind. There is no
//! keeper; states are folded here with the keeper's own function.

use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::columns::Columns;
use super::commit::written;
use super::compact::Compactor;
use super::ring::Segment;
use super::rows::{Origin, Rows};
use super::table::{Committed, Position, Table};
use super::work::open_incidents;
use super::{ArchiveError, INCIDENT_VERSIONS, Location};
use crate::config::schema::Schema;
use crate::error::Error;
use crate::incident::fact::{self, What};
use crate::incident::fold::fold;
use crate::incident::id::IncidentId;
use crate::incident::record::Incident;
use crate::incident::split::{find, members, text};

/// Rows of one commit (count).
const COMMIT_ROWS: usize = 200_000;
/// Largest state that is made, in bytes: there is no topic that it must fit into.
const STATE_BYTES_MAX: usize = 16 << 20;

/// Facts on disk, in the order in which they came.
pub struct Notes {
    file: BufWriter<std::fs::File>,
    /// Incidents that more happened to than being created.
    changed: HashSet<IncidentId>,
}

/// A fact as it was noted.
struct Noted {
    origin: Origin,
    value: Vec<u8>,
}

impl Notes {
    /// None yet; the file is gone when this is dropped.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn new() -> Result<Notes, Error> {
        Ok(Notes { file: BufWriter::with_capacity(1 << 20, tempfile::tempfile()?), changed: HashSet::new() })
    }

    /// Takes down a record of the topic of facts.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn note(&mut self, key: Option<&[u8]>, value: &[u8], origin: &Origin) -> std::io::Result<()> {
        // Ingest writes the kind first.
        if !value.starts_with(br#"{"fact":"created""#)
            && let Some(id) = key.and_then(|key| IncidentId::parse(std::str::from_utf8(key).ok()?))
        {
            self.changed.insert(id);
        }
        self.file.write_all(&origin.partition.to_le_bytes())?;
        self.file.write_all(&origin.offset.to_le_bytes())?;
        self.file.write_all(&origin.timestamp_ms.unwrap_or(0).to_le_bytes())?;
        self.file.write_all(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.file.write_all(value)
    }

    /// Reads them back, one after the other.
    fn read(&mut self, mut each: impl FnMut(Noted) -> Result<(), Error>) -> Result<(), Error> {
        self.file.flush()?;
        let mut file = self.file.get_ref().try_clone()?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut head = [0; 24];
        loop {
            match file.read_exact(&mut head) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let (partition, rest) = head.split_at(4);
            let (offset, rest) = rest.split_at(8);
            let (time, bytes) = rest.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0i64, |number, byte| number << 8 | i64::from(*byte));
            let mut value = vec![0; usize::try_from(number(bytes)).unwrap_or(0)];
            file.read_exact(&mut value)?;
            let origin = Origin { partition: i32::try_from(number(partition)).unwrap_or(0), offset: number(offset), timestamp_ms: Some(number(time)) };
            each(Noted { origin, value })?;
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Once {
    /// Rows of `incident_versions`.
    pub rows: usize,
    /// Of them the first versions of incidents.
    pub incidents: usize,
}

/// Writes an archive of the noted facts: their incidents, and the states that they have in the end.
/// What was there before is replaced.
///
/// # Errors
/// A disk that refuses.
pub fn write(dir: &std::path::Path, schema: &Schema, notes: &mut Notes) -> Result<Once, Error> {
    let table_dir = dir.join(INCIDENT_VERSIONS);
    if table_dir.join("_delta_log").is_dir() {
        std::fs::remove_dir_all(&table_dir)?;
    }
    std::fs::create_dir_all(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let table = runtime.block_on(open_incidents(&Location::Directory(dir.to_owned()), schema))?;
    let columns = table.pinned()?.columns;
    let mut writer = Writer { runtime, table, rows: Rows::new(&columns), columns, done: Once::default(), commits: 0 };
    let mut states: HashMap<IncidentId, Incident> = HashMap::new();
    let changed = std::mem::take(&mut notes.changed);
    notes.read(|noted| {
        if writer.rows.push_fact(&noted.value, &noted.origin).map_err(ArchiveError::from)? {
            writer.done.incidents += 1;
            writer.commit(COMMIT_ROWS)?;
        }
        if let Some(fact) = fact_of(&noted, &changed) {
            let (state, _) = fold(states.remove(&fact.about), &fact, STATE_BYTES_MAX);
            states.extend(state.map(|state| (fact.about, state)));
        }
        Ok(())
    })?;
    for (number, state) in (0i64..).zip(states.values().filter(|state| state.state.version > 1)) {
        let origin = Origin { partition: 0, offset: number, timestamp_ms: None };
        writer.rows.push_state(&state.to_json(), &origin).map_err(ArchiveError::from)?;
        writer.commit(COMMIT_ROWS)?;
    }
    writer.commit(1)?;
    let Writer { runtime, table, done, .. } = writer;
    runtime.block_on(async { Compactor::new(table)?.tail(true).await })?;
    Ok(done)
}

/// The fact, if it is about an incident to which more happened than being created.
fn fact_of(noted: &Noted, changed: &HashSet<IncidentId>) -> Option<fact::Fact> {
    let members = members(std::str::from_utf8(&noted.value).ok()?)?;
    // A fact that creates has the id of its incident.
    let id = find(&members, "id").or_else(|| find(&members, "fact_id")).and_then(text)?;
    if !changed.contains(&IncidentId::parse(&id)?) {
        return None;
    }
    let fact = fact::read(Some(id.as_bytes()), &noted.value, noted.origin.timestamp_ms).ok()?;
    matches!(fact.what, What::Created(_) | What::Attached(_) | What::Linked { .. }).then_some(fact)
}

struct Writer {
    runtime: tokio::runtime::Runtime,
    table: Table,
    columns: Columns,
    rows: Rows,
    done: Once,
    commits: i64,
}

impl Writer {
    /// Commits if there are so many rows.
    fn commit(&mut self, least: usize) -> Result<(), Error> {
        if self.rows.len() < least {
            return Ok(());
        }
        self.done.rows += self.rows.len();
        let batch = self.rows.finish().map_err(ArchiveError::from)?;
        self.rows = Rows::new(&self.columns);
        let segment = Arc::new(Segment { batch, bytes: 0, covers: Default::default() });
        let position = Position { app: "once".to_owned(), from: (self.commits > 0).then_some(self.commits), next: self.commits + 1 };
        self.commits += 1;
        let table = &mut self.table;
        let committed = self.runtime.block_on(async {
            let adds = written(table, &[segment], true).await?;
            table.append(&adds, &[position], &[]).await
        })?;
        match committed {
            Committed::Yes => Ok(()),
            Committed::Foreign(_) | Committed::Replaced => Err(Error::environment("somebody else writes to this archive")),
        }
    }
}
