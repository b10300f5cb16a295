//! What the modes promise when members die: unkeyed input with one member, one index over all
//! partitions, at least once, and a start at the end that was fixed at first sight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exactly_once::{DRAIN, Scene};
use super::faults::long;
use super::process::{Catchment, Home};
use super::{Input, require_kafka};

/// Event `n`, in a partition that says nothing about its key.
fn scattered(n: u64) -> Input {
    let partition = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
    Input { partition: Some((partition % 6) as i32), key: Vec::new(), ..Scene::event(n) }
}

/// Committed facts: per key the ids of its incidents with the partition of their events, and how
/// often each was created; events attached per id.
#[derive(Default)]
struct Facts {
    created: BTreeMap<String, BTreeMap<(i64, String), u32>>,
    attached: u64,
}

impl Facts {
    fn read(scene: &Scene<'_>) -> Facts {
        let mut facts = Facts::default();
        for row in scene.kafka.read_settled(&scene.topic("incidents")) {
            let fact: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
            if fact["fact"] == "created" {
                let incident = &fact["incident"];
                let id = (incident["source"]["partition"].as_i64().unwrap(), incident["id"].as_str().unwrap().to_owned());
                *facts.created.entry(incident["k"].as_str().unwrap().to_owned()).or_default().entry(id).or_default() += 1;
            } else {
                facts.attached += fact["count"].as_u64().unwrap();
            }
        }
        facts
    }

    fn incidents(&self) -> u64 {
        self.created.values().flat_map(BTreeMap::values).map(|count| u64::from(*count)).sum()
    }
}

/// Keys that were fed, by partition, and how many events were not noise.
fn fed(scene: &Scene<'_>) -> (BTreeMap<String, BTreeSet<i64>>, u64) {
    let (mut keys, mut events) = (BTreeMap::<String, BTreeSet<i64>>::new(), 0);
    for row in scene.kafka.read(&scene.source) {
        let event: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        if event["noise"] == false {
            keys.entry(event["k"].as_str().unwrap().to_owned()).or_default().insert(i64::from(row.partition));
            events += 1;
        }
    }
    (keys, events)
}

/// Feeds and kills: at failpoints, and from outside.
fn kills(scene: &Scene<'_>, home: &Home, from: u64, events: impl Fn(u64) -> Input) {
    let rounds = if long() { 20 } else { 4 };
    let points = ["after_produce:2", "after_send_offsets:2", "after_end_txn:2"];
    for round in 0..rounds {
        let first = from + round * 5_000;
        scene.kafka.produce(&scene.source, (first..first + 5_000).map(&events));
        let point = (round % 2 == 0).then(|| points[(round / 2) as usize % points.len()]);
        let mut member = scene.start(home, point);
        match point {
            Some(point) => {
                // A fast member puts all of it into one transaction: the point is met in the second.
                let mut more = first + 5_000;
                let since = Instant::now();
                while member.status().is_none() {
                    assert!(since.elapsed() < DRAIN, "{point} was not reached");
                    scene.kafka.produce(&scene.source, (more..more + 20).map(&events));
                    more += 20;
                    std::thread::sleep(Duration::from_millis(200));
                }
                assert!(member.status().is_some_and(|status| !status.success()), "{point}");
            }
            None => {
                member.until_said("reading", DRAIN);
                std::thread::sleep(Duration::from_millis(40 * round));
                member.kill();
            }
        }
    }
}

fn finish(scene: &Scene<'_>, home: &Home) -> Catchment {
    let member = scene.start(home, None);
    scene.drained();
    member
}

#[test]
fn real_fault_unkeyed_input_has_one_survivor_per_key_and_partition() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "unkeyed");
    let home = scene.home("a");
    home.write("pipeline.yaml", &scene.pipeline().replace(", keyed_by: [k]", ""));
    kills(&scene, &home, 0, scattered);
    finish(&scene, &home).stop(DRAIN);
    let ((keys, events), facts) = (fed(&scene), Facts::read(&scene));
    let partitions = |ids: &BTreeMap<(i64, String), u32>| ids.keys().map(|(partition, _)| *partition).collect::<BTreeSet<_>>();
    for (key, expected) in &keys {
        let ids = &facts.created[key];
        assert!(ids.values().all(|count| *count == 1) && ids.len() == expected.len() && partitions(ids) == *expected, "{key}: {ids:?}, {expected:?}");
    }
    assert_eq!(facts.created.len(), keys.len());
    assert_eq!(facts.incidents() + facts.attached, events);
}

#[test]
fn real_fault_one_index_for_the_process_has_one_survivor_per_key() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "process");
    let home = scene.home("a");
    home.write("pipeline.yaml", &scene.pipeline().replace(", keyed_by: [k]", "").replace("preprocess: {", "preprocess: { scope: process,"));
    kills(&scene, &home, 0, scattered);
    finish(&scene, &home).stop(DRAIN);
    let ((keys, events), facts) = (fed(&scene), Facts::read(&scene));
    assert_eq!(facts.created.len(), keys.len());
    for (key, ids) in &facts.created {
        assert!(ids.len() == 1 && ids.values().all(|count| *count == 1), "{key}: {ids:?}");
    }
    assert_eq!(facts.incidents() + facts.attached, events);
}

#[test]
fn real_fault_at_least_once_repeats_and_loses_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "repeats");
    let home = scene.home_with("a", "delivery: at_least_once\ntransaction: { linger: 20ms }");
    kills(&scene, &home, 0, Scene::event);
    finish(&scene, &home).stop(DRAIN);
    let ((keys, events), facts) = (fed(&scene), Facts::read(&scene));
    assert_eq!(facts.created.len(), keys.len());
    for (key, ids) in &facts.created {
        assert_eq!(ids.len(), 1, "{key}: a repeated event recognises its incident: {ids:?}");
    }
    let repeated = facts.incidents() + facts.attached - events;
    println!("at least once: {events} events, {repeated} counted again after kills");
    assert!(facts.attached >= events - keys.len() as u64, "repeats are lost");
}

#[test]
fn real_fault_the_end_at_which_reading_began_stays() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "latest");
    let home = scene.home("a");
    home.write("pipeline.yaml", &scene.pipeline().replace("start: earliest", "start: latest"));
    kafka.produce(&scene.source, (0..1_000).map(Scene::event));
    let mut member = scene.start(&home, Some("after_produce:1"));
    member.until_ready(DRAIN);
    // It dies before it ever commits a result.
    kafka.produce(&scene.source, (1_000..2_000).map(Scene::event));
    assert!(!member.wait(DRAIN).success());
    assert!(kafka.read_settled(&scene.topic("incidents")).is_empty());
    kafka.produce(&scene.source, (2_000..3_000).map(Scene::event));
    finish(&scene, &home).stop(DRAIN);
    let facts = Facts::read(&scene);
    let events = (1_000..3_000u64).filter(|n| !n.is_multiple_of(97)).count() as u64;
    assert_eq!(facts.incidents() + facts.attached, events);
}
