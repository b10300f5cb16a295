//! Owns the top level of `pipeline.yaml`.

use std::collections::HashSet;
use std::path::Path;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::PIPELINE_NAME_MAX;
use crate::config::model::{MapSection, Pipeline, Source, XsoarClassify, XsoarMap};
use crate::config::node::Node;
use crate::config::read::{self, Fields, Note, shortened};
use crate::config::schema;
use crate::config::source_map::Spanned;

use super::classify::read_classify;
use super::clock::{read_clock, read_tenant};
use super::content::read_content;
use super::filter::read_filters;
use super::lookups::read_lookups;
use super::map::read_map;
use super::playbooks::read_playbooks;
use super::preprocess::read_preprocess;
use super::sink::read_sink;
use super::sources::read_sources;
use super::tests::read_tests;

const ENVIRONMENT: &str = "it belongs in the environment file catchment.yaml, so that a pipeline runs unchanged elsewhere";

/// Keys that are known, but not here or not yet.
const NOTES: [Note; 19] = [
    Note::Later("parse", "reading cef, leef, kv or regex inside JSON comes with a later step"),
    Note::Later("thresholds", "incidents from many events come with a later step; rules with `match` deduplicate today"),
    Note::Later("storm", "storm control comes with a later step"),
    Note::Later("mask", "masking comes with a later step; `sink: { raw: false, labels: none }` keeps the event out today"),
    Note::Elsewhere("max_skew", "it stands under `clock`: clock: { kind: record, max_skew: 5m }"),
    Note::Elsewhere("late_max", "it stands under `clock`: clock: { kind: record, late_max: 1h }"),
    Note::Elsewhere("topics", "it stands under `source`: source: { topics: [my.events], format: json }"),
    Note::Elsewhere("format", "it stands under `source`: source: { topics: [my.events], format: json }"),
    Note::Elsewhere("rules", "rules stand under `classify` (which type?) or `preprocess` (deduplicate, link, close)"),
    Note::Elsewhere("types", "the table stands under `classify`; declared types in schema/types.yaml"),
    Note::Elsewhere("fields", "declared fields stand in schema/fields.yaml"),
    Note::Elsewhere("brokers", ENVIRONMENT),
    Note::Elsewhere("kafka", ENVIRONMENT),
    Note::Elsewhere("limits", ENVIRONMENT),
    Note::Elsewhere("security", ENVIRONMENT),
    Note::Elsewhere("state", ENVIRONMENT),
    Note::Elsewhere("state_dir", ENVIRONMENT),
    Note::Elsewhere("workers", ENVIRONMENT),
    Note::Elsewhere("listen", ENVIRONMENT),
];

/// Reads the whole file; `dir` is where relative paths start. `None` only if the file is
/// not a mapping; otherwise what could not be read is left out.
pub fn read_pipeline(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Pipeline> {
    let mut top = Fields::open(node, "a pipeline", out)?;
    let name = top.need("name", "soc", out).and_then(|node| read_name(node, out));
    // The rest is read under a stand-in, so that its mistakes are told as well.
    let name = name.unwrap_or_else(|| Spanned::new("pipeline".to_owned(), top.head()));
    let tenant = read_tenant(top.get("tenant", out), out);
    let mut schema = schema::read_schema(top.get("schema", out), dir, out);
    let imported = read_content(top.get("content", out), dir, out);
    let imported = imported.as_ref();
    if let Some(imported) = imported {
        schema.import(&imported.content);
    }
    let clock = read_clock(top.get("clock", out), out);
    let sources = read_sources(&mut top, &name, imported, out);
    let lookups = top.get("lookups", out).map(|node| read_lookups(node, dir, out)).unwrap_or_default();
    let filters = top.get("filter", out).map(|node| read_filters(node, out)).unwrap_or_default();
    let classify = top.need("classify", "{ key: event_key, types: { … }, default: drop }", out);
    let mut classify = read_classify(classify, imported, out);
    classify.of_sources = sources.iter().filter_map(|source| source.xsoar_classify.as_ref()).flat_map(XsoarClassify::produced).cloned().collect();
    let (map, xsoar_map) = top.get("map", out).map(|node| read_map(node, imported, out)).unwrap_or_default();
    let mapped = mapped(&map, xsoar_map.as_ref(), &sources);
    let preprocess = read_preprocess(top.get("preprocess", out), imported, &mapped, out);
    let sink = read_sink(top.get("sink", out), xsoar_map.is_some() || sources.iter().any(|source| source.xsoar_map.is_some()), out);
    let playbooks = top.get("playbooks", out).map(|node| read_playbooks(node, dir, out)).unwrap_or_default();
    let tests = top.get("tests", out).map(|node| read_tests(node, out)).unwrap_or_default();
    top.close(&NOTES, out);
    Some(Pipeline {
        dir: dir.to_owned(),
        files: out.files().clone(),
        version: String::new(),
        name,
        tenant,
        schema,
        content: imported.map(|imported| imported.content.clone()),
        clock,
        sources,
        lookups,
        filters,
        classify,
        map,
        xsoar_map,
        preprocess,
        sink,
        playbooks,
        tests,
    })
}

/// The fields that incidents can have.
fn mapped(map: &[MapSection], xsoar_map: Option<&XsoarMap>, sources: &[Source]) -> HashSet<String> {
    let native = map.iter().chain(sources.iter().flat_map(|source| &source.map)).flat_map(|section| &section.fields).map(|(name, _)| &name.value);
    let imported = xsoar_map.into_iter().chain(sources.iter().filter_map(|source| source.xsoar_map.as_ref()));
    let imported = imported.flat_map(|map| &map.sections).flat_map(|section| &section.fields).map(|entry| &entry.field);
    native.chain(imported).cloned().chain(["type", "severity", "occurred", "created"].map(str::to_owned)).collect()
}

/// Names prefix topic names, so they are made of what those are made of.
fn read_name(node: &Node, out: &mut Diagnostics) -> Option<Spanned<String>> {
    let name = read::text(node, "`name`", out)?;
    let mut chars = name.value.chars();
    let legal = chars.next().is_some_and(|c| c.is_ascii_alphanumeric()) && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !legal || name.value.len() > PIPELINE_NAME_MAX {
        out.push(
            Diagnostic::error("bad-value", format!("`{}` cannot be the name of a pipeline", shortened(&name.value)))
                .at(name.span)
                .hint(format!("names have letters, digits, `.`, `_` and `-`, start with a letter or digit, and are at most {PIPELINE_NAME_MAX} long")),
        );
        return None;
    }
    Some(name)
}
