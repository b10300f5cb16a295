//! Owns how a run goes on elsewhere: for calls that were begun and whose results nobody knows,
//! the command says what that means.

use serde_json::Value;

use super::effect::{Ask, Call, Effect, Failure, FailureKind};
use super::state::{Key, Run};
use super::step::{Step, step};
use super::task::{Pending, Status, Task, Wait};
use super::{Transition, state::RunState};
use crate::respond::world::{Ability, OnUnknown, World};

/// What is to be done so that a run goes on where it was committed last. Calls of which it is known
/// that they are `under_way` need nothing.
pub fn resume(run: &mut Run, world: &World, now_us: i64, under_way: &dyn Fn(Key) -> bool) -> Vec<Effect> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for (number, frame) in &run.frames {
        for (at, task) in frame.tasks.iter().enumerate() {
            let key = Key { frame: *number, task: u32::try_from(at).unwrap_or(u32::MAX), attempt: task.attempt };
            if task.status == Status::Running
                && !under_way(key)
                && !run.held.contains(&key)
                && matches!(task.wait.as_deref(), Some(Wait::Call(_) | Wait::Generic(_)))
            {
                found.push((key.frame, key.task));
            }
        }
    }
    let mut step_ = Step { run: &mut *run, world, now_us, effects: Vec::new(), task_entries: Vec::new() };
    let mut doubtful = Vec::new();
    for (frame, task) in found {
        step_.again(frame, task, &mut doubtful);
    }
    let mut effects = std::mem::take(&mut step_.effects);
    for key in doubtful {
        let failure = Failure::new(FailureKind::InDoubt, "it is not known whether this was done: whoever did it stopped in between");
        effects.extend(step(run, world, now_us, Transition::Result { key, result: Err(failure) }));
    }
    if matches!(run.state, RunState::Running | RunState::Waiting) {
        effects.extend(step(run, world, now_us, Transition::Due));
    }
    effects
}

/// What a running task waits for, without what only polls need.
fn pending_of(task: &Task) -> Option<Pending> {
    match task.wait.as_deref()? {
        Wait::Call(pending) => Some(Pending { deadline_us: 0, ..(**pending).clone() }),
        Wait::Generic(generic) => {
            let mut arguments = generic.others.clone();
            if !generic.argument.is_empty() {
                arguments.insert(generic.argument.clone(), Value::String(generic.ids.join(",")));
            }
            Some(Pending { command: generic.command.clone(), brand: None, arguments, timeout_s: 0, deadline_us: 0 })
        }
        _ => None,
    }
}

impl Run {
    /// The command of a call that was held back.
    pub fn pending_command(&self, key: Key) -> Option<String> {
        Some(pending_of(self.task(key.frame, key.task)?)?.command)
    }

    /// A call that is committed and was held back; `None`: nobody waits for it any more.
    pub fn call_of(&self, key: Key, world: &World) -> Option<Call> {
        let state = self.task(key.frame, key.task).filter(|task| task.status == Status::Running && task.attempt == key.attempt)?;
        let Pending { command, brand, arguments, timeout_s, .. } = pending_of(state)?;
        let playbook = &self.frames.get(&key.frame)?.playbook;
        let program = self.pinned.get(playbook).and_then(|version| world.library.version(version));
        let task = program.and_then(|program| program.tasks.get(key.task as usize)).map(|node| node.id.clone()).unwrap_or_default();
        Some(Call { key, idempotency_key: self.idempotency_key(key), task, command, brand, arguments, timeout_s })
    }
}

impl Step<'_> {
    fn again(&mut self, frame: u32, task: u32, doubtful: &mut Vec<Key>) {
        let id = self.task_id(frame, task);
        let Some(state) = self.run.task(frame, task) else { return };
        let key = Key { frame, task, attempt: state.attempt };
        let Some(Pending { command, brand, arguments, timeout_s, .. }) = pending_of(state) else { return };
        let how = match self.world.ability(brand.as_deref(), &command) {
            // What changes nothing can be asked again.
            Ability::External(external) if !external.executes(&arguments) && external.by_method => OnUnknown::Retry,
            Ability::External(external) => external.on_unknown,
            Ability::StandIn => OnUnknown::Retry,
            Ability::Builtin(_) | Ability::Missing => OnUnknown::Fail,
        };
        match how {
            OnUnknown::Retry => {
                let call = Call { key, idempotency_key: self.run.idempotency_key(key), task: id, command, brand, arguments, timeout_s };
                self.effects.push(Effect::Call(call));
            }
            OnUnknown::Fail => doubtful.push(key),
            OnUnknown::Ask => {
                let subject = format!("was `{command}` done? whoever did it stopped in between");
                let ask = Ask {
                    key,
                    task: id.clone(),
                    name: subject.clone(),
                    kind: "approval".to_owned(),
                    to: String::new(),
                    subject,
                    body: "yes: do it (again). no: it counts as failed.".to_owned(),
                    replies: vec!["yes".to_owned(), "no".to_owned()],
                    questions: Vec::new(),
                    due_us: 0,
                    remind_us: 0,
                };
                if let Some(task) = self.run.task_mut(frame, task) {
                    task.status = Status::Approval;
                    if let Some(Wait::Generic(_)) = task.wait.as_deref() {
                        task.wait = Some(Box::new(Wait::Call(Box::new(Pending { command: command.clone(), brand, arguments, timeout_s, deadline_us: 0 }))));
                    }
                }
                self.entry(&id, &command, "warning", "it is not known whether this was done");
                self.effects.push(Effect::Ask(ask));
            }
        }
    }
}
