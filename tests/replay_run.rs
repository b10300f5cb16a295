//! Runs the built program over files and reads what it wrote.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What a `replay` left.
pub struct Run {
    pub code: i32,
    pub incidents: Vec<u8>,
    pub dead: Vec<u8>,
    pub stats: Value,
    pub errors: String,
}

/// `catchment replay ARGS` in `dir`, its outputs read back.
pub fn replay(dir: &Path, args: &[&str]) -> Run {
    let out = tempfile::tempdir().unwrap();
    let file = |name: &str| out.path().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_catchment"))
        .current_dir(dir)
        .arg("replay")
        .args(args)
        .arg("--quiet")
        .arg("-o")
        .arg(file("incidents"))
        .arg("--dead-letters")
        .arg(file("dead"))
        .arg("--stats")
        .arg(file("stats"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let read = |name: &str| std::fs::read(file(name)).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked") && !errors.contains("internal error"), "{errors}");
    Run {
        code: output.status.code().unwrap_or(-1),
        incidents: read("incidents"),
        dead: read("dead"),
        stats: serde_json::from_slice(&read("stats")).unwrap_or(Value::Null),
        errors,
    }
}

impl Run {
    /// A count of the stats, by its path: `incidents.total`.
    pub fn count(&self, path: &str) -> u64 {
        let found = path.split('.').fold(&self.stats, |value, key| &value[key]);
        found.as_u64().unwrap_or_else(|| panic!("no count {path} in {}", self.stats))
    }

    /// The ledger adds up, by its own word and by ours, and with the lines that were written.
    pub fn assert_adds_up(&self) {
        assert_eq!(self.stats["adds_up"], Value::Bool(true), "{}", self.stats);
        let ends = ["incidents.total", "filtered.total", "unclassified", "dropped.total", "attached.total", "dead_letters.total"];
        assert_eq!(ends.iter().map(|path| self.count(path)).sum::<u64>(), self.count("events"));
        for (total, parts) in [
            ("incidents.total", "incidents.by_type"),
            ("filtered.total", "filtered.by_filter"),
            ("dropped.total", "dropped.by_rule"),
            ("attached.total", "attached.by_rule"),
            ("dead_letters.total", "dead_letters.by_reason"),
        ] {
            let parts = parts.split('.').fold(&self.stats, |value, key| &value[key]);
            let sum: u64 = parts.as_object().unwrap().values().filter_map(Value::as_u64).sum();
            assert_eq!(sum, self.count(total), "{total}");
        }
        assert_eq!(lines(&self.incidents).len() as u64, self.count("incidents.total"));
        assert_eq!(lines(&self.dead).len() as u64, self.count("dead_letters.total"));
    }

    /// Incidents by the coordinates of their events: (topic, offset, element).
    pub fn by_origin(&self) -> BTreeMap<(String, i64, u64), Value> {
        let mut found = BTreeMap::new();
        for line in lines(&self.incidents) {
            let incident: Value = serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(line)));
            let source = &incident["source"];
            let key = (source["topic"].as_str().unwrap().to_owned(), source["offset"].as_i64().unwrap(), source["element"].as_u64().unwrap());
            assert!(found.insert(key, incident).is_none(), "one event, two incidents");
        }
        found
    }
}

/// The lines of a file, all of which must end.
pub fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"));
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect()
}
