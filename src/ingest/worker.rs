//! One batch through all stages, on one thread: decode, filter, classify, map, then
//! the turn to decide, then emit.
//!
//! Everything but deciding runs in parallel with other batches. Deciding happens in the
//! order in which batches were cut: see [`Turnstile`](super::turnstile::Turnstile).

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use hashbrown::HashMap;

use super::batch::{Header, Message, Partitions, RawBatch};
use super::classify::classify;
use super::clock::{self, Decoded};
use super::columns::Arena;
use super::computed::Runner;
use super::dead_letter::{Letter, Sender, push_letter};
use super::decide::{DecideSpec, Decided, Fingerprinter, Notes, Origin, Verdict};
use super::decode::{DecodeLimits, Decoder, Rows, Shape, ShapeOptions};
use super::emit::Emitter;
use super::facts_out;
use super::filter::filter;
use super::ledger::Counts;
use super::map::{Death, Mapped, map};
use super::origin;
use super::output::{AttachOut, Created, LinkOut, Output, TraceEnd, Traced};
use super::plan::build::Arrival;
use super::plan::{DefaultPlan, From, Plan};
use super::rule_input::{WhereValues, field_columns, rule_inputs};
use super::scene::{NO_TIME, Scene};
use super::turnstile::{Turn, Turnstile};
use crate::config::model::Labels;
use crate::incident::facts::push_created_head;
use crate::incident::id::IdPrefix;
use crate::incident::state::{Closed, State, push_state};
use crate::incident::time_text::TimeText;

/// Tenants whose id prefixes a worker keeps (count); beyond that they are made anew.
const TENANTS_MAX: usize = 10_000;

/// What all workers of a run share.
#[derive(Debug)]
pub struct Shared {
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// Names of partitions.
    pub partitions: Arc<Partitions>,
    /// Kafka's cluster id; a fixed word where there is none.
    pub cluster: String,
    /// Where the time of arrival comes from if not from Kafka.
    pub arrival: Option<Arrival>,
    /// Secret of the fingerprints.
    pub fingerprint_key: [u8; 16],
    /// Limits of the decoder.
    pub decode: DecodeLimits,
    /// Largest incident in bytes; `None`: any size (files).
    pub record_bytes_max: Option<usize>,
    /// For runs whose indexes outlive the process: what they are made of here. They note what they
    /// remember, so that it can be undone, written and restored. `None`: as the plan says, and nothing is noted.
    pub decide: Option<DecideSpec>,
    /// Keep each event's outcome, for `explain`, `test` and `diff`.
    pub trace: bool,
    /// Incidents are written as `created` facts (see `incident::facts`), as the topic of facts has them.
    pub facts: bool,
    /// Buffers for incidents that sinks gave back.
    pub spare: Spare,
}

impl Shared {
    /// What letters of a source have in common.
    fn sender<'a>(&'a self, source: &'a str) -> Sender<'a> {
        Sender { pipeline: &self.plan.name, source, cluster: &self.cluster, partitions: &self.partitions }
    }
}

/// Buffers that go round between workers and sinks: memory that was touched once is
/// cheaper than fresh memory, whose pages the kernel clears.
#[derive(Debug, Clone)]
pub struct Spare(crossbeam_channel::Sender<Vec<u8>>, crossbeam_channel::Receiver<Vec<u8>>);

impl Default for Spare {
    fn default() -> Spare {
        let (give, take) = crossbeam_channel::bounded(SPARE_MAX);
        Spare(give, take)
    }
}

impl Spare {
    /// Gives a buffer back; dropped where there are enough.
    pub fn give(&self, buffer: Vec<u8>) {
        if (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            let _ = self.0.try_send(buffer);
        }
    }

    /// An empty buffer, with room if somebody gave one back.
    pub fn take(&self) -> Vec<u8> {
        let mut buffer = self.1.try_recv().unwrap_or_default();
        buffer.clear();
        buffer
    }
}

/// Buffers kept for reuse (count): as many as batches can be under way with a few workers, or in a
/// transaction behind a lag.
const SPARE_MAX: usize = 16;
/// Larger buffers are given back to the system, in bytes: one message of an attacker made them so.
const SPARE_BYTES_MAX: usize = 16 << 20;

/// A worker's own memory, reused from batch to batch.
pub struct Worker {
    shared: Arc<Shared>,
    decoders: Vec<Decoder>,
    /// Decoders of single events, for dead letters that are fed again; made at first use.
    singles: Vec<Option<Decoder>>,
    rows: Vec<Option<Rows>>,
    /// Computes the columns of packs.
    runner: Runner,
    printer: Fingerprinter,
    decided: Decided,
    /// Id prefixes by tenant, then by partition number.
    ids: HashMap<Box<str>, Vec<Option<IdPrefix>>>,
    times: TimeText,
    /// Bytes of incidents that the last batch of some size made: the next one will need about as many.
    incident_bytes: usize,
}

