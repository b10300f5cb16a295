//! Playbooks: the ways out. HTTP against a server of the test, scripts of the user, what they
//! may not reach, and values that try to be more than values.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use catchment::respond::outside::Outside;
use catchment::respond::outside::config::{Credential, CredentialKind, ScriptSpec, Settings};
use catchment::respond::run::{Call, Failure, FailureKind, Key, Output};
use serde_json::{Value, json};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `POST /path`
    pub line: String,
    /// Headers in lower case.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name).map(|(_, value)| value))
    }
}

/// A server that answers as a function says: status line and headers, body.
pub struct Server {
    /// `http://127.0.0.1:port`
    pub url: String,
    /// What it saw.
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts it; it ends with the process.
    pub fn start(answer: impl Fn(&Seen) -> (String, String) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Server { url, seen }
    }

    /// What it saw, as `POST /path`.
    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>, answer: &(dyn Fn(&Seen) -> (String, String) + Send + Sync)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap_or(0);
            let header = header.trim_end().to_owned();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").unwrap_or((&header, ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0);
            }
            headers.push(format!("{}: {value}", name.to_lowercase()));
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let seen = Seen { line, headers, body: String::from_utf8_lossy(&body).into_owned() };
        let (head, body) = answer(&seen);
        log.lock().unwrap().push(seen);
        if write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_err() {
            return;
        }
    }
}

/// Settings under which servers of tests can be reached.
pub fn loopback() -> Settings {
    Settings { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::plain() }
}

fn call(settings: Settings, command: &str, arguments: Value) -> Result<Output, Failure> {
    let call = Call {
        key: Key { frame: 0, task: 1, attempt: 1 },
        idempotency_key: "key-1".to_owned(),
        task: "1".to_owned(),
        command: command.to_owned(),
        brand: None,
        arguments: arguments.as_object().unwrap().clone(),
        timeout_s: 20,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Outside::new(settings).unwrap().call(&call).await })
}

fn kind(result: Result<Output, Failure>) -> FailureKind {
    result.expect_err("it fails").kind
}

