//! Cost per event with 1, 20 and 100 incident types, each overriding 8 fields.
//!
//! `cargo bench --bench types`. The baseline is the same pipeline with one type, in the
//! same run. Two ways to override: every type with expressions of its own, and plain paths.

#![allow(clippy::expect_used, missing_docs)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::{better, replay, setting};

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (count, runs) = (setting("BENCH_EVENTS", 500_000), setting("BENCH_RUNS", 5));
    println!("replay, one worker: CPU per event by number of types, 8 fields overridden by each; best of {runs}");
    for (name, expressions) in [("expressions of its own", true), ("plain paths", false)] {
        let mut best = [None; 3];
        let jobs: Vec<(PathBuf, PathBuf)> =
            [1, 20, 100].iter().map(|types| (pipeline(dir.path(), *types, expressions), input(dir.path(), *types, count))).collect();
        for _ in 0..runs {
            for (best, (pipeline, input)) in best.iter_mut().zip(&jobs) {
                *best = better(*best, replay(pipeline, input, Path::new("/dev/null"), 1, dir.path()));
            }
        }
        let ns = |at: usize| best[at].map_or(0.0, |cost| cost.cpu * 1e9 / cost.events as f64);
        println!(
            "{name:<24} 1 type {:>6.0} ns   20 types {:>6.0} ns ({:+.0} %)   100 types {:>6.0} ns ({:+.0} %)",
            ns(0),
            ns(1),
            (ns(1) / ns(0) - 1.0) * 100.0,
            ns(2),
            (ns(2) / ns(0) - 1.0) * 100.0
        );
    }
}

/// The events of the bench profile, their kinds spread over `types`.
fn input(dir: &Path, types: usize, count: u64) -> PathBuf {
    let path = dir.join(format!("types-{types}.ndjson"));
    if path.exists() {
        return path;
    }
    let plain = support::events(dir, "bench", count);
    let text = std::fs::read(&plain).expect("a readable file");
    let mut out = Vec::with_capacity(text.len());
    for (number, line) in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).enumerate() {
        // {"event_key":"edr.tool",…} → {"event_key":"t17",…}, in no order that repeats
        let after = line.windows(2).position(|w| w == b"\",").map_or(0, |at| at + 2);
        let kind = number.wrapping_mul(2_654_435_761) / 7 % types;
        out.extend_from_slice(format!("{{\"event_key\":\"t{kind}\",").as_bytes());
        out.extend_from_slice(&line[after..]);
        out.push(b'\n');
    }
    std::fs::write(&path, out).expect("a writable file");
    path
}

fn pipeline(dir: &Path, types: usize, expressions: bool) -> PathBuf {
    let mut yaml = String::from(
        "name: types\ntenant: default\nsource: { topics: [types.events], format: json }\nclassify:\n  key: event_key\n  default: drop\n  types:\n",
    );
    for n in 0..types {
        let _ = writeln!(yaml, "    t{n}: Type {n}");
    }
    yaml.push_str(
        "map:\n  \"*\":\n    occurred: parse_time(ts, 'auto', 'UTC')\n    severity: severity(level, '0-10')\n    rule_id: rule_id\n    src_ip: src.ip\n    src_port: src.port\n    src_host: lower(src.host)\n    username: lower(user.name)\n    action: action\n    f1: vendor\n    f2: product\n    f3: msg\n    f4: id\n    f5: dst.ip\n    f6: dst.port\n    f7: user.domain\n    f8: file.name\n",
    );
    for n in 0..types {
        let _ = writeln!(yaml, "  Type {n}:");
        let fields: [String; 8] = if expressions {
            [
                format!("concat('v{n} ', vendor)"),
                format!("upper(concat(product, '{n}'))"),
                format!("replace(msg, 'a', '{n}')"),
                format!("coalesce(missing_{n}, id)"),
                format!("concat_ws('/', dst.ip, '{n}')"),
                format!("dst.port + {n}"),
                format!("lower(concat(user.domain, '{n}'))"),
                format!("CASE WHEN level > {} THEN file.name ELSE msg END", n % 10),
            ]
        } else {
            ["msg", "id", "vendor", "product", "user.domain", "src.port", "file.name", "dst.ip"].map(str::to_owned)
        };
        for (number, field) in fields.iter().enumerate() {
            let _ = writeln!(yaml, "    f{}: \"{}\"", number + 1, field.replace('"', "\\\""));
        }
    }
    yaml.push_str("sink: { labels: none, raw: false }\n");
    let path = dir.join(format!("types-{types}-{expressions}"));
    std::fs::create_dir_all(&path).expect("a writable directory");
    std::fs::write(path.join("pipeline.yaml"), yaml).expect("a writable file");
    path
}
