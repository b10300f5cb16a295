//! Playbooks: values of events that try to be more than values, through a whole playbook: into a path, a
//! header, JSON, a mail, a list of recipients, a script, a template. They end as data, or the task fails.

use std::sync::Arc;
use std::time::Duration;

use catchment::config::Diagnostics;
use catchment::content;
use catchment::respond::local;
use catchment::respond::outside::Outside;
use catchment::respond::outside::config::{MailServer, MailTls, ScriptSpec, Settings};
use catchment::respond::run::{Run, RunState};
use catchment::respond::world::brakes::Mode;
use catchment::respond::world::{World, incident_view};
use serde_json::{Value, json};

use crate::playbook_outside::{Server, loopback};
use crate::playbook_soc::{Log, mail_server};
use crate::playbook_stage::playbook;

const HOSTILE: &[&str] = &[
    "plain",
    "..",
    ".",
    "../../admin",
    "x?y=1#f",
    "%2e%2e%2f",
    "a\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    "x\", \"X-Evil\": \"1",
    "\"}, \"admin\": true, \"x\": {\"",
    "\\u0022, \\\"",
    "${incident.secret}",
    "${.=val.incident.secret}",
    "{{7*7}}",
    "$(touch evil)",
    "`id`; rm -rf / #",
    "--help",
    "ann@corp.example, evil@bad.example",
    "ann\nBcc: evil@bad.example",
    "\r\n.\r\nMAIL FROM:<evil@bad.example>\r\n",
    "<evil@bad.example>",
    "x method=DELETE url=http://bad.example/",
    "http://169.254.169.254/",
    "\u{0}\u{1b}[2J",
    "\u{2028}ü😀",
    "=cmd|' /C calc'!A0",
];

/// Each task goes on when it fails: one that refuses a value must not hide the next.
fn tasks() -> String {
    let task = |id: u32, body: &str| {
        let next = if id == 7 { "{}".to_owned() } else { format!("{{'#none#': ['{}']}}", id + 1) };
        format!("'{id}':\n  id: '{id}'\n  type: regular\n  continueonerror: true\n  {body}\n  nexttasks: {next}\n")
    };
    let http = "script: '|||http', iscommand: true";
    [
        "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n".to_owned(),
        task(1, &format!("task: {{name: path, {http}}}\n  scriptarguments: {{method: {{simple: POST}}, url: {{simple: '${{inputs.Base}}/users/${{incident.v}}/lock?q=${{incident.v}}'}}, json: {{simple: '{{\"who\": \"${{incident.v}}\", \"raw\": ${{incident.v}}}}'}}}}")),
        task(2, "task: {name: read, script: '|||http-get', iscommand: true}\n  scriptarguments: {url: {simple: '${inputs.Base}/read/${incident.v}/end'}}"),
        task(3, &format!("task: {{name: header, {http}}}\n  scriptarguments: {{url: {{simple: '${{inputs.Base}}/header'}}, headers: {{simple: '{{\"X-Who\": \"${{incident.v}}\"}}'}}, query: {{simple: '{{\"q\": \"${{incident.v}}\"}}'}}}}")),
        task(4, "task: {name: mail, script: '|||send-mail', iscommand: true}\n  scriptarguments: {to: {simple: soc@corp.example}, subject: {simple: 'about ${incident.v}'}, body: {simple: 'it was ${incident.v}'}}"),
        task(5, "task: {name: recipients, script: '|||send-mail', iscommand: true}\n  scriptarguments: {to: {simple: '${incident.v}@corp.example'}, subject: {simple: second}, body: {simple: x}}"),
        task(6, "task: {name: script, script: '|||mine', iscommand: true}\n  scriptarguments: {v: {simple: 'x ${incident.v}'}, whole: {simple: '${incident.v}'}}"),
        task(7, "task: {name: template, scriptName: Print}\n  scriptarguments: {value: {simple: 'seen ${incident.v}'}}"),
    ]
    .concat()
}

fn scripted(dir: &std::path::Path) -> ScriptSpec {
    use std::os::unix::fs::PermissionsExt;
    let file = dir.join("mine.sh");
    std::fs::write(&file, format!("#!/bin/sh\ncat > '{}/given'\necho '{{}}'\n", dir.display())).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    ScriptSpec { name: "mine".to_owned(), file, timeout_s: 10, memory: 512 << 20, ..ScriptSpec::default() }
}

