//! Owns how a task ends: what it yields goes into the context, fields are mapped, edges are
//! resolved; and what an error means.

use serde_json::{Map, Value};

use super::effect::{Failure, FailureKind, Output};
use super::state::{Key, RunState};
use super::step::Step;
use super::task::{Status, Wait};
use crate::content::playbook::task::OnError;
use crate::expr::xsoar::context::{extend, overwrite};
use crate::expr::xsoar::fault::Budget;
use crate::expr::xsoar::value::{as_flag, as_number};
use crate::respond::limits::{CONTEXT_BYTES_MAX, OUTPUT_BYTES_MAX, RETRIES_MAX, RETRY_SECONDS, RETRY_SECONDS_MAX, mark, too_large, weight};
use crate::respond::merge;
use crate::respond::program::{Kind, Node, Program};

impl Step<'_> {
    /// A call ended.
    pub(super) fn result(&mut self, key: Key, result: Result<Output, Failure>) {
        let waited = self.run.task(key.frame, key.task).is_some_and(|task| {
            task.status == Status::Running && task.attempt == key.attempt && matches!(task.wait.as_deref(), Some(Wait::Call(_) | Wait::Generic(_)))
        });
        if !waited {
            return;
        }
        let Some(program) = self.program_of(key.frame) else { return };
        self.task_entries.clear();
        if self.run.state == RunState::Waiting {
            self.run.state = RunState::Running;
        }
        let (frame, task) = (key.frame, key.task);
        let waited = self.run.task_mut(frame, task).and_then(|task| task.wait.take());
        match (waited.map(|wait| *wait), result) {
            (Some(Wait::Generic(generic)), result) => self.generic_result(frame, task, &program, *generic, result),
            (Some(Wait::Call(pending)), Ok(output)) => match &output.poll {
                Some(poll) => {
                    let poll = poll.clone();
                    self.poll_again(frame, task, &program, *pending, &poll, output);
                }
                None => self.succeeded(frame, task, &program, output),
            },
            (_, Ok(output)) => self.succeeded(frame, task, &program, output),
            (_, Err(failure)) => self.failed(frame, task, &program, failure),
        }
    }

    /// A task's automation, answer or sub-playbook is done.
    pub(super) fn succeeded(&mut self, frame: u32, task: u32, program: &Program, output: Output) {
        if self.turn_answer(frame, task, program, &output) {
            return;
        }
        let Some(node) = program.tasks.get(task as usize) else { return };
        if let Some(closing) = self.run.closing.take_if(|closing| (closing.key.frame, closing.key.task) == (frame, task)) {
            // The closure script had nothing against it.
            self.close(&closing.reason, &closing.notes);
        }
        let label = match &node.kind {
            Kind::Automation { labels: true, .. } => Some(Step::label_of(&output.contents)),
            _ => None,
        };
        if let Err(failure) = self.keep(frame, program, node, output) {
            return self.failed(frame, task, program, failure);
        }
        self.complete(frame, task, label.as_deref());
    }

    /// Context, war room, evidence, fields.
    pub(super) fn keep(&mut self, frame: u32, program: &Program, node: &Node, output: Output) -> Result<(), Failure> {
        let ignored = as_flag(&self.value(frame, "`ignore-outputs`", &node.options.ignore_outputs)?).unwrap_or(false);
        let extension = self.text(frame, "`extend-context`", &node.options.extend_context)?;
        let Output { mut context, mut contents, readable, .. } = output;
        if ignored {
            context.clear();
        }
        bounded(&mut context, &mut contents);
        let budget = Budget::default();
        let before = self.run.contexts.values().map(|context| weight(context, CONTEXT_BYTES_MAX)).sum::<usize>();
        let extends = if extension.is_empty() { 0 } else { weight(&contents, CONTEXT_BYTES_MAX) };
        let adds = context.values().map(|value| weight(value, CONTEXT_BYTES_MAX)).sum::<usize>() + extends;
        if before + adds > CONTEXT_BYTES_MAX {
            return Err(Failure::new(FailureKind::Bound, format!("the context of a run is at most {} KiB", CONTEXT_BYTES_MAX >> 10)));
        }
        let place = self.context_of(frame);
        for (key, value) in context {
            budget.renew();
            merge::entry(place, &key, value, &budget).map_err(|fault| super::view::expression("an output", &fault))?;
        }
        if !extension.is_empty() {
            budget.renew();
            extend(place, &extension, &contents, &budget).map_err(|fault| super::view::expression("`extend-context`", &fault))?;
        }
        let command = match &node.kind {
            Kind::Automation { name, .. } | Kind::Playbook(name) => name.as_str(),
            _ => "",
        };
        if !readable.is_empty() && !self.is_quiet(program, node) {
            self.entry(&node.id, command, if node.note { "note" } else { "entry" }, &readable);
        }
        if let Some(evidence) = &node.evidence {
            let text = self.text(frame, "evidence", evidence)?;
            self.entry(&node.id, command, "evidence", &text);
        }
        if matches!(node.kind, Kind::Automation { .. }) {
            let ids = self.task_entries.iter().map(|id| Value::String(id.clone())).collect();
            overwrite(self.context_of(frame), "lastCompletedTaskEntries", Value::Array(ids));
        }
        self.map_fields(frame, node)
    }

    fn map_fields(&mut self, frame: u32, node: &Node) -> Result<(), Failure> {
        let mut fields = Map::new();
        for (field, prepared) in &node.field_mapping {
            let value = self.value(frame, &format!("field `{field}`"), prepared)?;
            if !value.is_null() {
                fields.insert(self.field_name(field), value);
            }
        }
        self.set_fields(fields);
        Ok(())
    }

    /// A task could not do what it should: it is tried again, or its error counts.
    pub(super) fn failed(&mut self, frame: u32, task: u32, program: &Program, failure: Failure) {
        let Some(node) = program.tasks.get(task as usize) else { return };
        self.run.closing.take_if(|closing| (closing.key.frame, closing.key.task) == (frame, task));
        if matches!(node.kind, Kind::Automation { .. }) && failure.kind != FailureKind::Unknown && self.retry(frame, task, node) {
            let text = format!("{}; it is tried again", failure.message);
            self.entry(&node.id, "", "warning", &text);
            return;
        }
        self.fail(frame, task, failure);
    }

    fn retry(&mut self, frame: u32, task: u32, node: &Node) -> bool {
        let left = self.run.task(frame, task).and_then(|task| task.retries);
        let left = match left {
            Some(left) => left,
            None => {
                let count = self.value(frame, "`retry-count`", &node.options.retry_count).ok().as_ref().and_then(as_number).unwrap_or(0.0);
                (count.max(0.0) as u32).min(RETRIES_MAX)
            }
        };
        if left == 0 {
            return false;
        }
        let seconds = self.value(frame, "`retry-interval`", &node.options.retry_interval).ok().as_ref().and_then(as_number);
        let seconds = seconds.filter(|seconds| *seconds >= 0.0).map_or(RETRY_SECONDS, |seconds| (seconds as i64).min(RETRY_SECONDS_MAX));
        let until_us = self.now_us.saturating_add(seconds.saturating_mul(1_000_000));
        if let Some(task) = self.run.task_mut(frame, task) {
            task.retries = Some(left - 1);
            // What a brand-new attempt starts with.
            task.turns = None;
        }
        self.sleep(frame, task, Wait::Retry { until_us });
        true
    }

    /// An error that counts: the way on is the normal one, the error path, that of a playbook
    /// further out, or none.
    pub(super) fn fail(&mut self, frame: u32, task: u32, failure: Failure) {
        let Some(program) = self.program_of(frame) else {
            return self.over(RunState::Failed, &failure.message);
        };
        let Some(node) = program.tasks.get(task as usize) else { return };
        let command = match &node.kind {
            Kind::Automation { name, .. } | Kind::Playbook(name) => name.as_str(),
            _ => "",
        };
        self.traced(frame, task, super::effect::Happened::Failed(failure.kind));
        let id = self.entry(&node.id, command, "error", &failure.message);
        if let Some(task) = self.run.task_mut(frame, task) {
            task.error = crate::respond::limits::cut(&failure.message, 1_000).to_owned();
            task.wait = None;
        }
        let context = self.context_of(frame);
        overwrite(context, &format!("task.{}.error", node.id.replace('.', "_")), Value::String(failure.message.clone()));
        overwrite(context, "lastCompletedTaskEntries", Value::Array(vec![Value::String(id)]));
        match node.on_error {
            // What a condition that failed would have said is not known: its default.
            OnError::Continue => {
                self.complete(frame, task, matches!(node.kind, Kind::Condition(_) | Kind::Automation { labels: true, .. }).then_some("#default#"))
            }
            OnError::ErrorPath => self.complete(frame, task, Some("#error#")),
            OnError::Stop => {
                let (name, id) = (program.name.clone(), node.id.clone());
                match self.catcher(frame) {
                    Some((outer, caller)) => {
                        self.drop_below(outer, caller);
                        let message = format!("task {id} of `{name}`: {}", failure.message);
                        self.fail(outer, caller, Failure { message, ..failure });
                    }
                    None => {
                        if let Some(task) = self.run.task_mut(frame, task) {
                            task.status = Status::Failed;
                        }
                        let reason = format!("task {id} of `{name}`: {}", failure.message);
                        self.over(RunState::Failed, &reason);
                    }
                }
            }
        }
    }

    /// The task further out that goes on when something in it fails.
    fn catcher(&mut self, frame: u32) -> Option<(u32, u32)> {
        let mut at = self.run.frames.get(&frame)?.parent;
        while let Some((outer, task)) = at {
            let program = self.program_of(outer)?;
            if program.tasks.get(task as usize)?.on_error != OnError::Stop {
                return Some((outer, task));
            }
            at = self.run.frames.get(&outer)?.parent;
        }
        None
    }

    /// A task ends with a label: its edges are resolved.
    pub(super) fn complete(&mut self, frame: u32, task: u32, label: Option<&str>) {
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Done;
            task.wait = None;
            task.turns = None;
        }
        self.traced(frame, task, super::effect::Happened::Done(label.map(str::to_owned)));
        self.resolve(frame, task, Some(label));
        self.ended(frame);
    }

    /// A task that was about to run does not.
    pub(super) fn skip_running(&mut self, frame: u32, task: u32) {
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Skipped;
            task.wait = None;
        }
        self.resolve(frame, task, None);
        self.ended(frame);
    }

    /// Resolves the edges of a task that ended (`None`: it did not run), and of those that
    /// therefore will not run.
    fn resolve(&mut self, frame: u32, task: u32, ended: Option<Option<&str>>) {
        let Some(program) = self.program_of(frame) else { return };
        let Some(state) = self.run.frames.get_mut(&frame) else { return };
        state.live = state.live.saturating_sub(1);
        let mut ahead: Vec<(u32, Option<String>, bool)> = vec![(task, ended.flatten().map(str::to_lowercase), ended.is_some())];
        let mut ready = Vec::new();
        while let Some((task, label, ran)) = ahead.pop() {
            let Some(node) = program.tasks.get(task as usize) else { continue };
            for (taken, targets) in taken_edges(node, label.as_deref(), ran) {
                for target in targets {
                    let number = u32::try_from(*target).unwrap_or(u32::MAX);
                    let Some(to) = state.tasks.get_mut(*target) else { continue };
                    to.unresolved = to.unresolved.saturating_sub(1);
                    to.taken |= taken;
                    if to.unresolved > 0 || to.status != Status::Idle {
                        continue;
                    }
                    if to.taken {
                        to.status = Status::Ready;
                        state.live += 1;
                        ready.push(number);
                    } else {
                        to.status = Status::Skipped;
                        ahead.push((number, None, false));
                    }
                }
            }
        }
        self.run.ready.extend(ready.into_iter().map(|task| (frame, task)));
    }
}

/// For each edge whether it is taken, and where it leads.
fn taken_edges<'n>(node: &'n Node, label: Option<&str>, ran: bool) -> Vec<(bool, &'n Vec<usize>)> {
    let has = |name: &str| node.edges.iter().any(|(edge, _)| edge == name);
    let takes = |edge: &str| match (ran, label) {
        (false, _) => false,
        (true, None) => edge == "#none#",
        (true, Some("#error#")) => edge == "#error#",
        (true, Some(label)) => edge == "#none#" || edge == label.trim() || (edge == "#default#" && (label == "#default#" || !has(label.trim()))),
    };
    node.edges.iter().map(|(edge, targets)| (takes(edge), targets)).collect()
}

/// Values that are too large, and that nobody has stored elsewhere, are cut down to what says so.
fn bounded(context: &mut Map<String, Value>, contents: &mut Value) {
    for key in too_large(context) {
        context.insert(key, mark());
    }
    if weight(contents, OUTPUT_BYTES_MAX) > OUTPUT_BYTES_MAX {
        *contents = mark();
    }
}
