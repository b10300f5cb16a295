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
        b"fact" => kind = text(value),
        b"fact_id" => fact_id = hex(value),
        b"id" => id = hex(value),
        b"rule" => rule = text(value),
        b"count" => count = number(value),
        b"incident" => incident = Some(value),
        _ => {}
    })?;
    let kind = kind?;
    Some(match &*kind {
        "created" => read_created(fact_id?, incident?)?,
        "attached" => Fact::Attached { fact_id: fact_id?, id: id?, rule: rule?, count: count.and_then(|n| u64::try_from(n).ok())? },
        "linked" => Fact::Linked { fact_id: fact_id?, id: id?, rule: rule? },
        _ => Fact::Other,
    })
}

fn read_created(fact_id: u128, incident: &[u8]) -> Option<Fact<'_>> {
    let (mut id, mut type_name, mut closed_by, mut source) = (None, None, None, None);
    members(incident, |key, value| match key {
        b"id" => id = hex(value),
        b"type" => type_name = text(value),
        b"source" => source = read_source(value),
        b"closed" => {
            members(value, |key, value| {
                if key == b"rule" {
                    closed_by = text(value);
                }
            });
        }
        _ => {}
    })?;
    Some(Fact::Created { fact_id, id: id?, type_name: type_name?, closed_by, source: source? })
}

fn read_source(json: &[u8]) -> Option<Source<'_>> {
    let (mut topic, mut partition, mut offset, mut element) = (None, None, None, 0);
    members(json, |key, value| match key {
        b"topic" => topic = text(value),
        b"partition" => partition = number(value),
        b"offset" => offset = number(value),
        b"element" => element = number(value).unwrap_or_default(),
        _ => {}
    })?;
    Some(Source { topic: topic?, partition: i32::try_from(partition?).ok()?, offset: offset?, element: u16::try_from(element).ok()? })
}

/// Reads the reason of a dead letter; `None` if it is none.
pub fn read_reason(json: &[u8]) -> Option<Cow<'_, str>> {
    let mut reason = None;
    members(json, |key, value| {
        if key == b"reason" {
            reason = text(value);
        }
    })?;
    reason
}

/// Splits an object into its members, raw, without looking into values. `None` if it is
/// not an object from beginning to end.
pub fn members<'a>(json: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut at = blank(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = blank(json, at + 1);
    if json.get(at) == Some(&b'}') {
        return Some(());
    }
    loop {
        let end = string_end(json, at)?;
        let key = json.get(at + 1..end - 1)?;
        at = blank(json, end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = blank(json, at + 1);
        let end = value_end(json, at)?;
        each(key, json.get(at..end)?);
        at = blank(json, end);
        match json.get(at)? {
            b',' => at = blank(json, at + 1),
            b'}' => return Some(()),
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
    u128::from_str_radix(std::str::from_utf8(inner).ok()?, 16).ok()
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
