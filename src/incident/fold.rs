//! What facts make of an incident: the part of its state that changes after creation.
//!
//! `fold` is a pure function. An incident keeps the *last* [`SAMPLES_MAX`] samples of
//! what was attached, under one total order over all rules, and as many as one fact may
//! carry: so what is known of attachments depends neither on the order of facts nor on how
//! they were cut (only `version`, which counts facts, does).

use super::encode::{push_integer, push_string};
use super::id::IncidentId;
use super::time_text::TimeText;
use std::cmp::Ordering;
use std::sync::Arc;

/// Samples that a fact carries and an incident keeps (count).
pub const SAMPLES_MAX: usize = 20;
/// Links that an incident keeps (count); further ones only raise the version.
pub const LINKS_MAX: usize = 100;

/// An event that was attached. Their order is that of the fields here: by time, and where
/// times are equal by coordinates, so that no two different events are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// When it occurred, in microseconds.
    pub occurred: i64,
    /// Topic (`replay`: file).
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// Offset (`replay`: line).
    pub offset: i64,
    /// Number of the event in its message.
    pub element: u16,
}

/// Something that happened to an incident after it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Events were attached by a rule.
    Attached {
        /// The rule.
        rule: Arc<str>,
        /// How many.
        count: u64,
        /// Earliest `occurred`, in microseconds.
        first: i64,
        /// Latest `occurred`, in microseconds.
        last: i64,
        /// The last of them, in order.
        samples: Vec<Sample>,
    },
    /// It was linked with another incident by a rule.
    Linked {
        /// The rule.
        rule: Arc<str>,
        /// The other one.
        other: IncidentId,
    },
}

/// What was attached to an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// How many events.
    pub count: u64,
    /// Earliest `occurred`, in microseconds.
    pub first: i64,
    /// Latest `occurred`, in microseconds.
    pub last: i64,
    /// Events per rule, by name.
    pub rules: Vec<(Arc<str>, u64)>,
    /// The last of them, in order; an event that two rules attached stands here once.
    pub samples: Vec<Sample>,
}

/// The changing part of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// 1 at creation; each effective fact adds 1.
    pub version: u64,
    /// The rule that closed it.
    pub closed_by: Option<Arc<str>>,
    /// When it was closed, in microseconds.
    pub closed_at: i64,
    /// What was attached.
    pub attached: Option<Attached>,
    /// Other incidents, with the rule that linked them.
    pub linked: Vec<(Arc<str>, IncidentId)>,
}

impl Default for State {
    fn default() -> State {
        State { version: 1, closed_by: None, closed_at: 0, attached: None, linked: Vec::new() }
    }
}

/// The state after a fact.
pub fn fold(mut state: State, fact: &Fact) -> State {
    match fact {
        Fact::Attached { count: 0, .. } => return state,
        Fact::Attached { rule, count, first, last, samples } => {
            let attached = state.attached.get_or_insert_with(|| Attached { first: *first, last: *last, ..Attached::default() });
            attached.count += count;
            attached.first = attached.first.min(*first);
            attached.last = attached.last.max(*last);
            match attached.rules.binary_search_by(|(known, _)| known.cmp(rule)) {
                Ok(at) => attached.rules[at].1 += count,
                Err(at) => attached.rules.insert(at, (rule.clone(), *count)),
            }
            for sample in samples {
                keep_last(&mut attached.samples, sample, |known, new| known.cmp(new), Sample::clone);
            }
        }
        Fact::Linked { rule, other } => {
            if state.linked.iter().any(|(known, id)| known == rule && id == other) {
                return state;
            }
            if state.linked.len() < LINKS_MAX {
                state.linked.push((rule.clone(), *other));
            }
        }
    }
    state.version += 1;
    state
}

/// Puts a sample in its place among the last [`SAMPLES_MAX`] of them, which stand in order;
/// nothing changes where it is older than they are, or among them already.
pub fn keep_last<T, S>(last: &mut Vec<T>, sample: S, order: impl Fn(&T, &S) -> Ordering, owned: impl FnOnce(S) -> T) {
    // Most come in order: their place is found from the end.
    let mut at = last.len();
    while let Some(before) = at.checked_sub(1) {
        match order(&last[before], &sample) {
            Ordering::Less => break,
            Ordering::Equal => return,
            Ordering::Greater => at = before,
        }
    }
    if last.len() < SAMPLES_MAX {
        last.insert(at, owned(sample));
    } else if at > 0 {
        last[..at].rotate_left(1);
        last[at - 1] = owned(sample);
    }
}

/// Appends the changing part as the end of an incident's JSON object: `,"status":…}`.
pub fn push_state(out: &mut Vec<u8>, state: &State, times: &mut TimeText) {
    out.extend_from_slice(if state.closed_by.is_some() { b",\"status\":\"closed\",\"version\":" } else { b",\"status\":\"open\",\"version\":" });
    push_integer(out, state.version as i64);
    if let Some(rule) = &state.closed_by {
        out.extend_from_slice(b",\"closed\":{\"rule\":");
        push_string(out, rule);
        out.extend_from_slice(b",\"at\":");
        times.push(out, state.closed_at);
        out.push(b'}');
    }
    if let Some(attached) = &state.attached {
        out.extend_from_slice(b",\"attached\":");
        push_attached(out, attached, times);
    }
    if !state.linked.is_empty() {
        out.extend_from_slice(b",\"linked\":[");
        for (number, (rule, id)) in state.linked.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"id\":\"");
            out.extend_from_slice(&id.hex());
            out.extend_from_slice(b"\",\"rule\":");
            push_string(out, rule);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn push_attached(out: &mut Vec<u8>, attached: &Attached, times: &mut TimeText) {
    out.extend_from_slice(b"{\"count\":");
    push_integer(out, attached.count as i64);
    out.extend_from_slice(b",\"first\":");
    times.push(out, attached.first);
    out.extend_from_slice(b",\"last\":");
    times.push(out, attached.last);
    out.extend_from_slice(b",\"rules\":{");
    for (number, (rule, count)) in attached.rules.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_string(out, rule);
        out.push(b':');
        push_integer(out, *count as i64);
    }
    out.extend_from_slice(b"},\"samples\":");
    push_samples(out, &attached.samples, times);
    out.push(b'}');
}

/// Appends samples as a JSON array.
pub fn push_samples(out: &mut Vec<u8>, samples: &[Sample], times: &mut TimeText) {
    out.push(b'[');
    for (number, sample) in samples.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"topic\":");
        push_string(out, &sample.topic);
        out.extend_from_slice(b",\"partition\":");
        push_integer(out, i64::from(sample.partition));
        out.extend_from_slice(b",\"offset\":");
        push_integer(out, sample.offset);
        out.extend_from_slice(b",\"element\":");
        push_integer(out, i64::from(sample.element));
        out.extend_from_slice(b",\"occurred\":");
        times.push(out, sample.occurred);
        out.push(b'}');
    }
    out.push(b']');
}
