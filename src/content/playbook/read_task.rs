//! Owns how a task is read: which flavour it is, and what belongs to it.

use crate::config::node::Node;
use crate::config::read::shortened;
use crate::config::source_map::Spanned;
use crate::content::argument::{Conditions, Expression};
use crate::content::read::{Keys, Reader};

use super::message::{Form, Message};
use super::task::{Action, Automation, Branch, Command, OnError, Options, Quiet, Repeat, Task, Timer, Until};

const WITHOUT_EFFECT: [&str; 14] = [
    "id",
    "taskid",
    "view",
    "ignoreworker",
    "isoversize",
    "isautoswitchedtoquietmode",
    "timelineRecord",
    "playbooktaskmissingcomponent",
    "defaultassignee",
    "quickactions",
    "aitask",
    "automationaction",
    "slaactions",
    "issystemtask",
];
const TEMPLATE_WITHOUT_EFFECT: [&str; 8] = ["id", "version", "type", "clonedfrom", "elasticcommonfields", "automationid", "playbookid", "isautonomous"];

/// Runs of a repeated sub-playbook where nothing is said.
const REPEAT_MAX_DEFAULT: i64 = 100;

/// Reads a task; `None` if it cannot be used (reported).
pub fn read(id: &Spanned<String>, node: &Node, reader: &mut Reader<'_>) -> Option<Task> {
    let Some(mut keys) = Keys::open(node, "a task", reader) else {
        reader.error("task", format!("task `{}` is not a mapping", shortened(&id.value)), id.span);
        return None;
    };
    let mut task = Task { id: id.value.clone(), span: id.span, ..Task::default() };
    let kind = keys.text("type", reader);
    let template = keys.get("task").and_then(|node| Keys::open(node, "`task`", reader));
    let action = action(id, &kind, &mut keys, template, &mut task, reader);
    for (label, node) in keys.entries("nexttasks", reader) {
        let mut targets = Vec::new();
        for node in reader.list(node, "`nexttasks`") {
            targets.extend(reader.text(node, "the id of a task").map(|id| Spanned::new(id, node.span)));
        }
        task.next.push((label.clone(), targets));
    }
    let mut usable = arguments(&mut keys, &mut task, reader);
    task.separate_context = keys.get("separatecontext").is_none_or(|node| reader.truth(node, "`separatecontext`").unwrap_or(true));
    task.on_error = on_error(&mut keys, reader);
    task.skip_unavailable = keys.truth("skipunavailable", reader);
    task.quiet = match keys.whole("quietmode", reader) {
        Some(1) => Quiet::On,
        Some(2) => Quiet::Off,
        _ => Quiet::Inherit,
    };
    task.note = keys.truth("note", reader);
    task.extraction = keys.whole("reputationcalc", reader).unwrap_or(0);
    for node in keys.list("fieldMapping", reader) {
        let Some(mut mapping) = Keys::open(node, "`fieldMapping`", reader) else { continue };
        let field = mapping.spanned("incidentfield", reader);
        let output = mapping.get("output").and_then(|node| Expression::read(node, "`output`", reader));
        mapping.close(&[], reader);
        task.field_mapping.extend(field.zip(output));
    }
    for node in keys.list("timertriggers", reader) {
        let Some(mut timer) = Keys::open(node, "`timertriggers`", reader) else { continue };
        if let Some(field) = timer.spanned("fieldname", reader) {
            task.timers.push(Timer { field, action: timer.text("action", reader) });
        }
    }
    task.assignee = Expression::maybe(keys.get("defaultassigneecomplex"), "`defaultassigneecomplex`", reader);
    task.restricted = keys.truth("restrictedcompletion", reader);
    task.sla_minutes = minutes(keys.get("sla"), reader);
    task.reminder_minutes = minutes(keys.get("slareminder"), reader);
    task.results = keys.texts("results", reader);
    if let Some(mut evidence) = keys.get("evidencedata").and_then(|node| Keys::open(node, "`evidencedata`", reader)) {
        task.evidence = evidence.get("description").and_then(|node| Expression::read(node, "`description`", reader));
        evidence.close(&["occurred", "tags", "customfields"], reader);
    }
    match keys.get("loop").map(|node| repeat(node, reader)) {
        Some(Ok(found)) => task.repeat = found,
        Some(Err(())) => usable = false,
        None => {}
    }
    keys.close(&WITHOUT_EFFECT, reader);
    task.action = action?;
    usable.then_some(task)
}

