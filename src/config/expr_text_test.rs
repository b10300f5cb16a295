//! Places inside expressions: offsets of the expression against those of the file.
#![allow(clippy::unwrap_used)]

use crate::config::node::{Node, Value};
use crate::config::{Diagnostics, read_expr, yaml};

/// Reads `x: <yaml>` and says which text of the file each word of the expression is at.
fn located(yaml_text: &str) -> Vec<(String, String)> {
    let mut out = Diagnostics::new();
    let file = out.add_file("t.yaml", yaml_text);
    let node = yaml::read(file, &mut out).unwrap_or_else(|| panic!("{}", out.plain()));
    let Value::Mapping(entries) = node.value else { panic!() };
    let node: &Node = &entries[0].1;
    let expr = read_expr::expression(node, "`x`", &mut out);
    let text = expr.text.clone();
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| c.is_whitespace()) {
        if !word.is_empty() {
            let span = expr.locate(at, at + word.len());
            words.push((word.to_owned(), out.files().text(span).to_owned()));
        }
        at += word.len() + 1;
    }
    words
}

fn exact(yaml_text: &str) {
    for (word, place) in located(yaml_text) {
        assert_eq!(word, place, "in {yaml_text:?}");
    }
}

#[test]
fn words_are_found_again_whatever_the_style() {
    exact("x: a.b = 'c' AND d > 7\n");
    exact("y: 1\n".replace("y", "x").as_str());
    exact("x: { k: 1 }\n".replace("{ k: 1 }", "a = 1").as_str());
    exact("x: 'aé = 1 AND b = 2'\n");
    exact("x: \"a = 'ö' AND b = 2\"\n");
    exact("x: |\n    a = 1\n    AND b = 2\n\n    OR  c = 3\n");
    exact("x: >-\n  a = 1\n  AND b = 2\n");
    exact("x: a = 1\n   AND b = 2\n");
    exact("x: \"a = 1\n   AND b = 2\"\n");
    exact("x: |\r\n  a = 1\r\n  AND b = 2\r\n");
}

#[test]
fn quotes_and_escapes_are_counted() {
    assert_eq!(
        located("x: 'a = ''it'' AND b = 1'\n"),
        [("a", "a"), ("=", "="), ("'it'", "''it''"), ("AND", "AND"), ("b", "b"), ("=", "="), ("1", "1")]
            .map(|(word, place)| (word.to_owned(), place.to_owned()))
    );
    let places = located(r#"x: "\"a b\" ~ '\\d+\u00e9' AND c = 1""#);
    assert_eq!(places[3], ("'\\d+é'".to_owned(), r"'\\d+\u00e9'".to_owned()));
    assert_eq!(places[5], ("c".to_owned(), "c".to_owned()));
}

#[test]
fn constants_point_at_themselves() {
    assert_eq!(located("x: 0x1F\n"), [("31".to_owned(), "0x1F".to_owned())]);
    assert_eq!(located("x: true\n"), [("TRUE".to_owned(), "true".to_owned())]);
}
