//! The generator on a thread of its own: events are rendered ahead of their time, so that
//! sending never waits for them. Bounded by messages and bytes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::event::Message;
use super::generate::Generator;
use crate::error::Error;

/// Messages handed over at once (count): a handover costs a few hundred nanoseconds.
const CHUNK_MESSAGES: usize = 256;
/// Bytes handed over at once: large events come in small chunks.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks ahead (count): 16,384 messages or 16 MiB, a tenth of a second of the fastest flood.
const CHUNKS_AHEAD: usize = 64;

/// Messages rendered ahead.
pub struct Ahead {
    chunks: Receiver<Vec<Message>>,
    /// Chunks to be filled again.
    used: Sender<Vec<Message>>,
    pace: Arc<Mutex<Option<(u32, i64)>>>,
    current: Vec<Message>,
    next: usize,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(generator: Generator) -> Result<Ahead, Error> {
        let (to_sender, chunks) = bounded(CHUNKS_AHEAD);
        let (used, to_fill) = bounded(CHUNKS_AHEAD + 2);
        let pace = Arc::new(Mutex::new(None));
        let wanted = pace.clone();
        let thread = std::thread::Builder::new().name("generate".into()).spawn(move || fill(generator, &to_sender, &to_fill, &wanted))?;
        Ok(Ahead { chunks, used, pace, current: Vec::new(), next: 0, thread: Some(thread) })
    }

    /// Simulated time is to go on with so many events per second, from `not_before_ms` at the
    /// earliest. Holds for events that are not rendered yet.
    pub fn pace(&self, rate: u32, not_before_ms: i64) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Some((rate, not_before_ms));
    }

    /// The next message, without taking it; `None` when all are made. Waits for the generator if it must.
    pub fn peek(&mut self) -> Option<&Message> {
        if self.next >= self.current.len() {
            let next = self.chunks.recv().ok()?;
            let used = std::mem::replace(&mut self.current, next);
            self.next = 0;
            let _ = self.used.try_send(used);
        }
        self.current.get(self.next)
    }

    /// Takes the message that [`Ahead::peek`] showed.
    pub fn take(&mut self) {
        self.next += 1;
    }

    /// Waits until so much is ready that the first second does not wait for the generator.
    pub fn warm_up(&self) {
        while !self.chunks.is_full() && self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // The thread ends when nobody takes its chunks.
        let (_, nothing) = bounded(0);
        self.chunks = nothing;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn fill(mut generator: Generator, out: &Sender<Vec<Message>>, used: &Receiver<Vec<Message>>, pace: &Mutex<Option<(u32, i64)>>) {
    loop {
        let mut chunk = used.try_recv().unwrap_or_default();
        let (mut filled, mut bytes) = (0, 0);
        if let Some((rate, not_before_ms)) = pace.lock().unwrap_or_else(PoisonError::into_inner).take() {
            generator.pace(rate, not_before_ms);
        }
        while filled < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
            if chunk.len() <= filled {
                chunk.push(Message::default());
            }
            let Some(message) = chunk.get_mut(filled) else { break };
            if !generator.next(message) {
                break;
            }
            bytes += message.key.len() + message.payload.len();
            filled += 1;
        }
        chunk.truncate(filled);
        if filled == 0 || out.send(chunk).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::{GeneratorSpec, profiles};

    #[test]
    fn the_same_messages_come_through_the_thread() {
        let spec = GeneratorSpec::soc(5, 20_000);
        let mut generator = Generator::new(spec.clone()).unwrap();
        let mut ahead = Ahead::start(Generator::new(spec).unwrap()).unwrap();
        let mut message = Message::default();
        let mut count = 0;
        while generator.next(&mut message) {
            let other = ahead.peek().unwrap();
            assert_eq!((&message.payload, &message.key, &message.groups), (&other.payload, &other.key, &other.groups));
            ahead.take();
            count += 1;
        }
        assert!(count > 10_000);
        assert!(ahead.peek().is_none());
    }

    #[test]
    fn it_stops_when_nobody_takes_and_when_dropped() {
        let spec = GeneratorSpec::plain(&profiles::BENCH, 1, u64::MAX);
        let mut ahead = Ahead::start(Generator::new(spec).unwrap()).unwrap();
        ahead.warm_up();
        assert!(ahead.chunks.len() <= CHUNKS_AHEAD);
        assert!(ahead.peek().is_some());
        drop(ahead);
    }
}
