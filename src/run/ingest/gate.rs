//! The gate between the poll thread, which loses partitions, and the writer, which commits
//! their offsets. A commit happens inside the gate and for one generation of the input; who
//! wants to begin a new generation waits for the commit that is under way. So nothing of a
//! generation is committed after it ended.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The gate of one ingest role.
#[derive(Debug, Default)]
pub struct Gate {
    generation: AtomicU32,
    /// The writer has begun a new generation: the input must be rewound.
    rewind: AtomicBool,
    inside: Mutex<()>,
    flushed: Mutex<Flushed>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Flushed {
    /// The last control that came out behind committed batches.
    ticket: u64,
    /// The writer ended or began a new generation.
    broken: u64,
}

/// The right to commit.
#[derive(Debug)]
pub struct Pass<'a>(#[allow(dead_code)] MutexGuard<'a, ()>);

impl Gate {
    /// The generation of what is read now.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Lets a commit of this generation in; `None` if the generation has ended.
    pub fn enter(&self, generation: u32) -> Option<Pass<'_>> {
        let pass = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        (self.generation() == generation).then_some(Pass(pass))
    }

    /// Ends the generation, when the commit under way (if any) is done, and returns the next one.
    pub fn close(&self) -> u32 {
        let _inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.generation.load(Ordering::Acquire).wrapping_add(1);
        self.generation.store(next, Ordering::Release);
        self.flushed().broken += 1;
        self.moved.notify_all();
        next
    }

    /// The writer's way to end a generation: the poll thread must rewind.
    pub fn fail(&self) {
        self.close();
        self.rewind.store(true, Ordering::Release);
    }

    /// Whether the input must be rewound; asked once.
    pub fn take_rewind(&self) -> bool {
        self.rewind.swap(false, Ordering::AcqRel)
    }

    /// All before this control is committed.
    pub fn flushed_to(&self, ticket: u64) {
        let mut flushed = self.flushed();
        flushed.ticket = flushed.ticket.max(ticket);
        self.moved.notify_all();
    }

    /// Waits until all before this control is committed; false when the generation ended or the
    /// time is up.
    pub fn wait_flushed(&self, ticket: u64, deadline: Instant) -> bool {
        let mut flushed = self.flushed();
        let broken = flushed.broken;
        while flushed.ticket < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || flushed.broken != broken {
                return false;
            }
            flushed = self.moved.wait_timeout(flushed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn flushed(&self) -> MutexGuard<'_, Flushed> {
        self.flushed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    #[test]
    fn nothing_of_an_ended_generation_is_committed() {
        let gate = Arc::new(Gate::default());
        let committing = Arc::new(AtomicU32::new(0));
        let pass = gate.enter(0).unwrap();
        committing.store(1, Ordering::SeqCst);
        let closing = {
            let (gate, committing) = (Arc::clone(&gate), Arc::clone(&committing));
            std::thread::spawn(move || (gate.close(), committing.load(Ordering::SeqCst)))
        };
        std::thread::sleep(Duration::from_millis(30));
        committing.store(2, Ordering::SeqCst);
        drop(pass);
        assert_eq!(closing.join().unwrap(), (1, 2), "the commit under way was waited for");
        assert!(gate.enter(0).is_none());
        assert!(gate.enter(1).is_some());
    }

    #[test]
    fn a_wait_ends_with_the_control_the_generation_or_the_time() {
        let gate = Arc::new(Gate::default());
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!gate.wait_flushed(1, soon()));
        gate.flushed_to(3);
        assert!(gate.wait_flushed(2, soon()));
        let waiting = {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || gate.wait_flushed(9, Instant::now() + Duration::from_secs(60)))
        };
        std::thread::sleep(Duration::from_millis(20));
        gate.fail();
        assert!(!waiting.join().unwrap());
        assert!(gate.take_rewind() && !gate.take_rewind());
    }
}
