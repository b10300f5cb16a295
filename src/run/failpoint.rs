//! Places at which a process can be made to die, for the proofs that nothing is lost
//! whatever dies: `CATCHMENT_FAILPOINT=name:n` kills it (SIGKILL) at the n-th hit.
//! Without the variable a hit is one load of a static.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable.
pub const VARIABLE: &str = "CATCHMENT_FAILPOINT";

/// All names: after records were handed to the producer; after offsets joined the transaction;
/// after the commit, before this process acts on it; while a partition is restored; while
/// partitions are given back; the same first two in the keeper; in the archive after data files were
/// written, after the commit that names them, and before the commit of a compaction; in a backfill
/// before a commit; in the role `respond` before and after a commit (of intents among others), and after
/// calls ended, before their results are committed.
pub const NAMES: [&str; 14] = [
    "after_produce",
    "after_send_offsets",
    "after_end_txn",
    "during_restore",
    "in_revoke",
    "keeper_after_produce",
    "keeper_after_commit",
    "archive_after_put",
    "archive_after_commit",
    "archive_before_replace",
    "backfill_before_commit",
    "respond_after_produce",
    "respond_after_commit",
    "respond_before_result",
];

struct Armed {
    name: String,
    at: u64,
    hits: AtomicU64,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let read = || {
        let value = std::env::var(VARIABLE).ok()?;
        let (name, at) = value.split_once(':').unwrap_or((&value, "1"));
        let known = NAMES.contains(&name);
        match at.parse() {
            Ok(at) if known => Some(Armed { name: name.to_owned(), at, hits: AtomicU64::new(0) }),
            _ => {
                tracing::error!("{VARIABLE} is not NAME:COUNT with one of the names {NAMES:?}: ignored");
                None
            }
        }
    };
    ARMED.get_or_init(read).as_ref()
}

/// Dies here if this place is armed and this is the hit.
pub fn hit(name: &str) {
    if let Some(armed) = armed().filter(|armed| armed.name == name)
        && armed.hits.fetch_add(1, Ordering::Relaxed) + 1 == armed.at
    {
        // SAFETY: plain system calls; nothing runs afterwards, as in a real kill.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_secs(10));
    }
}
