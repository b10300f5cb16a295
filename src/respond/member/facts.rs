//! Owns how what runs did is written: facts about incidents, entries of the war room.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::incident::fold::{SET_FIELDS_MAX, SYSTEM_FIELDS};
use crate::incident::id::IncidentId;
use crate::respond::clock::iso_us;
use crate::respond::run::state::hash;
use crate::respond::run::timer::TimerFact;
use crate::respond::run::{Edit, Entry};
use crate::respond::schedule::journal::Record;

/// A fact, ready to be written.
pub struct FactOut {
    /// The incident's id.
    pub key: String,
    /// The fact.
    pub value: Vec<u8>,
    /// It creates an incident.
    pub creates: bool,
}

/// Whose incidents runs create.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its version.
    pub version: String,
}

/// The facts of a record.
pub fn facts(record: &Record, now_us: i64, origin: &Origin) -> Vec<FactOut> {
    let mut all = Vec::new();
    let run = record.run.hex();
    let actor = format!("playbook:{}", record.about.playbook);
    let head = |kind: &str, number: u64, part: u64, incident: &str, at_us: i64| {
        let id = hash(&[b"fact", run.as_bytes(), &number.to_be_bytes(), &part.to_be_bytes()]);
        Map::from_iter([
            ("fact".to_owned(), Value::from(kind)),
            ("fact_id".to_owned(), Value::from(id)),
            ("id".to_owned(), Value::from(incident)),
            ("actor".to_owned(), Value::from(actor.as_str())),
            ("at".to_owned(), Value::from(iso_us(at_us))),
        ])
    };
    let mut add = |key: &str, fact: Map<String, Value>, more: Value, creates: bool| {
        // What names no incident would be kept nowhere.
        if IncidentId::parse(key).is_none() {
            return;
        }
        let mut fact = fact;
        if let Value::Object(more) = more {
            fact.extend(more);
        }
        all.push(FactOut { key: key.to_owned(), value: Value::Object(fact).to_string().into_bytes(), creates });
    };
    let own = record.about.incident.as_str();
    for (number, timer) in &record.timers {
        let TimerFact { field, what, at_us, due_us } = timer;
        let mut more = json!({ "field": field, "what": what });
        if *due_us > 0 {
            more["due"] = Value::from(iso_us(*due_us));
        }
        add(own, head("timer", *number, 0, own, *at_us), more, false);
    }
    for (number, edit) in &record.edits {
        match edit {
            Edit::Set { incident, fields } => {
                let about = incident.as_deref().unwrap_or(own);
                let fields: Vec<(&String, &Value)> = fields.iter().filter(|(name, _)| may_set(name)).collect();
                for (part, fields) in fields.chunks(SET_FIELDS_MAX).enumerate() {
                    let fields: Map<String, Value> = fields.iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect();
                    add(about, head("set", *number, part as u64, about, now_us), json!({ "fields": fields }), false);
                }
            }
            Edit::Close { incident, reason, notes } => {
                let about = incident.as_deref().unwrap_or(own);
                add(about, head("close", *number, 0, about, now_us), json!({ "reason": reason, "notes": notes }), false);
            }
            Edit::Reopen { incident } => {
                let about = incident.as_deref().unwrap_or(own);
                add(about, head("reopen", *number, 0, about, now_us), Value::Null, false);
            }
            Edit::Link { action, incident, others } if action != "unlink" => {
                for (part, other) in others.iter().filter(|other| IncidentId::parse(other).is_some() && *other != incident).enumerate() {
                    let more = |other: &str| json!({ "other": other, "rule": actor.as_str() });
                    add(incident, head("linked", *number, 2 * part as u64, incident, now_us), more(other), false);
                    add(other, head("linked", *number, 2 * part as u64 + 1, other, now_us), more(incident), false);
                }
            }
            // There is no such fact: what rules and people linked stays linked.
            Edit::Link { .. } => {}
            Edit::Create { id, fields } => {
                let incident = incident_of(id, fields, &run, now_us, origin);
                let fact = Map::from_iter([("fact".to_owned(), Value::from("created")), ("fact_id".to_owned(), Value::from(id.as_str()))]);
                add(id, fact, json!({ "incident": incident }), true);
            }
            Edit::Playbook { name } => {
                let more = json!({ "playbook": name, "incident": record.incident });
                add(own, head("start_run", *number, 0, own, now_us), more, true);
            }
        }
    }
    all
}

/// The keeper refuses a fact as a whole for one field that it fills itself.
fn may_set(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && !SYSTEM_FIELDS.contains(&name)
}

