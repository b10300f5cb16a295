//! The index at 10 million live keys beside a plain hash map, in one run: bytes a key,
//! nanoseconds an operation, and the longest single operation with growth and rollover; then
//! what it costs to write it as index blocks, and to restore it from them.
//!
//! `cargo bench --bench index`; `CATCHMENT_INDEX_KEYS=1000000` for a shorter run,
//! `CATCHMENT_INDEX_REPORT=only` leaves out criterion, `=blocks` all but the blocks.

#![allow(clippy::unwrap_used)] // a bench that fails should stop

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use catchment::ingest::decide::block::{Header, encode};
use catchment::ingest::decide::index::Index;
use catchment::ingest::decide::{
    Action, BatchInput, DecideSpec, Decided, Decider, Fingerprinter, LinkTo, Mode, NoWhere, Notes, Origin, RuleInput, RuleSpec, Scope, ShardRestore,
};
use criterion::{Criterion, Throughput};
use hashbrown::HashMap;

/// Live keys, unless the environment says otherwise.
const KEYS: u64 = 10_000_000;
/// One hour of events at that many keys an hour.
const WITHIN_MS: i64 = 3_600_000;
/// The decision loop fetches so many rows ahead, and the entry at half the way.
const AHEAD: usize = 12;
/// Rows a batch.
const ROWS: usize = 8_192;
/// Operations longer than this are looked at one by one.
const NOTABLE: Duration = Duration::from_micros(100);
/// Runs of the stall measurement.
const STALL_RUNS: usize = 3;

