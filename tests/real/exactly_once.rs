//! Exactly once on a real broker: a pipeline with its topics, and the check that what committed
//! readers see is what a run without any accident would have written: ids, contents, counts,
//! ledger. `kill` and the `faults` break it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::process::Catchment;
use super::{Broker, Home, Input, require_kafka, unique};

const PARTITIONS: i32 = 6;
/// How long members may take to read what is left after the last kill.
pub(super) const DRAIN: Duration = Duration::from_secs(240);
/// Event times: fixed, so that `within` never depends on when the test runs.
const FIRST_MS: i64 = 1_790_000_000_000;

/// A pipeline, its topics, and what was fed.
pub(super) struct Scene<'b> {
    pub(super) kafka: &'b Broker,
    pub(super) name: String,
    pub(super) source: String,
}

impl<'b> Scene<'b> {
    pub(super) fn new(kafka: &'b Broker, name: &str) -> Scene<'b> {
        let name = unique(name);
        let source = format!("{name}.events");
        for (topic, partitions) in [("events", PARTITIONS), ("incidents", 3), ("incident-state", 3), ("index", PARTITIONS), ("dead-letters", 2)] {
            kafka.create(&format!("{name}.{topic}"), partitions, &[]);
        }
        Scene { kafka, name, source }
    }

    /// One of its topics.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub(super) fn pipeline(&self) -> String {
        format!(
            "name: {}\nsources: [ {{ name: events, topics: [{}], keyed_by: [k], start: earliest }} ]\nfilter: [ {{ name: noise, drop: \"noise = true\", reason: test }} ]\nclassify: {{ default: Event }}\nmap: {{ \"*\": {{ k: k, n: n }} }}\npreprocess: {{ rules: [ {{ name: repeats, match: [k], within: 1d, link_to: oldest, action: drop_and_update }} ] }}\n",
            self.name, self.source
        )
    }

    /// Home of a member; the pipeline stands in it.
    pub(super) fn home(&self, instance: &str) -> Home {
        self.home_with(instance, "transaction: { linger: 20ms }")
    }

    /// The same with other lines in its environment file.
    pub(super) fn home_with(&self, instance: &str, more: &str) -> Home {
        let home = Home::new(self.kafka, &format!("instance: {instance}\nlisten: {{ api: 127.0.0.1:0 }}\n{more}"));
        home.write("pipeline.yaml", &self.pipeline());
        home
    }

    pub(super) fn start(&self, home: &Home, failpoint: Option<&str>) -> Catchment {
        let variables: Vec<(&str, &str)> = failpoint.map(|value| ("CATCHMENT_FAILPOINT", value)).into_iter().collect();
        self.start_with(home, &variables)
    }

    /// The same with these environment variables.
    pub(super) fn start_with(&self, home: &Home, variables: &[(&str, &str)]) -> Catchment {
        home.spawn("run", &["run", "pipeline.yaml", "--role", "ingest", "--log", "info"], variables)
    }

    /// Waits until everything is read and committed.
    pub(super) fn drained(&self) {
        self.kafka.until_read(&self.group(), &[&self.source], DRAIN);
    }

