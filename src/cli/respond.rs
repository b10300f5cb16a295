//! `catchment respond`: the brakes of a running pipeline. What is written is followed by every member within seconds,
//! and stays until it is changed, also after restarts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Answer;
use super::environment::{EnvironmentArgs, warn};
use super::output::{Style, style};
use super::saying::{Pipe, actor, now_us};
use super::text::{Cut, Grid, visible};
use crate::error::Error;
use crate::kafka::{Error as KafkaError, partition_of, read_to_end};
use crate::respond::clock::iso_us;

/// The key of what holds for all types.
const ALL: &str = "all";
/// What the keys of single types begin with.
const OF_TYPE: &str = "type:";

/// `respond`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is said here is followed by every member that runs playbooks within five seconds. Calls that are under way come to their end; nothing new begins while runs stand still. It stays until it is changed, and who did it stands on the audit record.\n\nExamples:\n  catchment respond pause pipelines/soc                     nothing goes on\n  catchment respond pause pipelines/soc --type Phishing     only runs for this type stand still\n  catchment respond simulate pipelines/soc                  commands with an effect are not done, and said to be\n  catchment respond resume pipelines/soc                    all goes on, as the files say\n  catchment respond status pipelines/soc\n\nExit codes: 0 done; 2 could not be done."
)]
pub struct RespondArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands below `respond`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs stand still
    Pause(BrakeArgs),
    /// Runs go on, and do what the files say
    Resume(BrakeArgs),
    /// Runs go on, but commands with an effect are not done
    Simulate(BrakeArgs),
    /// What stands still, and who said so
    Status(StatusArgs),
}

/// What the brakes have in common.
#[derive(Debug, clap::Args)]
pub struct BrakeArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Only runs for incidents of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub type_name: Option<String>,
    /// Who does this [default: cli: and the name of the user]
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
}

/// `respond status`
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
}

/// Runs the command.
pub fn run(args: &RespondArgs) -> Result<Answer, Error> {
    match &args.command {
        Command::Pause(args) => brake(args, "paused", None),
        Command::Resume(args) => brake(args, "running", None),
        Command::Simulate(args) => brake(args, "running", Some("simulate")),
        Command::Status(args) => status(args),
    }
}

/// Writes what holds from now on.
fn brake(args: &BrakeArgs, state: &str, mode: Option<&str>) -> Result<Answer, Error> {
    let pipe = Pipe::find(&args.pipeline, &args.environment)?;
    let known = control(&pipe)?;
    if let Some(name) = &args.type_name {
        unknown_type(&pipe, name);
    }
    let key = args.type_name.as_ref().map_or_else(|| ALL.to_owned(), |name| format!("{OF_TYPE}{name}"));
    // What pauses says nothing about what is done when it goes on.
    let mode = match state {
        "paused" => known.get(&key).and_then(|said| said.get("mode")).cloned().unwrap_or(Value::Null),
        _ => mode.map_or(Value::Null, Value::from),
    };
    let actor = actor(args.actor.as_deref());
    let value = json!({ "state": state, "mode": mode, "actor": actor, "at": iso_us(now_us()) });
    pipe.write(&pipe.names.respond_control, 1, 0, key.as_bytes(), value.to_string().as_bytes())?;
    audit(&pipe, &key, &value)?;
    let what = args.type_name.as_ref().map_or_else(|| "all runs".to_owned(), |name| format!("runs for `{}`", visible(name)));
    match (state, mode.as_str()) {
        ("paused", _) => println!("{}: {what} stand still within 5 s; calls that are under way come to their end", style("paused", Style::Warn)),
        (_, Some(mode)) => println!("{}: {what} go on within 5 s in the mode `{mode}`", style("running", Style::Good)),
        _ => println!("{}: {what} go on within 5 s, as the files say", style("running", Style::Good)),
    }
    // One brake does not release the other.
    let others = known.iter().filter(|(other, said)| **other != key && said.get("state").and_then(Value::as_str) == Some("paused"));
    for (other, _) in others.filter(|_| state != "paused") {
        match other.strip_prefix(OF_TYPE) {
            Some(name) => warn(&format!("runs for `{}` still stand still: --type releases them", visible(name))),
            None => warn("all runs still stand still: resume without --type releases them"),
        }
    }
    Ok(Answer::Yes)
}

