//! Owns how values are taken out of a mapping: known keys, wrong types, choices,
//! durations, sizes, lists: each mistake reported where it stands, reading goes on.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::NAME_MAX;
use super::node::{Node, Style, Value};
use super::source_map::{Span, Spanned};
use super::suggest;
use super::units::{self, UnitError};

/// A mapping of which every key must be known.
pub struct Fields<'n> {
    what: &'static str,
    entries: &'n [(Spanned<String>, Node)],
    head: Span,
    asked: Vec<&'static str>,
    /// Keys that must be there and are not, each with what to say.
    missing: Vec<(&'static str, Diagnostic)>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; anything else is a mistake. `what` completes "… must be a mapping":
    /// "a source", "`clock`".
    pub fn open(node: &'n Node, what: &'static str, out: &mut Diagnostics) -> Option<Fields<'n>> {
        let Value::Mapping(entries) = &node.value else {
            wrong_type(node, what, "a mapping (`key: value`)", out);
            return None;
        };
        Some(Fields { what, entries, head: node.head(), asked: Vec::new(), missing: Vec::new() })
    }

    /// A short place that stands for the mapping.
    pub fn head(&self) -> Span {
        self.head
    }

    /// The value of a key, which becomes a known one. A key without a value is a mistake.
    pub fn get(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<&'n Node> {
        let (_, node) = self.entry(key)?;
        if node.is_nothing() {
            out.push(Diagnostic::error("missing-value", format!("`{key}` has no value")).at(node.span).hint(format!("give it one, or remove `{key}`")));
            return None;
        }
        Some(node)
    }

    /// The key and value as they stand, with or without a value.
    pub fn entry(&mut self, key: &'static str) -> Option<(&'n Spanned<String>, &'n Node)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|(name, _)| name.value == key).map(|(name, node)| (name, node))
    }

    /// Where a key stands, if it is there.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|(name, _)| name.value == key).map(|(name, _)| name.span)
    }

    /// The value of a key that must be there; `example` is shown if it is not, when the
    /// mapping is closed.
    pub fn need(&mut self, key: &'static str, example: &str, out: &mut Diagnostics) -> Option<&'n Node> {
        if self.entry(key).is_none() {
            let diagnostic = Diagnostic::error("missing-key", format!("{} needs `{key}`", self.what))
                .at(self.head)
                .label(format!("no `{key}` here"))
                .hint(format!("for example: {key}: {example}"));
            self.missing(key, diagnostic);
            return None;
        }
        self.get(key, out)
    }

    /// Notes that a key is missing, to be told when the mapping is closed, unless the key is
    /// there and only mistyped.
    pub fn missing(&mut self, key: &'static str, diagnostic: Diagnostic) {
        self.missing.push((key, diagnostic));
    }

    /// Ends the mapping: keys that were never asked for are mistakes. `notes` says more
    /// about some of them: keys of a later step, keys that belong elsewhere.
    pub fn close(self, notes: &[Note], out: &mut Diagnostics) {
        // A key that is missing because it is mistyped is one mistake, not two.
        let unknown = self.entries.iter().map(|(key, _)| key.value.as_str()).filter(|name| !self.asked.contains(name));
        let meant: Vec<&str> = unknown.filter_map(|name| suggest::nearest(name, self.asked.iter().copied())).collect();
        for (_, diagnostic) in self.missing.iter().filter(|(key, _)| !meant.contains(key)) {
            out.push(diagnostic.clone());
        }
        let mut in_cut_value = false;
        for (key, node) in self.entries {
            let name = key.value.as_str();
            // `{ drop: a IN (1, 2) }`: YAML cuts at the comma and takes `2)` for a key. That
            // mistake is told with the value, if its first part shows it.
            let nothing = matches!(node.value, Value::Null { written: false });
            if in_cut_value && nothing {
                continue;
            }
            in_cut_value = ends_in_brackets(node);
            if self.asked.contains(&name) || name == "<<" {
                continue;
            }
            if let Some(note) = notes.iter().find(|note| note.key() == name) {
                out.push(note.diagnostic(key));
                continue;
            }
            let diagnostic = Diagnostic::error("unknown-key", format!("unknown key `{}`", shortened(name))).at(key.span);
            let cut = nothing && name.contains(['(', ')', '\'', '=', ' ']);
            out.push(if cut {
                diagnostic.label("this is the rest of the value before the comma").hint("inside { } a comma ends the value: put the whole expression in quotes")
            } else {
                let hint = suggest::nearest(name, self.asked.iter().copied())
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| suggest::one_of(&self.asked).map(|list| format!("{} has {list}", self.what)));
                diagnostic.maybe_hint(hint)
            });
        }
    }
}

