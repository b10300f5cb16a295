//! Samples through the pipeline, and into groups: one per source and type, one per source
//! and key of unclassified events.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::keys::{Key, Keys, would_be};
use super::profile::{PATHS_MAX, Profile};
use crate::cli::samples::place;
use crate::error::Error;
use crate::expr::reference::array_value;
use crate::expr::value::Type;
use crate::ingest::batch::{Partitions, RawBatch};
use crate::ingest::clock::{self, Decoded};
use crate::ingest::columns::Arena;
use crate::ingest::computed::Runner;
use crate::ingest::decode::{DecodeLimits, Decoder, Rows};
use crate::ingest::ledger::Counts;
use crate::ingest::output::TraceEnd;
use crate::ingest::plan::build::Arrival;
use crate::ingest::plan::{DefaultPlan, Plan};
use crate::ingest::scene::Scene;
use crate::ingest::trial::{End, Trial};

/// Groups with paths of their own (count); later ones share one.
pub const GROUPS_MAX: usize = 2_000;

/// What a group holds together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Events of a type (its code).
    Type(u16),
    /// Unclassified events of one key.
    Key(Key),
    /// Those of all keys for which there was no room.
    OtherKeys,
}

/// Events that belong together.
#[derive(Debug, Default)]
pub struct Group {
    /// Their paths.
    pub profile: Profile,
    /// Incidents made of them.
    pub incidents: u64,
    /// Incidents in which a field has a value.
    pub filled: BTreeMap<String, u64>,
}

/// Everything seen so far.
pub struct Survey {
    plan: Arc<Plan>,
    trial: Trial,
    decoders: Vec<(Decoder, Rows)>,
    partitions: Partitions,
    /// Groups by source number and subject.
    pub groups: HashMap<(u16, Subject), Group>,
    /// Keys of unclassified events, by source number.
    pub keys: BTreeMap<u16, Keys>,
    /// Where events ended.
    pub counts: Counts,
    room: usize,
}

impl Survey {
    /// A survey that has seen nothing.
    pub fn new(plan: Arc<Plan>) -> Survey {
        let decoders = plan.sources.iter().map(|source| (Decoder::new(source.shape.clone(), DecodeLimits::default()), Rows::new(&source.shape))).collect();
        let trial = Trial::new(plan.clone(), Some(Arrival::Occurred));
        let counts = Counts::new(&plan);
        Survey { plan, trial, decoders, partitions: Partitions::default(), groups: HashMap::new(), keys: BTreeMap::new(), counts, room: PATHS_MAX }
    }

