//! Conversions between types, as total functions.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};

use super::function::{Failed, Function};
use super::typed::{FunctionRef, Op, Typed};
use super::value::{Type, Value, parse_boolean, parse_number};

/// Converts a value to a type; `integer` also cuts the fraction off.
#[derive(Debug)]
struct Convert {
    to: Type,
    integer: bool,
}

impl Function for Convert {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(value) = args.first() else { return Ok(Value::Null) };
        if value.is_null() {
            return Ok(Value::Null);
        }
        match self.to {
            Type::Text => Ok(match value {
                Value::Text(text) => Value::Text(text.clone()),
                other => other.to_text().map_or(Value::Null, |text| Value::Text(Cow::Owned(text.into_owned()))),
            }),
            Type::Number => {
                let number = match value {
                    Value::Text(text) => parse_number(text).ok_or(Failed)?,
                    Value::Number(number) | Value::Duration(number) => *number,
                    Value::Boolean(truth) => f64::from(u8::from(*truth)),
                    Value::Time(micros) => *micros as f64 / 1e6,
                    Value::Null => return Ok(Value::Null),
                };
                Ok(Value::Number(if self.integer { number.trunc() + 0.0 } else { number }))
            }
            Type::Boolean => match value {
                Value::Text(text) => parse_boolean(text).map(Value::Boolean).ok_or(Failed),
                Value::Number(number) => Ok(Value::Boolean(*number != 0.0)),
                Value::Boolean(truth) => Ok(Value::Boolean(*truth)),
                _ => Err(Failed),
            },
            Type::Duration => match value {
                Value::Number(number) | Value::Duration(number) => Ok(Value::Duration(*number)),
                _ => Err(Failed),
            },
            Type::Time | Type::Null => Err(Failed),
        }
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        if self.to != Type::Number {
            return None;
        }
        let texts = args.first()?.as_string_view_opt()?;
        let numbers: Float64Array = (0..texts.len())
            .map(|row| {
                let number = if texts.is_null(row) { None } else { parse_number(texts.value(row)) };
                number.map(|n| if self.integer { n.trunc() + 0.0 } else { n })
            })
            .collect();
        Some(Arc::new(numbers))
    }
}

/// `value` as `to`, by an explicit conversion.
pub fn convert(value: Typed, to: Type, integer: bool) -> Typed {
    let name: &str = match to {
        Type::Text => "text",
        Type::Boolean => "boolean",
        Type::Duration => "duration",
        _ if integer => "integer",
        _ => "number",
    };
    // Every conversion but to text can meet a value that it cannot read.
    let fallible = to != Type::Text && matches!(value.ty, Type::Text);
    let function = FunctionRef {
        name: name.into(),
        key: format!("{name}<{}>", value.ty.name()).into(),
        function: Arc::new(Convert { to, integer }),
        fallible,
        constants: Vec::new(),
    };
    Typed { op: Op::Call(function, vec![value]), ty: to }
}

/// `a || b`: NULL as soon as one side is NULL.
#[derive(Debug)]
struct Joined;

impl Function for Joined {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let mut text = String::new();
        for arg in args {
            let Value::Text(part) = arg else { return Ok(Value::Null) };
            text.push_str(part);
        }
        Ok(Value::Text(Cow::Owned(text)))
    }
}

/// `a || b` over text.
pub fn joined(sides: Vec<Typed>) -> Typed {
    let function = FunctionRef { name: "||".into(), key: "||".into(), function: Arc::new(Joined), fallible: false, constants: Vec::new() };
    Typed { op: Op::Call(function, sides), ty: Type::Text }
}
