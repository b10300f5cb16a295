//! The sourced cases once more, through the compiled columns: the same expected values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use catchment::expr::xsoar::columnar;
use catchment::expr::xsoar::model::Place;
use catchment::expr::xsoar::path::Dt;
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::expr::xsoar::prepared::{Chain, Left, Operator, Prepared, PreparedTest, Source, Step, Tester};
use catchment::expr::xsoar::value::{is_empty, unwrap_list};
use catchment::expr::xsoar::{filter, read, transform};
use serde_json::{Map, Value, json};

use crate::xsoar_cases::{cases, same};
use crate::xsoar_columns::run;

/// A case as an expression over an event, and how its value answers the case.
struct Ready {
    expression: Prepared,
    event: Value,
    answer: Answer,
}

enum Answer {
    /// The value itself.
    Value,
    /// True where something came through.
    Kept,
    /// Per item of the input: whether it came through.
    KeptEach(Vec<Value>),
}

fn known_steps(operator: &str, args: &Map<String, Value>, steps: &mut Vec<Step>) {
    let known = transform::find(operator).unwrap_or_else(|| panic!("no operator {operator}"));
    let given = args.iter().filter(|(name, _)| !name.starts_with('$'));
    let args_of = given.map(|(name, value)| (Cow::Owned(name.clone()), Prepared::Constant(value.clone()))).collect();
    steps.push(Step { operator: Operator::Known(known), args: args_of });
    for next in args.get("$then").and_then(Value::as_array).into_iter().flatten() {
        known_steps(next["operator"].as_str().unwrap(), next["args"].as_object().unwrap(), steps);
    }
}

fn ready(case: &Value) -> Option<Ready> {
    let operator = case["operator"].as_str().unwrap();
    let args = case["args"].as_object().cloned().unwrap_or_default();
    let input = &case["input"];
    match case["kind"].as_str().unwrap() {
        "transformer" if !args.contains_key("$condition") => {
            let mut steps = Vec::new();
            known_steps(operator, &args, &mut steps);
            let source = Source::Path(Arc::new(Dt::plain("v")));
            Some(Ready { expression: Prepared::Complex(Arc::new(Chain { source, steps })), event: json!({ "v": input }), answer: Answer::Value })
        }
        "filter" => match args.get("$complex") {
            Some(complex) => {
                let mut event = Map::new();
                event.insert(complex["root"].as_str().unwrap().split('.').next().unwrap().to_owned(), input.clone());
                let (expression, _) = prepare(&read::argument(&json!({ "complex": complex })).unwrap(), Place::Event, &Options::default());
                Some(Ready { expression, event: Value::Object(event), answer: Answer::Value })
            }
            None => Some(filtered(operator, case, &args)),
        },
        // Conditions of playbooks, what commands write: no expressions over events.
        _ => None,
    }
}

/// The items `{ "i": left }` of a list `v` that pass.
fn filtered(operator: &str, case: &Value, args: &Map<String, Value>) -> Ready {
    let known = filter::find(operator).unwrap_or_else(|| panic!("no filter {operator}"));
    let right = args.get("right").cloned().unwrap_or(Value::Null);
    let right = if right.is_null() { Prepared::Unset } else { Prepared::Constant(right) };
    let test = PreparedTest { filter: Tester::Known(known), ignore_case: false, left: Left::OfItem(Arc::new(Dt::plain("i"))), right };
    let each = args.contains_key("$mode") || case["expected"].is_array();
    let lefts = match &case["input"] {
        Value::Array(items) if each => items.clone(),
        one => vec![one.clone()],
    };
    let items: Vec<Value> = lefts.iter().map(|left| json!({ "i": left })).collect();
    let source = Source::Filtered { root: Arc::new(Dt::plain("v")), tests: vec![vec![test]], accessor: Arc::new(Dt::default()) };
    let answer = if each { Answer::KeptEach(lefts) } else { Answer::Kept };
    Ready { expression: Prepared::Complex(Arc::new(Chain { source, steps: Vec::new() })), event: json!({ "v": items }), answer }
}

