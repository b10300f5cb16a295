//! Keepers die by SIGKILL again and again while facts keep coming: at random moments, between
//! producing and committing, between committing and their cache, both at once, without their disk;
//! one sleeps through its session. What committed readers of `incident-state` see is the fold of
//! all facts, each once; and, told without the fold, what the test knows that it has said.
//!
//! `CATCHMENT_KILLS` (default 6) says how often; `scripts/prove keeper` sets it to 50.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catchment::incident::fact::What;
use catchment::incident::id::{FactId, IncidentId};
use catchment::incident::record::{Outcome, read_facts};

use super::exactly_once::{DRAIN, Scene};
use super::faults::under_load;
use super::keeper::{Place, attached, created, edit, id, linked, set};
use super::killer::{Killer, Random};
use super::{Home, require_kafka, unique};

/// Where a keeper kills itself, and at which hit.
const FAILPOINTS: [&str; 4] = ["keeper_after_produce:3", "keeper_after_commit:2", "during_restore:40", "keeper_after_commit:5"];
/// From so many kills on every failpoint must have fired.
const ALL_FIRE_FROM: u32 = 20;
/// Incidents about which facts are said at the same time.
const TOGETHER: u32 = 300;
/// Attachments of each incident.
const ATTACHED: i64 = 4;
/// What its version is in the end: created, attached, linked, set, closed, reopened.
const VERSION: u64 = 1 + ATTACHED as u64 + 4;

fn kills() -> u32 {
    std::env::var("CATCHMENT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// All facts about some incidents, in the order in which they are said: some twice, some that
/// must be refused, some about incidents that are not there.
fn facts(incidents: std::ops::Range<u32>) -> Vec<(IncidentId, Vec<u8>)> {
    let mut all = Vec::new();
    let number = |n: u32, kind: u128| u128::from(n) << 8 | kind;
    all.extend(incidents.clone().map(|n| created(id(n), ",\"raw\":{\"a\":[1,2,{\"b\":null}]}")));
    for k in 0..ATTACHED {
        all.extend(incidents.clone().map(|n| attached(id(n), k)));
    }
    all.extend(incidents.clone().filter(|n| n % 3 == 0).flat_map(|n| [attached(id(n), 1), created(id(n), ",\"other\":true")]));
    all.extend(incidents.clone().map(|n| linked(id(n), 7)));
    all.extend(incidents.clone().map(|n| set(id(n), number(n, 1), &format!("\"owner {n}\""), None)));
    all.extend(incidents.clone().map(|n| set(id(n), number(n, 2), "\"nobody\"", Some(1))));
    all.extend(incidents.clone().map(|n| edit(id(n), number(n, 3), What::Close { reason: Some("\"done\"".into()), notes: None }, None)));
    all.extend(incidents.clone().map(|n| edit(id(n), number(n, 4), What::Reopen, None)));
    all.extend(incidents.clone().filter(|n| n % 5 == 0).map(|n| edit(id(n), number(n, 3), What::Close { reason: None, notes: None }, None)));
    all.extend(incidents.filter(|n| n % 50 == 0).map(|n| set(IncidentId(id(n).0 ^ 1), number(n, 5), "1", None)));
    all
}

/// Says facts about ever more incidents while `work` does its work; how many incidents that were.
pub(super) fn while_said(place: &Place<'_>, work: impl FnOnce()) -> u32 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let saying = scope.spawn(|| {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                place.say(facts(next..next + TOGETHER));
                next += TOGETHER;
                std::thread::sleep(Duration::from_millis(200));
            }
            next
        });
        // Also when the work panics: else the scope would wait for ever.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let said = saying.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        said
    })
}