/// An incident that a playbook creates: as ingest writes one, in version 1.
fn incident_of(id: &str, fields: &Map<String, Value>, run: &str, now_us: i64, origin: &Origin) -> Value {
    let now = iso_us(now_us);
    let text = |name: &str, default: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or(default).to_owned();
    let severity = fields.get("severity").and_then(crate::expr::xsoar::value::as_number);
    let severity = severity.filter(|severity| [0.0, 0.5, 1.0, 2.0, 3.0, 4.0].contains(severity)).unwrap_or(0.0);
    let mut incident = json!({
        "id": id,
        "type": text("type", "Unclassified"),
        // Whole numbers as such.
        "severity": if severity == 0.5 { json!(0.5) } else { json!(severity as i64) },
        "created": now,
        "occurred": text("occurred", &now),
        "tenant": text("tenant", "default"),
        "pipeline": origin.pipeline,
        "pipeline_version": origin.version,
        "source": { "name": "playbook", "topic": "playbook", "partition": 0, "offset": 0, "element": 0, "run": run },
    });
    if let Value::Object(members) = &mut incident {
        for (name, value) in fields.iter().filter(|(name, value)| may_set(name) && !value.is_null()) {
            members.entry(name.clone()).or_insert_with(|| value.clone());
        }
        members.insert("labels".to_owned(), json!([]));
        members.insert("status".to_owned(), Value::from("open"));
        members.insert("version".to_owned(), Value::from(1));
    }
    incident
}

/// An entry of the war room, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    entry: &'a str,
    run: &'a str,
    incident: &'a str,
    playbook: &'a str,
    playbook_version: &'a str,
    at: String,
    actor: &'a str,
    task: &'a str,
    command: &'a str,
    kind: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
}

/// An entry of the war room. `run`: the id of its run.
pub fn entry(record: &Record, run: &str, entry: &Entry) -> Vec<u8> {
    let about = &record.about;
    let line = Line {
        entry: &entry.id,
        run,
        incident: &about.incident,
        playbook: &about.playbook,
        playbook_version: &about.version,
        at: iso_us(entry.at_us),
        actor: &entry.actor,
        task: &entry.task,
        command: &entry.command,
        kind: &entry.kind,
        text: &entry.text,
        key: &entry.key,
    };
    // Texts only, so it always is JSON.
    serde_json::to_vec(&line).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::incident::fact::{What, read};
    use crate::respond::run::Run;
    use crate::respond::schedule::journal::{About, RunRef};

    fn record(edits: Vec<Edit>) -> Record {
        let id = "1".repeat(32);
        let run = Run::new(&id, "bf", "created", json!({ "id": id, "type": "T" }));
        let edits = edits.into_iter().zip(1..).map(|(edit, number)| (number, edit)).collect();
        Record { about: About::of(&run), edits, incident: Some(run.incident.clone()), ..Record::of(RunRef::of(&run, 0)) }
    }

    #[test]
    fn the_keeper_reads_what_runs_do() {
        let other = "2".repeat(32);
        let fields = Map::from_iter([("owner".to_owned(), json!("ann")), ("raw".to_owned(), json!("x")), ("a b".to_owned(), json!(1))]);
        let record = record(vec![
            Edit::Set { incident: None, fields: fields.clone() },
            Edit::Set { incident: Some("no id".to_owned()), fields },
            Edit::Close { incident: None, reason: "Resolved".to_owned(), notes: String::new() },
            Edit::Reopen { incident: Some(other.clone()) },
            Edit::Link { action: "link".to_owned(), incident: "1".repeat(32), others: vec![other, "7".to_owned()] },
            Edit::Create { id: "3".repeat(32), fields: Map::from_iter([("type".to_owned(), json!("T")), ("severity".to_owned(), json!(3))]) },
        ]);
        let written = facts(&record, 1_000_000, &Origin { pipeline: "p".to_owned(), version: "v".to_owned() });
        let kinds: Vec<&str> = written
            .iter()
            .map(|fact| {
                let read =
                    read(Some(fact.key.as_bytes()), &fact.value, Some(0)).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&fact.value)));
                match &read.what {
                    What::Set(fields) => assert_eq!(fields.len(), 1, "what the keeper fills itself is left out"),
                    What::Created(incident) => assert_eq!(incident.id.to_string(), "3".repeat(32)),
                    _ => {}
                }
                read.what.kind()
            })
            .collect();
        assert_eq!(kinds, ["set", "close", "reopen", "linked", "linked", "created"]);
        let again = facts(&record, 2_000_000, &Origin::default());
        let id = |fact: &FactOut| serde_json::from_slice::<Value>(&fact.value).unwrap()["fact_id"].clone();
        assert!(written.iter().zip(&again).all(|(a, b)| id(a) == id(b)));
        let mut ids: Vec<String> = written.iter().map(|fact| id(fact).to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), written.len());
    }
}