    /// Adds a batch; gives its arena back.
    pub fn add(&mut self, batch: RawBatch, files: &[PathBuf]) -> Result<Option<Vec<u8>>, Error> {
        let number = batch.source;
        let payloads = batch.messages.iter().map(|message| batch.arena.get(message.range()).unwrap_or_default());
        let (ends, output) = self.trial.show(number, payloads).map_err(|error| Error::bug(error.to_string()))?;
        self.counts.add(&output.counts);
        drop(output);

        // Once more, for the text of each event and the value of the key.
        let plan = self.plan.clone();
        let (Some(source), Some((decoder, rows))) = (plan.sources.get(number as usize), self.decoders.get_mut(number as usize)) else { return Ok(None) };
        let RawBatch { mut arena, messages, headers, .. } = batch;
        rows.clear();
        for (message, at) in messages.iter().enumerate() {
            // What is no event has been counted by the trial.
            let _ = decoder.decode(&arena, at.range(), message as u32, rows);
        }
        let batch = Decoded { arena: &mut arena, messages: &messages, headers: &headers, partitions: &self.partitions, rows };
        clock::fill(&mut Runner::default(), source, Some(&Arrival::Occurred), batch);
        let arena = Arena::new(arena);
        let rows = std::mem::take(rows);
        let ends = ends_of(&rows, &ends);
        let by_default =
            |end: &End| matches!((plan.default, &end.type_name), (DefaultPlan::Type(code), Some(name)) if plan.types.get(code as usize) == Some(name));
        let unclassified = |end: &End| matches!(end.end, TraceEnd::Unclassified | TraceEnd::Dead("unclassified"));
        let asked: Vec<u32> =
            ends.iter().enumerate().filter(|(_, end)| end.is_some_and(|end| unclassified(end) || by_default(end))).map(|(row, _)| row as u32).collect();
        let mut keys: HashMap<u32, Option<String>> = HashMap::new();
        {
            let mut scene = Scene::new(source, &arena, &messages, &headers, &self.partitions, &rows);
            // Of the default type: those that neither a rule nor the table put there.
            let mut open = vec![true; asked.len()];
            if matches!(plan.default, DefaultPlan::Type(_)) {
                let held = source.classify.prepare(&mut scene, &asked, &mut Vec::new());
                for rule in 0..source.classify.len() {
                    let hits = source.classify.hits(rule, &held, &scene, &asked, &|place| open.get(place as usize) == Some(&true), &mut Vec::new());
                    for place in hits {
                        if let Some(open) = open.get_mut(place as usize) {
                            *open = false;
                        }
                    }
                }
            }
            let columns = scene.evaluate(&source.key, &asked, &mut Vec::new());
            for (at, row) in asked.iter().enumerate().filter(|(at, _)| open.get(*at) == Some(&true)) {
                let value = columns.first().map(|column| array_value(column, at, Type::Text));
                let value = value.as_ref().and_then(|value| value.as_text());
                if !value.is_some_and(|value| source.table.contains_key(value)) {
                    keys.insert(*row, value.map(str::to_owned));
                }
            }
        }
        for (row, end) in ends.iter().enumerate() {
            let Some(end) = end else { continue };
            let event = rows.events.get(row).copied().unwrap_or_default().raw(arena.bytes());
            let key = keys.remove(&(row as u32)).map(|own| match own {
                // What ends in a blank was put together from nothing: `concat_ws(' ', 'github', action)`.
                Some(value) if !value.is_empty() && !value.ends_with(char::is_whitespace) => Key::Own(value.chars().take(super::keys::KEY_CHARS_MAX).collect()),
                _ => would_be(event),
            });
            if let Some(key) = &key {
                let message = rows.messages.get(row).and_then(|message| messages.get(*message as usize));
                self.keys.entry(number).or_default().add(key, event, || message.map_or_else(String::new, |message| place(files, message)));
            }
            let code = end.type_name.as_ref().and_then(|name| plan.types.iter().position(|known| known == name));
            let subject = match (code, key) {
                (Some(code), _) => Subject::Type(code as u16),
                (None, Some(key)) => Subject::Key(key),
                // Filtered: what a filter drops needs no fields.
                (None, None) => continue,
            };
            self.group(number, subject).add(event, end);
        }
        if let Some((_, kept)) = self.decoders.get_mut(number as usize) {
            *kept = rows;
        }
        Ok(arena.recycle())
    }

    fn group(&mut self, source: u16, subject: Subject) -> Adding<'_> {
        let full = self.groups.len() >= GROUPS_MAX && matches!(subject, Subject::Key(_)) && !self.groups.contains_key(&(source, subject.clone()));
        let subject = if full { Subject::OtherKeys } else { subject };
        Adding { group: self.groups.entry((source, subject)).or_default(), room: &mut self.room }
    }
}

struct Adding<'a> {
    group: &'a mut Group,
    room: &'a mut usize,
}

impl Adding<'_> {
    fn add(self, event: &[u8], end: &End) {
        self.group.profile.add(event, self.room);
        let Some(incident) = end.incident.as_ref().and_then(|incident| incident.as_object()) else { return };
        self.group.incidents += 1;
        for (name, value) in incident {
            if !value.is_null() {
                match self.group.filled.get_mut(name) {
                    Some(count) => *count += 1,
                    None => {
                        self.group.filled.insert(name.clone(), 1);
                    }
                }
            }
        }
    }
}

/// The end of each decoded row.
fn ends_of<'e>(rows: &Rows, ends: &'e [End]) -> Vec<Option<&'e End>> {
    let mut ends = ends.iter().peekable();
    (0..rows.len())
        .map(|row| {
            let at = (*rows.messages.get(row)? as usize, *rows.elements.get(row)?);
            while ends.next_if(|end| (end.message, end.element) < at).is_some() {}
            ends.next_if(|end| (end.message, end.element) == at)
        })
        .collect()
}
