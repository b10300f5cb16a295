//! The tables of playbooks: without topics they are empty; of a run the newest row is seen, wherever it stands.

use std::sync::Arc;

use catchment::archive::cells::Cells;
use catchment::archive::commit::written;
use catchment::archive::outputs::{OUTPUTS, Outputs};
use catchment::archive::playbooks::{push_entry, push_run, run_columns, war_room_columns};
use catchment::archive::ring::{Ring, Segment};
use catchment::archive::rows::Origin;
use catchment::archive::table::{Committed, Position, Table};
use catchment::archive::{Location, PLAYBOOK_RUNS};
use catchment::respond::limits::{OUTPUT_BYTES_MAX, too_large};
use catchment::respond::outside::Outside;
use catchment::respond::outside::config::Settings;
use catchment::respond::run::{Call, Key};
use serde_json::{Value, json};

use super::archive_lake::{Lake, csv};
use crate::playbook_outside::{Server, loopback};

fn state(id: &str, state: &str, waits: Value) -> String {
    json!({ "id": id, "incident": { "id": format!("i{id}"), "type": "T" }, "playbook": "p", "pinned": { "p": "v" }, "state": state, "started": 3, "began_us": 1, "waits": waits }).to_string()
}

fn rows(states: &[(i32, i64, String)]) -> Segment {
    let mut cells = Cells::new(&run_columns());
    for (partition, offset, state) in states {
        let origin = Origin { partition: *partition, offset: *offset, timestamp_ms: Some(5) };
        assert!(push_run(&mut cells, state.as_bytes(), None, &origin).unwrap());
    }
    Segment { batch: cells.finish().unwrap(), bytes: 1, covers: Default::default() }
}

#[test]
fn playbook_tables_are_empty_without_playbooks() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path());
    for live in [false, true] {
        let mut client = lake.client(live);
        assert_eq!(csv(&mut client, "SELECT count(*) FROM playbook_runs WHERE state = 'waiting'"), ["0"]);
        assert_eq!(
            csv(&mut client, "SELECT id, incident, playbook, playbook_version, state, began, ended, reason, tasks, waiting_for FROM playbook_runs"),
            [""; 0]
        );
        assert_eq!(csv(&mut client, "SELECT count(*) FROM war_room w JOIN incidents i ON i.id = w.incident"), ["0"]);
    }
}

