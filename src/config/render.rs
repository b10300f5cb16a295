//! Owns how mistakes look: with source lines and carets for people, one line each
//! for editors and grep, JSON for programs.

use std::ops::Range;

use ariadne::{Color, Config, IndexType, Label, Report, ReportKind};
use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source_map::Span;

impl Diagnostics {
    /// The whole story: source lines, carets, hints, and a summary line. `colour` adds
    /// ANSI sequences; the caller knows whether a terminal reads this.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        let mut sources = ariadne::sources(self.files().files().map(|file| (file.name.clone(), file.text.as_str())));
        for diagnostic in self.sorted() {
            match diagnostic.span.and_then(|span| self.report(diagnostic, span, &mut sources, colour)) {
                Some(report) => out.push_str(&report),
                None => out.push_str(&without_source(diagnostic)),
            }
            out.push('\n');
        }
        if self.left_out() > 0 {
            out.push_str(&format!("… and {} more, not shown\n", self.left_out()));
        }
        out
    }

    /// One line a mistake: `file:line:column: error[code]: message (hint)`.
    pub fn plain(&self) -> String {
        self.sorted().into_iter().map(|diagnostic| self.plain_line(diagnostic) + "\n").collect()
    }

    /// One line without a line end.
    pub fn plain_line(&self, diagnostic: &Diagnostic) -> String {
        let place = diagnostic.span.map(|span| self.files().place(span) + ": ").unwrap_or_default();
        let Diagnostic { severity, code, message, hint, .. } = diagnostic;
        let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{place}{}[{code}]: {message}{hint}", severity.as_str())
    }

    /// An array of objects: `severity, code, message, label, hint, file, line, column,
    /// end_line, end_column, related`.
    pub fn to_json(&self) -> Value {
        let all = self.sorted().into_iter().map(|diagnostic| {
            let mut object = json!({
                "severity": diagnostic.severity.as_str(),
                "code": diagnostic.code,
                "message": diagnostic.message,
                "label": diagnostic.label,
                "hint": diagnostic.hint,
            });
            if let (Value::Object(object), Some(span)) = (&mut object, diagnostic.span) {
                self.put_place(object, span);
            }
            if let (Value::Object(object), false) = (&mut object, diagnostic.related.is_empty()) {
                let related = diagnostic.related.iter().map(|(span, label)| {
                    let mut place = serde_json::Map::new();
                    place.insert("label".to_owned(), Value::from(label.as_str()));
                    self.put_place(&mut place, *span);
                    Value::Object(place)
                });
                object.insert("related".to_owned(), Value::Array(related.collect()));
            }
            object
        });
        Value::Array(all.collect())
    }

    fn put_place(&self, object: &mut serde_json::Map<String, Value>, span: Span) {
        let Some(file) = self.files().file(span.file) else { return };
        let (start, end) = (file.line_column(span.start), file.line_column(span.end));
        object.insert("file".to_owned(), Value::from(file.name.as_str()));
        object.insert("line".to_owned(), Value::from(start.line));
        object.insert("column".to_owned(), Value::from(start.column));
        object.insert("end_line".to_owned(), Value::from(end.line));
        object.insert("end_column".to_owned(), Value::from(end.column));
    }

    fn report(&self, diagnostic: &Diagnostic, span: Span, sources: &mut impl ariadne::Cache<String>, colour: bool) -> Option<String> {
        let (kind, tone) = match diagnostic.severity {
            Severity::Error => (ReportKind::Error, Color::Red),
            Severity::Warning => (ReportKind::Warning, Color::Yellow),
        };
        // Without colours a label without words would not be drawn at all.
        let words = diagnostic.label.as_deref().unwrap_or("here");
        let main = self.visible(span)?;
        let mut labels = vec![(main.clone(), words, tone)];
        for (related, words) in &diagnostic.related {
            labels.extend(self.visible(*related).map(|place| (place, words.as_str(), Color::Blue)));
        }
        // Out of order, or with another file between them, labels of one file are drawn as
        // separate snippets.
        labels.sort_by_key(|((file, range), _, _)| (*file != main.0, file.clone(), range.start));
        let config = Config::default().with_color(colour).with_index_type(IndexType::Char);
        let mut report = Report::build(kind, main).with_config(config).with_code(diagnostic.code).with_message(&diagnostic.message);
        for (order, (place, words, tone)) in (0..).zip(labels) {
            report = report.with_label(Label::new(place).with_message(words).with_color(tone).with_order(order));
        }
        if let Some(hint) = &diagnostic.hint {
            report = report.with_help(hint);
        }
        let mut bytes = Vec::new();
        report.finish().write(sources, &mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        // The frame pads lines with blanks, which only make diffs and copies ugly.
        Some(text.lines().map(|line| line.trim_end().to_owned() + "\n").collect())
    }

    /// A span as ariadne wants it: in characters (with bytes it may cut one in two), not
    /// empty, within the text, not ending in a line break.
    fn visible(&self, span: Span) -> Option<(String, Range<usize>)> {
        let file = self.files().file(span.file)?;
        let text = &file.text;
        let before = text.get(..floor(text, span.start as usize))?;
        let within = text.get(before.len()..floor(text, span.end as usize).max(before.len()))?.trim_end();
        let mut start = before.chars().count();
        let mut end = start + within.chars().count();
        if start == end {
            match text.get(before.len()..).and_then(|rest| rest.chars().next()) {
                Some(next) if next != '\n' && next != '\r' => end += 1,
                // At the end of a line: show what stands before it.
                _ => start = start.saturating_sub(1),
            }
        }
        Some((file.name.clone(), start..end))
    }
}

/// The start of the character that a byte offset is in.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// For mistakes that no text is to blame for.
fn without_source(diagnostic: &Diagnostic) -> String {
    let kind = match diagnostic.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
    };
    let mut text = format!("[{}] {kind}: {}\n", diagnostic.code, diagnostic.message);
    if let Some(hint) = &diagnostic.hint {
        text.push_str(&format!("  Help: {hint}\n"));
    }
    text
}
