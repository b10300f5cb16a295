//! Map sections → one definition per field: which expression, of which type, written how.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::From;
use super::scope::{EventScope, FieldInfo, Tables};
use crate::config::Diagnostic;
use crate::config::Diagnostics;
use crate::config::model::{ExprText, MapSection};
use crate::config::schema::{FieldKind, Schema};
use crate::expr::ast::Node;
use crate::expr::check::{Problem, Scope, check};
use crate::expr::convert::convert;
use crate::expr::function::{Arg, severity};
use crate::expr::path::Path;
use crate::expr::typed::{Constant, FunctionRef, Op, Typed};
use crate::expr::value::{Type, Value};

/// A field of a section, typed.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The field.
    pub name: Arc<str>,
    /// The section: `*`, a type, or those of a source.
    pub section: Arc<str>,
    /// The expression as written.
    pub text: Arc<str>,
    /// How the value gets into the incident.
    pub how: How,
    /// The expression; for splices the path as text (number, boolean).
    pub typed: Arc<Typed>,
    /// Declared `required`.
    pub required: bool,
}

/// How a value gets into an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The token at a path, copied.
    Splice(Path, Spliced),
    /// Computed.
    Computed,
}

/// What a copied token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spliced {
    /// Anything.
    Any,
    /// Made a text.
    Text,
    /// A number.
    Number,
    /// A number without its fraction.
    Integer,
    /// A truth value.
    Boolean,
}

impl Definition {
    /// True when it is a computed column, whose computation may fail.
    pub fn reads_computed(&self) -> bool {
        self.typed.inputs().iter().any(|(source, _)| matches!(source, crate::expr::typed::Source::Event(path) if path.as_computed().is_some()))
    }

    /// Where the value comes from, if it is a splice: `number` gives path numbers.
    pub fn splice(&self, number: &mut impl FnMut(&Path) -> usize) -> Option<From> {
        match &self.how {
            How::Splice(path, spliced) => {
                let path = number(path);
                Some(match spliced {
                    Spliced::Any => From::Splice(path),
                    Spliced::Text => From::SpliceText(path),
                    Spliced::Number => From::SpliceNumber(path),
                    Spliced::Integer => From::SpliceInteger(path),
                    Spliced::Boolean => From::SpliceBoolean(path),
                })
            }
            How::Computed => None,
        }
    }
}

/// Types the fields of one section, reporting all problems.
pub fn define(section: &MapSection, label: &str, schema: &Schema, tables: &Tables, diagnostics: &mut Diagnostics) -> Vec<Definition> {
    let mut found = Vec::new();
    for (name, text) in &section.fields {
        let spec = schema.field(&name.value);
        let kind = spec.map(|spec| spec.kind).or_else(|| system_kind(&name.value));
        let scope = EventScope { tables, occurred: name.value != "occurred", mapped: true };
        let Some(typed) = typed(text, &scope, None, diagnostics).map(bare) else { continue };
        let path = typed.as_event_path().cloned();
        let spliced = match kind {
            None | Some(FieldKind::Json | FieldKind::List) => Some(as_written(text, typed.ty)),
            Some(FieldKind::Text | FieldKind::Ip) => Some(Spliced::Text),
            Some(FieldKind::Number) => Some(Spliced::Number),
            Some(FieldKind::Integer) => Some(Spliced::Integer),
            Some(FieldKind::Boolean) => Some(Spliced::Boolean),
            _ => None,
        };
        let (how, typed) = match (path, spliced) {
            (Some(path), Some(spliced)) => {
                let ty = match spliced {
                    Spliced::Any | Spliced::Text => Type::Text,
                    Spliced::Number | Spliced::Integer => Type::Number,
                    Spliced::Boolean => Type::Boolean,
                };
                let typed = Typed { ty, ..typed };
                // Rules see what the incident holds.
                let typed = if spliced == Spliced::Integer { convert(typed, Type::Number, true) } else { typed };
                (How::Splice(path, spliced), typed)
            }
            _ => {
                let scale = spec.and_then(|spec| spec.scale.as_ref()).map(|scale| scale.to_string());
                match declared(text, typed, kind, scale.as_deref(), &scope, diagnostics) {
                    Some(typed) => (How::Computed, typed),
                    None => continue,
                }
            }
        };
        let required = spec.is_some_and(|spec| spec.required);
        found.push(Definition {
            name: name.value.as_str().into(),
            section: label.into(),
            text: text.text.trim().into(),
            how,
            typed: Arc::new(typed),
            required,
        });
    }
    found
}

