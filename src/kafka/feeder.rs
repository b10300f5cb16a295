//! Produces generated events to the embedded broker: large message sets, never
//! further ahead of the readers than the credit gate allows.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::credit::{Credit, CreditWriter, cost};
use super::error::Error;
use super::log::{log_error, log_line};
use super::partitioner::partition_of;
use super::settings::Settings;

/// Records between two polls. Successes are not reported, so polls serve errors and logs only.
const POLL_EVERY: u64 = 4096;

/// Records without a key that go to one partition before the next one gets its
/// turn: a partition's message set should be large.
const STICKY_RECORDS: u64 = 512;

/// Step of every wait: short against the tens of milliseconds of events that the broker holds.
const WAIT_STEP: Duration = Duration::from_micros(500);

/// How long the embedded broker may take to store what is queued at the end.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// What a feeder has produced.
#[derive(Debug, Clone, Default)]
pub struct Fed {
    /// Records stored.
    pub records: u64,
    /// Keys and payloads, bytes.
    pub bytes: u64,
    /// Topic, partition, and its end: one past the last offset.
    pub ends: Vec<(String, i32, i64)>,
}

/// A producer of events. One thread uses it.
pub struct Feeder {
    producer: BaseProducer<FeedContext>,
    failures: Arc<Failures>,
    targets: Vec<Target>,
    stop: Arc<AtomicBool>,
    fed: Fed,
}

struct Target {
    name: String,
    partitions: i32,
    credit: CreditWriter,
    keyless: u64,
    /// Per partition: the offset of the next record, as long as nobody else writes.
    next: Vec<i64>,
}

impl Feeder {
    /// A feeder for the topics under the credit gate, of which `stop` ends the waits.
    ///
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn start(settings: &Settings, credit: &Arc<Credit>, stop: Arc<AtomicBool>) -> Result<Feeder, Error> {
        let failures = Arc::new(Failures::default());
        let producer = settings
            .client_config()
            .create_with_context(FeedContext(Arc::clone(&failures)))
            .map_err(|error| Error::from_kafka("starting the feeder", error))?;
        let targets = credit
            .topics()
            .filter_map(|topic| {
                let credit = credit.writer(&topic.name)?;
                let next = vec![0; usize::try_from(topic.partitions).unwrap_or(0)];
                Some(Target { name: topic.name.clone(), partitions: topic.partitions, credit, keyless: 0, next })
            })
            .collect();
        Ok(Feeder { producer, failures, targets, stop, fed: Fed::default() })
    }

    /// The number of a topic, for [`Feeder::send`].
    pub fn topic(&self, name: &str) -> Option<usize> {
        self.targets.iter().position(|target| target.name == name)
    }

    /// Sends one event; waits while the readers are too far behind. The
    /// partition is that of the key (murmur2, as other Kafka clients choose it);
    /// without a key partitions take turns. Returns the partition and the offset that the
    /// record gets, if this feeder is the only writer.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::NoCredit`] when nobody reads, an unknown
    /// topic, or a broker that refuses records.
    pub fn send(&mut self, topic: usize, key: Option<&[u8]>, payload: &[u8], timestamp_ms: i64) -> Result<(i32, i64), Error> {
        let producer = &self.producer;
        let target = self.targets.get_mut(topic).ok_or_else(|| Error::TopicTable { topic: format!("number {topic}"), problem: "not under the credit gate" })?;
        let partition = match key {
            Some(key) => partition_of(key, target.partitions),
            None => {
                target.keyless += 1;
                (target.keyless / STICKY_RECORDS % target.partitions.max(1) as u64) as i32
            }
        };
        let key_len = key.map_or(0, <[u8]>::len);
        target.credit.take(partition, cost(key_len, payload.len(), 0), &self.stop, || {
            serve(producer);
            Ok(())
        })?;
        let mut record = BaseRecord::<[u8], [u8], ()>::to(&target.name).partition(partition).payload(payload).timestamp(timestamp_ms);
        record.key = key;
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(Error::Stopped { action: "waiting for room in the feeder's queue" });
                    }
                    serve(producer);
                    record = back;
                }
                Err((error, _)) => return Err(Error::from_kafka("feeding an event", error)),
            }
        }
        self.fed.records += 1;
        self.fed.bytes += (key_len + payload.len()) as u64;
        if self.fed.records.is_multiple_of(POLL_EVERY) {
            producer.poll(Duration::ZERO);
            self.failures.check()?;
        }
        let next = usize::try_from(partition).ok().and_then(|at| target.next.get_mut(at));
        let offset = next.map_or(0, |next| std::mem::replace(next, *next + 1));
        Ok((partition, offset))
    }

    /// Waits until everything sent so far is stored.
    ///
    /// # Errors
    /// When a record was refused, or it takes longer than half a minute.
    pub fn flush(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        while self.producer.in_flight_count() > 0 {
            serve(&self.producer);
            if since.elapsed() > FLUSH_MAX {
                return Err(Error::TimedOut { action: "storing the last events", waited: FLUSH_MAX });
            }
        }
        self.failures.check()
    }

    /// Records and bytes so far, without ends.
    pub fn fed(&self) -> &Fed {
        &self.fed
    }

    /// Waits until everything is stored and tells how far each partition goes.
    ///
    /// # Errors
    /// As [`Feeder::flush`], or when the broker does not tell the ends.
    pub fn finish(mut self) -> Result<Fed, Error> {
        self.flush()?;
        for target in &self.targets {
            for partition in 0..target.partitions {
                let (_, end) = self
                    .producer
                    .client()
                    .fetch_watermarks(&target.name, partition, FLUSH_MAX)
                    .map_err(|error| Error::from_kafka("reading the ends of the partitions", error))?;
                self.fed.ends.push((target.name.clone(), partition, end));
            }
        }
        Ok(std::mem::take(&mut self.fed))
    }
}

/// Serves errors and logs, and sleeps. `BaseProducer::poll` would spin through a short wait.
fn serve(producer: &BaseProducer<FeedContext>) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(WAIT_STEP);
}

/// Records that were refused; only failures are reported to us.
#[derive(Debug, Default)]
struct Failures {
    count: AtomicU64,
    first: OnceLock<Code>,
}

impl Failures {
    fn check(&self) -> Result<(), Error> {
        match self.first.get() {
            None => Ok(()),
            Some(code) => {
                let failed = u32::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
                Err(Error::Unfed { failed, code: *code })
            }
        }
    }
}

struct FeedContext(Arc<Failures>);

impl ClientContext for FeedContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for FeedContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            let _ = self.0.first.set(error.rdkafka_error_code().unwrap_or(Code::Unknown));
        }
    }
}
