//! What a good pipeline becomes: the example of the documentation, and the short forms.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use catchment::config::lookup::LookupKind;
use catchment::config::schema::FieldKind;
use catchment::config::*;

const WHOLE: &str = r#"
name: soc
tenant: lower(account.name)
schema: schema/
clock: { kind: occurred, max_skew: 10m, late_max: 2h }
sources:
- name: cloudtrail
  topics: [aws.cloudtrail, ^aws\..*]
  format: json
  explode: Records
  keyed_by: [recipientAccountId, '"odd key".b']
  start: 2026-11-21T08:00:00+01:00
  map: { "*": { cloud_account: recipientAccountId } }
- { name: edr, topics: edr, start: earliest }
lookups:
  assets: { file: lookups/assets.csv, key: host }
  nets: { file: lookups/nets.csv, key: net, match: cidr }
filter:
- { name: sysmon-noise, drop: "EventID IN (7, 10, 12)", reason: "noise, reviewed 2026-11", mode: shadow }
classify:
  rules: [ { type: Console Login Failure, when: "eventName = 'ConsoleLogin'" } ]
  key: event_key
  types: { auth.fail: Authentication Failure, 4625: Authentication Failure, edr.malware: Endpoint Malware }
  default: dead_letter
map:
  "*":
    occurred: parse_time(coalesce(eventTime, ts), 'auto', 'UTC')
    severity: 3
    is_test: false
    asset_owner: lookup('assets', lower(src.host), 'owner')
    src_host: |
      CASE WHEN host = 'a: {b}'   -- no comments, but any character
        THEN 1 END
  Endpoint Malware: { file_sha256: file.hash.sha256 }
preprocess:
  mode: all
  scope: process
  rules:
  - { name: lab hosts, when: "src_host LIKE 'lab-%'", action: drop, mode: shadow }
  - { name: repeats, match: [rule_id, src_ip], within: 1h, nulls: match, action: drop_and_update }
  - { name: campaign, match: sender, where: "new.severity >= existing.severity", within: 1d, link_to: newest, action: link_and_close }
sink: { topic: out, labels: none, raw: false }
playbooks: { Endpoint Malware: { file: playbooks/edr.yml, mode: run } }
tests:
- name: one
  source: edr
  events:
  - { a: 1, big: 18446744073709551615, neg: -9223372036854775808, f: 1.50, n: null, t: 0x1F, s: "1" }
  - |
    {"emoji": "\ud83d\ude00"}
  expect: { type: Endpoint Malware, outcome: attached, rule: repeats, src_host: null }
"#;

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn good_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    // `--` starts no comment in our expressions, so it must not be in the text.
    write(dir.path(), "pipeline.yaml", &WHOLE.replace("   -- no comments, but any character", ""));
    write(dir.path(), "lookups/assets.csv", "host,owner\nweb,alice\n");
    write(dir.path(), "lookups/nets.csv", "net,zone\n10.0.0.0/8,inside\n");
    write(dir.path(), "playbooks/edr.yml", "");
    write(
        dir.path(),
        "schema/fields.yaml",
        "occurred: time\nseverity: { type: severity, scale: p1-p5, required: true }\nis_test: boolean\nasset_owner:\n\
         src_host: { type: text, description: the host }\ncloud_account: text\nfile_sha256: text\n",
    );
    write(
        dir.path(),
        "schema/types.yaml",
        "types:\n- { name: Endpoint Malware, color: '#ff0000', sla: 4h, playbook: edr }\n- Authentication Failure\n- name: Console Login Failure\n",
    );
    dir
}

fn load_good(dir: &Path) -> Pipeline {
    let (pipeline, out) = load(dir);
    assert!(out.is_empty(), "{}", out.render(false));
    pipeline.unwrap()
}

