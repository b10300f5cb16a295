//! Dead letters that are fed again, under rules: each becomes the incident that it would have
//! been, with that id, or a repeat of one; fed once more nothing new comes of them; and the
//! index remembers them, also after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use catchment::incident::id::{IdPrefix, IncidentId};
use catchment::kafka::{Admin, Settings};

use super::exactly_once::DRAIN;
use super::keeper::Place;
use super::{Broker, Home, Input, WAIT, require_kafka, unique, until};

const WORDS: &str = "fed again";

fn event(partition: i32, kind: &str, key: &str) -> Input {
    Input { partition: Some(partition), timestamp_ms: 1_790_000_000_000, ..Input::new("", format!(r#"{{"kind":"{kind}","k":"{key}"}}"#)) }
}

/// A pipeline that knows these kinds; everything else is a dead letter.
fn pipeline(home: &Home, name: &str, events: &str, kinds: &str) {
    let rules = "preprocess: { rules: [ { name: repeats, match: [k], within: 1d, link_to: oldest, action: drop_and_update } ] }";
    let text = format!(
        "name: {name}\nsources: [ {{ name: in, topics: [{events}], start: earliest }} ]\nclassify: {{ key: kind, types: {{ {kinds} }}, default: dead_letter }}\nmap: {{ '*': {{ k: k }} }}\n{rules}\n"
    );
    home.write("p/pipeline.yaml", &text);
}

/// The id of what is made from the event at this place.
fn ids(kafka: &Broker, name: &str, events: &str) -> impl Fn(i32, i64) -> IncidentId {
    let admin = Admin::connect(&Settings::admin(kafka.bootstrap()), WAIT).unwrap();
    let (cluster, topic) = (admin.cluster_id().to_owned(), admin.existing(&[events]).unwrap()[0].identity());
    let name = name.to_owned();
    move |partition, offset| IdPrefix::new("default", &name, &cluster, &topic, partition).id(offset, 0)
}

#[test]
fn real_dead_letters_fed_again_are_the_incidents_that_they_would_have_been() {
    let Some(kafka) = require_kafka() else { return };
    let (name, events) = (unique("again"), unique("again-in"));
    kafka.create(&events, 2, &[]);
    let home = Home::new(kafka, "instance: a\nlisten: { api: 127.0.0.1:0 }");
    pipeline(&home, &name, &events, "a: A");
    assert!(home.run(&["topics", "p", "--create"]).status.success());
    let place = Place::of(kafka, &name);
    let start = || home.spawn("a", &["run", "p", "--log", "info"], &[]);
    // Offsets of partition 1: 1 and 2 are the same, 3 repeats 0; all three are not known yet.
    kafka.produce(&events, [event(1, "a", "x"), event(1, "b", "y"), event(1, "b", "y"), event(1, "b", "x"), event(1, "a", "z")]);
    let mut member = start();
    let letters = format!("{name}.dead-letters");
    until("three dead letters", DRAIN, || kafka.read(&letters).len() == 3);

    pipeline(&home, &name, &events, "a: A, b: B");
    member.reload();
    member.until_said("reloaded", DRAIN);
    let again = || {
        let output = home.run(&["dead-letters", "replay", "p", "--from", "0:0,1:0,2:0", "--reason", "unclassified"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains(&format!("3 of 3 dead letters {WORDS}")), "{said}");
        kafka.until_read(&format!("{name}.ingest"), &[&events], DRAIN);
        place.until_read();
    };
    again();
    let id = ids(kafka, &name, &events);
    // What exists, and how many events were attached to it.
    let expect = |what: &str, incidents: &[(IncidentId, u64)]| {
        let (found, _) = place.audit();
        let found: BTreeMap<IncidentId, u64> =
            found.iter().map(|(id, incident)| (*id, incident.state.attached.as_ref().map_or(0, |attached| attached.count))).collect();
        assert_eq!(found, incidents.iter().copied().collect(), "{what}");
    };
    expect("fed once", &[(id(1, 0), 1), (id(1, 1), 1), (id(1, 4), 0)]);
    again();
    expect("fed twice", &[(id(1, 0), 1), (id(1, 1), 1), (id(1, 4), 0)]);

    // The index is restored from the topic: a repeat finds the incident under its first coordinates. In
    // another partition it is a stranger.
    member.kill();
    let mut member = start();
    member.until_ready(DRAIN);
    let end = kafka.watermarks(&events, 0).1;
    kafka.produce(&events, [event(1, "a", "y"), event(0, "a", "y")]);
    kafka.until_read(&format!("{name}.ingest"), &[&events], DRAIN);
    place.until_read();
    expect("after a restart", &[(id(1, 0), 1), (id(1, 1), 2), (id(1, 4), 0), (id(0, end), 0)]);
    again();
    expect("fed a third time", &[(id(1, 0), 1), (id(1, 1), 2), (id(1, 4), 0), (id(0, end), 0)]);
    member.stop(Duration::from_secs(60));
}
