//! The records of a consumer in a queue of their own, taken many at a time.
//!
//! librdkafka forwards the queue of each partition to the consumer's queue. There records stand
//! between rebalances and errors of the group, so they can only be taken one by one, at three clock
//! readings, three locks and an allocation each. Here the partitions' queues are forwarded to a
//! queue that holds nothing but records and what concerns one partition (its end, its errors), and
//! a whole burst is taken in one call.
//!
//! What has to be known of forwarding:
//! - It ends without a word when a partition is stopped, some time after the call that stops it.
//!   What is fetched after its next start then waits in the partition's own queue until it is
//!   forwarded again, in order and nothing lost. So [`FetchQueue::forward`] is repeated: often
//!   after a start, now and then for ever (see [`FetchQueue::is_due`]).
//! - What was fetched before the first forwarding lies in the consumer's queue. Whoever forwards
//!   serves that queue to its end before taking from this one; otherwise records change places.
//! - Records of an assignment that has ended are thrown away by librdkafka when they are taken.
//!   Nothing is kept here between two calls.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::Error;
use super::events::{Event, EventQueue, OwnedMessage, event_of};
use super::log::Logging;

/// Records of one call.
const BURST: usize = 256;

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
    room: [*mut sys::rd_kafka_message_t; BURST],
    started: Instant,
    forwarded: Instant,
}

// SAFETY: the pointers in `room` are written and read within one call.
unsafe impl Send for FetchQueue {}

impl FetchQueue {
    /// An empty queue, to which nothing is forwarded yet.
    pub fn new(consumer: Arc<BaseConsumer<Logging>>) -> Result<FetchQueue, Error> {
        let now = Instant::now();
        Ok(FetchQueue { queue: EventQueue::apart(consumer)?, room: [ptr::null_mut(); BURST], started: now, forwarded: now })
    }

    /// Partitions were started just now: forward them, soon and again.
    pub fn started(&mut self) {
        self.started = Instant::now();
        self.forwarded = self.started.checked_sub(FORWARD_LATE).unwrap_or(self.started);
    }

    /// True when the partitions that are read should be forwarded (again).
    pub fn is_due(&self, now: Instant) -> bool {
        let pause = if now.saturating_duration_since(self.started) < SOON { FORWARD_SOON } else { FORWARD_LATE };
        now.saturating_duration_since(self.forwarded) >= pause
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

    /// Takes what is there, up to a burst; says how much that was. After an error of `each` the rest
    /// of the burst is thrown away.
    pub fn take(&mut self, mut each: impl FnMut(Event<'_>) -> Result<(), Error>) -> Result<usize, Error> {
        // SAFETY: the queue is alive, and `room` has room for `BURST` pointers, each to a message that is ours to destroy.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.native(), 0, self.room.as_mut_ptr(), BURST) };
        let count = usize::try_from(count).unwrap_or(0);
        let mut done = Ok(());
        for message in self.room.iter_mut().take(count) {
            let Some(message) = NonNull::new(std::mem::replace(message, ptr::null_mut())) else { continue };
            let message = OwnedMessage(message);
            if done.is_ok() {
                done = each(event_of(message));
            }
        }
        done.map(|()| count)
    }

    /// The next of what is there, waiting up to `wait` for it.
    pub fn wait(&mut self, wait: Duration) -> Option<Event<'_>> {
        self.queue.poll(wait)
    }
}
