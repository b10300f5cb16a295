//! The survey as a report: groups with their paths, readers and suggestions; keys. The
//! same for the terminal and for `--json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::{Key, Keys};
use super::profile::{KINDS, Leaf};
use super::suggest::{FILLED_PERCENT, Suggester, Suggestion};
use super::survey::{Group, Subject, Survey};
use super::usage::Usage;
use crate::config::Pipeline;
use crate::ingest::plan::Plan;

/// One path of a group.
#[derive(Debug)]
pub struct PathReport {
    /// As shown: `a.b`, `a[].b`.
    pub path: String,
    /// Events in which it has a value.
    pub events: u64,
    /// Values per kind.
    pub kinds: Vec<(&'static str, u64)>,
    /// Kinds for people, with the look of the values.
    pub kind: String,
    /// One value, short and harmless.
    pub example: String,
    /// Fields that read it.
    pub fields: Vec<Arc<str>>,
    /// Other readers.
    pub others: Vec<&'static str>,
    /// What it could be mapped to.
    pub suggestion: Option<Suggestion>,
}

impl PathReport {
    /// Order of interest: suggestions, unmapped, read but not mapped, mapped.
    fn rank(&self) -> u8 {
        match (&self.suggestion, self.fields.is_empty(), self.others.is_empty()) {
            (Some(_), ..) => 0,
            (None, true, true) => 1,
            (None, true, false) => 2,
            _ => 3,
        }
    }
}

/// One group.
#[derive(Debug)]
pub struct GroupReport {
    /// The source's name.
    pub source: Arc<str>,
    /// The type's name; `None` for unclassified events.
    pub type_name: Option<Arc<str>>,
    /// The key of unclassified events.
    pub key: Option<String>,
    /// Events.
    pub events: u64,
    /// Incidents made of them.
    pub incidents: u64,
    /// Fields mapped for the type: name, incidents in which it has a value.
    pub fields: Vec<(Arc<str>, u64)>,
    /// All paths, most interesting first.
    pub paths: Vec<PathReport>,
    /// Values at paths for which there was no room.
    pub lost: u64,
    /// The fields' expressions, for snippets.
    pub texts: Vec<(Arc<str>, Arc<str>)>,
}

impl GroupReport {
    /// Paths that some field reads.
    pub fn mapped(&self) -> usize {
        self.paths.iter().filter(|path| !path.fields.is_empty()).count()
    }

    /// Paths with a suggestion.
    pub fn suggested(&self) -> usize {
        self.paths.iter().filter(|path| path.suggestion.is_some()).count()
    }

    /// What people call it.
    pub fn title(&self) -> String {
        match (&self.type_name, &self.key) {
            (Some(name), _) => name.to_string(),
            (None, Some(key)) => format!("unclassified: {key}"),
            (None, None) => "unclassified: all other keys".to_owned(),
        }
    }
}

/// A key of unclassified events.
#[derive(Debug)]
pub struct KeyReport {
    /// The sources that it came from.
    pub sources: Vec<Arc<str>>,
    /// The key.
    pub key: Key,
    /// Events.
    pub events: u64,
    /// `file:line` of the first.
    pub first: String,
}

/// A top-level field that tells kinds apart where there is no key.
#[derive(Debug)]
pub struct TellingReport {
    /// The source's name.
    pub source: Arc<str>,
    /// The path.
    pub path: String,
    /// Its values.
    pub values: Vec<(String, u64)>,
}

/// Everything.
#[derive(Debug)]
pub struct Report {
    /// Groups: types first, each kind by number of events.
    pub groups: Vec<GroupReport>,
    /// Keys by number of events.
    pub keys: Vec<KeyReport>,
    /// Events of keys for which there was no room.
    pub keys_lost: u64,
    /// For events without any key.
    pub telling: Vec<TellingReport>,
}

/// Makes the report.
pub fn report(pipeline: &Pipeline, plan: &Plan, survey: &Survey) -> Report {
    let mapped = plan.sources.iter().flat_map(|source| &source.layouts).flat_map(|layout| layout.all()).map(|field| &*field.name);
    let suggester = Suggester::new(&pipeline.schema, mapped);
    let mut groups: Vec<(bool, GroupReport)> =
        survey.groups.iter().map(|((source, subject), group)| (matches!(subject, Subject::Type(_)), one(plan, &suggester, *source, subject, group))).collect();
    groups.sort_by(|(a_typed, a), (b_typed, b)| {
        b_typed.cmp(a_typed).then(b.events.cmp(&a.events)).then_with(|| a.title().cmp(&b.title())).then_with(|| a.source.cmp(&b.source))
    });
    let name = |source: &u16| plan.sources.get(*source as usize).map_or_else(|| Arc::from(""), |source| source.name.clone());
    let mut keys: BTreeMap<&Key, KeyReport> = BTreeMap::new();
    let mut telling = Vec::new();
    for (source, found) in &survey.keys {
        for (key, seen) in found.sorted() {
            let known = keys.entry(key).or_insert_with(|| KeyReport { sources: Vec::new(), key: key.clone(), events: 0, first: seen.first.clone() });
            known.events += seen.events;
            known.sources.push(name(source));
        }
        telling.extend(found.telling().into_iter().map(|(path, values)| TellingReport { source: name(source), path, values }));
    }
    let mut keys: Vec<KeyReport> = keys.into_values().collect();
    keys.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.key.cmp(&b.key)));
    Report { groups: groups.into_iter().map(|(_, group)| group).collect(), keys, keys_lost: survey.keys.values().map(|keys: &Keys| keys.lost).sum(), telling }
}

