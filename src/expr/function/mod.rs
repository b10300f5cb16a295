//! Our own functions. Each is total: input that it cannot read gives NULL for that
//! row (and a mark, see [`Failed`]), never an error for the batch.
//!
//! A function is bound once, when the pipeline is compiled: constant arguments
//! (a scale, a format, a table) are folded into it, so that a call sees only values.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;

use super::value::{Type, Value};

pub mod ip;
pub mod json;
pub mod severity;
pub mod text;
pub mod time;

/// The input was there, but could not be read: the result is NULL, and the field
/// that becomes NULL for it is listed in the incident's `_errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// A bound function.
pub trait Function: Debug + Send + Sync {
    /// The value for one row. `args` has exactly the arguments that [`Bound::args`] kept,
    /// each NULL or of the type given there.
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed>;

    /// The values for a whole batch, where a column loop is faster than a call per row.
    /// Must yield what `call` yields, NULL where it fails. Text columns are `StringViewArray`,
    /// numbers and durations `Float64Array`, times `Int64Array` of microseconds, booleans `BooleanArray`.
    fn column(&self, _args: &[ArrayRef]) -> Option<ArrayRef> {
        None
    }
}

/// A constant argument, or none where the argument is computed per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// Known when compiling.
    Constant(Value<'static>),
    /// Computed per row.
    Row,
}

/// What binding a function gives.
#[derive(Debug)]
pub struct Bound {
    /// The function with its constants folded in.
    pub function: Arc<dyn Function>,
    /// The arguments still passed per row: index in the written list, and the type wanted.
    /// The compiler converts (an event path takes this type directly).
    pub args: Vec<(usize, Type)>,
    /// Type of the result.
    pub returns: Type,
    /// May fail on a value that is not NULL.
    pub fallible: bool,
    /// Also pass the record's time (`_timestamp`, [`Type::Time`]) as a last argument.
    pub wants_record_time: bool,
}

/// Why a call cannot be compiled: which argument (`None` = the call), what is wrong, what helps.
#[derive(Debug, Clone, PartialEq)]
pub struct Misuse {
    /// Index of the argument.
    pub argument: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl Misuse {
    /// A misuse of the whole call.
    pub fn call(message: impl Into<String>) -> Misuse {
        Misuse { argument: None, message: message.into(), hint: None }
    }

    /// A misuse of one argument.
    pub fn argument(index: usize, message: impl Into<String>) -> Misuse {
        Misuse { argument: Some(index), message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Misuse {
        self.hint = Some(hint.into());
        self
    }
}

/// Binds one of our functions by name; `None` when it is not ours.
pub fn bind(name: &str, args: &[Arg]) -> Option<Result<Bound, Misuse>> {
    Some(match name {
        "parse_time" => time::bind_parse_time(args),
        "format_time" => time::bind_format_time(args),
        "severity" => severity::bind(args),
        "ip_in" => ip::bind_ip_in(args),
        "json_get" => json::bind_get(args),
        "array_any" => json::bind_array_any(args),
        "array_any_like" => json::bind_array_any_like(args),
        "array_length" => json::bind_array_length(args),
        "regexp_extract" => text::bind_regexp_extract(args),
        "concat" => text::bind_concat(args),
        "concat_ws" => text::bind_concat_ws(args),
        "lower" => text::case::bind_lower(args),
        "upper" => text::case::bind_upper(args),
        "md5" => text::bind_md5(args),
        "sha256" => text::bind_sha256(args),
        _ => return None,
    })
}

/// Names of our functions, for suggestions and documentation.
pub const NAMES: &[&str] = &[
    "parse_time",
    "format_time",
    "severity",
    "lookup",
    "event",
    "number",
    "text",
    "ip_in",
    "json_get",
    "array_any",
    "array_any_like",
    "array_length",
    "exists",
    "regexp_extract",
    "concat",
    "concat_ws",
    "coalesce",
    "nullif",
    "lower",
    "upper",
    "md5",
    "sha256",
];
