//! The reference evaluator: one row at a time, plain recursion, obviously right.
//! It defines what an expression means; the compiled form is held equal to it by
//! property tests. In production it finds out which function failed on a row.

use std::borrow::Cow;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::typed::{Arithmetic, Compare, Op, Source, Typed};
use super::value::{Type, Value};

/// Gives the values of one row.
pub trait Row {
    /// The input's value as `ty`: NULL where it is missing or not readable as such.
    fn get(&self, source: &Source, ty: Type) -> Value<'_>;
}

/// A row without inputs.
pub struct NoRow;

impl Row for NoRow {
    fn get(&self, _: &Source, _: Type) -> Value<'_> {
        Value::Null
    }
}

/// Evaluates an expression for one row; sets `failed` where a function could not
/// read a value that was there.
pub fn evaluate<'a>(typed: &'a Typed, row: &'a dyn Row, failed: &mut bool) -> Value<'a> {
    match &typed.op {
        Op::Input(source) => row.get(source, typed.ty),
        Op::Constant(constant) => match &constant.0 {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        },
        Op::Not(inner) => match evaluate(inner, row, failed) {
            Value::Boolean(truth) => Value::Boolean(!truth),
            _ => Value::Null,
        },
        Op::And(list) => junction(list, row, failed, false),
        Op::Or(list) => junction(list, row, failed, true),
        Op::Compare(op, left, right) => {
            let (left, right) = (evaluate(left, row, failed), evaluate(right, row, failed));
            compare(*op, &left, &right).map_or(Value::Null, Value::Boolean)
        }
        Op::IsNull(inner, negated) => Value::Boolean(evaluate(inner, row, failed).is_null() != *negated),
        Op::Like { value, pattern, negated, fold_case } => match evaluate(value, row, failed) {
            Value::Text(text) => Value::Boolean(like(&text, pattern, *fold_case) != *negated),
            _ => Value::Null,
        },
        Op::Matches { value, pattern, negated } => match evaluate(value, row, failed) {
            Value::Text(text) => Value::Boolean(pattern.0.is_match(&text) != *negated),
            _ => Value::Null,
        },
        Op::In { value, list, negated } => {
            let value = evaluate(value, row, failed);
            if value.is_null() {
                return Value::Null;
            }
            if list.iter().any(|item| compare(Compare::Eq, &value, &item.0) == Some(true)) {
                Value::Boolean(!negated)
            } else if list.iter().any(|item| item.0.is_null()) {
                Value::Null
            } else {
                Value::Boolean(*negated)
            }
        }
        Op::Case { branches, otherwise } => {
            for (when, then) in branches {
                if evaluate(when, row, failed) == Value::Boolean(true) {
                    return evaluate(then, row, failed);
                }
            }
            evaluate(otherwise, row, failed)
        }
        Op::Coalesce(list) => list.iter().map(|x| evaluate(x, row, failed)).find(|value| !value.is_null()).unwrap_or(Value::Null),
        Op::Arithmetic(op, left, right) => {
            let (left, right) = (evaluate(left, row, failed), evaluate(right, row, failed));
            let (Value::Number(a), Value::Number(b)) = (left, right) else { return Value::Null };
            let result = Value::number(arithmetic(*op, a, b));
            *failed |= result.is_null();
            result
        }
        Op::TimeMinusTime(left, right) => match (evaluate(left, row, failed), evaluate(right, row, failed)) {
            (Value::Time(a), Value::Time(b)) => Value::Duration(seconds_between(a, b)),
            _ => Value::Null,
        },
        Op::TimeShift { time, by, negative } => match (evaluate(time, row, failed), evaluate(by, row, failed)) {
            (Value::Time(time), Value::Duration(by)) => {
                let moved = time_shift(time, by, *negative);
                *failed |= moved.is_none();
                moved.map_or(Value::Null, Value::Time)
            }
            _ => Value::Null,
        },
        Op::Call(function, args) => {
            let args: Vec<Value<'a>> = args.iter().map(|x| evaluate(x, row, failed)).collect();
            match function.function.call(&args) {
                Ok(value) => value,
                Err(_) => {
                    *failed = true;
                    Value::Null
                }
            }
        }
        Op::Library(library, args) => {
            let kinds: Vec<(Type, bool)> = args.iter().map(|x| (x.ty, x.inputs().is_empty())).collect();
            let args: Vec<Value<'a>> = args.iter().map(|x| evaluate(x, row, failed)).collect();
            let value = library.call(&args, &kinds);
            *failed |= value.is_null() && args.iter().all(|x| !x.is_null());
            value
        }
    }
}