#[test]
fn every_part_of_the_example() {
    let dir = good_dir();
    let p = load_good(dir.path());
    assert_eq!(p.name.value, "soc");
    assert!(matches!(&p.tenant, Tenant::Expr(expr) if expr.text == "lower(account.name)"));
    assert_eq!(p.clock, Clock { kind: ClockKind::Occurred, max_skew_ms: 600_000, late_max_ms: 7_200_000 });

    assert_eq!(p.sources.len(), 2);
    let topics: Vec<&Topic> = p.sources[0].topics.iter().map(|topic| &topic.value).collect();
    assert_eq!(topics, [&Topic::Name("aws.cloudtrail".into()), &Topic::Pattern(r"^aws\..*".into())]);
    assert_eq!(p.sources[0].explode.as_ref().unwrap().to_string(), "Records");
    assert_eq!(p.sources[0].keyed_by[1].to_string(), "\"odd key\".b");
    assert_eq!(p.sources[0].start, Start::At(1_795_244_400_000));
    assert_eq!(p.sources[0].map[0].fields[0].0.value, "cloud_account");
    assert_eq!((p.sources[1].start, p.sources[1].format), (Start::Earliest, Format::Json));

    assert_eq!((p.lookups[0].kind, p.lookups[1].kind), (LookupKind::Exact, LookupKind::Cidr));
    let nets = p.lookups[1].table.current();
    assert_eq!(nets.cell(nets.find("10.1.2.3").unwrap(), 1), Some("inside"));

    assert_eq!(p.filters[0].mode, RuleMode::Shadow);
    assert_eq!(p.filters[0].reason.as_deref(), Some("noise, reviewed 2026-11"));

    assert_eq!(p.classify.default, ClassifyDefault::DeadLetter);
    let types: Vec<(&str, &str)> = p.classify.types.iter().map(|(k, t)| (k.value.as_str(), t.value.as_str())).collect();
    assert_eq!(types[1], ("4625", "Authentication Failure"));
    let produced: Vec<&str> = p.classify.produced().iter().map(|name| name.value.as_str()).collect();
    assert_eq!(produced, ["Console Login Failure", "Authentication Failure", "Endpoint Malware"]);

    let fields: Vec<(&str, &str)> = p.map[0].fields.iter().map(|(f, e)| (f.value.as_str(), e.text.as_str())).collect();
    assert_eq!(fields[1], ("severity", "3"));
    assert_eq!(fields[2], ("is_test", "FALSE"));
    assert_eq!(p.map[1].target.value, "Endpoint Malware");

    assert_eq!((p.preprocess.mode, p.preprocess.scope), (PreprocessMode::All, Scope::Process));
    let rules = &p.preprocess.rules;
    assert_eq!((rules[0].action, rules[0].mode, rules[0].within_ms), (Action::Drop, RuleMode::Shadow, None));
    assert_eq!((rules[1].nulls, rules[1].within_ms, rules[1].link_to), (Nulls::Match, Some(3_600_000), LinkTo::Oldest));
    assert_eq!((rules[2].matches[0].value.as_str(), rules[2].link_to), ("sender", LinkTo::Newest));
    assert!(rules[2].where_.is_some());

    assert_eq!(p.sink, Sink { topic: Some("out".into()), labels: Labels::None, raw: false });
    assert_eq!(p.playbooks[0].mode, PlaybookMode::Run);

    let test = &p.tests[0];
    assert_eq!(test.events[0].to_string(), r#"{"a":1,"big":18446744073709551615,"neg":-9223372036854775808,"f":1.5,"n":null,"t":31,"s":"1"}"#);
    // JSON text stays as it was pasted.
    let pasted = test.events[1].as_str().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(pasted).unwrap()["emoji"], "😀");
    assert_eq!(test.source.as_ref().unwrap().value, "edr");
    assert_eq!(test.expect.outcome.as_ref().unwrap().value, Outcome::Attached);
    assert_eq!(test.expect.rule.as_ref().unwrap().value, "repeats");
    let expected: Vec<(&str, &serde_json::Value)> = test.expect.fields.iter().map(|(k, v)| (k.value.as_str(), v)).collect();
    assert_eq!(expected[0], ("type", &serde_json::json!("Endpoint Malware")));
    assert_eq!(expected[1], ("src_host", &serde_json::Value::Null));

    let severity = p.schema.field("severity").unwrap();
    assert_eq!((severity.kind, severity.required, severity.scale.as_deref()), (FieldKind::Severity, true, Some("p1-p5")));
    assert_eq!(p.schema.field("asset_owner").unwrap().kind, FieldKind::Text);
    let malware = p.schema.type_spec("Endpoint Malware").unwrap();
    assert_eq!((malware.color.as_deref(), malware.sla_ms), (Some("#ff0000"), Some(14_400_000)));
    assert_eq!(p.schema.types.len(), 3);
}

