//! Types whose expressions are alike are evaluated together, and mean what they mean apart.

use std::path::Path;
use std::sync::Arc;

use catchment::config::load_text;
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Options, build};
use proptest::prelude::*;

use crate::expr_bench::typed;
use crate::expr_generate::{Dice, Node, any, event, text};
use crate::one_batch::{incidents, run};

/// Cases without `PROPTEST_CASES`. Each plans five pipelines.
const CASES: u32 = 100;
const TYPES: usize = 4;

/// The plan of the types given, each with its fields.
fn plan(dir: &Path, types: &[(usize, Vec<String>)]) -> Arc<Plan> {
    let mut yaml = String::from("name: families\nsource: { topics: [one], format: json }\nlookups: { table: { file: table.csv, key: key, match: exact } }\n");
    yaml.push_str("classify: { key: kind, default: drop, types: { ");
    types.iter().for_each(|(number, _)| yaml.push_str(&format!("k{number}: Type {number}, ")));
    yaml.push_str("} }\nmap:\n  \"*\": { f0: a, occurred: _timestamp }\n");
    for (number, fields) in types {
        yaml.push_str(&format!("  Type {number}:\n"));
        for (at, field) in fields.iter().enumerate() {
            yaml.push_str(&format!("    f{at}: {}\n", serde_json::to_string(field).unwrap()));
        }
    }
    yaml.push_str(
        "preprocess: { scope: process, rules: [ { name: r, when: \"f0 = 'never'\", action: drop } ] }\nsink: { topic: incidents, labels: none, raw: false }\n",
    );
    let (pipeline, mut diagnostics) = load_text("test.yaml", &yaml, dir);
    let plan = pipeline.and_then(|pipeline| build(&pipeline, &Options::default(), &mut diagnostics));
    Arc::new(plan.unwrap_or_else(|| panic!("{}\n{yaml}", diagnostics.plain())))
}

fn lines(plan: &Arc<Plan>, messages: &[String]) -> Vec<(i64, String)> {
    let messages: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
    let output = run(plan, &messages);
    incidents(&output).iter().map(|((offset, _), line)| (*offset, String::from_utf8_lossy(line).replace(&*plan.version, "version"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES),
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn types_together_equal_types_apart(
        fields in prop::collection::vec(prop::collection::vec(proptest::num::u16::ANY, 0..40), 1..4),
        events in prop::collection::vec(prop::collection::vec(proptest::num::u16::ANY, 0..40), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("table.csv"), "key,owner,zone\na,ann,red\nABC,bob,\n10,ä,blue\n").unwrap();
        let of = |number: usize| -> Vec<String> {
            let expression = |(at, choices): (usize, &Vec<u16>)| {
                let mut dice = Dice::shifted(choices, number);
                let made = if at == 0 { text(&mut dice, 3) } else { any(&mut dice, 3) };
                // Not all are legal with other constants.
                if typed(&made).is_ok() { made } else { "b".to_owned() }
            };
            fields.iter().enumerate().map(expression).collect()
        };
        let types: Vec<(usize, Vec<String>)> = (0..TYPES).map(|number| (number, of(number))).collect();
        let messages: Vec<String> = events
            .iter()
            .enumerate()
            .map(|(n, choices)| {
                let Node::Object(mut members) = event(&mut Dice::new(choices)) else { return String::new() };
                let kind = format!("k{}", (n * 7 + choices.len()) % TYPES);
                members.push(("kind".to_owned(), Node::Text(kind.clone(), format!("\"{kind}\""))));
                Node::Object(members).json()
            })
            .collect();
        let together = lines(&plan(dir.path(), &types), &messages);
        let mut apart: Vec<(i64, String)> = types.iter().flat_map(|one| lines(&plan(dir.path(), std::slice::from_ref(one)), &messages)).collect();
        apart.sort();
        prop_assert_eq!(together, apart, "{:?}", types);
    }
}

/// Families are found: what differs is an input, and the types are one section.
#[test]
fn types_that_are_alike_are_one_section() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("table.csv"), "key,owner\na,ann\n").unwrap();
    let fields = |n: usize| -> Vec<String> {
        vec![
            format!("concat('v{n} ', upper(a))"),
            format!("replace(b, 'a', '{n}')"),
            format!("coalesce(missing_{n}, 'none')"),
            format!("CASE WHEN n > {n} THEN 'much' ELSE c END"),
            format!("n + {n}"),
            "lower(c)".to_owned(),
            format!("regexp_replace(c, '{n}', 'x')"),
        ]
    };
    let types: Vec<(usize, Vec<String>)> = (0..20).map(|n| (n, fields(n))).collect();
    let plan = plan(dir.path(), &types);
    let sections = &plan.sources[0].sections;
    // All types together; and one each for the regular expression, which is part of what an expression does.
    assert_eq!(sections.iter().filter(|section| section.types.len() == 20).map(|section| section.phase.outputs()).collect::<Vec<_>>(), [6]);
    assert_eq!(sections.len(), 1 + 20);
    // A text, a path, another text, and one number that two families share.
    assert_eq!(plan.sources[0].by_type.len(), 4);
    let messages: Vec<String> = (0..40).map(|n| format!(r#"{{"kind":"k{}","a":"x","b":"banana","c":"C{n}","n":{n},"missing_3":"three"}}"#, n % 20)).collect();
    let lines = lines(&plan, &messages);
    for part in [r#""f0":"v3 X""#, r#""f1":"b3n3n3""#, r#""f2":"three""#, r#""f3":"much""#, r#""f4":26"#, r#""f5":"c23""#, r#""f6":"C2x""#] {
        assert!(lines[23].1.contains(part), "{part} in {}", lines[23].1);
    }
}
