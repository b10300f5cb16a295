//! Counts the acks of the batches in flight, through librdkafka's delivery
//! opaque: the number of a batch's slot. Nothing is allocated per record.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::log::{log_error, log_line};

#[derive(Debug, Default)]
struct Slot {
    /// Records without an answer.
    pending: AtomicU32,
    failed: AtomicU32,
    /// When `pending` reached 0, microseconds since the epoch.
    done_us: AtomicI64,
}

/// State of a batch in flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AckState {
    /// Answers are missing.
    Open,
    /// Every record is stored, since this time (microseconds since the epoch).
    Done { at_us: i64 },
    /// Every record was answered, and some of them failed.
    Failed { failed: u32, code: Code },
}

/// The slots of the batches in flight.
#[derive(Debug)]
pub(super) struct Acks {
    slots: Box<[Slot]>,
    /// The first failure ends the producer, so one place is enough.
    first_failure: OnceLock<Code>,
}

impl Acks {
    pub fn new(slots: usize) -> Acks {
        let slots = (0..slots).map(|_| Slot::default()).collect();
        Acks { slots, first_failure: OnceLock::new() }
    }

    /// Starts a batch of `records` records in a slot that is free.
    pub fn open(&self, slot: usize, records: usize) {
        if let Some(slot) = self.slots.get(slot) {
            slot.failed.store(0, Ordering::Relaxed);
            slot.done_us.store(0, Ordering::Relaxed);
            slot.pending.store(u32::try_from(records).unwrap_or(u32::MAX), Ordering::Release);
        }
    }

    /// How far the batch in a slot is.
    pub fn state(&self, slot: usize) -> AckState {
        let Some(slot) = self.slots.get(slot) else { return AckState::Open };
        if slot.pending.load(Ordering::Acquire) > 0 {
            return AckState::Open;
        }
        match slot.failed.load(Ordering::Relaxed) {
            0 => AckState::Done { at_us: slot.done_us.load(Ordering::Relaxed) },
            failed => AckState::Failed { failed, code: self.first_failure.get().copied().unwrap_or(Code::Unknown) },
        }
    }

    /// A record of the batch in this slot was stored (`None`) or failed.
    pub fn answer(&self, slot: usize, failure: Option<Code>) {
        let Some(slot) = self.slots.get(slot) else { return };
        if let Some(code) = failure {
            // Only the first one is kept.
            let _ = self.first_failure.set(code);
            slot.failed.fetch_add(1, Ordering::Relaxed);
        }
        if slot.pending.load(Ordering::Relaxed) == 1 {
            slot.done_us.store(now_us(), Ordering::Relaxed);
        }
        slot.pending.fetch_sub(1, Ordering::Release);
    }
}

/// The producer's context. Reports are read from the queue (`reports`), so
/// `delivery` is called only for those that are left when the producer is dropped.
pub(super) struct AckContext;

impl ClientContext for AckContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for AckContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_done_with_its_last_ack() {
        let acks = Acks::new(2);
        acks.open(0, 2);
        acks.open(1, 0);
        assert_eq!(acks.state(1), AckState::Done { at_us: 0 });
        acks.answer(0, None);
        assert_eq!(acks.state(0), AckState::Open);
        acks.answer(0, None);
        assert!(matches!(acks.state(0), AckState::Done { at_us } if at_us > 0));
    }

    #[test]
    fn a_failure_is_told_when_all_answers_are_in() {
        let acks = Acks::new(1);
        acks.open(0, 2);
        acks.answer(0, Some(Code::MessageTimedOut));
        assert_eq!(acks.state(0), AckState::Open);
        acks.answer(0, None);
        assert_eq!(acks.state(0), AckState::Failed { failed: 1, code: Code::MessageTimedOut });
    }
}
