//! Conversions and operators of the language.

use super::ast::Binary;
use super::heap::{Heap, Js};
use super::interpret::{Interpreter, Stop};
use crate::expr::xsoar::value::float_text;

/// Levels of lists in lists whose text is made.
const TEXT_LEVELS_MAX: u32 = 16;

/// True for what a condition takes as true.
pub fn truthy(value: &Js) -> bool {
    match value {
        Js::Undefined | Js::Null => false,
        Js::Flag(flag) => *flag,
        Js::Number(number) => *number != 0.0 && !number.is_nan(),
        Js::Text(text) => !text.is_empty(),
        _ => true,
    }
}

/// A number as the language writes it.
pub fn number_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        float_text(number)
    }
}

/// A text as a number; NaN if it is none.
pub fn text_number(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).map_or(f64::NAN, |number| number as f64);
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

/// `typeof`
pub fn type_name(value: &Js) -> &'static str {
    match value {
        Js::Undefined => "undefined",
        Js::Flag(_) => "boolean",
        Js::Number(_) => "number",
        Js::Text(_) => "string",
        Js::Function(_) => "function",
        Js::Native(name) if !matches!(&**name, "Math" | "JSON") => "function",
        _ => "object",
    }
}

impl Heap {
    /// A value as a number.
    pub fn number(&self, value: &Js) -> f64 {
        match value {
            Js::Undefined | Js::Function(_) | Js::Native(_) | Js::Object(_) | Js::Regex(..) => f64::NAN,
            Js::Null => 0.0,
            Js::Flag(flag) => f64::from(u8::from(*flag)),
            Js::Number(number) => *number,
            Js::Text(text) => text_number(text),
            Js::List(_) => text_number(&self.text_at(value, TEXT_LEVELS_MAX)),
        }
    }

    /// A value as a text.
    pub fn text(&self, value: &Js) -> String {
        self.text_at(value, TEXT_LEVELS_MAX)
    }

    fn text_at(&self, value: &Js, levels: u32) -> String {
        match value {
            Js::Undefined => "undefined".to_owned(),
            Js::Null => "null".to_owned(),
            Js::Flag(flag) => flag.to_string(),
            Js::Number(number) => number_text(*number),
            Js::Text(text) => text.to_string(),
            Js::List(_) if levels == 0 => String::new(),
            Js::List(list) => {
                let items = self.items(*list).iter().map(|item| if item.is_nullish() { String::new() } else { self.text_at(item, levels - 1) });
                items.collect::<Vec<_>>().join(",")
            }
            Js::Object(_) => "[object Object]".to_owned(),
            Js::Function(_) | Js::Native(_) => "function".to_owned(),
            Js::Regex(..) => "/regex/".to_owned(),
        }
    }

    /// `===`
    pub fn same(&self, a: &Js, b: &Js) -> bool {
        match (a, b) {
            (Js::Undefined, Js::Undefined) | (Js::Null, Js::Null) => true,
            (Js::Flag(a), Js::Flag(b)) => a == b,
            (Js::Number(a), Js::Number(b)) => a == b,
            (Js::Text(a), Js::Text(b)) => a == b,
            (Js::List(a), Js::List(b)) | (Js::Object(a), Js::Object(b)) | (Js::Function(a), Js::Function(b)) => a == b,
            (Js::Native(a), Js::Native(b)) => a == b,
            _ => false,
        }
    }

    /// `==`
    pub fn equal(&self, a: &Js, b: &Js) -> bool {
        match (a, b) {
            _ if a.is_nullish() || b.is_nullish() => a.is_nullish() && b.is_nullish(),
            (Js::Flag(_), Js::Flag(_)) => self.same(a, b),
            (Js::Flag(_), other) | (other, Js::Flag(_)) if !matches!(other, Js::List(_) | Js::Object(_)) => self.number(a) == self.number(b),
            (Js::Number(_), Js::Text(_)) | (Js::Text(_), Js::Number(_)) => self.number(a) == self.number(b),
            // A list is compared with a scalar as its text.
            (Js::List(_) | Js::Object(_), Js::Number(_) | Js::Text(_) | Js::Flag(_)) => self.equal(&Js::text(self.text(a)), b),
            (Js::Number(_) | Js::Text(_) | Js::Flag(_), Js::List(_) | Js::Object(_)) => self.equal(a, &Js::text(self.text(b))),
            _ => self.same(a, b),
        }
    }

