//! Tests against a real Apache Kafka, and the harness that starts it: `scripts/kafka` on free
//! ports of loopback, once per run of the test binary; private brokers for tests that break them.
//!
//! ```ignore
//! let Some(kafka) = require_kafka() else { return };
//! let topic = kafka.topic("events", 6, &[]);
//! ```
//!
//! Where no broker can be had (no Java, no Maven, no network) such tests are skipped with a line
//! on standard error; with `CI=true` they fail. `CATCHMENT_TEST_KAFKA=host:port` names a broker
//! that runs already. A broker ends with the test process, however that ends: a process that
//! reads a pipe of ours sees it close.
#![allow(dead_code)] // a harness has more helpers than today's tests use

mod admin;
mod archive;
mod backfill;
mod dead_letters;
mod dead_letters_again;
mod exactly_once;
mod faults;
mod faults_access;
mod faults_keeper;
mod faults_members;
mod faults_modes;
mod faults_sizes;
mod faults_topics;
mod full_disk;
mod hostile;
mod incident_cli;
mod keeper;
mod keeper_kill;
mod kill;
mod killer;
mod load;
mod member;
mod playbook_people;
mod process;
mod records;
mod respond;
mod respond_flood;
mod respond_rate;
mod respond_stage;
mod restore;
mod smoke;
mod transact;

#[allow(unused_imports)] // as above
pub(crate) use process::{Catchment, Home};
pub(crate) use records::{Input, Isolation, Row};

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything that a broker does; a busy machine is slow.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// Where ports are looked for: below the range that systems give to clients.
const PORTS: std::ops::Range<u16> = 15_000..31_000;

/// Listeners of a node in use at most, and the distance between two nodes.
const PORTS_PER_NODE: u16 = 5;
const NODE_DISTANCE: u16 = 10;

/// A broker, or three.
pub(crate) struct Broker {
    bootstrap: String,
    /// What else `start` printed: sasl, ssl, sasl_ssl, user, password, ca, cert, key.
    facts: Vec<(String, String)>,
    /// Where it lives; `None` for one that we did not start.
    dir: Option<PathBuf>,
    /// Stops it.
    _lifeline: Option<Lifeline>,
}

/// The broker that all tests of this process share, or `None` (said loudly) where there is none.
///
/// # Panics
/// Without a broker in CI.
pub(crate) fn require_kafka() -> Option<&'static Broker> {
    static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var("CATCHMENT_TEST_KAFKA") {
        Ok(bootstrap) => Ok(Broker { bootstrap, facts: Vec::new(), dir: None, _lifeline: None }),
        Err(_) => Broker::start("shared", &[]),
    });
    required(shared.as_ref())
}

fn required<T>(broker: Result<T, impl std::fmt::Display>) -> Option<T> {
    match broker {
        Ok(broker) => Some(broker),
        Err(why) => {
            assert!(std::env::var("CI").is_err(), "CI needs a real Kafka: {why}");
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // Not `eprintln!`, which the test runner keeps to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no real Kafka: {why}");
            None
        }
    }
}

