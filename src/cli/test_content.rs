//! `catchment test` for content packs: the tests that stand beside a pack, run on the reference
//! of what packs make of an event.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::output::{Style, err_style, style};
use super::test::same;
use crate::config::Diagnostics;
use crate::config::model::{Outcome, Test};
use crate::config::source_map::Spanned;
use crate::content::incident::{Made, Maker, Rules, Ruling};
use crate::content::preprocess::{Action, PreprocessRule};
use crate::content::trial::{self, TestFile};
use crate::content::{Body, Content, Kind, load};
use crate::error::Error;

/// How tests went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tests that pass.
    pub passed: usize,
    /// Tests that fail.
    pub failed: usize,
}

/// True for a directory that is no pipeline and holds a pack with tests.
pub fn is_pack(path: &Path) -> bool {
    path.is_dir() && !path.join("pipeline.yaml").is_file() && !path.join("pipeline.yml").is_file() && !packs_below(path).is_empty()
}

/// The directory itself if it has tests or describes a pack, else those below that do.
fn packs_below(path: &Path) -> Vec<PathBuf> {
    let pack = |dir: &Path| dir.join("pack_metadata.json").is_file() || !trial::find(&[dir.to_owned()]).is_empty();
    if pack(path) {
        return vec![path.to_owned()];
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    below.retain(|dir| dir.is_dir() && pack(dir));
    below.sort();
    below
}

/// Loads a directory of packs and runs what stands beside them.
pub fn run_dir(path: &Path, scripts: Option<&Path>, filter: Option<&str>, quiet: bool) -> Result<Counts, Error> {
    let mut out = Diagnostics::new();
    let mut content = load(&[path.to_owned()], None, &mut out);
    if let Some(dir) = scripts {
        super::content::with_scripts(&mut content, dir)?;
    }
    run(&content, &packs_below(path), filter, quiet)
}

/// Runs the tests beside the packs of a pipeline.
pub fn run_of(content: &Content, filter: Option<&str>, quiet: bool) -> Result<Counts, Error> {
    let dirs: Vec<PathBuf> = content.packs.iter().map(|pack| pack.dir.clone()).collect();
    run(content, &dirs, filter, quiet)
}

fn run(content: &Content, packs: &[PathBuf], filter: Option<&str>, quiet: bool) -> Result<Counts, Error> {
    let mut out = Diagnostics::new();
    let files: Vec<TestFile> = trial::find(packs).iter().filter_map(|path| trial::read_file(path, &mut out)).collect();
    if out.has_errors() {
        eprint!("{}", out.render(super::output::colour_err()));
        return Err(Error::user(format!("content tests cannot be read: {}", out.summary())));
    }
    let mut counts = Counts::default();
    for file in &files {
        let bench = Bench::new(content, file)?;
        for test in file.tests.iter().filter(|test| filter.is_none_or(|text| test.name.value.contains(text))) {
            let failures = bench.run(test);
            if failures.is_empty() {
                counts.passed += 1;
                if !quiet {
                    println!("{} {}", style("ok  ", Style::Good), test.name.value);
                }
                continue;
            }
            counts.failed += 1;
            println!("{} {}", style("FAIL", Style::Bad), test.name.value);
            println!("     at {}", out.files().place(test.name.span));
            failures.iter().for_each(|failure| println!("     {failure}"));
        }
    }
    if files.is_empty() {
        eprintln!("{}: these packs have no tests; they stand in tests/*.yaml beside Classifiers/", err_style("note", Style::Dim));
    }
    Ok(counts)
}

/// What one file tests.
struct Bench<'c> {
    maker: Maker<'c>,
    rules: Vec<(&'c str, &'c PreprocessRule)>,
    fallback: Option<&'c str>,
    now_us: Option<i64>,
}

