//! The playbooks of `pipelines/soc`, for real: HTTP and SMTP servers of the test, incidents whose
//! values try to be more than values.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use catchment::config::Diagnostics;
use catchment::content;
use catchment::respond::local::{self, Watcher};
use catchment::respond::outside::Outside;
use catchment::respond::outside::config::{Credential, CredentialKind, MailServer, MailTls, Settings};
use catchment::respond::run::{Answer, Ask, Edit, Effect, Run, RunState};
use catchment::respond::world::brakes::{Mode, Protect};
use catchment::respond::world::{World, incident_view};
use serde_json::{Value, json};

use crate::playbook_outside::{Server, loopback};

/// A mail server that accepts everything: recipients and messages.
pub fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let mut mail = String::new();
            write!(stream, "220 test\r\n").unwrap();
            let mut line = String::new();
            let mut data = false;
            while reader.read_line(&mut line).unwrap_or(0) > 0 {
                let answer = match line.trim_end() {
                    "." if data => {
                        data = false;
                        log.lock().unwrap().push(std::mem::take(&mut mail));
                        "250 taken"
                    }
                    _ if data => {
                        mail.push_str(&line);
                        line.clear();
                        continue;
                    }
                    "DATA" => {
                        data = true;
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    text => {
                        mail.push_str(&format!("{text}\n"));
                        "250 ok"
                    }
                };
                line.clear();
                if write!(stream, "{answer}\r\n").is_err() {
                    break;
                }
            }
        }
    });
    (port, seen)
}

#[derive(Default)]
pub struct Log {
    edits: Vec<Edit>,
    asked: Vec<Ask>,
    entries: Vec<(String, String)>,
    says: Option<&'static str>,
}

impl Log {
    /// Texts of the war room.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(_, text)| text.as_str())
    }
}

impl Watcher for Log {
    fn effect(&mut self, _: &Run, effect: &Effect) {
        match effect {
            Effect::Edit(edit) => self.edits.push(edit.clone()),
            Effect::Entry(entry) => self.entries.push((entry.kind.clone(), entry.text.clone())),
            _ => {}
        }
    }

    fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        self.asked.push(ask.clone());
        self.says.map(|label| Answer {
            task: ask.task.clone(),
            frame: Some(ask.key.frame),
            actor: "ann".to_owned(),
            label: label.to_owned(),
            ..Answer::default()
        })
    }
}

fn play(name: &str, incident: Value, inputs: Value, mode: Mode, settings: Settings, log: &mut Log) -> Run {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/soc/playbooks");
    let mut out = Diagnostics::new();
    let content = Arc::new(content::load(&[dir], None, &mut out));
    let mut world = World::of(content, out.files());
    Outside::declare(&settings, &mut world);
    world.brakes.mode = mode;
    world.brakes.records = settings.brakes.records.clone();
    world.brakes.protect = Protect::new(["10.0.0.0/8", "dc01"]).unwrap();
    let mut run = Run::new("1", name, "test", incident_view(incident));
    run.given = inputs.as_object().unwrap().clone();
    let outside = Arc::new(Outside::new(settings).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), local::run(&mut run, &world, &outside, log)).await.unwrap() });
    run
}

fn closed(log: &Log) -> Option<(String, String)> {
    log.edits.iter().find_map(|edit| match edit {
        Edit::Close { incident: None, reason, notes } => Some((reason.clone(), notes.clone())),
        _ => None,
    })
}

