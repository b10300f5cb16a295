//! Looks ahead where facts have piled up: a critical incident behind a flood in its partition must not
//! wait until all of the flood is accepted. A thread of its own reads on from where the member
//! stands, looks at the severity, and hands over what is urgent; its run is accepted at once, without
//! moving the position. Reached in its turn the fact is known: the id of its run follows from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use memchr::memmem::Finder;

use super::intake::Beside;
use crate::error::Error;
use crate::kafka::{Admin, At, Error as KafkaError, PartitionReader, Settings};
use crate::run::beside;

/// Facts ahead of the member from which on it is worth looking (count): fewer are read in a moment anyway.
const WORTH: i64 = 500;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Facts on their way to the loop (count).
const AHEAD: usize = 256;
/// Longest wait for an answer about ends.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A fact that is urgent.
pub struct Urgent {
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub beside: Beside,
}

#[derive(Default)]
struct Shared {
    /// Partitions that are read, with the next offset.
    positions: Mutex<BTreeMap<i32, i64>>,
    stop: AtomicBool,
}

/// The thread. It ends when this is dropped.
pub struct Scout {
    shared: Arc<Shared>,
    /// What it found.
    pub found: Receiver<Urgent>,
    thread: Option<JoinHandle<()>>,
}

impl Scout {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(reader: Settings, admin: Settings, topic: String) -> Result<Scout, Error> {
        let shared = Arc::new(Shared::default());
        let (tell, found) = bounded(AHEAD);
        let mut look = Look {
            shared: shared.clone(),
            reader,
            admin,
            topic,
            tell,
            client: None,
            connection: None,
            next: BTreeMap::new(),
            severity: Finder::new("\"severity\":").into_owned(),
        };
        let thread = std::thread::Builder::new().name("scout".into()).spawn(move || look.run())?;
        Ok(Scout { shared, found, thread: Some(thread) })
    }

    /// Tells it where the member stands.
    pub fn stands(&self, positions: impl Iterator<Item = (i32, i64)>) {
        let mut known = self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.extend(positions);
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        beside::end(&mut self.thread);
    }
}

/// What the thread works with.
struct Look {
    shared: Arc<Shared>,
    reader: Settings,
    admin: Settings,
    topic: String,
    tell: Sender<Urgent>,
    client: Option<PartitionReader>,
    connection: Option<Admin>,
    /// Up to where it looked.
    next: BTreeMap<i32, i64>,
    severity: Finder<'static>,
}

impl Look {
    fn run(&mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_EVERY);
            if let Err(error) = self.look() {
                // The member itself says what is wrong with the brokers.
                tracing::debug!(%error, "nobody looks ahead");
                self.client = None;
                self.connection = None;
            }
        }
    }

    fn look(&mut self) -> Result<(), KafkaError> {
        let positions = self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.next.retain(|partition, _| positions.contains_key(partition));
        if positions.is_empty() {
            return Ok(());
        }
        let connection = match &self.connection {
            Some(connection) => connection,
            None => self.connection.insert(Admin::connect(&self.admin, ANSWER_WAIT)?),
        };
        let parts: Vec<(&str, i32)> = positions.keys().map(|partition| (self.topic.as_str(), *partition)).collect();
        let ends = connection.offsets(&parts, At::End)?;
        for ((partition, position), end) in positions.into_iter().zip(ends) {
            let from = self.next.get(&partition).copied().unwrap_or(0).max(position);
            if end - position >= WORTH && end > from {
                self.read(partition, from)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, partition: i32, from: i64) -> Result<(), KafkaError> {
        let Look { shared, reader, topic, tell, client, next, severity, .. } = self;
        let client = match client {
            Some(client) => client,
            None => client.insert(PartitionReader::open(reader)?),
        };
        client.read_tail_from(topic, partition, from, |record| {
            next.insert(partition, record.offset + 1);
            if shared.stop.load(Ordering::Relaxed) {
                return false;
            }
            if !is_urgent(record.payload(), severity) {
                return true;
            }
            let mut beside = Beside::default();
            record.headers(|name, value| beside.header(name, value));
            let mut urgent = Urgent { partition, key: record.key().unwrap_or_default().to_vec(), value: record.payload().to_vec(), beside };
            while let Err(TrySendError::Full(back)) = tell.try_send(urgent) {
                if shared.stop.load(Ordering::Relaxed) {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
                urgent = back;
            }
            true
        })?;
        Ok(())
    }
}

/// True for what may be a fact that creates an incident of the upper classes: severity 3 or 4.
fn is_urgent(value: &[u8], severity: &Finder<'_>) -> bool {
    value.starts_with(b"{\"fact\":\"created\"") && severity.find_iter(value).any(|at| matches!(value.get(at + 11), Some(b'3' | b'4')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_is_seen_at_a_glance() {
        let severity = Finder::new("\"severity\":");
        let fact = |severity: &str| format!(r#"{{"fact":"created","fact_id":"x","incident":{{"id":"x","type":"T","severity":{severity},"raw":{{}}}}}}"#);
        assert!(is_urgent(fact("4").as_bytes(), &severity) && is_urgent(fact("3").as_bytes(), &severity));
        assert!(!is_urgent(fact("2").as_bytes(), &severity) && !is_urgent(fact("0.5").as_bytes(), &severity));
        assert!(!is_urgent(fact("4").replace("created", "attached").as_bytes(), &severity));
    }
}
