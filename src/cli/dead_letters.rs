//! `catchment dead-letters`: look at what could not become an event or an incident, and
//! feed it to a mended pipeline.

pub mod letter;
pub mod list;
pub mod replay;

use std::path::Path;

use clap::Subcommand;

use super::Answer;
use super::output::{Style, err_style};
use crate::error::Error;

/// Lines that are no dead letters, reported one by one (count); more are only counted.
const BAD_LINES_SHOWN: u64 = 10;

/// `dead-letters`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment dead-letters list dead.ndjson\n  catchment dead-letters replay pipelines/soc dead.ndjson -o more.ndjson --dead-letters dead2.ndjson"
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

/// Says that a line is no dead letter.
fn report_bad(file: &Path, line: u64, why: &str, bad: &mut u64) {
    *bad += 1;
    match (*bad).cmp(&(BAD_LINES_SHOWN + 1)) {
        std::cmp::Ordering::Less => eprintln!("{}: {}:{line} is no dead letter: {why}", err_style("error", Style::Bad), file.display()),
        std::cmp::Ordering::Equal => eprintln!("… and more such lines"),
        std::cmp::Ordering::Greater => {}
    }
}
