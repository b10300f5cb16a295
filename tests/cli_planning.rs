//! The commands of planning and of mending, as a person runs them: `coverage`, `diff`,
//! `dead-letters list` and `replay`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command left: exit code, standard output, standard error.
struct Done {
    code: i32,
    out: String,
    err: String,
}

fn catchment(dir: &Path, args: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_catchment")).current_dir(dir).args(args).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let done = Done { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!done.err.contains("panicked"), "{}", done.err);
    done
}

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn lines(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "{} columns: {line}", line.chars().count());
    }
}

const SCHEMA: &str = "occurred: { type: time }\nhost: { type: text, required: true }\nsrc_ip: { type: ip }\nusername: { type: text }\n";

/// A pipeline whose map reads the host from `host`.
fn pipeline(host: &str) -> String {
    format!(
        r#"
name: plan
schema: schema/
sources:
- {{ name: plain, topics: [plain] }}
- {{ name: records, topics: [records], explode: Records }}
filter:
- {{ name: noise, drop: "kind = 'noise'" }}
classify:
  key: kind
  types: {{ login: Login, alert: Alert }}
  default: drop
map:
  "*": {{ occurred: "parse_time(ts, 'auto', 'UTC')", host: "{host}" }}
preprocess:
  rules:
  - {{ name: repeats, match: [type, host], within: 1h, action: drop_and_update }}
sink: {{ labels: none, raw: true }}
"#
    )
}

fn place(dir: &Path, name: &str, yaml: &str) {
    write(dir, &format!("{name}/pipeline.yaml"), yaml);
    write(dir, &format!("{name}/schema/fields.yaml"), SCHEMA);
}

fn group<'a>(report: &'a Value, key: &str, name: &str) -> &'a Value {
    report["groups"].as_array().unwrap().iter().find(|group| group[key] == name).unwrap_or_else(|| panic!("no {key} {name} in {report:#}"))
}

fn path<'a>(group: &'a Value, name: &str) -> &'a Value {
    group["paths"].as_array().unwrap().iter().find(|path| path["path"] == name).unwrap_or_else(|| panic!("no path {name} in {group:#}"))
}