/// What it does. Flavours are told by what is there, since exports differ in `type`.
fn action(id: &Spanned<String>, kind: &str, keys: &mut Keys<'_>, template: Option<Keys<'_>>, task: &mut Task, reader: &mut Reader<'_>) -> Option<Action> {
    let mut automation = None;
    let mut playbook = None;
    if let Some(mut template) = template {
        task.name = template.text("name", reader);
        task.description = template.text("description", reader);
        task.tags = template.texts("tags", reader);
        let is_command = template.truth("iscommand", reader);
        let brand = template.maybe_text("brand", reader);
        let script = template.spanned("script", reader);
        let script = template.spanned("scriptName", reader).or(script);
        automation = script.and_then(|script| automation_of(script, is_command, brand));
        let by_id = template.spanned("playbookId", reader);
        playbook = template.spanned("playbookName", reader).or(by_id);
        template.close(&TEMPLATE_WITHOUT_EFFECT, reader);
    }
    let conditions = keys.get("conditions");
    let message = keys.get("message").and_then(|node| Message::read(node, reader));
    let form = keys.get("form").and_then(|node| Form::read(node, reader));
    Some(match kind {
        "start" => Action::Start,
        "title" | "section" => Action::Title,
        "playbook" => match playbook {
            Some(name) => Action::Playbook(name),
            None => {
                reader.error("task", format!("task `{}` runs a playbook, but names none", shortened(&id.value)), id.span);
                return None;
            }
        },
        "collection" => Action::Collect(Box::new(form.unwrap_or_default()), message.map(Box::new)),
        "condition" => match (conditions, automation, message) {
            (Some(node), _, _) => Action::Condition(branches(node, reader)?),
            (None, Some(automation), _) => Action::ConditionBy(automation),
            (None, None, Some(message)) if !message.replies.is_empty() => Action::Ask(Box::new(message)),
            _ => Action::Decide,
        },
        "regular" | "standard" | "" => match automation {
            Some(Automation::Command(command)) => Action::Command(command),
            Some(Automation::Script(name)) => Action::Script(name),
            None => match playbook {
                Some(name) => Action::Playbook(name),
                None => Action::Manual,
            },
        },
        _ => {
            reader.error("task", format!("task `{}` is of the type `{}`, which is not known", shortened(&id.value), shortened(kind)), id.span);
            return None;
        }
    })
}

/// `Brand|||command`, `|||command`, or the name of a script.
fn automation_of(script: Spanned<String>, is_command: bool, brand: Option<String>) -> Option<Automation> {
    match script.value.split_once("|||") {
        Some((_, "")) => None,
        Some((owner, name)) => {
            let owner = (!owner.is_empty()).then(|| owner.to_owned());
            Some(Automation::Command(Command { brand: owner, name: Spanned::new(name.to_owned(), script.span) }))
        }
        None if is_command => Some(Automation::Command(Command { brand, name: script })),
        None => Some(Automation::Script(script)),
    }
}

