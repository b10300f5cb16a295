//! Recorded alerts of real products through their own classifiers and mappers: every field equals the
//! reference of a whole event, and what was judged by hand against the semantics is what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use catchment::config::load_text;
use catchment::content::field::FieldType;
use catchment::content::incident::Maker;
use catchment::expr::xsoar::value::equal;
use catchment::ingest::plan::build::{Options, build};
use serde_json::{Value, json};

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
    product("Gsuite-gmail", &["Gmail"], "Gmail", "Gmail-mapper", ""),
    product("HelloWorld", &["HelloWorld"], "HelloWorld", "HelloWorld-mapper", ""),
    product("IllusiveNetworks", &["IllusiveNetworks"], "Illusive Networks", "Illusive Networks-mapper", ""),
    product("Mail-listener", &["CommonTypes"], "mail-listener", "mail-listener-mapper", "Phishing"),
    product("MicrosoftGraphListener", &["MicrosoftGraphListener"], "Microsoft Graph Mail Single User", "Microsoft Graph Mail Single User-mapper", "Phishing"),
    product("PaloAltoNetworks_CortexXDR", &["CortexXDR"], "Cortex XDR - IR", "Cortex XDR - IR-mapper", ""),
    product("Prisma_Cloud", &["PrismaCloud"], "RedLock", "RedLock-mapper", ""),
    product("QRadar", &["QRadar"], "QRadar", "QRadar-mapper", "Access"),
    product("SplunkPy", &["SplunkPy"], "SplunkPy", "SplunkPy-mapper", "Access"),
    product("Zimperium", &["Zimperium"], "Zimperium", "Zimperium-mapper", ""),
];

/// Judged by hand: (events, number of the event) → fields.
fn judged() -> Vec<(&'static str, usize, Value)> {
    vec![
        // `creation_time` is milliseconds; `medium` is 2.
        (
            "PaloAltoNetworks_CortexXDR",
            0,
            json!({"type": "Cortex XDR Incident", "severity": 2, "occurred": "2019-12-08T12:08:29.185Z", "xdralertcount": 1, "xdrseverity": "medium", "xdrdetectiontime": null}),
        ),
        ("PaloAltoNetworks_CortexXDR", 1, json!({"severity": 3, "xdrincidentid": "2", "xdrstatus": "new"})),
        // The policy is in the classifier's table; the other one is not, and has its default.
        (
            "Prisma_Cloud",
            0,
            json!({"type": "AWS CloudTrail Misconfiguration", "severity": 1, "accountname": "aws-francesco-personal", "alerttime": "2021-10-01T05:39:54.812Z", "sourceBrand": "Prisma Cloud"}),
        ),
        ("Prisma_Cloud", 1, json!({"type": "Prisma Cloud"})),
        // No category of these offences is in the classifier's table: the instance's type decides.
        (
            "QRadar",
            0,
            json!({"type": "Access", "srcuser": "192.168.0.1", "destntdomain": "mock_net", "details": "Activacion", "occurred": "2019-07-18T07:01:45.606Z"}),
        ),
        // A path through a list of recipients gathers their addresses.
        (
            "EWS_v2",
            0,
            json!({"type": "Phishing", "emailto": "foo@demisto.com", "emailcc": "goo@demisto.com", "attachmentcount": 1, "attachmentextension": "msg", "emailtocount": "1"}),
        ),
        // The header is spelled `Message-Id` here: `substringFrom` finds nothing and changes nothing.
        ("Mail-listener", 0, json!({"type": "Phishing", "emailsubject": "DONT OPEN - MALICIOS", "emailmessageid": "From: Koko Demisto <koko@demisto.com"})),
        // The mapper spells its type `Zimperium Event`.
        ("Zimperium", 0, json!({"type": "Zimperium event", "app": "zIPS", "os": "iOS", "osversion": "11.4.1", "mobiledevicemodel": "iPhone"})),
        ("Crowdstrike-Streaming", 0, json!({"type": "Unclassified", "name": null})),
        ("Crowdstrike-Streaming", 1, json!({"type": "Malware", "filename": "choice.exe", "user": "admin", "name": "Suspicious Activity"})),
        ("HelloWorld", 0, json!({"type": "Hello World Alert", "helloworldid": "100", "helloworldstatus": "ACTIVE"})),
        ("IllusiveNetworks", 0, json!({"type": "Illusive Networks Incident", "illusivenetworksid": "1234", "illusivenetworkshasforensics": true})),
        ("Gsuite-gmail", 1, json!({"type": "Phishing", "attachmentname": "puppy.png", "attachmentextension": "png", "attachmentcount": 1})),
        ("Cymulate", 0, json!({"type": "Cymulate Immediate Threats", "cymulateimmediatethreatsvector": "Endpoint Security", "details": "N/A"})),
    ]
}

#[test]
fn xsoar_recorded_alerts_become_their_incidents() {
    let (Some(packs), Some(recorded)) = (shared("xsoar/content/Packs"), shared("xsoar/events")) else { return };
    let mut made: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    for Product { events, packs: own, classifier, mapper, default } in PRODUCTS {
        let content: Vec<&str> = own.iter().copied().chain(["CommonTypes"]).collect();
        let default = if default.is_empty() { String::new() } else { format!(", default: {default}") };
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
        for ((offset, _), line) in incidents(&output) {
            let incident: Value = serde_json::from_slice(line).unwrap();
            let event: Value = serde_json::from_slice(messages[offset as usize]).unwrap();
            let wanted = maker.make(&event, Some(default.trim_start_matches(", default: ")).filter(|name| !name.is_empty()), Some(START + offset * 1_000_000));
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
            made.entry(events).or_default().push(incident);
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{compared} fields of recorded alerts equal the reference");
    for (events, number, expected) in judged() {
        let incident = &made[events][number];
        for (field, value) in expected.as_object().unwrap() {
            assert!(equal(value, &incident[field]), "{events} {number} {field}: judged {value}, made {}", incident[field]);
        }
    }
}
