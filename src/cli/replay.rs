//! `catchment replay`: files in, incidents out, through the very same ingest path that
//! a running instance uses.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};
use indicatif::ProgressBar;
use serde_json::json;

use super::args::Replay;
use super::load::require;
use super::{Answer, output};
use crate::error::Error;
use crate::incident::time_text::TimeText;
use crate::ingest::batch::Partitions;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::facts_out::take_facts;
use crate::ingest::files::{FileError, Input, Reader, batch_bytes, list, source_of};
use crate::ingest::folder::Folder;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Arrival, Options};
use crate::ingest::pool::Pool;
use crate::ingest::spare::Spare;
use crate::ingest::worker::Shared;

/// Arenas kept for reuse (count).
const ARENAS_KEPT: usize = 16;

/// Runs the command.
pub fn run(args: &Replay) -> Result<Answer, Error> {
    let started = Instant::now();
    let arrival = args.arrival.clone().map_or(Arrival::Occurred, Arrival::Path);
    let (_, mut plan) = require(&args.pipeline, &Options { arrival: Some(arrival.clone()) })?;
    let inputs = inputs(args, &plan)?;
    // All files of a source are one partition: what repeats may stand in two of them.
    plan.decide.groups = inputs.iter().map(|input| input.source).collect();
    let plan = Arc::new(plan);
    let targets: Vec<&Path> = [Some(&args.output), args.dead_letters.as_ref(), args.stats.as_ref()].into_iter().flatten().map(|path| path.as_path()).collect();
    output::refuse_overwrite(&targets, &inputs.iter().map(|input| input.path.clone()).collect::<Vec<_>>())?;
    let target = output::target(&args.output)?;
    let dead = args.dead_letters.as_deref().map(output::writer).transpose()?;
    let total: u64 = inputs.iter().filter_map(|i| std::fs::metadata(&i.path).ok()).map(|m| m.len()).sum();
    let compressed = inputs.iter().any(|i| i.path.extension().is_some_and(|e| e == "gz" || e == "zst") || i.path.as_os_str() == "-");
    let bar = output::progress(if compressed { 0 } else { total }, args.quiet);

    let shared = Arc::new(shared(plan.clone(), &inputs, arrival, args.facts)?);
    let workers = if args.workers == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { args.workers };
    let mut pool = Pool::start(shared.clone(), workers)?;
    let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
    pool.close();
    let (recycle, recycled) = bounded(ARENAS_KEPT);
    let reader = Reader::new(batches, recycled, args.batch_rows, shared.decode.message_bytes).batch_bytes(batch_bytes(&plan));
    let reader = read(inputs.clone(), reader, bar.clone())?;

    let out = match args.facts {
        true => Out::Facts(target.into_writer()),
        false => Out::Incidents(Box::new(Folder::new(plan.clone(), shared.partitions.clone(), target, shared.spare.clone()))),
    };
    let mut sink = Sink { plan: plan.clone(), partitions: shared.partitions.clone(), counts: Counts::new(&plan), out, dead, spare: shared.spare.clone() };
    match sink.drain(&mut pool, &recycle, &bar) {
        Ok(()) => {}
        // `replay … | head`: the reader of our output has seen enough.
        Err(Stop::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Answer::Yes),
        Err(Stop::Io(error)) => return Err(Error::environment(format!("cannot write: {error}"))),
        Err(Stop::Worker(error)) => return Err(error),
    };
    let Sink { counts, out, mut dead, .. } = sink;
    let damaged = reader.join().map_err(|_| Error::bug("the reader failed"))?;
    bar.finish_and_clear();
    if output::reader_left(out.finish().and_then(|()| dead.as_mut().map_or(Ok(()), |dead| dead.flush())))? {
        return Ok(Answer::Yes);
    }
    for error in &damaged {
        eprintln!("{}: {error}", output::err_style("error", output::Style::Bad));
    }
    let stats = stats(&counts, &plan, started, workers, &damaged);
    if let Some(path) = &args.stats {
        write_stats(path, &stats)?;
    }
    if !args.quiet {
        super::summary::print(&counts, &plan, &stats);
    }
    Ok(if counts.adds_up() && damaged.is_empty() { Answer::Yes } else { Answer::No })
}

fn inputs(args: &Replay, plan: &Plan) -> Result<Vec<Input>, Error> {
    let names: Vec<&str> = plan.sources.iter().map(|s| &*s.name).collect();
    let fixed = match &args.source {
        Some(name) => match names.iter().position(|known| known == name) {
            Some(number) => Some(number as u16),
            None => return Err(Error::user(format!("the pipeline has no source `{name}`")).hint(format!("its sources: {}", names.join(", ")))),
        },
        None => None,
    };
    let paths = list(&args.inputs)?;
    Ok(paths.into_iter().map(|path| Input { source: fixed.unwrap_or_else(|| source_of(&path, plan)), path }).collect())
}

