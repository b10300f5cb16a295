//! Whole pipelines through the program: the same incidents, byte for byte, with any number of
//! workers and any size of batches; equal to what is checked in; equal to plain code.
//!
//! After a change that is meant: `UPDATE_GOLDEN=1 cargo test golden`, then read the difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::golden_model::{self, Variant};
use crate::replay_run::{Run, lines, replay};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Holds a file of `golden/` to what was found, or writes it.
fn hold(name: &str, found: &[u8]) {
    let path = dir().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let wanted = std::fs::read(&path).unwrap_or_default();
    for (number, (found, wanted)) in lines(found).iter().zip(lines(&wanted)).enumerate() {
        assert_eq!(String::from_utf8_lossy(found), String::from_utf8_lossy(wanted), "{name}, line {}", number + 1);
    }
    assert_eq!(lines(found).len(), lines(&wanted).len(), "{name}");
}

/// Runs with 1, 2 and 4 workers and batches of 1, 7 and 8,192 rows: all alike. The last run.
fn everywhere(pipeline: &str, input: &str, more: &[&str]) -> Run {
    let mut first: Option<Run> = None;
    for workers in ["1", "2", "4"] {
        for rows in ["1", "7", "8192"] {
            let mut args = vec![pipeline, input, "--workers", workers, "--batch-rows", rows];
            args.extend_from_slice(more);
            let run = replay(&dir(), &args);
            assert_eq!(run.code, 0, "{}", run.errors);
            run.assert_adds_up();
            let Some(first) = &first else {
                first = Some(run);
                continue;
            };
            let at = format!("{pipeline} with {workers} workers and batches of {rows}");
            let (one, other) = (first.by_origin(), run.by_origin());
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{at}");
            for (origin, incident) in &one {
                assert_eq!(incident, &other[origin], "{at}, {origin:?}");
            }
            assert!(first.incidents == run.incidents, "{at}: the order of lines");
            assert!(first.dead == run.dead, "{at}: dead letters");
            assert_eq!(counts(&first.stats), counts(&run.stats), "{at}");
        }
    }
    first.unwrap()
}

/// The stats without what depends on the machine.
fn counts(stats: &Value) -> Value {
    let mut stats = stats.clone();
    for key in ["seconds", "events_per_second", "rss_bytes_max", "workers"] {
        stats.as_object_mut().unwrap().remove(key);
    }
    stats
}

/// An incident without what the model does not say; links by the row of the other incident.
fn modest(incident: &Value, rows: &BTreeMap<String, i64>) -> Value {
    let mut incident = incident.clone();
    let members = incident.as_object_mut().unwrap();
    for key in ["id", "pipeline_version", "labels", "raw"] {
        members.remove(key);
    }
    for link in members.get_mut("linked").and_then(Value::as_array_mut).into_iter().flatten() {
        let row = rows[link["id"].as_str().unwrap()];
        link["id"] = json!(row);
    }
    incident
}

fn held_to_the_model(golden: &str, variant: Variant) -> Run {
    let pipeline = if variant.all { "all" } else { "first" };
    let more: &[&str] = if variant.arrival { &["--arrival", "received"] } else { &[] };
    let run = everywhere(pipeline, "events.ndjson", more);
    hold(golden, &run.incidents);
    let events: Vec<Value> = lines(golden_model::events().as_bytes()).iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let expected = golden_model::run(&events, variant);
    let found = run.by_origin();
    let rows: BTreeMap<String, i64> = found.iter().map(|((_, row, _), incident)| (incident["id"].as_str().unwrap().to_owned(), *row)).collect();
    assert_eq!(found.keys().map(|(_, row, _)| *row).collect::<Vec<_>>(), expected.incidents.keys().copied().collect::<Vec<_>>(), "{variant:?}");
    for ((_, row, _), incident) in &found {
        assert_eq!(modest(incident, &rows), expected.incidents[row], "{variant:?}, line {row}");
    }
    let totals = [
        ("incidents", "incidents.total"),
        ("filtered", "filtered.total"),
        ("unclassified", "unclassified"),
        ("dropped", "dropped.total"),
        ("attached", "attached.total"),
        ("late", "late"),
        ("no time", "no_time"),
    ];
    for (name, path) in totals {
        assert_eq!(run.count(path), expected.counts.get(name).copied().unwrap_or(0), "{variant:?}, {name}");
    }
    let shadow = |path: &str| path.split('.').fold(&run.stats, |value, key| &value[key]).as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(shadow("filtered.shadow"), expected.counts["filter shadow"]);
    assert_eq!(shadow("rule_shadow"), expected.counts["rule shadow"]);
    run
}

