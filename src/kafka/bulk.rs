//! Records into librdkafka's queues, by topic handle: many at once, or one with a time of its own.
//!
//! A call a record, as `BaseProducer` has it, copies its topic's name, looks it up, takes three locks
//! and reads the clock; for many records of one partition all of that happens once here. What comes
//! back is the same: a record that is refused says so at once, one that cannot be stored in a
//! delivery report.
//!
//! Values need not be copied: librdkafka then reads them where the batch wrote them until each record
//! is stored or given up. Whoever calls keeps them there so long (`transact` does).
//!
//! Holds unsafe code. What keeps it sound: a topic handle is destroyed once, before its client
//! (whoever owns a [`Bulk`] drops it first); keys are copied before a call returns; and the promise
//! above, which is the caller's.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as RespErr, rd_kafka_vtype_t as Tag};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer};

use super::acks::AckContext;
use super::error::Error;
use super::output::{OutRecord, part};

/// How far a call came.
pub(super) enum Sent {
    /// All are in the queue.
    All,
    /// The queue is full: so many of them were taken.
    Full(usize),
    /// This is refused.
    Refused(Code),
}

/// Handles of a producer's topics, and room for one call's records.
pub(super) struct Bulk {
    topics: Vec<NonNull<sys::rd_kafka_topic_t>>,
    messages: Vec<sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's topic handles may be used from any thread; the pointers in `messages` are
// written and read within one call.
unsafe impl Send for Bulk {}

impl Bulk {
    /// Handles of these topics.
    ///
    /// # Errors
    /// A name that no topic can have.
    pub fn new<'a>(producer: &BaseProducer<AckContext>, names: impl Iterator<Item = &'a str>) -> Result<Bulk, Error> {
        let mut bulk = Bulk { topics: Vec::new(), messages: Vec::new() };
        for name in names {
            let bad = || Error::TopicTable { topic: name.to_owned(), problem: "librdkafka takes no such name" };
            let text = CString::new(name).map_err(|_| bad())?;
            // SAFETY: the client is alive; null asks for the client's own topic properties.
            let topic = unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), text.as_ptr(), ptr::null_mut()) };
            bulk.topics.push(NonNull::new(topic).ok_or_else(bad)?);
        }
        Ok(bulk)
    }

    /// Hands these records of a batch over, by their numbers; they all go to one partition of one
    /// topic. `bytes` are the batch's. `None`: a record that is not there, or whose range is outside them.
    ///
    /// # Safety
    /// Without `copy`, `bytes` must not change, move or end before librdkafka has done with every
    /// record: until a commit or an abort has succeeded, or the client is destroyed.
    pub unsafe fn send(&mut self, topic: u16, partition: i32, records: &[OutRecord], bytes: &[u8], numbers: &[u32], copy: bool) -> Option<Sent> {
        let topic = self.topics.get(topic as usize)?;
        self.messages.clear();
        for number in numbers {
            let record = records.get(*number as usize)?;
            let (key, value) = (part(bytes, &record.key)?, part(bytes, &record.value)?);
            self.messages.push(sys::rd_kafka_message_t {
                err: RespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition,
                // librdkafka does not write to values that it is not told to free. An empty value is no tombstone: its pointer is not null.
                payload: value.as_ptr().cast_mut().cast(),
                len: value.len(),
                key: if key.is_empty() { ptr::null_mut() } else { key.as_ptr().cast_mut().cast() },
                key_len: key.len(),
                offset: 0,
                _private: ptr::null_mut(),
            });
        }
        let count = i32::try_from(self.messages.len()).unwrap_or(i32::MAX);
        let flags = if copy { sys::RD_KAFKA_MSG_F_COPY } else { 0 };
        // SAFETY: the handle is alive, `messages` holds at least `count` records; keys, and with `copy`
        // values, are copied in the call; otherwise the caller promises that values stay.
        unsafe { sys::rd_kafka_produce_batch(topic.as_ptr(), partition, flags, self.messages.as_mut_ptr(), count) };
        let failed = self.messages.iter().position(|message| message.err != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        Some(match failed.and_then(|at| Some((at, self.messages.get(at)?.err))) {
            None => Sent::All,
            // Nothing behind the first that found no room was taken either.
            Some((at, RespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL)) => Sent::Full(at),
            Some((_, error)) => Sent::Refused(error.into()),
        })
    }

    /// Hands one record over, copied. `timestamp_ms` 0 = now; `tag` comes back with its report.
    /// `None`: no such topic.
    pub fn send_one(&self, client: &BaseProducer<AckContext>, topic: usize, partition: i32, record: &One<'_>) -> Option<Sent> {
        let topic = self.topics.get(topic)?;
        let One { key, value, timestamp_ms, tag } = *record;
        let (key, key_len) = key.map_or((ptr::null(), 0), |key| (key.as_ptr(), key.len()));
        // SAFETY: client and handle are alive; every tag is followed by what librdkafka's documentation
        // wants behind it, and the last is the end. Key and value are copied in the call.
        let error = unsafe {
            sys::rd_kafka_producev(
                client.client().native_ptr(),
                Tag::RD_KAFKA_VTYPE_RKT,
                topic.as_ptr(),
                Tag::RD_KAFKA_VTYPE_PARTITION,
                partition,
                Tag::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                Tag::RD_KAFKA_VTYPE_VALUE,
                value.as_ptr().cast::<c_void>(),
                value.len(),
                Tag::RD_KAFKA_VTYPE_KEY,
                key.cast::<c_void>(),
                key_len,
                Tag::RD_KAFKA_VTYPE_OPAQUE,
                tag as *const c_void,
                Tag::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp_ms,
                Tag::RD_KAFKA_VTYPE_END,
            )
        };
        Some(match error {
            RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Sent::All,
            RespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL => Sent::Full(0),
            error => Sent::Refused(error.into()),
        })
    }
}

/// A record that is handed over alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct One<'a> {
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub timestamp_ms: i64,
    pub tag: usize,
}

impl Drop for Bulk {
    fn drop(&mut self) {
        for topic in &self.topics {
            // SAFETY: ours, destroyed once, while the client is alive.
            unsafe { sys::rd_kafka_topic_destroy(topic.as_ptr()) };
        }
    }
}