#[test]
fn a_brute_force_is_looked_up_locked_ticketed_blocked_and_closed() {
    let server = Server::start(|seen| match seen.line.split(' ').next().unwrap_or_default() {
        "GET" => ("200 OK".to_owned(), r#"{"active": true}"#.to_owned()),
        _ if seen.line.ends_with("/tickets") => ("201 Created".to_owned(), r#"{"id": "T-7"}"#.to_owned()),
        _ => ("200 OK".to_owned(), "{}".to_owned()),
    });
    let host = server.url.trim_start_matches("http://").to_owned();
    let settings = Settings {
        credentials: vec![Credential {
            name: "directory".to_owned(),
            hosts: vec![host],
            kind: CredentialKind::Basic { user: "soc".to_owned(), password: "pw".to_owned() },
        }],
        ..loopback()
    };
    let inputs = json!({ "Directory": server.url, "Tickets": server.url, "Firewall": server.url });
    // A name that would like to be another path, and another request.
    let incident = json!({ "id": "1", "type": "Account Brute Force", "severity": 3, "username": "ann/../../admin?x=\"}\r\nEvil: 1", "src_ip": "198.51.100.7" });
    let mut log = Log::default();
    let run = play("Brute Force", incident.clone(), inputs.clone(), Mode::Run, settings.clone(), &mut log);
    assert_eq!(run.state, RunState::Completed, "{} {:?}", run.reason, log.entries);
    let seen = server.seen.lock().unwrap().clone();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let name = "ann%2F..%2F..%2Fadmin%3Fx%3D%22%7D%0D%0AEvil%3A%201";
    assert_eq!(lines, [format!("GET /users/{name}"), format!("POST /users/{name}/lock"), "POST /tickets".to_owned(), "POST /blocks".to_owned()]);
    assert!(seen.iter().all(|seen| seen.header("evil").is_none()));
    let ticket: Value = serde_json::from_str(&seen[2].body).unwrap();
    assert_eq!((&ticket["severity"], &ticket["title"]), (&json!(3), &json!("Brute force against ann/../../admin?x=\"}\r\nEvil: 1")));
    assert_eq!(seen[0].header("authorization"), Some("Basic c29jOnB3"));
    assert_eq!(seen[2].header("authorization"), None);
    let (reason, notes) = closed(&log).unwrap();
    assert!(reason == "Resolved" && notes.ends_with("ticket T-7"), "{notes}");

    // Nothing with an effect runs before a person says so.
    server.seen.lock().unwrap().clear();
    let mut log = Log::default();
    let run = play("Brute Force", json!({ "id": "2", "type": "T", "severity": 3, "username": "bob" }), inputs.clone(), Mode::Ask, settings.clone(), &mut log);
    assert_eq!((run.state, log.asked.len(), server.lines()), (RunState::Waiting, 1, vec!["GET /users/bob".to_owned()]));

    // Own networks are never blocked, whatever the event says; a ticket may tell of them.
    server.seen.lock().unwrap().clear();
    let mut log = Log::default();
    let tickets = Server::start(|_| ("201 Created".to_owned(), r#"{"id": "T-8"}"#.to_owned()));
    let mut settings = settings;
    settings.brakes.records = vec![tickets.url.trim_start_matches("http://").to_owned()];
    let inputs = json!({ "Directory": server.url, "Tickets": tickets.url, "Firewall": server.url });
    let run = play("Brute Force", json!({ "id": "3", "type": "T", "severity": 3, "src_ip": "10.1.2.3" }), inputs, Mode::Run, settings, &mut log);
    assert_eq!((run.state, server.lines(), tickets.lines()), (RunState::Completed, vec![], vec!["POST /tickets".to_owned()]));
    assert!(log.entries.iter().any(|(kind, text)| kind == "error" && text.contains("protected")), "{:?}", log.entries);
}

#[test]
fn a_phishing_mail_is_judged_a_person_is_asked_and_the_reporter_hears_of_it() {
    let server = Server::start(|seen| {
        if seen.line.ends_with("/lookup") { ("200 OK".to_owned(), r#"{"verdict": "malicious"}"#.to_owned()) } else { ("200 OK".to_owned(), "{}".to_owned()) }
    });
    let (port, mails) = mail_server();
    let settings = Settings {
        mail: Some(MailServer { host: "127.0.0.1".to_owned(), port, from: "soc@corp.example".to_owned(), user: None, tls: MailTls::None }),
        ..loopback()
    };
    let inputs = json!({ "Reputation": server.url, "Gateway": server.url });
    let incident = json!({ "id": "1", "type": "Phishing Mail", "severity": 2, "subject": "Parcel\r\nBcc: evil@bad.example", "body": "see http://bad.example/x. and http://other.example/y", "sender": "a b@bad.example", "recipient": "ann@corp.example" });
    let mut log = Log { says: Some("Yes"), ..Log::default() };
    let run = play("Phishing Mail", incident, inputs, Mode::Run, settings, &mut log);
    assert_eq!(run.state, RunState::Completed, "{} {:?}", run.reason, log.entries);
    assert_eq!(server.lines(), ["POST /lookup", "POST /senders/a%20b%40bad.example/block"]);
    let asked: Value = serde_json::from_str(&server.seen.lock().unwrap()[0].body).unwrap();
    assert_eq!(asked, json!({ "urls": ["http://bad.example/x", "http://other.example/y"] }));
    assert_eq!((log.asked.len(), log.asked[0].kind.as_str()), (1, "question"));
    assert_eq!(closed(&log).unwrap().1, "verdict: malicious");
    let mails = mails.lock().unwrap();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("RCPT TO:<ann@corp.example>") && mails[0].matches("RCPT TO").count() == 1, "{}", mails[0]);
    assert!(!mails[0].lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{}", mails[0]);
}

#[test]
fn malware_is_isolated_enriched_contained_on_each_host_and_closed() {
    let server = Server::start(|seen| match seen.line.as_str() {
        line if line.ends_with("/hosts") => ("200 OK".to_owned(), r#"{"hosts": ["ws-2", "dc01", "ws-4"]}"#.to_owned()),
        line if line.starts_with("GET /files/") => ("200 OK".to_owned(), r#"{"family": "Emotet"}"#.to_owned()),
        _ => ("200 OK".to_owned(), "{}".to_owned()),
    });
    let inputs = json!({ "Edr": server.url, "Reputation": server.url });
    let mut log = Log::default();
    let run = play(
        "Endpoint Malware",
        json!({ "id": "1", "type": "Endpoint Malware", "severity": 4, "host": "ws-1", "file_sha256": "ab12" }),
        inputs,
        Mode::Run,
        loopback(),
        &mut log,
    );
    assert_eq!(run.state, RunState::Completed, "{} {:?}", run.reason, log.entries);
    let lines = server.lines();
    for line in ["POST /hosts/ws-1/isolate", "GET /files/ab12", "GET /files/ab12/hosts", "POST /hosts/ws-2/isolate", "POST /hosts/ws-4/isolate"] {
        assert!(lines.contains(&line.to_owned()), "{line} in {lines:?}");
    }
    assert_eq!(lines.len(), 5, "a protected machine is not isolated, however it is named: {lines:?}");
    assert_eq!(run.incident["outcome"], json!("Emotet"));
    assert_eq!(closed(&log).unwrap(), ("Resolved".to_owned(), "Emotet; contained: ws-2,ws-4".to_owned()));
}
