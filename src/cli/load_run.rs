//! `catchment load`: the load test of a pipeline that runs on Kafka.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};

use super::environment::EnvironmentArgs;
use super::load::require;
use super::output::{Style, err_style, number};
use super::{Answer, load_report, output};
use crate::config::model::{Pipeline, Topic};
use crate::config::units::parse_duration_ms;
use crate::error::Error;
use crate::ingest::plan::build::Options;
use crate::load::cluster::{ClusterSpec, Run};
use crate::load::live::Live;
use crate::load::pace::{Pace, short};
use crate::load::scenario::{self, Scenario, SearchSpec};
use crate::load::{GeneratorSpec, profiles};
use crate::run::Names;
use crate::run::signals::Signals;

/// Events per second unless told otherwise.
const RATE_DEFAULT: Pace = Pace::PerSecond(1_000.0);
/// Longest run: send times are kept in 32 bits.
const DURATION_MAX: Duration = Duration::from_secs(11 * 3600);
/// Pause between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// A run as fast as possible is planned for so many events per second.
const FASTEST: u64 = 300_000;

/// `load`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Events are sent on a schedule, whatever the pipeline does; latency counts from the time at which an event was meant to be sent to the time at which a read_committed consumer sees its incident, so a stall shows in every event that it held up. What must become of each event is known by construction; afterwards the audit reads the topics: every incident exactly once, with its id and its attached events, counts per type, rule and reason, and a ledger that covers every offset once.\n\nThe pipeline must be the one that the events are made for: pipelines/soc, or fixtures/pipelines/bench (--profile bench: the id and the attached events of every incident are known). Start it before: `catchment run`. Nobody else may write to its topics meanwhile.\n\nExamples:\n  catchment load pipelines/soc --rate 5k --warmup 10s --duration 60s\n  catchment load fixtures/pipelines/bench --capacity --flat 60s --at 50% --json report.json\n  catchment load fixtures/pipelines/bench --preload 2M      fill the topic and stop\n\nExit codes: 0 nothing lost, nothing twice, all counts agree; 1 not so, or not all was committed; 2 could not be done."
)]
pub struct LoadArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Where the brokers are
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    /// Events per second: 200, 50k, 1.5M, or max; with --capacity, where the search begins [default: 1k]
    #[arg(long, value_parser = Pace::parse)]
    pub rate: Option<Pace>,
    /// How long: 30s, 5m
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub duration: Duration,
    /// So long at the same rate before that, without being measured: brokers compile, caches fill
    #[arg(long, value_parser = duration, conflicts_with = "preload")]
    pub warmup: Option<Duration>,
    /// The seed: the same seed gives the same events at other times [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which events: a profile of `catchment generate --list`, or soc [default: those that the pipeline reads]
    #[arg(long)]
    pub profile: Option<String>,
    /// Share of events that repeat an earlier one inside its window, 0 to 1 (one profile)
    #[arg(long, value_name = "SHARE")]
    pub duplicates: Option<f64>,
    /// Write to this topic instead of the profile's (one profile)
    #[arg(long)]
    pub topic: Option<String>,
    /// Send events without their keys: they go to partitions in turns
    #[arg(long)]
    pub unkeyed: bool,
    /// Only fill the topic with so many events (1M, 500k), as fast as --rate says [default: max], and stop
    #[arg(long, value_name = "EVENTS", value_parser = preload_events, conflicts_with = "capacity")]
    pub preload: Option<u64>,
    /// Search for the highest rate at which lag stays flat; then measure at a share of it
    #[arg(long)]
    pub capacity: bool,
    /// How long lag must stay flat
    #[arg(long, default_value = "60s", value_parser = duration, requires = "capacity")]
    pub flat: Duration,
    /// Share of the capacity at which latency is measured
    #[arg(long, default_value = "50%", value_parser = share, value_name = "PERCENT", requires = "capacity")]
    pub at: f64,
    /// How long lag may stay where it is before the run gives up waiting for it
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub patience: Duration,
    /// Write the report as JSON: a file, or -
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_duration_ms(text).map_err(|error| error.to_string())?;
    let length = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    if length.is_zero() || length > DURATION_MAX { Err("expected a time between 1ms and 11h".to_owned()) } else { Ok(length) }
}

/// Most events of a preload: their numbers are kept in 32 bits.
const PRELOAD_MAX: u64 = 4_000_000_000;

