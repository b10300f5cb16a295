//! JSON and text that is not, paths, arrays and patterns.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::expr::function::text::testing::{bound, call, column_is_call, number, text, try_bind};

fn get(path: &str, json: &str) -> Result<Option<String>, Failed> {
    call(&bound("json_get", &[text(path)]), json, None).map(|value| value.as_text().map(str::to_owned))
}

#[test]
fn json_get_finds() {
    let cases = [
        (r#"{"a":{"b":[1,"two",{"c":true}]}}"#, "a.b[0]", Some("1")),
        (r#"{"a":{"b":[1,"two",{"c":true}]}}"#, "a.b[1]", Some("two")),
        (r#"{"a":{"b":[1,"two",{"c":true}]}}"#, "a.b[2].c", Some("true")),
        (r#"{"a":{"b":[1,"two",{"c":true}]}}"#, "a.b[2]", Some(r#"{"c":true}"#)),
        (r#"{"a":{"b":[1,"two",{"c":true}]}}"#, "a.b[3]", None),
        (r#"{"a":{"b":[1]}}"#, "a.x", None),
        (r#"{"a":null}"#, "a", None),
        (r#"{"a":null}"#, "a.b", None),
        (r#" { "a" : [ 1 , 2 ] } "#, "a", Some("[ 1 , 2 ]")),
        (r#"[{"n":"x"},{"n":"y"}]"#, "[1].n", Some("y")),
        (r#"{"a":12345678901234567890.50}"#, "a", Some("12345678901234567890.50")),
        (r#"{"a":"\u0041\n\"\u00e9\ud83d\ude00\/"}"#, "a", Some("A\n\"é😀/")),
        (r#"{"a":"\ud800x\udc00"}"#, "a", Some("\u{FFFD}x\u{FFFD}")),
        (r#"{"a":"\ud83d\u0041"}"#, "a", Some("\u{FFFD}A")),
        (r#"{"\u0061":1}"#, "a", Some("1")),
        (r#"{"a":1,"a":2}"#, "a", Some("2")),
        (r#"{"a":{"b":1},"a":{"c":2}}"#, "a.b", None),
        (r#"{"a":{"b":1},"a.b":2}"#, "a.b", Some("1")),
        (r#"{"a.b":2,"a":{"b":1}}"#, "a.b", Some("1")),
        (r#"{"a.b":2,"a":{"c":1}}"#, "a.b", Some("2")),
        (r#"{"a.b":{"c":1}}"#, "a.b.c", Some("1")),
        (r#"{"a":{"b.c":1}}"#, "a.b.c", Some("1")),
        (r#"{"a.b.c":1}"#, "a.b.c", Some("1")),
        (r#"{"a.b":[{"c":1}]}"#, "a.b[0].c", Some("1")),
        (r#"{"a":{"b.c":1},"a.b":{"c":2}}"#, "a.b.c", Some("2")), // equally deep: the later one
        (r#"{"odd key":1}"#, "\"odd key\"", Some("1")),
        ("5", "a", None),
        ("\"text\"", "a", None),
        ("[]", "a", None),
        ("{}", "a", None),
        (r#"{"a":""}"#, "a", Some("")),
        (r#"{"":1}"#, "\"\"", Some("1")),
    ];
    for (json, path, expected) in cases {
        assert_eq!(get(path, json), Ok(expected.map(str::to_owned)), "{path} in {json}");
    }
}

#[test]
fn what_is_not_json_fails() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(get("a", &deep(JSON_DEPTH_MAX)), Ok(None));
    for json in [
        "",
        " ",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "tru",
        "nulll",
        "NaN",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "\"\u{1}\"",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1 \"b\":2}",
        "plain text",
        "\u{feff}{}",
        &deep(JSON_DEPTH_MAX + 1),
        &"[".repeat(1_000_000),
    ] {
        assert_eq!(get("a", json), Err(Failed), "{}", json.chars().take(40).collect::<String>());
    }
}

fn any(name: &str, wanted: &[Arg], x: &str) -> bool {
    let bound = bound(name, wanted);
    assert!(!bound.fallible);
    column_is_call(&bound, &[vec![Some(x), None]], None);
    call(&bound, x, None).unwrap().as_boolean().unwrap()
}

#[test]
fn array_any_compares_elements() {
    let cases: &[(&str, &[Arg], bool)] = &[
        (r#"["a","b"]"#, &[text("b")], true),
        (r#"["a","b"]"#, &[text("c"), text("a")], true),
        (r#"["a","b"]"#, &[text("B")], false),
        (r#"["ab"]"#, &[text("a")], false),
        (r#" [ "\u0061" ] "#, &[text("a")], true),
        ("[22,443]", &[number(443.0)], true),
        ("[22.0]", &[number(22.0)], true),
        ("[\"22\"]", &[number(22.0)], true),
        ("[22.0]", &[text("22")], false),
        ("[true,null]", &[text("true")], true),
        ("[null]", &[text("null")], false),
        ("[]", &[text("")], false),
        ("[[1]]", &[text("[1]")], true),
        ("admin", &[text("admin")], true),
        ("[admin", &[text("[admin")], true),
        ("[1,", &[text("1")], false),
        ("5", &[number(5.0)], true),
    ];
    for (x, wanted, expected) in cases {
        assert_eq!(any("array_any", wanted, x), *expected, "{x} has {wanted:?}");
    }
}

#[test]
fn array_any_takes_values_from_the_event() {
    let bound = bound("array_any", &[text("x"), Arg::Row]);
    assert_eq!(bound.args, vec![(0, Type::Text), (2, Type::Text)]);
    let x = r#"["a","b"]"#;
    column_is_call(&bound, &[vec![Some(x), Some(x), Some(x), None], vec![Some("b"), Some("c"), None, Some("b")]], None);
    let value = |text: &'static str| Value::Text(Cow::Borrowed(text));
    assert_eq!(bound.function.call(&[value(x), value("b")]), Ok(Value::Boolean(true)));
    assert_eq!(bound.function.call(&[value(x), Value::Null]), Ok(Value::Boolean(false)));
}

#[test]
fn like() {
    let cases = [
        ("%.example.com", "www.example.com", true),
        ("%.example.com", "www.example.com.evil", false),
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("", "", true),
        ("", "a", false),
        ("%", "", true),
        ("%%", "anything", true),
        ("a%", "a", true),
        ("a%b%c", "a--b--b--c", true),
        ("a%b%c", "a--c--b", false),
        ("_", "é", true),
        ("_", "", false),
        ("__", "a", false),
        ("%_%", "x", true),
        ("%_%", "", false),
        ("100\\%", "100%", true),
        ("100\\%", "1000", false),
        ("a\\_b", "axb", false),
        ("%aab", "aaaab", true),
        ("a%_", "a", false),
        ("%a", "ba", true),
        ("x\\", "x\\", true),
    ];
    for (pattern, input, expected) in cases {
        assert_eq!(Like::new(pattern).matches(input), expected, "{input} like {pattern}");
    }
    assert!(any("array_any_like", &[text("b%")], r#"["abc","bcd"]"#));
    assert!(!any("array_any_like", &[text("c%")], r#"["abc","bcd"]"#));
    assert!(any("array_any_like", &[text("c%"), text("%d")], r#"["abc","bcd"]"#));
    assert!(any("array_any_like", &[text("a%")], "abc"));
}

#[test]
fn length() {
    let bound = bound("array_length", &[]);
    for (x, expected) in [("[]", 0.0), ("[1]", 1.0), (" [1, [2, 3], \"]\"] ", 3.0), ("abc", 1.0), ("{}", 1.0), ("[1,", 1.0), ("", 1.0)] {
        assert_eq!(call(&bound, x, None), Ok(Value::Number(expected)), "{x}");
        column_is_call(&bound, &[vec![Some(x), None, Some(x)]], None);
    }
    assert_eq!(bound.function.call(&[Value::Null]), Ok(Value::Null));
}

#[test]
fn misuse() {
    let misuse = try_bind("json_get", &[text("a..b")]).unwrap_err();
    assert_eq!(misuse.argument, Some(1));
    assert!(misuse.message.starts_with("`a..b` is not a path: "), "{}", misuse.message);
    for (name, constants) in [("json_get", vec![Arg::Row]), ("json_get", vec![text("")]), ("json_get", vec![text("[")]), ("json_get", vec![text("[x]")])] {
        assert_eq!(try_bind(name, &constants).unwrap_err().argument, Some(1), "{constants:?}");
    }
    assert_eq!(try_bind("array_any", &[]).unwrap_err().argument, None);
    assert_eq!(try_bind("array_any", &[Arg::Constant(Value::Null)]).unwrap_err().message, "NULL equals nothing");
    assert_eq!(try_bind("array_any_like", &[Arg::Row]).unwrap_err().argument, Some(1));
}

/// JSON and broken JSON.
fn jsonish() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), "-?[0-9]{1,3}(\\.[0-9])?", "\"[a-c.]{0,3}\"", Just("\"\\u00e9\\n\"".to_owned())];
    let value = leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(("[a-c](\\.[a-c])?", inner), 0..4)
                .prop_map(|members| format!("{{{}}}", members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>().join(","))),
        ]
    });
    (value, any_cut()).prop_map(|(json, cut)| match cut {
        Some(at) => json.chars().take(at).collect(),
        None => json,
    })
}

fn any_cut() -> impl Strategy<Value = Option<usize>> {
    prop::option::weighted(0.2, 0usize..20)
}

proptest! {
    #[test]
    fn columns_give_what_calls_give(texts in prop::collection::vec(prop::option::weighted(0.9, prop_oneof![jsonish(), "\\PC{0,20}"]), 8)) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        column_is_call(&bound("array_any", &[text("a"), number(1.0)]), std::slice::from_ref(&texts), None);
        column_is_call(&bound("array_any_like", &[text("a%")]), std::slice::from_ref(&texts), None);
        column_is_call(&bound("array_length", &[]), std::slice::from_ref(&texts), None);
        column_is_call(&bound("json_get", &[text("a")]), std::slice::from_ref(&texts), None);
        column_is_call(&bound("json_get", &[text("[0]")]), &[texts], None);
    }

    #[test]
    fn every_part_of_json_is_json(json in jsonish()) {
        for path in ["a", "a.b", "a.b.c", "[0]", "[1].a", "b[0]"] {
            match get(path, &json) {
                Err(Failed) => prop_assert!(!is_json(&json)),
                Ok(_) => prop_assert!(is_json(&json)),
            }
            let parsed = parse_path(path.strip_prefix('[').map(|rest| format!("_[{rest}")).as_deref().unwrap_or(path)).unwrap();
            if is_json(&json) && !path.starts_with('[') && let Some(token) = Way::new(parsed.steps()).find(&json) {
                prop_assert!(is_json(token), "{}", token);
            }
        }
    }

    #[test]
    fn arbitrary_text_does_no_harm(input in "\\PC{0,40}|[\\[\\]{}\",:0-9a\\\\ue-]{0,40}", pattern in "[%_\\\\ab]{0,8}", word in "[ab]{0,8}") {
        let _ = get("a.b[0]", &input);
        let _ = token_text(&input);
        let _ = reader::content(&input);
        let regex = format!("(?s)^{}$", Like::new(&pattern).regex());
        prop_assert_eq!(Like::new(&pattern).matches(&word), regex::Regex::new(&regex).unwrap().is_match(&word), "{} like {}", word, pattern);
    }
}
