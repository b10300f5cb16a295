//! `catchment demo`: the main job on an embedded broker, from a flood of events to
//! incidents, with nothing to install. Exit code 0 only if every counter agrees with
//! the generator's answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

use super::load::require;
use super::output::{Style, number, style};
use super::{Answer, output, summary};
use crate::archive::Location;
use crate::archive::once::{self, Notes};
use crate::archive::rows::Origin;
use crate::config::model::{Pipeline, Topic};
use crate::error::Error;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::Options;
use crate::load::GeneratorSpec;
use crate::load::drive::{DriveReport, DriveSpec, Live, drive};
use crate::load::latency::Percentiles;
use crate::load::tail::Keep;
use crate::run::Names;
use crate::serve::metrics::MetricsPort;
use crate::serve::sql::catalog::Catalog;
use crate::serve::sql::client::Client;
use crate::serve::sql::output::Format;
use crate::serve::sql::session::Engine;

/// The pipeline that is built in, for those who run the binary without the sources.
const SOC: [(&str, &str); 6] = [
    ("pipeline.yaml", include_str!("../../pipelines/soc/pipeline.yaml")),
    ("schema/fields.yaml", include_str!("../../pipelines/soc/schema/fields.yaml")),
    ("schema/types.yaml", include_str!("../../pipelines/soc/schema/types.yaml")),
    ("lookups/assets.csv", include_str!("../../pipelines/soc/lookups/assets.csv")),
    ("lookups/networks.csv", include_str!("../../pipelines/soc/lookups/networks.csv")),
    ("lookups/vips.csv", include_str!("../../pipelines/soc/lookups/vips.csv")),
];

/// `demo`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Starts an embedded Kafka broker in this process, creates topics, streams seeded events of thirteen products through pipelines/soc and reads the incidents back: a flood first, then a calm part at a third of the flood's speed, to show the latency without a queue. The embedded broker keeps nothing: state lives as long as the process, and there are no transactions. What you see is the engine, not the guarantees of a real cluster.\n\nExamples:\n  catchment demo\n  catchment demo --events 2000000 --seed 7 --metrics 127.0.0.1:9090\n\nExit codes: 0 all counters agree with the generator's answers; 1 some do not; 2 could not be done."
)]
pub struct DemoArgs {
    /// How many events (60000, 500k, 2M)
    #[arg(long, value_parser = super::args::events, default_value_t = 400_000)]
    pub events: u64,
    /// The seed: the same seed gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The pipeline; its topics and names must be those of the generator
    #[arg(long, default_value = "pipelines/soc")]
    pub pipeline: PathBuf,
    /// Worker threads
    #[arg(short, long, default_value_t = 0, value_parser = super::args::workers(), hide_default_value = true, help = "Worker threads [default: one per core]")]
    pub workers: usize,
    /// Show metrics at http://ADDRESS/metrics while it runs (loopback only)
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Where the incidents are left, for `catchment sql`; what is there is replaced
    #[arg(long, value_name = "DIR", default_value = super::sql::DEMO_ARCHIVE)]
    pub archive: PathBuf,
    /// Leave nothing
    #[arg(long)]
    pub no_archive: bool,
    /// Not available: the embedded broker lives in this process
    #[arg(long, hide = true, value_name = "ROLES")]
    pub role: Option<String>,
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<Answer, Error> {
    if args.role.is_some() {
        return Err(Error::user("demo runs all roles in one process")
            .hint("roles need a broker outside of the process: that is `catchment run`, which comes with the next step"));
    }
    let (pipeline, plan, _dir) = load(&args.pipeline)?;
    let _port = args.metrics.map(MetricsPort::open).transpose()?;
    let workers = if args.workers == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { args.workers };
    let generate = GeneratorSpec::soc(args.seed, args.events.max(1));
    let mut topics: Vec<(String, u16)> = Vec::new();
    for (profile, _) in &generate.mix {
        let Some(source) = source_of(&pipeline, profile.topic) else {
            return Err(Error::user(format!("no source of the pipeline reads the topic `{}`, which the generator writes", profile.topic))
                .hint("run demo with pipelines/soc"));
        };
        if !topics.iter().any(|(name, _)| name == profile.topic) {
            topics.push((profile.topic.to_owned(), source));
        }
    }
    println!("{}", style("Catchment demo", Style::Head));
    println!(
        "embedded Kafka: {} topics; {} seeded events of {} products (seed {}) through `{}`: {} types, {} filters, {} rules; {workers} workers",
        topics.len() + 2,
        number(args.events),
        generate.mix.len(),
        args.seed,
        plan.name,
        plan.types.len(),
        plan.filters.len(),
        plan.rules.len(),
    );
    if let Some(port) = &_port {
        println!("metrics: http://{}/metrics", port.address());
    }
    println!("{}\n", style("(the embedded broker keeps its data in memory; what the demo leaves is an archive of its incidents)", Style::Dim));

    let mut plan = plan;
    share_index(&mut plan, topics.len());
    let plan = Arc::new(plan);
    let names = Names::of(&pipeline);
    let spec =
        DriveSpec { plan: plan.clone(), incidents_topic: names.incidents, dead_letters_topic: names.dead_letters, topics, generate, calm_share: 0.15, workers };
    let live = Arc::new(Live::default());
    *live.engine.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Counts::new(&plan);
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let notes = if args.no_archive { None } else { Some(Arc::new(std::sync::Mutex::new(Notes::new()?))) };
    let running = {
        let (live, stop, keep) = (live.clone(), stop.clone(), notes.clone().map(keep));
        std::thread::Builder::new().name("drive".into()).spawn(move || drive(&spec, &live, keep, stop))?
    };
    let bar = bar();
    let mut last_line = Instant::now();
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        let line = progress_line(&live, started);
        if bar.is_hidden() {
            if last_line.elapsed() > Duration::from_secs(2) {
                last_line = Instant::now();
                println!("{line}");
            }
        } else {
            bar.set_message(line);
            bar.tick();
        }
    }
    bar.finish_and_clear();
    let report = running.join().map_err(|_| Error::bug("the demo failed"))??;
    tell(&report, &plan, workers);
    if let Some(notes) = notes {
        leave(&args.archive, &pipeline, &notes)?;
    }
    next();
    let good = report.differences.is_empty() && report.audit.is_empty();
    Ok(if good { Answer::Yes } else { Answer::No })
}

