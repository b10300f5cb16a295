//! The ledger that the generator expects, in the form of the engine's counters, and
//! the comparison of the two.

use std::collections::BTreeMap;
use std::fmt;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::event::Outcome;

/// Counters of one run, by outcome and name. The engine fills one from its own
/// counters, the generator one from what it planned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Counts {
    /// All events, dead letters included.
    pub events: u64,
    /// Created incidents per type, closed and linked ones included.
    pub incidents: BTreeMap<String, u64>,
    /// Filtered events per filter.
    pub filtered: BTreeMap<String, u64>,
    /// Events that no type fits.
    pub unclassified: u64,
    /// Dropped events per rule.
    pub dropped: BTreeMap<String, u64>,
    /// Attached events per rule.
    pub attached: BTreeMap<String, u64>,
    /// Incidents created closed, per rule; they are among `incidents`.
    pub closed: BTreeMap<String, u64>,
    /// Incidents created with a link, per rule; they are among `incidents`.
    pub linked: BTreeMap<String, u64>,
    /// Dead letters per reason.
    pub dead_letters: BTreeMap<String, u64>,
}

impl Counts {
    /// The sum over all outcomes; equal to `events` when the ledger adds up.
    pub fn total(&self) -> u64 {
        let maps = [&self.incidents, &self.filtered, &self.dropped, &self.attached, &self.dead_letters];
        self.unclassified + maps.iter().flat_map(|m| m.values()).sum::<u64>()
    }

    /// All counters that are found to be different; empty = all agree.
    pub fn compare(&self, found: &Counts) -> Vec<Difference> {
        let expected = self;
        let mut differences = Vec::new();
        let mut plain = |counter, expected, found| {
            if expected != found {
                differences.push(Difference { counter, name: String::new(), expected, found });
            }
        };
        plain("events", expected.events, found.events);
        plain("unclassified", expected.unclassified, found.unclassified);
        let maps = [
            ("incidents", &expected.incidents, &found.incidents),
            ("filtered", &expected.filtered, &found.filtered),
            ("dropped", &expected.dropped, &found.dropped),
            ("attached", &expected.attached, &found.attached),
            ("closed", &expected.closed, &found.closed),
            ("linked", &expected.linked, &found.linked),
            ("dead_letters", &expected.dead_letters, &found.dead_letters),
        ];
        for (counter, expected, found) in maps {
            // A name that only one side knows counts 0 on the other.
            let mut names: Vec<&String> = expected.keys().chain(found.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (e, f) = (expected.get(name).copied().unwrap_or(0), found.get(name).copied().unwrap_or(0));
                if e != f {
                    differences.push(Difference { counter, name: name.clone(), expected: e, found: f });
                }
            }
        }
        differences
    }

    /// Adds the counts of another part of the run.
    pub fn merge(&mut self, other: &Counts) {
        self.events += other.events;
        self.unclassified += other.unclassified;
        for (map, other) in [
            (&mut self.incidents, &other.incidents),
            (&mut self.filtered, &other.filtered),
            (&mut self.dropped, &other.dropped),
            (&mut self.attached, &other.attached),
            (&mut self.closed, &other.closed),
            (&mut self.linked, &other.linked),
            (&mut self.dead_letters, &other.dead_letters),
        ] {
            for (name, n) in other {
                *map.entry(name.clone()).or_default() += n;
            }
        }
    }

    /// Counts `n` events of an outcome.
    pub fn add(&mut self, outcome: Outcome, n: u64) {
        let count = |map: &mut BTreeMap<String, u64>, name: &str| match map.get_mut(name) {
            Some(sum) => *sum += n,
            None => {
                map.insert(name.to_owned(), n);
            }
        };
        self.events += n;
        match outcome {
            Outcome::Incident { type_name, linked_by, closed_by } => {
                count(&mut self.incidents, type_name);
                if let Some(rule) = linked_by {
                    count(&mut self.linked, rule);
                }
                if let Some(rule) = closed_by {
                    count(&mut self.closed, rule);
                }
            }
            Outcome::Filtered(name) => count(&mut self.filtered, name),
            Outcome::Unclassified => self.unclassified += n,
            Outcome::Dropped(rule) => count(&mut self.dropped, rule),
            Outcome::Attached(rule) => count(&mut self.attached, rule),
            Outcome::DeadLetter(reason) => count(&mut self.dead_letters, reason),
        }
    }
}

/// One counter that is not what the generator knows it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The counter: `filtered`, `incidents`, …
    pub counter: &'static str,
    /// The type, filter, rule or reason; empty for counters without a name.
    pub name: String,
    /// The generator's answer.
    pub expected: u64,
    /// The engine's count.
    pub found: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { counter, name, expected, found } = self;
        let between = if name.is_empty() { "" } else { " " };
        write!(f, "{counter}{between}{name}: expected {expected}, found {found}")
    }
}

/// The generator's answers to the messages it handed out.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    // One entry per outcome ever seen: a few hundred at most, since names are the profiles'.
    counts: HashMap<Outcome, u64>,
}

impl Answers {
    /// No answers yet.
    pub fn new() -> Answers {
        Answers::default()
    }

    /// Counts one event's outcome.
    pub fn add(&mut self, outcome: Outcome) {
        *self.counts.entry(outcome).or_default() += 1;
    }

    /// Counts all events of a message.
    pub fn add_all(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.add(*outcome);
        }
    }

    /// Adds the answers of another part of the run.
    pub fn merge(&mut self, other: &Answers) {
        for (outcome, n) in &other.counts {
            *self.counts.entry(*outcome).or_default() += n;
        }
    }

    /// Everything counted so far, as counters.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (outcome, n) in &self.counts {
            counts.add(*outcome, *n);
        }
        counts
    }

    /// All counters in which the engine is not of our opinion; empty = it agrees.
    pub fn compare(&self, found: &Counts) -> Vec<Difference> {
        self.counts().compare(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences() {
        let mut answers = Answers::new();
        answers.add(Outcome::incident("A"));
        answers.add(Outcome::linked("A", "campaign"));
        answers.add_all(&[Outcome::Filtered("noise"), Outcome::Unclassified, Outcome::DeadLetter("syntax")]);
        let mut found = answers.counts();
        assert_eq!((found.total(), found.events), (5, 5));
        assert_eq!(found.linked["campaign"], 1);
        assert!(answers.compare(&found).is_empty());

        found.add(Outcome::Dropped("lab"), 2);
        found.linked.clear();
        let told: Vec<String> = answers.compare(&found).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["events: expected 5, found 7", "dropped lab: expected 0, found 2", "linked campaign: expected 1, found 0"]);
    }
}
