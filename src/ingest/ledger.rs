//! The ledger: every event ends as exactly one outcome, and the counts add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::plan::Plan;

/// Counts of a batch, or of everything so far. Indices are those of the [`Plan`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages or lines read.
    pub messages: u64,
    /// Events found in them; a message that is no event counts as one.
    pub events: u64,
    /// Messages that held no event at all (an empty `explode` array).
    pub empty_messages: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Incidents per type.
    pub incidents: Vec<u64>,
    /// Events per filter that it dropped.
    pub filtered: Vec<u64>,
    /// Events per shadow filter that it would have dropped.
    pub filter_shadow: Vec<u64>,
    /// Events that nothing classified, under `default: drop`.
    pub unclassified: u64,
    /// Events per rule that it dropped.
    pub dropped: Vec<u64>,
    /// Events per rule that it attached to an incident.
    pub attached: Vec<u64>,
    /// Incidents per rule that it created closed.
    pub closed: Vec<u64>,
    /// Links per rule.
    pub linked: Vec<u64>,
    /// Events per shadow rule to which it would have applied.
    pub rule_shadow: Vec<u64>,
    /// Dead letters per reason.
    pub dead: BTreeMap<&'static str, u64>,
    /// Rows that a rule could not compare because they are beyond its horizon.
    pub late: u64,
    /// Values per field that could not be read.
    pub field_errors: BTreeMap<Arc<str>, u64>,
    /// Events whose time was unknown.
    pub no_time: u64,
}

impl Counts {
    /// Zeros, as wide as the plan.
    pub fn new(plan: &Plan) -> Counts {
        let (filters, rules) = (plan.filters.len(), plan.rules.len());
        Counts {
            incidents: vec![0; plan.types.len()],
            filtered: vec![0; filters],
            filter_shadow: vec![0; filters],
            dropped: vec![0; rules],
            attached: vec![0; rules],
            closed: vec![0; rules],
            linked: vec![0; rules],
            rule_shadow: vec![0; rules],
            ..Counts::default()
        }
    }

    /// One more value that could not be read.
    pub fn field_error(&mut self, field: &Arc<str>) {
        match self.field_errors.get_mut(field) {
            Some(count) => *count += 1,
            None => {
                self.field_errors.insert(field.clone(), 1);
            }
        }
    }

    /// One more dead letter.
    pub fn dead_letter(&mut self, reason: &'static str) {
        *self.dead.entry(reason).or_insert(0) += 1;
    }

    /// Adds the counts of a batch.
    pub fn add(&mut self, other: &Counts) {
        self.messages += other.messages;
        self.events += other.events;
        self.empty_messages += other.empty_messages;
        self.bytes += other.bytes;
        self.unclassified += other.unclassified;
        self.late += other.late;
        self.no_time += other.no_time;
        let lists = [
            (&mut self.incidents, &other.incidents),
            (&mut self.filtered, &other.filtered),
            (&mut self.filter_shadow, &other.filter_shadow),
            (&mut self.dropped, &other.dropped),
            (&mut self.attached, &other.attached),
            (&mut self.closed, &other.closed),
            (&mut self.linked, &other.linked),
            (&mut self.rule_shadow, &other.rule_shadow),
        ];
        for (sum, part) in lists {
            sum.resize(sum.len().max(part.len()), 0);
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        for (reason, count) in &other.dead {
            *self.dead.entry(reason).or_insert(0) += count;
        }
        for (field, count) in &other.field_errors {
            *self.field_errors.entry(field.clone()).or_insert(0) += count;
        }
    }

    /// All incidents.
    pub fn incidents_total(&self) -> u64 {
        self.incidents.iter().sum()
    }

    /// All filtered events.
    pub fn filtered_total(&self) -> u64 {
        self.filtered.iter().sum()
    }

    /// All dropped events.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// All attached events.
    pub fn attached_total(&self) -> u64 {
        self.attached.iter().sum()
    }

    /// All dead letters.
    pub fn dead_total(&self) -> u64 {
        self.dead.values().sum()
    }

    /// The sum of all ends that an event can have.
    pub fn ended(&self) -> u64 {
        self.incidents_total() + self.filtered_total() + self.unclassified + self.dropped_total() + self.attached_total() + self.dead_total()
    }

    /// True when every event has ended exactly once.
    pub fn adds_up(&self) -> bool {
        self.ended() == self.events
    }

    /// The counts with their names, as JSON.
    pub fn to_json(&self, plan: &Plan) -> Value {
        let named = |counts: &[u64], names: &[Arc<str>]| -> Value {
            names
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|(name, count)| (name.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let filters: Vec<Arc<str>> = plan.filters.iter().map(|f| f.name.clone()).collect();
        let rules: Vec<Arc<str>> = plan.rules.iter().map(|r| r.name.clone()).collect();
        json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "events": self.events,
            "empty_messages": self.empty_messages,
            "incidents": { "total": self.incidents_total(), "by_type": named(&self.incidents, &plan.types) },
            "filtered": { "total": self.filtered_total(), "by_filter": named(&self.filtered, &filters), "shadow": named(&self.filter_shadow, &filters) },
            "unclassified": self.unclassified,
            "dropped": { "total": self.dropped_total(), "by_rule": named(&self.dropped, &rules) },
            "attached": { "total": self.attached_total(), "by_rule": named(&self.attached, &rules) },
            "closed": { "by_rule": named(&self.closed, &rules) },
            "linked": { "by_rule": named(&self.linked, &rules) },
            "rule_shadow": named(&self.rule_shadow, &rules),
            "dead_letters": { "total": self.dead_total(), "by_reason": self.dead },
            "late": self.late,
            "no_time": self.no_time,
            "field_errors": self.field_errors.iter().map(|(k, v)| (k.to_string(), json!(v))).collect::<serde_json::Map<_, _>>(),
            "adds_up": self.adds_up(),
        })
    }
}
