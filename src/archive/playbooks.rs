//! Rows of `playbook_runs` and `war_room`: what runs of playbooks are at, and what they and people did.

use datafusion::arrow::error::ArrowError;

use super::cells::Cells;
use super::columns::{Column, Columns, FIELDS, Kind};
use super::rows::Origin;
use crate::incident::split::{Member, elements, find, integer, members, text};

/// One row per state of a run; queries see the newest of each.
const RUNS: [(&str, Kind); 22] = [
    ("id", Kind::Text),
    ("incident", Kind::Text),
    ("type", Kind::Text),
    ("severity", Kind::Number),
    ("tenant", Kind::Text),
    ("playbook", Kind::Text),
    ("playbook_version", Kind::Text),
    ("state", Kind::Text),
    ("began", Kind::Time),
    ("ended", Kind::Time),
    ("updated", Kind::Time),
    ("reason", Kind::Text),
    ("tasks", Kind::Integer),
    ("entries", Kind::Integer),
    ("waiting_for", Kind::Text),
    ("waiting_since", Kind::Time),
    ("waiting_until", Kind::Time),
    ("waiting_who", Kind::Text),
    ("timers", Kind::Text),
    ("record_partition", Kind::Integer),
    ("record_offset", Kind::Integer),
    ("record_time", Kind::Time),
];

const WAR_ROOM: [(&str, Kind); 16] = [
    ("entry", Kind::Text),
    ("incident", Kind::Text),
    ("run", Kind::Text),
    ("playbook", Kind::Text),
    ("playbook_version", Kind::Text),
    ("at", Kind::Time),
    ("actor", Kind::Text),
    ("kind", Kind::Text),
    ("task", Kind::Text),
    ("command", Kind::Text),
    ("key", Kind::Text),
    ("text", Kind::Text),
    ("record_partition", Kind::Integer),
    ("record_offset", Kind::Integer),
    ("record_time", Kind::Time),
    (FIELDS, Kind::Map),
];

fn of(columns: &[(&str, Kind)]) -> Columns {
    columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect()
}

/// The columns of `playbook_runs`.
pub fn run_columns() -> Columns {
    of(&RUNS)
}

/// The columns of `war_room`.
pub fn war_room_columns() -> Columns {
    of(&WAR_ROOM)
}

/// Appends the state of a run; false for a record that is none. Contexts and tasks stay where they are.
///
/// # Errors
/// A bug of the builders.
pub fn push_run(cells: &mut Cells, value: &[u8], updated: Option<&str>, origin: &Origin) -> Result<bool, ArrowError> {
    let Some(run) = simdutf8::basic::from_utf8(value).ok().and_then(members) else { return Ok(false) };
    let (Some(id), Some(state)) = (find(&run, "id"), find(&run, "state")) else { return Ok(false) };
    if text(id).is_none() || text(state).is_none() {
        return Ok(false);
    }
    for (key, column) in [("id", "id"), ("state", "state"), ("playbook", "playbook"), ("reason", "reason"), ("started", "tasks"), ("entries", "entries")] {
        if let Some(token) = find(&run, key) {
            cells.token(column, token);
        }
    }
    if let Some(incident) = find(&run, "incident") {
        let places = [("id", "incident"), ("type", "type"), ("severity", "severity"), ("tenant", "tenant")];
        cells.group(incident, &places);
    }
    let pinned = find(&run, "pinned").and_then(members).unwrap_or_default();
    let name = find(&run, "playbook").and_then(text);
    if let Some((_, version)) = pinned.iter().find(|(key, _)| text(key) == name) {
        cells.token("playbook_version", version);
    }
    for (key, column) in [("began_us", "began"), ("ended_us", "ended")] {
        time(cells, column, find(&run, key));
    }
    if let Some(updated) = updated.and_then(crate::incident::time_text::read_time).or_else(|| origin.timestamp_ms.map(|ms| ms.saturating_mul(1_000))) {
        cells.time("updated", updated);
    }
    if let Some(timers) = find(&run, "timers").filter(|timers| *timers != "{}") {
        cells.token("timers", timers);
    }
    waiting(cells, &run);
    origin.fill(cells);
    cells.end_row()?;
    Ok(true)
}

/// A time in microseconds; 0 is none.
fn time(cells: &mut Cells, column: &str, token: Option<&str>) {
    if let Some(us) = token.and_then(integer::<i64>).filter(|us| *us > 0) {
        cells.time(column, us);
    }
}

