//! The golden pipelines `golden/first` and `golden/all` in plain code: what their YAML says,
//! event by event, with a list of incidents that is scanned for every row. Slow, and readable
//! beside the YAML. Also the generator of `golden/events.ndjson`.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};

const MINUTE: i64 = 60_000;
const LATE_MAX: i64 = 10 * MINUTE;
const MAX_SKEW: i64 = 5 * MINUTE;
const SAMPLES_MAX: usize = 20;

/// What differs between runs over the same events.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// `mode: all` instead of `first`.
    pub all: bool,
    /// `--arrival received` instead of the mapped `occurred`.
    pub arrival: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Drop,
    DropAndUpdate,
    Link,
    LinkAndClose,
    Close,
}

/// An incident as rules see it.
struct Incident {
    kind: &'static str,
    tenant: String,
    occurred: i64,
    created: i64,
    severity: f64,
    fields: BTreeMap<&'static str, Value>,
    errors: Vec<&'static str>,
}

impl Incident {
    fn text(&self, field: &str) -> Option<String> {
        match self.fields.get(field)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

type Condition = fn(&Incident) -> bool;

struct Rule {
    name: &'static str,
    when: Condition,
    fields: &'static [&'static str],
    nulls_match: bool,
    where_: fn(&Incident, &Incident) -> bool,
    within: i64,
    newest: bool,
    action: Action,
    shadow: bool,
}

fn rules() -> Vec<Rule> {
    let rule = |name, action, fields, within| Rule {
        name,
        when: |_| true,
        fields,
        nulls_match: false,
        where_: |_, _| true,
        within,
        newest: false,
        action,
        shadow: false,
    };
    vec![
        Rule { when: |i| i.text("host").is_some_and(|h| h.starts_with("lab-")), ..rule("lab", Action::Drop, &[], 0) },
        Rule { when: |i| i.text("src").as_deref() == Some("10.9.9.9"), ..rule("known source", Action::Close, &[], 0) },
        Rule { shadow: true, ..rule("watched", Action::Drop, &["host"], 30 * MINUTE) },
        Rule { when: |i| i.kind == "Scan", ..rule("same scan", Action::Drop, &["src", "rule_id"], 45 * MINUTE) },
        Rule { when: |i| i.kind == "Login Failure", ..rule("logins", Action::DropAndUpdate, &["username", "src"], 15 * MINUTE) },
        Rule { newest: true, ..rule("latest of a file", Action::DropAndUpdate, &["hash"], 60 * MINUTE) },
        Rule { newest: true, where_: |new, old| new.severity > old.severity, ..rule("graver mail", Action::Link, &["sender"], 60 * MINUTE) },
        rule("milder mail", Action::LinkAndClose, &["sender"], 60 * MINUTE),
        Rule { when: |i| i.kind == "Malware", nulls_match: true, newest: true, ..rule("nobody", Action::Link, &["username"], 20 * MINUTE) },
        Rule { when: |i| i.severity >= 2.0, ..rule("story", Action::Link, &["host"], 25 * MINUTE) },
    ]
}

fn time(value: &Value) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.timestamp_millis())
}

fn written(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap();
    if ms % 1000 == 0 { time.format("%Y-%m-%dT%H:%M:%SZ").to_string() } else { time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string() }
}

/// The scales `0-10` and `0-100` of `severity()`.
fn severity(value: &Value, top: f64) -> Option<f64> {
    let share = value.as_f64()? * 10.0 / top;
    Some(match share {
        0.0 => 0.5,
        s if s < 0.0 => return None,
        s if s < 4.0 => 1.0,
        s if s < 7.0 => 2.0,
        s if s < 9.0 => 3.0,
        s if s <= 10.0 => 4.0,
        _ => return None,
    })
}

