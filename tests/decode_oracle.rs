//! What decoding is compared with: a plain recursive JSON reader that keeps the place of every
//! value, a plain reading of paths, and serde_json.

use catchment::expr::path::{Path, Step};
use catchment::ingest::decode::{DecodeLimits, Decoder, Kind, Level, Reject, Rows, Shape, ShapeOptions, Slot, unescape};
use std::sync::Arc;

use crate::decode_others::{agree_with_serde, agree_with_simd_json, reject_with_others};

/// A JSON value and its text.
#[derive(Debug, Clone)]
pub struct Node {
    pub start: usize,
    pub end: usize,
    pub body: Body,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Body {
    Literal(Kind),
    Number,
    Text(Vec<u8>),
    Object(Vec<(Vec<u8>, Node)>),
    Array(Vec<Node>),
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, ()>;

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn blanks(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.text.get(self.at) != Some(&byte) {
            return Err(());
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == from { Err(()) } else { Ok(()) }
    }

    fn value(&mut self, depth: u32) -> Read<Node> {
        self.blanks();
        let start = self.at;
        let body = match self.peek() {
            b'{' => {
                let depth = depth.checked_sub(1).ok_or(())?;
                self.at += 1;
                let mut members = Vec::new();
                self.blanks();
                if self.peek() != b'}' {
                    loop {
                        self.blanks();
                        let key = self.string()?;
                        self.blanks();
                        self.expect(b':')?;
                        members.push((key, self.value(depth)?));
                        self.blanks();
                        if self.peek() != b',' {
                            break;
                        }
                        self.at += 1;
                    }
                }
                self.expect(b'}')?;
                Body::Object(members)
            }
            b'[' => {
                let depth = depth.checked_sub(1).ok_or(())?;
                self.at += 1;
                let mut elements = Vec::new();
                self.blanks();
                if self.peek() != b']' {
                    loop {
                        elements.push(self.value(depth)?);
                        self.blanks();
                        if self.peek() != b',' {
                            break;
                        }
                        self.at += 1;
                    }
                }
                self.expect(b']')?;
                Body::Array(elements)
            }
            b'"' => Body::Text(self.string()?),
            b'-' | b'0'..=b'9' => {
                if self.peek() == b'-' {
                    self.at += 1;
                }
                if self.peek() == b'0' {
                    self.at += 1
                } else {
                    self.digits()?
                }
                if self.peek() == b'.' {
                    self.at += 1;
                    self.digits()?;
                }
                if matches!(self.peek(), b'e' | b'E') {
                    self.at += 1;
                    if matches!(self.peek(), b'+' | b'-') {
                        self.at += 1;
                    }
                    self.digits()?;
                }
                Body::Number
            }
            _ => {
                let literals = [("true", Kind::True), ("false", Kind::False), ("null", Kind::Null)];
                let rest = &self.text[self.at..];
                let (word, kind) = literals.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes())).ok_or(())?;
                self.at += word.len();
                Body::Literal(kind)
            }
        };
        Ok(Node { start, end: self.at, body })
    }

    fn string(&mut self) -> Read<Vec<u8>> {
        self.expect(b'"')?;
        let mut units = Vec::new();
        loop {
            let byte = *self.text.get(self.at).ok_or(())?;
            self.at += 1;
            match byte {
                b'"' => return Ok(units),
                0..0x20 => return Err(()),
                b'\\' => {
                    let escape = *self.text.get(self.at).ok_or(())?;
                    self.at += 1;
                    let c = match escape {
                        b'"' | b'\\' | b'/' => char::from(escape),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.unicode()?,
                        _ => return Err(()),
                    };
                    units.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                other => units.push(other),
            }
        }
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(())?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(());
        }
        self.at += 4;
        u32::from_str_radix(std::str::from_utf8(digits).map_err(|_| ())?, 16).map_err(|_| ())
    }

    fn unicode(&mut self) -> Read<char> {
        let high = self.hex()?;
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                return char::from_u32(0x10000 + (high - 0xd800) * 0x400 + low - 0xdc00).ok_or(());
            }
            self.at = back;
        }
        Ok(char::from_u32(high).unwrap_or('\u{fffd}'))
    }
}