fn main() {
    let keys = std::env::var("CATCHMENT_INDEX_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(KEYS);
    let wanted = std::env::var("CATCHMENT_INDEX_REPORT").unwrap_or_default();
    if wanted != "blocks" {
        report(keys);
    }
    blocks(keys);
    if wanted.is_empty() {
        let mut criterion = Criterion::default().sample_size(20).configure_from_args();
        fingerprints(&mut criterion);
        operations(&mut criterion, keys);
        decisions(&mut criterion, keys);
        criterion.final_summary();
    }
}

/// Number → fingerprint; stands for a keyed hash.
fn mix(number: u64) -> u128 {
    let mut low = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    low = (low ^ low >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    low = (low ^ low >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    low ^= low >> 31;
    u128::from(low) | u128::from(low.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ number.rotate_left(32)) << 64
}

/// A stream in which every event either repeats a key of the last `window` new ones or brings a new one.
struct Stream {
    state: u64,
    fresh: u64,
    window: u64,
    /// Of 256 events, how many repeat.
    repeats: u64,
}

impl Stream {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let window = self.window.min(self.fresh);
        if window > 0 && self.state >> 32 & 255 < self.repeats {
            return self.fresh - 1 - (self.state >> 3) % window;
        }
        self.fresh += 1;
        self.fresh - 1
    }

    fn batch(&mut self, numbers: &mut Vec<(u64, u64)>, prints: &mut Vec<u128>) {
        numbers.clear();
        prints.clear();
        for _ in 0..ROWS {
            let number = self.next();
            numbers.push((number, self.fresh));
            prints.push(mix(number));
        }
    }
}

/// What both sides do with an event: look up, insert if it is not there.
trait Table {
    fn prefetch(&self, _print: u128) {}
    fn prefetch_entry(&self, _print: u128) {}
    fn lookup_or_insert(&mut self, print: u128, number: u64, time: i64) -> bool;
    fn bytes(&self) -> usize;
    fn keys(&self) -> usize;
}

struct Ours(Index);

impl Ours {
    fn new() -> Ours {
        Ours(Index::alone(WITHIN_MS, 0, LinkTo::Oldest, 8 << 30))
    }
}

impl Table for Ours {
    #[inline]
    fn prefetch(&self, print: u128) {
        self.0.prefetch(print);
    }

    #[inline]
    fn prefetch_entry(&self, print: u128) {
        self.0.prefetch_entry(print);
    }

    #[inline]
    fn lookup_or_insert(&mut self, print: u128, number: u64, time: i64) -> bool {
        self.0.advance(time);
        if self.0.find(print, time, LinkTo::Oldest, |_| Some(true)).is_some() {
            return true;
        }
        self.0.insert(print, time, Origin { partition: 0, offset: number as i64, element: 0 });
        false
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn keys(&self) -> usize {
        self.0.keys()
    }
}

/// The baseline: no expiry, no bound.
struct Plain(HashMap<u128, (u64, u64)>);

impl Table for Plain {
    #[inline]
    fn lookup_or_insert(&mut self, print: u128, number: u64, time: i64) -> bool {
        let mut found = true;
        self.0.entry(print).or_insert_with(|| {
            found = false;
            (number, time as u64)
        });
        found
    }

    fn bytes(&self) -> usize {
        self.0.allocation_size()
    }

    fn keys(&self) -> usize {
        self.0.len()
    }
}

/// CPU time of this thread: other processes do not count.
#[cfg(unix)]
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct behind a valid pointer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Wall-clock time since the first call.
#[cfg(not(unix))]
fn cpu() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Runs batches until `until` says stop; returns (operations, CPU time inside the table).
fn run<T: Table>(table: &mut T, stream: &mut Stream, keys: u64, mut until: impl FnMut(&T, &Stream) -> bool) -> (u64, Duration) {
    let (mut numbers, mut prints) = (Vec::new(), Vec::new());
    let (mut operations, mut spent) = (0, Duration::ZERO);
    while !until(table, stream) {
        stream.batch(&mut numbers, &mut prints);
        let start = cpu();
        for print in &prints[..AHEAD] {
            table.prefetch(*print);
        }
        for (at, ((number, fresh), print)) in numbers.iter().zip(&prints).enumerate() {
            if let Some(ahead) = prints.get(at + AHEAD) {
                table.prefetch(*ahead);
            }
            if let Some(ahead) = prints.get(at + AHEAD / 2) {
                table.prefetch_entry(*ahead);
            }
            black_box(table.lookup_or_insert(*print, *number, time(*fresh, keys)));
        }
        spent += cpu() - start;
        operations += ROWS as u64;
    }
    (operations, spent)
}

/// As many new keys as the horizon lasts make `keys` live ones.
fn time(fresh: u64, keys: u64) -> i64 {
    1_790_000_000_000 + (fresh as f64 / keys as f64 * WITHIN_MS as f64) as i64
}

/// Notable operations of one run: number → duration. The first run times every operation by
/// the wall clock; those after it time only the ones `known`, by CPU time.
fn stalls<T: Table>(table: &mut T, keys: u64, fresh: u64, known: Option<&BTreeMap<u64, Duration>>) -> (BTreeMap<u64, Duration>, u64) {
    let mut stream = Stream { state: 7, fresh: 0, window: keys, repeats: 96 };
    let (mut numbers, mut prints) = (Vec::new(), Vec::new());
    let (mut notable, mut operation) = (BTreeMap::new(), 0);
    let mut next = known.map(|known| known.keys().copied().peekable());
    while stream.fresh < fresh {
        stream.batch(&mut numbers, &mut prints);
        for ((number, fresh), print) in numbers.iter().zip(&prints) {
            let time = time(*fresh, keys);
            // None: not timed; Some(true): by CPU time.
            let by_cpu = match &mut next {
                None => Some(false),
                Some(next) => next.next_if_eq(&operation).map(|_| true),
            };
            let start = (by_cpu == Some(false)).then(Instant::now);
            let start_cpu = (by_cpu == Some(true)).then(cpu);
            black_box(table.lookup_or_insert(*print, *number, time));
            let spent = start.map(|start| start.elapsed()).or(start_cpu.map(|start| cpu() - start)).unwrap_or_default();
            if spent > NOTABLE {
                notable.insert(operation, spent);
            }
            operation += 1;
        }
    }
    (notable, operation)
}

/// The longest single operation. A run that is repeated does the same in the same operation,
/// while other processes disturb it elsewhere: each operation counts with its shortest time.
fn worst<T: Table>(make: impl Fn() -> T, keys: u64, fresh: u64) -> String {
    let (mut all, operations) = stalls(&mut make(), keys, fresh, None);
    for _ in 1..STALL_RUNS {
        let again = stalls(&mut make(), keys, fresh, Some(&all)).0;
        all = again.into_iter().filter_map(|(at, spent)| Some((at, spent.min(*all.get(&at)?)))).collect();
    }
    let longest = all.values().max().copied().unwrap_or(NOTABLE);
    format!("longest {:.3} ms, {} of {operations} above {NOTABLE:?}", longest.as_secs_f64() * 1e3, all.len())
}

fn report(keys: u64) {
    println!("index, {keys} live keys, {ROWS} rows a batch, {AHEAD} rows fetched ahead");
    side("ours", Ours::new, keys, true);
    side("hashbrown", || Plain(HashMap::new()), keys, false);
}

fn side<T: Table>(name: &str, make: impl Fn() -> T, keys: u64, expires: bool) {
    let ns = |(operations, spent): (u64, Duration)| spent.as_nanos() as f64 / operations as f64;
    let before = resident();
    let mut table = make();
    let mut stream = Stream { state: 7, fresh: 0, window: keys, repeats: 0 };
    let (mut least, mut most, mut next) = (f64::MAX, 0f64, keys / 100);
    let fill = run(&mut table, &mut stream, keys, |table, stream| {
        if stream.fresh >= next && table.keys() > 0 {
            let per_key = table.bytes() as f64 / table.keys() as f64;
            (least, most) = (least.min(per_key), most.max(per_key));
            next += keys / 200;
        }
        stream.fresh + ROWS as u64 > keys
    });
    let per_key = table.bytes() as f64 / table.keys() as f64;
    println!(
        "{name:>10}: fill {:.0} ns; {per_key:.1} bytes a key ({least:.1} to {most:.1} on the way), resident {:.1}",
        ns(fill),
        (resident() - before) / table.keys() as f64
    );
    stream.repeats = 256;
    let mut left = 400;
    let found = run(&mut table, &mut stream, keys, |_, _| {
        left -= 1;
        left == 0
    });
    println!("{name:>10}: lookup that finds {:.0} ns", ns(found));
    stream.repeats = 96;
    let end = stream.fresh + if expires { 2 * keys } else { keys / 2 };
    let (mut sum, mut samples, mut most) = (0.0, 0.0, 0f64);
    let steady = run(&mut table, &mut stream, keys, |table, stream| {
        let per_key = table.bytes() as f64 / keys as f64;
        (sum, samples, most) = (sum + per_key, samples + 1.0, most.max(per_key));
        stream.fresh >= end
    });
    let label = if expires { "rolling over" } else { "never expiring" };
    println!(
        "{name:>10}: lookup-or-insert ({:.0} % repeats), {label}: {:.0} ns; {:.1} bytes a live key on average, {most:.1} at most",
        96.0 / 2.56,
        ns(steady),
        sum / samples
    );
    drop(table);
    let fresh = if expires { 3 * keys } else { keys };
    println!("{name:>10}: one operation, growing{}: {}", if expires { " and rolling over" } else { "" }, worst(make, keys, fresh));
}

/// Every key comes once, is noted and put into a block; then all blocks make the index again.
fn blocks(keys: u64) {
    let rule = RuleSpec {
        name: "rule".into(),
        rule_key: 4_711,
        action: Action::DropAndUpdate,
        matches: true,
        has_where: false,
        within_ms: WITHIN_MS,
        link_to: LinkTo::Oldest,
        open_only: false,
        shadow: false,
    };
    let mut spec = spec(vec![rule]);
    spec.index_bytes_max = 8 << 30;
    let (mut decider, mut decided, mut notes) = (Decider::new(spec.clone()), Decided::default(), Notes::default());
    let mut stream = Stream { state: 7, fresh: 0, window: keys, repeats: 0 };
    let (mut numbers, mut prints) = (Vec::new(), Vec::new());
    let (mut blocks, mut noting, mut writing) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    while stream.fresh + ROWS as u64 <= keys {
        let from = stream.fresh as i64;
        stream.batch(&mut numbers, &mut prints);
        let origins: Vec<Origin> = (0..ROWS as i64).map(|row| Origin { partition: 0, offset: from + row, element: 0 }).collect();
        let times_ms: Vec<i64> = numbers.iter().map(|(_, fresh)| time(*fresh, keys)).collect();
        let rules = [RuleInput { holds: None, fingerprints: Some(std::mem::take(&mut prints)) }];
        let mut input = BatchInput { origins: &origins, times_ms: &times_ms, rules: &rules, values: &mut NoWhere };
        let start = cpu();
        decider.decide_noted(blocks.len() as u64, &mut input, &mut decided, &mut notes);
        decider.commit(blocks.len() as u64);
        let noted = cpu();
        let header = Header { pipeline: "bench", version: "1", topic: "events", partition: 0, from, to: from + ROWS as i64 };
        let mut block = Vec::with_capacity(ROWS * 24);
        encode(&header, &spec, &notes, 0, b"", &mut block);
        (noting, writing) = (noting + (noted - start), writing + (cpu() - noted));
        blocks.push(block);
    }
    let expected = decider.stats()[0].1.keys;
    drop(decider);
    let entries = (blocks.len() * ROWS) as f64;
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    let (started, start) = (Instant::now(), cpu());
    let mut restore = ShardRestore::new(&spec);
    for block in &blocks {
        restore.apply(0, block).unwrap();
    }
    let restored = restore.finish().unwrap();
    let (wall, spent) = (started.elapsed(), cpu() - start);
    assert_eq!((restored.report.entries, restored.stats().keys), (entries as u64, expected));
    println!(
        "    blocks: {:.0} ns to decide and note a new key, {:.0} ns to write it",
        noting.as_nanos() as f64 / entries,
        writing.as_nanos() as f64 / entries
    );
    println!(
        "   restore: {entries:.0} keys from {} blocks of {:.1} bytes a key in {:.2} s ({:.0} ns of CPU a key)",
        blocks.len(),
        bytes as f64 / entries,
        wall.as_secs_f64(),
        spent.as_nanos() as f64 / entries
    );
}

fn spec(rules: Vec<RuleSpec>) -> DecideSpec {
    DecideSpec {
        mode: Mode::First,
        rules,
        scope: Scope::Partition,
        groups: Vec::new(),
        where_key: 0,
        at_least_once: false,
        late_max_ms: 0,
        index_bytes_max: 1 << 30,
    }
}

/// Resident bytes of this process (Linux), else 0.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}

fn fingerprints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fingerprint");
    let mut printer = Fingerprinter::new([7; 16]);
    for (name, values) in [
        ("3 fields, 32 bytes", vec![&b"rule-4711"[..], b"10.20.30.40", b"alice.cooper"]),
        ("1 field, 8 bytes", vec![&b"rule-471"[..]]),
        ("3 fields, 120 bytes", vec![&[b'a'; 40][..], &[b'b'; 40], &[b'c'; 40]]),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| printer.fingerprint(3, black_box(&values).iter().map(|value| Some(*value)))));
    }
    group.finish();
}

