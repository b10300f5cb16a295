//! Playbooks: timers that outlive their runs, closes by others, reminders; and that the fields which the
//! keeper makes of the facts are those that runs see.

use catchment::config::Diagnostics;
use catchment::content;
use catchment::incident::fact::{Fact, What};
use catchment::incident::fold::{Effect as Folded, fold};
use catchment::incident::id::{FactId, IncidentId};
use catchment::incident::record::Incident;
use catchment::incident::timer::{Timer, TimerEvent, TimerFact};
use catchment::respond::run::{Effect, REMINDER, Run, RunState, Transition, step};
use catchment::respond::world::World;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::playbook_stage::{START_US, playbook, start};

const MINUTE_US: i64 = 60_000_000;

/// A playbook that starts a timer with a promise of an hour, and then does what `tasks` say.
fn world(tasks: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let head = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n'1':\n  id: '1'\n  type: regular\n  task: {name: begin, script: 'Builtin|||startTimer', iscommand: true}\n  scriptarguments: {timerField: {simple: triage}}\n";
    std::fs::write(dir.path().join("p.yml"), playbook("p", "", &format!("{head}{tasks}"))).unwrap();
    std::fs::write(
        dir.path().join("incidentfield-triage.json"),
        r#"{"id":"incident_triage","name":"triage","cliName":"triage","type":"timer","group":0,"sla":60,"threshold":0,"associatedToAll":true}"#,
    )
    .unwrap();
    let mut out = Diagnostics::new();
    let content = std::sync::Arc::new(content::load(&[dir.path().to_owned()], None, &mut out));
    assert!(!out.has_errors(), "{}", out.plain());
    World::of(content, out.files())
}

fn did(run: &mut Run, world: &World, minutes: i64, transition: Transition) -> Vec<Effect> {
    step(run, world, START_US + minutes * MINUTE_US, transition)
}

fn facts(effects: &[Effect]) -> Vec<(String, i64)> {
    let told = |effect: &Effect| match effect {
        Effect::Timer(fact) => Some((fact.what.clone(), (fact.at_us - START_US) / MINUTE_US)),
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

#[test]
fn a_timer_outlives_the_run_that_started_it() {
    let world = world("  nexttasks: {}\n");
    let mut run = start("p", json!({ "id": "1", "type": "T" }));
    assert_eq!(facts(&did(&mut run, &world, 0, Transition::Begin)), [("started".to_owned(), 0)]);
    assert_eq!((run.state, run.is_done()), (RunState::Completed, false));
    assert_eq!(run.wakes_at(), Some(START_US + 60 * MINUTE_US));
    // It survives being written down.
    let mut run: Run = serde_json::from_slice(&serde_json::to_vec(&run).unwrap()).unwrap();
    assert_eq!(facts(&did(&mut run, &world, 30, Transition::Due)), []);
    assert_eq!(facts(&did(&mut run, &world, 60, Transition::Due)), [("breached".to_owned(), 60)]);
    assert_eq!((run.wakes_at(), run.is_done()), (None, false), "it is late, and still runs");
    assert_eq!(facts(&did(&mut run, &world, 61, Transition::Due)), []);
    let effects = did(&mut run, &world, 70, Transition::Closed);
    assert_eq!(facts(&effects), [("stopped".to_owned(), 70)]);
    assert!(run.is_done() && run.state == RunState::Completed);
    assert_eq!((&run.incident["triage"]["runStatus"], &run.incident["triage"]["totalDuration"]), (&json!("ended"), &json!(70 * 60)));
    assert_eq!(facts(&did(&mut run, &world, 71, Transition::Closed)), []);
    // No field is set beside the fact: the keeper makes it.
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Edit(_))));
}

#[test]
fn a_run_goes_on_with_the_timers_of_the_one_before() {
    let stops = world(
        "  nexttasks: {'#none#': ['2']}\n'2':\n  id: '2'\n  type: regular\n  task: {name: stop, script: 'Builtin|||stopTimer', iscommand: true}\n  scriptarguments: {timerField: {simple: triage}}\n  nexttasks: {}\n",
    );
    let mut timer = Timer::new(60, 0);
    timer.act("start", START_US).unwrap();
    let mut run = start("p", json!({ "id": "1", "type": "T", "triage": timer.to_json() }));
    assert_eq!(facts(&did(&mut run, &stops, 5, Transition::Begin)), [("stopped".to_owned(), 5)], "it runs already, so its start says nothing");
    assert_eq!(run.incident["triage"]["totalDuration"], json!(300));
}

