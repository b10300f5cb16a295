//! The fold against a plain model, over random facts in random order, repeated at random.

use std::collections::BTreeMap;

use catchment::incident::fact::{Fact, What, read};
use catchment::incident::facts::{push_attached_fact, push_created_head, push_edit, push_linked_fact};
use catchment::incident::fold::{Effect, NOTES_BYTES_MAX, Refusal, SET_VALUE_BYTES_MAX, fold, rejected_version};
use catchment::incident::id::{FactId, IncidentId};
use catchment::incident::order::{ANSWERS_BYTES_MAX, AnswerOrder, Order};
use catchment::incident::record::{Incident, Outcome, RECENT_FACTS_MAX};
use catchment::incident::state::{Attachment, Change, LINKS_MAX, SAMPLES_MAX, Sample, State};
use catchment::incident::time_text::TimeText;
use catchment::incident::timer::TimerEvent;
use proptest::prelude::*;
use serde_json::{Value, json};

const RECORD_MAX: usize = 1_000_000;
const ABOUT: IncidentId = IncidentId(7);

fn created(more: &str) -> Fact {
    let mut out = Vec::new();
    push_created_head(&mut out, &ABOUT.hex());
    out.extend_from_slice(format!("{{\"id\":\"{ABOUT}\",\"type\":\"T\",\"severity\":2{more},\"status\":\"open\",\"version\":1}}}}").as_bytes());
    read(Some(&ABOUT.hex()), &out, Some(1_000)).unwrap()
}

fn sample(offset: i64) -> Sample {
    Sample { occurred: offset * 1_000_000, topic: "t".into(), partition: 0, offset, element: 0 }
}

fn attached(offset: i64, rule: &str) -> Fact {
    let fact = Attachment { rule: rule.into(), count: 1, first: offset * 1_000_000, last: offset * 1_000_000, samples: vec![sample(offset)] };
    let mut out = Vec::new();
    push_attached_fact(&mut out, ABOUT, &fact, &mut TimeText::default());
    read(Some(&ABOUT.hex()), &out, Some(2_000)).unwrap()
}

fn linked(other: u128) -> Fact {
    let mut out = Vec::new();
    push_linked_fact(&mut out, ABOUT, "story", IncidentId(other));
    read(Some(&ABOUT.hex()), &out, Some(3_000)).unwrap()
}

/// A fact of a person, by way of its JSON.
fn edit(id: u128, what: What, if_version: Option<u64>) -> Fact {
    let fact = Fact { id: FactId(id), about: ABOUT, actor: Some("cli:ann".into()), at: 5_000_000, if_version, what };
    let mut out = Vec::new();
    push_edit(&mut out, &fact, &mut TimeText::default());
    let back = read(Some(&ABOUT.hex()), &out, None).unwrap();
    assert_eq!(back, fact);
    back
}

fn set(id: u128, name: &str, token: &str, if_version: Option<u64>) -> Fact {
    edit(id, What::Set(vec![(name.into(), token.into())]), if_version)
}

fn close(id: u128) -> Fact {
    edit(id, What::Close { reason: Some("\"false positive\"".into()), notes: Some("\"\\ud800\"".into()) }, None)
}

fn timer(id: u128, field: &str, event: TimerEvent, at: i64, due: i64) -> Fact {
    let mut fact = edit(id, What::Timer { field: field.into(), event, due }, None);
    fact.at = at;
    fact
}

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn answer(id: u128) -> Fact {
    let answers = r#"{"0":1e999,"1":"\ud800"}"#.into();
    let answer =
        AnswerOrder { run: RUN.into(), task: "4".into(), frame: Some(2), label: "yes\n".into(), answers, comment: "\u{1}".into(), again: true, refuse: false };
    edit(id, What::Order(Order::Answer(answer)), None)
}

