//! Typed tree → DataFusion: logical expressions over named columns, and from them
//! physical expressions that are evaluated per batch. No planning happens after this.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray, StringViewBuilder};
use datafusion::arrow::compute::{is_not_null, kernels::zip::zip};
use datafusion::arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{Case, InList, Like};
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, binary_expr, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::{Column, SessionContext};

use super::function::{Failed, Function};
use super::library::{Library, arrow_type, scalar};
use super::reference::{self, arithmetic, array_value};
use super::typed::{Arithmetic, Compare, FunctionRef, Op, Source, Typed};
use super::value::{Type, Value};

/// Name of the column that holds an input as a type. A path as text has the path's
/// own name, so that SQL over events reads like the pipeline.
pub fn column_name(source: &Source, ty: Type) -> String {
    let name = match source {
        Source::Event(path) => path.to_string(),
        Source::Record(record) => super::typed::Record::ALL.iter().find(|(_, r, _)| r == record).map_or_else(String::new, |(name, ..)| (*name).to_owned()),
        Source::Header(name) => format!("_headers[{name}]"),
        Source::Field(name) => format!("incident.{name}"),
        Source::New(name) => format!("new.{name}"),
        Source::Existing(name) => format!("existing.{name}"),
        Source::Shared(number) => format!("shared.{number}"),
        Source::ByType(number) => format!("by_type.{number}"),
    };
    match (source, ty) {
        (Source::Event(_) | Source::Header(_), Type::Number) => format!("{name}::number"),
        (Source::Event(_) | Source::Header(_), Type::Boolean) => format!("{name}::boolean"),
        (Source::Field(_), ty) => format!("{name}::{}", ty.name()),
        _ => name,
    }
}

/// The logical expression of a typed tree.
pub fn logical(typed: &Typed) -> Expr {
    match &typed.op {
        Op::Input(source) => Expr::Column(Column::new_unqualified(column_name(source, typed.ty))),
        Op::Constant(constant) => lit(scalar(&constant.0, typed.ty)),
        Op::Not(inner) => Expr::Not(Box::new(logical(inner))),
        Op::And(list) => balanced(list, Operator::And),
        Op::Or(list) => balanced(list, Operator::Or),
        Op::Compare(op, left, right) => binary_expr(logical(left), operator(*op), logical(right)),
        Op::IsNull(inner, false) => Expr::IsNull(Box::new(logical(inner))),
        Op::IsNull(inner, true) => Expr::IsNotNull(Box::new(logical(inner))),
        Op::Like { value, pattern, negated, fold_case } => {
            let pattern = lit(ScalarValue::Utf8View(Some(pattern.to_string())));
            Expr::Like(Like::new(*negated, Box::new(logical(value)), Box::new(pattern), None, *fold_case))
        }
        Op::Matches { value, pattern, negated } => {
            let regex = pattern.0.clone();
            let key: Arc<str> = format!("matches[{}]", regex.as_str()).into();
            let function = FunctionRef { name: "matches".into(), key, function: Arc::new(Matches(regex)), fallible: false, constants: Vec::new() };
            let call = ours(Called::Function(function), &[value], Type::Boolean);
            if *negated { Expr::Not(Box::new(call)) } else { call }
        }
        Op::In { value, list, negated } => {
            let list = list.iter().map(|item| lit(scalar(&item.0, value.ty))).collect();
            Expr::InList(InList::new(Box::new(logical(value)), list, *negated))
        }
        Op::Case { branches, otherwise } => {
            let branches = branches.iter().map(|(when, then)| (Box::new(logical(when)), Box::new(logical(then)))).collect();
            Expr::Case(Case::new(None, branches, Some(Box::new(logical(otherwise)))))
        }
        Op::Coalesce(list) => ours(Called::Coalesce, &list.iter().collect::<Vec<_>>(), typed.ty),
        Op::Arithmetic(op, left, right) => ours(Called::Arithmetic(*op), &[left, right], typed.ty),
        Op::TimeMinusTime(left, right) => ours(Called::TimeMinusTime, &[left, right], typed.ty),
        Op::TimeShift { time, by, negative } => ours(Called::TimeShift(*negative), &[time, by], typed.ty),
        Op::Call(function, args) => ours(Called::Function(function.clone()), &args.iter().collect::<Vec<_>>(), typed.ty),
        Op::Library(library, args) => ours(Called::Library(library.clone()), &args.iter().collect::<Vec<_>>(), typed.ty),
    }
}

