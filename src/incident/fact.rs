//! Facts as values, and how they are read from records of the `incidents` topic, whoever
//! wrote them. `facts` writes them.

use std::sync::Arc;

use super::id::{FactId, IncidentId};
use super::order::Order;
use super::record::Incident;
use super::split::{find, integer, members, text};
use super::state::Attachment;
use super::state_read;
use super::timer::TimerEvent;

/// Bytes of an actor's name; what is longer is cut.
pub const ACTOR_BYTES_MAX: usize = 200;

/// Something that is true of an incident from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its id: a fact that comes twice counts once.
    pub id: FactId,
    /// The incident.
    pub about: IncidentId,
    /// Who says so; `None`: ingest, by a rule or by itself.
    pub actor: Option<Arc<str>>,
    /// When, in microseconds: as the author says, else the time of the record.
    pub at: i64,
    /// The version that the author has seen; if there is a newer one, the fact is refused.
    pub if_version: Option<u64>,
    /// What is said.
    pub what: What,
}

/// What a fact says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The incident was created.
    Created(Box<Incident>),
    /// Events were attached to it by a rule.
    Attached(Attachment),
    /// A rule linked it with another.
    Linked {
        /// The rule.
        rule: Arc<str>,
        /// The other one.
        other: IncidentId,
    },
    /// Fields get these values: names, and JSON tokens.
    Set(Vec<(Box<str>, Box<str>)>),
    /// It is closed.
    Close {
        /// Why, as a JSON string.
        reason: Option<Box<str>>,
        /// What else there is to say, as a JSON string.
        notes: Option<Box<str>>,
    },
    /// It is opened again.
    Reopen,
    /// Something became of one of its timers.
    Timer {
        /// The field that holds the timer.
        field: Box<str>,
        /// What.
        event: TimerEvent,
        /// When its promise is broken if nothing happens, in microseconds; 0: never.
        due: i64,
    },
    /// For the role `respond`: nothing becomes of the incident by it.
    Order(Order),
}

impl What {
    /// As in the member `fact`.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Created(_) => "created",
            What::Attached(_) => "attached",
            What::Linked { .. } => "linked",
            What::Set(_) => "set",
            What::Close { .. } => "close",
            What::Reopen => "reopen",
            What::Timer { .. } => "timer",
            What::Order(order) => order.kind(),
        }
    }
}

/// Why a record is no fact. None of it helps by trying again; nothing here holds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFact {
    /// Not JSON, or a member is missing or not what it should be.
    #[error("`{0}` is missing or not what it should be")]
    Malformed(&'static str),
    /// A kind of fact that this version does not know.
    #[error("a fact of a kind that this version does not know")]
    UnknownKind,
    /// The key is not the id of the incident: it would be kept in the wrong partition.
    #[error("the key of the record is not the id of its incident")]
    Misrouted,
}

/// Reads a record of the `incidents` topic.
///
/// # Errors
/// What is no fact: see [`NoFact`].
pub fn read(key: Option<&[u8]>, value: &[u8], timestamp_ms: Option<i64>) -> Result<Fact, NoFact> {
    let wrong = NoFact::Malformed;
    let value = simdutf8::basic::from_utf8(value).map_err(|_| wrong("the record"))?;
    let members = members(value).ok_or(wrong("the record"))?;
    let of = |name: &'static str| find(&members, name).ok_or(wrong(name));
    let kind = text(of("fact")?).ok_or(wrong("fact"))?;
    let hex = text(of("fact_id")?).ok_or(wrong("fact_id"))?;
    let id = FactId::parse(&hex).ok_or(wrong("fact_id"))?;
    let incident_id = || text(of("id")?).and_then(|hex| IncidentId::parse(&hex)).ok_or(wrong("id"));
    let name = |key: &'static str| of(key).and_then(|token| state_read::name(token).ok_or(wrong(key)));
    let time = |key: &'static str| of(key).and_then(|token| state_read::time(token).ok_or(wrong(key)));
    let (about, what) = match &*kind {
        "created" => {
            let incident = Incident::read(of("incident")?, b"").ok_or(wrong("incident"))?;
            (incident.id, What::Created(Box::new(incident)))
        }
        "attached" => {
            let samples = state_read::samples(of("samples")?).ok_or(wrong("samples"))?;
            let count = integer(of("count")?).ok_or(wrong("count"))?;
            (incident_id()?, What::Attached(Attachment { rule: name("rule")?, count, first: time("first")?, last: time("last")?, samples }))
        }
        "linked" => {
            let other = text(of("other")?).and_then(|hex| IncidentId::parse(&hex)).ok_or(wrong("other"))?;
            (incident_id()?, What::Linked { rule: name("rule")?, other })
        }
        "set" => (incident_id()?, What::Set(fields(of("fields")?).ok_or(wrong("fields"))?)),
        "close" => {
            let said = |key: &'static str| match find(&members, key) {
                None | Some("null") => Ok(None),
                Some(token) if token.starts_with('"') => Ok(Some(Box::from(token))),
                Some(_) => Err(wrong(key)),
            };
            (incident_id()?, What::Close { reason: said("reason")?, notes: said("notes")? })
        }
        "reopen" => (incident_id()?, What::Reopen),
        "timer" => {
            let field = text(of("field")?).ok_or(wrong("field"))?;
            let event = text(of("what")?).and_then(|name| TimerEvent::parse(&name)).ok_or(wrong("what"))?;
            let due = match find(&members, "due") {
                None | Some("null") => 0,
                Some(_) => time("due")?,
            };
            (incident_id()?, What::Timer { field: (&*field).into(), event, due })
        }
        kind @ ("answer" | "cancel_run" | "start_run") => (incident_id()?, What::Order(Order::read(kind, &members).map_err(NoFact::Malformed)?)),
        _ => return Err(NoFact::UnknownKind),
    };
    if key != Some(&about.hex()[..]) {
        return Err(NoFact::Misrouted);
    }
    let by_ingest = matches!(what, What::Created(_) | What::Attached(_) | What::Linked { .. });
    let if_version = match find(&members, "if_version") {
        None | Some("null") => None,
        Some(token) => Some(integer(token).ok_or(wrong("if_version"))?),
    };
    let said_at = find(&members, "at").and_then(state_read::time);
    Ok(Fact {
        id,
        about,
        actor: (!by_ingest).then(|| find(&members, "actor").and_then(text).map_or_else(|| "unknown".into(), |actor| shortened(&actor))),
        at: said_at.unwrap_or_else(|| timestamp_ms.unwrap_or_default().saturating_mul(1_000)),
        if_version,
        what,
    })
}

fn fields(token: &str) -> Option<Vec<(Box<str>, Box<str>)>> {
    let mut fields: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (key, value) in members(token)? {
        // A key that is no text is kept as it is written, and refused as no name of a field.
        let name: Box<str> = text(key).map_or_else(|| key.into(), |name| (&*name).into());
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value.into(),
            None => fields.push((name, value.into())),
        }
    }
    Some(fields)
}

fn shortened(actor: &str) -> Arc<str> {
    let end = (0..=ACTOR_BYTES_MAX.min(actor.len())).rev().find(|at| actor.is_char_boundary(*at)).unwrap_or(0);
    actor.get(..end).unwrap_or_default().into()
}
