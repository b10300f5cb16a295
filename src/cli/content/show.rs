//! `catchment content show`: one item, readable: a mapper as field ← expression, a playbook as text.

use std::path::PathBuf;

use super::super::Answer;
use super::super::output::{Style, style, table};
use super::super::text::visible;
use super::Meant;
use crate::content::classifier::Classifier;
use crate::content::item::Kind;
use crate::content::mapper::Mapper;
use crate::content::preprocess::PreprocessRule;
use crate::content::{Body, Content, Item, Target, check, text};
use crate::error::Error;
use crate::expr::xsoar::model::Place;

/// `content show`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment content show packs/ Acme-mapper\n  catchment content show packs/ \"Acme - Investigation\" --kind playbook\n\nExit codes: 0 done; 1 there is no such item; 2 could not be done."
)]
pub struct ShowArgs {
    /// A pack, a directory of packs, or a file
    pub path: PathBuf,
    /// The item, by id or name; for a field also its cliName
    pub id: String,
    /// Only kinds whose name contains this, where several items have the name
    #[arg(long, value_name = "TEXT")]
    pub kind: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub meant: Meant,
}

/// Runs the command.
pub fn run(args: &ShowArgs) -> Result<Answer, Error> {
    let (content, _) = super::read(std::slice::from_ref(&args.path), &args.meant)?;
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| args.kind.as_ref().is_none_or(|text| kind.as_str().contains(text.to_lowercase().as_str()))).collect();
    // One id may name a type, its layout and its playbook: all of them are meant.
    let mut found: Vec<&Item> = Vec::new();
    for kind in &kinds {
        let item = content.find(&[*kind], &args.id);
        let item = item.or_else(|| content.field(&args.id).map(|(item, _)| item).filter(|item| item.kind == *kind));
        found.extend(item);
    }
    if found.is_empty() {
        let failed =
            content.items.iter().any(|item| item.body.is_none() && kinds.contains(&item.kind) && (item.head.id == args.id || item.head.name == args.id));
        let hint = if failed {
            Some("it does not load: `catchment content check` says why".to_owned())
        } else {
            check::nearest(&content, &kinds, &args.id).map(|near| format!("did you mean `{near}`?"))
        };
        eprintln!("there is no item `{}`{}", visible(&args.id), hint.map(|hint| format!("; {hint}")).unwrap_or_default());
        return Ok(Answer::No);
    }
    for (nth, item) in found.iter().enumerate() {
        if nth > 0 {
            println!();
        }
        print(&content, item);
    }
    Ok(Answer::Yes)
}

fn print(content: &Content, item: &Item) {
    let head = &item.head;
    println!("{} {}", style(item.kind.as_str(), Style::Head), visible(&head.id));
    let line = |name: &str, value: &str| {
        if !value.is_empty() {
            println!("  {name:<12} {}", visible(value));
        }
    };
    line("name", if head.name == head.id { "" } else { &head.name });
    line("description", &head.description.split_whitespace().collect::<Vec<_>>().join(" "));
    line("versions", &head.window.to_string());
    line("pack", item.pack.and_then(|pack| content.packs.get(pack)).map_or("", |pack| &pack.name));
    let Some(body) = &item.body else { return };
    match body {
        Body::Classifier(classifier) => show_classifier(classifier),
        Body::Legacy(classifier, mapper) => {
            show_classifier(classifier);
            show_mapper(content, mapper);
        }
        Body::Mapper(mapper) => show_mapper(content, mapper),
        Body::Rule(rule) => show_rule(rule),
        Body::Playbook(playbook) => print!("{}", text::playbook(playbook)),
        Body::Type(incident_type) => {
            line("playbook", incident_type.playbook.as_ref().map_or("", |name| &name.value));
            line("autorun", if incident_type.autorun { "yes" } else { "no" });
            line("layout", incident_type.layout.as_ref().map_or("", |name| &name.value));
            line("sla", &minutes(incident_type.sla_minutes));
            line("reminder", &minutes(incident_type.reminder_minutes));
            line("before", incident_type.preprocess_script.as_ref().map_or("", |name| &name.value));
            line("at closing", incident_type.closure_script.as_ref().map_or("", |name| &name.value));
            line("default", if incident_type.default { "yes" } else { "" });
            line("disabled", if incident_type.disabled { "yes" } else { "" });
        }
        Body::Field(field) => {
            line("cliName", &field.cli_name);
            line("type", field.kind.as_str());
            line("values", &field.select_values.join(", "));
            line("columns", &field.columns.iter().map(|column| column.key.as_str()).collect::<Vec<_>>().join(", "));
            line("aliases", &field.aliases.join(", "));
            let types: Vec<&str> = field.types.iter().map(|name| name.value.as_str()).collect();
            line("types", if field.all_types { "all" } else { "" });
            line("types", &types.join(", "));
        }
        Body::Layout(layout) => {
            line("group", &layout.group);
            line("type", layout.type_name.as_ref().map_or("", |name| &name.value));
            for view in &layout.views {
                println!("  {}", style(&view.kind, Style::Head));
                for tab in view.tabs.iter().filter(|tab| !tab.sections.is_empty()) {
                    println!("    {}{}", visible(&tab.name), if tab.hidden { " (hidden)" } else { "" });
                    for section in &tab.sections {
                        let fields: Vec<&str> = section.fields.iter().map(|field| field.value.as_str()).collect();
                        let shown = section.script.as_ref().map_or_else(|| fields.join(", "), |script| format!("script {}", script.value));
                        println!("      {}{}{}", visible(&section.name), if shown.is_empty() { "" } else { ": " }, visible(&shown));
                    }
                }
            }
        }
        Body::List(list) => {
            line("format", &list.format);
            // A list is shown as it is: it may be piped on.
            println!("{}", list.data);
        }
        Body::Integration(integration) => {
            line("category", &integration.category);
            line("fetches", if integration.fetches { "yes" } else { "no" });
            line("classifier", integration.classifier.as_ref().map_or("", |id| &id.value));
            line("mapper", integration.mapper_in.as_ref().map_or("", |id| &id.value));
            for command in &integration.commands {
                let arguments: Vec<&str> = command.arguments.iter().map(|argument| argument.name.as_str()).collect();
                println!("  {}({})", visible(&command.name), visible(&arguments.join(", ")));
            }
        }
        Body::Script(script) => {
            line("language", &script.language);
            line("tags", &script.tags.join(", "));
            line("arguments", &script.arguments.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join(", "));
        }
    }
}