/// The physical expression of a typed tree over the columns of `schema`.
pub fn physical(typed: &Typed, schema: &DFSchema, session: &SessionContext) -> DfResult<Arc<dyn PhysicalExpr>> {
    session.create_physical_expr(logical(typed), schema)
}

/// AND and OR as a balanced tree: a list of hundreds stays shallow.
fn balanced(list: &[Typed], op: Operator) -> Expr {
    match list {
        [one] => logical(one),
        _ => {
            let (left, right) = list.split_at(list.len() / 2);
            binary_expr(balanced(left, op), op, balanced(right, op))
        }
    }
}

fn operator(op: Compare) -> Operator {
    match op {
        Compare::Eq => Operator::Eq,
        Compare::NotEq => Operator::NotEq,
        Compare::Lt => Operator::Lt,
        Compare::LtEq => Operator::LtEq,
        Compare::Gt => Operator::Gt,
        Compare::GtEq => Operator::GtEq,
    }
}

fn ours(called: Called, args: &[&Typed], returns: Type) -> Expr {
    let types = args.iter().map(|arg| arg.ty).collect();
    let signature = if args.is_empty() { Signature::nullary(Volatility::Immutable) } else { Signature::any(args.len(), Volatility::Immutable) };
    let name = called.name();
    let udf = ScalarUDF::new_from_impl(Ours { name, called, types, returns, signature });
    udf.call(args.iter().map(|arg| logical(arg)).collect())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Called {
    Function(FunctionRef),
    Library(Arc<Library>),
    Coalesce,
    Arithmetic(Arithmetic),
    TimeMinusTime,
    TimeShift(bool),
}

impl Called {
    fn name(&self) -> String {
        match self {
            Called::Function(function) => function.key.to_string(),
            Called::Library(library) => library.name().to_owned(),
            Called::Coalesce => "coalesce".to_owned(),
            Called::Arithmetic(op) => format!("{op:?}").to_lowercase(),
            Called::TimeMinusTime => "seconds_between".to_owned(),
            Called::TimeShift(_) => "time_shift".to_owned(),
        }
    }
}

/// A call as DataFusion sees it.
#[derive(Debug)]
struct Ours {
    name: String,
    called: Called,
    types: Vec<Type>,
    returns: Type,
    signature: Signature,
}

impl PartialEq for Ours {
    fn eq(&self, other: &Ours) -> bool {
        self.called == other.called && self.types == other.types
    }
}
impl Eq for Ours {}
impl Hash for Ours {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.called.hash(state);
        self.types.hash(state);
    }
}

impl ScalarUDFImpl for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(arrow_type(self.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let rows = args.number_rows;
        if let Called::Library(library) = &self.called {
            return Ok(ColumnarValue::Array(library.evaluate(&args.args, rows)));
        }
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<DfResult<Vec<_>>>()?;
        let column = match &self.called {
            Called::Coalesce => coalesce(&arrays)?,
            Called::Arithmetic(op) => numbers(&arrays, |a, b| Some(arithmetic(*op, a, b)).filter(|n| n.is_finite())),
            Called::TimeMinusTime => times(&arrays, |a, b| Some(reference::seconds_between(a, b))),
            Called::TimeShift(negative) => shift(&arrays, *negative),
            Called::Function(function) => function_column(function.function.as_ref(), &arrays, &self.types, self.returns, rows),
            Called::Library(_) => return datafusion::common::internal_err!("library calls are handled above"),
        };
        Ok(ColumnarValue::Array(column))
    }
}

/// First value that is not NULL, column by column.
fn coalesce(arrays: &[ArrayRef]) -> DfResult<ArrayRef> {
    let mut arrays = arrays.iter();
    let Some(first) = arrays.next() else { return datafusion::common::internal_err!("coalesce without arguments") };
    let mut column = first.clone();
    for next in arrays {
        if column.null_count() == 0 {
            break;
        }
        column = if column.null_count() == column.len() { next.clone() } else { zip(&is_not_null(&column)?, &column, next)? };
    }
    Ok(column)
}

fn numbers(arrays: &[ArrayRef], op: impl Fn(f64, f64) -> Option<f64>) -> ArrayRef {
    let [a, b] = arrays else { return Arc::new(Float64Array::new_null(0)) };
    let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
    Arc::new(
        a.iter()
            .zip(b)
            .map(|pair| match pair {
                (Some(a), Some(b)) => op(a, b),
                _ => None,
            })
            .collect::<Float64Array>(),
    )
}

