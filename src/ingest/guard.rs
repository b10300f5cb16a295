//! Guards: what must be true of an event's raw values for a condition to hold at all.
//!
//! `EventID = 4625 AND …` can only hold where the event's `EventID` is 4625. One look
//! at each guarded path finds, per row, the few conditions that are worth evaluating;
//! so a hundred rules cost little more than those that come near.

use std::collections::HashMap;

use super::columns;
use super::decode::{Kind, Rows, Slot};
use crate::expr::path::Path;
use crate::expr::reference::folded as folded_char;
use crate::expr::typed::{Compare, Op, Source, Typed};
use crate::expr::value::{Type, Value};

/// Alternatives that one guard may have (count); beyond that the condition is evaluated for all rows.
const PAIRS_MAX: usize = 64;
/// How much less a guard that only asks for presence is worth: as if so many conditions shared it.
const PRESENCE_WEIGHT: usize = 40;

/// Something that can be seen in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sign {
    /// The value is there and not null.
    Present,
    /// Its text is this.
    Text(Box<str>),
    /// Its text without regard to case is this (see [`fold_key`]).
    Folded(Box<str>),
    /// It is, or holds, this number (bits of the double).
    Number(u64),
}

/// A path and what must be seen there.
pub type Pair = (Path, Sign);

/// Guards of a list of conditions.
#[derive(Debug, Default)]
pub struct Guards {
    paths: Vec<GuardedPath>,
    /// Per condition: it has a guard.
    guarded: Vec<bool>,
}

#[derive(Debug)]
struct GuardedPath {
    path: Path,
    /// Its number in the decoded rows.
    number: usize,
    present: Vec<u32>,
    texts: HashMap<Box<str>, Vec<u32>>,
    folded: HashMap<Box<str>, Vec<u32>>,
    numbers: HashMap<u64, Vec<u32>>,
}

impl Guards {
    /// Finds a guard for each condition that has one.
    pub fn new(conditions: &[Typed]) -> Guards {
        let all: Vec<Vec<Vec<Pair>>> = conditions.iter().map(choices).collect();
        let mut uses: HashMap<&Pair, usize> = HashMap::new();
        for pair in all.iter().flatten().flatten() {
            *uses.entry(pair).or_insert(0) += 1;
        }
        let weight = |pairs: &Vec<Pair>| -> usize {
            pairs.iter().map(|pair| if pair.1 == Sign::Present { PRESENCE_WEIGHT } else { *uses.get(pair).unwrap_or(&1) }).sum()
        };
        let mut guards = Guards { paths: Vec::new(), guarded: Vec::new() };
        for (number, choices) in all.iter().enumerate() {
            let best = choices.iter().filter(|pairs| !pairs.is_empty() && pairs.len() <= PAIRS_MAX).min_by_key(|pairs| weight(pairs));
            guards.guarded.push(best.is_some());
            for (path, sign) in best.into_iter().flatten() {
                guards.add(path, sign, number as u32);
            }
        }
        guards
    }

    fn add(&mut self, path: &Path, sign: &Sign, condition: u32) {
        let at = self.paths.iter().position(|known| known.path == *path).unwrap_or_else(|| {
            self.paths.push(GuardedPath {
                path: path.clone(),
                number: usize::MAX,
                present: Vec::new(),
                texts: HashMap::new(),
                folded: HashMap::new(),
                numbers: HashMap::new(),
            });
            self.paths.len() - 1
        });
        let guarded = &mut self.paths[at];
        let list = match sign {
            Sign::Present => &mut guarded.present,
            Sign::Text(text) => guarded.texts.entry(text.clone()).or_default(),
            Sign::Folded(text) => guarded.folded.entry(text.clone()).or_default(),
            Sign::Number(bits) => guarded.numbers.entry(*bits).or_default(),
        };
        if list.last() != Some(&condition) {
            list.push(condition);
        }
    }

    /// True when the condition can be ruled out by looking at raw values.
    pub fn has(&self, condition: usize) -> bool {
        self.guarded.get(condition).copied().unwrap_or(false)
    }

