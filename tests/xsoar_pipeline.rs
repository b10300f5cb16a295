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

/// A pack with one mapper; a pipeline over it.
fn imported(mapping: Value, rest: &str) -> (tempfile::TempDir, Arc<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("p/IncidentTypes")).unwrap();
    let classifier = json!({"id": "c", "name": "c", "type": "classification", "keyTypeMap": {"a": "Type A", "b": "Type B", "z": "Other"}, "transformer": {"simple": "kind"}});
    std::fs::write(dir.path().join("p/c.json"), classifier.to_string()).unwrap();
    std::fs::write(dir.path().join("p/m.json"), json!({"id": "m", "name": "m", "type": "mapping-incoming", "mapping": mapping}).to_string()).unwrap();
    // The mapper writes it with other capitals.
    std::fs::write(
        dir.path().join("p/IncidentTypes/t.json"),
        json!({"id": "Type A", "name": "Type A", "color": "#fff", "autorun": false, "hours": 0}).to_string(),
    )
    .unwrap();
    let text = format!("name: t\nsource: {{ topics: [one] }}\ncontent: [p]\nclassify: {{ xsoar: c }}\nmap: {{ xsoar: m }}\n{rest}");
    let (pipeline, mut diagnostics) = load_text("pipeline.yaml", &text, dir.path());
    let pipeline = pipeline.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    let plan = build(&pipeline, &Options::default(), &mut diagnostics).unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    (dir, Arc::new(plan))
}

fn made_of(plan: &Arc<Plan>, events: &[Value]) -> Vec<Value> {
    let texts: Vec<String> = events.iter().map(Value::to_string).collect();
    let messages: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let output = run(plan, &messages);
    incidents(&output).values().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn xsoar_pipeline_labels_are_what_the_mapper_says() {
    let mapping = json!({
        "dbot_classification_incident_type_all": {"dontMapEventToLabels": false, "internalMapping": {"name": {"simple": "n"}}},
        "type a": {"dontMapEventToLabels": true, "internalMapping": {"severity": {"simple": "level"}}},
    });
    let event = |kind: &str| json!({"kind": kind, "n": 1.50, "o": {"a": [1, "x"]}, "level": "high", "nothing": null, "flag": true, "q": "say \"hi\""});
    let events = [event("a"), event("b")];
    let (_dir, plan) = imported(mapping.clone(), "");
    let made = made_of(&plan, &events);
    assert_eq!((&made[0]["type"], &made[0]["severity"], &made[0]["labels"]), (&json!("Type A"), &json!(3), &Value::Null));
    assert_eq!(made[1]["severity"], 0);
    assert_eq!(made[1]["labels"], json!({"kind": "b", "n": "1.5", "o": "{\"a\":[1,\"x\"]}", "level": "high", "flag": "true", "q": "say \"hi\""}));
    // What the pipeline says counts for all types.
    let (_dir, plan) = imported(mapping, "sink: { labels: unmapped }\n");
    let made = made_of(&plan, &events);
    assert_eq!(made[0]["labels"], json!({"o": {"a": [1, "x"]}, "nothing": null, "flag": true, "q": "say \"hi\""}));
}

#[test]
fn xsoar_pipeline_explain_says_what_classified() {
    let because = |plan: &Arc<Plan>, kind: &str| {
        let event = json!({"kind": kind}).to_string();
        catchment::cli::explain::explain(plan, 0, event.as_bytes()).unwrap()[0]["because"].clone()
    };
    let (_dir, plan) = imported(json!({}), "");
    assert_eq!(because(&plan, "a"), "the classifier c: kind is \"a\"");
    assert_eq!(because(&plan, "x"), "the default");
    let (_, plan) = self::plan();
    assert_eq!(because(&plan, "x"), "the default of the classifier");
}

#[test]
fn xsoar_pipeline_now_is_when_the_event_arrived() {
    let step = |operator: &str, args: Value| json!({"operator": operator, "args": args});
    let chain = |root: &str, steps: Value| json!({"complex": {"root": root, "transformers": steps}});
    let mapping = json!({"dbot_classification_incident_type_all": {"dontMapEventToLabels": true, "internalMapping": {
        "details": chain("at", json!([step("ModifyDateTime", json!({"variation": {"value": {"simple": "in 1 hour"}}}))])),
        "name": {"complex": {"root": "list", "accessor": "id", "filters": [[{"operator": "AfterRelativeDate", "left": {"isContext": true, "value": {"simple": "list.seen"}}, "right": {"value": {"simple": "2 days ago"}}}]], "transformers": []}},
        "occurred": {"simple": "seen"},
    }}});
    let event = json!({"at": "now", "seen": "2026-03-01T07:00:00Z", "list": [{"id": "old", "seen": "2026-02-20T00:00:00Z"}, {"id": "new", "seen": "2026-03-02T00:00:00Z"}]});
    let (_dir, plan) = imported(mapping, "");
    // The first record is of 2026-03-02T08:00:00Z.
    let made = made_of(&plan, std::slice::from_ref(&event));
    assert_eq!((&made[0]["details"], &made[0]["name"]), (&json!("2026-03-02T09:00:00"), &json!("new")));
    // In files it is when it occurred.
    let mut trial = catchment::ingest::trial::Trial::new(plan, Some(catchment::ingest::plan::build::Arrival::Occurred));
    let (ends, _) = trial.show(0, [event.to_string().as_bytes()]).unwrap();
    let incident = ends[0].incident.clone().unwrap();
    assert_eq!((&incident["details"], &incident["name"]), (&json!("2026-03-01T08:00:00"), &json!("new")));
}
