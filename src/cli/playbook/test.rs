//! `catchment playbook test`: incident and answers → what must happen.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::Answer;
use super::super::output::{Style, style};
use super::super::text::visible;
use super::Within;
use crate::config::read::{self, Fields};
use crate::config::{Diagnostics, yaml};
use crate::error::Error;
use crate::respond::run::{Edit, Happened, Run};
use crate::respond::simulate::answers::Answers;
use crate::respond::simulate::{Trace, simulate};
use crate::respond::world::incident_view;

/// The start of simulated time: 2026-03-01.
const START_US: i64 = 1_772_323_200_000_000;
/// Tests of one file (count).
const TESTS_MAX: usize = 10_000;

/// `playbook test`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file of tests names a playbook and holds tests:\n\n  playbook: brute-force.yml\n  tests:\n  - name: a failed login that is known\n    incident: { id: '1', type: Brute Force, sourceip: 198.51.100.7 }\n    answers: { commands: { http: { contents: { known: true } } }, people: { '7': 'yes' }, approvals: yes }\n    expect: { state: completed, reached: ['3', '7'], not_reached: ['9'], labels: { '4': 'yes' }, calls: [http], closed: Resolved, fields: { owner: ann } }\n\nExit codes: 0 all pass; 1 some fail; 2 could not be done."
)]
pub struct TestArgs {
    /// Files with tests, or directories (pipelines, packs) that hold *.test.yaml
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub within: Within,
    /// Only the sum
    #[arg(short, long)]
    pub quiet: bool,
}

struct Test {
    name: String,
    incident: Value,
    inputs: serde_json::Map<String, Value>,
    answers: Answers,
    expect: Value,
}

/// Runs the command.
pub fn run(args: &TestArgs) -> Result<Answer, Error> {
    let (mut passed, mut failed) = (0, 0);
    let files = files(&args.paths)?;
    for path in &files {
        let (playbook, tests) = read_file(path)?;
        let beside = path.parent().unwrap_or(Path::new(".")).join(&playbook);
        let named = if beside.is_file() { beside.display().to_string() } else { playbook };
        let mut loaded = super::read(Some(&named), &args.within)?;
        let id = loaded.id(&named)?;
        loaded.world.stand_in = true;
        for mut test in tests {
            let incident = incident_view(test.incident);
            let number = incident.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut run = Run::new(&number, &id, "test", incident);
            run.given = test.inputs;
            let trace = simulate(&mut run, &loaded.world, &mut test.answers, START_US);
            let wrong = compare(&run, &trace, &test.expect);
            if wrong.is_empty() {
                passed += 1;
                if !args.quiet {
                    println!("{} {}", style("ok  ", Style::Good), visible(&test.name));
                }
            } else {
                failed += 1;
                println!("{} {}: {}", style("FAIL", Style::Bad), path.display(), visible(&test.name));
                wrong.iter().for_each(|line| println!("       {}", visible(line)));
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { Answer::Yes } else { Answer::No })
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            // Of a pipeline or a pack those of its playbooks, too.
            for dir in [path.clone(), path.join("playbooks"), path.join("Playbooks")].iter().filter(|dir| dir.is_dir()) {
                let mut below: Vec<PathBuf> = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
                below.retain(|path| {
                    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(".test.yaml") || name.ends_with(".test.yml"))
                });
                below.sort();
                found.extend(below);
            }
        } else if path.is_file() {
            found.push(path.clone());
        } else {
            return Err(Error::user(format!("{} does not exist", path.display())));
        }
    }
    if found.is_empty() {
        return Err(Error::user("there are no tests of playbooks here").hint("they stand in files that end with .test.yaml, beside the playbooks"));
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<(String, Vec<Test>), Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::user(format!("cannot read {}: {error}", path.display())))?;
    let mut out = Diagnostics::new();
    let file = out.add_file(path.display().to_string(), text);
    let read = yaml::read(file, &mut out).and_then(|node| {
        let mut fields = Fields::open(&node, "a file of playbook tests", &mut out)?;
        let playbook = fields.need("playbook", "brute-force.yml", &mut out).and_then(|node| read::text(node, "`playbook`", &mut out));
        let tests = fields
            .need("tests", "a list of `name`, `incident`, `answers` and `expect`", &mut out)
            .map(|node| read::list(node, "`tests`", TESTS_MAX, &mut out).iter().filter_map(|node| test(node, &mut out)).collect::<Vec<_>>());
        fields.close(&[], &mut out);
        Some((playbook?.value, tests?))
    });
    match read.filter(|_| !out.has_errors()) {
        Some(read) => Ok(read),
        None => {
            eprint!("{}", out.render(super::super::output::colour_err()));
            Err(Error::user(String::new()))
        }
    }
}