/// True for text without quotes that opens more parentheses than it closes.
pub fn ends_in_brackets(node: &Node) -> bool {
    match &node.value {
        Value::Text { text, style: Style::Plain } => text.matches('(').count() > text.matches(')').count(),
        _ => false,
    }
}

/// What to say about a key that is not known, but not a typing mistake either.
pub enum Note {
    /// A key of a later step.
    Later(&'static str, &'static str),
    /// A key that belongs elsewhere, or has another name.
    Elsewhere(&'static str, &'static str),
}

impl Note {
    fn key(&self) -> &'static str {
        match self {
            Note::Later(key, _) | Note::Elsewhere(key, _) => key,
        }
    }

    fn diagnostic(&self, key: &Spanned<String>) -> Diagnostic {
        match self {
            Note::Later(name, hint) => later(&format!("`{name}`"), key.span, hint),
            Note::Elsewhere(name, hint) => Diagnostic::error("unknown-key", format!("`{name}` is not a key here")).at(key.span).hint(*hint),
        }
    }
}

/// The mistake of using what a later step of Catchment will bring.
pub fn later(what: &str, span: Span, hint: &str) -> Diagnostic {
    Diagnostic::error("not-built-yet", format!("{what} is not built yet")).at(span).label("comes with a later version").hint(hint)
}

/// Reports "x must be y, not z".
pub fn wrong_type(node: &Node, what: &str, expected: &str, out: &mut Diagnostics) {
    out.push(
        Diagnostic::error("wrong-type", format!("{what} must be {expected}, not {}", node.kind())).at(node.point()).label(format!("this is {}", node.kind())),
    );
}

/// A text. Numbers count as the text they are written as; `true` and `false` do not,
/// since whoever writes them may mean something else.
pub fn text(node: &Node, what: &str, out: &mut Diagnostics) -> Option<Spanned<String>> {
    match &node.value {
        Value::Text { text, style } => {
            let text = if *style == Style::Block { text.trim_end() } else { text };
            Some(Spanned::new(text.to_owned(), node.span))
        }
        Value::Number(raw) => Some(Spanned::new(raw.clone(), node.span)),
        Value::Boolean(_) => {
            let diagnostic = Diagnostic::error("wrong-type", format!("{what} must be text, not true or false"));
            out.push(diagnostic.at(node.span).hint("put it in quotes if it is text"));
            None
        }
        _ => {
            wrong_type(node, what, "text", out);
            None
        }
    }
}

/// A name: text that is not empty, has no blanks around it and is not endless.
pub fn name(node: &Node, what: &str, out: &mut Diagnostics) -> Option<Spanned<String>> {
    let name = text(node, what, out)?;
    let problem = if name.value.trim().is_empty() {
        Some("is empty".to_owned())
    } else if name.value.trim() != name.value {
        Some("has blanks at its start or end".to_owned())
    } else if name.value.len() > NAME_MAX {
        Some(format!("is longer than {NAME_MAX} bytes"))
    } else if name.value.chars().any(char::is_control) {
        Some("has control characters".to_owned())
    } else {
        None
    };
    match problem {
        Some(problem) => {
            out.push(Diagnostic::error("bad-value", format!("{what} {problem}")).at(name.span));
            None
        }
        None => Some(name),
    }
}

