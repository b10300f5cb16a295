//! The command line: commands, options, their help and examples.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::config::limits::WORKERS_MAX;

/// Turns a flood of security events into incidents.
#[derive(Debug, Parser)]
#[command(
    name = "catchment",
    version,
    about = "Turns a flood of security events into incidents",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  catchment demo                                   the main job on an embedded broker\n  catchment check pipelines/soc                    all mistakes of a pipeline\n  catchment replay pipelines/soc events/ -o out.ndjson\n  catchment explain pipelines/soc event.json       why this event ends as it does\n\nExit codes: 0 done; 1 done, and the answer is no; 2 could not be done."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Log to standard error: error, warn, info, debug, trace, or module=level, as RUST_LOG
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,

    /// Colours: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    pub color: String,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job on an embedded broker: a flood of events in, incidents out
    Demo(super::demo::DemoArgs),
    /// Run as a member of a pipeline's fleet on Kafka
    Run(super::run::RunArgs),
    /// Test a running pipeline under load: latency, capacity, and an audit of what came out
    Load(super::load_run::LoadArgs),
    /// Report all mistakes of a pipeline, with places and hints
    Check(Check),
    /// Run files through a pipeline: NDJSON in, incidents out
    Replay(Replay),
    /// Run the tests that stand in the pipeline
    Test(super::test::TestArgs),
    /// What the samples hold, what of it the pipeline uses, and what to add
    Coverage(super::coverage::CoverageArgs),
    /// What a change of the pipeline would change in its results
    Diff(super::diff::DiffArgs),
    /// Look at dead letters, or feed them to a mended pipeline
    DeadLetters(super::dead_letters::DeadLettersArgs),
    /// Run events of a time that has passed through the pipeline as it is now
    Backfill(super::backfill::BackfillArgs),
    /// Look at an incident, and edit it
    Incident(super::incident::IncidentArgs),
    /// Ask the archive, or a running instance, in SQL
    Sql(super::sql::SqlArgs),
    /// Show incidents as they are committed
    Tap(super::tap::TapArgs),
    /// Watch a member: rates, lag, rules
    Top(super::top::TopArgs),
    /// XSOAR content packs: do they load, what is in them
    Content(super::content::ContentArgs),
    /// Playbooks: run, show, check and test them
    Playbook(super::playbook::PlaybookArgs),
    /// Brakes of a running pipeline: pause, resume or simulate what playbooks do
    Respond(super::respond::RespondArgs),
    /// Say why an event ends as it does, or print the pipeline as SQL
    Explain(super::explain::ExplainArgs),
    /// Write seeded events, and what must become of them
    Generate(super::generate::GenerateArgs),
    /// What a pipeline needs on Kafka: print it, compare it, create it
    Topics(super::topics::TopicsArgs),
    /// Who runs, what they read, how far they are
    Status(super::status::StatusArgs),
    /// Print completions for a shell
    Completions(super::completions::CompletionsArgs),
}

/// `check`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  catchment check pipelines/soc\n  catchment check pipelines/soc --format plain     one line a mistake, for editors and CI\n\nExit codes: 0 no errors (warnings are printed); 1 errors; 2 could not be read."
)]
pub struct Check {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// pretty: with the source and a caret; plain: file:line:col, one line each; json
    #[arg(long, default_value = "pretty", value_parser = ["pretty", "plain", "json"])]
    pub format: String,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
    /// The environment file, whose archive the declared fields must fit [default: ./catchment.yaml, else catchment.yaml beside the pipeline]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `replay`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Inputs are NDJSON files, plain or compressed (gzip, zstd: told by their first bytes), directories (recursively: .ndjson .jsonl .json .log, also .gz and .zst), and - for standard input. Output order is input order, whatever the number of workers. A file belongs to the source whose name stands in its path (cloudtrail/2026.ndjson), else to the first one; --source decides for all.\n\nA file whose name is a topic (aws.cloudtrail.ndjson) belongs to its source, too. All files of a source count as one partition. The time of arrival of an event is its `occurred`, or the path given by --arrival. Incidents are written in their state at the end of the input; --facts writes what happened, as it happened.\n\nExamples:\n  catchment replay pipelines/soc events/ -o incidents.ndjson --dead-letters dead.ndjson\n  zcat today.gz | catchment replay pipelines/soc - | jq .type\n  catchment replay pipelines/soc big.ndjson -o /dev/null --stats stats.json --workers 2\n\nExit codes: 0 done and the ledger adds up; 1 it does not, or an input was damaged; 2 could not be done."
)]
pub struct Replay {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Files, directories, or - for standard input
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// Where incidents go: a file, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
    /// Where dead letters go: a file, or -; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    /// Write counts and resources as JSON: a file, or -
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Worker threads
    #[arg(short, long, default_value_t = 0, value_parser = workers(), value_name = "N", hide_default_value = true, help = "Worker threads [default: one per core]")]
    pub workers: usize,
    /// Path whose time is the time of arrival [default: the mapped `occurred`]
    #[arg(long, value_name = "PATH")]
    pub arrival: Option<String>,
    /// The source that all inputs belong to
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Write facts (created, attached, linked) instead of incidents at the end of input
    #[arg(long)]
    pub facts: bool,
    /// Events per batch at the most
    #[arg(long, default_value_t = crate::ingest::files::BATCH_ROWS_MAX, value_name = "N")]
    pub batch_rows: usize,
    /// No summary, no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// Numbers of worker threads that may be asked for; 0 is one per core.
pub fn workers() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=WORKERS_MAX)
}

/// Largest number of events that can be asked for: every number below is exact as it is read.
const EVENTS_MAX: f64 = 1e15;

/// Reads a number of events: `60000`, `500k`, `2M`.
///
/// # Errors
/// What was expected.
pub fn events(text: &str) -> Result<u64, String> {
    crate::load::pace::count(text).filter(|n| *n < EVENTS_MAX).map(|n| n as u64).ok_or_else(|| "expected a number such as 60000, 500k or 2M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_events() {
        let read = ["0", "60000", "500k", "1.5M"].map(events);
        assert_eq!(read, [Ok(0), Ok(60_000), Ok(500_000), Ok(1_500_000)]);
        for wrong in ["", "many", "-1", "1e6", "9999999999999999999M"] {
            assert!(events(wrong).is_err(), "{wrong}");
        }
    }
}