fn present(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

/// Everything before the rules. `clock`: the latest time so far, for events without one.
fn map(event: &Value, arrival: bool, clock: &mut i64, counts: &mut BTreeMap<&'static str, u64>) -> Option<Incident> {
    let mut count = |name| *counts.entry(name).or_insert(0) += 1;
    if event["kind"] == "heartbeat" {
        count("filtered");
        return None;
    }
    if event["level"].as_f64().is_some_and(|level| level < 2.0) {
        count("filter shadow");
    }
    let kind = match (event["kind"].as_str(), event["action"].as_str()) {
        (Some("malware"), Some("escape")) => "Breakout",
        (Some("login"), _) => "Login Failure",
        (Some("malware"), _) => "Malware",
        (Some("mail"), _) => "Phishing",
        (Some("scan"), _) => "Scan",
        _ => {
            count("unclassified");
            return None;
        }
    };
    let mut errors = Vec::new();
    let occurred = time(&event["ts"]);
    if occurred.is_none() && !event["ts"].is_null() {
        errors.push("occurred");
    }
    let mut created = if arrival { time(&event["received"]) } else { occurred };
    if created.is_none() {
        count("no time");
        created = Some(occurred.unwrap_or(*clock));
    }
    let created = created.unwrap();
    *clock = created.max(*clock);
    let (raw, top) = if kind == "Phishing" { (&event["score"], 100.0) } else { (&event["level"], 10.0) };
    let severity = if kind == "Breakout" { Some(4.0) } else { severity(raw, top) };
    if severity.is_none() && !raw.is_null() {
        errors.push("severity");
    }
    let mut fields = BTreeMap::new();
    let mut field = |name: &'static str, value: Option<Value>| value.map(|value| fields.insert(name, value));
    field("host", event["host"].as_str().map(|h| json!(h.to_lowercase())));
    field("username", present(&event["user"]["name"]));
    field("src", present(&event["src"]));
    field("rule_id", present(&event["rule"]));
    if matches!(kind, "Malware" | "Breakout") {
        field("hash", present(&event["file"]["hash"]));
    }
    if kind == "Phishing" {
        field("sender", event["sender"].as_str().map(|s| json!(s.to_lowercase())));
    }
    let tenant = event["team"].as_str().unwrap_or("none").to_owned();
    Some(Incident { kind, tenant, occurred: occurred.unwrap_or(created), created, severity: severity.unwrap_or(0.0), fields, errors })
}

struct Made {
    row: usize,
    time: i64,
    incident: Incident,
    closed_by: Option<&'static str>,
    links: Vec<(&'static str, usize)>,
    /// Later links to it: how many effective.
    later_links: Vec<(&'static str, usize)>,
    /// Per rule, in the order of the first: rows and their times.
    attached: Vec<(&'static str, Vec<(usize, i64)>)>,
}

/// What is expected of a run.
pub struct Expected {
    /// Per row that became an incident: its JSON without `id`, `pipeline_version`, `labels` and
    /// `raw`; `linked` names rows instead of ids.
    pub incidents: BTreeMap<i64, Value>,
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs the events, one a line, through the pipeline.
pub fn run(lines: &[Value], variant: Variant) -> Expected {
    let rules = rules();
    let mut counts = BTreeMap::new();
    let mut made: Vec<Made> = Vec::new();
    let (mut clock, mut latest) = (i64::MIN, 0);
    for (row, event) in lines.iter().enumerate() {
        let Some(incident) = map(event, variant.arrival, &mut latest, &mut counts) else { continue };
        let mut count = |name| *counts.entry(name).or_insert(0) += 1;
        let time = incident.occurred.max(incident.created - LATE_MAX).min(incident.created + MAX_SKEW);
        clock = clock.max(time);
        let mut late = false;
        let mut applying: Vec<(&Rule, Option<usize>)> = Vec::new();
        for rule in &rules {
            if !(rule.when)(&incident) {
                continue;
            }
            let mut target = None;
            if !rule.fields.is_empty() {
                let key = |i: &Incident| rule.fields.iter().map(|f| i.text(f)).collect::<Vec<_>>();
                let own = key(&incident);
                if !rule.nulls_match && own.contains(&None) {
                    continue;
                }
                let horizon = clock - rule.within - LATE_MAX - MAX_SKEW;
                if time < horizon {
                    late = true;
                    continue;
                }
                let mut candidates = made.iter().enumerate().filter(|(_, old)| {
                    old.incident.tenant == incident.tenant
                        && key(&old.incident) == own
                        && old.time >= horizon
                        && (old.time - time).abs() <= rule.within
                        && (rule.where_)(&incident, &old.incident)
                });
                target = if rule.newest { candidates.next_back() } else { candidates.next() }.map(|(at, _)| at);
                if target.is_none() {
                    continue;
                }
            }
            if rule.shadow {
                count("rule shadow");
                continue;
            }
            applying.push((rule, target));
            if !variant.all {
                break;
            }
        }
        if late {
            count("late");
        }
        let first = |action: Action| applying.iter().find(|(rule, _)| rule.action == action).map(|(rule, _)| rule.name);
        if first(Action::Drop).is_some() {
            count("dropped");
            continue;
        }
        if first(Action::DropAndUpdate).is_some() {
            count("attached");
            for (rule, target) in applying.iter().filter(|(rule, _)| rule.action == Action::DropAndUpdate) {
                let attached = &mut made[target.unwrap()].attached;
                match attached.iter_mut().find(|(name, _)| *name == rule.name) {
                    Some((_, rows)) => rows.push((row, incident.occurred)),
                    None => attached.push((rule.name, vec![(row, incident.occurred)])),
                }
            }
            continue;
        }
        count("incidents");
        let at = made.len();
        let mut links = Vec::new();
        for (rule, target) in applying.iter().filter(|(rule, _)| matches!(rule.action, Action::Link | Action::LinkAndClose)) {
            links.push((rule.name, target.unwrap()));
            made[target.unwrap()].later_links.push((rule.name, at));
        }
        let closed_by = first(Action::Close).or(first(Action::LinkAndClose));
        made.push(Made { row, time, incident, closed_by, links, later_links: Vec::new(), attached: Vec::new() });
    }
    let incidents = made.iter().map(|one| (one.row as i64, expected(one, &made))).collect();
    Expected { incidents, counts }
}

fn expected(one: &Made, made: &[Made]) -> Value {
    let incident = &one.incident;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("type", json!(incident.kind));
    put("severity", if incident.severity == 0.5 { json!(0.5) } else { json!(incident.severity as i64) });
    put("occurred", json!(written(incident.occurred)));
    put("created", json!(written(incident.created)));
    for (name, value) in &incident.fields {
        put(name, value.clone());
    }
    put("source", json!({ "name": "events", "topic": "events.ndjson", "partition": 0, "offset": one.row, "element": 0 }));
    put("pipeline", json!("golden"));
    put("tenant", json!(incident.tenant));
    if !incident.errors.is_empty() {
        put("_errors", json!(incident.errors));
    }
    put("status", json!(if one.closed_by.is_some() { "closed" } else { "open" }));
    put("version", json!(1 + one.attached.len() + one.later_links.len()));
    if let Some(rule) = one.closed_by {
        put("closed", json!({ "rule": rule, "at": written(incident.created) }));
    }
    if !one.attached.is_empty() {
        // One order over all rules; an event that two rules attached stands there once.
        let mut all: Vec<(i64, usize)> = one.attached.iter().flat_map(|(_, rows)| rows.iter().map(|(row, time)| (*time, *row))).collect();
        all.sort();
        all.dedup();
        let times = || one.attached.iter().flat_map(|(_, rows)| rows.iter().map(|(_, time)| *time));
        let samples: Vec<Value> = all
            .iter()
            .skip(all.len().saturating_sub(SAMPLES_MAX))
            .map(|(time, row)| json!({ "topic": "events.ndjson", "partition": 0, "offset": row, "element": 0, "occurred": written(*time) }))
            .collect();
        let rules: Map<String, Value> = one.attached.iter().map(|(rule, rows)| ((*rule).to_owned(), json!(rows.len()))).collect();
        let count: usize = one.attached.iter().map(|(_, rows)| rows.len()).sum();
        put(
            "attached",
            json!({ "count": count, "first": written(times().min().unwrap()), "last": written(times().max().unwrap()), "rules": rules, "samples": samples }),
        );
    }
    let linked: Vec<Value> = one.links.iter().chain(&one.later_links).map(|(rule, other)| json!({ "id": made[*other].row, "rule": rule })).collect();
    if !linked.is_empty() {
        put("linked", json!(linked));
    }
    Value::Object(out)
}

/// The events of `golden/events.ndjson`, the same each time.
pub fn events() -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % end
    };
    let mut out = String::new();
    let mut now = time(&json!("2026-03-02T08:00:00Z")).unwrap();
    for row in 0..260 {
        let busy = (60..110).contains(&row);
        now += below(if busy { 9 } else { 80 }) as i64 * 1000 + below(4) as i64 * 250;
        let flood = busy && below(3) > 0;
        let kind = if flood { "login" } else { ["login", "malware", "mail", "scan", "login", "mail", "malware", "heartbeat", "poem"][below(9) as usize] };
        // Most are a little late; some very late, some dated ahead, a few without a time.
        let ts = match below(20) {
            _ if flood => json!(written(now)),
            0 => json!(written(now - 12 * MINUTE)),
            1 => json!(written(now - 45 * MINUTE)),
            2 => json!(written(now - 300 * MINUTE)),
            3 => json!(written(now + 3 * MINUTE)),
            4 => Value::Null,
            5 => json!("soon"),
            _ => json!(written(now - below(30) as i64 * 1000)),
        };
        let pick = |list: &[&str], n: u64| -> Value {
            match list[n as usize % list.len()] {
                "" => Value::Null,
                text => json!(text),
            }
        };
        let mut event = json!({
            "ts": ts,
            "received": written(now + 500),
            "kind": kind,
            "team": if flood { json!("red") } else { pick(&["red", "red", "red", "blue", ""], below(5)) },
            "level": ([0, 1, 3, 5, 8, 10, 11][below(7) as usize]),
            "src": if flood { json!("10.0.0.66") } else { pick(&["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.9.9.9", ""], below(5)) },
        });
        let members = event.as_object_mut().unwrap();
        let host = pick(&["WS-1", "ws-1", "Ws-2", "lab-7", "srv-Ä", "", "ws-3", "ws-4", "ws-5"], below(9));
        members.insert("host".into(), host);
        let user = if flood { json!("root") } else { pick(&["ann", "bob", "", "cy\"d", "ann"], below(5)) };
        members.insert("user".into(), json!({ "name": user }));
        match kind {
            "malware" => {
                members.insert("file".into(), json!({ "hash": pick(&["h1", "h2", "h3", ""], below(4)) }));
                if below(3) == 0 {
                    members.insert("action".into(), json!("escape"));
                }
            }
            "mail" => {
                members.insert("score".into(), json!([10, 45, 75, 95, 20, 99][below(6) as usize]));
                members.insert("sender".into(), pick(&["A@evil.example", "a@EVIL.example", "b@evil.example", ""], below(4)));
                // Mails have files, too, but their type does not map them: no rule may see this one.
                members.insert("file".into(), json!({ "hash": "h1" }));
            }
            "scan" => {
                members.insert("rule".into(), if below(2) == 0 { json!(2_024_468) } else { json!("r-2") });
            }
            _ => {
                members.insert("note".into(), json!(format!("line {row}\u{9}é")));
            }
        }
        out.push_str(&event.to_string());
        out.push('\n');
    }
    out
}
