//! Produces generated events to a real cluster and tells the offset of each: for `load`.
//!
//! Unlike the `feeder` of the embedded broker it never waits: a full queue is the
//! caller's to see, because an open schedule goes on whatever the system does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer};

use super::acks::AckContext;
use super::bulk::{Bulk, One, Sent};
use super::error::Error;
use super::partitioner::partition_of;
use super::reports::ReportQueue;
use super::settings::Settings;

/// Records without a key that go to one partition before the next one gets its turn:
/// enough for a message set worth sending, few enough to spread one key over all partitions.
const STICKY_RECORDS: u64 = 32;

/// How long the cluster may take to tell where the topics are.
const METADATA_WAIT: Duration = Duration::from_secs(30);

/// librdkafka asks for an idempotent producer's id when it starts, and half a second later again if
/// no broker was connected: until then nothing is sent, and nothing tells when it has come.
const PRODUCER_ID_WAIT: Duration = Duration::from_millis(700);

/// A producer of events. One thread uses it.
pub struct Flood {
    /// Dropped before the client behind `reports`.
    bulk: Bulk,
    reports: ReportQueue,
    targets: Vec<Target>,
    open: u64,
}

struct Target {
    name: String,
    partitions: i32,
    keyless: u64,
}

/// One event to produce.
#[derive(Debug, Clone, Copy)]
pub struct FloodRecord<'a> {
    /// Index of the topic, as given to [`Flood::start`].
    pub topic: usize,
    /// Its key; `None`: partitions take turns.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub payload: &'a [u8],
    /// Its time, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Comes back with the delivery report.
    pub tag: usize,
}

impl Flood {
    /// A producer for these topics, `(name, partitions)`.
    ///
    /// # Errors
    /// Properties that librdkafka refuses; a topic without partitions; a cluster that does not answer.
    pub fn start(settings: &Settings, topics: &[(String, i32)]) -> Result<Flood, Error> {
        let producer: BaseProducer<AckContext> =
            settings.client_config().create_with_context(AckContext).map_err(|error| Error::from_kafka("starting the load's producer", error))?;
        let started = Instant::now();
        let mut targets = Vec::with_capacity(topics.len());
        for (name, partitions) in topics {
            if *partitions < 1 {
                return Err(Error::TopicTable { topic: name.clone(), problem: "without partitions" });
            }
            targets.push(Target { name: name.clone(), partitions: *partitions, keyless: 0 });
        }
        let reports = ReportQueue::new(Arc::new(producer))?;
        let bulk = Bulk::new(reports.producer(), topics.iter().map(|(name, _)| name.as_str()))?;
        // The first events would wait for both, up to a second, and count as the pipeline's latency.
        for (name, _) in topics {
            let asked = reports.producer().client().fetch_metadata(Some(name), METADATA_WAIT);
            asked.map_err(|error| Error::from_kafka("asking for the topics of the load", error))?;
        }
        std::thread::sleep((started + PRODUCER_ID_WAIT).saturating_duration_since(Instant::now()));
        Ok(Flood { bulk, reports, targets, open: 0 })
    }

    /// Hands a record over. Returns its partition, or `None` when the queue is full:
    /// [`Flood::serve`] and try again.
    ///
    /// # Errors
    /// An unknown topic, or a record that librdkafka refuses (too large).
    pub fn send(&mut self, record: FloodRecord<'_>) -> Result<Option<i32>, Error> {
        let wrong = || Error::TopicTable { topic: format!("number {}", record.topic), problem: "not declared for the load" };
        let target = self.targets.get_mut(record.topic).ok_or_else(wrong)?;
        let partition = match record.key {
            Some(key) => partition_of(key, target.partitions),
            None => (target.keyless / STICKY_RECORDS % target.partitions as u64) as i32,
        };
        let one = One { key: record.key, value: record.payload, timestamp_ms: record.timestamp_ms, tag: record.tag };
        match self.bulk.send_one(self.reports.producer(), record.topic, partition, &one).ok_or_else(wrong)? {
            Sent::All => {
                target.keyless += u64::from(record.key.is_none());
                self.open += 1;
                Ok(Some(partition))
            }
            Sent::Full(_) => Ok(None),
            Sent::Refused(code) => Err(Error::Failed { action: "producing an event", code, fatal: code == Code::Fatal }),
        }
    }

    /// Serves delivery reports, waiting up to `wait` for the first: `each` gets the
    /// record's tag and its offset, or why it was not stored.
    ///
    /// # Errors
    /// A fatal error of the client.
    pub fn serve(&mut self, wait: Duration, mut each: impl FnMut(usize, Result<i64, Error>)) -> Result<u64, Error> {
        let mut all = 0;
        let mut wait = wait;
        loop {
            let reports = self.reports.poll_stored(wait, |tag, stored| {
                each(tag, stored.map_err(|code| Error::Unfed { failed: 1, code }));
            })?;
            all += reports;
            self.open = self.open.saturating_sub(reports);
            wait = Duration::ZERO;
            if reports == 0 {
                return Ok(all);
            }
        }
    }

    /// Records whose fate is not known yet.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Offsets of the high watermarks of all topics: `(topic, partition, end)`.
    ///
    /// # Errors
    /// When the cluster does not tell them in time.
    pub fn ends(&self, timeout: Duration) -> Result<Vec<(String, i32, i64)>, Error> {
        let mut ends = Vec::new();
        for target in &self.targets {
            for partition in 0..target.partitions {
                let watermarks = self.reports.producer().client().fetch_watermarks(&target.name, partition, timeout);
                let (_, end) = watermarks.map_err(|error| Error::from_kafka("reading the ends of the partitions", error))?;
                ends.push((target.name.clone(), partition, end));
            }
        }
        Ok(ends)
    }
}
