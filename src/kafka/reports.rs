//! The producer's queue of delivery reports as plain Rust values.
//!
//! `BaseProducer::poll` would do, but it always waits its whole time, spinning
//! through the last millisecond, and clones an `Arc` per record. Reading the
//! same queue directly returns with the first report.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as RespErr};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer};

use super::acks::AckContext;
use super::error::Error;
use super::events::{Event, OwnedEvent, failure, log};
use super::log::log_code;

/// The delivery reports of a producer.
pub(super) struct ReportQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    producer: Arc<BaseProducer<AckContext>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the raw pointer is owned by this value.
unsafe impl Send for ReportQueue {}

impl ReportQueue {
    /// The queue of `producer`.
    pub fn new(producer: Arc<BaseProducer<AckContext>>) -> Result<ReportQueue, Error> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        let queue = unsafe { sys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or(Error::Refused { action: "opening the producer's queue", reason: "librdkafka gave none".to_owned() })?;
        Ok(ReportQueue { queue, producer })
    }

    /// Waits up to `timeout` for one event and serves it. Delivery reports go to
    /// `answer`: the record's opaque, and the error if it was not stored.
    ///
    /// # Errors
    /// A fatal error of the client; others pass or come back as delivery reports.
    pub fn poll(&self, timeout: Duration, mut answer: impl FnMut(usize, Option<Code>)) -> Result<(), Error> {
        self.poll_stored(timeout, |opaque, stored| answer(opaque, stored.err())).map(|_| ())
    }

    /// As [`ReportQueue::poll`], with the offset that each record got; says how many reports came.
    ///
    /// # Errors
    /// As [`ReportQueue::poll`].
    pub fn poll_stored(&self, timeout: Duration, mut answer: impl FnMut(usize, Result<i64, Code>)) -> Result<u64, Error> {
        let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is alive; the event is ours to destroy.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), millis) };
        let Some(event) = NonNull::new(event).map(OwnedEvent) else { return Ok(0) };
        // SAFETY: the event is alive.
        match unsafe { sys::rd_kafka_event_type(event.ptr()) } {
            sys::RD_KAFKA_EVENT_DR => {
                let mut reports = 0;
                // SAFETY: the messages live as long as their event.
                while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event.ptr()).as_ref() } {
                    let failed = message.err != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                    // The opaque is a number that travelled as a pointer.
                    answer(message._private as usize, if failed { Err(message.err.into()) } else { Ok(message.offset) });
                    reports += 1;
                }
                Ok(reports)
            }
            sys::RD_KAFKA_EVENT_ERROR => match failure(&event) {
                Event::Failed { code, fatal: true, .. } => Err(Error::Failed { action: "producing", code, fatal: true }),
                Event::Failed { code, .. } => {
                    log_code(code, "the producer reports an error");
                    Ok(0)
                }
                _ => Ok(0),
            },
            sys::RD_KAFKA_EVENT_LOG => {
                log(&event);
                Ok(0)
            }
            _ => Ok(0),
        }
    }

    /// Events that wait to be served.
    pub fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// The producer behind the queue.
    pub fn producer(&self) -> &BaseProducer<AckContext> {
        &self.producer
    }
}

impl Drop for ReportQueue {
    fn drop(&mut self) {
        // SAFETY: our own reference, given up once, while `producer` is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}
