//! The splitter against serde_json, which in ignoring values checks the grammar and no more.

use catchment::incident::split::{DEPTH_MAX, elements, find, is_json, members, text};
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn oracle(json: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(json).is_ok()
}

/// JSON with blanks, escapes and odd numbers, made of pieces that may not fit together.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":1",
        "1",
        "-0",
        "01",
        "1e999",
        "1.",
        ".5",
        "-",
        "1E+2",
        "true",
        "fals",
        "null",
        " ",
        "\n",
        "\t",
        "\\",
        "\"\\ud800\"",
        "\"\\u00\"",
        "\"\\x\"",
        "\"12345678\\n\"",
        "\"é😀 and more than eight\"",
        "\u{1}",
        "\"\u{1}\"",
        "\u{7f}",
        "\u{0}",
        "\"\\\"\"",
        "{\"k\":[1,{}]}",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|n| serde_json::json!(n)),
        ".{0,20}".prop_map(Into::into)
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,9}", inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn accepts_what_is_json(json in pieces()) {
        prop_assert_eq!(is_json(&json), oracle(&json), "{:?}", json);
    }

    #[test]
    fn total_on_any_text(json in "\\PC{0,60}", cut in any::<prop::sample::Index>(), other in any::<char>()) {
        prop_assert_eq!(is_json(&json), oracle(&json));
        let mut chars: Vec<char> = json.chars().collect();
        if !chars.is_empty() {
            let at = cut.index(chars.len());
            chars[at] = other;
        }
        let json: String = chars.into_iter().collect();
        prop_assert_eq!(is_json(&json), oracle(&json));
    }
}

proptest! {
    #[test]
    fn members_are_the_members(value in value(), pretty in any::<bool>(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let json = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        prop_assert!(is_json(&json));
        // As it reads back: not every double does so exactly.
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        match &value {
            serde_json::Value::Object(object) => {
                let found = members(&json).unwrap();
                prop_assert_eq!(found.len(), object.len());
                for (key, token) in found {
                    let key = text(key).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(token).unwrap(), &object[&*key]);
                }
            }
            serde_json::Value::Array(array) => {
                let found: Vec<serde_json::Value> = elements(&json).unwrap().into_iter().map(|token| serde_json::from_str(token).unwrap()).collect();
                prop_assert_eq!(&found, array);
            }
            _ => prop_assert!(members(&json).is_none() && elements(&json).is_none()),
        }
        // One byte of it broken.
        let mut bytes = json.into_bytes();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(json) = String::from_utf8(bytes) {
            prop_assert_eq!(is_json(&json), oracle(&json), "{:?}", json);
        }
    }
}

#[test]
fn depth_has_an_end() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(is_json(&nested(DEPTH_MAX)) && !is_json(&nested(DEPTH_MAX + 1)));
    assert!(!is_json(&"[".repeat(1_000_000)) && !is_json(&"{\"a\":".repeat(1_000_000)));
}

#[test]
fn the_last_of_equal_keys_wins() {
    let found = members(r#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!((find(&found, "a"), find(&found, "c")), (Some("3"), None));
}

#[test]
fn texts_that_are_none() {
    assert_eq!(text("\"\\ud83d\\ude00 \\n\"").as_deref(), Some("😀 \n"));
    assert_eq!(text("\"\\ud800\""), None);
    assert_eq!(text("1"), None);
}
