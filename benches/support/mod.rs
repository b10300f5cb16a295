//! Shared by the whole-process benches: generated files, the yardstick, and child
//! processes whose CPU time they report themselves.
#![allow(dead_code, clippy::expect_used, missing_docs)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use catchment::load::{Generator, GeneratorSpec, Message};

/// A number from the environment, for shorter or longer runs.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// A file of generated events; made once per size.
pub fn events(dir: &Path, profile: &str, events: u64) -> PathBuf {
    let path = dir.join(format!("{profile}-{events}.ndjson"));
    let spec = GeneratorSpec::named(profile, 1, events).expect("a known profile");
    let mut generator = Generator::new(spec).expect("profiles compile");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a writable temporary directory"));
    let mut message = Message::default();
    while generator.next(&mut message) {
        out.write_all(&message.payload).and_then(|()| out.write_all(b"\n")).expect("a writable file");
    }
    out.flush().expect("a writable file");
    path
}

/// CPU seconds of this thread so far.
pub fn thread_cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The yardstick: CPU seconds of simd-json's `fill_tape` alone over all lines of a file, with
/// reused buffers (each line is copied to scratch first, since it unescapes in place).
pub fn fill_tape(path: &Path) -> f64 {
    let bytes = std::fs::read(path).expect("a readable file");
    let mut buffers = simd_json::Buffers::default();
    let mut scratch = Vec::new();
    let mut tape = simd_json::Tape::null();
    let mut nodes = 0usize;
    let started = thread_cpu();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        scratch.clear();
        scratch.extend_from_slice(line);
        let mut reused = tape.reset();
        simd_json::fill_tape(&mut scratch, &mut buffers, &mut reused).expect("generated events are JSON");
        nodes += reused.0.len();
        tape = reused.reset();
    }
    std::hint::black_box(nodes);
    thread_cpu() - started
}

/// What a replay cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// Of these in the kernel.
    pub system: f64,
    /// Seconds on the clock.
    pub wall: f64,
    /// Peak resident memory, MB.
    pub rss_mb: u64,
    /// Events.
    pub events: u64,
}

/// Runs `catchment replay` as its own process.
pub fn replay(pipeline: &Path, input: &Path, output: &Path, workers: usize, dir: &Path) -> Cost {
    let stats = dir.join("stats.json");
    let started = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_catchment"))
        .args(["replay", "--quiet", "--workers", &workers.to_string(), "--stats"])
        .arg(&stats)
        .arg("--output")
        .arg(output)
        .arg(pipeline)
        .arg(input)
        .status()
        .expect("the binary runs");
    let wall = started.elapsed().as_secs_f64();
    assert!(status.success(), "replay failed");
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).expect("stats are written")).expect("stats are JSON");
    let seconds = |key: &str| stats["seconds"][key].as_f64().unwrap_or_default();
    Cost {
        cpu: seconds("cpu_user") + seconds("cpu_system"),
        system: seconds("cpu_system"),
        wall,
        rss_mb: stats["rss_bytes_max"].as_u64().unwrap_or_default() >> 20,
        events: stats["events"].as_u64().unwrap_or_default(),
    }
}

/// The cheaper of two runs.
pub fn better(a: Option<Cost>, b: Cost) -> Option<Cost> {
    Some(match a {
        Some(a) if a.cpu <= b.cpu => a,
        _ => b,
    })
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
