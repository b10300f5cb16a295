//! Outputs as facts: what goes to the `incidents` topic, and what `replay --facts` writes.

use std::collections::HashMap;

use super::batch::Partitions;
use super::folder::samples_of;
use super::output::{AttachOut, Output};
use super::plan::Plan;
use crate::incident::facts::{push_attached_fact, push_created_head, push_linked_fact};
use crate::incident::id::IncidentId;
use crate::incident::state::Attachment;
use crate::incident::time_text::TimeText;

/// Appends every fact of an output: `out` gets the JSON, `each` the incident that it is
/// about and where it ends. Attachments of one target and rule are one fact.
pub fn push_facts(output: &Output, plan: &Plan, partitions: &Partitions, times: &mut TimeText, out: &mut Vec<u8>, each: &mut dyn FnMut(IncidentId, usize)) {
    let mut at = 0;
    for line in &output.lines {
        let end = at + line.len as usize;
        push_created_head(out, line.id);
        out.extend_from_slice(output.incidents.get(at..end).unwrap_or_default());
        out.push(b'}');
        each(line.id, out.len());
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
        push_attached_fact(out, target, &fact, times);
        each(target, out.len());
    }
    for link in &output.links {
        push_linked_fact(out, link.target_id, &name(link.rule), link.other);
        each(link.target_id, out.len());
    }
}