    /// Finds out the numbers of the paths that guards look at.
    pub fn bind(&mut self, number: &mut dyn FnMut(&Path) -> usize) {
        self.paths.iter_mut().for_each(|guarded| guarded.number = number(&guarded.path));
    }

    /// For each guarded condition, the places (numbers in `rows`, ascending) at which it may
    /// hold.
    pub fn candidates(&self, arena: &[u8], rows: &[u32], decoded: &Rows) -> Vec<Vec<u32>> {
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); self.guarded.len()];
        let mut mixed = vec![false; self.guarded.len()];
        for guarded in &self.paths {
            let Some(slots) = decoded.columns.get(guarded.number) else { continue };
            // Only rows that have the value are looked at. Both lists ascend.
            let mut place = 0;
            for (row, slot) in slots.present() {
                while rows.get(place).is_some_and(|selected| *selected < row) {
                    place += 1;
                }
                if rows.get(place) != Some(&row) || slot.kind() == Kind::Null {
                    continue;
                }
                let mut add = |conditions: &[u32]| {
                    for condition in conditions {
                        let list = &mut found[*condition as usize];
                        match list.last() {
                            Some(last) if *last == place as u32 => {}
                            Some(last) if *last > place as u32 => {
                                // A second path of the same guard: put in order below.
                                mixed[*condition as usize] = true;
                                list.push(place as u32);
                            }
                            _ => list.push(place as u32),
                        }
                    }
                };
                guarded.see(arena, slot, &mut add);
            }
        }
        for (list, mixed) in found.iter_mut().zip(mixed) {
            if mixed {
                list.sort_unstable();
                list.dedup();
            }
        }
        found
    }
}

impl GuardedPath {
    fn see(&self, arena: &[u8], slot: Slot, add: &mut impl FnMut(&[u32])) {
        if !self.present.is_empty() {
            add(&self.present);
        }
        if !self.texts.is_empty() || !self.folded.is_empty() {
            let value = columns::value(arena, slot, Type::Text);
            let text = value.as_text().unwrap_or_default();
            if let Some(conditions) = self.texts.get(text) {
                add(conditions);
            }
            if !self.folded.is_empty()
                && let Some(conditions) = self.folded.get(&*fold_key(text))
            {
                add(conditions);
            }
        }
        if !self.numbers.is_empty()
            && let Value::Number(number) = columns::value(arena, slot, Type::Number)
            && let Some(conditions) = self.numbers.get(&(number + 0.0).to_bits())
        {
            add(conditions);
        }
    }
}

