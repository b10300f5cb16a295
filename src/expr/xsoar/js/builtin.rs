//! Members, and the functions of the language: `Math`, `JSON`, `Object`, `parseInt` and so on.

use super::heap::{Js, Members};
use super::interpret::{Interpreter, Stop};
use super::operate::{text_number, truthy};
use crate::expr::xsoar::value::deeper_than;

/// Levels of JSON that `JSON.parse` takes.
const JSON_LEVELS_MAX: usize = 100;

const GLOBALS: [&str; 19] = [
    "Math",
    "JSON",
    "Object",
    "Array",
    "String",
    "Number",
    "Boolean",
    "parseInt",
    "parseFloat",
    "isNaN",
    "isFinite",
    "encodeURIComponent",
    "encodeURI",
    "decodeURIComponent",
    "decodeURI",
    "Error",
    "RegExp",
    "Set",
    "TypeError",
];

/// True for names that the language defines.
pub fn is_global(name: &str) -> bool {
    GLOBALS.contains(&name)
}

impl Interpreter<'_> {
    /// `object.key`
    pub fn member(&mut self, object: &Js, key: &Js) -> Result<Js, Stop> {
        if let (Js::List(list), Js::Number(index)) = (object, key) {
            let in_range = index.fract() == 0.0 && *index >= 0.0;
            return Ok(self.heap.items(*list).get(*index as usize).filter(|_| in_range).cloned().unwrap_or(Js::Undefined));
        }
        let key = self.heap.text(key);
        Ok(match object {
            Js::Undefined | Js::Null => return self.throw("cannot read a member of undefined or null"),
            Js::Object(object) => self.heap.members(*object).and_then(|members| members.get(&key)).cloned().unwrap_or(Js::Undefined),
            Js::List(list) if key == "length" => Js::Number(self.heap.items(*list).len() as f64),
            Js::List(list) => key.parse::<usize>().ok().and_then(|index| self.heap.items(*list).get(index)).cloned().unwrap_or(Js::Undefined),
            Js::Text(text) if key == "length" => Js::Number(text.encode_utf16().count() as f64),
            Js::Text(text) => key.parse::<usize>().ok().and_then(|index| text.chars().nth(index)).map_or(Js::Undefined, |c| Js::text(c.to_string())),
            Js::Native(name) => match (&**name, key.as_str()) {
                ("Math", "PI") => Js::Number(std::f64::consts::PI),
                ("Math", "E") => Js::Number(std::f64::consts::E),
                ("Number", "MAX_SAFE_INTEGER") => Js::Number(9_007_199_254_740_991.0),
                _ => Js::text(format!("{name}.{key}")).into_native(),
            },
            Js::Flag(_) | Js::Number(_) | Js::Function(_) | Js::Regex(..) => Js::Undefined,
        })
    }

    /// `object.key(args)`
    pub fn call_method(&mut self, object: &Js, key: &Js, args: &[Js], optional: bool) -> Result<Js, Stop> {
        let name = self.heap.text(key);
        // A member that holds a function.
        let held = match object {
            Js::Object(_) | Js::List(_) => self.member(object, key)?,
            _ => Js::Undefined,
        };
        if matches!(held, Js::Function(_) | Js::Native(_)) {
            return self.call(&held, args);
        }
        let result = match object {
            Js::Undefined | Js::Null => return self.throw("cannot call a method of undefined or null"),
            Js::Text(text) => self.text_method(text, &name, args)?,
            Js::List(list) => self.list_method(*list, &name, args)?,
            Js::Native(namespace) => return self.native(&format!("{namespace}.{name}"), args),
            Js::Function(_) => match name.as_str() {
                "call" => Some(self.call(object, args.get(1..).unwrap_or_default())?),
                "apply" => {
                    let list = match args.get(1) {
                        Some(Js::List(list)) => self.heap.items(*list).to_vec(),
                        _ => Vec::new(),
                    };
                    Some(self.call(object, &list)?)
                }
                _ => None,
            },
            Js::Regex(pattern, _) => match name.as_str() {
                "test" => {
                    let text = self.heap.text(args.first().unwrap_or(&Js::Undefined));
                    self.budget.steps(text.len() / 16)?;
                    Some(Js::Flag(pattern.is_match(&text)?))
                }
                "exec" => {
                    let text = self.heap.text(args.first().unwrap_or(&Js::Undefined));
                    Some(self.match_groups(pattern, &text)?)
                }
                _ => None,
            },
            Js::Number(number) => match name.as_str() {
                "toFixed" => {
                    let digits = self.index_arg(args, 0).unwrap_or(0).clamp(0, 100) as usize;
                    Some(Js::text(format!("{number:.digits$}")))
                }
                _ => None,
            },
            Js::Object(object) => match name.as_str() {
                "hasOwnProperty" => {
                    let key = self.heap.text(args.first().unwrap_or(&Js::Undefined));
                    Some(Js::Flag(self.heap.members(*object).is_some_and(|members| members.get(&key).is_some())))
                }
                _ => None,
            },
            Js::Flag(_) => None,
        };
        match result {
            Some(value) => Ok(value),
            None if name == "toString" || name == "valueOf" || name == "toLocaleString" => Ok(Js::text(self.heap.text(object))),
            None if optional => Ok(Js::Undefined),
            None => self.throw("there is no such method"),
        }
    }

    /// An argument as a whole number.
    pub fn index_arg(&self, args: &[Js], number: usize) -> Option<i64> {
        match args.get(number) {
            None | Some(Js::Undefined) => None,
            Some(value) => {
                let number = self.heap.number(value);
                Some(if number.is_nan() { 0 } else { number as i64 })
            }
        }
    }

    /// `new Class(args)`
    pub fn construct(&mut self, class: &str, args: &[Js]) -> Result<Js, Stop> {
        match class {
            "Array" => self.native("Array", args),
            "String" | "Number" | "Boolean" | "RegExp" | "Set" => self.native(class, args),
            "Object" => Ok(self.heap.object(Members::default(), self.budget)?),
            "Error" | "TypeError" => Ok(args.first().cloned().unwrap_or(Js::text(""))),
            _ => self.throw("there is no such class"),
        }
    }

    /// A function of the language, by its full name.
    pub fn native(&mut self, name: &str, args: &[Js]) -> Result<Js, Stop> {
        let first = args.first().cloned().unwrap_or(Js::Undefined);
        if let Some(function) = name.strip_prefix("Math.") {
            return self.math(function, args);
        }
        Ok(match name {
            "parseInt" => Js::Number(parse_int(&self.heap.text(&first), self.index_arg(args, 1).unwrap_or(0))),
            "parseFloat" | "Number.parseFloat" => Js::Number(parse_float(&self.heap.text(&first))),
            "Number.parseInt" => Js::Number(parse_int(&self.heap.text(&first), self.index_arg(args, 1).unwrap_or(0))),
            "Number" => Js::Number(if args.is_empty() { 0.0 } else { self.heap.number(&first) }),
            "String" => Js::text(if args.is_empty() { String::new() } else { self.heap.text(&first) }),
            "Boolean" => Js::Flag(truthy(&first)),
            "isNaN" | "Number.isNaN" => Js::Flag(self.heap.number(&first).is_nan()),
            "isFinite" | "Number.isFinite" => Js::Flag(self.heap.number(&first).is_finite()),
            "Number.isInteger" => Js::Flag(matches!(first, Js::Number(number) if number.fract() == 0.0 && number.is_finite())),
            "Array.isArray" => Js::Flag(matches!(first, Js::List(_))),
            "Array" => match (&first, args.len()) {
                (Js::Number(length), 1) => {
                    let length = (*length).max(0.0) as usize;
                    self.budget.bytes(length.saturating_mul(32))?;
                    self.heap.list(vec![Js::Undefined; length], self.budget)?
                }
                _ => self.heap.list(args.to_vec(), self.budget)?,
            },
            "Array.of" => self.heap.list(args.to_vec(), self.budget)?,
            "Array.from" => {
                let items = match &first {
                    Js::List(list) => self.heap.items(*list).to_vec(),
                    Js::Text(text) => text.chars().map(|c| Js::text(c.to_string())).collect(),
                    _ => Vec::new(),
                };
                let list = self.heap.list(items, self.budget)?;
                match (args.get(1), &list) {
                    (Some(function), Js::List(number)) => {
                        return self.list_method(*number, "map", std::slice::from_ref(function)).map(|found| found.unwrap_or(Js::Undefined));
                    }
                    _ => list,
                }
            }
            // Enough of a set for `[...new Set(list)]`.
            "Set" => {
                let mut kept: Vec<Js> = Vec::new();
                if let Js::List(list) = first {
                    for item in self.heap.items(list).to_vec() {
                        self.budget.steps(kept.len())?;
                        if !kept.iter().any(|known| self.heap.same(known, &item)) {
                            kept.push(item);
                        }
                    }
                }
                self.heap.list(kept, self.budget)?
            }
            "Object.keys" | "Object.values" | "Object.entries" => return self.entries(name, &first),
            "Object.assign" => {
                for from in args.get(1..).unwrap_or_default() {
                    if let (Js::Object(to), Js::Object(from)) = (&first, from) {
                        let pairs = self.pairs(*from);
                        self.budget.bytes(pairs.len() * 64)?;
                        if let Some(members) = self.heap.members_mut(*to) {
                            pairs.into_iter().for_each(|(key, value)| members.set(key, value));
                        }
                    }
                }
                first
            }
            "Object.fromEntries" => {
                let mut members = Members::default();
                if let Js::List(list) = first {
                    for pair in self.heap.items(list).to_vec() {
                        let key = self.member(&pair, &Js::Number(0.0))?;
                        let value = self.member(&pair, &Js::Number(1.0))?;
                        members.set(self.heap.text(&key).into(), value);
                    }
                }
                self.heap.object(members, self.budget)?
            }
            "Object" => first,
            "JSON.parse" => {
                let text = self.heap.text(&first);
                self.budget.bytes(text.len())?;
                match serde_json::from_str::<serde_json::Value>(&text) {
                    Ok(value) if !deeper_than(&value, JSON_LEVELS_MAX) => self.heap.enter(&value, self.budget)?,
                    _ => return self.throw("the text is not JSON"),
                }
            }
            "JSON.stringify" => {
                let indent = match args.get(2) {
                    Some(Js::Number(width)) => Some(" ".repeat(width.clamp(0.0, 10.0) as usize)),
                    Some(Js::Text(text)) => Some(text.chars().take(10).collect()),
                    _ => None,
                };
                match self.heap.leave(&first, self.budget)? {
                    Some(value) => Js::text(match indent.filter(|indent| !indent.is_empty()) {
                        Some(indent) => pretty(&value, &indent),
                        None => value.to_string(),
                    }),
                    None => Js::Undefined,
                }
            }
            "encodeURIComponent" => Js::text(encode(&self.heap.text(&first), b"-_.!~*'()")),
            "encodeURI" => Js::text(encode(&self.heap.text(&first), b"-_.!~*'();/?:@&=+$,#")),
            "decodeURIComponent" | "decodeURI" => Js::text(percent_decode(&self.heap.text(&first))),
            "Error" | "TypeError" => first,
            "RegExp" => {
                let (pattern, letters) = (self.heap.text(&first), args.get(1).map(|flags| self.heap.text(flags)).unwrap_or_default());
                let flags = crate::expr::xsoar::pattern::Flags {
                    ignore_case: letters.contains('i'),
                    multi_line: letters.contains('m'),
                    dot_all: letters.contains('s'),
                };
                match crate::expr::xsoar::pattern::compile(&pattern, crate::expr::xsoar::pattern::Dialect::JavaScript, flags, "RegExp") {
                    Ok(compiled) => Js::Regex(compiled, letters.contains('g')),
                    Err(_) => return self.throw("not a regular expression"),
                }
            }
            "String.fromCharCode" => Js::text(args.iter().filter_map(|arg| char::from_u32(self.heap.number(arg) as u32)).collect::<String>()),
            _ => return self.throw("there is no such function"),
        })
    }

    /// Keys and values of an object.
    pub fn pairs(&self, object: usize) -> Vec<(std::sync::Arc<str>, Js)> {
        let Some(members) = self.heap.members(object) else { return Vec::new() };
        members.keys().iter().map(|key| (key.clone(), members.get(key).cloned().unwrap_or(Js::Undefined))).collect()
    }

    fn entries(&mut self, name: &str, value: &Js) -> Result<Js, Stop> {
        let pairs = match value {
            Js::Object(object) => self.pairs(*object),
            Js::List(list) => self.heap.items(*list).iter().enumerate().map(|(index, item)| (index.to_string().into(), item.clone())).collect(),
            Js::Undefined | Js::Null => return self.throw("undefined and null have no members"),
            _ => Vec::new(),
        };
        self.budget.steps(pairs.len())?;
        let mut items = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            items.push(match name {
                "Object.keys" => Js::Text(key),
                "Object.values" => value,
                _ => self.heap.list(vec![Js::Text(key), value], self.budget)?,
            });
        }
        Ok(self.heap.list(items, self.budget)?)
    }

    fn math(&mut self, name: &str, args: &[Js]) -> Result<Js, Stop> {
        let numbers: Vec<f64> = args.iter().map(|arg| self.heap.number(arg)).collect();
        let first = numbers.first().copied().unwrap_or(f64::NAN);
        let fold = |start: f64, pick: fn(f64, f64) -> f64| numbers.iter().fold(start, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, *b) });
        Ok(Js::Number(match name {
            "max" => fold(f64::NEG_INFINITY, f64::max),
            "min" => fold(f64::INFINITY, f64::min),
            "abs" => first.abs(),
            "floor" => first.floor(),
            "ceil" => first.ceil(),
            // Halves go up, also below zero.
            "round" => (first + 0.5).floor(),
            "trunc" => first.trunc(),
            "sqrt" => first.sqrt(),
            "sign" => {
                if first == 0.0 || first.is_nan() {
                    first
                } else {
                    first.signum()
                }
            }
            "log" => first.ln(),
            "log2" => first.log2(),
            "log10" => first.log10(),
            "exp" => first.exp(),
            "pow" => first.powf(numbers.get(1).copied().unwrap_or(f64::NAN)),
            _ => return self.throw("there is no such function"),
        }))
    }
}

