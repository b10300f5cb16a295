//! What expressions read of the Kafka record: key, headers, time, coordinates; and the fields
//! of incidents that rules read.

use catchment::ingest::batch::RawBatch;
use serde_json::{Value, json};

use crate::one_batch::{START, incidents, plan_of, run, run_batch};

fn lines(output: &catchment::ingest::output::Output) -> Vec<Value> {
    incidents(output).values().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn key_headers_time_and_coordinates() {
    let plan = plan_of(
        r#"
name: record
source: { name: feed, topics: [one], format: json }
filter: [ { name: sampled, drop: "_headers['sample'] > 5" } ]
classify: { rules: [ { type: Seen, when: "_headers['trusted'] OR _key = 'k2'" } ], default: Other }
map:
  "*":
    occurred: _timestamp
    key: _key
    agent: "_headers['user agent']"
    sample: "_headers['sample']"
    doubled: "_headers['sample'] * 2"
    place: "concat_ws('/', _topic, text(_partition), text(_offset), _source)"
    next: "_offset + 1"
    age: "_timestamp - parse_time(ts)"
"#,
    );
    assert!(plan.reads_headers);
    let mut batch = RawBatch::new(0, 0, Vec::new());
    type Row<'a> = (&'a str, Option<&'a [u8]>, &'a [(&'a str, &'a [u8])]);
    let rows: [Row<'_>; 5] = [
        (r#"{"ts":"2026-03-02T07:59:00Z"}"#, Some(b"k1"), &[("sample", b"3"), ("trusted", b"TRUE"), ("user agent", "ä".as_bytes())]),
        ("{}", Some(b"k2"), &[("sample", b"9"), ("sample", b"4.5")]),
        ("{}", None, &[("sample", b"not a number")]),
        ("{}", Some(b"\xff\xfe"), &[("user agent", b"\xff"), ("trusted", b"perhaps")]),
        ("{}", Some(b""), &[("sample", b" 6 ")]),
    ];
    for (offset, (payload, key, headers)) in rows.iter().enumerate() {
        assert!(batch.push(payload.as_bytes(), *key, 0, 100 + offset as i64, START + offset as i64));
        headers.iter().for_each(|(name, value)| batch.push_header(name, value));
    }
    let output = run_batch(&plan, batch);
    assert_eq!(output.counts.filtered, [1]);
    let found = lines(&output);
    assert_eq!(found.len(), 4);
    let told = |at: usize| {
        json!([
            found[at]["type"],
            found[at]["key"],
            found[at]["agent"],
            found[at]["sample"],
            found[at]["doubled"],
            found[at]["place"],
            found[at]["next"],
            found[at]["age"]
        ])
    };
    assert_eq!(told(0), json!(["Seen", "k1", "ä", "3", 6, "one/0/100/feed", 101, 60]));
    // The last header of a name counts.
    assert_eq!(told(1), json!(["Seen", "k2", null, "4.5", 9, "one/0/101/feed", 102, null]));
    assert_eq!(told(2), json!(["Other", null, null, "not a number", null, "one/0/102/feed", 103, null]));
    assert_eq!(told(3), json!(["Other", null, null, null, null, "one/0/103/feed", 104, null]));
    assert_eq!(found[0]["occurred"], "2026-03-02T08:00:00Z");
    assert_eq!(found[1]["created"], "2026-03-02T08:00:00.000001Z");
}

/// Rules see the fields of the incident, whatever types and sections they come from.
#[test]
fn rules_read_incident_fields() {
    let plan = plan_of(
        r#"
name: fields
source: { name: feed, topics: [one], format: json }
classify: { key: k, types: { a: Alpha, b: Beta, c: Gamma }, default: drop }
map:
  "*": { occurred: ts, severity: "severity(level, '0-10')", who: user, mixed: x }
  Beta: { who: upper(user), only: y }
  Gamma: { mixed: "number(x) * 2", severity: "4" }
preprocess:
  mode: all
  rules:
  - { name: alpha, when: "type = 'Alpha' AND who = 'ann'", action: drop }
  - { name: beta, when: "who = 'ANN'", action: drop }
  - { name: grave, when: "severity = 4 AND created >= '2026-01-01T00:00:00Z' AND occurred < '2026-03-02T08:30:00Z'", action: close }
  - { name: mixed, when: "mixed = '14'", action: drop }
  - { name: only, when: "only IS NOT NULL", action: close }
  - { name: raw, when: "event('deep.er') = 'yes' AND _offset > 2", action: drop }
"#,
    );
    let rows = [
        (r#"{"k":"a","user":"ann"}"#, "dropped"),
        (r#"{"k":"a","user":"ANN"}"#, "dropped"),
        (r#"{"k":"b","user":"ann"}"#, "dropped"),
        (r#"{"k":"a","user":"bob","x":7}"#, "open"),
        (r#"{"k":"c","user":"bob","x":7}"#, "dropped"),
        (r#"{"k":"a","user":"bob","x":14}"#, "dropped"),
        (r#"{"k":"c","user":"bob","x":8}"#, "closed"),
        (r#"{"k":"c","user":"bob","x":8,"ts":"2026-03-02T09:00:00Z"}"#, "open"),
        (r#"{"k":"a","level":9.5}"#, "closed"),
        (r#"{"k":"a","y":"mapped by Beta only"}"#, "open"),
        (r#"{"k":"b","y":"mapped"}"#, "closed"),
        (r#"{"k":"a","deep":{"er":"yes"}}"#, "dropped"),
    ];
    let output = run(&plan, &rows.map(|(event, _)| event.as_bytes()));
    let found: std::collections::BTreeMap<i64, Value> =
        incidents(&output).into_iter().map(|((offset, _), line)| (offset, serde_json::from_slice(line).unwrap())).collect();
    for (offset, (event, wanted)) in rows.iter().enumerate() {
        let status = found.get(&(offset as i64)).map_or("dropped", |incident: &Value| incident["status"].as_str().unwrap());
        assert_eq!(status, *wanted, "{event}");
    }
}

/// With the record's own time, an event that is dated into the far future, or has no time at
/// all, makes nobody else late.
#[test]
fn a_wild_date_expires_nothing() {
    for clock in ["record", "occurred"] {
        let plan = plan_of(&format!(
            "name: wild\nclock: {clock}\nsource: {{ name: feed, topics: [one], format: json }}\nclassify: {{ key: k, types: {{ a: Alpha }}, default: drop }}\nmap: {{ '*': {{ occurred: ts, key: key }} }}\npreprocess: [ {{ name: repeats, match: [key], within: 1h, action: drop_and_update }} ]\n"
        ));
        let rows = [
            r#"{"k":"a","key":1,"ts":"2026-03-02T08:00:00Z"}"#,
            r#"{"k":"a","key":2,"ts":"2099-01-01T00:00:00Z"}"#,
            r#"{"k":"a","key":3,"ts":"0001-01-01T00:00:00Z"}"#,
            r#"{"k":"a","key":4,"ts":"9999-12-31T23:59:59.999999Z"}"#,
            r#"{"k":"a","key":5}"#,
            r#"{"k":"a","key":1,"ts":"2026-03-02T08:00:05Z"}"#,
        ];
        let output = run(&plan, &rows.map(str::as_bytes));
        assert_eq!((output.counts.attached.as_slice(), output.counts.late, output.counts.incidents_total()), (&[1][..], 0, 5), "clock: {clock}");
    }
}
