//! Owns the step: one transition, then everything that can go on.

use std::sync::Arc;

use serde_json::Value;

use super::effect::{Effect, Entry, Failure, FailureKind, Transition};
use super::state::{Recent, Run, RunState, Waits};
use super::task::{Status, Wait};
use crate::respond::limits::{ENTRIES_MAX, ENTRY_BYTES_MAX, NAME_BYTES_MAX, RECENT_BYTES_MAX, RECENT_MAX, STARTED_MAX, STEP_TASKS_MAX, WAITS_MAX, cut};
use crate::respond::program::Program;
use crate::respond::world::World;

/// A step under way.
pub struct Step<'a> {
    /// The run.
    pub run: &'a mut Run,
    /// Its surroundings.
    pub world: &'a World,
    /// The time of the step, in microseconds.
    pub now_us: i64,
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// Entries of the task that is being done: `lastCompletedTaskEntries`.
    pub task_entries: Vec<String>,
}

/// Applies a transition to a run, and says what is to be done.
pub fn step(run: &mut Run, world: &World, now_us: i64, transition: Transition) -> Vec<Effect> {
    let before = run.state;
    let mut step = Step { run, world, now_us, effects: Vec::new(), task_entries: Vec::new() };
    step.apply(transition);
    step.drive();
    step.timers_look();
    step.note_waits();
    let after = step.run.state;
    if after != before {
        step.effects.push(Effect::State(after));
    }
    step.effects
}

