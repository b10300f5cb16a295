//! Mappers of content packs against pipelines written by hand, and against the reference evaluator:
//! a million synthetic alerts each of Cortex XDR, Prisma Cloud and QRadar, from decoding to incidents
//! (without labels, which are texts in packs and tokens in pipelines).
//!
//! The pipelines by hand are what one would write natively for the same fields. That both make the same incidents is
//! checked before anything is measured: all fields of some alerts, value by value. There is one exception, in favour of
//! the pipelines by hand: where a pack renames the keys of a list's objects (tables of Prisma Cloud), they copy the list.
//!
//! `cargo bench --bench xsoar`; it needs the packs in ../shared. CPU is that of the thread that does
//! the work. `BENCH_EVENTS` and `BENCH_RUNS` change the size, `BENCH_PRODUCT` chooses one by the start of its name. Exit code 1 where a goal is missed.

#![allow(clippy::expect_used, missing_docs)]
#![recursion_limit = "256"]

#[path = "xsoar/alerts.rs"]
mod alerts;
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use catchment::config::load_text;
use catchment::content::incident::Maker;
use catchment::ingest::batch::{Partitions, RawBatch};
use catchment::ingest::decode::DecodeLimits;
use catchment::ingest::files::batch_bytes;
use catchment::ingest::output::Output;
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Options, build};
use catchment::ingest::turnstile::Turnstile;
use catchment::ingest::worker::{Shared, Worker};
use serde_json::{Map, Value, json};
use support::{setting, thread_cpu};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a batch at most.
const ROWS: u64 = 4096;
/// Alerts whose incidents are held against each other before anything is measured.
const COMPARED: u64 = 2000;
/// At most so many times the CPU of a pipeline written by hand.
const NATIVE_MAX: f64 = 1.5;
/// At least so many times less than the reference evaluator.
const REFERENCE_MIN: f64 = 10.0;
/// At least so many per cent of row evaluations run as columns.
const COLUMNAR_MIN: f64 = 99.0;

struct Product {
    name: &'static str,
    pack: &'static str,
    classifier: &'static str,
    mapper: &'static str,
    native: &'static str,
    /// Fields that hold tables: lists of objects whose keys the pack makes names of columns. No native expression does
    /// so: the pipeline by hand copies the lists as they are, which is less work.
    tables: &'static [&'static str],
    alert: fn(u64) -> Value,
}

const PRODUCTS: [Product; 3] = [
    Product {
        name: "Cortex XDR",
        pack: "CortexXDR",
        classifier: "Cortex XDR - IR",
        mapper: "Cortex XDR - IR-mapper",
        native: include_str!("xsoar/cortex-xdr.yaml"),
        tables: &[],
        alert: alerts::cortex,
    },
    Product {
        name: "Prisma Cloud",
        pack: "PrismaCloud",
        classifier: "RedLock",
        mapper: "RedLock-mapper",
        native: include_str!("xsoar/prisma-cloud.yaml"),
        tables: &["alertrules", "prismacloudrules", "compliancemetadata"],
        alert: alerts::prisma,
    },
    Product {
        name: "QRadar",
        pack: "QRadar",
        classifier: "QRadar",
        mapper: "QRadar-mapper",
        native: include_str!("xsoar/qradar.yaml"),
        tables: &[],
        alert: alerts::qradar,
    },
];

fn main() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/xsoar/content/Packs");
    if !packs.is_dir() {
        assert!(std::env::var("CI").is_err(), "CI needs {}", packs.display());
        eprintln!("SKIPPED: no {}", packs.display());
        return;
    }
    let (events, runs) = (setting("BENCH_EVENTS", 1_000_000), setting("BENCH_RUNS", 3));
    println!("{events} alerts of each product, decode to incident, one thread; ns of CPU per event, best of {runs}");
    println!("{:<14} {:>6} {:>9} {:>9} {:>7} {:>10} {:>7} {:>9}", "product", "bytes", "packs", "by hand", "ratio", "reference", "times", "columnar");
    let mut missed = false;
    let only = std::env::var("BENCH_PRODUCT").unwrap_or_default();
    for product in PRODUCTS.iter().filter(|product| product.name.starts_with(&only)) {
        missed |= measure(product, &packs, events, runs);
    }
    if missed {
        println!(
            "a goal is missed: at most {NATIVE_MAX} times a pipeline by hand, at least {REFERENCE_MIN} times less than the reference, at least {COLUMNAR_MIN} % columnar"
        );
        std::process::exit(1);
    }
}

