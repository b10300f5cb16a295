//! The paths of a group of events: how often each has a value, of which kind, what it
//! looks like, and one example.
//!
//! A path through an array is written `a[].b` and stands for all elements: it counts once
//! per event, however many elements have it.

use std::collections::HashMap;

use super::json::{content, elements, members};
use super::shape::{Look, of_number};
use crate::cli::text::{Cut, clip, visible};
use crate::expr::path::{Path, Step, is_bare_key};

/// Paths kept per group (count); of what comes later only the number of values is known.
pub const GROUP_PATHS_MAX: usize = 3_000;
/// Paths kept over all groups (count): about 300 bytes each.
pub const PATHS_MAX: usize = 200_000;
/// Characters of an example that are kept.
pub const EXAMPLE_CHARS_MAX: usize = 60;
/// Values per path whose look is examined (count): more would tell nothing new.
pub const LOOKS_MAX: u32 = 300;
/// Bytes of a value that are examined at the most.
const VALUE_BYTES_MAX: usize = 4096;
/// Levels that are walked: what the decoder accepts.
const DEPTH_MAX: usize = crate::ingest::decode::DEPTH_MAX as usize;

/// The kinds of JSON values, in the order of [`Stat::kinds`].
pub const KINDS: [&str; 6] = ["string", "number", "boolean", "object", "array", "null"];
const STRING: usize = 0;
const NUMBER: usize = 1;
const BOOLEAN: usize = 2;
const OBJECT: usize = 3;
const ARRAY: usize = 4;
const NULL: usize = 5;

/// All paths of a group.
#[derive(Debug, Default)]
pub struct Profile {
    nodes: Vec<Node>,
    /// Events in the group.
    pub events: u64,
    /// Values at paths that found no room.
    pub lost: u64,
    scratch: String,
}

#[derive(Debug, Default)]
struct Node {
    /// The key; `None` for the elements of an array.
    key: Option<Box<str>>,
    parent: u32,
    children: HashMap<Box<str>, u32>,
    elements: Option<u32>,
    stat: Stat,
}

/// What is known of one path.
#[derive(Debug, Clone, Default)]
pub struct Stat {
    /// Events in which it has a value other than null.
    pub events: u64,
    /// Number of the last event counted.
    last: u64,
    /// Values per kind ([`KINDS`]); objects and arrays only where they are empty.
    pub kinds: [u64; 6],
    looks: [u32; Look::ALL.len()],
    /// The first value that is not empty.
    pub example: Option<Box<str>>,
}

impl Stat {
    /// The look that nearly all examined values have.
    pub fn look(&self) -> Look {
        let all: u32 = self.looks.iter().sum();
        let best = self.looks.iter().zip(Look::ALL).max_by_key(|(count, _)| **count);
        best.filter(|(count, _)| **count > 0 && **count * 10 >= all * 8).map_or(Look::Other, |(_, look)| look)
    }

    /// Kinds that occur, null only where there is nothing else; most frequent first.
    pub fn kind_words(&self) -> Vec<&'static str> {
        let mut kinds: Vec<(u64, &'static str)> = self.kinds.iter().copied().zip(KINDS).filter(|(count, _)| *count > 0).collect();
        kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        if kinds.len() > 1 {
            kinds.retain(|(_, word)| *word != "null");
        }
        kinds.into_iter().map(|(_, word)| word).collect()
    }

    /// True where numbers stand, or texts that hold numbers.
    pub fn is_numeric(&self) -> bool {
        self.kinds[NUMBER] > 0 && self.kinds[STRING] == 0 || matches!(self.look(), Look::Number | Look::Epoch)
    }
}

/// A path with what is known of it.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// Keys, root first; `None` stands for the elements of an array.
    pub steps: Vec<Option<&'a str>>,
    /// What is known.
    pub stat: &'a Stat,
}