    fn less(&self, a: &Js, b: &Js) -> Option<std::cmp::Ordering> {
        let textual = |value: &Js| matches!(value, Js::Text(_) | Js::List(_) | Js::Object(_));
        if textual(a) && textual(b) {
            return Some(self.text(a).encode_utf16().cmp(self.text(b).encode_utf16()));
        }
        self.number(a).partial_cmp(&self.number(b))
    }
}

impl Interpreter<'_> {
    /// An operator with two operands.
    pub fn binary(&mut self, op: Binary, a: &Js, b: &Js) -> Result<Js, Stop> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let heap = &self.heap;
        let number = |f: fn(f64, f64) -> f64| Ok(Js::Number(f(heap.number(a), heap.number(b))));
        let bits = |f: fn(i32, u32) -> i32| Ok(Js::Number(f64::from(f(to_int32(heap.number(a)), to_int32(heap.number(b)) as u32))));
        match op {
            Binary::Add => {
                let textual = |value: &Js| matches!(value, Js::Text(_) | Js::List(_) | Js::Object(_) | Js::Function(_) | Js::Regex(..));
                if textual(a) || textual(b) {
                    let (a, b) = (heap.text(a), heap.text(b));
                    self.budget.bytes(a.len() + b.len())?;
                    return Ok(Js::text(a + &b));
                }
                number(|a, b| a + b)
            }
            Binary::Sub => number(|a, b| a - b),
            Binary::Mul => number(|a, b| a * b),
            Binary::Div => number(|a, b| a / b),
            Binary::Rem => number(|a, b| a % b),
            Binary::Pow => number(f64::powf),
            Binary::Eq => Ok(Js::Flag(heap.equal(a, b))),
            Binary::NotEq => Ok(Js::Flag(!heap.equal(a, b))),
            Binary::Same => Ok(Js::Flag(heap.same(a, b))),
            Binary::NotSame => Ok(Js::Flag(!heap.same(a, b))),
            Binary::Lt => Ok(Js::Flag(heap.less(a, b) == Some(Less))),
            Binary::LtEq => Ok(Js::Flag(matches!(heap.less(a, b), Some(Less | Equal)))),
            Binary::Gt => Ok(Js::Flag(heap.less(a, b) == Some(Greater))),
            Binary::GtEq => Ok(Js::Flag(matches!(heap.less(a, b), Some(Greater | Equal)))),
            Binary::In => {
                let key = heap.text(a);
                Ok(Js::Flag(match b {
                    Js::Object(object) => heap.members(*object).is_some_and(|members| members.get(&key).is_some()),
                    Js::List(list) => key.parse::<usize>().is_ok_and(|index| index < heap.items(*list).len()),
                    _ => return self.throw("the right side of `in` is no object"),
                }))
            }
            Binary::InstanceOf => Ok(Js::Flag(match b {
                Js::Native(name) => match &**name {
                    "Array" => matches!(a, Js::List(_)),
                    "Object" => matches!(a, Js::List(_) | Js::Object(_)),
                    _ => false,
                },
                _ => false,
            })),
            Binary::BitAnd => bits(|a, b| a & b as i32),
            Binary::BitOr => bits(|a, b| a | b as i32),
            Binary::BitXor => bits(|a, b| a ^ b as i32),
            Binary::ShiftLeft => bits(|a, b| a.wrapping_shl(b)),
            Binary::ShiftRight => bits(|a, b| a.wrapping_shr(b)),
            Binary::ShiftRightZero => {
                let (a, b) = (to_int32(heap.number(a)) as u32, to_int32(heap.number(b)) as u32);
                Ok(Js::Number(f64::from(a.wrapping_shr(b))))
            }
        }
    }
}

/// The low 32 bits of a number.
pub fn to_int32(number: f64) -> i32 {
    if number.is_finite() { number.trunc().rem_euclid(4_294_967_296.0) as u32 as i32 } else { 0 }
}
