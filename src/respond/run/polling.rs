//! Owns waiting for something outside: commands that say "not yet", and `GenericPolling`, which
//! repeats a command until an expression on the context selects nothing. Neither holds a worker.

use serde_json::{Map, Value};

use super::effect::{Failure, FailureKind, Output, Poll};
use super::step::Step;
use super::task::{Generic, Pending, Status, Wait};
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::value::{arg_texts, into_list};
use crate::respond::limits::POLL_SECONDS;
use crate::respond::program::Program;

const SECOND_US: i64 = 1_000_000;

impl Step<'_> {
    /// A task that sleeps wakes.
    pub(super) fn wake_task(&mut self, frame: u32, task: u32) {
        let Some(program) = self.program_of(frame) else { return };
        let Some(node) = program.tasks.get(task as usize) else { return };
        self.task_entries.clear();
        let Some(wait) = self.run.task_mut(frame, task).and_then(|task| task.wait.take()) else { return };
        match *wait {
            Wait::Sleep { .. } => self.succeeded(frame, task, &program, Output::default()),
            Wait::Retry { .. } => {
                if let Some(task) = self.run.task_mut(frame, task) {
                    task.status = Status::Ready;
                }
                self.run.ready.push_back((frame, task));
            }
            Wait::Poll { call, deadline_us, .. } => {
                if self.now_us >= deadline_us {
                    let text = format!("`{}` was not done in time", call.command);
                    return self.failed(frame, task, &program, Failure::new(FailureKind::Timeout, text));
                }
                self.emit_call(frame, task, node, *call);
                self.note_deadline(frame, task, deadline_us);
            }
            Wait::Generic(generic) => self.round(frame, task, &program, *generic),
            Wait::Turn { .. } => self.begin_turn(frame, task),
            Wait::Call(_) | Wait::Person { .. } => {}
        }
    }

    /// A deadline outlives the calls between which it stands.
    fn note_deadline(&mut self, frame: u32, task: u32, deadline_us: i64) {
        if let Some(Wait::Call(pending)) = self.run.task_mut(frame, task).and_then(|task| task.wait.as_deref_mut()) {
            pending.deadline_us = deadline_us;
        }
    }

    /// A command is not done yet.
    pub(super) fn poll_again(&mut self, frame: u32, task: u32, program: &Program, mut call: Pending, poll: &Poll, output: Output) {
        let seconds = if poll.timeout_s == 0 { POLL_SECONDS } else { i64::from(poll.timeout_s) };
        let deadline_us = if call.deadline_us > 0 { call.deadline_us } else { self.now_us.saturating_add(seconds.saturating_mul(SECOND_US)) };
        if !poll.arguments.is_empty() {
            call.arguments = poll.arguments.clone();
        }
        if !output.readable.is_empty()
            && let Some(node) = program.tasks.get(task as usize)
            && !self.is_quiet(program, node)
        {
            self.entry(&node.id, &call.command, "entry", &output.readable);
        }
        let until_us = self.now_us.saturating_add(i64::from(poll.after_s.max(1)).saturating_mul(SECOND_US)).min(deadline_us);
        self.sleep(frame, task, Wait::Poll { call: Box::new(call), until_us, deadline_us });
    }

    /// `GenericPolling` begins: nothing to wait for, or the first round.
    pub(super) fn start_generic(&mut self, frame: u32, task: u32, program: &Program, generic: Generic) {
        if generic.ids.is_empty() {
            return self.succeeded(frame, task, program, Output { readable: "there is nothing to poll for".to_owned(), ..Output::default() });
        }
        self.round(frame, task, program, generic);
    }

    /// A round: the command for all ids that are pending.
    fn round(&mut self, frame: u32, task: u32, program: &Program, generic: Generic) {
        let Some(node) = program.tasks.get(task as usize) else { return };
        if self.now_us >= generic.deadline_us {
            // As in the product: the way goes on, and says so.
            self.entry(&node.id, &generic.command, "warning", "polling ended by its timeout; some ids are still pending");
            return self.succeeded(frame, task, program, Output::default());
        }
        let mut arguments = generic.others.clone();
        if !generic.argument.is_empty() {
            arguments.insert(generic.argument.clone(), Value::String(generic.ids.join(",")));
        }
        let command = generic.command.clone();
        let known = !matches!(self.world.ability(None, &command), crate::respond::world::Ability::Missing);
        if !known {
            return self.missing(frame, task, program, &format!("the command `{command}`"));
        }
        self.invoke(frame, task, program, Pending { command, brand: None, arguments, timeout_s: 0, deadline_us: 0 }, false);
        // Only a call is waited for; a built-in has ended the task already, an approval asks first.
        if let Some(state) = self.run.task_mut(frame, task)
            && state.status == Status::Running
            && matches!(state.wait.as_deref(), Some(Wait::Call(_)))
        {
            state.wait = Some(Box::new(Wait::Generic(Box::new(generic))));
        }
    }

    /// A round ended: what it yields is kept; what is still pending is asked for again.
    pub(super) fn generic_result(&mut self, frame: u32, task: u32, program: &Program, mut generic: Generic, result: Result<Output, Failure>) {
        let output = match result {
            Ok(output) => output,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let Some(node) = program.tasks.get(task as usize) else { return };
        if let Err(failure) = self.keep(frame, program, node, output) {
            return self.failed(frame, task, program, failure);
        }
        match self.pending_ids(frame, &generic) {
            Ok(ids) if ids.is_empty() => self.succeeded(frame, task, program, Output::default()),
            Ok(ids) => {
                generic.ids = ids;
                generic.until_us = self.now_us.saturating_add(generic.interval_us);
                self.sleep(frame, task, Wait::Generic(Box::new(generic)));
            }
            Err(failure) => self.failed(frame, task, program, failure),
        }
    }

    /// The ids that the expression still selects.
    fn pending_ids(&mut self, frame: u32, generic: &Generic) -> Result<Vec<String>, Failure> {
        let dt = Dt::parse(&generic.dt).map_err(|_| Failure::new(FailureKind::Argument, "the argument `dt` is no expression"))?;
        let found = self.view(frame, false, |env| dt.evaluate(env.context, &env.budget)).map_err(|fault| super::view::expression("`dt`", &fault))?;
        let selected: Vec<String> = into_list(found).iter().map(Step::plain).collect();
        Ok(generic.ids.iter().filter(|id| selected.contains(id)).cloned().collect())
    }

    /// Somebody ends what a task waits for: it counts as done.
    pub fn end_waiting(&mut self, frame: u32, task: u32, program: &Program) {
        if let Some(task) = self.run.task_mut(frame, task) {
            task.wait = None;
        }
        self.succeeded(frame, task, program, Output::default());
    }

    /// A text of a value.
    fn plain(value: &Value) -> String {
        crate::expr::xsoar::value::text_of(value)
    }
}

/// Names and values that stand in two lists of equal length.
pub fn pairs(names: &Value, values: &Value) -> Map<String, Value> {
    let texts = |value: &Value| arg_texts(value).into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    texts(names).into_iter().zip(texts(values)).map(|(name, value)| (name, Value::String(value))).collect()
}
