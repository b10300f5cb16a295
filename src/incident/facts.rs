//! Facts as JSON lines: what ingest writes to the `incidents` topic.
//!
//! `{"fact":"created","fact_id":…,"incident":{…}}`, `{"fact":"attached","fact_id":…,"id":…,…}`,
//! `{"fact":"linked","fact_id":…,"id":…,"other":…,"rule":…}`. A fact's id is derived from what
//! it says, so that a repeated fact is known as one.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::encode::{push_integer, push_string};
use super::fold::{Fact, push_samples};
use super::id::IncidentId;
use super::time_text::TimeText;

const KEY: [u8; 16] = *b"catchment fact 1";

/// Begins a `created` fact; the incident's JSON follows, then `}`.
pub fn push_created_head(out: &mut Vec<u8>, id: IncidentId) {
    out.extend_from_slice(b"{\"fact\":\"created\",\"fact_id\":\"");
    // An incident is created once: its id names the fact too.
    out.extend_from_slice(&id.hex());
    out.extend_from_slice(b"\",\"incident\":");
}

/// Appends a fact about the incident `id`, as one JSON object.
pub fn push_fact(out: &mut Vec<u8>, id: IncidentId, fact: &Fact, times: &mut TimeText) {
    match fact {
        Fact::Attached { rule, count, first, last, samples } => {
            let mut hasher = SipHasher13::new_with_key(&KEY);
            hasher.write(b"attached");
            hasher.write(&id.0.to_le_bytes());
            hasher.write(rule.as_bytes());
            for sample in samples {
                hasher.write(sample.topic.as_bytes());
                hasher.write(&sample.partition.to_le_bytes());
                hasher.write(&sample.offset.to_le_bytes());
                hasher.write(&sample.element.to_le_bytes());
            }
            push_head(out, "attached", IncidentId(hasher.finish128().as_u128()), id);
            out.extend_from_slice(b",\"rule\":");
            push_string(out, rule);
            out.extend_from_slice(b",\"count\":");
            push_integer(out, *count as i64);
            out.extend_from_slice(b",\"first\":");
            times.push(out, *first);
            out.extend_from_slice(b",\"last\":");
            times.push(out, *last);
            out.extend_from_slice(b",\"samples\":");
            push_samples(out, samples, times);
        }
        Fact::Linked { rule, other } => {
            let mut hasher = SipHasher13::new_with_key(&KEY);
            hasher.write(b"linked");
            hasher.write(&id.0.to_le_bytes());
            hasher.write(&other.0.to_le_bytes());
            hasher.write(rule.as_bytes());
            push_head(out, "linked", IncidentId(hasher.finish128().as_u128()), id);
            out.extend_from_slice(b",\"other\":\"");
            out.extend_from_slice(&other.hex());
            out.extend_from_slice(b"\",\"rule\":");
            push_string(out, rule);
        }
    }
    out.push(b'}');
}

fn push_head(out: &mut Vec<u8>, kind: &str, fact_id: IncidentId, id: IncidentId) {
    out.extend_from_slice(b"{\"fact\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"fact_id\":\"");
    out.extend_from_slice(&fact_id.hex());
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(&id.hex());
    out.push(b'"');
}
