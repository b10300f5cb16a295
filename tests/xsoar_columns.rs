//! Computed columns equal the reference evaluator: generated events and expressions, and the
//! mappers of the packs over the recorded alerts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catchment::content::field::FieldType;
use catchment::content::value::convert;
use catchment::expr::path::Path;
use catchment::expr::xsoar::columnar;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::model::{Argument, Complex, Operand, Place, Test, Transformer};
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::expr::xsoar::prepared::Prepared;
use catchment::expr::xsoar::value::equal;
use catchment::expr::xsoar::{filter, read, transform};
use catchment::ingest::computed::{self, Builder, Computed, Counters, Runner, When};
use catchment::ingest::decode::{DecodeLimits, Decoder, Kind, PADDING, Rows, Shape, ShapeOptions, Slot, unescape};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::decode_oracle::shared;
use crate::xsoar_packs;

/// The value that a slot points at.
fn value_of(arena: &[u8], slot: Slot) -> Value {
    match slot.kind() {
        Kind::Missing | Kind::Null => Value::Null,
        Kind::String => Value::from(std::str::from_utf8(slot.raw(arena)).unwrap()),
        Kind::StringEscaped => {
            let mut content = Vec::new();
            unescape(slot.raw(arena), &mut content);
            Value::from(String::from_utf8(content).unwrap())
        }
        _ => serde_json::from_slice(slot.token(arena)).unwrap(),
    }
}

/// Expressions over events, as columns.
struct Columns {
    computed: Computed,
    paths: Vec<Path>,
    /// Per expression: the number of its column.
    columns: Vec<usize>,
}

fn compile(expressions: &[Prepared], shapes: &[Option<computed::Shape>]) -> Columns {
    let mut paths: Vec<Path> = Vec::new();
    let mut number = |path: &Path| {
        paths.iter().position(|known| known == path).unwrap_or_else(|| {
            paths.push(path.clone());
            paths.len() - 1
        })
    };
    let mut builder = Builder::new(&mut number);
    for (id, expression) in expressions.iter().enumerate() {
        builder.add(id as u32, "x", expression, shapes.get(id).copied().flatten(), When::All);
    }
    let computed = builder.finish();
    let columns = computed.outputs.iter().map(|output| output.column).collect();
    Columns { computed, paths, columns }
}

/// What the columns hold: per event and expression the value, and whether it failed.
pub struct Run {
    pub values: Vec<Vec<(Value, bool)>>,
    pub columnar: u64,
    pub fallback: u64,
}

/// Decodes events and computes expressions over them.
pub fn run(expressions: &[Prepared], events: &[Value]) -> Run {
    shaped(expressions, &[], events)
}

/// The same, for fields of some types.
fn shaped(expressions: &[Prepared], shapes: &[Option<computed::Shape>], events: &[Value]) -> Run {
    let columns = compile(expressions, shapes);
    let shape = Arc::new(Shape::new(&columns.paths, ShapeOptions::default()));
    let mut decoder = Decoder::new(shape.clone(), DecodeLimits::default());
    let mut rows = Rows::new(&shape);
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    for event in events {
        let start = arena.len();
        arena.extend_from_slice(event.to_string().as_bytes());
        ranges.push(start..arena.len());
        arena.extend_from_slice(&[0; PADDING]);
    }
    for (number, range) in ranges.into_iter().enumerate() {
        decoder.decode(&arena, range, number as u32, &mut rows).unwrap();
    }
    Runner::default().fill(&columns.computed, &mut arena, &mut rows, &|_| Some(NOW_US));
    let value = |row: usize, column: &usize| {
        let slot = rows.columns[*column].get(row);
        (value_of(&arena, slot), slot.kind() == Kind::Null)
    };
    let values = (0..events.len()).map(|row| columns.columns.iter().map(|column| value(row, column)).collect()).collect();
    let sum = |pick: fn(&Counters) -> &AtomicU64| columns.computed.outputs.iter().map(|output| pick(&output.counters).load(Ordering::Relaxed)).sum();
    Run { values, columnar: sum(|counters| &counters.columnar), fallback: sum(|counters| &counters.fallback) }
}

