//! Recorded alerts of real products through their own classifiers and mappers: every field equals the
//! reference of a whole event, and every field of every incident is what was judged by hand.
//!
//! The tables in `tests/xsoar_recorded` are no snapshots of our output: an evaluator of its own, written
//! from the semantics alone, made them from events and mappers, and they were read beside both. What
//! was there to judge stands at the head of each; what stays doubtful, in `docs/xsoar.md`. Long values
//! are told by their size and the beginning of their SHA-256.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use catchment::config::{Pipeline, load_text};
use catchment::content::field::FieldType;
use catchment::content::incident::Maker;
use catchment::expr::xsoar::value::equal;
use catchment::ingest::plan::build::{Options, build};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::decode_oracle::shared;
use crate::one_batch::{START, incidents, run};

struct Product {
    events: &'static str,
    packs: &'static [&'static str],
    classifier: &'static str,
    mapper: &'static str,
    /// The type that an instance of the integration is set up with; empty: none.
    default: &'static str,
}

const fn product(events: &'static str, packs: &'static [&'static str], classifier: &'static str, mapper: &'static str, default: &'static str) -> Product {
    Product { events, packs, classifier, mapper, default }
}

const PRODUCTS: [Product; 14] = [
    product("Claroty", &["Claroty"], "Claroty", "Claroty-mapper", "Claroty Security Incident"),
    product("Crowdstrike-Streaming", &["CrowdStrikeFalconStreamingV2"], "crowdstrike-streaming-api", "crowdstrike-streaming-api-mapper", ""),
    product("Cymulate", &["Cymulate"], "Cymulate", "Cymulate-mapper", ""),
    product("EWS_v2", &["EWS", "Phishing"], "EWS v2", "EWS v2-mapper", "Phishing"),
    product("Gsuite-gmail", &["Gmail", "Phishing"], "Gmail", "Gmail-mapper", ""),
    product("HelloWorld", &["HelloWorld"], "HelloWorld", "HelloWorld-mapper", ""),
    product("IllusiveNetworks", &["IllusiveNetworks"], "Illusive Networks", "Illusive Networks-mapper", ""),
    product("Mail-listener", &["CommonTypes", "Phishing"], "mail-listener", "mail-listener-mapper", "Phishing"),
    product(
        "MicrosoftGraphListener",
        &["MicrosoftGraphListener", "Phishing"],
        "Microsoft Graph Mail Single User",
        "Microsoft Graph Mail Single User-mapper",
        "Phishing",
    ),
    product("PaloAltoNetworks_CortexXDR", &["CortexXDR"], "Cortex XDR - IR", "Cortex XDR - IR-mapper", ""),
    product("Prisma_Cloud", &["PrismaCloud"], "RedLock", "RedLock-mapper", ""),
    product("QRadar", &["QRadar"], "QRadar", "QRadar-mapper", "Access"),
    product("SplunkPy", &["SplunkPy"], "SplunkPy", "SplunkPy-mapper", "Access"),
    product("Zimperium", &["Zimperium"], "Zimperium", "Zimperium-mapper", ""),
];

fn content(own: &[&'static str]) -> Vec<&'static str> {
    own.iter().copied().chain(["CommonTypes"]).collect()
}

fn messages(recorded: &Path, events: &str) -> Vec<String> {
    let lines = std::fs::read_to_string(recorded.join(format!("{events}.ndjson"))).unwrap();
    lines.lines().map(str::to_owned).collect()
}

/// A pipeline of a pack's classifier and mapper, and what it makes: events with their incidents.
fn through(packs: &Path, content: &str, classifier: &str, mapper: &str, default: &str, messages: &[String]) -> (Pipeline, Vec<(Value, Value)>) {
    let default = if default.is_empty() { String::new() } else { format!(", default: {default}") };
    let text = format!("name: t\nsource: {{ topics: [one] }}\ncontent: {content}\nclassify: {{ xsoar: {classifier}{default} }}\nmap: {{ xsoar: {mapper} }}\n");
    let (pipeline, mut diagnostics) = load_text("pipeline.yaml", &text, packs);
    let pipeline = pipeline.unwrap_or_else(|| panic!("{text}{}", diagnostics.plain()));
    let plan = Arc::new(build(&pipeline, &Options::default(), &mut diagnostics).unwrap_or_else(|| panic!("{text}{}", diagnostics.plain())));
    let payloads: Vec<&[u8]> = messages.iter().map(String::as_bytes).collect();
    let output = run(&plan, &payloads);
    let made: Vec<Value> = incidents(&output).values().map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(made.len(), messages.len(), "{text}");
    let events = messages.iter().map(|message| serde_json::from_str(message).unwrap());
    (pipeline, events.zip(made).collect())
}

/// What Catchment fills itself; `occurred` is the record's time where no mapper has it.
const OWN: [&str; 10] = ["id", "created", "labels", "raw", "source", "tenant", "pipeline", "pipeline_version", "status", "version"];

/// As the tables tell it.
fn told(value: &Value) -> Value {
    let hash = |text: &str| Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        Value::String(text) if text.chars().count() > 64 => json!({"characters": text.chars().count(), "sha256": hash(text)}),
        Value::Array(items) if value.to_string().len() > 120 => json!({"items": items.len(), "sha256": hash(&value.to_string())}),
        other => other.clone(),
    }
}

/// Holds all incidents of a product to its table: these fields, no others, these values. Labels are counted there,
/// and compared with the attributes of the event here.
fn compare_with_table(events: &str, made: &[(Value, Value)]) -> usize {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/xsoar_recorded/{events}.json"));
    let table: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let judged = table["incidents"].as_object().unwrap();
    assert_eq!(judged.len(), made.len(), "{events}: each incident is judged");
    let mut compared = 0;
    for (number, expected) in judged {
        let (event, incident) = &made[number.parse::<usize>().unwrap()];
        let mapped = |name: &str| !OWN.contains(&name) && (name != "occurred" || !expected["occurred"].is_null());
        let fields = incident.as_object().unwrap().iter().filter(|(name, _)| mapped(name.as_str()));
        let mut found: BTreeMap<&str, Value> = fields.map(|(name, value)| (name.as_str(), told(value))).collect();
        let labels: Vec<(&String, &Value)> = incident["labels"].as_object().into_iter().flatten().collect();
        found.insert("labels", json!(labels.len()));
        let expected: BTreeMap<&str, &Value> = expected.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{events} {number}");
        for (name, value) in expected {
            assert!(equal(value, &found[name]), "{events} {number} {name}: judged {value}, made {}", found[name]);
            compared += 1;
        }
        for (name, label) in labels {
            let text = label.as_str().unwrap();
            let same = match &event[name] {
                Value::String(attribute) => text == attribute,
                attribute => serde_json::from_str::<Value>(text).is_ok_and(|read| equal(&read, attribute)),
            };
            assert!(same, "{events} {number} label {name}: {text} of {}", event[name]);
        }
    }
    compared
}

#[test]
fn xsoar_recorded_alerts_become_their_incidents() {
    let (Some(packs), Some(recorded)) = (shared("xsoar/content/Packs"), shared("xsoar/events")) else { return };
    let (mut compared, mut judged, mut wrong) = (0, 0, Vec::new());
    for Product { events, packs: own, classifier, mapper, default } in PRODUCTS {
        let messages = messages(&recorded, events);
        let content = json!(content(own));
        let (pipeline, made) = through(&packs, &content.to_string(), classifier, mapper, default, &messages);
        let content = pipeline.content.as_ref().unwrap();
        let maker = Maker::new(content, Some(content.classifier(classifier).unwrap().1), Some(content.mapper(mapper).unwrap().1));
        let fallback = Some(default).filter(|name| !name.is_empty());
        for (offset, (event, incident)) in made.iter().enumerate() {
            let wanted = maker.make(event, fallback, Some(START + offset as i64 * 1_000_000));
            assert_eq!(incident["type"], wanted.type_name.as_str(), "{events} {offset}");
            let mut errors: Vec<&str> = incident["_errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            errors.sort_unstable();
            let mut expected: Vec<&str> = wanted.errors.iter().map(String::as_str).collect();
            expected.sort_unstable();
            assert_eq!(errors, expected, "{events} {offset}");
            for (field, value) in &wanted.fields {
                let time = field == "occurred" || content.field(field).is_some_and(|(_, known)| known.kind == FieldType::Date);
                // Times are written in one form; what Catchment fills itself goes under another name.
                let got = if incident[format!("xsoar_{field}")].is_null() { &incident[field] } else { &incident[format!("xsoar_{field}")] };
                let same = equal(value, got) || time && got.is_string();
                compared += 1;
                if !same {
                    wrong.push(format!("{events} {offset} {field}: reference {value}, engine {}", incident[field]));
                }
            }
        }
        judged += compare_with_table(events, &made);
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{compared} fields of recorded alerts equal the reference, {judged} were judged by hand");
}

/// The classifiers for versions up to 5.9.9, which are mappers, too, make the same of them: held to the same tables.
/// Those of Illusive Networks and Zimperium say less than their successors: another key, no default.
#[test]
fn xsoar_recorded_alerts_through_legacy_classifiers() {
    const LEGACY: [(&str, &str); 12] = [
        ("Claroty", "babb69e2-059c-4ac2-896a-76e9e42844e5"),
        ("Crowdstrike-Streaming", "5d9a5ec5-33cb-4f82-8c5e-e8ae6f7831d8"),
        ("Cymulate", "906b4384-1d98-46e4-8af0-ecb52d5fdddc"),
        ("EWS_v2", "c9332555-348b-4d91-85b4-e345cdba12c8"),
        ("Gsuite-gmail", "1bb6fa72-f964-4011-8a48-f70338082b68"),
        ("HelloWorld", "612fd5a2-31bf-4a83-8026-d4275ac5da55"),
        ("Mail-listener", "8e398f32-2af9-49a0-8702-e2eeeb0101e5"),
        ("MicrosoftGraphListener", "22b362ce-7a96-4a70-87d0-2ef4eeed5b8b"),
        ("PaloAltoNetworks_CortexXDR", "32f26072-9a69-41a5-8db8-0d1226431078"),
        ("Prisma_Cloud", "230ea712-b969-4d73-8e1e-a1360ab8942c"),
        ("QRadar", "af6645d1-8209-4c7f-8458-f8edfc77b9e9"),
        ("SplunkPy", "b7132142-60d2-4a7b-8b15-16a381543d79"),
    ];
    let (Some(packs), Some(recorded)) = (shared("xsoar/content/Packs"), shared("xsoar/events")) else { return };
    let products = PRODUCTS;
    for (events, id) in LEGACY {
        let Product { packs: own, default, .. } = products.iter().find(|product| product.events == events).unwrap();
        let content = format!("{{ packs: {}, xsoar_version: 5.5.0 }}", json!(content(own)));
        let (_, made) = through(&packs, &content, id, id, default, &messages(&recorded, events));
        compare_with_table(events, &made);
    }
}

#[test]
fn xsoar_recorded_indicators_of_a_feed_are_refused() {
    let Some(packs) = shared("xsoar/content/Packs") else { return };
    for (key, what) in [("classify", "classifier"), ("map", "mapper")] {
        let text = format!("name: t\nsource: {{ topics: [one] }}\ncontent: [FeedAWS]\n{key}: {{ xsoar: AWS Feed }}\n");
        let (_, diagnostics) = load_text("pipeline.yaml", &text, &packs);
        let said = diagnostics.plain();
        assert!(diagnostics.has_errors() && said.contains(&format!("this {what} is for indicators of a feed")), "{said}");
    }
}
