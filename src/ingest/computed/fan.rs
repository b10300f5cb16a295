//! A path that meets lists on its way, followed over the tokens of a slot: what the reference
//! evaluator does to values, done to bytes.

use super::cell;
use super::tokens::{items, members};
use crate::expr::xsoar::fault::STEPS_MAX;
use crate::expr::xsoar::path::Step;
use crate::ingest::decode::{Kind, Slot, unescape};

/// The values that a way leads to.
struct Found<'j> {
    tokens: Vec<&'j [u8]>,
    /// They were gathered from a list; else there is at most one, and it is taken as it is.
    gathered: bool,
}

/// Follows the steps from a slot; `None` where the reference evaluator has to decide.
pub fn follow(arena: &mut Vec<u8>, slot: Slot, steps: &[Step]) -> Option<Slot> {
    let token = slot.token(arena);
    // A slot's token lies in the arena, so a token within it has a place there.
    let base = slot.start() as usize - usize::from(slot.kind().is_string());
    let found = walk(token, steps)?;
    let (start, len) = match (found.tokens.as_slice(), found.gathered) {
        ([], _) => return Some(Slot::MISSING),
        ([one], _) | ([one, ..], false) => (base + (one.as_ptr() as usize - token.as_ptr() as usize), one.len()),
        (many, true) => {
            let mut list = Vec::new();
            for token in many {
                list.push(if list.is_empty() { b'[' } else { b',' });
                list.extend_from_slice(token);
            }
            list.push(b']');
            return cell::put_raw(arena, Kind::Array, &list);
        }
    };
    slot_at(arena, start, len)
}

/// The slot of a token that stands in the arena.
fn slot_at(arena: &[u8], start: usize, len: usize) -> Option<Slot> {
    let token = arena.get(start..start + len)?;
    let kind = match token.first()? {
        b'"' if token.contains(&b'\\') => Kind::StringEscaped,
        b'"' => Kind::String,
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b't' => Kind::True,
        b'f' => Kind::False,
        b'n' => return Some(Slot::MISSING),
        _ => Kind::Number,
    };
    let quotes = usize::from(kind.is_string());
    Some(Slot::new(kind, u32::try_from(start + quotes).ok()?, u32::try_from(len - 2 * quotes).ok()?))
}

fn walk<'j>(token: &'j [u8], steps: &[Step]) -> Option<Found<'j>> {
    let mut found = Found { tokens: vec![token], gathered: false };
    let mut left = STEPS_MAX;
    for step in steps {
        found = match step {
            Step::Name(name) => member(&found, name, &mut left)?,
            Step::Index(index) => {
                let list = elements(&found)?;
                let item = usize::try_from(*index).ok().and_then(|index| list.get(index).copied());
                Found { tokens: item.into_iter().collect(), gathered: false }
            }
            Step::Range(..) | Step::Select(_) => return None,
        };
        if found.tokens.is_empty() {
            break;
        }
    }
    Some(found)
}

/// The values as a list: a stored list counts as its elements, a single value as a list of one.
fn elements<'j>(found: &Found<'j>) -> Option<Vec<&'j [u8]>> {
    match found.tokens.as_slice() {
        [list] if !found.gathered && list.first() == Some(&b'[') => list_of(list),
        tokens => Some(tokens.to_vec()),
    }
}

fn list_of(token: &[u8]) -> Option<Vec<&[u8]>> {
    let mut list = Vec::new();
    items(token, |item| {
        list.push(item);
        Some(())
    })?;
    Some(list)
}

/// The member of each current value; what a list fans out to is flattened by one level.
fn member<'j>(found: &Found<'j>, name: &str, left: &mut u64) -> Option<Found<'j>> {
    let fans_out = found.gathered || matches!(found.tokens.as_slice(), [list] if list.first() == Some(&b'['));
    let mut tokens = Vec::new();
    let mut ahead: Vec<&'j [u8]> = found.tokens.iter().rev().copied().collect();
    while let Some(token) = ahead.pop() {
        *left = left.checked_sub(1)?;
        match token.first()? {
            b'[' => {
                let at = ahead.len();
                items(token, |item| {
                    ahead.push(item);
                    Some(())
                })?;
                ahead[at..].reverse();
            }
            b'{' => match lookup(token, name)? {
                None | Some(b"null") => {}
                Some(list) if fans_out && list.first() == Some(&b'[') => items(list, |item| {
                    if item != b"null" {
                        tokens.push(item);
                    }
                    Some(())
                })?,
                Some(member) => tokens.push(member),
            },
            _ => {}
        }
    }
    Some(Found { tokens, gathered: fans_out })
}

/// A member of an object; of a key that stands twice the last one counts.
fn lookup<'j>(object: &'j [u8], name: &str) -> Option<Option<&'j [u8]>> {
    let mut found = None;
    let mut content = Vec::new();
    members(object, |key, value| {
        let same = if key.contains(&b'\\') {
            content.clear();
            unescape(key, &mut content);
            content == name.as_bytes()
        } else {
            key == name.as_bytes()
        };
        if same {
            found = Some(value);
        }
        Some(())
    })?;
    Some(found)
}
