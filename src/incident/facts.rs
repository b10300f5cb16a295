//! Facts as JSON: what ingest, people and programs write to the `incidents` topic.
//!
//! `{"fact":"created","fact_id":…,"incident":{…}}`, `{"fact":"attached","fact_id":…,"id":…,…}`,
//! `{"fact":"linked","fact_id":…,"id":…,"other":…,"rule":…}`; and from people and playbooks `set`, `close`,
//! `reopen`, `timer`, and what the role `respond` is told. The id of a fact of ingest is derived from what it says, so that a repeated fact is
//! known as one. `fact` reads them back.

use std::hash::Hasher;
use std::ops::Range;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::encode::{push_integer, push_string};
use super::fact::{Fact, What};
use super::id::{FactId, ID_BYTES, IncidentId};
use super::state::{Attachment, push_samples};
use super::time_text::TimeText;

const KEY: [u8; 16] = *b"catchment fact 1";

const CREATED: &[u8] = b"{\"fact\":\"created\",\"fact_id\":\"";

/// Begins a `created` fact; the incident's JSON follows, then `}`.
#[inline]
pub fn push_created_head(out: &mut Vec<u8>, id: &[u8; ID_BYTES]) {
    out.extend_from_slice(CREATED);
    // An incident is created once: its id names the fact too.
    out.extend_from_slice(id);
    out.extend_from_slice(b"\",\"incident\":");
}

/// Where a fact that starts at `start` names its incident: 32 hex digits, which are its record's key, too.
pub fn about_at(kind: &str, start: usize) -> Range<usize> {
    let at = match kind {
        "created" => start + CREATED.len(),
        _ => start + FACT.len() + kind.len() + FACT_ID.len() + ID_BYTES + ID.len(),
    };
    at..at + ID_BYTES
}

/// Appends an `attached` fact.
pub fn push_attached_fact(out: &mut Vec<u8>, id: IncidentId, fact: &Attachment, times: &mut TimeText) {
    let mut hasher = SipHasher13::new_with_key(&KEY);
    hasher.write(b"attached");
    hasher.write(&id.0.to_le_bytes());
    hasher.write(fact.rule.as_bytes());
    for sample in &fact.samples {
        hasher.write(sample.topic.as_bytes());
        hasher.write(&sample.partition.to_le_bytes());
        hasher.write(&sample.offset.to_le_bytes());
        hasher.write(&sample.element.to_le_bytes());
    }
    push_head(out, "attached", FactId(hasher.finish128().as_u128()), id);
    out.extend_from_slice(b",\"rule\":");
    push_string(out, &fact.rule);
    out.extend_from_slice(b",\"count\":");
    push_integer(out, fact.count as i64);
    out.extend_from_slice(b",\"first\":");
    times.push(out, fact.first);
    out.extend_from_slice(b",\"last\":");
    times.push(out, fact.last);
    out.extend_from_slice(b",\"samples\":");
    push_samples(out, &fact.samples, times);
    out.push(b'}');
}

/// Appends a fact of a person, a program or a playbook. Nothing for facts that only ingest may write.
pub fn push_edit(out: &mut Vec<u8>, fact: &Fact, times: &mut TimeText) {
    let start = out.len();
    push_head(out, fact.what.kind(), fact.id, fact.about);
    match &fact.what {
        What::Created(_) | What::Attached(_) | What::Linked { .. } => return out.truncate(start),
        What::Reopen => {}
        What::Order(order) => order.push(out),
        What::Timer { field, event, due } => {
            push_key(out, "field");
            push_string(out, field);
            push_key(out, "what");
            push_string(out, event.name());
            if *due != 0 {
                push_key(out, "due");
                times.push(out, *due);
            }
        }
        What::Close { reason, notes } => {
            for (key, token) in [("reason", reason), ("notes", notes)] {
                if let Some(token) = token {
                    push_key(out, key);
                    out.extend_from_slice(token.as_bytes());
                }
            }
        }
        What::Set(fields) => {
            push_key(out, "fields");
            out.push(b'{');
            for (number, (name, token)) in fields.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                push_string(out, name);
                out.push(b':');
                out.extend_from_slice(token.as_bytes());
            }
            out.push(b'}');
        }
    }
    if let Some(version) = fact.if_version {
        push_key(out, "if_version");
        out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
    }
    if let Some(actor) = &fact.actor {
        push_key(out, "actor");
        push_string(out, actor);
    }
    push_key(out, "at");
    times.push(out, fact.at);
    out.push(b'}');
}

fn push_key(out: &mut Vec<u8>, key: &str) {
    out.push(b',');
    push_string(out, key);
    out.push(b':');
}

/// Appends a `linked` fact.
pub fn push_linked_fact(out: &mut Vec<u8>, id: IncidentId, rule: &str, other: IncidentId) {
    let mut hasher = SipHasher13::new_with_key(&KEY);
    hasher.write(b"linked");
    hasher.write(&id.0.to_le_bytes());
    hasher.write(&other.0.to_le_bytes());
    hasher.write(rule.as_bytes());
    push_head(out, "linked", FactId(hasher.finish128().as_u128()), id);
    out.extend_from_slice(b",\"other\":\"");
    out.extend_from_slice(&other.hex());
    out.extend_from_slice(b"\",\"rule\":");
    push_string(out, rule);
    out.push(b'}');
}

const FACT: &[u8] = b"{\"fact\":\"";
const FACT_ID: &[u8] = b"\",\"fact_id\":\"";
const ID: &[u8] = b"\",\"id\":\"";

fn push_head(out: &mut Vec<u8>, kind: &str, fact_id: FactId, id: IncidentId) {
    out.extend_from_slice(FACT);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(FACT_ID);
    out.extend_from_slice(&fact_id.hex());
    out.extend_from_slice(ID);
    out.extend_from_slice(&id.hex());
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_names_its_incident_where_it_says() {
        let (id, other) = (IncidentId(0xfeed_0000_0000_0000_0000_0000_0000_beef), IncidentId(7));
        let mut out = b"before".to_vec();
        let mut ends = Vec::new();
        push_created_head(&mut out, &id.hex());
        out.extend_from_slice(b"{}}");
        ends.push(("created", out.len()));
        let fact = Attachment { rule: "r".into(), count: 1, first: 0, last: 0, samples: Vec::new() };
        push_attached_fact(&mut out, id, &fact, &mut TimeText::default());
        ends.push(("attached", out.len()));
        push_linked_fact(&mut out, id, "r", other);
        ends.push(("linked", out.len()));
        let mut start = b"before".len();
        for (kind, end) in ends {
            assert_eq!(out.get(about_at(kind, start)), Some(&id.hex()[..]), "{kind}");
            start = end;
        }
    }
}
