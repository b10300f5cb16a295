//! Owns how values are taken out of an imported item: either spelling of a key, scalars as
//! the text that stands there, what cannot be read reported, what nobody knows noted.
//!
//! An error means that the item cannot be used; everything that the product itself would pass
//! over is a warning at most.

use std::collections::HashSet;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::node::{Node, Value};
use crate::config::read::shortened;
use crate::config::source_map::{Span, Spanned};

/// What reading one file needs: where mistakes go, and what has been said already.
pub struct Reader<'d> {
    /// Where mistakes go.
    pub out: &'d mut Diagnostics,
    /// (kind of mapping, key) that was reported as unknown: once a file is enough.
    unknown: HashSet<(&'static str, String)>,
}

impl<'d> Reader<'d> {
    /// For one file.
    pub fn new(out: &'d mut Diagnostics) -> Reader<'d> {
        Reader { out, unknown: HashSet::new() }
    }

    /// The item cannot be used.
    pub fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.out.push(Diagnostic::error(code, message).at(span));
    }

    /// Something is odd, and passed over.
    pub fn warn(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.out.push(Diagnostic::warning(code, message).at(span));
    }

    /// "x must be y, not z" as a warning: the value is passed over.
    pub fn not_a(&mut self, node: &Node, what: &str, expected: &str) {
        self.warn("wrong-type", format!("{what} should be {expected}, not {}; passed over", node.kind()), node.point());
    }

    /// A scalar as the text that stands there: `yes`, `True` and `1.50` stay what they are.
    pub fn text_of(&self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text { text, .. } => Some(text.clone()),
            Value::Number(raw) => Some(raw.clone()),
            Value::Boolean(truth) => {
                let written = self.out.files().text(node.span);
                Some(if written.eq_ignore_ascii_case("true") || written.eq_ignore_ascii_case("false") { written.to_owned() } else { truth.to_string() })
            }
            _ => None,
        }
    }

    /// A text, or a warning. Nothing is no text.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        if node.is_nothing() {
            return None;
        }
        let text = self.text_of(node);
        if text.is_none() {
            self.not_a(node, what, "text");
        }
        text
    }

    /// A yes or no in any of its spellings, or a warning.
    pub fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        let text = self.text_of(node).unwrap_or_default();
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "" => Some(false),
            _ => {
                self.not_a(node, what, "true or false");
                None
            }
        }
    }

    /// A whole number (also as text, also `30.0`), or a warning.
    pub fn whole(&mut self, node: &Node, what: &str) -> Option<i64> {
        let text = self.text_of(node).unwrap_or_default();
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let number = text.parse::<i64>().ok().or_else(|| {
            let number = text.parse::<f64>().ok()?;
            // Beyond that a double has no whole numbers of its own.
            (number.abs() < 9.0e15).then_some(number as i64)
        });
        if number.is_none() {
            self.not_a(node, what, "a whole number");
        }
        number
    }

    /// The items of a list; nothing is an empty one, a scalar a list of one.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null { .. } => &[],
            Value::Mapping(_) => {
                self.not_a(node, what, "a list");
                &[]
            }
            Value::Text { text, .. } if text.is_empty() => &[],
            _ => std::slice::from_ref(node),
        }
    }

    /// The entries of a mapping; nothing is an empty one.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Spanned<String>, Node)] {
        match &node.value {
            Value::Mapping(entries) => entries,
            Value::Null { .. } => &[],
            Value::Text { text, .. } if text.is_empty() => &[],
            _ => {
                self.not_a(node, what, "a mapping");
                &[]
            }
        }
    }
}