/// What workers share when files are replayed; `facts`: they write facts.
pub fn shared(plan: Arc<Plan>, inputs: &[Input], arrival: Arrival, facts: bool) -> Result<Shared, Error> {
    let mut partitions = Partitions::default();
    for input in inputs {
        // A file named twice is two partitions: its lines are events twice.
        partitions.append(&input.path.to_string_lossy()).ok_or_else(|| Error::user(FileError::TooMany.to_string()))?;
    }
    Ok(Shared {
        plan,
        partitions: Arc::new(partitions),
        cluster: "replay".into(),
        arrival: Some(arrival),
        // Nothing of a replay outlives it, but whoever writes events may know the code: a key of its own each time.
        fingerprint_key: crate::ingest::worker::random_key(),
        decode: DecodeLimits::default(),
        record_bytes_max: None,
        decide: None,
        trace: false,
        facts,
        spare: Default::default(),
    })
}

fn read(inputs: Vec<Input>, mut reader: Reader, bar: ProgressBar) -> io::Result<std::thread::JoinHandle<Vec<FileError>>> {
    std::thread::Builder::new().name("reader".into()).spawn(move || {
        let mut damaged = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            if let Err(error) = reader.run(input, number as u16, &mut |bytes| bar.inc(bytes as u64)) {
                damaged.push(error);
            }
        }
        damaged
    })
}

enum Stop {
    Io(io::Error),
    Worker(Error),
}

struct Sink {
    plan: Arc<Plan>,
    partitions: Arc<Partitions>,
    counts: Counts,
    out: Out,
    dead: Option<Box<dyn Write + Send>>,
    spare: Spare,
}

/// What is written.
enum Out {
    Facts(Box<dyn Write + Send>),
    Incidents(Box<Folder<'static>>),
}

impl Out {
    fn finish(self) -> io::Result<()> {
        match self {
            Out::Facts(mut out) => out.flush(),
            Out::Incidents(folder) => folder.finish(),
        }
    }
}

impl Sink {
    fn drain(&mut self, pool: &mut Pool, recycle: &Sender<Vec<u8>>, bar: &ProgressBar) -> Result<(), Stop> {
        let mut places = Vec::new();
        let mut times = TimeText::default();
        while let Some(mut output) = pool.recv().map_err(|error| Stop::Worker(error.into()))? {
            self.counts.add(&output.counts);
            if let Some(dead) = &mut self.dead {
                dead.write_all(&output.dead).map_err(Stop::Io)?;
            }
            match &mut self.out {
                Out::Incidents(folder) => folder.add(&mut output).map_err(Stop::Io)?,
                Out::Facts(out) => {
                    places.clear();
                    let facts = take_facts(&mut output, &self.plan, &self.partitions, &mut times, &mut |at| places.push(at.fact));
                    for place in &places {
                        out.write_all(&facts[place.clone()]).and_then(|()| out.write_all(b"\n")).map_err(Stop::Io)?;
                    }
                    self.spare.give(facts);
                }
            }
            if let Some(arena) = output.arena.take() {
                // A full channel: there are enough arenas.
                let _ = recycle.try_send(arena);
            }
            if !bar.is_hidden() {
                bar.set_message(format!("{} events, {} incidents", output::number(self.counts.events), output::number(self.counts.incidents_total())));
            }
        }
        Ok(())
    }
}

fn stats(counts: &Counts, plan: &Plan, started: Instant, workers: usize, damaged: &[FileError]) -> serde_json::Value {
    let (user, system, rss) = output::resources();
    let wall = started.elapsed().as_secs_f64();
    let mut stats = counts.to_json(plan);
    if let Some(stats) = stats.as_object_mut() {
        stats.insert("pipeline".into(), json!(plan.name));
        stats.insert("pipeline_version".into(), json!(plan.version));
        stats.insert("workers".into(), json!(workers));
        stats.insert(
            "seconds".into(),
            json!({ "wall": wall, "cpu_user": user, "cpu_system": system, "cpu_per_million": (user + system) * 1e6 / counts.events.max(1) as f64 }),
        );
        stats.insert("events_per_second".into(), json!((counts.events as f64 / wall) as u64));
        stats.insert("rss_bytes_max".into(), json!(rss));
        stats.insert("damaged_inputs".into(), json!(damaged.len()));
    }
    stats
}

fn write_stats(path: &Path, stats: &serde_json::Value) -> Result<(), Error> {
    let mut out = output::writer(path)?;
    let text = serde_json::to_string_pretty(stats).map_err(|error| Error::bug(error.to_string()))?;
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::environment(format!("cannot write {}: {error}", path.display()))),
        _ => Ok(()),
    }
}
