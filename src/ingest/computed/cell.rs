//! Reading a slot as a value, and writing a value so that a slot can point at it.

use std::borrow::Cow;

use serde_json::Value;

use crate::expr::xsoar::value::number_text;
use crate::ingest::decode::{Kind, SLOT_LEN_MAX, Slot, unescape};

/// Bytes of an arena with what is computed for it: slots hold 32 bits of place.
pub const ARENA_BYTES_MAX: usize = 1 << 31;
/// Digits that every reader of numbers keeps as they are.
pub const PLAIN_DIGITS: usize = 15;

/// The text of a scalar, as operators see it; `None` for null, lists and objects.
pub fn text<'a>(arena: &'a [u8], slot: Slot) -> Option<Cow<'a, str>> {
    let raw = slot.raw(arena);
    match slot.kind() {
        Kind::String => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
        Kind::StringEscaped => {
            let mut content = Vec::with_capacity(raw.len());
            unescape(raw, &mut content);
            String::from_utf8(content).ok().map(Cow::Owned)
        }
        Kind::True => Some(Cow::Borrowed("true")),
        Kind::False => Some(Cow::Borrowed("false")),
        Kind::Number if is_plain(raw) => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
        Kind::Number => match serde_json::from_slice(raw).ok()? {
            Value::Number(number) => Some(Cow::Owned(number_text(&number))),
            _ => None,
        },
        Kind::Missing | Kind::Null | Kind::Object | Kind::Array => None,
    }
}

/// True for whole numbers whose text is the same however they are read.
pub fn is_plain(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").filter(|digits| *digits != b"0").unwrap_or(raw);
    digits.len() <= PLAIN_DIGITS && digits.iter().all(u8::is_ascii_digit)
}

/// The value of a slot; `None` where it is JSON that no double can hold.
pub fn value(arena: &[u8], slot: Slot) -> Option<Value> {
    match slot.kind() {
        Kind::Missing | Kind::Null => Some(Value::Null),
        Kind::True => Some(Value::Bool(true)),
        Kind::False => Some(Value::Bool(false)),
        Kind::String | Kind::StringEscaped => text(arena, slot).map(|text| Value::String(text.into_owned())),
        Kind::Number | Kind::Object | Kind::Array => serde_json::from_slice(slot.raw(arena)).ok(),
    }
}

/// True for a text that needs no escape; without a branch a byte.
fn is_plain_text(text: &str) -> bool {
    text.as_bytes().chunks(64).all(|part| !part.iter().fold(false, |special, b| special | (*b < 0x20) | (*b == b'"') | (*b == b'\\')))
}

/// Appends a text as a JSON string; `None` when the arena is full.
pub fn put_text(arena: &mut Vec<u8>, text: &str) -> Option<Slot> {
    let plain = is_plain_text(text);
    if text.len() > SLOT_LEN_MAX || arena.len() + text.len() > ARENA_BYTES_MAX {
        return None;
    }
    if plain {
        arena.push(b'"');
        let start = arena.len();
        arena.extend_from_slice(text.as_bytes());
        arena.push(b'"');
        return Some(Slot::new(Kind::String, start as u32, text.len() as u32));
    }
    put_json(arena, &Value::from(text))
}

/// Appends the content of a JSON string, escaped as it has to be; `None` when the arena is full.
pub fn put_content(arena: &mut Vec<u8>, content: &[u8]) -> Option<Slot> {
    if content.len() > SLOT_LEN_MAX || arena.len() + content.len() + 2 > ARENA_BYTES_MAX {
        return None;
    }
    let kind = if memchr::memchr(b'\\', content).is_some() { Kind::StringEscaped } else { Kind::String };
    arena.push(b'"');
    let start = arena.len();
    arena.extend_from_slice(content);
    arena.push(b'"');
    Some(Slot::new(kind, start as u32, content.len() as u32))
}

/// Appends a text that needs no escape, and is short; `None` when the arena is full.
pub fn put_plain(arena: &mut Vec<u8>, text: &[u8]) -> Option<Slot> {
    if arena.len() + text.len() + 2 > ARENA_BYTES_MAX {
        return None;
    }
    arena.push(b'"');
    let start = arena.len();
    arena.extend_from_slice(text);
    arena.push(b'"');
    Some(Slot::new(Kind::String, start as u32, text.len() as u32))
}

/// Appends the token of a number or a truth value as a JSON string; `None` when the arena is full.
pub fn put_quoted(arena: &mut Vec<u8>, slot: Slot) -> Option<Slot> {
    let (from, len) = (slot.start() as usize, slot.len() as usize);
    if arena.len() + len + 2 > ARENA_BYTES_MAX || arena.get(from..from + len).is_none() {
        return None;
    }
    arena.push(b'"');
    let start = arena.len();
    arena.extend_from_within(from..from + len);
    arena.push(b'"');
    Some(Slot::new(Kind::String, start as u32, slot.len()))
}

/// Appends the JSON of a value; `None` when the arena is full.
pub fn put_json(arena: &mut Vec<u8>, value: &Value) -> Option<Slot> {
    let kind = match value {
        Value::Null => return Some(Slot::MISSING),
        Value::String(text) if is_plain_text(text) => return put_text(arena, text),
        Value::String(_) => Kind::StringEscaped,
        Value::Bool(true) => Kind::True,
        Value::Bool(false) => Kind::False,
        Value::Number(_) => Kind::Number,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    };
    let start = arena.len();
    serde_json::to_writer(&mut *arena, value).ok()?;
    let len = arena.len() - start;
    if len > SLOT_LEN_MAX || arena.len() > ARENA_BYTES_MAX {
        arena.truncate(start);
        return None;
    }
    Some(if kind == Kind::StringEscaped { Slot::new(kind, start as u32 + 1, len as u32 - 2) } else { Slot::new(kind, start as u32, len as u32) })
}

/// Appends a value as its slot shows it: strings by their content; `None` when the arena is full.
pub fn put(arena: &mut Vec<u8>, kind: Kind, value: &[u8]) -> Option<Slot> {
    match kind {
        Kind::Missing | Kind::Null => Some(Slot::MISSING),
        Kind::String | Kind::StringEscaped => put_content(arena, value),
        _ => put_raw(arena, kind, value),
    }
}

/// Appends bytes that are JSON of a kind; `None` when the arena is full.
pub fn put_raw(arena: &mut Vec<u8>, kind: Kind, json: &[u8]) -> Option<Slot> {
    if json.len() > SLOT_LEN_MAX || arena.len() + json.len() > ARENA_BYTES_MAX {
        return None;
    }
    let start = arena.len();
    arena.extend_from_slice(json);
    Some(Slot::new(kind, start as u32, json.len() as u32))
}
