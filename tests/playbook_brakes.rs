//! Playbooks: brakes, closing, timers, bounds, and going on elsewhere.

use catchment::config::Diagnostics;
use catchment::content;
use catchment::respond::run::{Answer, Effect, Output, Run, RunState, Transition, resume, step};
use catchment::respond::simulate::simulate;
use catchment::respond::world::brakes::{Mode, Protect};
use catchment::respond::world::{OnUnknown, World};
use serde_json::{Value, json};

use crate::playbook_stage::{START_US, Script, began, external, fails, play, playbook, printed, says, start, world};

const BLOCK: &str = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n'1':\n  id: '1'\n  type: regular\n  task: {name: block, script: '|||block', iscommand: true}\n  scriptarguments: {ip: {simple: '198.51.100.7,10.9.8.7'}}\n  nexttasks: {'#none#': ['2']}\n'2':\n  id: '2'\n  type: title\n  task: {name: done}\n  nexttasks: {}\n";

fn blocking(mode: Mode, protect: &[&str]) -> World {
    let mut world = world(&[("p.yml", &playbook("p", "", BLOCK))]);
    external(&mut world, "block", |external| external.execution = true);
    world.brakes.mode = mode;
    world.brakes.protect = Protect::new(protect.iter().copied()).unwrap();
    world
}

fn done() -> Script {
    Script::default().on("block", |_| says(json!("blocked")))
}

#[test]
fn what_has_an_effect_waits_runs_or_is_only_told() {
    let (run, trace) = play(&blocking(Mode::Run, &[]), "p", &mut done());
    assert_eq!((run.state, trace.calls.len()), (RunState::Completed, 1));
    let (run, trace) = play(&blocking(Mode::Simulate, &[]), "p", &mut done());
    assert_eq!((run.state, trace.calls.len()), (RunState::Completed, 0));
    let (run, trace) = play(&blocking(Mode::Ask, &[]), "p", &mut done());
    assert_eq!((run.state, trace.calls.len(), trace.open[0].kind.as_str()), (RunState::Waiting, 0, "approval"));
    let (run, trace) = play(&blocking(Mode::Ask, &[]), "p", &mut done().says("1", "yes"));
    assert_eq!((run.state, trace.calls.len()), (RunState::Completed, 1));
    assert!(trace.entries.iter().any(|entry| entry.actor == "ann" && entry.text.contains("approved")), "who approved is on record");
    let (run, trace) = play(&blocking(Mode::Ask, &[]), "p", &mut done().says("1", "no"));
    assert_eq!((run.state, trace.calls.len()), (RunState::Failed, 0));
    let mut by_type = blocking(Mode::Run, &[]);
    by_type.brakes.types.insert("T".to_owned(), Mode::Simulate);
    assert_eq!(play(&by_type, "p", &mut done()).1.calls.len(), 0);
}

#[test]
fn what_is_protected_is_refused_even_where_commands_run() {
    for mode in [Mode::Run, Mode::Ask, Mode::Simulate] {
        let (run, trace) = play(&blocking(mode, &["10.0.0.0/8"]), "p", &mut done().says("1", "yes"));
        assert_eq!((run.state, trace.calls.len(), trace.open.len()), (RunState::Failed, 0, 0), "{mode:?}");
        assert!(run.reason.contains("protected") && !run.reason.contains("10.9.8.7"), "{}", run.reason);
    }
}

#[test]
fn a_closure_script_that_fails_keeps_the_incident_open() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = BLOCK
        .replace("script: '|||block'", "script: 'Builtin|||closeInvestigation'")
        .replace("{ip: {simple: '198.51.100.7,10.9.8.7'}}", "{closeReason: {simple: Resolved}, closeNotes: {simple: n}}");
    std::fs::write(dir.path().join("p.yml"), playbook("p", "", &tasks)).unwrap();
    std::fs::write(
        dir.path().join("incidenttype-T.json"),
        r##"{"id":"T","name":"T","color":"#fff","playbookId":"p","autorun":true,"closureScript":"AfterClose"}"##,
    )
    .unwrap();
    let mut out = Diagnostics::new();
    let content = std::sync::Arc::new(content::load(&[dir.path().to_owned()], None, &mut out));
    let mut world = World::of(content, out.files());
    external(&mut world, "AfterClose", |_| {});
    let closed = |trace: &catchment::respond::simulate::Trace| trace.edits.iter().any(|edit| matches!(edit, catchment::respond::run::Edit::Close { .. }));
    let (run, trace) = play(
        &world,
        "p",
        &mut Script::default().on("AfterClose", |call| {
            assert_eq!(call.arguments.get("closeReason"), Some(&json!("Resolved")));
            says(json!("fine"))
        }),
    );
    assert!(run.state == RunState::Completed && closed(&trace), "{}", run.reason);
    let (run, trace) = play(&world, "p", &mut Script::default().on("AfterClose", |_| fails("not yet")));
    assert!(run.state == RunState::Failed && !closed(&trace) && run.incident.get("closed").is_none());
}