impl Js {
    fn into_native(self) -> Js {
        match self {
            Js::Text(name) => Js::Native(name),
            other => other,
        }
    }
}

/// `parseInt`: the digits at the start, whatever follows.
pub fn parse_int(text: &str, radix: i64) -> f64 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match (radix, hex) {
        (0 | 16, Some(rest)) => (16, rest),
        (0, None) => (10, digits),
        (2..=36, _) => (radix as u32, digits),
        _ => return f64::NAN,
    };
    let mut number = f64::NAN;
    for digit in digits.chars().map_while(|c| c.to_digit(radix)) {
        number = if number.is_nan() { 0.0 } else { number } * f64::from(radix) + f64::from(digit);
    }
    if negative { -number } else { number }
}

fn parse_float(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text.char_indices().find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'))).map_or(text.len(), |(at, _)| at);
    // The longest start that is a number.
    (1..=end.min(64)).rev().filter_map(|end| text.get(..end)).map(text_number).find(|number| !number.is_nan()).unwrap_or(f64::NAN)
}

fn pretty(value: &serde_json::Value, indent: &str) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    // Writing to memory does not fail.
    let _ = serde::Serialize::serialize(value, &mut writer);
    String::from_utf8(out).unwrap_or_default()
}

/// Percent-encodes all bytes but letters, digits and those of `keep`.
pub fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Decodes `%41`; what is no such code stays.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
