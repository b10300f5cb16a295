//! What is wrong with an item is told at its line; hostile files are refused or read within bounds.

use std::path::Path;

use catchment::config::{Diagnostics, Severity};
use catchment::content::{Content, check, load};

use crate::content_packs::own;

/// Loads one file of this text.
fn one(name: &str, text: &str) -> (Content, Diagnostics) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    let mut out = Diagnostics::with_room(100_000);
    let content = load(&[dir.path().to_owned()], None, &mut out);
    check::check(&content, &mut out);
    (content, out)
}

fn fails(name: &str, text: &str, line: u32, says: &str) {
    let (content, out) = one(name, text);
    assert_eq!(content.items.len(), 1, "{text}");
    assert!(content.items[0].body.is_none(), "it loads: {text}");
    let errors: Vec<String> = out.sorted().iter().filter(|d| d.severity == Severity::Error).map(|d| out.plain_line(d)).collect();
    let hit = errors.iter().any(|error| error.contains(&format!(":{line}:")) && error.contains(says));
    assert!(hit, "no error at line {line} that says `{says}`: {errors:#?}");
}

#[test]
fn malformed_items_fail_with_their_line() {
    fails("Classifiers/a.json", "{\n \"type\": \"classification\",\n", 3, "the file ends");
    fails("Classifiers/a.json", "{\n \"type\": \"classification\",\n \"transformer\": []\n}", 3, "not a list");
    fails("Classifiers/a.json", "{}", 1, "none of the items");
    fails("Classifiers/a.json", "[1]", 1, "none of the items");
    fails(
        "m.json",
        "{\"type\": \"mapping-incoming\", \"mapping\": {\"A\": {\"internalMapping\": {\n\"x\": {\"complex\": {\"root\": \"a\", \"filters\": [[\n{\"left\": {}}]]}}}}}}",
        3,
        "`operator` is missing",
    );
    fails(
        "m.json",
        "{\"type\": \"mapping-incoming\", \"mapping\": {\"A\": {\"internalMapping\": {\n\"x\": {\"simple\": {\"a\": 1}}}}}}",
        2,
        "`simple` is a text",
    );
    fails("r.json", "{\"id\": \"r\", \"newEventFilters\": [],\n\"action\": \"explode\"}", 2, "`explode` is not an action");
    fails("r.json", "{\"id\": \"r\",\n\"newEventFilters\": []}", 1, "needs `action`");
    fails("r.json", "{\"id\": \"r\", \"newEventFilters\": [],\n\"action\": \"script\"}", 2, "needs `scriptName`");
    fails("f.json", "{\"id\": \"incident_x\",\n\"cliName\": \"x\"}", 1, "needs `type`");
    fails("p.yml", "id: p\nname: p\ntasks:\n  \"0\":\n    type: start\n", 1, "needs `starttaskid`");
    fails("p.yml", "id: p\nstarttaskid: \"7\"\ntasks:\n  \"0\":\n    type: start\n", 2, "there is no such task");
    fails("p.yml", "id: p\nstarttaskid: \"0\"\ntasks:\n  \"0\":\n    type: start\n    nexttasks:\n      '#none#':\n      - \"9\"\n", 8, "which is not there");
    fails("p.yml", "id: p\nstarttaskid: \"0\"\ntasks:\n  \"0\":\n    type: dance\n", 4, "`dance`, which is not known");
    fails("p.yml", "id: p\nstarttaskid: \"0\"\ntasks:\n  \"0\":\n    type: playbook\n    task: {name: x}\n", 4, "names none");
    fails("p.yml", "id: p\nstarttaskid: \"0\"\ntasks: {\n", 3, "not YAML");
    fails("Playbooks/p.yml", "just text\n", 1, "none of the items");
}

#[test]
fn all_mistakes_at_once_and_good_neighbours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "a.json",
        "{\"type\": \"mapping-incoming\", \"id\": \"m\", \"mapping\": {\"A\": {\"internalMapping\": {\n\"x\": {\"simple\": []},\n\"y\": {\"simple\": []}}}}}",
    );
    write("b.json", "{\"type\": \"classification\", \"id\": \"c\", \"defaultIncidentType\": \"A\"}");
    write("c.json", "not json");
    let mut out = Diagnostics::new();
    let content = load(&[dir.path().to_owned()], None, &mut out);
    assert!(content.classifier("c").is_some() && content.mapper("m").is_none());
    let plain = out.plain();
    assert!(plain.contains("a.json:2:") && plain.contains("a.json:3:") && !plain.contains("b.json"), "{plain}");
    // A file that is no JSON in no folder of ours may be anything; it is told all the same.
    assert!(plain.contains("c.json:1:1"), "{plain}");
}

