//! What the audit reads in records of the output topics.
//!
//! A fact of kind `created` holds bytes of the event as they came, numbers like `1e999` and
//! lone surrogates among them, which JSON libraries refuse. So objects are only split into
//! their members here, and the few members that matter are read. On purpose this shares no
//! code with the pipeline.

use std::borrow::Cow;

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source<'a> {
    /// Topic.
    pub topic: Cow<'a, str>,
    /// Kafka partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Number of the event in its message.
    pub element: u16,
}

/// A fact, as far as the audit looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A new incident.
    Created {
        /// The fact's id, which is the incident's.
        fact_id: u128,
        /// The incident's id.
        id: u128,
        /// Its type.
        type_name: Cow<'a, str>,
        /// The rule that created it closed.
        closed_by: Option<Cow<'a, str>>,
        /// The event that it was made of.
        source: Source<'a>,
    },
    /// Events were attached to an incident.
    Attached {
        /// The fact's id.
        fact_id: u128,
        /// The incident.
        id: u128,
        /// The rule that did it.
        rule: Cow<'a, str>,
        /// How many events.
        count: u64,
    },
    /// An incident was linked to another.
    Linked {
        /// The fact's id.
        fact_id: u128,
        /// The incident that the rule found.
        id: u128,
        /// The rule.
        rule: Cow<'a, str>,
    },
    /// A fact of people or playbooks: not the load's.
    Other,
}

/// Reads a fact; `None` if it is none.
pub fn read_fact(json: &[u8]) -> Option<Fact<'_>> {
    let (mut kind, mut fact_id, mut id, mut rule, mut count, mut incident) = (None, None, None, None, None, None);
    members(json, |key, value| match key {
        b"fact" => value.take(|raw| kind = text(raw)),
        b"fact_id" => value.take(|raw| fact_id = hex(raw)),
        b"id" => value.take(|raw| id = hex(raw)),
        b"rule" => value.take(|raw| rule = text(raw)),
        b"count" => value.take(|raw| count = number(raw)),
        b"incident" if value.is_object() => value.members(|key, value| incident.get_or_insert_with(Incident::default).read(key, value)),
        _ => value.skip(),
    })?;
    let kind = kind?;
    Some(match &*kind {
        "created" => incident?.created(fact_id?)?,
        "attached" => Fact::Attached { fact_id: fact_id?, id: id?, rule: rule?, count: count.and_then(|n| u64::try_from(n).ok())? },
        "linked" => Fact::Linked { fact_id: fact_id?, id: id?, rule: rule? },
        _ => Fact::Other,
    })
}

/// What matters of an incident in a fact.
#[derive(Default)]
struct Incident<'a> {
    id: Option<u128>,
    type_name: Option<Cow<'a, str>>,
    closed_by: Option<Cow<'a, str>>,
    source: Option<Source<'a>>,
}

impl<'a> Incident<'a> {
    fn read(&mut self, key: &[u8], value: Value<'a>) -> Option<usize> {
        match key {
            b"id" => value.take(|raw| self.id = hex(raw)),
            b"type" => value.take(|raw| self.type_name = text(raw)),
            b"source" => value.take(|raw| self.source = read_source(raw)),
            b"closed" if value.is_object() => value.members(|key, value| match key {
                b"rule" => value.take(|raw| self.closed_by = text(raw)),
                _ => value.skip(),
            }),
            _ => value.skip(),
        }
    }

    fn created(self, fact_id: u128) -> Option<Fact<'a>> {
        Some(Fact::Created { fact_id, id: self.id?, type_name: self.type_name?, closed_by: self.closed_by, source: self.source? })
    }
}

fn read_source(json: &[u8]) -> Option<Source<'_>> {
    let (mut topic, mut partition, mut offset, mut element) = (None, None, None, 0);
    members(json, |key, value| match key {
        b"topic" => value.take(|raw| topic = text(raw)),
        b"partition" => value.take(|raw| partition = number(raw)),
        b"offset" => value.take(|raw| offset = number(raw)),
        b"element" => value.take(|raw| element = number(raw).unwrap_or_default()),
        _ => value.skip(),
    })?;
    Some(Source { topic: topic?, partition: i32::try_from(partition?).ok()?, offset: offset?, element: u16::try_from(element).ok()? })
}

/// Reads the reason of a dead letter; `None` if it is none.
pub fn read_reason(json: &[u8]) -> Option<Cow<'_, str>> {
    let mut reason = None;
    members(json, |key, value| match key {
        b"reason" => value.take(|raw| reason = text(raw)),
        _ => value.skip(),
    })?;
    reason
}

