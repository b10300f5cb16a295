//! `ConvertKeysToTableFieldFormat` over tokens: the keys of objects become columns of a table, the
//! values stay where they are. What keys became is remembered from batch to batch.

use std::sync::Arc;

use hashbrown::HashMap;

use super::cell;
use super::tokens::{items, members};
use crate::expr::xsoar::transform::object::column_key;
use crate::ingest::decode::{Kind, Slot};

/// Keys of objects that are remembered (count).
const KEYS_MAX: usize = 4096;
/// Bytes of a key that is remembered.
const KEY_BYTES_MAX: usize = 512;
/// Forms of objects that are remembered (count).
const FORMS_MAX: usize = 32;
/// Members of an object whose keys are compared one by one.
const MEMBERS_MAX: usize = 64;

/// A key as written, and what is written for it: `,"column":`.
type Pair = (Box<[u8]>, Box<[u8]>);
/// The keys of an object, in order.
type Form = Vec<Pair>;

/// What keys become.
#[derive(Debug, Default)]
pub struct TableKeys {
    /// Key → column.
    keys: HashMap<Box<[u8]>, Arc<str>>,
    /// Objects of a list have the same keys in the same order, mostly: forms by their first key.
    forms: Vec<Form>,
    /// Where something is put together.
    out: Vec<u8>,
    /// Where the lists begin that were made of this batch: each holds objects, and at least one.
    made: Vec<u32>,
}

impl TableKeys {
    /// Another batch begins, in an arena of its own.
    pub fn begin(&mut self) {
        self.made.clear();
    }

    /// True for a list that was made here: that it holds rows needs no second look.
    pub fn has_made(&self, slot: Slot) -> bool {
        self.made.binary_search(&slot.start()).is_ok()
    }

    /// An object, or the objects of a list, with their keys as a table's columns; `None` where a list holds
    /// anything but objects and where keys are not plain, fall together, or are many.
    pub fn convert(&mut self, arena: &mut Vec<u8>, slot: Slot) -> Option<Slot> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let json = slot.raw(arena);
        let done = if slot.kind() == Kind::Object {
            self.object(json, &mut out)
        } else {
            out.push(b'[');
            let done = items(json, |item| {
                if out.len() > 1 {
                    out.push(b',');
                }
                self.object(item, &mut out)
            });
            out.push(b']');
            done
        };
        let made = done.and_then(|()| cell::put_raw(arena, slot.kind(), &out));
        // What is made later lies behind it, so they are in order.
        self.made.extend(made.filter(|made| made.kind() == Kind::Array && made.len() > 2).map(Slot::start));
        self.out = out;
        made
    }

    fn object(&mut self, json: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if json.first()? != &b'{' {
            return None;
        }
        let start = out.len();
        if self.by_form(json, out).is_some() {
            return Some(());
        }
        out.truncate(start);
        let mut seen: Vec<Arc<str>> = Vec::with_capacity(16);
        let mut form = Form::new();
        out.push(b'{');
        members(json, |key, value| {
            let column = self.column(key)?;
            if seen.len() == MEMBERS_MAX || seen.contains(&column) {
                return None;
            }
            let comma = if seen.is_empty() { "" } else { "," };
            let written = format!("{comma}\"{column}\":");
            out.extend_from_slice(written.as_bytes());
            out.extend_from_slice(value);
            seen.push(column);
            form.push((key.into(), written.into_bytes().into()));
            Some(())
        })?;
        self.remember(form);
        out.push(b'}');
        Some(())
    }

    /// Writes an object whose keys are those of a form, or begin it; `None` for any other.
    fn by_form(&self, json: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut form: &[Pair] = &[];
        let mut at = 0;
        out.push(b'{');
        members(json, |key, value| {
            if at == 0 {
                form = self.forms.iter().find(|form| form.first().is_some_and(|(written, _)| **written == *key))?;
            }
            let (_, column) = form.get(at).filter(|(written, _)| **written == *key)?;
            out.extend_from_slice(column);
            out.extend_from_slice(value);
            at += 1;
            Some(())
        })?;
        out.push(b'}');
        Some(())
    }

    fn remember(&mut self, form: Form) {
        let Some((first, _)) = form.first() else { return };
        let known = self.forms.iter().any(|known| known.first().is_some_and(|(key, _)| key == first));
        let short = form.iter().all(|(key, _)| key.len() <= KEY_BYTES_MAX);
        if self.forms.len() < FORMS_MAX && short && !known {
            self.forms.push(form);
        }
    }

    fn column(&mut self, key: &[u8]) -> Option<Arc<str>> {
        if let Some(known) = self.keys.get(key) {
            return Some(known.clone());
        }
        let written = std::str::from_utf8(key).ok().filter(|written| !written.contains('\\'))?;
        let made: Arc<str> = column_key(written).into();
        if self.keys.len() < KEYS_MAX && key.len() <= KEY_BYTES_MAX {
            self.keys.insert(key.into(), made.clone());
        }
        Some(made)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn converted(keys: &mut TableKeys, json: &str) -> Option<String> {
        let mut arena = json.as_bytes().to_vec();
        let kind = if json.starts_with('[') { Kind::Array } else { Kind::Object };
        let made = keys.convert(&mut arena, Slot::new(kind, 0, json.len() as u32))?;
        Some(String::from_utf8(made.raw(&arena).to_vec()).unwrap())
    }

    #[test]
    fn forms_change_nothing() {
        let mut keys = TableKeys::default();
        let first = r#"[{"Rule Name":"a","enabled":true},{"Rule Name":"b","enabled":false}]"#;
        let wanted = r#"[{"rulename":"a","enabled":true},{"rulename":"b","enabled":false}]"#;
        for _ in 0..2 {
            assert_eq!(converted(&mut keys, first).unwrap(), wanted);
        }
        assert_eq!(keys.forms.len(), 1);
        // Fewer members, more, others, the same one twice, none.
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1}"#).unwrap(), r#"{"rulename":1}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"enabled":2,"More":3}"#).unwrap(), r#"{"rulename":1,"enabled":2,"more":3}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"Other":[{"K":1}]}"#).unwrap(), r#"{"rulename":1,"other":[{"K":1}]}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"Rule Name":2}"#), None);
        assert_eq!(converted(&mut keys, "{}").unwrap(), "{}");
        keys.begin();
        let mut arena = format!("{first}[]").into_bytes();
        let made = keys.convert(&mut arena, Slot::new(Kind::Array, 0, first.len() as u32)).unwrap();
        let none = keys.convert(&mut arena, Slot::new(Kind::Array, first.len() as u32, 2)).unwrap();
        assert!(keys.has_made(made) && !keys.has_made(none) && !keys.has_made(Slot::new(Kind::Array, 0, 9)));
        assert_eq!(converted(&mut keys, r#"[{"Rule Name":1},2]"#), None);
    }
}
