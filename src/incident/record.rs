//! An incident as the keeper holds it, and as it is written: the value and the headers of a
//! record of `incident-state`.
//!
//! The value is one flat JSON object: the body as ingest wrote it, then the changing part,
//! beginning with `status`. What the changing part holds beyond what this version knows is
//! carried along.

use std::sync::Arc;

use super::body;
use super::encode::push_string;
use super::id::{FactId, IncidentId};
use super::split::{Member, find, integer, members, text};
use super::state::{State, push_state_members};
use super::state_read;
use super::time_text::TimeText;

/// Facts that an incident remembers, newest last (count, 25 bytes each). A fact comes twice when a
/// writer repeats what it did not see confirmed: at-least-once ingest the batches it had in
/// flight, a person the last request. 64 is more than either has on its way to one incident.
pub const RECENT_FACTS_MAX: usize = 64;

/// Bytes of one remembered fact.
const NOTED_BYTES: usize = 25;

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It made a new version.
    Applied,
    /// It asked for what was so already.
    Unchanged,
    /// It was refused; `last_rejected` says why.
    Rejected,
}

impl Outcome {
    /// As in the header `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "unchanged",
            Outcome::Rejected => "rejected",
        }
    }
}

/// A fact that an incident remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The fact.
    pub fact: FactId,
    /// What became of it.
    pub outcome: Outcome,
    /// The version after it.
    pub version: u64,
}

/// Who made the newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// `ingest`, `rule:<name>`, or what the author of an edit called themself.
    pub actor: Arc<str>,
    /// When, in microseconds.
    pub at: i64,
    /// By which fact.
    pub fact: FactId,
}

/// An incident in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The members before `status`, as an object without its closing brace.
    pub(super) body: String,
    /// Its changing part.
    pub state: State,
    /// Who made this version.
    pub updated: Option<Updated>,
    /// The last fact that was refused, as a JSON object.
    pub last_rejected: Option<Box<str>>,
    /// Members of the changing part that are not known here: `,"key":value`, as they came.
    extra: String,
    /// The facts that it remembers, newest last.
    pub recent: Vec<Noted>,
}

impl Incident {
    /// Reads the value of a record and its header `facts`; `None` for what is no incident.
    pub fn read(value: &str, facts: &[u8]) -> Option<Incident> {
        let members = members(value)?;
        let end = members.iter().position(|(key, _)| *key == "\"status\"")?;
        let (body, tail) = members.split_at(end);
        let id = IncidentId::parse(&text(find(body, "id")?)?)?;
        let mut incident =
            Incident { id, body: body_of(value, body), state: State::default(), updated: None, last_rejected: None, extra: String::new(), recent: Vec::new() };
        for (key, token) in tail {
            incident.read_member(key, token)?;
        }
        incident.recent = read_facts(facts);
        Some(incident)
    }

    fn read_member(&mut self, key: &str, token: &str) -> Option<()> {
        match key {
            "\"status\"" => {}
            "\"version\"" => self.state.version = integer(token)?,
            "\"closed\"" => self.state.closed = Some(Box::new(state_read::closed(token)?)),
            "\"attached\"" => self.state.attached = Some(state_read::attached(token)?),
            "\"linked\"" => self.state.linked = state_read::linked(token)?,
            "\"updated\"" => {
                let members = members(token)?;
                self.updated = Some(Updated {
                    actor: state_read::name(find(&members, "actor")?)?,
                    at: state_read::time(find(&members, "at")?)?,
                    fact: FactId::parse(&text(find(&members, "fact")?)?)?,
                });
            }
            "\"last_rejected\"" => self.last_rejected = Some(token.into()),
            _ => {
                self.extra.push(',');
                self.extra.push_str(key);
                self.extra.push(':');
                self.extra.push_str(token);
            }
        }
        Some(())
    }

    /// Appends the value of its record.
    pub fn push(&self, out: &mut Vec<u8>, times: &mut TimeText) {
        out.extend_from_slice(self.body.as_bytes());
        push_state_members(out, &self.state, times);
        if let Some(updated) = &self.updated {
            out.extend_from_slice(b",\"updated\":{\"actor\":");
            push_string(out, &updated.actor);
            out.extend_from_slice(b",\"at\":");
            times.push(out, updated.at);
            out.extend_from_slice(b",\"fact\":\"");
            out.extend_from_slice(&updated.fact.hex());
            out.extend_from_slice(b"\"}");
        }
        if let Some(rejected) = &self.last_rejected {
            out.extend_from_slice(b",\"last_rejected\":");
            out.extend_from_slice(rejected.as_bytes());
        }
        out.extend_from_slice(self.extra.as_bytes());
        out.push(b'}');
    }

