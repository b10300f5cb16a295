//! Follows the topic `respond-control`: what stands still, in which mode the others are, and the
//! texts of playbooks that runs are pinned to. A thread of its own, which reads all of the topic
//! and then what comes; every member does, so what is said holds everywhere within seconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::Error;
use crate::kafka::{Error as KafkaError, PartitionReader, Record, Settings};
use crate::respond::world::brakes::{Brakes, Mode};
use crate::run::beside;
use crate::run::health::RoleHealth;

/// Between two looks at the topic: well below the five seconds within which a pause holds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How quickly the end is noticed.
const STEP: Duration = Duration::from_millis(50);
/// Bytes of all texts of playbooks that are kept; beyond that older versions are not found, and
/// runs that are pinned to them wait for a person.
const TEXTS_BYTES_MAX: usize = 256 << 20;
/// Types that may be named (count).
const TYPES_MAX: usize = 10_000;
/// Under which name trouble is told.
const PART: &str = "control";
/// What keys of texts begin with.
pub const TEXT_KEY: &str = "playbook:";

/// What people say about all runs, or those of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Said {
    /// `paused` or `running`.
    #[serde(default)]
    pub state: String,
    /// `run`, `ask`, `simulate`; `None`: as files say.
    #[serde(default)]
    pub mode: Option<String>,
    /// Who.
    #[serde(default)]
    pub actor: String,
}

/// All that was said.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    /// By key: `all`, `type:<T>`.
    said: BTreeMap<String, Said>,
    /// Texts of playbooks, by version.
    pub texts: HashMap<String, Arc<str>>,
    bytes: usize,
}

impl Controls {
    /// Takes a record.
    fn add(&mut self, key: &str, value: &[u8]) {
        if let Some(version) = key.strip_prefix(TEXT_KEY) {
            self.add_text(version, value);
            return;
        }
        if key != "all" && !key.starts_with("type:") {
            return;
        }
        match serde_json::from_slice::<Said>(value) {
            Ok(said) if self.said.len() < TYPES_MAX || self.said.contains_key(key) => drop(self.said.insert(key.to_owned(), said)),
            Ok(_) => tracing::error!("more than {TYPES_MAX} types are controlled: one is left out"),
            Err(_) if value.is_empty() => drop(self.said.remove(key)),
            Err(_) => tracing::error!("a record of the control topic is none: left out"),
        }
    }

    fn add_text(&mut self, version: &str, value: &[u8]) {
        let old = self.texts.remove(version).map_or(0, |text| text.len());
        self.bytes -= old;
        match std::str::from_utf8(value) {
            Ok(text) if !text.is_empty() && self.bytes + text.len() <= TEXTS_BYTES_MAX => {
                self.bytes += text.len();
                self.texts.insert(version.to_owned(), text.into());
            }
            Ok("") => {}
            _ => tracing::error!(version, "the text of a playbook is not kept: it is too large, or none"),
        }
    }

    /// What stands still: types, "" for all.
    pub fn paused(&self) -> BTreeSet<Arc<str>> {
        self.said.iter().filter(|(_, said)| said.state == "paused").map(|(key, _)| key.strip_prefix("type:").unwrap_or("").into()).collect()
    }

    /// Lays modes over what files say: that of a type over that of all.
    pub fn lay_over(&self, brakes: &mut Brakes) {
        let mode = |said: &Said| said.mode.as_deref().and_then(Mode::parse);
        if let Some(mode) = self.said.get("all").and_then(mode) {
            brakes.mode = mode;
            brakes.types.values_mut().for_each(|of_type| *of_type = mode);
        }
        for (key, said) in &self.said {
            if let (Some(name), Some(mode)) = (key.strip_prefix("type:"), mode(said)) {
                brakes.types.insert(name.to_owned(), mode);
            }
        }
    }
}

