//! The keeper on a real broker: facts in, states out, each fact once, whoever keeps them.
//! What is expected is the fold itself (held to a model in `incident_fold`) over the facts topic.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use catchment::incident::fact::{Fact, What, read};
use catchment::incident::facts::{push_attached_fact, push_created_head, push_edit, push_linked_fact};
use catchment::incident::fold::fold;
use catchment::incident::id::{FactId, IncidentId};
use catchment::incident::record::{Incident, Outcome, read_facts};
use catchment::incident::state::{Attachment, Sample};
use catchment::incident::time_text::TimeText;
use catchment::kafka::{Delivery, Settings, Transactor};
use catchment::keeper::{KeeperSpec, KeeperTotals, run, store_dir};
use catchment::run::health::Health;
use catchment::run::names::Names;

use super::{Broker, Input, Row, WAIT, require_kafka, unique};

/// A pipeline's two topics.
pub(super) struct Place<'a> {
    pub(super) kafka: &'a Broker,
    pub(super) names: Names,
}

/// A keeper on a thread.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<KeeperTotals, catchment::error::Error>>,
}

impl Running {
    pub(super) fn end(self) -> KeeperTotals {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

impl<'a> Place<'a> {
    fn new(kafka: &'a Broker, partitions: i32, state_configs: &[(&str, &str)]) -> Place<'a> {
        Place::named(kafka, &unique("keeper"), partitions, state_configs)
    }

    pub(super) fn named(kafka: &'a Broker, pipeline: &str, partitions: i32, state_configs: &[(&str, &str)]) -> Place<'a> {
        let names = Names::new(pipeline, None);
        kafka.create(&names.incidents, partitions, &[]);
        let configs: Vec<(&str, &str)> = state_configs.iter().copied().chain([("cleanup.policy", "compact")]).collect();
        kafka.create(&names.incident_state, partitions, &configs);
        Place { kafka, names }
    }

    fn settings(&self, instance: &str) -> (Settings, Settings) {
        let (bootstrap, names) = (self.kafka.bootstrap(), &self.names);
        let id = names.transactional_id("keeper", instance);
        (Settings::member(bootstrap, &names.keeper_group, instance), Settings::transactional(bootstrap, &id, Duration::from_secs(10)))
    }

    /// Of a pipeline whose topics are there.
    pub(super) fn of(kafka: &'a Broker, pipeline: &str) -> Place<'a> {
        Place { kafka, names: Names::new(pipeline, None) }
    }

    pub(super) fn keeper(&self, instance: &str, dir: &Path) -> Running {
        let (member, transactional) = self.settings(instance);
        let stop = Arc::new(AtomicBool::new(false));
        let spec = KeeperSpec {
            names: self.names.clone(),
            instance: instance.to_string(),
            member,
            transactional,
            reader: Settings::reader(self.kafka.bootstrap()),
            admin: Settings::admin(self.kafka.bootstrap()),
            store_dir: store_dir(dir, &self.names.pipeline, instance),
            memory_bytes: 8 << 20,
            health: Arc::new(Health::default()).role("keeper"),
            fencing: Arc::default(),
        };
        let stopped = stop.clone();
        Running { stop, thread: std::thread::spawn(move || run(&spec, &stopped)) }
    }

    pub(super) fn say(&self, facts: impl IntoIterator<Item = (IncidentId, Vec<u8>)>) {
        self.kafka.produce(&self.names.incidents, facts.into_iter().map(|(id, fact)| Input::new(id.hex(), fact)));
    }

    pub(super) fn until_read(&self) {
        self.kafka.until_read(&self.names.keeper_group, &[&self.names.incidents], WAIT * 2);
    }

    /// The newest record of every incident.
    fn states(&self) -> BTreeMap<Vec<u8>, Row> {
        self.kafka.read_settled(&self.names.incident_state).into_iter().map(|row| (row.key.clone(), row)).collect()
    }

    /// Holds the states to the facts, and gives both.
    pub(super) fn audit(&self) -> (BTreeMap<IncidentId, Incident>, BTreeMap<Vec<u8>, Row>) {
        let mut expected: BTreeMap<IncidentId, Incident> = BTreeMap::new();
        // A transaction that a dead member left open hides what comes behind it.
        for row in self.kafka.read_settled(&self.names.incidents) {
            if let Ok(fact) = read(Some(&row.key), row.value.as_deref().unwrap_or_default(), Some(row.timestamp_ms)) {
                let (held, _) = fold(expected.remove(&fact.about), &fact, 1_000_000);
                held.into_iter().for_each(|held| drop(expected.insert(fact.about, held)));
            }
        }
        let states = self.states();
        assert_eq!(states.len(), expected.len());
        for (id, incident) in &expected {
            let row = &states[&id.hex()[..]];
            assert_eq!(row.text(), String::from_utf8(incident.to_json()).unwrap());
            assert_eq!(row.header("version").unwrap(), incident.state.version.to_string().as_bytes());
            assert_eq!(read_facts(row.header("facts").unwrap()), incident.recent);
        }
        (expected, states)
    }
}

pub(super) fn created(id: IncidentId, more: &str) -> (IncidentId, Vec<u8>) {
    let mut out = Vec::new();
    push_created_head(&mut out, &id.hex());
    out.extend_from_slice(format!("{{\"id\":\"{id}\",\"type\":\"T\",\"severity\":2{more},\"status\":\"open\",\"version\":1}}}}").as_bytes());
    (id, out)
}

pub(super) fn attached(id: IncidentId, offset: i64) -> (IncidentId, Vec<u8>) {
    let sample = Sample { occurred: offset, topic: "t".into(), partition: 0, offset, element: 0 };
    let fact = Attachment { rule: "dup".into(), count: 1, first: offset, last: offset, samples: vec![sample] };
    let mut out = Vec::new();
    push_attached_fact(&mut out, id, &fact, &mut TimeText::default());
    (id, out)
}

pub(super) fn linked(id: IncidentId, other: u128) -> (IncidentId, Vec<u8>) {
    let mut out = Vec::new();
    push_linked_fact(&mut out, id, "story", IncidentId(other));
    (id, out)
}

pub(super) fn edit(id: IncidentId, fact: u128, what: What, if_version: Option<u64>) -> (IncidentId, Vec<u8>) {
    let mut out = Vec::new();
    let fact = Fact { id: FactId(fact), about: id, actor: Some("test".into()), at: 1_000_000, if_version, what };
    push_edit(&mut out, &fact, &mut TimeText::default());
    (id, out)
}

pub(super) fn set(id: IncidentId, fact: u128, token: &str, if_version: Option<u64>) -> (IncidentId, Vec<u8>) {
    edit(id, fact, What::Set(vec![("owner".into(), token.into())]), if_version)
}

/// Incidents by number: spread over partitions by their hex.
pub(super) fn id(number: u32) -> IncidentId {
    IncidentId(u128::from(number).wrapping_mul(0x0001_0001_0203_0405_0607_0809_0a0b_0c0d) + 1)
}

#[test]
fn real_keeper_makes_states_of_facts() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 3, &[]);
    let dir = tempfile::tempdir().unwrap();
    let keeper = place.keeper("a", dir.path());
    place.say((0..40).map(|n| created(id(n), r#","n":1e999,"raw":{"a":"\ud800"}"#)));
    place.say((0..40).flat_map(|n| (0..5).map(move |k| attached(id(n), k))));
    // Again: said twice, it counts once.
    place.say((0..40).flat_map(|n| [attached(id(n), 3), created(id(n), ",\"other\":1"), linked(id(n), 9), linked(id(n), 9)]));
    place.say([
        set(id(0), 1, "\"ann\"", Some(7)),
        set(id(0), 2, "\"bob\"", Some(7)),
        set(id(1), 3, "\"eve\"", None),
        edit(id(1), 4, What::Close { reason: Some("\"done\"".into()), notes: None }, Some(8)),
        edit(id(2), 5, What::Reopen, None),
        set(id(999), 6, "1", None),
        (id(3), b"not json".to_vec()),
        (id(3), br#"{"fact":"sneeze","fact_id":"00000000000000000000000000000001","id":"x"}"#.to_vec()),
        (IncidentId(1), created(id(3), "").1),
    ]);
    place.until_read();
    let (incidents, states) = place.audit();
    assert_eq!(incidents.len(), 40);
    assert!(incidents.values().all(|incident| incident.state.version >= 7));
    let noted = |n: u32, fact: u128| incidents[&id(n)].noted(FactId(fact)).map(|noted| (noted.outcome, noted.version));
    assert_eq!(noted(0, 1), Some((Outcome::Applied, 8)));
    assert_eq!(noted(0, 2), Some((Outcome::Rejected, 8)));
    assert_eq!((noted(1, 3), noted(1, 4)), (Some((Outcome::Applied, 8)), Some((Outcome::Applied, 9))));
    assert_eq!(noted(2, 5), Some((Outcome::Unchanged, 7)));
    let row = &states[&id(0).hex()[..]];
    assert_eq!(row.header("outcome").unwrap(), b"rejected");
    assert_eq!(row.header("fact").unwrap(), FactId(2).hex());
    assert!(row.text().contains(r#""n":1e999,"raw":{"a":"\ud800"}"#));
    assert!(!incidents.contains_key(&id(999)));

    let totals = keeper.end();
    let of = |kind, outcome| totals.facts.get(&(kind, outcome)).copied().unwrap_or(0);
    assert_eq!((of("created", "created"), of("created", "repeated")), (40, 40));
    assert_eq!((of("attached", "applied"), of("attached", "repeated")), (200, 40));
    assert_eq!((of("linked", "applied"), of("linked", "repeated")), (40, 40));
    assert_eq!((of("set", "applied"), of("set", "rejected"), of("set", "unknown_incident")), (2, 1, 1));
    assert_eq!((of("none", "malformed"), of("none", "unknown_kind"), of("none", "misrouted")), (1, 1, 1));
    assert_eq!(totals.facts.values().sum::<u64>(), 40 + 200 + 160 + 9);
    assert_eq!((totals.aborts, totals.lost), (0, 0));
}

#[test]
fn real_keeper_goes_on_after_a_restart_with_and_without_its_cache() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 2, &[]);
    let dir = tempfile::tempdir().unwrap();
    let keeper = place.keeper("a", dir.path());
    place.say((0..500).map(|n| created(id(n), "")));
    place.until_read();
    let totals = keeper.end();
    assert_eq!((totals.states, totals.restored), (500, 0));

    // With its cache: little is read, and nothing is forgotten.
    place.say((0..500).map(|n| attached(id(n), 1)));
    let keeper = place.keeper("a", dir.path());
    place.until_read();
    let totals = keeper.end();
    assert_eq!((totals.outcome("applied"), totals.outcome("unknown_incident")), (500, 0));
    assert!(totals.restored < 500, "{totals:?}");
    place.audit();

    // Without it all is read from the topic.
    std::fs::remove_dir_all(store_dir(dir.path(), &place.names.pipeline, "a")).unwrap();
    place.say((0..500).map(|n| attached(id(n), 2)));
    let keeper = place.keeper("a", dir.path());
    place.until_read();
    let totals = keeper.end();
    assert_eq!((totals.outcome("applied"), totals.outcome("unknown_incident")), (500, 0));
    assert!(totals.restored >= 500, "{totals:?}");
    let (incidents, _) = place.audit();
    assert!(incidents.values().all(|incident| incident.state.version == 3));

    // A tombstone, which only the keeper's operator may write: the incident is gone, and a fact about it a stranger's.
    kafka.produce(&place.names.incident_state, [Input::new(id(7).hex(), b"")]);
    std::fs::remove_dir_all(dir.path()).unwrap();
    place.say([attached(id(7), 3), attached(id(8), 3)]);
    let keeper = place.keeper("a", dir.path());
    place.until_read();
    let totals = keeper.end();
    assert_eq!((totals.outcome("applied"), totals.outcome("unknown_incident")), (1, 1), "{totals:?}");
}

#[test]
fn real_keepers_share_partitions() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 6, &[]);
    let dir = tempfile::tempdir().unwrap();
    let first = place.keeper("a", dir.path());
    place.say((0..2_000).map(|n| created(id(n), "")));
    let mut keepers = vec![first];
    for round in 0..4 {
        if round == 1 {
            keepers.push(place.keeper("b", dir.path()));
        }
        if round == 3 {
            // The first one leaves while facts come in.
            let totals = keepers.remove(0).end();
            assert_eq!(totals.lost, 0);
        }
        place.say((0..2_000).map(|n| attached(id(n), i64::from(round))));
        std::thread::sleep(Duration::from_millis(1_500));
    }
    place.until_read();
    let (incidents, states) = place.audit();
    assert!(incidents.values().all(|incident| incident.state.version == 5));
    assert_eq!(states.len(), 2_000);
    let totals = keepers.remove(0).end();
    assert_eq!(totals.outcome("unknown_incident"), 0, "{totals:?}");
    assert!(totals.outcome("applied") > 0, "the second keeper did nothing: {totals:?}");
}

#[test]
fn real_keeper_that_is_fenced_reads_again() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 2, &[]);
    let dir = tempfile::tempdir().unwrap();
    let keeper = place.keeper("a", dir.path());
    place.say((0..300).map(|n| created(id(n), "")));
    place.until_read();
    for round in 0..3 {
        // Somebody claims its transactional id: its next transaction fails, and so does whatever it folded.
        drop(Transactor::start(&place.settings("a").1, Delivery::ExactlyOnce, Vec::new()).unwrap());
        place.say((0..300).map(|n| attached(id(n), round)));
        place.until_read();
    }
    place.audit();
    let totals = keeper.end();
    assert_eq!((totals.outcome("applied"), totals.outcome("created")), (900, 300), "{totals:?}");
    assert!(totals.aborts >= 3, "{totals:?}");
}

#[test]
fn real_keeper_keeps_records_within_what_the_topic_takes() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 1, &[("max.message.bytes", "30000")]);
    let dir = tempfile::tempdir().unwrap();
    let keeper = place.keeper("a", dir.path());
    // Random enough that compression does not help.
    let noise: String = (0..50_000u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26)).collect();
    let token = format!("\"{}\"", &noise[..16_000]);
    place.say([
        created(id(1), &format!(r#","raw":{{"x":"{noise}"}}"#)),
        created(id(2), &format!(r#","x":"{noise}""#)),
        created(id(3), &format!(r#","x":{token}"#)),
        set(id(3), 1, &token, None),
        attached(id(3), 1),
    ]);
    place.until_read();
    let states = place.states();
    assert!(states[&id(1).hex()[..]].text().contains("\"raw_truncated\":true"));
    assert!(!states.contains_key(&id(2).hex()[..]));
    let third = &states[&id(3).hex()[..]];
    assert!(third.text().contains("\"reason\":\"too_large\"") && third.text().contains("\"version\":2"), "{}", third.text());
    let totals = keeper.end();
    assert_eq!((totals.outcome("too_large"), totals.outcome("rejected"), totals.aborts), (1, 1, 0), "{totals:?}");
}

#[test]
fn real_keeper_says_what_is_wrong_with_its_topics() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::new(kafka, 2, &[]);
    let dir = tempfile::tempdir().unwrap();
    let missing = Place { kafka, names: Names::new(&unique("nothing"), None) };
    let error = missing.keeper("a", dir.path()).thread.join().unwrap().unwrap_err();
    assert!(error.message.contains("does not exist") && error.hint.unwrap().contains("--create"));
    kafka.create(&missing.names.incidents, 2, &[]);
    kafka.create(&missing.names.incident_state, 3, &[]);
    let error = missing.keeper("a", dir.path()).thread.join().unwrap().unwrap_err();
    assert!(error.message.contains("must have the same"), "{error}");
    drop(place);
}
