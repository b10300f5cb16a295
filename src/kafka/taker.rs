//! What the poll thread does with one record: checks its offset, copies it into the
//! open batch of its source, gives credit back, and counts.

use std::sync::Arc;

use super::consumer::Gaps;
use super::credit::{CreditReader, cost};
use super::cutter::{Cutter, Incoming};
use super::error::Error;
use super::events::Fetched;
use super::progress::Progress;
use super::topics::SourceTopics;

/// The part of the poller that handles a message while the queue is borrowed.
pub(super) struct Taker {
    pub topics: Arc<SourceTopics>,
    pub cutter: Cutter,
    /// Per dense partition: the offset that must come next; `None` = any.
    pub expected: Vec<Option<i64>>,
    /// librdkafka's topic handle of the last message and our index of it.
    pub last_topic: Option<(usize, usize)>,
    pub gaps: Gaps,
    /// Per topic.
    pub credit: Vec<Option<CreditReader>>,
    pub progress: Arc<Progress>,
    /// Per dense partition: whether it is read now. What comes of others is left over from before.
    pub reading: Vec<bool>,
}

impl Taker {
    #[inline]
    pub fn take(&mut self, message: &Fetched<'_>) -> Result<(), Error> {
        let index = match self.last_topic {
            Some((id, index)) if id == message.topic_id() => Some(index),
            _ => self.topics.index(message.topic_name()),
        };
        let number = index.and_then(|index| self.topics.number(index, message.partition()));
        let (Some(index), Some(number)) = (index, number) else {
            return Err(Error::TopicTable { topic: message.topic_name().to_owned(), problem: "read without being assigned" });
        };
        self.last_topic = Some((message.topic_id(), index));
        if !self.reading.get(number as usize).copied().unwrap_or(false) {
            return Ok(());
        }
        let offset = message.offset();
        self.check_gap(message, number)?;
        let Some(topic) = self.topics.topics().get(index) else { return Ok(()) };
        let credit = self.credit.get(index).and_then(Option::as_ref);
        // Headers are parsed on demand, so they are looked at only where somebody needs them.
        let header_bytes = if topic.headers || credit.is_some() { message.header_bytes() } else { 0 };
        let (payload, key) = (message.payload(), message.key());
        let incoming = Incoming {
            payload,
            key,
            partition: number,
            offset,
            timestamp_us: message.timestamp_ms().map_or(i64::MIN, |millis| millis.saturating_mul(1000)),
            header_bytes: if topic.headers { header_bytes } else { 0 },
        };
        let added = self.cutter.add(topic.source, &incoming, |batch| {
            message.headers(|name, value| batch.push_header(name, value));
        });
        if !added {
            return Err(Error::TopicTable { topic: topic.name.clone(), problem: "of no known source, or its record exceeds 4 GiB" });
        }
        let key_len = key.map_or(0, <[u8]>::len);
        if let Some(credit) = credit {
            credit.give(message.partition(), cost(key_len, payload.len(), header_bytes));
        }
        self.progress.read(number, offset, payload.len() + key_len);
        Ok(())
    }

    #[inline]
    fn check_gap(&mut self, message: &Fetched<'_>, number: u16) -> Result<(), Error> {
        let Some(slot) = self.expected.get_mut(number as usize) else { return Ok(()) };
        let found = message.offset();
        if let Some(expected) = *slot
            && found != expected
            && (self.gaps == Gaps::Forbidden || found < expected)
        {
            return Err(Error::Gap { topic: message.topic_name().to_owned(), partition: message.partition(), expected, found });
        }
        *slot = Some(found + 1);
        Ok(())
    }
}
