//! Playbooks on a real broker: an incident that is created starts a run, whose calls, edits and
//! entries come out; runs wait for people and go on; pausing and modes hold within seconds; a run
//! keeps to the version that it began with.

use std::time::Duration;

use serde_json::{Value, json};

use super::respond_stage::{Server, Stage, created, hex, playbook, touch};
use super::{WAIT, require_kafka, until};

const SET: &str = "    task: { name: set, script: Builtin|||setIncident, iscommand: true }\n    scriptarguments: { owner: { simple: ann } }";
const CLOSE: &str =
    "    task: { name: close, script: Builtin|||closeInvestigation, iscommand: true }\n    scriptarguments: { closeReason: { simple: Resolved } }";
const MANUAL: &str = "    task: { name: look at it }";

fn quick() -> Server {
    Server::start(Duration::ZERO, 100)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn real_respond_runs_a_playbook_and_its_facts_come_out() {
    let Some(kafka) = require_kafka() else { return };
    let server = quick();
    let (kind, lines) = touch(&server, "/touch/${incident.id}");
    let tasks = playbook("Noise", &[(kind, &lines), ("regular", SET), ("regular", CLOSE)]);
    let stage = Stage::new(kafka, "respond", 3, &[("Noise", "run", tasks)]);
    let home = stage.home("a", "");
    let mut member = stage.start(&home, None);
    member.until_ready(WAIT);
    stage.create((1..=20).map(|id| (id, "Noise".to_owned(), 1.0)));
    // The same again, another type, and one of a backfill start nothing.
    stage.create([(1, "Noise".to_owned(), 1.0), (100, "Other".to_owned(), 1.0)]);
    let mut backfilled = created(101, "Noise", 1.0);
    backfilled.headers.push(("backfill".to_owned(), b"x/y".to_vec()));
    kafka.produce(&stage.topic("incidents"), [backfilled]);
    until("all runs are completed", WAIT, || stage.states().get("completed") == Some(&20));
    assert_eq!(stage.audit(20, &server), 0);
    let facts = stage.values("incidents");
    for id in 1..=20_u128 {
        let kinds: Vec<&str> = facts.iter().filter(|fact| text(fact, "id") == hex(id)).map(|fact| text(fact, "fact")).collect();
        assert_eq!(kinds, ["set", "close"], "{id}");
    }
    assert!(
        facts.iter().filter(|fact| text(fact, "fact") == "close").all(|fact| text(fact, "actor") == "playbook:Noise" && text(fact, "reason") == "Resolved")
    );
    let room = stage.values("war-room");
    let of = |kind: &str| room.iter().filter(|entry| text(entry, "kind") == kind).collect::<Vec<_>>();
    let (calls, results) = (of("call"), of("result"));
    assert_eq!((calls.len(), results.len()), (20, 20));
    let keys: Vec<&str> = calls.iter().map(|entry| text(entry, "key")).collect();
    assert!(server.hits().iter().all(|hit| keys.contains(&hit.key.as_str())));
    assert!(calls.iter().all(|entry| text(entry, "command") == "http" && text(entry, "playbook_version").len() == 12));
    // Started again it has nothing to do.
    member.stop(WAIT);
    let mut member = stage.start(&home, None);
    member.until_ready(WAIT);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.count(), 20);
    member.stop(WAIT);
}

