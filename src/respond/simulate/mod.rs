//! Room: runs without a world. Somebody answers in the place of commands and people, time passes
//! at once, and what happened is kept as a trace.

pub mod answers;
pub mod generate;
pub mod hints;
pub mod survey;

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::run::{Answer, Ask, Call, Edit, Effect, Entry, Failure, Happened, Output, REMINDER, Run, RunState, Transition, step};
use super::world::World;

/// Transitions of one simulated run (count): a run that has not ended by then will not.
pub const TRANSITIONS_MAX: usize = 50_000;
/// Simulated time of one run, in microseconds (a year).
const TIME_MAX_US: i64 = 366 * 86_400 * 1_000_000;
/// Lines of a trace that are kept.
const LINES_MAX: usize = 100_000;

/// Whoever answers in the place of commands and people.
pub trait Responder {
    /// What a command yields.
    fn call(&mut self, run: &Run, call: &Call) -> Result<Output, Failure>;
    /// What a person says; `None`: nobody answers.
    fn ask(&mut self, run: &Run, ask: &Ask) -> Option<Answer>;
}

/// What happened in a simulated run.
#[derive(Debug, Default)]
pub struct Trace {
    /// Tasks as they began and ended: playbook, task, what.
    pub lines: Vec<Line>,
    /// All that happened, in its order, as far as it is kept.
    pub all: Vec<Effect>,
    /// Calls in their order: command, arguments.
    pub calls: Vec<(String, Map<String, Value>)>,
    /// War room.
    pub entries: Vec<Entry>,
    /// Changes of incidents.
    pub edits: Vec<Edit>,
    /// Questions that nobody answered.
    pub open: Vec<Ask>,
    /// It did not come to an end.
    pub endless: bool,
    /// All is kept.
    pub keep: bool,
    /// Simulated time, in microseconds.
    pub took_us: i64,
}

/// A line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The playbook.
    pub playbook: String,
    /// Which turn of a playbook.
    pub frame: u32,
    /// The task's id.
    pub task: String,
    /// Its name.
    pub name: String,
    /// What happened.
    pub what: Happened,
}

/// Runs a playbook to its end, or to where it waits for a person who does not answer.
pub fn simulate(run: &mut Run, world: &World, responder: &mut dyn Responder, start_us: i64) -> Trace {
    simulate_into(Trace::default(), run, world, responder, start_us)
}

/// The same with all effects kept, for people to read.
pub fn simulate_whole(run: &mut Run, world: &World, responder: &mut dyn Responder, start_us: i64) -> Trace {
    simulate_into(Trace { keep: true, ..Trace::default() }, run, world, responder, start_us)
}

fn simulate_into(mut trace: Trace, run: &mut Run, world: &World, responder: &mut dyn Responder, start_us: i64) -> Trace {
    let mut now_us = start_us;
    let mut ahead = VecDeque::from([Transition::Begin]);
    for _ in 0..TRANSITIONS_MAX {
        let transition = match ahead.pop_front() {
            Some(transition) => transition,
            None if run.state.is_over() || run.state == RunState::Failed => return ended(trace, now_us, start_us),
            None => match run.wakes_at() {
                Some(at) if at - start_us <= TIME_MAX_US => {
                    now_us = at.max(now_us);
                    Transition::Due
                }
                _ => return ended(trace, now_us, start_us),
            },
        };
        for effect in step(run, world, now_us, transition) {
            if trace.keep && trace.all.len() < LINES_MAX {
                trace.all.push(effect.clone());
            }
            match effect {
                Effect::Call(call) => {
                    let result = responder.call(run, &call);
                    ahead.push_back(Transition::Result { key: call.key, result });
                    trace.calls.push((call.command, call.arguments));
                }
                Effect::Ask(ask) if ask.kind == REMINDER => {}
                Effect::Ask(ask) => match responder.ask(run, &ask) {
                    Some(answer) => ahead.push_back(Transition::Answer(answer)),
                    None => trace.open.push(ask),
                },
                Effect::Entry(entry) => trace.entries.push(entry),
                Effect::Edit(edit) => trace.edits.push(edit),
                Effect::Task(traced) if trace.lines.len() < LINES_MAX => {
                    if let Some(node) = traced.program.tasks.get(traced.task as usize) {
                        let line = Line {
                            playbook: traced.program.name.clone(),
                            frame: traced.frame,
                            task: node.id.clone(),
                            name: node.name.clone(),
                            what: traced.what,
                        };
                        trace.lines.push(line);
                    }
                }
                Effect::More => ahead.push_back(Transition::More),
                Effect::Task(_) | Effect::List(..) | Effect::Timer(_) | Effect::State(_) => {}
            }
        }
    }
    trace.endless = true;
    ended(trace, now_us, start_us)
}

fn ended(trace: Trace, now_us: i64, start_us: i64) -> Trace {
    Trace { took_us: now_us - start_us, ..trace }
}
