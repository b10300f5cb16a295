//! Syntax tree → typed tree: resolves names, gives every path the type of its use,
//! inserts conversions, binds functions. Collects all problems of an expression.

mod call;

use std::borrow::Cow;
use std::sync::Arc;

use super::ast::{BinaryOp, CastTo, Expr, Node};
use super::coerce::{coerce, common_type, exact_digits, is_dynamic, null_of};
use super::convert::{convert, joined};
use super::function;
use super::path::{Path, Step};
use super::typed::{Arithmetic, Compare, Constant, Op, Pattern, Record, Source, Typed};
use super::value::{Type, Value, parse_number};

/// Something wrong, or doubtful, at a place of the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// First byte in the expression text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
    /// True when the expression is legal, but probably not what is meant.
    pub warning: bool,
}

/// The input behind a name, or a message and a hint.
pub type Resolved = Result<(Source, Type), (String, Option<String>)>;

/// What names mean.
#[allow(clippy::type_complexity)]
pub trait Scope {
    /// The input behind a path, or a message and a hint. The type is ignored for
    /// dynamic sources: those take the type of their use.
    fn resolve(&self, path: &Path) -> Resolved;

    /// Binds `lookup('table', …, 'column')`.
    fn lookup(&self, table: &str, column: &str) -> Result<Arc<dyn function::Function>, (usize, String, Option<String>)>;

    /// Whether it matters that an explicit conversion failed; else NULL says enough, and a
    /// path is read as the type at once.
    fn lists_failures(&self) -> bool {
        false
    }

    /// An already typed expression that a bare name stands for, if any.
    fn alias(&self, _path: &Path) -> Option<Typed> {
        None
    }
}

/// The attributes of the record, which every scope of events knows: `_key`, `_headers['x']` …
pub fn resolve_record(path: &Path) -> Option<Resolved> {
    match path.steps() {
        [Step::Key(key)] if &**key == "_headers" => Some(Err(("_headers needs a name".into(), Some("write _headers['name']".into())))),
        [Step::Key(key), Step::Key(name)] if &**key == "_headers" => Some(Ok((Source::Header(name.to_string()), Type::Text))),
        [Step::Key(key)] => Record::ALL.iter().find(|(name, ..)| *name == &**key).map(|(_, record, ty)| Ok((Source::Record(*record), *ty))),
        _ => None,
    }
}

/// Types an expression. `want`: the type that the place needs, `None` = any.
/// With problems that are not warnings the tree is not to be used.
pub fn check(expr: &Expr, scope: &dyn Scope, want: Option<Type>) -> (Option<Typed>, Vec<Problem>) {
    let mut checker = Checker { scope, problems: Vec::new() };
    let typed = checker.wanted(expr, want);
    let failed = checker.problems.iter().any(|p| !p.warning);
    (typed.filter(|_| !failed), checker.problems)
}