#[test]
fn timers_are_started_by_tasks_and_time_breaches_them() {
    let tasks = BLOCK
        .replace("  task: {name: block, script: '|||block', iscommand: true}", "  task: {name: t, scriptName: Sleep}\n  timertriggers: [{fieldname: triage, action: start}]")
        .replace("{ip: {simple: '198.51.100.7,10.9.8.7'}}", "{seconds: {simple: '7200'}}")
        .replace("  type: title\n  task: {name: done}", "  type: regular\n  task: {name: s, scriptName: Sleep}\n  scriptarguments: {seconds: {simple: '1'}}\n  timertriggers: [{fieldname: triage, action: stop}]");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.yml"), playbook("p", "", &tasks)).unwrap();
    std::fs::write(
        dir.path().join("incidentfield-triage.json"),
        r#"{"id":"incident_triage","name":"triage","cliName":"triage","type":"timer","group":0,"sla":60,"associatedToAll":true}"#,
    )
    .unwrap();
    let mut out = Diagnostics::new();
    let content = std::sync::Arc::new(content::load(&[dir.path().to_owned()], None, &mut out));
    let world = World::of(content, out.files());
    let mut run = start("p", json!({ "id": "1", "type": "T" }));
    let (mut now, mut facts, mut next) = (START_US, Vec::new(), vec![Transition::Begin]);
    while let Some(transition) = next.pop() {
        for effect in step(&mut run, &world, now, transition) {
            if let Effect::Timer(fact) = effect {
                facts.push((fact.what, (fact.at_us - START_US) / 60_000_000));
            }
        }
        if let Some(at) = run.wakes_at() {
            now = at;
            next.push(Transition::Due);
        }
    }
    assert_eq!(run.state, RunState::Completed, "{}", run.reason);
    assert_eq!(facts, [("started".to_owned(), 0), ("breached".to_owned(), 60), ("stopped".to_owned(), 120)]);
    assert_eq!(run.incident["triage"]["runStatus"], json!("ended"));
}

#[test]
fn nothing_runs_for_ever() {
    let start = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n";
    // A playbook that calls itself.
    let own = format!("{start}'1':\n  id: '1'\n  type: playbook\n  task: {{name: again, playbookName: p}}\n  nexttasks: {{}}\n");
    let (run, _) = play(&world(&[("p.yml", &playbook("p", "", &own))]), "p", &mut Script::default());
    assert!(run.state == RunState::Failed && run.reason.contains("levels deep"), "{}", run.reason);
    // Tasks that wait for each other.
    let circle = format!(
        "{start}'1':\n  id: '1'\n  type: title\n  task: {{name: a}}\n  nexttasks: {{'#none#': ['2']}}\n'2':\n  id: '2'\n  type: title\n  task: {{name: b}}\n  nexttasks: {{'#none#': ['1']}}\n"
    );
    let (run, trace) = play(&world(&[("p.yml", &playbook("p", "", &circle))]), "p", &mut Script::default());
    assert!(run.state == RunState::Failed && !trace.endless, "{:?}", run.state);
    // A loop that never ends, in a loop that never ends.
    let until = "{builtincondition: [[{operator: isExists, left: {value: {simple: Never}, iscontext: true}}]], max: 10000, wait: 0}";
    let inner = format!("{start}'1':\n  id: '1'\n  type: playbook\n  task: {{name: l, playbookName: leaf}}\n  loop: {until}\n  nexttasks: {{}}\n");
    let outer = format!("{start}'1':\n  id: '1'\n  type: playbook\n  task: {{name: l, playbookName: inner}}\n  loop: {until}\n  nexttasks: {{}}\n");
    let leaf = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {}\n";
    let files = [("a.yml", playbook("p", "", &outer)), ("b.yml", playbook("inner", "", &inner)), ("c.yml", playbook("leaf", "", leaf))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (run, _) = play(&world(&files), "p", &mut Script::default());
    assert!(run.state == RunState::Failed && run.reason.contains("at most"), "{}", run.reason);
    // Outputs that are too large say so; a context that is full fails its task.
    let mut big = blocking(Mode::Run, &[]);
    big.brakes = Default::default();
    external(&mut big, "block", |_| {});
    let answer =
        |_: &catchment::respond::run::Call| Ok(Output { context: json!({ "Big": "x".repeat(400 << 10) }).as_object().unwrap().clone(), ..Output::default() });
    let (run, _) = play(&big, "p", &mut Script::default().on("block", answer));
    assert_eq!(run.state, RunState::Completed, "{}", run.reason);
}

/// A run that is written down and read again after each step comes to the same end.
#[test]
fn a_run_goes_on_elsewhere_as_if_nothing_had_been() {
    let sub = playbook(
        "sub",
        "inputs:\n- {key: x, value: {}}\noutputs:\n- {contextPath: Seen}",
        &BLOCK
            .replace("'|||block'", "'|||look'")
            .replace("{ip: {simple: '198.51.100.7,10.9.8.7'}}", "{x: {simple: '${inputs.x}'}, extend-context: {simple: 'Seen=.'}}"),
    );
    let main = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1', '2']}\n'1':\n  id: '1'\n  type: playbook\n  task: {name: l, playbookName: sub}\n  scriptarguments: {x: {simple: 'a'}}\n  loop: {forEach: true}\n  nexttasks: {'#none#': ['3']}\n'2':\n  id: '2'\n  type: regular\n  task: {name: s, scriptName: Sleep}\n  scriptarguments: {seconds: {simple: '5'}}\n  nexttasks: {'#none#': ['3']}\n'3':\n  id: '3'\n  type: regular\n  task: {name: p, scriptName: Print}\n  scriptarguments: {value: {simple: '${Seen}'}}\n  nexttasks: {}\n";
    let mut world = world(&[("p.yml", &playbook("p", "", main)), ("s.yml", &sub)]);
    external(&mut world, "look", |_| {});
    let answer = |call: &catchment::respond::run::Call| says(json!(format!("{}!", call.arguments["x"].as_str().unwrap_or_default())));
    let mut whole = start("p", json!({ "id": "1", "type": "T" }));
    let trace = simulate(&mut whole, &world, &mut Script::default().on("look", answer), START_US);
    assert_eq!((whole.state, printed(&trace)), (RunState::Completed, "a!".to_owned()), "{}", whole.reason);
    let mut run = start("p", json!({ "id": "1", "type": "T" }));
    let (mut now, mut ahead, mut keys, mut texts) = (START_US, std::collections::VecDeque::from([Transition::Begin]), Vec::new(), Vec::new());
    loop {
        let Some(transition) = ahead.pop_front() else {
            let Some(at) = run.wakes_at() else { break };
            now = at;
            ahead.push_back(Transition::Due);
            continue;
        };
        let effects = step(&mut run, &world, now, transition);
        let written = serde_json::to_string(&run).unwrap();
        run = serde_json::from_str::<Run>(&written).unwrap();
        assert_eq!(serde_json::to_value(&run).unwrap(), serde_json::from_str::<Value>(&written).unwrap());
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    keys.push(call.idempotency_key.clone());
                    let result = answer(&call);
                    ahead.push_back(Transition::Result { key: call.key, result: result.clone() });
                    // The same once more, and one of an attempt that never was: nothing happens.
                    ahead.push_back(Transition::Result { key: call.key, result: result.clone() });
                    ahead.push_back(Transition::Result { key: catchment::respond::run::Key { attempt: 99, ..call.key }, result });
                }
                Effect::Entry(entry) if entry.command == "Print" => texts.push(entry.text),
                _ => {}
            }
        }
    }
    assert_eq!((run.state, texts), (RunState::Completed, vec!["a!".to_owned()]));
    let different: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "each call has a key of its own");
}

