//! Functions are total: every function that a pipeline may call, with every kind of argument
//! that types, over extreme values. No batch fails, no row takes another one with it, nothing
//! grows without bound, and both evaluators say the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use catchment::expr::value::Value;

use crate::expr_bench::{compiled, reference, typed};
use crate::expr_generate::{Node, token};

/// Longest time for one call over all rows, in a debug build on a busy machine.
const SLOW: Duration = Duration::from_secs(4);

fn extremes() -> Vec<Node> {
    let texts = [
        "",
        "a",
        "abc",
        "ä😀",
        "0",
        "-1",
        "10",
        "1e3",
        "true",
        "%",
        "\\",
        "2026-01-02T03:04:05Z",
        "1767323045",
        "a,b,c",
        "{\"a\":[1]}",
        "[1,2]",
        "00ff",
        "YWJj",
        "UTC",
        "hour",
        "day",
        "9223372036854775807",
        "\u{0}",
        "(",
        "[",
        "(a|b)*c",
        "2147483648",
    ];
    let numbers = [
        "0",
        "1",
        "-1",
        "2",
        "3",
        "0.5",
        "-0.5",
        "1e3",
        "2147483647",
        "-2147483648",
        "2147483648",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "1e19",
        "-1e19",
        "1e300",
        "-1e300",
        "1e-300",
        "20",
        "65",
        "1114112",
        "55296",
    ];
    let times = ["2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z", "no time"];
    let long = "long ".repeat(2_000);
    let mut events: Vec<Node> = Vec::new();
    for row in 0..96 {
        let text = if row == 50 { long.clone() } else { texts[row % texts.len()].to_owned() };
        let members = [
            ("t", Node::Text(text.clone(), token(&text, 0))),
            ("u", Node::Text(texts[row * 7 % texts.len()].to_owned(), token(texts[row * 7 % texts.len()], 0))),
            ("n", Node::Number(numbers[row % numbers.len()].to_owned())),
            ("m", Node::Number(numbers[row * 5 % numbers.len()].to_owned())),
            ("k", Node::Text(times[row % times.len()].to_owned(), token(times[row % times.len()], 0))),
            ("b", Node::Bool(row % 2 == 0)),
        ];
        // One member in seven is missing.
        let members = members.into_iter().enumerate().filter(|(at, _)| (row + at) % 7 != 0).map(|(_, (key, node))| (key.to_owned(), node));
        events.push(Node::Object(members.collect()));
    }
    events
}

/// Calls with all kinds of arguments: text, number, time, boolean, and the odd constant.
fn calls(name: &str) -> Vec<String> {
    let kinds = [
        ["text(t)", "text(u)", "text(t)", "text(u)"],
        ["number(n)", "number(m)", "number(n)", "number(m)"],
        ["parse_time(k)", "parse_time(k)", "_timestamp", "_timestamp"],
    ];
    let mut calls = vec![format!("{name}()"), format!("{name}(boolean(b))")];
    for a in 0..3 {
        calls.push(format!("{name}({})", kinds[a][0]));
        for b in 0..3 {
            calls.push(format!("{name}({}, {})", kinds[a][0], kinds[b][1]));
            for c in 0..3 {
                calls.push(format!("{name}({}, {}, {})", kinds[a][0], kinds[b][1], kinds[c][2]));
            }
        }
        calls.push(format!("{name}({}, {}, {}, {})", kinds[a][0], kinds[1][1], kinds[1][2], kinds[1][3]));
        calls.push(format!("{name}({}, {}, {}, {})", kinds[a][0], kinds[0][1], kinds[0][2], kinds[0][3]));
        for constant in ["'hour'", "'a'", "','", "'hex'", "'base64'", "'(a)'", "'i'", "2", "0"] {
            calls.push(format!("{name}({}, {constant})", kinds[a][0]));
            calls.push(format!("{name}({constant}, {})", kinds[a][0]));
        }
    }
    calls
}

#[test]
fn every_function_with_every_argument() {
    let events = extremes();
    let mut names: BTreeSet<String> = datafusion::functions::all_default_functions().iter().map(|udf| udf.name().to_owned()).collect();
    names.extend(catchment::expr::function::NAMES.iter().map(|name| (*name).to_owned()));
    let (mut called, mut functions) = (0, 0);
    let mut failures = Vec::new();
    for name in names {
        let before = called;
        for call in calls(&name) {
            let Ok(typed) = typed(&call) else { continue };
            called += 1;
            let started = Instant::now();
            let values = match compiled(std::slice::from_ref(&typed), &events) {
                Ok(values) => values,
                Err(error) => {
                    failures.push(format!("{call}: {error}"));
                    continue;
                }
            };
            if started.elapsed() > SLOW {
                failures.push(format!("{call} took {:?}", started.elapsed()));
            }
            for (event, found) in events.iter().zip(&values[0]) {
                let (wanted, _) = reference(&typed, event);
                if *found != wanted {
                    failures.push(format!("{call}\n  compiled {found:?}\n  reference {wanted:?}\n  event {}", shortened(&event.json())));
                    break;
                }
                if let Value::Number(number) | Value::Duration(number) = found {
                    assert!(number.is_finite(), "{call}");
                }
            }
        }
        functions += usize::from(called > before);
    }
    assert!(failures.is_empty(), "{} of {called} calls:\n{}", failures.len(), failures.join("\n"));
    assert!(functions > 80 && called > 400, "{functions} functions, {called} calls");
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// A few bytes must not become gigabytes, nor one row hours of work.
#[test]
fn nothing_grows_without_bound() {
    let event = |text: &str, count: &str| {
        Node::Object(vec![("t".to_owned(), Node::Text(text.to_owned(), token(text, 0))), ("n".to_owned(), Node::Number(count.to_owned()))])
    };
    let long = "ab".repeat(100_000);
    let events = [event("xyz", "2000000000"), event("xyz", "3"), event(&long, "200000"), event("", "1000000000000")];
    let cases = [
        ("repeat(t, number(n))", [false, true, false, false]),
        ("lpad(t, number(n))", [false, true, true, false]),
        ("rpad(t, number(n), 'x')", [false, true, true, false]),
        ("replace(t, 'a', t)", [true, true, false, true]),
        ("levenshtein(t, reverse(t))", [true, true, false, true]),
        ("replace(t, 'a', 'aaa')", [true, true, true, true]),
    ];
    for (text, present) in cases {
        let typed = typed(text).unwrap();
        let started = Instant::now();
        let values = compiled(std::slice::from_ref(&typed), &events).unwrap();
        assert!(started.elapsed() < SLOW, "{text} took {:?}", started.elapsed());
        assert_eq!(values[0].iter().map(|value| !value.is_null()).collect::<Vec<_>>(), present, "{text}");
        for (event, found) in events.iter().zip(&values[0]) {
            assert_eq!(&reference(&typed, event).0, found, "{text}");
        }
    }
}
