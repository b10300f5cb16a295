//! Owns what the role reads: facts that start runs, and what people say to runs. All other facts
//! are none of its business.

use serde_json::{Map, Value};

use crate::incident::split::{find, members, text};
use crate::respond::clock::now_us;
use crate::respond::limits::{FIELD_DEPTH_MAX, nested};
use crate::respond::run::{Answer, Run};
use crate::respond::schedule::coordinator::Coordinator;
use crate::respond::schedule::journal::{Journal, RunRef};
use crate::respond::setup::Setup;
use crate::respond::world::incident_view;

/// The header of facts of which no playbook starts.
pub const BACKFILL: &str = "backfill";
/// The header of incidents that playbooks created: how many runs led here, one by the other.
pub const DEPTH: &str = "run-depth";
/// Playbooks that create incidents whose playbooks create incidents … (levels).
const DEPTH_MAX: u64 = 8;
/// What runs have as their trigger that start with their incident.
const CREATED: &str = "created";
/// Bytes of an actor's name; what is longer is cut.
const ACTOR_BYTES: usize = 200;

/// What a fact means to runs.
#[derive(Debug)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// A run begins.
    Start(Box<Run>),
    /// It should, and does not.
    Refused(&'static str),
    /// A person answers: run, answer.
    Answer(u128, Box<Answer>),
    /// A person ends a run.
    Cancel(u128, String),
    /// Somebody closed an incident: its runs, as far as creating it started any.
    Closed(Vec<u128>),
    /// Somebody gave its fields other values.
    Changed(Vec<u128>, Map<String, Value>),
}

/// What is beside a record's value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    /// It comes from a backfill.
    pub backfill: bool,
    /// See [`DEPTH`].
    pub depth: u64,
}

impl Beside {
    /// Of one header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        match name {
            BACKFILL => self.backfill = true,
            DEPTH => self.depth = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX),
            _ => {}
        }
    }
}

/// Looks at a fact.
pub fn heard(key: Option<&[u8]>, value: &[u8], beside: Beside, setup: &Setup) -> Heard {
    // Most facts are `attached`, `set` and the like: their first bytes say so.
    if !worth_reading(value) {
        return Heard::Nothing;
    }
    let Some(members) = simdutf8::basic::from_utf8(value).ok().and_then(members) else { return Heard::Nothing };
    let word = |name: &str| find(&members, name).and_then(text).unwrap_or_default().into_owned();
    let id = word("id");
    let ours = |id: &str| key == Some(id.as_bytes()) && !id.is_empty();
    match &*word("fact") {
        "created" => {
            let Some(incident) = find(&members, "incident") else { return Heard::Nothing };
            created(incident, beside, setup, ours)
        }
        "start_run" if ours(&id) => {
            let playbook = word("playbook");
            let incident = find(&members, "incident").map(value_of).filter(Value::is_object);
            let (Some(incident), true) = (incident, !playbook.is_empty()) else { return Heard::Refused("a request to start a run holds no incident") };
            // The fact's id makes it another run than those before it.
            let mut heard = started(&id, &playbook, &format!("request {}", word("fact_id")), incident, beside);
            if let Heard::Start(run) = &mut heard {
                run.mode = word("mode");
            }
            heard
        }
        "answer" if ours(&id) => {
            let answer = serde_json::from_slice::<Answer>(value).ok().filter(|answer| !answer.task.is_empty());
            match (run_of(&word("run")), answer) {
                (Some(run), Some(mut answer)) => {
                    answer.actor = actor(&answer.actor);
                    Heard::Answer(run, Box::new(answer))
                }
                _ => Heard::Refused("an answer names no run or no task"),
            }
        }
        "cancel_run" if ours(&id) => match run_of(&word("run")) {
            Some(run) => Heard::Cancel(run, actor(&word("actor"))),
            None => Heard::Refused("a request to end a run names none"),
        },
        // What a run did itself it knows.
        kind @ ("close" | "set") if ours(&id) && !word("actor").starts_with("playbook:") => {
            let run = |playbook: &String| run_of(&Run::new(&id, playbook, CREATED, Value::Null).id);
            let runs = setup.playbooks().into_iter().filter_map(run).collect();
            match find(&members, "fields").map(value_of) {
                _ if kind == "close" => Heard::Closed(runs),
                Some(Value::Object(fields)) => Heard::Changed(runs, fields),
                _ => Heard::Nothing,
            }
        }
        _ => Heard::Nothing,
    }
}