    /// Event `n`: most keys repeat.
    pub(super) fn event(n: u64) -> Input {
        let key = format!("key-{}", n.wrapping_mul(2_654_435_761) % 5_000);
        let noise = n.is_multiple_of(97);
        let value = format!(r#"{{"k":"{key}","n":{n},"noise":{noise},"pad":"{}"}}"#, "x".repeat((n % 200) as usize));
        Input { timestamp_ms: FIRST_MS + n as i64, ..Input::new(&key, value) }
    }

    pub(super) fn group(&self) -> String {
        format!("{}.ingest", self.name)
    }

    /// What committed readers see must be what one member without accidents writes.
    pub(super) fn check(&self) {
        let mut created: HashMap<String, String> = HashMap::new();
        let mut expected: BTreeMap<String, (i64, u64)> = BTreeMap::new();
        let mut filtered = 0;
        let mut events = 0u64;
        for row in self.kafka.read(&self.source) {
            let event: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
            events += 1;
            if event["noise"] == true {
                filtered += 1;
                continue;
            }
            let entry = expected.entry(event["k"].as_str().unwrap().to_owned()).or_insert((event["n"].as_i64().unwrap(), 0));
            entry.1 += 1;
        }
        let mut attached: HashMap<String, u64> = HashMap::new();
        let mut keys: BTreeMap<String, i64> = BTreeMap::new();
        for row in self.kafka.read_settled(&format!("{}.incidents", self.name)) {
            // Facts of events of long ago are new all the same, or retention would take them before they are read.
            assert!(!(FIRST_MS..FIRST_MS + 10_000_000).contains(&row.timestamp_ms), "a fact has the time of its event");
            let fact: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
            match fact["fact"].as_str().unwrap() {
                "created" => {
                    let incident = &fact["incident"];
                    let (id, key) = (incident["id"].as_str().unwrap().to_owned(), incident["k"].as_str().unwrap().to_owned());
                    assert_eq!(row.key, id.as_bytes(), "keyed by its id");
                    assert!(created.insert(id.clone(), key.clone()).is_none(), "{id} was created twice");
                    let n = incident["n"].as_str().map_or_else(|| incident["n"].as_i64().unwrap(), |text| text.parse().unwrap());
                    assert!(keys.insert(key.clone(), n).is_none(), "{key} has two incidents");
                }
                "attached" => *attached.entry(fact["id"].as_str().unwrap().to_owned()).or_default() += fact["count"].as_u64().unwrap(),
                other => panic!("an unexpected fact: {other}"),
            }
        }
        assert_eq!(keys.len(), expected.len(), "incidents");
        for (key, (first, times)) in &expected {
            assert_eq!(keys.get(key), Some(first), "{key}: its first event makes the incident");
            let id = created.iter().find(|(_, known)| *known == key).map(|(id, _)| id).unwrap();
            assert_eq!(attached.get(id).copied().unwrap_or(0), times - 1, "{key}: repeats");
        }
        self.check_ledger(events, filtered, keys.len() as u64);
    }

    fn check_ledger(&self, events: u64, filtered: u64, incidents: u64) {
        let mut intervals: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        let (mut read, mut dropped, mut made, mut attached) = (0, 0, 0, 0);
        for row in self.kafka.read_settled(&format!("{}.index", self.name)).iter().filter(|row| row.key == b"ledger") {
            let record: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
            let counts = &record["counts"];
            assert_eq!(counts["adds_up"], true);
            read += counts["events"].as_u64().unwrap();
            dropped += counts["filtered"]["total"].as_u64().unwrap();
            made += counts["incidents"]["total"].as_u64().unwrap();
            attached += counts["attached"]["total"].as_u64().unwrap();
            for offsets in record["offsets"].as_array().unwrap() {
                let interval = (offsets["from"].as_i64().unwrap(), offsets["to"].as_i64().unwrap());
                intervals.entry(offsets["partition"].as_i64().unwrap()).or_default().push(interval);
            }
        }
        assert_eq!((read, dropped, made, attached), (events, filtered, incidents, events - filtered - incidents), "the ledger");
        for (partition, mut all) in intervals {
            all.sort_unstable();
            for pair in all.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "partition {partition}: {:?} and {:?} overlap", pair[0], pair[1]);
            }
        }
    }
}

#[test]
fn real_one_member_writes_each_key_once_and_stops_in_order() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "once");
    kafka.produce(&scene.source, (0..20_000).map(Scene::event));
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    kafka.until_read(&scene.group(), &[&scene.source], DRAIN);
    member.stop(DRAIN);
    // A restart goes on where it stopped, with what it remembers.
    kafka.produce(&scene.source, (20_000..30_000).map(Scene::event));
    let mut member = scene.start(&home, None);
    kafka.until_read(&scene.group(), &[&scene.source], DRAIN);
    member.stop(DRAIN);
    scene.check();
}

#[test]
fn real_a_member_that_slept_through_its_session_commits_nothing_of_it() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "sleep");
    kafka.produce(&scene.source, (0..40_000).map(Scene::event));
    let homes = [scene.home("a"), scene.home("b")];
    let mut first = scene.start(&homes[0], None);
    first.until_said("reading", DRAIN);
    std::thread::sleep(Duration::from_millis(300));
    first.pause();
    let mut second = scene.start(&homes[1], None);
    kafka.produce(&scene.source, (40_000..60_000).map(Scene::event));
    // Longer than the session (10 s) and the transaction's life (10 s).
    std::thread::sleep(Duration::from_secs(14));
    first.resume();
    kafka.produce(&scene.source, (60_000..80_000).map(Scene::event));
    kafka.until_read(&scene.group(), &[&scene.source], DRAIN);
    first.stop(DRAIN);
    second.stop(DRAIN);
    scene.check();
}
