//! `catchment dead-letters replay`: the messages of dead letters through a pipeline again,
//! under the coordinates that they came from, so that their incidents get the ids that
//! they would have had.
//!
//! Files are read twice: first for the partitions that the letters name (workers share one
//! table of them), then for the messages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::input::{Place, RangeArgs};
use super::letter::{Coordinates, Letter, lines};
use super::report_bad;
use crate::cli::environment::EnvironmentArgs;
use crate::cli::load::require;
use crate::cli::output::{self, Style, err_style};
use crate::cli::text::count;
use crate::cli::{Answer, summary};
use crate::error::Error;
use crate::ingest::batch::{Partitions, RawBatch};
use crate::ingest::decide::Scope;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::files::{BATCH_BYTES, BATCH_ROWS_MAX};
use crate::ingest::folder::Folder;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Arrival, Options};
use crate::ingest::pool::Pool;
use crate::ingest::scene::NO_TIME;
use crate::ingest::spare::Spare;
use crate::ingest::worker::{Shared, random_key};

/// Letters whose coordinates are remembered, to leave out repeats (count; about 40 bytes
/// each). Beyond that a letter given twice counts twice.
pub const LETTERS_REMEMBERED_MAX: usize = 4_000_000;

/// `dead-letters replay`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With files: through the pipeline here, incidents to --output. Without files: the letters of the pipeline's topic go back to the topics that they came from, and the running members take them through the pipeline as it is now.\n\nEach message keeps the coordinates of its letter (topic or file, partition, offset, number of the event), so an incident has the id that it would have had at first, and a letter given twice counts once. What fails again goes to --dead-letters, as does, unchanged, what names a source that the pipeline does not have. Rules see only these messages: what an earlier incident would have attached to itself may become one of its own.\n\nExamples:\n  catchment replay pipelines/soc events/ -o incidents.ndjson --dead-letters dead.ndjson\n  catchment dead-letters list dead.ndjson\n  (mend the pipeline)\n  catchment dead-letters replay pipelines/soc dead.ndjson -o more.ndjson --dead-letters dead2.ndjson\n  catchment dead-letters replay pipelines/soc --reason required_field --dry-run\n  catchment dead-letters replay pipelines/soc --from 0:0,1:0,2:0 --until 0:12,1:9,2:11\n\nExit codes: 0 done and the ledger adds up; 1 it does not, or some lines could not be used; 2 could not be done."
)]
pub struct ReplayArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Files with dead letters, as replay --dead-letters writes them (also compressed), or -
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Without files: only letters of this reason
    #[arg(long, value_name = "REASON", conflicts_with = "files")]
    pub reason: Option<String>,
    /// Without files: so many letters at the most
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub limit: Option<u64>,
    /// Without files: say what would be fed again, and do nothing
    #[arg(long, conflicts_with = "files")]
    pub dry_run: bool,
    /// Without files: read this topic instead of the pipeline's own
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    pub topic: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeArgs,
    /// Where incidents go: a file, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
    /// Where letters go that fail again; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// What a pass over all letters finds.
