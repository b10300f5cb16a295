//! Conditions as filters and as classification, through the whole worker: guards that spare
//! evaluations, and selections that shrink, change nothing of what the reference evaluator says.

use catchment::expr::value::Value;
use catchment::ingest::output::TraceEnd;
use proptest::prelude::*;

use crate::expr_bench::{Plain, typed};
use crate::expr_generate::{Dice, Node, condition, event, near};
use crate::one_batch::{plan_of, run};

/// Cases without `PROPTEST_CASES`: each compiles a pipeline.
const CASES: u32 = 60;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() }
}

/// A condition that reads no table and no record: those have tests of their own.
fn conditions(choices: &[Vec<u16>]) -> Vec<String> {
    let each = choices.iter().map(|choices| {
        let mut dice = Dice::new(choices);
        if dice.below(3) == 0 { condition(&mut dice, 3) } else { near(&mut dice) }
    });
    each.filter(|text| !text.contains("lookup(") && !text.contains("_time(") && !text.contains("AS time") && !text.contains("_timestamp")).collect()
}

fn holds(text: &str, event: &Node) -> bool {
    let typed = typed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let want = catchment::expr::reference::evaluate(&typed, &Plain(event), &mut false).into_owned();
    want == Value::Boolean(true)
}

fn choices(len: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..len)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn filters_and_rules_hold_where_the_reference_says(
        filters in prop::collection::vec(choices(24), 1..6),
        rules in prop::collection::vec(choices(24), 1..8),
        events in prop::collection::vec(choices(60), 1..60),
    ) {
        let (filters, rules) = (conditions(&filters), conditions(&rules));
        prop_assume!(!rules.is_empty());
        let events: Vec<Node> = events.iter().map(|choices| event(&mut Dice::new(choices))).collect();
        let mut text = "name: generated\nsource: { topics: [t], format: json }\nfilter:\n- { name: none, drop: 'FALSE' }\n".to_owned();
        for (number, filter) in filters.iter().enumerate() {
            // Every other one only counts.
            let mode = if number % 2 == 1 { "shadow" } else { "enforce" };
            text.push_str(&format!("- {{ name: f{number}, drop: {}, mode: {mode} }}\n", serde_json::to_string(filter).unwrap()));
        }
        text.push_str("classify:\n  default: drop\n  rules:\n");
        for (number, rule) in rules.iter().enumerate() {
            text.push_str(&format!("  - {{ type: T{number}, when: {} }}\n", serde_json::to_string(rule).unwrap()));
        }
        let plan = plan_of(&text);
        let messages: Vec<String> = events.iter().map(Node::json).collect();
        let output = run(&plan, &messages.iter().map(String::as_bytes).collect::<Vec<_>>());
        let trace = output.trace.as_ref().unwrap();
        prop_assert_eq!(trace.len(), events.len());
        let mut shadow = vec![0; filters.len()];
        for (event, traced) in events.iter().zip(trace) {
            let mut dropped = None;
            for (number, filter) in filters.iter().enumerate() {
                if holds(filter, event) {
                    if number % 2 == 0 {
                        dropped = Some(number);
                        break;
                    }
                    shadow[number] += 1;
                }
            }
            let code = rules.iter().position(|rule| holds(rule, event));
            let wanted = match (dropped, code) {
                // Filter 0 is `none`.
                (Some(filter), _) => (TraceEnd::Filtered(filter as u16 + 1), None),
                (None, Some(code)) => (TraceEnd::Incident(None), Some(code as u16)),
                (None, None) => (TraceEnd::Unclassified, None),
            };
            prop_assert_eq!((traced.end, traced.code), wanted, "\n{}\n{}", text, event.json());
        }
        prop_assert_eq!(&output.counts.filter_shadow[1..], &shadow[..], "\n{}", text);
    }
}

/// Tables with a key beside rules: rules first, then the table, then the default.
#[test]
fn rules_come_before_the_table() {
    let plan = plan_of(
        "name: p\nsource: { topics: [t], format: json }\nclassify:\n  rules: [ { type: Rule, when: \"n > 5\" } ]\n  key: kind\n  types: { a: Alpha, 7: Seven, 'true': Truth }\n  default: Other\n",
    );
    let cases = [
        (r#"{"n":6,"kind":"a"}"#, "Rule"),
        (r#"{"n":5,"kind":"a"}"#, "Alpha"),
        (r#"{"n":"5","kind":"\u0061"}"#, "Alpha"),
        (r#"{"kind":7}"#, "Seven"),
        (r#"{"kind":true}"#, "Truth"),
        (r#"{"kind":"b"}"#, "Other"),
        (r#"{"kind":"b"}"#, "Other"),
        (r#"{"kind":null}"#, "Other"),
        (r#"{"kind":"a"}"#, "Alpha"),
        ("{}", "Other"),
    ];
    let output = run(&plan, &cases.map(|(event, _)| event.as_bytes()));
    let found: Vec<&str> = output.trace.iter().flatten().map(|traced| &*plan.types[traced.code.unwrap() as usize]).collect();
    assert_eq!(found, cases.map(|(_, name)| name));
}

#[test]
fn what_can_be_seen_at_a_path_guards_a_condition() {
    let cases = [
        ("a = 'x'", true),
        ("lower(a) = 'x'", true),
        ("lower(a) IN ('x', 'ä')", true),
        ("upper(a) = 'X'", true),
        ("lower(a) LIKE 'x%' OR upper(trim(b)) = 'Y'", true),
        ("coalesce(lower(a), 'x') = 'x'", false),
        ("concat(lower(a), 'x') = 'x'", false),
    ];
    for (text, guarded) in cases {
        let typed = crate::expr_bench::typed(text).unwrap();
        assert_eq!(catchment::ingest::guard::Guards::new(&[typed]).has(0), guarded, "{text}");
    }
}
