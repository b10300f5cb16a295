//! Pre-process rules of packs as the engine runs them, against the reference: operator by operator,
//! value by value.

use std::path::Path;
use std::sync::Arc;

use catchment::config::{Diagnostics, load_text};
use catchment::content::field::FieldType;
use catchment::content::incident::{Made, Rules, Ruling};
use catchment::content::preprocess::Action;
use catchment::content::value::convert;
use catchment::content::{Content, load};
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Arrival, Options, build};
use catchment::ingest::trial::Trial;
use serde_json::{Value, json};

const FIELDS: [(&str, &str, FieldType); 3] =
    [("t", "shortText", FieldType::ShortText), ("n", "number", FieldType::Number), ("m", "multiSelect", FieldType::MultiSelect)];

fn pack(dir: &Path, rules: &[Value]) -> Content {
    std::fs::create_dir_all(dir.join("p/IncidentFields")).unwrap();
    for (name, kind, _) in FIELDS {
        let field = json!({"id": format!("incident_{name}"), "name": name, "cliName": name, "type": kind, "associatedToAll": true});
        std::fs::write(dir.join(format!("p/IncidentFields/{name}.json")), field.to_string()).unwrap();
    }
    for rule in rules {
        std::fs::write(dir.join(format!("p/{}.json", rule["id"].as_str().unwrap())), rule.to_string()).unwrap();
    }
    let mut out = Diagnostics::new();
    let content = load(&[dir.join("p")], None, &mut out);
    assert!(!out.has_errors(), "{}", out.plain());
    content
}

fn plan(dir: &Path) -> Plan {
    let text = "name: t\nsource: { topics: [a] }\ncontent: [p]\nclassify: { default: A }\nmap: { \"*\": { t: t, n: n, m: m, occurred: parse_time(at) } }\npreprocess: { xsoar: all }\n";
    let (pipeline, mut out) = load_text("pipeline.yaml", text, dir);
    let plan = build(&pipeline.unwrap(), &Options { arrival: Some(Arrival::Occurred) }, &mut out);
    assert!(!out.has_errors(), "{}", out.plain());
    plan.unwrap()
}

fn made(event: &Value) -> Made {
    let mut made = Made { type_name: "A".into(), ..Made::default() };
    for (name, _, kind) in FIELDS {
        if let Ok(Some(value)) = convert(kind, event[name].clone()) {
            made.fields.insert(name.into(), value);
        }
    }
    made
}

fn atom(left: &str, operator: &str, right: Option<&str>, ignore_case: bool) -> Value {
    let mut atom = json!({"left": {"value": {"simple": left}, "isContext": true}, "operator": operator, "ignoreCase": ignore_case});
    if let Some(right) = right {
        atom["right"] = json!({"value": {"simple": right}});
    }
    atom
}

