//! Owns integrations: their commands, and which classifier and mappers they come with. Their
//! code is not run.

use crate::config::node::Node;
use crate::config::source_map::Spanned;

use super::read::{Keys, Reader};
use super::script::output_paths;

/// An integration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Integration {
    /// What people call it.
    pub display: String,
    /// What it is for.
    pub category: String,
    /// It brings events.
    pub fetches: bool,
    /// It brings indicators.
    pub feed: bool,
    /// The classifier of its events, by id.
    pub classifier: Option<Spanned<String>>,
    /// The mapper of its events, by id.
    pub mapper_in: Option<Spanned<String>>,
    /// The mapper to its own fields, by id.
    pub mapper_out: Option<Spanned<String>>,
    /// What it can do.
    pub commands: Vec<Command>,
    /// What an instance is configured with.
    pub parameters: Vec<String>,
}

/// A command of an integration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Command {
    /// Its name: `ip`, `jira-create-issue`.
    pub name: String,
    /// What it takes.
    pub arguments: Vec<Parameter>,
    /// The context paths it writes.
    pub outputs: Vec<String>,
    /// Nobody should use it any more.
    pub deprecated: bool,
    /// It changes something in the world.
    pub execution: bool,
    /// It is asked again until it is done.
    pub polling: bool,
}

/// An argument of a command or a script.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// It must be given.
    pub required: bool,
    /// It takes a list.
    pub list: bool,
    /// What it is where it is not set.
    pub default: Option<String>,
    /// It is the one that is meant where no name is given.
    pub unnamed: bool,
}

impl Parameter {
    /// Reads an argument; `None` without a name.
    pub fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Parameter> {
        let mut keys = Keys::open(node, "an argument", reader)?;
        Some(Parameter {
            name: keys.maybe_text("name", reader)?,
            required: keys.truth("required", reader),
            list: keys.truth("isArray", reader),
            default: keys.get("defaultValue").and_then(|node| reader.text(node, "`defaultValue`")),
            unnamed: keys.truth("default", reader),
        })
    }
}

impl Integration {
    /// Reads an integration. Most of its keys are for the product's pages: unknown ones are
    /// not told.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Integration> {
        let mut integration = Integration {
            display: keys.text("display", reader),
            category: keys.text("category", reader),
            classifier: keys.spanned("defaultclassifier", reader),
            mapper_in: keys.spanned("defaultmapperin", reader),
            mapper_out: keys.spanned("defaultmapperout", reader),
            ..Integration::default()
        };
        for node in keys.list("configuration", reader) {
            if let Some(mut parameter) = Keys::open(node, "a parameter", reader) {
                integration.parameters.extend(parameter.maybe_text("name", reader));
            }
        }
        // `script` is a mapping here; in an automation it is the code.
        let Some(node) = keys.get("script") else { return Some(integration) };
        let mut script = Keys::open(node, "`script`", reader)?;
        integration.fetches = script.truth("isfetch", reader);
        integration.feed = script.truth("feed", reader);
        integration.commands = script.list("commands", reader).iter().filter_map(|node| command(node, reader)).collect();
        Some(integration)
    }
}

fn command(node: &Node, reader: &mut Reader<'_>) -> Option<Command> {
    let mut keys = Keys::open(node, "a command", reader)?;
    Some(Command {
        name: keys.maybe_text("name", reader)?,
        arguments: keys.list("arguments", reader).iter().filter_map(|node| Parameter::read(node, reader)).collect(),
        outputs: output_paths(&mut keys, reader),
        deprecated: keys.truth("deprecated", reader),
        execution: keys.truth("execution", reader),
        polling: keys.truth("polling", reader),
    })
}