#[test]
fn odd_items_load_with_warnings() {
    let warned = |name: &str, text: &str, code: &str| {
        let (content, out) = one(name, text);
        assert!(content.items[0].body.is_some(), "{}", out.plain());
        assert!(out.iter().any(|d| d.code == code && d.severity == Severity::Warning), "no {code}: {}", out.plain());
    };
    warned("c.json", "{\"type\": \"classification\", \"id\": \"c\", \"defaultIncidentType\": \"Malware\", \"frobnicate\": 1}", "unknown-key");
    warned("c.json", "{\"type\": \"classification\", \"id\": \"c\", \"id\": \"d\", \"defaultIncidentType\": \"Malware\"}", "duplicate-key");
    warned("c.json", "{\"type\": \"classification\", \"id\": \"c\", \"defaultIncidentType\": \"Nowhere\"}", "unknown-type");
    warned("c.json", "{\"type\": \"classification\", \"id\": \"c\", \"fromVersion\": \"soon\", \"defaultIncidentType\": \"Malware\"}", "bad-value");
    warned(
        "c.json",
        "{\"type\": \"classification\", \"id\": \"c\", \"keyTypeMap\": {}, \"transformer\": {\"complex\": {\"root\": \"a\", \"transformers\": [{\"operator\": \"fnord\"}]}}, \"defaultIncidentType\": \"Malware\"}",
        "unknown-operator",
    );
    warned(
        "m.json",
        "{\"type\": \"mapping-incoming\", \"id\": \"m\", \"mapping\": {\"Malware\": {\"internalMapping\": {\"Fnord\": {\"simple\": \"a\"}}}}}",
        "unknown-field",
    );
    warned("f.json", "{\"id\": \"incident_x\", \"cliName\": \"x\", \"type\": \"hologram\"}", "unknown-type");
    warned("f.json", "{\"id\": \"incident_x\", \"cliName\": \"x\", \"type\": \"url\", \"validationRegex\": \"(\"}", "bad-value");
    let circle = "id: p\nstarttaskid: \"0\"\ntasks:\n  \"0\": {type: start, nexttasks: {'#none#': [\"1\"]}}\n  \"1\": {type: title, nexttasks: {'#none#': [\"2\"]}}\n  \"2\": {type: title, nexttasks: {'#none#': [\"1\"]}}\n  \"3\": {type: title}\n";
    warned("p.yml", circle, "circle");
    warned("p.yml", circle, "unreached");
}

#[test]
fn a_type_in_other_capitals_is_that_type_and_indicators_have_no_types_of_ours() {
    let said = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
        let mut out = Diagnostics::new();
        let content = load(&[dir.path().to_owned()], None, &mut out);
        check::check(&content, &mut out);
        out.iter().map(|d| (d.code, d.message.clone())).collect::<Vec<_>>()
    };
    let mapper =
        ("m.json", "{\"type\": \"mapping-incoming\", \"id\": \"m\", \"mapping\": {\"Acme Alarm\": {\"internalMapping\": {\"name\": {\"simple\": \"a\"}}}}}");
    let own = ("t.json", "{\"id\": \"Acme alarm\", \"name\": \"Acme alarm\", \"color\": \"#fff\", \"autorun\": false, \"hours\": 0}");
    let respelled = "the incident type `Acme Alarm` is `Acme alarm` in its own file, which counts".to_owned();
    assert_eq!(said(&[mapper, own]), [("other-spelling", respelled)]);
    assert_eq!(said(&[mapper])[0].0, "unknown-type");
    let feed = (
        "f.json",
        "{\"id\": \"f\", \"brandName\": \"f\", \"feed\": true, \"keyTypeMap\": {\"CIDR\": \"CIDR\"}, \"transformer\": {\"simple\": \"type\"}, \"mapping\": {\"CIDR\": {\"internalMapping\": {\"Region\": {\"simple\": \"r\"}}}}, \"toVersion\": \"5.9.9\"}",
    );
    assert!(said(&[feed]).is_empty(), "{:?}", said(&[feed]));
}

#[test]
fn hostile_files_are_bounded() {
    let deep = format!("{{\"type\": \"classification\", \"transformer\": {}{}}}", "{\"complex\":{\"root\":".repeat(50_000), "}}".repeat(50_000));
    fails("Classifiers/a.json", &deep, 1, "deeper");
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
        + &('b'..='k')
            .scan('a', |before, name| Some((std::mem::replace(before, name), name)))
            .map(|(before, name)| {
                format!("{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n")
            })
            .collect::<String>();
    fails("Playbooks/p.yml", &bomb, 5, "aliases");
    let merges = format!("id: p\nstarttaskid: \"0\"\nx: &x {{<<: {{a: 1}}, b: 2}}\ntasks:\n  \"0\":\n    <<: *x\n    type: start\n{}", "#".repeat(100_000));
    let (content, out) = one("p.yml", &merges);
    assert!(content.playbook("p").is_some(), "{}", out.plain());
    let (content, _) = one("big.json", &format!("{{\"type\": \"classification\", \"id\": \"{}\"}}", "x".repeat(9 << 20)));
    assert!(content.items[0].body.is_none());
    let tasks: String = (0..20_000).map(|id| format!("  \"{id}\": {{type: title}}\n")).collect();
    fails("p.yml", &format!("id: p\nstarttaskid: \"0\"\ntasks:\n{tasks}"), 10_004, "10000 are possible");
    let regex = format!("{{\"id\": \"incident_x\", \"cliName\": \"x\", \"type\": \"url\", \"validationRegex\": \"{}\"}}", "(a{1000}){1000}");
    let (content, _) = one("f.json", &regex);
    assert!(content.field("x").unwrap().1.validation.is_none());
}

/// Every cut and many changes of every file of ours: never a panic, and what fails says so.
#[test]
fn damaged_files_never_panic() {
    let mut files = Vec::new();
    walk(&own(), &mut files);
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap();
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            match random() % 3 {
                0 => damaged.truncate(random() % (bytes.len() + 1)),
                1 => {
                    let at = random() % bytes.len();
                    damaged[at] = b"{}[]:,\"'0aZ\n\xff-"[random() % 14];
                }
                _ => {
                    let (from, to) = (random() % bytes.len(), random() % bytes.len());
                    damaged.drain(from.min(to)..from.max(to).min(from.min(to) + 30));
                }
            }
            let target = dir.path().join(name);
            std::fs::write(&target, &damaged).unwrap();
            let mut out = Diagnostics::new();
            let content = load(std::slice::from_ref(&target), None, &mut out);
            check::check(&content, &mut out);
            let bodiless = content.items.iter().any(|item| item.body.is_none());
            assert!(!bodiless || out.has_errors(), "{}: fails without a reason", path.display());
            std::fs::remove_file(&target).unwrap();
        }
    }
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
    files.sort();
}
