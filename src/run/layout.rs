//! Owns how a pipeline's topics must be: partitions, copies, configuration, each with its reason;
//! and the comparison with what a cluster has. Nothing here asks a broker.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::environment::Topics;
use crate::config::model::Pipeline;
use crate::config::units::format_duration_ms;
use crate::kafka::{ConfigValue, NewTopic, Topic};

use super::Names;

const DAY_MS: i64 = 24 * 3_600_000;

/// How long facts are kept, in milliseconds: a week to look back, and for a keeper that stands still.
pub const FACTS_RETENTION_MS: i64 = 7 * DAY_MS;
/// The least that is useful, in milliseconds: a keeper must have read them by then.
pub const FACTS_RETENTION_MIN_MS: i64 = DAY_MS;
/// How long dead letters are kept, in milliseconds: they wait for a person.
pub const DEAD_LETTERS_RETENTION_MS: i64 = 30 * DAY_MS;
/// How long the pipeline may stand still without forgetting what its rules remember, in
/// milliseconds: as long as input topics usually keep events.
pub const INDEX_STANDSTILL_MS: i64 = 7 * DAY_MS;
/// The least of that: a day.
pub const INDEX_STANDSTILL_MIN_MS: i64 = DAY_MS;
/// Partitions of `dead-letters`: there should be few, and three brokers may share them.
pub const DEAD_LETTERS_PARTITIONS: i32 = 3;
/// How long the war room is kept, in milliseconds: it is the audit record; the archive keeps it longer.
pub const WAR_ROOM_RETENTION_MS: i64 = 90 * DAY_MS;
/// The least that an audit record is worth, in milliseconds.
pub const WAR_ROOM_RETENTION_MIN_MS: i64 = 30 * DAY_MS;
/// Copies from which on two of them must have a record before it counts as stored.
const REPLICATION_SAFE: i32 = 3;
/// Longest time until a segment is closed, in milliseconds. Retention and compaction only see
/// closed segments, and the brokers' default is a week.
const SEGMENT_MS: i64 = DAY_MS;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Events come from it.
    Events,
    /// Facts about incidents.
    Facts,
    /// The newest version of every incident.
    States,
    /// What rules remember, and the ledger.
    Index,
    /// What could not become an event or an incident.
    DeadLetters,
    /// The newest state of every run of a playbook.
    Runs,
    /// What playbooks and people did.
    WarRoom,
    /// What stands still, and in which mode the others are.
    RespondControl,
}

impl Role {
    /// A word or two for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Events => "events",
            Role::Facts => "facts",
            Role::States => "incident state",
            Role::Index => "index",
            Role::DeadLetters => "dead letters",
            Role::Runs => "playbook runs",
            Role::WarRoom => "war room",
            Role::RespondControl => "playbook control",
        }
    }
}

/// What a property must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// This.
    Is(&'static str),
    /// At least so many milliseconds; -1 is more than any.
    AtLeastMs(i64),
    /// At most so many milliseconds.
    AtMostMs(i64),
    /// Without bound: -1.
    Unlimited,
    /// At least this number.
    AtLeast(i64),
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Is(value) => f.write_str(value),
            Want::AtLeastMs(ms) => write!(f, "≥ {}", format_duration_ms(*ms)),
            Want::AtMostMs(ms) => write!(f, "≤ {}", format_duration_ms(*ms)),
            Want::Unlimited => f.write_str("-1 (no bound)"),
            Want::AtLeast(number) => write!(f, "≥ {number}"),
        }
    }
}

impl Want {
    fn holds(&self, value: &str) -> bool {
        let number = value.parse::<i64>();
        match self {
            Want::Is(wanted) => value == *wanted,
            Want::AtLeastMs(least) => number.is_ok_and(|number| number < 0 || number >= *least),
            Want::AtMostMs(most) => number.is_ok_and(|number| number >= 0 && number <= *most),
            Want::Unlimited => number.is_ok_and(|number| number < 0),
            Want::AtLeast(least) => number.is_ok_and(|number| number >= *least),
        }
    }
}

/// How bad it is if something is otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It works, and could be better.
    Advice,
    /// Results would be wrong, or nothing would run.
    Needed,
}

/// A property of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Kafka's name for it.
    pub key: &'static str,
    /// What it must be.
    pub want: Want,
    /// What it is made with.
    pub value: String,
    /// How bad it is otherwise.
    pub weight: Weight,
    /// Why.
    pub why: &'static str,
}

