//! `ConvertKeysToTableFieldFormat` over tokens: the keys of objects become columns of a table, the
//! values stay where they are. A list is copied as a whole and its keys are written over, since most
//! differ from their columns in case only. What keys became is remembered from batch to batch.

use std::sync::Arc;

use hashbrown::HashMap;

use super::cell::ARENA_BYTES_MAX;
use super::table_form::{Column, Form};
use crate::ingest::decode::{Index, Kind, Level, Slot};

/// Keys of objects that are remembered (count).
const KEYS_MAX: usize = 4096;
/// Bytes of a key that is remembered.
const KEY_BYTES_MAX: usize = 512;
/// Tokens of an object that is remembered with its kinds.
const FORM_TOKENS_MAX: usize = 1024;
/// Forms of objects that are remembered (count).
const FORMS_MAX: usize = 32;
/// Bytes behind a list, and behind its copy, so that sixteen can be read from any of its own.
const PADDING: usize = 16;
/// Members of an object whose keys are compared one by one; a form has a bit for each.
const MEMBERS_MAX: usize = 64;

/// What keys become.
#[derive(Debug)]
pub struct TableKeys {
    level: Level,
    /// The tokens of a list.
    index: Index,
    /// Key → column.
    keys: HashMap<Box<[u8]>, Arc<Column>>,
    /// Objects of a list have the same keys in the same order, mostly: forms, told apart by their first key.
    forms: Vec<Form>,
    /// The form of the last object.
    last: usize,
    /// Columns of the object under way that its form does not have, and the tokens of their keys.
    others: Vec<Arc<Column>>,
    tokens: Vec<usize>,
    /// Where the lists begin that were made of this batch: each holds objects, and at least one.
    made: Vec<u32>,
}

impl Default for TableKeys {
    fn default() -> TableKeys {
        TableKeys {
            level: Level::detect(),
            index: Index::default(),
            keys: HashMap::new(),
            forms: Vec::new(),
            last: 0,
            others: Vec::new(),
            tokens: Vec::new(),
            made: Vec::new(),
        }
    }
}

/// What is being written of a list.
struct Copy {
    /// Where the list begins, and where what is written does.
    from: usize,
    to: usize,
    /// The list stands there as a whole and is written over; else only what came before `copied` does.
    whole: bool,
    copied: usize,
}

impl Copy {
    /// Writes a column where its key stands.
    #[inline(always)]
    fn rename(&mut self, arena: &mut Vec<u8>, at: usize, column: &Column) {
        if column.same {
            return;
        }
        if !self.whole || column.name.len() != column.len {
            return self.splice(arena, at, column);
        }
        column.write_over(arena, at, self.to - self.from);
    }

    #[inline(never)]
    fn splice(&mut self, arena: &mut Vec<u8>, at: usize, column: &Column) {
        if std::mem::take(&mut self.whole) {
            arena.truncate(at - self.from + self.to);
        } else {
            arena.extend_from_within(self.copied..at);
        }
        arena.extend_from_slice(column.name.as_bytes());
        self.copied = at + column.len;
    }
}

impl TableKeys {
    /// Another batch begins, in an arena of its own.
    pub fn begin(&mut self) {
        self.made.clear();
        // Who is shown thousands of keys begins anew, rather than to know the wrong ones for ever.
        if self.keys.len() >= KEYS_MAX || self.forms.len() >= FORMS_MAX {
            self.keys.clear();
            self.forms.clear();
        }
    }

    /// True for a list that was made here: that it holds rows needs no second look.
    pub fn has_made(&self, slot: Slot) -> bool {
        self.made.binary_search(&slot.start()).is_ok()
    }

    /// An object, or the objects of a list, with their keys as a table's columns; `None` where a list holds
    /// anything but objects and where keys are not plain, fall together, or are many.
    pub fn convert(&mut self, arena: &mut Vec<u8>, slot: Slot) -> Option<Slot> {
        let (start, len) = (slot.start() as usize, slot.len() as usize);
        let end = start + len;
        if arena.get(start..end).is_none() || arena.len() + len > ARENA_BYTES_MAX {
            return None;
        }
        if arena.len() < end + PADDING {
            arena.resize(end + PADDING, 0);
        }
        let mut index = std::mem::take(&mut self.index);
        let indexed = index.build(self.level, arena, start, end);
        let mut copy = Copy { from: start, to: arena.len(), whole: true, copied: start };
        arena.extend_from_within(start..end);
        arena.extend_from_slice(&[0; PADDING]);
        let done = indexed.ok().and_then(|()| self.table(&index, arena, &mut copy));
        self.index = index;
        if done.is_none() {
            arena.truncate(copy.to);
            return None;
        }
        if copy.whole {
            arena.truncate(copy.to + len);
        } else {
            arena.extend_from_within(copy.copied..end);
        }
        let made = Slot::new(slot.kind(), copy.to as u32, (arena.len() - copy.to) as u32);
        // What is made later lies behind it, so they are in order.
        if made.kind() == Kind::Array && done != Some(0) {
            self.made.push(made.start());
        }
        Some(made)
    }

