//! Owns YAML text → [`Node`]: parser events (no recursion), byte spans, duplicate keys
//! as mistakes, bounded depth and bounded aliases.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::{YAML_ALIAS_NODES_MAX, YAML_DEPTH_MAX};
use super::node::{Node, Style, Value, resolve_plain};
use super::source_map::{Span, Spanned};
use super::yaml_error;

/// Reads one file of `diagnostics`. `None` if it is not YAML, is empty, or goes beyond a
/// bound: then a mistake says so. Duplicate keys are mistakes too, but the first of each
/// is kept, so that the rest of the file is still looked at.
pub fn read(file: u32, diagnostics: &mut Diagnostics) -> Option<Node> {
    read_as(file, false, diagnostics)
}

/// The same for a file that somebody else's program wrote: of duplicate keys the last one
/// counts (a warning), merge keys (`<<`) are carried out, tags are passed over. The bounds are
/// the same.
pub fn read_imported(file: u32, diagnostics: &mut Diagnostics) -> Option<Node> {
    read_as(file, true, diagnostics)
}

fn read_as(file: u32, imported: bool, diagnostics: &mut Diagnostics) -> Option<Node> {
    let files = diagnostics.files().clone();
    let text = files.file(file).map(|file| file.text.as_str())?;
    let mut builder =
        Builder { lines: Lines::new(file, text), imported, diagnostics, frames: Vec::new(), anchors: HashMap::new(), alias_nodes: 0, documents: 0, root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => builder.on_event(event, span),
            Err(error) => Err(builder.scan_error(&error)),
        };
        if let Err(diagnostic) = outcome {
            builder.diagnostics.push(*diagnostic);
            return None;
        }
    }
    let root = builder.root.take();
    if root.as_ref().is_none_or(Node::is_nothing) {
        diagnostics.push(Diagnostic::error("empty-file", "the file is empty").at(Span::new(file, 0, 0)));
        return None;
    }
    root
}

/// A collection that is being read.
struct Frame {
    start: Span,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Mapping { entries: Vec<(Spanned<String>, Node)>, seen: HashMap<String, (Span, usize)>, key: Option<Key> },
}

/// A key whose value comes next. If it stood before, at that place among the entries, its
/// value is read and thrown away; in an imported file it takes that place.
struct Key {
    key: Spanned<String>,
    repeated: Option<usize>,
}

