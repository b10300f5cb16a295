//! Which type things take when they meet: paths take the type of their use, constants that of
//! the other side; everything else is converted explicitly, or does not fit.

use super::ast::{Expr, Node};
use super::convert::convert;
use super::function::{self, Arg};
use super::reference;
use super::typed::{FunctionRef, Op, Record, Source, Typed};
use super::value::{Type, Value};

/// A whole number that a double cannot hold exactly.
pub(super) fn exact_digits(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number(digits) => {
            let digits = digits.trim_start_matches('-');
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u64>().map_or(true, |n| n > 1 << 53)
        }
        _ => false,
    }
}

/// A bare path. Once `number(x)` or `boolean(x)` has given it a type, it has that one.
pub(super) fn is_dynamic(typed: &Typed) -> bool {
    typed.ty == Type::Text && matches!(&typed.op, Op::Input(source) if source.is_dynamic())
}

/// NULL of a type.
pub(super) fn null_of(ty: Type) -> Typed {
    Typed { ty, ..Typed::constant(Value::Null) }
}

/// The type in which two sides are compared: that of the side that has one.
pub(super) fn common_type(a: &Typed, b: &Typed) -> Type {
    let rank = |x: &Typed| match x.ty {
        _ if is_dynamic(x) => 0,
        Type::Null => 0,
        // A text constant takes the other side's type: `occurred > '2026-01-01'`.
        Type::Text if x.as_constant().is_some() => 1,
        Type::Text => 2,
        _ => 3,
    };
    let (ty, other) = if rank(a) >= rank(b) { (a, b) } else { (b, a) };
    match (ty.ty, other.ty) {
        (Type::Null, _) => Type::Text,
        (Type::Number, Type::Duration) => Type::Duration,
        (ty, _) => ty,
    }
}

/// Converts without losing sense, or says from what.
pub(super) fn coerce(typed: Typed, want: Type) -> Result<Typed, (Type, Option<String>)> {
    if typed.ty == want {
        return Ok(typed);
    }
    if typed.ty == Type::Null {
        return Ok(null_of(want));
    }
    if is_dynamic(&typed) && matches!(want, Type::Number | Type::Boolean) {
        return Ok(Typed { ty: want, ..typed });
    }
    match (typed.ty, want) {
        (Type::Text | Type::Number, Type::Time) => {
            let text = if typed.ty == Type::Number { convert(typed, Type::Text, false) } else { typed };
            let bound = function::time::bind_parse_time(&[Arg::Row]).map_err(|_| (Type::Text, None))?;
            let mut args = vec![text];
            if bound.wants_record_time {
                args.push(Typed::input(Source::Record(Record::Timestamp), Type::Time));
            }
            let constant = args.first().is_some_and(|x| x.as_constant().is_some());
            let function =
                FunctionRef { name: "parse_time".into(), key: "parse_time[]".into(), function: bound.function, fallible: true, constants: Vec::new() };
            let call = Typed { op: Op::Call(function, args), ty: Type::Time };
            if !constant {
                return Ok(call);
            }
            // Without a record, a text without a year is no time: a constant means one moment.
            match reference::evaluate(&call, &reference::NoRow, &mut false) {
                time @ Value::Time(_) => Ok(Typed::constant(time.into_owned())),
                _ => Err((Type::Text, Some("a time is written like '2026-11-21T18:45:00Z'".into()))),
            }
        }
        (Type::Text, Type::Number | Type::Boolean) => match typed.as_constant() {
            None => Ok(convert(typed, want, false)),
            Some(_) => {
                let converted = convert(typed, want, false);
                match reference::fold_constant(&converted) {
                    Some(folded) if !matches!(folded.as_constant(), Some(Value::Null)) => Ok(folded),
                    _ => Err((Type::Text, None)),
                }
            }
        },
        (_, Type::Text) => {
            let converted = convert(typed, Type::Text, false);
            Ok(reference::fold_constant(&converted).unwrap_or(converted))
        }
        (Type::Number, Type::Duration) => Ok(convert(typed, Type::Duration, false)),
        (Type::Duration, Type::Number) => Ok(convert(typed, Type::Number, false)),
        (found, _) => Err((found, None)),
    }
}
