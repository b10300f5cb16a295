//! What the poll thread has done so far, for other threads to read: positions,
//! ends of partitions, counters. One writer, any number of readers, no lock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// No end of the partition was reported yet.
const UNKNOWN: i64 = -1;

/// Shared counters of one consumer. All of them only grow, except `end`.
#[derive(Debug)]
pub struct Progress {
    /// Per dense partition: the next offset to read.
    positions: Box<[AtomicI64]>,
    /// Per dense partition: the offset at which the broker last had nothing more.
    ends: Box<[AtomicI64]>,
    messages: AtomicU64,
    bytes: AtomicU64,
    sent_messages: AtomicU64,
    sent_batches: AtomicU64,
    stalls: AtomicU64,
    pauses: AtomicU64,
    /// How often the end of a partition was reached, or nearly that of all.
    ends_seen: AtomicU64,
    assigned: AtomicBool,
}

impl Default for Progress {
    /// Of a consumer without partitions.
    fn default() -> Progress {
        Progress::new(0)
    }
}

impl Progress {
    pub(super) fn new(partitions: usize) -> Progress {
        Progress {
            positions: (0..partitions).map(|_| AtomicI64::new(0)).collect(),
            ends: (0..partitions).map(|_| AtomicI64::new(UNKNOWN)).collect(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            sent_messages: AtomicU64::new(0),
            sent_batches: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            ends_seen: AtomicU64::new(0),
            assigned: AtomicBool::new(false),
        }
    }

    /// Messages read.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Payload and key bytes read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Batches handed on.
    pub fn batches(&self) -> u64 {
        self.sent_batches.load(Ordering::Relaxed)
    }

    /// Seconds during which the channel behind the consumer was full.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// How often the partitions were paused because of that.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// How often the end of a partition was reached, or little was left to read: a number that stands still while messages
    /// come is a lag.
    pub fn ends_seen(&self) -> u64 {
        self.ends_seen.load(Ordering::Relaxed)
    }

    /// True once the group has given us partitions.
    pub fn assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }

    /// The next offset to read of a dense partition.
    pub fn position(&self, partition: u16) -> i64 {
        self.positions.get(partition as usize).map_or(0, |p| p.load(Ordering::Acquire))
    }

    /// True when every partition was read to what was its end at the time, and
    /// all that was read has been handed on. More may have arrived since: ask
    /// [`Progress::reached`] with the ends that the producer knows.
    pub fn drained(&self) -> bool {
        // Handed-on first: read in the other order, a message that comes and goes in between is missed.
        let sent = self.sent_messages.load(Ordering::Acquire);
        self.assigned()
            && self.messages.load(Ordering::Acquire) == sent
            && self.ends.iter().zip(&self.positions).all(|(end, position)| {
                let end = end.load(Ordering::Acquire);
                end != UNKNOWN && end >= position.load(Ordering::Acquire)
            })
    }

    /// True when each of these dense partitions was read up to (excluding) the
    /// offset beside it, and all that was read has been handed on. An end of
    /// partition counts like a record, because the last offsets of a real
    /// partition may be transaction markers.
    pub fn reached(&self, ends: &[(u16, i64)]) -> bool {
        let sent = self.sent_messages.load(Ordering::Acquire);
        ends.iter().all(|(partition, to)| {
            let end = self.ends.get(*partition as usize).map_or(UNKNOWN, |end| end.load(Ordering::Acquire));
            self.position(*partition).max(end) >= *to
        }) && self.messages.load(Ordering::Acquire) == sent
    }

    // The writer's side. Plain load and store: there is one writer.

    #[inline]
    pub(super) fn read(&self, partition: u16, offset: i64, bytes: usize) {
        add(&self.messages, 1);
        add(&self.bytes, bytes as u64);
        if let Some(position) = self.positions.get(partition as usize) {
            position.store(offset + 1, Ordering::Release);
        }
    }

    pub(super) fn starts_at(&self, partition: u16, offset: i64) {
        if let Some(position) = self.positions.get(partition as usize) {
            position.store(offset, Ordering::Release);
        }
    }

    pub(super) fn ended(&self, partition: u16, offset: i64) {
        add(&self.ends_seen, 1);
        if let Some(end) = self.ends.get(partition as usize) {
            end.store(offset, Ordering::Release);
        }
    }

    /// Little is left to read.
    pub(super) fn caught_up(&self) {
        add(&self.ends_seen, 1);
    }

    pub(super) fn sent(&self, messages: usize) {
        add(&self.sent_messages, messages as u64);
        add(&self.sent_batches, 1);
    }

    pub(super) fn stalled(&self) {
        add(&self.stalls, 1);
    }

    pub(super) fn paused(&self) {
        add(&self.pauses, 1);
    }

    pub(super) fn set_assigned(&self) {
        self.assigned.store(true, Ordering::Release);
    }
}

#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drained_means_read_to_the_end_and_handed_on() {
        let progress = Progress::new(2);
        assert!(!progress.drained());
        progress.set_assigned();
        progress.ended(0, 0);
        assert!(!progress.drained(), "nothing is known of partition 1");
        progress.ended(1, 0);
        assert!(progress.drained());
        progress.read(0, 0, 10);
        assert!(!progress.drained(), "a message is held, and the end is stale");
        progress.sent(1);
        assert!(!progress.drained(), "the end is stale");
        progress.ended(0, 1);
        assert!(progress.drained());
        assert!(progress.reached(&[(0, 1), (1, 0)]));
        assert!(!progress.reached(&[(0, 2)]));
    }
}
