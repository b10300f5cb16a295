//! The bodies of the fuzz targets over seeds that are cut, doubled, swapped and sprinkled: a short
//! run in every test run. `CATCHMENT_FUZZ` sets how many inputs each body gets.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// Inputs of one body.
fn inputs() -> usize {
    std::env::var("CATCHMENT_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

/// No input takes longer, in a build that is hardly optimised and on a busy machine.
const SLOW: Duration = Duration::from_secs(20);

fn mutated(seeds: &[&str], rng: &mut ChaCha8Rng) -> Vec<u8> {
    const SPRINKLES: [&str; 20] = ["(", ")", "[", "]", "{", "}", ".", "=", ";", "\"", "'", "`", "${", "=>", "val", "\\", "/", "9999999999", "\u{0}", "ß"];
    let mut bytes = seeds[rng.random_range(0..seeds.len())].as_bytes().to_vec();
    for _ in 0..rng.random_range(0..8) {
        let at = |rng: &mut ChaCha8Rng, len: usize| rng.random_range(0..=len);
        let (a, b) = (at(rng, bytes.len()), at(rng, bytes.len()));
        let (from, to) = (a.min(b), a.max(b));
        match rng.random_range(0..5) {
            0 => drop(bytes.drain(from..to)),
            1 if bytes.len() < 4096 => {
                let part = bytes[from..to].to_vec();
                bytes.splice(from..from, part);
            }
            2 => bytes.truncate(to),
            3 => {
                let piece = SPRINKLES[rng.random_range(0..SPRINKLES.len())];
                let times = if rng.random_bool(0.05) { 300 } else { 1 };
                bytes.splice(from..from, piece.repeat(times).into_bytes());
            }
            _ => {
                let other = seeds[rng.random_range(0..seeds.len())];
                bytes.extend_from_slice(other.as_bytes());
            }
        }
    }
    bytes
}

fn run(seeds: &[&str], count: usize, body: impl Fn(&[u8])) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..count {
        let input = mutated(seeds, &mut rng);
        let started = Instant::now();
        body(&input);
        assert!(started.elapsed() < SLOW, "{:?} for {:?}", started.elapsed(), String::from_utf8_lossy(&input));
    }
}

const DT: [&str; 10] = [
    "File(val.Size > 9 && val.Name.indexOf('exe') > -1).Name=val.toLowerCase()",
    "a.[0].b",
    "a.[0:1].c",
    ".=val && val.length ? [1, {x: val}] : null",
    ".=f(val);function f(x) { var s = ''; for (var i = 0; i < 3; i++) { s += i; } return s; }",
    "a(val.b == val1---a.[0].b).c",
    ".=val.map(x => x.b).filter(x => /^[a-z]+$/i.test(x)).join(',')",
    ".=JSON.parse(JSON.stringify(val))",
    ".={'k': `t${val.n}`, ...val}",
    "incident.labels.Email/from",
];

#[test]
fn content_fuzz_dt() {
    run(&DT, inputs(), bodies::dt);
}

#[test]
fn content_fuzz_path() {
    run(&["user.name", "Records[0].a", "\"odd key\".b", "@timestamp", "a[*].b", "[\"x\"]", "a.\"b\"\"c\""], 10 * inputs(), bodies::path);
}

#[test]
fn content_fuzz_argument() {
    let seeds = [
        r#"{"simple":"Alert ${a.b} by ${n}"}"#,
        r#"{"complex":{"root":"a","accessor":"c","filters":[[{"operator":"isEqualString","ignoreCase":true,"left":{"isContext":true,"value":{"simple":"a.b"}},"right":{"value":{"simple":"x"}}}]],"transformers":[{"operator":"uniq"},{"operator":"join","args":{"separator":{"value":{"simple":","}}}}]}}"#,
        r#"{"complex":{"root":"${a(val.b","accessor":"length > 0)}","transformers":[{"operator":"DT","args":{"dt":{"value":{"simple":".=val"}}}}]}}"#,
        r#"{"complex":{"root":"d","transformers":[{"operator":"RegexGroups","args":{"regex":{"value":{"simple":"(\\d+)-(\\d+)"}}}},{"operator":"ModifyDateTime","args":{"variation":{"value":{"simple":"in 15m"}}}}]}}"#,
        r#"{"complex":{"root":"a","transformers":[{"operator":"If-Then-Else","args":{"condition":{"value":{"simple":"lhs==rhs"}},"lhs":{"value":{"complex":{"root":"n"}}}}}]}}"#,
    ];
    run(&seeds, inputs(), bodies::argument);
}

#[test]
fn content_fuzz_loader() {
    let dir = tempfile::tempdir().unwrap();
    let pack = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/packs/Brightwater");
    let mut files = Vec::new();
    let mut ahead = vec![pack];
    while let Some(path) = ahead.pop() {
        match path.is_dir() {
            true => ahead.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(std::fs::read_to_string(&path).unwrap()),
        }
    }
    let seeds: Vec<&str> =
        files.iter().map(String::as_str).chain(["a: &a [*a, *a]\nb: !!str [", "{\"id\": \"x\", \"type\": \"classification\", \"keyTypeMap\": []}"]).collect();
    run(&seeds, inputs() / 6, |input| bodies::loader(input, dir.path()));
}

#[test]
fn content_fuzz_template() {
    let seeds = [
        "http://host/${v}/x?q=${n}\n../../admin?x=1#y",
        "{\"k\": \"${v}\", \"list\": ${list}}\n\"}, \"evil\": {\"",
        "x ${v}\n${secret}",
        "${.=val.secret} ${v}@corp.example\nann@corp.example, evil@bad.example\r\nBcc: x",
        "${v}${v}\n..",
    ];
    run(&seeds, inputs(), bodies::template);
}

#[test]
fn content_fuzz_playbook() {
    let dir = tempfile::tempdir().unwrap();
    let playbooks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/soc/playbooks");
    let files: Vec<String> = ["brute-force.yml", "phishing.yml", "malware.yml", "contain-host.yml"]
        .iter()
        .map(|name| std::fs::read_to_string(playbooks.join(name)).unwrap())
        .collect();
    let looped = "id: p\nname: p\nstarttaskid: '0'\ntasks:\n  '0':\n    id: '0'\n    type: start\n    task: {name: ''}\n    nexttasks: {'#none#': ['1']}\n  '1':\n    id: '1'\n    type: playbook\n    task: {name: again, playbookName: p}\n    loop: {iscommand: false, exitCondition: '', wait: 1, max: 100, forEach: true}\n    scriptarguments: {x: {simple: '${a}'}}\n    nexttasks: {'#none#': ['1']}\n";
    let seeds: Vec<&str> = files.iter().map(String::as_str).chain([looped]).collect();
    run(&seeds, inputs() / 10, |input| bodies::playbook(input, dir.path()));
}