#[test]
fn what_was_begun_and_never_answered_is_repeated_asked_about_or_failed() {
    for (how, calls, asks, state) in
        [(OnUnknown::Retry, 1, 0, RunState::Running), (OnUnknown::Ask, 0, 1, RunState::Waiting), (OnUnknown::Fail, 0, 0, RunState::Failed)]
    {
        let mut world = blocking(Mode::Run, &[]);
        external(&mut world, "block", |external| external.on_unknown = how);
        let mut run = start("p", json!({ "id": "1", "type": "T" }));
        let first = step(&mut run, &world, START_US, Transition::Begin);
        let key = first.iter().find_map(|effect| if let Effect::Call(call) = effect { Some(call.idempotency_key.clone()) } else { None }).unwrap();
        let mut run: Run = serde_json::from_slice(&serde_json::to_vec(&run).unwrap()).unwrap();
        let effects = resume(&mut run, &world, START_US + 1, &|_| false);
        let again: Vec<&str> =
            effects.iter().filter_map(|effect| if let Effect::Call(call) = effect { Some(call.idempotency_key.as_str()) } else { None }).collect();
        assert_eq!(
            (again.len(), effects.iter().filter(|effect| matches!(effect, Effect::Ask(_))).count(), run.state),
            (calls, asks, state),
            "{how:?} {}",
            run.reason
        );
        assert!(again.iter().all(|again| *again == key), "the same key");
        if how == OnUnknown::Ask {
            let answered = step(
                &mut run,
                &world,
                START_US + 2,
                Transition::Answer(Answer { task: "1".to_owned(), label: "yes".to_owned(), actor: "ann".to_owned(), ..Answer::default() }),
            );
            assert!(answered.iter().any(|effect| matches!(effect, Effect::Call(_))));
        }
    }
}

#[test]
fn a_failed_run_goes_on_when_a_person_has_mended_it() {
    let world = {
        let mut world = blocking(Mode::Run, &[]);
        external(&mut world, "block", |_| {});
        world
    };
    for (again, expected) in [(false, RunState::Completed), (true, RunState::Running)] {
        let mut run = start("p", json!({ "id": "1", "type": "T" }));
        let trace = simulate(&mut run, &world, &mut Script::default().on("block", |_| fails("broken")), START_US);
        assert_eq!((run.state, began(&trace).len()), (RunState::Failed, 2));
        step(&mut run, &world, START_US, Transition::Answer(Answer { task: "1".to_owned(), actor: "ann".to_owned(), again, ..Answer::default() }));
        assert_eq!(run.state, expected, "{}", run.reason);
    }
}
