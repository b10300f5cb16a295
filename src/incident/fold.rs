//! What a fact makes of an incident: `fold(incident, fact) -> (incident, effect)`, a pure
//! function. The keeper applies it in the order of the topic; nobody else assigns versions.
//!
//! - `created` makes version 1, each effective fact after it one more. A second `created` of one
//!   id, and a fact that the incident remembers, change nothing.
//! - A fact about an incident that is not there (its `created` was lost to retention, or it never
//!   existed) is kept out: without a body there is nothing to show, and a state made up of
//!   attachments alone would turn up as an incident that nobody created.
//! - Edits may be refused: a newer version than the author saw, a field that is not theirs to set,
//!   a size. That is an outcome, not an error: the incident says so in `last_rejected`, and its
//!   version stays.

use super::body;
use super::encode::{push_integer, push_string};
use super::fact::{Fact, What};
use super::record::{Incident, Outcome, Updated};
use super::split::{integer, text};
use super::state::{Change, Closed, Closer};
use super::time_text::TimeText;
use super::timer::{Timer, TimerEvent};
use crate::config::limits::NAME_MAX;

/// Fields that one `set` may name (count): more than any form has.
pub const SET_FIELDS_MAX: usize = 100;
/// Bytes of one value of a `set`: a long text, or a list of a few hundred entries.
pub const SET_VALUE_BYTES_MAX: usize = 32 << 10;
/// Bytes of a reason for closing: a word from a list, or a sentence.
pub const REASON_BYTES_MAX: usize = 1 << 10;
/// Bytes of the notes at closing: a page.
pub const NOTES_BYTES_MAX: usize = 16 << 10;
/// Bytes kept free in a record for its key and headers, and for saying that a fact was refused.
const RECORD_BYTES_RESERVED: usize = 4 << 10;

/// Members that a `set` may not touch: they say where an incident came from, or are kept by the keeper.
pub const SYSTEM_FIELDS: [&str; 19] = [
    "id",
    "created",
    "occurred",
    "source",
    "tenant",
    "pipeline",
    "pipeline_version",
    "labels",
    "raw",
    "raw_truncated",
    "fields_truncated",
    "_errors",
    "status",
    "version",
    "closed",
    "attached",
    "linked",
    "updated",
    "last_rejected",
];

/// Why an edit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is a newer version than the one that the author saw.
    IfVersion,
    /// The field is filled by Catchment itself.
    SystemField,
    /// That is no name of a field.
    FieldName,
    /// A severity that is not 0, 0.5, 1, 2, 3 or 4; a type that is not a text.
    FieldValue,
    /// A timer that this cannot happen to: a pause of one that does not run, a start of one that has ended.
    Timer,
    /// More fields, longer texts, or a larger incident than is allowed.
    TooLarge,
}

impl Refusal {
    /// As in `last_rejected`.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::IfVersion => "if_version",
            Refusal::SystemField => "system_field",
            Refusal::FieldName => "field_name",
            Refusal::FieldValue => "field_value",
            Refusal::Timer => "timer",
            Refusal::TooLarge => "too_large",
        }
    }
}

/// A field that gets a value: its name, and a JSON token.
type Field = (Box<str>, Box<str>);

/// What a fact did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The incident is there now, in version 1.
    Created,
    /// It has a new version.
    Applied,
    /// An edit asked for what was so already; the incident remembers the fact.
    Unchanged,
    /// An edit was refused; the incident remembers the fact, and says why.
    Rejected(Refusal),
    /// Nothing: known already.
    Repeated,
    /// Nothing: no such incident.
    Unknown,
    /// Nothing: it is for the role `respond`.
    Passed,
    /// Nothing: the incident would no longer fit into a record, even without its event.
    TooLarge,
}

impl Effect {
    /// True where the incident has to be written.
    pub fn writes(self) -> bool {
        matches!(self, Effect::Created | Effect::Applied | Effect::Unchanged | Effect::Rejected(_))
    }

    /// For metrics.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Created => "created",
            Effect::Applied => "applied",
            Effect::Unchanged => "unchanged",
            Effect::Rejected(_) => "rejected",
            Effect::Repeated => "repeated",
            Effect::Unknown => "unknown_incident",
            Effect::Passed => "passed",
            Effect::TooLarge => "too_large",
        }
    }
}