/// True if a goal is missed.
fn measure(product: &Product, packs: &Path, events: u64, runs: u64) -> bool {
    let (imported, native) = (imported(product, packs), native(product, packs));
    // Batches end where those of `replay` do: by their bytes.
    let rows = (batch_bytes(&imported.0) as u64 / (product.alert)(0).to_string().len() as u64).clamp(1, ROWS);
    compare(product, &imported.0, &native);
    let (mut ours, mut by_hand, mut bytes) = (f64::INFINITY, f64::INFINITY, 0);
    for _ in 0..runs {
        let (mut a, mut b) = (Bench::new(&imported.0), Bench::new(&native));
        bytes = 0;
        // In turns, over the same bytes, so that a busy machine disturbs both alike.
        for first in (0..events).step_by(rows as usize) {
            let alerts: Vec<String> = (first..(first + rows).min(events)).map(|number| (product.alert)(number).to_string()).collect();
            bytes += alerts.iter().map(String::len).sum::<usize>();
            a.batch(&alerts);
            b.batch(&alerts);
        }
        assert_eq!(a.incidents, events, "every alert becomes an incident");
        assert_eq!(b.incidents, events, "every alert becomes an incident");
        ours = ours.min(a.cpu * 1e9 / events as f64);
        by_hand = by_hand.min(b.cpu * 1e9 / events as f64);
    }
    let sample = (events / 50).max(1);
    let reference = reference(product, &imported.1, sample);
    let count = |pick: fn(&catchment::ingest::computed::Counters) -> u64| {
        imported.0.sources[0].computed.outputs.iter().map(|output| pick(&output.counters)).sum::<u64>()
    };
    let (columnar, fallback) = (count(|counters| counters.columnar.load(Relaxed)), count(|counters| counters.fallback.load(Relaxed)));
    let share = 100.0 * columnar as f64 / (columnar + fallback) as f64;
    let (ratio, times) = (ours / by_hand, reference / ours);
    println!("{:<14} {:>6} {ours:>9.0} {by_hand:>9.0} {ratio:>7.2} {reference:>10.0} {times:>7.1} {share:>8.2} %", product.name, bytes as u64 / events);
    ratio > NATIVE_MAX || times < REFERENCE_MIN || share < COLUMNAR_MIN
}

fn compile(text: &str, dir: &Path) -> (Arc<Plan>, catchment::config::Pipeline) {
    let (pipeline, mut diagnostics) = load_text("pipeline.yaml", text, dir);
    let pipeline = pipeline.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    let plan = build(&pipeline, &Options::default(), &mut diagnostics).unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    (Arc::new(plan), pipeline)
}

fn imported(product: &Product, packs: &Path) -> (Arc<Plan>, catchment::config::Pipeline) {
    let text = format!(
        "name: bench\nsource: {{ topics: [alerts] }}\ncontent: [{}, CommonTypes]\nclassify: {{ xsoar: {} }}\nmap: {{ xsoar: {} }}\nsink: {{ labels: none }}\n",
        product.pack, product.classifier, product.mapper
    );
    compile(&text, packs)
}

/// The pipeline by hand; the table of a classifier is too long to be written down twice.
fn native(product: &Product, packs: &Path) -> Arc<Plan> {
    let content = catchment::content::load(&[PathBuf::from(packs).join(product.pack)], None, &mut catchment::config::Diagnostics::new());
    let (_, classifier) = content.classifier(product.classifier).expect("the classifier loads");
    let table: String = classifier.types.iter().map(|(key, name)| format!("    {}: {}\n", json!(key.value), json!(name.value))).collect();
    compile(&product.native.replace("# (the table of the product's classifier is put here)\n", &table), packs).0
}

/// Holds the incidents of both pipelines against each other: they must have the same fields with the same values.
fn compare(product: &Product, imported: &Arc<Plan>, native: &Arc<Plan>) {
    let alerts: Vec<String> = (0..COMPARED).map(|number| (product.alert)(number).to_string()).collect();
    let (ours, by_hand) = (Bench::new(imported).incidents(&alerts), Bench::new(native).incidents(&alerts));
    assert_eq!((ours.len(), by_hand.len()), (alerts.len(), alerts.len()), "every alert becomes an incident");
    for (ours, by_hand) in ours.iter().zip(&by_hand) {
        let names: BTreeSet<&String> = [ours, by_hand].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
        // These tell the pipeline.
        for name in names.into_iter().filter(|name| !["id", "source", "pipeline", "pipeline_version"].contains(&name.as_str())) {
            let table = product.tables.contains(&name.as_str());
            let wanted = if table { renamed(&by_hand[name]) } else { by_hand[name].clone() };
            assert_eq!(brief(&ours[name]), brief(&wanted), "{name} of {}", product.name);
        }
    }
}

