//! `catchment tap`: incidents as they are committed, from the topic, with a condition in SQL.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Answer;
use super::environment::{self, EnvironmentArgs};
use super::load::require;
use super::output::{Style, style};
use super::text::visible;
use crate::archive::columns::Columns;
use crate::archive::rows::{Origin, Rows};
use crate::error::Error;
use crate::incident::split::{find, members, text};
use crate::ingest::plan::build::Options;
use crate::kafka::{Gaps, Settings, TopicReader};
use crate::run::Names;
use crate::run::signals::Signals;
use crate::serve::sql::filter::Filter;

/// One wait for records.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Rows that are looked at together, and how long the first of them waits (count).
const ROWS_MAX: usize = 1_000;
const ROWS_WAIT: Duration = Duration::from_millis(100);

/// `tap`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the topic of facts from its end, without joining a group, and shows what is committed from now on. The condition is what stands behind WHERE, over the columns of the table `incidents`.\n\nExamples:\n  catchment tap pipelines/soc\n  catchment tap pipelines/soc --where \"severity >= 3 AND host LIKE 'dc%'\"\n  catchment tap pipelines/soc --where \"type = 'Failed Login'\" -o json | jq .username\n\nExit codes: 0 stopped as asked; 2 could not be done."
)]
pub struct TapArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Only incidents for which this holds
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// lines: time, severity, type, id and what was mapped; json: the incidents as they are
    #[arg(short, long, default_value = "lines", value_parser = ["lines", "json"], value_name = "FORMAT")]
    pub output: String,
    /// Stop after so many
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<u64>,
    /// Where the brokers are
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// Runs the command.
pub fn run(args: &TapArgs) -> Result<Answer, Error> {
    let (pipeline, _) = require(&args.pipeline, &Options::default())?;
    let columns = Columns::new(&pipeline.schema);
    let filter = args.condition.as_deref().map(|condition| Filter::new(&columns.arrow(), condition)).transpose()?;
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let names = Names::of(&pipeline);
    let admin = environment::connect(&environment, &bootstrap)?;
    let topic = admin.existing(&[&names.incidents])?.remove(0);
    let ends = admin.watermarks(&topic.name, topic.partitions)?.into_iter().map(|(_, high)| high).collect();
    let settings = Settings::reader(&bootstrap).with_user(&environment.client_properties())?;
    let mut reader = TopicReader::open_at(&settings, &[(&topic.name, ends)], Gaps::Legal, None)?;
    let signals = Signals::listen()?;
    let (mut rows, mut incidents) = (Rows::new(&columns), Vec::new());
    let mut since = Instant::now();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut out = std::io::BufWriter::new(std::io::stdout());
    if std::io::stderr().is_terminal() {
        eprintln!("{}", style(&format!("what is committed to {} from now on; Ctrl-C ends", topic.name), Style::Dim));
    }
    while left > 0 && !signals.stop.load(std::sync::atomic::Ordering::Relaxed) {
        let mut failed = None;
        reader.poll(POLL_WAIT, |record| {
            let origin = Origin { partition: record.partition, offset: record.offset, timestamp_ms: record.timestamp_ms };
            match rows.push_fact(record.payload(), &origin) {
                Ok(true) => incidents.push(record.payload().to_vec()),
                Ok(false) => {}
                Err(error) => failed = Some(error.to_string()),
            }
        })?;
        if let Some(error) = failed {
            return Err(Error::bug(error));
        }
        if incidents.is_empty() {
            since = Instant::now();
            continue;
        }
        if incidents.len() < ROWS_MAX && since.elapsed() < ROWS_WAIT {
            continue;
        }
        let batch = rows.finish().map_err(|error| Error::bug(error.to_string()))?;
        let mask = filter.as_ref().map(|filter| filter.mask(&batch)).transpose()?;
        for (number, fact) in incidents.drain(..).enumerate() {
            if left == 0 || mask.as_ref().is_some_and(|mask| !mask.value(number)) {
                continue;
            }
            left -= 1;
            if let Err(error) = show(&mut out, &fact, args.output == "json") {
                // Whoever reads may have had enough.
                return if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(Answer::Yes) } else { Err(error.into()) };
            }
        }
        if let Err(error) = out.flush() {
            return if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(Answer::Yes) } else { Err(error.into()) };
        }
    }
    Ok(Answer::Yes)
}

/// Members that stand at the beginning of a line, or that a line has no place for.
const APART: [&str; 14] =
    ["id", "type", "severity", "created", "occurred", "labels", "raw", "source", "pipeline", "pipeline_version", "tenant", "status", "version", "_errors"];

fn show(out: &mut impl Write, fact: &[u8], json: bool) -> std::io::Result<()> {
    let Some(incident) = std::str::from_utf8(fact).ok().and_then(members).and_then(|members| find(&members, "incident")) else { return Ok(()) };
    if json {
        return writeln!(out, "{incident}");
    }
    let Some(members) = members(incident) else { return Ok(()) };
    let say = |key: &str| find(&members, key).map(|token| visible(&text(token).unwrap_or_else(|| token.into())).into_owned()).unwrap_or_default();
    let severity = say("severity");
    let look = if severity.parse::<f64>().is_ok_and(|severity| severity >= 3.0) { Style::Bad } else { Style::Dim };
    write!(out, "{} {} {} {}", say("created"), style(&format!("{severity:>3}"), look), style(&say("type"), Style::Head), say("id"))?;
    for (key, token) in members.iter().filter(|(key, token)| *token != "null" && !APART.contains(&key.trim_matches('"'))) {
        write!(out, " {}={}", visible(key.trim_matches('"')), visible(&text(token).unwrap_or_else(|| (*token).into())))?;
    }
    writeln!(out)
}
