//! One process per member: a lock file in the state directory, held as long as it runs.
//! Two processes with one name would fence each other's transactions for ever.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A held lock; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock of a member, making the state directory if need be.
///
/// # Errors
/// Another process holds it, or the directory cannot be written.
pub fn take(state_dir: &Path, pipeline: &str, instance: &str) -> Result<Lock, Error> {
    let path: PathBuf = state_dir.join(format!("{pipeline}-{instance}.lock"));
    let wrong = |error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk, or name another directory as `state_dir` in catchment.yaml",
            _ => "`state_dir` in catchment.yaml names a directory that this user may write",
        };
        Error::environment(format!("{}: {error}", path.display())).hint(hint)
    };
    std::fs::create_dir_all(state_dir).map_err(wrong)?;
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::user(format!("a process runs as the member `{instance}` of `{pipeline}` already ({} is locked)", path.display()))
                .hint("give each process an `instance` of its own in its catchment.yaml"));
        }
        Err(TryLockError::Error(error)) => return Err(wrong(error)),
    }
    // For people who look: the lock itself does not depend on it, so a full disk keeps nobody from working.
    let note = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = note {
        tracing::warn!(%error, path = %path.display(), "the process id could not be noted in the lock file");
    }
    Ok(Lock { _file: file })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_member_runs_once() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(&dir.path().join("state"), "soc", "a").unwrap();
        let error = take(&dir.path().join("state"), "soc", "a").unwrap_err();
        assert!(error.message.contains("already"), "{error}");
        take(&dir.path().join("state"), "soc", "b").unwrap();
        drop(held);
        take(&dir.path().join("state"), "soc", "a").unwrap();
    }
}
