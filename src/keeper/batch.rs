//! Facts folded since the last commit: one state per incident, the newest, whatever the number
//! of facts that led to it.

use std::collections::BTreeMap;
use std::time::Instant;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{CUT_AGE, CUT_BYTES, CUT_FACTS};
use crate::incident::fact::{self, NoFact};
use crate::incident::fold::{Effect, fold};
use crate::incident::id::{FactId, IncidentId};
use crate::incident::record::{Incident, Outcome};
use crate::run::states::store::{Store, StoreError};

/// A record of `incidents`.
pub struct FactRecord<'a> {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub timestamp_ms: Option<i64>,
}

/// An incident that a fact of the batch is about.
struct Held {
    partition: i32,
    /// `None`: there is no such incident.
    incident: Option<Incident>,
    /// The last fact that wrote it, and how; `None`: it is as it was.
    by: Option<(FactId, Outcome)>,
}

/// What has to be written for one incident.
pub struct Write<'a> {
    pub partition: i32,
    pub id: IncidentId,
    pub incident: &'a Incident,
    pub fact: FactId,
    pub outcome: Outcome,
}

/// An open batch.
pub struct Batch {
    record_bytes_max: usize,
    held: HashMap<IncidentId, Held>,
    /// Per partition: behind the last fact.
    next: BTreeMap<i32, i64>,
    since: Option<Instant>,
    facts: u64,
    bytes: usize,
    /// By kind and outcome.
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    /// Times of records, milliseconds: for the latency.
    pub times: Vec<i64>,
}

impl Batch {
    pub fn new(record_bytes_max: usize) -> Batch {
        let (held, next, counts) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Batch { record_bytes_max, held, next, since: None, facts: 0, bytes: 0, counts, times: Vec::new() }
    }

    /// True when nothing has to be committed.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// True when it is time to commit.
    pub fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= CUT_AGE) || self.facts >= CUT_FACTS || self.bytes >= CUT_BYTES
    }

    /// When it will be time; `None`: there is nothing.
    pub fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + CUT_AGE)
    }

    /// Behind the last fact of this partition; `None`: there is none of it.
    pub fn next(&self, partition: i32) -> Option<i64> {
        self.next.get(&partition).copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Batch::new(self.record_bytes_max);
    }

    /// Folds the fact of a record.
    pub fn add(&mut self, record: &FactRecord<'_>, store: &mut Store) -> Result<(), StoreError> {
        self.since.get_or_insert_with(Instant::now);
        self.facts += 1;
        self.bytes += record.value.len();
        let (kind, outcome) = match fact::read(record.key, record.value, record.timestamp_ms) {
            Ok(fact) => (fact.what.kind(), self.fold(&fact, record.partition, store)?.name()),
            Err(error) => {
                let outcome = match error {
                    NoFact::Malformed(_) => "malformed",
                    NoFact::UnknownKind => "unknown_kind",
                    NoFact::Misrouted => "misrouted",
                };
                // One a batch is enough: whoever writes such records writes many.
                if !self.counts.contains_key(&("none", outcome)) {
                    tracing::warn!(partition = record.partition, offset = record.offset, %error, "a record of the incidents topic is no fact: left out");
                }
                ("none", outcome)
            }
        };
        *self.counts.entry((kind, outcome)).or_insert(0) += 1;
        self.times.extend(record.timestamp_ms);
        self.next.insert(record.partition, record.offset + 1);
        Ok(())
    }

    fn fold(&mut self, fact: &fact::Fact, partition: i32, store: &mut Store) -> Result<Effect, StoreError> {
        let held = match self.held.entry(fact.about) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => {
                let stored = store.get(partition, fact.about.0)?;
                self.bytes += stored.as_ref().map_or(0, |stored| stored.value().len());
                let read = |value: &[u8], facts: &[u8]| Incident::read(simdutf8::basic::from_utf8(value).ok()?, facts);
                let incident = stored.and_then(|stored| read(stored.value(), stored.head()));
                free.insert(Held { partition, incident, by: None })
            }
        };
        let (incident, effect) = fold(held.incident.take(), fact, self.record_bytes_max);
        held.incident = incident;
        let outcome = match effect {
            Effect::Created | Effect::Applied => Some(Outcome::Applied),
            Effect::Unchanged => Some(Outcome::Unchanged),
            Effect::Rejected(_) => Some(Outcome::Rejected),
            Effect::Repeated | Effect::Unknown | Effect::Passed | Effect::TooLarge => None,
        };
        if let Some(outcome) = outcome {
            held.by = Some((fact.id, outcome));
        }
        Ok(effect)
    }

    /// The partition was read up to here without a fact: markers of transactions.
    pub fn passed(&mut self, partition: i32, next: i64) {
        if let Some(known) = self.next.get_mut(&partition) {
            *known = next.max(*known);
        }
    }

    /// Commits this position of a partition too, where the batch has no fact of it.
    pub fn position(&mut self, partition: i32, next: i64) {
        self.next.entry(partition).or_insert(next);
    }

    /// Positions: partition and next offset.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.next.iter().map(|(partition, next)| (*partition, *next))
    }

    /// The incidents that changed.
    pub fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.held.iter().filter_map(|(id, held)| {
            let (fact, outcome) = held.by?;
            Some(Write { partition: held.partition, id: *id, incident: held.incident.as_ref()?, fact, outcome })
        })
    }

    /// How many facts of an outcome there are.
    pub fn outcome(&self, name: &str) -> u64 {
        self.counts.iter().filter(|((_, outcome), _)| *outcome == name).map(|(_, count)| count).sum()
    }
}