fn minutes(minutes: i64) -> String {
    if minutes == 0 { String::new() } else { crate::config::units::format_duration_ms(minutes.saturating_mul(60_000)) }
}

fn show_classifier(classifier: &Classifier) {
    println!("  key          {}", text::argument(&classifier.key.argument, Place::Event));
    let mut rows = table(&["  value", "type"], &[]);
    for (key, name) in &classifier.types {
        rows.add_row([format!("  {}", visible(&key.value)), visible(&name.value).into_owned()]);
    }
    let default = classifier.default_type.as_ref();
    let default = default.map_or_else(|| "(the pipeline's default)".to_owned(), |name| visible(&name.value).into_owned());
    rows.add_row(["  (any other)".to_owned(), default]);
    println!("{rows}");
}

fn show_mapper(content: &Content, mapper: &Mapper) {
    for section in &mapper.sections {
        let target = section.target.as_ref().map_or("every type", |name| &name.value);
        let labels = if mapper.outgoing {
            ""
        } else if section.labels {
            " (attributes of the event become labels)"
        } else {
            " (no labels)"
        };
        println!("\n  {}{labels}", style(&visible(target), Style::Head));
        let mut rows = table(&["    field", "←", "in incidents"], &[]);
        for entry in section.entries.iter().filter(|entry| !entry.value.argument.is_blank()) {
            let name = if mapper.outgoing { String::new() } else { in_incidents(content, &entry.field.value) };
            rows.add_row([format!("    {}", visible(&entry.field.value)), visible(&text::argument(&entry.value.argument, Place::Event)).into_owned(), name]);
        }
        if rows.row_count() > 0 {
            println!("{rows}");
        }
    }
}

/// What a field is called in incidents, and what it holds.
fn in_incidents(content: &Content, name: &str) -> String {
    match content.target(name) {
        Target::Custom(field) => format!("{} {}", field.cli_name, field.kind.as_str()),
        Target::System(system) if !system.mappable => format!("{} cannot be mapped", system.name),
        Target::System(system) => format!("{} {}", system.name, system.kind.as_str()),
        Target::Unknown(name) => format!("{name} (unknown field)"),
    }
}

fn show_rule(rule: &PreprocessRule) {
    println!("  action       {}{}", rule.action.as_str(), if rule.enabled { "" } else { " (disabled)" });
    println!("  index        {}", rule.index);
    println!("  new          {}", visible(&text::tests(&rule.new.tests, None)));
    if rule.action.needs_existing() || !rule.existing.tests.is_empty() {
        println!("  existing     {}", visible(&text::tests(&rule.existing.tests, None)));
        println!("  link to      {}", if rule.link_to == crate::content::preprocess::LinkTo::Oldest { "oldest" } else { "newest" });
        println!("  period       {}", rule.period_ms.map(crate::config::units::format_duration_ms).unwrap_or_else(|| "any".to_owned()));
        println!("  closed too   {}", if rule.search_closed { "yes" } else { "no" });
    }
    if let Some(script) = &rule.script {
        println!("  script       {}", visible(&script.value));
    }
}
