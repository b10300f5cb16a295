//! Decoding beside simd-json's `fill_tape` over the same bytes, in one run.
//!
//! First a report of ratios: all contestants take turns on pieces of the data that fit into the cache, and the fastest turn of each
//! counts, so that a busy machine disturbs all alike. Then criterion, for numbers that are kept from run to run.
//!
//! `cargo bench --bench decode`; `CATCHMENT_DECODE_REPORT=only` leaves out criterion.

use std::hint::black_box;
use std::io::Write;
use std::ops::Range;
use std::path::Path as File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catchment::expr::path::{Path, Step};
use catchment::ingest::decode::{DecodeLimits, Decoder, Index, Level, Rows, Shape, ShapeOptions};
use criterion::{BatchSize, Criterion, Throughput};
use simd_json::{Buffers, Tape, fill_tape};

/// Synthetic events.
const EVENTS: u64 = 20_000;
/// Bytes of recorded events: whole files, until there are so many.
const RECORDED_BYTES: usize = 60_000_000;
/// Bytes of a piece.
const PIECE_BYTES: usize = 300_000;
/// Turns of each contestant on each piece.
const TURNS: usize = 20;

/// What a pipeline reads of the synthetic events.
const PATHS: [&str; 17] = [
    "@timestamp",
    "event.id",
    "event.kind",
    "event.severity",
    "event.outcome",
    "source.ip",
    "source.port",
    "source.geo.country",
    "destination.ip",
    "destination.port",
    "user.name",
    "user.admin",
    "host.name",
    "rule.name",
    "rule.score",
    "blocked",
    "message",
];

/// What a pipeline reads of the recorded Windows events.
const WINDOWS_PATHS: [&str; 12] = [
    "@timestamp",
    "EventID",
    "Channel",
    "Hostname",
    "SourceName",
    "Message",
    "SubjectUserName",
    "TargetUserName",
    "ProcessName",
    "CommandLine",
    "Image",
    "LogonType",
];

fn main() {
    let mut sets = vec![synthetic()];
    sets.extend(recorded());
    for set in &sets {
        report(set);
    }
    if std::env::var_os("CATCHMENT_DECODE_REPORT").is_none_or(|value| value != "only") {
        let mut criterion = Criterion::default().sample_size(20).configure_from_args();
        for set in &sets {
            compare(&mut criterion, set);
        }
        criterion.final_summary();
    }
}

/// Messages in an arena, cut into pieces, and what is read of them.
struct Set {
    name: &'static str,
    arena: Vec<u8>,
    messages: Vec<Range<usize>>,
    pieces: Vec<Range<usize>>,
    paths: Vec<Path>,
}

impl Set {
    fn new(name: &'static str, mut arena: Vec<u8>, messages: Vec<Range<usize>>, paths: &[&str]) -> Set {
        let per_piece = (messages.len() * PIECE_BYTES / arena.len().max(1)).max(1);
        let pieces = (0..messages.len()).step_by(per_piece).map(|from| from..messages.len().min(from + per_piece)).collect();
        arena.extend_from_slice(&[0; 64]);
        Set { name, arena, messages, pieces, paths: paths.iter().map(|text| path(text)).collect() }
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(Range::len).sum()
    }

    fn shape(&self, top_level: bool) -> Arc<Shape> {
        Arc::new(Shape::new(&self.paths, ShapeOptions { top_level, explode: None }))
    }
}

fn path(text: &str) -> Path {
    let steps = text.split('.').map(|key| Step::Key(key.into())).collect();
    Path::new(steps).unwrap_or_else(|| Path::key(text))
}

/// Events of 551 bytes and 58 tape nodes: nested objects, strings, numbers, literals and a small array.
fn synthetic() -> Set {
    let (mut arena, mut messages) = (Vec::new(), Vec::new());
    for number in 0..EVENTS {
        let start = arena.len();
        event(number, &mut arena);
        messages.push(start..arena.len());
    }
    Set::new("synthetic", arena, messages, &PATHS)
}

