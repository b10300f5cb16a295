//! Looks after the tables of an archive, on a thread of its own: compaction, retention, and the removal
//! of files that no version needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::compact::{Compactor, Ran};
use super::table::Table;
use super::{ArchiveError, DEAD_LETTERS, INCIDENT_VERSIONS, LEDGER, Location, PLAYBOOK_RUNS, WAR_ROOM};
use crate::error::Error;

/// How often the tail is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often files that nobody needs are deleted, and days whose time is over.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
/// How quickly the end is noticed.
const STEP: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Days after which incidents leave the archive, by creation; `None`: never.
    pub incidents_days: Option<u32>,
    /// Days after which versions that newer ones took the place of leave it, by creation of their incident.
    pub older_days: Option<u32>,
}

/// The thread.
pub struct Upkeep {
    stop: Arc<AtomicBool>,
    leads: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts it; it waits until it leads.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(location: Location, keep: Keep) -> Result<Upkeep, Error> {
        let (stop, leads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("archive-upkeep").enable_all().build()?;
        let flags = (stop.clone(), leads.clone());
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(move || {
            let (stop, leads) = flags;
            let (mut looked, mut cleaned) = (Instant::now(), Instant::now());
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(STEP);
                if !leads.load(Ordering::Relaxed) || looked.elapsed() < LOOK_EVERY {
                    continue;
                }
                looked = Instant::now();
                let clean = cleaned.elapsed() >= CLEAN_EVERY;
                if clean {
                    cleaned = Instant::now();
                }
                // Whatever it is, the next look may find it mended; rows are in the tables already.
                if let Err(error) = runtime.block_on(look(&location, keep, clean)) {
                    tracing::warn!(%error, "looking after the archive failed");
                    metrics::counter!("catchment_archive_upkeep_failures_total").increment(1);
                }
            }
        })?;
        Ok(Upkeep { stop, leads, thread: Some(thread) })
    }

    /// Whether this process is the one that looks after the tables.
    pub fn lead(&self, on: bool) {
        self.leads.store(on, Ordering::Relaxed);
    }

    /// Ends the thread; what it is at is finished or left without effect.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks after the archive panicked");
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn look(location: &Location, keep: Keep, clean: bool) -> Result<(), ArchiveError> {
    for name in [INCIDENT_VERSIONS, DEAD_LETTERS, LEDGER, PLAYBOOK_RUNS, WAR_ROOM] {
        let table = match Table::open(location, name, None).await {
            Ok(table) => table,
            // Without playbooks there are no runs.
            Err(ArchiveError::NoTable { .. }) if [PLAYBOOK_RUNS, WAR_ROOM].contains(&name) => continue,
            Err(error) => return Err(error),
        };
        let mut compactor = Compactor::new(table)?;
        let ran = if name == INCIDENT_VERSIONS { compactor.tail(false).await? } else { compactor.small("").await? };
        if let Ran::Replaced { old, new } = ran {
            tracing::info!(table = name, old, new, "files of the archive were joined");
            metrics::counter!("catchment_archive_compactions_total", "table" => name).increment(1);
        }
        if clean {
            retain(compactor.table(), keep).await?;
            let deleted = compactor.table().vacuum().await?;
            tracing::info!(table = name, deleted, "files that no version needs are deleted");
        }
    }
    Ok(())
}

/// Takes days whose time is over out of a table.
///
/// # Errors
/// A store that refuses or stays away.
pub async fn retain(table: &mut Table, keep: Keep) -> Result<usize, ArchiveError> {
    let pinned = table.pinned()?;
    let today = i32::try_from(chrono::Utc::now().timestamp_millis().div_euclid(DAY_MS)).unwrap_or(i32::MAX);
    let over = |day: i32, days: Option<u32>| days.and_then(|days| i32::try_from(days).ok()).is_some_and(|days| day < today.saturating_sub(days));
    let gone = |file: &&super::table::DataFile| {
        file.day.is_some_and(|day| match file.layer.as_str() {
            "base" => over(day, keep.incidents_days),
            "older" => over(day, keep.incidents_days) || over(day, keep.older_days),
            _ => false,
        })
    };
    let gone: Vec<String> = pinned.files.iter().filter(gone).map(|file| file.path.clone()).collect();
    if !gone.is_empty() {
        table.replace(&gone, &[], false).await?;
    }
    Ok(gone.len())
}
