//! The load on a real cluster: connects, sends, watches lag, reads the output back.
//!
//! The pipeline runs elsewhere (`catchment run`); nothing of it is used here but the names of
//! its topics and of its ingest group.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::ahead::Ahead;
use super::audit::{Ids, Verdict, Wrong};
use super::book::{Book, RUN_US_MAX};
use super::live::Live;
use super::pace::{Clock, Pace};
use super::send::{Outlet, Segment, Sender, SenderSpec};
use super::tail::{Ends, Tail, TailSpec};
use super::{Generator, GeneratorSpec};
use crate::error::Error;
use crate::kafka::{Admin, At, Flood, Gaps, Settings, TopicReader};
use crate::run::Names;

/// How long one answer of the brokers may take.
const ASK_MAX: Duration = Duration::from_secs(10);
/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_millis(200);
/// Samples of lag that are kept (count): twelve hours.
const SAMPLES_MAX: usize = 220_000;
/// How long the cluster may take to store what was sent last.
const FLUSH_MAX: Duration = Duration::from_secs(60);
/// How long reading the output to its end may take once everything is committed.
const TAIL_MAX: Duration = Duration::from_secs(60);

/// What a run needs to know.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// The brokers.
    pub bootstrap: String,
    /// The user's librdkafka properties.
    pub properties: BTreeMap<String, String>,
    /// Topics and group of the pipeline.
    pub names: Names,
    /// The tenant of all incidents, if the pipeline names one: then ids can be computed.
    pub tenant: Option<String>,
    /// What to send; its topics are those of its profiles,
    pub generate: GeneratorSpec,
    /// or this one, for all of them.
    pub topic: Option<String>,
    /// False: events go without their keys, so partitions take turns. Then the audit wants one
    /// incident per group, whichever event it is made of.
    pub keyed: bool,
}

/// A connected run.
pub struct Run {
    admin: Arc<Admin>,
    spec: ClusterSpec,
    sender: Sender,
    book: Arc<Book>,
    ids: Option<Arc<Ids>>,
    live: Arc<Live>,
    clock: Clock,
    /// Where the output topics ended before the first event.
    starts: Vec<(String, Vec<i64>)>,
    tail: Option<Tail>,
    lag: Option<Lag>,
}

/// What the end of a run gives.
pub struct Finished {
    /// The audit.
    pub verdict: Verdict,
    /// Latencies since they were last taken.
    pub latencies: Histogram<u64>,
    /// Bytes that the book took at the end.
    pub book_bytes: usize,
}

impl Run {
    /// Connects, looks whether all topics are there, and notes where they end. Nothing is sent yet.
    ///
    /// # Errors
    /// Brokers that cannot be reached; topics that do not exist.
    pub fn open(spec: ClusterSpec, live: Arc<Live>) -> Result<Run, Error> {
        let with_user = |settings: Settings| settings.with_user(&spec.properties);
        let admin = Arc::new(Admin::connect(&with_user(Settings::admin(&spec.bootstrap))?, ASK_MAX)?);
        let mut from: Vec<&str> = spec.generate.mix.iter().map(|(profile, _)| profile.topic).collect();
        from.sort_unstable();
        from.dedup();
        if spec.topic.is_some() && from.len() > 1 {
            return Err(Error::user("one topic cannot take the events of several sources").hint("choose one with --profile"));
        }
        let inputs: Vec<&str> = spec.topic.as_deref().map_or_else(|| from.clone(), |topic| vec![topic]);
        let outputs = [spec.names.incidents.as_str(), &spec.names.dead_letters, &spec.names.index];
        let wanted: Vec<&str> = inputs.iter().copied().chain(outputs).collect();
        let found = admin.topics(&wanted)?;
        let missing: Vec<&str> = wanted.iter().zip(&found).filter(|(_, topic)| topic.is_none()).map(|(name, _)| *name).collect();
        if !missing.is_empty() {
            return Err(Error::user(format!("these topics do not exist: {}", missing.join(", ")))
                .hint("`catchment topics PIPELINE --create --create-inputs 6` makes those that the pipeline names; those that match a pattern of it are made with Kafka's own tools, before its members start"));
        }
        let topics: Vec<_> = found.into_iter().flatten().collect();
        let (inputs, outputs) = topics.split_at(inputs.len());
        let partitions_of = |topics: &[crate::kafka::Topic]| -> Vec<(String, i32)> {
            topics.iter().flat_map(|topic| (0..topic.partitions).map(|partition| (topic.name.clone(), partition))).collect()
        };
        let bases = ends(&admin, &partitions_of(inputs))?;
        let mut starts: Vec<(String, Vec<i64>)> = outputs.iter().map(|topic| (topic.name.clone(), Vec::new())).collect();
        for (topic, _, end) in ends(&admin, &partitions_of(outputs))? {
            if let Some((_, list)) = starts.iter_mut().find(|(name, _)| *name == topic) {
                list.push(end);
            }
        }
        let ids = spec.tenant.as_ref().map(|tenant| {
            Arc::new(Ids {
                tenant: tenant.clone(),
                pipeline: spec.names.pipeline.clone(),
                cluster: admin.cluster_id().to_owned(),
                topics: inputs.iter().map(|topic| (topic.name.clone(), topic.identity())).collect(),
            })
        });
        let clock = Clock::start();
        let book = Arc::new(Book::new(bases, spec.keyed));
        let topics: Vec<(String, i32)> = inputs.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect();
        let flood = Flood::start(&with_user(Settings::load(&spec.bootstrap))?, &topics)?;
        // The sender knows topics by the names that the generator gives them.
        let topics: Vec<(String, i32)> = from.iter().zip(topics).map(|(name, (_, partitions))| ((*name).to_owned(), partitions)).collect();
        let generator = Generator::new(spec.generate.clone()).map_err(|error| Error::bug(error.to_string()))?;
        let sender = SenderSpec { outlet: Outlet::Cluster(flood), topics, keyed: spec.keyed, book: book.clone(), live: live.clone(), clock };
        let sender = Sender::new(sender, Ahead::start(generator)?);
        Ok(Run { admin, spec, sender, book, ids, live, clock, starts, tail: None, lag: None })
    }

