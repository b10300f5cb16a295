//! Reads back what `state` and `facts` write of states and attachments.

use std::sync::Arc;

use super::id::IncidentId;
use super::split::{elements, find, integer, members, text};
use super::state::{Attached, Closed, Closer, Sample};
use super::time_text::read_time;

/// An array of samples, in order and not more than are kept.
pub fn samples(token: &str) -> Option<Vec<Sample>> {
    let mut samples = elements(token)?.into_iter().map(sample).collect::<Option<Vec<Sample>>>()?;
    samples.sort();
    samples.dedup();
    samples.drain(..samples.len().saturating_sub(super::state::SAMPLES_MAX));
    Some(samples)
}

fn sample(token: &str) -> Option<Sample> {
    let members = members(token)?;
    Some(Sample {
        occurred: time(find(&members, "occurred")?)?,
        topic: name(find(&members, "topic")?)?,
        partition: integer(find(&members, "partition")?)?,
        offset: integer(find(&members, "offset")?)?,
        element: integer(find(&members, "element")?)?,
    })
}

/// The member `attached` of a state.
pub fn attached(token: &str) -> Option<Attached> {
    let whole = members(token)?;
    let count = |(key, value): (&str, &str)| Some((name(key)?, integer(value)?));
    let mut rules = members(find(&whole, "rules")?)?.into_iter().map(count).collect::<Option<Vec<(Arc<str>, u64)>>>()?;
    rules.sort();
    rules.dedup_by(|one, other| one.0 == other.0);
    Some(Attached {
        count: integer(find(&whole, "count")?)?,
        first: time(find(&whole, "first")?)?,
        last: time(find(&whole, "last")?)?,
        rules,
        samples: samples(find(&whole, "samples")?)?,
    })
}

/// The member `closed` of a state.
pub fn closed(token: &str) -> Option<Closed> {
    let members = members(token)?;
    let by = match find(&members, "rule") {
        Some(rule) => Closer::Rule(name(rule)?),
        None => Closer::Actor(name(find(&members, "actor")?)?),
    };
    let said = |key| find(&members, key).filter(|token| token.starts_with('"')).map(Box::from);
    Some(Closed { by, at: time(find(&members, "at")?)?, reason: said("reason"), notes: said("notes") })
}

/// The member `linked` of a state.
pub fn linked(token: &str) -> Option<Vec<(Arc<str>, IncidentId)>> {
    let link = |token| {
        let members = members(token)?;
        Some((name(find(&members, "rule")?)?, IncidentId::parse(&text(find(&members, "id")?)?)?))
    };
    let mut links = elements(token)?.into_iter().map(link).collect::<Option<Vec<_>>>()?;
    links.truncate(super::state::LINKS_MAX);
    Some(links)
}

/// A text that many records share the shape of: names of rules, topics, actors.
pub fn name(token: &str) -> Option<Arc<str>> {
    text(token).map(Arc::from)
}

/// A time in microseconds.
pub fn time(token: &str) -> Option<i64> {
    read_time(&text(token)?)
}
