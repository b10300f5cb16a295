//! SQL over an archive of ten million incidents: four questions of a SOC, and a filtered first page.
//! Prints the median of several runs; `scripts/compare-duckdb` asks DuckDB the same over the same files.
//!
//! Environment: CATCHMENT_SQL_ROWS (default 10,000,000), CATCHMENT_SQL_DIR (kept between runs; default a
//! directory that is removed), CATCHMENT_SQL_RUNS (default 7).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catchment::archive::Location;
use catchment::archive::commit::written;
use catchment::archive::compact::Compactor;
use catchment::archive::ring::Segment;
use catchment::archive::rows::{Origin, Rows};
use catchment::archive::table::Position;
use catchment::archive::work::open_incidents;
use catchment::config::schema::{FieldKind, FieldSpec, Schema};
use catchment::config::source_map::Span;
use catchment::serve::sql::catalog::Catalog;
use catchment::serve::sql::client::Client;
use catchment::serve::sql::output::Format;
use catchment::serve::sql::session::{Bounds, Engine};

/// Rows of one commit, and commits between two compactions.
const COMMIT_ROWS: u64 = 250_000;
/// Days over which the incidents are spread.
const DAYS: u64 = 10;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn schema() -> Schema {
    let span = Span { file: 0, start: 0, end: 0 };
    let kinds = [
        ("host", FieldKind::Text),
        ("username", FieldKind::Text),
        ("src_ip", FieldKind::Ip),
        ("process", FieldKind::Text),
        ("command_line", FieldKind::Text),
        ("score", FieldKind::Integer),
    ];
    let fields = kinds.map(|(name, kind)| FieldSpec { name: name.to_owned(), kind, required: false, scale: None, description: None, span });
    Schema { fields: fields.to_vec(), ..Schema::default() }
}

/// Mixes a number; no two have the same result.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (n >> 17)
}

fn incident(n: u64, rows: u64) -> String {
    let r = mixed(n);
    let seconds = n * DAYS * 86_400 / rows;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let created = format!("2026-03-{:02}T{:02}:{:02}:{:02}.{:03}Z", day + 1, second / 3600, second / 60 % 60, second % 60, r % 1000);
    let host = format!("host-{:04}.corp.example", r % 5_000);
    format!(
        r#"{{"id":"{:016x}{:016x}","type":"Type {:02}","severity":{},"occurred":"{created}","created":"{created}","host":"{host}","username":"user{:05}","src_ip":"10.{}.{}.{}","process":"c:\\windows\\system32\\p{}.exe","command_line":"p{}.exe -enc {:x} --run task{} /quiet","score":{},"labels":{{"channel":"Security","record":{n}}},"raw":{{"EventID":{},"Computer":"{host}","n":{n},"message":"An account was logged on: {:x}"}},"source":{{"name":"windows","topic":"windows.security","partition":{},"offset":{n},"element":0}},"pipeline":"bench","pipeline_version":"000000000000","status":"open","version":1}}"#,
        mixed(n ^ 0x5555),
        r,
        r % 30,
        r / 7 % 5,
        r / 11 % 40_000,
        r % 256,
        r / 256 % 256,
        r / 65_536 % 256,
        r % 300,
        r % 300,
        mixed(r),
        r % 2_000,
        r / 13 % 1_000_000,
        4_600 + r % 50,
        mixed(r ^ 1),
        n % 6,
    )
}

fn build(dir: &Path, rows: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let location = Location::Directory(dir.to_owned());
    let mut table = runtime.block_on(open_incidents(&location, &schema())).unwrap();
    let mut builder = Rows::new(&table.pinned().unwrap().columns);
    let began = Instant::now();
    let mut done = 0;
    while done < rows {
        let next = (done + COMMIT_ROWS).min(rows);
        for n in done..next {
            let fact = format!(r#"{{"fact":"created","fact_id":"x","incident":{}}}"#, incident(n, rows));
            assert!(builder.push_fact(fact.as_bytes(), &Origin { partition: 0, offset: n as i64, timestamp_ms: Some(0) }).unwrap());
        }
        let segment = Arc::new(Segment { batch: builder.finish().unwrap(), bytes: 0, covers: Default::default() });
        let position = Position { app: "bench".into(), from: (done > 0).then_some(done as i64), next: next as i64 };
        runtime.block_on(async {
            let adds = written(&table, &[segment], true).await.unwrap();
            table.append(&adds, &[position], &[]).await.unwrap();
        });
        done = next;
        // Incidents come in order of time, so a day is compacted about as often as it would be in life.
        if done % (COMMIT_ROWS * 4) == 0 || done == rows {
            let again = runtime.block_on(open_incidents(&location, &schema())).unwrap();
            runtime.block_on(async { Compactor::new(again).unwrap().tail(true).await.unwrap() });
            runtime.block_on(table.refresh()).unwrap();
        }
        eprintln!("{done} rows after {:.0?}", began.elapsed());
    }
}

fn main() {
    let rows = number("CATCHMENT_SQL_ROWS", 10_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var("CATCHMENT_SQL_DIR").map_or_else(|_| temporary.path().to_owned(), Into::into);
    if !dir.join("incident_versions/_delta_log").is_dir() {
        std::fs::create_dir_all(&dir).unwrap();
        build(&dir, rows);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bounds = Bounds { memory: 2 << 30, time: Duration::from_secs(600), threads };
    let mut client = Client::here(&Engine::new(Catalog::new(&Location::Directory(dir), None, &schema()), None, bounds).unwrap()).unwrap();
    let queries = include_str!("sql.txt").lines().filter_map(|line| line.split_once('|'));
    let one = format!("{:016x}{:016x}", mixed((rows / 2) ^ 0x5555), mixed(rows / 2));
    for (name, sql) in queries {
        let sql = &sql.replace("'ID'", &format!("'{one}'"));
        let mut times: Vec<Duration> = (0..number("CATCHMENT_SQL_RUNS", 7).max(1))
            .map(|_| {
                let began = Instant::now();
                client.run(sql, Format::Csv, &mut std::io::sink(), &mut |_| {}).unwrap();
                began.elapsed()
            })
            .collect();
        times.sort();
        println!("{name}|{:.1}|{sql}", times[times.len() / 2].as_secs_f64() * 1e3);
    }
}
