//! The audit: what came out against what the generator knows must come out.
//!
//! Facts are read from the topics as a consumer of incidents would (read_committed). Every
//! expected incident must come exactly once, with the id that its coordinates give, and
//! with as many attached events as the generator told; counts per type, rule and reason
//! must agree; and, where the ledger is known, it must add up to the events sent.
//! Problems name ids and coordinates, never a value of an event.

use std::collections::BTreeMap;

// Several lookups for each incident: their hashing would be a tenth of what `load` costs.
use hashbrown::HashMap;
use serde::Serialize;

use super::answers::{Answers, Counts, Difference};
use super::book::{Book, NO_GROUP, Place, Seen};
use super::event::Outcome;
use super::facts::{Fact, read_fact, read_reason};
use super::gradual::GradualMap;
use super::ledger::Ledger;
use crate::incident::id::IdPrefix;

/// Examples that a problem names (count): enough to see a pattern.
pub const EXAMPLES_MAX: usize = 10;
/// Incidents whose attached events are counted one by one (count): 64 bytes each, 128 MB.
const INCIDENTS_MAX: usize = 2_000_000;
/// Fact ids that are remembered to notice a repeated fact (count): up to 18 bytes each, 72 MB.
const FACTS_MAX: usize = 4_000_000;
/// Incidents that came before the broker told us where their events lie (count).
const EARLY_MAX: usize = 1_000_000;

/// What is needed to compute the id of an incident.
#[derive(Debug, Clone)]
pub struct Ids {
    /// Tenant, if all incidents are of one.
    pub tenant: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The cluster's id.
    pub cluster: String,
    /// Topics, each with what the pipeline takes for its id.
    pub topics: Vec<(String, String)>,
}

impl Ids {
    fn of(&self, place: &Place) -> Option<u128> {
        let (_, id) = self.topics.iter().find(|(name, _)| *name == place.topic)?;
        Some(IdPrefix::new(&self.tenant, &self.pipeline, &self.cluster, id, place.partition).id(place.offset, place.element).0)
    }
}

/// What the generator expects of each incident, collected while events are sent.
#[derive(Debug, Default)]
pub struct Expected {
    /// The answers to all events sent.
    pub answers: Answers,
    /// Attached events per group.
    attached: GradualMap<u32, u32>,
    /// False once some event is attached to we do not know what, or there are too many groups.
    incomplete: bool,
    full: bool,
}

impl Expected {
    /// The events of one message that was sent.
    pub fn add(&mut self, outcomes: &[Outcome], groups: &[Option<u64>]) {
        self.answers.add_all(outcomes);
        for (outcome, group) in outcomes.iter().zip(groups) {
            let group = group.and_then(|group| u32::try_from(group).ok());
            match (outcome, group) {
                (Outcome::Attached(_) | Outcome::Incident { .. }, Some(group)) => {
                    let one = u32::from(matches!(outcome, Outcome::Attached(_)));
                    // To give all of it back at once would take as long as to move it.
                    self.full |= self.attached.len() >= INCIDENTS_MAX && self.attached.get(&group).is_none();
                    if !self.full {
                        *self.attached.get_or_default(group) += one;
                    }
                }
                (Outcome::Attached(_), None) => self.incomplete = true,
                _ => {}
            }
        }
        // A message of several events has no group of its own.
        self.incomplete |= groups.len() > 1 && outcomes.iter().any(|o| matches!(o, Outcome::Attached(_) | Outcome::Incident { .. }));
    }
}

/// Something wrong, with examples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How often.
    pub count: u64,
    /// Ids and coordinates of the first ones.
    pub examples: Vec<String>,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// An expected incident did not come: lost.
    Missing,
    /// An incident came more than once.
    Twice,
    /// An incident came that must not be.
    Unexpected,
    /// An incident's id is not that of its coordinates.
    WrongId,
    /// An incident has more or fewer attached events than it must have.
    Attached,
    /// A fact other than `created` came more than once.
    FactTwice,
    /// A fact is about an incident that never came.
    Orphan,
    /// A record is no fact.
    Unreadable,
    /// Offsets that the ledger does not cover, or covers twice.
    Gap,
    /// Events could not be sent.
    Unsent,
    /// Records could not be read back in time.
    Unread,
}

impl Wrong {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Wrong::Missing => "incidents are missing",
            Wrong::Twice => "incidents came more than once",
            Wrong::Unexpected => "incidents came that must not be",
            Wrong::WrongId => "incidents have an id that their coordinates do not give",
            Wrong::Attached => "incidents have another number of attached events than they must have",
            Wrong::FactTwice => "facts came more than once",
            Wrong::Orphan => "facts are about incidents that never came",
            Wrong::Unreadable => "records are no facts",
            Wrong::Gap => "offsets are missing in the ledger or counted twice",
            Wrong::Unsent => "events could not be sent",
            Wrong::Unread => "partitions could not be read to their end",
        }
    }
}