fn after(facts: &[Fact]) -> (Option<Incident>, Vec<Effect>) {
    let mut effects = Vec::new();
    let held = facts.iter().fold(None, |held, fact| {
        let (held, effect) = fold(held, fact, RECORD_MAX);
        effects.push(effect);
        held
    });
    (held, effects)
}

fn json_of(incident: &Incident) -> Value {
    // The half of a surrogate pair that `close` says is what serde_json refuses to read.
    serde_json::from_str(&String::from_utf8(incident.to_json()).unwrap().replace("\\ud800", "?")).unwrap()
}

/// Written, read and written again it is the same.
fn assert_stable(incident: &Incident) {
    let (json, facts) = (incident.to_json(), incident.facts_header());
    let back = Incident::read(std::str::from_utf8(&json).unwrap(), &facts).unwrap();
    assert_eq!(&back, incident);
    assert_eq!(back.to_json(), json);
    assert_eq!(back.facts_header(), facts);
}

#[test]
fn a_life() {
    let facts = [
        created(""),
        attached(1, "dup"),
        linked(9),
        set(1, "owner", "\"ann\"", Some(3)),
        close(2),
        edit(3, What::Reopen, Some(5)),
        set(4, "owner", "null", None),
    ];
    let (held, effects) = after(&facts);
    assert_eq!(effects, [Effect::Created, Effect::Applied, Effect::Applied, Effect::Applied, Effect::Applied, Effect::Applied, Effect::Applied]);
    let held = held.unwrap();
    assert_stable(&held);
    let json = json_of(&held);
    assert_eq!((&json["version"], &json["status"], &json["owner"]), (&json!(7), &json!("open"), &Value::Null));
    assert_eq!(json["updated"], json!({ "actor": "cli:ann", "at": "1970-01-01T00:00:05Z", "fact": FactId(4).to_string() }));
    let (held, _) = after(&facts[..5]);
    let text = String::from_utf8(held.unwrap().to_json()).unwrap();
    assert!(text.contains(r#""closed":{"actor":"cli:ann","at":"1970-01-01T00:00:05Z","reason":"false positive","notes":"\ud800"}"#), "{text}");
    let (held, _) = after(&facts[..2]);
    let json = json_of(&held.unwrap());
    assert_eq!(json["updated"]["actor"], "rule:dup");
    assert_eq!(json["updated"]["at"], "1970-01-01T00:00:02Z");
    assert_eq!(json_of(&after(&facts[..1]).0.unwrap())["updated"]["actor"], "ingest");
}

#[test]
fn the_event_stays_as_it_was() {
    let (held, _) = after(&[created(r#","n":1e999,"raw":{"a": "\ud800",  "b":1.000}"#), set(1, "n2", "1e999", None)]);
    let text = String::from_utf8(held.unwrap().to_json()).unwrap();
    assert!(text.contains(r#""n":1e999,"raw":{"a": "\ud800",  "b":1.000},"n2":1e999,"status":"open""#), "{text}");
}

#[test]
fn strangers_are_kept_out() {
    let (held, effects) = after(&[attached(1, "dup"), close(1), created(""), created(",\"second\":true")]);
    assert_eq!(effects, [Effect::Unknown, Effect::Unknown, Effect::Created, Effect::Repeated]);
    assert_eq!(json_of(&held.unwrap()).get("second"), None);
}

#[test]
fn an_older_view_is_refused() {
    let (held, effects) = after(&[created(""), attached(1, "a"), attached(2, "a"), set(1, "owner", "1", Some(1)), set(1, "owner", "1", Some(1))]);
    assert_eq!(effects[3..], [Effect::Rejected(Refusal::IfVersion), Effect::Repeated]);
    let held = held.unwrap();
    assert_stable(&held);
    assert_eq!(held.state.version, 3);
    assert_eq!(rejected_version(held.last_rejected.as_deref().unwrap()), Some(3));
    assert_eq!(held.noted(FactId(1)).map(|noted| (noted.outcome, noted.version)), Some((Outcome::Rejected, 3)));
    let json = json_of(&held);
    assert_eq!(json["last_rejected"]["reason"], "if_version");
    assert_eq!(json["last_rejected"]["if_version"], 1);
    assert_eq!(json.get("owner"), None);
}

#[test]
fn what_is_so_already_makes_no_version() {
    let (held, effects) = after(&[created(",\"owner\":\"ann\""), set(1, "owner", "\"ann\"", None), edit(2, What::Reopen, None), close(3), close(4)]);
    assert_eq!(effects[1..], [Effect::Unchanged, Effect::Unchanged, Effect::Applied, Effect::Unchanged]);
    assert_eq!(held.unwrap().state.version, 2);
}

#[test]
fn some_members_are_nobodys_to_set() {
    for name in ["id", "status", "version", "created", "raw", "labels", "source", "updated", "last_rejected", "attached", "linked", "closed", "_errors"] {
        assert_eq!(after(&[created(""), set(1, name, "1", None)]).1[1], Effect::Rejected(Refusal::SystemField), "{name}");
    }
    for name in ["", "a b", "1a", "é", "a.b", "\u{0}"] {
        assert_eq!(after(&[created(""), set(1, name, "1", None)]).1[1], Effect::Rejected(Refusal::FieldName), "{name}");
    }
    for (name, token) in [("severity", "5"), ("severity", "\"high\""), ("severity", "null"), ("type", "1"), ("type", "\"\""), ("type", "null")] {
        assert_eq!(after(&[created(""), set(1, name, token, None)]).1[1], Effect::Rejected(Refusal::FieldValue), "{name} {token}");
    }
    let (held, _) = after(&[created(""), set(1, "severity", "4", None), set(2, "type", "\"Other\"", None)]);
    let text = String::from_utf8(held.unwrap().to_json()).unwrap();
    assert!(text.contains("\"type\":\"Other\",\"severity\":4,"), "{text}");
}

#[test]
fn everything_has_a_bound() {
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(after(&[created(""), set(1, "a", &long(SET_VALUE_BYTES_MAX), None)]).1[1], Effect::Applied);
    assert_eq!(after(&[created(""), set(1, "a", &long(SET_VALUE_BYTES_MAX + 1), None)]).1[1], Effect::Rejected(Refusal::TooLarge));
    let notes = edit(1, What::Close { reason: None, notes: Some(long(NOTES_BYTES_MAX + 1).into()) }, None);
    assert_eq!(after(&[created(""), notes]).1[1], Effect::Rejected(Refusal::TooLarge));
    let mut facts = vec![created("")];
    facts.extend((0..300).map(linked));
    facts.extend((0..300).map(|offset| attached(offset, "a")));
    let (held, _) = after(&facts);
    let held = held.unwrap();
    assert_eq!((held.state.linked.len(), held.state.attached.as_ref().unwrap().samples.len(), held.recent.len()), (LINKS_MAX, SAMPLES_MAX, RECENT_FACTS_MAX));
    assert_eq!((held.state.version, held.state.attached.as_ref().unwrap().count), (601, 300));
    assert_stable(&held);
}

#[test]
fn the_event_goes_before_the_incident_does() {
    let big = created(&format!(r#","raw":{{"text":"{}"}}"#, "x".repeat(50_000)));
    let (held, effect) = fold(None, &big, 20_000);
    assert_eq!(effect, Effect::Created);
    let json = json_of(&held.unwrap());
    assert_eq!((json.get("raw"), &json["raw_truncated"]), (None, &json!(true)));
    let bigger = created(&format!(r#","text":"{}""#, "x".repeat(50_000)));
    assert_eq!(fold(None, &bigger, 20_000), (None, Effect::TooLarge));
    // Room for the incident, none for what is set: that is refused, and the event stays.
    let (held, _) = fold(None, &created(&format!(r#","text":"{}""#, "x".repeat(14_000))), 20_000);
    let (held, effect) = fold(held, &set(1, "b", &format!("\"{}\"", "y".repeat(9_000)), None), 20_000);
    assert_eq!(effect, Effect::Rejected(Refusal::TooLarge));
    assert!(held.unwrap().to_json().len() < 20_000);
}

#[test]
fn what_a_newer_version_wrote_is_carried_along() {
    let text = format!("{{\"id\":\"{ABOUT}\",\"a\":1,\"status\":\"open\",\"version\":4,\"verdict\":{{\"x\": 1}},\"score\":5}}");
    let held = Incident::read(&text, b"").unwrap();
    let (held, _) = fold(Some(held), &set(1, "a", "2", None), RECORD_MAX);
    let json = json_of(&held.unwrap());
    assert_eq!((&json["verdict"], &json["score"], &json["version"], &json["a"]), (&json!({ "x": 1 }), &json!(5), &json!(5), &json!(2)));
}

#[test]
fn timers_become_fields() {
    use TimerEvent::{AtRisk, Breached, Paused, Reset, Started, Stopped};
    const MINUTE: i64 = 60_000_000;
    let mut facts = vec![created(",\"owner\":\"ann\""), timer(1, "triage", Started, MINUTE, 11 * MINUTE)];
    let field = |facts: &[Fact]| json_of(&after(facts).0.unwrap())["triage"].clone();
    let told = field(&facts);
    assert_eq!((&told["runStatus"], &told["sla"], &told["dueDate"]), (&json!("running"), &json!(10), &json!("1970-01-01T00:11:00Z")));
    facts.extend([timer(2, "triage", AtRisk, 9 * MINUTE, 11 * MINUTE), timer(3, "triage", AtRisk, 9 * MINUTE, 11 * MINUTE)]);
    facts.extend([timer(4, "triage", Breached, 11 * MINUTE, 11 * MINUTE), timer(5, "triage", Started, 12 * MINUTE, 0)]);
    // Whoever closes it stops its timers.
    facts.push(Fact { at: 13 * MINUTE, ..close(6) });
    facts.extend([timer(7, "triage", Stopped, 13 * MINUTE, 0), timer(8, "triage", Started, 14 * MINUTE, 0), timer(9, "triage", Breached, 15 * MINUTE, 0)]);
    let (held, effects) = after(&facts);
    let held = held.unwrap();
    assert_stable(&held);
    assert_eq!(effects[1..6], [Effect::Applied, Effect::Applied, Effect::Unchanged, Effect::Applied, Effect::Unchanged]);
    assert_eq!(effects[6..], [Effect::Applied, Effect::Unchanged, Effect::Rejected(Refusal::Timer), Effect::Unchanged]);
    assert_eq!(held.state.version, 5);
    let json = json_of(&held);
    assert_eq!((&json["last_rejected"]["reason"], &json["last_rejected"]["kind"]), (&json!("timer"), &json!("timer")));
    assert_eq!((&json["triage"]["runStatus"], &json["triage"]["totalDuration"], &json["triage"]["slaStatus"]), (&json!("ended"), &json!(720), &json!(1)));
    assert_eq!(field(&[facts.as_slice(), &[timer(10, "triage", Reset, 20 * MINUTE, 0)]].concat())["runStatus"], "idle");
    assert_eq!(after(&[created(""), timer(1, "triage", Paused, 1, 0)]).1[1], Effect::Rejected(Refusal::Timer));
    assert_eq!(after(&[created(""), timer(1, "status", Started, 1, 0)]).1[1], Effect::Rejected(Refusal::SystemField));
    assert_eq!(after(&[created(""), timer(1, "a b", Started, 1, 0)]).1[1], Effect::Rejected(Refusal::FieldName));
}

#[test]
fn what_is_for_playbooks_changes_no_incident() {
    let cancel = edit(2, What::Order(Order::Cancel { run: RUN.into() }), None);
    let start = edit(3, What::Order(Order::Start { playbook: "block it".into(), mode: Some("ask".into()), incident: r#"{"id":"7","n":1e999}"#.into() }), None);
    let before = after(&[created("")]).0;
    let (held, effects) = after(&[answer(9), created(""), answer(1), cancel.clone(), start.clone()]);
    assert_eq!(effects, [Effect::Passed, Effect::Created, Effect::Passed, Effect::Passed, Effect::Passed]);
    assert_eq!(held, before);
    assert_eq!([answer(1).what.kind(), cancel.what.kind(), start.what.kind()], ["answer", "cancel_run", "start_run"]);
    let said = |members: &str| format!(r#"{{"fact":"answer","fact_id":"{RUN}","id":"{ABOUT}",{members}}}"#);
    let read = |text: String| read(Some(&ABOUT.hex()), text.as_bytes(), None);
    assert!(read(said(&format!(r#""run":"{RUN}","task":"1""#))).is_ok());
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(ANSWERS_BYTES_MAX));
    for bad in [
        r#""task":"1""#.to_owned(),
        r#""run":"1","task":"1""#.to_owned(),
        format!(r#""run":"{}","task":"1""#, RUN.to_uppercase()),
        format!(r#""run":"{RUN}""#),
        format!(r#""run":"{RUN}","task":"""#),
        format!(r#""run":"{RUN}","task":"1","answers":[]"#),
        format!(r#""run":"{RUN}","task":"1","answers":{long}"#),
        format!(r#""run":"{RUN}","task":"1","again":1"#),
        format!(r#""run":"{RUN}","task":"1","frame":-1"#),
    ] {
        assert!(read(said(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn foreign_records_are_no_facts() {
    let key = ABOUT.hex();
    let good = String::from_utf8({
        let mut out = Vec::new();
        push_linked_fact(&mut out, ABOUT, "r", IncidentId(1));
        out
    })
    .unwrap();
    assert!(read(Some(&key), good.as_bytes(), None).is_ok());
    assert!(read(None, good.as_bytes(), None).is_err());
    assert!(read(Some(b"other"), good.as_bytes(), None).is_err());
    for bad in [
        "",
        "{}",
        "null",
        "[]",
        "\u{0}",
        &good.replace("linked", "answer"),
        &good.replace("linked", "timer"),
        &good.replace("linked", "nothing"),
        &good.replace("fact_id", "fact_ie"),
        &good.replace("\"other\":\"0", "\"other\":\"x"),
    ] {
        assert!(read(Some(&key), bad.as_bytes(), None).is_err(), "{bad}");
    }
    assert!(read(Some(&key), b"\xff\xfe", None).is_err());
    for end in 0..good.len() {
        assert!(read(Some(&key), &good.as_bytes()[..end], None).is_err());
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_no_fact_and_no_panic(number in 0..6usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut out = Vec::new();
        let mut times = TimeText::default();
        match number {
            0 => {
                push_created_head(&mut out, &ABOUT.hex());
                out.extend_from_slice(&after(&[created(""), attached(1, "a"), linked(2), close(3), set(4, "x", "1", Some(1))]).0.unwrap().to_json());
                out.push(b'}');
            }
            1 => push_attached_fact(&mut out, ABOUT, &Attachment { rule: "r".into(), count: 1, first: 1, last: 1, samples: vec![sample(1)] }, &mut times),
            2 => push_linked_fact(&mut out, ABOUT, "r", IncidentId(1)),
            3 => push_edit(&mut out, &answer(1), &mut times),
            4 => push_edit(&mut out, &timer(1, "a", TimerEvent::Started, 1, 2), &mut times),
            _ => push_edit(&mut out, &set(1, "a", "[1]", Some(1)), &mut times),
        }
        for (at, byte) in changes {
            let at = at.index(out.len());
            out[at] = byte;
        }
        if let Ok(fact) = read(Some(&ABOUT.hex()), &out, None) {
            let (held, effect) = fold(fold(None, &created(""), RECORD_MAX).0, &fact, RECORD_MAX);
            prop_assert!(number > 0 || effect == Effect::Repeated);
            assert_stable(&held.unwrap());
            if let (Some(held), _) = fold(None, &fact, RECORD_MAX) {
                assert_stable(&held);
            }
        }
    }
}

/// One of a few facts, so that repetitions and collisions are many.
fn any_fact() -> impl Strategy<Value = Fact> {
    let version = prop::option::weighted(0.3, 1..12u64);
    prop_oneof![
        1 => Just(created("")),
        3 => (0..30i64, 0..3u8).prop_map(|(offset, rule)| attached(offset, &format!("r{rule}"))),
        2 => (0..5u128).prop_map(linked),
        3 => (100..140u128, 0..3u8, 0..4u8, version).prop_map(|(id, name, value, version)| set(id, &format!("f{name}"), ["null", "1", "\"x\"", "{}"][value as usize], version)),
        1 => (200..210u128).prop_map(close),
        1 => (300..310u128).prop_map(|id| edit(id, What::Reopen, None)),
        1 => (400..410u128).prop_map(answer),
        2 => (500..530u128, 0..6usize, 0..9i64).prop_map(|(id, event, at)| timer(id, "f9", TimerEvent::ALL[event], (at + 1) * 60_000_000, id as i64 % 2 * (at + 5) * 60_000_000)),
    ]
}

/// What the fold should do, in the plainest way: everything known of the facts so far.
#[derive(Default)]
struct Model {
    there: bool,
    version: u64,
    seen: Vec<FactId>,
    fields: BTreeMap<String, String>,
    open: bool,
    links: Vec<IncidentId>,
    attached: u64,
    /// The timer `f9`: where it stands, and what time did to it.
    timer: (&'static str, bool, bool),
    promised: bool,
}

impl Model {
    fn apply(&mut self, fact: &Fact) {
        if !self.there {
            if matches!(fact.what, What::Created(_)) {
                *self = Model { there: true, version: 1, open: true, ..Model::default() };
            }
            return;
        }
        // The order in which the incident forgets facts is told by the real one; with fewer facts than it keeps none is forgotten.
        if matches!(fact.what, What::Created(_) | What::Order(_)) || self.seen.contains(&fact.id) {
            return;
        }
        if let What::Linked { other, .. } = &fact.what
            && self.links.contains(other)
        {
            return;
        }
        self.seen.push(fact.id);
        if fact.if_version.is_some_and(|seen| seen != self.version) {
            return;
        }
        let changed = match &fact.what {
            What::Created(_) => false,
            What::Attached(attachment) => {
                self.attached += attachment.count;
                true
            }
            What::Linked { other, .. } => {
                self.links.push(*other);
                true
            }
            What::Set(fields) => fields.iter().fold(false, |changed, (name, token)| {
                let before = if &**token == "null" { self.fields.remove(&**name) } else { self.fields.insert(name.to_string(), token.to_string()) };
                changed || before.as_deref() != (&**token != "null").then_some(&**token)
            }),
            What::Close { .. } => {
                if self.open && ["running", "paused"].contains(&self.timer.0) {
                    self.timer.0 = "ended";
                }
                std::mem::take(&mut self.open)
            }
            What::Reopen => !std::mem::replace(&mut self.open, true),
            What::Order(_) => false,
            What::Timer { event, due, .. } => {
                let before = self.timer;
                // A promise is broken only where there is one; only a start takes one away.
                let promised = *due != 0 || (self.promised && *event != TimerEvent::Started);
                self.timer = match (event, before.0) {
                    (TimerEvent::Started, "" | "idle" | "paused") if *due == 0 => ("running", false, false),
                    (TimerEvent::Started, "" | "idle" | "paused") => ("running", before.1, before.2),
                    (TimerEvent::Paused, "running") => ("paused", before.1, before.2),
                    (TimerEvent::Stopped, _) => ("ended", before.1, before.2),
                    (TimerEvent::Reset, "running" | "paused" | "ended") => ("idle", false, false),
                    (TimerEvent::AtRisk, "running") if self.promised => ("running", true, before.2),
                    (TimerEvent::Breached, "running") if self.promised => ("running", true, true),
                    _ => before,
                };
                if before != self.timer && *event != TimerEvent::Reset {
                    self.promised = promised;
                }
                before != self.timer
            }
        };
        self.version += u64::from(changed);
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(facts in prop::collection::vec(any_fact(), 0..60)) {
        let mut model = Model::default();
        let mut held: Option<Incident> = None;
        for fact in &facts {
            let before = held.as_ref().map_or(0, |held| held.state.version);
            let (new, effect) = fold(held, fact, RECORD_MAX);
            model.apply(fact);
            held = new;
            let version = held.as_ref().map_or(0, |held| held.state.version);
            prop_assert_eq!(version - before, u64::from(matches!(effect, Effect::Created | Effect::Applied)));
            prop_assert_eq!(held.is_some(), model.there);
            // At once again it changes nothing.
            let (again, effect) = fold(held.clone(), fact, RECORD_MAX);
            prop_assert!(matches!(effect, Effect::Repeated | Effect::Unknown | Effect::Passed), "{:?}", effect);
            prop_assert_eq!(&again, &held);
        }
        if let Some(held) = held {
            assert_stable(&held);
            let json = json_of(&held);
            prop_assert_eq!(held.state.version, model.version);
            prop_assert_eq!(json["status"] == "open", model.open);
            prop_assert_eq!(json["attached"]["count"].as_u64().unwrap_or(0), model.attached);
            prop_assert_eq!(json["linked"].as_array().map_or(0, Vec::len), model.links.len());
            prop_assert_eq!(json["f9"]["runStatus"].as_str().unwrap_or(""), model.timer.0);
            prop_assert_eq!(json["f9"]["breachTriggered"] == true, model.timer.2);
            for name in ["f0", "f1", "f2"] {
                prop_assert_eq!(json.get(name).map(Value::to_string), model.fields.get(name).cloned());
            }
        }
    }

    /// What rules say may come in any order, and twice.
    #[test]
    fn facts_of_rules_commute(offsets in prop::collection::vec((0..60i64, 0..3u8), 1..40), others in prop::collection::btree_set(0..50u128, 0..10), seed in any::<u64>()) {
        let mut facts: Vec<Fact> = offsets.iter().map(|(offset, rule)| attached(*offset, &format!("r{rule}"))).collect();
        facts.extend(others.iter().map(|other| linked(*other)));
        let mut shuffled = facts.clone();
        shuffled.extend(facts.iter().take(seed as usize % 8).cloned());
        let mut state = seed | 1;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        let run = |facts: &[Fact]| facts.iter().fold(fold(None, &created(""), RECORD_MAX).0, |held, fact| fold(held, fact, RECORD_MAX).0).unwrap().state;
        let sorted = |mut state: State| { state.linked.sort(); state };
        prop_assert_eq!(sorted(run(&facts)), sorted(run(&shuffled)));
    }

    /// `replay` folds changes without facts: the same state.
    #[test]
    fn one_fold_not_two(offsets in prop::collection::btree_set((0..60i64, 0..3u8), 1..40)) {
        let facts: Vec<Fact> = offsets.iter().map(|(offset, rule)| attached(*offset, &format!("r{rule}"))).collect();
        let mut plain = State::default();
        for fact in &facts {
            let What::Attached(attachment) = &fact.what else { unreachable!() };
            assert!(plain.apply(&Change::Attached(attachment.clone())));
        }
        let held = facts.iter().fold(fold(None, &created(""), RECORD_MAX).0, |held, fact| fold(held, fact, RECORD_MAX).0).unwrap();
        prop_assert_eq!(held.state, plain);
    }
}