fn branches(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<Branch>> {
    let mut found = Vec::new();
    let mut usable = true;
    for node in reader.list(node, "`conditions`") {
        let Some(mut keys) = Keys::open(node, "a condition", reader) else { continue };
        let label = keys.spanned("label", reader);
        let when = keys.get("condition").map_or(Some(Conditions::default()), |node| Conditions::read(node, "`condition`", reader));
        let head = keys.head();
        keys.close(&[], reader);
        match (label, when) {
            (Some(label), Some(when)) => found.push(Branch { label, when }),
            (None, _) => reader.warn("missing-key", "a condition without `label`; passed over", head),
            (_, None) => usable = false,
        }
    }
    usable.then_some(found)
}

/// Arguments, the special ones apart. False if one could not be read.
fn arguments(keys: &mut Keys<'_>, task: &mut Task, reader: &mut Reader<'_>) -> bool {
    let mut usable = true;
    for (name, node) in keys.entries("scriptarguments", reader) {
        let Some(value) = Expression::read(node, &format!("`{}`", shortened(&name.value)), reader) else {
            usable = false;
            continue;
        };
        match special(&mut task.options, &name.value) {
            Some(slot) => *slot = (!value.argument.is_unset()).then_some(value),
            None => task.arguments.push((name.clone(), value)),
        }
    }
    usable
}

fn special<'o>(options: &'o mut Options, name: &str) -> Option<&'o mut Option<Expression>> {
    Some(match name {
        "extend-context" => &mut options.extend_context,
        "ignore-outputs" => &mut options.ignore_outputs,
        "using" => &mut options.using,
        "using-brand" => &mut options.using_brand,
        "execution-timeout" => &mut options.execution_timeout,
        "retry-count" => &mut options.retry_count,
        "retry-interval" => &mut options.retry_interval,
        "raw-response" => &mut options.raw_response,
        "auto-extract" => &mut options.auto_extract,
        _ => return None,
    })
}

fn on_error(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> OnError {
    let goes_on = keys.truth("continueonerror", reader);
    match keys.text("continueonerrortype", reader).as_str() {
        "errorPath" if goes_on => OnError::ErrorPath,
        _ if goes_on => OnError::Continue,
        _ => OnError::Stop,
    }
}

/// `{weeks, days, hours, minutes}` in minutes.
fn minutes(node: Option<&Node>, reader: &mut Reader<'_>) -> i64 {
    let Some(mut keys) = node.and_then(|node| Keys::open(node, "`sla`", reader)) else { return 0 };
    let mut sum = 0;
    for (key, unit) in [("weeks", 7 * 24 * 60), ("days", 24 * 60), ("hours", 60), ("minutes", 1)] {
        sum += keys.whole(key, reader).unwrap_or(0).clamp(0, 1_000_000) * unit;
    }
    sum
}

/// A `loop`; one without a condition is what every export has, and means none.
fn repeat(node: &Node, reader: &mut Reader<'_>) -> Result<Option<Repeat>, ()> {
    let Some(mut keys) = Keys::open(node, "`loop`", reader) else { return Ok(None) };
    let each = keys.truth("forEach", reader);
    let script = keys.spanned("scriptId", reader);
    let answer = keys.text("exitCondition", reader);
    let condition = keys.get("builtincondition").filter(|node| !matches!(&node.value, crate::config::node::Value::List(items) if items.is_empty()));
    let wait_seconds = keys.whole("wait", reader).unwrap_or(0).max(0);
    let max = keys.whole("max", reader).filter(|max| *max > 0).unwrap_or(REPEAT_MAX_DEFAULT);
    let mut given = Vec::new();
    for (name, node) in keys.entries("scriptArguments", reader) {
        given.push((name.clone(), Expression::read(node, &format!("`{}`", shortened(&name.value)), reader).ok_or(())?));
    }
    keys.close(&["iscommand", "brand", "scriptName"], reader);
    let until = match (each, condition, script) {
        (true, _, _) => Until::ForEach,
        (false, Some(node), _) => Until::Holds(Conditions::read(node, "`builtincondition`", reader).ok_or(())?),
        (false, None, Some(script)) => Until::Says { script, arguments: given, answer: if answer.is_empty() { "yes".to_owned() } else { answer } },
        (false, None, None) => return Ok(None),
    };
    Ok(Some(Repeat { wait_seconds, max, until }))
}