fn operations(criterion: &mut Criterion, keys: u64) {
    let mut group = criterion.benchmark_group("lookup-or-insert");
    group.throughput(Throughput::Elements(1));
    let mut ours = Ours::new();
    let mut plain = Plain(HashMap::new());
    fn bench<T: Table>(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, name: &str, table: &mut T, keys: u64) {
        let mut stream = Stream { state: 7, fresh: 0, window: keys, repeats: 0 };
        run(table, &mut stream, keys, |_, stream| stream.fresh + ROWS as u64 > keys);
        stream.repeats = 128;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut left = iterations.div_ceil(ROWS as u64);
                let (operations, spent) = run(table, &mut stream, keys, |_, _| {
                    left = left.wrapping_sub(1);
                    left == u64::MAX
                });
                spent.mul_f64(iterations as f64 / operations as f64)
            });
        });
    }
    bench(&mut group, "ours, rolling over", &mut ours, keys);
    // A flood: half of the keys fit, and all of them are of one slice of time.
    ours.0 = Index::alone(WITHIN_MS * 1000, 0, LinkTo::Oldest, keys as usize * 33 / 2);
    bench(&mut group, "ours, at the byte bound", &mut ours, keys);
    drop(ours);
    bench(&mut group, "hashbrown, never expiring", &mut plain, keys);
    group.finish();
}

