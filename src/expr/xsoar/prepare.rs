//! Model → prepared expression: operators found, paths and DT parsed, templates cut,
//! literal patterns tried. All problems of a value are found at once; a value always comes
//! out, and what is broken in it fails when it is evaluated.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::external::{Program, Programs};
use super::filter;
use super::model::{Argument, Complex, Operand, Place, Test, Tests, Transformer as Written};
use super::path::Dt;
use super::pattern::{Dialect, Flags, Pattern};
use super::prepared::{Chain, Left, Operator, Piece, Prepared, PreparedTest, PreparedTests, Source, Step, Tester};
use super::transform;

/// Parts of a pointer: values in arguments of values. A level of arguments is four. Real content has below 20.
const NESTING_MAX: usize = 96;

/// What loads packs knows beside them.
#[derive(Default, Clone, Copy)]
pub struct Options<'a> {
    /// A user's own operators, which run outside of the process.
    pub scripts: Option<&'a Programs>,
    /// True for a script of a pack: its code is not run.
    pub in_packs: Option<&'a dyn Fn(&str) -> bool>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but perhaps not as meant.
    Warning,
    /// The part cannot be evaluated.
    Error,
}

/// Something wrong with a value of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer inside the value.
    pub pointer: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of problem, for machines.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

/// Whether tests are of the items of a list or of the whole context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<'a> {
    /// Conditions: the left side is evaluated once.
    Condition,
    /// A filter over the list at this root.
    ListFilter(&'a str),
}

/// Prepares a value.
pub fn prepare(argument: &Argument, place: Place, options: &Options<'_>) -> (Prepared, Vec<Problem>) {
    let mut preparer = Preparer { options, problems: Vec::new(), pointer: Vec::new() };
    let prepared = preparer.argument(argument, place);
    (prepared, preparer.problems)
}

/// Prepares tests.
pub fn prepare_tests(tests: &Tests, mode: Mode<'_>, options: &Options<'_>) -> (PreparedTests, Vec<Problem>) {
    let mut preparer = Preparer { options, problems: Vec::new(), pointer: Vec::new() };
    let prepared = preparer.tests(tests, mode);
    (prepared, preparer.problems)
}

struct Preparer<'a> {
    options: &'a Options<'a>,
    problems: Vec<Problem>,
    pointer: Vec<String>,
}