/// The incident after a fact, and what the fact did. No record is larger than
/// `record_bytes_max`, key and headers included.
pub fn fold(held: Option<Incident>, fact: &Fact, record_bytes_max: usize) -> (Option<Incident>, Effect) {
    if matches!(fact.what, What::Order(_)) {
        return (held, Effect::Passed);
    }
    let Some(held) = held else {
        return match &fact.what {
            What::Created(incident) => create(incident, fact, record_bytes_max),
            _ => (None, Effect::Unknown),
        };
    };
    if matches!(fact.what, What::Created(_)) || held.noted(fact.id).is_some() {
        return (Some(held), Effect::Repeated);
    }
    let (incident, effect) = match &fact.what {
        What::Created(_) | What::Order(_) => (held, Effect::Repeated),
        What::Attached(attachment) => by_rule(held, &Change::Attached(attachment.clone()), &attachment.rule, fact, record_bytes_max),
        What::Linked { rule, other } => by_rule(held, &Change::Linked { rule: rule.clone(), other: *other }, rule, fact, record_bytes_max),
        What::Set(_) | What::Close { .. } | What::Reopen | What::Timer { .. } => edit(held, fact, record_bytes_max),
    };
    (Some(incident), effect)
}

fn create(incident: &Incident, fact: &Fact, record_bytes_max: usize) -> (Option<Incident>, Effect) {
    let mut incident = incident.clone();
    incident.state.version = 1;
    let actor = match incident.state.closed.as_ref().map(|closed| &closed.by) {
        Some(Closer::Rule(rule)) => format!("rule:{rule}").into(),
        _ => "ingest".into(),
    };
    incident.updated = Some(Updated { actor, at: fact.at, fact: fact.id });
    match fits(&mut incident, record_bytes_max) {
        true => (Some(incident), Effect::Created),
        false => (None, Effect::TooLarge),
    }
}

/// What a rule did cannot be refused; only an incident that has no more room does not learn of it.
fn by_rule(mut held: Incident, change: &Change, rule: &str, fact: &Fact, record_bytes_max: usize) -> (Incident, Effect) {
    // Nearly all have room for whatever comes: no copy is kept to go back to.
    let grows = match change {
        Change::Attached(new) => new.samples.iter().map(|sample| sample.topic.len() * 6 + 160).sum::<usize>(),
        _ => 0,
    };
    let roomy = held.bytes_max() + grows + rule.len() * 12 + 256 + RECORD_BYTES_RESERVED <= record_bytes_max;
    let before = (!roomy).then(|| held.clone());
    if !held.state.apply(change) {
        return (held, Effect::Repeated);
    }
    held.updated = Some(Updated { actor: format!("rule:{rule}").into(), at: fact.at, fact: fact.id });
    held.note(fact.id, Outcome::Applied);
    match before {
        Some(before) if !fits(&mut held, record_bytes_max) => (before, Effect::TooLarge),
        _ => (held, Effect::Applied),
    }
}

fn edit(mut held: Incident, fact: &Fact, record_bytes_max: usize) -> (Incident, Effect) {
    let timer = match &fact.what {
        What::Timer { field, event, due } => timed(&held, field, *event, fact.at, *due),
        _ => Ok(None),
    };
    let refused = match (fact.if_version, &fact.what) {
        (Some(seen), _) if seen != held.state.version => Some(Refusal::IfVersion),
        (_, What::Set(fields)) => refusal(fields),
        (_, What::Timer { .. }) => timer.as_ref().err().copied(),
        (_, What::Close { reason, notes }) => {
            let over = |text: &Option<Box<str>>, max| text.as_ref().is_some_and(|text| text.len() > max);
            (over(reason, REASON_BYTES_MAX) || over(notes, NOTES_BYTES_MAX)).then_some(Refusal::TooLarge)
        }
        _ => None,
    };
    if let Some(why) = refused {
        return reject(held, fact, why);
    }
    let mut new = held.clone();
    let changed = match &fact.what {
        What::Set(fields) => set(&mut new, fields),
        What::Timer { .. } => timer.ok().flatten().is_some_and(|field| set(&mut new, &[field])),
        What::Close { reason, notes } => {
            let by = Closer::Actor(fact.actor.clone().unwrap_or_else(|| "unknown".into()));
            let closed = new.state.apply(&Change::Closed(Closed { by, at: fact.at, reason: reason.clone(), notes: notes.clone() }));
            if closed {
                stop_timers(&mut new, fact.at);
            }
            closed
        }
        _ => new.state.apply(&Change::Reopened),
    };
    if !changed {
        held.note(fact.id, Outcome::Unchanged);
        return (held, Effect::Unchanged);
    }
    let actor = fact.actor.clone().unwrap_or_else(|| "unknown".into());
    new.updated = Some(Updated { actor, at: fact.at, fact: fact.id });
    new.note(fact.id, Outcome::Applied);
    match fits(&mut new, record_bytes_max) {
        true => (new, Effect::Applied),
        false => reject(held, fact, Refusal::TooLarge),
    }
}

