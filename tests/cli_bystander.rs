//! What a stranger runs into on the first day: outputs that are inputs, short forms, rules over
//! the tenant and over fields that nothing maps, conversions that fail, places of mistakes.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Exit code, standard output, standard error.
fn catchment(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_catchment")).current_dir(dir).args(args).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A directory with a pipeline and events.
fn set_up(pipeline: &str, events: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    std::fs::write(dir.path().join("events.ndjson"), events).unwrap();
    dir
}

fn incidents(dir: &Path) -> Vec<Value> {
    let (code, out, err) = catchment(dir, &["replay", ".", "events.ndjson", "-q"]);
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn plain(dir: &Path) -> (i32, String) {
    let (code, out, _) = catchment(dir, &["check", ".", "--format", "plain"]);
    (code, out)
}

const HEAD: &str = "name: day\nsource: { topics: t }\nclassify: { default: T }\n";

#[test]
fn bystander_an_output_never_destroys_an_input() {
    let dir = set_up(HEAD, "{\"a\":1}\n");
    for args in [
        vec!["replay", ".", "events.ndjson", "-o", "events.ndjson"],
        vec!["replay", ".", ".", "-o", "out", "--dead-letters", "events.ndjson"],
        vec!["replay", ".", "events.ndjson", "-o", "out", "--dead-letters", "./out"],
        vec!["replay", ".", "events.ndjson", "-o", "out", "--stats", "out"],
    ] {
        let (code, _, err) = catchment(dir.path(), &args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(!dir.path().join("out").exists(), "{args:?}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("events.ndjson")).unwrap(), "{\"a\":1}\n");
    assert_eq!(catchment(dir.path(), &["replay", ".", "events.ndjson", "-q", "-o", "/dev/null", "--dead-letters", "/dev/null"]).0, 0);
}

#[test]
fn bystander_a_mad_number_of_workers_is_refused() {
    let dir = set_up(HEAD, "{}\n");
    let (code, _, err) = catchment(dir.path(), &["replay", ".", "events.ndjson", "-w", "100000"]);
    assert_eq!(code, 2);
    assert!(err.contains("100000") && !err.contains("panicked"), "{err}");
}

#[test]
fn bystander_rules_read_the_tenant() {
    let pipeline = "name: day\ntenant: lower(customer)\nsource: { topics: t }\nclassify: { default: T }\nmap: { \"*\": { occurred: parse_time(ts) } }\n\
                    preprocess:\n  rules: { name: once, when: \"tenant <> 'busy'\", match: [tenant], within: 1h, action: drop_and_update }\n";
    let event = |tenant: &str| format!("{{\"ts\":1772438400,{tenant}}}\n");
    let events = [r#""customer":"a""#, r#""customer":"a""#, r#""customer":"b""#, r#""customer":"busy""#, r#""customer":"busy""#, r#""x":1"#, r#""x":1"#];
    let dir = set_up(pipeline, &events.map(event).concat());
    let found: Vec<Value> = incidents(dir.path()).iter().map(|i| json!([i["tenant"], i["attached"]["count"]])).collect();
    assert_eq!(json!(found), json!([["a", 1], ["b", null], ["busy", null], ["busy", null], ["unknown", 1]]));

    // A word is a tenant, too; and `explain` sees what the rule sees.
    std::fs::write(dir.path().join("pipeline.yaml"), pipeline.replace("lower(customer)", "busy")).unwrap();
    assert!(incidents(dir.path()).iter().all(|i| i["attached"].is_null()));
    std::fs::write(dir.path().join("one.json"), "{}").unwrap();
    let (_, out, _) = catchment(dir.path(), &["explain", ".", "one.json", "--json"]);
    let explained: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(explained[0]["rules"][0]["holds"], json!(false), "{out}");
    assert_eq!(explained[0]["rules"][0]["match"]["tenant"], json!("busy"), "{out}");
}

#[test]
fn bystander_a_declared_field_that_nothing_maps_is_a_warning() {
    let rules = "preprocess:\n- { name: r, match: [owner], within: 1h, action: drop }\n- { name: s, when: \"score > 3 OR TRUE\", action: close }\n";
    let dir = set_up(&format!("{HEAD}{rules}"), "{\"owner\":\"a\"}\n{\"owner\":\"a\"}\n");
    let (code, out) = plain(dir.path());
    assert!(code == 1 && out.contains("no incident has a field `owner`"), "{out}");
    std::fs::create_dir(dir.path().join("schema")).unwrap();
    std::fs::write(dir.path().join("schema/fields.yaml"), "owner: text\nscore: number\n").unwrap();
    let (code, out) = plain(dir.path());
    assert_eq!(code, 0, "{out}");
    let at = |line: &str| out.lines().any(|l| l.contains(line) && l.contains("warning[unmapped-field]"));
    assert!(at("pipeline.yaml:5:") && at("pipeline.yaml:6:"), "{out}");
    let found = incidents(dir.path());
    assert!(found.len() == 2 && found.iter().all(|i| i["closed"]["rule"] == "s"), "{found:?}");
}

#[test]
fn bystander_lengths_of_time_are_seconds_at_a_path() {
    let dir = set_up(
        &format!("{HEAD}map: {{ \"*\": {{ took: duration, both: \"coalesce(a, duration)\" }} }}\n"),
        "{\"duration\":1.5}\n{\"duration\":\"90\"}\n{\"duration\":\"soon\"}\n{}\n",
    );
    std::fs::create_dir(dir.path().join("schema")).unwrap();
    std::fs::write(dir.path().join("schema/fields.yaml"), "took: duration\nboth: duration\n").unwrap();
    let found: Vec<Value> = incidents(dir.path()).iter().map(|i| json!([i["took"], i["both"], i["_errors"]])).collect();
    assert_eq!(json!(found), json!([[1.5, 1.5, null], [90, 90, null], [null, null, ["took"]], [null, null, null]]));
}

#[test]
fn bystander_an_explicit_conversion_that_fails_is_listed() {
    let map = "map: { \"*\": { a: \"number(v) + 1\", b: \"v::number * 2\", c: \"CASE WHEN boolean(w) THEN 'yes' END\", d: number(v), e: v + 1 } }\n";
    let dir = set_up(&format!("{HEAD}{map}"), "{\"v\":\"abc\",\"w\":\"perhaps\"}\n{\"v\":\"2\",\"w\":\"true\"}\n{}\n");
    let found: Vec<Value> = incidents(dir.path()).iter().map(|i| json!([i["a"], i["b"], i["c"], i["d"], i["e"], i["_errors"]])).collect();
    assert_eq!(json!(found), json!([[null, null, null, null, null, ["a", "b", "c", "d"]], [3, 4, "yes", 2, 3, null], [null, null, null, null, null, null]]));
}

#[test]
fn bystander_explain_says_what_a_filter_drops_and_what_was_unreadable() {
    let dir = set_up(&format!("{HEAD}filter: {{ name: f, drop: \"n = 1\" }}\nmap: {{ \"*\": {{ severity: severity(s) }} }}\n"), "{\"n\":1}\n");
    let (_, out, _) = catchment(dir.path(), &["explain", ".", "events.ndjson"]);
    assert!(out.contains("because of a filter that holds") && !out.contains("default"), "{out}");
    std::fs::write(dir.path().join("events.ndjson"), "{\"s\":\"who knows\"}").unwrap();
    let (_, out, _) = catchment(dir.path(), &["explain", ".", "events.ndjson"]);
    assert!(out.contains("0 (unreadable)"), "{out}");
}

#[test]
fn bystander_explain_takes_a_line_of_many_and_a_log_filter_is_checked() {
    let dir = set_up(HEAD, "{\"n\":1}\n\n{\"n\":2}\n{\"n\":3}\n");
    let (code, out, err) = catchment(dir.path(), &["explain", ".", "events.ndjson", "--json"]);
    let explained: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, explained.as_array().map(Vec::len)), (0, Some(3)), "{out}{err}");
    // What is no JSON in any way stays one message, which is a dead letter.
    std::fs::write(dir.path().join("events.ndjson"), "{\"n\":1\n{\"n\":2}").unwrap();
    let (_, out, _) = catchment(dir.path(), &["explain", ".", "events.ndjson", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap().as_array().map(Vec::len), Some(1), "{out}");
    let (code, _, err) = catchment(dir.path(), &["check", ".", "--log", "catchment=loud"]);
    assert!(code == 2 && err.contains("--log") && err.contains("catchment::kafka=debug"), "{code} {err}");
}

#[test]
fn bystander_tests_name_elements_and_compare_digits() {
    let tests = "tests:\n- { name: linked, events: [ {k: a}, {k: a} ], expect: { \"linked[0].rule\": pair } }\n\
                 - { name: digits, event: { k: b, big: 9007199254740993 }, expect: { big: 9007199254740992 } }\n";
    let rules = "map: { \"*\": { k: k, big: big } }\npreprocess: [ { name: pair, match: k, within: 1h, action: link } ]\n";
    let pasted = "- name: pasted\n  event: |\n    {\"k\":\"a\",\"k\":\"c\"}\n  expect: { k: c, raw.k: c }\n";
    let dir = set_up(&format!("{HEAD}{rules}{tests}{pasted}"), "");
    let (code, out, _) = catchment(dir.path(), &["test", "."]);
    assert_eq!(code, 1);
    assert!(out.contains("ok   linked") && out.contains("ok   pasted") && out.contains("FAIL digits"), "{out}");
}

#[test]
fn bystander_mistakes_are_where_they_were_made() {
    let dir = set_up("name: day\n\tsource: x\n", "");
    assert!(plain(dir.path()).1.contains("2:1: error[yaml]: a tab"), "{}", plain(dir.path()).1);
    std::fs::write(dir.path().join("pipeline.yaml"), format!("{HEAD}map: {{ \"*\": {{ a: b = \u{2018}x\u{2019} }} }}\n")).unwrap();
    assert!(plain(dir.path()).1.contains("straight single quotes"), "{}", plain(dir.path()).1);
    // A table that cannot be read is one mistake, not one per use.
    let lookup = "lookups: { t: { file: no.csv, key: k } }\nmap: { \"*\": { a: \"lookup('t', b, 'c')\", d: \"lookup('t', b, 'e')\" } }\n";
    std::fs::write(dir.path().join("pipeline.yaml"), format!("{HEAD}{lookup}")).unwrap();
    assert_eq!(plain(dir.path()).1.lines().filter(|line| line.contains("error")).count(), 1, "{}", plain(dir.path()).1);
    // What cannot be read at all is neither right nor wrong.
    assert_eq!(catchment(dir.path(), &["check", "nowhere"]).0, 2);
}

#[test]
fn bystander_a_console_login_is_no_user() {
    let pipeline = "name: day\nsource: { topics: t }\nclassify: { key: k, types: { a: A }, default: drop }\n";
    let dir = set_up(pipeline, "{\"k\":\"a\",\"ConsoleLogin\":\"Failure\",\"actor\":{\"login\":\"ann\"}}\n");
    let (_, out, _) = catchment(dir.path(), &["coverage", ".", "events.ndjson", "--json"]);
    assert!(out.contains("username: actor.login") && !out.contains("username: ConsoleLogin"), "{out}");
}