#[test]
fn coverage_says_what_is_mapped_what_is_not_and_what_to_add() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    place(dir, "p", &pipeline("host.name"));
    let events = [
        r#"{"kind":"login","ts":"2026-11-21T10:00:00Z","host":{"name":"a","ips":["10.0.0.1","10.0.0.2"]},"sourceIPAddress":"192.0.2.1","userName":"bob","list":[{"x":1},{"x":null}]}"#,
        r#"{"kind":"login","ts":"2026-11-21T12:00:00Z","host":{"name":"b"},"sourceIPAddress":"192.0.2.2","userName":"\u001b[2Jeve","list":[]}"#,
        r#"{"kind":"noise","secret":"filtered events are not looked at"}"#,
        r#"{"kind":"logout","ts":"2026-11-21T12:00:00Z","dst":{"ip":"10.9.9.9"}}"#,
        r#"{"kind":"logout"}"#,
        r#"{"EventID":4625,"Channel":"Security"}"#,
        r#"{"lvl":"low","n":1}"#,
        r#"{"lvl":"low","n":2}"#,
        r#"{"kind":"login","ts":"2026-11-21T12:00:00Z","nohost":1}"#,
        r#"{"kind":"login","#,
        "[1]",
    ];
    write(dir, "plain.ndjson", &events.join("\n"));
    write(
        dir,
        "records.json",
        r#"{"Records":[{"kind":"alert","ts":"2026-11-21T10:00:00Z","host":{"name":"c"}},{"kind":"alert","ts":"2026-11-21T10:00:01Z","host":{"name":"c"},"who":"x@example.com"}]}"#,
    );

    let done = catchment(dir, &["coverage", "p", "plain.ndjson", "records.json", "--json"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let report = json(&done);
    let ends = &report["ends"];
    assert_eq!((&ends["events"], &ends["unclassified"], &ends["dead_letters"]["total"], &ends["adds_up"]), (&13.into(), &5.into(), &3.into(), &true.into()));

    // The dead letter that had a type counts for its type: its paths say why it died.
    let login = group(&report, "type", "Login");
    assert_eq!((&login["events"], &login["incidents"], &login["fields"]["host"]), (&3.into(), &2.into(), &2.into()));
    assert_eq!(path(login, "host.name")["mapped_to"], serde_json::json!(["host"]));
    assert_eq!(path(login, "kind")["read_by"], serde_json::json!(["filter", "classify"]));
    assert_eq!(path(login, "sourceIPAddress")["suggestion"]["field"], "src_ip");
    assert_eq!(path(login, "userName")["suggestion"]["field"], "username");
    assert_eq!(path(login, "host.ips[]")["events"], 1);
    assert_eq!(path(login, "list[].x")["types"], serde_json::json!({ "number": 1, "null": 1 }));
    assert_eq!(path(login, "list")["types"], serde_json::json!({ "array": 1 }));
    assert!(!done.out.contains("filtered events are not looked at"));
    let alert = group(&report, "type", "Alert");
    assert_eq!((&alert["source"], &alert["events"], &alert["incidents"]), (&"records".into(), &2.into(), &1.into()));
    assert_eq!(path(alert, "who")["fill"], 0.5);

    // Unclassified: the pipeline's key, then what is known of other products, then whatever has few values.
    let keys: BTreeMap<&str, u64> =
        report["unclassified"]["keys"].as_array().unwrap().iter().map(|key| (key["key"].as_str().unwrap(), key["events"].as_u64().unwrap())).collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), [("(no field tells its kind)", 2), ("Channel = 'Security' AND EventID = 4625", 1), ("logout", 2)]);
    assert_eq!(report["unclassified"]["telling_fields"][0]["path"], "lvl");
    assert_eq!(
        path(group(&report, "key", "logout"), "dst.ip")["suggestion"],
        serde_json::json!({ "field": "dst_ip", "new_field": true, "by": "name", "expression": "dst.ip" })
    );
    let first = &report["unclassified"]["keys"].as_array().unwrap().iter().find(|key| key["key"] == "logout").unwrap()["first"];
    assert_eq!(first, "plain.ndjson:4");

    // For people: fits the terminal, and no event plays with it.
    let done = catchment(dir, &["coverage", "p", "plain.ndjson", "records.json"]);
    assert_eq!(done.code, 0);
    assert_fits(&done.out, 100);
    assert!(!done.out.contains('\u{1b}') && done.out.contains("? src_ip"), "{}", done.out);
    let done = catchment(dir, &["coverage", "p", "plain.ndjson", "--type", "login"]);
    assert!(done.out.contains("\\u{1b}[2Jeve") || done.out.contains("bob"), "{}", done.out);
    let done = catchment(dir, &["coverage", "p", "plain.ndjson", "--type", "Logn"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("did you mean `Login`?"), "{}", done.err);
}

/// What `coverage` proposes can be pasted: the pipeline still checks, and covers more.
#[test]
fn the_proposed_yaml_is_good_yaml() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let head = "name: plan\nsources: [ { name: plain, topics: [plain] } ]\n";
    write(dir, "old.yaml", &format!("{head}classify: {{ key: kind, types: {{ login: Login }}, default: drop }}\n"));
    let events = [
        r#"{"kind":"login","client":{"ip":"192.0.2.1"},"cmd-line":"whoami","time":"2026-11-21T10:00:00Z"}"#,
        r#"{"kind":"odd: key # 'x' \"y\" \\ \u202e","a":1}"#,
        r#"{"kind":"no","a":1}"#,
        r#"{"EventID":1,"Channel":"It's \\ \"odd\""}"#,
        r#"{"odd key":{"type":"inner"},"type":"it''s"}"#,
    ];
    write(dir, "s.ndjson", &events.join("\n"));
    let report = json(&catchment(dir, &["coverage", "old.yaml", "s.ndjson", "--json"]));
    let yaml = report["yaml"].as_str().unwrap();
    assert_fits(yaml, 140);
    let (classify, map) = yaml.split_once("map:\n").unwrap();
    let merged = format!("{head}{classify}    login: Login\n  key: kind\n  default: drop\nmap:\n{map}");
    write(dir, "new.yaml", &merged);
    let done = catchment(dir, &["check", "new.yaml", "--format", "plain"]);
    assert_eq!((done.code, done.out.contains("error")), (0, false), "{merged}\n{}{}", done.out, done.err);
    let done = json(&catchment(dir, &["coverage", "new.yaml", "s.ndjson", "--json"]));
    assert_eq!((&done["ends"]["unclassified"], &done["ends"]["incidents"]["total"]), (&0.into(), &5.into()), "{merged}");
    let login = group(&done, "type", "Login");
    assert_eq!((&login["fields"]["src_ip"], &login["fields"]["command_line"]), (&1.into(), &1.into()), "{merged}");
}