#[test]
fn people_are_reminded_once_and_not_after_they_answered() {
    let world = world(
        "  nexttasks: {'#none#': ['2']}\n'2':\n  id: '2'\n  type: regular\n  task: {name: look}\n  defaultassigneecomplex: {simple: ann}\n  sla: {hours: 2}\n  slareminder: {minutes: 30}\n  nexttasks: {}\n",
    );
    let reminders = |effects: &[Effect]| {
        let asked = effects.iter().filter(|effect| matches!(effect, Effect::Ask(ask) if ask.kind == REMINDER && ask.task == "2")).count();
        let noted = effects.iter().filter(|effect| matches!(effect, Effect::Entry(entry) if entry.kind == "reminder")).count();
        (asked, noted)
    };
    for answers in [false, true] {
        let mut run = start("p", json!({ "id": "1", "type": "T" }));
        did(&mut run, &world, 0, Transition::Begin);
        assert_eq!((run.state, run.sleeps_until()), (RunState::Waiting, None));
        let mut seen = Vec::new();
        for _ in 0..10 {
            let Some(at) = run.wakes_at() else { break };
            if answers && at > START_US + 80 * MINUTE_US {
                let answer = catchment::respond::run::Answer { task: "2".into(), actor: "ann".into(), ..Default::default() };
                did(&mut run, &world, 80, Transition::Answer(answer));
                assert_eq!(run.state, RunState::Completed);
                continue;
            }
            let effects = step(&mut run, &world, at, Transition::Due);
            seen.push(((at - START_US) / MINUTE_US, facts(&effects).len(), reminders(&effects)));
        }
        let mut expected = vec![(60, 1, (0, 0))];
        expected.extend((!answers).then_some((90, 0, (1, 1))));
        assert_eq!(seen, expected);
    }
}

/// The fact that the role writes of an effect, and what the keeper makes of it.
fn kept(held: Incident, number: u128, told: &TimerFact) -> (Incident, Folded) {
    let what = What::Timer { field: told.field.as_str().into(), event: TimerEvent::parse(&told.what).unwrap(), due: told.due_us };
    let fact = Fact { id: FactId(number), about: IncidentId(7), actor: Some("playbook:p".into()), at: told.at_us, if_version: None, what };
    let (held, effect) = fold(Some(held), &fact, 1_000_000);
    (held.unwrap(), effect)
}

proptest! {
    /// Whatever is done with a timer, and whenever: the keeper's field tells the same as the run's.
    #[test]
    fn keeper_and_run_agree(sla in -1..100i64, risk in 0..50i64, steps in prop::collection::vec((0..5usize, 0..40_000_000_000_i64), 1..30)) {
        let mut timer = Timer::new(sla, risk);
        let mut held = Incident::read(r#"{"id":"00000000000000000000000000000007","triage":"not a timer","status":"open","version":1}"#, b"").unwrap();
        let (mut now, mut facts, mut version) = (START_US, 0, 1);
        for (action, pause) in steps {
            now += pause;
            let mut whats = Vec::new();
            if action == 4 {
                while let Some(what) = timer.look(now) {
                    whats.push(what);
                }
            } else {
                whats.extend(timer.act(["start", "pause", "stop", "reset"][action], now).ok().flatten());
            }
            for what in whats {
                facts += 1;
                let (next, effect) = kept(held, facts, &TimerFact { field: "triage".into(), what: what.to_owned(), at_us: now, due_us: timer.due_us() });
                version += 1;
                prop_assert_eq!(effect, Folded::Applied, "{}", what);
                prop_assert_eq!(next.state.version, version);
                held = next;
            }
        }
        if facts > 0 {
            let json: Value = serde_json::from_slice(&held.to_json()).unwrap();
            let (kept, run) = (&json["triage"], timer.to_json());
            for key in ["runStatus", "startDate", "endDate", "lastPauseDate", "breachTriggered", "slaStatus"] {
                prop_assert_eq!(&kept[key], &run[key], "{} of {} and {}", key, kept, run);
            }
            // Before its first start a timer says nothing of its promise.
            prop_assert!(timer.started_us == 0 || kept["sla"] == run["sla"], "{} and {}", kept, run);
            // Pauses are kept in whole seconds.
            let near = |key: &str| (kept[key].as_i64().unwrap() - run[key].as_i64().unwrap()).abs() <= 30;
            prop_assert!(near("accumulatedPause") && near("totalDuration"), "{} and {}", kept, run);
            let again = |timer: &Value| Timer::read(&timer.to_string(), risk).unwrap().to_json();
            prop_assert_eq!(again(&again(&run)), again(&run));
        }
    }
}
