//! Owns turns of playbooks: how one opens in a run, what it is given, how it ends, and what its
//! caller gets.

use serde_json::{Map, Value, json};

use super::effect::{Failure, FailureKind};
use super::state::{Frame, RunState};
use super::step::Step;
use super::task::{Status, Task};
use crate::respond::limits::{FRAMES_DEEP_MAX, FRAMES_MAX};
use crate::respond::merge;
use crate::respond::program::Program;

impl Step<'_> {
    /// A context without anything in it.
    pub(super) fn new_context(&mut self) -> u32 {
        let number = self.run.contexts.keys().next_back().map_or(0, |last| last + 1);
        self.run.contexts.insert(number, json!({}));
        number
    }

    /// Opens a turn of a playbook: its first task is ready.
    pub(super) fn open(&mut self, name: &str, program: &Program, parent: Option<(u32, u32)>, turn: u32, context: u32, inputs: Map<String, Value>) {
        let number = self.run.next_frame;
        self.run.next_frame += 1;
        let mut tasks: Vec<Task> = program.tasks.iter().map(|node| Task { unresolved: node.incoming, ..Task::default() }).collect();
        if let Some(start) = tasks.get_mut(program.start) {
            start.status = Status::Ready;
            start.taken = true;
        }
        self.run.frames.insert(number, Frame { playbook: name.to_owned(), parent, turn, context, inputs, tasks, live: 1 });
        self.run.ready.push_back((number, u32::try_from(program.start).unwrap_or(0)));
    }

    /// True where another playbook can be opened below a frame.
    pub(super) fn room_below(&self, frame: u32) -> Result<(), Failure> {
        let mut deep = 1;
        let mut at = self.run.frames.get(&frame).and_then(|frame| frame.parent);
        while let Some((outer, _)) = at {
            deep += 1;
            at = self.run.frames.get(&outer).and_then(|frame| frame.parent);
        }
        if deep >= FRAMES_DEEP_MAX {
            return Err(Failure::new(FailureKind::Bound, format!("playbooks call each other more than {FRAMES_DEEP_MAX} levels deep")));
        }
        if self.run.frames.len() >= FRAMES_MAX {
            return Err(Failure::new(FailureKind::Bound, format!("more than {FRAMES_MAX} playbooks of one run go on at once")));
        }
        Ok(())
    }

    /// The inputs of a playbook where some are given: the others are what the playbook says,
    /// evaluated where it is called.
    pub(super) fn sub_inputs(&mut self, frame: u32, program: &Program, mut given: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
        for input in &program.inputs {
            if input.key.is_empty() || given.contains_key(&input.key) {
                continue;
            }
            let value = self.value(frame, &format!("input `{}`", input.key), &input.value)?;
            if !value.is_null() {
                given.insert(input.key.clone(), value);
            }
        }
        Ok(given)
    }

    /// The same for the playbook of a run, which has no caller. An input that has no value is left out.
    pub(super) fn default_inputs(&mut self, program: &Program, context: u32, mut given: Map<String, Value>) -> Map<String, Value> {
        // A frame without tasks to evaluate in; it does not stay.
        let frame = u32::MAX;
        self.run
            .frames
            .insert(frame, Frame { playbook: self.run.playbook.clone(), parent: None, turn: 0, context, inputs: Map::new(), tasks: Vec::new(), live: 0 });
        for input in &program.inputs {
            if input.key.is_empty() || given.contains_key(&input.key) {
                continue;
            }
            match self.value(frame, &format!("input `{}`", input.key), &input.value) {
                Ok(Value::Null) => {}
                Ok(value) => {
                    given.insert(input.key.clone(), value);
                }
                Err(failure) => {
                    self.entry("", "", "warning", &failure.message);
                }
            }
        }
        self.run.frames.remove(&frame);
        given
    }

    /// Looks whether a frame has nothing more to do.
    pub(super) fn ended(&mut self, number: u32) {
        let Some(frame) = self.run.frames.get(&number) else { return };
        if frame.live > 0 || self.run.state.is_over() {
            return;
        }
        // One of its predecessors never ends: they wait for each other.
        if let Some(stuck) = frame.tasks.iter().position(|task| task.status == Status::Idle && task.taken) {
            let failure = Failure::new(FailureKind::Bound, "the task waits for others that wait for it");
            return self.fail_stuck(number, u32::try_from(stuck).unwrap_or(0), failure);
        }
        match frame.parent {
            None => self.over(RunState::Completed, ""),
            Some((outer, task)) => self.turn_ended(number, outer, task),
        }
    }

    fn fail_stuck(&mut self, frame: u32, task: u32, failure: Failure) {
        if let Some(frame) = self.run.frames.get_mut(&frame) {
            frame.live += 1;
        }
        self.fail(frame, task, failure);
    }

    /// Takes a frame away; the outputs of a private one go to its caller.
    pub(super) fn close_frame(&mut self, number: u32, program: &Program, hand_over: bool) {
        let Some(frame) = self.run.frames.remove(&number) else { return };
        let Some((outer, _)) = frame.parent else { return };
        let shared = self.run.frames.values().any(|other| other.context == frame.context);
        if shared {
            return;
        }
        if hand_over && let Some(context) = self.run.contexts.get(&frame.context) {
            let paths: Vec<Vec<&str>> = program
                .outputs
                .iter()
                .map(|(path, _)| path.split('(').next().unwrap_or_default().split('.').filter(|part| !part.is_empty() && !part.starts_with('[')).collect())
                .filter(|path: &Vec<&str>| !path.is_empty())
                .collect();
            let found = merge::project(context, &paths);
            merge::outputs(self.context_of(outer), found);
        }
        self.run.contexts.remove(&frame.context);
    }

    /// Gives up everything that goes on inside of a task.
    pub(super) fn drop_below(&mut self, outer: u32, task: u32) {
        let mut gone: Vec<u32> = self.run.frames.iter().filter(|(_, frame)| frame.parent == Some((outer, task))).map(|(number, _)| *number).collect();
        let mut at = 0;
        while let Some(number) = gone.get(at).copied() {
            gone.extend(self.run.frames.iter().filter(|(_, frame)| frame.parent.is_some_and(|(parent, _)| parent == number)).map(|(number, _)| *number));
            at += 1;
        }
        for number in &gone {
            if let Some(frame) = self.run.frames.remove(number)
                && !self.run.frames.values().any(|other| other.context == frame.context)
            {
                self.run.contexts.remove(&frame.context);
            }
        }
        self.run.ready.retain(|(frame, _)| !gone.contains(frame));
        if let Some(context) = self.run.task_mut(outer, task).and_then(|task| task.turns.take()).and_then(|turns| turns.context)
            && !self.run.frames.values().any(|frame| frame.context == context)
        {
            self.run.contexts.remove(&context);
        }
    }
}
