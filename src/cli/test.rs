//! `catchment test`: the tests that stand in the pipeline itself.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::load::require;
use super::output::{Style, style};
use super::{Answer, test_content};
use crate::config::model::Test;
use crate::error::Error;
use crate::expr::parse::parse_path;
use crate::expr::path::Step;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Arrival, Options};
use crate::ingest::trial::{End, Trial};

/// `test`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A test shows its events to the pipeline, from a clean slate, and looks at the end of the last one:\n\n  tests:\n  - name: a failed console login is an incident\n    event: { eventName: ConsoleLogin, responseElements: { ConsoleLogin: Failure } }\n    expect: { type: Console Login Failure, severity: 2, src_ip: 198.51.100.7 }\n  - name: its repeat is attached\n    events: [ {…}, {…} ]\n    expect: { outcome: attached, rule: repeats }\n\nTests of content packs stand beside them, in tests/*.yaml, with `classifier:` and `mapper:` above `tests:`; they run with the pipeline that imports the packs, and alone: catchment test packs/Acme.\n\nExit codes: 0 all pass; 1 some fail; 2 the pipeline cannot run."
)]
pub struct TestArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file; or a content pack
    pub pipeline: PathBuf,
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// With a content pack: a directory of executables that are operators, each named like its own
    #[arg(long, value_name = "DIR")]
    pub scripts: Option<PathBuf>,
    /// Only failures and the last line
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the command.
pub fn run(args: &TestArgs) -> Result<Answer, Error> {
    if test_content::is_pack(&args.pipeline) {
        let counts = test_content::run_dir(&args.pipeline, args.scripts.as_deref(), args.filter.as_deref(), args.quiet)?;
        println!("{} passed, {} failed", counts.passed, counts.failed);
        return Ok(if counts.failed == 0 { Answer::Yes } else { Answer::No });
    }
    let (pipeline, plan) = require(&args.pipeline, &Options { arrival: Some(Arrival::Occurred) })?;
    let plan = Arc::new(plan);
    let chosen: Vec<&Test> = pipeline.tests.iter().filter(|t| args.filter.as_ref().is_none_or(|f| t.name.value.contains(f.as_str()))).collect();
    let mut failed = 0;
    for test in &chosen {
        let failures = run_one(&plan, test)?;
        if failures.is_empty() {
            if !args.quiet {
                println!("{} {}", style("ok  ", Style::Good), test.name.value);
            }
            continue;
        }
        failed += 1;
        println!("{} {}", style("FAIL", Style::Bad), test.name.value);
        let place = pipeline.files.place(test.name.span);
        println!("     at {place}");
        for failure in failures {
            println!("     {failure}");
        }
    }
    let beside = match &pipeline.content {
        Some(content) => test_content::run_of(content, args.filter.as_deref(), args.quiet)?,
        None => test_content::Counts::default(),
    };
    failed += beside.failed;
    let passed = chosen.len() + beside.passed + beside.failed - failed;
    if chosen.is_empty() && beside == test_content::Counts::default() {
        println!("the pipeline has no tests{}", if args.filter.is_some() { " with such a name" } else { "; add some under `tests:`" });
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { Answer::Yes } else { Answer::No })
}

/// What differs from the expectation, one line each.
pub fn run_one(plan: &Arc<Plan>, test: &Test) -> Result<Vec<String>, Error> {
    let source = test.source.as_ref().and_then(|name| plan.sources.iter().position(|s| *s.name == *name.value)).unwrap_or_default() as u16;
    let mut trial = Trial::new(plan.clone(), Some(Arrival::Occurred));
    let mut last = None;
    for event in &test.events {
        // An event written as text is a message as it comes, be it JSON or not.
        let bytes = match event {
            Value::String(text) => text.clone().into_bytes(),
            event => event.to_string().into_bytes(),
        };
        let (ends, _) = trial.show(source, [bytes.as_slice()]).map_err(|e| Error::bug(e.to_string()))?;
        last = ends.into_iter().last();
    }
    let Some(end) = last else { return Ok(vec!["the message holds no event".into()]) };
    Ok(differences(plan, test, &end))
}

fn differences(plan: &Plan, test: &Test, end: &End) -> Vec<String> {
    let mut found = Vec::new();
    let by = end.by(plan);
    let ended = match &by {
        Some(by) => format!("{} (by {by})", end.outcome()),
        None => end.outcome().to_owned(),
    };
    let expect = &test.expect;
    match &expect.outcome {
        Some(outcome) if outcome.value.as_str() != end.outcome() => found.push(format!("outcome: expected {}, got {ended}", outcome.value.as_str())),
        None if expect.rule.is_none() && end.outcome() != "incident" => found.push(format!("outcome: expected an incident, got {ended}")),
        _ => {}
    }
    // A rule that only linked the incident has had a say in it, too.
    let linked = |rule: &str| end.incident.as_ref().and_then(|i| i["linked"].as_array()).is_some_and(|links| links.iter().any(|link| link["rule"] == rule));
    if let Some(rule) = &expect.rule
        && by.as_deref() != Some(rule.value.as_str())
        && !linked(&rule.value)
    {
        found.push(format!("rule: expected {}, got {ended}", rule.value));
    }
    for (key, expected) in &expect.fields {
        let actual = match (&end.incident, key.value.as_str()) {
            (_, "type") => end.type_name.as_ref().map(|name| Value::String(name.to_string())),
            (Some(incident), key) => field(incident, key).cloned(),
            (None, _) => continue,
        };
        if !same(expected, actual.as_ref()) {
            let actual = actual.map_or("nothing".to_owned(), |value| value.to_string());
            found.push(format!("{}: expected {expected}, got {actual}", key.value));
        }
    }
    found
}

/// A field of an incident, by name or by a path into it: `attached.count`, `linked[0].rule`.
fn field<'a>(incident: &'a Value, key: &str) -> Option<&'a Value> {
    incident.get(key).or_else(|| {
        let Ok(path) = parse_path(key) else { return key.split('.').try_fold(incident, |value, step| value.get(step)) };
        path.steps().iter().try_fold(incident, |value, step| match step {
            Step::Key(key) | Step::Member(key) => value.get(&**key),
            Step::Index(index) => value.get(*index as usize),
            Step::Computed(_) => None,
        })
    })
}

/// Equal in meaning: numbers by value, scalars also by their text, NULL like nothing.
pub fn same(expected: &Value, actual: Option<&Value>) -> bool {
    let Some(actual) = actual.filter(|v| !v.is_null()) else { return expected.is_null() };
    if expected == actual {
        return true;
    }
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        // Digits that a double would lose are compared, too.
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(number) => number.as_f64().map(crate::expr::value::number_text),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    match (expected, actual) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, Some(b))),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, value)| same(value, b.get(key))),
        _ => text(expected).is_some_and(|a| text(actual) == Some(a)),
    }
}
