//! Owns `tests:`: events and what must become of them.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::TESTS_MAX;
use crate::config::model::{Expect, Outcome, Test};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note};
use crate::config::read_expr::place_in_text;
use crate::config::source_map::Spanned;

const OUTCOMES: [(&str, Outcome); 6] = [
    ("incident", Outcome::Incident),
    ("filtered", Outcome::Filtered),
    ("unclassified", Outcome::Unclassified),
    ("dropped", Outcome::Dropped),
    ("attached", Outcome::Attached),
    ("dead_letter", Outcome::DeadLetter),
];

/// The list of tests.
pub fn read_tests(node: &Node, out: &mut Diagnostics) -> Vec<Test> {
    let tests: Vec<Test> = read::list(node, "`tests`", TESTS_MAX, out).iter().filter_map(|node| read_test(node, out)).collect();
    read::unique(tests.iter().map(|test| &test.name), "tests", out);
    tests
}

fn read_test(node: &Node, out: &mut Diagnostics) -> Option<Test> {
    let mut fields = Fields::open(node, "a test", out)?;
    let name = fields.need("name", "a failed console login", out).and_then(|node| read::name(node, "`name`", out));
    let one = fields.get("event", out);
    let many = fields.get("events", out);
    let events = match (one, many) {
        (Some(one), None) => Some(read_events(std::slice::from_ref(one), out)),
        (None, Some(many)) => {
            let nodes = read::one_or_many(many);
            if nodes.is_empty() {
                out.push(Diagnostic::error("bad-value", "`events` is an empty list").at(many.span));
            }
            Some(read_events(nodes, out))
        }
        (Some(one), Some(_)) => {
            out.push(Diagnostic::error("bad-value", "both `event` and `events` are given").at(one.head()).hint("keep one of the two"));
            None
        }
        (None, None) => {
            if fields.key_span("event").or(fields.key_span("events")).is_none() {
                out.push(
                    Diagnostic::error("missing-key", "a test needs `event`")
                        .at(fields.head())
                        .label("no `event` here")
                        .hint("for example: event: { eventName: ConsoleLogin }"),
                );
            }
            None
        }
    };
    let source = fields.get("source", out).and_then(|node| read::text(node, "`source`", out));
    let expect = fields.need("expect", "{ type: Console Login Failure }", out).and_then(|node| read_expect(node, out));
    let notes = [
        Note::Elsewhere("type", "what must come out stands under `expect`: expect: { type: … }"),
        Note::Elsewhere("outcome", "what must come out stands under `expect`: expect: dropped"),
        Note::Elsewhere("rule", "what must come out stands under `expect`: expect: { rule: … }"),
    ];
    fields.close(&notes, out);
    Some(Test { name: name?, events: events??, source, expect: expect? })
}

fn read_events(nodes: &[Node], out: &mut Diagnostics) -> Option<Vec<serde_json::Value>> {
    let events: Vec<serde_json::Value> = nodes.iter().filter_map(|node| read_event(node, out)).collect();
    (events.len() == nodes.len() && !events.is_empty()).then_some(events)
}

/// An event is a mapping, or JSON text (as a `|` block) pasted as it is.
fn read_event(node: &Node, out: &mut Diagnostics) -> Option<serde_json::Value> {
    match &node.value {
        Value::Mapping(_) => Some(node.to_json()),
        Value::Text { text, .. } => match serde_json::from_str::<serde_json::Value>(text) {
            // As it stands: digits beyond a double's, repeated keys and escapes are part of the message.
            Ok(event) if event.is_object() => Some(serde_json::Value::String(text.clone())),
            Ok(_) => {
                out.push(Diagnostic::error("bad-value", "an event must be a JSON object").at(node.span));
                None
            }
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or("");
                let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
                let span = place_in_text(node, before + error.column().saturating_sub(1), out);
                out.push(
                    Diagnostic::error("bad-value", format!("this event is not JSON: {reason}"))
                        .at(span)
                        .hint("an event is a YAML mapping, or JSON text after `event: |`"),
                );
                None
            }
        },
        _ => {
            read::wrong_type(node, "an event", "a mapping, or JSON text", out);
            None
        }
    }
}

fn read_expect(node: &Node, out: &mut Diagnostics) -> Option<Expect> {
    let Value::Mapping(entries) = &node.value else {
        let outcome = read::choice(node, "`expect`", &OUTCOMES, out)?;
        let outcome = Some(Spanned::new(outcome, node.span));
        return Some(Expect { span: node.span, outcome, rule: None, fields: Vec::new() });
    };
    let mut expect = Expect { span: node.head(), outcome: None, rule: None, fields: Vec::new() };
    for (key, node) in entries {
        match key.value.as_str() {
            "outcome" => {
                let outcome = read::choice(node, "`outcome`", &OUTCOMES, out);
                expect.outcome = outcome.map(|outcome| Spanned::new(outcome, node.span));
            }
            "rule" => expect.rule = read::text(node, "`rule`", out),
            _ => expect.fields.push((key.clone(), node.to_json())),
        }
    }
    if let Some(outcome) = &expect.outcome
        && matches!(outcome.value, Outcome::Filtered | Outcome::Unclassified | Outcome::DeadLetter)
        && let Some((field, _)) = expect.fields.first()
    {
        out.push(
            Diagnostic::error("bad-value", format!("what ends as {} has no fields", outcome.value.as_str()))
                .at(field.span)
                .also(outcome.span, "so it says here")
                .hint("remove the field, or expect another outcome"),
        );
    }
    Some(expect)
}
