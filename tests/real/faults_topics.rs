//! Topics that are deleted under a running member: it says so, waits, and goes on with the new
//! ones. What stood in a deleted topic is gone; nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::exactly_once::{DRAIN, Scene};
use super::{require_kafka, until};

/// Facts of `incidents`: keys of the created, and how many events were attached.
fn facts(scene: &Scene<'_>) -> (BTreeMap<String, u64>, u64) {
    let (mut created, mut attached) = (BTreeMap::new(), 0);
    for row in scene.kafka.read_settled(&scene.topic("incidents")) {
        let fact: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        match fact["fact"].as_str().unwrap() {
            "created" => *created.entry(fact["incident"]["k"].as_str().unwrap().to_owned()).or_default() += 1,
            "attached" => attached += fact["count"].as_u64().unwrap(),
            other => panic!("an unexpected fact: {other}"),
        }
    }
    (created, attached)
}

/// Keys of these events, and how many they are, without noise.
fn keys(events: std::ops::Range<u64>) -> (BTreeSet<String>, u64) {
    let (mut keys, mut count) = (BTreeSet::new(), 0);
    for n in events {
        let event: Value = serde_json::from_slice(&Scene::event(n).value).unwrap();
        if event["noise"] == false {
            keys.insert(event["k"].as_str().unwrap().to_owned());
            count += 1;
        }
    }
    (keys, count)
}

#[test]
fn real_fault_a_deleted_output_topic_is_waited_for() {
    if !super::faults::long() {
        println!("left out: CATCHMENT_LONG=1, or scripts/prove faults");
        return;
    }
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "deleted");
    kafka.produce(&scene.source, (0..3_000).map(Scene::event));
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    scene.drained();
    let incidents = scene.topic("incidents");
    kafka.delete(&incidents);
    // All of these come when there is nowhere to write to: none may be lost.
    kafka.produce(&scene.source, (3_000..6_000).map(Scene::event));
    let why = member.until_troubled(&incidents, DRAIN);
    println!("without its topic: {why}");
    assert!(kafka.lag(&scene.group(), &scene.source) > 0, "reading waits");
    kafka.create(&incidents, 5, &[]);
    scene.drained();
    member.until_ready(DRAIN);
    let ((before, _), (after, count)) = (keys(0..3_000), keys(3_000..6_000));
    let new = after.difference(&before).count() as u64;
    let (created, attached) = facts(&scene);
    // The index remembers the incidents that went with the topic: their repeats attach to them.
    assert_eq!(created.values().sum::<u64>(), new, "created");
    assert!(created.keys().all(|key| !before.contains(key) && after.contains(key)));
    assert_eq!(attached, count - new, "attached");

    // Without the index topic, what was remembered goes, even if another of its name is there at once.
    let index = scene.topic("index");
    kafka.delete(&index);
    until("the index topic is gone", DRAIN, || !kafka.exists(&index));
    kafka.create(&index, 6, &[]);
    let noticed = |line: &str| line.contains("was deleted") && line.contains(&index);
    until("it notices the new index topic", DRAIN, || member.stderr().lines().any(noticed));
    kafka.produce(&scene.source, (6_000..9_000).map(Scene::event));
    scene.drained();
    let (again, count) = keys(6_000..9_000);
    let (all, attached_now) = facts(&scene);
    assert_eq!(all.values().sum::<u64>() - created.values().sum::<u64>(), again.len() as u64, "each key makes an incident once more");
    assert_eq!(attached_now - attached, count - again.len() as u64);
    member.stop(DRAIN);
}

#[test]
fn real_fault_missing_topics_are_told_at_the_start() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "missing");
    let home = scene.home("a");
    for topic in ["index", "events"] {
        kafka.delete(&scene.topic(topic));
        until("the topic is gone", DRAIN, || !kafka.exists(&scene.topic(topic)));
        let mut member = scene.start(&home, None);
        let status = member.wait(Duration::from_secs(60));
        assert_eq!(status.code(), Some(2), "{}", member.stderr());
        assert!(member.stderr().contains(&scene.topic(topic)) && member.stderr().contains("catchment topics"), "{}", member.stderr());
    }
}

#[test]
fn real_fault_an_input_topic_comes_back_with_fewer_partitions() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "fewer");
    kafka.produce(&scene.source, (0..500).map(Scene::event));
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    scene.drained();
    member.stop(DRAIN);
    kafka.delete(&scene.source);
    until("the topic is gone", DRAIN, || !kafka.exists(&scene.source));
    kafka.create(&scene.source, 2, &[]);
    kafka.produce(&scene.source, (500..1_000).map(Scene::event));
    // Within its session it is given what it had: partitions that are no more, too.
    let mut member = scene.start(&home, None);
    let counted = |want: u64| {
        let (created, attached) = facts(&scene);
        created.values().sum::<u64>() + attached == want
    };
    let (_, count) = keys(0..1_000);
    until("all of both topics is decided", Duration::from_secs(60), || counted(count));
    member.stop(DRAIN);
    println!("left out: {} partitions", member.stderr().matches("left out").count());
}

/// A source with `start: latest`: what was there before the group began is nobody's; what comes later is
/// not lost because a partition is new, or is given late.
#[test]
fn real_fault_new_partitions_of_a_latest_source_are_read_whole() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "latest");
    kafka.delete(&scene.source);
    until("the topic is gone", DRAIN, || !kafka.exists(&scene.source));
    kafka.create(&scene.source, 2, &[]);
    let home = scene.home("a");
    home.write("pipeline.yaml", &scene.pipeline().replace("start: earliest", "start: latest"));
    let decided = |events: std::ops::Range<u64>| {
        let (_, count) = keys(events);
        until("all is decided", Duration::from_secs(60), || {
            let (created, attached) = facts(&scene);
            created.values().sum::<u64>() + attached == count
        });
    };
    kafka.produce(&scene.source, (0..100).map(Scene::event));
    let mut member = scene.start(&home, None);
    member.until_ready(DRAIN);
    kafka.produce(&scene.source, (100..200).map(Scene::event));
    decided(100..200);
    member.stop(DRAIN);

    // More partitions, and events in them, while no member runs.
    let alter = |partitions: &str| {
        kafka.tool(&["TopicCommand", "--alter", "--topic", &scene.source, "--partitions", partitions]);
    };
    alter("4");
    kafka.produce(&scene.source, (200..400).map(Scene::event));
    let mut member = scene.start(&home, None);
    decided(100..400);

    // And while it runs.
    alter("6");
    kafka.produce(&scene.source, (400..600).map(Scene::event));
    decided(100..600);
    member.stop(DRAIN);

    // Made anew: within its session the member is given the partitions that it had, and the others later.
    kafka.delete(&scene.source);
    until("the topic is gone", DRAIN, || !kafka.exists(&scene.source));
    kafka.create(&scene.source, 2, &[]);
    let mut member = scene.start(&home, None);
    member.until_ready(DRAIN);
    member.stop(DRAIN);
    kafka.delete(&scene.source);
    until("the topic is gone", DRAIN, || !kafka.exists(&scene.source));
    kafka.create(&scene.source, 6, &[]);
    let mut member = scene.start(&home, None);
    member.until_ready(DRAIN);
    kafka.produce(&scene.source, (600..900).map(Scene::event));
    decided(100..900);
    member.stop(DRAIN);
}
