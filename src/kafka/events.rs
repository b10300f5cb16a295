//! librdkafka's consumer queue as plain Rust values.
//!
//! `BaseConsumer::poll` would do, but it takes two clock readings and an
//! allocation per message, tells the end of a partition without its topic, and
//! hands over assignments in a callback. Reading the same queue directly costs
//! less and makes an assignment one more value in the poll loop, where `steered`
//! puts its gate. Everything else stays with `BaseConsumer`.
//!
//! Holds unsafe code. What keeps it sound:
//! - the queue and every event keep the consumer alive through `Arc` and borrow;
//! - an event is destroyed exactly once, by `OwnedEvent`;
//! - nothing read from an event outlives it.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as RespErr};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::Error;
use super::log::{Logging, log_line};

/// What the consumer queue had to say.
pub(super) enum Event<'q> {
    /// A record.
    Message(Fetched<'q>),
    /// The partition has no record at or after this offset for now.
    End { topic: String, partition: i32, offset: i64 },
    /// The group gave us these partitions; they must be assigned.
    Assigned(Vec<(String, i32)>),
    /// The group takes these partitions; they must be unassigned.
    Revoked(Vec<(String, i32)>),
    /// Something failed, perhaps only for a while.
    Failed { code: Code, fatal: bool, at: Option<(String, i32)> },
    /// A log line or a commit result, dealt with already.
    Served,
}

/// The queue of a consumer. At most one event is out at a time.
pub(super) struct EventQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<BaseConsumer<Logging>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the raw pointer is owned by this value.
unsafe impl Send for EventQueue {}

impl EventQueue {
    /// The queue of `consumer`, which must have a group id.
    pub fn new(consumer: Arc<BaseConsumer<Logging>>) -> Result<EventQueue, Error> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue =
            NonNull::new(queue).ok_or(Error::Refused { action: "opening the consumer's queue", reason: "the client has no consumer group".to_owned() })?;
        Ok(EventQueue { queue, consumer })
    }

    /// A new queue of the same client, empty, for what is forwarded to it.
    pub fn apart(consumer: Arc<BaseConsumer<Logging>>) -> Result<EventQueue, Error> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or(Error::Refused { action: "opening a queue for records", reason: "librdkafka gave none".to_owned() })?;
        Ok(EventQueue { queue, consumer })
    }

    /// The queue, as long as this value lives.
    pub fn native(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// The consumer behind the queue.
    pub fn consumer(&self) -> &Arc<BaseConsumer<Logging>> {
        &self.consumer
    }

    /// True when the group hands partitions over one by one instead of all at once.
    pub fn is_cooperative(&self) -> bool {
        // SAFETY: the client is alive; the result is a static string or null.
        unsafe {
            let name = sys::rd_kafka_rebalance_protocol(self.consumer.client().native_ptr());
            !name.is_null() && CStr::from_ptr(name).to_bytes() == b"COOPERATIVE"
        }
    }

    /// True when the session was lost: what is revoked next is somebody else's already.
    pub fn is_lost(&self) -> bool {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_assignment_lost(self.consumer.client().native_ptr()) != 0 }
    }

    /// True when the group took this member for replaced: every later call fails with some error,
    /// perhaps before the event that says so was served.
    pub fn is_fenced(&self) -> bool {
        // SAFETY: the client is alive; no text is asked for.
        unsafe { sys::rd_kafka_fatal_error(self.consumer.client().native_ptr(), ptr::null_mut(), 0) == RespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID }
    }

    /// The next event, waiting up to `timeout` for it.
    #[inline]
    pub fn poll(&mut self, timeout: Duration) -> Option<Event<'_>> {
        let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is alive; the event is ours to destroy.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), millis) };
        let event = OwnedEvent(NonNull::new(event)?);
        // SAFETY: the event is alive.
        match unsafe { sys::rd_kafka_event_type(event.ptr()) } {
            sys::RD_KAFKA_EVENT_FETCH => {
                // SAFETY: a fetch event holds one message, which lives as long as the event.
                let message = unsafe { sys::rd_kafka_event_message_next(event.ptr()) };
                let Some(message) = NonNull::new(message.cast_mut()) else { return Some(Event::Served) };
                Some(told(Fetched { message, _event: Some(event), _queue: PhantomData }))
            }
            sys::RD_KAFKA_EVENT_REBALANCE => Some(rebalance(&event)),
            sys::RD_KAFKA_EVENT_ERROR => Some(failure(&event)),
            sys::RD_KAFKA_EVENT_LOG => {
                log(&event);
                Some(Event::Served)
            }
            _ => Some(Event::Served),
        }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        // SAFETY: our own reference, given up once, while `consumer` is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// An event that is ours to destroy.
pub(super) struct OwnedEvent(pub NonNull<sys::rd_kafka_event_t>);

impl OwnedEvent {
    pub fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }
}

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        // SAFETY: the event came from `rd_kafka_queue_poll` and is destroyed here only.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// What a message says that librdkafka lends for the time of a callback: a record, the end of its
/// partition, or that something failed there.
#[inline]
pub(super) fn lent(message: &sys::rd_kafka_message_t) -> Event<'_> {
    told(Fetched { message: NonNull::from(message), _event: None, _queue: PhantomData })
}

