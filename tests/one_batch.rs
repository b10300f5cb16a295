//! One batch of messages through a worker, with the time of each record given: what a running
//! instance does between Kafka and Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use catchment::cli::load::compile;
use catchment::config::load_text;
use catchment::ingest::batch::{Partitions, RawBatch};
use catchment::ingest::decode::DecodeLimits;
use catchment::ingest::output::{Output, TraceEnd};
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Options, build};
use catchment::ingest::turnstile::Turnstile;
use catchment::ingest::worker::{Shared, Worker};

/// Compiles a pipeline from its text.
pub fn plan_of(text: &str) -> Arc<Plan> {
    let (pipeline, mut diagnostics) = load_text("test.yaml", text, Path::new("."));
    let plan = pipeline.and_then(|pipeline| build(&pipeline, &Options::default(), &mut diagnostics));
    Arc::new(plan.unwrap_or_else(|| panic!("{}\n{text}", diagnostics.plain())))
}

/// Compiles a pipeline of the project.
pub fn plan(pipeline: &str) -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(pipeline);
    let (compiled, diagnostics) = compile(&path, &Options::default());
    let (_, plan) = compiled.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    Arc::new(plan)
}

/// `golden/poison`, compiled once.
pub static POISON: LazyLock<Arc<Plan>> = LazyLock::new(|| plan("tests/golden/poison"));

/// 2026-03-02T08:00:00Z in microseconds: the time of the first record; a second passes each.
pub const START: i64 = 1_772_438_400_000_000;

/// Runs messages as one batch, offsets from 0.
pub fn run(plan: &Arc<Plan>, messages: &[&[u8]]) -> Output {
    let mut batch = RawBatch::new(0, 0, Vec::new());
    for (offset, message) in messages.iter().enumerate() {
        assert!(batch.push(message, None, 0, offset as i64, START + offset as i64 * 1_000_000));
    }
    run_batch(plan, batch)
}

/// Runs a batch of the topic `one`.
pub fn run_batch(plan: &Arc<Plan>, mut batch: RawBatch) -> Output {
    let mut partitions = Partitions::default();
    partitions.append("one");
    let shared = Shared {
        decide: None,
        plan: plan.clone(),
        partitions: Arc::new(partitions),
        cluster: "test".into(),
        arrival: None,
        fingerprint_key: *b"a key for a test",
        decode: DecodeLimits::default(),
        record_bytes_max: None,
        trace: true,
        facts: false,
        spare: Default::default(),
    };
    batch.seal();
    let output = Worker::new(Arc::new(shared)).process(batch, &Turnstile::new(plan.decide.clone())).unwrap();
    assert!(output.counts.adds_up(), "{}", output.counts.to_json(plan));
    output
}

/// The incidents of an output as they are written, by offset and element.
pub fn incidents(output: &Output) -> BTreeMap<(i64, u16), &[u8]> {
    let mut at = 0;
    let mut found = BTreeMap::new();
    for line in &output.lines {
        let end = at + line.len as usize;
        assert!(found.insert((line.origin.offset, line.origin.element), &output.incidents[at..end]).is_none());
        at = end;
    }
    assert_eq!(at, output.incidents.len());
    found
}

/// How the events of each message ended.
pub fn ends(output: &Output) -> BTreeMap<u32, Vec<TraceEnd>> {
    let mut found: BTreeMap<u32, Vec<TraceEnd>> = BTreeMap::new();
    for traced in output.trace.iter().flatten() {
        found.entry(traced.message).or_default().push(traced.end);
    }
    found
}

/// Holds everything but the messages `apart` equal in two outputs: incidents byte for byte,
/// ends, attachments and links.
pub fn assert_same_but(apart: impl Fn(i64) -> bool, one: &Output, other: &Output) {
    let told = |output: &Output| -> BTreeMap<(i64, u16), String> {
        let kept = incidents(output).into_iter().filter(|((offset, _), _)| !apart(*offset));
        kept.map(|(origin, line)| (origin, String::from_utf8_lossy(line).into_owned())).collect()
    };
    let (a, b) = (told(one), told(other));
    for (origin, line) in &a {
        assert_eq!(Some(line), b.get(origin), "the incident of {origin:?}");
    }
    assert_eq!(a.len(), b.len(), "incidents: {:?}", b.keys().filter(|origin| !a.contains_key(origin)).collect::<Vec<_>>());
    let ends_of = |output: &Output| -> BTreeMap<u32, Vec<TraceEnd>> { ends(output).into_iter().filter(|(message, _)| !apart(i64::from(*message))).collect() };
    assert_eq!(ends_of(one), ends_of(other), "how the others ended");
    let side = |output: &Output| -> Vec<String> {
        let attaches = output.attaches.iter().filter(|a| !apart(a.event.offset)).map(|a| format!("{a:?}"));
        // A link is told by the new incident, whose id says where it comes from.
        let own: Vec<_> = output.lines.iter().filter(|line| apart(line.origin.offset)).map(|line| line.id).collect();
        let links = output.links.iter().filter(|l| !own.contains(&l.other)).map(|l| format!("{l:?}"));
        attaches.chain(links).collect()
    };
    assert_eq!(side(one), side(other), "attachments and links");
}
