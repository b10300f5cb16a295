//! Reads the output topics while the run lasts: latency and audit come from here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::audit::{Found, Ids, Wrong};
use super::book::Book;
use super::latency::Latencies;
use super::live::Live;
use super::pace::Clock;
use crate::error::Error;
use crate::kafka::TopicReader;
use crate::serve::latency::EVENT_TO_INCIDENT;

/// Longest wait for a record.
const POLL: Duration = Duration::from_millis(20);
/// How long nothing must come until a part of the run is taken to be read.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait for that: others may write to the topics, too.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Records read between two looks at what else there is to do (count), or a few more.
const LOOK_EVERY: u64 = 256;

/// What to read.
pub struct TailSpec {
    /// Opened where this run's output begins.
    pub reader: TopicReader,
    /// Topic of facts.
    pub incidents: String,
    /// Topic of dead letters. Another topic of the reader is the index, with the ledger.
    pub dead_letters: String,
    /// What was sent.
    pub book: Arc<Book>,
    /// How ids are made, if known.
    pub ids: Option<Arc<Ids>>,
    /// The run's clock.
    pub clock: Clock,
    /// Progress.
    pub live: Arc<Live>,
    /// Report latencies as metrics of this process, too.
    pub metrics: bool,
    /// Takes down facts: key, value, partition, offset and time of the record.
    pub keep: Option<Keep>,
}

