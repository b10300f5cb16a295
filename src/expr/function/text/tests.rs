//! Tables of calls, and `column` compared with `call`.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use proptest::prelude::*;

use super::testing::{bound, call, column_is_call, number, text, try_bind};
use super::*;

fn extract(pattern: &str, group: Option<Arg>, input: &str) -> Option<String> {
    let constants: Vec<Arg> = std::iter::once(text(pattern)).chain(group).collect();
    let bound = bound("regexp_extract", &constants);
    assert!(!bound.fallible);
    call(&bound, input, None).unwrap().as_text().map(str::to_owned)
}

#[test]
fn regexp_extract_takes_the_group() {
    let cases: &[(&str, Option<Arg>, &str, Option<&str>)] = &[
        (r"user=(\w+)", None, "login user=eve ok", Some("eve")),
        (r"user=\w+", None, "login user=eve ok", Some("user=eve")),
        (r"user=(\w+)", Some(number(0.0)), "login user=eve ok", Some("user=eve")),
        (r"(\w+)@(\w+)", Some(number(2.0)), "eve@corp", Some("corp")),
        (r"(?<name>\w+)@(?<host>\w+)", Some(text("host")), "eve@corp", Some("corp")),
        (r"(a)|(b)", Some(number(2.0)), "a", None),
        (r"user=(\w+)", None, "nothing here", None),
        (r"(?i)USER=(\S+)", None, "user=Zoë", Some("Zoë")),
        (r"x(y*)", None, "x", Some("")),
    ];
    for (pattern, group, input, expected) in cases {
        assert_eq!(extract(pattern, group.clone(), input).as_deref(), *expected, "{pattern} on {input}");
    }
}

#[test]
fn a_borrowed_text_gives_a_borrowed_piece() {
    let bound = bound("regexp_extract", &[text("b+")]);
    let got = bound.function.call(&[Value::Text(Cow::Borrowed("abbc"))]).unwrap();
    assert!(matches!(got, Value::Text(Cow::Borrowed("bb"))));
    let got = bound.function.call(&[Value::Text(Cow::Owned("abbc".to_owned()))]).unwrap();
    assert_eq!(got, Value::Text(Cow::Borrowed("bb")));
    assert_eq!(bound.function.call(&[Value::Null]), Ok(Value::Null));
}

#[test]
fn regexp_extract_refuses() {
    let cases: &[(&[Arg], Option<usize>, &str)] = &[
        (&[], None, "takes 2 to 3 arguments, found 1"),
        (&[text("(a")], Some(1), "not a regular expression: unclosed group"),
        (&[text("(?=a)")], Some(1), "not a regular expression: look-around, including look-ahead and look-behind, is not supported"),
        (&[Arg::Row], Some(1), "the regular expression must be a constant, it cannot come from the event"),
        (&[number(1.0)], Some(1), "the regular expression must be a text, found a number"),
        (&[text("(a)"), number(2.0)], Some(2), "the regular expression has 1 group"),
        (&[text("(a)"), number(0.5)], Some(2), "the regular expression has 1 group"),
        (&[text("(a)"), text("b")], Some(2), "the regular expression has no group named `b`"),
        (&[text("(a)"), Arg::Row], Some(2), "the group must be a constant number or name"),
    ];
    for (constants, argument, message) in cases {
        let misuse = try_bind("regexp_extract", constants).unwrap_err();
        assert_eq!((misuse.argument, misuse.message.as_str()), (*argument, *message));
        assert!(misuse.hint.is_some());
    }
}

/// Calls a function whose arguments are all computed per row.
fn join(name: &str, texts: &[Option<&str>]) -> Option<String> {
    let args = vec![Arg::Row; texts.len()];
    let bound = bind(name, &args);
    let values: Vec<Value<'_>> = texts.iter().map(|text| text.map_or(Value::Null, |text| Value::Text(Cow::Borrowed(text)))).collect();
    bound.function.call(&values).unwrap().as_text().map(str::to_owned)
}

fn bind(name: &str, args: &[Arg]) -> Bound {
    crate::expr::function::bind(name, args).unwrap().unwrap()
}

#[test]
fn concatenation() {
    assert_eq!(join("concat", &[Some("a"), None, Some("b")]).as_deref(), Some("ab"));
    assert_eq!(join("concat", &[None]).as_deref(), Some(""));
    assert_eq!(join("concat_ws", &[Some("/"), Some("a"), None, Some(""), Some("b")]).as_deref(), Some("a//b"));
    assert_eq!(join("concat_ws", &[Some("/"), None, None]).as_deref(), Some(""));
    assert_eq!(join("concat_ws", &[Some(""), Some("a"), Some("b")]).as_deref(), Some("ab"));
    assert_eq!(join("concat_ws", &[None, Some("a")]), None);
}