#[test]
fn values_of_events_end_as_data() {
    let server = Server::start(|_| ("200 OK".to_owned(), "{}".to_owned()));
    let (port, mails) = mail_server();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.yml"), playbook("p", "inputs:\n- {key: Base, value: {}}", &tasks())).unwrap();
    let mail = MailServer { host: "127.0.0.1".to_owned(), port, from: "soc@corp.example".to_owned(), user: None, tls: MailTls::None };
    let settings = Settings { mail: Some(mail), scripts: vec![scripted(dir.path())], ..loopback() };
    let mut out = Diagnostics::new();
    let content = Arc::new(content::load(&[dir.path().join("p.yml")], None, &mut out));
    assert!(!out.has_errors(), "{}", out.plain());
    let mut world = World::of(content, out.files());
    Outside::declare(&settings, &mut world);
    world.brakes.mode = Mode::Run;
    let outside = Arc::new(Outside::new(settings).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut lines, mut headers, mut addressed) = (0, 0, 0);
    for value in HOSTILE {
        server.seen.lock().unwrap().clear();
        mails.lock().unwrap().clear();
        let incident = json!({ "id": "1", "type": "T", "v": value, "secret": "s3cret" });
        let mut run = Run::new("1", "p", "test", incident_view(incident));
        run.given.insert("Base".to_owned(), json!(server.url));
        let mut log = Log::default();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), local::run(&mut run, &world, &outside, &mut log)).await.unwrap() });
        assert_eq!(run.state, RunState::Completed, "{value:?}: {}", run.reason);
        for seen in server.seen.lock().unwrap().iter() {
            assert!(seen.header("x-evil").is_none() && !seen.line.contains("s3cret") && !seen.body.contains("s3cret"), "{value:?}: {seen:?}");
            let (method, target) = seen.line.split_once(' ').unwrap();
            let url = url::Url::parse(&format!("http://host{target}")).unwrap();
            let parts: Vec<String> = url.path_segments().unwrap().map(percent_decoded).collect();
            let parameter = || url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect::<Vec<_>>();
            match parts[0].as_str() {
                "users" => {
                    lines += 1;
                    assert_eq!((method, parts.len(), parts[1].as_str(), parts[2].as_str()), ("POST", 3, *value, "lock"), "{seen:?}");
                    assert_eq!(parameter(), [("q".to_owned(), (*value).to_owned())]);
                    let body: Value = serde_json::from_str(&seen.body).unwrap();
                    assert_eq!(body, json!({ "who": value, "raw": value }));
                }
                "read" => assert_eq!((method, parts.len(), parts[1].as_str(), parts[2].as_str()), ("GET", 3, *value, "end"), "{seen:?}"),
                "header" => {
                    headers += 1;
                    assert_eq!((method, seen.header("x-who")), ("GET", Some(*value)), "{seen:?}");
                    assert_eq!(parameter(), [("q".to_owned(), (*value).to_owned())]);
                }
                other => panic!("{value:?} led to {other}: {seen:?}"),
            }
        }
        let sent = mails.lock().unwrap().clone();
        assert!(!sent.is_empty(), "{value:?}: the mail whose recipient stands fast goes out");
        for mail in &sent {
            let recipients: Vec<&str> = mail.lines().filter(|line| line.starts_with("RCPT TO:")).collect();
            assert!(recipients.len() == 1 && recipients[0].ends_with("@corp.example>"), "{value:?}: {recipients:?}");
            let head = mail.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(!head.lines().any(|line| line.starts_with("bcc:") || line.starts_with("x-evil:")), "{value:?}: {head}");
            assert_eq!(head.lines().filter(|line| line.starts_with("mail from:")).collect::<Vec<_>>(), ["mail from:<soc@corp.example>"]);
        }
        addressed += usize::from(sent.len() == 2);
        let given: Value = serde_json::from_slice(&std::fs::read(dir.path().join("given")).unwrap()).unwrap();
        assert_eq!(given["arguments"], json!({ "v": format!("x {value}"), "whole": value }));
        let printed = log.texts().filter(|text| text.starts_with("seen ")).collect::<Vec<_>>();
        assert_eq!(printed, [format!("seen {value}")]);
    }
    assert!(!dir.path().join("evil").exists() && !std::path::Path::new("evil").exists());
    // Dots alone are refused in paths; control characters in headers; what ends an address, in addresses.
    let on_one_line = HOSTILE.iter().filter(|value| !value.bytes().any(|byte| byte < 32 || byte == 127)).count();
    assert_eq!((lines, headers), (HOSTILE.len() - 2, on_one_line));
    assert!(addressed >= 3 && addressed < HOSTILE.len() / 2, "{addressed}");
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={}", text.replace('+', "%2B")).as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