/// Does what a fact means to runs.
pub fn act<J: Journal>(coordinator: &mut Coordinator<J>, heard: Heard, partition: i32) {
    let now = now_us();
    match heard {
        Heard::Nothing => {}
        Heard::Start(run) => {
            if !coordinator.knows(RunRef::of(&run, partition)) {
                coordinator.admit(&run, partition, now);
            }
        }
        Heard::Answer(id, answer) => coordinator.answer(RunRef { id, partition }, *answer, now),
        Heard::Cancel(id, actor) => coordinator.cancel(RunRef { id, partition }, &actor, now),
        Heard::Closed(runs) => {
            for at in runs.into_iter().map(|id| RunRef { id, partition }) {
                if coordinator.knows(at) {
                    coordinator.closed(at, now);
                }
            }
        }
        Heard::Changed(runs, fields) => {
            for at in runs.into_iter().map(|id| RunRef { id, partition }) {
                if coordinator.knows(at) {
                    coordinator.changed(at, fields.clone(), now);
                }
            }
        }
        Heard::Refused(why) => tracing::warn!(partition, why, "a fact for playbooks is left out"),
    }
}

fn actor(name: &str) -> String {
    let name = crate::respond::limits::cut(name, ACTOR_BYTES);
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

fn worth_reading(value: &[u8]) -> bool {
    let Some(rest) = value.strip_prefix(b"{\"fact\":\"") else { return true };
    [&b"created"[..], b"start_run", b"answer", b"cancel_run", b"close", b"set"].iter().any(|kind| rest.starts_with(kind))
}

fn run_of(hex: &str) -> Option<u128> {
    u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32)
}

fn created(token: &str, beside: Beside, setup: &Setup, ours: impl Fn(&str) -> bool) -> Heard {
    if beside.backfill {
        return Heard::Nothing;
    }
    let Some(members) = members(token) else { return Heard::Nothing };
    let word = |name: &str| find(&members, name).and_then(text).unwrap_or_default();
    let Some(playbook) = setup.starts.get(&*word("type")) else { return Heard::Nothing };
    if word("status") != "open" || !ours(&word("id")) {
        return Heard::Nothing;
    }
    let id = word("id").into_owned();
    started(&id, playbook, CREATED, value_of(token), beside)
}

fn started(id: &str, playbook: &str, trigger: &str, incident: Value, beside: Beside) -> Heard {
    if beside.depth > DEPTH_MAX {
        return Heard::Refused("playbooks create incidents whose playbooks create incidents: one too many");
    }
    let mut incident = incident_view(incident);
    if let Value::Object(members) = &mut incident {
        members.insert("id".to_owned(), Value::from(id));
    }
    let mut run = Run::new(id, playbook, trigger, incident);
    run.depth = beside.depth;
    Heard::Start(Box::new(run))
}