#[test]
fn expressions_know_where_they_stand() {
    let dir = good_dir();
    let p = load_good(dir.path());
    let (_, expr) = &p.map[0].fields[4];
    let at = expr.text.find("THEN").unwrap();
    assert_eq!(p.files.text(expr.locate(at, at + 4)), "THEN");
    assert_eq!(p.files.text(expr.locate_expr(&expr.expr)), "CASE WHEN host = 'a: {b}'\n        THEN 1 END");
    assert!(p.files.place(expr.span).ends_with("pipeline.yaml:32:7"), "{}", p.files.place(expr.span));
}

#[test]
fn short_forms() {
    let text = "name: s\nsource: { topics: a }\nclassify: { default: Alert }\nsink: out\npreprocess:\n- { name: r, match: a, within: 5m, action: drop }\n\
                filter: { name: f, drop: a }\ntests:\n- { name: t, event: { a: true }, expect: filtered }\n";
    let (pipeline, out) = load_text("p", text, Path::new("/nonexistent"));
    assert!(out.is_empty(), "{}", out.plain());
    let p = pipeline.unwrap();
    assert_eq!(p.sources[0].name.value, "s", "one source takes the name of the pipeline");
    assert!(matches!(&p.tenant, Tenant::Word(word) if word == "default"));
    assert_eq!(p.clock, Clock { kind: ClockKind::Record, max_skew_ms: 300_000, late_max_ms: 3_600_000 });
    assert_eq!(p.sink, Sink { topic: Some("out".into()), labels: Labels::Unmapped, raw: true });
    assert_eq!((p.filters.len(), p.preprocess.rules.len(), p.preprocess.mode), (1, 1, PreprocessMode::First));
    assert!(matches!(p.classify.default, ClassifyDefault::Type(_)));
    for (word, is_word) in [("acme", true), ("acme-eu", true), ("a.b", false), ("\"'x'\"", false), ("a || b", false), ("f(x)", false)] {
        let (p, _) = load_text("p", &format!("name: s\ntenant: {word}\n"), Path::new("/nonexistent"));
        assert_eq!(matches!(p.unwrap().tenant, Tenant::Word(_)), is_word, "{word}");
    }
}

