//! The JSONTestSuite: each file is an event or a reject, alone and between good neighbours.

use std::sync::Arc;

use catchment::ingest::decode::{DecodeLimits, Decoder, Level, RejectReason, Rows, Shape, ShapeOptions};

use crate::decode_oracle::{compare, decode, paths, shared};

fn files() -> Vec<(String, Vec<u8>)> {
    let Some(dir) = shared("events/hostile") else { return Vec::new() };
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .expect("the directory can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (name, std::fs::read(path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn each_file_is_what_its_name_says() {
    let files = files();
    for (name, text) in &files {
        let (_, ours) = decode(&paths(&["a", "a.b", "b[0]"]), ShapeOptions::default(), text);
        match name.as_bytes()[0] {
            b'y' => match ours {
                Ok(rows) => assert_eq!(rows.len(), 1, "{name}"),
                Err(reject) => assert_eq!(reject.reason, RejectReason::NotAnObject, "{name}"),
            },
            b'n' => assert!(ours.is_err(), "{name}"),
            _ => {}
        }
        compare(&paths(&["a", "a.b", "b"]), text);
    }
    assert!(files.is_empty() || files.len() > 300);
}

#[test]
fn scalars_and_arrays_are_no_events() {
    for (text, reason) in [
        ("", RejectReason::Empty),
        (" \t\r\n", RejectReason::Empty),
        ("1", RejectReason::NotAnObject),
        ("null", RejectReason::NotAnObject),
        ("\"x\"", RejectReason::NotAnObject),
        ("[{\"a\":1}]", RejectReason::NotAnObject),
        ("{\"a\":1} 2", RejectReason::NotAnObject),
        ("[1,]", RejectReason::Syntax),
        ("nul", RejectReason::Syntax),
        ("{\"a\":1},{\"a\":2}", RejectReason::Syntax),
        ("{\"a\":\"\u{1}\"}", RejectReason::ControlCharacter),
        ("{\"a\":\"\\x\"}", RejectReason::Syntax),
        ("{\"a\":\"x}", RejectReason::Syntax),
    ] {
        let (_, ours) = decode(&paths(&["a"]), ShapeOptions::default(), text.as_bytes());
        assert_eq!(ours.expect_err(text).reason, reason, "{text}");
        let (_, ours) = decode(&paths(&["a"]), ShapeOptions { top_level: false, explode: paths(&["a"]).pop() }, text.as_bytes());
        assert_eq!(ours.expect_err(text).reason, reason, "{text}, exploded");
    }
    let (_, ours) = decode(&paths(&["a"]), ShapeOptions::default(), b"{\"a\":\"\xff\"}");
    let reject = ours.expect_err("not UTF-8");
    assert_eq!((reject.reason, reject.at), (RejectReason::NotUtf8, 6));
}

#[test]
fn faults_are_found_at_every_place_of_a_block() {
    let good = [r"\n", r"\\", r"\u00e9", "é", "\u{7f}", r"\ud834\udd1e", r"\\\\\\"];
    let bad = [r"\x", "\\é", r"\u00g9", r"\u12", r"\", "\u{1}", "\n", "\0", "\u{1f}", r"\\\"];
    for at in 0..140 {
        let fill = "x".repeat(at);
        for (parts, ok) in [(&good[..], true), (&bad[..], false)] {
            for part in parts {
                for text in
                    [format!("{{\"a\":\"{fill}{part}\"}}"), format!("{{\"{fill}{part}\":1}}"), format!("{{\"a\":\"{fill}{part}{fill}\",\"b\":[true,\"c\"]}}")]
                {
                    let (_, ours) = decode(&paths(&["a"]), ShapeOptions::default(), text.as_bytes());
                    assert_eq!(ours.is_ok(), ok, "{text:?}");
                    compare(&paths(&["a"]), text.as_bytes());
                }
            }
        }
        for bad in ["tru", "nulll", "01", "1.", "-", "1e", "'a'", "1 2", "\u{c}", "\u{1a}", "[1 2]", "[,]", "{\"a\"}", "{\"a\",1}", "\"a\"b", "[\"a\":1]"] {
            compare(&paths(&["a", "b"]), format!("{{\"a\":\"{fill}\",\"b\":{bad}}}").as_bytes());
            compare(&paths(&["a"]), format!("{{\"a\":\"{fill}\",\"b\":{bad}}}").as_bytes());
        }
    }
}

#[test]
fn neighbours_of_a_hostile_message_are_unharmed() {
    let good = br#"{"a":{"b":"one \" two"},"c":[1,2],"d":-1.5e3}"#;
    let shape = Arc::new(Shape::new(&paths(&["a.b", "c", "d"]), ShapeOptions { top_level: true, explode: None }));
    for level in Level::available() {
        let mut decoder = Decoder::with_level(shape.clone(), DecodeLimits::default(), level);
        for (name, text) in files() {
            let mut arena = Vec::new();
            let mut ranges = Vec::new();
            for message in [&good[..], &text, &good[..]] {
                ranges.push(arena.len()..arena.len() + message.len());
                arena.extend_from_slice(message);
            }
            arena.extend_from_slice(&[0; 64]);
            let mut rows = Rows::new(&shape);
            let mut counts = Vec::new();
            for (i, range) in ranges.iter().enumerate() {
                counts.push(decoder.decode(&arena, range.clone(), i as u32, &mut rows).unwrap_or(0) as usize);
            }
            assert_eq!((counts[0], counts[2]), (1, 1), "{name}");
            assert_eq!(rows.len(), counts.iter().sum::<usize>(), "{name}");
            let last = rows.len() - 1;
            assert_eq!((rows.messages[0], rows.messages[last]), (0, 2), "{name}");
            for column in &rows.columns {
                assert_eq!(column[0].token(&arena), column[last].token(&arena), "{name}");
                assert!(!column[0].is_missing());
            }
            assert_eq!(rows.top_of(0).len(), 3);
            assert_eq!(rows.top_of(last).len(), 3);
        }
    }
}

#[test]
fn one_poison_row_of_8192_changes_no_other() {
    let shape = Arc::new(Shape::new(&paths(&["n", "o.n"]), ShapeOptions { top_level: true, explode: None }));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    for poison in [&b"{\"n\":1,\"o\":{\"n\":}}"[..], b"{\"n\":\"", b"{\"n\":1}{\"n\":2}[", b"\xff", b"{\"n\":[[[[{\"a\":1]]]]}"] {
        let (mut arena, mut ranges) = (Vec::new(), Vec::new());
        for n in 0..8192 {
            let start = arena.len();
            if n == 4711 {
                arena.extend_from_slice(poison);
            } else {
                arena.extend_from_slice(format!("{{\"n\":{n},\"o\":{{\"n\":\"{n}\"}}}}").as_bytes());
            }
            ranges.push(start..arena.len());
        }
        arena.extend_from_slice(&[0; 64]);
        let mut rows = Rows::new(&shape);
        let rejected: Vec<usize> = (0..8192).filter(|n| decoder.decode(&arena, ranges[*n].clone(), *n as u32, &mut rows).is_err()).collect();
        assert_eq!(rejected, [4711]);
        assert_eq!((rows.len(), rows.top.len(), rows.top_ends.len()), (8191, 2 * 8191, 8191));
        for row in 0..rows.len() {
            let n = row + usize::from(row >= 4711);
            assert_eq!(rows.messages[row] as usize, n);
            for column in &rows.columns {
                assert_eq!(column[row].raw(&arena), n.to_string().as_bytes());
            }
        }
    }
}