#[test]
fn constants_are_folded_into_a_concatenation() {
    let bound = bind("concat_ws", &[text("/"), Arg::Row, text("middle"), number(7.0), Arg::Constant(Value::Null), Arg::Row]);
    assert_eq!(bound.args, vec![(1, Type::Text), (5, Type::Text)]);
    let value = |text: &'static str| Value::Text(Cow::Borrowed(text));
    assert_eq!(bound.function.call(&[value("a"), value("b")]), Ok(value("a/middle/7/b")));
    column_is_call(&bound, &[vec![Some("a"), None, Some("a longer text than a view holds")], vec![Some("b"), Some("c"), None]], None);
}

#[test]
fn a_text_that_is_too_long_is_null() {
    let bound = bind("concat", &[Arg::Row, Arg::Row]);
    let half = "x".repeat(TEXT_BYTES_MAX / 2);
    let more = "x".repeat(TEXT_BYTES_MAX / 2 + 1);
    let call = |a: &str, b: &str| bound.function.call(&[Value::Text(Cow::Borrowed(a)), Value::Text(Cow::Borrowed(b))]).unwrap().is_null();
    assert!(!call(&half, &half));
    assert!(call(&half, &more));
}

#[test]
fn columns_spread_over_several_buffers() {
    let long = "0123456789".repeat(100_000);
    let texts: Vec<Option<&str>> = (0..12).map(|row| if row % 5 == 4 { None } else { Some(long.get(..(row + 1) * 80_000).unwrap()) }).collect();
    column_is_call(&bind("concat", &[Arg::Row, Arg::Row]), &[texts.clone(), texts.clone()], None);
    column_is_call(&bound("regexp_extract", &[text("5[0-9]*")]), &[texts], None);
}

#[test]
fn hashes() {
    let hash = |name: &str, input: &str| call(&bound(name, &[]), input, None).unwrap().as_text().unwrap().to_owned();
    assert_eq!(hash("md5", ""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(hash("md5", "abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hash("sha256", ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hash("sha256", "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for name in ["md5", "sha256"] {
        column_is_call(&bound(name, &[]), &[vec![Some("abc"), None, Some("")]], None);
        assert_eq!(try_bind(name, &[text("x")]).unwrap_err().message, "takes 1 argument, found 2");
    }
}

#[test]
fn a_piece_from_elsewhere_is_null() {
    let source: StringViewArray = [Some("a text that is longer than a view"), None, Some("short")].into_iter().collect();
    let made = super::views::pieces(&source, |_| Some("another text that is longer than a view"));
    assert_eq!(made.null_count(), 3);
    let made = super::views::pieces(&source, |_| Some("tiny"));
    assert_eq!(made.null_count(), 1);
}

fn column() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::weighted(0.8, "\\PC{0,20}"), 9)
}

fn borrow(texts: &[Option<String>]) -> Vec<Option<&str>> {
    texts.iter().map(Option::as_deref).collect()
}

proptest! {
    #[test]
    fn column_gives_what_call_gives(a in column(), b in column(), c in column()) {
        let columns = [borrow(&a), borrow(&b), borrow(&c)];
        column_is_call(&bind("concat", &vec![Arg::Row; 3]), &columns, None);
        column_is_call(&bind("concat_ws", &vec![Arg::Row; 3]), &columns, None);
        column_is_call(&bind("concat_ws", &[text("/"), Arg::Row, Arg::Row]), &columns[..2], None);
        for pattern in [r"(\w+)", r"\S+\s(.*)", ".*", r"(\d)?(\p{Lu}.*)"] {
            column_is_call(&bound("regexp_extract", &[text(pattern)]), &columns[..1], None);
        }
        column_is_call(&bound("sha256", &[]), &columns[..1], None);
    }
}

proptest! {
    #[test]
    fn cases_are_those_of_the_standard_library(texts in proptest::collection::vec(proptest::option::of("[a-zA-Z@\\[`{z0-9 ]{0,40}|[a-fA-FäÖßİıſǅ中😀\u{7f}]{0,6}|.{0,14}"), 1..40)) {
        let column: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        for (name, of) in [("lower", str::to_lowercase as fn(&str) -> String), ("upper", str::to_uppercase)] {
            let bound = bound(name, &[]);
            column_is_call(&bound, std::slice::from_ref(&column), None);
            for text in column.iter().flatten() {
                let made = call(&bound, text, None).unwrap();
                prop_assert_eq!(made.as_text(), Some(&*of(text)));
            }
        }
    }
}
