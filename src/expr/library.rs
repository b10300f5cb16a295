//! DataFusion's own scalar functions, made total: a call that fails for a batch is
//! repeated row by row, and the rows at fault become NULL.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options, concat};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::bounds::bounded;
use super::convert::convert;
use super::function;
use super::typed::{Op, Typed};
use super::value::{Type, Value};

/// The Arrow type of a column of ours.
pub fn arrow_type(ty: Type) -> DataType {
    match ty {
        Type::Text | Type::Null => DataType::Utf8View,
        Type::Number | Type::Duration => DataType::Float64,
        Type::Boolean => DataType::Boolean,
        Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
    }
}

/// A constant as DataFusion's scalar, of the type given.
pub fn scalar(value: &Value<'_>, ty: Type) -> ScalarValue {
    match value {
        Value::Text(text) => ScalarValue::Utf8View(Some(text.to_string())),
        Value::Number(number) | Value::Duration(number) => ScalarValue::Float64(Some(*number)),
        Value::Boolean(truth) => ScalarValue::Boolean(Some(*truth)),
        Value::Time(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), Some("+00:00".into())),
        Value::Null => match ty {
            Type::Text | Type::Null => ScalarValue::Utf8View(None),
            Type::Number | Type::Duration => ScalarValue::Float64(None),
            Type::Boolean => ScalarValue::Boolean(None),
            Type::Time => ScalarValue::TimestampMicrosecond(None, Some("+00:00".into())),
        },
    }
}

/// A function of DataFusion, bound to argument types.
#[derive(Debug)]
pub struct Library {
    udf: Arc<ScalarUDF>,
    arguments: Vec<DataType>,
    /// The same as fields, which is how DataFusion takes them.
    fields: Vec<FieldRef>,
    returns: FieldRef,
    ty: Type,
    config: Arc<ConfigOptions>,
}

impl PartialEq for Library {
    fn eq(&self, other: &Library) -> bool {
        self.udf.name() == other.udf.name() && self.arguments == other.arguments
    }
}
impl Eq for Library {}
impl Hash for Library {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.udf.name().hash(state);
        self.arguments.hash(state);
    }
}

fn registry() -> &'static HashMap<String, Arc<ScalarUDF>> {
    static FUNCTIONS: OnceLock<HashMap<String, Arc<ScalarUDF>>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let mut found = HashMap::new();
        for udf in datafusion::functions::all_default_functions() {
            for alias in udf.aliases() {
                found.insert(alias.clone(), udf.clone());
            }
            found.insert(udf.name().to_owned(), udf);
        }
        found
    })
}

// Functions that DataFusion's planner replaces before they run, or that speak about DataFusion itself.
const UNUSABLE: [&str; 10] = ["nvl2", "version", "input_file_name", "get_field", "named_struct", "struct", "row", "union_extract", "union_tag", "cast_to_type"];

/// Finds a function by name, or says what may have been meant.
pub fn find(name: &str) -> Result<Arc<ScalarUDF>, (String, Option<String>)> {
    match registry().get(name) {
        Some(_) if name.starts_with("arrow_") || UNUSABLE.contains(&name) => {
            Err((format!("{name}() is of no use in a pipeline"), (name == "nvl2").then(|| "write CASE WHEN a IS NOT NULL THEN b ELSE c END".to_owned())))
        }
        Some(udf) if udf.signature().volatility == Volatility::Immutable => Ok(udf.clone()),
        Some(_) => Err((
            format!("{name}() gives another value each time, so a replay would decide differently"),
            Some("use _timestamp, the time of the record".into()),
        )),
        None => {
            let names = registry().keys().map(String::as_str).chain(function::NAMES.iter().copied());
            let near = names.map(|n| (strsim::damerau_levenshtein(n, name), n)).filter(|(d, n)| *d <= 1 + n.len() / 4).min();
            Err((format!("there is no function `{name}`"), near.map(|(_, n)| format!("did you mean `{n}`?"))))
        }
    }
}

/// Paths of a call whose types are tried one by one (count): 2⁶ ways to bind at the most.
const UNTYPED_MAX: usize = 6;

