//! Whole `catchment replay` beside simd-json's `fill_tape` over the same bytes, in one run.
//!
//! `cargo bench --bench replay`. Runs alternate and the cheapest of each counts, so that
//! a busy machine disturbs both alike. `BENCH_EVENTS`, `BENCH_RUNS` change the size.

#![allow(clippy::expect_used, missing_docs)]

mod support;

use support::{Cost, better, events, fill_tape, replay, root, setting};

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (count, runs) = (setting("BENCH_EVENTS", 1_000_000), setting("BENCH_RUNS", 5));
    println!("whole replay, one worker, NDJSON in and out; CPU seconds (user + system) of the whole process, best of {runs}");
    println!("{:<44} {:>9} {:>9} {:>7} {:>8} {:>7}", "job", "fill_tape", "replay", "ratio", "kernel", "MB");
    case(dir.path(), "bench", "20-entry table, 16 fields, dedup on 3", count, runs);
    case(dir.path(), "windows-bench", "windows events, 12 fields", count * 15 / 100, runs);
    workers(dir.path(), count, runs);
}

fn case(dir: &std::path::Path, profile: &str, name: &str, count: u64, runs: u64) {
    let input = events(dir, profile, count);
    let pipeline = root().join("fixtures/pipelines").join(profile);
    let (mut yardstick, mut file, mut null): (f64, Option<Cost>, Option<Cost>) = (f64::INFINITY, None, None);
    for _ in 0..runs {
        yardstick = yardstick.min(fill_tape(&input));
        file = better(file, replay(&pipeline, &input, &dir.join("out.ndjson"), 1, dir));
        null = better(null, replay(&pipeline, &input, std::path::Path::new("/dev/null"), 1, dir));
    }
    for (to, cost) in [("to a file", file), ("to /dev/null", null)] {
        let Some(cost) = cost else { continue };
        println!(
            "{:<44} {yardstick:>9.3} {:>9.3} {:>6.2}x {:>8.3} {:>7}",
            format!("{name}, {to} ({} events)", cost.events),
            cost.cpu,
            cost.cpu / yardstick,
            cost.system,
            cost.rss_mb
        );
    }
}

/// Two workers beside one: the whole command, and the ingest path alone. On two cores the
/// command with one worker uses the second core already, for reading and writing.
fn workers(dir: &std::path::Path, count: u64, runs: u64) {
    let input = events(dir, "bench", count.min(400_000));
    let pipeline = root().join("fixtures/pipelines/bench");
    let (mut command, mut path) = ([f64::INFINITY; 2], [f64::INFINITY; 2]);
    for _ in 0..runs {
        for (number, workers) in [1, 2].into_iter().enumerate() {
            command[number] = command[number].min(replay(&pipeline, &input, std::path::Path::new("/dev/null"), workers, dir).wall);
            path[number] = path[number].min(ingest_alone(&pipeline, &input, workers));
        }
    }
    for (name, [one, two]) in [("ingest path alone (batches in memory, outputs dropped)", path), ("whole command, to /dev/null", command)] {
        println!("two workers, {name}: {:.2} x the speed of one ({one:.2} s -> {two:.2} s)", one / two);
    }
}

/// Seconds from the first batch to the last output, without reading and writing.
fn ingest_alone(pipeline: &std::path::Path, input: &std::path::Path, workers: usize) -> f64 {
    use catchment::ingest::files::{BATCH_ROWS_MAX, Input, Reader};
    use catchment::ingest::plan::build::{Arrival, Options};
    use std::sync::Arc;

    let options = Options { arrival: Some(Arrival::Occurred) };
    let (compiled, _) = catchment::cli::load::compile(pipeline, &options);
    let plan = Arc::new(compiled.expect("the bench pipeline is right").1);
    let inputs = [Input { path: input.to_owned(), source: 0 }];
    let shared = catchment::cli::replay::shared(plan, &inputs, Arrival::Occurred, false).expect("one file");
    let (send, batches) = crossbeam_channel::unbounded();
    let mut reader = Reader::new(send, crossbeam_channel::never(), BATCH_ROWS_MAX, 64 << 20);
    reader.run(&inputs[0], 0, &mut |_| {}).expect("a readable file");
    drop(reader);
    let batches: Vec<_> = batches.into_iter().collect();
    // As every sink does.
    let spare = shared.spare.clone();
    let mut pool = catchment::ingest::pool::Pool::start(Arc::new(shared), workers).expect("threads");
    let sender = pool.sender().expect("an open pool");
    pool.close();
    let started = std::time::Instant::now();
    let feeder = std::thread::spawn(move || batches.into_iter().for_each(|batch| drop(sender.send(batch))));
    while let Some(mut output) = pool.recv().expect("workers do not fail") {
        spare.give(std::mem::take(&mut output.incidents));
    }
    let seconds = started.elapsed().as_secs_f64();
    feeder.join().expect("the feeder ends");
    seconds
}