    /// An upper bound of the bytes of its value.
    pub(super) fn bytes_max(&self) -> usize {
        // A byte of text becomes at most six; what is not text is short.
        let mut texts: usize = self.updated.as_ref().map_or(0, |updated| updated.actor.len());
        let mut bytes = self.body.len() + self.extra.len() + self.last_rejected.as_ref().map_or(0, |token| token.len()) + 512;
        if let Some(closed) = &self.state.closed {
            let (super::state::Closer::Rule(by) | super::state::Closer::Actor(by)) = &closed.by;
            texts += by.len();
            bytes += [&closed.reason, &closed.notes].into_iter().flatten().map(|token| token.len()).sum::<usize>();
        }
        if let Some(attached) = &self.state.attached {
            texts += attached.rules.iter().map(|(rule, _)| rule.len()).sum::<usize>() + attached.samples.iter().map(|sample| sample.topic.len()).sum::<usize>();
            bytes += attached.rules.len() * 32 + attached.samples.len() * 160;
        }
        texts += self.state.linked.iter().map(|(rule, _)| rule.len()).sum::<usize>();
        bytes + self.state.linked.len() * 64 + texts * 6
    }

    /// The value of its record.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 512);
        self.push(&mut out, &mut TimeText::default());
        out
    }

    /// What became of a fact, where it is still remembered.
    pub fn noted(&self, fact: FactId) -> Option<&Noted> {
        self.recent.iter().rev().find(|noted| noted.fact == fact)
    }

    /// Remembers a fact in place of the oldest.
    pub(super) fn note(&mut self, fact: FactId, outcome: Outcome) {
        let surplus = (self.recent.len() + 1).saturating_sub(RECENT_FACTS_MAX);
        self.recent.drain(..surplus);
        self.recent.push(Noted { fact, outcome, version: self.state.version });
    }

    /// Gives up the copy of the event; false where there is none.
    pub(super) fn drop_raw(&mut self) -> bool {
        let smaller = body::without_raw(&self.body);
        smaller.map(|body| self.body = body).is_some()
    }

    /// The header `facts`: per fact its id (16 bytes), its outcome (1), the version after it (8),
    /// numbers with the highest byte first; newest last.
    pub fn facts_header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.recent.len() * NOTED_BYTES);
        for noted in &self.recent {
            out.extend_from_slice(&noted.fact.0.to_be_bytes());
            out.push(match noted.outcome {
                Outcome::Applied => 1,
                Outcome::Unchanged => 2,
                Outcome::Rejected => 3,
            });
            out.extend_from_slice(&noted.version.to_be_bytes());
        }
        out
    }
}

/// The text of the members before `status`, from the opening brace on. Blanks between them stay.
fn body_of(value: &str, body: &[Member<'_>]) -> String {
    // Tokens are slices of `value`: the last one's end is the end of the body.
    let end = body.last().map_or(0, |(_, token)| (token.as_ptr() as usize).saturating_sub(value.as_ptr() as usize) + token.len());
    value.get(..end).unwrap_or_default().trim_start().to_owned()
}

/// Reads the header `facts`; what is damaged is not remembered.
pub fn read_facts(header: &[u8]) -> Vec<Noted> {
    let (chunks, _) = header.as_chunks::<NOTED_BYTES>();
    let skipped = chunks.len().saturating_sub(RECENT_FACTS_MAX);
    let noted = |chunk: &[u8; NOTED_BYTES]| {
        let (id, rest) = chunk.split_first_chunk::<16>()?;
        let (outcome, version) = rest.split_first()?;
        let outcome = match outcome {
            1 => Outcome::Applied,
            2 => Outcome::Unchanged,
            3 => Outcome::Rejected,
            _ => return None,
        };
        Some(Noted { fact: FactId(u128::from_be_bytes(*id)), outcome, version: u64::from_be_bytes(*version.first_chunk()?) })
    };
    chunks.iter().skip(skipped).filter_map(noted).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::incident::state::{Attachment, Change, Closed, Closer, LINKS_MAX, Sample};

    #[test]
    fn the_bound_of_its_bytes_holds_for_the_longest() {
        let text: Arc<str> = "\u{1}".repeat(300).into();
        let mut state = State { version: u64::MAX - 200, ..State::default() };
        let token: Box<str> = format!("\"{}\"", "x".repeat(1000)).into();
        state.apply(&Change::Closed(Closed { by: Closer::Actor(text.clone()), at: i64::MIN, reason: Some(token.clone()), notes: Some(token.clone()) }));
        for number in 0..LINKS_MAX as u64 {
            let rule: Arc<str> = format!("{text}{number}").into();
            state.apply(&Change::Linked { rule: rule.clone(), other: IncidentId(u128::MAX) });
            let sample = Sample { occurred: -1, topic: text.clone(), partition: i32::MIN, offset: i64::MIN + number as i64, element: u16::MAX };
            state.apply(&Change::Attached(Attachment { rule, count: u64::MAX, first: -1, last: -1, samples: vec![sample] }));
        }
        let incident = Incident {
            id: IncidentId(1),
            body: "{\"id\":1".into(),
            state,
            updated: Some(Updated { actor: text, at: -1, fact: FactId(u128::MAX) }),
            last_rejected: Some(token),
            extra: String::new(),
            recent: Vec::new(),
        };
        assert!(incident.to_json().len() <= incident.bytes_max());
        assert!(serde_json::from_slice::<serde_json::Value>(&incident.to_json()).is_ok());
    }
}