#[test]
fn every_operator_agrees_with_the_reference() {
    let texts = [json!("a"), json!("A"), json!("ab"), json!(""), json!(null), json!("10.0.0.7"), json!("x,y")];
    let numbers = [json!(3), json!(4.5), json!(null)];
    let lists = [json!(["a", "b"]), json!(["b"]), json!(null)];
    let mut cases: Vec<(Value, &[Value])> = Vec::new();
    for (operator, right) in [
        ("isEqualString", "a"),
        ("isNotEqualString", "a"),
        ("string.isEqual", "ab"),
        ("containsString", "b"),
        ("notContainsString", "b"),
        ("startWith", "a"),
        ("notStartWith", "a"),
        ("endWith", "b"),
        ("notEndWith", "b"),
        ("match", "^a.?$"),
        ("inList", "a, ab"),
        ("notInList", "a, ab"),
        ("stringHasLength", "2"),
        ("IsInCidrRanges", "10.0.0.0/8,192.168.0.0/16"),
    ] {
        cases.push((atom("t", operator, Some(right), false), &texts));
    }
    for operator in ["isEqualString", "isNotEqualString", "containsString", "startWith", "match", "inList"] {
        cases.push((atom("t", operator, Some("A"), true), &texts));
    }
    for operator in ["isExists", "isNotExists", "isNotEmpty", "isEmpty"] {
        cases.push((atom("t", operator, None, false), &texts));
        cases.push((atom("m", operator, None, false), &lists));
    }
    for operator in ["greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual", "isEqualNumber", "isNotEqualNumber"] {
        cases.push((atom("n", operator, Some("3"), false), &numbers));
    }
    cases.push((atom("m", "isEqualString", Some("a"), false), &lists));
    let mut wrong = Vec::new();
    for (atom, values) in &cases {
        let dir = tempfile::tempdir().unwrap();
        let rule = json!({"id": "r", "action": "drop", "newEventFilters": [[atom]], "existingEventsFilters": []});
        let content = pack(dir.path(), std::slice::from_ref(&rule));
        let plan = Arc::new(plan(dir.path()));
        let rule = content.rule("r").unwrap().1;
        for value in *values {
            let event = json!({atom["left"]["value"]["simple"].as_str().unwrap(): value});
            let mut trial = Trial::new(plan.clone(), Some(Arrival::Occurred));
            let (ends, _) = trial.show(0, [event.to_string().as_bytes()]).unwrap();
            let engine = ends.last().unwrap().outcome() == "dropped";
            let reference = matches!(Rules::new([("r", rule)]).decide(&made(&event), 0), Ruling::By { action: Action::Drop, .. });
            if engine != reference {
                wrong.push(format!("{atom} on {value}: engine {engine}, reference {reference}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_rule_that_finds_nothing_ends_the_search() {
    let same = json!([[{"left": {"value": {"simple": "t"}, "isContext": true}, "operator": "isEqualString", "right": {"value": {"simple": "${t}"}, "isContext": true}}]]);
    let rules = [
        json!({"id": "one", "index": 1, "action": "dropAndUpdate", "period": {"by": "hours", "fromValue": 1}, "newEventFilters": [[atom("n", "greaterThan", Some("5"), false)]], "existingEventsFilters": same}),
        json!({"id": "two", "index": 2, "action": "drop", "newEventFilters": [[atom("t", "isExists", None, false)]], "existingEventsFilters": []}),
    ];
    let dir = tempfile::tempdir().unwrap();
    let content = pack(dir.path(), &rules);
    let mut trial = Trial::new(Arc::new(plan(dir.path())), Some(Arrival::Occurred));
    let mut reference = Rules::new(["one", "two"].map(|id| (id, content.rule(id).unwrap().1)));
    let events = [
        (json!({"t": "a", "n": 9, "at": "2026-01-01T00:00:00Z"}), "incident"),
        (json!({"t": "a", "n": 9, "at": "2026-01-01T00:30:00Z"}), "attached"),
        (json!({"t": "a", "n": 1, "at": "2026-01-01T00:31:00Z"}), "dropped"),
        (json!({"t": "b", "n": 9, "at": "2026-01-01T00:32:00Z"}), "incident"),
        (json!({"n": 1, "at": "2026-01-01T00:33:00Z"}), "incident"),
    ];
    for (number, (event, expected)) in events.iter().enumerate() {
        let (ends, _) = trial.show(0, [event.to_string().as_bytes()]).unwrap();
        assert_eq!(ends.last().unwrap().outcome(), *expected, "{event}");
        let minute = [0, 30, 31, 32, 33][number];
        let ruling = match reference.decide(&made(event), minute * 60_000) {
            Ruling::Created => "incident",
            Ruling::By { action: Action::Drop, .. } => "dropped",
            Ruling::By { action: Action::DropAndUpdate, .. } => "attached",
            other => panic!("{other:?}"),
        };
        assert_eq!(ruling, *expected, "{event}");
    }
}

/// Shows events to the engine and to the reference; both say how each ends.
fn agree(rules: &[Value], events: &[(Value, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let content = pack(dir.path(), rules);
    let mut trial = Trial::new(Arc::new(plan(dir.path())), Some(Arrival::Occurred));
    let ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let mut reference = Rules::new(ids.iter().map(|id| (*id, content.rule(id).unwrap().1)));
    for (minute, (event, expected)) in events.iter().enumerate() {
        let mut event = event.clone();
        event["at"] = json!(format!("2026-01-01T00:{minute:02}:00Z"));
        let (ends, output) = trial.show(0, [event.to_string().as_bytes()]).unwrap();
        let end = ends.last().unwrap();
        let engine = match end.outcome() {
            "incident" if !output.links.is_empty() => "linked",
            other => other,
        };
        assert_eq!(engine, *expected, "engine, {event}");
        let ruling = match reference.decide(&made(&event), minute as i64 * 60_000) {
            Ruling::By { action: Action::Drop, .. } => "dropped",
            Ruling::By { action: Action::DropAndUpdate, .. } => "attached",
            Ruling::By { action: Action::Link | Action::LinkAndClose, .. } => "linked",
            _ => "incident",
        };
        assert_eq!(ruling, *expected, "reference, {event}");
    }
}

fn rule(id: &str, index: u32, action: &str, new: Value, existing: Value, search_closed: bool) -> Value {
    json!({"id": id, "index": index, "action": action, "period": {"by": "hours", "fromValue": 1}, "searchClosed": search_closed, "newEventFilters": new, "existingEventsFilters": existing})
}

#[test]
fn rules_without_an_equality_compare_with_all() {
    // Any incident of the last hour.
    let any = rule("r", 1, "link", json!([[atom("t", "isEqualString", Some("b"), false)]]), json!([]), true);
    agree(&[any], &[(json!({"t": "b"}), "incident"), (json!({"t": "b"}), "linked"), (json!({"t": "a"}), "incident")]);
    // A comparison that is no equality.
    let within = json!([[{"left": {"value": {"simple": "t"}, "isContext": true}, "operator": "startWith", "right": {"value": {"simple": "${t}"}}}]]);
    let starts = rule("r", 1, "dropAndUpdate", json!([[atom("n", "isExists", None, false)]]), within, true);
    agree(
        &[starts],
        &[
            (json!({"t": "abc"}), "incident"),
            (json!({"n": 1, "t": "x"}), "incident"),
            (json!({"n": 1, "t": "ab"}), "attached"),
            (json!({"n": 1, "t": "b"}), "incident"),
        ],
    );
    // A constant that the new one has, too.
    let both = json!([[atom("t", "isEqualString", Some("a"), false)]]);
    let constant = rule("r", 1, "dropAndUpdate", both.clone(), both, true);
    agree(&[constant], &[(json!({"t": "b"}), "incident"), (json!({"t": "a"}), "incident"), (json!({"t": "a"}), "attached"), (json!({"t": "b"}), "incident")]);
    // A field that nothing maps is equal to nothing.
    let unmapped =
        json!([[{"left": {"value": {"simple": "details"}, "isContext": true}, "operator": "isEqualString", "right": {"value": {"simple": "${details}"}}}]]);
    agree(&[rule("r", 1, "dropAndUpdate", json!([]), unmapped, true)], &[(json!({"t": "a"}), "incident"), (json!({"t": "a"}), "incident")]);
}

#[test]
fn closed_incidents_count_where_the_rule_says_so() {
    let same = json!([[{"left": {"value": {"simple": "t"}, "isContext": true}, "operator": "isEqualString", "right": {"value": {"simple": "${t}"}, "isContext": true}}]]);
    let close = rule("close", 1, "close", json!([[atom("n", "greaterThan", Some("5"), false)]]), json!([]), false);
    for (search_closed, last) in [(false, "incident"), (true, "attached")] {
        let repeats = rule("repeats", 2, "dropAndUpdate", json!([]), same.clone(), search_closed);
        let third = if search_closed { "attached" } else { "incident" };
        agree(
            &[close.clone(), repeats],
            &[
                (json!({"t": "a", "n": 9}), "incident"),
                (json!({"t": "b"}), "incident"),
                (json!({"t": "a"}), third),
                (json!({"t": "b"}), "attached"),
                (json!({"t": "c", "n": 9}), "incident"),
                (json!({"t": "c"}), last),
            ],
        );
    }
}

#[test]
fn what_cannot_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    pack(dir.path(), &[json!({"id": "s", "action": "script", "scriptName": "x", "newEventFilters": []})]);
    let text = "name: t\nsource: { topics: [a] }\ncontent: [p]\nclassify: { default: A }\nmap: { \"*\": { t: t } }\npreprocess: { xsoar: all }\n";
    let (_, out) = load_text("pipeline.yaml", text, dir.path());
    let plain = out.plain();
    assert!(plain.contains("scripts of packs are not run"), "{plain}");
}
