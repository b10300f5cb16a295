//! The changing part of an incident, what may happen to it, and how it is written.
//!
//! An incident keeps the *last* [`SAMPLES_MAX`] samples of what was attached, under one total
//! order over all rules, and as many as one fact may carry: so what is known of attachments
//! depends neither on the order of facts nor on how they were cut (only `version`, which
//! counts facts, does).

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

/// Events that one rule attached to one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The rule.
    pub rule: Arc<str>,
    /// How many.
    pub count: u64,
    /// Earliest `occurred`, in microseconds.
    pub first: i64,
    /// Latest `occurred`, in microseconds.
    pub last: i64,
    /// The last of them, in order.
    pub samples: Vec<Sample>,
}

/// Something that happens to an incident after it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Events were attached by a rule.
    Attached(Attachment),
    /// It was linked with another incident by a rule.
    Linked {
        /// The rule.
        rule: Arc<str>,
        /// The other one.
        other: IncidentId,
    },
    /// It was closed.
    Closed(Closed),
    /// It was opened again.
    Reopened,
}

/// Who closed an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closer {
    /// A rule, when the incident was created.
    Rule(Arc<str>),
    /// A person or a program, afterwards.
    Actor(Arc<str>),
}

/// How an incident was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// By whom.
    pub by: Closer,
    /// When, in microseconds.
    pub at: i64,
    /// Why, as a JSON string.
    pub reason: Option<Box<str>>,
    /// What else there is to say, as a JSON string.
    pub notes: Option<Box<str>>,
}

impl Closed {
    /// Closed by a rule.
    pub fn by_rule(rule: Arc<str>, at: i64) -> Closed {
        Closed { by: Closer::Rule(rule), at, reason: None, notes: None }
    }
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
    /// How it was closed; `None`: it is open.
    pub closed: Option<Box<Closed>>,
    /// What was attached.
    pub attached: Option<Attached>,
    /// Other incidents, with the rule that linked them.
    pub linked: Vec<(Arc<str>, IncidentId)>,
}

impl Default for State {
    fn default() -> State {
        State { version: 1, closed: None, attached: None, linked: Vec::new() }
    }
}

impl State {
    /// Lets something happen. False where that changes nothing; otherwise the version is one higher.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Attached(Attachment { count: 0, .. }) => return false,
            Change::Attached(attachment) => self.attach(attachment),
            Change::Linked { rule, other } => {
                if self.linked.iter().any(|(known, id)| known == rule && id == other) {
                    return false;
                }
                if self.linked.len() < LINKS_MAX {
                    self.linked.push((rule.clone(), *other));
                }
            }
            Change::Closed(closed) => {
                if self.closed.is_some() {
                    return false;
                }
                self.closed = Some(Box::new(closed.clone()));
            }
            Change::Reopened => {
                if self.closed.take().is_none() {
                    return false;
                }
            }
        }
        self.version = self.version.saturating_add(1);
        true
    }

    fn attach(&mut self, new: &Attachment) {
        let attached = self.attached.get_or_insert_with(|| Attached { first: new.first, last: new.last, ..Attached::default() });
        attached.count = attached.count.saturating_add(new.count);
        attached.first = attached.first.min(new.first);
        attached.last = attached.last.max(new.last);
        match attached.rules.binary_search_by(|(known, _)| known.cmp(&new.rule)) {
            Ok(at) => attached.rules[at].1 = attached.rules[at].1.saturating_add(new.count),
            Err(at) => attached.rules.insert(at, (new.rule.clone(), new.count)),
        }
        for sample in &new.samples {
            keep_last(&mut attached.samples, sample, |known, new| known.cmp(new), Sample::clone);
        }
    }
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
    push_state_members(out, state, times);
    out.push(b'}');
}

/// Appends the members of the changing part, beginning with `,"status":`.
pub fn push_state_members(out: &mut Vec<u8>, state: &State, times: &mut TimeText) {
    out.extend_from_slice(if state.closed.is_some() { b",\"status\":\"closed\",\"version\":" } else { b",\"status\":\"open\",\"version\":" });
    out.extend_from_slice(itoa::Buffer::new().format(state.version).as_bytes());
    if let Some(closed) = &state.closed {
        out.extend_from_slice(b",\"closed\":{");
        let (kind, name): (&[u8], _) = match &closed.by {
            Closer::Rule(rule) => (b"\"rule\":", rule),
            Closer::Actor(actor) => (b"\"actor\":", actor),
        };
        out.extend_from_slice(kind);
        push_string(out, name);
        out.extend_from_slice(b",\"at\":");
        times.push(out, closed.at);
        for (key, token) in [("reason", &closed.reason), ("notes", &closed.notes)] {
            if let Some(token) = token {
                out.push(b',');
                push_string(out, key);
                out.push(b':');
                out.extend_from_slice(token.as_bytes());
            }
        }
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
}

fn push_attached(out: &mut Vec<u8>, attached: &Attached, times: &mut TimeText) {
    let count = |out: &mut Vec<u8>, count: u64| out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"{\"count\":");
    count(out, attached.count);
    out.extend_from_slice(b",\"first\":");
    times.push(out, attached.first);
    out.extend_from_slice(b",\"last\":");
    times.push(out, attached.last);
    out.extend_from_slice(b",\"rules\":{");
    for (number, (rule, sum)) in attached.rules.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_string(out, rule);
        out.push(b':');
        count(out, *sum);
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