#[test]
fn playbook_runs_show_the_newest_state_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path());
    let mut table = lake.runtime.block_on(Table::open(&lake.location, PLAYBOOK_RUNS, Some((&run_columns(), false)))).unwrap();
    let waits = json!([{ "frame": 0, "task": "7", "name": "look", "status": "person", "since_us": 9, "who": "ann" }]);
    let stored =
        Arc::new(rows(&[(0, 4, state("a", "running", json!([]))), (1, 9, state("b", "waiting", waits.clone())), (0, 5, state("a", "waiting", waits))]));
    let committed = lake.runtime.block_on(async {
        let adds = written(&table, &[stored], false).await?;
        table.append(&adds, &[Position { app: "x".to_owned(), from: None, next: 10 }], &[]).await
    });
    assert!(matches!(committed.unwrap(), Committed::Yes));
    let mut client = lake.client(false);
    let all = "SELECT id, state, waiting_for, waiting_who, tasks FROM playbook_runs ORDER BY id";
    assert_eq!(csv(&mut client, all), ["a,waiting,7 look,ann,3", "b,waiting,7 look,ann,3"]);
    // Beside what is live: the newest, once. A state that was replaced is not found by what it was.
    let ring: &Arc<Ring> = &lake.rings.runs;
    ring.committed(table.pinned().unwrap(), &[]);
    ring.push(rows(&[(0, 6, state("a", "completed", json!([]))), (1, 2, state("c", "new", json!([])))]));
    let mut client = lake.client(true);
    assert_eq!(csv(&mut client, all), ["a,completed,,,3", "b,waiting,7 look,ann,3", "c,new,,,3"]);
    assert_eq!(csv(&mut client, "SELECT count(*) FROM playbook_runs WHERE id = 'a' AND state = 'waiting'"), ["0"]);
    assert_eq!(csv(&mut client, "SELECT state, count(*) FROM playbook_runs GROUP BY state ORDER BY state"), ["completed,1", "new,1", "waiting,1"]);
    // The war room is a log: every entry is a row.
    let mut cells = Cells::new(&war_room_columns());
    for number in 0..3 {
        let entry = json!({ "entry": format!("{number}@a"), "run": "a", "incident": "ia", "kind": "note", "text": "said" }).to_string();
        assert!(push_entry(&mut cells, entry.as_bytes(), &Origin { partition: 0, offset: number, timestamp_ms: None }).unwrap());
    }
    let mut room = lake.runtime.block_on(Table::open(&lake.location, catchment::archive::WAR_ROOM, Some((&war_room_columns(), false)))).unwrap();
    lake.runtime.block_on(room.refresh()).unwrap();
    lake.rings.war_room.committed(room.pinned().unwrap(), &[]);
    lake.rings.war_room.push(Segment { batch: cells.finish().unwrap(), bytes: 1, covers: Default::default() });
    let mut client = lake.client(true);
    assert_eq!(csv(&mut client, "SELECT r.state, count(*) FROM war_room w JOIN playbook_runs r ON r.id = w.run GROUP BY 1"), ["completed,3"]);
}

#[test]
fn playbook_outputs_that_are_too_large_are_stored_and_named() {
    let large = "x".repeat(OUTPUT_BYTES_MAX + 10);
    let answer = json!({ "large": large, "small": 1 }).to_string();
    let server = Server::start(move |_| ("200 OK".to_owned(), answer.clone()));
    let dir = tempfile::tempdir().unwrap();
    let location = Location::Directory(dir.path().join("lake"));
    let call = Call {
        key: Key { frame: 0, task: 1, attempt: 1 },
        idempotency_key: "k".to_owned(),
        task: "1".to_owned(),
        command: "http-get".to_owned(),
        brand: None,
        arguments: json!({ "url": server.url }).as_object().unwrap().clone(),
        timeout_s: 20,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = || Settings { response_bytes: 4 << 20, ..loopback() };
    let done = |outside: Outside| runtime.block_on(async { outside.call(&call).await.unwrap() });
    let cut = done(Outside::new(settings()).unwrap());
    let mark = |context: &serde_json::Map<String, Value>| context.values().next().cloned().unwrap();
    assert_eq!((mark(&cut.context)["truncated"].clone(), mark(&cut.context).get("stored")), (json!(true), None));
    let outputs = Outputs::open(&location).unwrap();
    let mut first = None;
    for _ in 0..2 {
        let output = done(Outside::new(settings()).unwrap().storing(outputs.clone()));
        assert!(too_large(&output.context).is_empty(), "what stands in its place fits");
        assert_eq!(output.contents["truncated"], json!(true));
        let stored = mark(&output.context);
        let path = dir.path().join("lake").join(stored["stored"].as_str().unwrap());
        assert!(stored["stored"].as_str().unwrap().starts_with(OUTPUTS));
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(Some(bytes.len() as u64), stored["bytes"].as_u64());
        assert!(serde_json::from_slice::<Value>(&bytes).unwrap().to_string().contains(&large));
        assert_eq!(*first.get_or_insert_with(|| stored.clone()), stored, "the same again is the same file");
    }
    // Small values beside a large one stay.
    let context = json!({ "a": 1, "b": "y".repeat(OUTPUT_BYTES_MAX - 1_000), "c": "z".repeat(2_000), "d": 2, "e": first });
    assert_eq!(too_large(context.as_object().unwrap()), ["c"]);
}