/// The turn was not given: another worker failed, the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run was ended by the failure of another worker")]
pub struct Ended;

impl Worker {
    /// A worker for a run.
    pub fn new(shared: Arc<Shared>) -> Worker {
        let decoders = shared.plan.sources.iter().map(|source| Decoder::new(source.shape.clone(), shared.decode)).collect();
        let rows = shared.plan.sources.iter().map(|source| Some(Rows::new(&source.shape))).collect();
        let singles = shared.plan.sources.iter().map(|_| None).collect();
        let printer = Fingerprinter::new(shared.fingerprint_key);
        Worker {
            shared,
            decoders,
            singles,
            rows,
            runner: Runner::default(),
            printer,
            decided: Decided::default(),
            ids: HashMap::new(),
            times: TimeText::default(),
            incident_bytes: 0,
        }
    }

    /// Takes a batch through all stages. Blocks until all batches cut before are decided.
    pub fn process(&mut self, batch: RawBatch, turnstile: &Turnstile) -> Result<Output, Ended> {
        let turn = turnstile.ticket(batch.seq);
        let shared = self.shared.clone();
        let plan = &*shared.plan;
        let RawBatch { seq, source: number, arena, mut messages, headers, offsets, generation, control } = batch;
        if let Some(control) = control {
            let acted = turn.act(control)?;
            return Ok(Output { seq, source: number, counts: Counts::new(plan), generation, control: Some(acted), ..Output::default() });
        }
        let mut output =
            Output { seq, source: number, offsets, counts: Counts::new(plan), trace: shared.trace.then(Vec::new), generation, ..Output::default() };
        let Some(source) = plan.sources.get(number as usize) else { return Err(Ended) };
        let mut rows = self.rows[number as usize].take().unwrap_or_else(|| Rows::new(&source.shape));
        rows.clear();
        if !headers.is_empty() {
            origin::restore(&mut messages, &headers, &arena, &shared.cluster, &shared.partitions);
        }
        let mut arena = arena;
        self.decode(number as usize, &arena, &messages, &headers, &mut rows, &mut output);
        let decoded = Decoded { arena: &mut arena, messages: &messages, headers: &headers, partitions: &shared.partitions, rows: &mut rows };
        clock::fill(&mut self.runner, source, shared.arrival.as_ref(), decoded);
        let arena = Arena::new(arena);
        {
            let mut scene = Scene::new(source, &arena, &messages, &headers, &shared.partitions, &rows);
            let mut selected: Vec<u32> = (0..rows.len() as u32).collect();
            if let Some(times) = scene.evaluate(&source.arrival, &selected, &mut Vec::new()).pop() {
                set_arrivals(&mut scene, &times);
            }
            let mut poison = Vec::new();
            let mut unclassified = Vec::new();
            let mut filtered = Vec::new();
            filter(plan, &mut scene, &mut selected, &mut output.counts, &mut poison, &mut filtered);
            let types = classify(plan, &mut scene, &mut selected, &mut unclassified, &mut poison);
            for (row, number) in filtered {
                output.note(&scene, row, None, TraceEnd::Filtered(number), None);
            }
            for row in poison {
                output.note(&scene, row, None, TraceEnd::Dead("evaluation"), None);
                letter(&mut self.times, &shared, &scene, row, "evaluation", "an expression of filter or classify failed", &mut output);
            }
            if plan.default == DefaultPlan::DeadLetter {
                for row in unclassified {
                    output.note(&scene, row, None, TraceEnd::Dead("unclassified"), None);
                    letter(&mut self.times, &shared, &scene, row, "unclassified", "no rule and no entry of classify names this event", &mut output);
                }
            } else {
                output.counts.unclassified += unclassified.len() as u64;
                for row in unclassified {
                    output.note(&scene, row, None, TraceEnd::Unclassified, None);
                }
            }
            let by_occurred = shared.arrival == Some(Arrival::Occurred);
            let mut mapped = map(plan, &mut scene, selected, types, by_occurred, &mut output.counts);
            let fields = field_columns(plan, &scene, &mapped);
            let mut failed = Vec::new();
            let rules = rule_inputs(plan, &mut scene, &mapped, &fields, &mut self.printer, &mut failed);
            mapped.dead.extend(failed.into_iter().map(|place| (place, Death::Evaluation)));
            mapped.dead.sort_by_key(|(place, _)| *place);
            mapped.dead.dedup_by_key(|(place, _)| *place);
            self.decide_and_emit(&shared, &mut scene, &mapped, &fields, rules, turn, &mut output)?;
        }
        self.rows[number as usize] = Some(rows);
        output.sort_letters();
        output.messages = messages.len() as u64;
        output.arena = arena.recycle();
        Ok(output)
    }

