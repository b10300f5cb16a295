//! What tests of playbooks on a real broker stand on: a server that takes its time and counts, a
//! pipeline with playbooks, facts that create incidents, and what the topics say afterwards.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::process::Catchment;
use super::{Broker, Home, Input, Row, unique};

/// A request that the server saw whole.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) path: String,
    pub(super) key: String,
    /// When it was there, in milliseconds since 1970.
    pub(super) at_ms: i64,
}

/// A server that answers after a while, so many at once, and writes down what it saw.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    hits: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    all: Vec<Hit>,
    /// Path → when it was asked for first.
    first: HashMap<String, i64>,
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

struct Gate {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Server {
    /// `takes`: the time of one request; `at_once`: how many it works on, the others queue.
    pub(super) fn start(takes: Duration, at_once: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hits: Arc<Mutex<Seen>> = Arc::default();
        let gate = Arc::new(Gate { free: Mutex::new(at_once), changed: Condvar::new() });
        let seen = hits.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, gate) = (seen.clone(), gate.clone());
                std::thread::spawn(move || serve(stream, &seen, &gate, takes));
            }
        });
        Server { address, hits }
    }

    pub(super) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().all.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.hits.lock().unwrap().all.len()
    }

    /// When a path was asked for first.
    pub(super) fn first(&self, path: &str) -> Option<i64> {
        self.hits.lock().unwrap().first.get(path).copied()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>, gate: &Gate, takes: Duration) {
    stream.set_nodelay(true).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut key, mut length, mut line) = (String::new(), String::new(), 0_usize, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if path.is_empty() {
                path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some((name, value)) = text.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "idempotency-key" => key = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse().unwrap(),
                    _ => {}
                }
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let at_ms = now_ms();
        let mut all = seen.lock().unwrap();
        all.first.entry(path.clone()).or_insert(at_ms);
        all.all.push(Hit { path, key, at_ms });
        drop(all);
        let mut free = gate.free.lock().unwrap();
        while *free == 0 {
            free = gate.changed.wait(free).unwrap();
        }
        *free -= 1;
        drop(free);
        std::thread::sleep(takes);
        *gate.free.lock().unwrap() += 1;
        gate.changed.notify_one();
        if out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").is_err() {
            return;
        }
    }
}

/// A playbook whose tasks follow each other: `(id, type, lines of the task)`.
pub(super) fn playbook(id: &str, tasks: &[(&str, &str)]) -> String {
    let mut text = format!(
        "id: {id}\nname: {id}\nstarttaskid: '0'\nquiet: true\ntasks:\n  '0': {{ id: '0', type: start, task: {{ name: '' }}, nexttasks: {{ '#none#': ['1'] }} }}\n"
    );
    for (number, (kind, more)) in tasks.iter().enumerate() {
        let (own, next) = (number + 1, number + 2);
        let next = if next > tasks.len() { String::new() } else { format!("'#none#': ['{next}']") };
        text.push_str(&format!("  '{own}':\n    id: '{own}'\n    type: {kind}\n{more}\n    nexttasks: {{ {next} }}\n"));
    }
    text
}

/// A task that asks the server for a path.
pub(super) fn touch(server: &Server, path: &str) -> (&'static str, String) {
    let lines = format!(
        "    task: {{ name: touch, script: '|||http', iscommand: true }}\n    scriptarguments:\n      method: {{ simple: POST }}\n      url: {{ simple: 'http://{}{path}' }}\n      json: {{ simple: '{{}}' }}",
        server.address
    );
    ("regular", lines)
}

/// A pipeline with playbooks.
pub(super) struct Stage<'b> {
    pub(super) kafka: &'b Broker,
    pub(super) name: String,
    pub(super) partitions: i32,
    /// File → text.
    playbooks: Vec<(String, String)>,
    /// Type → file, mode.
    types: Vec<(String, String, String)>,
}