/// A member's value: where it begins in its text. Each of its functions tells where it ends, so that
/// nothing is looked at twice.
#[derive(Clone, Copy)]
struct Value<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Value<'a> {
    fn skip(self) -> Option<usize> {
        value_end(self.json, self.at)
    }

    /// Gives the raw value away.
    fn take(self, to: impl FnOnce(&'a [u8])) -> Option<usize> {
        let end = value_end(self.json, self.at)?;
        to(self.json.get(self.at..end)?);
        Some(end)
    }

    fn is_object(self) -> bool {
        self.json.get(self.at) == Some(&b'{')
    }

    /// The members of an object.
    fn members(self, each: impl FnMut(&'a [u8], Value<'a>) -> Option<usize>) -> Option<usize> {
        members_at(self.json, self.at, each)
    }
}

/// Splits an object into its members, raw. `None` if it is not an object from beginning to end.
fn members<'a>(json: &'a [u8], each: impl FnMut(&'a [u8], Value<'a>) -> Option<usize>) -> Option<()> {
    members_at(json, blank(json, 0), each).map(|_| ())
}

/// Splits the object that begins at `at`; `each` tells where the value that it gets ends. Returns where
/// the object ends.
fn members_at<'a>(json: &'a [u8], at: usize, mut each: impl FnMut(&'a [u8], Value<'a>) -> Option<usize>) -> Option<usize> {
    if json.get(at) != Some(&b'{') {
        return None;
    }
    let mut at = blank(json, at + 1);
    if json.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let end = string_end(json, at)?;
        let key = json.get(at + 1..end - 1)?;
        at = blank(json, end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = blank(json, at + 1);
        at = blank(json, each(key, Value { json, at })?);
        match json.get(at)? {
            b',' => at = blank(json, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn blank(json: &[u8], mut at: usize) -> usize {
    while json.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the string that begins at `at`, behind its closing quote.
fn string_end(json: &[u8], at: usize) -> Option<usize> {
    if json.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        match json.get(at) {
            Some(b'"') => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn value_end(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0u32, at);
            loop {
                match json.get(at)? {
                    b'"' => {
                        at = string_end(json, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let rest = json.get(at..)?;
            let length = rest.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace())?;
            (length > 0).then_some(at + length)
        }
    }
}

fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_some() {
        return serde_json::from_slice::<String>(raw).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

fn number(raw: &[u8]) -> Option<i64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

fn hex(raw: &[u8]) -> Option<u128> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.len() != 32 {
        return None;
    }
    // Half by half: sums of 128 bits for each digit take four times as long.
    let half = |digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (high, low) = inner.split_at(16);
    Some(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "e6e278639661d0524f8f3f7176aef06d";

    #[test]
    fn a_created_fact_is_read_whatever_the_event_holds() {
        let json = format!(
            r#"{{"fact":"created","fact_id":"{ID}","incident":{{"id":"{ID}","type":"A \"b\"","x":1e999,"y":"\ud800","raw":{{"source":[{{"}}":"]"}}],"type":"no"}},"source":{{"name":"s","topic":"t.1","partition":3,"offset":77,"element":2}},"status":"closed","version":1,"closed":{{"rule":"known","at":"x"}}}}}}"#
        );
        let id = u128::from_str_radix(ID, 16).unwrap();
        let source = Source { topic: "t.1".into(), partition: 3, offset: 77, element: 2 };
        let expected = Fact::Created { fact_id: id, id, type_name: "A \"b\"".into(), closed_by: Some("known".into()), source };
        assert_eq!(read_fact(json.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn the_other_facts() {
        let json = format!(r#"{{"fact":"attached","fact_id":"{ID}","id":"{ID}","rule":"r","count":12,"first":"a","samples":[{{"topic":"t"}}]}}"#);
        assert!(matches!(read_fact(json.as_bytes()).unwrap(), Fact::Attached { count: 12, .. }));
        let json = format!(r#"{{ "fact" : "linked", "fact_id":"{ID}","id":"{ID}","other":"{ID}","rule":"r" }}"#);
        assert!(matches!(read_fact(json.as_bytes()).unwrap(), Fact::Linked { .. }));
        assert_eq!(read_fact(br#"{"fact":"set","fact_id":"1"}"#).unwrap(), Fact::Other);
        assert_eq!(read_reason(br#"{"reason":"syntax","raw":"{\"reason\":\"x\""}"#).unwrap(), "syntax");
    }

    #[test]
    fn what_is_no_fact_is_none() {
        for json in ["", "{", "[]", "{\"fact\":\"created\"}", "{\"fact\"", "{\"fact\":", "{\"fact\":\"attached\",", "{\"a\":}", "{\"a\":[1", "{\"a\":\"\\"] {
            assert_eq!(read_fact(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn no_prefix_panics() {
        let json = format!(r#"{{"fact":"attached","fact_id":"{ID}","id":"{ID}","rule":"r\"","count":1,"a":[{{"b":"]\\"}}]}}"#);
        assert!(read_fact(json.as_bytes()).is_some());
        for end in 0..json.len() {
            assert_eq!(read_fact(&json.as_bytes()[..end]), None);
        }
    }
}
