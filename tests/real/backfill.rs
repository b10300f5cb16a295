//! Backfill: a time that has passed, through the pipeline again, exactly once; nothing else is touched.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Output;

use serde_json::Value;

use super::exactly_once::Scene;
use super::process::Home;
use super::{Input, WAIT, require_kafka, until};

const EVENTS: u64 = 6_000;
/// Events from here to there are in the time; a tenth of a second apart.
const WINDOW: (u64, u64) = (2_000, 5_000);
const KEYS: u64 = 3_000;

fn is_noise(n: u64) -> bool {
    n.is_multiple_of(97)
}

/// The time of event `n`: all of them in the last two hours.
fn time_ms(base: i64, n: u64) -> i64 {
    base + n as i64 * 100
}

fn text(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339()
}

fn events(base: i64) -> impl Iterator<Item = Input> {
    (0..EVENTS).map(move |n| {
        let key = format!("key-{}", n % KEYS);
        let value = format!(r#"{{"k":"{key}","n":{n},"noise":{}}}"#, is_noise(n));
        Input { timestamp_ms: time_ms(base, n), ..Input::new(&key, value) }
    })
}

/// What must come of the events of the time: numbers of those that create, and how many are attached to others.
fn expected(noise_too: bool) -> (BTreeSet<u64>, u64) {
    let (mut first, mut created, mut attached): (HashMap<u64, u64>, _, _) = (HashMap::new(), BTreeSet::new(), 0);
    for n in (0..EVENTS).filter(|n| noise_too || !is_noise(*n)) {
        let inside = (WINDOW.0..WINDOW.1).contains(&n);
        match first.get(&(n % KEYS)) {
            Some(_) => attached += u64::from(inside),
            None => {
                first.insert(n % KEYS, n);
                if inside {
                    created.insert(n);
                }
            }
        }
    }
    (created, attached)
}

struct Facts {
    created: BTreeMap<String, u64>,
    twice: usize,
    marked: usize,
    attached: u64,
    all: usize,
}

fn facts(scene: &Scene<'_>, topic: &str) -> Facts {
    let mut facts = Facts { created: BTreeMap::new(), twice: 0, marked: 0, attached: 0, all: 0 };
    for row in scene.kafka.read_settled(topic) {
        let fact: Value = serde_json::from_str(row.text()).unwrap();
        facts.all += 1;
        let mark = row.header("backfill").map(|mark| String::from_utf8(mark.to_vec()).unwrap());
        facts.marked += usize::from(mark.is_some());
        match fact["fact"].as_str().unwrap() {
            "created" => {
                let incident = &fact["incident"];
                assert_eq!(incident["backfill"].as_str(), mark.as_deref());
                let known = facts.created.insert(incident["id"].as_str().unwrap().to_owned(), incident["n"].as_u64().unwrap());
                facts.twice += usize::from(known.is_some());
            }
            "attached" => facts.attached += fact["count"].as_u64().unwrap(),
            other => panic!("a fact `{other}`"),
        }
    }
    facts
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn args<'a>(from: &'a str, until: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["backfill", "pipeline.yaml", "--from", from, "--until", until];
    args.extend_from_slice(rest);
    args
}

#[test]
fn real_backfill_goes_on_where_it_was_killed() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "backfill");
    let base = chrono::Utc::now().timestamp_millis() - 7_200_000;
    kafka.produce(&scene.source, events(base));
    let target = scene.topic("past");
    kafka.create(&target, 3, &[]);
    let home = Home::new(kafka, "instance: a");
    home.write("pipeline.yaml", &scene.pipeline());
    let (from, to) = (text(time_ms(base, WINDOW.0)), text(time_ms(base, WINDOW.1)));
    let args = args(&from, &to, &["--to", &target, "--rate", "4k"]);
    // How many commits there are depends on the machine; when it goes on there is at least one more.
    for death in ["backfill_before_commit:2", "backfill_before_commit:1"] {
        let mut dying = home.spawn("backfill", &args, &[("CATCHMENT_FAILPOINT", death)]);
        dying.wait(WAIT * 2);
        assert!(dying.ended_by(libc::SIGKILL), "{death} was not reached:\n{}", dying.stderr());
    }
    let said = done(&home.run(&args));
    let (created, attached) = expected(false);
    let found = facts(&scene, &target);
    assert_eq!(found.twice, 0, "{said}");
    assert_eq!(found.created.values().copied().collect::<BTreeSet<_>>(), created, "{said}");
    assert_eq!((found.attached, found.marked), (attached, found.all), "{said}");
    // Once more: nothing is left to do.
    done(&home.run(&args));
    assert_eq!(facts(&scene, &target).all, found.all);
    // Nothing of the pipeline was touched.
    assert!(kafka.committed(&scene.group(), &scene.source).is_empty());
    for topic in ["incidents", "index", "dead-letters"] {
        assert_eq!(kafka.read(&scene.topic(topic)).len(), 0, "{topic}");
    }
    // Its own topic is written with --merge only; what is read is not written; times must be times.
    for wrong in [["--to", scene.topic("incidents").as_str()], ["--to", scene.source.as_str()], ["--merge", "--rate=none"]] {
        let mut args = vec!["backfill", "pipeline.yaml", "--from", from.as_str(), "--until", to.as_str()];
        args.extend(wrong);
        assert_eq!(home.run(&args).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn real_backfill_merges_what_is_missing() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "backmerge");
    let base = chrono::Utc::now().timestamp_millis() - 7_200_000;
    kafka.produce(&scene.source, events(base));
    let home = scene.home("a");
    let mut member = home.spawn("run", &["run", "pipeline.yaml", "--log", "info"], &[]);
    member.until_ready(WAIT);
    scene.drained();
    let keeper = format!("{}.keeper", scene.name);
    kafka.until_read(&keeper, &[&scene.topic("incidents")], WAIT);
    let before = facts(&scene, &scene.topic("incidents"));
    // The pipeline does not filter any more.
    let again = Home::new(kafka, "instance: b");
    again.write("pipeline.yaml", &scene.pipeline().replace("noise = true", "noise = true AND n < 0"));
    let (from, to) = (text(time_ms(base, WINDOW.0)), text(time_ms(base, WINDOW.1)));
    let said = done(&again.run(&args(&from, &to, &["--merge"])));
    let after = facts(&scene, &scene.topic("incidents"));
    let new: BTreeSet<u64> = after.created.iter().filter(|(id, _)| !before.created.contains_key(*id)).map(|(_, n)| *n).collect();
    let wanted: BTreeSet<u64> = expected(true).0.into_iter().filter(|n| is_noise(*n)).collect();
    assert!(!wanted.is_empty());
    assert_eq!(new, wanted, "{said}");
    assert_eq!((after.twice, after.attached, after.marked), (0, before.attached, wanted.len()), "{said}");
    // The keeper keeps them, marked.
    until("the keeper has them", WAIT, || {
        let mut marked = BTreeSet::new();
        for row in kafka.read(&scene.topic("incident-state")) {
            let state: Value = serde_json::from_str(row.text()).unwrap();
            if state["backfill"].is_string() {
                marked.insert(state["n"].as_u64().unwrap());
            }
        }
        marked == wanted
    });
    member.stop(WAIT);
}
