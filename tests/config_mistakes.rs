//! What the checker says about bad pipelines, word for word: these lines are the part of
//! the program that most users meet first.
#![allow(clippy::unwrap_used)]

use catchment::config::load_text;
use std::path::Path;

/// A pipeline that is right; each test below changes one thing.
const GOOD: &str = "\
name: soc
source: { topics: [a], format: json }
classify: { key: kind, types: { x: Malware, y: Phishing }, default: drop }
";

fn plain(text: &str) -> String {
    load_text("p.yaml", text, Path::new("/nonexistent")).1.plain()
}

/// Each block: a title after `=== `, the lines that are added to [`GOOD`], then `---` and
/// the expected lines without `p.yaml:`.
fn check_blocks(blocks: &str) {
    let mut failures = String::new();
    for block in blocks.split("=== ").skip(1) {
        let (title, rest) = block.split_once('\n').unwrap_or((block, ""));
        let (yaml, expected) = rest.split_once("---\n").unwrap_or((rest, ""));
        let text = match yaml.strip_prefix("ALONE\n") {
            Some(alone) => alone.to_owned(),
            None => format!("{GOOD}{yaml}"),
        };
        let got: String = plain(&text).lines().map(|line| line.strip_prefix("p.yaml:").unwrap_or(line).to_owned() + "\n").collect();
        if got.trim() != expected.trim() {
            failures.push_str(&format!("=== {title}\n{yaml}--- expected\n{expected}--- got\n{got}\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_good_pipeline_is_good() {
    assert_eq!(plain(GOOD), "");
}

#[test]
fn mistakes_in_the_file() {
    check_blocks(include_str!("config_mistakes_file.txt"));
}

#[test]
fn mistakes_in_sections() {
    check_blocks(include_str!("config_mistakes_sections.txt"));
}

#[test]
fn mistakes_in_rules_and_tests() {
    check_blocks(include_str!("config_mistakes_rules.txt"));
}

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let plain = |path: &Path| {
        let (pipeline, out) = catchment::config::load(path);
        assert!(pipeline.is_none());
        out.plain().replace(&dir.path().display().to_string(), "DIR")
    };
    assert_eq!(plain(&dir.path().join("soc")), "error[missing-file]: DIR/soc does not exist (name the directory of a pipeline, or its pipeline.yaml)\n");
    std::fs::create_dir(dir.path().join("soc")).unwrap();
    assert_eq!(plain(&dir.path().join("sco")), "error[missing-file]: DIR/sco does not exist (did you mean DIR/soc?)\n");
    assert_eq!(plain(&dir.path().join("soc")), "error[missing-file]: DIR/soc has no pipeline.yaml (a pipeline is a directory with a pipeline.yaml)\n");
    std::fs::write(dir.path().join("soc/main.yaml"), "").unwrap();
    assert_eq!(
        plain(&dir.path().join("soc")),
        "error[missing-file]: DIR/soc has no pipeline.yaml (rename main.yaml to pipeline.yaml, or name the file itself)\n"
    );
    assert_eq!(plain(&dir.path().join("soc/main.yaml")), "DIR/soc/main.yaml:1:1: error[empty-file]: the file is empty\n");
    std::fs::write(dir.path().join("soc/main.yaml"), b"name: soc\nx: \xff\n").unwrap();
    assert_eq!(
        plain(&dir.path().join("soc/main.yaml")),
        "DIR/soc/main.yaml:2:4: error[yaml]: the file is not UTF-8 (save it as UTF-8; some editors call it \"Unicode\")\n"
    );
}
