//! Hostile queries beside a pipeline that runs: each ends at its bound, and events go through as before. Figures are
//! printed; at a rate that matters, with latencies and an audit, `scripts/prove hostile` measures it.
//!
//! `CATCHMENT_HOSTILE_SECONDS` (default 8) says how long each half is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catchment::serve::sql::client::{Client, Remote};
use catchment::serve::sql::output::Format;

use super::exactly_once::Scene;
use super::process::Home;
use super::{Input, WAIT, require_kafka};

/// Events a second: far below what a member takes, so that what is missing was taken by queries.
const RATE: u64 = 1_000;
const QUERIES: [&str; 3] = [
    "SELECT count(*) FROM incidents a, incidents b, incidents c, incidents d WHERE a.id || b.id || c.id || d.id LIKE '%zz%zz%'",
    "SELECT a.id FROM incidents a, incidents b, incidents c ORDER BY a.id || b.id || c.id OFFSET 100000000 LIMIT 1",
    "SELECT count(*) FROM incidents a, incidents b, incidents c WHERE (a.raw || b.raw || c.raw) ~ '(x+x+)+y.*(z|zz)*$'",
];

/// What a member's metrics say.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    events: f64,
}

fn look(port: u16) -> Look {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let sum = |name: &str| text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    Look { at: Instant::now(), events: sum("catchment_events_total") }
}

/// Events a second.
fn between(one: Look, other: Look) -> f64 {
    (other.events - one.events) / other.at.duration_since(one.at).as_secs_f64()
}

#[test]
fn real_hostile_queries_end_and_do_not_hurt_the_pipeline() {
    let Some(kafka) = require_kafka() else { return };
    let half = Duration::from_secs(std::env::var("CATCHMENT_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8));
    let scene = Scene::new(kafka, "hostile");
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let more = format!(
        "instance: a\narchive: {{ path: lake, commit: 2s }}\nlisten: {{ api: 127.0.0.1:0, sql: 127.0.0.1:0, metrics: 127.0.0.1:{metrics} }}\nsql: {{ timeout: 2s, memory: 64MiB }}"
    );
    let home = Home::new(kafka, &more);
    home.write("pipeline.yaml", &scene.pipeline());
    let mut member = home.spawn("run", &["run", "pipeline.yaml"], &[]);
    member.until_ready(WAIT);
    member.until_said("SQL: postgres://", WAIT);
    let said = member.stderr();
    let port = said.split("SQL: postgres://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok()).unwrap();
    let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    let (before, during) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                kafka.produce(&scene.source, (next..next + RATE / 5).map(|n| Input { timestamp_ms: 0, ..Scene::event(n) }));
                next += RATE / 5;
                std::thread::sleep(Duration::from_millis(200).saturating_sub(began.elapsed()));
            }
        });
        std::thread::sleep(half / 2);
        let first = look(metrics);
        std::thread::sleep(half);
        let second = look(metrics);
        let quiet = AtomicBool::new(false);
        let third = std::thread::scope(|hostile| {
            for query in QUERIES {
                let (quiet, ended) = (&quiet, &ended);
                hostile.spawn(move || {
                    let mut client = Client::there(&Remote { host: "127.0.0.1".into(), port, login: None, ca: None }).unwrap();
                    while !quiet.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        let error = client.run(query, Format::Csv, &mut Vec::new(), &mut |_| {}).expect_err(query).message;
                        let is_bound = error.contains("timeout") || error.contains("Resources exhausted");
                        assert!(is_bound && began.elapsed() < Duration::from_secs(20), "{error} after {:?}", began.elapsed());
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            std::thread::sleep(half);
            let third = look(metrics);
            quiet.store(true, Ordering::Relaxed);
            third
        });
        stop.store(true, Ordering::Relaxed);
        (between(first, second), between(second, third))
    });
    println!("before: {before:.0} events/s; beside {} hostile queries: {during:.0} events/s", ended.load(Ordering::Relaxed));
    assert!(ended.load(Ordering::Relaxed) >= QUERIES.len() as u64);
    assert!(before > 0.0 && during >= before * 0.8, "{before} {during}");
    member.stop(WAIT);
}