fn preload_events(text: &str) -> Result<u64, String> {
    super::args::events(text).and_then(|n| if (1..PRELOAD_MAX).contains(&n) { Ok(n) } else { Err("a number from 1 to 4 billion".to_owned()) })
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<f64>().ok());
    percent.filter(|p| *p > 0.0 && *p <= 100.0).map(|p| p / 100.0).ok_or_else(|| "expected a percentage such as 50%".to_owned())
}

/// Runs the command.
pub fn run(args: &LoadArgs) -> Result<Answer, Error> {
    let (pipeline, plan) = require(&args.pipeline, &Options::default())?;
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let profile = match &args.profile {
        Some(name) => name.clone(),
        None => profile_of(&pipeline)?,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = args.seed.unwrap_or(now.as_millis() as u64 & 0xffff_ffff);
    let pace = args.rate.unwrap_or(if args.preload.is_some() { Pace::Max } else { RATE_DEFAULT });
    // With a search the rate of simulated time must fit every step.
    let length = args.duration + args.warmup.unwrap_or_default();
    let (time, planned) = match (args.preload, args.capacity, pace) {
        (Some(events), ..) => (pace, events),
        (None, true, _) => (Pace::Max, u64::MAX),
        (None, false, Pace::Max) => (Pace::Max, length.as_secs().max(1) * FASTEST),
        (None, false, pace) => (pace, pace.events(length)),
    };
    let Some(mut generate) = GeneratorSpec::load(&profile, seed, time, planned, now.as_millis() as i64) else {
        let names: Vec<&str> = profiles::ALL.iter().map(|p| p.name).chain(["soc"]).collect();
        let hint = crate::config::suggest::hint(&profile, &names).unwrap_or_else(|| "catchment generate --list".into());
        return Err(Error::user(format!("there is no profile `{profile}`")).hint(hint));
    };
    if let Some(share) = args.duplicates {
        generate.duplicate_share = share.clamp(0.0, 1.0);
    }
    if args.unkeyed && generate.mix.len() > 1 {
        return Err(Error::user("what must become of events without keys is known for one profile only").hint("add --profile bench"));
    }
    let spec = ClusterSpec {
        bootstrap: bootstrap.clone(),
        properties: environment.client_properties(),
        names: Names::of(&pipeline),
        tenant: plan.tenant.as_deref().map(str::to_owned),
        generate,
        topic: args.topic.clone(),
        keyed: !args.unkeyed,
    };
    let what = format!("profile {profile}, seed {seed}{}", if args.unkeyed { ", without keys" } else { "" });
    if let Some(events) = args.preload {
        return preload(spec, pace, events, &what);
    }
    eprintln!("{} `{}` on {bootstrap}: {what}", err_style("load test of", Style::Head), plan.name);
    let search = args.capacity.then_some(SearchSpec { flat: args.flat, at: args.at });
    let scenario = Scenario { pace, warmup: args.warmup, length: args.duration, search, patience: args.patience };
    let signals = Signals::listen()?;
    let live = Arc::new(Live::default());
    let running = {
        let (live, stop) = (live.clone(), signals.stop.clone());
        std::thread::Builder::new().name("load".into()).spawn(move || scenario::run(spec, &scenario, live, &stop))?
    };
    show(&live, || running.is_finished());
    let report = running.join().map_err(|_| Error::bug("the load test failed"))??;
    if let Some(path) = &args.json {
        let mut file = output::writer(path)?;
        let mut json = serde_json::to_value(&report).map_err(|error| Error::bug(error.to_string()))?;
        if let Some(object) = json.as_object_mut() {
            object.insert("pipeline".into(), plan.name.to_string().into());
            object.insert("pipeline_version".into(), plan.version.to_string().into());
            object.insert("profile".into(), profile.clone().into());
            object.insert("seed".into(), seed.into());
            object.insert("good".into(), report.is_good().into());
        }
        let written = serde_json::to_writer_pretty(&mut file, &json).map_err(std::io::Error::from).and_then(|()| writeln!(file)).and_then(|()| file.flush());
        written.map_err(|error| Error::environment(format!("cannot write {}: {error}", path.display())))?;
    }
    // On standard output there is one report: the JSON, if it was asked for there.
    let text = load_report::text(&report, args.capacity);
    if args.json.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        eprint!("{text}")
    } else {
        print!("{text}")
    }
    Ok(if report.is_good() { Answer::Yes } else { Answer::No })
}