    fn decode(&mut self, source: usize, arena: &[u8], messages: &[Message], headers: &[Header], rows: &mut Rows, output: &mut Output) {
        let shared = self.shared.clone();
        let (Some(decoder), Some(single)) = (self.decoders.get_mut(source), self.singles.get_mut(source)) else { return };
        output.counts.messages += messages.len() as u64;
        for (number, message) in messages.iter().enumerate() {
            output.counts.bytes += u64::from(message.len);
            let decoded = match message.element {
                None => decoder.decode(arena, message.range(), number as u32, rows),
                Some(element) => {
                    let single = single.get_or_insert_with(|| single_decoder(&shared, source));
                    let decoded = single.decode(arena, message.range(), number as u32, rows);
                    if let (Ok(_), Some(last)) = (&decoded, rows.elements.last_mut()) {
                        *last = element;
                    }
                    decoded
                }
            };
            match decoded {
                Ok(0) => output.counts.empty_messages += 1,
                Ok(events) => output.counts.events += u64::from(events),
                Err(reject) => {
                    output.counts.events += 1;
                    output.counts.dead_letter(reject.reason.as_str());
                    if let Some(trace) = &mut output.trace {
                        let element = message.element.unwrap_or_default();
                        trace.push(Traced { message: number as u32, element, code: None, end: TraceEnd::Dead(reject.reason.as_str()), line: None });
                    }
                    let raw = arena.get(message.range()).unwrap_or_default();
                    let detail = format!("at byte {}", reject.at);
                    let letter = Letter { reason: reject.reason.as_str(), detail: &detail, message, element: message.element, raw, arena, headers };
                    push_letter(&mut output.dead, &letter, &shared.sender(&shared.plan.sources[source].name), &mut self.times);
                    output.end_letter(number as u32, message, message.element);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn decide_and_emit(
        &mut self,
        shared: &Shared,
        scene: &mut Scene<'_>,
        mapped: &Mapped,
        fields: &[ArrayRef],
        mut rules: Vec<super::decide::RuleInput>,
        turn: Turn<'_>,
        output: &mut Output,
    ) -> Result<(), Ended> {
        let plan = &*shared.plan;
        let places: Vec<u32> = alive(mapped);
        if places.len() < mapped.rows.len() {
            for rule in &mut rules {
                if let Some(holds) = &mut rule.holds {
                    *holds = places.iter().map(|p| holds.get(*p as usize).copied().unwrap_or(false)).collect();
                }
                if let Some(prints) = &mut rule.fingerprints {
                    *prints = places.iter().map(|p| prints.get(*p as usize).copied().unwrap_or(0)).collect();
                }
            }
        }
        let origins: Vec<Origin> = places.iter().map(|place| origin(scene, mapped.rows[*place as usize])).collect();
        let mut occurred = occurred(scene, mapped, &places);
        let mut created: Vec<i64> = places.iter().map(|place| scene.arrivals[mapped.rows[*place as usize] as usize]).collect();
        let values = WhereValues {
            plan,
            fields: scene
                .plan
                .where_fields
                .iter()
                .filter_map(|number| {
                    let field = scene.plan.rule_fields.get(*number)?;
                    Some((field.name.clone(), field.ty, fields.get(*number)?.clone()))
                })
                .collect(),
            places: &places,
        };
        let row_times = super::decide::RowTimes { origins: &origins, occurred: &mut occurred, created: &mut created };
        let mut notes = shared.decide.as_ref().map(|_| Notes::default());
        output.counts.no_time += turn.decide(plan, row_times, &rules, values, &mut self.decided, notes.as_mut())?;
        output.notes = notes;

        // From here on other batches may decide.
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
            letter(&mut self.times, shared, scene, row, reason, &detail, output);
        }
        self.emit(shared, scene, mapped, &places, &origins, &occurred, &created, output);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn emit(
        &mut self,
        shared: &Shared,
        scene: &Scene<'_>,
        mapped: &Mapped,
        places: &[u32],
        origins: &[Origin],
        occurred: &[i64],
        created: &[i64],
        output: &mut Output,
    ) {
        let plan = &*shared.plan;
        let decided = std::mem::take(&mut self.decided);
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
                    let too_large = |len: usize| shared.record_bytes_max.is_some_and(|max| len + super::output::STATE_BYTES_RESERVED > max);
                    if too_large(output.incidents.len() - own) {
                        output.incidents.truncate(own);
                        emitter.push_body(&mut output.incidents, place, &hex, occurred[number], created[number], false);
                        output.incidents.extend_from_slice(b",\"raw_truncated\":true");
                        // The rules remember it already, so repeats will attach to it: it must exist.
                        if too_large(output.incidents.len() - own) && !cut_to_fit(&mut output.incidents, own, shared) {
                            output.incidents.truncate(start);
                            let detail = "the incident is larger than the output topic takes, even without the event and with short texts";
                            output.note(scene, row, code, TraceEnd::Dead("incident_too_large"), None);
                            letter(&mut self.times, shared, scene, row, "incident_too_large", detail, output);
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
        self.decided = decided;
    }
}

/// Cuts the incident at the end of a buffer to what the topic takes; false where that cannot be done.
fn cut_to_fit(incidents: &mut Vec<u8>, start: usize, shared: &Shared) -> bool {
    let max = shared.record_bytes_max.unwrap_or(usize::MAX).saturating_sub(super::output::STATE_BYTES_RESERVED);
    let body = incidents.get(start..).and_then(|body| std::str::from_utf8(body).ok());
    let Some(short) = body.and_then(|body| crate::incident::shorten::incident(body, max)) else { return false };
    incidents.truncate(start);
    incidents.extend_from_slice(short.as_bytes());
    true
}

/// A decoder for messages that are just one event: nothing is exploded, and more is a mistake.
fn single_decoder(shared: &Shared, source: usize) -> Decoder {
    let paths = shared.plan.sources.get(source).map_or(&[][..], |source| &source.paths);
    let shape = Shape::new(paths, ShapeOptions { top_level: shared.plan.labels != Labels::None, explode: None });
    Decoder::new(Arc::new(shape), DecodeLimits { elements: 1, ..shared.decode })
}

/// Places that can become incidents.
fn alive(mapped: &Mapped) -> Vec<u32> {
    if mapped.dead.is_empty() {
        return (0..mapped.rows.len() as u32).collect();
    }
    let mut dead = mapped.dead.iter().map(|(place, _)| *place).peekable();
    (0..mapped.rows.len() as u32).filter(|place| dead.next_if_eq(place).is_none()).collect()
}

fn origin(scene: &Scene<'_>, row: u32) -> Origin {
    let message = scene.message(row);
    Origin {
        partition: message.map_or(0, |m| m.partition),
        offset: message.map_or(0, |m| m.offset),
        element: scene.rows.elements.get(row as usize).copied().unwrap_or_default(),
    }
}

/// `occurred` per alive place, in microseconds; [`NO_TIME`] where the map yields none.
fn occurred(scene: &Scene<'_>, mapped: &Mapped, places: &[u32]) -> Vec<i64> {
    let value =
        |column: &ArrayRef, at: usize| column.as_primitive_opt::<TimestampMicrosecondType>().filter(|c| c.is_valid(at)).map_or(NO_TIME, |c| c.value(at));
    places
        .iter()
        .map(|place| {
            let place = *place as usize;
            let field = scene.plan.layouts[mapped.types[place] as usize].occurred.as_ref();
            match field.map(|field| field.from) {
                Some(From::Occurred) => mapped.occurred.as_ref().map_or(NO_TIME, |column| value(column, place)),
                Some(from) => mapped.column(scene.plan, from, place).map_or(NO_TIME, |(column, at)| value(column, at)),
                None => NO_TIME,
            }
        })
        .collect()
}

fn set_arrivals(scene: &mut Scene<'_>, times: &ArrayRef) {
    if let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() {
        for (row, arrival) in scene.arrivals.iter_mut().enumerate() {
            *arrival = if times.is_valid(row) { times.value(row) } else { NO_TIME };
        }
    }
}

fn id_of(ids: &mut HashMap<Box<str>, Vec<Option<IdPrefix>>>, shared: &Shared, tenant: &str, origin: Origin) -> crate::incident::id::IncidentId {
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

fn letter(times: &mut TimeText, shared: &Shared, scene: &Scene<'_>, row: u32, reason: &'static str, detail: &str, output: &mut Output) {
    output.counts.dead_letter(reason);
    let Some(message) = scene.message(row) else { return };
    let raw = scene.rows.events.get(row as usize).copied().unwrap_or_default();
    let element = scene.rows.elements.get(row as usize).copied();
    let arena = scene.arena.bytes();
    let letter = Letter { reason, detail, message, element, raw: raw.raw(arena), arena, headers: scene.headers };
    push_letter(&mut output.dead, &letter, &shared.sender(&scene.plan.name), times);
    output.end_letter(scene.rows.messages.get(row as usize).copied().unwrap_or_default(), message, element);
}

/// A secret for fingerprints, from the system's random numbers.
pub fn random_key() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher};
    let mut key = [0; 16];
    for half in key.chunks_exact_mut(8) {
        // Each `RandomState` is keyed from the system's random numbers.
        half.copy_from_slice(&std::hash::RandomState::new().build_hasher().finish().to_le_bytes());
    }
    key
}
