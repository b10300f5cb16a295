//! One poison row among 8,192 changes no other row: not its incident, byte for byte, not its
//! end, not what is attached or linked to it.

use std::sync::LazyLock;

use catchment::ingest::output::{Output, TraceEnd};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::one_batch::{POISON, START, assert_same_but, ends, run};

const ROWS: usize = 8_192;
/// Cases without `PROPTEST_CASES`: each is a batch of 8,192 rows.
const CASES: u32 = 24;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

/// A good event: every field that the pipeline reads, values of the right types.
fn good(row: usize) -> Value {
    json!({
        "ts": chrono::DateTime::from_timestamp_micros(START + row as i64 * 1_000_000 - 250_000).unwrap().to_rfc3339(),
        "kind": (["a", "b", "a", "a", "z"][row % 5]),
        "team": (["red", "blue"][row / 7 % 2]),
        "host": format!("WS-{}", row % 11),
        "user": { "name": format!("user-{}", row % 97), "id": row },
        "key": format!("key-{}", row % 1_500),
        "src": format!("10.{}.2.3", row % 4),
        "level": row % 11,
        "divisor": row % 3,
        "quiet": row.is_multiple_of(19),
        "truth": row.is_multiple_of(2),
        "size": row as f64 / 4.0,
        "whole": row % 5,
        "name": format!("a näme of row {row}"),
        "tags": ["x", if row.is_multiple_of(23) { "odd" } else { "even" }],
        "blob": "{\"a\":{\"b\":1}}",
        "seen": 1_772_438_400 + row,
        "word": "high",
        "extra": { "n": row },
    })
}

struct Baseline {
    messages: Vec<Vec<u8>>,
}

static BASELINE: LazyLock<Baseline> = LazyLock::new(|| Baseline { messages: (0..ROWS).map(|row| good(row).to_string().into_bytes()).collect() });

/// The batch with another message at `row`.
fn with(row: usize, message: &[u8]) -> Output {
    let mut messages: Vec<&[u8]> = BASELINE.messages.iter().map(Vec::as_slice).collect();
    messages[row] = message;
    run(&POISON, &messages)
}

/// Holds the batch with poison at `row` to the one with an event there that nothing wants.
fn hold(row: usize, poison: &[u8]) -> Vec<TraceEnd> {
    let plain = with(row, br#"{"kind":"unwanted"}"#);
    let poisoned = with(row, poison);
    assert_same_but(|offset| offset == row as i64, &plain, &poisoned);
    ends(&poisoned).remove(&(row as u32)).unwrap_or_default()
}

/// An event of its own key and user, so that rules do not make it meet others.
fn alone() -> Value {
    let mut event = good(1);
    event["key"] = json!("a key of its own");
    event["user"] = json!({ "name": "a user of his own" });
    event
}

/// The same with one member replaced by JSON text.
fn replaced(member: &str, value: &str) -> Vec<u8> {
    let mut event = alone();
    event[member] = json!("PLACE");
    event.to_string().replace("\"PLACE\"", value).into_bytes()
}

#[test]
fn the_baseline_is_worth_poisoning() {
    let output = with(0, &BASELINE.messages[0]);
    let counts = &output.counts;
    assert!(counts.incidents.iter().all(|n| *n > 10), "{:?}", counts.incidents);
    assert!(counts.attached_total() > 1_000 && counts.filtered_total() > 100 && counts.unclassified > 100, "{}", counts.to_json(&POISON));
    assert!(output.links.len() > 100, "{}", output.links.len());
    assert_eq!(counts.dead_total(), 0, "{:?}", counts.dead);
}

#[test]
fn what_is_no_event() {
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let deep_array = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let unclosed = "[".repeat(1_000_000);
    let many = "{}".repeat(70_000);
    let poisons: [(&[u8], &str); 16] = [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"{", "syntax"),
        (b"}", "syntax"),
        (b"null", "not_an_object"),
        (b"{\"a\":1}}", "syntax"),
        (b"{\"a\":1}{\"b\":", "syntax"),
        (b"{\"a\":01}", "syntax"),
        (b"{'a':1}", "syntax"),
        (b"{\"a\":\"\xff\"}", "not_utf8"),
        (b"{\"a\":\"\xed\xa0\x80\"}", "not_utf8"),
        (b"{\"a\":\"x\ny\"}", "control_character"),
        (deep.as_bytes(), "depth"),
        (deep_array.as_bytes(), "depth"),
        (unclosed.as_bytes(), "depth"),
        (many.as_bytes(), "too_many_elements"),
    ];
    for (number, (poison, reason)) in poisons.into_iter().enumerate() {
        let row = [0, 1, 4_095, ROWS - 1][number % 4];
        let ends = hold(row, poison);
        let [TraceEnd::Dead(found)] = ends[..] else { panic!("{ends:?}: {}", String::from_utf8_lossy(&poison[..poison.len().min(40)])) };
        assert_eq!(found, reason, "{}", String::from_utf8_lossy(&poison[..poison.len().min(40)]));
    }
}

