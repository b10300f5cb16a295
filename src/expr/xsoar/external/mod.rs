//! A user's own operators: executables that answer lines of JSON with lines of JSON. One process
//! per operator and worker; time, memory and answers are bounded, the environment is empty.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::env::{Call, Scripts};
use super::fault::Fault;

mod process;

use process::{Broken, Process};

/// Calls that are sent before their answers are awaited.
const CALLS_MAX: usize = 4096;
/// Bytes of calls that are sent before their answers are awaited.
const SENT_MAX: usize = 8 << 20;
/// After a failure a script rests: twice as long each time, up to this.
const REST_MAX: Duration = Duration::from_secs(60);

/// What a script may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time until a batch of calls is answered.
    pub timeout: Duration,
    /// Bytes of address space.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { timeout: Duration::from_secs(10), memory: 1 << 30 }
    }
}

/// An executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// It takes lists as a whole; else item by item.
    pub whole: bool,
}

/// The executables of a run, by the name of their operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Programs {
    /// Name → executable.
    pub list: HashMap<String, Program>,
    /// What each may use.
    pub limits: Limits,
}

/// The processes of one thread.
#[derive(Debug)]
pub struct Processes {
    programs: Arc<Programs>,
    states: RefCell<HashMap<String, State>>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Process>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Processes {
    /// Processes are started when they are needed.
    pub fn new(programs: Arc<Programs>) -> Processes {
        Processes { programs, states: RefCell::new(HashMap::new()) }
    }

    /// True if they are processes of these programs.
    pub fn are_of(&self, programs: &Arc<Programs>) -> bool {
        Arc::ptr_eq(&self.programs, programs)
    }

    /// Sends a chunk of calls and awaits their answers.
    fn chunk(&self, name: &str, program: &Program, state: &mut State, calls: &[Call], answers: &mut Vec<Result<Value, Fault>>) {
        let fault = |what: &str| Fault::Script { name: name.to_owned(), what: what.to_owned() };
        if state.rests_until.is_some_and(|until| Instant::now() < until) {
            answers.extend(calls.iter().map(|_| Err(fault("it failed; it is started again in a while"))));
            return;
        }
        let limits = self.programs.limits;
        let deadline = Instant::now() + limits.timeout;
        let before = answers.len();
        let result = exchange(state, program, limits, calls, deadline, |line| answers.push(answer(name, line)));
        match result {
            Ok(()) => state.failures = 0,
            Err(broken) => {
                // What it would still say belongs to no call any more.
                state.process = None;
                state.failures = state.failures.saturating_add(1);
                let rest = Duration::from_secs(1u64.checked_shl(state.failures - 1).unwrap_or(u64::MAX)).min(REST_MAX);
                state.rests_until = Some(Instant::now() + rest);
                tracing::warn!(script = name, "{broken}; it rests for {} s", rest.as_secs());
                let missing = calls.len() - (answers.len() - before);
                answers.extend((0..missing).map(|_| Err(fault(&broken.to_string()))));
            }
        }
    }
}

fn exchange(state: &mut State, program: &Program, limits: Limits, calls: &[Call], deadline: Instant, mut see: impl FnMut(&[u8])) -> Result<(), Broken> {
    let mut lines = Vec::new();
    for call in calls {
        let line = json!({ "value": call.value, "args": call.args });
        serde_json::to_writer(&mut lines, &line).map_err(|_| Broken::Ended)?;
        lines.push(b'\n');
    }
    let process = match &mut state.process {
        Some(process) => process,
        none => none.insert(Process::start(program, limits)?),
    };
    process.send(lines)?;
    let mut room = process::ANSWERS_MAX;
    for _ in calls {
        let line = process.line(deadline)?;
        room = room.checked_sub(line.len()).ok_or(Broken::TooMuch)?;
        see(&line);
    }
    Ok(())
}

/// `{"value": …}`, or `{"error": "…"}`.
fn answer(name: &str, line: &[u8]) -> Result<Value, Fault> {
    let fault = |what: &str| Fault::Script { name: name.to_owned(), what: what.to_owned() };
    let Ok(Value::Object(mut members)) = serde_json::from_slice(line) else { return Err(fault("its answer is no JSON object on a line")) };
    match (members.remove("value"), members.contains_key("error")) {
        // The text is the script's, and may hold values of the event.
        (_, true) => Err(fault("it answers with an error")),
        (Some(value), false) => Ok(value),
        (None, false) => Err(fault("its answer has neither `value` nor `error`")),
    }
}

impl Scripts for Processes {
    fn run(&self, name: &str, calls: &[Call]) -> Vec<Result<Value, Fault>> {
        let Some(program) = self.programs.list.get(name) else {
            let fault = Fault::Script { name: name.to_owned(), what: "no scripts are set up".to_owned() };
            return calls.iter().map(|_| Err(fault.clone())).collect();
        };
        let mut states = self.states.borrow_mut();
        let state = states.entry(name.to_owned()).or_default();
        let mut answers = Vec::with_capacity(calls.len());
        let mut rest = calls;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |call: &&Call| {
                bytes += call.bytes;
                bytes <= SENT_MAX
            };
            let count = rest.iter().take(CALLS_MAX).take_while(fits).count().max(1);
            let (chunk, after) = rest.split_at(count);
            self.chunk(name, program, state, chunk, &mut answers);
            rest = after;
        }
        answers
    }
}

/// Runs a script on values: on each as a whole, or on the items of lists, whose answers are
/// flattened by one level, as transformers are.
pub fn apply(scripts: &dyn Scripts, name: &str, whole: bool, values: &[&Value], args: &Map<String, Value>) -> Vec<Result<Value, Fault>> {
    let mut calls = Vec::new();
    let counts: Vec<Option<usize>> = values
        .iter()
        .map(|value| match value {
            Value::Array(items) if !whole => {
                calls.extend(items.iter().map(|item| Call::new(item.clone(), args.clone())));
                Some(items.len())
            }
            value => {
                calls.push(Call::new((*value).clone(), args.clone()));
                None
            }
        })
        .collect();
    let mut answers = scripts.run(name, &calls).into_iter();
    let missing = || Err(Fault::Script { name: name.to_owned(), what: "it gave no answer".to_owned() });
    counts
        .into_iter()
        .map(|count| {
            let Some(count) = count else { return answers.next().unwrap_or_else(missing) };
            let mut out = Vec::with_capacity(count);
            let mut fault = None;
            for _ in 0..count {
                match answers.next().unwrap_or_else(missing) {
                    Ok(Value::Array(inner)) => out.extend(inner),
                    Ok(other) => out.push(other),
                    Err(failed) => fault = fault.or(Some(failed)),
                }
            }
            fault.map_or(Ok(Value::Array(out)), Err)
        })
        .collect()
}