/// One of a few words.
pub fn choice<T: Copy>(node: &Node, what: &str, choices: &[(&'static str, T)], out: &mut Diagnostics) -> Option<T> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let list = suggest::one_of(&words).unwrap_or_default();
    let Some(word) = node.word() else {
        wrong_type(node, what, &list, out);
        return None;
    };
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word) {
        return Some(*value);
    }
    let near = suggest::nearest(word, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    out.push(Diagnostic::error("bad-value", format!("{what} must be {list}, not `{}`", shortened(word))).at(node.span).maybe_hint(near));
    None
}

/// `true` or `false`.
pub fn boolean(node: &Node, what: &str, out: &mut Diagnostics) -> Option<bool> {
    match &node.value {
        Value::Boolean(truth) => Some(*truth),
        Value::Text { text, .. } if matches!(text.to_lowercase().as_str(), "yes" | "on" | "no" | "off" | "true" | "false") => {
            let meant = matches!(text.to_lowercase().as_str(), "yes" | "on" | "true");
            let message = format!("{what} must be true or false, not `{text}`");
            out.push(Diagnostic::error("wrong-type", message).at(node.span).hint(format!("write {meant}, without quotes")));
            None
        }
        _ => {
            wrong_type(node, what, "true or false", out);
            None
        }
    }
}

/// A whole number within bounds.
pub fn whole_number(node: &Node, what: &str, least: u64, most: u64, out: &mut Diagnostics) -> Option<u64> {
    let Value::Number(raw) = &node.value else {
        wrong_type(node, what, "a whole number", out);
        return None;
    };
    match super::node::json_number(raw).parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Some(number),
        _ => {
            let message = format!("{what} must be a whole number from {least} to {most}");
            out.push(Diagnostic::error("bad-value", message).at(node.span));
            None
        }
    }
}

/// A duration in milliseconds, at most `most`.
pub fn duration_ms(node: &Node, what: &str, most: i64, out: &mut Diagnostics) -> Option<i64> {
    duration_in(node, what, most, "s", out)
}

/// The same where a number without a unit most likely means `usual`.
pub fn duration_in(node: &Node, what: &str, most: i64, usual: &str, out: &mut Diagnostics) -> Option<i64> {
    let hint = "write numbers with w, d, h, m, s or ms: 90s, 5m, 1h30m, 7d";
    let ms = unit(node, what, "a duration", hint, usual, units::parse_duration_ms, out)?;
    if ms > most {
        let message = format!("{what} is longer than {}", units::format_duration_ms(most));
        out.push(Diagnostic::error("bad-value", message).at(node.span));
        return None;
    }
    Some(ms)
}

/// A size in bytes.
pub fn bytes(node: &Node, what: &str, out: &mut Diagnostics) -> Option<u64> {
    let hint = "write a number with B, KiB, MiB or GiB: 64KiB, 256MiB";
    unit(node, what, "a size", hint, "MiB", units::parse_bytes, out)
}

fn unit<T>(node: &Node, what: &str, kind: &str, hint: &str, usual: &str, parse: fn(&str) -> Result<T, UnitError>, out: &mut Diagnostics) -> Option<T> {
    let Some(word) = node.word() else {
        wrong_type(node, what, kind, out);
        return None;
    };
    match parse(word) {
        Ok(value) => Some(value),
        Err(error) => {
            let hint = match &error {
                UnitError::NoUnit(number) => format!("{hint}; did you mean {number}{usual}?"),
                _ => hint.to_owned(),
            };
            let message = format!("{what} must be {kind}, and `{}` is not: {error}", shortened(word));
            out.push(Diagnostic::error("bad-value", message).at(node.span).hint(hint));
            None
        }
    }
}

/// The items of a list; a single value that is not a list is a list of one.
pub fn one_or_many(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The items of a list; anything else is a mistake. More than `most` items too.
pub fn list<'n>(node: &'n Node, what: &str, most: usize, out: &mut Diagnostics) -> &'n [Node] {
    let Value::List(items) = &node.value else {
        wrong_type(node, what, "a list (`- …`)", out);
        return &[];
    };
    bounded(items, what, most, node.head(), out)
}

/// The entries of a mapping whose keys are the user's own; anything else is a mistake.
pub fn entries<'n>(node: &'n Node, what: &str, most: usize, out: &mut Diagnostics) -> &'n [(Spanned<String>, Node)] {
    let Value::Mapping(entries) = &node.value else {
        wrong_type(node, what, "a mapping (`key: value`)", out);
        return &[];
    };
    bounded(entries, what, most, node.head(), out)
}

fn bounded<'n, T>(items: &'n [T], what: &str, most: usize, at: Span, out: &mut Diagnostics) -> &'n [T] {
    if items.len() > most {
        let message = format!("{what} has {} entries; {most} are possible", items.len());
        out.push(Diagnostic::error("too-many", message).at(at));
    }
    items.get(..most).unwrap_or(items)
}

/// Reports names that are used twice.
pub fn unique<'a>(names: impl IntoIterator<Item = &'a Spanned<String>>, what: &str, out: &mut Diagnostics) {
    let mut seen: std::collections::HashMap<&str, Span> = std::collections::HashMap::new();
    for name in names {
        match seen.get(name.value.as_str()) {
            Some(first) => out.push(
                Diagnostic::error("duplicate-name", format!("two {what} are named `{}`", shortened(&name.value)))
                    .at(name.span)
                    .label("again here")
                    .also(*first, "first here")
                    .hint("give each its own name: counters and messages use it"),
            ),
            None => {
                seen.insert(&name.value, name.span);
            }
        }
    }
}

/// A text for a message: long ones are cut.
pub fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= SHOWN_MAX && line.len() == text.len() {
        return text.to_owned();
    }
    let start: String = line.chars().take(SHOWN_MAX).collect();
    format!("{start}…")
}