impl Preparer<'_> {
    fn within<T>(&mut self, part: impl ToString, run: impl FnOnce(&mut Self) -> T) -> T {
        self.pointer.push(part.to_string());
        let result = run(self);
        self.pointer.pop();
        result
    }

    fn problem(&mut self, severity: Severity, code: &'static str, message: impl Into<String>, hint: Option<String>) {
        let pointer = self.pointer.iter().map(|part| format!("/{part}")).collect();
        self.problems.push(Problem { pointer, severity, code, message: message.into(), hint });
    }

    fn argument(&mut self, argument: &Argument, place: Place) -> Prepared {
        if self.pointer.len() > NESTING_MAX {
            self.problem(Severity::Error, "too-deep", "values nest too deep", None);
            return Prepared::Broken("values nest too deep".into());
        }
        match argument {
            Argument::Unset => Prepared::Unset,
            Argument::Simple(text) => self.within("simple", |p| p.simple(text, place)),
            Argument::Complex(complex) => self.within("complex", |p| Prepared::Complex(Arc::new(p.complex(complex)))),
        }
    }

    fn simple(&mut self, text: &str, place: Place) -> Prepared {
        let trimmed = text.trim();
        match place {
            Place::Text => self.template(text),
            Place::Context => match whole(trimmed) {
                Some(inner) => self.path(inner),
                None => self.path(trimmed),
            },
            Place::Event if trimmed.is_empty() => Prepared::Unset,
            Place::Event if trimmed.contains("${") => self.template(text),
            Place::Event => match trimmed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(constant) => Prepared::Constant(Value::from(constant)),
                None => self.path(trimmed),
            },
        }
    }

    fn path(&mut self, text: &str) -> Prepared {
        match self.dt(text) {
            Ok(dt) => Prepared::Path(dt),
            Err(reason) => Prepared::Broken(reason),
        }
    }

    /// A path or a DT expression; names with brackets in them, which only look like one, are plain paths.
    fn dt(&mut self, text: &str) -> Result<Arc<Dt>, Arc<str>> {
        match Dt::parse(text) {
            Ok(dt) => Ok(Arc::new(dt)),
            Err(_) if !text.contains("val") && !text.contains(".=") => Ok(Arc::new(Dt::plain(text))),
            Err(error) => {
                let message = format!(
                    "the DT expression cannot be read at character {}: {}",
                    text.get(..error.at).map_or(0, |before| before.chars().count()) + 1,
                    error.what
                );
                self.problem(Severity::Error, "bad-dt", message.clone(), None);
                Err(message.into())
            }
        }
    }

    fn template(&mut self, text: &str) -> Prepared {
        if let Some(inner) = whole(text.trim()) {
            return self.path(inner);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let after = rest.get(at + 2..).unwrap_or_default();
            let Some(end) = balanced(after) else { break };
            literal.push_str(rest.get(..at).unwrap_or_default());
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            match self.dt(after.get(..end).unwrap_or_default()) {
                Ok(dt) => pieces.push(Piece::Value(dt)),
                Err(reason) => return Prepared::Broken(reason),
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        literal.push_str(rest);
        if pieces.is_empty() {
            return Prepared::Constant(Value::String(literal));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Prepared::Template(pieces.into())
    }

    fn complex(&mut self, complex: &Complex) -> Chain {
        let source = self.source(complex);
        let steps =
            complex.transformers.iter().enumerate().map(|(number, written)| self.within(format!("transformers/{number}"), |p| p.step(written))).collect();
        Chain { source, steps }
    }

    fn source(&mut self, complex: &Complex) -> Source {
        let root = complex.root.trim();
        let from = |dt: Result<Arc<Dt>, Arc<str>>| dt.map_or_else(Source::Broken, Source::Path);
        // The editor cuts a DT expression at its first dot into root and accessor.
        if root.starts_with("${") && whole(root).is_none() {
            let joined = join(root, &complex.accessor);
            let inner = joined.trim().trim_start_matches("${");
            let inner = inner.strip_suffix('}').unwrap_or(inner).to_owned();
            let dt = self.dt(&inner);
            // A plain path that was cut like one: what stands before the cut is the list.
            let plain = dt.as_ref().is_ok_and(|dt| dt.is_plain());
            if complex.filters.is_empty() || !plain {
                if !complex.filters.is_empty() {
                    self.problem(Severity::Warning, "filters-on-dt", "filters beside a DT expression that was cut are not applied", None);
                }
                return from(dt);
            }
            let accessor = complex.accessor.trim();
            let accessor = accessor.strip_suffix('}').unwrap_or(accessor);
            return self.filtered(root.trim_start_matches("${").trim_end_matches('}'), accessor, &complex.filters);
        }
        let root = whole(root).unwrap_or(root).to_owned();
        if complex.filters.is_empty() {
            return from(self.dt(&join(&root, &complex.accessor)));
        }
        self.filtered(&root, &complex.accessor, &complex.filters)
    }

    fn filtered(&mut self, root: &str, accessor: &str, filters: &Tests) -> Source {
        let tests = self.within("filters", |p| p.tests(filters, Mode::ListFilter(root)));
        match (self.dt(root), self.dt(accessor)) {
            (Ok(root), Ok(accessor)) => Source::Filtered { root, tests, accessor },
            (Err(reason), _) | (_, Err(reason)) => Source::Broken(reason),
        }
    }

    fn tests(&mut self, tests: &Tests, mode: Mode<'_>) -> PreparedTests {
        let groups = tests.iter().enumerate().map(|(number, group)| {
            if group.is_empty() {
                self.within(number, |p| p.problem(Severity::Warning, "empty-group", "an empty group of tests passes everything", None));
            }
            let tests = group.iter().enumerate();
            tests.map(|(inner, test)| self.within(format!("{number}/{inner}"), |p| p.test(test, mode))).collect()
        });
        groups.collect()
    }

    fn test(&mut self, test: &Test, mode: Mode<'_>) -> PreparedTest {
        let filter = match filter::find(&test.operator) {
            Some(filter) => Tester::Known(filter),
            None => match self.script(&test.operator, filter::names().collect()) {
                Some(_) => Tester::External(test.operator.clone()),
                None => Tester::Unknown(test.operator.clone()),
            },
        };
        let left = self.within("left", |p| p.left(&test.left, mode));
        let right = match &test.right {
            Some(right) => self.within("right", |p| p.operand(right)),
            None => Prepared::Unset,
        };
        if let Tester::Known(filter) = filter {
            if !filter.unary && matches!(right, Prepared::Unset) {
                self.problem(Severity::Warning, "missing-argument", format!("`{}` has nothing to compare with: the right side is missing", filter.name), None);
            }
            if let (true, Prepared::Constant(Value::String(pattern))) = (filter.name == "match", &right) {
                self.pattern(pattern, Dialect::Go);
            }
        }
        PreparedTest { filter, ignore_case: test.ignore_case, left, right }
    }

    fn pattern(&mut self, pattern: &str, dialect: Dialect) {
        if Pattern::new(pattern, dialect, Flags::default()).is_none() {
            self.problem(Severity::Error, "bad-regex", "the regular expression cannot be compiled", None);
        }
    }

    /// Left paths are written from the top, and read from the item.
    fn left(&mut self, operand: &Operand, mode: Mode<'_>) -> Left {
        let Mode::ListFilter(root) = mode else {
            let operand = match &operand.value {
                // The left side is a path even where an export forgot to say so.
                Argument::Simple(_) => Operand { from_context: true, ..operand.clone() },
                _ => operand.clone(),
            };
            return Left::Global(self.operand(&operand));
        };
        let text = match &operand.value {
            Argument::Unset => return Left::Item,
            Argument::Simple(text) => text.trim().to_owned(),
            Argument::Complex(complex) if complex.filters.is_empty() && complex.transformers.is_empty() => join(complex.root.trim(), &complex.accessor),
            Argument::Complex(_) => return Left::Global(self.operand(operand)),
        };
        let path = whole(&text).unwrap_or(&text);
        let own = path.strip_prefix(root).map(|rest| (rest, rest.starts_with('.')));
        let read = |dt: Result<Arc<Dt>, Arc<str>>, make: fn(Arc<Dt>) -> Left| dt.map_or_else(|reason| Left::Global(Prepared::Broken(reason)), make);
        match own {
            Some(("", _)) => Left::Item,
            Some((rest, true)) if !root.is_empty() && root != "." => read(self.dt(rest), Left::OfItem),
            _ => read(self.dt(path), Left::ItemOrGlobal),
        }
    }

    fn operand(&mut self, operand: &Operand) -> Prepared {
        let place = if operand.from_context { Place::Context } else { Place::Text };
        match &operand.value {
            // An empty context path leads nowhere.
            Argument::Simple(text) if operand.from_context && text.trim().is_empty() => Prepared::Unset,
            value => self.within("value", |p| p.argument(value, place)),
        }
    }

    fn step(&mut self, written: &Written) -> Step {
        let operator = match transform::find(&written.operator) {
            Some(known) => Operator::Known(known),
            None => match self.script(&written.operator, transform::names().collect()) {
                Some(program) => Operator::External(written.operator.clone(), program.whole),
                None => Operator::Unknown(written.operator.clone()),
            },
        };
        let mut args: Vec<(Cow<'static, str>, Prepared)> = Vec::new();
        for (name, operand) in &written.args {
            let value = self.within(format!("args/{name}"), |p| p.operand(operand));
            if let Operator::Known(known) = operator {
                let found = known.required.iter().chain(known.optional).find(|known| known.eq_ignore_ascii_case(name));
                match found {
                    Some(found) => args.push((Cow::Borrowed(*found), value)),
                    None => {
                        let message = format!("`{}` has no argument `{name}`", known.name);
                        self.problem(Severity::Warning, "unknown-argument", message, None);
                    }
                }
            } else {
                args.push((Cow::Owned(name.clone()), value));
            }
        }
        if let Operator::Known(known) = operator {
            for name in known.required {
                if !args.iter().any(|(given, value)| given == name && !matches!(value, Prepared::Unset)) {
                    self.problem(Severity::Warning, "missing-argument", format!("`{}` needs the argument `{name}`", known.name), None);
                }
            }
            let literal = |wanted: &str| {
                args.iter().find_map(|(name, value)| match value {
                    Prepared::Constant(Value::String(text)) if name == wanted => Some(text.clone()),
                    _ => None,
                })
            };
            if let Some(pattern) = literal("regex") {
                self.pattern(&pattern, if known.name == "replaceMatch" { Dialect::Go } else { Dialect::Python });
            }
            if known.name == "DT"
                && let Some(text) = literal("dt")
                && let Err(error) = Dt::parse(&text)
            {
                let message = format!(
                    "the DT expression cannot be read at character {}: {}",
                    text.get(..error.at).map_or(0, |before| before.chars().count()) + 1,
                    error.what
                );
                self.problem(Severity::Error, "bad-dt", message, None);
            }
        }
        Step { operator, args }
    }

    /// A user's script; what is none either is reported.
    fn script(&mut self, name: &str, names: Vec<&str>) -> Option<&Program> {
        let options = self.options;
        if let Some(program) = options.scripts.and_then(|programs| programs.list.get(name)) {
            return Some(program);
        }
        if options.in_packs.is_some_and(|knows| knows(name)) {
            let hint = format!("put an executable `{name}` into the directory of `content: {{ scripts: … }}`");
            self.problem(Severity::Error, "script-not-run", format!("the operator `{name}` is a script of a pack, and their code is not run"), Some(hint));
            return None;
        }
        let bare = transform::strip_category(name).to_lowercase();
        let near =
            names.iter().find(|known| known.to_lowercase() == bare || known.to_lowercase().starts_with(&bare) || bare.starts_with(&known.to_lowercase()));
        let hint = near
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| Some("an executable of this name can be put into `content: { scripts: … }`".to_owned()));
        self.problem(Severity::Error, "unknown-operator", format!("there is no operator `{name}`"), hint);
        None
    }
}

/// `${path}` as a whole → `path`.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    (balanced(inner)? + 1 == inner.len()).then(|| inner.get(..inner.len() - 1)).flatten()
}

/// Where the brace closes that was opened before the text.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// `root.accessor`
fn join(root: &str, accessor: &str) -> String {
    let accessor = accessor.trim();
    match (root.is_empty(), accessor.is_empty()) {
        (_, true) => root.to_owned(),
        (true, false) => accessor.to_owned(),
        _ => format!("{root}.{accessor}"),
    }
}
