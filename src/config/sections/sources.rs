//! Owns `sources:` and its short form `source:`.

use std::collections::HashMap;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{SOURCES_MAX, TOPIC_NAME_MAX};
use crate::config::model::{Format, Source, Start, Topic};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note, shortened};
use crate::config::read_expr::path;
use crate::config::source_map::{Span, Spanned};

use super::classify::read_own;
use super::content::Imported;
use super::map::read_map;

/// Formats that a later step brings.
const LATER_FORMATS: [&str; 7] = ["text", "syslog", "cef", "leef", "csv", "avro", "protobuf"];

/// Both forms; `name` is the pipeline's, which a single source without a name takes.
pub fn read_sources(top: &mut Fields<'_>, name: &Spanned<String>, imported: Option<&Imported>, out: &mut Diagnostics) -> Vec<Source> {
    let many = top.get("sources", out);
    let one = top.get("source", out);
    let nodes: &[Node] = match (many, one) {
        (Some(many), Some(one)) => {
            out.push(
                Diagnostic::error("bad-value", "both `source` and `sources` are given")
                    .at(top.key_span("source").unwrap_or(one.head()))
                    .also(top.key_span("sources").unwrap_or(many.head()), "and here")
                    .hint("`source` is the short form of a `sources` list with one entry: keep one of the two"),
            );
            read::list(many, "`sources`", SOURCES_MAX, out)
        }
        // A mapping under `sources` can only mean one source.
        (Some(many), None) if matches!(many.value, Value::Mapping(_)) => std::slice::from_ref(many),
        (Some(many), None) => read::list(many, "`sources`", SOURCES_MAX, out),
        (None, Some(one)) => std::slice::from_ref(one),
        (None, None) => {
            // A key without a value has been reported.
            if top.key_span("sources").or(top.key_span("source")).is_none() {
                out.push(
                    Diagnostic::error("missing-key", "a pipeline needs `sources`")
                        .at(top.head())
                        .label("no `sources` here")
                        .hint("for example: source: { topics: [my.events], format: json }"),
                );
            }
            return Vec::new();
        }
    };
    if nodes.is_empty()
        && let Some(Node { value: Value::List(_), span }) = many
    {
        out.push(Diagnostic::error("bad-value", "`sources` is an empty list").at(*span));
    }
    let single = nodes.len() == 1;
    let sources: Vec<Source> = nodes.iter().filter_map(|node| read_source(node, single.then_some(name), imported, out)).collect();
    read::unique(sources.iter().map(|source| &source.name), "sources", out);
    topics_once(&sources, out);
    sources
}

fn read_source(node: &Node, default_name: Option<&Spanned<String>>, imported: Option<&Imported>, out: &mut Diagnostics) -> Option<Source> {
    let mut fields = Fields::open(node, "a source", out)?;
    let name = match (fields.entry("name"), default_name) {
        (None, Some(default)) => Some(default.clone()),
        _ => fields.need("name", "cloudtrail", out).and_then(|node| read::name(node, "`name`", out)),
    };
    let topics_node = fields.need("topics", "[aws.cloudtrail]", out);
    let topics = topics_node.map(|node| read_topics(node, out)).unwrap_or_default();
    let format = fields.get("format", out).and_then(|node| read_format(node, out)).unwrap_or(Format::Json);
    let explode = fields.get("explode", out).and_then(|node| path(node, "`explode`", out));
    let keyed_by = fields.get("keyed_by", out).map_or(&[][..], read::one_or_many);
    let keyed_by = keyed_by.iter().filter_map(|node| path(node, "`keyed_by`", out)).collect();
    let start = fields.get("start", out).and_then(|node| read_start(node, out)).unwrap_or(Start::Latest);
    let (map, xsoar_map) = fields.get("map", out).map(|node| read_map(node, imported, out)).unwrap_or_default();
    let xsoar_classify = fields.get("classify", out).and_then(|node| read_own(node, imported, out));
    let parse = "reading other formats inside JSON (cef, leef, kv, regex) comes with a later step";
    fields.close(&[Note::Later("parse", parse), Note::Elsewhere("topic", "the key is `topics`, also for a single one")], out);
    Some(Source { name: name?, topics, format, explode, keyed_by, start, map, xsoar_classify, xsoar_map })
}

fn read_format(node: &Node, out: &mut Diagnostics) -> Option<Format> {
    if let Some(word) = node.word()
        && LATER_FORMATS.contains(&word)
    {
        out.push(read::later(&format!("the format `{word}`"), node.span, "for now events must be `json`"));
        return None;
    }
    read::choice(node, "`format`", &[("json", Format::Json)], out)
}

fn read_start(node: &Node, out: &mut Diagnostics) -> Option<Start> {
    match node.word() {
        Some("latest") => return Some(Start::Latest),
        Some("earliest") => return Some(Start::Earliest),
        _ => {}
    }
    let time = node.word().and_then(|word| chrono::DateTime::parse_from_rfc3339(word).ok());
    if time.is_none() {
        let message = "`start` must be `latest`, `earliest` or a time with its zone";
        let hint = "for example: start: 2026-11-21T08:00:00Z";
        out.push(Diagnostic::error("bad-value", message).at(node.point()).hint(hint));
    }
    time.map(|time| Start::At(time.timestamp_millis()))
}

fn read_topics(node: &Node, out: &mut Diagnostics) -> Vec<Spanned<Topic>> {
    let nodes = read::one_or_many(node);
    if nodes.is_empty() {
        out.push(Diagnostic::error("bad-value", "`topics` is an empty list").at(node.span));
    }
    nodes.iter().filter_map(|node| read_topic(node, out)).collect()
}

fn read_topic(node: &Node, out: &mut Diagnostics) -> Option<Spanned<Topic>> {
    let text = read::text(node, "a topic", out)?;
    if text.value.starts_with('^') {
        if let Err(error) = regex::Regex::new(&text.value) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ");
            out.push(Diagnostic::error("bad-value", format!("this topic pattern is not a regular expression: {reason}")).at(text.span));
            return None;
        }
        return Some(text.map(Topic::Pattern));
    }
    let legal = text.value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if text.value.is_empty() || text.value.len() > TOPIC_NAME_MAX || !legal || text.value == "." || text.value == ".." {
        let hint = if text.value.contains(['*', '|', '(', '[', '\\']) {
            "a pattern starts with ^, for example: ^aws\\..*".to_owned()
        } else {
            format!("topic names have letters, digits, `.`, `_` and `-`, at most {TOPIC_NAME_MAX}")
        };
        out.push(Diagnostic::error("bad-value", format!("`{}` is not a topic name", shortened(&text.value))).at(text.span).hint(hint));
        return None;
    }
    Some(text.map(Topic::Name))
}

/// Reports topics that stand twice: their events would be read twice.
fn topics_once(sources: &[Source], out: &mut Diagnostics) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for topic in sources.iter().flat_map(|source| &source.topics) {
        let (Topic::Name(name) | Topic::Pattern(name)) = &topic.value;
        if let Some(first) = seen.insert(name, topic.span) {
            out.push(
                Diagnostic::error("duplicate-name", format!("the topic `{name}` is read twice"))
                    .at(topic.span)
                    .label("again here")
                    .also(first, "first here")
                    .hint("a topic belongs to one source"),
            );
        }
    }
}