/// The value of an expression without inputs, as a constant.
pub fn fold_constant(typed: &Typed) -> Option<Typed> {
    if !typed.inputs().is_empty() {
        return None;
    }
    let value = evaluate(typed, &NoRow, &mut false).into_owned();
    Some(Typed { ty: typed.ty, ..Typed::constant(value) })
}

/// AND (`decisive` = false) or OR (`decisive` = true): the decisive value wins over NULL.
fn junction<'a>(list: &'a [Typed], row: &'a dyn Row, failed: &mut bool, decisive: bool) -> Value<'a> {
    let mut unknown = false;
    for part in list {
        match evaluate(part, row, failed) {
            Value::Boolean(truth) if truth == decisive => return Value::Boolean(decisive),
            Value::Boolean(_) => {}
            _ => unknown = true,
        }
    }
    if unknown { Value::Null } else { Value::Boolean(!decisive) }
}

/// Compares two values of one type; `None` where one is NULL.
pub fn compare(op: Compare, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Number(a) | Value::Duration(a), Value::Number(b) | Value::Duration(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        _ => return None,
    };
    Some(match op {
        Compare::Eq => order.is_eq(),
        Compare::NotEq => order.is_ne(),
        Compare::Lt => order.is_lt(),
        Compare::LtEq => order.is_le(),
        Compare::Gt => order.is_gt(),
        Compare::GtEq => order.is_ge(),
    })
}

/// An operation on doubles; may yield what is not finite. `-0.0` is `0.0`.
pub fn arithmetic(op: Arithmetic, a: f64, b: f64) -> f64 {
    0.0 + match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => a % b,
    }
}

/// Seconds from `b` to `a`.
pub fn seconds_between(a: i64, b: i64) -> f64 {
    (i128::from(a) - i128::from(b)) as f64 / 1e6
}

/// A time moved by seconds; `None` beyond the range of microseconds.
pub fn time_shift(time: i64, seconds: f64, negative: bool) -> Option<i64> {
    let micros = seconds * if negative { -1e6 } else { 1e6 };
    if micros.abs() >= 9.2e18 { None } else { time.checked_add(micros as i64) }
}

/// SQL LIKE: `%` any text, `_` one character, `\` takes the next character as it is.
pub fn like(text: &str, pattern: &str, fold_case: bool) -> bool {
    let fold = |c: char| -> char { if fold_case { folded(c) } else { c } };
    let text: Vec<char> = text.chars().map(fold).collect();
    let mut parts: Vec<Option<Option<char>>> = Vec::new(); // None = %, Some(None) = _, Some(Some(c)) = c
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => None,
            '_' => Some(None),
            '\\' => Some(Some(fold(chars.next().unwrap_or('\\')))),
            c => Some(Some(fold(c))),
        });
    }
    // Greedy matching with one point of return, the last `%`: linear in practice, never exponential.
    let (mut at, mut part) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(None) => {
                back = Some((at, part));
                part += 1;
            }
            Some(Some(want)) if want.is_none_or(|c| c == text[at]) => {
                at += 1;
                part += 1;
            }
            _ => match back {
                Some((from, percent)) => {
                    back = Some((from + 1, percent));
                    at = from + 1;
                    part = percent + 1;
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(Option::is_none)
}

/// Simple case folding, as `(?i)` has it: letters that are one letter in both cases.
pub fn folded(c: char) -> char {
    fn one(mut chars: impl Iterator<Item = char>) -> Option<char> {
        chars.next().filter(|_| chars.next().is_none())
    }
    // Only Turkish folds the dotless i.
    if c == 'ı' {
        return c;
    }
    let upper = one(c.to_uppercase()).unwrap_or(c);
    one(upper.to_lowercase()).unwrap_or(upper)
}

/// The value of a column at a row.
pub fn array_value(column: &ArrayRef, row: usize, ty: Type) -> Value<'_> {
    if row >= column.len() || column.is_null(row) {
        return Value::Null;
    }
    let value = match ty {
        Type::Text | Type::Null => column.as_string_view_opt().map(|c| Value::Text(Cow::Borrowed(c.value(row)))),
        Type::Number => column.as_primitive_opt::<Float64Type>().map(|c| Value::Number(c.value(row))),
        Type::Duration => column.as_primitive_opt::<Float64Type>().map(|c| Value::Duration(c.value(row))),
        Type::Boolean => column.as_boolean_opt().map(|c| Value::Boolean(c.value(row))),
        Type::Time => column.as_primitive_opt::<TimestampMicrosecondType>().map(|c| Value::Time(c.value(row))),
    };
    value.unwrap_or(Value::Null)
}
