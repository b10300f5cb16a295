//! Helpers for the tests of functions: bind by name, call, and hold `column` to `call`.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray};

use crate::expr::function::{Arg, Bound, Failed, Misuse, bind};
use crate::expr::value::{Type, Value};

/// A constant text argument.
pub(in crate::expr::function) fn text(text: &str) -> Arg {
    Arg::Constant(Value::Text(Cow::Owned(text.to_owned())))
}

/// A constant number argument.
pub(in crate::expr::function) fn number(number: f64) -> Arg {
    Arg::Constant(Value::Number(number))
}

/// Binds `name(x, constants…)`.
pub(in crate::expr::function) fn bound(name: &str, constants: &[Arg]) -> Bound {
    try_bind(name, constants).unwrap()
}

/// Binds, or says what is wrong.
pub(in crate::expr::function) fn try_bind(name: &str, constants: &[Arg]) -> Result<Bound, Misuse> {
    let args: Vec<Arg> = std::iter::once(Arg::Row).chain(constants.iter().cloned()).collect();
    bind(name, &args).unwrap()
}

/// Calls a function of one text (and the record's time).
pub(in crate::expr::function) fn call(bound: &Bound, text: &str, record: Option<i64>) -> Result<Value<'static>, Failed> {
    let mut args = vec![Value::Text(Cow::Borrowed(text))];
    if bound.wants_record_time {
        args.push(record.map_or(Value::Null, Value::Time));
    }
    bound.function.call(&args).map(Value::into_owned)
}

/// Fails unless the column gives what a call per row gives, on a column that is sliced too.
/// `columns`: the text arguments; `record`: the record's time for all rows.
pub(in crate::expr::function) fn column_is_call(bound: &Bound, columns: &[Vec<Option<&str>>], record: Option<i64>) {
    let rows = columns[0].len();
    let mut arrays: Vec<ArrayRef> = columns.iter().map(|texts| Arc::new(texts.iter().copied().collect::<StringViewArray>()) as ArrayRef).collect();
    if bound.wants_record_time {
        arrays.push(Arc::new(Int64Array::from(vec![record; rows])));
    }
    for (from, to) in [(0, rows), (rows / 3, rows), (0, 0)] {
        let sliced: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(from, to - from)).collect();
        let made = bound.function.column(&sliced).unwrap();
        made.to_data().validate_full().unwrap();
        assert_eq!(made.len(), to - from);
        for row in from..to {
            let mut args: Vec<Value<'_>> = columns.iter().map(|texts| texts[row].map_or(Value::Null, |text| Value::Text(Cow::Borrowed(text)))).collect();
            if bound.wants_record_time {
                args.push(record.map_or(Value::Null, Value::Time));
            }
            let expected = bound.function.call(&args).unwrap_or(Value::Null);
            assert_eq!(cell(&made, row - from, bound.returns), expected, "row {row}: {args:?}");
        }
    }
}

fn cell(array: &ArrayRef, row: usize, kind: Type) -> Value<'_> {
    if array.is_null(row) {
        return Value::Null;
    }
    let any = array.as_any();
    match kind {
        Type::Text => Value::Text(Cow::Borrowed(any.downcast_ref::<StringViewArray>().unwrap().value(row))),
        Type::Number => Value::Number(any.downcast_ref::<Float64Array>().unwrap().value(row)),
        Type::Boolean => Value::Boolean(any.downcast_ref::<BooleanArray>().unwrap().value(row)),
        Type::Time => Value::Time(any.downcast_ref::<Int64Array>().unwrap().value(row)),
        other => panic!("no function returns {other:?}"),
    }
}
