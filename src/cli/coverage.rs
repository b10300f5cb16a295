//! `catchment coverage`: what the samples hold, what of it the pipeline uses, and what to
//! add. The first half of planning; `diff` is the second.

mod json;
mod keys;
mod print;
mod profile;
mod report;
mod shape;
mod snippet;
mod suggest;
mod survey;
mod usage;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::load::require;
use super::output::{Style, err_style, number, percent, style};
use super::samples::{Samples, sources};
use super::text::{count, wrap};
use super::{Answer, output};
use crate::config::model::Labels;
use crate::error::Error;
use crate::ingest::decide::Scope;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::build::{Arrival, Options};

/// `coverage`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For each incident type, and for each key of events that nothing classifies: every path seen, in how many events it has a value, its JSON type and the look of its values, one example, the fields that read it, and for the rest a suggestion: `? src_ip` by its name, `?? src_ip` only because its values are addresses, `(new)` if the pipeline has no such field. Paths through arrays are written a[].b and stand for all elements; in an expression write a[0].b, or use array_any(a, …). Lists are sorted by what there is to do: suggestions first, mapped last.\n\nThe key of an unclassified event is the value of `classify.key`, or, where there is none, a condition on the field that names its kind (EventID, eventName, event_type, action …). At the end stands YAML to paste.\n\nExample values come from the samples: mind who looks at your terminal. What filters drop is only counted.\n\nExamples:\n  catchment coverage pipelines/soc samples/\n  catchment coverage pipelines/soc today.ndjson.gz --type 'AWS Console Login Failure'\n  catchment coverage pipelines/soc - --source okta --json < okta.ndjson | jq .groups[].paths\n\nExit codes: 0 done; 1 done, but a sample was damaged; 2 could not be done."
)]
pub struct CoverageArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Files with events, as for replay: NDJSON, plain or compressed, directories, or -
    #[arg(required = true)]
    pub samples: Vec<PathBuf>,
    /// Everything as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Rows per list: types, paths of a type, keys; 0 for all
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub top: usize,
    /// The source that all samples belong to
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only this type, with all its paths (more than once: several); part of a key for unclassified events
    #[arg(long = "type", value_name = "NAME")]
    pub types: Vec<String>,
}

/// Runs the command.
pub fn run(args: &CoverageArgs) -> Result<Answer, Error> {
    let (pipeline, mut plan) = require(&args.pipeline, &Options { arrival: Some(Arrival::Occurred) })?;
    // As in `replay`; of the incidents only the fields are looked at.
    plan.decide.scope = Scope::Process;
    plan.labels = Labels::None;
    plan.raw = false;
    let plan = Arc::new(plan);
    let mut samples = Samples::open(&args.samples, sources(&plan, args.source.as_deref())?)?;
    let mut survey = survey::Survey::new(plan.clone());
    while let Some(batch) = samples.next_batch() {
        let arena = survey.add(batch, &samples.files)?;
        samples.recycle(arena);
    }
    let files = samples.files.len();
    let damaged = samples.finish()?;
    let report = report::report(&pipeline, &plan, &survey);
    let top = if args.top == 0 { usize::MAX } else { args.top };
    if let Some(unknown) = args.types.iter().find(|name| !report.groups.iter().any(|group| print::wanted(group, name))) {
        let names: Vec<&str> = report.groups.iter().filter_map(|group| group.type_name.as_deref()).collect();
        let hint = crate::config::suggest::hint(unknown, &names).unwrap_or_else(|| "without --type, coverage lists the types that the samples have".to_owned());
        return Err(Error::user(format!("the samples have no events of the type `{unknown}`")).hint(hint));
    }
    let has_key = pipeline.classify.key.is_some();
    let snippet = if args.types.is_empty() { snippet::snippet(&report, &pipeline.schema, has_key, top) } else { String::new() };
    let text = if args.json {
        let mut whole = json!({ "pipeline": plan.name, "pipeline_version": plan.version, "files": files, "ends": survey.counts.to_json(&plan) });
        if let (Some(whole), serde_json::Value::Object(report)) = (whole.as_object_mut(), report.to_json()) {
            whole.extend(report);
            whole.insert("yaml".into(), json!(snippet));
        }
        format!("{whole:#}\n")
    } else {
        format!("{}{}", head(&plan.name, &plan.version, files, &survey.counts), print::text(&report, &print::View { top, types: &args.types }, &snippet))
    };
    print(&text)?;
    for error in &damaged {
        eprintln!("{}: {error}", err_style("error", Style::Bad));
    }
    Ok(if damaged.is_empty() { Answer::Yes } else { Answer::No })
}

/// Writes to standard output; a reader that has seen enough is no error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::environment(format!("cannot write: {error}"))),
        _ => Ok(()),
    }
}

fn head(name: &str, version: &str, files: usize, counts: &Counts) -> String {
    let title = format!("coverage of {name} (version {version}): {} of {}", count(counts.events, "event", "events"), count(files as u64, "file", "files"));
    let ends = [
        ("incidents", counts.incidents_total()),
        ("filtered", counts.filtered_total()),
        ("unclassified", counts.unclassified),
        ("dropped", counts.dropped_total()),
        ("attached", counts.attached_total()),
        ("dead letters", counts.dead_total()),
    ];
    let ends = ends.iter().filter(|(_, n)| *n > 0).map(|(end, n)| format!("{} {end} ({})", number(*n), percent(*n, counts.events)));
    let mut text = format!("{}\n{}\n", style(&title, output::Style::Head), wrap(ends, ", ", 2));
    if !counts.dead.is_empty() {
        let reasons = counts.dead.iter().map(|(reason, n)| format!("{} {reason}", number(*n)));
        let lines = wrap(reasons, ", ", 16);
        text.push_str(&format!("  dead letters: {}\n  (replay --dead-letters keeps them, dead-letters list shows them)\n", lines.trim_start()));
    }
    text
}
