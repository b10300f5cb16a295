//! JavaScript over one text, without a heap: what most selectors and mutators of packs are made
//! of, compiled once. What it does not know, and values that are no texts, are the interpreter's.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use memchr::memmem::Finder;

use super::ast::{Binary, Expr, Unary};
use super::operate::number_text;
use crate::expr::xsoar::pattern::Pattern;

/// Nodes of an expression that is compiled; also bounds the recursion.
const NODES_MAX: usize = 128;
/// Bytes of a text: whatever is made of it stays far below the interpreter's bounds.
const TEXT_MAX: usize = 4096;

/// An expression over the text `val`.
#[derive(Debug, Clone)]
pub enum Quick {
    /// The text itself.
    Val,
    /// A literal.
    Literal(Scalar<'static>),
    /// `a && b`
    And(Box<(Quick, Quick)>),
    /// `a || b`
    Or(Box<(Quick, Quick)>),
    /// `!a`
    Not(Box<Quick>),
    /// `a ? b : c`
    Ternary(Box<(Quick, Quick, Quick)>),
    /// A comparison, or `+`.
    Binary(Binary, Box<(Quick, Quick)>),
    /// `.length`
    Length(Box<Quick>),
    /// A method without arguments.
    Change(Change, Box<Quick>),
    /// A method with a text.
    Find(Find, Box<(Quick, Quick)>),
    /// `.indexOf` or `.includes` with a literal.
    Seek(Find, Box<Quick>, Arc<Finder<'static>>),
    /// `/…/.test(a)`
    Test(Arc<Pattern>, Box<Quick>),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Scalar<'t> {
    Undefined,
    Null,
    Flag(bool),
    Number(f64),
    Text(Cow<'t, str>),
}

/// Methods that make a text of a text.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Change {
    Lower,
    Upper,
    Trim,
}

/// Methods that look for a text in a text.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Find {
    IndexOf,
    Includes,
    StartsWith,
    EndsWith,
}

impl Quick {
    /// Compiles an expression whose only name is `val`; `None` where the interpreter is needed.
    pub fn compile(expr: &Expr) -> Option<Quick> {
        let mut left = NODES_MAX;
        compile(expr, &mut left)
    }

    /// The value for a text; `None` where the interpreter has to decide.
    pub fn run<'t>(&'t self, val: &'t str) -> Option<Scalar<'t>> {
        if val.len() > TEXT_MAX { None } else { self.evaluate(val) }
    }

    fn evaluate<'t>(&'t self, val: &'t str) -> Option<Scalar<'t>> {
        Some(match self {
            Quick::Val => Scalar::Text(Cow::Borrowed(val)),
            Quick::Literal(Scalar::Text(text)) => Scalar::Text(Cow::Borrowed(text)),
            Quick::Literal(other) => other.clone(),
            Quick::And(pair) => match pair.0.evaluate(val)? {
                held if held.truthy() => pair.1.evaluate(val)?,
                other => other,
            },
            Quick::Or(pair) => match pair.0.evaluate(val)? {
                held if held.truthy() => held,
                _ => pair.1.evaluate(val)?,
            },
            Quick::Not(inner) => Scalar::Flag(!inner.evaluate(val)?.truthy()),
            Quick::Ternary(parts) => {
                let (test, yes, no) = &**parts;
                if test.evaluate(val)?.truthy() { yes.evaluate(val)? } else { no.evaluate(val)? }
            }
            Quick::Binary(op, pair) => binary(*op, pair.0.evaluate(val)?, pair.1.evaluate(val)?)?,
            Quick::Length(inner) => Scalar::Number(inner.evaluate(val)?.into_text()?.encode_utf16().count() as f64),
            Quick::Change(change, inner) => {
                let text = inner.evaluate(val)?.into_text()?;
                Scalar::Text(Cow::Owned(match change {
                    Change::Lower if text.is_ascii() => text.to_ascii_lowercase(),
                    Change::Upper if text.is_ascii() => text.to_ascii_uppercase(),
                    Change::Lower => text.to_lowercase(),
                    Change::Upper => text.to_uppercase(),
                    Change::Trim => text.trim().to_owned(),
                }))
            }
            Quick::Find(find, pair) => {
                let (text, wanted) = (pair.0.evaluate(val)?.into_text()?, pair.1.evaluate(val)?.into_text()?);
                match find {
                    Find::IndexOf => Scalar::Number(match text.find(&*wanted) {
                        Some(at) => text.get(..at)?.chars().count() as f64,
                        None => -1.0,
                    }),
                    Find::Includes => Scalar::Flag(text.contains(&*wanted)),
                    Find::StartsWith => Scalar::Flag(text.starts_with(&*wanted)),
                    Find::EndsWith => Scalar::Flag(text.ends_with(&*wanted)),
                }
            }
            Quick::Seek(find, inner, finder) => {
                let text = inner.evaluate(val)?.into_text()?;
                match (find, finder.find(text.as_bytes())) {
                    (Find::Includes, found) => Scalar::Flag(found.is_some()),
                    (_, Some(at)) => Scalar::Number(text.get(..at)?.chars().count() as f64),
                    (_, None) => Scalar::Number(-1.0),
                }
            }
            Quick::Test(pattern, inner) => Scalar::Flag(pattern.is_match(&inner.evaluate(val)?.into_text()?).ok()?),
        })
    }
}

impl<'t> Scalar<'t> {
    fn truthy(&self) -> bool {
        match self {
            Scalar::Undefined | Scalar::Null => false,
            Scalar::Flag(flag) => *flag,
            Scalar::Number(number) => *number != 0.0 && !number.is_nan(),
            Scalar::Text(text) => !text.is_empty(),
        }
    }

