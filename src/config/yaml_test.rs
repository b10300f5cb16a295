//! YAML as we read it: spans, duplicate keys, anchors, bounds.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::source_map::SourceFile;

fn parse(text: &str) -> (Option<Node>, Diagnostics) {
    let mut out = Diagnostics::new();
    let file = out.add_file("t.yaml", text);
    let node = read(file, &mut out);
    (node, out)
}

fn leaves<'a>(node: &Node, file: &'a SourceFile, found: &mut Vec<&'a str>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| leaves(item, file, found)),
        Value::Mapping(entries) => {
            for (key, node) in entries {
                found.push(file.slice(key.span.start, key.span.end));
                leaves(node, file, found);
            }
        }
        _ => found.push(file.slice(node.span.start, node.span.end)),
    }
}

fn spans(text: &str) -> Vec<String> {
    let (node, out) = parse(text);
    let node = node.unwrap_or_else(|| panic!("{}", out.plain()));
    let mut found = Vec::new();
    leaves(&node, out.files().file(0).unwrap(), &mut found);
    found.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_scalar_knows_its_bytes() {
    assert_eq!(spans("a: b\nc: 'd e'  # comment\nf: \"g\"\n"), ["a", "b", "c", "'d e'", "f", "\"g\""]);
    assert_eq!(spans("ä: ö # ü ß\nß: { ü: [x, 'yé'], z: 1 }\n"), ["ä", "ö", "ß", "ü", "x", "'yé'", "z", "1"]);
    assert_eq!(spans("# ünïcödé\r\na: b\r\nc:\r\n  - d\r\n  - é f\r\n"), ["a", "b", "c", "d", "é f"]);
    assert_eq!(spans("\u{feff}a: b\nc: d\n"), ["a", "b", "c", "d"]);
    assert_eq!(spans("a: |\n  x\n  y\nb: c\n"), ["a", "x\n  y", "b", "c"]);
    assert_eq!(spans("a: one\n  two\nb: c\n"), ["a", "one\n  two", "b", "c"]);
    // Nothing stands for its key.
    assert_eq!(spans("a:\nb:\n- c\n-\n"), ["a", "a", "b", "c", ""]);
}

#[test]
fn collections_end_with_their_last_child() {
    let (node, out) = parse("a:\n  b: c\n\n# comment\nd: [1, 2]\n");
    let Value::Mapping(entries) = node.unwrap().value else { panic!() };
    let text: Vec<&str> = entries.iter().map(|(_, node)| out.files().text(node.span)).collect();
    assert_eq!(text, ["b: c", "[1, 2]"]);
}

#[test]
fn duplicate_keys_are_all_reported_and_the_first_is_kept() {
    let (node, out) = parse("a: 1\nb: { c: 1, c: 2 }\na: 3\na: 4\n");
    assert_eq!(node.unwrap().to_json().to_string(), r#"{"a":1,"b":{"c":1}}"#);
    assert_eq!(
        out.plain(),
        "t.yaml:2:12: error[duplicate-key]: `c` is given twice (merge the two, or remove one)\n\
         t.yaml:3:1: error[duplicate-key]: `a` is given twice (merge the two, or remove one)\n\
         t.yaml:4:1: error[duplicate-key]: `a` is given twice (merge the two, or remove one)\n"
    );
}

#[test]
fn anchors_work_and_are_bounded() {
    let (node, out) = parse("a: &x { b: 1 }\nc: *x\n");
    assert!(out.is_empty(), "{}", out.plain());
    assert_eq!(node.unwrap().to_json().to_string(), r#"{"a":{"b":1},"c":{"b":1}}"#);
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let uses = vec![format!("*a{}", n - 1); 10].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
    }
    let (node, out) = parse(&laughs);
    assert!(node.is_none());
    assert!(out.plain().contains("aliases add more than 100000 values"), "{}", out.plain());
    let (node, out) = parse("a: &x [*x]\n");
    assert!(node.is_none(), "{}", out.plain());
}

#[test]
fn depth_is_bounded_without_recursion() {
    let (node, out) = parse(&"- ".repeat(100_000));
    assert!(node.is_none());
    assert!(out.plain().contains("nested deeper than 160 levels"), "{}", out.plain());
    let (node, out) = parse(&"[".repeat(100_000));
    assert!(node.is_none() && out.has_errors());
    // Aliases cannot add up to more than the bound either.
    let mut steps = "a0: &a0 {x: 1}\n".to_owned();
    for n in 1..200 {
        steps.push_str(&format!("a{n}: &a{n} {{x: *a{}}}\n", n - 1));
    }
    assert!(parse(&steps).1.plain().contains("nested deeper than"));
}

#[test]
fn random_bytes_never_panic() {
    // A small linear congruential generator is enough: the parser is what is tried.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let pieces = [
        "a", ": ", "- ", "\n", "  ", "{", "}", "[", "]", "\"", "'", "|", ">", "&x ", "*x", "!t ", "#", ",", "?", "é", "\t", "\r\n", "---\n", "...", "%", "@",
        "0", "\\", "<<: ", "\u{feff}", "\u{1}", "~",
    ];
    for _ in 0..5_000 {
        let mut text = String::new();
        for _ in 0..(state >> 60) + 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        let (node, out) = parse(&text);
        assert_eq!(node.is_none(), out.has_errors() && node.is_none(), "{text:?}");
        let _ = (out.plain(), out.render(false), out.to_json());
    }
}
