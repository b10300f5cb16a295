//! Content packs in a pipeline: what `content:`, `classify`, `map` and `preprocess` take from them.

use std::path::Path;

use catchment::config::schema::FieldKind;
use catchment::config::{Action, ClassifyDefault, Diagnostics, Pipeline, load_text};

fn read(text: &str) -> (Option<Pipeline>, Diagnostics) {
    load_text("pipeline.yaml", text, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"))
}

fn good(text: &str) -> Pipeline {
    let (pipeline, out) = read(text);
    assert!(!out.has_errors(), "{}", out.plain());
    pipeline.unwrap()
}

fn bad(text: &str, says: &str) {
    let (_, out) = read(text);
    assert!(out.has_errors() && out.plain().contains(says), "nothing says `{says}`: {}", out.plain());
}

const HEAD: &str = "name: t\nsource: { topics: [a.b] }\ncontent: [packs/Brightwater]\n";

#[test]
fn a_pipeline_takes_classifier_mapper_and_rules() {
    let pipeline = good(&format!(
        "{HEAD}classify: {{ xsoar: brightwater-classifier }}\nmap:\n  xsoar: brightwater-mapper\n  \"*\": {{ region: \"'north'\" }}\npreprocess:\n  xsoar: [brightwater-repeats, brightwater-drop-tests]\n  rules:\n  - {{ name: own, when: \"severity > 3\", action: close }}\n"
    ));
    let produced: Vec<&str> = pipeline.classify.produced().iter().map(|name| name.value.as_str()).collect();
    assert_eq!(produced, ["Brightwater Malware", "Phishing", "Brightwater Event", "Unclassified"]);
    assert!(matches!(&pipeline.classify.default, ClassifyDefault::Type(name) if name.value == "Unclassified"));
    let map = pipeline.xsoar_map.as_ref().unwrap();
    assert_eq!(map.sections.iter().map(|section| section.target.as_str()).collect::<Vec<_>>(), ["*", "Brightwater Malware"]);
    let fields: Vec<(&str, Option<FieldKind>)> = map.sections[0].fields.iter().map(|entry| (entry.field.as_str(), entry.kind)).collect();
    // Close Notes cannot be mapped.
    assert_eq!(
        fields,
        [
            ("name", Some(FieldKind::Text)),
            ("occurred", Some(FieldKind::Time)),
            ("severity", Some(FieldKind::Severity)),
            ("brightwatersensorid", Some(FieldKind::Text)),
            ("sourceip", Some(FieldKind::Text)),
        ]
    );
    assert_eq!(pipeline.schema.field("brightwaterfilehashes").unwrap().kind, FieldKind::List);
    let rules: Vec<&str> = pipeline.preprocess.rules.iter().map(|rule| rule.name.value.as_str()).collect();
    // By index among themselves; before `rules`, as in the file.
    assert_eq!(rules, ["brightwater-drop-tests", "brightwater-repeats", "own"]);
    let [drop, repeats, _] = pipeline.preprocess.rules.as_slice() else { panic!() };
    assert_eq!(
        drop.when.as_ref().unwrap().text,
        "coalesce(starts_with(text(brightwatersensorid), 'S-9'), FALSE) AND coalesce(number(text(severity)) < number('3'), FALSE)"
    );
    assert_eq!(drop.action, Action::Drop);
    assert_eq!(repeats.matches.iter().map(|field| field.value.as_str()).collect::<Vec<_>>(), ["brightwatersensorid", "type"]);
    assert_eq!((repeats.within_ms, repeats.action), (Some(6 * 3_600_000), Action::DropAndUpdate));
    assert!(repeats.where_.is_none());
}

#[test]
fn sources_have_their_own() {
    let pipeline = good(
        "name: t\ncontent: { packs: packs/Brightwater, xsoar_version: 6.5.0 }\nsources:\n- { name: a, topics: [a], classify: { xsoar: brightwater-classifier }, map: { xsoar: brightwater-mapper } }\n- { name: b, topics: [b] }\nclassify: { default: drop }\n",
    );
    assert!(pipeline.classify.xsoar.is_none() && pipeline.sources[0].xsoar_classify.is_some() && pipeline.sources[0].xsoar_map.is_some());
    assert!(pipeline.sources[1].xsoar_map.is_none());
    assert!(pipeline.classify.produced().iter().any(|name| name.value == "Brightwater Malware"));
}

#[test]
fn mistakes_are_told() {
    bad("name: t\nsource: { topics: [a] }\nclassify: { xsoar: x }\n", "the pipeline has none");
    bad("name: t\nsource: { topics: [a] }\ncontent: [packs/Nowhere]\nclassify: { default: drop }\n", "does not exist");
    bad(&format!("{HEAD}classify: {{ xsoar: brightwater-classifer }}\n"), "did you mean `brightwater-classifier`?");
    bad(&format!("{HEAD}classify: {{ default: drop }}\nmap: {{ xsoar: brightwater-mapper-out }}\n"), "there is no incoming mapper");
    bad(&format!("{HEAD}classify: {{ default: drop }}\npreprocess: {{ xsoar: [nothing] }}\n"), "there is no pre-process rule");
    bad(&format!("{HEAD}classify: {{ key: a }}\n"), "`key` needs `types`");
}

#[test]
fn fields_that_nothing_maps_are_empty_in_rules() {
    let (pipeline, out) = read(&format!("{HEAD}classify: {{ default: Brightwater Malware }}\npreprocess: {{ xsoar: [brightwater-drop-tests] }}\n"));
    assert!(!out.has_errors(), "{}", out.plain());
    assert!(out.plain().contains("no section maps `brightwatersensorid`"), "{}", out.plain());
    assert!(pipeline.unwrap().preprocess.rules[0].when.as_ref().unwrap().text.contains("text(NULL)"));
}
