//! What the generator hands out: a message, and what must become of its events.

/// What must become of one event. Names are those of the pipeline under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// A new incident.
    Incident {
        /// Its type.
        type_name: &'static str,
        /// The rule that links it to an older one.
        linked_by: Option<&'static str>,
        /// The rule that creates it closed.
        closed_by: Option<&'static str>,
    },
    /// Taken out before classification, by this filter.
    Filtered(&'static str),
    /// No type fits; the classification's default drops it.
    Unclassified,
    /// Dropped by this rule.
    Dropped(&'static str),
    /// A repeat, attached to the incident it repeats by this rule.
    Attached(&'static str),
    /// The whole message is a dead letter, for this reason.
    DeadLetter(&'static str),
}

impl Outcome {
    /// A new, open, unlinked incident.
    pub const fn incident(type_name: &'static str) -> Outcome {
        Outcome::Incident { type_name, linked_by: None, closed_by: None }
    }

    /// A new incident that a rule creates closed.
    pub const fn closed(type_name: &'static str, rule: &'static str) -> Outcome {
        Outcome::Incident { type_name, linked_by: None, closed_by: Some(rule) }
    }

    /// A new incident that a rule links to an older one.
    pub const fn linked(type_name: &'static str, rule: &'static str) -> Outcome {
        Outcome::Incident { type_name, linked_by: Some(rule), closed_by: None }
    }
}

/// One Kafka message or NDJSON line. The generator clears and refills it.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The profile it comes from.
    pub profile: &'static str,
    /// The kind of event within the profile (what `--answers` files and tests name).
    pub kind: &'static str,
    /// Kafka topic.
    pub topic: &'static str,
    /// Kafka key, as the source's `keyed_by` wants it; empty = none.
    pub key: Vec<u8>,
    /// The payload; without a line end.
    pub payload: Vec<u8>,
    /// Kafka record timestamp, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What must become of each event in the payload, in their order. A dead letter
    /// counts as one event; an empty `Records` array has none.
    pub outcomes: Vec<Outcome>,
    /// For each outcome: number of the event (from 0, over the whole run) whose incident it
    /// becomes or is attached to. `None` for other outcomes, and where that is not certain.
    pub groups: Vec<Option<u64>>,
}

impl Message {
    /// Empties the message, keeping its buffers.
    pub fn clear(&mut self) {
        self.profile = "";
        self.kind = "";
        self.topic = "";
        self.key.clear();
        self.payload.clear();
        self.timestamp_ms = 0;
        self.outcomes.clear();
        self.groups.clear();
    }
}