impl Step<'_> {
    fn apply(&mut self, transition: Transition) {
        if matches!(transition, Transition::Closed) {
            return self.closed_elsewhere();
        }
        if self.run.state.is_over() {
            return;
        }
        match transition {
            Transition::Begin if self.run.state == RunState::New => self.begin(),
            Transition::Begin | Transition::More | Transition::Closed => {}
            Transition::Result { key, result } => self.result(key, result),
            Transition::Due => self.wake(),
            Transition::Fields(fields) => self.seen(&fields),
            Transition::Answer(answer) => self.answer(answer),
            Transition::Cancel { actor } => {
                self.entry_by(&actor, "", "", "note", "the run was ended");
                self.over(RunState::Cancelled, "");
            }
        }
    }

    fn begin(&mut self) {
        self.run.state = RunState::Running;
        self.run.began_us = self.now_us;
        let name = self.run.playbook.clone();
        let Some(program) = self.pin(&name) else {
            self.over(RunState::Failed, &format!("there is no playbook `{name}`"));
            return;
        };
        // A context may have been given with the run.
        let context = self.run.contexts.keys().next().copied().unwrap_or_else(|| self.new_context());
        let given = std::mem::take(&mut self.run.given);
        let inputs = self.default_inputs(&program, context, given);
        self.open(&name, &program, None, 0, context, inputs);
    }

    /// Starts what is ready, as far as one step goes.
    fn drive(&mut self) {
        let mut left = STEP_TASKS_MAX;
        while self.run.state == RunState::Running {
            let Some((frame, task)) = self.run.ready.pop_front() else { break };
            if self.run.task(frame, task).is_none_or(|task| task.status != Status::Ready) {
                continue;
            }
            if left == 0 {
                self.run.ready.push_front((frame, task));
                self.effects.push(Effect::More);
                return;
            }
            left -= 1;
            self.run.started += 1;
            if self.run.started > STARTED_MAX {
                self.fail(frame, task, Failure::new(FailureKind::Bound, format!("a run starts at most {STARTED_MAX} tasks")));
                break;
            }
            self.start(frame, task);
        }
        if matches!(self.run.state, RunState::Running | RunState::Waiting) {
            let busy = self
                .run
                .frames
                .values()
                .flat_map(|frame| &frame.tasks)
                .any(|task| task.status == Status::Running && matches!(task.wait.as_deref(), Some(Wait::Call(_) | Wait::Generic(_))));
            self.run.state = if busy { RunState::Running } else { RunState::Waiting };
        }
    }

    /// The run ends.
    pub(super) fn over(&mut self, state: RunState, reason: &str) {
        self.run.state = state;
        self.run.reason = cut(reason, 1_000).to_owned();
        if state.is_over() {
            self.run.ended_us = Some(self.now_us);
            // What happened is in the war room; a run that is over needs no contexts.
            self.run.frames.clear();
            self.run.contexts.clear();
            self.run.ready.clear();
            self.run.held.clear();
        }
    }

    /// Whatever waits for a time that has come goes on.
    fn wake(&mut self) {
        self.remind();
        if self.run.state == RunState::Failed {
            return;
        }
        let mut due: Vec<(i64, u32, u32)> = Vec::new();
        for (number, frame) in &self.run.frames {
            for (at, task) in frame.tasks.iter().enumerate().filter(|(_, task)| task.status == Status::Sleeping) {
                if let Some(until) = task.wait.as_deref().and_then(Wait::until_us).filter(|until| *until <= self.now_us) {
                    due.push((until, *number, u32::try_from(at).unwrap_or(u32::MAX)));
                }
            }
        }
        due.sort_unstable();
        if !due.is_empty() {
            self.run.state = RunState::Running;
        }
        for (_, frame, task) in due {
            self.wake_task(frame, task);
        }
    }

    /// The playbook of a name, pinned with its first use.
    pub(super) fn pin(&mut self, name: &str) -> Option<Arc<Program>> {
        if let Some(version) = self.run.pinned.get(name) {
            return self.world.library.version(version).cloned();
        }
        let program = self.world.library.find(name)?.clone();
        self.run.pinned.insert(name.to_owned(), program.version.clone());
        Some(program)
    }

    /// The playbook of a frame.
    pub(super) fn program_of(&mut self, frame: u32) -> Option<Arc<Program>> {
        let name = self.run.frames.get(&frame)?.playbook.clone();
        self.pin(&name)
    }

    /// The same, for built-ins.
    pub fn program_at(&mut self, frame: u32) -> Option<Arc<Program>> {
        self.program_of(frame)
    }

    /// The name under which a field stands in the incident: one that is there already as it is
    /// written, else as the packs say.
    pub fn field_name(&self, name: &str) -> String {
        match self.run.incident.get(name) {
            Some(_) => name.to_owned(),
            None => self.world.field_name(name),
        }
    }

    /// The id of a task in its playbook.
    pub fn task_id(&mut self, frame: u32, task: u32) -> String {
        self.program_of(frame).and_then(|program| program.tasks.get(task as usize).map(|node| node.id.clone())).unwrap_or_default()
    }

    /// Says what happened to a task.
    pub(super) fn traced(&mut self, frame: u32, task: u32, what: super::effect::Happened) {
        if let Some(program) = self.program_of(frame) {
            self.effects.push(Effect::Task(super::effect::Traced { program, frame, task, what }));
        }
    }

    /// Says something in the war room.
    pub fn entry(&mut self, task: &str, command: &str, kind: &str, text: &str) -> String {
        let actor = format!("playbook:{}", self.run.playbook);
        self.entry_by(&actor, task, command, kind, text)
    }

    /// The same in somebody's name.
    pub fn entry_by(&mut self, actor: &str, task: &str, command: &str, kind: &str, text: &str) -> String {
        self.run.entries += 1;
        let id = format!("{}@{}", self.run.entries, self.run.id);
        if self.run.entries > ENTRIES_MAX {
            return id;
        }
        let text = cut(text, ENTRY_BYTES_MAX);
        self.run.recent.push_back(Recent { id: id.clone(), error: kind == "error", text: cut(text, RECENT_BYTES_MAX).to_owned() });
        while self.run.recent.len() > RECENT_MAX {
            self.run.recent.pop_front();
        }
        self.task_entries.push(id.clone());
        self.effects.push(Effect::Entry(Entry {
            id: id.clone(),
            at_us: self.now_us,
            actor: actor.to_owned(),
            task: task.to_owned(),
            command: command.to_owned(),
            kind: kind.to_owned(),
            text: text.to_owned(),
            key: String::new(),
        }));
        id
    }

    /// Tasks see the incident with these fields from now on.
    fn seen(&mut self, fields: &serde_json::Map<String, Value>) {
        if let Value::Object(incident) = &mut self.run.incident {
            for (name, value) in fields {
                if value.is_null() {
                    incident.shift_remove(name);
                } else {
                    incident.insert(name.clone(), value.clone());
                }
            }
        }
    }

    /// Sets fields of the run's own incident, for tasks and for the stream.
    pub fn set_fields(&mut self, fields: serde_json::Map<String, Value>) {
        if fields.is_empty() {
            return;
        }
        self.seen(&fields);
        self.effects.push(Effect::Edit(super::effect::Edit::Set { incident: None, fields }));
    }

    /// Notes which tasks wait, and for what.
    fn note_waits(&mut self) {
        let before = std::mem::take(&mut self.run.waits);
        let mut found: Vec<(u32, u32, Status, i64, String)> = Vec::new();
        for (number, frame) in &self.run.frames {
            for (at, task) in frame.tasks.iter().enumerate() {
                let (until_us, who) = match (task.status, task.wait.as_deref()) {
                    (Status::Person, Some(Wait::Person { due_us, assignee, .. })) => (*due_us, cut(assignee, NAME_BYTES_MAX).to_owned()),
                    (Status::Person | Status::Approval | Status::Failed, _) => (0, String::new()),
                    (Status::Sleeping, Some(wait)) => (wait.until_us().unwrap_or(0), String::new()),
                    _ => continue,
                };
                if found.len() < WAITS_MAX {
                    found.push((*number, u32::try_from(at).unwrap_or(u32::MAX), task.status, until_us, who));
                }
            }
        }
        for (frame, task, status, until_us, who) in found {
            let Some(program) = self.program_of(frame) else { continue };
            let Some(node) = program.tasks.get(task as usize) else { continue };
            let known = before.iter().find(|known| known.frame == frame && known.task == node.id && known.status == status);
            let since_us = known.map_or(self.now_us, |known| known.since_us);
            let name = cut(&node.name, NAME_BYTES_MAX).to_owned();
            self.run.waits.push(Waits { frame, task: node.id.clone(), name, status, since_us, until_us, who });
        }
    }

    /// What time did to the incident's timers.
    fn timers_look(&mut self) {
        let names: Vec<String> = self.run.timers.keys().cloned().collect();
        for name in names {
            let Some(timer) = self.run.timers.get_mut(&name) else { continue };
            if let Some(what) = timer.look(self.now_us) {
                self.timer_changed(&name, what);
            }
        }
    }

    /// Starts, pauses, stops or resets a timer.
    ///
    /// # Errors
    /// What cannot be done with it in its state.
    pub fn timer(&mut self, field: &str, action: &str) -> Result<(), &'static str> {
        let name = self.field_name(field);
        let (sla, risk) = self.world.timer_promise(&name);
        let now_us = self.now_us;
        if let Some(what) = self.timer_of(&name, sla, risk).act(action, now_us)? {
            self.timer_changed(&name, what);
        }
        Ok(())
    }

    /// A timer that this run has not touched yet is as the incident has it.
    pub fn timer_of(&mut self, name: &str, sla_minutes: i64, risk_minutes: i64) -> &mut super::timer::Timer {
        let Run { timers, incident, .. } = &mut *self.run;
        timers.entry(name.to_owned()).or_insert_with(|| {
            let known = incident.get(name).and_then(|field| super::timer::Timer::read(&field.to_string(), risk_minutes));
            known.unwrap_or_else(|| super::timer::Timer::new(sla_minutes, risk_minutes))
        })
    }

    /// Stops all timers: the incident is closed.
    pub(super) fn timers_stop(&mut self) {
        let going: Vec<String> = self.run.timers.iter().filter(|(_, timer)| timer.is_going()).map(|(name, _)| name.clone()).collect();
        for name in going {
            // What is going can be stopped.
            let _ = self.timer(&name, "stop");
        }
    }

    fn closed_elsewhere(&mut self) {
        self.timers_stop();
        if let Value::Object(incident) = &mut self.run.incident {
            incident.insert("status".to_owned(), Value::from(2));
        }
    }

    fn timer_changed(&mut self, name: &str, what: &str) {
        let Some(timer) = self.run.timers.get(name) else { return };
        let (value, due_us) = (timer.to_json(), timer.due_us());
        self.effects.push(Effect::Timer(super::timer::TimerFact { field: name.to_owned(), what: what.to_owned(), at_us: self.now_us, due_us }));
        // Of the fact the keeper makes the field; tasks see it at once.
        if let Value::Object(incident) = &mut self.run.incident {
            incident.insert(name.to_owned(), value);
        }
    }
}