#[inline]
fn told(fetched: Fetched<'_>) -> Event<'_> {
    match fetched.raw().err {
        RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Event::Message(fetched),
        error => said(&fetched, error),
    }
}

#[cold]
fn said(fetched: &Fetched<'_>, error: RespErr) -> Event<'static> {
    let (topic, partition) = (fetched.topic_name().to_owned(), fetched.partition());
    match error {
        RespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Event::End { topic, partition, offset: fetched.offset() },
        error => Event::Failed { code: error.into(), fatal: false, at: Some((topic, partition)) },
    }
}

/// One record, as long as it is borrowed from the queue.
pub(super) struct Fetched<'q> {
    message: NonNull<sys::rd_kafka_message_t>,
    /// What keeps it alive, if that is ours.
    _event: Option<OwnedEvent>,
    _queue: PhantomData<&'q mut EventQueue>,
}

impl Fetched<'_> {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message lives as long as its event in `self`, or is lent for as long as `self`.
        unsafe { self.message.as_ref() }
    }

    /// The value; empty for a tombstone.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        // SAFETY: librdkafka's pointer and length of this message's value.
        unsafe { bytes(self.raw().payload.cast(), self.raw().len) }.unwrap_or_default()
    }

    /// The key, if there is one.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka's pointer and length of this message's key.
        unsafe { bytes(self.raw().key.cast(), self.raw().key_len) }
    }

    /// Identifies the topic as long as the assignment does not change.
    #[inline]
    pub fn topic_id(&self) -> usize {
        self.raw().rkt as usize
    }

    /// The topic's name; empty if librdkafka does not say.
    pub fn topic_name(&self) -> &str {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds the topic; its name is a C string that lives as long.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_str().unwrap_or_default()
    }

    /// The Kafka partition.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.raw().partition
    }

    /// The offset.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Milliseconds since the epoch, if the record carries a time.
    #[inline]
    pub fn timestamp_ms(&self) -> Option<i64> {
        // SAFETY: the message is alive; the type may be asked for with null.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), ptr::null_mut()) };
        (millis >= 0).then_some(millis)
    }

    /// Calls `each` with the name and value of every header.
    #[inline]
    pub fn headers(&self, mut each: impl FnMut(&str, &[u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and owns the headers that it returns.
        let found = unsafe { sys::rd_kafka_message_headers(self.message.as_ptr(), &mut headers) };
        if found != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut len): (*const c_char, _, _) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is alive as above; past the last header the call reports an error.
            let found = unsafe { sys::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut len) };
            if found != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return;
            }
            // SAFETY: a C string and a byte range inside the headers.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast(), len)) };
            // A name that is not UTF-8 cannot be asked for by any expression.
            each(name.to_str().unwrap_or_default(), value.unwrap_or_default());
        }
    }

    /// Bytes of all header names and values.
    #[inline]
    pub fn header_bytes(&self) -> usize {
        let mut total = 0;
        self.headers(|name, value| total += name.len() + value.len());
        total
    }
}

/// # Safety
/// `start` is null or points to `len` bytes that outlive the result.
#[inline]
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, len) })
}

fn rebalance(event: &OwnedEvent) -> Event<'static> {
    let mut partitions = Vec::new();
    // SAFETY: the event is alive and owns the list; `cnt` elements are valid.
    let error = unsafe {
        let list = sys::rd_kafka_event_topic_partition_list(event.ptr());
        if let Some(list) = list.as_ref()
            && !list.elems.is_null()
        {
            for element in slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0)) {
                partitions.push((text(element.topic), element.partition));
            }
        }
        sys::rd_kafka_event_error(event.ptr())
    };
    match error {
        RespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assigned(partitions),
        RespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Event::Revoked(partitions),
        error => Event::Failed { code: error.into(), fatal: false, at: None },
    }
}

/// What an error event says.
pub(super) fn failure(event: &OwnedEvent) -> Event<'static> {
    // SAFETY: the event is alive; the partition that it returns is ours to destroy.
    let (error, fatal, at) = unsafe {
        let error = sys::rd_kafka_event_error(event.ptr());
        let fatal = sys::rd_kafka_event_error_is_fatal(event.ptr()) != 0;
        let partition = sys::rd_kafka_event_topic_partition(event.ptr());
        let at = partition.as_ref().map(|p| (text(p.topic), p.partition, p.offset));
        if !partition.is_null() {
            sys::rd_kafka_topic_partition_destroy(partition);
        }
        (error, fatal, at)
    };
    match (error, at) {
        (RespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF, Some((topic, partition, offset))) => Event::End { topic, partition, offset },
        (error, at) => Event::Failed { code: error.into(), fatal, at: at.map(|(topic, partition, _)| (topic, partition)) },
    }
}

/// Hands librdkafka's log line to `tracing`.
pub(super) fn log(event: &OwnedEvent) {
    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the event is alive and owns the strings.
    unsafe {
        if sys::rd_kafka_event_log(event.ptr(), &mut facility, &mut line, &mut level) == 0 {
            log_line(level, text(facility).trim(), text(line).trim());
        }
    }
}

/// # Safety
/// `start` is null or a C string.
unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
}
