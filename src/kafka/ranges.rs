//! Reads parts of a topic's partitions, for commands that look at what is there: committed
//! records only, up to what is stable now. Nothing waits for open transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, is_passing};
use super::events::{Event, EventQueue};
use super::log::Logging;
use super::reader::Record;
use super::settings::Settings;

/// One wait for records.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// How long nothing may come before reading gives up: a leader election takes seconds.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// A part of a partition: offsets in `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Kafka partition.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// The offset behind the last.
    pub to: i64,
}

/// Gives the records of these ranges to `each`, per partition in order, until it says `false`.
/// A range ends early where its partition does, or where a transaction is open. `settings`:
/// [`Settings::reader`].
///
/// # Errors
/// What the broker answers, what `each` returns, [`Error::Trimmed`] where `from` is no longer kept.
pub fn read_ranges<E: From<Error>>(settings: &Settings, topic: &str, ranges: &[Range], mut each: impl FnMut(&Record<'_>) -> Result<bool, E>) -> Result<(), E> {
    let mut open: Vec<Range> = ranges.iter().filter(|range| range.from < range.to).copied().collect();
    if open.is_empty() {
        return Ok(());
    }
    let wrong = |error| Error::from_kafka("opening a reader", error);
    let consumer: BaseConsumer<Logging> = settings.client_config().create_with_context(Logging).map_err(wrong)?;
    let consumer = Arc::new(consumer);
    let mut queue = EventQueue::new(Arc::clone(&consumer))?;
    let mut list = TopicPartitionList::new();
    for range in &open {
        list.add_partition_offset(topic, range.partition, Offset::Offset(range.from)).map_err(wrong)?;
    }
    consumer.assign(&list).map_err(wrong)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match queue.poll(POLL_WAIT) {
            Some(Event::Message(fetched)) => {
                heard = Instant::now();
                let (partition, offset) = (fetched.partition(), fetched.offset());
                let Some(at) = open.iter().position(|range| range.partition == partition) else { continue };
                let to = open.get(at).map_or(0, |range| range.to);
                if offset < to && !each(&Record::of(&fetched, topic))? {
                    return Ok(());
                }
                if offset + 1 >= to {
                    open.swap_remove(at);
                }
            }
            Some(Event::End { partition, .. }) => {
                heard = Instant::now();
                open.retain(|range| range.partition != partition);
            }
            Some(Event::Failed { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, at, .. }) => {
                let partition = at.map_or(-1, |(_, partition)| partition);
                return Err(Error::Trimmed { topic: topic.to_owned(), partition }.into());
            }
            Some(Event::Failed { code, fatal, .. }) if fatal || !is_passing(code) => {
                return Err(Error::Failed { action: "reading a topic", code, fatal }.into());
            }
            _ => {}
        }
        if heard.elapsed() > QUIET_MAX {
            return Err(Error::TimedOut { action: "reading a topic", waited: QUIET_MAX }.into());
        }
    }
    Ok(())
}
