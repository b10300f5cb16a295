//! What tests of playbooks share: a world made from YAML, and somebody who answers by name.

use std::collections::HashMap;
use std::sync::Arc;

use catchment::config::Diagnostics;
use catchment::content;
use catchment::respond::run::{Answer, Ask, Call, Failure, FailureKind, Happened, Output, Run};
use catchment::respond::simulate::{Responder, Trace, simulate};
use catchment::respond::world::{External, World, incident_view};
use serde_json::{Value, json};

/// 2026-03-01.
pub const START_US: i64 = 1_772_323_200_000_000;

/// A world of some files: name, text. Mistakes in playbooks are mistakes of the test.
pub fn world(files: &[(&str, &str)]) -> World {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut out = Diagnostics::new();
    let content = Arc::new(content::load(&[dir.path().to_owned()], None, &mut out));
    assert!(!out.has_errors(), "{}", out.plain());
    World::of(content, out.files())
}

/// A playbook of some tasks: `head` is what stands beside `tasks`.
pub fn playbook(name: &str, head: &str, tasks: &str) -> String {
    let indented: String = tasks.lines().map(|line| format!("  {line}\n")).collect();
    format!("id: {name}\nname: {name}\nstarttaskid: '0'\n{head}\ntasks:\n{indented}")
}

/// A command of the world.
pub fn external(world: &mut World, name: &str, change: impl FnOnce(&mut External)) {
    let mut found = External { name: name.to_owned(), ..External::default() };
    change(&mut found);
    world.externals.insert(name.to_lowercase(), found);
}

type Called = Box<dyn FnMut(&Call) -> Result<Output, Failure>>;

/// Answers by name.
#[derive(Default)]
pub struct Script {
    commands: HashMap<String, Called>,
    people: HashMap<String, Answer>,
}

impl Script {
    /// A command yields something.
    pub fn on(mut self, name: &str, answer: impl FnMut(&Call) -> Result<Output, Failure> + 'static) -> Script {
        self.commands.insert(name.to_owned(), Box::new(answer));
        self
    }

    /// A person says a label to a task.
    pub fn says(mut self, task: &str, label: &str) -> Script {
        self.people.insert(task.to_owned(), Answer { label: label.to_owned(), actor: "ann".to_owned(), refuse: label == "no", ..Answer::default() });
        self
    }

    /// A person answers a form.
    pub fn fills(mut self, task: &str, answers: Value) -> Script {
        self.people.insert(task.to_owned(), Answer { answers: answers.as_object().unwrap().clone(), actor: "ann".to_owned(), ..Answer::default() });
        self
    }
}

impl Responder for Script {
    fn call(&mut self, _: &Run, call: &Call) -> Result<Output, Failure> {
        match self.commands.get_mut(&call.command) {
            Some(answer) => answer(call),
            None => Err(Failure::new(FailureKind::Unknown, format!("no answer for {}", call.command))),
        }
    }

    fn ask(&mut self, _: &Run, ask: &Ask) -> Option<Answer> {
        let answer = self.people.get(&ask.task)?.clone();
        Some(Answer { task: ask.task.clone(), frame: Some(ask.key.frame), ..answer })
    }
}

/// What a command says.
pub fn says(contents: Value) -> Result<Output, Failure> {
    Ok(Output { contents, ..Output::default() })
}

/// What a command writes.
pub fn writes(context: Value) -> Result<Output, Failure> {
    Ok(Output { context: context.as_object().unwrap().clone(), contents: context, ..Output::default() })
}

/// What a command fails with.
pub fn fails(message: &str) -> Result<Output, Failure> {
    Err(Failure::new(FailureKind::Said, message))
}

/// A run of a playbook on an incident.
pub fn start(name: &str, incident: Value) -> Run {
    Run::new("1", name, "test", incident_view(incident))
}

/// Runs it.
pub fn play(world: &World, name: &str, script: &mut Script) -> (Run, Trace) {
    let mut run = start(name, json!({ "id": "1", "type": "T", "severity": 2 }));
    // What stands in the context is read by the tests before the run is over.
    let trace = simulate(&mut run, world, script, START_US);
    (run, trace)
}

/// The tasks that began, in their order.
pub fn began(trace: &Trace) -> Vec<String> {
    trace.lines.iter().filter(|line| line.what == Happened::Started).map(|line| line.task.clone()).collect()
}

/// The last text in the war room that a `Print` wrote: how tests look into the context.
pub fn printed(trace: &Trace) -> String {
    trace.entries.iter().rev().find(|entry| entry.command == "Print").map(|entry| entry.text.clone()).unwrap_or_default()
}