struct Builder<'a> {
    lines: Lines<'a>,
    /// The file is not of our own format: be lenient.
    imported: bool,
    diagnostics: &'a mut Diagnostics,
    frames: Vec<Frame>,
    anchors: HashMap<usize, (Node, usize)>,
    alias_nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn on_event(&mut self, event: Event<'_>, at: saphyr_parser::Span) -> Result<(), Box<Diagnostic>> {
        let span = self.lines.span(at);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Box::new(
                        Diagnostic::error("yaml", "more than one document in the file")
                            .at(span)
                            .label("a second document starts here")
                            .hint("keep one document a file; remove the `---`"),
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.open(span, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let items = Items::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(span, anchor, items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Box<Diagnostic>> {
        let as_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !as_text {
            self.refuse_tag(tag, span);
        }
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let span = self.lines.scalar(span, text, style);
        if self.expects_key() {
            return self.key(text, style, span);
        }
        let value = match style {
            Style::Plain if !as_text => resolve_plain(text),
            style => Value::Text { text: text.to_owned(), style },
        };
        let span = match (&value, self.frames.last().map(|frame| &frame.items)) {
            (Value::Null { written: false }, Some(Items::Mapping { key: Some(key), .. })) => key.key.span,
            _ => span,
        };
        let node = Node { span, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.put(node);
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { items: Items::Mapping { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, style: Style, span: Span) -> Result<(), Box<Diagnostic>> {
        if style == Style::Plain && text == "<<" && !self.imported {
            self.diagnostics.push(
                Diagnostic::error("yaml", "merge keys (`<<`) are not supported")
                    .at(span)
                    .hint("name the whole value with an anchor (&name) and use it with an alias (*name)"),
            );
        }
        if style == Style::Plain && text.is_empty() {
            return Err(Box::new(Diagnostic::error("yaml", "a key is missing before `:`").at(span)));
        }
        let Some(Frame { items: Items::Mapping { entries, seen, key }, .. }) = self.frames.last_mut() else { return Ok(()) };
        let first = seen.get(text).copied();
        if first.is_none() {
            seen.insert(text.to_owned(), (span, entries.len()));
        }
        *key = Some(Key { key: Spanned::new(text.to_owned(), span), repeated: first.map(|(_, at)| at) });
        if let Some((first, _)) = first {
            if self.imported {
                let message = format!("`{text}` is given twice; the last one counts");
                self.diagnostics.push(Diagnostic::warning("duplicate-key", message).at(span).also(first, "first here"));
                return Ok(());
            }
            self.diagnostics.push(
                Diagnostic::error("duplicate-key", format!("`{text}` is given twice"))
                    .at(span)
                    .label("again here")
                    .also(first, "first here")
                    .hint("merge the two, or remove one"),
            );
        }
        Ok(())
    }

    fn open(&mut self, start: Span, anchor: usize, items: Items) -> Result<(), Box<Diagnostic>> {
        if self.expects_key() {
            return Err(Box::new(
                Diagnostic::error("yaml", "a key must be text, not a list or a mapping")
                    .at(Span { end: start.end.max(start.start + 1), ..start })
                    .hint("put the key in quotes if it starts with [ or {"),
            ));
        }
        if self.frames.len() >= YAML_DEPTH_MAX {
            return Err(Box::new(Diagnostic::error("yaml", format!("nested deeper than {YAML_DEPTH_MAX} levels")).at(start)));
        }
        self.frames.push(Frame { start, anchor, items });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Box<Diagnostic>> {
        let Some(Frame { start, anchor, items }) = self.frames.pop() else { return Ok(()) };
        let (value, last) = match items {
            Items::List(items) => {
                let last = items.last().map(|item| item.span);
                (Value::List(items), last)
            }
            Items::Mapping { mut entries, .. } => {
                if self.imported {
                    merge(&mut entries);
                }
                let last = entries.last().map(|(key, node)| key.span.to(node.span));
                (Value::Mapping(entries), last)
            }
        };
        // A flow collection ends with its bracket; a block ends, for the parser, where the
        // next thing begins, so we take the end of the last child.
        let span = if self.lines.is_flow_end(end) { start.to(end) } else { start.to(last.unwrap_or(start)) };
        let node = Node { span, value };
        if anchor > 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        self.put(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Box::new(Diagnostic::error("yaml", "an alias inside the value that it names").at(span)));
        };
        self.alias_nodes += size;
        if self.alias_nodes > YAML_ALIAS_NODES_MAX {
            return Err(Box::new(Diagnostic::error("yaml", format!("aliases add more than {YAML_ALIAS_NODES_MAX} values")).at(span)));
        }
        if self.expects_key() {
            return Err(Box::new(Diagnostic::error("yaml", "an alias cannot be a key").at(span).hint("a key that starts with * needs quotes: \"*\"")));
        }
        let node = node.clone();
        if self.frames.len() + depth(&node) > YAML_DEPTH_MAX {
            return Err(Box::new(Diagnostic::error("yaml", format!("nested deeper than {YAML_DEPTH_MAX} levels")).at(span)));
        }
        self.put(node);
        Ok(())
    }

    fn put(&mut self, node: Node) {
        match self.frames.last_mut() {
            Some(Frame { items: Items::List(items), .. }) => items.push(node),
            Some(Frame { items: Items::Mapping { entries, key, .. }, .. }) => match key.take() {
                Some(Key { key, repeated: None }) => entries.push((key, node)),
                Some(Key { key, repeated: Some(at) }) if self.imported => {
                    if let Some(slot) = entries.get_mut(at) {
                        *slot = (key, node);
                    }
                }
                _ => {}
            },
            None => self.root = Some(node),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        let Some(tag) = tag.filter(|_| !self.imported) else { return };
        // `!!map` and `!!seq` say what is there anyway.
        if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq") {
            return;
        }
        self.diagnostics.push(Diagnostic::error("yaml", "YAML tags (`!…`) have no meaning here").at(span).hint("text that starts with ! needs quotes"));
    }

    fn scan_error(&self, error: &ScanError) -> Box<Diagnostic> {
        let at = self.lines.byte(error.marker());
        Box::new(yaml_error::explain(error.info(), self.lines.file, self.lines.text, at))
    }
}

/// Carries out `<<: {…}` and `<<: [{…}, …]`: keys that are not there yet are added.
fn merge(entries: &mut Vec<(Spanned<String>, Node)>) {
    let Some(at) = entries.iter().position(|(key, _)| key.value == "<<") else { return };
    let (_, node) = entries.remove(at);
    let sources = match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    for source in sources {
        let Value::Mapping(added) = source.value else { continue };
        let present: HashSet<String> = entries.iter().map(|(key, _)| key.value.clone()).collect();
        entries.extend(added.into_iter().filter(|(key, _)| !present.contains(&key.value)));
    }
}

/// Bytes up to and with the quote that closes the one that `source` starts with.
fn closing_quote(source: &str, quote: char) -> Option<usize> {
    let mut letters = source.char_indices().peekable();
    letters.next_if(|(_, c)| *c == quote)?;
    while let Some((at, c)) = letters.next() {
        if quote == '"' && c == '\\' {
            letters.next();
        } else if c == quote {
            // In single quotes a doubled one is a quote in the text.
            if quote == '\'' && letters.next_if(|(_, c)| *c == quote).is_some() {
                continue;
            }
            return Some(at + quote.len_utf8());
        }
    }
    None
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Mapping(entries) => 1 + entries.iter().map(|(_, node)| 1 + count(node)).sum::<usize>(),
        _ => 1,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(entries) => 1 + entries.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The parser's places (line, column in characters) as bytes. Its running index is not
/// used: in some versions it counts bytes inside comments and characters elsewhere.
struct Lines<'a> {
    file: u32,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: u32, text: &'a str) -> Lines<'a> {
        let mut starts = vec![0];
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            // YAML ends a line with LF, CR LF or CR.
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        Lines { file, text, starts }
    }

    fn byte(&self, marker: &Marker) -> usize {
        let line = marker.line().saturating_sub(1);
        let Some(&start) = self.starts.get(line) else { return self.text.len() };
        let rest = self.text.get(start..).unwrap_or("");
        // A leading byte order mark is not a column.
        let (start, rest) = match rest.strip_prefix('\u{feff}') {
            Some(rest) if line == 0 => (start + '\u{feff}'.len_utf8(), rest),
            _ => (start, rest),
        };
        start + rest.char_indices().nth(marker.col()).map_or(rest.len(), |(at, _)| at)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        Span::new(self.file, self.byte(&span.start), self.byte(&span.end))
    }

    /// Without the white space and comments that the parser counts to a scalar.
    fn scalar(&self, span: Span, content: &str, style: Style) -> Span {
        let source = self.text.get(span.start as usize..span.end as usize).unwrap_or("");
        let quoted = match style {
            Style::Single => closing_quote(source, '\''),
            Style::Double => closing_quote(source, '"'),
            Style::Plain => source.starts_with(content).then_some(content.len()),
            Style::Block => None,
        };
        let length = quoted.unwrap_or_else(|| source.trim_end().len());
        Span::new(self.file, span.start as usize, span.start as usize + length)
    }

    fn is_flow_end(&self, span: Span) -> bool {
        span.end > span.start && matches!(self.text.get(span.start as usize..span.end as usize), Some("]" | "}"))
    }
}

#[cfg(test)]
#[path = "yaml_test.rs"]
mod tests;