#[test]
fn real_respond_waits_for_people_and_keeps_to_the_version_of_a_run() {
    let Some(kafka) = require_kafka() else { return };
    let server = quick();
    let (kind, lines) = touch(&server, "/old/${incident.id}/${incident.owner}");
    let tasks = playbook("Noise", &[("regular", MANUAL), (kind, &lines)]);
    let (kind, approved) = touch(&server, "/approved/${incident.id}");
    let asks = playbook("Asks", &[(kind, &approved)]);
    let stage = Stage::new(kafka, "respond-people", 2, &[("Noise", "run", tasks), ("Asks", "ask", asks)]);
    let home = stage.home("a", "");
    let mut member = stage.start(&home, None);
    member.until_ready(WAIT);
    stage.create([(1, "Noise".to_owned(), 2.0), (2, "Asks".to_owned(), 2.0), (3, "Noise".to_owned(), 2.0)]);
    until("all runs wait", WAIT, || stage.states().get("waiting") == Some(&3));
    let run_of = |incident: u128| {
        let runs = stage.runs();
        let row = runs.values().find(|row| row.header("incident") == Some(hex(incident).as_bytes())).unwrap();
        String::from_utf8(row.key.clone()).unwrap()
    };
    // Meanwhile it dies, its disk is lost, and the playbook becomes another one.
    member.kill();
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    let (kind, lines) = touch(&server, "/new/${incident.id}");
    home.write("playbooks/noise.yml", &playbook("Noise", &[("regular", MANUAL), (kind, &lines)]));
    let mut member = stage.start(&home, None);
    member.until_ready(WAIT);
    let answer = |incident: u128, task: &str| {
        let number = hex(incident + 1_000);
        stage.say(
            incident,
            &json!({ "fact": "answer", "fact_id": number, "id": hex(incident), "run": run_of(incident), "task": task, "label": "yes", "actor": "cli:ann" }),
        );
    };
    // What others set meanwhile is seen by the run.
    stage.say(1, &json!({ "fact": "set", "fact_id": hex(3_000), "id": hex(1), "fields": { "owner": "bob" }, "actor": "cli:ann" }));
    answer(1, "1");
    answer(2, "1");
    stage.say(3, &json!({ "fact": "cancel_run", "fact_id": hex(2_000), "id": hex(3), "run": run_of(3), "actor": "cli:ann" }));
    until("they went on", WAIT, || stage.states().get("completed") == Some(&2) && stage.states().get("cancelled") == Some(&1));
    stage.create([(4, "Noise".to_owned(), 2.0)]);
    until("the next run waits", WAIT, || stage.states().get("waiting") == Some(&1));
    answer(4, "1");
    until("it went on", WAIT, || stage.states().get("completed") == Some(&3));
    let mut paths: Vec<String> = server.hits().into_iter().map(|hit| hit.path).collect();
    paths.sort();
    assert_eq!(paths, [format!("/approved/{}", hex(2)), format!("/new/{}", hex(4)), format!("/old/{}/bob", hex(1))]);
    assert!(stage.values("war-room").iter().any(|entry| text(entry, "kind") == "answer" && text(entry, "actor") == "cli:ann"));
    member.stop(WAIT);
}

#[test]
fn real_respond_pauses_and_simulates_on_every_member_within_five_seconds() {
    let Some(kafka) = require_kafka() else { return };
    let server = quick();
    let tasks = |name: &str| {
        let (kind, lines) = touch(&server, &format!("/{name}/${{incident.id}}"));
        playbook(name, &[(kind, &lines)])
    };
    let stage = Stage::new(kafka, "respond-pause", 4, &[("Noise", "run", tasks("Noise")), ("Rare", "run", tasks("Rare"))]);
    stage.control("type:Noise", "paused", None);
    let homes = [stage.home("a", ""), stage.home("b", "")];
    let mut members = homes.each_ref().map(|home| stage.start(home, None));
    members.iter_mut().for_each(|member| member.until_ready(WAIT));
    stage.create((1..=20).map(|id| (id, "Noise".to_owned(), 1.0)).chain((21..=40).map(|id| (id, "Rare".to_owned(), 1.0))));
    until("the others run", WAIT, || stage.states().get("completed") == Some(&20));
    assert!(server.hits().iter().all(|hit| hit.path.starts_with("/Rare/")), "what was paused before the start stands still");
    stage.control("all", "paused", None);
    stage.control("type:Noise", "running", None);
    std::thread::sleep(Duration::from_secs(5));
    stage.create((41..=60).map(|id| (id, "Rare".to_owned(), 4.0)));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(server.count(), 20, "all stands still");
    stage.control("all", "running", None);
    until("all went on", WAIT, || stage.states().get("completed") == Some(&60));
    stage.control("type:Rare", "running", Some("simulate"));
    std::thread::sleep(Duration::from_secs(5));
    let before = server.count();
    stage.create((61..=70).map(|id| (id, "Rare".to_owned(), 4.0)));
    until("they are told", WAIT, || stage.states().get("completed") == Some(&70));
    assert_eq!(server.count(), before, "nothing happened in the world");
    members.iter_mut().for_each(|member| member.stop(WAIT));
}
