//! A whole load test, from the first look at the topics to the verdict: at one rate, or the
//! search for capacity and then a share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::audit::Verdict;
use super::capacity::{Next, Search, Step, hopeless, judge};
use super::cluster::{ClusterSpec, Run};
use super::latency::{Percentiles, Second, line, percentiles};
use super::live::Live;
use super::pace::{Pace, short};
use super::send::Segment;
use crate::error::Error;

/// How long an ingest group may take to catch up with what lay in the topics before.
const BACKLOG_MAX: Duration = Duration::from_secs(60);
/// Longest search for capacity.
const SEARCH_MAX: Duration = Duration::from_secs(3600);
/// Share of the intended rate that must have been sent, or the report says so.
const SENT_MIN: f64 = 0.97;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How fast; with a search, where it begins.
    pub pace: Pace,
    /// How long the same rate is kept up before: nothing of that is measured, all of it is audited.
    pub warmup: Option<Duration>,
    /// How long the measured part is.
    pub length: Duration,
    /// Search for capacity first.
    pub search: Option<SearchSpec>,
    /// How long lag may stay where it is at the end before the run gives up.
    pub patience: Duration,
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct SearchSpec {
    /// How long lag must stay flat.
    pub flat: Duration,
    /// Share of the capacity (0 to 1) at which latency is measured then.
    pub at: f64,
}

/// What a load test showed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The intended rate of the measured part, events per second; `None`: as fast as possible.
    pub rate: Option<f64>,
    /// Events sent in the measured part.
    pub events: u64,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of keys and payloads in it.
    pub bytes: u64,
    /// Seconds from its first event to its last.
    pub seconds: f64,
    /// Events sent in the whole run.
    pub events_in_all: u64,
    /// From intended time to handing over: the sender's own share of the latency.
    pub send_delay: Percentiles,
    /// From the intended time of an event to its committed incident, in the measured part.
    pub latency: Percentiles,
    /// The same as one line of text.
    #[serde(skip)]
    pub latency_line: String,
    /// Second of the run in which the measured part began.
    pub measured_from: u64,
    /// Every second of the run.
    pub per_second: Vec<Second>,
    /// Lag at its highest in the measured part; `None`: it could not be measured.
    pub lag_max: Option<u64>,
    /// Seconds until everything was committed, after the last event.
    pub drain_seconds: f64,
    /// True if everything was.
    pub drained: bool,
    /// True if it was ended by hand.
    pub stopped: bool,
    /// Rates tried.
    pub steps: Vec<Step>,
    /// The capacity that was found, events per second.
    pub capacity: Option<f64>,
    /// Members of the ingest group at the beginning.
    pub members: usize,
    /// Bytes that the book of events took at the end.
    pub book_bytes: usize,
    /// What to know about the figures.
    pub notes: Vec<String>,
    /// The audit of the whole run.
    pub audit: Verdict,
}

impl Report {
    /// True when nothing is wrong and everything was looked at.
    pub fn is_good(&self) -> bool {
        self.audit.is_good() && self.drained
    }
}

/// Runs it. `live` shows the progress; `stop` ends it early, with a report of what was.
///
/// # Errors
/// Brokers, topics, or a pipeline that does not read.
pub fn run(spec: ClusterSpec, scenario: &Scenario, live: Arc<Live>, stop: &AtomicBool) -> Result<Report, Error> {
    live.do_now("connecting");
    let mut notes = Vec::new();
    let group = spec.names.ingest_group.clone();
    let mut run = Run::open(spec, live.clone())?;
    let members = run.members()?;
    if members == 0 {
        return Err(Error::user(format!("nobody reads: the group `{group}` has no members")).hint("start a member first: catchment run PIPELINE"));
    }
    wait_for_backlog(&run, &live, stop)?;
    run.watch()?;
    let mut steps = Vec::new();
    let mut capacity = None;
    let mut pace = scenario.pace;
    if let Some(search) = scenario.search {
        capacity = find_capacity(&mut run, scenario, search, &live, stop, &mut steps, &mut notes)?;
        match capacity {
            Some(found) => pace = Pace::PerSecond((found * search.at).max(1.0)),
            None if !stop.load(Ordering::Relaxed) => notes.push("no rate was found at which lag stays flat".to_owned()),
            None => {}
        }
        live.do_now("reading what the search left");
        // Its latency belongs to rates that were too much.
        if capacity.is_some() && !run.forget_latencies(stop)? && !stop.load(Ordering::Relaxed) {
            notes.push("the audit was still behind when latencies were measured: they count its delay, too".to_owned());
        }
    }
    let measures = scenario.search.is_none() || capacity.is_some();
    if let Some(warmup) = scenario.warmup.filter(|_| measures) {
        live.do_now(format!("warming up with {pace}"));
        run.send(pace, u64::MAX, Some(warmup), stop, &|| false)?;
        run.measure_from_here();
    }
    let since = run.now_us();
    let segment = if !measures {
        None
    } else {
        live.do_now(format!("sending {pace}"));
        Some(run.send(pace, u64::MAX, Some(scenario.length), stop, &|| false)?)
    };
    live.do_now("waiting until everything is committed");
    let stopped = stop.load(Ordering::Relaxed);
    let began = Instant::now();
    // Who stopped it by hand may stop the waiting by hand, too: with the second signal.
    let drained = run.drain(if stopped { scenario.patience.min(Duration::from_secs(10)) } else { scenario.patience }, &AtomicBool::new(false))?;
    let drain_seconds = began.elapsed().as_secs_f64();
    let lag_max = run.lag_since(since).iter().map(|(_, lag)| *lag).max();
    live.do_now("reading the output to its end");
    let finished = run.finish()?;
    if stopped {
        notes.push("stopped by hand: the figures are of a part of the run".to_owned());
    }
    if let Some(segment) = &segment {
        say_about(segment, stopped, &mut notes);
    }
    if !drained {
        notes.push(format!(
            "not everything was committed: lag {}, and what is missing may still come",
            live.lag().map_or("is not known".to_owned(), |lag| format!("is {lag}"))
        ));
    }
    let of = |get: fn(&Segment) -> u64| segment.as_ref().map_or(0, get);
    Ok(Report {
        rate: match pace {
            Pace::PerSecond(rate) => Some(rate),
            Pace::Max => None,
        },
        events: of(|s| s.events),
        messages: of(|s| s.messages),
        bytes: of(|s| s.bytes),
        seconds: segment.as_ref().map_or(0.0, |s| s.seconds),
        events_in_all: live.sent.load(Ordering::Relaxed),
        send_delay: segment.as_ref().map(|s| percentiles(&s.delay)).unwrap_or_default(),
        latency: percentiles(&finished.latencies),
        latency_line: line(&finished.latencies),
        measured_from: since / 1_000_000,
        per_second: live.seconds(0),
        lag_max,
        drain_seconds,
        drained,
        stopped,
        steps,
        capacity,
        members,
        book_bytes: finished.book_bytes,
        notes,
        audit: finished.verdict,
    })
}