impl Leaf<'_> {
    /// As shown: `a.b`, `a[].b`.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                None => text.push_str("[]"),
                Some(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    if is_bare_key(key) {
                        text.push_str(key);
                    } else {
                        text.push_str(&format!("\"{}\"", visible(&key.replace('"', "\"\""))));
                    }
                }
            }
        }
        text
    }

    /// As an expression reads it: of an array the first element.
    pub fn expression(&self) -> String {
        let steps = self.steps.iter().map(|step| step.map_or(Step::Index(0), |key| Step::Key(key.into()))).collect();
        Path::new(steps).map_or_else(String::new, |path| path.to_string())
    }

    /// The form in which paths of events and of expressions are compared.
    pub fn canonical(&self) -> String {
        canonical(self.steps.iter().copied())
    }
}

/// Steps as one text: elements are `[]`, and dots inside a key are steps, since a path
/// finds flat keys too.
pub fn canonical<'a>(steps: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            None => text.push_str("[]"),
            Some(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
        }
    }
    text
}

impl Profile {
    /// Adds an event. `room` is what is left of [`PATHS_MAX`].
    pub fn add(&mut self, event: &[u8], room: &mut usize) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        self.events += 1;
        self.object(0, event, room, 1);
    }

    /// All paths that have had a value, or a null.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.stat.kinds.iter().any(|count| *count > 0))
            .map(|(number, node)| Leaf { steps: self.steps(number), stat: &node.stat })
    }

    fn steps(&self, number: usize) -> Vec<Option<&str>> {
        let mut steps = Vec::new();
        let mut at = number;
        while at != 0
            && let Some(node) = self.nodes.get(at)
        {
            steps.push(node.key.as_deref());
            at = node.parent as usize;
        }
        steps.reverse();
        steps
    }

    fn object(&mut self, node: u32, text: &[u8], room: &mut usize, depth: usize) {
        for (key, value) in members(text) {
            let key = content(key);
            let known = self.nodes.get(node as usize).and_then(|node| node.children.get(&*key).copied());
            let child = match known {
                Some(child) => child,
                None => match self.child(node, Some(&key), room) {
                    Some(child) => child,
                    None => continue,
                },
            };
            self.value(child, value, room, depth);
        }
    }

    fn child(&mut self, parent: u32, key: Option<&str>, room: &mut usize) -> Option<u32> {
        if *room == 0 || self.nodes.len() > GROUP_PATHS_MAX {
            self.lost += 1;
            return None;
        }
        *room -= 1;
        let number = self.nodes.len() as u32;
        let node = self.nodes.get_mut(parent as usize)?;
        match key {
            Some(key) => {
                node.children.insert(key.into(), number);
            }
            None => node.elements = Some(number),
        }
        self.nodes.push(Node { key: key.map(Into::into), parent, ..Node::default() });
        Some(number)
    }

    fn value(&mut self, number: u32, token: &[u8], room: &mut usize, depth: usize) {
        match token.first() {
            Some(b'{') if depth < DEPTH_MAX && members(token).next().is_some() => self.object(number, token, room, depth + 1),
            Some(b'[') if depth < DEPTH_MAX && elements(token).next().is_some() => {
                let known = self.nodes.get(number as usize).and_then(|node| node.elements);
                let Some(child) = known.or_else(|| self.child(number, None, room)) else { return };
                for element in elements(token) {
                    self.value(child, element, room, depth + 1);
                }
            }
            _ => self.scalar(number, token),
        }
    }

    fn scalar(&mut self, number: u32, token: &[u8]) {
        let event = self.events;
        let Some(stat) = self.nodes.get_mut(number as usize).map(|node| &mut node.stat) else { return };
        let kind = match token.first() {
            Some(b'"') => STRING,
            Some(b'{') => OBJECT,
            Some(b'[') => ARRAY,
            Some(b't' | b'f') => BOOLEAN,
            Some(b'n') => NULL,
            _ => NUMBER,
        };
        stat.kinds[kind] += 1;
        if kind == NULL {
            return;
        }
        if stat.last != event {
            stat.last = event;
            stat.events += 1;
        }
        let looked: u32 = stat.looks.iter().sum();
        if looked >= LOOKS_MAX && stat.example.is_some() {
            return;
        }
        self.scratch.clear();
        match kind {
            STRING => {
                let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
                self.scratch.push_str(&content(cut(inner)));
            }
            _ => self.scratch.push_str(&String::from_utf8_lossy(cut(token))),
        }
        let blank = self.scratch.trim().is_empty() || self.scratch == "-";
        if !blank && matches!(kind, STRING | NUMBER) && looked < LOOKS_MAX {
            let look = if kind == STRING { Look::of_text(&self.scratch) } else { of_number(&self.scratch) };
            stat.looks[look as usize] += 1;
        }
        if stat.example.is_none() && !blank {
            stat.example = Some(clip(&visible(&self.scratch), EXAMPLE_CHARS_MAX, Cut::End).into());
        }
    }
}