/// The objects of a message, or an error when it is anything else.
pub fn events(text: &[u8]) -> Result<Vec<Node>, ()> {
    std::str::from_utf8(text).map_err(|_| ())?;
    let bom = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut reader = Reader { text, at: bom };
    let mut events = Vec::new();
    loop {
        reader.blanks();
        if reader.at == text.len() {
            return if events.is_empty() { Err(()) } else { Ok(events) };
        }
        let node = reader.value(128)?;
        if !matches!(node.body, Body::Object(_)) {
            return Err(());
        }
        events.push(node);
    }
}

/// The value at a path: of all matches the most nested, then the last in the text; of equal keys only the last counts.
pub fn at_path<'a>(node: &'a Node, steps: &[Step]) -> Option<&'a Node> {
    all_at(node, steps, 0).into_iter().max_by_key(|(rank, node)| (*rank, node.start)).map(|(_, node)| node)
}

fn all_at<'a>(node: &'a Node, steps: &[Step], rank: usize) -> Vec<(usize, &'a Node)> {
    let Some(first) = steps.first() else { return vec![(rank, node)] };
    match (first, &node.body) {
        (Step::Index(index), Body::Array(elements)) => elements.get(*index as usize).map_or(Vec::new(), |element| all_at(element, &steps[1..], rank + 1)),
        (Step::Member(name), Body::Object(members)) => match members.iter().rev().find(|(key, _)| key == name.as_bytes()) {
            Some((_, value)) => all_at(value, &steps[1..], rank + 1),
            None => Vec::new(),
        },
        (Step::Key(_), Body::Object(members)) => {
            let keys = steps.iter().map_while(|step| match step {
                Step::Key(key) => Some(&**key),
                Step::Index(_) | Step::Member(_) | Step::Computed(_) => None,
            });
            let keys: Vec<&str> = keys.collect();
            (1..=keys.len())
                .filter_map(|n| {
                    let joined = keys[..n].join(".");
                    let (_, value) = members.iter().rev().find(|(key, _)| key == joined.as_bytes())?;
                    Some(all_at(value, &steps[n..], rank + 1))
                })
                .flatten()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Compares a slot with what the oracle has read at that place.
pub fn assert_slot(arena: &[u8], message_start: usize, slot: Slot, expected: Option<&Node>) {
    let Some(node) = expected else {
        assert_eq!(slot.kind(), Kind::Missing);
        return;
    };
    assert_eq!(slot.token(arena), &arena[message_start + node.start..message_start + node.end]);
    match &node.body {
        Body::Literal(kind) => assert_eq!(slot.kind(), *kind),
        Body::Number => assert_eq!(slot.kind(), Kind::Number),
        Body::Object(_) => assert_eq!(slot.kind(), Kind::Object),
        Body::Array(_) => assert_eq!(slot.kind(), Kind::Array),
        Body::Text(content) => {
            assert_eq!(slot.kind() == Kind::StringEscaped, slot.raw(arena).contains(&b'\\'));
            assert!(slot.kind().is_string());
            assert_eq!(&read_string(arena, slot), content);
        }
    }
}

/// The content of a string slot.
pub fn read_string(arena: &[u8], slot: Slot) -> Vec<u8> {
    let mut out = Vec::new();
    unescape(slot.raw(arena), &mut out);
    out
}

/// A path of `.`-separated keys; `[3]` at the end of a key is an index.
pub fn path(text: &str) -> Path {
    let mut steps = Vec::new();
    for part in text.split('.') {
        let (key, indexes) = part.split_once('[').map_or((part, None), |(key, rest)| (key, Some(rest)));
        steps.push(Step::Key(key.into()));
        for index in indexes.iter().flat_map(|rest| rest.trim_end_matches(']').split("][")) {
            steps.push(Step::Index(index.parse().expect("an index")));
        }
    }
    Path::new(steps).expect("a path has steps")
}

/// Several paths.
pub fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().map(|text| path(text)).collect()
}

/// What [`decode`] puts before the message in the arena.
const BEFORE: &[u8] = b"{\"x\":\"\\";

/// A message in an arena, and where.
fn arena_of(text: &[u8]) -> (Vec<u8>, std::ops::Range<usize>) {
    let mut arena = BEFORE.to_vec();
    arena.extend_from_slice(text);
    let range = BEFORE.len()..arena.len();
    // What follows a message may be anything.
    arena.extend_from_slice(&[b'"'; 32]);
    arena.extend_from_slice(&[0; 64]);
    (arena, range)
}

/// Decodes one message several times (so that its form gets known) at every level; the results must agree.
pub fn decode(paths: &[Path], options: ShapeOptions, text: &[u8]) -> (Vec<u8>, Result<Rows, Reject>) {
    decode_after(paths, options, &[], text)
}

/// As [`decode`], by decoders that have seen other messages before.
pub fn decode_after(paths: &[Path], options: ShapeOptions, before: &[&[u8]], text: &[u8]) -> (Vec<u8>, Result<Rows, Reject>) {
    let shape = Arc::new(Shape::new(paths, options));
    let (arena, range) = arena_of(text);
    let mut first: Option<Result<Rows, Reject>> = None;
    for level in Level::available() {
        let mut decoder = Decoder::with_level(shape.clone(), DecodeLimits::default(), level);
        for before in before.iter().flat_map(|text| [text; 3]) {
            let (arena, range) = arena_of(before);
            let _ = decoder.decode(&arena, range, 1, &mut Rows::new(&shape));
        }
        for time in 0..4 {
            let mut rows = Rows::new(&shape);
            let result = decoder.decode(&arena, range.clone(), 7, &mut rows);
            if result.is_err() {
                assert!(rows.is_empty() && rows.columns.iter().all(|column| column.is_empty()) && rows.top.is_empty());
            }
            let result = result.map(|count| {
                assert_eq!(count as usize, rows.len());
                rows
            });
            match &first {
                None => first = Some(result),
                Some(first) => assert_eq!(format!("{first:?}"), format!("{result:?}"), "{level:?}, {time}"),
            }
        }
    }
    (arena, first.expect("there is always a level"))
}

/// Decodes a message and compares everything with the oracle.
pub fn compare(paths: &[Path], text: &[u8]) {
    compare_after(paths, &[], text);
}

/// As [`compare`], by decoders that have seen other messages before.
pub fn compare_after(paths: &[Path], before: &[&[u8]], text: &[u8]) {
    let (arena, ours) = decode_after(paths, ShapeOptions { top_level: true, explode: None }, before, text);
    let start = BEFORE.len();
    let shown = || String::from_utf8_lossy(text).into_owned();
    let (rows, events) = match (ours, events(text)) {
        (Ok(rows), Ok(events)) => (rows, events),
        (Err(reject), Err(())) => return reject_with_others(text, reject),
        (ours, oracle) => panic!("we say {ours:?}, the oracle {oracle:?} of {}", shown()),
    };
    assert_eq!(rows.len(), events.len(), "{}", shown());
    for (row, event) in events.iter().enumerate() {
        assert_slot(&arena, start, rows.events[row], Some(event));
        assert_eq!((rows.messages[row], rows.elements[row] as usize), (7, row));
        for (path, column) in paths.iter().zip(&rows.columns) {
            assert_slot(&arena, start, column[row], at_path(event, path.steps()));
        }
        let Body::Object(members) = &event.body else { panic!("events are objects") };
        assert_eq!(rows.top_of(row).len(), members.len());
        for ((key, value), (expected_key, expected)) in rows.top_of(row).iter().zip(members) {
            assert_eq!(&read_string(&arena, *key), expected_key);
            assert_slot(&arena, start, *value, Some(expected));
        }
    }
    agree_with_serde(text, events.len());
    if events.len() == 1 {
        agree_with_simd_json(text);
    }
}

/// Directory of data that only this project's machines have. `None` (said loudly) elsewhere, but never in CI.
pub fn shared(part: &str) -> Option<std::path::PathBuf> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(part);
    if dir.exists() {
        return Some(dir);
    }
    assert!(std::env::var("CI").is_err(), "CI needs {}", dir.display());
    eprintln!("SKIPPED: no {}", dir.display());
    None
}
