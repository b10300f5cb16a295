//! Bounds of the functions that can make much out of little: an event must not be able to
//! turn a few bytes into gigabytes, or a comparison into hours.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use datafusion::arrow::compute::nullif;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::ColumnarValue;

/// Longest text that `repeat`, `lpad`, `rpad` and `replace` make, in bytes, unless it is at most
/// [`GROWTH_MAX`] times what they were given: a batch has 8,192 rows, and an incident 1 MiB.
pub const GROWN_BYTES_MAX: usize = 64 * 1024;
/// How many times longer than its input a text may become in any case.
pub const GROWTH_MAX: usize = 16;
/// Most steps (length × length) of `levenshtein`: some milliseconds.
pub const DISTANCE_STEPS_MAX: usize = 1 << 20;

/// The arguments with the second one NULL, and so the result, in rows that would become too large.
/// (Some functions make room for the result before they look at the first one.) `None`: there is
/// no such row.
pub fn bounded(function: &str, args: &[ColumnarValue], rows: usize) -> Option<Vec<ColumnarValue>> {
    let excessive: fn(&[Length]) -> bool = match (function, args.len()) {
        ("repeat", 2) => |a| a[0].text().max(1).saturating_mul(a[1].number()) > allowed(a),
        // A negative length makes them panic.
        ("lpad" | "rpad", 2 | 3) => |a| a[1].number() > allowed(a) || a[1].is_negative(),
        ("replace", 3) => |a| (a[0].text() / a[1].text().max(1)).saturating_add(1).saturating_mul(a[2].text()) > allowed(a),
        ("levenshtein", 2) => |a| a[0].text().saturating_mul(a[1].text()) > DISTANCE_STEPS_MAX,
        _ => return None,
    };
    let arrays: Vec<ArrayRef> = args.iter().map(|arg| arg.to_array(rows).ok()).collect::<Option<_>>()?;
    let lengths = |row: usize| -> Vec<Length> { arrays.iter().map(|array| length(array, row)).collect() };
    let mask: BooleanArray = (0..rows).map(|row| Some(excessive(&lengths(row)))).collect();
    if mask.true_count() == 0 {
        return None;
    }
    let second = nullif(arrays.get(1)?, &mask).ok()?;
    let second = match second.as_primitive_opt::<Int64Type>() {
        // Behind a NULL stands the old number still, and some functions look there.
        Some(numbers) => Arc::new(numbers.iter().collect::<Int64Array>()),
        None => second,
    };
    let mut args = args.to_vec();
    *args.get_mut(1)? = ColumnarValue::Array(second);
    Some(args)
}

fn allowed(args: &[Length]) -> usize {
    GROWN_BYTES_MAX.max(args.first().map_or(0, |first| first.text().saturating_mul(GROWTH_MAX)))
}

/// A text's length in bytes, or a number.
#[derive(Debug, Clone, Copy)]
enum Length {
    Text(usize),
    Number(i64),
    Null,
}

impl Length {
    fn text(self) -> usize {
        if let Length::Text(bytes) = self { bytes } else { 0 }
    }

    fn number(self) -> usize {
        if let Length::Number(number) = self { usize::try_from(number).unwrap_or(0) } else { 0 }
    }

    fn is_negative(self) -> bool {
        matches!(self, Length::Number(number) if number < 0)
    }
}

fn length(array: &Arc<dyn Array>, row: usize) -> Length {
    if array.is_null(row) {
        return Length::Null;
    }
    match array.data_type() {
        DataType::Utf8View => Length::Text(array.as_string_view().value(row).len()),
        DataType::Utf8 => Length::Text(array.as_string::<i32>().value(row).len()),
        DataType::LargeUtf8 => Length::Text(array.as_string::<i64>().value(row).len()),
        DataType::Int64 => Length::Number(array.as_primitive::<Int64Type>().value(row)),
        _ => Length::Null,
    }
}
