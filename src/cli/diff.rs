//! `catchment diff`: what a change of the pipeline would change in its results. The second
//! half of planning; `coverage` is the first.

mod compare;
mod fields;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::Answer;
use super::load::require;
use super::output::{Style, style};
use super::samples::{Samples, place, sources};
use super::text::count;
use crate::config::model::Labels;
use crate::error::Error;
use crate::ingest::decide::Scope;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Arrival, Options};
use crate::ingest::trial::Trial;

/// `diff`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Both pipelines see the same events in the same order, as `replay` would feed them. An event changes if it ends in another way or by another filter or rule, if it has another type, if it is attached or linked to another incident, or if its incident has another value in any field. Fields can be compared where both sides make an incident. Ids, versions and names of the pipelines do not count.\n\nExamples:\n  catchment diff pipelines/soc my-soc samples/\n  git worktree add /tmp/was HEAD && catchment diff /tmp/was/pipelines/soc pipelines/soc samples/\n  catchment diff old new today.ndjson.gz --json | jq '.ends'\n\nExit codes: 0 nothing changes; 1 something changes; 2 could not be done."
)]
pub struct DiffArgs {
    /// The pipeline as it is: a directory with a pipeline.yaml, or the file
    pub old: PathBuf,
    /// The pipeline as it would be
    pub new: PathBuf,
    /// Files with events, as for replay: NDJSON, plain or compressed, directories, or -
    #[arg(required = true)]
    pub samples: Vec<PathBuf>,
    /// Everything as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Examples at the most; at most two per kind of change
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub limit: usize,
    /// The source that all samples belong to
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<Answer, Error> {
    let options = Options { arrival: Some(Arrival::Occurred) };
    let (_, mut old) = require(&args.old, &options)?;
    let (_, mut new) = require(&args.new, &options)?;
    let (notes, settings) = (notes(&old, &new), settings(&old, &new));
    if old.labels != new.labels {
        // They would differ in every incident: said once instead.
        old.labels = Labels::None;
        new.labels = Labels::None;
    }
    for plan in [&mut old, &mut new] {
        plan.decide.scope = Scope::Process;
        // The event is the same on both sides.
        plan.raw = false;
    }
    let (old, new) = (Arc::new(old), Arc::new(new));
    let (old_source, new_source) = (sources(&old, args.source.as_deref())?, sources(&new, args.source.as_deref())?);
    let mut samples = Samples::open(&args.samples, &old_source)?;
    let new_sources: Vec<u16> = samples.files.iter().map(|file| new_source(file)).collect();
    let side = |plan: &Arc<Plan>| compare::Side { trial: Trial::new(plan.clone(), Some(Arrival::Occurred)), counts: Counts::new(plan) };
    let (mut before, mut after) = (side(&old), side(&new));
    let mut changes = compare::Changes::default();
    let mut first = 0;
    while let Some(batch) = samples.next_batch() {
        let file = batch.messages.first().map_or(0, |message| message.partition as usize);
        let payloads = || batch.messages.iter().map(|message| batch.arena.get(message.range()).unwrap_or_default());
        let a = before.show(batch.source, payloads())?;
        let b = after.show(new_sources.get(file).copied().unwrap_or_default(), payloads())?;
        let files = &samples.files;
        let name = |message: usize| batch.messages.get(message).map_or_else(String::new, |message| place(files, message));
        changes.add(&compare::Pair { old: &old, new: &new, first }, &a, &b, &name, args.limit);
        first += batch.messages.len() as i64;
        samples.recycle(Some(batch.arena));
    }
    let files = samples.files.len();
    if let Some(error) = samples.finish()?.into_iter().next() {
        // What was not read might have changed.
        return Err(Error::from(error));
    }
    let text = if args.json {
        let mut whole = json!({
            "old": { "pipeline": old.name, "version": old.version, "ends": before.counts.to_json(&old) },
            "new": { "pipeline": new.name, "version": new.version, "ends": after.counts.to_json(&new) },
            "files": files, "notes": notes, "settings": settings,
        });
        if let (Some(whole), serde_json::Value::Object(changes)) = (whole.as_object_mut(), report::to_json(&changes, args.limit)) {
            whole.extend(changes);
        }
        format!("{whole:#}\n")
    } else {
        let title = format!(
            "{} {} → {} {}, {} of {}",
            old.name,
            old.version,
            new.name,
            new.version,
            count(changes.events, "event", "events"),
            count(files as u64, "file", "files")
        );
        let said = notes.iter().chain(&settings).map(|note| format!("{}: {note}\n", style("note", Style::Warn))).collect::<String>();
        format!("{}\n{said}{}", style(&title, Style::Head), report::text(&changes, args.limit))
    };
    super::coverage::print(&text)?;
    Ok(if changes.changed == 0 && settings.is_empty() { Answer::Yes } else { Answer::No })
}

/// Differences that no event shows and that do not count.
fn notes(old: &Plan, new: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if old.name != new.name {
        notes.push(format!("the names differ ({}, {}): so would the ids of all incidents", old.name, new.name));
    }
    notes
}

/// Differences of `sink` that would change every incident alike.
fn settings(old: &Plan, new: &Plan) -> Vec<String> {
    let mut settings = Vec::new();
    if old.labels != new.labels {
        let word = |labels: Labels| match labels {
            Labels::Unmapped => "unmapped",
            Labels::Mapper => "mapper",
            Labels::All => "all",
            Labels::None => "none",
        };
        settings.push(format!("labels: {} → {}, for all incidents (labels are not compared)", word(old.labels), word(new.labels)));
    }
    if old.raw != new.raw {
        let word = |raw: bool| if raw { "true" } else { "false" };
        settings.push(format!("raw: {} → {}, for all incidents", word(old.raw), word(new.raw)));
    }
    settings
}
