//! Generated and mutated JSON: our answer is the oracle's, and the SIMD index is the portable index.

use catchment::ingest::decode::{Index, Level, ShapeOptions};
use proptest::prelude::*;

use crate::decode_oracle::{compare, compare_after, decode, events, path, paths};

const PATHS: [&str; 12] = ["a", "b", "a.b", "a.b.c", "b.a", "c[0]", "c[2].a", "a[1][0]", "c.a", "long key of 19 byt", "b.c.a.b", "d"];

/// JSON text with random blanks, keys that are often those of the paths, duplicates and odd escapes.
fn json() -> impl Strategy<Value = String> {
    let blank = || prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t\r  ")];
    let key = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "d", "a.b", "b.c", "a.b.c", "c.a", "", "long key of 19 byt"])
            .prop_map(|key| format!("\"{key}\"")),
        1 => prop::sample::select(vec![r#""\u0061""#, r#""a\u002eb""#, r#""\"""#, r#""long key of 19\u0020byt""#, r#""\\""#])
            .prop_map(String::from),
        1 => "[ -!#-\\[\\]-~é]{0,20}".prop_map(|key| format!("\"{key}\"")),
    ];
    let scalar = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "1e5", "-1.25E-7", "12345678901234567", "1.5"]).prop_map(String::from),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        "[ -!#-\\[\\]-~äß€😀]{0,90}".prop_map(|text| format!("\"{text}\"")),
        prop::collection::vec(prop::sample::select(vec!["\\\\", "\\\"", "\\n", "\\u00e9", "\\ud834\\udd1e", "\\ud800", "x", "{", "]", ":", ","]), 0..40)
            .prop_map(|parts| format!("\"{}\"", parts.concat())),
    ];
    let value = scalar.prop_recursive(5, 64, 8, move |inner| {
        let members = prop::collection::vec((blank(), key.clone(), blank(), blank(), inner.clone(), blank()), 0..8);
        let elements = prop::collection::vec((blank(), inner, blank()), 0..6);
        prop_oneof![
            3 => members.prop_map(|members| object(&members)),
            1 => elements.prop_map(|elements| {
                let parts: Vec<String> = elements.iter().map(|(a, value, b)| format!("{a}{value}{b}")).collect();
                format!("[{}]", parts.join(","))
            }),
        ]
    });
    let key = prop::sample::select(vec!["a", "b", "c", "d", "a.b", "a.b.c", "c.a"]).prop_map(|key| format!("\"{key}\""));
    let top = prop::collection::vec((blank(), key, blank(), blank(), value, blank()), 0..8);
    prop::collection::vec((top, blank()), 1..4).prop_map(|events| events.iter().map(|(members, gap)| object(members) + gap).collect())
}

type Member = (&'static str, String, &'static str, &'static str, String, &'static str);

fn object(members: &[Member]) -> String {
    let parts: Vec<String> = members.iter().map(|(a, k, b, c, v, d)| format!("{a}{k}{b}:{c}{v}{d}")).collect();
    format!("{{{}}}", parts.join(","))
}

/// Generated messages, cut into their events.
fn cut(text: &str) -> Vec<&str> {
    let events = events(text.as_bytes()).expect("generated JSON is good");
    events.iter().map(|event| &text[event.start..event.end]).collect()
}

/// Bytes that matter to JSON, and any others.
fn odd_byte() -> impl Strategy<Value = u8> {
    prop_oneof![3 => prop::sample::select(&b"{}[]:,\"\\ \t\n\r0123456789-+.eEtrufalsn/b\x00\x0c\x1a\x1f\x7f\x80\xc3\xa9\xff"[..]), 1 => any::<u8>()]
}

/// `PROPTEST_CASES` for a long search.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_events(text in json()) {
        compare(&paths(&PATHS), text.as_bytes());
    }

    #[test]
    fn mutated_events(text in json(), edits in prop::collection::vec((any::<prop::sample::Index>(), odd_byte(), 0..3u8), 1..4)) {
        let good = text.clone();
        let mut text = text.into_bytes();
        for (at, byte, how) in edits {
            let at = at.index(text.len().max(1));
            match how {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => drop(text.remove(at)),
                _ => text.insert(at, byte),
            }
        }
        // The decoder knows the form of the unharmed text.
        compare_after(&paths(&PATHS), &[good.as_bytes()], &text);
    }

    #[test]
    fn exploded_events(text in json(), again in 1..4usize) {
        let events = cut(&text).repeat(again);
        let message = format!("{{\"x\":[1,{{}}],\"b.c\" : {{\"Records\": [ {} ] }} }}", events.join(" ,\n"));
        let options = |explode| ShapeOptions { top_level: true, explode };
        let explode = Some(path("b.c.Records"));
        let (arena, rows) = decode(&paths(&PATHS), options(explode), message.as_bytes());
        let rows = rows.expect("good JSON");
        assert_eq!(rows.len(), events.len());
        for (row, event) in events.iter().enumerate() {
            let (alone, expected) = decode(&paths(&PATHS), options(None), event.as_bytes());
            let expected = expected.expect("good JSON");
            assert_eq!(rows.events[row].token(&arena), event.as_bytes());
            assert_eq!(rows.elements[row] as usize, row);
            for (column, expected) in rows.columns.iter().zip(&expected.columns) {
                assert_eq!((column[row].kind(), column[row].token(&arena)), (expected[0].kind(), expected[0].token(&alone)));
            }
            assert_eq!(rows.top_of(row).len(), expected.top.len());
            for ((key, value), (expected_key, expected)) in rows.top_of(row).iter().zip(&expected.top) {
                assert_eq!((key.token(&arena), value.token(&arena)), (expected_key.token(&alone), expected.token(&alone)));
            }
        }
    }

    #[test]
    fn swapped_parts(text in json(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut text = text.into_bytes();
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let (from, to) = (from.min(to), from.max(to));
        text.drain(from..to);
        compare(&paths(&PATHS), &text);
    }

    #[test]
    fn bytes_that_matter(text in prop::collection::vec(odd_byte(), 0..200)) {
        compare(&paths(&PATHS), &text);
        same_index(&text);
    }

    #[test]
    fn strings_and_backslashes_over_block_borders(
        text in prop::collection::vec(prop::sample::select(&b"\\\\\\\"\"a,:1 {}u0\n"[..]), 0..400)
    ) {
        same_index(&text);
        // Often a good string, if it is not for its escapes.
        let mut event = b"{\"a\":\"".to_vec();
        event.extend(text.iter().filter(|byte| !matches!(byte, b'"' | b'\n')));
        event.extend_from_slice(b"\"}");
        compare(&paths(&PATHS), &event);
    }
}

/// All levels give the same tokens, or the same reject, at any place in the arena.
fn same_index(text: &[u8]) {
    for start in [0, 1, 31, 63] {
        let mut arena = vec![b'"'; start];
        arena.extend_from_slice(text);
        let end = arena.len();
        arena.extend_from_slice(&[b'\\'; 64]);
        let mut results = Level::available().into_iter().map(|level| {
            let mut index = Index::default();
            let result = index.build(level, &arena, start, end);
            (result, index.kinds().to_vec(), index.positions().to_vec())
        });
        let portable = results.next();
        for other in results {
            assert_eq!(Some(other), portable);
        }
    }
}
