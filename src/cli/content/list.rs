//! `catchment content list`: what is in packs.

use std::path::PathBuf;

use serde_json::json;

use super::super::Answer;
use super::super::output::table;
use super::super::text::visible;
use super::{Meant, many};
use crate::content::{Body, Content, Item};
use crate::error::Error;

/// `content list`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment content list packs/\n  catchment content list packs/ --kind classifier --json\n\nExit codes: 0 done; 1 nothing found; 2 could not be done."
)]
pub struct ListArgs {
    /// Packs, directories of packs, files
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only kinds whose name contains this: classifier, mapper, type, field, layout, list, playbook, …
    #[arg(long, value_name = "TEXT")]
    pub kind: Option<String>,
    /// Only items whose id or name contains this, in any case
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// As JSON, one object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub meant: Meant,
}

/// Runs the command.
pub fn run(args: &ListArgs) -> Result<Answer, Error> {
    let (content, _) = super::read(&args.paths, &args.meant)?;
    let wanted = args.filter.as_ref().map(|text| text.to_lowercase());
    let mut chosen: Vec<&Item> = content
        .items
        .iter()
        .filter(|item| args.kind.as_ref().is_none_or(|kind| item.kind.as_str().contains(kind.to_lowercase().as_str())))
        .filter(|item| wanted.as_ref().is_none_or(|text| [&item.head.id, &item.head.name].iter().any(|name| name.to_lowercase().contains(text))))
        .collect();
    chosen.sort_by_key(|item| item.kind);
    if args.json {
        for item in &chosen {
            println!("{}", row_json(&content, item));
        }
    } else {
        let mut rows = table(&["kind", "id", "what", "pack"], &[]);
        for item in &chosen {
            let pack = pack(&content, item);
            let window = if content.in_window(item) { String::new() } else { format!(" (for {})", item.head.window) };
            rows.add_row([item.kind.as_str().to_owned(), format!("{}{window}", visible(&item.head.id)), what(item), visible(pack).into_owned()]);
        }
        if rows.row_count() > 0 {
            println!("{rows}");
        }
    }
    if chosen.is_empty() {
        eprintln!("no item in {} fits", many(content.packs.len(), "pack"));
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

fn pack<'c>(content: &'c Content, item: &Item) -> &'c str {
    item.pack.and_then(|pack| content.packs.get(pack)).map_or("", |pack| pack.name.as_str())
}

fn row_json(content: &Content, item: &Item) -> serde_json::Value {
    json!({
        "kind": item.kind.as_str(),
        "id": item.head.id,
        "name": item.head.name,
        "what": what(item),
        "versions": item.head.window.to_string(),
        "used": content.in_window(item),
        "pack": pack(content, item),
        "loads": item.body.is_some(),
    })
}

/// A few words about an item.
fn what(item: &Item) -> String {
    let Some(body) = &item.body else { return "does not load".to_owned() };
    match body {
        Body::Classifier(classifier) | Body::Legacy(classifier, _) => {
            let default = classifier.default_type.as_ref().map(|name| format!(", else {}", visible(&name.value))).unwrap_or_default();
            format!("{}{default}", many(classifier.types.len(), "key"))
        }
        Body::Mapper(mapper) => {
            let fields: usize = mapper.sections.iter().map(|section| section.entries.len()).sum();
            format!("{} in {}", many(fields, "field"), many(mapper.sections.len(), "section"))
        }
        Body::Rule(rule) => format!("{}{}", rule.action.as_str(), if rule.enabled { "" } else { ", disabled" }),
        Body::Type(incident_type) => incident_type.playbook.as_ref().map(|name| format!("playbook {}", visible(&name.value))).unwrap_or_default(),
        Body::Field(field) => format!("{} {}", field.cli_name, field.kind.as_str()),
        Body::Layout(layout) => layout.views.iter().map(|view| view.kind.as_str()).collect::<Vec<_>>().join(", "),
        Body::List(list) => format!("{}, {}", list.format, many(list.data.len(), "byte")),
        Body::Playbook(playbook) => {
            let [tasks, inputs, outputs] = [playbook.tasks.len(), playbook.inputs.len(), playbook.outputs.len()];
            format!("{}, {}, {}", many(tasks, "task"), many(inputs, "input"), many(outputs, "output"))
        }
        Body::Integration(integration) => format!("{}{}", many(integration.commands.len(), "command"), if integration.fetches { ", fetches" } else { "" }),
        Body::Script(script) => format!("{} {}", script.language, script.tags.join(", ")),
    }
}
