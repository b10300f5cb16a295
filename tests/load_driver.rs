//! The driver of `load` and `demo` on the embedded broker, with a small responder of the
//! test's own in place of the pipeline: what it sees, and what its audit finds.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use catchment::kafka::{Credit, CreditTopic, EmbeddedBroker, Feeder, Settings, TopicReader};
use catchment::load::ahead::Ahead;
use catchment::load::audit::{Ids, Verdict};
use catchment::load::book::Book;
use catchment::load::latency::percentiles;
use catchment::load::live::Live;
use catchment::load::pace::{Clock, Pace};
use catchment::load::send::{Outlet, Sender, SenderSpec};
use catchment::load::tail::{Ends, Tail, TailSpec};
use catchment::load::{Generator, GeneratorSpec, Outcome, profiles};

use catchment::incident::id::IdPrefix;

const INPUT: &str = "bench.events";
const OUTPUT: &str = "out.incidents";
const DEAD: &str = "out.dead-letters";
const PARTITIONS: i32 = 3;

/// What the responder does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    LosesOne,
    DoublesOne,
    MiscountsOne,
    InventsOne,
}

fn ids() -> Ids {
    Ids { tenant: "default".into(), pipeline: "bench".into(), cluster: "c".into(), topics: vec![(INPUT.into(), "topic-id".into())] }
}

fn id(partition: i32, offset: i64) -> String {
    IdPrefix::new("default", "bench", "c", "topic-id", partition).id(offset, 0).to_string()
}