/// What was left before the run would be counted as its own.
fn wait_for_backlog(run: &Run, live: &Live, stop: &AtomicBool) -> Result<(), Error> {
    let since = Instant::now();
    while let Some(left) = run.backlog()?.filter(|left| *left > 0) {
        live.do_now(format!("waiting for the {left} events that were there before"));
        if since.elapsed() > BACKLOG_MAX || stop.load(Ordering::Relaxed) {
            return Err(Error::user(format!("the pipeline is {left} events behind what was there before: their incidents would be counted as this run's"))
                .hint("wait until `catchment status` shows no lag"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn find_capacity(
    run: &mut Run,
    scenario: &Scenario,
    spec: SearchSpec,
    live: &Live,
    stop: &AtomicBool,
    steps: &mut Vec<Step>,
    notes: &mut Vec<String>,
) -> Result<Option<f64>, Error> {
    let start = match scenario.pace {
        Pace::PerSecond(rate) => rate,
        Pace::Max => 1_000.0,
    };
    let mut search = Search::new(start, spec.flat);
    let began = Instant::now();
    loop {
        let (rate, length, whole) = match search.next() {
            Next::Done(answer) => return Ok(answer),
            Next::Try { rate, length, whole } => (rate, length, whole),
        };
        if began.elapsed() + length > SEARCH_MAX {
            notes.push("the search for capacity took too long and was ended".to_owned());
            return Ok(None);
        }
        live.do_now(format!("trying {}/s{}", short(rate), if whole { ", the whole time" } else { "" }));
        let since = run.now_us();
        let too_long = Instant::now() + length + length / 10;
        let hopeless = || live.lag().is_some_and(|lag| hopeless(rate, lag));
        let segment = run.send(Pace::PerSecond(rate), u64::MAX, Some(length), stop, &|| hopeless() || Instant::now() > too_long)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let samples = run.lag_since(since);
        let step = judge(rate, segment.rate(), segment.seconds, whole, segment.stopped && hopeless(), &samples);
        if step.sender_bound && step.flat {
            notes.push(format!(
                "{}/s could not be sent: this machine or the brokers took {}/s; the pipeline may be able to do more than what was found",
                short(rate),
                short(step.sent)
            ));
        }
        steps.push(step);
        search.record(&step);
        live.do_now("waiting until lag is gone");
        if !run.drain(scenario.patience, stop)? && !stop.load(Ordering::Relaxed) {
            notes.push("the pipeline did not work off its lag between two steps: the search was ended".to_owned());
            return Ok(None);
        }
    }
}

/// Figures that are the load's own fault.
fn say_about(segment: &Segment, stopped: bool, notes: &mut Vec<String>) {
    if let Pace::PerSecond(rate) = segment.pace
        && !stopped
        && segment.rate() < rate * SENT_MIN
    {
        notes.push(format!(
            "only {}/s were sent instead of {}/s: this machine or the brokers did not take more; latency counts from the intended times",
            short(segment.rate()),
            short(rate)
        ));
    }
    if segment.full > 0 {
        notes.push(format!("the producer's queue was full {} times: the brokers took events slower than they were due", segment.full));
    }
}