fn test(node: &crate::config::node::Node, out: &mut Diagnostics) -> Option<Test> {
    let mut fields = Fields::open(node, "a test", out)?;
    let name = fields.need("name", "a word or two", out).and_then(|node| read::text(node, "`name`", out));
    let incident = fields.need("incident", "{ id: '1', type: Phishing }", out).map(crate::config::node::Node::to_json);
    let inputs = fields.get("inputs", out).map(crate::config::node::Node::to_json);
    let answers = match fields.get("answers", out) {
        Some(node) => Answers::read(node, out),
        None => Some(Answers::default()),
    };
    let expect = fields.need("expect", "{ state: completed }", out).and_then(|node| {
        let mut known = Fields::open(node, "`expect`", out)?;
        for key in ["state", "reached", "not_reached", "labels", "calls", "closed", "fields", "trace"] {
            known.entry(key);
        }
        known.close(&[], out);
        Some(node.to_json())
    });
    fields.close(&[], out);
    let inputs = inputs.and_then(|value| value.as_object().cloned()).unwrap_or_default();
    Some(Test { name: name?.value, incident: incident?, inputs, answers: answers?, expect: expect? })
}

/// What differs from what was expected.
fn compare(run: &Run, trace: &Trace, expect: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let texts = |key: &str| -> Vec<String> {
        expect.get(key).and_then(Value::as_array).map(|items| items.iter().map(crate::expr::xsoar::value::text_of).collect()).unwrap_or_default()
    };
    let reached: Vec<&str> = trace.lines.iter().filter(|line| line.what == Happened::Started).map(|line| line.task.as_str()).collect();
    if let Some(state) = expect.get("state").and_then(Value::as_str)
        && state != run.state.name()
    {
        wrong.push(format!("the run is {}, not {state}{}", run.state.name(), if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) }));
    }
    wrong.extend(texts("reached").iter().filter(|task| !reached.contains(&task.as_str())).map(|task| format!("task {task} was not reached")));
    wrong.extend(texts("not_reached").iter().filter(|task| reached.contains(&task.as_str())).map(|task| format!("task {task} was reached")));
    if expect.get("trace").is_some() && texts("trace") != reached {
        wrong.push(format!("the tasks were {}", reached.join(", ")));
    }
    for (task, label) in expect.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let label = crate::expr::xsoar::value::text_of(label);
        let said = trace.lines.iter().find_map(|line| match &line.what {
            Happened::Done(Some(said)) if line.task == *task => Some(said.clone()),
            _ => None,
        });
        if said.as_deref().is_none_or(|said| !said.eq_ignore_ascii_case(&label)) {
            wrong.push(format!("task {task} said {}, not {label}", said.unwrap_or_else(|| "nothing".to_owned())));
        }
    }
    let calls: Vec<&str> = trace.calls.iter().map(|(command, _)| command.as_str()).collect();
    if expect.get("calls").is_some() && texts("calls") != calls {
        wrong.push(format!("the calls were {}", calls.join(", ")));
    }
    if let Some(reason) = expect.get("closed").and_then(Value::as_str) {
        let closed = trace.edits.iter().any(|edit| matches!(edit, Edit::Close { incident: None, reason: found, .. } if found == reason));
        if !closed {
            wrong.push(format!("the incident was not closed as {reason}"));
        }
    }
    for (field, value) in expect.get("fields").and_then(Value::as_object).into_iter().flatten() {
        let found = run.incident.get(field).cloned().unwrap_or(Value::Null);
        if !crate::expr::xsoar::value::equal(&found, value) {
            wrong.push(format!("field {field} is {found}, not {value}"));
        }
    }
    wrong
}
