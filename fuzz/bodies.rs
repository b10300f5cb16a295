//! What is fuzzed: bytes go in, nothing panics, hangs or grows without bound. The targets beside this
//! file hand it over to libFuzzer; `tests/content_fuzz.rs` runs it over mutated seeds on every test run.

use std::path::Path;

use catchment::config::Diagnostics;
use catchment::content::{check, load};
use catchment::expr::parse::parse_path;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::fault::Budget;
use catchment::expr::xsoar::model::Place;
use catchment::expr::xsoar::path::Dt;
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::expr::xsoar::{columnar, read};
use serde_json::{Value, json};

/// Bounds of one evaluation: small, so that many are tried.
const STEPS: u64 = 20_000;
const BYTES: u64 = 1 << 20;

fn context() -> Value {
    json!({"a": [{"b": 1, "c": "x"}, {"b": [2, 3], "c": null}], "File": {"Name": "a.exe", "Size": 9}, "val": "v", "n": -1.5, "t": true, "d": "2026-03-01T07:00:00Z"})
}

/// A DT text is parsed, and what it parses to is evaluated.
pub fn dt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(dt) = Dt::parse(text) {
        let _ = dt.evaluate(&context(), &Budget::new(STEPS, BYTES));
    }
    let _ = Dt::plain(text).evaluate(&context(), &Budget::new(STEPS, BYTES));
}

/// A path of a pipeline: what parses is written so that it parses again, to the same.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = parse_path(text) {
        let again = path.to_string();
        assert_eq!(parse_path(&again).ok(), Some(path), "{text:?} is written {again:?}");
    }
}

/// A value of a pack: read, prepared, planned, evaluated.
pub fn argument(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(argument) = read::argument(&value) else { return };
    let context = context();
    for place in [Place::Event, Place::Text, Place::Context] {
        let (prepared, _) = prepare(&argument, place, &Options::default());
        let _ = columnar::plan(&prepared);
        let env = Env { budget: Budget::new(STEPS, BYTES), ..Env::new(&context) };
        let _ = prepared.evaluate(&env);
    }
}

/// A file of a pack, as JSON or as YAML. `dir` is empty and stays so.
pub fn loader(data: &[u8], dir: &Path) {
    for name in ["item.json", "item.yml"] {
        let file = dir.join(name);
        if std::fs::write(&file, data).is_err() {
            return;
        }
        let mut out = Diagnostics::new();
        let content = load(std::slice::from_ref(&file), None, &mut out);
        check::check(&content, &mut out);
        let _ = std::fs::remove_file(&file);
    }
}
