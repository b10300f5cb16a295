//! Reads topics from given offsets, assigned by hand and without committing:
//! for `demo` and `load`, which tail the output, for audits, and for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::Gaps;
use super::credit::{Credit, CreditReader, cost};
use super::error::{Error, is_passing};
use super::events::{Event, EventQueue, Fetched};
use super::fetch::FetchQueue;
use super::log::Logging;
use super::settings::Settings;

/// Longest single wait inside [`TopicReader::drain`].
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// A record, borrowed for the length of a callback.
pub struct Record<'a> {
    fetched: &'a Fetched<'a>,
    /// Its topic.
    pub topic: &'a str,
    /// Its Kafka partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, milliseconds since the epoch; `None` if it carries none.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Record<'a> {
    pub(super) fn of(fetched: &'a Fetched<'a>, topic: &'a str) -> Record<'a> {
        Record { fetched, topic, partition: fetched.partition(), offset: fetched.offset(), timestamp_ms: fetched.timestamp_ms() }
    }

    /// The value; empty for a tombstone.
    pub fn payload(&self) -> &[u8] {
        self.fetched.payload()
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        self.fetched.key()
    }

    /// Calls `each` with the name and value of every header.
    pub fn headers(&self, each: impl FnMut(&str, &[u8])) {
        self.fetched.headers(each);
    }
}

struct Partition {
    next: i64,
    /// Where the broker last had nothing more.
    end: Option<i64>,
}

struct Topic {
    name: String,
    partitions: Vec<Partition>,
    credit: Option<CreditReader>,
}

/// A reader of one or more topics.
pub struct TopicReader {
    /// Errors of the client, and what was fetched before its partition was forwarded.
    queue: EventQueue,
    records: FetchQueue,
    topics: Vec<Topic>,
    gaps: Gaps,
}

impl TopicReader {
    /// Opens all partitions of these topics, `(name, partitions)`, at offset 0. A missing
    /// record is an error. With `credit` it gives credit back as that reader number.
    ///
    /// # Errors
    /// Properties that librdkafka refuses; a credit gate that lacks one of the topics.
    pub fn open(settings: &Settings, topics: &[(&str, i32)], credit: Option<(&Arc<Credit>, usize)>) -> Result<TopicReader, Error> {
        let topics: Vec<(&str, Vec<i64>)> = topics.iter().map(|(name, partitions)| (*name, vec![0; usize::try_from(*partitions).unwrap_or(0)])).collect();
        TopicReader::open_at(settings, &topics, Gaps::Forbidden, credit)
    }

    /// Opens these topics, each with the offset to begin at for every partition. Topics
    /// that transactions write have gaps: their markers.
    ///
    /// # Errors
    /// As [`TopicReader::open`].
    pub fn open_at(settings: &Settings, topics: &[(&str, Vec<i64>)], gaps: Gaps, credit: Option<(&Arc<Credit>, usize)>) -> Result<TopicReader, Error> {
        let wrong = |error| Error::from_kafka("opening a reader", error);
        let consumer: BaseConsumer<Logging> = settings.client_config().create_with_context(Logging).map_err(wrong)?;
        let mut list = TopicPartitionList::new();
        let mut opened = Vec::with_capacity(topics.len());
        for (name, starts) in topics {
            for (partition, start) in (0..).zip(starts) {
                list.add_partition_offset(name, partition, Offset::Offset(*start)).map_err(wrong)?;
            }
            let credit = match credit {
                None => None,
                Some((credit, reader)) => Some(
                    credit
                        .reader(name, reader)
                        .ok_or_else(|| Error::TopicTable { topic: (*name).to_owned(), problem: "not under the credit gate, or has no such reader" })?,
                ),
            };
            let partitions = starts.iter().map(|start| Partition { next: *start, end: None }).collect();
            opened.push(Topic { name: (*name).to_owned(), partitions, credit });
        }
        let consumer = Arc::new(consumer);
        let queue = EventQueue::new(Arc::clone(&consumer))?;
        let mut records = FetchQueue::new(Arc::clone(&consumer))?;
        consumer.assign(&list).map_err(wrong)?;
        records.started();
        Ok(TopicReader { queue, records, topics: opened, gaps })
    }