#[derive(Default)]
struct Found {
    partitions: Partitions,
    numbers: HashMap<(String, i32), u16>,
    letters: u64,
    /// Letters of Kafka records that do not name their cluster.
    records: u64,
    /// The clusters that letters name.
    clusters: std::collections::BTreeSet<String>,
    bad: u64,
    other_pipelines: BTreeMap<String, u64>,
    unknown_sources: BTreeMap<String, u64>,
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> Result<Answer, Error> {
    if args.files.is_empty() {
        return super::again::run(args);
    }
    if !args.range.from.is_empty() || !args.range.until.is_empty() {
        return Err(Error::user("--from and --until name offsets of a topic, and these are files").hint("leave the files out to replay from the topic"));
    }
    let started = Instant::now();
    let arrival = Arrival::Occurred;
    let (_, mut plan) = require(&args.pipeline, &Options { arrival: Some(arrival.clone()) })?;
    plan.decide.scope = Scope::Process;
    let plan = Arc::new(plan);
    let sources: HashMap<String, u16> = plan.sources.iter().enumerate().map(|(number, source)| (source.name.to_string(), number as u16)).collect();
    // Standard input can be read once only.
    let mut spooled = Vec::new();
    let files = args.files.iter().map(|path| spool(path, &mut spooled)).collect::<Result<Vec<PathBuf>, Error>>()?;
    let targets: Vec<&Path> = [Some(&args.output), args.dead_letters.as_ref()].into_iter().flatten().map(|path| path.as_path()).collect();
    output::refuse_overwrite(&targets, &files)?;
    let mut found = survey(&files, &sources, &plan)?;
    let out = output::target(&args.output)?;
    let mut dead = args.dead_letters.as_deref().map(output::writer).transpose()?;
    warn(&found, &plan, args.dead_letters.is_some());

    let partitions = Arc::new(std::mem::take(&mut found.partitions));
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        partitions: partitions.clone(),
        cluster: cluster(&found.clusters).to_owned(),
        arrival: Some(arrival),
        fingerprint_key: random_key(),
        decode: DecodeLimits::default(),
        record_bytes_max: None,
        decide: None,
        trace: false,
        facts: false,
        spare: Default::default(),
    });
    let mut pool = Pool::start(shared, 1)?;
    let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
    pool.close();
    let feeder = Feeder { numbers: found.numbers, sources: sources.clone(), batches, seq: 0, batch: None, seen: HashSet::new(), repeated: 0 };
    let fed = files.clone();
    let reader = std::thread::Builder::new().name("reader".into()).spawn(move || feeder.run(&fed))?;

    let mut counts = Counts::new(&plan);
    let mut folder = Folder::new(plan.clone(), partitions, out, Spare::default());
    while let Some(mut result) = pool.recv()? {
        counts.add(&result.counts);
        let kept = dead.as_mut().map_or(Ok(()), |dead| dead.write_all(&result.dead));
        if output::reader_left(kept.and_then(|()| folder.add(&mut result)))? {
            return Ok(Answer::Yes);
        }
    }
    let repeated = reader.join().map_err(|_| Error::bug("the reader failed"))??;
    if output::reader_left(folder.finish())? {
        return Ok(Answer::Yes);
    }
    if let Some(dead) = &mut dead {
        if !found.unknown_sources.is_empty() {
            keep_unknown(&files, &sources, dead)?;
        }
        if output::reader_left(dead.flush())? {
            return Ok(Answer::Yes);
        }
    }
    if !args.quiet {
        let unusable: u64 = found.unknown_sources.values().sum();
        let fed = found.letters - unusable - repeated;
        let twice = if repeated == 0 { String::new() } else { format!(", {} given twice", output::number(repeated)) };
        eprintln!("{} of {} fed again{twice}", output::number(fed), count(found.letters, "dead letter", "dead letters"));
        summary::print(&counts, &plan, &stats(&counts, started));
    }
    let clean = found.bad == 0 && found.unknown_sources.is_empty();
    Ok(if clean && counts.adds_up() { Answer::Yes } else { Answer::No })
}

/// The cluster in incident ids: the one that letters name, else a word of ours.
fn cluster(named: &std::collections::BTreeSet<String>) -> &str {
    match (named.first(), named.len()) {
        (Some(cluster), 1) => cluster,
        _ => "replay",
    }
}

fn stats(counts: &Counts, started: Instant) -> serde_json::Value {
    let (user, system, rss) = output::resources();
    let wall = started.elapsed().as_secs_f64();
    serde_json::json!({
        "seconds": { "wall": wall, "cpu_per_million": (user + system) * 1e6 / counts.events.max(1) as f64 },
        "events_per_second": (counts.events as f64 / wall) as u64,
        "rss_bytes_max": rss,
    })
}

/// The file, or a copy of standard input that can be read twice.
fn spool(path: &Path, spooled: &mut Vec<tempfile::NamedTempFile>) -> Result<PathBuf, Error> {
    if path.as_os_str() != "-" {
        return Ok(path.to_owned());
    }
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
    file.flush()?;
    let path = file.path().to_owned();
    spooled.push(file);
    Ok(path)
}

