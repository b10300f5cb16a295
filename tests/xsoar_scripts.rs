//! Operators that are executables of a user: lines of JSON, bounded in time, memory and answers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catchment::expr::xsoar::env::{Call, Scripts};
use catchment::expr::xsoar::external::{Limits, Processes, Program, Programs, apply};
use catchment::expr::xsoar::fault::Fault;
use serde_json::{Map, Value, json};

use crate::one_batch::{incidents, run};

fn executable(dir: &Path, name: &str, body: &str) {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// `{"value": V, "args": …}` → `{"value": [V, V]}`
const TWICE: &str = "while read -r line; do v=${line#*:}; v=${v%,\\\"args\\\"*}; printf '{\"value\":[%s,%s]}\\n' \"$v\" \"$v\"; done";

struct Bench {
    dir: tempfile::TempDir,
    processes: Processes,
}

fn bench(scripts: &[(&str, &str)], limits: Limits) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut programs = Programs { limits, ..Programs::default() };
    for (name, body) in scripts {
        executable(dir.path(), name, body);
        programs.list.insert((*name).to_owned(), Program { path: dir.path().join(name), whole: false });
    }
    Bench { dir, processes: Processes::new(Arc::new(programs)) }
}

impl Bench {
    fn call(&self, name: &str, values: &[Value]) -> Vec<Result<Value, Fault>> {
        let calls: Vec<Call> = values.iter().map(|value| Call::new(value.clone(), Map::new())).collect();
        self.processes.run(name, &calls)
    }
}