    /// Renames the keys of a list's objects, or of one object; gives how many there are.
    fn table(&mut self, index: &Index, arena: &mut Vec<u8>, copy: &mut Copy) -> Option<usize> {
        let kinds = index.kinds();
        if kinds.first()? == &b'{' {
            return self.object(index, 0, arena, copy).map(|_| 1);
        }
        let (mut token, mut objects) = (1, 0);
        loop {
            match kinds.get(token)? {
                b'{' => {
                    token = self.object(index, token, arena, copy)?;
                    objects += 1;
                }
                b',' => token += 1,
                b']' => return Some(objects),
                _ => return None,
            }
        }
    }

    /// Renames the keys of the object that a token opens; gives the token after it.
    fn object(&mut self, index: &Index, open: usize, arena: &mut Vec<u8>, copy: &mut Copy) -> Option<usize> {
        let (kinds, positions) = (index.kinds(), index.positions());
        if copy.whole
            && let Some(form) = self.forms.get(self.last)
        {
            let (kinds, positions) = (kinds.get(open..)?, positions.get(open..)?);
            if form.write(kinds, positions, arena, copy.to - copy.from) {
                return Some(open + form.kinds.len());
            }
        }
        let mut token = open + 1;
        let form = self.form(arena, *positions.get(token)? as usize + 1);
        let (mut next, mut seen, mut members) = (0, 0u64, 0);
        self.others.clear();
        self.tokens.clear();
        loop {
            match kinds.get(token)? {
                b'"' => {}
                b',' => {
                    token += 1;
                    continue;
                }
                b'}' => break,
                _ => return None,
            }
            let key = *positions.get(token)? as usize + 1;
            let known = form.and_then(|form| self.forms.get(form)).map_or(&[][..], |form| &form.columns);
            // Members may be missing, or in another order.
            let is_next = known.get(next).is_some_and(|column| column.is_at(arena, key));
            let found = if is_next { Some(next) } else { known.iter().position(|column| column.is_at(arena, key)) };
            if let Some((number, column)) = found.and_then(|number| Some((number, known.get(number)?))) {
                // A key that stands twice, or becomes what another one became.
                if seen & 1 << number != 0 || self.others.iter().any(|other| other.name == column.name) {
                    return None;
                }
                seen |= 1 << number;
                next = number + 1;
                copy.rename(arena, key, column);
            } else {
                let column = self.unknown(index, token, arena)?;
                let known = form.and_then(|form| self.forms.get(form)).map_or(&[][..], |form| &form.columns);
                let mut before = known.iter().enumerate().filter(|(number, _)| seen & 1 << number != 0).map(|(_, column)| column).chain(&self.others);
                if before.any(|other| other.name == column.name) {
                    return None;
                }
                copy.rename(arena, key, &column);
                self.others.push(column);
                self.tokens.push(token - open);
            }
            members += 1;
            if members > MEMBERS_MAX {
                return None;
            }
            // Behind the key and its colon.
            token = value_end(kinds, token + 2)?;
        }
        let short = |others: &[Arc<Column>]| others.iter().all(|column| column.len <= KEY_BYTES_MAX);
        if form.is_none() && !self.others.is_empty() && self.forms.len() < FORMS_MAX && short(&self.others) {
            self.last = self.forms.len();
            let kinds = kinds.get(open..=token).filter(|kinds| kinds.len() <= FORM_TOKENS_MAX);
            let tokens = if kinds.is_some() { self.tokens.as_slice() } else { &[] };
            self.forms.push(Form::new(kinds.unwrap_or_default(), tokens, &self.others));
        }
        Some(token + 1)
    }

    /// The form of an object whose first key stands there.
    #[inline(always)]
    fn form(&mut self, arena: &[u8], key: usize) -> Option<usize> {
        let begins = |form: &Form| form.columns.first().is_some_and(|column| column.is_at(arena, key));
        if !self.forms.get(self.last).is_some_and(begins) {
            self.last = self.forms.iter().position(begins)?;
        }
        Some(self.last)
    }

    /// The column of a key that no form has.
    #[inline(never)]
    fn unknown(&mut self, index: &Index, token: usize, arena: &[u8]) -> Option<Arc<Column>> {
        let positions = index.positions();
        let between = arena.get(*positions.get(token)? as usize + 1..*positions.get(token + 1)? as usize)?;
        // The closing quote is the last one before the colon.
        let key = between.get(..memchr::memrchr(b'"', between)?)?;
        if let Some(known) = self.keys.get(key) {
            return Some(known.clone());
        }
        let written = std::str::from_utf8(key).ok().filter(|written| !written.contains('\\'))?;
        let made = Arc::new(Column::new(written));
        if self.keys.len() < KEYS_MAX && key.len() <= KEY_BYTES_MAX {
            self.keys.insert(key.into(), made.clone());
        }
        Some(made)
    }
}

