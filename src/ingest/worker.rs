//! One batch through all stages, on one thread: decode, filter, classify, map, then
//! the turn to decide, then emit.
//!
//! Everything but deciding runs in parallel with other batches. Deciding happens in the
//! order in which batches were cut: see [`Turnstile`](super::turnstile::Turnstile).

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::batch::{Header, Message, Partitions, RawBatch};
use super::classify::classify;
use super::clock::{self, Decoded};
use super::columns::Arena;
use super::computed::Runner;
use super::dead_letter::Letter;
use super::decide::{DecideSpec, Decided, Fingerprinter, Notes, Origin};
use super::decode::{DecodeLimits, Decoder, Rows, Shape, ShapeOptions};
use super::filter::filter;
use super::ledger::Counts;
use super::map::{Death, Mapped, map};
use super::origin;
use super::outcome::{DecidedRows, Outcomes};
use super::output::{Output, TraceEnd, Traced};
use super::plan::build::Arrival;
use super::plan::{DefaultPlan, From, Plan};
use super::rule_input::{WhereValues, field_columns, rule_inputs};
use super::scene::{NO_TIME, Scene};
use super::spare::Spare;
use super::turnstile::{Turn, Turnstile};
use crate::config::model::Labels;

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
    /// Writes what becomes of events.
    outcomes: Outcomes,
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
        Worker { shared, decoders, singles, rows, runner: Runner::default(), printer, decided: Decided::default(), outcomes: Outcomes::default() }
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
                self.outcomes.letter(&shared, &scene, row, "evaluation", "an expression of filter or classify failed", &mut output);
            }
            if plan.default == DefaultPlan::DeadLetter {
                for row in unclassified {
                    output.note(&scene, row, None, TraceEnd::Dead("unclassified"), None);
                    self.outcomes.letter(&shared, &scene, row, "unclassified", "no rule and no entry of classify names this event", &mut output);
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
                    self.outcomes.write_letter(&shared, &shared.plan.sources[source].name, number as u32, &letter, output);
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
        self.outcomes.dead(shared, scene, mapped, output);
        let rows = DecidedRows { places: &places, origins: &origins, occurred: &occurred, created: &created };
        self.outcomes.decided(shared, scene, mapped, rows, &self.decided, output);
        Ok(())
    }
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
