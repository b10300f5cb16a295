//! `catchment content`: XSOAR content packs as they are: whether they load, what is in them,
//! what an item says.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Answer;
use crate::config::Diagnostics;
use crate::content::{Content, Version, check as spanning, load};
use crate::error::Error;
use crate::expr::xsoar::external::Limits;

mod check;
mod list;
mod show;

/// Mistakes of one load that are kept; all public packs together have below 20,000.
const KEPT_MAX: usize = 200_000;

/// `content`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment content check packs/                   does everything load?\n  catchment content check packs/ --json | jq '.items[] | select(.verdict == \"fails\")'\n  catchment content list packs/ --kind mapper\n  catchment content show packs/ Acme-mapper        field ← expression\n\nA path is a pack, a directory of packs, or a file of one.\n\nExit codes: 0 done (warnings are printed); 1 something fails, or nothing is found; 2 could not be done."
)]
pub struct ContentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands below `content`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load packs and tell what loads, what warns, what fails, and why
    Check(check::CheckArgs),
    /// What is in packs
    List(list::ListArgs),
    /// One item, readable
    Show(show::ShowArgs),
}

/// Which version of the product is meant.
#[derive(Debug, clap::Args)]
pub struct Meant {
    /// The version of XSOAR that packs are read for: of two items of one id the one for it counts [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub xsoar_version: Option<Version>,
    /// A directory of executables that are operators, each named like its own
    #[arg(long, value_name = "DIR")]
    pub scripts: Option<PathBuf>,
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "a version is written like 6.5.0".to_owned())
}

/// Runs the command.
pub fn run(args: &ContentArgs) -> Result<Answer, Error> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
    }
}

/// `1 key`, `2 keys`.
fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Takes the executables of a directory for operators.
pub fn with_scripts(content: &mut Content, dir: &Path) -> Result<(), Error> {
    content.with_scripts(dir, Limits::default()).map_err(|error| Error::user(format!("cannot read {}: {error}", dir.display())))
}

/// Loads and checks; a path that is not there is the user's mistake.
fn read(paths: &[PathBuf], meant: &Meant) -> Result<(Content, Diagnostics), Error> {
    if let Some(path) = paths.iter().find(|path| !path.exists()) {
        return Err(Error::user(format!("{} does not exist", path.display())).hint("name a pack, a directory of packs, or a file of one"));
    }
    let mut out = Diagnostics::with_room(KEPT_MAX);
    let mut content = load(paths, meant.xsoar_version, &mut out);
    if let Some(dir) = &meant.scripts {
        with_scripts(&mut content, dir)?;
    }
    spanning::check(&content, &mut out);
    Ok((content, out))
}
