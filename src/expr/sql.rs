//! Typed trees as SQL text, and our functions as SQL functions: so that a pipeline can
//! be read, and run, as one DataFusion query.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::compile::{column_name, function_column};
use super::convert::convert;
use super::function::{self, Arg, Function};
use super::library::arrow_type;
use super::typed::{Arithmetic, Compare, Constant, Op, Source, Typed};
use super::value::{Type, Value, number_text};

/// Binds `lookup('table', …, 'column')`.
pub type BindLookup = Arc<dyn Fn(&str, &str) -> Option<Arc<dyn Function>> + Send + Sync>;

/// An expression as SQL over columns named by [`column_name`]; `field` gives the SQL of an incident field.
pub fn sql(typed: &Typed, field: &dyn Fn(&str) -> String) -> String {
    let one = |x: &Typed| sql(x, field);
    let list = |xs: &[Typed], between: &str| xs.iter().map(one).collect::<Vec<_>>().join(between);
    match &typed.op {
        Op::Input(Source::Field(name)) => field(name),
        Op::Input(source) => quoted(&column_name(source, typed.ty)),
        Op::Constant(constant) => literal(constant, typed.ty),
        Op::Not(x) => format!("(NOT {})", one(x)),
        Op::And(xs) => format!("({})", list(xs, " AND ")),
        Op::Or(xs) => format!("({})", list(xs, " OR ")),
        Op::Compare(op, a, b) => {
            let sign = match op {
                Compare::Eq => "=",
                Compare::NotEq => "<>",
                Compare::Lt => "<",
                Compare::LtEq => "<=",
                Compare::Gt => ">",
                Compare::GtEq => ">=",
            };
            format!("({} {sign} {})", one(a), one(b))
        }
        Op::IsNull(x, negated) => format!("({} IS {}NULL)", one(x), if *negated { "NOT " } else { "" }),
        Op::Like { value, pattern, negated, fold_case } => {
            let not = if *negated { "NOT " } else { "" };
            format!("({} {not}{} {})", one(value), if *fold_case { "ILIKE" } else { "LIKE" }, text(pattern))
        }
        Op::Matches { value, pattern, negated } => {
            format!("({}regexp_like({}, {}))", if *negated { "NOT " } else { "" }, one(value), text(pattern.0.as_str()))
        }
        Op::In { value, list, negated } => {
            let items = list.iter().map(|item| literal(item, value.ty)).collect::<Vec<_>>().join(", ");
            format!("({} {}IN ({items}))", one(value), if *negated { "NOT " } else { "" })
        }
        Op::Case { branches, otherwise } => {
            let branches: String = branches.iter().map(|(when, then)| format!(" WHEN {} THEN {}", one(when), one(then))).collect();
            format!("(CASE{branches} ELSE {} END)", one(otherwise))
        }
        Op::Coalesce(xs) => format!("coalesce({})", list(xs, ", ")),
        Op::Arithmetic(op, a, b) => {
            let sign = match op {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Modulo => "%",
            };
            // Without a value where the result is not finite, as in a pipeline.
            format!("finite({} {sign} {})", one(a), one(b))
        }
        Op::TimeMinusTime(a, b) => format!("seconds_between({}, {})", one(a), one(b)),
        Op::TimeShift { time, by, negative } => format!("time_shift({}, {}{})", one(time), if *negative { "-" } else { "" }, one(by)),
        Op::Call(called, args) => {
            let mut written: Vec<Option<String>> = vec![None; args.len() + called.constants.len()];
            for (index, constant) in &called.constants {
                if *index >= written.len() {
                    written.resize(index + 1, None);
                }
                written[*index] = Some(literal(constant, constant_type(constant)));
            }
            let mut args = args.iter().map(one);
            for place in written.iter_mut().filter(|place| place.is_none()) {
                *place = args.next();
            }
            let mut written: Vec<String> = written.into_iter().flatten().collect();
            if &*called.name == "parse_time" && written.len() < 4 {
                // The record's time comes last, behind format and zone.
                let time = written.pop().unwrap_or_default();
                while written.len() < 3 {
                    written.push(text(if written.len() == 1 { "auto" } else { "UTC" }));
                }
                written.push(time);
            }
            match &*called.name {
                "||" => format!("({})", written.join(" || ")),
                name => format!("{name}({})", written.join(", ")),
            }
        }
        Op::Library(library, args) => {
            let args: Vec<String> = args
                .iter()
                .zip(library.arguments())
                .map(|(arg, wanted)| if wanted.is_integer() && arg.as_constant().is_none() { format!("CAST({} AS BIGINT)", one(arg)) } else { one(arg) })
                .collect();
            let call = format!("{}({})", library.name(), args.join(", "));
            if library.ty() == Type::Number { format!("CAST({call} AS DOUBLE)") } else { call }
        }
    }
}

fn constant_type(constant: &Constant) -> Type {
    Typed::constant(constant.0.clone()).ty
}

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(constant: &Constant, ty: Type) -> String {
    match &constant.0 {
        Value::Null => match ty {
            Type::Number | Type::Duration => "CAST(NULL AS DOUBLE)".into(),
            Type::Boolean => "CAST(NULL AS BOOLEAN)".into(),
            Type::Time => "CAST(NULL AS TIMESTAMP)".into(),
            Type::Text | Type::Null => "CAST(NULL AS VARCHAR)".into(),
        },
        Value::Text(value) => text(value),
        Value::Number(number) | Value::Duration(number) => number_text(*number),
        Value::Boolean(truth) => if *truth { "TRUE" } else { "FALSE" }.into(),
        Value::Time(_) => format!("TIMESTAMP {}", text(&constant.0.to_text().unwrap_or_default())),
    }
}

