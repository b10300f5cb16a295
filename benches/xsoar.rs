//! Mappers of content packs against pipelines written by hand, and against the reference evaluator:
//! a million synthetic alerts each of Cortex XDR, Prisma Cloud and QRadar, from decoding to incidents
//! (without labels, which are texts in packs and tokens in pipelines).
//!
//! `cargo bench --bench xsoar`; it needs the packs in ../shared. CPU is that of the thread that does
//! the work. `BENCH_EVENTS` and `BENCH_RUNS` change the size, `BENCH_PRODUCT` chooses one by the start of its name. Exit code 1 where a goal is missed.

#![allow(clippy::expect_used, missing_docs)]
#![recursion_limit = "256"]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use catchment::config::load_text;
use catchment::content::incident::Maker;
use catchment::ingest::batch::{Partitions, RawBatch};
use catchment::ingest::decode::DecodeLimits;
use catchment::ingest::files::batch_bytes;
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Options, build};
use catchment::ingest::turnstile::Turnstile;
use catchment::ingest::worker::{Shared, Worker};
use serde_json::{Value, json};
use support::{setting, thread_cpu};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a batch at most.
const ROWS: u64 = 4096;
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
    alert: fn(u64) -> Value,
}

const PRODUCTS: [Product; 3] = [
    Product {
        name: "Cortex XDR",
        pack: "CortexXDR",
        classifier: "Cortex XDR - IR",
        mapper: "Cortex XDR - IR-mapper",
        native: include_str!("xsoar/cortex-xdr.yaml"),
        alert: cortex,
    },
    Product {
        name: "Prisma Cloud",
        pack: "PrismaCloud",
        classifier: "RedLock",
        mapper: "RedLock-mapper",
        native: include_str!("xsoar/prisma-cloud.yaml"),
        alert: prisma,
    },
    Product { name: "QRadar", pack: "QRadar", classifier: "QRadar", mapper: "QRadar-mapper", native: include_str!("xsoar/qradar.yaml"), alert: qradar },
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

    fn batch(&mut self, alerts: &[String]) {
        let mut batch = RawBatch::new(self.seq, 0, std::mem::take(&mut self.arena));
        for alert in alerts {
            assert!(batch.push(alert.as_bytes(), None, 0, self.offset, 1_772_438_400_000_000 + self.offset));
            self.offset += 1;
        }
        batch.seal();
        self.seq += 1;
        let started = thread_cpu();
        let mut output = self.worker.process(batch, &self.turnstile).expect("the worker goes on");
        self.cpu += thread_cpu() - started;
        self.incidents += output.lines.len() as u64;
        std::hint::black_box(&output.incidents);
        // As the writer does: memory that was touched once is cheaper than fresh one.
        self.shared.spare.give(std::mem::take(&mut output.incidents));
        self.arena = output.arena.unwrap_or_default();
        self.arena.clear();
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

/// Numbers that look drawn and are the same each time.
fn mixed(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn pick<'a>(list: &[&'a str], at: u64) -> &'a str {
    list[(at % list.len() as u64) as usize]
}

fn cortex(number: u64) -> Value {
    let draw = mixed(number);
    let what = pick(&["'Local Analysis Malware'", "'Port Scan'", "'Behavioral Threat'", "'WildFire Malware'", "'Uncommon remote scheduled task'"], draw);
    let created = 1_772_438_400_000u64 + number * 137;
    json!({
        "incident_id": number.to_string(), "creation_time": created, "modification_time": created + draw % 9_000_000,
        "detection_time": if draw.is_multiple_of(3) { json!(created - 60_000) } else { Value::Null },
        "status": pick(&["new", "under_investigation", "resolved_auto"], draw >> 8), "severity": pick(&["low", "medium", "high"], draw >> 16),
        "description": format!("{what} generated by XDR Agent detected on host HOST-{} involving user user-{}", draw >> 20 & 0xfff, draw >> 32 & 0xfff),
        "assigned_user_mail": if draw & 1 == 0 { Value::Null } else { json!(format!("analyst{}@example.com", draw >> 40 & 15)) },
        "assigned_user_pretty_name": if draw & 1 == 0 { Value::Null } else { json!(format!("Analyst {}", draw >> 40 & 15)) },
        "alert_count": 1 + draw % 7, "low_severity_alert_count": draw % 2, "med_severity_alert_count": draw >> 3 & 3, "high_severity_alert_count": draw >> 5 & 1,
        "user_count": 1, "host_count": 1 + (draw >> 50 & 3), "notes": Value::Null, "resolve_comment": Value::Null, "manual_severity": Value::Null, "manual_description": Value::Null,
        "xdr_url": format!("https://xdr.example.com/incident-view/{number}"), "starred": false,
    })
}

