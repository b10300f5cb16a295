//! The expressions of a mapper as computed columns, and row by row in the reference evaluator:
//! 4,096 alerts of an endpoint product's shape, 40 fields.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use catchment::expr::path::Path;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::model::Place;
use catchment::expr::xsoar::prepare::{Options, Prepared, prepare};
use catchment::expr::xsoar::read;
use catchment::ingest::computed::{Builder, Computed, Runner, When};
use catchment::ingest::decode::{DecodeLimits, Decoder, PADDING, Rows, Shape, ShapeOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};

const ROWS: u64 = 4096;

/// An alert; few of its values repeat from one to the next.
fn alert(number: u64) -> Value {
    json!({
        "incident_id": number.to_string(), "creation_time": 1_577_276_587_937u64 + number * 1000, "modification_time": 1_577_276_587_937u64 + number * 1001,
        "status": "new", "severity": "medium", "description": format!("'Local Analysis Malware' on host-{}", number % 500), "assigned_user": null,
        "alert_count": number % 7, "host_count": 1, "users": ["administrator", format!("user-{}", number % 91)], "starred": false,
        "xdr_url": format!("https://xdr.example.com/incident-view/{number}"), "score": {"rule": number % 100, "manual": null},
        "actor": {"process": {"name": "powershell.exe", "command_line": format!("powershell -enc {number:x}"), "pid": number % 65_536, "sha256": format!("{number:064x}")}},
        "network": {"source": {"ip": format!("10.0.{}.{}", number / 256 % 256, number % 256), "port": 49_152 + number % 1000}, "country": "DE"},
        "alerts": [{"alert_id": number, "category": "Malware", "host_name": "h1", "Action_Pretty": "Prevented"}, {"alert_id": number + 1, "category": "Exploit", "host_name": "h2"}],
    })
}

fn expressions() -> Vec<Prepared> {
    let mut list = Vec::new();
    let path = |root: &str, accessor: &str| json!({"complex": {"root": root, "accessor": accessor, "filters": [], "transformers": []}});
    let top = ["incident_id", "status", "severity", "description", "assigned_user", "alert_count", "host_count", "starred", "xdr_url", "missing"];
    list.extend(top.map(|name| json!({ "simple": name })));
    let nested =
        [("actor", "process.name"), ("actor", "process.command_line"), ("actor", "process.pid"), ("actor", "process.sha256"), ("network", "source.ip")];
    list.extend(nested.map(|(root, accessor)| path(root, accessor)));
    let more = [("network", "source.port"), ("network", "country"), ("score", "rule"), ("score", "manual"), ("network", "destination.ip")];
    list.extend(more.map(|(root, accessor)| path(root, accessor)));
    let chain = |root: &str, steps: Value| json!({"complex": {"root": root, "accessor": "", "filters": [], "transformers": steps}});
    for _ in 0..2 {
        list.push(chain("creation_time", json!([{"operator": "TimeStampToDate", "args": {}}])));
        list.push(chain("modification_time", json!([{"operator": "TimeStampToDate", "args": {}}])));
        list.push(chain("users", json!([{"operator": "join", "args": {"separator": {"value": {"simple": ", "}}}}])));
        list.push(chain("alerts", json!([{"operator": "ConvertKeysToTableFieldFormat", "args": {}}])));
        list.push(chain("alerts", json!([{"operator": "count", "args": {}}])));
        list.push(chain("description", json!([{"operator": "substringFrom", "args": {"from": {"value": {"simple": "host-"}}}}])));
        list.push(chain("severity", json!([{"operator": "toUpperCase", "args": {}}])));
        list.push(chain(
            "status",
            json!([{"operator": "ConvertAllExcept", "args": {"convertTo": {"value": {"simple": "open"}}, "except": {"value": {"simple": "closed"}}}}]),
        ));
        list.push(json!({"simple": "Alert ${incident_id} on ${actor.process.name}"}));
        list.push(json!({"simple": ".='Both'"}));
    }
    list.iter().filter_map(|value| read::argument(value).ok()).map(|argument| prepare(&argument, Place::Event, &Options::default()).0).collect()
}

/// Columns, their paths.
fn compile(expressions: &[Prepared]) -> (Computed, Vec<Path>) {
    let mut paths: Vec<Path> = Vec::new();
    let mut number = |path: &Path| {
        paths.iter().position(|known| known == path).unwrap_or_else(|| {
            paths.push(path.clone());
            paths.len() - 1
        })
    };
    let mut builder = Builder::new(&mut number);
    for (id, expression) in expressions.iter().enumerate() {
        builder.add(id as u32, "bench", expression, None, When::All);
    }
    let computed = builder.finish();
    (computed, paths)
}

fn bench(criterion: &mut Criterion) {
    let expressions = expressions();
    let (computed, paths) = compile(&expressions);
    let shape = Arc::new(Shape::new(&paths, ShapeOptions::default()));
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    for number in 0..ROWS {
        let start = arena.len();
        arena.extend_from_slice(alert(number).to_string().as_bytes());
        ranges.push(start..arena.len());
        arena.extend_from_slice(&[0; PADDING]);
    }
    let sealed = arena.len();
    let mut group = criterion.benchmark_group("xsoar_mapper");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&shape);
    let mut runner = Runner::default();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            rows.clear();
            ranges.iter().for_each(|range| assert!(decoder.decode(&arena, range.clone(), 0, &mut rows).is_ok()));
        });
    });
    group.bench_function("decode and columns", |bencher| {
        bencher.iter(|| {
            rows.clear();
            arena.truncate(sealed);
            ranges.iter().for_each(|range| assert!(decoder.decode(&arena, range.clone(), 0, &mut rows).is_ok()));
            runner.fill(&computed, &mut arena, &mut rows, &|_| None);
            black_box(&rows);
        });
    });
    arena.truncate(sealed);
    group.bench_function("reference", |bencher| {
        bencher.iter(|| {
            for range in &ranges {
                let event: Value = serde_json::from_slice(&arena[range.clone()]).unwrap_or_default();
                let env = Env::new(&event);
                for expression in &expressions {
                    env.budget.renew();
                    black_box(expression.evaluate(&env)).ok();
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