/// 2020-06-15T12:00:00Z
const NOW_US: i64 = 1_592_222_400_000_000;

/// Compares every value with the reference evaluator's. Returns the costs.
fn compare(expressions: &[Prepared], events: &[Value]) -> Result<(u64, u64), String> {
    let run = run(expressions, events);
    for (event, values) in events.iter().zip(&run.values) {
        for (expression, (got, failed)) in expressions.iter().zip(values) {
            let wanted = expression.evaluate(&Env { now_us: Some(NOW_US), ..Env::new(event) });
            let same = match &wanted {
                Ok(wanted) => equal(wanted, got) && !failed,
                Err(_) => got.is_null() && *failed,
            };
            if !same {
                return Err(format!("{expression:?}\n  event {event}\n  reference {wanted:?}\n  column {got} failed {failed}"));
            }
        }
    }
    Ok((run.columnar, run.fallback))
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3i64..3).prop_map(Value::from),
        prop_oneof![
            Just(json!(1.5)),
            Just(json!(-0.0)),
            Just(json!(1e30)),
            Just(json!(1525006939)),
            Just(json!(1.525006939e12)),
            Just(json!(18446744073709551615u64)),
            Just(json!(12345678901234567u64))
        ],
        prop_oneof![
            Just("".to_owned()),
            Just("a".to_owned()),
            Just("1525006939".to_owned()),
            Just("A,b , C".to_owned()),
            Just("say \"hi\"\\\n".to_owned()),
            Just("Größe ß İ".to_owned()),
            Just("2020-06-11T17:34:35Z".to_owned()),
            Just("none".to_owned()),
            Just("{\"k\": [1]}".to_owned()),
            Just("10.0.0.1".to_owned()),
            "[a-c,=:]{0,8}".prop_map(|s| s)
        ]
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "x y", "A_b", "a.b", "k\"q"]).prop_map(str::to_owned)
}

fn event() -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), value()), 0..6).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![6 => Just("a"), 4 => Just("b"), 2 => Just("c"), 1 => Just("x y"), 1 => Just("A_b"), 2 => Just("[0]"), 1 => Just("[1]"), 1 => Just("[0:1]")],
        1..4,
    )
    .prop_map(|steps| steps.join("."))
}

/// DT texts that run over a text alone, and such that need more.
const SCRIPTS: [&str; 6] = [
    ".=val && val.toLowerCase().indexOf(\"a\") > -1 ? \"A\" : \"B\"",
    ".=val.length > 2 || !val ? val.toUpperCase() + \"-\" + val.length : null",
    ".=/^[a-c]+$/.test(val) && val.trim() !== \"a\"",
    ".=val.startsWith(\"a\") == val.endsWith(\"c\")",
    ".=val.a",
    ".=val >= \"a\" ? -1 : val.includes(\",\")",
];

fn step() -> impl Strategy<Value = Transformer> {
    let names: Vec<&'static str> = transform::names().collect();
    let frequent = prop::sample::select(vec![
        "join",
        "count",
        "TimeStampToDate",
        "ConvertKeysToTableFieldFormat",
        "substringFrom",
        "substringTo",
        "concat",
        "toLowerCase",
        "toUpperCase",
        "uniq",
        "getField",
        "split",
        "SetIfEmpty",
        "ConvertAllExcept",
        "DT",
    ]);
    let texts = prop::sample::select(vec!["", "a", "b", ",", "1", "-1", "2", "a,b", "a,1", "true", "[a-c]+", "(a)(b)?", "none", "${a}", "x"]);
    (prop_oneof![3 => frequent, 2 => prop::sample::select(names)], prop::collection::vec(texts, 6)).prop_map(|(name, texts)| {
        let known = transform::find(name).unwrap();
        let names = known.required.iter().chain(known.optional);
        let script = |name: &str, text: &'static str| if name == "dt" { SCRIPTS[text.len() % SCRIPTS.len()] } else { text };
        let args = names.zip(texts).map(|(name, text)| ((*name).to_owned(), Operand::text(script(name, text)))).collect();
        Transformer { operator: name.to_owned(), args }
    })
}

