//! `catchment incident`: look at an incident, and edit it by facts that the keeper applies.

mod edit;
mod place;
mod print;
mod value;

use std::path::PathBuf;

use clap::Subcommand;

use super::Answer;
use super::environment::EnvironmentArgs;
use crate::error::Error;
use crate::incident::id::IncidentId;

/// Seconds that an edit waits for its outcome when nothing is said.
const WAIT_SECONDS_DEFAULT: u64 = 10;

/// `incident`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An edit is a fact in the pipeline's topic of incidents: the keeper (`catchment run --role keeper`) applies it, and says in the incident's new state what became of it. Edits of closed incidents are legal.\n\nExamples:\n  catchment incident show 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --pipeline pipelines/soc\n  catchment incident set 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 owner=ann severity=4 --pipeline pipelines/soc --if-version 3\n  catchment incident close 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --reason \"false positive\" --pipeline pipelines/soc\n  catchment incident reopen 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --pipeline pipelines/soc\n\nExit codes: 0 done; 1 there is no such incident, or the edit was refused; 2 could not be done, or nobody answered in time."
)]
pub struct IncidentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: IncidentCommand,
}

/// What to do with an incident.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// Print its newest version
    Show(ShowArgs),
    /// Give fields new values
    Set(SetArgs),
    /// Close it
    Close(CloseArgs),
    /// Open it again
    Reopen(ReopenArgs),
}

/// Which incident of which pipeline.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The incident's id: 32 hex digits
    pub id: String,
    /// The pipeline: a directory with a pipeline.yaml, or the file
    #[arg(short, long)]
    pub pipeline: PathBuf,
    /// Where the brokers are
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What edits have in common.
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Only if the incident is in this version still; otherwise the edit is refused
    #[arg(long, value_name = "N")]
    pub if_version: Option<u64>,
    /// Who does this [default: cli: and the name of the user]
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Do not wait for the outcome; print the fact's id
    #[arg(long)]
    pub no_wait: bool,
    /// Longest wait for the outcome
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS_DEFAULT)]
    pub wait: u64,
}

/// `incident show`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The newest record of the topic of states is what counts; its one partition is read from the start, which takes seconds per million incidents. Control characters are shown as escapes; --json prints the incident as it is.\n\nExamples:\n  catchment incident show 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --pipeline pipelines/soc\n  catchment incident show 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 -p pipelines/soc --json | jq .attached.count\n\nExit codes: 0 printed; 1 there is no such incident; 2 could not be read."
)]
pub struct ShowArgs {
    /// Which.
    #[command(flatten)]
    pub which: Which,
}

/// `incident set`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A value is read as the field is declared: texts are taken as they stand, other kinds as JSON; null removes the field. For fields that are not declared: JSON if it is JSON, else a text. Fields that Catchment fills itself (id, created, status, …) cannot be set; `type` and `severity` can.\n\nExamples:\n  catchment incident set 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 owner=ann -p pipelines/soc\n  catchment incident set 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 severity=critical tags='[\"vip\"]' note=null -p pipelines/soc --if-version 3\n\nExit codes: 0 applied, or so already; 1 refused, or no such incident; 2 could not be done, or nobody answered."
)]
pub struct SetArgs {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// FIELD=VALUE, one or more
    #[arg(required = true, value_name = "FIELD=VALUE")]
    pub fields: Vec<String>,
    /// How.
    #[command(flatten)]
    pub edit: EditArgs,
    /// Also fields that the pipeline neither declares nor maps
    #[arg(long)]
    pub any_field: bool,
}

/// `incident close`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment incident close 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --reason resolved --notes \"host reimaged\" -p pipelines/soc\n\nExit codes: 0 closed, or closed already; 1 refused, or no such incident; 2 could not be done, or nobody answered."
)]
pub struct CloseArgs {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Why
    #[arg(long)]
    pub reason: Option<String>,
    /// What else there is to say
    #[arg(long)]
    pub notes: Option<String>,
    /// How.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// `incident reopen`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment incident reopen 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 -p pipelines/soc --if-version 5\n\nExit codes: 0 open, or open already; 1 refused, or no such incident; 2 could not be done, or nobody answered."
)]
pub struct ReopenArgs {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// How.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// Runs the command.
pub fn run(args: &IncidentArgs) -> Result<Answer, Error> {
    match &args.command {
        IncidentCommand::Show(args) => print::run(args),
        IncidentCommand::Set(args) => edit::set(args),
        IncidentCommand::Close(args) => edit::close(args),
        IncidentCommand::Reopen(args) => edit::reopen(args),
    }
}

/// The newest version of an incident as JSON; `None`: there is no such incident.
pub fn newest(which: &Which) -> Result<Option<Vec<u8>>, Error> {
    Ok(place::Place::find(which)?.newest(None)?.0.map(|record| record.value))
}

/// The id that a person wrote.
pub fn id_of(text: &str) -> Result<IncidentId, Error> {
    IncidentId::parse(text).ok_or_else(|| {
        let digits = text.chars().filter(char::is_ascii_hexdigit).count();
        let what = if digits == text.chars().count() {
            format!("it has {}", super::text::count(digits as u64, "digit", "digits"))
        } else {
            "it has other characters".to_owned()
        };
        Error::user(format!("that is not an incident's id: {what}")).hint("an id is 32 hex digits, the member `id` of an incident; it cannot be shortened")
    })
}