#[test]
fn diff_counts_what_would_change_and_says_so_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    place(dir, "old", &pipeline("host.name"));
    let new = pipeline("lower(host.name)")
        .replace("\"kind = 'noise'\"", "\"kind = 'noise' OR host.name = 'B'\"")
        .replace("alert: Alert", "alert: Warning, logout: Logout")
        .replace("within: 1h", "within: 1m");
    place(dir, "new", &new);
    let events = [
        r#"{"kind":"login","ts":"2026-11-21T10:00:00Z","host":{"name":"A"}}"#,
        r#"{"kind":"login","ts":"2026-11-21T10:00:01Z","host":{"name":"B"}}"#,
        r#"{"kind":"login","ts":"2026-11-21T10:10:00Z","host":{"name":"A"}}"#,
        r#"{"kind":"logout","ts":"2026-11-21T10:11:00Z","host":{"name":"c"}}"#,
        r#"{"kind":"noise"}"#,
        "not json",
    ];
    write(dir, "plain.ndjson", &events.join("\n"));
    write(dir, "records.json", r#"{"Records":[{"kind":"alert","ts":"2026-11-21T10:00:00Z","host":{"name":"c"}}]}"#);
    let samples = ["plain.ndjson", "records.json"];

    let same = catchment(dir, &["diff", "old", "old", samples[0], samples[1]]);
    assert_eq!(same.code, 0, "{}", same.out);
    assert!(same.out.contains("all 7 events end as before"), "{}", same.out);

    let done = catchment(dir, &["diff", "old", "new", samples[0], samples[1], "--json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let report = json(&done);
    assert_eq!((&report["events"], &report["changed"]), (&7.into(), &5.into()));
    let ends: Vec<(&str, &str, &str)> = report["ends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|end| (end["before"].as_str().unwrap(), end["after"].as_str().unwrap(), end["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        ends,
        [("attached by repeats", "incident", "Login"), ("incident", "filtered by noise", "Login"), ("unclassified", "incident", "Logout")],
        "{report:#}"
    );
    assert_eq!((&report["types"][0]["before"], &report["types"][0]["after"]), (&"Alert".into(), &"Warning".into()));
    let fields = report["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 1, "{report:#}");
    assert_eq!((&fields[0]["field"], &fields[0]["before"], &fields[0]["after"]), (&"host".into(), &"A".into(), &"a".into()));
    assert_eq!(report["examples"][0]["place"], "plain.ndjson:1");

    let done = catchment(dir, &["diff", "old", "new", samples[0], samples[1], "--limit", "2"]);
    assert_eq!(done.code, 1);
    assert_fits(&done.out, 100);
    assert!(done.out.contains("host: A → a") && done.out.contains("5 of 7 events would change"), "{}", done.out);

    // An event that one side does not see, and one attached to another incident.
    let exploded = pipeline("host.name").replace(", explode: Records", "");
    place(dir, "flat", &exploded);
    let report = json(&catchment(dir, &["diff", "old", "flat", "records.json", "--json"]));
    assert_eq!((&report["ends"][0]["before"], &report["ends"][0]["after"]), (&"incident".into(), &"unclassified".into()));
    place(
        dir,
        "newest",
        &pipeline("host.name").replace("within: 1h, action: drop_and_update", "within: 1h, link_to: newest, when: \"severity > 0\", action: drop_and_update"),
    );
    assert_eq!(catchment(dir, &["diff", "old", "newest", "plain.ndjson"]).code, 1);
    assert_eq!(catchment(dir, &["diff", "old", "nowhere", "plain.ndjson"]).code, 2);
    assert_eq!(catchment(dir, &["diff", "old", "new", "nowhere.ndjson"]).code, 2);
}

/// Two incidents to attach to; which one is taken is all that differs.
#[test]
fn diff_sees_other_targets() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let rules = |to: &str, action: &str| {
        pipeline("host.name").replace(
            "- { name: repeats, match: [type, host], within: 1h, action: drop_and_update }",
            &format!("- {{ name: first, when: \"event('n') < 3\", match: [host], within: 1h, action: link }}\n  - {{ name: repeats, match: [host], within: 1h, link_to: {to}, action: {action} }}"),
        )
    };
    let events: Vec<String> = (1..5).map(|n| format!(r#"{{"kind":"login","n":{n},"ts":"2026-11-21T10:00:0{n}Z","host":{{"name":"a"}}}}"#)).collect();
    write(dir, "s.ndjson", &events.join("\n"));
    for (action, expected) in [("drop_and_update", "attached by repeats, to another incident"), ("link", "linked")] {
        place(dir, "old", &rules("oldest", action));
        place(dir, "new", &rules("newest", action));
        let done = catchment(dir, &["diff", "old", "new", "s.ndjson"]);
        assert_eq!(done.code, 1, "{}", done.out);
        assert!(done.out.contains("2 of 4 events would change") && done.out.contains(expected), "{}", done.out);
        // The pipeline's name is in the ids, and ids are not compared.
        place(dir, "renamed", &rules("oldest", action).replace("name: plan\n", "name: other\n"));
        let done = catchment(dir, &["diff", "old", "renamed", "s.ndjson"]);
        assert_eq!(done.code, 0, "{}", done.out);
        assert!(done.out.contains("note: the names differ"), "{}", done.out);
    }
}

/// What dies without a host, is listed, and becomes the incidents that it should have been.
#[test]
fn dead_letters_come_back_under_their_first_coordinates() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    place(dir, "broken", &pipeline("host.name"));
    place(dir, "mended", &pipeline("coalesce(host.name, computer)"));
    let event = |n: u32, rest: &str| format!(r#"{{"kind":"login","ts":"2026-11-21T{:02}:00:00Z"{rest}}}"#, n);
    let plain = [
        event(0, r#","host":{"name":"a"}"#),
        event(1, r#","computer":"b""#),
        // Several events in one message; the middle one dies.
        format!("{} {}{}", event(2, r#","host":{"name":"c"}"#), event(4, r#","computer":"d""#), event(6, r#","host":{"name":"e"}"#)),
        "not json".to_owned(),
        event(8, ""),
    ];
    write(dir, "plain.ndjson", &plain.join("\n"));
    std::fs::write(dir.join("bytes.ndjson"), b"{\"kind\":\"\xff\"}\n").unwrap();
    // A member named like the array that is exploded, inside an element: it must not be exploded again.
    let inner = event(12, r#","computer":"g","Records":[{"kind":"login","computer":"inner"},{"kind":"login"}]"#);
    let records = format!(r#"{{"Records":[{},{},{}]}}"#, event(10, r#","host":{"name":"f"}"#), inner, event(14, r#","computer":"h""#));
    write(dir, "records.json", &format!("{records}\n{{\"Records\":[1]}}\n"));
    let inputs = ["plain.ndjson", "bytes.ndjson", "records.json"];
    let replay = |pipeline: &str, out: &str, dead: &str| {
        let mut args = vec!["replay", pipeline];
        args.extend(inputs);
        args.extend(["-q", "-o", out, "--dead-letters", dead]);
        let done = catchment(dir, &args);
        assert_eq!(done.code, 0, "{}", done.err);
    };
    replay("broken", "first.ndjson", "dead.ndjson");
    replay("mended", "whole.ndjson", "rest.ndjson");

    let listed = json(&catchment(dir, &["dead-letters", "list", "dead.ndjson", "--json"]));
    let reasons: BTreeMap<&str, u64> =
        listed["groups"].as_array().unwrap().iter().map(|group| (group["reason"].as_str().unwrap(), group["letters"].as_u64().unwrap())).collect();
    assert_eq!(reasons, BTreeMap::from([("explode_element", 1), ("not_utf8", 1), ("required_field", 5), ("syntax", 1)]));
    assert!(!listed.to_string().contains("computer"), "raw content is shown only when asked for");
    let done = catchment(dir, &["dead-letters", "list", "dead.ndjson"]);
    assert_eq!(done.code, 0);
    assert_fits(&done.out, 100);
    assert!(!done.out.contains("not json") && done.out.contains("plain.ndjson:4") && done.out.contains("plain.ndjson:3#1"), "{}", done.out);
    let done = catchment(dir, &["dead-letters", "list", "dead.ndjson", "--reason", "syntax", "--show-raw"]);
    assert!(done.out.contains("      not json\n      ^\n"), "{}", done.out);
    assert_eq!(catchment(dir, &["dead-letters", "list", "dead.ndjson", "--reason", "sintax"]).code, 2);

    let args = ["dead-letters", "replay", "mended", "dead.ndjson", "dead.ndjson", "-o", "more.ndjson", "--dead-letters", "still.ndjson"];
    let done = catchment(dir, &args);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("8 of 16 dead letters fed again, 8 given twice"), "{}", done.err);
    // First run and second run together are what a whole pipeline would have made: ids, coordinates, fields.
    let strip = |mut incident: Value| {
        incident.as_object_mut().unwrap().remove("pipeline_version");
        (incident["id"].as_str().unwrap().to_owned(), incident)
    };
    let together: BTreeMap<String, Value> = lines(dir, "first.ndjson").into_iter().chain(lines(dir, "more.ndjson")).map(strip).collect();
    let whole: BTreeMap<String, Value> = lines(dir, "whole.ndjson").into_iter().map(strip).collect();
    assert_eq!(together.len(), 8);
    assert_eq!(together, whole);
    // What fails again is the letter that it was.
    let sorted = |name: &str| {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("still.ndjson"), sorted("rest.ndjson"));
    assert_eq!(sorted("still.ndjson").len(), 4);
}

#[test]
fn dead_letters_are_never_lost_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    place(dir, "p", &pipeline("host.name"));
    let letter = |source: &str, raw: &str| {
        format!(
            r#"{{"reason":"required_field","source":{{"name":"{source}","topic":"t","partition":3,"offset":7,"element":2}},"timestamp":"2026-11-21T10:00:00Z","pipeline":"plan","raw":{}}}"#,
            Value::from(raw)
        )
    };
    let good = letter("plain", r#"{"kind":"login","host":{"name":"a"}}"#);
    let stranger = letter("gone", "{}");
    // Two events where a letter says that it holds one: not taken apart.
    let two = letter("plain", r#"{"kind":"login"} {"kind":"login"}"#).replace("\"element\":2", "\"element\":3");
    write(dir, "dead.ndjson", &format!("{good}\n{stranger}\n{two}\nnot a letter\n{{\"reason\":1}}\n"));
    let done = catchment(dir, &["dead-letters", "replay", "p", "dead.ndjson", "-o", "out.ndjson", "--dead-letters", "new.ndjson"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("dead.ndjson:4 cannot be used") && done.err.contains("name the source `gone`"), "{}", done.err);
    let incident = &lines(dir, "out.ndjson")[0];
    assert_eq!(incident["source"], serde_json::json!({ "name": "plain", "topic": "t", "partition": 3, "offset": 7, "element": 2 }));
    // No time of its own: that of the record, which the letter kept.
    assert_eq!(incident["created"], "2026-11-21T10:00:00Z");
    let kept = std::fs::read_to_string(dir.join("new.ndjson")).unwrap();
    assert!(kept.lines().any(|line| line == stranger), "{kept}");
    let refused = lines(dir, "new.ndjson").into_iter().find(|letter| letter["reason"] == "too_many_elements").unwrap();
    assert_eq!((&refused["source"]["element"], &refused["timestamp"]), (&3.into(), &"2026-11-21T10:00:00Z".into()));

    // The input is not emptied by its own replay.
    for target in ["-o", "--dead-letters"] {
        let done = catchment(dir, &["dead-letters", "replay", "p", "dead.ndjson", target, "./dead.ndjson"]);
        assert_eq!(done.code, 2);
        assert!(done.err.contains("would be overwritten"), "{}", done.err);
    }
    assert_eq!(std::fs::read_to_string(dir.join("dead.ndjson")).unwrap().lines().count(), 5);
    let other = catchment(dir, &["dead-letters", "list", "dead.ndjson"]);
    assert_eq!(other.code, 1);
}