/// An incident as a value. What of it a library refuses (numbers beyond all bounds, halves of
/// characters, depth) stays what it is as text: events are hostile, and their incidents have runs all the same.
fn value_of(token: &str) -> Value {
    if nested(token.as_bytes()) <= FIELD_DEPTH_MAX
        && let Ok(value) = serde_json::from_str(token)
    {
        return value;
    }
    let value = |token: &str| serde_json::from_str::<Value>(token).ok().filter(|_| nested(token.as_bytes()) < FIELD_DEPTH_MAX);
    let parsed = |(key, token): (&str, &str)| {
        let key = text(key).map_or_else(|| key.to_owned(), std::borrow::Cow::into_owned);
        (key, value(token).unwrap_or_else(|| Value::from(token)))
    };
    members(token).map_or(Value::Null, |members| Value::Object(members.into_iter().map(parsed).collect::<Map<String, Value>>()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn setup() -> Setup {
        Setup { starts: [("Brute Force".to_owned(), "bf".to_owned())].into(), ..Setup::default() }
    }

    fn look(fact: &str, beside: Beside) -> Heard {
        heard(Some(ID.as_bytes()), fact.as_bytes(), beside, &setup())
    }

    fn fact(type_name: &str, status: &str, more: &str) -> String {
        format!(r#"{{"fact":"created","fact_id":"{ID}","incident":{{"id":"{ID}","type":"{type_name}","severity":4{more},"status":"{status}","version":1}}}}"#)
    }

    #[test]
    fn an_open_incident_of_a_type_with_a_playbook_starts_a_run() {
        let Heard::Start(run) = look(&fact("Brute Force", "open", ""), Beside::default()) else { panic!("a run starts") };
        assert_eq!((run.playbook.as_str(), run.incident_id()), ("bf", ID));
        let Heard::Start(again) = look(&fact("Brute Force", "open", ""), Beside::default()) else { panic!("a run starts") };
        assert_eq!(run.id, again.id);
        for (fact, beside) in [
            (fact("Brute Force", "closed", ""), Beside::default()),
            (fact("Other", "open", ""), Beside::default()),
            (fact("Brute Force", "open", ""), Beside { backfill: true, depth: 0 }),
            (fact("Brute Force", "open", "").replace("created", "attached"), Beside::default()),
            ("[1]".to_owned(), Beside::default()),
        ] {
            assert!(matches!(look(&fact, beside), Heard::Nothing), "{fact}");
        }
        assert!(matches!(look(&fact("Brute Force", "open", ""), Beside { backfill: false, depth: 9 }), Heard::Refused(_)));
        let other = heard(Some(b"x"), fact("Brute Force", "open", "").as_bytes(), Beside::default(), &setup());
        assert!(matches!(other, Heard::Nothing), "a key that is not the id");
    }

    #[test]
    fn what_libraries_refuse_starts_a_run_all_the_same() {
        let deep = |levels: usize| format!(",\"deep\":{}1{}", "[".repeat(levels), "]".repeat(levels));
        for more in [",\"n\":1e999", ",\"t\":\"\\ud800\"", &deep(128), &deep(126), &deep(125), &deep(60)] {
            let Heard::Start(run) = look(&fact("Brute Force", "open", more), Beside::default()) else { panic!("a run starts: {more}") };
            assert_eq!(run.incident["severity"], 4);
            assert!(serde_json::from_slice::<Run>(&serde_json::to_vec(&run).unwrap()).is_ok());
        }
    }

    #[test]
    fn people_are_heard() {
        let run = "f".repeat(32);
        let said =
            format!(r#"{{"fact":"answer","fact_id":"{ID}","id":"{ID}","run":"{run}","task":"7","label":"yes","actor":"cli:ann","at":"2026-01-01T00:00:00Z"}}"#);
        let Heard::Answer(id, answer) = look(&said, Beside::default()) else { panic!("an answer") };
        assert_eq!((id, answer.task.as_str(), answer.label.as_str(), answer.actor.as_str()), (u128::MAX, "7", "yes", "cli:ann"));
        let said = format!(r#"{{"fact":"cancel_run","fact_id":"{ID}","id":"{ID}","run":"{run}"}}"#);
        assert!(matches!(look(&said, Beside::default()), Heard::Cancel(u128::MAX, actor) if actor == "unknown"));
        let said = format!(r#"{{"fact":"start_run","fact_id":"{ID}","id":"{ID}","playbook":"any","incident":{{"type":"T"}}}}"#);
        assert!(matches!(look(&said, Beside::default()), Heard::Start(run) if run.playbook == "any" && run.incident_id() == ID));
        assert!(matches!(look(&said.replace(",\"incident\":{\"type\":\"T\"}", ""), Beside::default()), Heard::Refused(_)));
    }
}