impl<'b> Stage<'b> {
    /// `types`: type, mode, playbook.
    pub(super) fn new(kafka: &'b Broker, name: &str, partitions: i32, types: &[(&str, &str, String)]) -> Stage<'b> {
        let name = unique(name);
        let file = |of: &str| format!("{}.yml", of.to_lowercase());
        let playbooks = types.iter().map(|(of, _, text)| (file(of), text.clone())).collect();
        let types = types.iter().map(|(of, mode, _)| ((*of).to_owned(), file(of), (*mode).to_owned())).collect();
        let stage = Stage { kafka, name, partitions, playbooks, types };
        for (topic, count, policy) in [
            ("events", 1, "delete"),
            ("incidents", partitions, "delete"),
            ("incident-state", partitions, "compact"),
            ("index", 1, "delete"),
            ("dead-letters", 1, "delete"),
            ("runs", partitions, "compact"),
            ("war-room", partitions, "delete"),
            ("respond-control", 1, "compact"),
        ] {
            kafka.create(&stage.topic(topic), count, &[("cleanup.policy", policy)]);
        }
        stage
    }

    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Home of a member; the pipeline stands in it.
    pub(super) fn home(&self, instance: &str, more: &str) -> Home {
        let home = Home::new(self.kafka, &format!("instance: {instance}\nlisten: {{ api: 127.0.0.1:0 }}\n{more}"));
        let table: Vec<String> = self.types.iter().map(|(of, _, _)| format!("{{ when: \"kind = '{of}'\", type: {of} }}")).collect();
        let playbooks: Vec<String> = self.types.iter().map(|(of, file, mode)| format!("  {of}: {{ file: playbooks/{file}, mode: {mode} }}\n")).collect();
        home.write(
            "pipeline.yaml",
            &format!(
                "name: {}\nsources: [ {{ name: events, topics: [{}], start: earliest }} ]\nclassify: {{ rules: [ {} ], default: drop }}\nplaybooks:\n{}",
                self.name,
                self.topic("events"),
                table.join(", "),
                playbooks.concat()
            ),
        );
        home.write("respond.yaml", "http: { allow: [127.0.0.0/8], on_unknown: retry }\n");
        self.playbooks.iter().for_each(|(file, text)| drop(home.write(&format!("playbooks/{file}"), text)));
        home
    }

    pub(super) fn start(&self, home: &Home, failpoint: Option<&str>) -> Catchment {
        let variables: Vec<(&str, &str)> = failpoint.map(|value| ("CATCHMENT_FAILPOINT", value)).into_iter().collect();
        home.spawn("run", &["run", "pipeline.yaml", "--role", "respond", "--log", "info"], &variables)
    }

    /// Incidents are created.
    pub(super) fn create(&self, incidents: impl IntoIterator<Item = (u128, String, f64)>) {
        let inputs = incidents.into_iter().map(|(id, of, severity)| created(id, &of, severity));
        self.kafka.produce(&self.topic("incidents"), inputs);
    }

    /// A fact about an incident.
    pub(super) fn say(&self, id: u128, fact: &Value) {
        self.kafka.produce(&self.topic("incidents"), [Input::new(hex(id), fact.to_string())]);
    }

    /// What people say about all runs or those of a type.
    pub(super) fn control(&self, key: &str, state: &str, mode: Option<&str>) {
        let value = json!({ "state": state, "mode": mode, "actor": "test", "at": "2026-01-01T00:00:00Z" });
        self.kafka.produce(&self.topic("respond-control"), [Input::new(key, value.to_string())]);
    }

    /// The newest state of every run, by run.
    pub(super) fn runs(&self) -> BTreeMap<Vec<u8>, Row> {
        self.kafka.read_settled(&self.topic("runs")).into_iter().map(|row| (row.key.clone(), row)).collect()
    }

    /// How many runs are in which state.
    pub(super) fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for row in self.runs().values() {
            *states.entry(state_of(row)).or_default() += 1;
        }
        states
    }

    /// The values of a topic.
    pub(super) fn values(&self, topic: &str) -> Vec<Value> {
        self.kafka.read_settled(&self.topic(topic)).iter().map(|row| serde_json::from_str(row.text()).unwrap()).collect()
    }

    /// Every run that began is completed, one an incident; no key was asked for again after its result was committed.
    /// How many keys were asked for more than once.
    pub(super) fn audit(&self, incidents: usize, server: &Server) -> usize {
        let mut completed: HashMap<String, i64> = HashMap::new();
        let mut last: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for row in self.kafka.read_settled(&self.topic("runs")) {
            let state = state_of(&row);
            if state == "completed" {
                let incident = String::from_utf8(row.header("incident").unwrap().to_vec()).unwrap();
                assert!(completed.insert(incident, row.timestamp_ms).is_none(), "a run is completed once");
            }
            last.insert(row.key, state);
        }
        let open: Vec<&String> = last.values().filter(|state| *state != "completed").collect();
        assert!(open.is_empty(), "{} runs are not completed: {:?}", open.len(), &open[..open.len().min(5)]);
        assert_eq!((last.len(), completed.len()), (incidents, incidents), "one run an incident");
        let mut by_key: HashMap<String, Vec<Hit>> = HashMap::new();
        server.hits().into_iter().for_each(|hit| by_key.entry(hit.key.clone()).or_default().push(hit));
        assert_eq!(by_key.len(), incidents, "one key an incident");
        let mut repeated = 0;
        for (key, hits) in &by_key {
            let incident = hits[0].path.rsplit('/').next().unwrap();
            assert!(hits.iter().all(|hit| hit.path == hits[0].path), "one key, one call");
            repeated += usize::from(hits.len() > 1);
            // The record with the result is written before it is committed.
            let result = completed[incident];
            let late = hits.iter().filter(|hit| hit.at_ms > result).count();
            assert_eq!(late, 0, "{key} of {incident} was asked for {} times, {late} of them after its result was committed", hits.len());
        }
        repeated
    }
}

pub(super) fn state_of(row: &Row) -> String {
    String::from_utf8(row.header("state").unwrap().to_vec()).unwrap()
}

pub(super) fn hex(id: u128) -> String {
    format!("{id:032x}")
}

/// The fact that creates an incident.
pub(super) fn created(id: u128, of: &str, severity: f64) -> Input {
    let id = hex(id);
    let fact = format!(
        r#"{{"fact":"created","fact_id":"{id}","incident":{{"id":"{id}","type":"{of}","severity":{severity},"created":"2026-03-01T00:00:00Z","name":"an incident of a test","host":"web-{}","raw":{{"pad":"{}"}},"status":"open","version":1}}}}"#,
        &id[28..],
        "x".repeat(200)
    );
    Input::new(&id, fact)
}