#[test]
fn the_version_changes_with_pipeline_and_schema_only() {
    let dir = good_dir();
    let first = load_good(dir.path()).version;
    assert_eq!(first.len(), 12);
    assert!(first.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(load_good(dir.path()).version, first);
    write(dir.path(), "lookups/assets.csv", "host,owner\nweb,bob\n");
    assert_eq!(load_good(dir.path()).version, first);
    let fields = std::fs::read_to_string(dir.path().join("schema/fields.yaml")).unwrap();
    write(dir.path(), "schema/fields.yaml", &(fields + "# a comment\n"));
    assert_ne!(load_good(dir.path()).version, first);
    // Known for ever: a version is stored in incidents.
    let (pipeline, _) = load_text("p", "name: s\n", Path::new("/nonexistent"));
    assert_eq!(pipeline.unwrap().version, "de38000cb952");
}

#[test]
fn schema_mistakes() {
    let dir = good_dir();
    write(
        dir.path(),
        "schema/fields.yaml",
        "severity: { type: severty }\nid: text\nuser: { type: string, requird: true }\nscore: { type: number, scale: words }\n\
         owner: { required: yes }\nasset_owners: text\nmust: { required: true }\n",
    );
    write(dir.path(), "schema/types.yaml", "- Endpoint Malware\n- { color: red }\n- { name: Authentication failure, color: redd, sla: 4 }\n");
    let (_, out) = load(dir.path());
    let plain = out.plain().replace(&dir.path().display().to_string(), "DIR");
    let lines: Vec<&str> = plain.lines().collect();
    let expected = [
        "DIR/pipeline.yaml:13:17: warning[undeclared-field]: `cloud_account` is not declared in fields.yaml (add it there: cloud_account: { type: text })",
        "DIR/pipeline.yaml:21:20: error[unknown-type]: the type `Console Login Failure` is not declared in types.yaml (add it there)",
        "DIR/pipeline.yaml:23:23: error[unknown-type]: the type `Authentication Failure` is not declared in types.yaml (did you mean `Authentication failure`?)",
        "DIR/pipeline.yaml:29:5: warning[undeclared-field]: `is_test` is not declared in fields.yaml (add it there: is_test: { type: text })",
        "DIR/pipeline.yaml:30:5: warning[undeclared-field]: `asset_owner` is not declared in fields.yaml (did you mean `asset_owners`?)",
        "DIR/pipeline.yaml:31:5: warning[undeclared-field]: `src_host` is not declared in fields.yaml (add it there: src_host: { type: text })",
        "DIR/pipeline.yaml:34:23: warning[undeclared-field]: `file_sha256` is not declared in fields.yaml (add it there: file_sha256: { type: text })",
        "DIR/schema/fields.yaml:1:19: error[bad-value]: the type of a field must be `text`, `number`, `integer`, `boolean`, `time`, `duration`, `severity`, `ip`, `list` or `json`, not `severty` (did you mean `severity`?)",
        "DIR/schema/fields.yaml:2:1: error[field-name]: `id` is filled by Catchment and cannot be declared (the id is derived from where the event stood in its topic)",
        "DIR/schema/fields.yaml:3:15: error[bad-value]: `string` is not a field type (here it is called `text`)",
        "DIR/schema/fields.yaml:3:23: error[unknown-key]: unknown key `requird` (did you mean `required`?)",
        "DIR/schema/fields.yaml:4:31: error[bad-value]: `scale` belongs to fields of type `severity` (add type: severity)",
        "DIR/schema/fields.yaml:5:20: error[wrong-type]: `required` must be true or false, not `yes` (write true, without quotes)",
        "DIR/schema/fields.yaml:7:1: error[required-field]: `must` is required, but no section of `map` yields it (map it, or remove required: true)",
        "DIR/schema/types.yaml:2:5: error[missing-key]: an entry of types needs `name`",
        "DIR/schema/types.yaml:3:42: error[bad-value]: `color` must be \"#rrggbb\" or the word for a color (words: `red`, `orange`, `yellow`, `green`, `teal`, `blue`, `purple`, `pink`, `brown` or `gray`)",
        "DIR/schema/types.yaml:3:53: error[bad-value]: `sla` must be a duration, and `4` is not: a unit is missing after 4 (write numbers with w, d, h, m, s or ms: 90s, 5m, 1h30m, 7d; did you mean 4s?)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn rendered_reports() {
    let text = "name: soc\nsource: { topics: [a] }\nfilter:\n- { name: a, drop: \"EventID == 5\" }\n- { name: a, drop: \"x\" }\nclassify: { default: drop }\n";
    let (_, out) = load_text("soc/pipeline.yaml", text, Path::new("/nonexistent"));
    let expected = r#"[expression] Error: `drop`: `==` is not an operator here
   ╭─[ soc/pipeline.yaml:4:29 ]
   │
 4 │ - { name: a, drop: "EventID == 5" }
   │                             ─┬
   │                              ╰── here
   │
   │ Help: equality is written with one `=`
───╯

[duplicate-name] Error: two filters are named `a`
   ╭─[ soc/pipeline.yaml:5:11 ]
   │
 4 │ - { name: a, drop: "EventID == 5" }
   │           ┬
   │           ╰── first here
 5 │ - { name: a, drop: "x" }
   │           ┬
   │           ╰── again here
   │
   │ Help: give each its own name: counters and messages use it
───╯

"#;
    assert_eq!(out.render(false), expected);
    assert!(out.render(true).contains("\u{1b}["));
    let json = out.to_json();
    assert_eq!(json[0]["code"], "expression");
    assert_eq!((&json[0]["line"], &json[0]["column"], &json[0]["end_column"]), (&4.into(), &29.into(), &31.into()));
    assert_eq!(json[1]["related"][0]["line"], 4);
    assert_eq!(out.summary(), "2 errors");
}

#[test]
fn a_pipeline_does_not_read_what_it_writes() {
    let check = |topics: &str, sink: &str| {
        let text = format!("name: p\nsource: {{ topics: [{topics}] }}\nclassify: {{ default: drop }}\n{sink}");
        load_text("pipeline.yaml", &text, Path::new(".")).1.plain()
    };
    assert_eq!(check("p.incidents", "sink: out"), "");
    for (topics, sink) in [("p.incidents", ""), ("a, out", "sink: out"), ("p.dead-letters", ""), ("p.index", "")] {
        assert!(check(topics, sink).contains("would read what it wrote"), "{topics} {sink}");
    }
    assert!(check("a", "sink: p.index").contains("keeps something else"));
}