/// A name that no other test, of this run or another on the same broker, uses.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static RUN: OnceLock<u64> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() % 1_000_000 * 100_000 + u64::from(std::process::id()) % 100_000
    });
    format!("{name}-{run:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// A broker of the test's own, to be broken: one node, or three with replication. Takes
    /// seconds and 300 MB per node; ends when it is dropped.
    pub(crate) fn private(nodes: u8) -> Option<Broker> {
        required(Broker::start("private", &["--nodes", &nodes.to_string()]))
    }

    /// One node with listeners for SASL/SCRAM and TLS, and with ACLs; see [`Broker::fact`].
    pub(crate) fn secure() -> Option<Broker> {
        required(Broker::start("secure", &["--secure"]))
    }

    fn start(name: &str, options: &[&str]) -> Result<Broker, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = place().join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let lifeline = Lifeline::of(&dir);
        let nodes = if options.contains(&"3") { 3 } else { 1 };
        let mut said = String::new();
        // A port that was free a moment ago may be taken by now, or when the node comes to it.
        for _ in 0..3 {
            let port = free_ports(nodes).to_string();
            let args: Vec<&str> = options.iter().copied().chain(["--port", &port]).collect();
            // Most of a broker's life here is its first seconds: the quick compiler is enough.
            let output = script(&dir, "start").args(args).env("CATCHMENT_KAFKA_OPTS", "-XX:TieredStopAtLevel=1").output();
            let output = output.map_err(|error| format!("scripts/kafka: {error}"))?;
            said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            if output.status.success() {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let facts: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
                let bootstrap = facts.iter().find(|(key, _)| key == "bootstrap").map(|(_, value)| value.clone());
                let bootstrap = bootstrap.ok_or_else(|| format!("scripts/kafka start said no bootstrap: {text}"))?;
                return Ok(Broker { bootstrap, facts, dir: Some(dir), _lifeline: Some(lifeline) });
            }
            if !["something else listens", "ended while it started"].iter().any(|why| said.contains(why)) {
                break;
            }
        }
        Err(said)
    }

    /// `host:port`, or several with commas between: the listener without encryption.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What `scripts/kafka start --secure` printed: `sasl`, `ssl`, `sasl_ssl` (addresses),
    /// `user`, `password`, `ca`, `cert`, `key` (files).
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("the broker has no {name}"))
    }

    /// SIGSTOP: the node hangs, connections stay open. Nodes count from 1.
    pub(crate) fn pause(&self, node: u8) {
        self.command("pause", &[&node.to_string()]);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, node: u8) {
        self.command("resume", &[&node.to_string()]);
    }

    /// SIGKILL; [`Broker::restart`] brings the node back.
    pub(crate) fn kill(&self, node: u8) {
        self.command("kill", &[&node.to_string()]);
    }

    /// Stops the node, in order if it still runs, starts it, and waits until it answers.
    pub(crate) fn restart(&self, node: u8) {
        self.command("restart", &[&node.to_string()]);
    }

    /// Gives (`grant`) or takes (`revoke`) a right of the secure listeners' user.
    pub(crate) fn acl(&self, action: &str, args: &[&str]) {
        self.command(action, args);
    }

    /// One of Kafka's own tools (`scripts/kafka tool`); its output.
    pub(crate) fn tool(&self, args: &[&str]) -> String {
        self.command("tool", args)
    }

    /// Files of node 1's partitions, for tests that look at or damage what is stored.
    pub(crate) fn data(&self) -> PathBuf {
        self.own().join("data-1")
    }

    fn own(&self) -> &Path {
        self.dir.as_deref().expect("this broker was not started by the tests: it cannot be broken by them")
    }

    fn command(&self, command: &str, args: &[&str]) -> String {
        let output = script(self.own(), command).args(args).output().unwrap();
        assert!(output.status.success(), "scripts/kafka {command} {args:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka")
}

fn script(dir: &Path, command: &str) -> Command {
    let mut script = Command::new(script_path());
    script.arg(command).arg("--dir").arg(dir).stdin(Stdio::null());
    script
}

/// Where the brokers of this process live. `scripts/test` names a directory, to look after it.
fn place() -> PathBuf {
    let base = std::env::var_os("CATCHMENT_TEST_KAFKA_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    base.join(format!("catchment-kafka-{}", std::process::id()))
}

/// A process that stops the broker in `dir` when this value is dropped, or when our process ends,
/// however it does: it reads a pipe, and sees it close.
struct Lifeline(Child);

impl Lifeline {
    fn of(dir: &Path) -> Lifeline {
        let wait = r#"trap '' INT TERM HUP; cat >/dev/null; "$0" stop --wipe --dir "$1"; rmdir "$1" "${1%/*}""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", wait]).arg(script_path()).arg(dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Of its own group, so that an interrupted test run does not take it along.
        Lifeline(shell.process_group(0).spawn().unwrap())
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The first of the ports for so many nodes, all free now.
fn free_ports(nodes: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let slots = u32::from((PORTS.end - PORTS.start) / (4 * NODE_DISTANCE));
    let seed = std::process::id().wrapping_mul(7);
    for _ in 0..slots {
        let slot = (seed.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % slots) as u16;
        let first = PORTS.start + slot * 4 * NODE_DISTANCE;
        let mut wanted = (0..nodes).flat_map(|node| (0..PORTS_PER_NODE).map(move |n| first + node * NODE_DISTANCE + n));
        if wanted.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no free ports in {PORTS:?}");
}

/// Asks until the answer is yes.
///
/// # Panics
/// After `limit`, with what was waited for.
pub(crate) fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