fn created(id: &str, type_name: &str, partition: i32, offset: i64) -> Vec<u8> {
    format!(r#"{{"fact":"created","fact_id":"{id}","incident":{{"id":"{id}","type":"{type_name}","source":{{"name":"bench","topic":"{INPUT}","partition":{partition},"offset":{offset},"element":0}}}}}}"#).into_bytes()
}

/// Sends 3,000 events; the responder answers with the generator's own answers and one fault.
fn run(fault: Fault) -> (Verdict, u64) {
    let topics = [(INPUT, PARTITIONS), (OUTPUT, 2), (DEAD, 1)];
    let broker = EmbeddedBroker::start(&topics).unwrap();
    let credit = Credit::with_limit(&topics.map(|(name, partitions)| CreditTopic { name: name.into(), partitions, readers: 1 }), u64::MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Clock::start();
    let live = Arc::new(Live::default());
    let book = Arc::new(Book::new((0..PARTITIONS).map(|partition| (INPUT.to_owned(), partition, 0)).collect(), true));
    let tail = Tail::spawn(TailSpec {
        reader: TopicReader::open(&Settings::reader(broker.bootstrap()).embedded(), &topics[1..], None).unwrap(),
        incidents: OUTPUT.into(),
        dead_letters: DEAD.into(),
        book: book.clone(),
        ids: Some(Arc::new(ids())),
        clock,
        live: live.clone(),
        metrics: false,
        keep: None,
    })
    .unwrap();
    let spec = GeneratorSpec { rate: 1000, ..GeneratorSpec::plain(&profiles::BENCH, 4, 3_000) };
    let feeder = Feeder::start(&Settings::feeder(broker.bootstrap()), &credit, stop.clone()).unwrap();
    let sender =
        SenderSpec { outlet: Outlet::Embedded(feeder), topics: vec![(INPUT.into(), PARTITIONS)], keyed: true, book: book.clone(), live: live.clone(), clock };
    let mut sender = Sender::new(sender, Ahead::start(Generator::new(spec.clone()).unwrap()).unwrap());
    let segment = sender.run(Pace::PerSecond(10_000.0), u64::MAX, None, &stop, &|| false).unwrap();
    sender.flush(Duration::from_secs(10)).unwrap();
    assert_eq!(segment.events, 3_000);
    assert!((0.29..2.0).contains(&segment.seconds), "{}", segment.seconds);

    // The answers are known by construction; the responder only has to say them.
    let mut answer = Feeder::start(&Settings::feeder(broker.bootstrap()), &credit, stop.clone()).unwrap();
    let output = answer.topic(OUTPUT).unwrap();
    let mut generator = Generator::new(spec).unwrap();
    let mut message = catchment::load::Message::default();
    let mut places: Vec<(i32, i64)> = Vec::new();
    let mut next = [0; PARTITIONS as usize];
    let (mut number, mut faults) = (0, 0);
    while generator.next(&mut message) {
        let partition = catchment::kafka::partition_of(&message.key, PARTITIONS);
        let offset = next[partition as usize];
        next[partition as usize] += 1;
        places.push((partition, offset));
        number += 1;
        let own = id(partition, offset);
        let mut say = |fact: Vec<u8>, about: &str| answer.send(output, Some(about.as_bytes()), &fact, 1_700_000_000_000).unwrap();
        let now = number > 1_000 && faults == 0;
        match message.outcomes[0] {
            Outcome::Incident { .. } if now && fault == Fault::LosesOne => faults += 1,
            Outcome::Incident { type_name, .. } => {
                say(created(&own, type_name, partition, offset), &own);
                if now && fault == Fault::DoublesOne {
                    say(created(&own, type_name, partition, offset), &own);
                    faults += 1;
                }
            }
            Outcome::Attached(rule) => {
                let (partition, offset) = places[message.groups[0].unwrap() as usize];
                let target = id(partition, offset);
                let count = if now && fault == Fault::MiscountsOne { 2 } else { 1 };
                faults += u64::from(count == 2);
                say(format!(r#"{{"fact":"attached","fact_id":"{number:032x}","id":"{target}","rule":"{rule}","count":{count}}}"#).into_bytes(), &target);
                if now && fault == Fault::InventsOne {
                    let (partition, offset) = *places.last().unwrap();
                    say(created(&own, "Port Scan", partition, offset), &own);
                    faults += 1;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let fed = answer.finish().unwrap();
    let ends: Ends = fed.ends.into_iter().filter(|(topic, ..)| topic != INPUT).collect();
    // Who waits for what is there gets it; who waits for more is let go in time, or when it is ended.
    let never = AtomicBool::new(false);
    assert!(tail.read_to(ends.clone(), Duration::from_secs(20), &never));
    let beyond: Ends = ends.iter().map(|(topic, partition, end)| (topic.clone(), *partition, end + 1)).collect();
    assert!(!tail.read_to(beyond.clone(), Duration::from_millis(50), &never));
    assert!(!tail.read_to(beyond, Duration::from_secs(20), &AtomicBool::new(true)));
    let tailed = tail.finish(ends, Duration::from_secs(20)).unwrap();
    assert_eq!(percentiles(&tailed.latencies).count, book_expected(&places, fault));
    let (expected, failed) = sender.finish();
    assert_eq!(failed.count, 0);
    (tailed.found.verdict(&expected, &book, Some(&ids()), None), faults)
}

/// Incidents that have a latency: each expected one that came.
fn book_expected(places: &[(i32, i64)], fault: Fault) -> u64 {
    assert_eq!(places.len(), 3_000);
    let mut generator = Generator::new(GeneratorSpec { rate: 1000, ..GeneratorSpec::plain(&profiles::BENCH, 4, 3_000) }).unwrap();
    let mut message = catchment::load::Message::default();
    let mut incidents = 0;
    while generator.next(&mut message) {
        incidents += u64::from(matches!(message.outcomes[0], Outcome::Incident { .. }));
    }
    incidents - u64::from(fault == Fault::LosesOne)
}

#[test]
fn a_faultless_pipeline_is_good() {
    let (verdict, _) = run(Fault::Nothing);
    assert!(verdict.is_good(), "{:?}", verdict.lines());
    assert_eq!(verdict.expected.events, 3_000);
    assert_eq!(verdict.notes.len(), 1, "the responder keeps no ledger, and the audit says so: {:?}", verdict.notes);
}

#[test]
fn every_fault_is_found_and_named() {
    for (fault, words, lines) in [
        (Fault::LosesOne, "incidents are missing", 2),
        (Fault::DoublesOne, "incidents came more than once", 2),
        (Fault::MiscountsOne, "another number of attached events", 2),
        (Fault::InventsOne, "incidents came that must not be", 2),
    ] {
        let (verdict, faults) = run(fault);
        assert_eq!(faults, 1);
        assert!(!verdict.is_good());
        let text = verdict.lines().join("\n");
        assert!(text.contains(words) && text.contains("topics: "), "{text}");
        // Later attachments to a lost incident have no incident to be attached to.
        assert!(verdict.lines().len() >= lines, "{text}");
        if fault != Fault::MiscountsOne {
            assert!(text.contains("bench.events["), "coordinates are named: {text}");
        }
    }
}
