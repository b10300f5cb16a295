//! Owns how a run is told to people, line by line.

use super::super::output::{Style, style};
use super::super::text::visible;
use crate::respond::run::{Ask, Edit, Effect, Entry, Happened, REMINDER, Run, RunState};

/// Prints what happens.
pub fn print(effect: &Effect, verbose: bool) {
    match effect {
        Effect::Task(traced) => {
            let Some(node) = traced.program.tasks.get(traced.task as usize) else { return };
            let indent = "  ".repeat(usize::try_from(traced.frame.min(1)).unwrap_or(0));
            let name = format!("{indent}{:>4} {}", node.id, visible(&node.name));
            match &traced.what {
                Happened::Started => println!("{} {name}", style("▸", Style::Dim)),
                Happened::Done(Some(label)) if !label.starts_with('#') => println!("{} {name}: {}", style("✓", Style::Good), visible(label)),
                Happened::Done(_) => {}
                Happened::Failed(kind) => println!("{} {name}: {}", style("✗", Style::Bad), kind.name()),
            }
        }
        Effect::Entry(entry) => self::entry(entry, verbose),
        // The entry beside it says so.
        Effect::Ask(ask) if ask.kind == REMINDER => {}
        Effect::Ask(ask) => question(ask),
        Effect::Edit(edit) => println!("       {}", style(&visible(&edit_text(edit)), Style::Head)),
        Effect::Timer(fact) => println!("       timer {} {}", visible(&fact.field), fact.what),
        _ => {}
    }
}

/// An entry of the war room.
pub fn entry(entry: &Entry, verbose: bool) {
    let tone = match entry.kind.as_str() {
        "error" => Style::Bad,
        "warning" => Style::Warn,
        "note" | "evidence" => Style::Head,
        _ => Style::Dim,
    };
    let text = if verbose { entry.text.as_str() } else { entry.text.lines().next().unwrap_or_default() };
    for line in text.lines() {
        println!("       {}", style(&visible(line), tone));
    }
}

/// What a person is asked.
pub fn question(ask: &Ask) {
    println!("{} {:>4} {} waits for a person ({})", style("?", Style::Warn), ask.task, visible(&ask.name), ask.kind);
    for text in [&ask.subject, &ask.body].into_iter().filter(|text| !text.is_empty()) {
        text.lines().take(20).for_each(|line| println!("       {}", visible(line)));
    }
    if !ask.replies.is_empty() {
        println!("       answers: {}", visible(&ask.replies.join(" / ")));
    }
    for (id, label, _, options) in &ask.questions {
        println!("       {id}: {} {}", visible(label), visible(&options.join(" / ")));
    }
}

/// A change of an incident on one line.
pub fn edit_text(edit: &Edit) -> String {
    let of = |incident: &Option<String>| incident.as_ref().map(|id| format!(" of incident {id}")).unwrap_or_default();
    match edit {
        Edit::Set { incident, fields } => format!("set{} {}", of(incident), serde_json::Value::Object(fields.clone())),
        Edit::Close { incident, reason, notes } => format!("close{}: {reason} {notes}", of(incident)),
        Edit::Reopen { incident } => format!("reopen{}", of(incident)),
        Edit::Link { action, incident, others } => format!("{action} {incident} with {}", others.join(", ")),
        Edit::Create { id, .. } => format!("create incident {id}"),
        Edit::Playbook { name } => format!("the playbook {name} takes over"),
    }
}

/// How a run ended.
pub fn end(run: &Run) {
    let tone = match run.state {
        RunState::Completed => Style::Good,
        RunState::Failed | RunState::Cancelled => Style::Bad,
        _ => Style::Warn,
    };
    let reason = if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) };
    println!("{}{}", style(run.state.name(), tone), visible(&reason));
}