/// A mapping with keys that an item is made of.
pub struct Keys<'n> {
    what: &'static str,
    entries: &'n [(Spanned<String>, Node)],
    head: Span,
    asked: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// Opens a mapping. Anything else is a warning, and `None`.
    pub fn open(node: &'n Node, what: &'static str, reader: &mut Reader<'_>) -> Option<Keys<'n>> {
        let Value::Mapping(entries) = &node.value else {
            if !node.is_nothing() {
                reader.not_a(node, what, "a mapping");
            }
            return None;
        };
        Some(Keys { what, entries, head: node.head(), asked: Vec::new() })
    }

    /// Opens a mapping that may as well be something else.
    pub fn open_quietly(node: &'n Node) -> Option<Keys<'n>> {
        let Value::Mapping(entries) = &node.value else { return None };
        Some(Keys { what: "a mapping", entries, head: node.head(), asked: Vec::new() })
    }

    /// A short place that stands for the mapping.
    pub fn head(&self) -> Span {
        self.head
    }

    /// The value of a key in either spelling (`isContext`, `iscontext`), if one is written.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, node)| node).filter(|node| !node.is_nothing())
    }

    /// Key and value as they stand.
    pub fn entry(&mut self, key: &'static str) -> Option<(&'n Spanned<String>, &'n Node)> {
        self.asked.push(key);
        let exact = self.entries.iter().find(|(name, _)| name.value == key);
        let entry = exact.or_else(|| self.entries.iter().find(|(name, _)| name.value.eq_ignore_ascii_case(key)))?;
        Some((&entry.0, &entry.1))
    }

    /// True if the key is written, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.value.eq_ignore_ascii_case(key))
    }

    /// A text; empty if it is missing.
    pub fn text(&mut self, key: &'static str, reader: &mut Reader<'_>) -> String {
        self.maybe_text(key, reader).unwrap_or_default()
    }

    /// A text that is there and not empty.
    pub fn maybe_text(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<String> {
        self.get(key).and_then(|node| reader.text(node, &format!("`{key}`"))).filter(|text| !text.is_empty())
    }

    /// A text that is there and not empty, with its place.
    pub fn spanned(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
        let node = self.get(key)?;
        let text = reader.text(node, &format!("`{key}`")).filter(|text| !text.is_empty())?;
        Some(Spanned::new(text, node.span))
    }

    /// A yes or no; no if it is missing.
    pub fn truth(&mut self, key: &'static str, reader: &mut Reader<'_>) -> bool {
        self.get(key).and_then(|node| reader.truth(node, &format!("`{key}`"))).unwrap_or(false)
    }

    /// A whole number.
    pub fn whole(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<i64> {
        self.get(key).and_then(|node| reader.whole(node, &format!("`{key}`")))
    }

    /// The items of a list.
    pub fn list(&mut self, key: &'static str, reader: &mut Reader<'_>) -> &'n [Node] {
        self.get(key).map_or(&[], |node| reader.list(node, &format!("`{key}`")))
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Vec<String> {
        self.list(key, reader).iter().filter_map(|node| reader.text(node, key)).collect()
    }

    /// The entries of a mapping whose keys are the author's own.
    pub fn entries(&mut self, key: &'static str, reader: &mut Reader<'_>) -> &'n [(Spanned<String>, Node)] {
        self.get(key).map_or(&[], |node| reader.entries(node, &format!("`{key}`")))
    }

    /// Ends the mapping: keys that nobody asked for, and that are not among those known to
    /// have no effect here, are noted once a file.
    pub fn close(self, without_effect: &[&str], reader: &mut Reader<'_>) {
        const SHOWN_MAX: usize = 5;
        let known = |name: &str| {
            let is = |key: &&str| key.eq_ignore_ascii_case(name);
            self.asked.iter().any(is) || without_effect.iter().any(is) || STORAGE.iter().any(is)
        };
        let mut fresh: Vec<&Spanned<String>> = Vec::new();
        for (key, _) in self.entries.iter().filter(|(key, _)| !known(&key.value)) {
            if reader.unknown.insert((self.what, key.value.clone())) {
                fresh.push(key);
            }
        }
        let Some(first) = fresh.first() else { return };
        let names: Vec<String> = fresh.iter().take(SHOWN_MAX).map(|key| format!("`{}`", shortened(&key.value))).collect();
        let more = if fresh.len() > SHOWN_MAX { format!(" and {} more", fresh.len() - SHOWN_MAX) } else { String::new() };
        let (word, are) = if fresh.len() == 1 { ("key", "is") } else { ("keys", "are") };
        reader.warn("unknown-key", format!("{} has the {word} {}{more}, which {are} not known here and passed over", self.what, names.join(", ")), first.span);
    }
}

/// What the product's storage writes beside an item: no effect on what it does.
const STORAGE: [&str; 41] = [
    "sortValues",
    "modified",
    "commitMessage",
    "shouldCommit",
    "prevName",
    "nameRaw",
    "vcShouldIgnore",
    "vcShouldKeepItemLegacyProdMachine",
    "packID",
    "packName",
    "packPropagationLabels",
    "propagationLabels",
    "itemVersion",
    "fromServerVersion",
    "toServerVersion",
    "fromMajorVersion",
    "toMajorVersion",
    "definitionId",
    "marketplaces",
    "supportedModules",
    "highlight",
    "cacheVersn",
    "sequenceNumber",
    "primaryTerm",
    "sizeInBytes",
    "syncHash",
    "dbotCreatedBy",
    "created",
    "createdBy",
    "elasticcommonfields",
    "contentitemexportablefields",
    "contentitemfields",
    "sourceModuleID",
    "sourceScriptID",
    "validatedError",
    "adopted",
    "internal",
    "isTest",
    "originalId",
    "remote",
    "tenantName",
];
