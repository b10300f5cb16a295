//! Owns the commands for SLA timers.

use super::{Args, Builtin, Did, told, wrong};
use crate::respond::run::{Failure, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "startTimer", required: &["timerField"], run: start },
    Builtin { name: "pauseTimer", required: &["timerField"], run: pause },
    Builtin { name: "stopTimer", required: &["timerField"], run: stop },
    Builtin { name: "resetTimer", required: &["timerField"], run: reset },
];

fn act(step: &mut Step<'_>, args: &Args, action: &str) -> Result<Did, Failure> {
    if args.some("incidentId").is_some_and(|id| id != step.run.incident_id()) {
        return Err(wrong("timers of other incidents cannot be changed from here"));
    }
    let field = args.text("timerField");
    step.timer(&field, action).map_err(wrong)?;
    told(format!("timer `{field}`: {action}"))
}

fn start(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    act(step, args, "start")
}

fn pause(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    act(step, args, "pause")
}

fn stop(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    act(step, args, "stop")
}

fn reset(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    act(step, args, "reset")
}
