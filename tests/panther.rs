//! `pipelines/soc` against people: the labels of Panther's own tests, line by line, and the
//! counts that its README tells.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use catchment::ingest::files::{open, source_of};
use catchment::ingest::trial::{End, Trial};
use serde_json::Value;

use crate::decode_oracle::shared;
use crate::soc_recordings::{RECORDED, Recorded, shadowed, soc};

/// The table in the pipeline's first comment: log type (a file), rule, type of incident.
fn claimed() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(soc().join("pipeline.yaml")).unwrap();
    let rows = text.lines().take_while(|line| line.starts_with('#')).filter_map(|line| {
        let mut cells = line.strip_prefix("#   ")?.split('|').map(|cell| cell.trim().to_owned());
        match (cells.next(), cells.next(), cells.next(), cells.next()) {
            (Some(file), Some(rule), Some(kind), None) => Some((file, rule, kind)),
            _ => None,
        }
    });
    rows.collect()
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// How each line of a log ends.
fn ends(trial: &mut Trial, dir: &Path, file: &str) -> Vec<End> {
    let path = [dir.join(format!("{file}.ndjson")), dir.join(format!("{file}.ndjson.zst"))]
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no events of {file}"));
    let source = source_of(&path, trial.plan());
    let text = read(&path);
    let (ends, _) = trial.show(source, text.lines().map(str::as_bytes)).unwrap();
    assert_eq!(ends.len(), text.lines().count(), "{file}: one event a line");
    ends
}

