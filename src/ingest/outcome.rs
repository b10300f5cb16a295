//! What becomes of each event once it is decided: an incident, a part of another one, a count, a
//! dead letter. Nothing here waits for other batches.

use hashbrown::HashMap;

use super::dead_letter::{Letter, Sender, push_letter};
use super::decide::{Decided, Origin, Verdict};
use super::emit::Emitter;
use super::facts_out;
use super::map::{Death, Mapped};
use super::output::{AttachOut, Created, LinkOut, Output, STATE_BYTES_RESERVED, TraceEnd};
use super::scene::Scene;
use super::worker::Shared;
use crate::incident::facts::push_created_head;
use crate::incident::id::{IdPrefix, IncidentId};
use crate::incident::state::{Closed, State, push_state};
use crate::incident::time_text::TimeText;

/// Tenants whose id prefixes a worker keeps (count); beyond that they are made anew.
const TENANTS_MAX: usize = 10_000;

/// Writes outcomes; one per worker, its memory is reused from batch to batch.
#[derive(Default)]
pub(super) struct Outcomes {
    /// Id prefixes by tenant, then by partition number.
    ids: HashMap<Box<str>, Vec<Option<IdPrefix>>>,
    times: TimeText,
    /// Bytes of incidents that the last batch of some size made: the next one will need about as many.
    incident_bytes: usize,
}

/// The rows that were decided: what stands under one index is about one row.
pub(super) struct DecidedRows<'a> {
    /// Their places among the mapped rows.
    pub(super) places: &'a [u32],
    /// Their coordinates.
    pub(super) origins: &'a [Origin],
    /// When the events occurred, in microseconds.
    pub(super) occurred: &'a [i64],
    /// When they arrived, in microseconds.
    pub(super) created: &'a [i64],
}

impl Outcomes {
    /// Letters about mapped rows that could not be decided.
    pub(super) fn dead(&mut self, shared: &Shared, scene: &Scene<'_>, mapped: &Mapped, output: &mut Output) {
        for (place, death) in &mapped.dead {
            let row = mapped.rows[*place as usize];
            let code = mapped.types[*place as usize] as usize;
            let (reason, detail) = match death {
                Death::Evaluation => ("evaluation", "an expression of map or of a rule failed".to_owned()),
                Death::Required(number) => {
                    let name = scene.plan.layouts[code].all().nth(*number as usize).map_or("", |field| &field.name);
                    ("required_field", format!("the required field `{name}` has no value"))
                }
            };
            output.note(scene, row, Some(code as u16), TraceEnd::Dead(reason), None);
            self.letter(shared, scene, row, reason, &detail, output);
        }
    }