/// The token after a value.
#[inline(always)]
fn value_end(kinds: &[u8], mut token: usize) -> Option<usize> {
    let mut open = 0usize;
    loop {
        match kinds.get(token)? {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.checked_sub(1)?,
            // Behind the last token.
            0 => return None,
            _ => {}
        }
        token += 1;
        if open == 0 {
            return Some(token);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Map, Value};

    use super::*;
    use crate::expr::xsoar::transform::object::column_key;

    fn converted(keys: &mut TableKeys, json: &str) -> Option<String> {
        let mut arena = json.as_bytes().to_vec();
        let kind = if json.starts_with('[') { Kind::Array } else { Kind::Object };
        let made = keys.convert(&mut arena, Slot::new(kind, 0, json.len() as u32))?;
        assert_eq!(arena.len(), made.start() as usize + made.len() as usize);
        assert_eq!(&arena[..json.len()], json.as_bytes());
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
        // Fewer members, more, others, another order, the same one twice, none.
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1}"#).unwrap(), r#"{"rulename":1}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"enabled":2,"More":3}"#).unwrap(), r#"{"rulename":1,"enabled":2,"more":3}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"Other":[{"K":1}]}"#).unwrap(), r#"{"rulename":1,"other":[{"K":1}]}"#);
        assert_eq!(converted(&mut keys, r#"{"Rule Name":1,"More":3,"enabled":2}"#).unwrap(), r#"{"rulename":1,"more":3,"enabled":2}"#);
        for twice in [
            r#"{"Rule Name":1,"Rule Name":2}"#,
            r#"{"Rule Name":1,"enabled":1,"Rule Name":2}"#,
            r#"{"Rule Name":1,"RULENAME":2}"#,
            r#"{"Rule Name":1,"More":2,"more":3}"#,
            r#"{"More":2,"more":3}"#,
        ] {
            assert_eq!(converted(&mut keys, twice), None, "{twice}");
        }
        assert_eq!(converted(&mut keys, "{}").unwrap(), "{}");
        assert_eq!(converted(&mut keys, "[{}, { }]").unwrap(), "[{}, { }]");
        keys.begin();
        let mut arena = format!("{first}[]").into_bytes();
        let made = keys.convert(&mut arena, Slot::new(Kind::Array, 0, first.len() as u32)).unwrap();
        let none = keys.convert(&mut arena, Slot::new(Kind::Array, first.len() as u32, 2)).unwrap();
        assert!(keys.has_made(made) && !keys.has_made(none) && !keys.has_made(Slot::new(Kind::Array, 0, 9)));
        for else_than_rows in [r#"[{"Rule Name":1},2]"#, r#"["a"]"#, "[[]]", r#"{"a\u0062":1}"#, r#"[{"a":1},null]"#] {
            assert_eq!(converted(&mut keys, else_than_rows), None, "{else_than_rows}");
        }
    }

    #[test]
    fn keys_of_any_length_are_written_over() {
        let mut keys = TableKeys::default();
        for len in 1..70 {
            for odd in ["", "_", "é"] {
                let key = "Ab".repeat(len).chars().take(len).collect::<String>() + odd;
                for json in [format!(r#"{{"{key}":1}}"#), format!(r#"[{{"{key}":"x \" {{","B c":[{{"D":2}}],"Last":{{}}}}]"#)] {
                    for _ in 0..3 {
                        let wanted = json.replacen(&key, &column_key(&key), 1).replace("B c", "bc").replace("Last", "last");
                        assert_eq!(converted(&mut keys, &json).unwrap(), wanted);
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn as_the_values_say(objects in proptest::collection::vec(proptest::collection::vec(("[a-cA-C_ ]{1,3}|[A-Da-d]{16}", "[\"\\\\{}a]{0,3}"), 0..5), 0..5)) {
            let mut keys = TableKeys::default();
            let rows: Vec<Map<String, Value>> = objects.into_iter().map(|members| members.into_iter().map(|(key, value)| (key, Value::from(value))).collect()).collect();
            let together = rows.iter().any(|row| row.keys().map(|key| column_key(key)).collect::<HashSet<_>>().len() < row.len());
            let wanted: Vec<Map<String, Value>> = rows.iter().map(|row| row.iter().map(|(key, value)| (column_key(key), value.clone())).collect()).collect();
            for text in [serde_json::to_string(&rows).unwrap(), serde_json::to_string_pretty(&rows).unwrap()] {
                for _ in 0..2 {
                    match converted(&mut keys, &text) {
                        Some(made) => proptest::prop_assert_eq!(serde_json::from_str::<Vec<Map<String, Value>>>(&made).unwrap(), wanted.clone()),
                        None => proptest::prop_assert!(together, "{}", text),
                    }
                }
            }
        }
    }
}