    /// Takes what is there, some hundred records at most, and gives them to `each`; where nothing is
    /// there, waits up to `timeout` for one. Says how many records there were: none, too, where a
    /// partition ended.
    ///
    /// # Errors
    /// A gap, a trimmed partition, or an error that does not pass by itself.
    pub fn poll(&mut self, timeout: Duration, mut each: impl FnMut(&Record<'_>)) -> Result<u64, Error> {
        let TopicReader { queue, records, topics, gaps } = self;
        let now = Instant::now();
        if records.is_due(now) {
            let parts = topics.iter().flat_map(|topic| (0..).zip(&topic.partitions).map(|(partition, _)| (topic.name.as_str(), partition)));
            records.forward(parts, now);
        }
        let mut taken = 0;
        let mut serve = |event: Event<'_>| -> Result<(), Error> {
            taken += u64::from(served(event, topics, *gaps, &mut each)?);
            Ok(())
        };
        while let Some(event) = queue.poll(Duration::ZERO) {
            serve(event)?;
        }
        if records.take(&mut serve)? == 0
            && let Some(event) = records.wait(timeout.min(records.pause(now)))
        {
            serve(event)?;
        }
        Ok(taken)
    }

    /// Reads until every partition is at its end, and tells how many records
    /// that were. Records produced meanwhile are read too.
    ///
    /// # Errors
    /// As [`TopicReader::poll`], or [`Error::TimedOut`] after `timeout`.
    pub fn drain(&mut self, timeout: Duration, mut each: impl FnMut(&Record<'_>)) -> Result<u64, Error> {
        let since = Instant::now();
        let mut records = 0;
        while !self.at_end() {
            records += self.poll(DRAIN_STEP, &mut each)?;
            if since.elapsed() > timeout {
                return Err(Error::TimedOut { action: "reading a topic to its end", waited: timeout });
            }
        }
        Ok(records)
    }

    /// True when every partition was read to what was its end at the time.
    pub fn at_end(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).all(|state| state.end == Some(state.next))
    }

    /// True when each of these partitions was read up to (excluding) the offset beside it.
    pub fn reached(&self, ends: &[(String, i32, i64)]) -> bool {
        ends.iter().all(|(name, partition, end)| {
            let topic = self.topics.iter().find(|topic| topic.name == *name);
            let at = usize::try_from(*partition).ok();
            topic.zip(at).and_then(|(topic, at)| topic.partitions.get(at)).is_some_and(|state| state.next >= *end)
        })
    }
}

/// Deals with one event; true if it was a record.
fn served(event: Event<'_>, topics: &mut [Topic], gaps: Gaps, each: &mut impl FnMut(&Record<'_>)) -> Result<bool, Error> {
    match event {
        Event::Message(fetched) => {
            let name = fetched.topic_name();
            let Some(topic) = topics.iter_mut().find(|topic| topic.name == name) else { return Ok(false) };
            let (partition, offset) = (fetched.partition(), fetched.offset());
            let Some(state) = usize::try_from(partition).ok().and_then(|at| topic.partitions.get_mut(at)) else {
                return Ok(false);
            };
            if offset != state.next && gaps == Gaps::Forbidden {
                let (topic, expected) = (topic.name.clone(), state.next);
                return Err(Error::Gap { topic, partition, expected, found: offset });
            }
            state.next = offset + 1;
            if let Some(credit) = &topic.credit {
                let key = fetched.key().map_or(0, <[u8]>::len);
                credit.give(partition, cost(key, fetched.payload().len(), fetched.header_bytes()));
            }
            let timestamp_ms = fetched.timestamp_ms();
            each(&Record { fetched: &fetched, topic: &topic.name, partition, offset, timestamp_ms });
            Ok(true)
        }
        Event::End { topic, partition, offset } => {
            let topic = topics.iter_mut().find(|known| known.name == topic);
            let at = usize::try_from(partition).ok();
            if let Some(state) = topic.zip(at).and_then(|(topic, at)| topic.partitions.get_mut(at)) {
                state.end = Some(offset);
                if gaps == Gaps::Legal {
                    // What lies between the last record and the end are markers.
                    state.next = state.next.max(offset);
                }
            }
            Ok(false)
        }
        Event::Failed { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, at: Some((topic, partition)), .. } => Err(Error::Trimmed { topic, partition }),
        Event::Failed { code, fatal, .. } if fatal || !is_passing(code) => Err(Error::Failed { action: "reading a topic", code, fatal }),
        _ => Ok(false),
    }
}