fn event(number: u64, out: &mut Vec<u8>) {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number << 7;
    let random = (random ^ random >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let pick = |shift: u32, of: u64| (random >> shift) % of;
    let kind = ["login", "file_write", "process_start", "network_flow", "dns_query"][pick(3, 5) as usize];
    let user = ["alice", "bob", "carol", "mallory", "svc-backup", "administrator"][pick(40, 6) as usize];
    let outcome = if pick(12, 3) == 0 { "failure" } else { "success" };
    let (day, hour, minute, second, milli) = (1 + pick(0, 28), pick(5, 24), pick(10, 60), pick(16, 60), pick(22, 1000));
    let written = write!(
        out,
        concat!(
            r#"{{"@timestamp":"2026-02-{:02}T{:02}:{:02}:{:02}.{:03}Z","event":{{"id":"{:016x}","kind":"{}","severity":{},"outcome":"{}"}},"#,
            r#""source":{{"ip":"10.{}.{}.{}","port":{},"geo":{{"country":"DE"}}}},"destination":{{"ip":"192.0.2.{}","port":{}}},"#,
            r#""user":{{"name":"{}","admin":{}}},"host":{{"name":"srv-{:04}.example.com"}},"#,
            r#""rule":{{"name":"Repeated failures from one address","score":{}.{},"tags":["auth","t1110","{}"]}},"#,
            r#""bytes_in":{},"blocked":{},"sensor":null,"message":"{} by {} was seen {} times on this sensor since it was started"}}"#
        ),
        day,
        hour,
        minute,
        second,
        milli,
        random,
        kind,
        pick(9, 11),
        outcome,
        pick(1, 256),
        pick(9, 256),
        pick(17, 256),
        1024 + pick(20, 60_000),
        pick(25, 256),
        [443, 22, 3389, 53][pick(33, 4) as usize],
        user,
        pick(43, 2) == 0,
        pick(44, 10_000),
        pick(50, 10),
        pick(51, 100),
        ["ssh", "rdp", "vpn"][pick(37, 3) as usize],
        pick(13, 1_000_000),
        pick(45, 2) == 0,
        kind,
        user,
        pick(7, 500),
    );
    assert!(written.is_ok(), "a vector takes everything");
}

/// Recorded Windows events, where there are any.
fn recorded() -> Option<Set> {
    let dir = File::new(env!("CARGO_MANIFEST_DIR")).join("../shared/events/windows-mordor");
    let mut files: Vec<_> = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let (mut arena, mut messages) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "zst")) {
        let text = zstd::decode_all(std::fs::File::open(file).ok()?).ok()?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let start = arena.len();
            arena.extend_from_slice(line);
            messages.push(start..arena.len());
        }
        if arena.len() > RECORDED_BYTES {
            break;
        }
    }
    Some(Set::new("windows", arena, messages, &WINDOWS_PATHS))
}

/// Goes through the messages of a piece and says how long it took.
type Run<'a> = Box<dyn FnMut(&Range<usize>) -> Duration + 'a>;

/// One way to go through messages.
struct Contestant<'a> {
    name: String,
    run: Run<'a>,
}

fn contestants(set: &Set) -> Vec<Contestant<'_>> {
    let mut all = vec![tape(set)];
    for level in Level::available() {
        let name = |what: &str| format!("{what}, {level:?}");
        let mut index = Index::default();
        let run = move |piece: &Range<usize>| {
            let begin = Instant::now();
            for message in &set.messages[piece.clone()] {
                black_box(index.build(level, &set.arena, message.start, message.end)).ok();
            }
            begin.elapsed()
        };
        all.push(Contestant { name: name("index alone"), run: Box::new(run) });
        let decoder = |top_level| Decoder::with_level(set.shape(top_level), DecodeLimits::default(), level);
        all.push(decoding(set, name("decode"), decoder(false)));
        all.push(decoding(set, name("decode, top level"), decoder(true)));
        all.push(decoding(set, name("decode, no forms"), decoder(false).without_forms()));
    }
    all
}