fn one(plan: &Plan, suggester: &Suggester, number: u16, subject: &Subject, group: &Group) -> GroupReport {
    let code = match subject {
        Subject::Type(code) => Some(*code as usize),
        _ => None,
    };
    let usage = Usage::new(plan, number as usize, code);
    let mut leaves: Vec<Leaf<'_>> = group.profile.leaves().collect();
    leaves.sort_by_cached_key(Leaf::shown);
    let at_path = |path: &String| leaves.iter().filter(|leaf| leaf.canonical() == *path).map(|leaf| leaf.stat.events).max().unwrap_or_default();
    // Per mapped field: is it full?
    let full: Vec<(&str, bool)> = usage
        .fields
        .iter()
        .map(|field| {
            let name = &*field.name;
            let enough = |part: u64, whole: u64| part * 100 >= whole * FILLED_PERCENT;
            let full = match name {
                "severity" => true,
                _ if field.paths.is_empty() => true,
                // `occurred` always has a value: the time of arrival, if nothing else.
                "occurred" => enough(field.paths.iter().map(at_path).sum(), group.profile.events),
                _ if group.incidents == 0 => enough(field.paths.iter().map(at_path).sum(), group.profile.events),
                _ => enough(group.filled.get(name).copied().unwrap_or_default(), group.incidents),
            };
            (name, full)
        })
        .collect();
    let suggestions = suggester.suggest(&leaves, group.profile.events, &usage, &|field| full.iter().any(|(name, full)| *full && *name == field));
    let mut paths: Vec<PathReport> = leaves
        .iter()
        .zip(suggestions)
        .map(|(leaf, suggestion)| {
            let uses = usage.of(&leaf.canonical());
            let word = leaf.stat.look().word();
            let kinds = leaf.stat.kind_words().join("|");
            PathReport {
                path: leaf.shown(),
                events: leaf.stat.events,
                kinds: KINDS.iter().copied().zip(leaf.stat.kinds).filter(|(_, count)| *count > 0).collect(),
                kind: if word.is_empty() { kinds } else { format!("{kinds}, {word}") },
                example: leaf.stat.example.as_deref().unwrap_or_default().to_owned(),
                fields: uses.fields,
                others: uses.others,
                suggestion,
            }
        })
        .collect();
    paths.sort_by(|a, b| a.rank().cmp(&b.rank()).then(b.events.cmp(&a.events)));
    GroupReport {
        source: plan.sources.get(number as usize).map_or_else(|| Arc::from(""), |source| source.name.clone()),
        type_name: code.and_then(|code| plan.types.get(code)).cloned(),
        key: match subject {
            Subject::Key(key) => Some(key.shown()),
            _ => None,
        },
        events: group.profile.events,
        incidents: group.incidents,
        fields: usage.fields.iter().map(|field| (field.name.clone(), group.filled.get(&*field.name).copied().unwrap_or_default())).collect(),
        paths,
        lost: group.profile.lost,
        texts: usage.fields.into_iter().map(|field| (field.name, field.text)).collect(),
    }
}

impl Report {
    /// For other programs: everything, whatever `--top` says.
    pub fn to_json(&self) -> Value {
        let groups: Vec<Value> = self.groups.iter().map(GroupReport::to_json).collect();
        let keys: Vec<Value> =
            self.keys.iter().map(|key| json!({ "sources": key.sources, "key": key.key.shown(), "events": key.events, "first": key.first })).collect();
        let telling: Vec<Value> = self
            .telling
            .iter()
            .map(|field| json!({ "source": field.source, "path": field.path, "values": field.values.iter().map(|(value, events)| json!({ "value": value, "events": events })).collect::<Vec<_>>() }))
            .collect();
        json!({ "groups": groups, "unclassified": { "keys": keys, "events_of_further_keys": self.keys_lost, "telling_fields": telling } })
    }
}

impl GroupReport {
    fn to_json(&self) -> Value {
        let paths: Vec<Value> = self
            .paths
            .iter()
            .map(|path| {
                json!({
                    "path": path.path,
                    "events": path.events,
                    "fill": if self.events == 0 { 0.0 } else { path.events as f64 / self.events as f64 },
                    "types": path.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
                    "example": path.example,
                    "mapped_to": path.fields,
                    "read_by": path.others,
                    "suggestion": path.suggestion.as_ref().map(|s| json!({ "field": s.field, "new_field": s.new, "by": if s.by_name { "name" } else { "value" }, "expression": s.expression })),
                })
            })
            .collect();
        json!({
            "source": self.source,
            "type": self.type_name,
            "key": self.key,
            "events": self.events,
            "incidents": self.incidents,
            "fields": self.fields.iter().map(|(name, filled)| (name.to_string(), json!(filled))).collect::<serde_json::Map<_, _>>(),
            "paths": paths,
            "values_at_further_paths": self.lost,
        })
    }
}