/// A test: operator, where its left side is, the right side, case.
type Drawn = (&'static str, u8, &'static str, bool);

/// No filter mostly; else groups of tests.
fn filters() -> impl Strategy<Value = Vec<Vec<Drawn>>> {
    let names: Vec<&'static str> = filter::names().collect();
    let right = prop::sample::select(vec!["", "a", "A", "1", "a,b", "10.0.0.0/8", "[ab]", "2020-06-11", "2 days ago", "true", "${a}"]);
    let test = (prop::sample::select(names), 0u8..4, right, any::<bool>());
    prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(prop::collection::vec(test, 1..3), 1..3)]
}

fn test_at(root: &str, (operator, left, right, ignore_case): Drawn) -> Test {
    let left = match left {
        0 => root.to_owned(),
        1 => format!("{root}.a"),
        2 => format!("{root}.b.a"),
        _ => "a".to_owned(),
    };
    Test { operator: operator.to_owned(), left: Operand::path(left), right: Some(Operand::text(right)), ignore_case, ..Test::default() }
}

fn expression() -> impl Strategy<Value = Argument> {
    let complex =
        (path(), path(), prop::bool::weighted(0.5), prop::collection::vec(step(), 0..3), filters()).prop_map(|(root, accessor, both, transformers, filter)| {
            let filters = filter.into_iter().map(|group| group.into_iter().map(|test| test_at(&root, test)).collect()).collect();
            Argument::Complex(Box::new(Complex { root, accessor: if both { accessor } else { String::new() }, filters, transformers }))
        });
    prop_oneof![
        1 => path().prop_map(Argument::Simple),
        1 => (path(), path()).prop_map(|(a, b)| Argument::Simple(format!("<${{{a}}} \"${{{b}}}\">"))),
        1 => Just(Argument::Simple(".='Both'".to_owned())),
        1 => Just(Argument::Simple("a(val.b)".to_owned())),
        8 => complex,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn xsoar_columns_equal_the_reference(arguments in prop::collection::vec(expression(), 1..5), events in prop::collection::vec(event(), 1..6)) {
        let expressions: Vec<Prepared> = arguments.iter().map(|argument| prepare(argument, Place::Event, &Options::default()).0).collect();
        if let Err(difference) = compare(&expressions, &events) {
            prop_assert!(false, "{}", difference);
        }
    }
}

/// An event whose values are often there, and sometimes null.
fn plain_event() -> impl Strategy<Value = Value> {
    let value = prop_oneof![6 => leaf(), 2 => Just(Value::Null), 1 => value()];
    let members = (value.clone(), value.clone(), prop::option::weighted(0.1, value)).prop_map(|(a, b, c)| json!({"a": a, "b": {"a": b}, "c": c}));
    (members, prop::bool::weighted(0.1)).prop_map(|(mut event, without)| {
        for key in ["a", "c"] {
            if event[key].is_null() && (key == "c" || without) {
                event.as_object_mut().unwrap().remove(key);
            }
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    /// What most fields are: a path, in the shape of the field's type.
    #[test]
    fn xsoar_columns_have_the_shape_of_fields(
        fields in prop::collection::vec((prop::sample::select(vec!["a", "b.a", "c", "b"]), prop::sample::select(FIELD_TYPES.to_vec())), 1..5),
        events in prop::collection::vec(plain_event(), 1..40),
    ) {
        let arguments = fields.iter().map(|(path, _)| Argument::Simple((*path).to_owned()));
        let expressions: Vec<Prepared> = arguments.map(|argument| prepare(&argument, Place::Event, &Options::default()).0).collect();
        let shapes: Vec<Option<computed::Shape>> = fields.iter().map(|(_, field)| Some(computed::Shape::Field(*field))).collect();
        let run = shaped(&expressions, &shapes, &events);
        for (event, values) in events.iter().zip(&run.values) {
            for ((expression, (_, field)), (got, failed)) in expressions.iter().zip(&fields).zip(values) {
                let value = expression.evaluate(&Env { now_us: Some(NOW_US), ..Env::new(event) }).unwrap();
                match convert(*field, value) {
                    Ok(wanted) => prop_assert!(equal(&wanted.clone().unwrap_or_default(), got) && !failed, "{field:?} {event}: {wanted:?}, column {got}"),
                    Err(_) => prop_assert!(got.is_null() && *failed, "{field:?} {event}: no value, column {got}"),
                }
            }
        }
    }
}

/// One of each kind of shape.
const FIELD_TYPES: [FieldType; 10] = [
    FieldType::ShortText,
    FieldType::LongText,
    FieldType::Boolean,
    FieldType::MultiSelect,
    FieldType::Date,
    FieldType::Number,
    FieldType::Internal,
    FieldType::Grid,
    FieldType::Timer,
    FieldType::TagsSelect,
];

/// Mapper and classifier expressions of one file.
fn expressions(file: &Value) -> Vec<Argument> {
    let mut found = Vec::new();
    if let Some(transformer) = file.get("transformer") {
        found.push(read::argument(transformer).unwrap());
    }
    for section in file["mapping"].as_object().into_iter().flat_map(|sections| sections.values()) {
        for entry in section["internalMapping"].as_object().into_iter().flat_map(|entries| entries.values()) {
            found.push(read::argument(entry).unwrap());
        }
    }
    found.retain(|argument| !argument.is_blank());
    found
}

/// All mappers and classifiers: name of the pack, expressions.
fn mappers() -> Vec<(String, Vec<Argument>)> {
    let files = xsoar_packs::all().into_iter().filter(|(path, _)| path.iter().any(|part| part == "Classifiers"));
    files.map(|(path, file)| (path.file_stem().unwrap().to_string_lossy().into_owned(), expressions(&file))).collect()
}

/// At least so many per cent of the expressions of mappers and classifiers run over columns.
const COLUMNAR_MIN: f64 = 95.0;

#[test]
fn xsoar_columns_of_the_packs() {
    let mappers = mappers();
    let (mut all, mut reasons) = (0, std::collections::BTreeMap::<String, usize>::new());
    for (_, arguments) in &mappers {
        for argument in arguments {
            all += 1;
            let (prepared, problems) = prepare(argument, Place::Event, &Options::default());
            assert!(problems.iter().all(|problem| problem.severity < catchment::expr::xsoar::prepare::Severity::Error), "{problems:?}");
            if let Err(why) = columnar::plan(&prepared) {
                *reasons.entry(why.to_string()).or_default() += 1;
            }
        }
    }
    if all > 0 {
        let share = 100.0 - 100.0 * reasons.values().sum::<usize>() as f64 / f64::from(all);
        println!("{all} expressions, {share:.2} % over columns; not: {reasons:?}");
        assert!(share >= COLUMNAR_MIN);
    }
}

#[test]
fn xsoar_columns_over_recorded_alerts() {
    let mappers = mappers();
    let Some(dir) = shared("xsoar/events") else { return };
    let (mut columnar, mut fallback) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let events: Vec<Value> = std::fs::read_to_string(&path).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let product: String = path.file_stem().unwrap().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        for (name, arguments) in &mappers {
            let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            if !name.contains(&product) {
                continue;
            }
            let prepared: Vec<Prepared> = arguments.iter().map(|argument| prepare(argument, Place::Event, &Options::default()).0).collect();
            let (c, f) = compare(&prepared, &events).unwrap();
            println!("{name}: {} expressions, {} events: {c} columnar, {f} fallback", prepared.len(), events.len());
            columnar += c;
            fallback += f;
        }
    }
    let share = 100.0 * columnar as f64 / (columnar + fallback) as f64;
    println!("{columnar} columnar, {fallback} fallback: {share:.3} %");
    assert!(share >= 99.0);
}
