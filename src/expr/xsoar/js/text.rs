//! Methods of texts. Positions are characters (the language counts UTF-16 units, which
//! differs beyond the Basic Multilingual Plane only).

use std::sync::Arc;

use super::heap::Js;
use super::interpret::{Interpreter, Stop};
use crate::expr::xsoar::pattern::{Groups, Pattern, group};

/// Matches, parts and replacements of one call.
const PARTS_MAX: usize = 1 << 20;

/// A position, negative ones counted from the end.
pub fn position(index: Option<i64>, length: usize, default: usize) -> usize {
    match index {
        None => default,
        Some(index) if index < 0 => length.saturating_sub(index.unsigned_abs() as usize),
        Some(index) => (index as usize).min(length),
    }
}

fn find_from(text: &str, wanted: &str, from: usize) -> Option<usize> {
    let start = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
    let at = text.get(start..)?.find(wanted)? + start;
    Some(text.get(..at)?.chars().count())
}

fn slice(text: &str, from: usize, to: usize) -> String {
    text.chars().skip(from).take(to.saturating_sub(from)).collect()
}

impl Interpreter<'_> {
    /// A method of a text; `None` if there is no such method.
    pub fn text_method(&mut self, text: &Arc<str>, name: &str, args: &[Js]) -> Result<Option<Js>, Stop> {
        self.budget.steps(text.len() / 16 + 1)?;
        let arg = |interpreter: &Self, number: usize| interpreter.heap.text(args.get(number).unwrap_or(&Js::Undefined));
        let number = |found: Option<usize>| Js::Number(found.map_or(-1.0, |at| at as f64));
        Ok(Some(match name {
            "indexOf" => number(find_from(text, &arg(self, 0), self.index_arg(args, 1).unwrap_or(0).max(0) as usize)),
            "lastIndexOf" => number(text.rfind(&arg(self, 0)).map(|at| text.get(..at).map_or(0, |before| before.chars().count()))),
            "includes" => Js::Flag(text.contains(&arg(self, 0))),
            "startsWith" => Js::Flag(text.starts_with(&arg(self, 0))),
            "endsWith" => Js::Flag(text.ends_with(&arg(self, 0))),
            "toLowerCase" | "toLocaleLowerCase" => self.made(text.to_lowercase())?,
            "toUpperCase" | "toLocaleUpperCase" => self.made(text.to_uppercase())?,
            "trim" => self.made(text.trim().to_owned())?,
            "trimStart" | "trimLeft" => self.made(text.trim_start().to_owned())?,
            "trimEnd" | "trimRight" => self.made(text.trim_end().to_owned())?,
            "toString" | "valueOf" => Js::Text(text.clone()),
            "charAt" => Js::text(text.chars().nth(self.index_arg(args, 0).unwrap_or(0).max(0) as usize).map(String::from).unwrap_or_default()),
            "charCodeAt" | "codePointAt" => {
                Js::Number(text.chars().nth(self.index_arg(args, 0).unwrap_or(0).max(0) as usize).map_or(f64::NAN, |c| f64::from(c as u32)))
            }
            "concat" => {
                let rest: String = (0..args.len()).map(|number| arg(self, number)).collect();
                self.made(format!("{text}{rest}"))?
            }
            "repeat" => {
                let times = self.index_arg(args, 0).unwrap_or(0);
                if times < 0 {
                    return self.throw("a negative count");
                }
                self.budget.bytes(text.len().saturating_mul(times as usize))?;
                Js::text(text.repeat(times as usize))
            }
            "padStart" | "padEnd" => {
                let (length, width) = (text.chars().count(), self.index_arg(args, 0).unwrap_or(0).max(0) as usize);
                let fill = if args.len() > 1 { arg(self, 1) } else { " ".to_owned() };
                self.budget.bytes(width.saturating_mul(4))?;
                let pad: String = fill.chars().cycle().take(width.saturating_sub(length)).collect();
                self.made(if name == "padStart" { format!("{pad}{text}") } else { format!("{text}{pad}") })?
            }
            "slice" => {
                let length = text.chars().count();
                let (from, to) = (position(self.index_arg(args, 0), length, 0), position(self.index_arg(args, 1), length, length));
                self.made(slice(text, from, to))?
            }
            "substring" => {
                let length = text.chars().count();
                let bound = |index: Option<i64>, default: usize| index.map_or(default, |index| index.clamp(0, length as i64) as usize);
                let (a, b) = (bound(self.index_arg(args, 0), 0), bound(self.index_arg(args, 1), length));
                self.made(slice(text, a.min(b), a.max(b)))?
            }
            "substr" => {
                let length = text.chars().count();
                let from = position(self.index_arg(args, 0), length, 0);
                let count = self.index_arg(args, 1).map_or(length, |count| count.max(0) as usize);
                self.made(slice(text, from, from.saturating_add(count)))?
            }
            "split" => self.split(text, args)?,
            "replace" | "replaceAll" => self.replace(text, name == "replaceAll", args)?,
            "match" | "search" | "matchAll" => self.match_text(text, name, args)?,
            "localeCompare" => Js::Number(match (**text).cmp(arg(self, 0).as_str()) {
                std::cmp::Ordering::Less => -1.0,
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => 1.0,
            }),
            _ => return Ok(None),
        }))
    }

    fn made(&self, text: String) -> Result<Js, Stop> {
        self.budget.bytes(text.len())?;
        Ok(Js::text(text))
    }

    fn split(&mut self, text: &str, args: &[Js]) -> Result<Js, Stop> {
        let limit = self.index_arg(args, 1).map_or(PARTS_MAX, |limit| limit.max(0) as usize);
        self.budget.bytes(text.len())?;
        let parts: Vec<Js> = match args.first() {
            None | Some(Js::Undefined) => vec![Js::text(text)],
            Some(Js::Regex(pattern, _)) => {
                let mut parts = Vec::new();
                let mut done = 0;
                for groups in pattern.find_all(text, PARTS_MAX)? {
                    let Some((start, end)) = groups.first().copied().flatten() else { continue };
                    if end == start && (start == 0 || start >= text.len()) {
                        continue;
                    }
                    parts.push(Js::text(text.get(done..start).unwrap_or_default()));
                    parts.extend((1..groups.len()).map(|number| group(text, &groups, number).map_or(Js::Undefined, Js::text)));
                    done = end;
                }
                parts.push(Js::text(text.get(done..).unwrap_or_default()));
                parts
            }
            Some(separator) => {
                let separator = self.heap.text(separator);
                if separator.is_empty() {
                    self.budget.bytes(text.len() * 32)?;
                    text.chars().map(|c| Js::text(c.to_string())).collect()
                } else {
                    text.split(separator.as_str()).map(Js::text).collect()
                }
            }
        };
        let parts = parts.into_iter().take(limit).collect();
        Ok(self.heap.list(parts, self.budget)?)
    }

    fn replace(&mut self, text: &str, all: bool, args: &[Js]) -> Result<Js, Stop> {
        let with = args.get(1).cloned().unwrap_or(Js::Undefined);
        let found: Vec<Groups> = match args.first() {
            Some(Js::Regex(pattern, global)) => pattern.find_all(text, if *global || all { PARTS_MAX } else { 1 })?,
            wanted => {
                let wanted = self.heap.text(wanted.unwrap_or(&Js::Undefined));
                text.match_indices(wanted.as_str()).take(if all { PARTS_MAX } else { 1 }).map(|(at, m)| vec![Some((at, at + m.len()))]).collect()
            }
        };
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for groups in found {
            let Some((start, end)) = groups.first().copied().flatten() else { continue };
            out.push_str(text.get(done..start).unwrap_or_default());
            if matches!(with, Js::Function(_) | Js::Native(_)) {
                let mut call: Vec<Js> = (0..groups.len()).map(|number| group(text, &groups, number).map_or(Js::Undefined, Js::text)).collect();
                call.push(Js::Number(text.get(..start).map_or(0, |before| before.chars().count()) as f64));
                call.push(Js::text(text));
                self.budget.bytes(text.len())?;
                let made = self.call(&with, &call)?;
                out.push_str(&self.heap.text(&made));
            } else {
                let with = self.heap.text(&with);
                expand(&with, text, &groups, &mut out);
            }
            self.budget.bytes(end - start + 16)?;
            if out.len() > text.len() {
                self.budget.bytes(out.len() - text.len())?;
            }
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        self.made(out)
    }

    /// `match` without the flag `g`, and `exec`: the match and its groups, or null.
    pub fn match_groups(&mut self, pattern: &Pattern, text: &str) -> Result<Js, Stop> {
        self.budget.steps(text.len() / 16 + 1)?;
        let Some(groups) = pattern.find_at(text, 0)? else { return Ok(Js::Null) };
        let items = (0..groups.len()).map(|number| group(text, &groups, number).map_or(Js::Undefined, Js::text)).collect();
        Ok(self.heap.list(items, self.budget)?)
    }

    fn match_text(&mut self, text: &str, name: &str, args: &[Js]) -> Result<Js, Stop> {
        let (pattern, global) = match args.first() {
            Some(Js::Regex(pattern, global)) => (pattern.clone(), *global),
            other => {
                let made = self.native("RegExp", &[Js::text(other.map(|other| self.heap.text(other)).unwrap_or_default())])?;
                match made {
                    Js::Regex(pattern, global) => (pattern, global),
                    _ => return Ok(Js::Null),
                }
            }
        };
        if name == "search" {
            let found = pattern.find_at(text, 0)?.and_then(|groups| groups.first().copied().flatten());
            return Ok(Js::Number(found.map_or(-1.0, |(start, _)| text.get(..start).map_or(0, |before| before.chars().count()) as f64)));
        }
        if !global {
            return self.match_groups(&pattern, text);
        }
        let found = pattern.find_all(text, PARTS_MAX)?;
        if found.is_empty() && name == "match" {
            return Ok(Js::Null);
        }
        let mut items = Vec::with_capacity(found.len());
        for groups in found {
            self.budget.bytes(32)?;
            if name == "match" {
                items.push(group(text, &groups, 0).map_or(Js::Undefined, Js::text));
            } else {
                let inner = (0..groups.len()).map(|number| group(text, &groups, number).map_or(Js::Undefined, Js::text)).collect();
                items.push(self.heap.list(inner, self.budget)?);
            }
        }
        Ok(self.heap.list(items, self.budget)?)
    }
}

/// `$1`, `$&` and `$$` of a replacement.
fn expand(with: &str, text: &str, groups: &Groups, out: &mut String) {
    let mut chars = with.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '$' {
            out.push(c);
            continue;
        }
        match chars.peek().copied() {
            Some('$') => {
                chars.next();
                out.push('$');
            }
            Some('&') => {
                chars.next();
                out.push_str(group(text, groups, 0).unwrap_or_default());
            }
            Some(digit) if digit.is_ascii_digit() && (digit as usize - '0' as usize) < groups.len() && digit != '0' => {
                chars.next();
                out.push_str(group(text, groups, digit as usize - '0' as usize).unwrap_or_default());
            }
            _ => out.push('$'),
        }
    }
}