/// What the run waits for: all tasks by id and name, and of the one that waits longest since when and for whom.
fn waiting(cells: &mut Cells, run: &[Member<'_>]) {
    let waits: Vec<Vec<Member<'_>>> = find(run, "waits").and_then(elements).unwrap_or_default().into_iter().filter_map(members).collect();
    let said = |waits: &[Member<'_>], key: &str| find(waits, key).and_then(text).map(|text| text.into_owned()).unwrap_or_default();
    let names: Vec<String> = waits.iter().map(|waits| format!("{} {}", said(waits, "task"), said(waits, "name")).trim().to_owned()).collect();
    if !names.is_empty() {
        cells.text("waiting_for", &names.join(", "));
    }
    let since = |waits: &Vec<Member<'_>>| find(waits, "since_us").and_then(integer::<i64>).unwrap_or(i64::MAX);
    if let Some(oldest) = waits.iter().min_by_key(|waits| since(waits)) {
        time(cells, "waiting_since", find(oldest, "since_us"));
        time(cells, "waiting_until", find(oldest, "until_us"));
        if let Some(who) = find(oldest, "who") {
            cells.token("waiting_who", who);
        }
    }
}

/// Appends an entry of the war room; false for a record that is none.
///
/// # Errors
/// A bug of the builders.
pub fn push_entry(cells: &mut Cells, value: &[u8], origin: &Origin) -> Result<bool, ArrowError> {
    let Some(entry) = simdutf8::basic::from_utf8(value).ok().and_then(members) else { return Ok(false) };
    if find(&entry, "kind").and_then(text).is_none() {
        return Ok(false);
    }
    for (key, token) in &entry {
        let name = key.trim_matches('"');
        let own = WAR_ROOM.iter().any(|(column, _)| *column == name) && !name.starts_with("record_") && name != FIELDS;
        if !(own && cells.token(name, token)) && *token != "null" {
            cells.rest(key, token);
        }
    }
    origin.fill(cells);
    cells.end_row()?;
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray, RecordBatch};
    use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use serde_json::json;

    use super::*;

    const ORIGIN: Origin = Origin { partition: 1, offset: 7, timestamp_ms: Some(5) };

    fn text_of(batch: &RecordBatch, name: &str) -> String {
        batch.column_by_name(name).unwrap().as_string_view().value(0).to_owned()
    }

    #[test]
    fn a_run_is_a_row() {
        let run = json!({
            "id": "4ac0", "incident": { "id": "0f", "type": "T", "severity": 2, "tenant": "a", "raw": { "x": 1 } }, "pinned": { "Sub": "2", "P": "1" },
            "playbook": "P", "state": "waiting", "frames": {}, "contexts": {}, "started": 3, "entries": 2, "began_us": 1_000_000, "reason": "",
            "timers": { "triage": { "state": "running" } },
            "waits": [{ "frame": 0, "task": "7", "name": "look", "status": "person", "since_us": 9 },
                      { "frame": 1, "task": "8", "name": "ask", "status": "person", "since_us": 4, "until_us": 8, "who": "ann" }],
        });
        let mut cells = Cells::new(&run_columns());
        assert!(push_run(&mut cells, run.to_string().as_bytes(), Some("1970-01-01T00:00:02Z"), &ORIGIN).unwrap());
        for bad in [&b""[..], b"[]", b"{}", b"\xff", b"{\"id\":1,\"state\":\"new\"}"] {
            assert!(!push_run(&mut cells, bad, None, &ORIGIN).unwrap());
        }
        let batch = cells.finish().unwrap();
        assert_eq!(batch.num_rows(), 1);
        let told =
            ["id", "incident", "type", "tenant", "playbook", "playbook_version", "state", "waiting_for", "waiting_who"].map(|name| text_of(&batch, name));
        assert_eq!(told, ["4ac0", "0f", "T", "a", "P", "1", "waiting", "7 look, 8 ask", "ann"]);
        let time = |name: &str| {
            let column = batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
            column.is_valid(0).then(|| column.value(0))
        };
        assert_eq!(["began", "ended", "updated", "waiting_since", "waiting_until"].map(time), [Some(1_000_000), None, Some(2_000_000), Some(4), Some(8)]);
        assert_eq!(batch.column_by_name("tasks").unwrap().as_primitive::<Int64Type>().value(0), 3);
    }

    #[test]
    fn an_entry_is_a_row_and_nothing_of_it_is_lost() {
        let entry = json!({ "entry": "1@4ac0", "run": "4ac0", "incident": "0f", "playbook": "P", "at": "1970-01-01T00:00:02Z", "actor": "ann",
                            "task": "4", "command": "http", "kind": "call", "text": "\u{1b}[2J", "key": "ff", "record_offset": 9, "later": [1] });
        let mut cells = Cells::new(&war_room_columns());
        assert!(push_entry(&mut cells, entry.to_string().as_bytes(), &ORIGIN).unwrap());
        assert!(!push_entry(&mut cells, b"{\"entry\":\"1\"}", &ORIGIN).unwrap());
        let batch = cells.finish().unwrap();
        assert_eq!((text_of(&batch, "kind"), text_of(&batch, "key")), ("call".to_owned(), "ff".to_owned()));
        assert_eq!(batch.column_by_name("record_offset").unwrap().as_primitive::<Int64Type>().value(0), 7);
        let rest = batch.column_by_name(FIELDS).unwrap().as_map();
        let keys: Vec<&str> = rest.keys().as_string::<i32>().iter().flatten().collect();
        assert_eq!(keys, ["record_offset", "later"]);
    }
}