/// Registers our functions with a session. `lookup` binds tables.
pub fn register(session: &SessionContext, lookup: BindLookup) {
    let names = function::NAMES.iter().filter(|name| !matches!(**name, "event" | "exists" | "coalesce" | "nullif" | "lookup"));
    for name in names.chain(&["integer", "boolean", "finite", "seconds_between", "time_shift"]) {
        let function = SqlFunction { name: (*name).to_owned(), signature: Signature::variadic_any(Volatility::Immutable), lookup: None };
        session.register_udf(ScalarUDF::new_from_impl(function));
    }
    let lookup = SqlFunction { name: "lookup".into(), signature: Signature::variadic_any(Volatility::Immutable), lookup: Some(lookup) };
    session.register_udf(ScalarUDF::new_from_impl(lookup));
}

/// One of our functions, bound to its constants when it is called.
struct SqlFunction {
    name: String,
    signature: Signature,
    lookup: Option<BindLookup>,
}

impl std::fmt::Debug for SqlFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}
impl PartialEq for SqlFunction {
    fn eq(&self, other: &SqlFunction) -> bool {
        self.name == other.name
    }
}
impl Eq for SqlFunction {}
impl Hash for SqlFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn returns(name: &str) -> Type {
    match name {
        "parse_time" | "time_shift" => Type::Time,
        "severity" | "number" | "integer" | "array_length" | "finite" | "seconds_between" => Type::Number,
        "ip_in" | "array_any" | "array_any_like" | "boolean" => Type::Boolean,
        _ => Type::Text,
    }
}

impl ScalarUDFImpl for SqlFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(arrow_type(returns(&self.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let rows = args.number_rows;
        let bad = |message: String| datafusion::error::DataFusionError::Plan(format!("{}(): {message}", self.name));
        let array = |arg: &ColumnarValue, ty: Type| -> DfResult<ArrayRef> { Ok(cast(&arg.clone().into_array(rows)?, &arrow_type(ty))?) };
        let mut args = args.args;
        let (function, inputs, types): (Arc<dyn Function>, Vec<ArrayRef>, Vec<Type>) = match self.name.as_str() {
            "finite" => {
                let numbers = array(args.first().ok_or_else(|| bad("takes a number".into()))?, Type::Number)?;
                let finite: Float64Array = numbers.as_primitive::<Float64Type>().iter().map(|n| n.filter(|n| n.is_finite())).collect();
                return Ok(ColumnarValue::Array(Arc::new(finite)));
            }
            "seconds_between" | "time_shift" if args.len() == 2 => {
                let times = [array(&args[0], Type::Time)?, array(&args[1], if self.name == "time_shift" { Type::Number } else { Type::Time })?];
                return Ok(ColumnarValue::Array(super::compile::time_arithmetic(&self.name, &times)));
            }
            "number" | "text" | "integer" | "boolean" => {
                let arg = args.first().ok_or_else(|| bad("takes a value".into()))?;
                let from = own_type(&arg.data_type());
                let to = returns(&self.name);
                let converted = convert(Typed { ty: from, ..Typed::constant(Value::Null) }, to, self.name == "integer");
                let Op::Call(called, _) = converted.op else { return Err(bad("cannot convert".into())) };
                (called.function, vec![array(arg, from)?], vec![from])
            }
            "lookup" => {
                let table = args.first().and_then(constant_text).unwrap_or_default();
                let column = args.get(2).and_then(constant_text).unwrap_or_default();
                let bound = self.lookup.as_ref().and_then(|bind| bind(&table, &column)).ok_or_else(|| bad("no such table or column".into()))?;
                let key = args.get(1).ok_or_else(|| bad("takes a table, a key and a column".into()))?;
                (bound, vec![array(key, Type::Text)?], vec![Type::Text])
            }
            name => {
                let record_time = if name == "parse_time" && args.len() == 4 { args.pop() } else { None };
                let constants: Vec<Arg> = args.iter().map(constant).collect();
                let bound = function::bind(name, &constants).ok_or_else(|| bad("unknown".into()))?.map_err(|misuse| bad(misuse.message))?;
                let mut inputs = Vec::new();
                let mut types = Vec::new();
                for (index, ty) in &bound.args {
                    inputs.push(args.get(*index).map_or_else(|| Ok(new_null_array(&arrow_type(*ty), rows)), |arg| array(arg, *ty))?);
                    types.push(*ty);
                }
                if bound.wants_record_time {
                    inputs.push(record_time.map_or_else(|| Ok(new_null_array(&arrow_type(Type::Time), rows)), |arg| array(&arg, Type::Time))?);
                    types.push(Type::Time);
                }
                (bound.function, inputs, types)
            }
        };
        Ok(ColumnarValue::Array(function_column(function.as_ref(), &inputs, &types, returns(&self.name), rows)))
    }
}

fn own_type(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::Boolean,
        DataType::Timestamp(..) => Type::Time,
        data_type if data_type.is_numeric() => Type::Number,
        _ => Type::Text,
    }
}

fn constant_text(arg: &ColumnarValue) -> Option<String> {
    match constant(arg) {
        Arg::Constant(Value::Text(text)) => Some(text.into_owned()),
        _ => None,
    }
}

fn constant(arg: &ColumnarValue) -> Arg {
    let ColumnarValue::Scalar(scalar) = arg else { return Arg::Row };
    let value = match scalar {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => Value::Text(text.clone().into()),
        ScalarValue::Boolean(Some(truth)) => Value::Boolean(*truth),
        other => match other.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) => Value::Number(number),
            _ => Value::Null,
        },
    };
    Arg::Constant(value)
}
