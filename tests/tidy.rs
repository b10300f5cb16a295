//! The rules of the house, held by reading the sources.

use std::path::{Path, PathBuf};

/// Longest source file in lines.
const LINES_MAX: usize = 510;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of a directory, recursively.
fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What is built, what Git keeps and what the issue tracker keeps is not ours.
        if name == "target" || (name.starts_with('.') && name != ".ci" && name != ".gitignore") {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Files below `dir` with their paths from the project's root, in order.
fn files(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root().join(dir), &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())).collect()
}

fn rust(dirs: &[&str]) -> Vec<(String, String)> {
    dirs.iter().flat_map(|dir| files(dir)).filter(|(name, _)| name.ends_with(".rs")).collect()
}

/// A line without its comment and without what stands in quotes.
fn code(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            // A character literal of a quote.
            '\'' if !quoted && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => out.push(c),
            _ => {}
        }
    }
    out
}

/// Numbered lines of code outside of `#[cfg(test)]` items. (rustfmt puts the closing brace of a
/// module where its first line begins.)
fn shipped(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let indent = line.len() - line.trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            for (_, inner) in lines.by_ref() {
                let attribute = inner.trim_start().starts_with("#[");
                if inner == close || (!attribute && inner.ends_with(';') && inner.len() - inner.trim_start().len() == indent) {
                    break;
                }
            }
            continue;
        }
        found.push((number + 1, code(line)));
    }
    found
}

/// Files that are modules of tests as a whole.
fn is_test(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file == "tests.rs"
        || file.ends_with("_test.rs")
        || file.ends_with("_tests.rs")
        || name.contains("/tests/")
        || matches!(file, "testing.rs" | "properties.rs")
}

fn nothing(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Places where shipped code in `dirs` names `word` as a word, unless the file is `allowed`.
fn named(dirs: &[&str], word: &str, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, text) in rust(dirs).iter().filter(|(name, _)| !allowed(name) && !is_test(name)) {
        for (number, line) in shipped(text) {
            let mut rest = line.as_str();
            while let Some(at) = rest.find(word) {
                let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                if ends(rest[..at].chars().next_back()) && ends(rest[at + word.len()..].chars().next()) {
                    broken.push(format!("{name}:{number}"));
                    break;
                }
                rest = &rest[at + word.len()..];
            }
        }
    }
    broken
}

#[test]
fn rooms_keep_their_libraries() {
    nothing(named(&["src"], "rdkafka", |name| name.starts_with("src/kafka/")), "only src/kafka names rdkafka");
    nothing(named(&["src"], "simd_json", |name| name.starts_with("src/ingest/decode/")), "simd-json is an oracle of tests and benches");
    let rooms = ["src/expr/", "src/ingest/", "src/archive/", "src/serve/"];
    nothing(named(&["src"], "datafusion", |name| rooms.iter().any(|room| name.starts_with(room))), "DataFusion stays in expr, ingest, archive and serve");
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("arrow")), "the only Arrow is DataFusion's");
}

#[test]
fn nothing_panics_on_purpose() {
    let mut broken = Vec::new();
    for (name, text) in rust(&["src"]).iter().filter(|(name, _)| !is_test(name)) {
        for (number, line) in shipped(text) {
            // A parser's own `expect(token)` gives a Result.
            let line = line.replace("self.expect(", "").replace("fn expect(", "");
            if line.contains(".unwrap()")
                || line.contains(".expect(")
                || ["todo!", "unimplemented!", "unreachable!", "panic!", "dbg!"].iter().any(|word| line.contains(word))
            {
                broken.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    nothing(broken, "input, disk and network never make the program panic");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold them.
    let marks = ["TO", "FIX"].iter().zip(["DO", "ME"]).map(|(a, b)| format!("{a}{b}")).collect::<Vec<_>>();
    let mut broken = Vec::new();
    for (name, text) in rust(&["src", "tests", "benches"]) {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) || line.contains(&["to", "do!("].concat()) {
                broken.push(format!("{name}:{}", number + 1));
            }
        }
    }
    nothing(broken, "finish it, or write an issue");
}

#[test]
fn files_say_what_they_own_and_are_short() {
    let mut broken = Vec::new();
    for (name, text) in rust(&["src", "tests", "benches"]) {
        let lines = text.lines().count();
        if !text.starts_with("//!") {
            broken.push(format!("{name} does not begin with what it owns"));
        }
        if lines > LINES_MAX {
            broken.push(format!("{name} has {lines} lines, more than {LINES_MAX}"));
        }
        let file = name.rsplit('/').next().unwrap_or(&name);
        if ["utils.rs", "util.rs", "common.rs", "prelude.rs", "helpers.rs", "misc.rs"].contains(&file) {
            broken.push(format!("{name} says nothing about what is in it"));
        }
    }
    for (name, _) in files("src").iter().filter(|(name, _)| ["/utils/", "/common/", "/prelude/"].iter().any(|room| name.contains(room))) {
        broken.push(format!("{name} is in a room without a job"));
    }
    nothing(broken, "a file has one job");
}

#[test]
fn no_path_of_one_machine() {
    let places = ["/wo", "/ro", "/ho"].iter().zip(["rk/", "ot/", "me/"]).map(|(a, b)| format!("{a}{b}")).collect::<Vec<_>>();
    let mut broken = Vec::new();
    for (name, text) in files("").iter().filter(|(name, _)| !name.ends_with("Cargo.lock")) {
        // Events are full of paths of the machines that wrote them.
        let event = [".ndjson", ".shapes", ".jsonl"].iter().any(|ending| name.ends_with(ending));
        for (number, line) in text.lines().enumerate().filter(|_| !event) {
            if places.iter().any(|place| machine(line, place)) {
                broken.push(format!("{name}:{}: {}", number + 1, line.trim().chars().take(120).collect::<String>()));
            }
        }
    }
    nothing(broken, "a clone works anywhere");
}

/// True where a line has the place as the beginning of a path (`framework/` and URLs do not).
fn machine(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '*' | '~')))
}

/// The test of the tests: what the readers above take for code.
#[test]
fn shipped_code_is_told_from_tests() {
    let text = "fn a() { x.unwrap() } // .unwrap()\nlet s = \"rdkafka \\\" datafusion\"; y\n#[cfg(test)]\nmod tests {\n    fn b() {\n        z.unwrap()\n    }\n}\nfn c() {}\n#[cfg(test)]\n#[path = \"p.rs\"]\nmod p;\nfn d() {}\n";
    let code: Vec<String> = shipped(text).into_iter().map(|(number, line)| format!("{number}{}", line.trim_end())).collect();
    assert_eq!(code, ["1fn a() { x.unwrap() }", "2let s = ; y", "9fn c() {}", "13fn d() {}"]);
}
