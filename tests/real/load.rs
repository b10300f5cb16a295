//! `catchment load` as a person runs it, against a member on a real broker: what it measures, and
//! that its audit sees what is wrong.

use std::path::Path;

use serde_json::Value;

use super::process::Home;
use super::{Broker, Catchment, Input, WAIT, require_kafka, unique, until};

/// The pipeline that the profile `bench` is made for, on topics of its own, with a member that reads it.
struct Bench {
    home: Home,
    name: String,
    member: Catchment,
}

fn bench(kafka: &Broker) -> Bench {
    let name = unique("load");
    let home = Home::new(kafka, "instance: a\nlisten: { api: 127.0.0.1:0 }\ntopics: { partitions: 2 }");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines/bench/pipeline.yaml")).unwrap();
    let text = text.replace("\nname: bench\n", &format!("\nname: {name}\n")).replace("bench.events", &format!("{name}.events"));
    assert!(text.contains(&format!("topics: [{name}.events]")));
    home.write("pipeline.yaml", &text);
    let made = home.run(&["topics", "pipeline.yaml", "--create", "--create-inputs", "2"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut member = home.spawn("run", &["run", "pipeline.yaml"], &[]);
    member.until_ready(WAIT);
    Bench { home, name, member }
}

impl Bench {
    /// Runs `catchment load` with these arguments more: its exit code, its report as JSON, what it said.
    fn load(&self, more: &str) -> (Option<i32>, Value, String) {
        let topic = format!("{}.events", self.name);
        let args = ["load", "pipeline.yaml", "--profile", "bench", "--topic", &topic, "--json", "-"];
        let done = self.home.run(&args.into_iter().chain(more.split(' ')).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {said}")), said)
    }
}

#[test]
fn real_load_measures_what_comes_after_the_warm_up_and_audits_all() {
    let Some(kafka) = require_kafka() else { return };
    let bench = bench(kafka);
    let (code, report, said) = bench.load("--rate 500 --warmup 2s --duration 3s --seed 4");
    assert_eq!(code, Some(0), "{said}\n{report:#}");
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path}: {report:#}"));
    assert_eq!((number("/events"), number("/events_in_all")), (1_500, 2_500), "{report:#}");
    assert!(number("/measured_from") >= 2);
    let created = report.pointer("/audit/facts/0").and_then(Value::as_u64).unwrap();
    let measured = number("/latency/count");
    // All incidents are audited; those of the warm-up, two fifths, are not measured.
    assert!(measured > 0 && measured < created, "{measured} of {created}");
    assert!((0.5..0.7).contains(&(measured as f64 / created as f64)), "{measured} of {created}");
    assert!(number("/latency/p50_us") > 0 && report["good"] == true);
}

#[test]
fn real_load_sees_an_incident_that_comes_twice() {
    let Some(kafka) = require_kafka() else { return };
    let bench = bench(kafka);
    let (topic, incidents) = (format!("{}.events", bench.name), format!("{}.incidents", bench.name));
    let args = ["load", "pipeline.yaml", "--profile", "bench", "--topic", &topic, "--rate", "200", "--duration", "120s", "--seed", "5"];
    let mut load = bench.home.spawn("load", &args, &[]);
    let mut first = None;
    until("there is an incident", WAIT, || {
        first = kafka.read(&incidents).into_iter().next();
        first.is_some()
    });
    let first = first.unwrap();
    kafka.produce(&incidents, [Input { partition: Some(first.partition), ..Input::new(&first.key, first.text()) }]);
    // Ended by hand it audits what it sent by then.
    load.terminate();
    let status = load.wait(WAIT);
    let said = load.stdout();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("more than once"), "{said}");
}
