//! Owns named lists: reading those of the packs, and changing them for this run and the stream.

use serde_json::{Map, Value};

use super::{Args, Builtin, Did, told, wrong};
use crate::expr::xsoar::value::text_of;
use crate::respond::limits::LISTS_BYTES_MAX;
use crate::respond::run::{Effect, Failure, FailureKind, Output, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "getList", required: &["listName"], run: get },
    Builtin { name: "createList", required: &["listName", "listData"], run: create },
    Builtin { name: "setList", required: &["listName", "listData"], run: overwrite },
    Builtin { name: "addToList", required: &["listName", "listData"], run: add },
    Builtin { name: "removeFromList", required: &["listName", "listData"], run: remove },
];

/// The text of a list as this run sees it.
pub(super) fn text(step: &Step<'_>, name: &str) -> Option<String> {
    step.run.lists.get(name).cloned().or_else(|| step.world.list(name).map(|value| text_of(&value)))
}

fn existing(step: &Step<'_>, name: &str) -> Result<String, Failure> {
    text(step, name).ok_or_else(|| wrong(format!("there is no list `{name}`")))
}

fn write(step: &mut Step<'_>, name: String, text: String) -> Result<Did, Failure> {
    let others: usize = step.run.lists.iter().filter(|(known, _)| **known != name).map(|(_, text)| text.len()).sum();
    if others + text.len() > LISTS_BYTES_MAX {
        return Err(Failure::new(FailureKind::Bound, format!("a run changes at most {} KiB of lists", LISTS_BYTES_MAX >> 10)));
    }
    step.effects.push(Effect::List(name.clone(), text.clone()));
    let readable = format!("list `{name}` was written");
    step.run.lists.insert(name, text);
    told(readable)
}

fn get(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listName");
    let text = existing(step, &name)?;
    Ok(Did::Done(Output { contents: Value::from(text.clone()), readable: text, context: Map::new(), poll: None }))
}

fn create(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    write(step, args.text("listName"), args.text("listData"))
}

fn overwrite(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listName");
    existing(step, &name)?;
    write(step, name, args.text("listData"))
}

/// What stands between the items: a comma, or a new line where there is one.
fn separator(text: &str) -> &'static str {
    if text.contains('\n') { "\n" } else { "," }
}

fn add(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listName");
    let old = existing(step, &name)?;
    let new = args.texts("listData").join(separator(&old));
    let text = if old.is_empty() { new } else { format!("{old}{}{new}", separator(&old)) };
    write(step, name, text)
}

fn remove(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listName");
    let old = existing(step, &name)?;
    let gone = args.texts("listData");
    let separator = separator(&old);
    let left: Vec<&str> = old.split(separator).filter(|item| !gone.iter().any(|gone| gone == item.trim())).collect();
    let text = left.join(separator);
    write(step, name, text)
}
