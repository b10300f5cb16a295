//! Two pipelines over the same messages, batch by batch: what became of each event here
//! and there, and how the two differ.
//!
//! Both trials number messages alike, so incidents are known by the event they were made
//! from; ids and versions, which differ by nature, are not compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fields::{FieldChange, field_changes};
use crate::cli::text::count;
use crate::ingest::decide::Origin;
use crate::ingest::ledger::Counts;
use crate::ingest::output::{Output, TraceEnd};
use crate::ingest::plan::Plan;
use crate::ingest::trial::{End, Trial};

/// Different kinds of changes that are counted one by one (count); far more than two
/// pipelines of hundreds of rules have in practice.
pub const KINDS_MAX: usize = 20_000;
/// Examples kept per kind of change (count): a change that hits every event must not hide the others.
pub const EXAMPLES_PER_KIND_MAX: usize = 2;
/// Examples kept in all, at the most (count), whatever `--limit` says.
pub const EXAMPLES_MAX: usize = 10_000;

/// How an event ended, as shown: `incident`, `filtered by sysmon-noise`.
pub type EndName = String;

/// A kind of change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It ends in another way: the ends, and the type that it has or had.
    Ending(EndName, EndName, String),
    /// It has another type.
    Type(String, String),
    /// The incident has another value in a field; the type is the new one's.
    Field(String, String),
}

/// How often a kind of change was seen.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Of field changes: the old incident has no value.
    pub gained: u64,
    /// Of field changes: the new incident has no value.
    pub lost: u64,
    /// The first pair of values that differed: before, after.
    pub sample: Option<(String, String)>,
}

/// One event that would end differently.
#[derive(Debug, Clone)]
pub struct Example {
    /// `file:line`.
    pub place: String,
    /// Number of the event in its message.
    pub element: u16,
    /// The type, old or new.
    pub type_name: String,
    /// What differs, in words.
    pub changes: Vec<String>,
}

/// Everything found so far.
#[derive(Debug, Default)]
pub struct Changes {
    /// Events of either side.
    pub events: u64,
    /// Events that differ in anything.
    pub changed: u64,
    /// Changed events per type (old type, else new; empty for none).
    pub types: BTreeMap<String, u64>,
    /// Kinds of changes.
    pub kinds: BTreeMap<Kind, Tally>,
    /// Changes of kinds for which there was no room.
    pub lost: u64,
    /// Examples.
    pub examples: Vec<Example>,
    per_kind: BTreeMap<Kind, usize>,
}

/// One pipeline.
pub struct Side {
    /// Shown the messages.
    pub trial: Trial,
    /// What became of them.
    pub counts: Counts,
}

/// What one side made of a batch.
pub struct Shown {
    ends: Vec<End>,
    output: Output,
}

impl Side {
    /// Shows a batch.
    pub fn show<'m>(&mut self, source: u16, messages: impl IntoIterator<Item = &'m [u8]>) -> Result<Shown, crate::error::Error> {
        let (ends, output) = self.trial.show(source, messages).map_err(|error| crate::error::Error::bug(error.to_string()))?;
        self.counts.add(&output.counts);
        Ok(Shown { ends, output })
    }
}

/// The target of an attachment and the links of an incident, by event.
struct Relations {
    attached: BTreeMap<EventAt, EventAt>,
    linked: BTreeMap<EventAt, Links>,
}

/// Offset and element: in a trial there is one partition.
type EventAt = (i64, u16);
type Links = BTreeSet<(String, EventAt)>;

fn at(origin: Origin) -> EventAt {
    (origin.offset, origin.element)
}

impl Relations {
    fn of(output: &Output, plan: &Plan) -> Relations {
        let attached = output.attaches.iter().map(|attach| (at(attach.event), at(attach.target))).collect();
        let by_id: BTreeMap<_, _> =
            if output.links.is_empty() { BTreeMap::new() } else { output.lines.iter().map(|line| (line.id.hex(), at(line.origin))).collect() };
        let mut linked: BTreeMap<EventAt, Links> = BTreeMap::new();
        for link in &output.links {
            if let Some(event) = by_id.get(&link.other.hex()) {
                let rule = plan.rules.get(link.rule as usize).map(|rule| rule.name.to_string()).unwrap_or_default();
                linked.entry(*event).or_default().insert((rule, at(link.target)));
            }
        }
        Relations { attached, linked }
    }
}

/// A pair of plans that are compared.
pub struct Pair<'a> {
    /// The old pipeline.
    pub old: &'a Plan,
    /// The new one.
    pub new: &'a Plan,
    /// Offset of the batch's first message, as both trials number them.
    pub first: i64,
}

impl Changes {
    /// Compares what both sides made of a batch. `place` names a message.
    pub fn add(&mut self, pair: &Pair<'_>, old: &Shown, new: &Shown, place: &dyn Fn(usize) -> String, limit: usize) {
        let (old_relations, new_relations) = (Relations::of(&old.output, pair.old), Relations::of(&new.output, pair.new));
        let mut olds = old.ends.iter().peekable();
        let mut news = new.ends.iter().peekable();
        let key = |end: &&End| (end.message, end.element);
        loop {
            let next = match (olds.peek().map(key), news.peek().map(key)) {
                (Some(a), Some(b)) => a.min(b),
                (Some(a), None) => a,
                (None, Some(b)) => b,
                (None, None) => return,
            };
            let a = olds.next_if(|end| key(end) == next);
            let b = news.next_if(|end| key(end) == next);
            let origin = (pair.first.saturating_add(next.0 as i64), next.1);
            self.event(pair, (a, b), origin, (&old_relations, &new_relations), &|| place(next.0), limit);
        }
    }