/// simd-json with all its buffers reused. It changes its input, which is copied outside the time.
fn tape(set: &Set) -> Contestant<'_> {
    let (mut copy, mut buffers) = (Vec::new(), Buffers::default());
    let run = move |piece: &Range<usize>| {
        let messages = &set.messages[piece.clone()];
        let start = messages.first().map_or(0, |message| message.start);
        copy.clear();
        copy.extend_from_slice(&set.arena[start..messages.last().map_or(0, |message| message.end)]);
        let mut tape = Tape::null();
        let begin = Instant::now();
        for message in messages {
            let mut fresh = tape.reset();
            black_box(fill_tape(&mut copy[message.start - start..message.end - start], &mut buffers, &mut fresh)).ok();
            tape = fresh.reset();
        }
        begin.elapsed()
    };
    Contestant { name: "simd-json fill_tape".to_owned(), run: Box::new(run) }
}

fn decoding(set: &Set, name: String, mut decoder: Decoder) -> Contestant<'_> {
    let mut rows = Rows::new(decoder.shape());
    let run = move |piece: &Range<usize>| {
        rows.clear();
        let begin = Instant::now();
        for (i, message) in set.messages[piece.clone()].iter().enumerate() {
            black_box(decoder.decode(&set.arena, message.clone(), i as u32, &mut rows)).ok();
        }
        begin.elapsed()
    };
    Contestant { name, run: Box::new(run) }
}

/// Prints what each contestant needs, and as a part of what `fill_tape` needs.
fn report(set: &Set) {
    let mut contestants = contestants(set);
    let mut best = vec![vec![Duration::MAX; set.pieces.len()]; contestants.len()];
    for _ in 0..TURNS {
        for (piece, range) in set.pieces.iter().enumerate() {
            for (contestant, best) in contestants.iter_mut().zip(&mut best) {
                best[piece] = best[piece].min((contestant.run)(range));
            }
        }
    }
    let (events, bytes) = (set.messages.len(), set.bytes());
    println!("{}: {events} events of {} bytes, {} paths", set.name, bytes / events.max(1), set.paths.len());
    let base: Duration = best[0].iter().sum();
    for (contestant, best) in contestants.iter().zip(&best) {
        let time: Duration = best.iter().sum();
        println!(
            "  {:44} {:8.1} ns/event {:7.2} GB/s {:7.3} of fill_tape",
            contestant.name,
            time.as_secs_f64() * 1e9 / events as f64,
            bytes as f64 / time.as_secs_f64() / 1e9,
            time.as_secs_f64() / base.as_secs_f64(),
        );
    }
}

fn compare(criterion: &mut Criterion, set: &Set) {
    let Some(piece) = set.pieces.first() else { return };
    let messages = &set.messages[piece.clone()];
    let (start, end) = (messages.first().map_or(0, |message| message.start), messages.last().map_or(0, |message| message.end));
    let mut group = criterion.benchmark_group(format!("decode/{}", set.name));
    group.throughput(Throughput::Bytes(messages.iter().map(Range::len).sum::<usize>() as u64));
    group.bench_function("fill_tape", |bencher| {
        let mut buffers = Buffers::default();
        let copy = || set.arena[start..end].to_vec();
        bencher.iter_batched_ref(
            copy,
            |copy| {
                let mut tape = Tape::null();
                for message in messages {
                    let mut fresh = tape.reset();
                    black_box(fill_tape(&mut copy[message.start - start..message.end - start], &mut buffers, &mut fresh)).ok();
                    tape = fresh.reset();
                }
            },
            BatchSize::SmallInput,
        );
    });
    for (name, top_level) in [("decode", false), ("decode with top level", true)] {
        group.bench_function(name, |bencher| {
            let mut decoder = Decoder::new(set.shape(top_level), DecodeLimits::default());
            let mut rows = Rows::new(decoder.shape());
            bencher.iter(|| {
                rows.clear();
                for (i, message) in messages.iter().enumerate() {
                    black_box(decoder.decode(&set.arena, message.clone(), i as u32, &mut rows)).ok();
                }
            });
        });
    }
    group.finish();
}