/// What was found, as the tail reads it.
#[derive(Debug, Default)]
pub struct Found {
    /// Counts by type, rule and reason, as far as topics tell them.
    pub counts: Counts,
    /// Facts read: created, attached, linked.
    pub facts: (u64, u64, u64),
    /// Facts of people and playbooks.
    pub others: u64,
    /// Incidents of events that we did not send.
    pub foreign: u64,
    /// The ledger, where the index topic was read, too.
    pub ledger: Ledger,
    problems: BTreeMap<Wrong, Problem>,
    /// Low half of an incident's id → its group.
    groups: GradualMap<u64, u32>,
    /// Per group: incidents, attached events.
    tallies: GradualMap<u32, (u32, u32)>,
    /// Low half of an incident's id → events attached before its group was known.
    waiting: GradualMap<u64, u32>,
    facts_seen: GradualMap<u64, ()>,
    early: Vec<Early>,
    full: bool,
}

#[derive(Debug)]
struct Early {
    place: Place,
    id: u128,
    at_us: u64,
}

impl Found {
    /// Notes a problem.
    pub fn wrong(&mut self, wrong: Wrong, count: u64, example: impl FnOnce() -> String) {
        let problem = self.problems.entry(wrong).or_default();
        problem.count += count;
        if problem.examples.len() < EXAMPLES_MAX {
            let example = example();
            if !example.is_empty() {
                problem.examples.push(example);
            }
        }
    }

    /// A record of the dead letters' topic.
    pub fn dead_letter(&mut self, payload: &[u8], at: impl FnOnce() -> String) {
        match read_reason(payload) {
            Some(reason) => count(&mut self.counts.dead_letters, &reason, 1),
            None => self.wrong(Wrong::Unreadable, 1, at),
        }
    }

    /// A record of the incidents' topic that was read at `now_us`. Returns the intended time of
    /// the event (microseconds of the run's clock) if it is the first incident of one of ours.
    pub fn fact(&mut self, payload: &[u8], book: &Book, ids: Option<&Ids>, now_us: u64, at: impl FnOnce() -> String) -> Option<u64> {
        match read_fact(payload) {
            None => self.wrong(Wrong::Unreadable, 1, at),
            Some(Fact::Other) => self.others += 1,
            Some(Fact::Attached { fact_id, id, rule, count: n }) => {
                self.facts.1 += 1;
                self.once(fact_id);
                count(&mut self.counts.attached, &rule, n);
                match self.groups.get(&(id as u64)) {
                    // Its group is known when the broker has told us where its event lies; that can be later.
                    Some(&NO_GROUP) => {
                        let waiting = self.waiting.get_or_default(id as u64);
                        *waiting = waiting.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
                    }
                    Some(group) => {
                        let tally = self.tallies.get_or_default(*group);
                        tally.1 = tally.1.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
                    }
                    None if self.full => {}
                    None => self.wrong(Wrong::Orphan, 1, || format!("attached to {id:032x}")),
                }
            }
            Some(Fact::Linked { fact_id, id, rule }) => {
                self.facts.2 += 1;
                self.once(fact_id);
                count(&mut self.counts.linked, &rule, 1);
                if !self.full && self.groups.get(&(id as u64)).is_none() {
                    self.wrong(Wrong::Orphan, 1, || format!("linked to {id:032x}"));
                }
            }
            Some(Fact::Created { fact_id, id, type_name, closed_by, source }) => {
                self.facts.0 += 1;
                count(&mut self.counts.incidents, &type_name, 1);
                if let Some(rule) = closed_by {
                    count(&mut self.counts.closed, &rule, 1);
                }
                let place = Place { topic: source.topic.into_owned(), partition: source.partition, offset: source.offset, element: source.element };
                let right = ids.and_then(|ids| ids.of(&place));
                if fact_id != id || right.is_some_and(|right| right != id) {
                    self.wrong(Wrong::WrongId, 1, || match right {
                        Some(right) => format!("{id:032x} at {place}, which gives {right:032x}"),
                        None => format!("{id:032x} at {place}, in the fact {fact_id:032x}"),
                    });
                }
                return self.place(Early { place, id, at_us: now_us }, book, false).map(|(intended, _)| intended);
            }
        }
        None
    }

