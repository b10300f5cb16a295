//! Owns what writes into the war room and reads from it.

use serde_json::{Map, Value};

use super::{Args, Builtin, Did, told, wrong};
use crate::respond::run::{Failure, FailureKind, Output, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "Print", required: &[], run: print },
    Builtin { name: "PrintErrorEntry", required: &["message"], run: print_error },
    Builtin { name: "commentsToContext", required: &["contextKey", "entryId"], run: comments },
    Builtin { name: "getEntry", required: &["id"], run: get_entry },
    Builtin { name: "AddEvidence", required: &["entryIDs"], run: evidence },
    Builtin { name: "GenerateInvestigationSummaryReport", required: &[], run: report },
    Builtin { name: "DisplayHTML", required: &["html"], run: display },
];

fn print(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let text = args.text("value");
    Ok(Did::Done(Output { contents: Value::from(text.clone()), readable: text, ..Output::default() }))
}

fn display(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    told(args.text("html"))
}

fn print_error(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    Err(Failure::new(FailureKind::Said, args.text("message")))
}

fn comments(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let ids = args.texts("entryId");
    let texts: Vec<String> = step.run.recent.iter().filter(|entry| ids.contains(&entry.id)).map(|entry| entry.text.clone()).collect();
    let value = match args.some("listSeperator") {
        Some(separator) => texts.iter().flat_map(|text| text.split(separator.as_str())).map(|part| part.trim().to_owned()).collect::<Vec<_>>().into(),
        None => Value::from(texts.join("\n")),
    };
    let context = Map::from_iter([(args.text("contextKey"), value)]);
    Ok(Did::Done(Output { context, ..Output::default() }))
}

fn get_entry(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let id = args.text("id");
    let text = step.run.recent.iter().find(|entry| entry.id == id).map(|entry| entry.text.clone());
    let text = text.ok_or_else(|| wrong("there is no such entry among the newest ones of this run"))?;
    Ok(Did::Done(Output { contents: Value::from(text.clone()), readable: text, ..Output::default() }))
}

fn evidence(step: &mut Step<'_>, frame: u32, task: u32, args: &Args) -> Result<Did, Failure> {
    let ids = args.texts("entryIDs").join(", ");
    let text = match args.some("desc") {
        Some(description) => format!("{description} (entries {ids})"),
        None => format!("entries {ids}"),
    };
    let id = step.task_id(frame, task);
    step.entry(&id, "AddEvidence", "evidence", &text);
    Ok(Did::Done(Output::default()))
}

/// What is known of the incident and the newest entries, as Markdown.
fn report(step: &mut Step<'_>, _: u32, _: u32, _: &Args) -> Result<Did, Failure> {
    let text = |name: &str| step.run.incident.get(name).map(crate::expr::xsoar::value::text_of).unwrap_or_default();
    let mut out = format!("# {}\n\n", text("name"));
    for name in ["id", "type", "severity", "owner", "occurred", "status", "closeReason", "closeNotes"] {
        let value = text(name);
        if !value.is_empty() {
            out.push_str(&format!("- {name}: {value}\n"));
        }
    }
    out.push_str("\n## What was done\n\n");
    for entry in &step.run.recent {
        let line = entry.text.lines().next().unwrap_or_default();
        out.push_str(&format!("- {}{line}\n", if entry.error { "error: " } else { "" }));
    }
    Ok(Did::Done(Output { contents: Value::from(out.clone()), readable: out, ..Output::default() }))
}