struct Checker<'a> {
    scope: &'a dyn Scope,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn problem(&mut self, at: &Expr, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(Problem { start: at.start as usize, end: at.end as usize, message: message.into(), hint, warning: false });
    }

    fn warn(&mut self, at: &Expr, message: impl Into<String>, hint: &str) {
        let hint = Some(hint.to_owned());
        self.problems.push(Problem { start: at.start as usize, end: at.end as usize, message: message.into(), hint, warning: true });
    }

    /// Types `expr` and converts it to `want`.
    fn wanted(&mut self, expr: &Expr, want: Option<Type>) -> Option<Typed> {
        let typed = self.expr(expr, want)?;
        match want {
            Some(want) => self.coerce(expr, typed, want),
            None => Some(typed),
        }
    }

    fn coerce(&mut self, at: &Expr, typed: Typed, want: Type) -> Option<Typed> {
        match coerce(typed, want) {
            Ok(typed) => Some(typed),
            Err((found, hint)) => {
                self.problem(at, format!("this is a {}, but a {} is needed here", found.name(), want.name()), hint);
                None
            }
        }
    }

    fn all(&mut self, exprs: &[&Expr], want: Option<Type>) -> Option<Vec<Typed>> {
        // Look at every part before giving up, so that all mistakes are reported at once.
        let typed: Vec<_> = exprs.iter().map(|e| self.wanted(e, want)).collect();
        typed.into_iter().collect()
    }

    fn expr(&mut self, expr: &Expr, want: Option<Type>) -> Option<Typed> {
        match &expr.node {
            Node::Null => Some(Typed::constant(Value::Null)),
            Node::Boolean(truth) => Some(Typed::constant(Value::Boolean(*truth))),
            Node::Text(text) => Some(Typed::constant(Value::Text(Cow::Owned(text.clone())))),
            Node::Number(digits) if want == Some(Type::Text) => Some(Typed::constant(Value::Text(Cow::Owned(digits.clone())))),
            Node::Number(digits) => match parse_number(digits) {
                Some(number) => Some(Typed::constant(Value::Number(number))),
                None => {
                    self.problem(expr, "this number is out of range", None);
                    None
                }
            },
            Node::Path { path, quoted } => self.path(expr, path, *quoted),
            Node::Not(inner) => {
                let inner = self.wanted(inner, Some(Type::Boolean))?;
                Some(Typed { op: Op::Not(Box::new(inner)), ty: Type::Boolean })
            }
            Node::Negate(inner) => {
                let inner = self.wanted(inner, Some(Type::Number))?;
                let zero = Typed::constant(Value::Number(0.0));
                Some(Typed { op: Op::Arithmetic(Arithmetic::Subtract, Box::new(zero), Box::new(inner)), ty: Type::Number })
            }
            Node::Binary(op, left, right) => self.binary(expr, *op, left, right),
            Node::IsNull(inner, negated) => {
                let inner = self.wanted(inner, None)?;
                Some(Typed { op: Op::IsNull(Box::new(inner), *negated), ty: Type::Boolean })
            }
            Node::Like { value, pattern, negated, fold_case } => {
                let value = self.wanted(value, Some(Type::Text));
                let pattern = self.constant_text(pattern, "the pattern of LIKE");
                let (value, pattern) = (value?, pattern?);
                Some(Typed { op: Op::Like { value: Box::new(value), pattern: pattern.into(), negated: *negated, fold_case: *fold_case }, ty: Type::Boolean })
            }
            Node::Matches { value, pattern, negated } => {
                let value = self.wanted(value, Some(Type::Text));
                let text = self.constant_text(pattern, "the regular expression");
                let (value, text) = (value?, text?);
                match compile_regex(&text) {
                    Ok(regex) => {
                        Some(Typed { op: Op::Matches { value: Box::new(value), pattern: Pattern(Arc::new(regex)), negated: *negated }, ty: Type::Boolean })
                    }
                    Err(message) => {
                        self.problem(pattern, message, Some("the syntax is that of Rust's regex: no look-around, no back-references".into()));
                        None
                    }
                }
            }
            Node::In { value, list, negated } => self.in_list(value, list, *negated),
            Node::Between { value, low, high, negated } => {
                let at_least = self.compare(expr, Compare::GtEq, value, low);
                let at_most = self.compare(expr, Compare::LtEq, value, high);
                let both = Typed { op: Op::And(vec![at_least?, at_most?]), ty: Type::Boolean };
                Some(if *negated { Typed { op: Op::Not(Box::new(both)), ty: Type::Boolean } } else { both })
            }
            Node::Case { operand, branches, otherwise } => self.case(operand.as_deref(), branches, otherwise.as_deref(), want),
            Node::Cast(inner, to) => {
                let ty = match to {
                    CastTo::Text => Type::Text,
                    CastTo::Number | CastTo::Integer => Type::Number,
                    CastTo::Boolean => Type::Boolean,
                    CastTo::Time => Type::Time,
                };
                if *to == CastTo::Integer {
                    let inner = self.wanted(inner, None)?;
                    return Some(convert(inner, Type::Number, true));
                }
                let typed = self.wanted(inner, None)?;
                let converts = if is_dynamic(&typed) {
                    self.scope.lists_failures() && matches!(ty, Type::Number | Type::Boolean)
                } else {
                    typed.ty != ty && typed.ty != Type::Null && matches!(ty, Type::Number | Type::Text)
                };
                if converts {
                    return Some(convert(typed, ty, false));
                }
                self.coerce(expr, typed, ty)
            }
            Node::Call(name, args) => self.call(expr, name, args, want),
        }
    }

    fn path(&mut self, at: &Expr, path: &Path, quoted: bool) -> Option<Typed> {
        if quoted {
            self.warn(at, format!("{} in double quotes is a path, not a text", at_text(path)), "text goes in single quotes: 'like this'");
        }
        if let Some(typed) = self.scope.alias(path) {
            return Some(typed);
        }
        match self.scope.resolve(path) {
            Ok((source, ty)) => {
                let ty = if source.is_dynamic() { Type::Text } else { ty };
                Some(Typed::input(source, ty))
            }
            Err((message, hint)) => {
                self.problem(at, message, hint);
                None
            }
        }
    }

    fn constant_text(&mut self, expr: &Expr, what: &str) -> Option<String> {
        match &expr.node {
            Node::Text(text) => Some(text.clone()),
            _ => {
                self.problem(expr, format!("{what} must be a text in single quotes"), None);
                None
            }
        }
    }

    fn binary(&mut self, expr: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Typed> {
        let compare = match op {
            BinaryOp::And | BinaryOp::Or => {
                let mut list = Vec::new();
                for side in [left, right] {
                    list.push(self.wanted(side, Some(Type::Boolean)));
                }
                let mut flat = Vec::new();
                for side in list.into_iter().collect::<Option<Vec<_>>>()? {
                    match side.op {
                        Op::And(inner) if op == BinaryOp::And => flat.extend(inner),
                        Op::Or(inner) if op == BinaryOp::Or => flat.extend(inner),
                        op => flat.push(Typed { op, ty: Type::Boolean }),
                    }
                }
                let op = if op == BinaryOp::And { Op::And(flat) } else { Op::Or(flat) };
                return Some(Typed { op, ty: Type::Boolean });
            }
            BinaryOp::Concat => {
                self.warn(expr, "`||` is NULL as soon as one side is NULL", "concat(a, b) takes NULL as empty, concat_ws(' ', a, b) leaves NULLs out");
                let sides = self.all(&[left, right], Some(Type::Text))?;
                return Some(joined(sides));
            }
            BinaryOp::Add => return self.arithmetic(expr, Arithmetic::Add, left, right),
            BinaryOp::Subtract => return self.arithmetic(expr, Arithmetic::Subtract, left, right),
            BinaryOp::Multiply => return self.arithmetic(expr, Arithmetic::Multiply, left, right),
            BinaryOp::Divide => return self.arithmetic(expr, Arithmetic::Divide, left, right),
            BinaryOp::Modulo => return self.arithmetic(expr, Arithmetic::Modulo, left, right),
            BinaryOp::Eq => Compare::Eq,
            BinaryOp::NotEq => Compare::NotEq,
            BinaryOp::Lt => Compare::Lt,
            BinaryOp::LtEq => Compare::LtEq,
            BinaryOp::Gt => Compare::Gt,
            BinaryOp::GtEq => Compare::GtEq,
        };
        self.compare(expr, compare, left, right)
    }

    fn compare(&mut self, at: &Expr, op: Compare, left: &Expr, right: &Expr) -> Option<Typed> {
        let (a, b) = (self.wanted(left, None), self.wanted(right, None));
        let (a, b) = (a?, b?);
        for (side, expr) in [(&a, left), (&b, right)] {
            if matches!(side.as_constant(), Some(Value::Null)) {
                self.warn(expr, "a comparison with NULL is never true", "write IS NULL or IS NOT NULL");
            }
        }
        let equality = matches!(op, Compare::Eq | Compare::NotEq);
        let ty = if equality && (exact_digits(left) && is_dynamic(&b) || exact_digits(right) && is_dynamic(&a)) {
            // A double cannot hold this whole number; its digits can be compared.
            return self.compare_as(op, left, right, Type::Text);
        } else {
            common_type(&a, &b)
        };
        if !equality && is_dynamic(&a) && is_dynamic(&b) {
            self.warn(at, "neither side has a type, so they are compared as text", "write number(x) < number(y), or parse_time(x) < parse_time(y)");
        }
        let a = self.coerce(left, a, ty);
        let b = self.coerce(right, b, ty);
        Some(Typed { op: Op::Compare(op, Box::new(a?), Box::new(b?)), ty: Type::Boolean })
    }

    fn compare_as(&mut self, op: Compare, left: &Expr, right: &Expr, ty: Type) -> Option<Typed> {
        let sides = self.all(&[left, right], Some(ty))?;
        let [a, b] = <[Typed; 2]>::try_from(sides).ok()?;
        Some(Typed { op: Op::Compare(op, Box::new(a), Box::new(b)), ty: Type::Boolean })
    }

    fn arithmetic(&mut self, at: &Expr, op: Arithmetic, left: &Expr, right: &Expr) -> Option<Typed> {
        let (a, b) = (self.wanted(left, None), self.wanted(right, None));
        let (a, b) = (a?, b?);
        match (a.ty, b.ty, op) {
            (Type::Time, Type::Time, Arithmetic::Subtract) => Some(Typed { op: Op::TimeMinusTime(Box::new(a), Box::new(b)), ty: Type::Duration }),
            (Type::Time, _, Arithmetic::Subtract) if is_dynamic(&b) => {
                let b = self.coerce(right, b, Type::Time)?;
                Some(Typed { op: Op::TimeMinusTime(Box::new(a), Box::new(b)), ty: Type::Duration })
            }
            (_, Type::Time, Arithmetic::Subtract) if is_dynamic(&a) => {
                let a = self.coerce(left, a, Type::Time)?;
                Some(Typed { op: Op::TimeMinusTime(Box::new(a), Box::new(b)), ty: Type::Duration })
            }
            (Type::Time, _, Arithmetic::Add) if is_dynamic(&b) => {
                let seconds = self.coerce(right, b, Type::Number)?;
                Some(Typed { op: Op::TimeShift { time: Box::new(a), by: Box::new(convert(seconds, Type::Duration, false)), negative: false }, ty: Type::Time })
            }
            (Type::Time, Type::Duration | Type::Number, Arithmetic::Add | Arithmetic::Subtract) => {
                let by = if b.ty == Type::Number { convert(b, Type::Duration, false) } else { b };
                Some(Typed { op: Op::TimeShift { time: Box::new(a), by: Box::new(by), negative: op == Arithmetic::Subtract }, ty: Type::Time })
            }
            (Type::Time, ..) | (_, Type::Time, _) => {
                self.problem(at, "times can be subtracted, or moved by a number of seconds", None);
                None
            }
            (Type::Duration, _, _) | (_, Type::Duration, _) => {
                let a = self.duration_number(left, a)?;
                let b = self.duration_number(right, b)?;
                let number = Typed { op: Op::Arithmetic(op, Box::new(a), Box::new(b)), ty: Type::Number };
                Some(convert(number, Type::Duration, false))
            }
            _ => {
                let a = self.coerce(left, a, Type::Number);
                let b = self.coerce(right, b, Type::Number);
                Some(Typed { op: Op::Arithmetic(op, Box::new(a?), Box::new(b?)), ty: Type::Number })
            }
        }
    }

    fn duration_number(&mut self, at: &Expr, typed: Typed) -> Option<Typed> {
        if typed.ty == Type::Duration { Some(convert(typed, Type::Number, false)) } else { self.coerce(at, typed, Type::Number) }
    }

    fn in_list(&mut self, value: &Expr, list: &[Expr], negated: bool) -> Option<Typed> {
        if list.is_empty() {
            self.problem(value, "IN needs at least one value", None);
            return None;
        }
        let found = self.wanted(value, None);
        let items = self.all(&list.iter().collect::<Vec<_>>(), None);
        let (found, items) = (found?, items?);
        let mut ty = items.iter().filter(|x| !is_dynamic(x)).fold(None, |ty, x| match (ty, x.ty) {
            (ty, Type::Null) => ty,
            (None, ty) => Some(ty),
            (Some(ty), other) if ty == other => Some(ty),
            // A mixed list is compared as text.
            _ => Some(Type::Text),
        });
        if !is_dynamic(&found) {
            ty = Some(found.ty);
        }
        if is_dynamic(&found) && list.iter().any(exact_digits) {
            ty = Some(Type::Text);
        }
        let ty = ty.unwrap_or(Type::Text);
        let found = self.coerce(value, found, ty)?;
        let mut constants = Vec::new();
        let mut others = Vec::new();
        for item in list {
            let typed = self.wanted(item, Some(ty))?;
            match typed.as_constant() {
                Some(constant) => constants.push(Constant(constant.clone())),
                None => others.push(typed),
            }
        }
        let mut any = Vec::new();
        if !constants.is_empty() {
            any.push(Typed { op: Op::In { value: Box::new(found.clone()), list: constants, negated: negated && others.is_empty() }, ty: Type::Boolean });
        }
        for other in others.iter() {
            any.push(Typed { op: Op::Compare(Compare::Eq, Box::new(found.clone()), Box::new(other.clone())), ty: Type::Boolean });
        }
        let negate = negated && !others.is_empty();
        let either = if any.len() == 1 { any.pop()? } else { Typed { op: Op::Or(any), ty: Type::Boolean } };
        Some(if negate { Typed { op: Op::Not(Box::new(either)), ty: Type::Boolean } } else { either })
    }

    fn case(&mut self, operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>, want: Option<Type>) -> Option<Typed> {
        let mut conditions = Vec::new();
        for (when, _) in branches {
            conditions.push(match operand {
                Some(operand) => self.compare(when, Compare::Eq, operand, when),
                None => self.wanted(when, Some(Type::Boolean)),
            });
        }
        let mut values: Vec<&Expr> = branches.iter().map(|(_, then)| then).collect();
        values.extend(otherwise);
        let mut results = self.common(&values, want)?;
        let ty = results.iter().map(|r| r.ty).find(|ty| *ty != Type::Null).unwrap_or(Type::Null);
        let otherwise = if otherwise.is_some() { results.pop()? } else { null_of(ty) };
        let branches = conditions.into_iter().collect::<Option<Vec<_>>>()?.into_iter().zip(results).collect();
        Some(Typed { op: Op::Case { branches, otherwise: Box::new(otherwise) }, ty })
    }

    /// Types alternatives and converts them to one type: the wanted one, else the
    /// first that is not dynamic, else text.
    fn common(&mut self, exprs: &[&Expr], want: Option<Type>) -> Option<Vec<Typed>> {
        let typed = match want {
            Some(_) => return self.all(exprs, want),
            None => self.all(exprs, None)?,
        };
        let ty = typed.iter().filter(|x| !is_dynamic(x) && x.ty != Type::Null).map(|x| x.ty).reduce(|a, b| if a == b { a } else { Type::Text });
        let ty = ty.unwrap_or(Type::Text);
        exprs.iter().zip(typed).map(|(expr, typed)| self.coerce(expr, typed, ty)).collect()
    }
}

/// Compiles a regular expression with a bound on the size of its program.
pub fn compile_regex(text: &str) -> Result<regex::Regex, String> {
    const REGEX_PROGRAM_BYTES_MAX: usize = 1 << 20;
    regex::RegexBuilder::new(text).size_limit(REGEX_PROGRAM_BYTES_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("this regular expression compiles to more than {limit} bytes"),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("this is not a regular expression: {last}")
        }
    })
}

fn at_text(path: &Path) -> String {
    path.as_key().map_or_else(|| path.to_string(), |key| format!("\"{key}\""))
}