fn prisma(number: u64) -> Value {
    let draw = mixed(number);
    let at = 1_772_438_400_000u64 + number * 211;
    // One in four is of a policy that the classifier knows.
    let policy = match draw % 4 {
        0 => pick(&["36a5345a-230d-438e-a04c-a287a513e3dc", "2378dbf4-b104-4bda-9b05-7417affbba3f", "31626ca9-f659-4d25-9d88-fa32262bbba7"], draw >> 4)
            .to_owned(),
        _ => format!("{:08x}-7f00-4000-8000-{:012x}", draw >> 6 & 0xff, draw >> 6 & 0xff),
    };
    let requirement = |n: u64| {
        json!({"standardName": format!("Standard {n}"), "standardDescription": "A standard for the security of clouds", "requirementId": format!("{n}.3"), "requirementName": "AUDIT AND ACCOUNTABILITY",
            "sectionId": format!("{n}.3.1"), "sectionDescription": "Create, protect and retain records of the system to the extent needed to watch, analyse, investigate and report what is unlawful or inappropriate.",
            "policyId": policy, "complianceId": format!("{:032x}", draw ^ n), "sectionLabel": format!("{n}.3.1"), "sectionViewOrder": 26, "requirementViewOrder": n, "systemDefault": true, "customAssigned": false})
    };
    json!({
        "id": format!("P-{number}"), "status": "open", "reason": "POLICY_UPDATED", "firstSeen": at, "lastSeen": at + 5000, "alertTime": at, "policyId": policy, "saveSearchId": policy,
        "metadata": {"saveSearchId": policy},
        "policy": {"policyId": policy, "name": "Trails do not capture all management events", "policyType": "config", "systemDefault": true,
            "description": "Finds accounts which have no trail over all regions that captures all management events.\n\nTrails let you govern, audit and watch the risks of an account; it is good practice to switch them on everywhere.",
            "severity": pick(&["low", "medium", "high"], draw >> 16), "recommendation": "See how to create a trail:\nhttps://docs.example.com/trails/create-and-update",
            "complianceMetadata": [requirement(1), requirement(2)], "labels": ["PCI DSS v3.2", "CIS"], "lastModifiedOn": at - 86_400_000, "lastModifiedBy": "template@example.com", "deleted": false, "remediable": draw & 2 == 0},
        "alertRules": [{"Rule Name": "all alerts", "enabled": true, "scan_all": false, "policies": [policy], "Last Modified By": "admin@example.com"}], "history": [],
        "resource": {"id": (draw % 10_000_000).to_string(), "name": format!("resource-{}", draw % 1000), "account": "production", "accountId": (draw % 97).to_string(), "cloudAccountGroups": ["all"],
            "region": pick(&["AWS Frankfurt", "AWS Ireland", "global"], draw >> 24), "regionId": "eu-central-1", "resourceType": "ACCOUNT", "resourceApiName": "aws-cloudtrail-describe-trails", "url": Value::Null,
            "data": {"sku": {"name": "S1", "tier": "Standard"}, "type": "trail", "name": "trail", "id": format!("/trails/{}", draw % 1000),
                "properties": {"description": "all regions", "metadata": {"assignedBy": "ops", "createdBy": format!("user-{}", draw % 50), "createdOn": "2026-01-01T00:00:00Z", "updatedBy": Value::Null, "updatedOn": Value::Null}}},
            "cloudType": "aws", "resourceTs": at, "additionalInfo": {}},
        "riskDetail": {"riskScore": {"score": 20, "maxScore": 80}, "rating": "C", "score": format!("{}/80", draw % 80)},
    })
}

fn qradar(number: u64) -> Value {
    let draw = mixed(number);
    let at = 1_772_438_400_000u64 + number * 173;
    let category =
        pick(&["User Login Failure", "Unknown Potential Exploit Attack", "SIM User Authentication", "Suspicious Activity", "User Login Failure"], draw);
    json!({
        "offense_source": format!("192.168.{}.{}", draw >> 8 & 255, draw & 255), "status": "OPEN", "remote_destination_count": 0, "source_count": 1,
        "description": format!("Multiple failures\n preceded by {}", draw >> 30 & 0xff), "rules": [{"type": "CRE_RULE", "id": draw >> 12 & 511}],
        "destination_networks": ["net-a", format!("net-{}", draw >> 40 & 31)], "source_address_ids": [draw >> 10 & 0xfffff], "policy_category_count": 0, "last_updated_time": at + 9000,
        "offense_type": 0, "category_count": 2, "inactive": false, "security_category_count": 2, "flow_count": 0, "protected": false, "domain_id": 27,
        "categories": [category, "Potential Web Exploit"], "follow_up": false, "close_time": Value::Null, "start_time": at, "severity": draw % 11, "event_count": draw >> 20 & 63,
        "credibility": 2, "local_destination_count": 1, "closing_reason_id": Value::Null, "device_count": 2, "id": number, "username_count": 0, "magnitude": 4, "closing_user": Value::Null,
        "source_network": "other", "assigned_to": "analyst", "relevance": 4, "local_destination_address_ids": [draw >> 13 & 0xfffff],
        "log_sources": [{"type_name": "EventCRE", "type_id": 18, "id": 115, "name": "Custom Rule Engine"}, {"type_name": "Firewall", "type_id": 73, "id": 2439, "name": "Firewall 02"}],
    })
}
