//! Where expressions are tried: events are decoded by the engine for the compiled form,
//! and read by plain code from their generated tree for the reference evaluator.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use catchment::config::Span;
use catchment::config::lookup::{LookupKind, LookupTable};
use catchment::config::model::Lookup;
use catchment::config::source_map::Spanned;
use catchment::expr::check::check;
use catchment::expr::parse::parse;
use catchment::expr::path::{Path, Step};
use catchment::expr::reference::{Row, array_value, evaluate};
use catchment::expr::typed::{Record, Source, Typed};
use catchment::expr::value::{Type, Value};
use catchment::ingest::columns::{self, Arena};
use catchment::ingest::decode::{DecodeLimits, Decoder, Rows, Shape, ShapeOptions};
use catchment::ingest::phase::Phase;
use catchment::ingest::plan::scope::{EventScope, Tables};
use datafusion::arrow::array::{ArrayRef, PrimitiveArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::prelude::SessionContext;

use crate::expr_generate::Node;

/// The time of every record: 2026-01-02T03:04:05.678901Z.
pub const RECORD_TIME: i64 = 1_767_323_045_678_901;

static SESSION: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let table = LookupTable::parse(b"key,owner,zone\na,ann,red\nABC,bob,\n10,\xc3\xa4,blue\n", "key", LookupKind::Exact).expect("a table");
    let word = |text: &str| Spanned::new(text.to_owned(), Span::new(0, 0, 0));
    let lookup = Lookup { name: word("table"), file: PathBuf::new(), key: word("key"), kind: LookupKind::Exact, table: Arc::new(table), broken: false };
    Tables::new(&[lookup])
});

/// Types an expression over events; the text of its mistakes if it has some.
pub fn typed(text: &str) -> Result<Typed, String> {
    let expr = parse(text).map_err(|error| format!("{}..{}: {error}", error.start, error.end))?;
    let scope = EventScope { tables: &TABLES, occurred: false, mapped: true };
    let (typed, problems) = check(&expr, &scope, None);
    typed.ok_or_else(|| problems.iter().filter(|p| !p.warning).map(|p| format!("{}..{}: {}", p.start, p.end, p.message)).collect::<Vec<_>>().join("; "))
}

/// Reads an event's tree, without a decoder.
pub struct Plain<'a>(pub &'a Node);

impl Plain<'_> {
    fn find(&self, path: &Path) -> Option<&Node> {
        let found = all_at(self.0, path.steps(), 0);
        found.into_iter().reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, node)| node)
    }
}

/// Every value at a path, flat dotted keys included, with its depth of nesting. (Generated
/// objects have each key once.)
fn all_at<'n>(node: &'n Node, steps: &[Step], depth: usize) -> Vec<(usize, &'n Node)> {
    let Some(first) = steps.first() else { return vec![(depth, node)] };
    match (first, node) {
        (Step::Index(index), Node::Array(list)) => list.get(*index as usize).map_or(Vec::new(), |node| all_at(node, &steps[1..], depth + 1)),
        (Step::Key(_), Node::Object(members)) => {
            let mut found = Vec::new();
            let mut joined = String::new();
            for (taken, step) in steps.iter().enumerate() {
                let Step::Key(key) = step else { break };
                joined = if taken == 0 { key.to_string() } else { format!("{joined}.{key}") };
                let members = members.iter().filter(|(known, _)| *known == joined);
                found.extend(members.flat_map(|(_, node)| all_at(node, &steps[taken + 1..], depth + 1)));
            }
            found
        }
        _ => Vec::new(),
    }
}

/// A number as JSON or a log writes it: no words, no infinity.
fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
    if text.chars().any(|c| c.is_alphabetic() && !matches!(c, 'e' | 'E')) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(if number == 0.0 { 0.0 } else { number })
}