/// Wrong types and extreme values in every member that the pipeline reads: the event ends, the
/// others do not notice.
#[test]
fn odd_values_in_every_field() {
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let values = [
        "null",
        "true",
        "{}",
        "[]",
        "{\"deep\":[[[{}]]]}",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "1e999",
        "-1e999",
        "1e-999",
        "-0",
        "0",
        "9223372036854775808",
        "-170141183460469231731687303715884105728",
        "\"2099-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00Z\"",
        "\"NaN\"",
        "\"not a value\"",
        "[null,true,{\"a\":[]}]",
        long.as_str(),
    ];
    let members =
        ["ts", "kind", "team", "host", "user", "key", "src", "level", "divisor", "quiet", "truth", "size", "whole", "name", "tags", "blob", "seen", "word"];
    // All odd events stand in one batch, each in the place of a good one: what they do to the
    // others would show, and 378 batches would take long.
    let odd: Vec<(usize, Vec<u8>)> = members
        .iter()
        .flat_map(|member| values.iter().map(move |value| (*member, *value)))
        .enumerate()
        .map(|(number, (member, value))| {
            let own = String::from_utf8(replaced(member, value)).unwrap();
            let own = own.replace("a key of its own", &format!("odd key {number}")).replace("a user of his own", &format!("odd user {number}"));
            (number * 21 + 5, own.into_bytes())
        })
        .collect();
    let is_odd = |row: i64| odd.iter().any(|(at, _)| *at as i64 == row);
    let mut plain: Vec<&[u8]> = BASELINE.messages.iter().map(Vec::as_slice).collect();
    let mut poisoned = plain.clone();
    for (row, message) in &odd {
        plain[*row] = br#"{"kind":"unwanted"}"#;
        poisoned[*row] = message;
    }
    let (plain, poisoned) = (run(&POISON, &plain), run(&POISON, &poisoned));
    assert_same_but(is_odd, &plain, &poisoned);
    let ends = ends(&poisoned);
    for (row, message) in &odd {
        assert_eq!(ends[&(*row as u32)].len(), 1, "{}", String::from_utf8_lossy(&message[..message.len().min(400)]));
    }
    assert!(!poisoned.counts.dead.contains_key("evaluation"), "an expression failed: {:?}", poisoned.counts.dead);
}

fn poison() -> impl Strategy<Value = Vec<u8>> {
    let event = alone().to_string().into_bytes();
    let mutated = prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\0e-.tn\x00\x1f\xff\xc3 ".to_vec())), 1..6).prop_map(
        move |edits| {
            let mut bytes = event.clone();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    );
    let cut = (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(at, front)| {
        let bytes = alone().to_string().into_bytes();
        let at = at.index(bytes.len());
        if front { bytes[at..].to_vec() } else { bytes[..at].to_vec() }
    });
    let random = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![4 => mutated, 2 => cut, 1 => random]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_events(row in 0..ROWS, poison in poison()) {
        hold(row, &poison);
    }
}
