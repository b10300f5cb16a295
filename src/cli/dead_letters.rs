//! `catchment dead-letters`: look at what could not become an event or an incident, and
//! feed it to a mended pipeline.

mod again;
pub mod input;
pub mod letter;
pub mod list;
pub mod replay;

use std::collections::BTreeMap;

use clap::Subcommand;

use super::Answer;
use super::coverage::print as coverage_print;
use super::environment::warn;
use super::output::{Style, err_style};
use super::text::count;
use crate::error::Error;
use crate::kafka::{Admin, Settings};
use input::{Place, RangeArgs, TopicInput};

/// Lines that are no dead letters, reported one by one (count); more are only counted.
const BAD_LINES_SHOWN: u64 = 10;

/// `dead-letters`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment dead-letters list dead.ndjson\n  catchment dead-letters list --pipeline pipelines/soc\n  catchment dead-letters replay pipelines/soc --reason required_field --dry-run\n  catchment dead-letters replay pipelines/soc dead.ndjson -o more.ndjson --dead-letters dead2.ndjson"
)]
pub struct DeadLettersArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Reasons, counts, places, and a few of the letters
    List(list::ListArgs),
    /// Through a pipeline again, under their first coordinates
    Replay(replay::ReplayArgs),
}

/// Runs the command.
pub fn run(args: &DeadLettersArgs) -> Result<Answer, Error> {
    match &args.command {
        DeadLettersCommand::List(args) => list::run(args),
        DeadLettersCommand::Replay(args) => replay::run(args),
    }
}

/// Opens the topic with dead letters.
fn topic_input(admin: &Admin, bootstrap: &str, properties: &BTreeMap<String, String>, name: &str, range: &RangeArgs) -> Result<TopicInput, Error> {
    let reader = Settings::reader(bootstrap).with_user(properties)?;
    let topic = admin.existing(&[name])?.pop().ok_or_else(|| Error::bug("the cluster described no topic"))?;
    let input = TopicInput::find(admin, reader, &topic, range)?;
    if !input.trimmed.is_empty() {
        warn(&format!("{name} no longer keeps what --from names (partitions {:?}): it begins with the oldest", input.trimmed));
    }
    Ok(input)
}

/// Says that something is no dead letter.
fn report_bad(place: &Place<'_>, why: &str, bad: &mut u64) {
    *bad += 1;
    match (*bad).cmp(&(BAD_LINES_SHOWN + 1)) {
        std::cmp::Ordering::Less => eprintln!("{}: {place} cannot be used: {why}", err_style("error", Style::Bad)),
        std::cmp::Ordering::Equal => eprintln!("… and more such lines"),
        std::cmp::Ordering::Greater => {}
    }
}