/// Who said so, on the audit record: after it holds, as stopping is more urgent.
fn audit(pipe: &Pipe, key: &str, said: &Value) -> Result<(), Error> {
    let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let mode = said.get("mode").and_then(Value::as_str).map(|mode| format!(", mode {mode}")).unwrap_or_default();
    let entry = json!({
        "entry": format!("{}@control", now_us()), "run": "", "incident": "", "playbook": "", "playbook_version": "", "at": word("at"), "actor": word("actor"),
        "task": "", "command": "", "kind": "control", "text": format!("{key}: {}{mode}", word("state")),
    });
    let topic = pipe.names.war_room.as_str();
    let partitions = pipe.admin.existing(&[topic])?.first().map_or(1, |topic| topic.partitions);
    pipe.write(topic, partitions, partition_of(b"control", partitions), b"control", entry.to_string().as_bytes())
}

/// Says so if no playbook is for this type: it may be mistyped.
fn unknown_type(pipe: &Pipe, name: &str) {
    let of_packs = pipe.pipeline.content.as_deref().is_some_and(|content| content.incident_type(name).is_some());
    if !of_packs && !pipe.pipeline.playbooks.iter().any(|playbook| playbook.type_name.value == name) {
        let known: Vec<&str> = pipe.pipeline.playbooks.iter().map(|playbook| playbook.type_name.value.as_str()).collect();
        let near = crate::config::suggest::nearest(name, known.iter().copied()).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        warn(&format!("no playbook of this pipeline is for the type `{}`{near}", visible(name)));
    }
}

/// What holds now, by key.
fn control(pipe: &Pipe) -> Result<BTreeMap<String, Value>, Error> {
    let topic = pipe.names.respond_control.as_str();
    pipe.admin.existing(&[topic]).map_err(|error: KafkaError| {
        let hint = matches!(error, KafkaError::NoSuchTopic { .. });
        let error = Error::from(error);
        if hint { error.hint("`catchment topics PIPELINE --create` makes it for pipelines that have playbooks") } else { error }
    })?;
    let mut found = BTreeMap::new();
    read_to_end(&pipe.reader, topic, 0, None, |record| -> Result<(), Error> {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok()).filter(|key| *key == ALL || key.starts_with(OF_TYPE));
        if let Some(key) = key {
            match serde_json::from_slice::<Value>(record.payload()) {
                Ok(said) if said.is_object() => drop(found.insert(key.to_owned(), said)),
                _ => drop(found.remove(key)),
            }
        }
        Ok(())
    })?;
    Ok(found)
}

fn status(args: &StatusArgs) -> Result<Answer, Error> {
    let pipe = Pipe::find(&args.pipeline, &args.environment)?;
    let found = control(&pipe)?;
    if args.json {
        println!("{}", json!(found));
        return Ok(Answer::Yes);
    }
    let of = |said: &Value, name: &str| said.get(name).and_then(Value::as_str).map(|text| visible(text).into_owned());
    if found.is_empty() {
        println!("{}: nothing was said, all runs go on as the files say", style("running", Style::Good));
        return Ok(Answer::Yes);
    }
    let mut grid =
        Grid::new(0).text("runs for", 40, Cut::End).text("state", 10, Cut::End).text("mode", 12, Cut::End).text("by", 24, Cut::End).text("at", 24, Cut::End);
    for (key, said) in &found {
        let name = key.strip_prefix(OF_TYPE).map_or_else(|| "all types".to_owned(), |name| visible(name).into_owned());
        let state = of(said, "state").unwrap_or_default();
        let look = if state == "paused" { Style::Warn } else { Style::Good };
        let rest = [of(said, "mode").unwrap_or_else(|| "as files say".to_owned()), of(said, "actor").unwrap_or_default(), of(said, "at").unwrap_or_default()];
        grid.styled([(name, None), (state, Some(look))].into_iter().chain(rest.into_iter().map(|text| (text, None))));
    }
    print!("{grid}");
    Ok(Answer::Yes)
}