/// The pipeline from disk; the built-in one where the default is not there.
fn load(path: &Path) -> Result<(Pipeline, Plan, Option<tempfile::TempDir>), Error> {
    if path.exists() || path != Path::new("pipelines/soc") {
        let (pipeline, plan) = require(path, &Options::default())?;
        return Ok((pipeline, plan, None));
    }
    let dir = tempfile::tempdir()?;
    for (name, text) in SOC {
        let file = dir.path().join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, text)?;
    }
    let (pipeline, plan) = require(dir.path(), &Options::default())?;
    Ok((pipeline, plan, Some(dir)))
}

fn source_of(pipeline: &Pipeline, topic: &str) -> Option<u16> {
    let reads = |wanted: &Topic| match wanted {
        Topic::Name(name) => name == topic,
        Topic::Pattern(pattern) => regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(topic)),
    };
    pipeline.sources.iter().position(|source| source.topics.iter().any(|t| reads(&t.value))).map(|n| n as u16)
}

/// Every partition has an index of its own: they share the memory for indexes.
fn share_index(plan: &mut Plan, topics: usize) {
    const SHARD_BYTES_MIN: usize = 4 << 20;
    plan.decide.index_bytes_max = (plan.decide.index_bytes_max / (topics * 2).max(1)).max(SHARD_BYTES_MIN);
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn progress_line(live: &Live, started: Instant) -> String {
    let counts = live.engine.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let rate = counts.events as f64 / started.elapsed().as_secs_f64().max(0.001);
    format!(
        "{} events ({}/s) | incidents {} | filtered {} | dropped {} | attached {} | dead letters {} | lag {}{}",
        number(counts.events),
        number(rate as u64),
        number(counts.incidents_total()),
        number(counts.filtered_total()),
        number(counts.dropped_total()),
        number(counts.attached_total()),
        number(counts.dead_total()),
        number(live.lag()),
        if live.calm.load(Ordering::Relaxed) { " | calm part" } else { "" },
    )
}

fn tell(report: &DriveReport, plan: &Plan, workers: usize) {
    let counts = &report.counts;
    println!("{}", style("Where the events went", Style::Head));
    print!("{}", summary::ends(counts));
    println!("\n{}", style("Incidents by type", Style::Head));
    print!("{}", summary::types(counts, plan));
    println!("\n{}", style("What filters and rules did", Style::Head));
    print!("{}", summary::deciders(counts, plan));

    println!("\n{}", style("Speed", Style::Head));
    let (seconds, messages) = report.flood;
    let per_message = counts.events as f64 / counts.messages.max(1) as f64;
    let (user, system, rss) = output::resources();
    let million = counts.events.max(1) as f64 / 1e6;
    println!(
        "  flood            {} events/s ({} messages in {seconds:.1} s, generator and broker in the same process)",
        number((messages as f64 * per_message / seconds) as u64),
        number(messages)
    );
    println!(
        "  CPU              {:.2} s per million events in {workers} workers; {:.2} s for everything, broker and generator included",
        report.worker_cpu_seconds / million,
        (user + system) / million
    );
    println!("  memory           {} MB at most; index: {} keys in {:.1} MB", rss >> 20, number(report.index.0), report.index.1 as f64 / (1 << 20) as f64);
    println!("  event → incident {}  while the flood queues", latency(report.latency_flood));
    println!("                   {}  calm, at {} messages/s", latency(report.latency_calm), number(report.calm_rate as u64));

    println!("\n{}", style("Audit", Style::Head));
    let (created, attached, linked) = report.facts;
    println!("  read back from the topic: {} created, {} attached and {} linked facts", number(created), number(attached), number(linked));
    if report.differences.is_empty() && report.audit.is_empty() {
        println!(
            "  {}: every counter agrees with the generator's answers, and the topics with the ledger; nothing lost, nothing twice",
            style("good", Style::Good)
        );
    }
    for difference in &report.differences {
        println!("  {}: {difference}", style("differs", Style::Bad));
    }
    for wrong in &report.audit {
        println!("  {}: {wrong}", style("wrong", Style::Bad));
    }
}

/// Takes down the facts that the audit reads. A disk that refuses costs the archive, not the run.
fn keep(notes: Arc<std::sync::Mutex<Notes>>) -> Keep {
    let mut failed = false;
    Box::new(move |record| {
        let origin = Origin { partition: record.partition, offset: record.offset, timestamp_ms: record.timestamp_ms };
        let mut notes = notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !failed && let Err(error) = notes.note(record.key(), record.payload(), &origin) {
            tracing::error!(%error, "facts are not taken down any more");
            failed = true;
        }
    })
}

/// What a SOC asks first.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "What there is most of",
        "SELECT type, count(*) AS incidents, sum(attached_count) AS repeats_saved, max(severity) AS severity FROM incidents GROUP BY type ORDER BY incidents DESC LIMIT 5",
    ),
    (
        "Who is hit in most ways",
        "SELECT host, count(*) AS incidents, count(DISTINCT type) AS types, max(severity) AS severity FROM incidents WHERE host IS NOT NULL GROUP BY host ORDER BY types DESC, incidents DESC, host LIMIT 5",
    ),
    (
        "What repeated most",
        "SELECT type, host, attached_count AS repeats, attached_last - attached_first AS over FROM incidents WHERE attached_count > 0 ORDER BY attached_count DESC, id LIMIT 5",
    ),
];

