//! `catchment backfill`: events of a time that has passed, through the pipeline as it is now.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Answer;
use super::environment::{EnvironmentArgs, warn};
use super::load::require;
use super::output::{Style, err_style, number};
use super::text::count;
use crate::config::units::format_duration_ms;
use crate::error::Error;
use crate::incident::time_text::read_time;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::plan::build::Options;
use crate::load::pace::Pace;
use crate::run::Names;
use crate::run::backfill::{BackfillSpec, Progress, Report, Target, run as backfill};
use crate::run::layout::index_reach_ms;
use crate::run::signals::Signals;

/// How often a terminal is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How quickly signals and the end are noticed.
const STEP: Duration = Duration::from_millis(50);

/// `backfill`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the events of that time, by their Kafka times, and before them as much as rules remember; decides as if nothing had been before; and writes facts to TOPIC, or with --merge to the pipeline's own topic: there only incidents that are not there yet, and what is attached to these. Running members, their positions and their indexes are not touched. Facts have the header `backfill`, incidents a member of that name, and no playbook starts for them.\n\nIt can be interrupted: the same command goes on where it was, and writes nothing twice.\n\nExamples:\n  catchment backfill pipelines/soc --from 2026-11-01T00:00:00Z --until 2026-11-02T00:00:00Z --to soc.november\n  catchment backfill pipelines/soc --from 2026-11-01 --merge --rate 5k\n\nExit codes: 0 done; 1 interrupted, not all is written; 2 could not be done."
)]
pub struct BackfillArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// From this time on: 2026-11-01T06:00:00Z, or a day
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Write to this topic, which must exist
    #[arg(long, value_name = "TOPIC", conflicts_with = "merge", required_unless_present = "merge")]
    pub to: Option<String>,
    /// Write to the pipeline's own topic what is missing there
    #[arg(long)]
    pub merge: bool,
    /// Events per second at the most: 200, 50k, max
    #[arg(long, value_name = "RATE", default_value = "20k")]
    pub rate: String,
    /// Worker threads [default: limits.workers, else one per core]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<usize>,
    /// Where the brokers are
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// Milliseconds since 1970 of what a person wrote.
fn time(text: &str) -> Result<i64, Error> {
    let day = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros());
    let micros = read_time(text).or_else(day);
    let micros = micros.ok_or_else(|| Error::user(format!("`{text}` is no time")).hint("2026-11-01T06:00:00Z, 2026-11-01T06:00:00+01:00, or 2026-11-01"))?;
    Ok(micros.div_euclid(1000))
}

/// Runs the command.
pub fn run(args: &BackfillArgs) -> Result<Answer, Error> {
    let now = chrono::Utc::now().timestamp_millis();
    let window = (time(&args.from)?, args.until.as_deref().map_or(Ok(now), time)?);
    if window.0 >= window.1 || window.1 > now {
        return Err(Error::user("the time must begin before it ends, and end by now"));
    }
    let rate = Pace::parse(&args.rate).map_err(|what| Error::user(format!("`{}` is no rate", args.rate)).hint(what))?;
    let (pipeline, plan) = require(&args.pipeline, &Options { arrival: None })?;
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let names = Names::of(&pipeline);
    let target = match &args.to {
        None => Target::Merge,
        Some(topic) if names.own().contains(&topic.as_str()) => {
            return Err(Error::user(format!("`{topic}` is the pipeline's own")).hint("--merge writes what is missing to the topic of incidents"));
        }
        Some(topic) => Target::Topic(topic.clone()),
    };
    let limits = environment.limits;
    let spec = BackfillSpec {
        plan: Arc::new(plan),
        names,
        bootstrap,
        properties: environment.client_properties(),
        window,
        reach_ms: index_reach_ms(&pipeline),
        target,
        rate,
        workers: args.workers.or(limits.workers).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        shares: limits.shares(),
        decode: DecodeLimits { message_bytes: usize::try_from(limits.message_bytes).unwrap_or(usize::MAX), ..DecodeLimits::default() },
        sources: pipeline.sources,
    };
    let signals = Signals::listen()?;
    let progress = Progress::default();
    let done = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        if std::io::stderr().is_terminal() {
            scope.spawn(|| tell(&progress, &done));
        }
        let report = backfill(&spec, &signals.stop, &progress);
        done.store(true, Ordering::Release);
        report
    })?;
    let short = progress.short_ms.load(Ordering::Relaxed);
    if short > 0 {
        warn(&format!("the topics begin {} later than rules remember: repeats of older events passed for new", format_duration_ms(short)));
    }
    show(&report);
    let interrupted = signals.stop.load(Ordering::Relaxed);
    if interrupted {
        eprintln!("{} the same command goes on from here", err_style("interrupted:", Style::Warn));
    }
    Ok(if interrupted { Answer::No } else { Answer::Yes })
}

fn tell(progress: &Progress, done: &AtomicBool) {
    let mut told = std::time::Instant::now();
    while !done.load(Ordering::Acquire) {
        std::thread::sleep(STEP);
        if told.elapsed() >= TELL_EVERY {
            told = std::time::Instant::now();
            eprintln!(
                "{} {} read, {} %",
                err_style("backfill:", Style::Dim),
                count(progress.read.load(Ordering::Relaxed), "event", "events"),
                progress.percent()
            );
        }
    }
}

fn show(report: &Report) {
    let counts = &report.counts;
    if counts.events + report.before == 0 {
        println!("nothing is left to do: it was done before, or nothing happened in that time");
        return;
    }
    let [created, attached, linked] = report.written;
    println!("events     {}, and {} before them", number(counts.events), number(report.before));
    println!("incidents  {} written, {} there already", number(created), number(report.existing));
    println!("           {} attached in {}, {}", number(counts.attached_total()), count(attached, "fact", "facts"), count(linked, "link", "links"));
    println!(
        "           {} filtered, {} dropped by rules, {} unclassified, {} dead letters (not written)",
        number(counts.filtered_total()),
        number(counts.dropped_total()),
        number(counts.unclassified),
        number(counts.dead_total())
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(time("2026-03-01").unwrap(), 1_772_323_200_000);
        assert_eq!(time("2026-03-01T01:00:00+01:00").unwrap(), 1_772_323_200_000);
        assert!(time("yesterday").unwrap_err().hint.unwrap().contains("2026"));
    }
}
