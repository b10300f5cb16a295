//! Transformers of texts.

use serde_json::Value;

use super::Takes::Item;
use super::{Args, Transformer, made, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::js::builtin::{encode, percent_decode};
use crate::expr::xsoar::value::{cast_text, sorted_json, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("concat", Item, &[], &["prefix", "suffix"], concat),
    row("toLowerCase", Item, &[], &[], |value, args, env| made(text(value, args)?.to_lowercase(), env)),
    row("toUpperCase", Item, &[], &[], |value, args, env| made(text(value, args)?.to_uppercase(), env)),
    row("trim", Item, &[], &[], |value, args, env| made(text(value, args)?.trim().to_owned(), env)),
    row("split", Item, &[], &["delimiter"], |value, args, env| split(value, args, env, false)),
    row("splitAndTrim", Item, &[], &["delimiter"], |value, args, env| split(value, args, env, true)),
    row("substring", Item, &["from"], &["to"], substring),
    row("substringFrom", Item, &["from"], &[], substring_from),
    row("substringTo", Item, &["to"], &[], substring_to),
    row("replace", Item, &["toReplace"], &["replaceWith", "limit"], replace),
    row("Stringify", Item, &[], &[], stringify),
    row("StripChars", Item, &["chars"], &[], strip_chars),
    row("Cut", Item, &["delimiter", "fields"], &[], cut),
    row("PadZeros", Item, &[], &["length"], pad_zeros),
    row("Base64Decode", Item, &[], &[], base64_decode),
    row("URLDecode", Item, &[], &[], |value, args, env| made(percent_decode(&text(value, args)?), env)),
    row("URLEncode", Item, &[], &["ignore_safe_character"], url_encode),
    row("ExtractInbetween", Item, &["from", "to"], &[], extract_inbetween),
    row("RemoveNullBytes", Item, &[], &[], |value, args, env| made(text(value, args)?.replace('\0', ""), env)),
    row("ConcatFormat", Item, &[], &["prefix", "suffix"], concat),
];

fn text(value: &Value, args: &Args<'_>) -> Result<String, Fault> {
    cast_text(value, args.operator)
}

fn concat(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    made(format!("{}{text}{}", args.get("prefix").map(text_of).unwrap_or_default(), args.get("suffix").map(text_of).unwrap_or_default()), env)
}

fn split(value: &Value, args: &Args<'_>, env: &Env<'_>, trim: bool) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let delimiter = match args.text("delimiter")? {
        Some(delimiter) if !delimiter.is_empty() => delimiter,
        _ => ",".to_owned(),
    };
    env.budget.bytes(text.len())?;
    let parts: Vec<Value> = text.split(delimiter.as_str()).map(|part| Value::from(if trim { part.trim() } else { part })).collect();
    env.budget.bytes(parts.len() * 32)?;
    Ok(Value::Array(parts))
}

/// A position in characters; below 0 is 0.
fn position(number: f64) -> usize {
    number.max(0.0) as usize
}

fn substring(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let from = position(args.need_number("from")?);
    let to = args.number("to")?.map_or(usize::MAX, position);
    made(text.chars().skip(from).take(to.saturating_sub(from)).collect(), env)
}

fn substring_from(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let mark = args.need_text("from")?;
    made(text.find(&mark).and_then(|at| text.get(at + mark.len()..)).unwrap_or(&text).to_owned(), env)
}

fn substring_to(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let mark = args.need_text("to")?;
    made(text.find(&mark).and_then(|at| text.get(..at)).unwrap_or(&text).to_owned(), env)
}

fn replace(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let wanted = args.need_text("toReplace")?;
    let with = args.text_or("replaceWith", "")?;
    // A limit below 0 means all, as in Go.
    let limit = args.number("limit")?.filter(|limit| *limit >= 0.0).map_or(usize::MAX, |limit| limit as usize);
    let hits = if wanted.is_empty() { text.chars().count() + 1 } else { text.matches(wanted.as_str()).count() };
    env.budget.bytes(text.len() + hits.min(limit).saturating_mul(with.len()))?;
    Ok(Value::String(text.replacen(wanted.as_str(), &with, limit)))
}

fn stringify(value: &Value, _: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    match value {
        Value::Object(_) | Value::Array(_) => made(sorted_json(value), env),
        scalar => made(text_of(scalar), env),
    }
}

fn strip_chars(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let chars = args.need_text("chars")?;
    made(text.trim_matches(|c| chars.contains(c)).to_owned(), env)
}

fn cut(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let delimiter = args.need_text("delimiter")?;
    // Two quotes stand for no delimiter at all: every character is a field.
    let delimiter = if delimiter == "''" { "" } else { delimiter.as_str() };
    env.budget.bytes(text.len() * 4)?;
    let parts: Vec<String> = if delimiter.is_empty() { text.chars().map(String::from).collect() } else { text.split(delimiter).map(str::to_owned).collect() };
    let mut kept = Vec::new();
    for field in args.need_text("fields")?.split(',') {
        let part = field.trim().parse::<usize>().ok().and_then(|number| parts.get(number.checked_sub(1)?));
        match part {
            Some(part) => kept.push(part.as_str()),
            None => return args.raise("there is no such field"),
        }
        env.budget.bytes(kept.last().map_or(0, |part| part.len()) + delimiter.len())?;
    }
    Ok(Value::String(kept.join(delimiter)))
}

fn pad_zeros(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let width = position(args.number("length")?.unwrap_or(0.0));
    env.budget.bytes(width.saturating_add(text.len()))?;
    let zeros = "0".repeat(width.saturating_sub(text.chars().count()));
    // A sign stays in front.
    let (sign, digits) = match text.chars().next() {
        Some('+' | '-') => text.split_at(1),
        _ => ("", text.as_str()),
    };
    Ok(Value::String(format!("{sign}{zeros}{digits}")))
}

fn base64_decode(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            b'=' => break,
            // Python's decoder skips what is not of the alphabet.
            _ => continue,
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => made(text, env),
        Err(_) => args.raise("the decoded bytes are not text"),
    }
}

fn url_encode(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    env.budget.bytes(text.len() * 3)?;
    let mut keep = b"_.-~".to_vec();
    match args.text("ignore_safe_character")? {
        Some(safe) if !safe.is_empty() => keep.extend(safe.bytes()),
        _ => keep.push(b'/'),
    }
    Ok(Value::String(encode(&text, &keep)))
}

fn extract_inbetween(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = text(value, args)?;
    let (from, to) = (args.need_text("from")?, args.need_text("to")?);
    let after = text.find(&from).and_then(|at| text.get(at + from.len()..));
    match after.and_then(|after| after.rfind(&to).and_then(|at| after.get(..at))) {
        Some(between) => made(between.to_owned(), env),
        None => Ok(value.clone()),
    }
}