#[derive(Default)]
struct Shared {
    controls: Mutex<Controls>,
    /// Counts changes; 0: not read yet.
    version: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn controls(&self) -> MutexGuard<'_, Controls> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. It ends when this is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    seen: u64,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(settings: Settings, topic: String, health: Arc<RoleHealth>) -> Result<Follower, Error> {
        let shared = Arc::new(Shared::default());
        let inside = shared.clone();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            follow(&inside, &settings, &topic, &health);
            health.tell(PART, None);
        })?;
        Ok(Follower { shared, seen: 0, thread: Some(thread) })
    }

    /// True when all that was said before is known: nothing may go on before that.
    pub fn is_ready(&self) -> bool {
        self.shared.version.load(Ordering::Acquire) > 0
    }

    /// What was said, if it changed since the last time.
    pub fn changed(&mut self) -> Option<Controls> {
        let version = self.shared.version.load(Ordering::Acquire);
        if version == self.seen {
            return None;
        }
        self.seen = version;
        Some(self.shared.controls().clone())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        beside::end(&mut self.thread);
    }
}

fn follow(shared: &Shared, settings: &Settings, topic: &str, health: &RoleHealth) {
    let mut reader = None;
    let mut next = None;
    let mut looked: Option<Instant> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        if looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            std::thread::sleep(STEP);
            continue;
        }
        looked = Some(Instant::now());
        let read = look(shared, settings, topic, &mut reader, next);
        match read {
            Ok((to, changed)) => {
                next = Some(to);
                health.tell(PART, None);
                if changed || shared.version.load(Ordering::Acquire) == 0 {
                    shared.version.fetch_add(1, Ordering::AcqRel);
                }
            }
            Err(error) => {
                reader = None;
                // It was deleted and made again, or cut: from the start.
                if matches!(error, KafkaError::Trimmed { .. }) {
                    next = None;
                }
                health.tell(PART, Some(format!("what people said about playbooks cannot be read: {error}")));
            }
        }
    }
}

/// Reads to the end; behind what, and whether something was there.
fn look(shared: &Shared, settings: &Settings, topic: &str, reader: &mut Option<PartitionReader>, next: Option<i64>) -> Result<(i64, bool), KafkaError> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(PartitionReader::open(settings)?),
    };
    let mut changed = false;
    let read = reader.read_to_end(topic, 0, next, |record: &Record<'_>| -> Result<(), KafkaError> {
        if let Some(key) = record.key().and_then(|key| std::str::from_utf8(key).ok()) {
            changed = true;
            shared.controls().add(key, record.payload());
        }
        Ok(())
    })?;
    Ok((read.next, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_a_type_goes_before_all() {
        let mut controls = Controls::default();
        controls.add("all", br#"{"state":"paused","mode":"ask","actor":"ann"}"#);
        controls.add("type:A", br#"{"state":"running","mode":"simulate"}"#);
        controls.add("nonsense", b"{}");
        controls.add("type:B", b"nonsense");
        assert!(controls.paused().contains(""));
        let mut brakes = Brakes { mode: Mode::Run, ..Brakes::default() };
        brakes.types.insert("B".to_owned(), Mode::Run);
        controls.lay_over(&mut brakes);
        assert_eq!((brakes.mode_of("A"), brakes.mode_of("B"), brakes.mode_of("C")), (Mode::Simulate, Mode::Ask, Mode::Ask));
        controls.add("all", br#"{"state":"running","mode":null}"#);
        controls.add("type:A", b"");
        assert!(controls.paused().is_empty());
        let mut brakes = Brakes { mode: Mode::Run, ..Brakes::default() };
        controls.lay_over(&mut brakes);
        assert_eq!(brakes.mode_of("A"), Mode::Run);
        controls.add("playbook:abc", b"id: x");
        assert_eq!(controls.texts.get("abc").map(|text| &**text), Some("id: x"));
        controls.add("playbook:abc", b"");
        assert!(controls.texts.is_empty() && controls.bytes == 0);
    }
}
