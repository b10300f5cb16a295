//! Owns the account of what was loaded: a verdict for each item, with its reasons, and sums.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};

use super::Content;
use super::item::{Item, Kind};

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it is.
    Loads,
    /// With something to say.
    Warns,
    /// Not.
    Fails,
}

impl Verdict {
    /// As reports say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Loads => "loads",
            Verdict::Warns => "warns",
            Verdict::Fails => "fails",
        }
    }
}

/// An item and what there is to say about it.
pub struct Line<'c> {
    /// The item.
    pub item: &'c Item,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, in the order of the file.
    pub reasons: Vec<&'c Diagnostic>,
}

/// The whole account.
pub struct Report<'c> {
    /// Items in the order in which they were read.
    pub lines: Vec<Line<'c>>,
    /// What belongs to no item: a directory that cannot be read.
    pub loose: Vec<&'c Diagnostic>,
    content: &'c Content,
    diagnostics: &'c Diagnostics,
}

impl<'c> Report<'c> {
    /// Divides mistakes among items, by their files.
    pub fn new(content: &'c Content, diagnostics: &'c Diagnostics) -> Report<'c> {
        let mut of_file: HashMap<u32, Vec<&Diagnostic>> = HashMap::new();
        let mut loose = Vec::new();
        for diagnostic in diagnostics.sorted() {
            match diagnostic.span {
                Some(span) => of_file.entry(span.file).or_default().push(diagnostic),
                None => loose.push(diagnostic),
            }
        }
        let mut lines = Vec::with_capacity(content.items.len());
        for item in &content.items {
            // Of several items in one file the first tells what there is to say.
            let reasons = of_file.remove(&item.file).unwrap_or_default();
            let verdict = if item.body.is_none() {
                Verdict::Fails
            } else if reasons.is_empty() {
                Verdict::Loads
            } else {
                Verdict::Warns
            };
            lines.push(Line { item, verdict, reasons });
        }
        // A file without an item: a pack's description that is no JSON, say.
        let mut rest: Vec<&Diagnostic> = of_file.into_values().flatten().collect();
        rest.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.start)));
        loose.extend(rest);
        Report { lines, loose, content, diagnostics }
    }

    /// How many items of a kind have a verdict.
    pub fn count(&self, kind: Option<Kind>, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| kind.is_none_or(|kind| line.item.kind == kind) && line.verdict == verdict).count()
    }

    /// True if anything failed.
    pub fn failed(&self) -> bool {
        self.count(None, Verdict::Fails) > 0 || self.loose.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// `file:line:column`.
    pub fn place(&self, diagnostic: &Diagnostic) -> String {
        diagnostic.span.map(|span| self.diagnostics.files().place(span)).unwrap_or_default()
    }

    /// `line:column`, where the file is known.
    pub fn position(&self, diagnostic: &Diagnostic) -> String {
        let place = diagnostic.span.and_then(|span| Some(self.diagnostics.files().file(span.file)?.line_column(span.start)));
        place.map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default()
    }

    /// What is said of many items, with how many times; the most frequent first.
    pub fn frequent(&self) -> Vec<(usize, &str)> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for reason in self.lines.iter().flat_map(|line| &line.reasons) {
            *counts.entry(reason.message.as_str()).or_default() += 1;
        }
        let mut found: Vec<(usize, &str)> = counts.into_iter().map(|(message, count)| (count, message)).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        found
    }

    /// The file of an item.
    pub fn file(&self, item: &Item) -> &str {
        self.diagnostics.files().file(item.file).map_or("", |file| file.name.as_str())
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Json {
        let reason = |diagnostic: &&Diagnostic| {
            let place = diagnostic.span.and_then(|span| {
                let file = self.diagnostics.files().file(span.file)?;
                Some((file.name.clone(), file.line_column(span.start)))
            });
            json!({
                "severity": diagnostic.severity.as_str(),
                "code": diagnostic.code,
                "message": diagnostic.message,
                "hint": diagnostic.hint,
                "file": place.as_ref().map(|(file, _)| file),
                "line": place.as_ref().map(|(_, at)| at.line),
                "column": place.as_ref().map(|(_, at)| at.column),
            })
        };
        let items: Vec<Json> = self
            .lines
            .iter()
            .map(|line| {
                let head = &line.item.head;
                json!({
                    "verdict": line.verdict.as_str(),
                    "kind": line.item.kind.as_str(),
                    "id": head.id,
                    "name": head.name,
                    "pack": line.item.pack.and_then(|pack| self.content.packs.get(pack)).map(|pack| &pack.name),
                    "file": self.file(line.item),
                    "versions": head.window.to_string(),
                    "used": self.content.in_window(line.item),
                    "reasons": line.reasons.iter().map(reason).collect::<Vec<_>>(),
                })
            })
            .collect();
        let kinds: serde_json::Map<String, Json> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let counts = [Verdict::Loads, Verdict::Warns, Verdict::Fails].map(|verdict| self.count(Some(kind), verdict));
                let [loads, warns, fails] = counts;
                (loads + warns + fails > 0).then(|| (kind.as_str().to_owned(), json!({ "loads": loads, "warns": warns, "fails": fails })))
            })
            .collect();
        json!({
            "items": items,
            "other_mistakes": self.loose.iter().map(reason).collect::<Vec<_>>(),
            "summary": {
                "packs": self.content.packs.len(),
                "items": self.lines.len(),
                "other_files": self.content.others,
                "kinds": kinds,
            },
        })
    }
}