fn set(incident: &mut Incident, fields: &[Field]) -> bool {
    let Some(body) = body::set(&incident.body, fields) else { return false };
    incident.body = body;
    incident.state.version = incident.state.version.saturating_add(1);
    true
}

/// The field of a timer after something became of it; `None` where that is so already.
fn timed(held: &Incident, field: &str, event: TimerEvent, at: i64, due: i64) -> Result<Option<Field>, Refusal> {
    let name: Box<str> = field.into();
    if let Some(why) = refusal(&[(name.clone(), "{}".into())]) {
        return Err(why);
    }
    let known = body::field(&held.body, field).and_then(|token| Timer::read(&token, 0));
    let mut timer = known.unwrap_or_else(|| Timer::new(-1, 0));
    let changed = timer.told(event, at, due).map_err(|_| Refusal::Timer)?;
    Ok(changed.then(|| (name, timer.to_json().to_string().into())))
}

/// Timers of an incident that is closed stop, whoever closes it. What a field holds tells that it is one.
fn stop_timers(incident: &mut Incident, at: i64) {
    let stopped = |name: &str, token: &str| {
        let mut timer = Timer::read(token, 0).filter(Timer::is_going).filter(|_| !SYSTEM_FIELDS.contains(&name))?;
        timer.told(TimerEvent::Stopped, at, 0).ok()?;
        Some((name.into(), timer.to_json().to_string().into()))
    };
    if let Some(body) = body::with(&incident.body, stopped) {
        incident.body = body;
    }
}

fn refusal(fields: &[(Box<str>, Box<str>)]) -> Option<Refusal> {
    if fields.len() > SET_FIELDS_MAX {
        return Some(Refusal::TooLarge);
    }
    fields.iter().find_map(|(name, token)| {
        if SYSTEM_FIELDS.contains(&&**name) {
            return Some(Refusal::SystemField);
        }
        let mut chars = name.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || name.len() > NAME_MAX || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Some(Refusal::FieldName);
        }
        let legal = match &**name {
            "severity" => ["0", "0.5", "1", "2", "3", "4"].contains(&&**token),
            "type" => text(token).is_some_and(|name| !name.is_empty() && name.len() <= NAME_MAX),
            _ => true,
        };
        if !legal {
            return Some(Refusal::FieldValue);
        }
        (token.len() > SET_VALUE_BYTES_MAX).then_some(Refusal::TooLarge)
    })
}

fn reject(mut held: Incident, fact: &Fact, why: Refusal) -> (Incident, Effect) {
    let mut out = b"{\"fact\":\"".to_vec();
    out.extend_from_slice(&fact.id.hex());
    out.extend_from_slice(b"\",\"kind\":");
    push_string(&mut out, fact.what.kind());
    out.extend_from_slice(b",\"reason\":");
    push_string(&mut out, why.name());
    if let Some(seen) = fact.if_version {
        out.extend_from_slice(b",\"if_version\":");
        out.extend_from_slice(itoa::Buffer::new().format(seen).as_bytes());
    }
    out.extend_from_slice(b",\"version\":");
    push_integer(&mut out, i64::try_from(held.state.version).unwrap_or(i64::MAX));
    out.extend_from_slice(b",\"actor\":");
    push_string(&mut out, fact.actor.as_deref().unwrap_or("unknown"));
    out.extend_from_slice(b",\"at\":");
    TimeText::default().push(&mut out, fact.at);
    out.push(b'}');
    held.last_rejected = String::from_utf8(out).ok().map(String::into_boxed_str);
    held.note(fact.id, Outcome::Rejected);
    (held, Effect::Rejected(why))
}

/// Makes sure that an incident fits into a record, at the cost of its copy of the event.
fn fits(incident: &mut Incident, record_bytes_max: usize) -> bool {
    let max = record_bytes_max.saturating_sub(RECORD_BYTES_RESERVED);
    // Nearly all are far below: what the changing part can take at most is cheap to tell.
    if incident.bytes_max() <= max {
        return true;
    }
    incident.to_json().len() <= max || (incident.drop_raw() && incident.to_json().len() <= max)
}

/// Reads the version that a refusal names: the `version` of `last_rejected`.
pub fn rejected_version(last_rejected: &str) -> Option<u64> {
    let members = super::split::members(last_rejected)?;
    super::split::find(&members, "version").and_then(integer)
}