fn what(answer: &Result<Value, Fault>) -> &str {
    match answer {
        Err(Fault::Script { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

const SHORT: Limits = Limits { timeout: Duration::from_millis(1500), memory: 1 << 30 };

#[test]
fn xsoar_scripts_answer_batches() {
    let bench = bench(&[("Twice", TWICE)], Limits::default());
    let values: Vec<Value> = (0..10_000).map(|n| json!({ "n": n })).collect();
    let answers = bench.call("Twice", &values);
    assert!(answers.iter().zip(&values).all(|(answer, value)| answer.as_ref() == Ok(&json!([value, value]))));
    // Lists go item by item, and what each gives is flattened.
    let lists = [&json!(["a", "b"]), &json!("c"), &json!([])];
    let made = apply(&bench.processes, "Twice", false, &lists, &Map::new());
    assert_eq!(made, [Ok(json!(["a", "a", "b", "b"])), Ok(json!(["c", "c"])), Ok(json!([]))]);
    assert_eq!(apply(&bench.processes, "Twice", true, &lists[..1], &Map::new()), [Ok(json!([["a", "b"], ["a", "b"]]))]);
}

#[test]
fn xsoar_scripts_see_an_empty_environment_and_their_bound() {
    let bench = bench(
        &[("Env", "read -r line; printf '{\"value\":\"%s %s %s\"}\\n' \"${HOME-none}\" \"${CARGO_MANIFEST_DIR-none}\" \"$(ulimit -v)\"")],
        Limits::default(),
    );
    assert_eq!(bench.call("Env", &[json!(1)]), [Ok(json!("none none 1048576"))]);
}

#[test]
fn xsoar_scripts_that_misbehave_fail_and_rest() {
    let huge = "read -r line; head -c 6000000 /dev/zero | tr '\\0' x; echo";
    let cases: [(&str, &str, &str); 6] = [
        ("Slow", "sleep 600", "it did not answer in time"),
        ("Gone", "exit 3", "it ended before it had answered"),
        ("Huge", huge, "it ended before it had answered"),
        ("Text", "read -r line; echo hello; sleep 600", "its answer is no JSON object on a line"),
        ("Error", "read -r line; echo '{\"error\":\"a secret\"}'; sleep 600", "it answers with an error"),
        ("Empty", "read -r line; echo '{}'; sleep 600", "its answer has neither `value` nor `error`"),
    ];
    let scripts: Vec<(&str, &str)> = cases.iter().map(|(name, body, _)| (*name, *body)).collect();
    let bench = bench(&scripts, SHORT);
    for (name, _, wanted) in cases {
        let started = Instant::now();
        let answers = bench.call(name, &[json!("x")]);
        assert_eq!(what(&answers[0]), wanted, "{name}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
        assert!(answers[0].as_ref().unwrap_err().may_pass());
    }
    // Who failed is not started again at once.
    let started = Instant::now();
    assert_eq!(what(&bench.call("Slow", &[json!(1), json!(2)])[1]), "it failed; it is started again in a while");
    assert!(started.elapsed() < Duration::from_millis(500));
    // Nobody of this name.
    assert_eq!(what(&bench.call("Nobody", &[json!(1)])[0]), "no scripts are set up");
}

#[test]
fn xsoar_scripts_die_with_all_that_they_started() {
    let bench = bench(&[("Parent", "sleep 600 & echo $! > child; while read -r line; do echo '{\"value\":1}'; done")], SHORT);
    assert_eq!(bench.call("Parent", &[json!(0)]), [Ok(json!(1))]);
    let child: u32 = std::fs::read_to_string(bench.dir.path().join("child")).unwrap().trim().parse().unwrap();
    let alive = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(alive());
    drop(bench.processes);
    let until = Instant::now() + Duration::from_secs(10);
    while alive() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!alive());
}

#[test]
fn xsoar_scripts_in_a_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("pack");
    std::fs::create_dir_all(pack.join("Classifiers")).unwrap();
    std::fs::create_dir(dir.path().join("operators")).unwrap();
    executable(&dir.path().join("operators"), "Twice.sh", TWICE);
    // Which calls come, one line each.
    executable(
        &dir.path().join("operators"),
        "IsOdd",
        "while read -r line; do echo \"$line\" >> calls; case $line in *odd*) echo '{\"value\":true}';; *) echo '{\"value\":\"false\"}';; esac; done",
    );
    let mapper = json!({ "id": "m", "name": "m", "type": "mapping-incoming", "mapping": { "dbot_classification_incident_type_all": { "dontMapEventToLabels": true, "internalMapping": {
        "details": { "complex": { "root": "text", "transformers": [{ "operator": "Twice" }, { "operator": "join", "args": { "separator": { "value": { "simple": "+" } } } }] } },
        "name": { "complex": { "root": "words", "filters": [[{ "operator": "IsOdd", "left": { "isContext": true, "value": { "simple": "words" } } }]], "transformers": [{ "operator": "join", "args": { "separator": { "value": { "simple": " " } } } }] } }
    } } } });
    std::fs::write(pack.join("Classifiers/mapper.json"), mapper.to_string()).unwrap();
    let text = "name: t\nsource: { topics: [one] }\ncontent: { packs: [pack], scripts: operators, script_timeout: 20s }\nclassify: { default: A }\nmap: { xsoar: m }\n";
    let (pipeline, mut diagnostics) = catchment::config::load_text("pipeline.yaml", text, dir.path());
    let pipeline = pipeline.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    assert_eq!(diagnostics.plain(), "");
    let plan = catchment::ingest::plan::build::build(&pipeline, &Default::default(), &mut diagnostics).unwrap();
    // A transformer runs over a column; a filter asks item by item.
    let columnar: Vec<bool> = plan.sources[0].computed.outputs.iter().map(|output| output.not_columnar.is_none()).collect();
    assert_eq!(columnar, [true, false]);
    let events = [json!({ "text": "a", "words": ["odd 1", "even", "odd 2"] }), json!({ "text": ["b", "c"], "words": "odd" }), json!({ "text": "a" })];
    let texts: Vec<String> = events.iter().map(Value::to_string).collect();
    let messages: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let output = run(&Arc::new(plan), &messages);
    let found: Vec<(Value, Value)> = incidents(&output)
        .values()
        .map(|line| {
            let incident: Value = serde_json::from_slice(line).unwrap();
            (incident["details"].clone(), incident["name"].clone())
        })
        .collect();
    assert_eq!(found, [(json!("a+a"), json!("odd 1 odd 2")), (json!("b+b+c+c"), json!("odd")), (json!("a+a"), Value::Null)]);
}