/// Binds a function to its arguments. Paths without a type are tried as text, then as
/// numbers: the last ones first, because positions and lengths follow the text.
pub fn bind(udf: &Arc<ScalarUDF>, args: Vec<Typed>) -> Result<Typed, String> {
    let untyped: Vec<usize> =
        (0..args.len()).filter(|at| args[*at].ty == Type::Text && matches!(&args[*at].op, Op::Input(source) if source.is_dynamic())).collect();
    // Bit n: the nth path from the end is a number.
    let ways = 1usize << untyped.len().min(UNTYPED_MAX);
    let numeric = NUMERIC.contains(&udf.name());
    let mut first_error = None;
    for way in 0..ways {
        let way = if numeric { ways - 1 - way } else { way };
        let mut args = args.clone();
        for (bit, at) in untyped.iter().rev().enumerate() {
            if (way >> bit.min(UNTYPED_MAX - 1)) & 1 == 1 {
                args[*at].ty = Type::Number;
            }
        }
        match bind_types(udf, &args) {
            Ok(library) => {
                let ty = library.ty;
                let typed = Typed { op: Op::Library(Arc::new(library), args), ty };
                // A count or a length is a number; a Boolean stays one.
                return Ok(if ty == Type::Null { convert(typed, Type::Text, false) } else { typed });
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_default())
}

// Functions whose text arguments DataFusion would accept although they mean numbers.
const NUMERIC: [&str; 22] = [
    "abs", "ceil", "floor", "round", "sqrt", "power", "pow", "exp", "ln", "log", "log2", "log10", "sign", "signum", "trunc", "gcd", "lcm", "cbrt", "sin",
    "cos", "tan", "chr",
];

fn bind_types(udf: &Arc<ScalarUDF>, args: &[Typed]) -> Result<Library, String> {
    let short = |error: datafusion::error::DataFusionError| {
        let text = error.strip_backtrace();
        let line = text.lines().next().unwrap_or_default();
        format!("{}() cannot be called like this: {}", udf.name(), line.trim_start_matches("Error during planning: "))
    };
    // Our numbers are doubles. Some functions want whole ones (positions, lengths): first
    // the constants that are whole are offered as such, then all numbers.
    let whole = |arg: &Typed| matches!(arg.as_constant(), Some(Value::Number(n)) if n.fract() == 0.0 && n.abs() < 9e15);
    let fields = |integer: &dyn Fn(&Typed) -> bool| -> Vec<FieldRef> {
        let ty = |arg: &Typed| if arg.ty == Type::Number && integer(arg) { DataType::Int64 } else { arrow_type(arg.ty) };
        args.iter().map(|arg| Arc::new(Field::new("x", ty(arg), true)) as FieldRef).collect()
    };
    let coerced =
        fields_with_udf(&fields(&whole), udf.as_ref()).or_else(|error| fields_with_udf(&fields(&|_| true), udf.as_ref()).map_err(|_| error)).map_err(short)?;
    let scalars: Vec<Option<ScalarValue>> =
        args.iter().zip(&coerced).map(|(arg, field)| arg.as_constant().and_then(|value| scalar(value, arg.ty).cast_to(field.data_type()).ok())).collect();
    let scalar_arguments: Vec<Option<&ScalarValue>> = scalars.iter().map(Option::as_ref).collect();
    let returns = udf.return_field_from_args(ReturnFieldArgs { arg_fields: &coerced, scalar_arguments: &scalar_arguments }).map_err(short)?;
    let ty = match returns.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::Text,
        DataType::Boolean => Type::Boolean,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Type::Time,
        data_type if data_type.is_numeric() => Type::Number,
        other => return Err(format!("{}() returns {other}, which a pipeline cannot use", udf.name())),
    };
    let arguments = coerced.iter().map(|field| field.data_type().clone()).collect();
    Ok(Library { udf: udf.clone(), arguments, fields: coerced, returns, ty, config: Arc::new(ConfigOptions::default()) })
}

impl Library {
    /// The function's name.
    pub fn name(&self) -> &str {
        self.udf.name()
    }

    /// True when a call may fail on arguments that are not NULL.
    pub fn is_fallible(&self) -> bool {
        !self.is_known_as(TOTAL)
    }

    /// True when the result is NULL wherever the first argument is.
    pub fn is_null_of_null(&self) -> bool {
        self.is_known_as(NULLS)
    }

    /// True when an argument may differ from row to row as well as be constant, at the same cost and with the same result.
    pub fn takes_columns(&self) -> bool {
        self.is_known_as(COLUMNS)
    }

    fn is_known_as(&self, flag: u8) -> bool {
        KNOWN.iter().any(|(name, flags)| *name == self.udf.name() && flags & flag != 0)
    }

    /// The types in which DataFusion wants the arguments.
    pub fn arguments(&self) -> &[DataType] {
        &self.arguments
    }

    /// The type of the result.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The values for a batch; rows for which the function fails are NULL.
    pub fn evaluate(&self, args: &[ColumnarValue], rows: usize) -> ArrayRef {
        let null = || new_null_array(&arrow_type(self.ty), rows);
        let Some(args) = args.iter().zip(&self.arguments).map(|(arg, ty)| cast_argument(arg, ty)).collect::<Option<Vec<_>>>() else {
            return null();
        };
        let args = bounded(self.udf.name(), &args, rows).unwrap_or(args);
        match self.invoke(args.clone(), rows) {
            Some(column) => column,
            None if rows <= 1 => null(),
            None => {
                // Some row is at fault: one by one.
                let parts: Vec<ArrayRef> = (0..rows)
                    .map(|row| {
                        let one = args.iter().map(|arg| slice(arg, row)).collect();
                        self.invoke(one, 1).unwrap_or_else(|| new_null_array(&arrow_type(self.ty), 1))
                    })
                    .collect();
                let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
                concat(&parts).unwrap_or_else(|_| null())
            }
        }
    }

    /// The value for one row. `kinds`: each argument's type, and whether it is the same for
    /// all rows, because some functions (`date_trunc`) take certain arguments only so.
    pub fn call(&self, args: &[Value<'_>], kinds: &[(Type, bool)]) -> Value<'static> {
        let args: Vec<ColumnarValue> = args
            .iter()
            .zip(kinds)
            .map(|(value, (ty, constant))| {
                let scalar = scalar(value, *ty);
                match scalar.to_array() {
                    Ok(array) if !constant => ColumnarValue::Array(array),
                    _ => ColumnarValue::Scalar(scalar),
                }
            })
            .collect();
        super::reference::array_value(&self.evaluate(&args, 1), 0, self.ty).into_owned()
    }

    fn invoke(&self, args: Vec<ColumnarValue>, rows: usize) -> Option<ArrayRef> {
        let call = ScalarFunctionArgs {
            args,
            arg_fields: self.fields.clone(),
            number_rows: rows,
            return_field: self.returns.clone(),
            config_options: self.config.clone(),
        };
        // Some functions panic where others fail, on a position at the end of the numbers, for example.
        let invoked = catch_unwind(AssertUnwindSafe(|| self.udf.invoke_with_args(call).and_then(|value| value.into_array(rows))));
        let column = invoked.ok()?.ok()?;
        if column.len() != rows {
            return None;
        }
        let own = arrow_type(self.ty);
        let column = if *column.data_type() == own { column } else { cast_with_options(&column, &own, &CAST).ok()? };
        Some(finite(column))
    }
}

/// Always has an answer.
const TOTAL: u8 = 1;
/// NULL where the first argument is.
const NULLS: u8 = 2;
/// Reads a constant argument as a column of equal values anyway. (Others compile it once: a regular
/// expression, a set of characters.)
const COLUMNS: u8 = 4;

// What is known of functions; of one that is not listed, nothing: it may fail, and may make something of NULL.
const KNOWN: [(&str, u8); 23] = [
    ("trim", TOTAL | NULLS),
    ("btrim", TOTAL | NULLS),
    ("ltrim", TOTAL | NULLS),
    ("rtrim", TOTAL | NULLS),
    ("length", TOTAL | NULLS),
    ("character_length", TOTAL | NULLS),
    ("char_length", TOTAL),
    ("octet_length", TOTAL),
    ("bit_length", TOTAL),
    ("reverse", TOTAL),
    ("initcap", TOTAL),
    ("translate", TOTAL),
    ("starts_with", TOTAL | NULLS | COLUMNS),
    ("ends_with", TOTAL | NULLS | COLUMNS),
    ("contains", TOTAL | NULLS),
    ("strpos", TOTAL | NULLS | COLUMNS),
    ("left", TOTAL | COLUMNS),
    ("right", TOTAL | COLUMNS),
    ("substr", NULLS | COLUMNS),
    ("split_part", NULLS | COLUMNS),
    ("replace", NULLS | COLUMNS),
    ("regexp_like", TOTAL | NULLS),
    ("regexp_replace", NULLS),
];

const CAST: CastOptions<'static> = CastOptions { safe: true, format_options: datafusion::arrow::util::display::FormatOptions::new() };

fn cast_argument(arg: &ColumnarValue, ty: &DataType) -> Option<ColumnarValue> {
    match arg {
        ColumnarValue::Array(array) if array.data_type() == ty => Some(arg.clone()),
        ColumnarValue::Array(array) => cast_with_options(array, ty, &CAST).ok().map(ColumnarValue::Array),
        ColumnarValue::Scalar(value) => value.cast_to(ty).ok().map(ColumnarValue::Scalar),
    }
}

fn slice(arg: &ColumnarValue, row: usize) -> ColumnarValue {
    match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(row, 1)),
        scalar => scalar.clone(),
    }
}

/// NaN and infinity become NULL: neither JSON nor a reader of incidents knows them. `-0.0`,
/// which Arrow tells from `0.0`, becomes that.
fn finite(column: ArrayRef) -> ArrayRef {
    use datafusion::arrow::array::{AsArray, Float64Array};
    use datafusion::arrow::datatypes::Float64Type;
    match column.as_primitive_opt::<Float64Type>() {
        Some(numbers) if numbers.iter().flatten().any(|n| !n.is_finite() || n.to_bits() == (-0.0f64).to_bits()) => {
            Arc::new(numbers.iter().map(|n| n.filter(|n| n.is_finite()).map(|n| n + 0.0)).collect::<Float64Array>())
        }
        _ => column,
    }
}
