//! What rows hold: flat keys, duplicates, several events in a message, exploded arrays, limits.

use std::sync::Arc;

use catchment::ingest::decode::{DecodeLimits, Decoder, ELEMENTS_MAX, Kind, MESSAGE_BYTES_MAX, NO_TOP_KEY, Reject, RejectReason, Rows, Shape, ShapeOptions};

use crate::decode_oracle::{compare, decode, path, paths};

/// The texts at the paths in each event, `-` for a missing one.
fn read(texts: &[&str], explode: Option<&str>, message: &str) -> Result<Vec<Vec<String>>, Reject> {
    let options = ShapeOptions { top_level: false, explode: explode.map(path) };
    let (arena, rows) = decode(&paths(texts), options, message.as_bytes());
    let rows = rows?;
    let text = |slot: &catchment::ingest::decode::Slot| match slot.kind() {
        Kind::Missing => "-".to_owned(),
        _ => String::from_utf8_lossy(slot.token(&arena)).into_owned(),
    };
    Ok((0..rows.len()).map(|row| rows.columns.iter().map(|column| text(&column[row])).collect()).collect())
}

fn one(texts: &[&str], message: &str) -> Vec<String> {
    compare(&paths(texts), message.as_bytes());
    let mut rows = read(texts, None, message).expect("an event");
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

#[test]
fn nested_wins_over_flat_in_any_order() {
    assert_eq!(one(&["a.b"], r#"{"a":{"b":1},"a.b":2}"#), ["1"]);
    assert_eq!(one(&["a.b"], r#"{"a.b":2,"a":{"b":1}}"#), ["1"]);
    assert_eq!(one(&["a.b"], r#"{"a.b":2,"a":{"c":1}}"#), ["2"]);
    assert_eq!(one(&["a.b"], r#"{"a.b":2,"a":{"b":null}}"#), ["null"]);
    assert_eq!(one(&["a.b.c"], r#"{"a.b.c":1}"#), ["1"]);
    assert_eq!(one(&["a.b.c"], r#"{"a.b":{"c":2},"a.b.c":1}"#), ["2"]);
    assert_eq!(one(&["a.b.c"], r#"{"a":{"b.c":3},"a.b":{"c":2}}"#), ["2"]);
    assert_eq!(one(&["a.b.c"], r#"{"a.b":{"c":2},"a":{"b.c":3}}"#), ["3"]);
    assert_eq!(one(&["a.b.c"], r#"{"a":{"b":{"c":4},"b.c":3},"a.b":{"c":2},"a.b.c":1}"#), ["4"]);
    assert_eq!(one(&["a.b[0].c"], r#"{"a.b":[{"c":1}]}"#), ["1"]);
    assert_eq!(one(&["a", "a.b", "a.b"], r#"{"a":{"b":1}}"#), [r#"{"b":1}"#, "1", "1"]);
}

#[test]
fn the_last_of_equal_keys_wins_with_all_it_holds() {
    assert_eq!(one(&["a"], r#"{"a":1,"a":2}"#), ["2"]);
    assert_eq!(one(&["a.b", "a.c"], r#"{"a":{"b":1},"a":{"c":2}}"#), ["-", "2"]);
    assert_eq!(one(&["a.b", "a"], r#"{"a":{"b":1},"a":7}"#), ["-", "7"]);
    assert_eq!(one(&["a.b"], r#"{"a.b":5,"a":{"b":1},"a":{}}"#), ["5"]);
    assert_eq!(one(&["a.b.c"], r#"{"a.b":{"c":1},"a":{"b.c":2},"a":{}}"#), ["1"]);
    assert_eq!(one(&["a.b"], r#"{"a":{"b":1},"\u0061":{"b":2}}"#), ["2"]);
    assert_eq!(one(&["x[1].a.b"], r#"{"x":[{"a":{"b":1}},{"a":{"b":2},"a":{"c":3}}]}"#), ["-"]);
    // The same keys in different objects are not duplicates.
    assert_eq!(one(&["x[0].a.b", "x[1].a.b"], r#"{"x":[{"a":{"b":1}},{"a":{"b":2}}]}"#), ["1", "2"]);
}

#[test]
fn keys_are_compared_unescaped() {
    assert_eq!(one(&["a.b"], r#"{"a\u002eb":1}"#), ["1"]);
    assert_eq!(one(&["\"q\""], r#"{"\"q\"":1}"#), ["1"]);
    assert_eq!(one(&["a\u{0}"], "{\"a\\u0000\":1}"), ["1"]);
    assert_eq!(one(&["größe", "日本語のとても長いキー"], r#"{"größe":1,"日本語のとても長いキー":2}"#), ["1", "2"]);
    assert_eq!(
        one(
            &["abcdefgh", "abcdefghi", "abcdefghX23456789", "abcdefghY23456789"],
            r#"{"abcdefgh":1,"abcdefghi":2,"abcdefghX23456789":3,"abcdefghY23456789":4,"abcdefghZ23456789":5}"#
        ),
        ["1", "2", "3", "4"]
    );
}

#[test]
fn values_keep_their_text() {
    let texts = ["a", "b", "c", "d", "e"];
    let message = " { \"a\" : 123456789012345678901234567890.5e+300 , \"b\":\"x\\ty\" ,\"c\": [ 1 , 2 ] , \"d\" : { } ,\"e\":false } ";
    assert_eq!(one(&texts, message), ["123456789012345678901234567890.5e+300", "\"x\\ty\"", "[ 1 , 2 ]", "{ }", "false"]);
}

#[test]
fn a_message_may_hold_several_events() {
    let rows = read(&["a"], None, " {\"a\":1}{\"a\":2}\n{\"b\":3} ");
    assert_eq!(rows, Ok(vec![vec!["1".into()], vec!["2".into()], vec!["-".into()]]));
    assert_eq!(read(&["a"], None, "\u{feff}{\"a\":1}"), Ok(vec![vec!["1".into()]]));
    let reject = read(&["a"], None, "\u{feff}{\"a\":1}x").expect_err("rubbish");
    assert_eq!((reject.reason, reject.at), (RejectReason::Syntax, 10));
    assert!(read(&["a"], None, "{\"a\":1}\u{feff}{\"a\":1}").is_err());
}

#[test]
fn arrays_are_exploded() {
    let explode = |message: &str| read(&["a"], Some("Records"), message);
    let some = |texts: &[&str]| Ok(texts.iter().map(|text| vec![(*text).to_owned()]).collect::<Vec<_>>());
    assert_eq!(explode(r#"{"Records":[{"a":1},{"a":{"a":2}}],"a":9}"#), some(&["1", r#"{"a":2}"#]));
    assert_eq!(explode(r#"{"Records":[]}"#), some(&[]));
    assert_eq!(explode(r#"{"a":9}"#), some(&["9"]));
    assert_eq!(explode(r#"{"Records":null,"a":9}"#), some(&["9"]));
    assert_eq!(explode(r#"{"Records":[{"a":1}],"Records":[{"a":2}]}"#), some(&["2"]));
    assert_eq!(explode(r#"{"Records":[{"a":1}]}{"Records":[{"a":2}]}"#), some(&["1", "2"]));
    let reject = explode(r#"{"Records":[{"a":1},7]}"#).expect_err("an element that is no event");
    assert_eq!((reject.reason, reject.at), (RejectReason::ExplodeElement, 20));
    assert_eq!(explode(r#"{"Records":[{"a":1}],"b":}"#).expect_err("broken").reason, RejectReason::Syntax);
    assert_eq!(read(&["b"], Some("x.y[1]"), r#"{"x.y":[0,[{"b":5}]]}"#), some(&["5"]));
}

#[test]
fn top_level_members_name_the_paths_that_read_them() {
    let shape = Arc::new(Shape::new(&paths(&["a.b", "c"]), ShapeOptions { top_level: true, explode: None }));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&shape);
    // No padding: slow, but right.
    let arena = br#"{"x":1,"a":{"b":"v","y":2},"c":[3],"a.b":4,"\u0063":5}"#;
    assert_eq!(decoder.decode(arena, 0..arena.len(), 3, &mut rows), Ok(1));
    let read: Vec<(&[u8], &[u8], &[u32])> =
        rows.top_of(0).iter().zip(&rows.top_keys).map(|((key, value), number)| (key.raw(arena), value.token(arena), shape.top_key_paths(*number))).collect();
    let expected: Vec<(&[u8], &[u8], &[u32])> =
        vec![(b"x", b"1", &[]), (b"a", br#"{"b":"v","y":2}"#, &[0]), (b"c", b"[3]", &[1]), (b"a.b", b"4", &[0]), (br"\u0063", b"5", &[1])];
    assert_eq!(read, expected);
    assert_eq!(rows.top_keys[0], NO_TOP_KEY);
    assert_eq!(rows.columns[0][0].raw(arena), b"v");
    assert_eq!(rows.columns[1][0].raw(arena), b"5");
}

#[test]
fn limits_hold() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    for texts in [&["a"][..], &["b"], &["a[0][0].b"]] {
        assert!(read(texts, None, &nested(128)).is_ok());
        assert_eq!(read(texts, None, &nested(129)).expect_err("deep").reason, RejectReason::Depth);
        assert_eq!(read(texts, None, &nested(100_000)).expect_err("deep").reason, RejectReason::Depth);
    }
    let objects = "{\"a\":".repeat(129) + "1" + &"}".repeat(129);
    let deep = ["a"; 128].join(".");
    assert_eq!(read(&[&deep], None, &objects).expect_err("deep").reason, RejectReason::Depth);
    assert_eq!(read(&[&deep], None, &objects[5..objects.len() - 1]), Ok(vec![vec!["1".to_owned()]]));

    let many = "{}".repeat(ELEMENTS_MAX as usize);
    assert_eq!(read(&["a"], None, &many).map(|rows| rows.len()), Ok(65_535));
    assert_eq!(read(&["a"], None, &(many + "{}")).expect_err("many").reason, RejectReason::TooManyElements);

    let shape = Arc::new(Shape::new(&paths(&["a"]), ShapeOptions::default()));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits { message_bytes: 10, depth: 2, elements: 1 });
    let mut rows = Rows::new(&shape);
    let mut reason = |text: &str| {
        let mut arena = text.as_bytes().to_vec();
        arena.extend_from_slice(&[0; 64]);
        decoder.decode(&arena, 0..text.len(), 0, &mut rows).map_err(|reject| reject.reason)
    };
    assert_eq!(reason("{\"a\":\"45\"}"), Ok(1));
    assert_eq!(reason("{\"a\":\"456\"}"), Err(RejectReason::TooLarge));
    assert_eq!(reason("{\"a\":[]}"), Ok(1));
    assert_eq!(reason("{\"a\":[[]]}"), Err(RejectReason::Depth));
    assert_eq!(reason("{}{}"), Err(RejectReason::TooManyElements));
    assert_eq!(reason("{}"), Ok(1));
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_very_long_message_is_read() {
    let mut arena = b"{\"a\":\"".to_vec();
    arena.resize(MESSAGE_BYTES_MAX - 2, b'x');
    arena.extend_from_slice(b"\"}");
    let end = arena.len();
    arena.extend_from_slice(&[0; 64]);
    let shape = Arc::new(Shape::new(&paths(&["a"]), ShapeOptions::default()));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&shape);
    assert_eq!(decoder.decode(&arena, 0..end, 0, &mut rows), Ok(1));
    assert_eq!(rows.columns[0][0].len() as usize, MESSAGE_BYTES_MAX - 8);
    assert_eq!(rows.events[0].len() as usize, MESSAGE_BYTES_MAX);
}