/// The whole loop over batches: a rule that drops by condition, one that drops repeats, and
/// one that links, over a tenth of the keys.
fn decisions(criterion: &mut Criterion, keys: u64) {
    let keys = keys / 10;
    let rule = |action, matches| RuleSpec {
        name: "rule".into(),
        rule_key: 0,
        action,
        matches,
        has_where: false,
        within_ms: WITHIN_MS,
        link_to: LinkTo::Newest,
        open_only: false,
        shadow: false,
    };
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(ROWS as u64));
    let two = vec![rule(Action::Drop, false), rule(Action::DropAndUpdate, true)];
    let three = vec![rule(Action::Drop, false), rule(Action::DropAndUpdate, true), rule(Action::Link, true)];
    for (name, rules, noted) in [
        ("one dropping rule, one for repeats", two.clone(), false),
        ("the same, noted and committed", two, true),
        ("and one that links", three.clone(), false),
        ("and one that links, noted and committed", three, true),
    ] {
        let spec = spec(rules);
        let mut decider = Decider::new(spec.clone());
        let mut decided = Decided::default();
        let (mut notes, mut seq) = (Notes::default(), 0);
        let mut stream = Stream { state: 7, fresh: 0, window: keys, repeats: 96 };
        let (mut numbers, mut prints) = (Vec::new(), Vec::new());
        let mut batch = |stream: &mut Stream, decider: &mut Decider| {
            stream.batch(&mut numbers, &mut prints);
            let start = stream.fresh as i64 * 2;
            let origins: Vec<Origin> = (0..ROWS as i64).map(|row| Origin { partition: 0, offset: start + row, element: 0 }).collect();
            let times_ms: Vec<i64> = numbers.iter().map(|(_, fresh)| time(*fresh, keys)).collect();
            let mut rules = vec![RuleInput { holds: Some((0..ROWS).map(|row| row % 10 == 0).collect()), fingerprints: None }];
            rules.push(RuleInput { holds: None, fingerprints: Some(prints.clone()) });
            if spec.rules.len() > 2 {
                // Sixteen keys of the rule before share one of this rule.
                let groups = numbers.iter().map(|(number, _)| mix(number / 16 + (1 << 60))).collect();
                rules.push(RuleInput { holds: None, fingerprints: Some(groups) });
            }
            let start = cpu();
            let mut input = BatchInput { origins: &origins, times_ms: &times_ms, rules: &rules, values: &mut NoWhere };
            if noted {
                decider.decide_noted(seq, &mut input, &mut decided, &mut notes);
                // A few batches are under way.
                seq += 1;
                decider.commit(seq.saturating_sub(4));
            } else {
                decider.decide(&mut input, &mut decided);
            }
            black_box(decided.verdicts.len());
            cpu() - start
        };
        while stream.fresh < 2 * keys {
            batch(&mut stream, &mut decider);
        }
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| batch(&mut stream, &mut decider)).sum());
        });
    }
    group.finish();
}