    /// Looks again at incidents that came before their event's offset was known. `each` gets
    /// intended time and time of arrival. `last`: what is not known now is not ours.
    pub fn settle(&mut self, book: &Book, last: bool, mut each: impl FnMut(u64, u64)) {
        for early in std::mem::take(&mut self.early) {
            if let Some((intended, at)) = self.place(early, book, last) {
                each(intended, at);
            }
        }
    }

    fn place(&mut self, early: Early, book: &Book, last: bool) -> Option<(u64, u64)> {
        let (Early { place, id, at_us }, low) = (&early, early.id as u64);
        let seen = book.created(&place.topic, place.partition, place.offset, place.element);
        let mut group = NO_GROUP;
        let answer = match seen {
            Seen::First { intended_us, group: of } => {
                group = of;
                Some((intended_us, *at_us))
            }
            Seen::Again => {
                self.wrong(Wrong::Twice, 1, || format!("{id:032x} at {place}"));
                None
            }
            Seen::Unexpected => {
                self.wrong(Wrong::Unexpected, 1, || format!("{id:032x} at {place}"));
                None
            }
            Seen::Early if !last && self.early.len() < EARLY_MAX => {
                // Its attached facts may come before we know more.
                self.remember(*id, NO_GROUP);
                self.early.push(early);
                return None;
            }
            Seen::Early | Seen::Foreign => {
                self.foreign += 1;
                None
            }
        };
        self.remember(*id, group);
        if group != NO_GROUP && !self.full {
            let tally = self.tallies.get_or_default(group);
            tally.0 += 1;
            tally.1 = tally.1.saturating_add(self.waiting.remove(&low).unwrap_or_default());
        }
        answer
    }

    fn remember(&mut self, id: u128, group: u32) {
        self.full |= self.groups.len() >= INCIDENTS_MAX;
        if !self.full && self.groups.get(&(id as u64)).is_none_or(|known| *known == NO_GROUP) {
            self.groups.insert(id as u64, group);
        }
    }

    fn once(&mut self, fact_id: u128) {
        if self.facts_seen.len() < FACTS_MAX && self.facts_seen.insert(fact_id as u64, ()).is_some() {
            self.wrong(Wrong::FactTwice, 1, || format!("{fact_id:032x}"));
        }
    }

    /// The verdict, once everything was read. `ledger`: the pipeline's own counts, if known
    /// otherwise than from the index topic.
    pub fn verdict(mut self, expected: &Expected, book: &Book, ids: Option<&Ids>, mut ledger: Option<Counts>) -> Verdict {
        let mut notes = Vec::new();
        if ledger.is_none() && self.ledger.records > 0 {
            let (count, examples) = self.ledger.gaps(&book.ranges());
            if count > 0 {
                self.problems.insert(Wrong::Gap, Problem { count, examples });
            }
            ledger = Some(std::mem::take(&mut self.ledger.counts));
        }
        if self.ledger.unreadable > 0 {
            notes.push(format!("{} records of the ledger could not be read", self.ledger.unreadable));
        }
        if ledger.is_none() {
            notes.push("the ledger was not audited: the index topic holds none of this run".to_owned());
        }
        let (missing, places) = book.missing(EXAMPLES_MAX);
        if missing > 0 {
            let name = |place: &Place| ids.and_then(|ids| ids.of(place)).map_or_else(|| place.to_string(), |id| format!("{id:032x} at {place}"));
            self.problems.insert(Wrong::Missing, Problem { count: missing, examples: places.iter().map(name).collect() });
        }
        if self.full || expected.full {
            notes.push(format!("attached events per incident were compared in total only: more than {INCIDENTS_MAX} incidents"));
        } else if expected.incomplete {
            notes.push("attached events per incident were compared in total only: this mix of profiles does not tell every target".to_owned());
        } else if self.foreign == 0 {
            self.compare_groups(expected, book);
        }
        if self.facts_seen.len() >= FACTS_MAX {
            notes.push(format!("repeated facts were looked for among the first {FACTS_MAX} only"));
        }
        if self.foreign > 0 {
            notes.push(format!("{} incidents are of events that this run did not send: run it alone, on topics without lag", self.foreign));
        }
        let found = &self.counts;
        // Topics do not tell about events that leave nothing behind: that is the ledger's part.
        let told = |counts: &Counts| Counts {
            incidents: counts.incidents.clone(),
            attached: counts.attached.clone(),
            closed: counts.closed.clone(),
            linked: counts.linked.clone(),
            dead_letters: counts.dead_letters.clone(),
            ..Counts::default()
        };
        let answers = expected.answers.counts();
        let topics = told(&answers).compare(&told(found));
        let ledger_differences = ledger.as_ref().map(|ledger| answers.compare(ledger)).unwrap_or_default();
        Verdict {
            expected: answers,
            found: self.counts,
            facts: self.facts,
            people: self.others,
            foreign: self.foreign,
            problems: self.problems.into_iter().map(|(wrong, problem)| (wrong.words().to_owned(), problem)).collect(),
            topics,
            ledger,
            ledger_differences,
            notes,
        }
    }