/// What a case says that the value is, made of the columns' value.
fn answered(answer: &Answer, value: &Value, case: &Value) -> Value {
    let kept: Vec<Value> = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    match answer {
        Answer::Value => value.clone(),
        Answer::Kept => Value::Bool(!kept.is_empty()),
        Answer::KeptEach(_) if case["args"].get("$mode").is_some() => unwrap_list(kept.iter().map(|item| item["i"].clone()).collect()),
        Answer::KeptEach(lefts) => lefts.iter().map(|left| Value::Bool(kept.iter().any(|item| item["i"] == *left))).collect(),
    }
}

#[test]
fn xsoar_kernels_pass_the_cases() {
    let (mut failures, mut count, mut not) = (Vec::new(), 0, BTreeMap::<String, u32>::new());
    for case in cases("cases.json").into_iter().chain(cases("cases-extra.json")) {
        if case["trust"] == "doc-example-inexact" {
            continue;
        }
        let Some(ready) = ready(&case) else { continue };
        if let Err(why) = columnar::plan(&ready.expression) {
            *not.entry(format!("{}: {why}", case["operator"].as_str().unwrap_or_default())).or_default() += 1;
            continue;
        }
        count += 1;
        let done = run(std::slice::from_ref(&ready.expression), std::slice::from_ref(&ready.event));
        let (value, failed) = &done.values[0][0];
        let (expected, got) = (&case["expected"], answered(&ready.answer, value, &case));
        let passes = match expected.as_object() {
            Some(object) if object.contains_key("$error") => *failed,
            _ if *failed => false,
            Some(object) if object.contains_key("$check") => is_empty(&got),
            _ => same(&got, expected),
        };
        if !passes || done.fallback > 0 {
            failures.push(format!("{} {}: expected {expected}, got {got}, failed {failed}, fallback {}", case["id"], case["operator"], done.fallback));
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    println!("{count} cases pass over columns; not columnar: {not:?}");
    // Operators that look beyond their value, and nothing else.
    assert!(count == 0 || not.keys().all(|name| name.starts_with("GetListContent") || name.starts_with("FormatTemplate")), "{not:?}");
}

#[test]
fn xsoar_kernels_bound_their_work() {
    let many: Map<String, Value> = (0..50_000).map(|n| (format!("Key {n}"), json!(n))).collect();
    let deep = (0..100).fold(json!({ "a": 1 }), |inner, _| json!([inner, { "a": [[1, 2], null] }]));
    let event = json!({ "many": many, "list": vec![json!({ "a": { "b": "x\"y" }, "a\"": 1 }); 50_000], "deep": deep });
    let argument = |root: &str, accessor: &str, operator: &str| {
        let steps = if operator.is_empty() { json!([]) } else { json!([{ "operator": operator, "args": {} }]) };
        let value = json!({ "complex": { "root": root, "accessor": accessor, "filters": [], "transformers": steps } });
        prepare(&read::argument(&value).unwrap(), Place::Event, &Options::default()).0
    };
    let expressions =
        [argument("many", "", "ConvertKeysToTableFieldFormat"), argument("list", "a.b", "count"), argument("deep", "a", ""), argument("list", "a\"", "uniq")];
    let started = std::time::Instant::now();
    let done = run(&expressions, std::slice::from_ref(&event));
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(done.values[0][1].0, 50_000);
    let env = catchment::expr::xsoar::env::Env::new(&event);
    for (expression, (got, failed)) in expressions.iter().zip(&done.values[0]) {
        env.budget.renew();
        match expression.evaluate(&env) {
            Ok(wanted) => assert!(!failed && catchment::expr::xsoar::value::equal(&wanted, got)),
            Err(_) => assert!(*failed),
        }
    }
}
