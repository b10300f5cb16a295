//! `catchment playbook`: run, look at, check and test playbooks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use super::Answer;
use crate::config::Diagnostics;
use crate::content::Content;
use crate::error::Error;
use crate::respond::outside::Outside;
use crate::respond::outside::config::Settings;
use crate::respond::setup;
use crate::respond::world::World;

mod answer;
mod check;
mod run;
mod runs;
mod show;
mod start;
mod survey;
mod test;
mod top;
mod trace;

/// `playbook`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A playbook is a file, or a name within --in. docs/playbooks.md tells what playbooks can do.\n\nExamples:\n  catchment playbook show playbooks/brute-force.yml\n  catchment playbook check playbooks/\n  catchment playbook run playbooks/brute-force.yml --file incident.json --simulate answers.yaml\n  catchment playbook run playbooks/brute-force.yml --file incident.json       for real\n  catchment playbook survey packs/                 every playbook, with generated answers\n  catchment playbook top pipelines/soc             what waits in a running pipeline\n  catchment playbook answer pipelines/soc 4ac0 5 --label Yes\n\nExit codes: 0 done, or waiting for a person; 1 failed; 2 could not be done."
)]
pub struct PlaybookArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands below `playbook`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a playbook on an incident: for real, or with answers that are written down
    Run(run::RunArgs),
    /// Show a playbook: its tasks, and what leads where
    Show(show::ShowArgs),
    /// Unknown commands, dead ways, missing inputs, and what a playbook needs
    Check(check::CheckArgs),
    /// Run the tests of playbooks: incident and answers → what must happen
    Test(test::TestArgs),
    /// Run every playbook with generated answers, and count how they end
    Survey(survey::SurveyArgs),
    /// What waits in a running pipeline: why, since when, for whom
    Top(top::TopArgs),
    /// Have a running pipeline run a playbook on an incident
    Start(start::StartArgs),
    /// Answer a task of a run that waits for a person
    Answer(answer::AnswerArgs),
    /// End a run
    Cancel(answer::CancelArgs),
}

/// Where playbooks and what they need stand.
#[derive(Debug, Clone, clap::Args)]
pub struct Within {
    /// Packs, directories and files with playbooks, fields, types, lists
    #[arg(long = "in", value_name = "PATH")]
    pub within: Vec<PathBuf>,
    /// The ways out: mail, credentials, scripts, what is protected [default: respond.yaml beside the playbook or above]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &PlaybookArgs) -> Result<Answer, Error> {
    match &args.command {
        Command::Run(args) => run::run(args),
        Command::Show(args) => show::run(args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Survey(args) => survey::run(args),
        Command::Top(args) => top::run(args),
        Command::Start(args) => start::run(args),
        Command::Answer(args) => answer::answer(args),
        Command::Cancel(args) => answer::cancel(args),
    }
}

/// What was loaded.
struct Loaded {
    content: Arc<Content>,
    diagnostics: Diagnostics,
    world: World,
    settings: Settings,
}

impl Loaded {
    /// The id of a playbook: named, or of the file that was named.
    fn id(&self, playbook: &str) -> Result<String, Error> {
        let path = PathBuf::from(playbook);
        if path.is_file() {
            return setup::id_of(&self.content, &self.diagnostics, &path);
        }
        match self.world.library.find(playbook) {
            Some(program) => Ok(program.id.clone()),
            None => Err(Error::user(format!("there is no playbook `{playbook}`")).hint("name a file, or a playbook within --in PATH")),
        }
    }
}

/// Loads a playbook's surroundings. A file brings its directory.
fn read(playbook: Option<&str>, within: &Within) -> Result<Loaded, Error> {
    let mut paths = within.within.clone();
    let named = playbook.map(PathBuf::from).filter(|path| path.is_file());
    let beside = named.as_deref().and_then(Path::parent).map(|dir| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() });
    if let Some(file) = &named {
        paths.retain(|path| path != file);
        // The file itself first, under the name that was typed; then what stands beside it, not below.
        paths.insert(0, file.clone());
        if let Some(dir) = beside.as_deref().filter(|dir| !within.within.iter().any(|path| path == dir)) {
            paths.extend(setup::siblings(dir, file)?);
        }
    }
    if paths.is_empty() {
        return Err(Error::user("name a playbook's file, or say with --in where playbooks are"));
    }
    if let Some(path) = paths.iter().find(|path| !path.exists()) {
        return Err(Error::user(format!("{} does not exist", path.display())));
    }
    let (content, diagnostics) = setup::read_paths(&paths);
    let mut world = World::of(content.clone(), diagnostics.files());
    let settings = setup::settings(within.config.as_deref(), beside.as_deref().or(within.within.first().map(PathBuf::as_path)))?;
    Outside::declare(&settings, &mut world);
    world.users.clone_from(&settings.users);
    world.brakes = settings.brakes.clone();
    Ok(Loaded { content, diagnostics, world, settings })
}

/// An incident of a running pipeline, in its newest version; `None`: there is none.
fn incident_of(which: &super::incident::Which) -> Result<Option<serde_json::Value>, Error> {
    let Some(value) = super::incident::newest(which)? else {
        eprintln!("there is no incident {} in this pipeline", which.id);
        return Ok(None);
    };
    let value = serde_json::from_slice(&value).map_err(|_| Error::environment("the incident holds what playbooks cannot read"))?;
    Ok(Some(crate::respond::world::incident_view(value)))
}

/// An incident from a file: an object, or the first line of one a line; a `created` fact counts as well.
fn incident(path: &Path) -> Result<serde_json::Value, Error> {
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin().lock())?,
        false => std::fs::read_to_string(path).map_err(|error| Error::user(format!("cannot read {}: {error}", path.display())))?,
    };
    let wrong = |_| Error::user(format!("{} holds no JSON object", path.display()));
    let mut stream = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let mut value = stream.next().ok_or(()).and_then(|value| value.map_err(|_| ())).map_err(wrong)?;
    if value.get("fact").and_then(serde_json::Value::as_str) == Some("created")
        && let Some(inner) = value.get_mut("incident")
    {
        value = inner.take();
    }
    if !value.is_object() {
        return Err(wrong(()));
    }
    Ok(crate::respond::world::incident_view(value))
}
