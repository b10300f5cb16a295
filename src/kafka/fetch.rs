//! The records of a consumer in a queue of their own, taken many at a time.
//!
//! librdkafka forwards the queue of each partition to the consumer's queue. There records stand
//! between rebalances and errors of the group, so they can only be taken one by one, at three clock
//! readings, three locks and an allocation each. Here the partitions' queues are forwarded to a
//! queue that holds nothing but records and what concerns one partition (its end, its errors), and
//! a whole burst is taken in one call: that with a callback. The one that fills an array counts the
//! end of a partition as a record, and goes on behind it after a pause (librdkafka issue 4844): a
//! record that came meanwhile would be lost.
//!
//! What has to be known of forwarding:
//! - It ends without a word when a partition is stopped, some time after the call that stops it.
//!   What is fetched after its next start then waits in the partition's own queue until it is
//!   forwarded again, in order and nothing lost. So [`FetchQueue::forward`] is repeated: often
//!   after a start, now and then for ever (see [`FetchQueue::is_due`]).
//! - What was fetched before the first forwarding lies in the consumer's queue. Whoever forwards
//!   serves that queue to its end before taking from this one; otherwise records change places.
//! - Records of an assignment that has ended are thrown away by librdkafka when they are taken.
//!   Nothing is kept here between two calls; what a burst leaves goes back to its place in the queue.

use std::any::Any;
use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::Error;
use super::events::{Event, EventQueue, lent};
use super::log::Logging;

/// Records of one call.
const BURST: u32 = 256;

/// Between two forwardings soon after a start.
const FORWARD_SOON: Duration = Duration::from_millis(10);
/// So long after a start that is.
const SOON: Duration = Duration::from_secs(2);
/// Between two forwardings otherwise: what would be the longest stall, should a forwarding ever end
/// in a way that nobody here knows of.
const FORWARD_LATE: Duration = Duration::from_secs(1);

/// A queue to which partitions' queues are forwarded.
pub(super) struct FetchQueue {
    queue: EventQueue,
    started: Instant,
    forwarded: Instant,
}

impl FetchQueue {
    /// An empty queue, to which nothing is forwarded yet.
    pub fn new(consumer: Arc<BaseConsumer<Logging>>) -> Result<FetchQueue, Error> {
        let now = Instant::now();
        Ok(FetchQueue { queue: EventQueue::apart(consumer)?, started: now, forwarded: now })
    }

    /// Partitions were started just now: forward them, soon and again.
    pub fn started(&mut self) {
        self.started = Instant::now();
        self.forwarded = self.started.checked_sub(FORWARD_LATE).unwrap_or(self.started);
    }

    /// True when the partitions that are read should be forwarded (again).
    pub fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.forwarded) >= self.pause(now)
    }

    /// Between two forwardings, now; who waits for records should not wait longer.
    pub fn pause(&self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) < SOON { FORWARD_SOON } else { FORWARD_LATE }
    }

    /// Forwards the queues of these partitions. Serve the consumer's queue to its end before the
    /// next [`FetchQueue::take`].
    pub fn forward<'a>(&mut self, partitions: impl Iterator<Item = (&'a str, i32)>, now: Instant) {
        self.forwarded = now;
        for (topic, partition) in partitions {
            // A name with a NUL is no topic's.
            let Ok(topic) = CString::new(topic) else { continue };
            // SAFETY: the client is alive; the reference to the partition's queue is ours and given
            // up once; `self.queue` outlives the forwarding or is disabled by its own destruction.
            unsafe {
                let own = sys::rd_kafka_queue_get_partition(self.queue.consumer().client().native_ptr(), topic.as_ptr(), partition);
                if !own.is_null() {
                    sys::rd_kafka_queue_forward(own, self.queue.native());
                    sys::rd_kafka_queue_destroy(own);
                }
            }
        }
    }

    /// How many records the brokers have beyond these positions, as of the last answers to fetches.
    pub fn unread<'a>(&self, positions: impl Iterator<Item = (&'a str, i32, i64)>) -> i64 {
        let mut unread = 0;
        for (topic, partition, position) in positions {
            let Ok(topic) = CString::new(topic) else { continue };
            let (mut low, mut high) = (0, 0);
            // SAFETY: the client is alive; the call reads what it knows and writes two numbers.
            unsafe { sys::rd_kafka_get_watermark_offsets(self.queue.consumer().client().native_ptr(), topic.as_ptr(), partition, &mut low, &mut high) };
            unread += (high - position).max(0);
        }
        unread
    }

    /// Takes what is there, up to a burst; says how much that was. After an error of `each` nothing
    /// more is taken.
    pub fn take<F: FnMut(Event<'_>) -> Result<(), Error>>(&mut self, each: F) -> Result<u32, Error> {
        let mut burst = Burst { each, client: self.queue.consumer().client().native_ptr(), taken: 0, done: Ok(Ok(())) };
        // SAFETY: the queue is alive. The callback gets `burst`, on this thread, and not after the call.
        unsafe { sys::rd_kafka_consume_callback_queue(self.queue.native(), 0, Some(taken::<F>), (&raw mut burst).cast()) };
        match burst.done {
            Ok(done) => done.map(|()| burst.taken),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// The next of what is there, waiting up to `wait` for it.
    pub fn wait(&mut self, wait: Duration) -> Option<Event<'_>> {
        self.queue.poll(wait)
    }
}

struct Burst<F> {
    each: F,
    client: *mut sys::rd_kafka_t,
    taken: u32,
    /// What `each` said, or the panic in it: that must not run through librdkafka's frames.
    done: Result<Result<(), Error>, Box<dyn Any + Send>>,
}

unsafe extern "C" fn taken<F: FnMut(Event<'_>) -> Result<(), Error>>(message: *mut sys::rd_kafka_message_t, burst: *mut c_void) {
    // SAFETY: the call in `take` hands over its burst, and messages that live as long as this call.
    let (Some(burst), Some(message)) = (unsafe { burst.cast::<Burst<F>>().as_mut() }, unsafe { message.as_ref() }) else { return };
    burst.taken += 1;
    let each = AssertUnwindSafe(&mut burst.each);
    burst.done = catch_unwind(|| { each }.0(lent(message)));
    if burst.taken >= BURST || !matches!(burst.done, Ok(Ok(()))) {
        // SAFETY: the client is alive. What is left of the burst goes back to the head of the queue.
        unsafe { sys::rd_kafka_yield(burst.client) };
    }
}