/// A path read as a number or boolean as a conversion that can fail, so that `_errors` tells.
fn failing(typed: Typed) -> Typed {
    match typed.as_event_path() {
        Some(_) if matches!(typed.ty, Type::Number | Type::Boolean) => {
            let ty = typed.ty;
            convert(Typed { ty: Type::Text, ..typed }, ty, false)
        }
        _ => typed,
    }
}

/// `number(path)` and `boolean(path)` as the path with that type: the whole field is one token.
fn bare(typed: Typed) -> Typed {
    match &typed.op {
        Op::Call(function, args) if matches!(&*function.name, "number" | "boolean") => match args.as_slice() {
            [arg] if arg.as_event_path().is_some() && arg.ty == Type::Text => Typed { ty: typed.ty, ..arg.clone() },
            _ => typed,
        },
        _ => typed,
    }
}

/// What of a path's token is wanted: all of it, unless a conversion such as `number(x)` stands around it.
fn as_written(text: &ExprText, ty: Type) -> Spliced {
    match (&text.expr.node, ty) {
        (Node::Path { .. }, _) => Spliced::Any,
        (Node::Call(name, _), _) if name == "event" => Spliced::Any,
        (_, Type::Number) => Spliced::Number,
        (_, Type::Boolean) => Spliced::Boolean,
        _ => Spliced::Text,
    }
}

/// The fields that have a type without being declared.
fn system_kind(name: &str) -> Option<FieldKind> {
    match name {
        "occurred" => Some(FieldKind::Time),
        "severity" => Some(FieldKind::Severity),
        _ => None,
    }
}