impl<'c> Bench<'c> {
    fn new(content: &'c Content, file: &'c TestFile) -> Result<Bench<'c>, Error> {
        let missing = |what: &str, kinds: &[Kind], name: &Spanned<String>| {
            let near = crate::content::check::nearest(content, kinds, &name.value);
            let error = Error::user(format!("{}: there is no {what} `{}`, or it does not load", file.path.display(), name.value));
            error.hint(near.map_or_else(|| "`catchment content check` tells what loads".to_owned(), |near| format!("did you mean `{near}`?")))
        };
        let classifier = match &file.classifier {
            Some(name) => Some(content.classifier(&name.value).ok_or_else(|| missing("classifier", &[Kind::Classifier, Kind::LegacyClassifier], name))?.1),
            None => None,
        };
        let mapper = match &file.mapper {
            Some(name) => Some(content.mapper(&name.value).ok_or_else(|| missing("mapper", &[Kind::IncomingMapper, Kind::LegacyClassifier], name))?.1),
            None => None,
        };
        let mut rules = Vec::new();
        match &file.rules {
            Some(names) => {
                for name in names {
                    let (item, rule) = content.rule(&name.value).ok_or_else(|| missing("pre-process rule", &[Kind::PreprocessRule], name))?;
                    rules.push((item.head.id.as_str(), rule));
                }
            }
            None => {
                for item in content.of_kind(Kind::PreprocessRule) {
                    if let Some(Body::Rule(rule)) = &item.body {
                        rules.push((item.head.id.as_str(), &**rule));
                    }
                }
            }
        }
        Ok(Bench { maker: Maker::new(content, classifier, mapper), rules, fallback: file.fallback.as_deref(), now_us: file.now_us })
    }

    /// What differs from the expectation, one line each.
    fn run(&self, test: &Test) -> Vec<String> {
        let mut rules = Rules::new(self.rules.iter().copied());
        let mut last: Option<(Made, Ruling)> = None;
        let mut clock = 0;
        for event in &test.events {
            let made = self.make(event);
            // An event without a time comes a second after the one before.
            clock = occurred(&made).unwrap_or(clock + 1_000);
            let ruling = rules.decide(&made, clock);
            last = Some((made, ruling));
        }
        match last {
            Some((made, ruling)) => differences(test, &made, &ruling),
            None => vec!["the test has no event".to_owned()],
        }
    }
}

impl Bench<'_> {
    /// Where the file does not say what `now` is, it is the time at which the event occurred.
    fn make(&self, event: &Value) -> Made {
        let made = self.maker.make(event, self.fallback, self.now_us);
        match (self.now_us, occurred(&made)) {
            (None, Some(occurred)) => self.maker.make(event, self.fallback, Some(occurred.saturating_mul(1000))),
            _ => made,
        }
    }
}

fn occurred(made: &Made) -> Option<i64> {
    let text = made.fields.get("occurred")?.as_str()?;
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

fn differences(test: &Test, made: &Made, ruling: &Ruling) -> Vec<String> {
    let mut found = Vec::new();
    let (outcome, by) = match ruling {
        Ruling::Created => (Outcome::Incident, None),
        Ruling::NeedsScript(rule) => return vec![format!("the rule {rule} asks a script, which is not run")],
        Ruling::By { rule, action, .. } => {
            let outcome = match action {
                Action::Drop => Outcome::Dropped,
                Action::DropAndUpdate => Outcome::Attached,
                _ => Outcome::Incident,
            };
            (outcome, Some(rule.as_str()))
        }
    };
    let expect = &test.expect;
    match &expect.outcome {
        Some(expected) if expected.value != outcome => found.push(format!("outcome: expected {}, got {}", expected.value.as_str(), outcome.as_str())),
        None if expect.rule.is_none() && outcome != Outcome::Incident => found.push(format!("outcome: expected an incident, got {}", outcome.as_str())),
        _ => {}
    }
    if let Some(rule) = expect.rule.as_ref().filter(|rule| by != Some(rule.value.as_str())) {
        found.push(format!("rule: expected {}, got {}", rule.value, by.unwrap_or("none")));
    }
    for (key, expected) in &expect.fields {
        let actual = value(made, &key.value);
        if !same(expected, actual.as_ref()) {
            let actual = actual.map_or("nothing".to_owned(), |value| value.to_string());
            found.push(format!("{}: expected {expected}, got {actual}", key.value));
        }
    }
    found
}

/// `type`, `labels`, `labels.x` (a label's name may have dots), a field, or a path into one.
fn value(made: &Made, key: &str) -> Option<Value> {
    if let Some(label) = key.strip_prefix("labels.") {
        return made.labels.get(label).cloned();
    }
    match key {
        "type" => Some(Value::String(made.type_name.clone())),
        "labels" => Some(Value::Object(made.labels.clone())),
        "_errors" => (!made.errors.is_empty()).then(|| made.errors.iter().map(|name| Value::from(name.as_str())).collect()),
        _ => made.fields.get(key).cloned().or_else(|| {
            let (first, rest) = key.split_once('.')?;
            rest.split('.').try_fold(made.fields.get(first)?, |value, step| value.get(step)).cloned()
        }),
    }
}