    /// Begins to read the output (from where it ended when the run was opened) and to measure lag.
    ///
    /// # Errors
    /// Clients or threads that cannot be started.
    pub fn watch(&mut self) -> Result<(), Error> {
        if self.tail.is_some() {
            return Ok(());
        }
        let settings = Settings::reader(&self.spec.bootstrap).with_user(&self.spec.properties)?;
        let starts: Vec<(&str, Vec<i64>)> = self.starts.iter().map(|(name, starts)| (name.as_str(), starts.clone())).collect();
        self.tail = Some(Tail::spawn(TailSpec {
            reader: TopicReader::open_at(&settings, &starts, Gaps::Legal, None)?,
            incidents: self.spec.names.incidents.clone(),
            dead_letters: self.spec.names.dead_letters.clone(),
            book: self.book.clone(),
            ids: self.ids.clone(),
            clock: self.clock,
            live: self.live.clone(),
            metrics: false,
            keep: None,
        })?);
        self.lag = Some(Lag::spawn(self.admin.clone(), self.spec.names.ingest_group.clone(), self.book.clone(), self.live.clone(), self.clock)?);
        Ok(())
    }

    /// How many members the ingest group has.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn members(&self) -> Result<usize, Error> {
        let groups = self.admin.groups(&[&self.spec.names.ingest_group])?;
        Ok(groups.first().map_or(0, |group| group.members.len()))
    }

    /// Events that lie in the input since before this run and are not committed; `None` where
    /// the group has not committed anything yet.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn backlog(&self) -> Result<Option<u64>, Error> {
        let ranges = self.book.ranges();
        let places: Vec<(&str, i32)> = ranges.iter().map(|(topic, partition, ..)| (topic.as_str(), *partition)).collect();
        let committed = self.admin.committed(&self.spec.names.ingest_group, &places)?;
        let mut sum = None;
        for ((_, _, base, _), committed) in ranges.iter().zip(committed) {
            if let Some(committed) = committed {
                *sum.get_or_insert(0) += u64::try_from(base - committed).unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// Simulated time of the events goes on with so many events per second.
    pub fn pace_time(&self, rate: u32, not_before_ms: i64) {
        self.sender.ahead().pace(rate, not_before_ms);
    }

    /// Sends events; see [`Sender::run`]. Ends when the run has lasted longer than can be measured.
    ///
    /// # Errors
    /// As there; or reading the output has failed.
    pub fn send(&mut self, pace: Pace, events: u64, length: Option<Duration>, stop: &AtomicBool, enough: &dyn Fn() -> bool) -> Result<Segment, Error> {
        let (clock, tail) = (self.clock, &self.tail);
        let ended = || enough() || clock.now_us() > RUN_US_MAX || tail.as_ref().is_some_and(Tail::is_finished);
        let segment = self.sender.run(pace, events, length, stop, &ended)?;
        match self.tail.take_if(|tail| tail.is_finished()) {
            // Its error is the reason.
            Some(tail) => Err(tail.abort().err().unwrap_or_else(|| Error::bug("reading the output ended early"))),
            None => Ok(segment),
        }
    }

    /// Samples of lag since then (microseconds of the run's clock).
    pub fn lag_since(&self, since_us: u64) -> Vec<(u64, u64)> {
        self.lag.as_ref().map(|lag| lag.since(since_us)).unwrap_or_default()
    }

    /// Microseconds of the run's clock.
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Forgets the latencies of what is committed by now: from now on only events count that are meant
    /// to be sent from now on. False if what is committed could not be read until `stop`, or in time: what
    /// comes next then waits behind it.
    ///
    /// # Errors
    /// Brokers that do not say where the output ends.
    pub fn forget_latencies(&self, stop: &AtomicBool) -> Result<bool, Error> {
        let Some(tail) = &self.tail else { return Ok(true) };
        let read = tail.read_to(ends(&self.admin, &self.outputs())?, TAIL_MAX, stop);
        tail.take_latencies(self.clock.now_us());
        Ok(read)
    }

    /// From now on only events count that are meant to be sent from now on; what was sent before goes its way.
    pub fn measure_from_here(&self) {
        if let Some(tail) = &self.tail {
            tail.take_latencies(self.clock.now_us());
        }
    }

    /// The partitions of the output.
    fn outputs(&self) -> Vec<(String, i32)> {
        self.starts.iter().flat_map(|(name, starts)| (0..starts.len() as i32).map(move |partition| (name.clone(), partition))).collect()
    }

    /// Waits until everything sent is committed by the ingest group. Gives up when lag has not
    /// shrunk for `patience`, or on `stop`. True if everything is.
    ///
    /// # Errors
    /// As [`Sender::run`].
    pub fn drain(&mut self, patience: Duration, stop: &AtomicBool) -> Result<bool, Error> {
        self.sender.flush(FLUSH_MAX)?;
        let began = self.clock.now_us();
        let (mut best, mut since) = (u64::MAX, Instant::now());
        loop {
            // A sample of before the flush would not know the last events.
            let now = self.lag_since(began).last().map(|(_, lag)| *lag);
            match now {
                Some(0) => return Ok(true),
                Some(lag) if lag < best => (best, since) = (lag, Instant::now()),
                _ => {}
            }
            if since.elapsed() > patience || stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the cluster has stored everything, without looking at the pipeline. How many
    /// messages it did not take.
    ///
    /// # Errors
    /// As [`Sender::run`].
    pub fn flush(&mut self) -> Result<u64, Error> {
        self.sender.flush(FLUSH_MAX)?;
        Ok(self.live.messages.load(Ordering::Relaxed).saturating_sub(self.book.total()))
    }

    /// The partitions that were written, each with where our events begin and end.
    pub fn ranges(&self) -> Vec<(String, i32, i64, i64)> {
        self.book.ranges()
    }

    /// Reads the output to its end and audits it. After [`Run::drain`]; what is not drained is
    /// missing in the audit.
    ///
    /// # Errors
    /// Reading that failed.
    pub fn finish(mut self) -> Result<Finished, Error> {
        self.watch()?;
        let Some(tail) = self.tail.take() else { return Err(Error::bug("nobody reads the output")) };
        drop(self.lag.take());
        let ends = ends(&self.admin, &self.outputs())?;
        let mut tailed = tail.finish(ends, TAIL_MAX)?;
        let (expected, failed) = self.sender.finish();
        if failed.count > 0 {
            tailed.found.wrong(Wrong::Unsent, failed.count, || failed.first.map(|error| error.to_string()).unwrap_or_default());
        }
        let book_bytes = self.book.bytes();
        let verdict = tailed.found.verdict(&expected, &self.book, self.ids.as_deref(), None);
        Ok(Finished { verdict, latencies: tailed.latencies, book_bytes })
    }
}

fn ends(admin: &Admin, partitions: &[(String, i32)]) -> Result<Ends, Error> {
    let places: Vec<(&str, i32)> = partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    let ends = admin.offsets(&places, At::End)?;
    Ok(partitions.iter().zip(ends).map(|((topic, partition), end)| (topic.clone(), *partition, end)).collect())
}

/// Measures lag on a thread of its own.
struct Lag {
    samples: Arc<Mutex<Vec<(u64, u64)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lag {
    fn spawn(admin: Arc<Admin>, group: String, book: Arc<Book>, live: Arc<Live>, clock: Clock) -> Result<Lag, Error> {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (samples.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("lag".into()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                // Stored first, committed after: a lag that is too high by what came meanwhile would never be 0.
                let at = clock.now_us();
                let ranges = book.ranges();
                let places: Vec<(&str, i32)> = ranges.iter().map(|(topic, partition, ..)| (topic.as_str(), *partition)).collect();
                match admin.committed(&group, &places) {
                    Ok(committed) => {
                        let lag = |((_, _, base, end), committed): (&(String, i32, i64, i64), Option<i64>)| {
                            (end - committed.unwrap_or(*base).max(*base)).max(0) as u64
                        };
                        let lag = ranges.iter().zip(committed).map(lag).sum();
                        live.set_lag(Some(lag));
                        let mut samples = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        if samples.len() < SAMPLES_MAX {
                            samples.push((at, lag));
                        } else if let Some(last) = samples.last_mut() {
                            *last = (at, lag);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "lag is not known for a moment");
                        live.set_lag(None);
                    }
                }
                std::thread::sleep(LAG_EVERY.saturating_sub(began.elapsed()));
            }
        })?;
        Ok(Lag { samples, stop, thread: Some(thread) })
    }

    fn since(&self, since_us: u64) -> Vec<(u64, u64)> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let from = samples.partition_point(|(at, _)| *at < since_us);
        samples.get(from..).unwrap_or_default().to_vec()
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