    fn into_text(self) -> Option<Cow<'t, str>> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn binary<'t>(op: Binary, a: Scalar<'t>, b: Scalar<'t>) -> Option<Scalar<'t>> {
    let order = match (&a, &b) {
        (Scalar::Text(a), Scalar::Text(b)) => Some((**a).cmp(&**b)),
        (Scalar::Number(a), Scalar::Number(b)) => a.partial_cmp(b),
        // What converts its sides is the interpreter's.
        _ if op != Binary::Add => return None,
        _ => None,
    };
    Some(match op {
        Binary::Eq | Binary::Same => Scalar::Flag(order == Some(Ordering::Equal)),
        Binary::NotEq | Binary::NotSame => Scalar::Flag(order != Some(Ordering::Equal)),
        Binary::Lt => Scalar::Flag(order == Some(Ordering::Less)),
        Binary::Gt => Scalar::Flag(order == Some(Ordering::Greater)),
        Binary::LtEq => Scalar::Flag(matches!(order, Some(Ordering::Less | Ordering::Equal))),
        Binary::GtEq => Scalar::Flag(matches!(order, Some(Ordering::Greater | Ordering::Equal))),
        Binary::Add => match (a, b) {
            (Scalar::Number(a), Scalar::Number(b)) => Scalar::Number(a + b),
            (Scalar::Text(a), Scalar::Text(b)) => Scalar::Text(a + b),
            (Scalar::Text(a), Scalar::Number(b)) => Scalar::Text(a + Cow::Owned(number_text(b))),
            (Scalar::Number(a), Scalar::Text(b)) => Scalar::Text(Cow::<str>::Owned(number_text(a)) + b),
            _ => return None,
        },
        _ => return None,
    })
}

fn compile(expr: &Expr, left: &mut usize) -> Option<Quick> {
    *left = left.checked_sub(1)?;
    let mut pair = |a: &Expr, b: &Expr| Some(Box::new((compile(a, left)?, compile(b, left)?)));
    Some(match expr {
        Expr::Name(name) if &**name == "val" => Quick::Val,
        Expr::Undefined => Quick::Literal(Scalar::Undefined),
        Expr::Null => Quick::Literal(Scalar::Null),
        Expr::Flag(flag) => Quick::Literal(Scalar::Flag(*flag)),
        Expr::Number(number) => Quick::Literal(Scalar::Number(*number)),
        Expr::Text(text) => Quick::Literal(Scalar::Text(Cow::Owned(text.to_string()))),
        Expr::And(a, b) => Quick::And(pair(a, b)?),
        Expr::Or(a, b) => Quick::Or(pair(a, b)?),
        Expr::Unary(Unary::Not, inner) => Quick::Not(Box::new(compile(inner, left)?)),
        Expr::Unary(Unary::Minus, inner) => match &**inner {
            Expr::Number(number) => Quick::Literal(Scalar::Number(-number)),
            _ => return None,
        },
        Expr::Ternary(parts) => Quick::Ternary(Box::new((compile(&parts.0, left)?, compile(&parts.1, left)?, compile(&parts.2, left)?))),
        Expr::Binary(op, a, b) => Quick::Binary(*op, pair(a, b)?),
        Expr::Member { object, key, optional: false } if is_key(key, "length") => Quick::Length(Box::new(compile(object, left)?)),
        Expr::Call { callee, args, optional: false } => {
            let Expr::Member { object, key, optional: false } = &**callee else { return None };
            let Expr::Text(name) = &**key else { return None };
            match (&**name, args.as_slice()) {
                ("toLowerCase" | "toLocaleLowerCase", []) => Quick::Change(Change::Lower, Box::new(compile(object, left)?)),
                ("toUpperCase" | "toLocaleUpperCase", []) => Quick::Change(Change::Upper, Box::new(compile(object, left)?)),
                ("trim", []) => Quick::Change(Change::Trim, Box::new(compile(object, left)?)),
                ("test", [arg]) if !arg.spread => match &**object {
                    Expr::Regex { pattern, .. } => Quick::Test(pattern.clone(), Box::new(compile(&arg.value, left)?)),
                    _ => return None,
                },
                (name, [arg]) if !arg.spread => {
                    let find = match name {
                        "indexOf" => Find::IndexOf,
                        "includes" => Find::Includes,
                        "startsWith" => Find::StartsWith,
                        "endsWith" => Find::EndsWith,
                        _ => return None,
                    };
                    match (find, &arg.value) {
                        (Find::IndexOf | Find::Includes, Expr::Text(wanted)) => {
                            let finder = Finder::new(wanted.as_bytes()).into_owned();
                            Quick::Seek(find, Box::new(compile(object, left)?), Arc::new(finder))
                        }
                        _ => Quick::Find(find, pair(object, &arg.value)?),
                    }
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn is_key(key: &Expr, name: &str) -> bool {
    matches!(key, Expr::Text(text) if &**text == name)
}
