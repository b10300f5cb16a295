//! Owns sub-playbooks as tasks: one turn, a turn for each item, or turns until something says so.

use super::effect::{Failure, Output};
use super::step::Step;
use super::task::{Pending, Turns, Wait};
use crate::expr::xsoar::context::for_each;
use crate::expr::xsoar::prepared::Prepared;
use crate::respond::command::escape::Escape;
use crate::respond::command::generic;
use crate::respond::limits::TURNS_MAX;
use crate::respond::program::{Ends, Node, Program, Repeat};

impl Step<'_> {
    pub(super) fn start_playbook(&mut self, frame: u32, task: u32, program: &Program, node: &Node, name: &str) {
        let given = match self.arguments(frame, &node.arguments, &|_| Escape::Plain) {
            Ok(given) => given,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        if generic::is_playbook(name) {
            return match generic::from_arguments(&given, self.now_us) {
                Ok(generic) => self.start_generic(frame, task, program, generic),
                Err(failure) => self.failed(frame, task, program, failure),
            };
        }
        let Some(sub) = self.pin(name) else {
            if self.world.stand_in {
                return self.emit_call(
                    frame,
                    task,
                    node,
                    Pending { command: format!("playbook:{name}"), brand: None, arguments: given, timeout_s: 0, deadline_us: 0 },
                );
            }
            return self.missing(frame, task, program, &format!("the playbook `{name}`"));
        };
        let opened = self.room_below(frame).and_then(|()| self.sub_inputs(frame, &sub, given));
        let inputs = match opened {
            Ok(inputs) => inputs,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let inputs = match node.repeat.as_ref().map(|repeat| &repeat.until) {
            Some(Ends::ForEach) => {
                let mut turns = for_each(&inputs);
                turns.truncate(TURNS_MAX);
                turns
            }
            _ => vec![inputs],
        };
        if inputs.is_empty() {
            return self.succeeded(frame, task, program, Output::default());
        }
        if let Some(state) = self.run.task_mut(frame, task) {
            state.turns = Some(Box::new(Turns { done: 0, inputs, context: None, asking: false }));
        }
        self.open_turn(frame, task, name, &sub, node);
    }

    /// Opens the turn that is next.
    fn open_turn(&mut self, outer: u32, task: u32, name: &str, sub: &Program, node: &Node) {
        let Some(turns) = self.run.task(outer, task).and_then(|task| task.turns.as_deref()) else { return };
        let (done, kept) = (turns.done, turns.context);
        // Turns of a `forEach` have inputs of their own, others the same ones.
        let inputs = turns.inputs.get(done as usize).or_else(|| turns.inputs.first()).cloned().unwrap_or_default();
        let context = match (node.private, kept) {
            (false, _) => self.run.frames.get(&outer).map_or(0, |frame| frame.context),
            (true, Some(kept)) => kept,
            (true, None) => self.new_context(),
        };
        self.open(name, sub, Some((outer, task)), done, context, inputs);
    }

    /// A turn has nothing more to do.
    pub(super) fn turn_ended(&mut self, number: u32, outer: u32, task: u32) {
        let (Some(sub), Some(program)) = (self.program_of(number), self.program_of(outer)) else { return };
        let Some(node) = program.tasks.get(task as usize) else { return };
        if let Some(turns) = self.run.task_mut(outer, task).and_then(|task| task.turns.as_deref_mut()) {
            turns.done += 1;
        }
        let over = match &node.repeat {
            None => Ok(true),
            Some(Repeat { until: Ends::ForEach, .. }) => {
                let turns = self.run.task(outer, task).and_then(|task| task.turns.as_deref());
                Ok(turns.is_none_or(|turns| turns.done as usize >= turns.inputs.len()))
            }
            Some(Repeat { until: Ends::Holds(tests), max, .. }) => self.holds(number, tests).map(|holds| holds || self.turns_done(outer, task) >= *max),
            Some(Repeat { until: Ends::Says { script, arguments, .. }, max, .. }) => {
                if self.turns_done(outer, task) < *max {
                    return self.ask_turn(number, outer, task, &program, script, arguments);
                }
                Ok(true)
            }
        };
        match over {
            Ok(over) => self.next_turn(number, outer, task, &sub, &program, node, over),
            Err(failure) => {
                self.drop_below(outer, task);
                self.failed(outer, task, &program, failure);
            }
        }
    }

    fn turns_done(&self, outer: u32, task: u32) -> u32 {
        self.run.task(outer, task).and_then(|task| task.turns.as_deref()).map_or(u32::MAX, |turns| turns.done)
    }

    /// An automation is asked whether that was the last turn.
    fn ask_turn(&mut self, number: u32, outer: u32, task: u32, program: &Program, script: &str, arguments: &[(String, Prepared)]) {
        if let Some(turns) = self.run.task_mut(outer, task).and_then(|task| task.turns.as_deref_mut()) {
            turns.asking = true;
        }
        match self.arguments(number, arguments, &|_| Escape::Plain) {
            Ok(arguments) => {
                self.invoke(outer, task, program, Pending { command: script.to_owned(), brand: None, arguments, timeout_s: 0, deadline_us: 0 }, true)
            }
            Err(failure) => self.turn_failed(outer, task, program, failure),
        }
    }

    fn turn_failed(&mut self, outer: u32, task: u32, program: &Program, failure: Failure) {
        self.drop_below(outer, task);
        self.failed(outer, task, program, failure);
    }

    /// Takes the answer of that automation; true if it was one.
    pub(super) fn turn_answer(&mut self, outer: u32, task: u32, program: &Program, output: &Output) -> bool {
        let asked = self.run.task_mut(outer, task).and_then(|task| task.turns.as_deref_mut()).is_some_and(|turns| std::mem::take(&mut turns.asking));
        if !asked {
            return false;
        }
        let number = self.run.frames.iter().find(|(_, frame)| frame.parent == Some((outer, task))).map(|(number, _)| *number);
        let (Some(node), Some(number)) = (program.tasks.get(task as usize), number) else { return false };
        let Some(sub) = self.program_of(number) else { return false };
        let over = match node.repeat.as_ref().map(|repeat| &repeat.until) {
            Some(Ends::Says { answer, .. }) => Step::label_of(&output.contents).eq_ignore_ascii_case(answer.trim()),
            _ => true,
        };
        self.next_turn(number, outer, task, &sub, program, node, over);
        true
    }

    /// Ends the loop, or begins its next turn.
    #[allow(clippy::too_many_arguments)]
    fn next_turn(&mut self, number: u32, outer: u32, task: u32, sub: &Program, program: &Program, node: &Node, over: bool) {
        let each = node.repeat.as_ref().is_none_or(|repeat| matches!(repeat.until, Ends::ForEach));
        if over || each {
            self.close_frame(number, sub, true);
        } else if let Some(frame) = self.run.frames.remove(&number)
            && node.private
            && let Some(turns) = self.run.task_mut(outer, task).and_then(|task| task.turns.as_deref_mut())
        {
            // What a turn counted, the next one goes on with.
            turns.context = Some(frame.context);
        }
        if over {
            return self.succeeded(outer, task, program, Output::default());
        }
        match node.repeat.as_ref().map_or(0, |repeat| repeat.wait_seconds) {
            0 => self.begin_turn(outer, task),
            seconds => self.sleep(outer, task, Wait::Turn { until_us: self.now_us.saturating_add(seconds.saturating_mul(1_000_000)) }),
        }
    }

    /// Begins the next turn of a loop.
    pub(super) fn begin_turn(&mut self, outer: u32, task: u32) {
        use crate::respond::program::Kind;
        let Some(program) = self.program_of(outer) else { return };
        let Some(node) = program.tasks.get(task as usize) else { return };
        if let Some(task) = self.run.task_mut(outer, task) {
            task.status = super::task::Status::Running;
            task.wait = None;
        }
        let Kind::Playbook(name) = &node.kind else { return };
        match self.pin(name) {
            Some(sub) => self.open_turn(outer, task, name, &sub, node),
            None => self.missing(outer, task, &program, &format!("the playbook `{name}`")),
        }
    }
}
