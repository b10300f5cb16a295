//! Outputs as facts: what goes to the `incidents` topic, and what `replay --facts` writes.

use std::ops::Range;

use hashbrown::HashMap;

use super::batch::Partitions;
use super::output::{AttachOut, Output};
use super::plan::Plan;
use super::touches::samples_of;
use crate::incident::facts::{about_at, push_attached_fact, push_linked_fact};
use crate::incident::id::IncidentId;
use crate::incident::state::Attachment;
use crate::incident::time_text::TimeText;

/// An `attached` fact of one event, roughly, in bytes.
const ATTACHED_BYTES: usize = 320;
/// Least room behind created incidents: for what an index remembers of the batch, and a few facts.
const BEHIND_BYTES: usize = 64 << 10;

/// A fact among others: places in the text that holds them one after the other.
#[derive(Debug, Clone)]
pub struct FactAt {
    /// The incident's id: the key of the fact's record.
    pub key: Range<usize>,
    /// The fact.
    pub fact: Range<usize>,
}

/// The room, in bytes, that comes behind the created incidents of a batch with so many attached events.
pub fn behind(attached: usize) -> usize {
    attached * ATTACHED_BYTES + BEHIND_BYTES
}

/// Takes the facts out of an output: its created incidents, which workers wrote as facts
/// ([`Shared::facts`](super::worker::Shared::facts)), in the order of its lines, and behind them
/// attachments and links. `each` is told where they are. Attachments of one target and rule are one fact.
pub fn take_facts(output: &mut Output, plan: &Plan, partitions: &Partitions, times: &mut TimeText, each: &mut dyn FnMut(FactAt)) -> Vec<u8> {
    let mut out = std::mem::take(&mut output.incidents);
    let mut tell = |kind: &str, fact: Range<usize>| each(FactAt { key: about_at(kind, fact.start), fact });
    let mut at = 0;
    for line in &output.lines {
        let end = at + line.len as usize;
        tell("created", at..end);
        at = end;
    }
    let name = |rule: u16| plan.rules.get(rule as usize).map_or_else(|| "".into(), |rule| rule.name.clone());
    let mut groups: Vec<(IncidentId, u16, Vec<&AttachOut>)> = Vec::new();
    let mut known: HashMap<(IncidentId, u16), usize> = HashMap::new();
    for attach in &output.attaches {
        let number = *known.entry((attach.target_id, attach.rule)).or_insert_with(|| {
            groups.push((attach.target_id, attach.rule, Vec::new()));
            groups.len() - 1
        });
        groups[number].2.push(attach);
    }
    for (target, rule, attaches) in groups {
        let times_of = attaches.iter().map(|a| a.occurred);
        let fact = Attachment {
            rule: name(rule),
            count: attaches.len() as u64,
            first: times_of.clone().min().unwrap_or_default(),
            last: times_of.max().unwrap_or_default(),
            samples: samples_of(attaches.iter().copied(), partitions),
        };
        let start = out.len();
        push_attached_fact(&mut out, target, &fact, times);
        tell("attached", start..out.len());
    }
    for link in &output.links {
        let start = out.len();
        push_linked_fact(&mut out, link.target_id, &name(link.rule), link.other);
        tell("linked", start..out.len());
    }
    out
}
