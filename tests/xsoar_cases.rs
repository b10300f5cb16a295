//! The sourced cases of operators and context writes, in the reference evaluator.

use std::borrow::Cow;

use catchment::expr::xsoar::context;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::evaluate::passes;
use catchment::expr::xsoar::fault::{Budget, Fault};
use catchment::expr::xsoar::model::Place;
use catchment::expr::xsoar::prepare::{Mode, Options, prepare, prepare_tests};
use catchment::expr::xsoar::transform::{self, Args};
use catchment::expr::xsoar::value::{equal, is_empty, text_of, unwrap_list};
use catchment::expr::xsoar::{filter, read};
use serde_json::{Map, Value, json};

use crate::decode_oracle::shared;

pub fn cases(file: &str) -> Vec<Value> {
    let Some(path) = shared(&format!("xsoar/{file}")) else { return Vec::new() };
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Equal, or the same text: sources compare results through text operators.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(_), _) | (_, Value::Object(_)) | (Value::Array(_), _) | (_, Value::Array(_)) | (Value::Null, _) | (_, Value::Null) => equal(a, b),
        _ => equal(a, b) || text_of(a) == text_of(b),
    }
}

/// Runs one transformer, then those under `$then`.
fn transformed(operator: &str, input: &Value, args: &Map<String, Value>, env: &Env<'_>) -> Result<Value, Fault> {
    let known = transform::find(operator).unwrap_or_else(|| panic!("no operator {operator}"));
    let values: Vec<(Cow<'_, str>, Value)> = args.iter().filter(|(name, _)| !name.starts_with('$')).map(|(n, v)| (Cow::Owned(n.clone()), v.clone())).collect();
    let mut value = transform::apply(known, input, &Args { operator: known.name, values: &values }, env)?;
    for next in args.get("$then").and_then(Value::as_array).into_iter().flatten() {
        value = transformed(next["operator"].as_str().unwrap(), &value, next["args"].as_object().unwrap(), env)?;
    }
    Ok(value)
}

fn filtered(operator: &str, case: &Value, args: &Map<String, Value>) -> Result<Value, Fault> {
    let input = &case["input"];
    if let Some(complex) = args.get("$complex") {
        // The input is the value of the context key that the root begins with.
        let mut event = Map::new();
        event.insert(complex["root"].as_str().unwrap().split('.').next().unwrap().to_owned(), input.clone());
        let event = Value::Object(event);
        let argument = read::argument(&json!({ "complex": complex })).unwrap();
        let (prepared, problems) = prepare(&argument, Place::Context, &Options::default());
        assert_eq!(problems, []);
        return prepared.evaluate(&Env::new(&event));
    }
    let env = Env::new(&Value::Null);
    let known = filter::find(operator).unwrap_or_else(|| panic!("no filter {operator}"));
    let right = args.get("right").cloned().unwrap_or(Value::Null);
    let test = |left: &Value| filter::apply(known, left, &right, false, &env);
    if args.get("$mode").is_some() {
        let items = input.as_array().cloned().unwrap_or_else(|| vec![input.clone()]);
        let kept = items.into_iter().map(|item| Ok((test(&item)?, item))).collect::<Result<Vec<_>, Fault>>()?;
        return Ok(unwrap_list(kept.into_iter().filter(|(held, _)| *held).map(|(_, item)| item).collect()));
    }
    if case["expected"].is_array() {
        let answers = input.as_array().unwrap().iter().map(|item| test(item).map(Value::Bool)).collect::<Result<_, _>>()?;
        return Ok(Value::Array(answers));
    }
    test(input).map(Value::Bool)
}

fn run(case: &Value) -> Result<Value, Fault> {
    let operator = case["operator"].as_str().unwrap();
    let args = case["args"].as_object().cloned().unwrap_or_default();
    let env = Env::new(&Value::Null);
    match case["kind"].as_str().unwrap() {
        "transformer" => match args.get("$condition") {
            Some(condition) => transform::condition::holds(condition.as_str().unwrap(), &case["input"], &[], &env).map(Value::Bool),
            None => transformed(operator, &case["input"], &args, &env),
        },
        "filter" => filtered(operator, case, &args),
        "condition" => {
            let (tests, problems) = prepare_tests(&read::tests(&args["condition"]).unwrap(), Mode::Condition, &Options::default());
            assert_eq!(problems, []);
            passes(&tests, None, &Env::new(&case["input"])).map(Value::Bool)
        }
        "context-write" => written(operator, &case["input"], &args),
        "loop" => {
            Ok(context::for_each(case["input"].as_object().unwrap()).into_iter().map(|turn| turn.into_iter().map(|(_, v)| v).collect::<Value>()).collect())
        }
        "command" => {
            let list = |value: &Value| -> Vec<String> { value.as_str().unwrap().split(',').map(|item| item.trim().to_owned()).collect() };
            let name = format!("list {}", args["listname"].as_str().unwrap());
            let how = context::ListMatch {
                ignore_case: args.get("ignorecase").is_some_and(|v| v == "yes"),
                exact: args.get("matchexact").is_some_and(|v| v == "yes"),
            };
            let (inside, outside) = context::filter_by_list(&list(&case["input"][name]), &list(&args["values"]), how)?;
            let mut answer = Map::new();
            for (key, values) in [("List.In", inside), ("List.NotIn", outside)] {
                if !values.is_empty() {
                    answer.insert(key.to_owned(), json!(values));
                }
            }
            Ok(Value::Object(answer))
        }
        other => panic!("a kind of case that nobody runs: {other}"),
    }
}

fn written(operator: &str, input: &Value, args: &Map<String, Value>) -> Result<Value, Fault> {
    let budget = Budget::default();
    let mut place = if input.is_null() { json!({}) } else { input.clone() };
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let value = args.get("value").cloned().unwrap_or(Value::Null);
    match operator {
        "Set" => context::set(&mut place, text("key"), value, text("append") == "true", text("stringify") == "true"),
        "SetAndHandleEmpty" => {
            let handled = context::set_and_handle_empty(&mut place, text("key"), &value, args.get("append"), text("stringify") == "true");
            if input.is_null() {
                return Ok(json!({ "$deletes_key_first": handled.deleted_first }));
            }
        }
        "DeleteContext" if text("all") == "yes" => {
            let keys: Vec<String> = text("keysToKeep").split(',').map(|key| key.trim().to_owned()).collect();
            context::keep_only(&mut place, &keys, &budget)?;
        }
        "DeleteContext" => match text("index") {
            "" => context::delete(&mut place, text("key")),
            index => context::delete_item(&mut place, text("key"), index.parse().unwrap())?,
        },
        "extend-context" => {
            place = json!({});
            context::extend(&mut place, text("extend-context"), &input["$contents"], &budget)?;
        }
        other => panic!("no command {other}"),
    }
    Ok(place)
}

#[test]
fn xsoar_cases_of_both_files_pass() {
    let mut failures = Vec::new();
    let mut count = 0;
    for file in ["cases.json", "cases-extra.json"] {
        for case in cases(file) {
            if case["trust"] == "doc-example-inexact" {
                continue;
            }
            count += 1;
            let (expected, got) = (&case["expected"], run(&case));
            let passes = match (&got, expected.as_object()) {
                (result, Some(object)) if object.contains_key("$error") => result.is_err(),
                (Ok(value), Some(object)) if object.contains_key("$check") => {
                    assert_eq!(object["$check"], "isEmpty is true");
                    is_empty(value)
                }
                (Ok(value), _) => same(value, expected),
                (Err(_), _) => false,
            };
            if !passes {
                failures.push(format!("{file} {} {}: expected {expected}, got {got:?}", case["id"], case["operator"]));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    println!("{count} cases pass");
}