/// Writes the archive, and asks it.
fn leave(dir: &Path, pipeline: &Pipeline, notes: &std::sync::Mutex<Notes>) -> Result<(), Error> {
    let began = Instant::now();
    let written = once::write(dir, &pipeline.schema, &mut notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner))?;
    println!("\n{}", style("Asked in SQL", Style::Head));
    println!(
        "  {} incidents ({} versions) in a Delta table in {}, written in {:.1} s",
        number(written.incidents as u64),
        number(written.rows as u64),
        dir.display(),
        began.elapsed().as_secs_f64()
    );
    let catalog = Catalog::new(&Location::Directory(dir.to_owned()), None, &pipeline.schema);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let engine = Engine::new(catalog, None, super::sql::bounds(&crate::config::environment::Sql::default(), threads))?;
    let mut client = Client::here(&engine)?;
    for (title, sql) in QUESTIONS {
        println!("\n  {title}: {}", style(sql, Style::Dim));
        let mut shown = String::new();
        let began = Instant::now();
        client.run(sql, Format::Table, &mut std::io::sink(), &mut |answer| shown = answer.cells.as_ref().map(super::sql::shown).unwrap_or_default())?;
        shown.lines().for_each(|line| println!("  {line}"));
        println!("  {}", style(&format!("({:.0?})", began.elapsed()), Style::Dim));
    }
    Ok(())
}

fn next() {
    println!("\n{}", style("What to try next", Style::Head));
    println!("  catchment sql \"SELECT * FROM incidents LIMIT 5\"  the incidents of this demo, in SQL; without a query: a prompt");
    println!("  catchment check pipelines/soc                     what a pipeline looks like when it is right (break it!)");
    println!("  catchment generate --split soc-events             such events as files, one per topic");
    println!("  catchment replay pipelines/soc soc-events -o incidents.ndjson");
    println!("  catchment coverage pipelines/soc soc-events       what is mapped, what is not");
    println!("  catchment explain pipelines/soc event.json        why an event ends as it does");
}

fn latency(latency: Percentiles) -> String {
    if latency.count == 0 {
        return "not measured".into();
    }
    let ms = |us: u64| us as f64 / 1000.0;
    format!("p50 {:>6.1} ms, p99 {:>6.1} ms, max {:>6.1} ms", ms(latency.p50_us), ms(latency.p99_us), ms(latency.max_us))
}