/// The beginning of a long value; what is left of an escape there does not matter.
fn cut(value: &[u8]) -> &[u8] {
    value.get(..VALUE_BYTES_MAX).unwrap_or(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn profile(events: &[&str]) -> Profile {
        let mut profile = Profile::default();
        let mut room = 1000;
        events.iter().for_each(|event| profile.add(event.as_bytes(), &mut room));
        profile
    }

    #[test]
    fn paths_count_once_per_event() {
        let profile = profile(&[r#"{"a":{"b":1},"l":[{"x":"1.2.3.4"},{"x":"1.2.3.5"},{"y":null}],"e":[]}"#, r#"{"a":{"b":"t"},"l":[7],"a.c":true}"#]);
        let found: Vec<(String, u64, Vec<&str>)> = profile.leaves().map(|leaf| (leaf.shown(), leaf.stat.events, leaf.stat.kind_words())).collect();
        let expected: [(&str, u64, &[&str]); 7] = [
            ("a.b", 2, &["string", "number"]),
            ("l[].x", 1, &["string"]),
            ("l[].y", 0, &["null"]),
            ("e", 1, &["array"]),
            ("l[]", 1, &["number"]),
            ("\"a.c\"", 1, &["boolean"]),
            ("", 0, &[]),
        ];
        for (path, events, kinds) in expected.into_iter().filter(|(path, ..)| !path.is_empty()) {
            let (_, n, words) = found.iter().find(|(shown, ..)| shown == path).unwrap();
            let mut words = words.clone();
            words.sort_by_key(|w| KINDS.iter().position(|k| k == w));
            assert_eq!((*n, words.as_slice()), (events, kinds), "{path}");
        }
        let x = profile.leaves().find(|leaf| leaf.shown() == "l[].x").unwrap();
        assert_eq!((x.expression(), x.canonical(), x.stat.look(), x.stat.example.as_deref()), ("l[0].x".into(), "l[].x".into(), Look::Ip, Some("1.2.3.4")));
    }

    #[test]
    fn room_is_bounded() {
        let mut profile = Profile::default();
        let mut room = 2;
        profile.add(br#"{"a":1,"b":2,"c":3}"#, &mut room);
        assert_eq!((profile.leaves().count(), profile.lost, room), (2, 1, 0));
    }

    #[test]
    fn examples_are_short_and_harmless() {
        let profile = profile(&[&format!(r#"{{"a":"","b":"\u001b[2J{}"}}"#, "x".repeat(10_000)), r#"{"a":"later"}"#]);
        let examples: Vec<&str> = profile.leaves().filter_map(|leaf| leaf.stat.example.as_deref()).collect();
        assert_eq!(examples[0], "later");
        assert!(examples[1].starts_with("\\u{1b}[2Jxxx") && examples[1].chars().count() <= EXAMPLE_CHARS_MAX);
    }
}