#[test]
fn a_request_is_what_was_asked_for_and_its_answer_is_read() {
    let server = Server::start(|_| ("200 OK\r\nX-Extra: 1".to_owned(), r#"{"id": 7, "name": "x"}"#.to_owned()));
    let done = call(loopback(), "http", json!({ "method": "post", "url": format!("{}/a?b=1", server.url), "query": { "q": "a&b=c", "many": ["1", "2"] }, "headers": { "X-Mine": "v" }, "json": { "k": "v" }, "save_as": "Mine" })).unwrap();
    assert_eq!(done.contents, json!({ "id": 7, "name": "x" }));
    let saved = &done.context["Mine(true)"];
    assert_eq!((&saved["StatusCode"], &saved["ParsedBody"]["id"], &saved["Headers"]["x-extra"]), (&json!(200), &json!(7), &json!("1")));
    let seen = server.seen.lock().unwrap()[0].clone();
    assert_eq!(seen.line, "POST /a?b=1&q=a%26b%3Dc&many=1&many=2");
    assert_eq!(
        (seen.body.as_str(), seen.header("x-mine"), seen.header("idempotency-key"), seen.header("content-type")),
        (r#"{"k":"v"}"#, Some("v"), Some("key-1"), Some("application/json"))
    );
}

#[test]
fn a_busy_server_is_asked_later_and_holds_no_worker() {
    let server = Server::start(|_| ("429 Too Many\r\nRetry-After: 7".to_owned(), String::new()));
    let done = call(loopback(), "http", json!({ "url": server.url.clone() })).unwrap();
    assert_eq!(done.poll.map(|poll| poll.after_s), Some(7));
    let server = Server::start(|_| ("503 Down".to_owned(), "down".to_owned()));
    let failed = call(loopback(), "http", json!({ "url": server.url.clone() })).unwrap_err();
    assert!(failed.retry && failed.message.contains("503"), "{failed:?}");
}

#[test]
fn answers_are_bounded_and_redirects_are_not_followed() {
    let server = Server::start(|seen| match seen.line.as_str() {
        "GET /big" => ("200 OK".to_owned(), "x".repeat(100_000)),
        _ => ("302 Found\r\nLocation: http://169.254.169.254/".to_owned(), "away".to_owned()),
    });
    let settings = Settings { response_bytes: 10_000, ..loopback() };
    assert_eq!(kind(call(settings.clone(), "http", json!({ "url": format!("{}/big", server.url) }))), FailureKind::Bound);
    assert_eq!(kind(call(settings, "http", json!({ "url": format!("{}/away", server.url) }))), FailureKind::Said);
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn what_may_not_be_reached_is_not_reached() {
    let server = Server::start(|_| ("200 OK".to_owned(), String::new()));
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    for url in [
        server.url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        assert_eq!(kind(call(Settings::plain(), "http", json!({ "url": url }))), FailureKind::Refused, "{url}");
    }
    for url in ["file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pass@127.0.0.1/", "not a url", ""] {
        assert_eq!(kind(call(Settings::plain(), "http", json!({ "url": url }))), FailureKind::Argument, "{url}");
    }
    assert!(server.lines().is_empty());
}

#[test]
fn values_do_not_become_headers_and_secrets_go_to_their_host_only() {
    let server = Server::start(|_| ("200 OK".to_owned(), String::new()));
    let url = server.url.clone();
    assert_eq!(kind(call(loopback(), "http", json!({ "url": url, "headers": { "X-A": "v\r\nX-Evil: 1" } }))), FailureKind::Argument);
    assert_eq!(kind(call(loopback(), "http", json!({ "url": url, "headers": { "X-A\r\nX-Evil": "1" } }))), FailureKind::Argument);
    assert_eq!(kind(call(loopback(), "http", json!({ "url": url, "headers": { "Host": "other" } }))), FailureKind::Argument);
    let host = server.url.trim_start_matches("http://").to_owned();
    let with = |hosts: Vec<String>| Settings {
        credentials: vec![Credential { name: "api".to_owned(), hosts, kind: CredentialKind::Bearer("s3cret".to_owned()) }],
        ..loopback()
    };
    let refused = call(with(vec!["api.example.com".to_owned()]), "http", json!({ "url": url, "auth": "api" })).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(!refused.message.contains("s3cret"));
    assert!(server.lines().is_empty());
    call(with(vec![host]), "http", json!({ "url": url, "auth": "api" })).unwrap();
    assert_eq!(server.seen.lock().unwrap()[0].header("authorization"), Some("Bearer s3cret"));
    assert!(!format!("{:?}", with(vec![])).contains("s3cret"));
}

fn script(text: &str, change: impl FnOnce(&mut ScriptSpec)) -> (tempfile::TempDir, Settings) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sh");
    // Written and closed before it is run: a file that is open for writing cannot be.
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = ScriptSpec { name: "mine".to_owned(), file, timeout_s: 10, memory: 512 << 20, ..ScriptSpec::default() };
    change(&mut spec);
    (dir, Settings { scripts: vec![spec], ..Settings::plain() })
}

#[test]
fn scripts_speak_json_in_an_environment_of_their_own() {
    let (_dir, settings) = script(
        "#!/bin/sh\nread -r line\nprintf '{\"context\": {\"Got\": %s}, \"readable\": \"%s\"}' \"$line\" \"$(env | cut -d= -f1 | sort | tr '\\n' ' ')\"\n",
        |spec| spec.environment = vec![("MINE".to_owned(), "1".to_owned())],
    );
    let done = call(settings, "mine", json!({ "a": "$(touch /tmp/evil); `id` && \"quoted\"" })).unwrap();
    assert_eq!(done.context["Got"]["arguments"]["a"], json!("$(touch /tmp/evil); `id` && \"quoted\""), "values never meet a shell");
    assert_eq!(done.context["Got"]["idempotency_key"], json!("key-1"));
    let names: Vec<&str> = done.readable.split_whitespace().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
    assert_eq!(names, ["MINE", "PATH"]);
}

#[test]
fn scripts_are_bounded_and_their_failures_are_told() {
    let run = |text: &str, change: fn(&mut ScriptSpec)| {
        let (_dir, settings) = script(text, change);
        call(settings, "mine", json!({}))
    };
    let began = std::time::Instant::now();
    assert_eq!(kind(run("#!/bin/sh\nsleep 60 & sleep 60\n", |spec| spec.timeout_s = 1)), FailureKind::Timeout);
    assert!(began.elapsed().as_secs() < 10);
    assert_eq!(kind(run("#!/bin/sh\nyes\n", |_| {})), FailureKind::Bound);
    assert_eq!(kind(run("#!/bin/sh\necho no json\n", |_| {})), FailureKind::Said);
    assert_eq!(kind(run("#!/bin/sh\nhead -c 200000000 /dev/zero | tail -c 150000000 | wc -c; exit 1\n", |spec| spec.memory = 64 << 20)), FailureKind::Said);
    let failed = run("#!/bin/sh\necho first >&2; echo 'it went wrong' >&2; exit 3\n", |_| {}).unwrap_err();
    assert!(failed.message.ends_with("it went wrong"), "{}", failed.message);
    let said = run("#!/bin/sh\necho '{\"error\": \"no such user\", \"retry\": true}'\n", |_| {}).unwrap_err();
    assert!(said.retry && said.message == "no such user");
    let poll = run("#!/bin/sh\necho '{\"poll_after_seconds\": 90}'\n", |_| {}).unwrap();
    assert_eq!(poll.poll.map(|poll| poll.after_s), Some(90));
    assert_eq!(kind(call(Settings::plain(), "unknown", json!({}))), FailureKind::Unknown);
}
