//! Transformers of numbers.

use serde_json::Value;

use super::Takes::{Item, Whole};
use super::{Args, Transformer, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::value::{arg_list, as_number, cast_number, number_value};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("addition", Item, &["by"], &[], |value, args, _| binary(value, args, |a, b| a + b)),
    row("subtraction", Item, &["by"], &[], |value, args, _| binary(value, args, |a, b| a - b)),
    row("multiply", Item, &["by"], &[], |value, args, _| binary(value, args, |a, b| a * b)),
    row("division", Item, &["by"], &[], |value, args, _| binary(value, args, |a, b| a / b)),
    row("modulus", Item, &["by"], &[], |value, args, _| binary(value, args, |a, b| a % b)),
    row("floor", Item, &[], &[], |value, args, _| unary(value, args, f64::floor)),
    row("ceil", Item, &[], &[], |value, args, _| unary(value, args, f64::ceil)),
    row("round", Item, &[], &[], |value, args, _| unary(value, args, f64::round)),
    row("absolute", Item, &[], &[], |value, args, _| unary(value, args, f64::abs)),
    row("precision", Item, &[], &["by"], precision),
    row("toPercent", Item, &[], &["withsign"], to_percent),
    row("quadraticEquation", Item, &["b", "c"], &[], quadratic),
    row("SumList", Whole, &[], &[], sum_list),
];

fn unary(value: &Value, args: &Args<'_>, f: fn(f64) -> f64) -> Result<Value, Fault> {
    Ok(number_value(f(cast_number(value, args.operator)?)))
}

fn binary(value: &Value, args: &Args<'_>, f: fn(f64, f64) -> f64) -> Result<Value, Fault> {
    let by = args.need_number("by")?;
    let result = f(cast_number(value, args.operator)?, by);
    if result.is_finite() { Ok(number_value(result)) } else { Err(Fault::Argument { operator: args.operator, what: "the result is not a number" }) }
}

fn precision(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let digits = args.number("by")?.unwrap_or(0.0).clamp(0.0, 15.0);
    let number = cast_number(value, args.operator)?;
    // Cut in the decimal text: 8.66 has no exact double.
    let text = format!("{number}");
    let cut = match text.find('.') {
        Some(dot) => text.get(..dot + if digits == 0.0 { 0 } else { 1 + digits as usize }).unwrap_or(&text),
        None => &text,
    };
    Ok(cut.parse().map_or(Value::Null, number_value))
}

fn to_percent(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    // 0.29 × 100 is 28.999999999999996: the product is rounded where it is nearly whole.
    let product = cast_number(value, args.operator)? * 100.0;
    let whole = if (product - product.round()).abs() < 1e-9 { product.round() } else { product.trunc() };
    Ok(if args.flag("withsign", false) { Value::String(format!("{whole}%")) } else { number_value(whole) })
}

fn quadratic(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let (a, b, c) = (cast_number(value, args.operator)?, args.need_number("b")?, args.need_number("c")?);
    if a == 0.0 {
        return Err(Fault::Argument { operator: args.operator, what: "the first coefficient is 0" });
    }
    let under = b * b - 4.0 * a * c;
    let roots = if under >= 0.0 {
        [1.0, -1.0].map(|sign| Value::String(format!("{:.2}", (-b + sign * under.sqrt()) / (2.0 * a))))
    } else {
        let (real, imaginary) = (-b / (2.0 * a), (-under).sqrt() / (2.0 * a));
        [imaginary, -imaginary].map(|imaginary| Value::String(format!("({real:.3} {imaginary:+.3}i)")))
    };
    Ok(Value::Array(roots.into()))
}

fn sum_list(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let items = match value {
        Value::String(text) if text.is_empty() => return args.raise("applies only to a list of numbers"),
        other => arg_list(other),
    };
    env.budget.steps(items.len())?;
    let mut sum = 0.0;
    for item in &items {
        match as_number(item) {
            Some(number) if !item.is_array() => sum += number,
            _ => return args.raise("applies only to a list of numbers"),
        }
    }
    Ok(number_value(sum))
}
