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

fn workers(dir: &std::path::Path, count: u64, runs: u64) {
    let input = events(dir, "bench", count);
    let pipeline = root().join("fixtures/pipelines/bench");
    let wall =
        |workers: usize| (0..runs).map(|_| replay(&pipeline, &input, std::path::Path::new("/dev/null"), workers, dir).wall).fold(f64::INFINITY, f64::min);
    let (one, two) = (wall(1), wall(2));
    println!("two workers: {:.2} x the speed of one ({one:.2} s -> {two:.2} s)", one / two);
}
