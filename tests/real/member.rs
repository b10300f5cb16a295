//! A whole member: both roles in one process, states of incidents, and a pipeline that is
//! exchanged while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::exactly_once::Scene;
use super::{Input, require_kafka, until};

const WAIT: Duration = Duration::from_secs(120);

/// The newest state of every incident, by its key `k`.
fn states(scene: &Scene) -> BTreeMap<String, Value> {
    let mut newest = BTreeMap::new();
    for row in scene.kafka.read(&format!("{}.incident-state", scene.name)) {
        let state: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        assert_eq!(row.key, state["id"].as_str().unwrap().as_bytes());
        newest.insert(state["k"].as_str().unwrap().to_owned(), state);
    }
    newest
}

#[test]
fn real_both_roles_keep_every_incident_in_its_newest_version() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "member");
    kafka.produce(&scene.source, (0..15_000).map(Scene::event));
    let home = scene.home("a");
    let mut member = home.spawn("run", &["run", "pipeline.yaml", "--log", "info"], &[]);
    kafka.until_read(&scene.group(), &[&scene.source], WAIT);
    let keeper = format!("{}.keeper", scene.name);
    let facts = format!("{}.incidents", scene.name);
    kafka.until_read(&keeper, &[&facts], WAIT);
    member.stop(WAIT);

    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for n in (0..15_000u64).filter(|n| !n.is_multiple_of(97)) {
        let event: Value = serde_json::from_slice(&Scene::event(n).value).unwrap();
        *expected.entry(event["k"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let states = states(&scene);
    assert_eq!(states.len(), expected.len());
    for (key, times) in expected {
        let state = &states[&key];
        assert_eq!(state["attached"]["count"].as_u64().unwrap_or(0), times - 1, "{key}");
        assert_eq!(state["status"], "open");
        assert_eq!(state["version"].as_u64().unwrap() > 1, times > 1, "{key}");
    }
}

#[test]
fn real_a_pipeline_is_exchanged_only_for_one_that_passes() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "reload");
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    kafka.produce(&scene.source, (0..3_000).map(Scene::event));
    kafka.until_read(&scene.group(), &[&scene.source], WAIT);

    home.write("pipeline.yaml", "name: broken\nsources: nothing\n");
    member.reload();
    member.until_said("the old one goes on", WAIT);
    let failing = format!("{}tests: [ {{ name: wrong, event: {{ k: a, n: 1 }}, expect: {{ k: b }} }} ]\n", scene.pipeline());
    home.write("pipeline.yaml", &failing);
    member.reload();
    member.until_said("of its tests fail (wrong)", WAIT);

    let better = scene.pipeline().replace("match: [k]", "match: [k, type]").replace("{ k: k, n: n }", "{ k: k, n: n, seen: \"'again'\" }");
    home.write("pipeline.yaml", &better);
    member.reload();
    member.until_said("begins with an empty index", WAIT);
    member.until_said("reloaded: version", WAIT);
    kafka.produce(&scene.source, (3_000..6_000).map(Scene::event));
    kafka.until_read(&scene.group(), &[&scene.source], WAIT);
    member.stop(WAIT);

    let mut versions: BTreeMap<String, u32> = BTreeMap::new();
    let mut again = 0;
    for row in kafka.read(&format!("{}.incidents", scene.name)) {
        let fact: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        if fact["fact"] == "created" {
            let incident = &fact["incident"];
            *versions.entry(incident["pipeline_version"].as_str().unwrap().to_owned()).or_default() += 1;
            again += u32::from(incident["seen"] == "again");
        }
    }
    assert_eq!(versions.len(), 2, "every incident carries the version that made it: {versions:?}");
    assert!(versions.values().any(|count| *count == again) && again > 0);
    until("the reload is in the log", WAIT, || member.stderr().contains("begins with an empty index"));
}

#[test]
fn real_a_topic_that_appears_is_read_from_its_beginning() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "appears");
    let [old, new] = ["a", "b"].map(|name| format!("{}.in.{name}", scene.name));
    let event = |n: u64| Input { partition: Some(0), ..Scene::event(n) };
    kafka.create(&old, 1, &[]);
    kafka.produce(&old, (0..100).map(event));
    let home = scene.home("a");
    let pipeline = scene.pipeline().replace(&format!("topics: [{}]", scene.source), &format!("topics: ['^{}[.]in[.]']", scene.name));
    home.write("pipeline.yaml", &pipeline.replace("start: earliest", "start: latest"));
    let mut member = scene.start(&home, None);
    member.until_said("reading", WAIT);
    kafka.create(&new, 1, &[]);
    kafka.produce(&new, (1_000..1_200).map(event));
    kafka.until_read(&scene.group(), &[&old, &new], WAIT);
    member.stop(WAIT);
    let mut of = BTreeMap::<String, u64>::new();
    for row in kafka.read_settled(&scene.topic("incidents")) {
        let fact: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        if fact["fact"] == "created" {
            *of.entry(fact["incident"]["source"]["topic"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    let expected = (1_000..1_200).filter(|n| n % 97 != 0).count() as u64;
    assert_eq!(of.into_iter().collect::<Vec<_>>(), [(new, expected)], "what is new is read as a whole, the past of the other is not");
}