/// The guards that a condition offers: each is a list of which one must be seen.
fn choices(condition: &Typed) -> Vec<Vec<Pair>> {
    match &condition.op {
        Op::And(list) => list.iter().flat_map(choices).collect(),
        Op::Or(list) => {
            let mut union = Vec::new();
            for part in list {
                // The narrowest guard of each alternative.
                let Some(best) = choices(part)
                    .into_iter()
                    .filter(|pairs| !pairs.is_empty())
                    .min_by_key(|pairs| pairs.iter().map(|pair| if pair.1 == Sign::Present { PRESENCE_WEIGHT } else { 1 }).sum::<usize>())
                else {
                    return Vec::new();
                };
                union.extend(best);
            }
            vec![union]
        }
        Op::Compare(Compare::Eq, a, b) => {
            let equal = b.as_constant().and_then(|value| equals(a, value)).or_else(|| a.as_constant().and_then(|value| equals(b, value)));
            equal.or_else(|| present(a)).or_else(|| present(b)).into_iter().collect()
        }
        Op::Compare(_, a, b) => present(a).or_else(|| present(b)).into_iter().collect(),
        Op::In { value, list, negated: false } => {
            let union: Option<Vec<Vec<Pair>>> = list.iter().map(|item| equals(value, &item.0)).collect();
            union.map(|lists| lists.concat()).or_else(|| present(value)).into_iter().collect()
        }
        Op::Like { value, pattern, negated: false, fold_case } if !pattern.contains(['%', '_', '\\']) => {
            let text = Value::Text(pattern.to_string().into());
            let pairs = if *fold_case { folded(value, pattern) } else { equals(value, &text) };
            pairs.or_else(|| present(value)).into_iter().collect()
        }
        Op::In { value, .. } | Op::Like { value, .. } | Op::Matches { value, .. } => present(value).into_iter().collect(),
        Op::IsNull(value, true) => present(value).into_iter().collect(),
        Op::Input(Source::Event(_)) => present(condition).into_iter().collect(),
        Op::Not(inner) => match &inner.op {
            // NOT x is true only where x is not NULL.
            Op::Compare(..) | Op::In { .. } | Op::Like { .. } | Op::Matches { .. } | Op::Input(_) | Op::Call(..) | Op::Library(..) => {
                present_of_condition(inner).into_iter().collect()
            }
            Op::IsNull(value, false) => present(value).into_iter().collect(),
            _ => Vec::new(),
        },
        Op::Call(..) | Op::Library(..) => present(condition).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn present_of_condition(condition: &Typed) -> Option<Vec<Pair>> {
    match &condition.op {
        Op::Compare(_, a, b) => present(a).or_else(|| present(b)),
        Op::In { value, .. } | Op::Like { value, .. } | Op::Matches { value, .. } => present(value),
        _ => present(condition),
    }
}

/// What must be seen for `value` to equal a constant.
fn equals(value: &Typed, constant: &Value<'_>) -> Option<Vec<Pair>> {
    match (&value.op, constant) {
        (Op::Input(Source::Event(path)), Value::Text(text)) if value.ty == Type::Text => Some(vec![(path.clone(), Sign::Text((&**text).into()))]),
        (Op::Input(Source::Event(path)), Value::Number(number)) if value.ty == Type::Number => {
            Some(vec![(path.clone(), Sign::Number((number + 0.0).to_bits()))])
        }
        (Op::Coalesce(list), _) => list.iter().map(|part| equals(part, constant)).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
        (Op::Call(function, args), Value::Text(text)) if &*function.name == "lower" => args.first().and_then(|arg| folded(arg, text)),
        // number(text): the number may stand in a text.
        (Op::Call(function, args), Value::Number(number)) if &*function.name == "number" => {
            args.first().and_then(|arg| equals(&Typed { ty: Type::Number, ..arg.clone() }, &Value::Number(*number)))
        }
        _ => None,
    }
}

/// What must be seen for `value` in lower case to equal a text.
fn folded(value: &Typed, text: &str) -> Option<Vec<Pair>> {
    match &value.op {
        Op::Input(Source::Event(path)) if value.ty == Type::Text => Some(vec![(path.clone(), Sign::Folded(fold_key(text).into()))]),
        Op::Coalesce(list) => list.iter().map(|part| folded(part, text)).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
        _ => None,
    }
}

/// Equal for texts that are equal in lower case, and for those that ILIKE takes for equal:
/// both ways to fold are in it, since they differ in a few letters (`ſ` is an s, `İ` two).
fn fold_key(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase().chars().map(folded_char).collect() }
}

/// What must be there for `value` not to be NULL.
fn present(value: &Typed) -> Option<Vec<Pair>> {
    match &value.op {
        Op::Input(Source::Event(path)) => Some(vec![(path.clone(), Sign::Present)]),
        Op::Coalesce(list) => list.iter().map(present).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
        Op::Call(function, args) if NULL_IN_NULL_OUT.contains(&&*function.name) => args.first().and_then(present),
        Op::Library(library, args) if library.is_null_of_null() => args.first().and_then(present),
        Op::Arithmetic(_, a, b) => present(a).or_else(|| present(b)),
        _ => None,
    }
}

/// Functions of ours that are NULL where their first argument is.
const NULL_IN_NULL_OUT: [&str; 15] = [
    "lower",
    "upper",
    "regexp_extract",
    "json_get",
    "array_any",
    "array_any_like",
    "array_length",
    "ip_in",
    "number",
    "text",
    "integer",
    "boolean",
    "parse_time",
    "severity",
    "lookup",
];