#[test]
fn the_events_are_those_of_the_generator() {
    hold("events.ndjson", golden_model::events().as_bytes());
}

#[test]
fn first_rule_that_applies() {
    let run = held_to_the_model("first.ndjson", Variant { all: false, arrival: false });
    // The golden would be worth little if some action never happened.
    for (kind, rules) in [("dropped", vec!["lab", "same scan"]), ("attached", vec!["logins", "latest of a file"])] {
        for rule in rules {
            assert!(run.stats[kind]["by_rule"][rule].as_u64() > Some(0), "{rule}: {}", run.stats);
        }
    }
    for rule in ["graver mail", "milder mail", "nobody", "story"] {
        assert!(run.stats["linked"]["by_rule"][rule].as_u64() > Some(0), "{rule}: {}", run.stats);
    }
    assert!(run.stats["closed"]["by_rule"]["known source"].as_u64() > Some(0));
    assert!(run.stats["closed"]["by_rule"]["milder mail"].as_u64() > Some(0));
    assert!(run.count("late") > 3 && run.count("no_time") > 3);
    let largest = run.by_origin().values().filter_map(|i| i["attached"]["count"].as_u64()).max();
    assert!(largest > Some(20), "no incident has more attachments than samples: {largest:?}");
}

#[test]
fn all_rules() {
    held_to_the_model("all.ndjson", Variant { all: true, arrival: false });
}

#[test]
fn arrival_from_a_path() {
    held_to_the_model("first-arrival.ndjson", Variant { all: false, arrival: true });
    held_to_the_model("all-arrival.ndjson", Variant { all: true, arrival: true });
}

#[test]
fn exploded_messages_and_dead_letters() {
    let run = everywhere("explode", "messages.ndjson", &[]);
    hold("explode.ndjson", &run.incidents);
    hold("explode.dead.ndjson", &run.dead);
    assert_eq!(run.count("empty_messages"), 1);
    let reasons: BTreeMap<String, Value> = serde_json::from_value(run.stats["dead_letters"]["by_reason"].clone()).unwrap();
    let wanted = [("explode_element", 1), ("not_an_object", 1), ("required_field", 2), ("syntax", 1), ("unclassified", 1)];
    assert_eq!(reasons, wanted.map(|(reason, count)| (reason.to_owned(), json!(count))).into());
    let found = run.by_origin();
    let at = |offset: i64, element: u64| &found[&("messages.ndjson".to_owned(), offset, element)];
    assert_eq!(at(0, 0)["weight"], json!(2.5));
    assert_eq!((&at(0, 1)["size"], &at(0, 1)["urgent"], &at(0, 1)["name"]), (&json!(11), &json!(false), &json!("TWO")));
    assert_eq!(at(0, 0)["raw"]["size"], json!(10));
    assert_eq!(at(1, 0)["_errors"], json!(["weight"]));
    // Repeats of the first element of the first message: elements of one message are told apart.
    assert_eq!(
        at(0, 0)["attached"]["samples"].as_array().unwrap().iter().map(|s| (s["offset"].as_i64(), s["element"].as_i64())).collect::<Vec<_>>(),
        [(Some(3), Some(0)), (Some(3), Some(1))]
    );
    assert_eq!(at(12, 0)["size"], json!(9_007_199_254_740_993_i64));
    assert_eq!(at(3, 2)["type"], "Beta");
    assert_eq!(at(5, 1)["name"], "SECOND OF TWO");
    assert_eq!(at(11, 0)["_errors"], json!(["occurred", "size", "urgent"]));
    assert_eq!(at(11, 0)["tags"], "not a list");
    assert_eq!(at(14, 0)["name"], "the last wins");
}