/// A topic as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its partitions; `None`: any number will do, or it is not known yet.
    pub partitions: Option<i32>,
    /// Its copies; -1: the brokers' default.
    pub replication: i32,
    /// Its configuration, as far as it matters.
    pub properties: Vec<Property>,
}

impl Wanted {
    /// The topic to be made; `None` while its partitions are not known.
    pub fn to_create(&self) -> Option<NewTopic> {
        let configs = self.properties.iter().map(|property| (property.key.to_owned(), property.value.clone())).collect();
        Some(NewTopic { name: self.name.clone(), partitions: self.partitions?, replication: self.replication, configs })
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub weight: Weight,
    /// `partitions`, `replication`, or a property; `exists` if the topic is not there.
    pub what: String,
    /// As it must be.
    pub wanted: String,
    /// As it is.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it.
    pub fix: Fix,
}

/// What to do about a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Make the topic.
    Create,
    /// Set a property to this value.
    Configure(&'static str, String),
    /// Add partitions, to this number.
    Grow(i32),
    /// Something else, in words.
    Advice(String),
}

/// How long the index must reach back, in milliseconds of event time: the longest `within`, and
/// how far events may be from their arrival on either side.
pub fn index_reach_ms(pipeline: &Pipeline) -> i64 {
    let within = pipeline.preprocess.rules.iter().filter_map(|rule| rule.within_ms).max().unwrap_or(0);
    within.saturating_add(pipeline.clock.late_max_ms).saturating_add(pipeline.clock.max_skew_ms)
}

/// The topics that the pipeline writes, as they must be. `input_partitions`: the largest number
/// of partitions of an input topic, `None` while some input topic is missing.
pub fn outputs(pipeline: &Pipeline, names: &Names, topics: &Topics, input_partitions: Option<i32>) -> Vec<Wanted> {
    use Weight::{Advice, Needed};
    let property = |key, want, value: String, weight, why| Property { key, want, value, weight, why };
    let delete = |why| property("cleanup.policy", Want::Is("delete"), "delete".to_owned(), Needed, why);
    let segment = |why| property("segment.ms", Want::AtMostMs(SEGMENT_MS), SEGMENT_MS.to_string(), Advice, why);
    let reach = index_reach_ms(pipeline);
    let facts = vec![
        delete("compaction would leave one fact of each incident"),
        property(
            "retention.ms",
            Want::AtLeastMs(FACTS_RETENTION_MIN_MS),
            FACTS_RETENTION_MS.to_string(),
            Needed,
            "facts must stay until the keeper has read them",
        ),
    ];
    let states = vec![
        property("cleanup.policy", Want::Is("compact"), "compact".to_owned(), Needed, "the newest version of every incident must stay"),
        segment("open segments are not compacted"),
    ];
    let index = vec![
        delete("compaction would leave one block of each partition"),
        property(
            "retention.ms",
            Want::AtLeastMs(reach.saturating_add(INDEX_STANDSTILL_MIN_MS)),
            reach.saturating_add(INDEX_STANDSTILL_MS).to_string(),
            Needed,
            "after a restart rules must remember as far back as `within` reaches",
        ),
        property("retention.bytes", Want::Unlimited, "-1".to_owned(), Needed, "after a restart rules must remember as far back as `within` reaches"),
        segment("open segments are read at every start, however old"),
    ];
    let dead = vec![
        delete("letters of one event may have the same key"),
        property("retention.ms", Want::AtLeastMs(DAY_MS), DEAD_LETTERS_RETENTION_MS.to_string(), Advice, "dead letters wait for a person"),
    ];
    let wanted = |name: &str, role, partitions, mut properties: Vec<Property>| {
        if topics.replication >= REPLICATION_SAFE {
            properties.push(property(
                "min.insync.replicas",
                Want::AtLeast(2),
                "2".to_owned(),
                Advice,
                "with one copy a broker that dies takes acknowledged records along",
            ));
        }
        Wanted { name: name.to_owned(), role, partitions, replication: topics.replication, properties }
    };
    let mut all = vec![
        wanted(&names.incidents, Role::Facts, Some(topics.partitions), facts),
        wanted(&names.incident_state, Role::States, Some(topics.partitions), states),
        wanted(&names.index, Role::Index, input_partitions, index),
        wanted(&names.dead_letters, Role::DeadLetters, Some(DEAD_LETTERS_PARTITIONS), dead),
    ];
    if pipeline.responds() {
        let compact = |why| property("cleanup.policy", Want::Is("compact"), "compact".to_owned(), Needed, why);
        let runs = vec![compact("the newest state of every run must stay: it is where the run goes on"), segment("open segments are not compacted")];
        let war_room = vec![
            delete("it is an audit record: no entry may take the place of another"),
            property(
                "retention.ms",
                Want::AtLeastMs(WAR_ROOM_RETENTION_MIN_MS),
                WAR_ROOM_RETENTION_MS.to_string(),
                Advice,
                "who did what is asked for weeks later",
            ),
        ];
        let control = vec![compact("what stands still must stand still after a restart")];
        all.push(wanted(&names.runs, Role::Runs, Some(topics.partitions), runs));
        all.push(wanted(&names.war_room, Role::WarRoom, Some(topics.partitions), war_room));
        all.push(wanted(&names.respond_control, Role::RespondControl, Some(1), control));
    }
    all
}

/// An input topic; `create`: with so many partitions, if it is not there.
pub fn input(name: &str, create: Option<i32>, topics: &Topics) -> Wanted {
    let properties = vec![Property {
        key: "cleanup.policy",
        want: Want::Is("delete"),
        value: "delete".to_owned(),
        weight: Weight::Advice,
        why: "compaction removes events whose key comes again, perhaps before they are read",
    }];
    Wanted { name: name.to_owned(), role: Role::Events, partitions: create, replication: topics.replication, properties }
}

/// What is not as it must be. `found`: the topic and its configuration, `None` if it is not there.
pub fn compare(wanted: &Wanted, found: Option<(&Topic, &BTreeMap<String, ConfigValue>)>) -> Vec<Problem> {
    let Some((topic, configs)) = found else {
        let why = match wanted.role {
            Role::Events => "the pipeline reads it",
            _ => "the pipeline writes it, and topics are never made by the way",
        };
        let missing = Problem { weight: Weight::Needed, what: "exists".into(), wanted: "yes".into(), found: "no".into(), why: why.into(), fix: Fix::Create };
        return vec![missing];
    };
    let mut problems = Vec::new();
    if let Some(partitions) = wanted.partitions.filter(|partitions| *partitions != topic.partitions) {
        problems.extend(partitions_differ(wanted, partitions, topic.partitions));
    }
    if wanted.replication > 0 && topic.replication < wanted.replication && wanted.role != Role::Events {
        problems.push(Problem {
            weight: Weight::Advice,
            what: "replication".into(),
            wanted: wanted.replication.to_string(),
            found: topic.replication.to_string(),
            why: "catchment.yaml says so".into(),
            fix: Fix::Advice("kafka-reassign-partitions.sh adds copies; or mend `topics.replication`".into()),
        });
    }
    for property in &wanted.properties {
        let found = configs.get(property.key).map(|value| value.value.as_str()).unwrap_or_default();
        if !property.want.holds(found) {
            problems.push(Problem {
                weight: property.weight,
                what: property.key.into(),
                wanted: property.want.to_string(),
                found: shown(property.key, found),
                why: property.why.into(),
                fix: Fix::Configure(property.key, property.value.clone()),
            });
        }
    }
    problems
}

fn partitions_differ(wanted: &Wanted, partitions: i32, found: i32) -> Option<Problem> {
    let problem = |weight, why: &str, fix| {
        Some(Problem { weight, what: "partitions".into(), wanted: partitions.to_string(), found: found.to_string(), why: why.into(), fix })
    };
    match wanted.role {
        // More are never written to.
        Role::Index if found > partitions => None,
        Role::Index => problem(Weight::Needed, "input partition n has its index in partition n", Fix::Grow(partitions)),
        Role::Facts | Role::States | Role::Runs => {
            let advice =
                format!("write topics: {{ partitions: {found} }} into catchment.yaml; adding partitions would send an incident's facts to another one");
            problem(Weight::Advice, "catchment.yaml says so", Fix::Advice(advice))
        }
        Role::RespondControl => problem(
            Weight::Advice,
            "it is read as a whole, in one order",
            Fix::Advice("delete it and make it again; what is paused then has to be paused again".to_owned()),
        ),
        Role::Events | Role::DeadLetters | Role::WarRoom => None,
    }
}

/// The problem of facts and states (of incidents, or of runs) that do not have equally many
/// partitions, if they do not.
pub fn pairing(facts: &Topic, states: &Topic, role: Role) -> Option<Problem> {
    let (why, advice) = match role {
        Role::Runs => {
            ("a run's state stands in the partition of its incident", "runs that are under way are lost, and begin anew from the facts that are kept")
        }
        _ => ("an incident's state stands in the partition of its facts", "the keeper writes it anew from the facts that are kept"),
    };
    (facts.partitions != states.partitions).then(|| Problem {
        weight: Weight::Needed,
        what: "partitions".into(),
        wanted: format!("{}, as {}", facts.partitions, facts.name),
        found: states.partitions.to_string(),
        why: why.into(),
        fix: Fix::Advice(format!("delete {} and make it again: {advice}", states.name)),
    })
}

/// A property's value for people: times in units.
pub fn shown(key: &str, value: &str) -> String {
    match value.parse::<i64>() {
        Ok(number) if key.ends_with(".ms") && number >= 0 => format_duration_ms(number),
        Ok(-1) => "-1 (no bound)".to_owned(),
        _ if value.is_empty() => "nothing".to_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pipeline() -> Pipeline {
        let text = "name: p\nsource: { topics: [in] }\nclassify: { default: drop }\npreprocess:\n  rules:\n    - { name: a, match: [x], within: 2h, action: drop }\n    - { name: b, match: [x], within: 1d, action: drop }\n";
        let (pipeline, out) = crate::config::load_text("pipeline.yaml", text, std::path::Path::new("."));
        pipeline.unwrap_or_else(|| panic!("{}", out.plain()))
    }

    fn found(partitions: i32, configs: &[(&str, &str)]) -> (Topic, BTreeMap<String, ConfigValue>) {
        let topic = Topic { name: "t".into(), id: None, partitions, replication: 1 };
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), ConfigValue { value: (*value).to_owned(), inherited: true }));
        (topic, configs.collect())
    }

    #[test]
    fn the_index_reaches_back_as_far_as_rules_do() {
        let pipeline = pipeline();
        // The longest `within`, late_max 1h, max_skew 5m.
        assert_eq!(index_reach_ms(&pipeline), 25 * 3_600_000 + 300_000);
        let wanted = outputs(&pipeline, &Names::of(&pipeline), &Topics::default(), Some(12));
        let index = &wanted[2];
        assert_eq!((index.name.as_str(), index.partitions), ("p.index", Some(12)));
        let made = index.to_create().unwrap();
        assert!(made.configs.contains(&("retention.ms".into(), (index_reach_ms(&pipeline) + INDEX_STANDSTILL_MS).to_string())));
        let good = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1"), ("segment.ms", "1000")];
        let (topic, configs) = found(12, &good);
        assert_eq!(compare(index, Some((&topic, &configs))), []);
        let (topic, configs) = found(4, &[("cleanup.policy", "delete"), ("retention.ms", "3600000"), ("retention.bytes", "9"), ("segment.ms", "604800000")]);
        let problems = compare(index, Some((&topic, &configs)));
        let told: Vec<String> = problems.iter().map(|p| format!("{:?} {} {} / {}", p.weight, p.what, p.found, p.wanted)).collect();
        assert_eq!(
            told,
            ["Needed partitions 4 / 12", "Needed retention.ms 1h / ≥ 2d1h5m", "Needed retention.bytes 9 / -1 (no bound)", "Advice segment.ms 1w / ≤ 1d"]
        );
    }

    #[test]
    fn facts_are_not_compacted_and_states_are() {
        let pipeline = pipeline();
        let wanted = outputs(&pipeline, &Names::of(&pipeline), &Topics { partitions: 6, replication: 3 }, None);
        assert_eq!(wanted[2].to_create(), None, "without input topics its partitions are not known");
        let (topic, configs) =
            found(8, &[("cleanup.policy", "compact,delete"), ("retention.ms", "604800000"), ("segment.ms", "1"), ("min.insync.replicas", "2")]);
        let needed = |wanted: &Wanted| {
            let problems = compare(wanted, Some((&topic, &configs)));
            problems.iter().filter(|p| p.weight == Weight::Needed).map(|p| p.what.clone()).collect::<Vec<_>>()
        };
        assert_eq!(needed(&wanted[0]), ["cleanup.policy"]);
        assert_eq!(needed(&wanted[1]), ["cleanup.policy"]);
        assert_eq!(compare(&wanted[0], None)[0].fix, Fix::Create);
        assert_eq!(wanted.len(), 4, "without playbooks no topics of playbooks");
        let states = Topic { partitions: 6, ..topic.clone() };
        assert!(pairing(&topic, &states, Role::States).is_some() && pairing(&topic, &topic, Role::States).is_none());
    }
}