/// The profile whose events the pipeline reads.
fn profile_of(pipeline: &Pipeline) -> Result<String, Error> {
    let reads = |topic: &str| {
        pipeline.sources.iter().flat_map(|source| &source.topics).any(|wanted| match &wanted.value {
            Topic::Name(name) => name == topic,
            Topic::Pattern(pattern) => regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(topic)),
        })
    };
    if profiles::SOC_MIX.iter().all(|(profile, _)| reads(profile.topic)) {
        return Ok("soc".to_owned());
    }
    let mut known = profiles::ALL.iter().filter(|profile| reads(profile.topic));
    match (known.next(), known.next()) {
        (Some(profile), None) => Ok(profile.name.to_owned()),
        (None, _) => Err(Error::user("no profile makes events for the topics of this pipeline").hint("name one with --profile, and a topic with --topic")),
        (Some(_), Some(_)) => Err(Error::user("several profiles make events for this pipeline").hint("choose one with --profile: catchment generate --list")),
    }
}

/// Fills the topics and stops.
fn preload(spec: ClusterSpec, pace: Pace, events: u64, what: &str) -> Result<Answer, Error> {
    eprintln!("{} {} events: {what}", err_style("filling the input with", Style::Head), number(events));
    let live = Arc::new(Live::default());
    let mut run = Run::open(spec, live.clone())?;
    let stop = Signals::listen()?.stop;
    let done = Arc::new(AtomicBool::new(false));
    let shown = {
        let (live, done) = (live.clone(), done.clone());
        live.do_now("filling");
        std::thread::Builder::new().name("show".into()).spawn(move || show(&live, || done.load(Ordering::Relaxed)))?
    };
    let sent = run.send(pace, events, None, &stop, &|| false).and_then(|segment| Ok((segment, run.flush()?)));
    done.store(true, Ordering::Relaxed);
    let _ = shown.join();
    let (segment, lost) = sent?;
    println!(
        "{} events in {} messages ({:.1} MB), {}/s in {:.1} s",
        number(segment.events),
        number(segment.messages),
        segment.bytes as f64 / 1e6,
        short(segment.rate()),
        segment.seconds
    );
    for (topic, partition, from, to) in run.ranges() {
        println!("  {topic}[{partition}]  {from} to {to}");
    }
    if lost > 0 {
        return Err(Error::environment(format!("{} messages were not stored", number(lost))));
    }
    Ok(if segment.stopped { Answer::No } else { Answer::Yes })
}

/// Shows progress until `done`: one line that changes on a terminal, else a line now and then.
fn show(live: &Live, done: impl Fn() -> bool) {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    let (mut last_line, mut looked, mut sent, mut rate) = (Instant::now(), Instant::now(), 0, 0.0);
    while !done() {
        std::thread::sleep(Duration::from_millis(50));
        if looked.elapsed() > Duration::from_millis(500) {
            let now = live.sent.load(Ordering::Relaxed);
            rate = (now - sent) as f64 / looked.elapsed().as_secs_f64();
            (looked, sent) = (Instant::now(), now);
        }
        if !bar.is_hidden() {
            bar.set_message(progress(live, rate));
            bar.tick();
        } else if last_line.elapsed() > LINE_EVERY {
            last_line = Instant::now();
            eprintln!("{}", progress(live, rate));
        }
    }
    bar.finish_and_clear();
}

fn progress(live: &Live, rate: f64) -> String {
    let lag = live.lag().map_or_else(|| "?".to_owned(), number);
    let mut line = format!("{}: {} sent, {}/s, lag {lag}", live.doing(), number(live.sent.load(Ordering::Relaxed)), short(rate));
    if let Some(second) = live.last() {
        line += &format!(", {} incidents/s", number(second.incidents));
        if second.incidents > 0 {
            line += &format!(", p50 {:.0} ms, p99 {:.0} ms", second.p50_us as f64 / 1e3, second.p99_us as f64 / 1e3);
        }
    }
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(duration("0").is_err() && duration("12h").is_err() && duration("x").is_err());
        assert_eq!(preload_events("2M").unwrap(), 2_000_000);
        assert!(preload_events("0").is_err() && preload_events("9000M").is_err());
        assert_eq!(share("50%").unwrap(), 0.5);
        assert!(share("0%").is_err() && share("0.5").is_err() && share("101%").is_err());
    }

    #[test]
    fn the_pipelines_name_their_profiles() {
        for (path, profile) in [("pipelines/soc", "soc"), ("fixtures/pipelines/bench", "bench"), ("fixtures/pipelines/windows-bench", "windows-bench")] {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
            let (pipeline, _) = require(&path, &Options::default()).unwrap();
            assert_eq!(profile_of(&pipeline).unwrap(), profile);
        }
    }
}