    fn compare_groups(&mut self, expected: &Expected, book: &Book) {
        let tallies = std::mem::take(&mut self.tallies);
        let name = self.groups.iter().map(|(id, group)| (*group, *id)).collect::<HashMap<u32, u64>>();
        let named = |group: u32| name.get(&group).map_or_else(|| format!("of event {group}"), |id| format!("…{id:016x} (of event {group})"));
        for (group, attached) in expected.attached.iter() {
            let (created, found) = tallies.get(group).copied().unwrap_or_default();
            if !book.exact() && created != 1 {
                // With exact places the book has told already.
                let wrong = if created == 0 { Wrong::Missing } else { Wrong::Twice };
                self.wrong(wrong, u64::from(created.abs_diff(1)), || format!("{}: {created} incidents", named(*group)));
            }
            if created > 0 && found != *attached {
                self.wrong(Wrong::Attached, 1, || format!("{}: {found} attached, {attached} expected", named(*group)));
            }
        }
    }
}

fn count(map: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    match map.get_mut(name) {
        Some(sum) => *sum += n,
        None => {
            map.insert(name.to_owned(), n);
        }
    }
}

/// What the audit says.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The generator's answers to the events that were sent.
    pub expected: Counts,
    /// What the topics hold: incidents, attached, closed, linked, dead letters.
    pub found: Counts,
    /// Facts read back: created, attached, linked.
    pub facts: (u64, u64, u64),
    /// Facts of people and playbooks, which are not audited.
    pub people: u64,
    /// Incidents of events that were not ours.
    pub foreign: u64,
    /// What is wrong with single incidents and facts, in words.
    pub problems: BTreeMap<String, Problem>,
    /// Counts in which the topics differ from the answers.
    pub topics: Vec<Difference>,
    /// The pipeline's own ledger; `None` where it could not be read.
    pub ledger: Option<Counts>,
    /// Counts in which the ledger differs from the answers.
    pub ledger_differences: Vec<Difference>,
    /// What was not looked at, and why.
    pub notes: Vec<String>,
}

impl Verdict {
    /// True when nothing was lost, doubled or counted wrongly.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.topics.is_empty() && self.ledger_differences.is_empty() && self.foreign == 0
    }

    /// Everything that is wrong, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (words, problem) in &self.problems {
            lines.push(format!("{} {words}", problem.count));
            lines.extend(problem.examples.iter().map(|example| format!("    {example}")));
        }
        lines.extend(self.topics.iter().map(|difference| format!("topics: {difference}")));
        lines.extend(self.ledger_differences.iter().map(|difference| format!("ledger: {difference}")));
        if self.foreign > 0 {
            lines.push(format!("{} incidents of events that this run did not send", self.foreign));
        }
        lines
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::book::Sent;
    use super::*;

    /// What the broker says of a record can come after the incident that was made of it, and after
    /// what was attached to that.
    #[test]
    fn what_is_attached_to_an_incident_that_came_early_counts() {
        let book = Book::new(vec![("t".into(), 0, 0)], true);
        let mut expected = Expected::default();
        expected.add(&[Outcome::incident("x")], &[Some(5)]);
        expected.add(&[Outcome::Attached("r")], &[Some(5)]);
        let mut found = Found::default();
        let id = "e6e278639661d0524f8f3f7176aef06d";
        let created =
            format!(r#"{{"fact":"created","fact_id":"{id}","incident":{{"id":"{id}","type":"x","source":{{"topic":"t","partition":0,"offset":0}}}}}}"#);
        let attached = format!(r#"{{"fact":"attached","fact_id":"{}","id":"{id}","rule":"r","count":1}}"#, id.replace('e', "f"));
        assert_eq!(found.fact(created.as_bytes(), &book, None, 2_000, String::new), None, "it came early");
        assert_eq!(found.fact(attached.as_bytes(), &book, None, 2_000, String::new), None);
        book.stored(0, 0, Sent { intended_us: 1_000, expect: 1, group: 5 });
        book.stored(0, 1, Sent { intended_us: 1_500, expect: 0, group: 5 });
        let mut times = Vec::new();
        found.settle(&book, false, |intended, at| times.push((intended, at)));
        assert_eq!(times, [(1_000, 2_000)]);
        let verdict = found.verdict(&expected, &book, None, None);
        assert!(verdict.problems.is_empty() && verdict.topics.is_empty(), "{:?}", verdict.lines());
    }
}
