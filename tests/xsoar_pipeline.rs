//! A pipeline with a content pack, through a worker: its incidents equal those of the
//! row-at-a-time reference of a whole event.

use std::path::Path;
use std::sync::Arc;

use catchment::config::load_text;
use catchment::content::incident::Maker;
use catchment::expr::xsoar::value::equal;
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Options, build};
use serde_json::{Value, json};

use crate::one_batch::{incidents, run};

const PIPELINE: &str = "name: t\nsource: { topics: [one] }\ncontent: [packs/Brightwater]\nclassify: { xsoar: brightwater-classifier }\nmap:\n  xsoar: brightwater-mapper\n  \"*\": { region: \"'north'\" }\n";

fn plan() -> (catchment::config::Pipeline, Arc<Plan>) {
    let (pipeline, mut diagnostics) = load_text("pipeline.yaml", PIPELINE, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    let pipeline = pipeline.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    let plan = build(&pipeline, &Options::default(), &mut diagnostics).unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    (pipeline, Arc::new(plan))
}

fn events() -> Vec<Value> {
    let mut events = Vec::new();
    for kind in ["malware", "MALWARE", "phish", "spam", "other", ""] {
        for (host, src) in [
            (json!({"name": "h1"}), json!("10.0.0.1")),
            (json!([{"name": "h1"}, {"name": "h2"}]), json!(["10.0.0.1", "10.0.0.2"])),
            (json!(null), json!(null)),
            (json!("h"), json!({"a": 1})),
        ] {
            events.push(json!({
                "seen": "2026-03-01T07:00:00Z",
                "kind": kind, "detail": {"kind": kind, "category": kind}, "category": kind, "type": kind,
                "alarm": {"kind": kind, "category": kind, "title": "Odd \"thing\"", "level": 3, "score": 77.5, "remark": "x"},
                "host": host, "net": {"src": src}, "sensor": {"id": 9},
                "files": [{"sha256": "aa", "verdict": "BAD", "File Name": "x"}, {"sha256": "bb", "verdict": "good"}, {"sha256": "aa", "verdict": "bad"}],
            }));
        }
    }
    events.push(json!({}));
    events.push(
        json!({"alarm": [{"title": "a", "level": 1}, {"title": "b"}], "files": {"sha256": "cc", "verdict": "bad"}, "net.src": "flat keys are not paths"}),
    );
    events
}

#[test]
fn xsoar_pipeline_equals_the_reference() {
    let (pipeline, plan) = plan();
    let content = pipeline.content.clone().unwrap();
    let classifier = content.classifier("brightwater-classifier").unwrap().1;
    let mapper = content.mapper("brightwater-mapper").unwrap().1;
    let maker = Maker::new(&content, Some(classifier), Some(mapper));
    let events = events();
    let texts: Vec<String> = events.iter().map(Value::to_string).collect();
    let messages: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let output = run(&plan, &messages);
    let incidents = incidents(&output);
    assert_eq!(incidents.len(), events.len());
    for ((offset, _), line) in incidents {
        let incident: Value = serde_json::from_slice(line).unwrap();
        let made = maker.make(&events[offset as usize], None, None);
        assert_eq!(incident["type"], made.type_name.as_str());
        assert_eq!(incident["region"], "north");
        for field in made
            .fields
            .keys()
            .chain(["sourceip", "brightwatersensorid", "brightwaterfilehashes", "brightwaterscore", "brightwaterfiles"].map(str::to_owned).iter())
        {
            // Times are written in one form.
            if field == "occurred" {
                continue;
            }
            let (wanted, got) = (made.fields.get(field).unwrap_or(&Value::Null), &incident[field]);
            assert!(equal(wanted, got), "{field} of {}: reference {wanted}, engine {got}", events[offset as usize]);
        }
    }
    let computed = &plan.sources[0].computed;
    assert!(computed.outputs.iter().all(|output| output.not_columnar.is_none()));
}
