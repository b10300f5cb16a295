//! Owns which files of a directory belong to content, and reading them within bounds.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source_map::Span;

use super::item::Kind;
use super::kind;

/// Bytes of one file. Integrations with their code and pictures inside reach 2 MiB.
pub const FILE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of all files together; their text stays in memory for messages.
pub const CONTENT_BYTES_MAX: u64 = 1 << 30;
/// Files of one load. All public packs together have below 30,000 of ours.
pub const FILES_MAX: usize = 100_000;
/// Directories below the one that was named.
pub const DIRS_DEPTH_MAX: usize = 12;

/// Directories that hold nothing of ours.
const PASSED_OVER: [&str; 33] = [
    "TestData",
    "test_data",
    "testdata",
    "tests",
    "ReleaseNotes",
    "doc_files",
    "doc_imgs",
    "node_modules",
    "__pycache__",
    "target",
    "Dashboards",
    "Widgets",
    "Reports",
    "Connections",
    "IndicatorTypes",
    "Misc",
    "GenericDefinitions",
    "GenericFields",
    "GenericModules",
    "GenericTypes",
    "ParsingRules",
    "ModelingRules",
    "CorrelationRules",
    "XSIAMDashboards",
    "XSIAMReports",
    "XDRCTemplates",
    "LayoutRules",
    "Triggers",
    "Wizards",
    "Jobs",
    "Tools",
    "Author_image",
    "CaseLayouts",
];

/// A file to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What belongs into its folder.
    pub should: Option<Kind>,
    /// The directory of its pack, if it is in one.
    pub pack: Option<PathBuf>,
}

/// All candidates at a path: a file, a pack, a directory of packs; in the order of their names.
pub fn find(path: &Path, out: &mut Diagnostics) -> Vec<Candidate> {
    let mut found = Vec::new();
    if path.is_file() {
        let pack = path.ancestors().skip(1).take(4).find(|dir| is_pack(dir)).map(Path::to_owned);
        let should = path.ancestors().skip(1).take(3).filter_map(|dir| dir.file_name()?.to_str()).find_map(kind::folder);
        found.push(Candidate { path: path.to_owned(), should, pack });
        return found;
    }
    if !path.is_dir() {
        let hint = "name a pack, a directory of packs, or a file of one";
        out.push(Diagnostic::error("missing-file", format!("{} does not exist", path.display())).hint(hint));
        return found;
    }
    // A pack's folder may be named itself: packs/Acme/Classifiers.
    let inside = path.file_name().and_then(|name| name.to_str()).and_then(kind::folder);
    let pack = path.ancestors().take(4).find(|dir| is_pack(dir)).map(Path::to_owned);
    walk(path, inside, pack, 0, &mut found, out);
    found
}

fn is_pack(dir: &Path) -> bool {
    dir.join("pack_metadata.json").is_file()
}

fn walk(dir: &Path, should: Option<Kind>, pack: Option<PathBuf>, depth: usize, found: &mut Vec<Candidate>, out: &mut Diagnostics) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            out.push(Diagnostic::error("missing-file", format!("cannot read {}: {error}", dir.display())));
            return;
        }
    };
    let pack = if is_pack(dir) { Some(dir.to_owned()) } else { pack };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // Links to directories are not followed: they may lead in circles.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if PASSED_OVER.contains(&name.as_ref()) {
                continue;
            }
            if depth >= DIRS_DEPTH_MAX {
                let message = format!("{} is more than {DIRS_DEPTH_MAX} directories deep; passed over", entry.path().display());
                out.push(Diagnostic::warning("too-many", message));
                continue;
            }
            // Scripts may be named like folders: Scripts/IncidentFields/.
            let should = should.or_else(|| kind::folder(&name));
            walk(&entry.path(), should, pack.clone(), depth + 1, found, out);
            continue;
        }
        let wanted = matches!(entry.path().extension().and_then(|ending| ending.to_str()), Some("json" | "yml" | "yaml"));
        if !wanted || !entry.path().is_file() {
            continue;
        }
        if found.len() >= FILES_MAX {
            if found.len() == FILES_MAX {
                out.push(Diagnostic::error("too-many", format!("more than {FILES_MAX} files; the rest is not read")));
            }
            return;
        }
        found.push(Candidate { path: entry.path(), should, pack: pack.clone() });
    }
}

/// Reads a file into the source map. Whatever goes wrong, the file has a number, so that the
/// mistake has a place; the text is `None` then.
pub fn read(path: &Path, total: &mut u64, out: &mut Diagnostics) -> (u32, bool) {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let result = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let problem = match result {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Some(format!("larger than {} MiB", FILE_BYTES_MAX >> 20)),
        Ok(_) if total.saturating_add(bytes.len() as u64) > CONTENT_BYTES_MAX => Some("all files together are too large".to_owned()),
        Ok(_) => None,
    };
    if let Some(problem) = problem {
        let file = out.add_file(name, "");
        out.push(Diagnostic::error("missing-file", problem).at(Span::new(file, 0, 0)));
        return (file, false);
    }
    *total += bytes.len() as u64;
    match String::from_utf8(bytes) {
        Ok(text) => (out.add_file(name, text), true),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let file = out.add_file(name, String::from_utf8_lossy(error.as_bytes()).into_owned());
            out.push(Diagnostic::error("not-utf8", "the file is not UTF-8").at(Span::new(file, at, at)).hint("save it as UTF-8"));
            (file, false)
        }
    }
}
