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

use catchment::config::load_text;
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
        let content: Vec<&str> = own.iter().copied().chain(["CommonTypes"]).collect();
        let fallback = Some(default).filter(|name| !name.is_empty());
        let default = fallback.map(|name| format!(", default: {name}")).unwrap_or_default();
        let text = format!(
            "name: t\nsource: {{ topics: [one] }}\ncontent: {}\nclassify: {{ xsoar: {classifier}{default} }}\nmap: {{ xsoar: {mapper} }}\n",
            json!(content)
        );
        let (pipeline, mut diagnostics) = load_text("pipeline.yaml", &text, &packs);
        let Some(pipeline) = pipeline else { panic!("{events}: {}", diagnostics.plain()) };
        let plan = Arc::new(build(&pipeline, &Options::default(), &mut diagnostics).unwrap_or_else(|| panic!("{events}: {}", diagnostics.plain())));
        let content = pipeline.content.as_ref().unwrap();
        let maker = Maker::new(content, Some(content.classifier(classifier).unwrap().1), Some(content.mapper(mapper).unwrap().1));
        let lines = std::fs::read_to_string(recorded.join(format!("{events}.ndjson"))).unwrap();
        let messages: Vec<&[u8]> = lines.lines().map(str::as_bytes).collect();
        let output = run(&plan, &messages);
        let mut made = Vec::new();
        for ((offset, _), line) in incidents(&output) {
            let incident: Value = serde_json::from_slice(line).unwrap();
            let event: Value = serde_json::from_slice(messages[offset as usize]).unwrap();
            let wanted = maker.make(&event, fallback, Some(START + offset * 1_000_000));
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
            made.push((event, incident));
        }
        judged += compare_with_table(events, &made);
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{compared} fields of recorded alerts equal the reference, {judged} were judged by hand");
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