#[test]
fn rules_agree_with_every_label() {
    let Some(dir) = shared("events/panther") else { return };
    let claimed = claimed();
    let mut trial = Trial::new(Arc::new(shadowed()), None);
    let mut logs: BTreeMap<&str, (Vec<End>, Vec<Value>)> = BTreeMap::new();
    let (mut positive, mut negative) = (0, 0);
    let mut failures = Vec::new();
    for (file, rule, kind) in &claimed {
        assert!(trial.plan().types.iter().any(|known| **known == **kind), "no type {kind}");
        let (ends, labels) = logs.entry(file).or_insert_with(|| {
            let labels = read(&dir.join(format!("{file}.labels.jsonl")));
            (ends(&mut trial, &dir, file), labels.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        });
        let mut lines = 0;
        for label in labels.iter().filter(|label| label["rule"] == **rule) {
            let line = label["line"].as_u64().unwrap() as usize;
            let expected = label["expected"].as_bool().unwrap();
            let end = &ends[line - 1];
            assert_eq!(end.message, line - 1);
            let found = end.type_name.as_deref() == Some(kind);
            if found != expected {
                failures.push(format!("{file}:{line} ({}): {rule} says {expected}, we say {:?} ({})", label["test"], end.type_name, end.outcome()));
            }
            lines += 1;
            if expected { positive += 1 } else { negative += 1 }
        }
        if lines == 0 {
            failures.push(format!("{file} has no line labelled for {rule}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let types: BTreeSet<&String> = claimed.iter().map(|(file, ..)| file).collect();
    assert!(claimed.len() >= 20 && types.len() >= 8, "{} rules over {} log types", claimed.len(), types.len());
    let readme = readme();
    let told = format!(
        "Panther: {} rules over {} log types agree with all {} of their labelled lines**, {positive} expected matches and {negative} expected non-matches",
        claimed.len(),
        types.len(),
        positive + negative
    );
    assert!(readme.contains(&told), "README.md does not say: {told}");
}

#[test]
fn few_windows_lines_become_incidents() {
    let Some(recorded) = &*RECORDED else { return };
    let windows = &recorded.counts["windows-mordor"];
    assert_eq!(windows.events, 216_691);
    let share = windows.incidents_total() as f64 / windows.events as f64;
    assert!(share <= 0.05, "{share}");
    assert!(windows.incidents_total() > 100, "none would be too few: {}", windows.incidents_total());
}

fn readme() -> String {
    std::fs::read_to_string(soc().join("README.md")).unwrap()
}

/// The rows of the table whose header begins so.
fn table(readme: &str, header: &str) -> Vec<Vec<String>> {
    let rows = readme.lines().skip_while(|line| !line.starts_with(header)).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "no table {header}");
    rows
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

/// The README's short name of a directory of recordings.
fn short(dir: &str) -> &str {
    match dir {
        "cloudtrail-invictus" => "invictus",
        "cloudtrail-mordor" => "ct-mordor",
        "cloudtrail-stratus" => "stratus",
        "m365defender-mordor" => "m365",
        "secops-parsers" => "secops",
        "suricata-eve" => "suricata",
        "crowdsec-json" => "crowdsec",
        "xsoar-vendor-alerts" => "vendors",
        other => other.strip_suffix("-mordor").unwrap_or(other),
    }
}

/// `total` and `windows 6, panther 1` as the engine counts them, in the README's form.
fn cells(recorded: &Recorded, count: impl Fn(&catchment::ingest::ledger::Counts) -> u64) -> (u64, BTreeMap<String, u64>) {
    let parts: BTreeMap<String, u64> = recorded.counts.iter().map(|(dir, counts)| (short(dir).to_owned(), count(counts))).filter(|(_, n)| *n > 0).collect();
    (parts.values().sum(), parts)
}

fn parts(cell: &str) -> BTreeMap<String, u64> {
    // A blank before the number, none inside: `windows 85,595, panther 1`.
    let parts = cell.split(", ").filter(|part| !part.is_empty());
    parts.map(|part| part.rsplit_once(' ').unwrap_or_else(|| panic!("`{part}`"))).map(|(name, n)| (name.to_owned(), number(n))).collect()
}

#[test]
fn the_readme_counts_what_the_engine_counts() {
    let Some(recorded) = &*RECORDED else { return };
    let readme = readme();
    let mut drifted = Vec::new();
    let rows = table(&readme, "| type | events | recordings |");
    for (code, name) in recorded.plan.types.iter().enumerate() {
        let found = cells(recorded, |counts| counts.incidents[code]);
        match rows.iter().find(|row| row[0] == **name) {
            Some(row) if (number(&row[1]), parts(&row[2])) == found => {}
            Some(row) => drifted.push(format!("type {name}: README {} ({}), engine {found:?}", row[1], row[2])),
            None => drifted.push(format!("type {name} is not in the README, engine {found:?}")),
        }
    }
    for row in rows.iter().filter(|row| !recorded.plan.types.iter().any(|name| **name == *row[0])) {
        drifted.push(format!("type {} is in the README only", row[0]));
    }
    let rows = table(&readme, "| filter | events | recordings |");
    for (number_of, filter) in recorded.plan.filters.iter().enumerate() {
        let Some(row) = rows.iter().find(|row| row[0] == *filter.name) else {
            drifted.push(format!("filter {} is not in the README", filter.name));
            continue;
        };
        if filter.shadow {
            let found = cells(recorded, |counts| counts.filter_shadow[number_of]).0;
            if number(row[1].trim_matches(['(', ')'])) != found {
                drifted.push(format!("shadow filter {}: README {}, engine {found}", filter.name, row[1]));
            }
        } else {
            let found = cells(recorded, |counts| counts.filtered[number_of]);
            if (number(&row[1]), parts(&row[2])) != found {
                drifted.push(format!("filter {}: README {} ({}), engine {found:?}", filter.name, row[1], row[2]));
            }
        }
    }
    for row in table(&readme, "| recordings | lines | incidents | filtered | unclassified |") {
        let Some(counts) = recorded.counts.get(&row[0]) else {
            drifted.push(format!("no recordings {}", row[0]));
            continue;
        };
        let found = [counts.events, counts.incidents_total(), counts.filtered_total(), counts.unclassified];
        if row[1..].iter().map(|cell| number(cell)).collect::<Vec<_>>() != found {
            drifted.push(format!("{}: README {:?}, engine {found:?}", row[0], &row[1..]));
        }
    }
    let incidents: u64 = recorded.counts.values().map(|counts| counts.incidents_total()).sum();
    let grouped = |n: u64| {
        let digits = n.to_string();
        let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(",")
    };
    let told = format!("223,511 lines, {} of them incidents", grouped(incidents));
    if !readme.contains(&told) {
        drifted.push(format!("README does not say: {told}"));
    }
    let types = format!("{} types of incidents", recorded.plan.types.len());
    if !readme.contains(&types) {
        drifted.push(format!("README does not say: {types}"));
    }
    assert!(drifted.is_empty(), "{}", drifted.join("\n"));
}
