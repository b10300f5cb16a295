//! Reading partitions of a topic to their ends, for restore: only what was committed,
//! up to the high watermark of the moment at which reading began.
//!
//! The end is the high watermark, not the last stable offset: a transaction that is
//! still open there must be waited for, or its records would be missed. Transaction
//! markers and compaction leave gaps, so the end is reached when the broker says that
//! there is nothing more before it (end of partition), not when an offset was seen.

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

/// How long a broker may take to tell the ends of a partition.
const WATERMARK_WAIT: Duration = Duration::from_secs(10);

/// One wait for records.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// How long nothing may come before reading gives up: above the broker's limit for
/// transactions left open by a dead producer, and above a broker's restart.
const QUIET_MAX: Duration = Duration::from_secs(90);

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadToEnd {
    /// The first offset that was there, or asked for.
    pub from: i64,
    /// One past the last offset looked at: where the next read begins.
    pub next: i64,
    /// Records given to the callback.
    pub records: u64,
}

/// Reading ended: with an error, or because nobody wants more.
struct Stopped(Option<Error>);

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped(Some(error))
    }
}

/// Reads partitions to their ends, one after the other. Its two clients are opened once, which
/// takes a tenth of a second.
pub struct PartitionReader {
    queue: EventQueue,
    /// Sees open transactions too: for the ends.
    uncommitted: BaseConsumer<Logging>,
}

impl PartitionReader {
    /// Opens the clients. `settings`: [`Settings::reader`].
    ///
    /// # Errors
    /// Properties that librdkafka refuses.
    pub fn open(settings: &Settings) -> Result<PartitionReader, Error> {
        let wrong = |error| Error::from_kafka("opening a reader", error);
        let consumer: BaseConsumer<Logging> = settings.client_config().create_with_context(Logging).map_err(wrong)?;
        let queue = EventQueue::new(Arc::new(consumer))?;
        Ok(PartitionReader { queue, uncommitted: uncommitted(settings)? })
    }

    /// Gives every committed record of a partition to `each`, from `from` (or the oldest that is
    /// left) to the high watermark.
    ///
    /// # Errors
    /// What the broker answers, what `each` returns, [`Error::Trimmed`] when `from` is no longer there.
    pub fn read_to_end<E: From<Error>>(
        &mut self,
        topic: &str,
        partition: i32,
        from: Option<i64>,
        each: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<ReadToEnd, E> {
        let (low, end) = ends(&self.uncommitted, topic, partition)?;
        let start = match from {
            Some(from) if from > end => return Err(Error::Trimmed { topic: topic.to_owned(), partition }.into()),
            Some(from) if from >= low => from,
            // Retention took the beginning: what is left is all that there is.
            _ => low,
        };
        self.read(topic, partition, (start, end), true, each)
    }

    /// The same for the last so many offsets only, and without waiting for open transactions.
    ///
    /// # Errors
    /// As [`PartitionReader::read_to_end`].
    pub fn read_tail<E: From<Error>>(
        &mut self,
        topic: &str,
        partition: i32,
        offsets: i64,
        each: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<ReadToEnd, E> {
        let (low, end) = ends(&self.uncommitted, topic, partition)?;
        self.read(topic, partition, (low.max(end - offsets), end), false, each)
    }

    /// Gives the committed records from `from` on to `each`, up to what is stable now, or until it says
    /// `false`; does not wait for open transactions.
    ///
    /// # Errors
    /// What the broker answers.
    pub fn read_tail_from(&mut self, topic: &str, partition: i32, from: i64, mut each: impl FnMut(&Record<'_>) -> bool) -> Result<(), Error> {
        let (low, end) = ends(&self.uncommitted, topic, partition)?;
        let done = self.read(topic, partition, (from.max(low), end), false, |record| if each(record) { Ok(()) } else { Err(Stopped(None)) });
        match done {
            Err(Stopped(Some(error))) => Err(error),
            // It is not assigned any more the next time something is read.
            Ok(_) | Err(Stopped(None)) => Ok(()),
        }
    }

    /// Reads `[start, end)`; without `patient` only up to what is stable now.
    fn read<E: From<Error>>(
        &mut self,
        topic: &str,
        partition: i32,
        (start, end): (i64, i64),
        patient: bool,
        mut each: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<ReadToEnd, E> {
        let mut done = ReadToEnd { from: start, next: start, records: 0 };
        if start >= end {
            return Ok(done);
        }
        let wrong = |error| Error::from_kafka("opening a reader", error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(wrong)?;
        let consumer = Arc::clone(self.queue.consumer());
        consumer.assign(&list).map_err(wrong)?;
        let mut heard = Instant::now();
        while done.next < end {
            match self.queue.poll(POLL_WAIT) {
                // What was fetched for the assignment before is dropped by librdkafka.
                Some(Event::Message(fetched)) if fetched.partition() == partition && fetched.offset() >= done.next => {
                    heard = Instant::now();
                    if fetched.offset() >= end {
                        break;
                    }
                    done.next = fetched.offset() + 1;
                    done.records += 1;
                    each(&Record::of(&fetched, topic))?;
                }
                Some(Event::End { partition: of, offset, .. }) if of == partition => {
                    // The end of what is stable; it moves on when open transactions end.
                    done.next = done.next.max(offset);
                    if !patient {
                        break;
                    }
                }
                Some(Event::Failed { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, .. }) => {
                    return Err(Error::Trimmed { topic: topic.to_owned(), partition }.into());
                }
                Some(Event::Failed { code, fatal, .. }) if fatal || !is_passing(code) => {
                    return Err(Error::Failed { action: "reading a topic to its end", code, fatal }.into());
                }
                _ => {}
            }
            if heard.elapsed() > QUIET_MAX {
                return Err(Error::TimedOut { action: "reading a topic to its end", waited: QUIET_MAX }.into());
            }
        }
        // Nothing more is fetched of it while others are read, or nothing is.
        consumer.unassign().map_err(wrong)?;
        Ok(done)
    }
}

/// As [`PartitionReader::read_to_end`], for one partition.
///
/// # Errors
/// As there.
pub fn read_to_end<E: From<Error>>(
    settings: &Settings,
    topic: &str,
    partition: i32,
    from: Option<i64>,
    each: impl FnMut(&Record<'_>) -> Result<(), E>,
) -> Result<ReadToEnd, E> {
    PartitionReader::open(settings)?.read_to_end(topic, partition, from, each)
}

/// Oldest offset, and the high watermark: one past the newest record, whether its transaction
/// is committed, aborted or open.
///
/// # Errors
/// What the broker answers.
pub fn watermarks(settings: &Settings, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
    ends(&uncommitted(settings)?, topic, partition)
}

/// A client that is told the high watermark; one that reads committed records only would be told
/// the last stable offset instead.
fn uncommitted(settings: &Settings) -> Result<BaseConsumer<Logging>, Error> {
    let mut config = settings.client_config();
    config.set("isolation.level", "read_uncommitted");
    config.create_with_context(Logging).map_err(|error| Error::from_kafka("opening a reader", error))
}

fn ends(uncommitted: &BaseConsumer<Logging>, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
    let since = Instant::now();
    loop {
        let ends = uncommitted.fetch_watermarks(topic, partition, WATERMARK_WAIT);
        match ends.map_err(|error| Error::from_kafka("reading the ends of a partition", error)) {
            Ok(ends) => return Ok(ends),
            Err(error) if error.retryable() && since.elapsed() < WATERMARK_WAIT => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => return Err(error),
        }
    }
}
