//! Owns what a mistake is: a [`Diagnostic`], and [`Diagnostics`], which collects
//! all of them beside the text of the files that they point into.

use std::sync::Arc;

use super::limits::DIAGNOSTICS_MAX;
use super::source_map::{SourceMap, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline runs, but probably not as meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One mistake: what is wrong, where, and what to do about it. The text never holds
/// a value of an event, nor a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the kind of mistake, in kebab case: `unknown-key`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Where; `None` if no text of a file is to blame (a file is missing).
    pub span: Option<Span>,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that belong to it, each with a few words ("first used here").
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message.into())
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Diagnostic {
        Diagnostic { severity, code, message, span: None, label: None, hint: None, related: Vec::new() }
    }

    /// Where it is.
    pub fn at(mut self, span: Span) -> Diagnostic {
        self.span = Some(span);
        self
    }

    /// A few words beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it, where there is something to say.
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Diagnostic {
        if let Some(hint) = hint {
            self.hint = Some(hint.into());
        }
        self
    }

    /// Another place that belongs to it.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.related.push((span, label.into()));
        self
    }
}

/// Everything that is wrong, and the files that it points into.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    files: Arc<SourceMap>,
    list: Vec<Diagnostic>,
    left_out: usize,
    errors: usize,
    /// How many are kept beyond [`DIAGNOSTICS_MAX`]: a report over many files needs all.
    more: usize,
}

impl Diagnostics {
    /// Nothing wrong, no file read.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// The same for a report over many files: `most` mistakes are kept.
    pub fn with_room(most: usize) -> Diagnostics {
        Diagnostics { more: most.saturating_sub(DIAGNOSTICS_MAX), ..Diagnostics::default() }
    }

    /// An empty collection that knows the same files; what it reads is added behind them.
    /// Give the files back with [`Diagnostics::take_files`].
    pub fn beside(&self, most: usize) -> Diagnostics {
        Diagnostics { files: self.files.clone(), ..Diagnostics::with_room(most) }
    }

    /// Takes over the files of a collection that was made with [`Diagnostics::beside`].
    pub fn take_files(&mut self, other: &Diagnostics) {
        self.files = other.files.clone();
    }

    /// Adds a file; returns its number for [`Span::file`].
    pub fn add_file(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        Arc::make_mut(&mut self.files).add(name, text)
    }

    /// The files read so far.
    pub fn files(&self) -> &Arc<SourceMap> {
        &self.files
    }

    /// Adds a mistake. Beyond [`DIAGNOSTICS_MAX`] they are only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.list.len() < DIAGNOSTICS_MAX + self.more {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// All mistakes: file by file in the order of the text, those without a place first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|d| d.span.map(|span| (span.file, span.start)));
        sorted
    }

    /// All mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many were not kept because there were too many.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// How many errors there are, those that were not kept included.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// True if anything keeps the pipeline from running.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// True if there is nothing to say at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// "2 errors and 1 warning", "no mistakes".
    pub fn summary(&self) -> String {
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let errors = self.errors;
        let warnings = (self.list.len() + self.left_out).saturating_sub(errors);
        match (errors, warnings) {
            (0, 0) => "no mistakes".to_owned(),
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_by_place_and_bounded() {
        let mut all = Diagnostics::new();
        let file = all.add_file("a", "xy");
        all.push(Diagnostic::error("b", "second").at(Span::new(file, 1, 2)));
        all.push(Diagnostic::warning("a", "first").at(Span::new(file, 0, 1)));
        let order: Vec<&str> = all.sorted().iter().map(|d| d.message.as_str()).collect();
        assert_eq!(order, ["first", "second"]);
        assert_eq!(all.summary(), "1 error and 1 warning");
        for _ in 0..DIAGNOSTICS_MAX {
            all.push(Diagnostic::error("x", "again"));
        }
        assert_eq!((all.iter().count(), all.left_out()), (DIAGNOSTICS_MAX, 2));
        assert!(all.has_errors());
    }
}
