//! Single events through a plan, with what became of each: for `test`, `explain`,
//! `diff` and tests. The very same worker as everywhere else.

use std::sync::Arc;

use serde_json::Value;

use super::batch::{Partitions, RawBatch};
use super::decode::DecodeLimits;
use super::output::{Output, TraceEnd};
use super::plan::Plan;
use super::plan::build::Arrival;
use super::scene::NO_TIME;
use super::turnstile::Turnstile;
use super::worker::{Ended, Shared, Worker};

/// A plan that remembers what it was shown.
pub struct Trial {
    worker: Worker,
    turnstile: Turnstile,
    plan: Arc<Plan>,
    seq: u64,
    offset: i64,
}

/// The end of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Number of the message among those given.
    pub message: usize,
    /// Number of the event in it.
    pub element: u16,
    /// How it ended.
    pub end: TraceEnd,
    /// Its type, where it was classified.
    pub type_name: Option<Arc<str>>,
    /// The incident, if it became one.
    pub incident: Option<Value>,
}

impl Trial {
    /// A trial of a plan; `arrival` as in `replay`.
    pub fn new(plan: Arc<Plan>, arrival: Option<Arrival>) -> Trial {
        let mut partitions = Partitions::default();
        partitions.append("trial");
        let shared = Shared {
            plan: plan.clone(),
            partitions: Arc::new(partitions),
            cluster: "trial".into(),
            arrival,
            fingerprint_key: super::worker::random_key(),
            decode: DecodeLimits::default(),
            record_bytes_max: None,
            decide: None,
            trace: true,
            facts: false,
            spare: Default::default(),
        };
        Trial { turnstile: Turnstile::new(plan.decide.clone()), worker: Worker::new(Arc::new(shared)), plan, seq: 0, offset: 0 }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Shows one batch of messages of a source (number in the pipeline); returns the
    /// ends of all events in order, and the output as it is.
    pub fn show<'m>(&mut self, source: u16, messages: impl IntoIterator<Item = &'m [u8]>) -> Result<(Vec<End>, Output), Ended> {
        let mut batch = RawBatch::new(self.seq, source, Vec::new());
        for message in messages {
            batch.push(message, None, 0, self.offset, NO_TIME);
            self.offset += 1;
        }
        batch.seal();
        self.seq += 1;
        let output = self.worker.process(batch, &self.turnstile)?;
        let mut starts = Vec::with_capacity(output.lines.len());
        let mut at = 0;
        for line in &output.lines {
            starts.push(at);
            at += line.len as usize;
        }
        let incident = |line: u32| -> Option<Value> {
            let start = *starts.get(line as usize)?;
            let len = output.lines.get(line as usize)?.len as usize;
            serde_json::from_slice(output.incidents.get(start..start + len)?).ok()
        };
        let ends = output.trace.iter().flatten().map(|traced| End {
            message: traced.message as usize,
            element: traced.element,
            end: traced.end,
            type_name: traced.code.and_then(|code| self.plan.types.get(code as usize)).cloned(),
            incident: traced.line.and_then(incident),
        });
        Ok((ends.collect(), output))
    }
}

impl End {
    /// `incident`, `filtered` …, as `expect: outcome` writes it.
    pub fn outcome(&self) -> &'static str {
        match self.end {
            TraceEnd::Incident(_) => "incident",
            TraceEnd::Filtered(_) => "filtered",
            TraceEnd::Unclassified => "unclassified",
            TraceEnd::Dropped(_) => "dropped",
            TraceEnd::Attached(_) => "attached",
            TraceEnd::Dead(_) => "dead_letter",
        }
    }

    /// The filter or rule that decided, or the reason of a dead letter.
    pub fn by(&self, plan: &Plan) -> Option<Arc<str>> {
        match self.end {
            TraceEnd::Incident(rule) => plan.rules.get(rule? as usize).map(|rule| rule.name.clone()),
            TraceEnd::Filtered(filter) => plan.filters.get(filter as usize).map(|filter| filter.name.clone()),
            TraceEnd::Dropped(rule) | TraceEnd::Attached(rule) => plan.rules.get(rule as usize).map(|rule| rule.name.clone()),
            TraceEnd::Dead(reason) => Some(reason.into()),
            TraceEnd::Unclassified => None,
        }
    }
}
