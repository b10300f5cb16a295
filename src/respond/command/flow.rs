//! Owns commands about the run itself: waiting, polling, other tasks, people; and scripts that
//! only hand on to another command.

use serde_json::{Map, Value, json};

use super::{Args, Builtin, Did, generic, told, wrong};
use crate::respond::run::{Answer, Edit, Effect, Failure, Output, Status, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "Sleep", required: &["seconds"], run: sleep },
    Builtin { name: "ScheduleGenericPolling", required: &["ids", "dt", "pollingCommand", "pollingCommandArgName"], run: schedule_polling },
    Builtin { name: "scheduleEntry", required: &["command"], run: schedule_entry },
    Builtin { name: "StopScheduledTask", required: &["taskID"], run: stop_scheduled },
    Builtin { name: "taskComplete", required: &["id"], run: task_complete },
    Builtin { name: "setPlaybook", required: &["name"], run: set_playbook },
    Builtin { name: "getUsers", required: &[], run: get_users },
    Builtin { name: "SendEmail", required: &["to"], run: send_email },
    Builtin { name: "FileReputation", required: &["file"], run: file_reputation },
    Builtin { name: "IPReputation", required: &["ip"], run: ip_reputation },
    Builtin { name: "URLReputation", required: &["url"], run: url_reputation },
    Builtin { name: "DomainReputation", required: &["domain"], run: domain_reputation },
    Builtin { name: "EmailReputation", required: &["email"], run: email_reputation },
    Builtin { name: "FindSimilarIncidents", required: &[], run: find_similar },
];

fn sleep(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let seconds = args.number("seconds").filter(|seconds| *seconds >= 0.0).ok_or_else(|| wrong("`seconds` is no number"))?;
    Ok(Did::Sleep(seconds as i64))
}

fn schedule_polling(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    generic::from_arguments(args.all(), step.now_us).map(|generic| Did::Generic(Box::new(generic)))
}

/// `!command a=b`, every so many minutes of a cron line, so many times.
fn schedule_entry(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    generic::from_entry(&args.text("command"), &args.text("cron"), args.number("times").unwrap_or(1.0), step.now_us)
        .map(|generic| Did::Generic(Box::new(generic)))
}

fn stop_scheduled(step: &mut Step<'_>, frame: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let id = args.text("taskID");
    let Some(program) = step.program_at(frame) else { return told("nothing is scheduled under that id") };
    let at = program.task(&id).and_then(|at| u32::try_from(at).ok());
    match at.filter(|at| step.run.task(frame, *at).is_some_and(|task| task.status == Status::Sleeping)) {
        Some(at) => {
            step.end_waiting(frame, at, &program);
            told(format!("task {id} no longer waits"))
        }
        None => told("nothing is scheduled under that id"),
    }
}

fn task_complete(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let answer = Answer {
        task: args.text("id"),
        actor: format!("playbook:{}", step.run.playbook),
        label: args.text("input"),
        comment: args.text("comment"),
        ..Answer::default()
    };
    step.answer_from_inside(answer);
    told(format!("task {} was completed", args.text("id")))
}

fn set_playbook(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("name");
    step.effects.push(Effect::Edit(Edit::Playbook { name: name.clone() }));
    told(format!("the playbook `{name}` takes over"))
}

fn get_users(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let roles = args.texts("roles");
    let (online, on_call) = (args.flag("online").unwrap_or(false), args.flag("onCall").unwrap_or(false));
    let fits = |user: &&crate::respond::world::User| {
        (roles.is_empty() || user.roles.iter().any(|role| roles.contains(role))) && (!online || user.online) && (!on_call || user.on_call)
    };
    let found: Vec<Value> =
        step.world.users.iter().filter(fits).map(|user| json!({ "username": user.name, "email": user.email, "roles": user.roles })).collect();
    let context = Map::from_iter([("Users".to_owned(), Value::Array(found.clone()))]);
    Ok(Did::Done(Output { context, readable: format!("{} users", found.len()), contents: Value::Array(found), poll: None }))
}

fn instead(command: &str, arguments: impl IntoIterator<Item = (&'static str, Value)>) -> Result<Did, Failure> {
    Ok(Did::Instead(command.to_owned(), arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn send_email(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let given = |name: &'static str| args.value(name).cloned().map(|value| (name, value));
    instead("send-mail", ["to", "cc", "bcc", "subject", "body", "htmlBody", "replyTo"].into_iter().filter_map(given))
}

fn same(command: &'static str, args: &Args) -> Result<Did, Failure> {
    instead(command, args.value(command).cloned().map(|value| (command, value)))
}

fn file_reputation(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    same("file", args)
}

fn ip_reputation(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    same("ip", args)
}

fn url_reputation(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    same("url", args)
}

fn domain_reputation(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    same("domain", args)
}

fn email_reputation(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    same("email", args)
}

/// Earlier incidents are not the engine's: whoever can search them registers this command.
fn find_similar(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    Ok(Did::Instead("incidents-find-similar".to_owned(), args.all().clone()))
}