fn survey(files: &[PathBuf], sources: &HashMap<String, u16>, plan: &Plan) -> Result<Found, Error> {
    let mut found = Found::default();
    for file in files {
        lines(file, &mut |number, line| {
            let letter = match Letter::parse(line).and_then(Letter::whole) {
                Ok(letter) => letter,
                Err(why) => {
                    report_bad(&Place::Line(file, number), why, &mut found.bad);
                    return Ok(());
                }
            };
            found.letters += 1;
            match &letter.source.cluster {
                Some(cluster) => drop(found.clusters.insert(cluster.clone())),
                None => found.records += u64::from(letter.timestamp_us() != NO_TIME),
            }
            if letter.pipeline != *plan.name {
                *found.other_pipelines.entry(letter.pipeline).or_default() += 1;
            }
            let Coordinates { name, topic, partition, topic_id, .. } = letter.source;
            if !sources.contains_key(&name) {
                *found.unknown_sources.entry(name).or_default() += 1;
                return Ok(());
            }
            if !found.numbers.contains_key(&(topic.clone(), partition)) {
                let number = found
                    .partitions
                    .number(&topic, partition)
                    .ok_or_else(|| Error::user("the letters come from more than 65,536 partitions or files").hint("replay fewer at once"))?;
                if let Some(id) = &topic_id {
                    found.partitions.identify(number, id);
                }
                found.numbers.insert((topic, partition), number);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn warn(found: &Found, plan: &Plan, kept: bool) {
    let head = err_style("warning", Style::Warn);
    for (name, letters) in &found.other_pipelines {
        eprintln!(
            "{head}: {} were written by the pipeline `{name}`, this is `{}`: ids of incidents differ from theirs",
            count(*letters, "letter", "letters"),
            plan.name
        );
    }
    if found.records > 0 {
        eprintln!(
            "{head}: {} came from Kafka and do not name the cluster, so ids of incidents differ from those of a run on it",
            count(found.records, "letter", "letters")
        );
    }
    if found.clusters.len() > 1 {
        eprintln!("{head}: the letters come from {} clusters, so ids of incidents differ from those of runs on them: replay each apart", found.clusters.len());
    }
    for (name, letters) in &found.unknown_sources {
        let fate = if kept { "they go to the new dead letters as they are" } else { "they are left out; --dead-letters would keep them" };
        eprintln!("{head}: {} name the source `{name}`, which the pipeline does not have: {fate}", count(*letters, "letter", "letters"));
    }
}

/// Copies the letters of sources that the pipeline does not have.
fn keep_unknown(files: &[PathBuf], sources: &HashMap<String, u16>, dead: &mut dyn Write) -> Result<(), Error> {
    for file in files {
        lines(file, &mut |_, line| {
            if Letter::parse(line).is_ok_and(|letter| !sources.contains_key(&letter.source.name)) {
                dead.write_all(line).and_then(|()| dead.write_all(b"\n")).map_err(|error| Error::environment(format!("cannot write: {error}")))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Second pass: letters → batches.
struct Feeder {
    numbers: HashMap<(String, i32), u16>,
    sources: HashMap<String, u16>,
    batches: Sender<RawBatch>,
    seq: u64,
    batch: Option<RawBatch>,
    seen: HashSet<(u16, i64, Option<u16>)>,
    repeated: u64,
}

impl Feeder {
    /// Feeds all letters; returns how many were given twice.
    fn run(mut self, files: &[PathBuf]) -> Result<u64, Error> {
        for file in files {
            lines(file, &mut |_, line| {
                if let Ok(letter) = Letter::parse(line).and_then(Letter::whole) {
                    self.letter(&letter);
                }
                Ok(())
            })?;
        }
        self.send();
        Ok(self.repeated)
    }

    fn letter(&mut self, letter: &Letter) {
        let place = &letter.source;
        let number = self.numbers.get(&(place.topic.clone(), place.partition)).copied();
        let (Some(source), Some(number)) = (self.sources.get(&place.name).copied(), number) else { return };
        let key = (number, place.offset, place.element);
        if self.seen.contains(&key) {
            self.repeated += 1;
            return;
        }
        if self.seen.len() < LETTERS_REMEMBERED_MAX {
            self.seen.insert(key);
        }
        let bytes = letter.bytes();
        let full = |batch: &RawBatch| batch.source != source || batch.messages.len() >= BATCH_ROWS_MAX || batch.arena.len() + bytes.len() > BATCH_BYTES;
        if self.batch.as_ref().is_some_and(full) {
            self.send();
        }
        let seq = self.seq;
        let batch = self.batch.get_or_insert_with(|| RawBatch::new(seq, source, Vec::new()));
        batch.push_again(&bytes, number, place.offset, place.element, letter.timestamp_us());
    }

    fn send(&mut self) {
        let Some(mut batch) = self.batch.take() else { return };
        // Workers write letters of one batch reason by reason: back to the order of the input.
        batch.messages.sort_by_key(|message| (message.partition, message.offset, message.element));
        batch.seal();
        self.seq += 1;
        // Nobody takes it: the run is over, and whoever ended it says why.
        let _ = self.batches.send(batch);
    }
}