/// A list of objects with the keys that a table's columns have.
fn renamed(list: &Value) -> Value {
    let column = |key: &String| key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<String>();
    let row = |row: &Value| row.as_object().map(|row| row.iter().map(|(key, value)| (column(key), value.clone())).collect::<Map<_, _>>());
    list.as_array().map_or(Value::Null, |rows| rows.iter().map(|found| Value::from(row(found).unwrap_or_default())).collect())
}

/// Whole seconds are written with and without their milliseconds.
fn brief(value: &Value) -> Value {
    value.as_str().map_or(value.clone(), |text| Value::from(text.replace(".000Z", "Z")))
}

struct Bench {
    shared: Arc<Shared>,
    worker: Worker,
    turnstile: Turnstile,
    seq: u64,
    offset: i64,
    cpu: f64,
    incidents: u64,
    arena: Vec<u8>,
}

impl Bench {
    fn new(plan: &Arc<Plan>) -> Bench {
        let mut partitions = Partitions::default();
        partitions.append("alerts");
        let shared = Arc::new(Shared {
            decide: None,
            plan: plan.clone(),
            partitions: Arc::new(partitions),
            cluster: "bench".into(),
            arrival: None,
            fingerprint_key: *b"a key for benchs",
            decode: DecodeLimits::default(),
            record_bytes_max: None,
            trace: false,
            facts: false,
            spare: Default::default(),
        });
        Bench {
            worker: Worker::new(shared.clone()),
            shared,
            turnstile: Turnstile::new(plan.decide.clone()),
            seq: 0,
            offset: 0,
            cpu: 0.0,
            incidents: 0,
            arena: Vec::new(),
        }
    }

    /// The incidents of some alerts.
    fn incidents(&mut self, alerts: &[String]) -> Vec<Value> {
        let output = self.process(alerts);
        let mut at = 0;
        let parse = |line: &catchment::ingest::output::Created| {
            at += line.len as usize;
            serde_json::from_slice(&output.incidents[at - line.len as usize..at]).expect("incidents are JSON")
        };
        output.lines.iter().map(parse).collect()
    }

    fn batch(&mut self, alerts: &[String]) {
        let mut output = self.process(alerts);
        self.incidents += output.lines.len() as u64;
        std::hint::black_box(&output.incidents);
        // As the writer does: memory that was touched once is cheaper than fresh one.
        self.shared.spare.give(std::mem::take(&mut output.incidents));
        self.arena = output.arena.unwrap_or_default();
        self.arena.clear();
    }

    /// Takes a batch through the worker, whose time alone counts.
    fn process(&mut self, alerts: &[String]) -> Output {
        let mut batch = RawBatch::new(self.seq, 0, std::mem::take(&mut self.arena));
        for alert in alerts {
            assert!(batch.push(alert.as_bytes(), None, 0, self.offset, 1_772_438_400_000_000 + self.offset));
            self.offset += 1;
        }
        batch.seal();
        self.seq += 1;
        let started = thread_cpu();
        let output = self.worker.process(batch, &self.turnstile).expect("the worker goes on");
        self.cpu += thread_cpu() - started;
        output
    }
}

/// Nanoseconds of CPU per event of the reference: parse, evaluate, write the incident.
fn reference(product: &Product, pipeline: &catchment::config::Pipeline, events: u64) -> f64 {
    let content = pipeline.content.as_ref().expect("packs");
    let classifier = content.classifier(product.classifier).map(|(_, found)| found);
    let maker = Maker::new(content, classifier, content.mapper(product.mapper).map(|(_, found)| found));
    let alerts: Vec<String> = (0..events).map(|number| (product.alert)(number).to_string()).collect();
    let started = thread_cpu();
    for alert in &alerts {
        let event: Value = serde_json::from_str(alert).expect("JSON");
        let made = maker.make(&event, None, None);
        std::hint::black_box(json!({ "type": made.type_name, "fields": made.fields, "labels": made.labels, "raw": event }).to_string());
    }
    (thread_cpu() - started) * 1e9 / events as f64
}
