//! The ledger adds up: over everything that was recorded, and over everything that is hostile.

use catchment::ingest::output::TraceEnd;
use serde_json::json;

use crate::decode_oracle::shared;
use crate::one_batch::{POISON, assert_same_but, ends, incidents, run};
use crate::replay_run::{lines, replay};
use crate::soc_recordings::{RECORDED, directories, files, soc};

/// Events of all recordings, as their README counts them.
const EVENTS: u64 = 223_511;

#[test]
fn over_all_recordings() {
    let Some(directories) = directories() else { return };
    let files: Vec<String> = directories.iter().flat_map(|dir| files(dir)).map(|path| path.to_string_lossy().into_owned()).collect();
    let soc = soc();
    let mut args = vec![soc.to_str().unwrap()];
    args.extend(files.iter().map(String::as_str));
    let run = replay(std::path::Path::new("."), &args);
    assert_eq!(run.code, 0, "{}", run.errors);
    assert_eq!(run.count("events"), EVENTS);
    assert_eq!(run.count("messages"), EVENTS);
    run.assert_adds_up();
    assert_eq!(run.count("dead_letters.total"), 0, "{}", run.stats["dead_letters"]);
}

#[test]
fn over_each_recording() {
    let Some(recorded) = &*RECORDED else { return };
    let mut events = 0;
    for (name, counts) in &recorded.counts {
        assert!(counts.adds_up(), "{name}: {}", counts.to_json(&recorded.plan));
        assert_eq!(counts.dropped_total() + counts.attached_total(), 0, "{name}: a rule in shadow mode has acted");
        events += counts.events;
    }
    assert_eq!(events, EVENTS);
}

fn hostile() -> Vec<(String, Vec<u8>)> {
    let Some(dir) = shared("events/hostile") else { return Vec::new() };
    let mut found: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    found.sort();
    assert!(found.len() >= 318, "{} files", found.len());
    found.into_iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect()
}

/// An event that becomes an incident of its own, and reads nearly every field.
fn neighbour(number: usize) -> Vec<u8> {
    let event = json!({
        "ts": "2026-03-02T08:00:00Z", "kind": (["a", "b"][number % 2]), "host": "WS-1", "user": { "name": format!("user {number}") }, "key": format!("key {number}"),
        "src": "10.1.2.3", "level": number % 11, "divisor": 2, "size": 1.5, "whole": 3, "truth": true, "name": "a name of four words", "tags": ["odd", 1], "blob": "{\"a\":{\"b\":2}}",
        "seen": 1772438400, "word": "low",
    });
    event.to_string().into_bytes()
}

/// Each hostile file as one message: it ends, as a dead letter or as an event, and both
/// neighbours become the incidents that they are without it.
#[test]
fn each_hostile_file_alone() {
    let (before, after) = (neighbour(0), neighbour(1));
    let plain = run(&POISON, &[&before, br#"{"kind":"unwanted"}"#, &after]);
    assert_eq!(incidents(&plain).len(), 2);
    for (name, text) in hostile() {
        let output = run(&POISON, &[&before, &text, &after]);
        assert_same_but(|offset| offset == 1, &plain, &output);
        let ends = ends(&output).remove(&1).unwrap_or_default();
        assert!(!ends.is_empty(), "{name} has no end");
        let dead = ends.iter().all(|end| matches!(end, TraceEnd::Dead(_)));
        match name.as_bytes()[0] {
            b'n' => assert!(dead && ends.len() == 1, "{name}: {ends:?}"),
            // What is JSON, but no object, is no event.
            b'y' => assert_eq!(
                ends,
                if text.trim_ascii_start().starts_with(b"{") { vec![TraceEnd::Unclassified] } else { vec![TraceEnd::Dead("not_an_object")] },
                "{name}"
            ),
            _ => {}
        }
        assert_eq!(output.counts.dead_total() as usize, lines(&output.dead).len());
    }
}

#[test]
fn all_hostile_files_together() {
    let hostile = hostile();
    if hostile.is_empty() {
        return;
    }
    let neighbours: Vec<Vec<u8>> = (0..=hostile.len()).map(neighbour).collect();
    let mut plain: Vec<&[u8]> = Vec::new();
    let mut poisoned: Vec<&[u8]> = Vec::new();
    for (number, good) in neighbours.iter().enumerate() {
        plain.push(good);
        poisoned.push(good);
        if let Some((_, text)) = hostile.get(number) {
            plain.push(br#"{"kind":"unwanted"}"#);
            poisoned.push(text);
        }
    }
    let (plain, poisoned) = (run(&POISON, &plain), run(&POISON, &poisoned));
    assert_eq!(incidents(&plain).len(), neighbours.len());
    assert_same_but(|offset| offset % 2 == 1, &plain, &poisoned);
    assert_eq!(poisoned.counts.messages as usize, neighbours.len() + hostile.len());
}

/// The same through the program: every hostile line between two good ones, in one file.
#[test]
fn hostile_lines_in_a_file() {
    let hostile = hostile();
    if hostile.is_empty() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    let mut hostile_lines = 0;
    let mut good = 0;
    for (_, text) in &hostile {
        for line in text.split(|b| *b == b'\n') {
            hostile_lines += usize::from(!line.is_empty() && line != b"\r");
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            bytes.extend_from_slice(&neighbour(good));
            bytes.push(b'\n');
            good += 1;
        }
    }
    std::fs::write(dir.path().join("all.ndjson"), &bytes).unwrap();
    let pipeline = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/poison");
    for rows in ["3", "8192"] {
        let run = replay(dir.path(), &[pipeline.to_str().unwrap(), "all.ndjson", "--batch-rows", rows]);
        assert_eq!(run.code, 0, "{}", run.errors);
        run.assert_adds_up();
        assert_eq!(run.count("messages") as usize, good + hostile_lines);
        assert_eq!(run.count("incidents.total") as usize, good);
        let users: std::collections::BTreeSet<String> = run.by_origin().values().map(|incident| incident["user"].as_str().unwrap().to_owned()).collect();
        assert_eq!(users.len(), good, "a neighbour was lost");
    }
}