/// Takes down a record of the topic of facts.
pub type Keep = Box<dyn FnMut(&crate::kafka::Record<'_>) + Send>;

/// Ends of partitions: `(topic, partition, end)`.
pub type Ends = Vec<(String, i32, i64)>;

/// A running reader of the output.
pub struct Tail {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Found, Error>>,
}

struct Shared {
    latencies: Mutex<Latencies>,
    /// Where to end, and until when to try.
    end: Mutex<Option<(Ends, Instant)>>,
    /// What somebody waits for; `None` as soon as it is read.
    awaited: Mutex<Option<Ends>>,
    abort: AtomicBool,
    /// Latencies of events that were meant to be sent earlier belong to another part of the run.
    since_us: AtomicU64,
    /// Records read.
    records: AtomicU64,
}

/// What reading to the end gave.
pub struct Tailed {
    /// For the verdict.
    pub found: Found,
    /// Latencies since [`Tail::take_latencies`].
    pub latencies: Histogram<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    /// Starts reading.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(spec: TailSpec) -> Result<Tail, Error> {
        let shared = Arc::new(Shared {
            latencies: Mutex::new(Latencies::new()?),
            end: Mutex::new(None),
            awaited: Mutex::new(None),
            abort: AtomicBool::new(false),
            since_us: AtomicU64::new(0),
            records: AtomicU64::new(0),
        });
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("tail".into()).spawn(move || {
            let mut found = Found::default();
            read(spec, &of_thread, &mut found)?;
            Ok(found)
        })?;
        Ok(Tail { shared, thread })
    }

    /// The latencies since the last call, or since the beginning. A part of the run is over:
    /// from now on only events count that are meant to be sent from `since_us` on.
    pub fn take_latencies(&self, since_us: u64) -> Histogram<u64> {
        let mut latencies = lock(&self.shared.latencies);
        let all = latencies.all().clone();
        latencies.reset();
        self.shared.since_us.store(since_us, Ordering::Relaxed);
        all
    }

    /// Waits until nothing has come for [`QUIET`]: what is acknowledged has been read.
    pub fn settle(&self) {
        let since = Instant::now();
        let mut last = (self.shared.records.load(Ordering::Relaxed), since);
        while last.1.elapsed() < QUIET && since.elapsed() < SETTLE_MAX && !self.thread.is_finished() {
            std::thread::sleep(QUIET / 10);
            let records = self.shared.records.load(Ordering::Relaxed);
            if records != last.0 {
                last = (records, Instant::now());
            }
        }
    }

    /// Waits until these ends are read, for so long at most or until `stop`: after a flood this
    /// thread is behind. False if they were not.
    pub fn read_to(&self, ends: Ends, limit: Duration, stop: &AtomicBool) -> bool {
        *lock(&self.shared.awaited) = Some(ends);
        let since = Instant::now();
        loop {
            if lock(&self.shared.awaited).is_none() {
                return true;
            }
            if since.elapsed() > limit || stop.load(Ordering::Relaxed) || self.thread.is_finished() {
                return false;
            }
            std::thread::sleep(QUIET / 10);
        }
    }

    /// True when reading has failed: [`Tail::finish`] tells why.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Reads up to these ends, for so long at most, and tells what was found. Partitions that
    /// were not read to their end are a problem in it.
    ///
    /// # Errors
    /// Why reading failed.
    pub fn finish(self, ends: Ends, limit: Duration) -> Result<Tailed, Error> {
        *lock(&self.shared.end) = Some((ends, Instant::now() + limit));
        let shared = self.shared.clone();
        let found = self.join()?;
        let latencies = lock(&shared.latencies).all().clone();
        Ok(Tailed { found, latencies })
    }

    /// Ends reading at once.
    ///
    /// # Errors
    /// Why reading failed.
    pub fn abort(self) -> Result<Found, Error> {
        self.shared.abort.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(self) -> Result<Found, Error> {
        self.thread.join().map_err(|_| Error::bug("the auditing reader failed"))?
    }
}

fn read(mut spec: TailSpec, shared: &Shared, found: &mut Found) -> Result<(), Error> {
    let mut second = 0;
    // Intended time and latency of each incident since the last look.
    let mut measured: Vec<(u64, u64)> = Vec::new();
    loop {
        let mut since_look = 0;
        while since_look < LOOK_EVERY {
            let TailSpec { reader, incidents, dead_letters, book, ids, clock, live, keep, .. } = &mut spec;
            let read = reader.poll(POLL, |record| {
                let at = || format!("{}[{}]@{}", record.topic, record.partition, record.offset);
                if record.topic == incidents.as_str() {
                    let now = clock.now_us();
                    let before = found.facts.0;
                    if let Some(intended) = found.fact(record.payload(), book, ids.as_deref(), now, at) {
                        measured.push((intended, now.saturating_sub(intended)));
                    }
                    live.incidents.fetch_add(found.facts.0 - before, Ordering::Relaxed);
                    if let Some(keep) = keep {
                        keep(record);
                    }
                } else if record.topic != dead_letters.as_str() {
                    found.ledger.read(record.key(), record.payload());
                } else {
                    found.dead_letter(record.payload(), at);
                    live.dead_letters.fetch_add(1, Ordering::Relaxed);
                }
            })?;
            if read == 0 {
                break;
            }
            since_look += read;
            shared.records.fetch_add(read, Ordering::Relaxed);
        }
        found.settle(&spec.book, false, |intended, at| measured.push((intended, at.saturating_sub(intended))));
        let now = spec.clock.now_us() / 1_000_000;
        {
            let mut latencies = lock(&shared.latencies);
            let since = shared.since_us.load(Ordering::Relaxed);
            if spec.metrics {
                EVENT_TO_INCIDENT.record(measured.iter().map(|(_, micros)| *micros));
            }
            for (_, micros) in measured.drain(..).filter(|(intended, _)| *intended >= since) {
                latencies.record(micros);
            }
            while second < now {
                spec.live.push_second(latencies.second(second));
                second += 1;
            }
        }
        if shared.abort.load(Ordering::Relaxed) {
            return Ok(());
        }
        {
            let mut awaited = lock(&shared.awaited);
            *awaited = awaited.take().filter(|ends| !spec.reader.reached(ends));
        }
        if let Some((ends, until)) = &*lock(&shared.end) {
            if spec.reader.reached(ends) {
                break;
            }
            if Instant::now() > *until {
                let open = ends.iter().filter(|end| !spec.reader.reached(std::slice::from_ref(*end)));
                for (topic, partition, end) in open {
                    found.wrong(Wrong::Unread, 1, || format!("{topic}[{partition}] up to {end}"));
                }
                break;
            }
        }
    }
    found.settle(&spec.book, true, |_, _| {});
    Ok(())
}