fn times(arrays: &[ArrayRef], op: impl Fn(i64, i64) -> Option<f64>) -> ArrayRef {
    let [a, b] = arrays else { return Arc::new(Float64Array::new_null(0)) };
    let (a, b) = (a.as_primitive::<TimestampMicrosecondType>(), b.as_primitive::<TimestampMicrosecondType>());
    Arc::new(
        a.iter()
            .zip(b)
            .map(|pair| match pair {
                (Some(a), Some(b)) => op(a, b),
                _ => None,
            })
            .collect::<Float64Array>(),
    )
}

fn shift(arrays: &[ArrayRef], negative: bool) -> ArrayRef {
    let [time, by] = arrays else { return Arc::new(Float64Array::new_null(0)) };
    let (time, by) = (time.as_primitive::<TimestampMicrosecondType>(), by.as_primitive::<Float64Type>());
    let moved: PrimitiveArray<TimestampMicrosecondType> = time
        .iter()
        .zip(by)
        .map(|pair| match pair {
            (Some(time), Some(by)) => reference::time_shift(time, by, negative),
            _ => None,
        })
        .collect();
    Arc::new(moved.with_timezone("+00:00"))
}

/// `seconds_between` and `time_shift` over columns of the right types.
pub fn time_arithmetic(name: &str, arrays: &[ArrayRef]) -> ArrayRef {
    if name == "time_shift" { shift(arrays, false) } else { times(arrays, |a, b| Some(reference::seconds_between(a, b))) }
}

/// Times as plain microseconds, which is what our functions work on.
fn plain(array: &ArrayRef, ty: Type) -> ArrayRef {
    match (ty, array.as_primitive_opt::<TimestampMicrosecondType>()) {
        (Type::Time, Some(times)) => Arc::new(times.reinterpret_cast::<datafusion::arrow::datatypes::Int64Type>()),
        _ => array.clone(),
    }
}

/// A function over whole columns: its own column loop, or row by row.
pub fn function_column(function: &dyn Function, arrays: &[ArrayRef], types: &[Type], returns: Type, rows: usize) -> ArrayRef {
    let inputs: Vec<ArrayRef> = arrays.iter().zip(types).map(|(array, ty)| plain(array, *ty)).collect();
    if let Some(column) = function.column(&inputs) {
        return match (returns, column.as_primitive_opt::<datafusion::arrow::datatypes::Int64Type>()) {
            (Type::Time, Some(micros)) => Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("+00:00")),
            _ => column,
        };
    }
    let value = |row: usize| -> Vec<Value<'_>> { arrays.iter().zip(types).map(|(array, ty)| array_value(array, row, *ty)).collect() };
    let call = |args: &[Value<'_>]| -> Option<Value<'static>> { function.call(args).ok().map(Value::into_owned) };
    match returns {
        Type::Text | Type::Null => {
            let mut column = StringViewBuilder::with_capacity(rows);
            for row in 0..rows {
                let args = value(row);
                match function.call(&args) {
                    Ok(Value::Text(text)) => column.append_value(text),
                    _ => column.append_null(),
                }
            }
            Arc::new(column.finish())
        }
        Type::Number | Type::Duration => Arc::new(
            (0..rows)
                .map(|row| match call(&value(row)) {
                    Some(Value::Number(n) | Value::Duration(n)) => Some(n),
                    _ => None,
                })
                .collect::<Float64Array>(),
        ),
        Type::Boolean => Arc::new((0..rows).map(|row| call(&value(row)).and_then(|v| v.as_boolean())).collect::<BooleanArray>()),
        Type::Time => {
            let micros: Int64Array = (0..rows)
                .map(|row| match call(&value(row)) {
                    Some(Value::Time(micros)) => Some(micros),
                    _ => None,
                })
                .collect();
            Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("+00:00"))
        }
    }
}

/// Regular expression search with a pattern compiled once.
#[derive(Debug)]
struct Matches(Arc<regex::Regex>);

impl Function for Matches {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        Ok(match args.first() {
            Some(Value::Text(text)) => Value::Boolean(self.0.is_match(text)),
            _ => Value::Null,
        })
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = args.first()?.as_string_view_opt()?;
        Some(Arc::new(texts.iter().map(|text| text.map(|t| self.0.is_match(t))).collect::<BooleanArray>()))
    }
}