    /// Counts and writes what was decided.
    pub(super) fn decided(&mut self, shared: &Shared, scene: &Scene<'_>, mapped: &Mapped, rows: DecidedRows<'_>, decided: &Decided, output: &mut Output) {
        let plan = &*shared.plan;
        let DecidedRows { places, origins, occurred, created } = rows;
        output.counts.late += decided.late;
        for (sum, count) in output.counts.rule_shadow.iter_mut().zip(&decided.shadow) {
            *sum += count;
        }
        let mut emitter = Emitter::new(plan, scene, mapped);
        let mut links = decided.links.iter().peekable();
        output.lines.reserve(places.len());
        output.incidents = shared.spare.take();
        let behind = if shared.facts { facts_out::behind(decided.attaches.len()) } else { 0 };
        output.incidents.reserve(self.incident_bytes + self.incident_bytes / 8 + behind);
        for (number, verdict) in decided.verdicts.iter().enumerate() {
            let (place, at) = (places[number] as usize, origins[number]);
            let (row, code) = (mapped.rows[place], Some(mapped.types[place]));
            match verdict {
                Verdict::Drop { rule } => {
                    output.counts.dropped[*rule as usize] += 1;
                    output.note(scene, row, code, TraceEnd::Dropped(*rule), None);
                }
                Verdict::Attach { rule } => {
                    output.counts.attached[*rule as usize] += 1;
                    output.note(scene, row, code, TraceEnd::Attached(*rule), None);
                }
                Verdict::Create { close, linked } => {
                    let tenant = emitter.tenant(place);
                    let id = id_of(&mut self.ids, shared, tenant, at);
                    let mut state = None;
                    if close.is_some() || *linked {
                        let mut own = State::default();
                        if let Some(rule) = close {
                            output.counts.closed[*rule as usize] += 1;
                            own.closed = plan.rules.get(*rule as usize).map(|rule| Box::new(Closed::by_rule(rule.name.clone(), created[number])));
                        }
                        while let Some(link) = links.next_if(|link| link.row as usize <= number) {
                            output.counts.linked[link.rule as usize] += 1;
                            let target = id_of(&mut self.ids, shared, tenant, link.target);
                            own.linked.push((plan.rules[link.rule as usize].name.clone(), target));
                            output.links.push(LinkOut { target: link.target, target_id: target, rule: link.rule, other: id });
                        }
                        state = Some(own);
                    }
                    let (start, hex) = (output.incidents.len(), id.hex());
                    if shared.facts {
                        push_created_head(&mut output.incidents, &hex);
                    }
                    let own = output.incidents.len();
                    emitter.push_body(&mut output.incidents, place, &hex, occurred[number], created[number], true);
                    let too_large = |len: usize| shared.record_bytes_max.is_some_and(|max| len + STATE_BYTES_RESERVED > max);
                    if too_large(output.incidents.len() - own) {
                        output.incidents.truncate(own);
                        emitter.push_body(&mut output.incidents, place, &hex, occurred[number], created[number], false);
                        output.incidents.extend_from_slice(b",\"raw_truncated\":true");
                        // The rules remember it already, so repeats will attach to it: it must exist.
                        if too_large(output.incidents.len() - own) && !cut_to_fit(&mut output.incidents, own, shared) {
                            output.incidents.truncate(start);
                            let detail = "the incident is larger than the output topic takes, even without the event and with short texts";
                            output.note(scene, row, code, TraceEnd::Dead("incident_too_large"), None);
                            self.letter(shared, scene, row, "incident_too_large", detail, output);
                            continue;
                        }
                    }
                    output.counts.incidents[mapped.types[place] as usize] += 1;
                    let body_end = output.incidents.len();
                    match &state {
                        None => output.incidents.extend_from_slice(b",\"status\":\"open\",\"version\":1}"),
                        Some(state) => push_state(&mut output.incidents, state, &mut self.times),
                    }
                    if shared.facts {
                        output.incidents.push(b'}');
                    }
                    let end = output.incidents.len();
                    output.note(scene, row, code, TraceEnd::Incident(*close), Some(output.lines.len() as u32));
                    output.lines.push(Created {
                        body: (body_end - start) as u32,
                        len: (end - start) as u32,
                        origin: at,
                        id,
                        state: state.map(Box::new),
                        created: created[number],
                    });
                }
            }
        }
        self.incident_bytes = output.incidents.len();
        for attach in &decided.attaches {
            let number = attach.row as usize;
            let tenant = emitter.tenant(places[number] as usize);
            output.attaches.push(AttachOut {
                target: attach.target,
                target_id: id_of(&mut self.ids, shared, tenant, attach.target),
                rule: attach.rule,
                event: origins[number],
                occurred: occurred[number],
            });
        }
        if let Some(trace) = &mut output.trace {
            trace.sort_by_key(|t| (t.message, t.element));
        }
    }

    /// A letter about one row: it is counted, too.
    pub(super) fn letter(&mut self, shared: &Shared, scene: &Scene<'_>, row: u32, reason: &'static str, detail: &str, output: &mut Output) {
        output.counts.dead_letter(reason);
        let Some(message) = scene.message(row) else { return };
        let raw = scene.rows.events.get(row as usize).copied().unwrap_or_default();
        let element = scene.rows.elements.get(row as usize).copied();
        let arena = scene.arena.bytes();
        let letter = Letter { reason, detail, message, element, raw: raw.raw(arena), arena, headers: scene.headers };
        let number = scene.rows.messages.get(row as usize).copied().unwrap_or_default();
        self.write_letter(shared, &scene.plan.name, number, &letter, output);
    }

    /// Writes a letter about the message of this number, or about an event in it.
    pub(super) fn write_letter(&mut self, shared: &Shared, source: &str, number: u32, letter: &Letter<'_>, output: &mut Output) {
        let sender = Sender { pipeline: &shared.plan.name, source, cluster: &shared.cluster, partitions: &shared.partitions };
        push_letter(&mut output.dead, letter, &sender, &mut self.times);
        output.end_letter(number, letter.message, letter.element);
    }
}

/// Cuts the incident at the end of a buffer to what the topic takes; false where that cannot be done.
fn cut_to_fit(incidents: &mut Vec<u8>, start: usize, shared: &Shared) -> bool {
    let max = shared.record_bytes_max.unwrap_or(usize::MAX).saturating_sub(STATE_BYTES_RESERVED);
    let body = incidents.get(start..).and_then(|body| std::str::from_utf8(body).ok());
    let Some(short) = body.and_then(|body| crate::incident::shorten::incident(body, max)) else { return false };
    incidents.truncate(start);
    incidents.extend_from_slice(short.as_bytes());
    true
}

fn id_of(ids: &mut HashMap<Box<str>, Vec<Option<IdPrefix>>>, shared: &Shared, tenant: &str, origin: Origin) -> IncidentId {
    if ids.len() > TENANTS_MAX {
        ids.clear();
    }
    let prefixes = ids.entry_ref(tenant).or_default();
    let number = origin.partition as usize;
    if prefixes.len() <= number {
        prefixes.resize(number + 1, None);
    }
    let make = || {
        let (_, partition) = shared.partitions.name(origin.partition);
        IdPrefix::new(tenant, &shared.plan.name, &shared.cluster, shared.partitions.identity(origin.partition), partition)
    };
    prefixes[number].get_or_insert_with(make).id(origin.offset, origin.element)
}
