//! `pipelines/soc` over all recordings, once for all tests that want to know: every rule in
//! shadow mode, so that each classified event is an incident.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use catchment::cli::load::compile;
use catchment::cli::replay::shared as shared_of;
use catchment::ingest::decode::DecodeLimits;
use catchment::ingest::files::{BATCH_ROWS_MAX, Input, Reader, list, source_of};
use catchment::ingest::ledger::Counts;
use catchment::ingest::plan::Plan;
use catchment::ingest::plan::build::{Arrival, Options};
use catchment::ingest::pool::Pool;
use crossbeam_channel::bounded;

use crate::decode_oracle::shared;

/// The pipeline of the project.
pub fn soc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/soc")
}

/// The directories of recordings: not the hostile files, not texts that are no JSON.
pub fn directories() -> Option<Vec<PathBuf>> {
    let events = shared("events")?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(events).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.retain(|path| !["hostile", "raw-text", "LICENSES"].iter().any(|name| path.ends_with(name)));
    found.sort();
    Some(found)
}

/// The files of NDJSON of a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = list(&[dir.to_owned()]).unwrap();
    found.retain(|path| [".ndjson", ".ndjson.zst"].iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    found
}

/// The pipeline with all rules in shadow mode, as `replay` compiles it.
pub fn shadowed() -> Plan {
    let (compiled, diagnostics) = compile(&soc(), &Options { arrival: Some(Arrival::Occurred) });
    let (_, mut plan) = compiled.unwrap_or_else(|| panic!("{}", diagnostics.plain()));
    plan.decide.rules.iter_mut().for_each(|rule| rule.shadow = true);
    plan
}

/// What became of the recordings.
pub struct Recorded {
    pub plan: Arc<Plan>,
    /// Per directory.
    pub counts: BTreeMap<String, Counts>,
}

/// Computed by whoever asks first; `None` where there are no recordings.
pub static RECORDED: LazyLock<Option<Recorded>> = LazyLock::new(|| {
    let directories = directories()?;
    let plan = Arc::new(shadowed());
    let counts = directories.iter().map(|dir| (dir.file_name().unwrap().to_string_lossy().into_owned(), counts(&plan, dir))).collect();
    Some(Recorded { plan, counts })
});

fn counts(plan: &Arc<Plan>, dir: &Path) -> Counts {
    let inputs: Vec<Input> = files(dir).into_iter().map(|path| Input { source: source_of(&path, plan), path }).collect();
    let shared = Arc::new(shared_of(plan.clone(), &inputs, Arrival::Occurred, false).unwrap());
    let mut pool = Pool::start(shared, 2).unwrap();
    let batches = pool.sender().unwrap();
    pool.close();
    let (_, recycled) = bounded(1);
    let reader = std::thread::spawn(move || {
        let mut reader = Reader::new(batches, recycled, BATCH_ROWS_MAX, DecodeLimits::default().message_bytes);
        for (number, input) in inputs.iter().enumerate() {
            reader.run(input, number as u16, &mut |_| {}).unwrap();
        }
    });
    let mut counts = Counts::new(plan);
    while let Some(output) = pool.recv().unwrap() {
        counts.add(&output.counts);
    }
    reader.join().unwrap();
    counts
}
