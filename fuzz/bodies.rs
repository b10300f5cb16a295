//! What is fuzzed: bytes go in, nothing panics, hangs or grows without bound. The targets beside this
//! file hand it over to libFuzzer; `tests/content_fuzz.rs` runs it over mutated seeds on every test run.

use std::path::Path;
use std::sync::Arc;

use catchment::config::Diagnostics;
use catchment::content::{check, load};
use catchment::expr::parse::parse_path;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::fault::Budget;
use catchment::expr::xsoar::model::{Argument, Place};
use catchment::expr::xsoar::path::Dt;
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::expr::xsoar::{columnar, read};
use catchment::respond::command::escape::{Escape, escaped};
use catchment::respond::run::Run;
use catchment::respond::simulate::generate::Generator;
use catchment::respond::simulate::simulate;
use catchment::respond::world::{World, incident_view};
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

/// A template and a value in one text, the value behind the first line end: inside of JSON the value stays one value,
/// inside of a URL one segment, and no template of its own is evaluated.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, value) = text.split_once('\n').unwrap_or((text, text));
    let context = json!({"v": value, "secret": "s3cret", "n": 5, "list": [value, 1]});
    let with = |template: &str, escape: Escape| {
        let (prepared, _) = prepare(&Argument::Simple(template.to_owned()), Place::Text, &Options::default());
        let env = Env { budget: Budget::new(STEPS, BYTES), ..Env::new(&context) };
        escaped(&prepared, escape, &env)
    };
    for escape in [Escape::Plain, Escape::Url, Escape::Json, Escape::Word, Escape::Address] {
        let _ = with(template, escape);
    }
    if let Ok(Value::String(json)) = with(r#"{"k": "${v}", "w": ${v}, "n": ${n}}"#, Escape::Json) {
        assert_eq!(serde_json::from_str::<Value>(&json).ok(), Some(json!({"k": value, "w": value, "n": 5})), "{json:?}");
    }
    if let Ok(Value::String(url)) = with("http://host/a/${v}/z", Escape::Url) {
        assert!(
            url.strip_prefix("http://host/a/").and_then(|rest| rest.strip_suffix("/z")).is_some_and(|part| !part.contains(['/', '?', '#', '\\', ' '])),
            "{url:?}"
        );
    }
    if let Ok(text) = with("x ${v}", Escape::Plain) {
        assert_eq!(text, json!(format!("x {value}")));
    }
}

/// A playbook: what loads is run with generated answers, to its end or to where it waits. `dir` is empty and stays so.
pub fn playbook(data: &[u8], dir: &Path) {
    let file = dir.join("playbook.yml");
    if std::fs::write(&file, data).is_err() {
        return;
    }
    let mut out = Diagnostics::new();
    let content = Arc::new(load(std::slice::from_ref(&file), None, &mut out));
    let _ = std::fs::remove_file(&file);
    let mut world = World::of(content, out.files());
    world.stand_in = true;
    world.declare_all();
    let Some(id) = world.library.all().first().map(|program| program.id.clone()) else { return };
    let mut run = Run::new("1", &id, "fuzz", incident_view(context()));
    let mut answers = Generator::new(&world, &id, 1);
    let trace = simulate(&mut run, &world, &mut answers, 1_772_323_200_000_000);
    assert!(!trace.endless);
    // What was reached can be written down and read back.
    let state = serde_json::to_vec(&run).unwrap_or_default();
    assert!(serde_json::from_slice::<Run>(&state).is_ok());
}
