//! Owns content tests: `tests/*.yaml` beside a pack: event → expected type, fields, labels, and
//! what the rules say. The format is a pipeline's `tests:`, with the names of what is tested above.

use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::model::Test;
use crate::config::node::Node;
use crate::config::read::{self, Fields, Note};
use crate::config::source_map::Spanned;
use crate::config::{read_tests, yaml};

use super::files;

/// Files with tests of one pack.
const FILES_MAX: usize = 1_000;

/// A file with tests.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// Where it is.
    pub path: PathBuf,
    /// The classifier, by id or name; without one every event is of `fallback`.
    pub classifier: Option<Spanned<String>>,
    /// The mapper, by id or name.
    pub mapper: Option<Spanned<String>>,
    /// The type of events that the classifier does not know, as an instance would say.
    pub fallback: Option<String>,
    /// The rules, by id; `None`: all that are enabled.
    pub rules: Option<Vec<Spanned<String>>>,
    /// The time that `now` means in expressions; `None`: the event's own `occurred`.
    pub now_us: Option<i64>,
    /// The tests.
    pub tests: Vec<Test>,
}

/// The test files below some packs, in the order of their names.
pub fn find(packs: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for pack in packs {
        let mut names: Vec<PathBuf> = std::fs::read_dir(pack.join("tests")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.retain(|path| path.is_file() && matches!(path.extension().and_then(|ending| ending.to_str()), Some("yaml" | "yml")));
        names.sort();
        names.truncate(FILES_MAX);
        found.extend(names);
    }
    found
}

/// Reads one file; it is ours, so unknown keys are errors.
pub fn read_file(path: &Path, out: &mut Diagnostics) -> Option<TestFile> {
    let (file, readable) = files::read(path, &mut 0, out);
    if !readable {
        return None;
    }
    let node = yaml::read(file, out)?;
    read(path, &node, out)
}

fn read(path: &Path, node: &Node, out: &mut Diagnostics) -> Option<TestFile> {
    let mut fields = Fields::open(node, "a file of content tests", out)?;
    let classifier = fields.get("classifier", out).and_then(|node| read::name(node, "`classifier`", out));
    let mapper = fields.get("mapper", out).and_then(|node| read::name(node, "`mapper`", out));
    let fallback = fields.get("type", out).and_then(|node| read::name(node, "`type`", out)).map(|name| name.value);
    let rules = fields.get("rules", out).map(|node| read::one_or_many(node).iter().filter_map(|node| read::name(node, "a rule", out)).collect());
    let now = fields.get("now", out).and_then(|node| read::name(node, "`now`", out));
    let now_us = now.as_ref().and_then(|now| chrono::DateTime::parse_from_rfc3339(&now.value).ok()).map(|time| time.timestamp_micros());
    if let (Some(now), None) = (&now, now_us) {
        out.push(Diagnostic::error("bad-time", "`now` is a time like 2026-03-01T07:00:00Z").at(now.span));
    }
    let tests = fields.need("tests", "a list of `name`, `event` and `expect`", out).map(|node| read_tests(node, out)).unwrap_or_default();
    if classifier.is_none() && mapper.is_none() {
        out.push(Diagnostic::error("missing-key", "a file of content tests names `classifier`, `mapper` or both").at(fields.head()));
    }
    fields.close(&[Note::Elsewhere("default", "the key is `type`: the type of events that the classifier does not know")], out);
    Some(TestFile { path: path.to_owned(), classifier, mapper, fallback, rules, now_us, tests })
}