/// Several files of a source are one partition for the rules, in the order in which they are named.
#[test]
fn files_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let events = golden_model::events();
    let whole: Vec<&str> = events.lines().collect();
    std::fs::write(dir.path().join("whole.ndjson"), whole.join("\n")).unwrap();
    // Each part but the first begins with an event that has no time: it takes the time of the one before.
    let untimed: Vec<usize> = (1..whole.len()).filter(|row| whole[*row].contains("\"ts\":null")).collect();
    let (one, other) = (untimed[1], untimed[3]);
    for (name, part) in ["a", "b", "c"].iter().zip([&whole[..one], &whole[one..other], &whole[other..]]) {
        std::fs::write(dir.path().join(format!("part-{name}.ndjson")), part.join("\n")).unwrap();
    }
    let pipeline = self::dir().join("first");
    let pipeline = pipeline.to_str().unwrap();
    let one = replay(dir.path(), &[pipeline, "whole.ndjson"]);
    let parts = replay(dir.path(), &[pipeline, "part-a.ndjson", "part-b.ndjson", "part-c.ndjson"]);
    let told = |run: &Run| -> Vec<Value> {
        lines(&run.incidents)
            .iter()
            .map(|line| {
                let mut incident: Value = serde_json::from_slice(line).unwrap();
                let count = incident["attached"]["count"].clone();
                let links = incident["linked"].as_array().map_or(0, Vec::len);
                for key in ["id", "source", "attached", "linked"] {
                    incident.as_object_mut().unwrap().remove(key);
                }
                json!([incident, count, links])
            })
            .collect()
    };
    assert_eq!(told(&one), told(&parts));
    parts.assert_adds_up();
}

/// Facts tell the same story: what was attached and linked sums up to the state at the end.
#[test]
fn facts_sum_up_to_the_incidents() {
    for (pipeline, rows) in [("first", "7"), ("all", "64"), ("first", "8192")] {
        let state = replay(&dir(), &[pipeline, "events.ndjson"]);
        let facts = replay(&dir(), &[pipeline, "events.ndjson", "--facts", "--batch-rows", rows]);
        let mut known: BTreeMap<String, (Value, u64, u64)> = BTreeMap::new();
        let mut fact_ids = std::collections::BTreeSet::new();
        for line in lines(&facts.incidents) {
            let fact: Value = serde_json::from_slice(line).unwrap();
            assert!(fact_ids.insert(fact["fact_id"].as_str().unwrap().to_owned()), "a fact id twice: {fact}");
            let id = fact["id"].as_str().unwrap_or_default().to_owned();
            match fact["fact"].as_str().unwrap() {
                "created" => {
                    let incident = fact["incident"].clone();
                    let links = incident["linked"].as_array().map_or(0, Vec::len) as u64;
                    known.insert(incident["id"].as_str().unwrap().to_owned(), (incident, 0, links));
                }
                "attached" => {
                    assert!(fact["samples"].as_array().unwrap().len() as u64 == fact["count"].as_u64().unwrap().min(20));
                    known.get_mut(&id).expect("created before attached").1 += fact["count"].as_u64().unwrap();
                }
                "linked" => known.get_mut(&id).expect("created before linked").2 += 1,
                other => panic!("{other}"),
            }
        }
        let ends = state.by_origin();
        assert_eq!(ends.len(), known.len());
        for incident in ends.values() {
            let (created, attached, links) = &known[incident["id"].as_str().unwrap()];
            assert_eq!(incident["attached"]["count"].as_u64().unwrap_or(0), *attached);
            assert_eq!(incident["linked"].as_array().map_or(0, Vec::len) as u64, *links);
            for key in ["type", "severity", "occurred", "created", "status", "source", "closed"] {
                assert_eq!(incident[key], created[key], "{key}");
            }
        }
    }
}
