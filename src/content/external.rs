//! Owns where a user's own operators are: executables in one directory, each named like its operator.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::expr::xsoar::external::{Limits, Program, Programs};

use super::Content;
use super::item::{Body, Kind};

/// Executables of one directory.
const PROGRAMS_MAX: usize = 1_000;

impl Content {
    /// Takes the executables of a directory for operators: `Shorten.py` is the operator `Shorten`.
    /// Whether one takes lists as a whole is told by the tags of the script of this name, if a pack has it.
    pub fn with_scripts(&mut self, dir: &Path, limits: Limits) -> std::io::Result<()> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_executable(path)).collect();
        paths.sort();
        paths.truncate(PROGRAMS_MAX);
        let mut programs = Programs { limits, ..Programs::default() };
        for path in paths {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
            let whole = match self.find(&[Kind::Script], &name).and_then(|item| item.body.as_ref()) {
                Some(Body::Script(script)) => script.tags.iter().any(|tag| tag.eq_ignore_ascii_case("entirelist")),
                _ => false,
            };
            // It is started in its own directory.
            let path = std::fs::canonicalize(&path).unwrap_or(path);
            programs.list.entry(name).or_insert(Program { path, whole });
        }
        self.scripts = Arc::new(programs);
        Ok(())
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