/// Records of `incident-state` against what the topic of facts says, and against what is known of
/// facts said by [`facts`]. Nothing may stand there twice, or go back.
pub(super) fn check(place: &Place<'_>, said: u32) {
    let (incidents, _) = place.audit();
    assert_eq!(incidents.len() as u32, said, "incidents");
    for n in 0..said {
        let incident = &incidents[&id(n)];
        let state = &incident.state;
        assert_eq!(
            (state.version, state.attached.as_ref().map_or(0, |attached| attached.count), state.closed.is_none()),
            (VERSION, ATTACHED as u64, true),
            "incident {n}"
        );
        let json = String::from_utf8(incident.to_json()).unwrap();
        assert!(json.contains(&format!("\"owner\":\"owner {n}\"")) && !json.contains("\"other\":true"), "{json}");
    }
    let mut last: BTreeMap<Vec<u8>, (u64, Vec<u8>)> = BTreeMap::new();
    let mut records = 0;
    for row in place.kafka.read_settled(&place.names.incident_state) {
        records += 1;
        let version: u64 = std::str::from_utf8(row.header("version").unwrap()).unwrap().parse().unwrap();
        let fact = row.header("fact").unwrap().to_vec();
        let applied = row.header("outcome") == Some(Outcome::Applied.name().as_bytes());
        if let Some((before, by)) = last.insert(row.key.clone(), (version, fact.clone())) {
            assert!(version > before || version == before && !applied && fact != by, "{:?}: version {version} after {before}", row.key);
        }
        // Each edit is noted once, and versions of edits are in order.
        let noted = read_facts(row.header("facts").unwrap());
        let once: BTreeSet<FactId> = noted.iter().map(|noted| noted.fact).collect();
        assert_eq!(once.len(), noted.len(), "a fact is noted twice");
    }
    println!("{said} incidents, {records} records of them");
}

pub(super) fn home(place: &Place<'_>, instance: &str) -> Home {
    let home = Home::new(place.kafka, &format!("instance: {instance}\nlisten: {{ api: 127.0.0.1:0 }}"));
    home.write(
        "pipeline.yaml",
        &format!("name: {}\nsource: {{ topics: [none] }}\nclassify: {{ default: T }}\nmap: {{ '*': {{ k: k }} }}\n", place.names.pipeline),
    );
    home
}

#[test]
fn real_dying_keepers_lose_and_repeat_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::named(kafka, &unique("keeperkill"), 6, &[]);
    let mut killer = Killer::start([home(&place, "a"), home(&place, "b")], "keeper");
    killer.members().iter_mut().for_each(|member| member.until_ready(DRAIN));
    let said = while_said(&place, || {
        let mut random = Random(7);
        let (mut round, mut failpoint) = (0, 0);
        while killer.total() < kills() {
            random.pause();
            let who = round % 2;
            match round % 4 {
                0 | 2 => {
                    killer.one_fails(who, FAILPOINTS[failpoint % FAILPOINTS.len()]);
                    failpoint += 1;
                }
                1 => killer.one_dies(who),
                _ => killer.both_die(who),
            }
            round += 1;
        }
        killer.one_sleeps(0);
        random.pause();
    });
    place.until_read();
    killer.stop(DRAIN);
    check(&place, said);
    if kills() >= ALL_FIRE_FROM {
        FAILPOINTS.iter().for_each(|failpoint| assert!(killer.accidents.contains_key(failpoint), "{failpoint} never fired"));
    }
}

/// As people run it: both roles in one process, which die together.
#[test]
fn real_dying_members_in_both_roles_lose_and_repeat_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "both");
    kafka.produce(&scene.source, (0..10_000).map(Scene::event));
    let mut killer = Killer::start([scene.home("a"), scene.home("b")], "ingest,keeper");
    killer.members().iter_mut().for_each(|member| member.until_ready(DRAIN));
    under_load(&scene, 10_000, 5_000, || {
        let mut random = Random(11);
        let failpoints = ["keeper_after_commit:3", "after_end_txn:2", "keeper_after_produce:2", "after_send_offsets:2"];
        let (mut round, mut failpoint) = (0, 0);
        while killer.total() < kills() {
            random.pause();
            if round % 3 == 2 {
                killer.both_die(round % 2);
            } else {
                killer.one_fails(round % 2, failpoints[failpoint % failpoints.len()]);
                failpoint += 1;
            }
            round += 1;
        }
    });
    scene.drained();
    let place = Place::of(kafka, &scene.name);
    place.until_read();
    killer.stop(DRAIN);
    scene.check();
    let (incidents, _) = place.audit();
    println!("{} incidents: facts and states agree", incidents.len());
}
