//! Owns how a task starts: by what it does.

use serde_json::{Map, Value};

use super::effect::{Ask, Call, Effect, Failure, FailureKind, Output};
use super::state::Key;
use super::step::Step;
use super::task::{Pending, Status, Wait};
use crate::expr::xsoar::value::{as_number, text_of};
use crate::respond::command::escape::escape_of;
use crate::respond::command::{Args, Builtin, Did};
use crate::respond::limits::SLEEP_SECONDS_MAX;
use crate::respond::program::{Kind, Node, Program};
use crate::respond::world::brakes::Mode;
use crate::respond::world::{Ability, External};

const SECOND_US: i64 = 1_000_000;

/// What a call is aimed at. The server of a request is the one that does it, not the one that it
/// is done to: it may well stand in a protected network.
fn aimed(external: &External, arguments: &Map<String, Value>) -> Map<String, Value> {
    let mut aimed = arguments.clone();
    if external.by_method
        && let Some(Value::String(url)) = aimed.get_mut("url")
    {
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        *url = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default().to_owned();
    }
    aimed
}

impl Step<'_> {
    /// Starts a task that is ready.
    pub(super) fn start(&mut self, frame: u32, task: u32) {
        let Some(program) = self.program_of(frame) else {
            let name = self.run.frames.get(&frame).map(|frame| frame.playbook.clone()).unwrap_or_default();
            self.fail(frame, task, Failure::new(FailureKind::Unknown, format!("the version of the playbook `{name}` that this run is pinned to is not there")));
            return;
        };
        let Some(node) = program.tasks.get(task as usize) else { return };
        self.task_entries.clear();
        self.traced(frame, task, super::effect::Happened::Started);
        let first = self.run.task(frame, task).is_some_and(|task| task.attempt == 0);
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Running;
        }
        if first {
            for (field, action) in &node.timers {
                if let Err(why) = self.timer(field, action) {
                    let text = format!("timer `{field}`: {why}");
                    self.entry(&node.id, "", "warning", &text);
                }
            }
        }
        match &node.kind {
            Kind::Pass => self.complete(frame, task, None),
            Kind::Condition(branches) => {
                let mut found = None;
                for (label, tests) in branches {
                    match self.holds(frame, tests) {
                        Ok(true) => {
                            found = Some(label.clone());
                            break;
                        }
                        Ok(false) => {}
                        Err(failure) => return self.failed(frame, task, &program, failure),
                    }
                }
                self.complete(frame, task, Some(found.as_deref().unwrap_or("#default#")));
            }
            Kind::Automation { brand, name, script, .. } => self.start_automation(frame, task, &program, node, brand.as_deref(), name, *script),
            Kind::Playbook(name) => self.start_playbook(frame, task, &program, node, name),
            Kind::Manual | Kind::Decide | Kind::Ask(_) | Kind::Collect(_) => self.start_person(frame, task, &program, node),
        }
    }

    /// What is not there: the task and what follows from it alone do not run, or it fails.
    pub(super) fn missing(&mut self, frame: u32, task: u32, program: &Program, what: &str) {
        let Some(node) = program.tasks.get(task as usize) else { return };
        if node.skip_unavailable {
            let text = format!("{what} is not there: the task is skipped");
            if !self.is_quiet(program, node) {
                self.entry(&node.id, "", "note", &text);
            }
            return self.skip_running(frame, task);
        }
        self.failed(frame, task, program, Failure::new(FailureKind::Unknown, format!("{what} is not there")));
    }

    #[allow(clippy::too_many_arguments)]
    fn start_automation(&mut self, frame: u32, task: u32, program: &Program, node: &Node, brand: Option<&str>, name: &str, script: bool) {
        let arguments = match self.arguments(frame, &node.arguments, &|argument| escape_of(name, argument)) {
            Ok(arguments) => arguments,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let brand = match self.text(frame, "`using-brand`", &node.options.using_brand) {
            Ok(text) if !text.is_empty() => Some(text),
            Ok(_) => brand.map(str::to_owned),
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let timeout_s = match self.value(frame, "`execution-timeout`", &node.options.execution_timeout) {
            Ok(value) => as_number(&value).filter(|seconds| *seconds >= 1.0).map_or(0, |seconds| seconds.min(86_400.0) as u32),
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let pending = Pending { command: name.to_owned(), brand, arguments, timeout_s, deadline_us: 0 };
        self.invoke(frame, task, program, pending, script);
    }

    /// Does what a name stands for.
    pub(super) fn invoke(&mut self, frame: u32, task: u32, program: &Program, mut pending: Pending, script: bool) {
        let world = self.world;
        match world.ability(pending.brand.as_deref(), &pending.command) {
            Ability::Builtin(builtin) => self.run_builtin(frame, task, program, builtin, pending.arguments),
            Ability::External(external) => {
                for (argument, value) in &external.defaults {
                    pending.arguments.entry(argument.clone()).or_insert_with(|| Value::String(value.clone()));
                }
                if let Some(needed) = external.required.iter().find(|needed| !pending.arguments.contains_key(*needed)) {
                    let text = format!("`{}` needs the argument `{needed}`", pending.command);
                    return self.failed(frame, task, program, Failure::new(FailureKind::Argument, text));
                }
                self.call(frame, task, program, external, pending);
            }
            Ability::StandIn => {
                let external = External { name: pending.command.clone(), ..External::default() };
                self.call(frame, task, program, &external, pending);
            }
            Ability::Missing => {
                let what = match (&pending.brand, script) {
                    (_, true) => format!("the script `{}`", pending.command),
                    (Some(brand), false) => format!("the command `{}` of {brand}", pending.command),
                    (None, false) => format!("the command `{}`", pending.command),
                };
                self.missing(frame, task, program, &what);
            }
        }
    }

    /// Calls something outside, as far as the brakes let it.
    fn call(&mut self, frame: u32, task: u32, program: &Program, external: &External, pending: Pending) {
        let Some(node) = program.tasks.get(task as usize) else { return };
        let record = external.by_method && pending.arguments.get("url").and_then(Value::as_str).is_some_and(|url| self.world.brakes.is_record(url));
        if external.executes(&pending.arguments) && !record {
            if let Some(entry) = self.world.brakes.protect.touched(&aimed(external, &pending.arguments)) {
                let text = format!("`{}` is not run: its arguments touch `{entry}`, which is protected", pending.command);
                return self.failed(frame, task, program, Failure::new(FailureKind::Refused, text));
            }
            let type_name = self.run.incident.get("type").and_then(Value::as_str).unwrap_or_default();
            match self.world.brakes.mode_of(type_name).stricter(&self.run.mode) {
                Mode::Run => {}
                Mode::Simulate => {
                    let readable = format!("simulated: `{}` was not run", pending.command);
                    return self.succeeded(frame, task, program, Output { readable, ..Output::default() });
                }
                Mode::Ask => return self.ask_approval(frame, task, node, pending),
            }
        }
        self.emit_call(frame, task, node, pending);
    }

    fn ask_approval(&mut self, frame: u32, task: u32, node: &Node, pending: Pending) {
        let key = self.key(frame, task);
        // Values come from events: they are shown, and nothing more.
        let body = format!("{}\n{}", pending.command, Value::Object(pending.arguments.clone()));
        let ask = Ask {
            key,
            task: node.id.clone(),
            name: node.name.clone(),
            kind: "approval".to_owned(),
            to: String::new(),
            subject: format!("may `{}` run?", pending.command),
            body,
            replies: vec!["yes".to_owned(), "no".to_owned()],
            questions: Vec::new(),
            due_us: 0,
            remind_us: 0,
        };
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Approval;
            task.wait = Some(Box::new(Wait::Call(Box::new(pending))));
        }
        self.effects.push(Effect::Ask(ask));
    }

    /// Wants a call done, and remembers that.
    pub(super) fn emit_call(&mut self, frame: u32, task: u32, node: &Node, pending: Pending) {
        let key = self.key(frame, task);
        let call = Call {
            key,
            idempotency_key: self.run.idempotency_key(key),
            task: node.id.clone(),
            command: pending.command.clone(),
            brand: pending.brand.clone(),
            arguments: pending.arguments.clone(),
            timeout_s: pending.timeout_s,
        };
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Running;
            task.wait = Some(Box::new(Wait::Call(Box::new(pending))));
        }
        self.effects.push(Effect::Call(call));
    }

    /// A task as the world knows it; each attempt is another one.
    fn key(&mut self, frame: u32, task: u32) -> Key {
        let attempt = self.run.task_mut(frame, task).map_or(0, |task| {
            task.attempt += 1;
            task.attempt
        });
        Key { frame, task, attempt }
    }

    fn run_builtin(&mut self, frame: u32, task: u32, program: &Program, builtin: &'static Builtin, arguments: Map<String, Value>) {
        let args = Args::new(arguments);
        if let Some(needed) = builtin.required.iter().find(|needed| args.value(needed).is_none()) {
            let text = format!("`{}` needs the argument `{needed}`", builtin.name);
            return self.failed(frame, task, program, Failure::new(FailureKind::Argument, text));
        }
        match (builtin.run)(self, frame, task, &args) {
            Ok(Did::Done(output)) => self.succeeded(frame, task, program, output),
            Ok(Did::Instead(command, arguments)) => {
                let pending = Pending { command, brand: None, arguments, timeout_s: 0, deadline_us: 0 };
                self.invoke(frame, task, program, pending, false);
            }
            Ok(Did::Sleep(seconds)) => {
                let until_us = self.now_us.saturating_add(seconds.clamp(0, SLEEP_SECONDS_MAX).saturating_mul(SECOND_US));
                self.sleep(frame, task, Wait::Sleep { until_us });
            }
            Ok(Did::Generic(generic)) => self.start_generic(frame, task, program, *generic),
            Ok(Did::Close { reason, notes }) => self.start_close(frame, task, program, reason, notes),
            Err(failure) => self.failed(frame, task, program, failure),
        }
    }

    /// Closing: the type's closure script has its say first.
    fn start_close(&mut self, frame: u32, task: u32, program: &Program, reason: String, notes: String) {
        let type_name = self.run.incident.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let script = self.world.closure_script(&type_name).filter(|_| self.run.closing.is_none());
        let Some(script) = script else {
            self.close(&reason, &notes);
            return self.succeeded(frame, task, program, Output { readable: "the incident is closed".to_owned(), ..Output::default() });
        };
        let mut arguments = Map::new();
        for (name, text) in [("closeReason", &reason), ("closeNotes", &notes)] {
            arguments.insert(name.to_owned(), Value::String(text.clone()));
        }
        let attempt = self.run.task(frame, task).map_or(0, |task| task.attempt) + 1;
        self.run.closing = Some(super::state::Closing { key: Key { frame, task, attempt }, reason, notes });
        // Only what runs outside can refuse; a script that is not there refuses as well.
        let pending = Pending { command: script, brand: None, arguments, timeout_s: 0, deadline_us: 0 };
        self.invoke(frame, task, program, pending, true);
    }

    /// Closes the run's own incident.
    pub(super) fn close(&mut self, reason: &str, notes: &str) {
        self.timers_stop();
        if let Value::Object(incident) = &mut self.run.incident {
            for (name, value) in [("status", Value::from(2)), ("closeReason", Value::from(reason)), ("closeNotes", Value::from(notes))] {
                incident.insert(name.to_owned(), value);
            }
            incident.insert("closed".to_owned(), Value::from(crate::respond::clock::iso_us(self.now_us)));
        }
        self.effects.push(Effect::Edit(super::effect::Edit::Close { incident: None, reason: reason.to_owned(), notes: notes.to_owned() }));
    }

    /// Has a task wait for a time.
    pub(super) fn sleep(&mut self, frame: u32, task: u32, wait: Wait) {
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Sleeping;
            task.wait = Some(Box::new(wait));
        }
    }

    /// True where a task writes nothing into the war room but errors.
    pub(super) fn is_quiet(&self, program: &Program, node: &Node) -> bool {
        use crate::content::playbook::task::Quiet;
        match node.quiet {
            Quiet::On => true,
            Quiet::Off => false,
            Quiet::Inherit => program.quiet,
        }
    }

    /// The label that an automation's contents give.
    pub(super) fn label_of(contents: &Value) -> String {
        text_of(contents).trim().to_owned()
    }
}
