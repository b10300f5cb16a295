//! Hostile content and hostile events: bounded work and a typed error, never a hang.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::fault::{Budget, Fault};
use catchment::expr::xsoar::model::{Argument, Complex, Operand, Place, Test, Transformer};
use catchment::expr::xsoar::path::Dt;
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::expr::xsoar::transform::{self, Args};
use catchment::expr::xsoar::{filter, read};
use serde_json::{Value, json};

/// One evaluation, on this machine, under load.
const LONGEST: Duration = Duration::from_secs(10);

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    assert!(start.elapsed() < LONGEST, "{what} took {:?}", start.elapsed());
    result
}

fn dt(text: &str, context: &Value) -> Result<Value, Fault> {
    let parsed = Dt::parse(text).map_err(|error| Fault::Unusable(error.what))?;
    timed(text, || parsed.evaluate(context, &Budget::default()))
}

fn transformed(name: &str, value: Value, args: &[(&str, Value)]) -> Result<Value, Fault> {
    let known = transform::find(name).unwrap();
    let values: Vec<(Cow<'_, str>, Value)> = args.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect();
    timed(name, || transform::apply(known, &value, &Args { operator: known.name, values: &values }, &Env::new(&Value::Null)))
}

#[test]
fn xsoar_hostile_scripts_end() {
    let context = json!({"a": "x".repeat(100_000), "l": (0..10_000).collect::<Vec<_>>()});
    for text in [
        ".=(function() { while (true) {} })()",
        ".=(function() { for (;;); })()",
        ".=f(1);function f(x) { return f(x + 1) }",
        ".=(function() { var s = 'x'; while (true) { s += s } })()",
        ".='x'.repeat(1e12)",
        ".='x'.padStart(1e12)",
        ".=new Array(1e12)",
        ".=(function() { var a = []; a.push(a); return a })()",
        ".=(function() { var a = {}; a.a = a; return a })()",
        ".=(function() { var a = []; a.push(a); return JSON.stringify(a) })()",
        ".=(function() { var a = []; a[4294967295] = 1; return a })()",
        ".=(function() { var l = [1]; while (true) { l = l.concat(l) } })()",
        ".=val.a.split('').map(x => val.a)",
        ".=val.l.map(x => val.l.map(y => val.l))",
    ] {
        assert!(matches!(dt(text, &context), Err(Fault::Budget { .. })), "{text}: {:?}", dt(text, &context).map(|v| v.to_string().len()));
    }
    // Lists that hold themselves can be printed: the text is bounded.
    assert!(dt(".=(function() { var a = []; a.push(a); return a + '' })()", &context).is_ok());
}

#[test]
fn xsoar_hostile_texts_are_refused() {
    for text in [
        format!(".={}", "(".repeat(100_000)),
        format!(".={}", "[".repeat(60_000)),
        format!(".={}1", "!".repeat(60_000)),
        format!(".={}1", "1+".repeat(30_000)),
        format!(".={}", "a.".repeat(30_000)),
        format!(".={}1", "x=>".repeat(20_000)),
        format!(".={}", "`${".repeat(20_000)),
        format!("f=1;{}", "if(1)".repeat(12_000)),
        format!("f=1;{}", "{".repeat(60_000)),
        "a.".repeat(100_000),
        format!(".={}", "1".repeat(1 << 20)),
        "a(".to_owned(),
        ".='".to_owned(),
        ".=/".to_owned(),
        ".=`".to_owned(),
        "[".to_owned(),
        ".=1 2".to_owned(),
        "\u{0}".to_owned(),
    ] {
        let parsed = timed("parse", || Dt::parse(&text));
        assert!(parsed.is_err() || text.len() < 3, "{}", text.chars().take(40).collect::<String>());
    }
}

#[test]
fn xsoar_hostile_patterns_end() {
    let text = format!("{}!", "a".repeat(50_000));
    // Linear where it can be, bounded where not.
    assert_eq!(transformed("replaceMatch", json!(text), &[("regex", json!("(a+)+$")), ("replaceWith", json!("b"))]).unwrap(), json!(text));
    assert!(matches!(
        transformed("RegexReplace", json!(text), &[("regex", json!("(?=((a+)+)\\1b)a")), ("output_format", json!(""))]),
        Err(Fault::Budget { .. })
    ));
    assert!(matches!(transformed("RegexGroups", json!(text), &[("regex", json!("(a*)*\\1c"))]), Err(Fault::Budget { .. })));
    for pattern in ["(", "a{1000}{1000}{1000}", "[", "(?P<", "\\", "x{5,2}"] {
        assert!(transformed("RegexReplace", json!("x"), &[("regex", json!(pattern))]).is_err(), "{pattern}");
    }
    let huge = "(a|b)".repeat(300_000);
    assert!(matches!(transformed("replaceMatch", json!("x"), &[("regex", json!(huge))]), Err(Fault::Pattern { .. })));
    let env = Env::new(&Value::Null);
    let matches = filter::find("match").unwrap();
    assert!(timed("match", || filter::apply(matches, &json!(text), &json!("(a|aa)+$"), false, &env)).is_ok());
}

#[test]
fn xsoar_hostile_arguments_are_bounded() {
    assert!(matches!(transformed("PadZeros", json!("1"), &[("length", json!(1e15))]), Err(Fault::Budget { .. })));
    let list: Vec<u32> = (0..5_000).collect();
    assert!(matches!(transformed("ProductJoin", json!(list), &[("list2", json!(list))]), Err(Fault::Budget { .. })));
    let long = "x".repeat(1 << 20);
    assert!(matches!(transformed("replace", json!(long), &[("toReplace", json!("x")), ("replaceWith", json!(long))]), Err(Fault::Budget { .. })));
    assert!(matches!(
        transformed("replaceMatch", json!(long), &[("regex", json!("x")), ("replaceWith", json!("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"))]),
        Err(Fault::Budget { .. })
    ));
    for (name, value, args) in [
        ("TimeStampToDate", json!("99999999999999999999999999"), vec![]),
        ("TimeStampToDate", json!("x"), vec![]),
        ("division", json!(1), vec![("by", json!(0))]),
        ("toUnix", json!("no date"), vec![]),
        ("ModifyDateTime", json!("2020-01-01"), vec![("variation", json!("999999999999 years"))]),
        ("ModifyDateTime", json!("2020-01-01"), vec![("variation", json!("9999999999999999999999 s"))]),
        ("Jmespath", json!({}), vec![("expression", json!("[".repeat(5000)))]),
        ("SumList", json!([[1]]), vec![]),
        ("quadraticEquation", json!(0), vec![("b", json!(1)), ("c", json!(1))]),
        ("Base64Decode", json!("////"), vec![]),
    ] {
        assert!(transformed(name, value, &args).is_err(), "{name}");
    }
    assert_eq!(transformed("substring", json!("héllo"), &[("from", json!(-5)), ("to", json!(1e18))]).unwrap(), json!("héllo"));
    assert_eq!(transformed("slice", json!([1, 2]), &[("from", json!(5)), ("to", json!(1))]).unwrap(), json!([]));
    assert_eq!(transformed("splice", json!([1]), &[("index", json!(1e18)), ("deleteCount", json!(1e18)), ("item", json!(2))]).unwrap(), json!([1, 2]));
    assert_eq!(transformed("atIndex", json!([1]), &[("index", json!(1e300))]).unwrap(), json!(null));
}

#[test]
fn xsoar_hostile_every_transformer_takes_every_value() {
    let values = [
        json!(null),
        json!(""),
        json!("a,b"),
        json!(-0.0),
        json!(1e300),
        json!(true),
        json!([]),
        json!([null, [1, [2]], {"a": 1}]),
        json!({}),
        json!({"a": {"b": [1]}}),
        json!("\u{1F600}é\u{0}"),
    ];
    let odd = [json!(null), json!(""), json!("x"), json!(-1), json!(1e300), json!([1, "a"]), json!({"a": 1}), json!("[")];
    for name in transform::names() {
        let known = transform::find(name).unwrap();
        for value in &values {
            for argument in &odd {
                let args: Vec<(&str, Value)> = known.required.iter().chain(known.optional).map(|name| (*name, argument.clone())).collect();
                let _ = transformed(name, value.clone(), &args);
            }
        }
    }
    let env = Env::new(&Value::Null);
    for name in filter::names() {
        for left in &values {
            for right in &odd {
                let _ = filter::apply(filter::find(name).unwrap(), left, right, true, &env);
            }
        }
    }
}

#[test]
fn xsoar_hostile_deep_values() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({"a": [deep]});
    }
    assert!(dt(&"a.".repeat(100), &deep).is_ok());
    assert!(matches!(dt(".=val", &deep), Err(Fault::Budget { .. })));
    let mut argument = Argument::Simple("x".to_owned());
    for _ in 0..300 {
        let arg = Operand { value: argument, from_context: false };
        let transformers = vec![Transformer { operator: "append".to_owned(), args: vec![("item".to_owned(), arg)] }];
        argument = Argument::Complex(Box::new(Complex { root: "a".to_owned(), transformers, ..Complex::default() }));
    }
    let (prepared, problems) = prepare(&argument, Place::Context, &Options::default());
    assert!(!problems.is_empty(), "values that nest too deep are reported");
    assert!(timed("deep", || prepared.evaluate(&Env::new(&deep))).is_err());
}

#[test]
fn xsoar_hostile_shapes_are_refused() {
    let mut deep = json!({"simple": "x"});
    for _ in 0..200 {
        deep = json!({"complex": {"root": "a", "transformers": [{"operator": "append", "args": {"item": {"value": deep}}}]}});
    }
    assert!(read::argument(&deep).is_err());
    for value in [
        json!([]),
        json!({"complex": 1}),
        json!({"simple": []}),
        json!({"complex": {"root": []}}),
        json!({"complex": {"filters": 1}}),
        json!({"complex": {"transformers": [1]}}),
        json!({"complex": {"transformers": [{"args": {}}]}}),
    ] {
        assert!(read::argument(&value).is_err(), "{value}");
    }
    let (_, problems) = prepare(
        &Argument::Complex(Box::new(Complex {
            root: "a".to_owned(),
            filters: vec![vec![Test { operator: "noSuch".to_owned(), ..Test::default() }], vec![]],
            transformers: vec![Transformer { operator: "uniqq".to_owned(), args: Vec::new() }],
            ..Complex::default()
        })),
        Place::Event,
        &Options::default(),
    );
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["unknown-operator", "empty-group", "unknown-operator"]);
    assert_eq!(problems[0].pointer, "/complex/filters/0/0");
}