impl Row for Plain<'_> {
    fn get(&self, source: &Source, ty: Type) -> Value<'_> {
        let path = match source {
            Source::Event(path) => path,
            Source::Record(Record::Timestamp) => return Value::Time(RECORD_TIME),
            other => panic!("{other:?} is not read here"),
        };
        let Some(node) = self.find(path) else { return Value::Null };
        let value = match (ty, node) {
            (_, Node::Null) => None,
            (Type::Text, Node::Text(content, _)) => Some(Value::Text(content.as_str().into())),
            (Type::Text, other) => Some(Value::Text(other.json().into())),
            (Type::Number, Node::Number(digits)) => plain_number(digits).map(Value::Number),
            (Type::Number, Node::Text(content, _)) => plain_number(content).map(Value::Number),
            (Type::Boolean, Node::Bool(truth)) => Some(Value::Boolean(*truth)),
            (Type::Boolean, Node::Text(content, _)) => {
                let word = content.trim_matches([' ', '\t', '\n', '\r', '\x0c']).to_ascii_lowercase();
                matches!(word.as_str(), "true" | "false").then(|| Value::Boolean(word == "true"))
            }
            _ => None,
        };
        value.unwrap_or(Value::Null)
    }
}

/// Evaluates the expressions over decoded events as one phase: values per expression and event.
pub fn compiled(list: &[Typed], events: &[Node]) -> Result<Vec<Vec<Value<'static>>>, String> {
    let phase = Phase::new(list, &SESSION).map_err(|error| format!("cannot be planned: {}", error.strip_backtrace()))?;
    let mut paths: Vec<Path> = Vec::new();
    for (source, _) in &phase.inputs {
        if let Source::Event(path) = source
            && !paths.contains(path)
        {
            paths.push(path.clone());
        }
    }
    let shape = Arc::new(Shape::new(&paths, ShapeOptions::default()));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&shape);
    let mut bytes = Vec::new();
    let mut ranges = Vec::new();
    for event in events {
        let start = bytes.len();
        bytes.extend_from_slice(event.json().as_bytes());
        ranges.push(start..bytes.len());
    }
    bytes.extend_from_slice(&[0; 64]);
    for (number, range) in ranges.into_iter().enumerate() {
        let found = decoder.decode(&bytes, range, number as u32, &mut rows).map_err(|reject| format!("event {number} is refused: {reject:?}"))?;
        assert_eq!(found, 1);
    }
    let arena = Arena::new(bytes);
    let selected: Vec<u32> = (0..events.len() as u32).collect();
    let inputs: Vec<ArrayRef> = phase
        .inputs
        .iter()
        .map(|(source, ty)| match source {
            Source::Event(path) => {
                let number = paths.iter().position(|known| known == path).expect("a path of the shape");
                columns::column(&arena, &rows.columns[number], &selected, *ty)
            }
            Source::Record(Record::Timestamp) => {
                let times = PrimitiveArray::<TimestampMicrosecondType>::from_value(RECORD_TIME, events.len());
                Arc::new(times.with_timezone("+00:00")) as ArrayRef
            }
            other => panic!("{other:?} is not read here"),
        })
        .collect();
    let mut poison = Vec::new();
    let outputs = phase.evaluate(inputs, events.len(), &mut poison);
    if !poison.is_empty() {
        return Err(format!("evaluation failed on rows {poison:?}: expressions are total"));
    }
    Ok(list.iter().zip(&outputs).map(|(typed, column)| (0..events.len()).map(|row| array_value(column, row, typed.ty).into_owned()).collect()).collect())
}

/// The reference evaluator's value for one event, and whether something failed.
pub fn reference(typed: &Typed, event: &Node) -> (Value<'static>, bool) {
    let mut failed = false;
    let value = evaluate(typed, &Plain(event), &mut failed).into_owned();
    (value, failed)
}

/// Holds both evaluators equal over all events; the values, per expression and event.
pub fn both(texts: &[String], events: &[Node]) -> Result<Vec<Vec<Value<'static>>>, String> {
    let list = texts.iter().map(|text| typed(text).map_err(|error| format!("{text}\n  does not type: {error}"))).collect::<Result<Vec<_>, _>>()?;
    let values = compiled(&list, events).map_err(|error| format!("{error}\n  {}", texts.join("\n  ")))?;
    for ((text, typed), column) in texts.iter().zip(&list).zip(&values) {
        for (event, found) in events.iter().zip(column) {
            let (wanted, _) = reference(typed, event);
            if *found != wanted {
                return Err(format!("{text}\n  compiled  {found:?}\n  reference {wanted:?}\n  event     {}", event.json()));
            }
        }
    }
    Ok(values)
}