    fn event(
        &mut self,
        pair: &Pair<'_>,
        (a, b): (Option<&End>, Option<&End>),
        origin: EventAt,
        (old, new): (&Relations, &Relations),
        place: &dyn Fn() -> String,
        limit: usize,
    ) {
        self.events += 1;
        let mut kinds: Vec<(Kind, Option<FieldChange>)> = Vec::new();
        let type_of = |end: Option<&End>| end.and_then(|end| end.type_name.as_deref()).unwrap_or_default().to_owned();
        let (old_type, new_type) = (type_of(a), type_of(b));
        let shown_type = if old_type.is_empty() { new_type.clone() } else { old_type.clone() };
        let (old_end, mut new_end) = (end_name(a, pair.old), end_name(b, pair.new));
        if old_end == new_end && old.attached.get(&origin) != new.attached.get(&origin) {
            new_end.push_str(", to another incident");
        }
        if old_end != new_end {
            kinds.push((Kind::Ending(old_end, new_end, shown_type.clone()), None));
        }
        if old_type != new_type && !old_type.is_empty() && !new_type.is_empty() {
            kinds.push((Kind::Type(old_type, new_type.clone()), None));
        }
        if let (Some(Value::Object(before)), Some(Value::Object(after))) = (a.and_then(|end| end.incident.as_ref()), b.and_then(|end| end.incident.as_ref())) {
            for change in field_changes(before, after) {
                kinds.push((Kind::Field(new_type.clone(), change.field.clone()), Some(change)));
            }
            let (before, after) = (old.linked.get(&origin), new.linked.get(&origin));
            if before != after {
                kinds.push((Kind::Field(new_type, "linked".to_owned()), Some(links(before, after))));
            }
        }
        if kinds.is_empty() {
            return;
        }
        // Labels follow from the mapping: of interest last.
        kinds.sort_by_key(|(kind, _)| matches!(kind, Kind::Field(_, field) if field.starts_with("labels.")));
        self.changed += 1;
        *self.types.entry(shown_type.clone()).or_default() += 1;
        let mut fresh = false;
        for (kind, change) in &kinds {
            fresh |= self.count(kind, change.as_ref());
        }
        if fresh && self.examples.len() < limit.min(EXAMPLES_MAX) {
            let changes = kinds.iter().map(|(kind, change)| words(kind, change.as_ref())).collect();
            self.examples.push(Example { place: place(), element: origin.1, type_name: shown_type, changes });
        }
    }

    /// Counts a change; true while its kind lacks examples.
    fn count(&mut self, kind: &Kind, change: Option<&FieldChange>) -> bool {
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(kind) {
            self.lost += 1;
            return false;
        }
        let tally = self.kinds.entry(kind.clone()).or_default();
        tally.events += 1;
        if let Some(change) = change {
            tally.gained += u64::from(change.before.is_none());
            tally.lost += u64::from(change.after.is_none());
            if tally.sample.is_none() {
                tally.sample = Some((shown(&change.before), shown(&change.after)));
            }
        }
        let had = self.per_kind.entry(kind.clone()).or_default();
        *had += 1;
        *had <= EXAMPLES_PER_KIND_MAX
    }
}

/// How an event ended, and by what.
fn end_name(end: Option<&End>, plan: &Plan) -> EndName {
    let Some(end) = end else { return "no event".to_owned() };
    match (end.end, end.by(plan)) {
        (TraceEnd::Incident(_), Some(by)) => format!("incident closed by {by}"),
        (TraceEnd::Dead(reason), _) => format!("dead letter ({reason})"),
        (_, Some(by)) => format!("{} by {by}", end.outcome()),
        (_, None) => end.outcome().to_owned(),
    }
}

fn links(before: Option<&Links>, after: Option<&Links>) -> FieldChange {
    let words = |links: &Links| {
        let rules: BTreeSet<&str> = links.iter().map(|(rule, _)| rule.as_str()).collect();
        format!("{} by {}", count(links.len() as u64, "link", "links"), rules.into_iter().collect::<Vec<_>>().join(", "))
    };
    FieldChange { field: "linked".to_owned(), before: before.map(words), after: after.map(words) }
}

/// A value for people; nothing is a dash.
pub fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "–".to_owned())
}

fn words(kind: &Kind, change: Option<&FieldChange>) -> String {
    match (kind, change) {
        (Kind::Ending(before, after, _), _) => format!("{before} → {after}"),
        (Kind::Type(before, after), _) => format!("type: {before} → {after}"),
        (Kind::Field(_, field), Some(change)) => format!("{field}: {} → {}", shown(&change.before), shown(&change.after)),
        (Kind::Field(_, field), None) => field.clone(),
    }
}