/// The expression converted to the declared kind.
fn declared(text: &ExprText, found: Typed, kind: Option<FieldKind>, scale: Option<&str>, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> Option<Typed> {
    let want = match kind {
        None | Some(FieldKind::Json | FieldKind::List) => return Some(found),
        Some(FieldKind::Severity) => return severity_of(text, found, scale, scope, diagnostics),
        Some(FieldKind::Integer) => {
            let number = typed(text, scope, Some(Type::Number), diagnostics)?;
            return Some(convert(number, Type::Number, true));
        }
        Some(FieldKind::Text | FieldKind::Ip) => Type::Text,
        Some(FieldKind::Number) => Type::Number,
        Some(FieldKind::Boolean) => Type::Boolean,
        Some(FieldKind::Time) => Type::Time,
        Some(FieldKind::Duration) if found.ty == Type::Duration => return Some(found),
        // Seconds, as a number.
        Some(FieldKind::Duration) => return Some(convert(failing(typed(text, scope, Some(Type::Number), diagnostics)?), Type::Duration, false)),
    };
    typed(text, scope, Some(want), diagnostics)
}

/// Severity fields hold 0, 0.5, 1, 2, 3 or 4: a text goes through `severity(…)`.
fn severity_of(text: &ExprText, found: Typed, scale: Option<&str>, scope: &dyn Scope, diagnostics: &mut Diagnostics) -> Option<Typed> {
    if found.ty == Type::Number && scale.is_none() {
        return Some(found);
    }
    if let Op::Call(function, _) = &found.op
        && &*function.name == "severity"
    {
        return Some(found);
    }
    if found.ty == Type::Number && found.as_event_path().is_none() {
        // Computed numbers are severities already; only raw values need a scale.
        return Some(found);
    }
    let value = typed(text, scope, Some(Type::Text), diagnostics)?;
    let mut args = vec![Arg::Row];
    let mut constants = Vec::new();
    if let Some(scale) = scale {
        args.push(Arg::Constant(Value::Text(scale.to_owned().into())));
        constants.push((1, Constant(Value::Text(scale.to_owned().into()))));
    }
    let bound = severity::bind(&args).ok()?;
    let key = format!("severity{constants:?}");
    let function = FunctionRef { name: "severity".into(), key: key.into(), function: bound.function, fallible: bound.fallible, constants };
    Some(Typed { op: Op::Call(function, vec![value]), ty: bound.returns })
}

/// Checks an expression and reports its problems; `None` when it cannot be used.
pub fn typed(text: &ExprText, scope: &dyn Scope, want: Option<Type>, diagnostics: &mut Diagnostics) -> Option<Typed> {
    if text.broken {
        return None;
    }
    let (typed, problems) = check(&text.expr, scope, want);
    for problem in problems {
        report(text, problem, diagnostics);
    }
    typed
}

fn report(text: &ExprText, problem: Problem, diagnostics: &mut Diagnostics) {
    let span = text.locate(problem.start, problem.end);
    let diagnostic =
        if problem.warning { Diagnostic::warning("doubtful-expression", problem.message) } else { Diagnostic::error("bad-expression", problem.message) };
    let diagnostic = diagnostic.at(span).maybe_hint(problem.hint);
    // An expression is typed once per source: the same mistake is said once.
    if !diagnostics.iter().any(|known| *known == diagnostic) {
        diagnostics.push(diagnostic);
    }
}

/// Definitions by field, later ones replacing earlier ones in place.
pub fn merge(base: &mut Vec<Definition>, over: Vec<Definition>) {
    for definition in over {
        match base.iter_mut().find(|known| known.name == definition.name) {
            Some(known) => *known = definition,
            None => base.push(definition),
        }
    }
}

/// The type that rules see of a field that is only declared.
pub fn declared_type(kind: FieldKind) -> Type {
    match kind {
        FieldKind::Text | FieldKind::Ip | FieldKind::List | FieldKind::Json => Type::Text,
        FieldKind::Number | FieldKind::Integer | FieldKind::Severity => Type::Number,
        FieldKind::Boolean => Type::Boolean,
        FieldKind::Time => Type::Time,
        FieldKind::Duration => Type::Duration,
    }
}

/// What rules know of each field, over all sources and types.
pub fn infos<'a>(definitions: impl Iterator<Item = &'a Definition>) -> BTreeMap<String, FieldInfo> {
    let mut infos: BTreeMap<String, FieldInfo> = BTreeMap::new();
    for definition in definitions {
        let this = match &definition.how {
            How::Splice(path, Spliced::Any | Spliced::Text) => FieldInfo::Path(path.clone()),
            How::Splice(_, Spliced::Number | Spliced::Integer) => FieldInfo::Typed(Type::Number),
            How::Splice(_, Spliced::Boolean) => FieldInfo::Typed(Type::Boolean),
            How::Computed => FieldInfo::Typed(if definition.typed.ty == Type::Null { Type::Text } else { definition.typed.ty }),
        };
        let info = match (infos.get(&*definition.name), this) {
            (None, this) => this,
            (Some(FieldInfo::Path(a)), FieldInfo::Path(b)) if *a == b => FieldInfo::Path(b),
            (Some(FieldInfo::Typed(a)), FieldInfo::Typed(b)) if *a == b => FieldInfo::Typed(b),
            // Different paths, or a path here and a computation there.
            _ => FieldInfo::Typed(Type::Text),
        };
        infos.insert(definition.name.to_string(), info);
    }
    for (name, ty) in [("type", Type::Text), ("tenant", Type::Text), ("created", Type::Time), ("occurred", Type::Time), ("severity", Type::Number)] {
        infos.insert(name.to_owned(), FieldInfo::Typed(ty));
    }
    infos
}
