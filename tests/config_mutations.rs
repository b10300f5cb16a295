//! Whatever is typed, the checker says something and does not fall over: a good pipeline
//! with random damage, and with every prefix of itself.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use catchment::config::load_text;

const SEED: &str = r#"name: soc
tenant: lower(account.name)
clock: { kind: occurred, max_skew: 10m, late_max: 2h }
sources:
- { name: cloudtrail, topics: [aws.cloudtrail, ^aws\..*], explode: Records, map: { "*": { account: 'recipientAccountId' } } }
filter:
- { name: größe, drop: "EventID IN (7, 10, 12)", reason: "noise — reviewed", mode: shadow } # comment é
classify:
  rules: [ { type: Login, when: "eventName = 'ConsoleLogin'" } ]
  key: "event_key\u00e9"
  types: &types { auth.fail: Authentication Failure, 4625: Authentication Failure }
  default: drop
map:
  "*":
    severity: 3
    src_host: |
      CASE WHEN host = 'a: {b}'
        THEN 1 END
    folded: >-
      concat(a,
        b)
  Login: { file_sha256: file.hash.sha256 }
preprocess:
- { name: repeats, match: [rule_id, src_ip], within: 1h, nulls: match, action: drop_and_update }
sink: out
tests:
- { name: one, event: { a: [1, { b: null }] }, expect: { type: Login, outcome: attached, rule: repeats } }
"#;

fn look(text: &str) {
    let (pipeline, out) = load_text("p.yaml", text, Path::new("/nonexistent"));
    assert!(pipeline.is_some() || out.has_errors(), "nothing said about {text:?}");
    let lines = out.plain();
    for line in lines.lines() {
        assert!(line.starts_with("p.yaml:"), "no place: {line}");
    }
    let _ = (out.render(false), out.to_json());
}

#[test]
fn prefixes() {
    look(SEED);
    for end in (0..SEED.len()).filter(|end| SEED.is_char_boundary(*end)) {
        look(&SEED[..end]);
    }
}

#[test]
fn random_damage() {
    const PIECES: [&str; 28] = [
        "",
        "",
        "\n",
        " ",
        "\t",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        ",",
        "#",
        "&x ",
        "*types",
        "!",
        "%",
        "@",
        "\u{2028}",
        "\u{b}",
        "é",
        "\r",
        "\0",
        "null",
        "99999999999999999999d",
        "---\n",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..1_000 {
        let mut text = SEED.to_owned();
        for _ in 0..1 + random(3) {
            let mut start = random(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + random(12)).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, PIECES[random(PIECES.len())]);
        }
        look(&text);
    }
}
