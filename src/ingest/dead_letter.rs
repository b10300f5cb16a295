//! Dead letters: what could not become an event or an incident, with the reason, the
//! coordinates and the bytes as they came, and all that feeding it again takes.
//!
//! One JSON object each; `docs/formats.md` describes it. What comes from files lacks cluster,
//! topic id, key, headers and timestamp.

use super::batch::{Header, Message, Partitions};
use super::origin;
use super::scene::NO_TIME;
use crate::incident::encode::{push_base64, push_integer, push_string};
use crate::incident::time_text::TimeText;

/// A letter to be written.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The reason's stable name.
    pub reason: &'a str,
    /// More about it, without any value of the event: a byte offset, a field's name.
    pub detail: &'a str,
    /// The message.
    pub message: &'a Message,
    /// Number of the event in the message; `None`: the message as a whole.
    pub element: Option<u16>,
    /// The bytes: of the message, or of the one event.
    pub raw: &'a [u8],
    /// The bytes that key and headers of the message point into.
    pub arena: &'a [u8],
    /// The headers of the batch.
    pub headers: &'a [Header],
}

/// What all letters of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The source's.
    pub source: &'a str,
    /// Kafka's id of the cluster.
    pub cluster: &'a str,
    /// Names of partitions.
    pub partitions: &'a Partitions,
}

/// Appends a letter as one JSON object.
pub fn push_letter(out: &mut Vec<u8>, letter: &Letter<'_>, sender: &Sender<'_>, times: &mut TimeText) {
    let message = letter.message;
    out.extend_from_slice(b"{\"reason\":");
    push_string(out, letter.reason);
    if !letter.detail.is_empty() {
        out.extend_from_slice(b",\"detail\":");
        push_string(out, letter.detail);
    }
    let (topic, partition) = sender.partitions.name(message.partition);
    let identity = sender.partitions.identity(message.partition);
    out.extend_from_slice(b",\"source\":{\"name\":");
    push_string(out, sender.source);
    out.extend_from_slice(b",\"topic\":");
    push_string(out, topic);
    out.extend_from_slice(b",\"partition\":");
    push_integer(out, i64::from(partition));
    out.extend_from_slice(b",\"offset\":");
    push_integer(out, message.offset);
    if let Some(element) = letter.element {
        out.extend_from_slice(b",\"element\":");
        push_integer(out, i64::from(element));
    }
    if identity != topic {
        out.extend_from_slice(b",\"topic_id\":");
        push_string(out, identity);
        out.extend_from_slice(b",\"cluster\":");
        push_string(out, sender.cluster);
    }
    out.push(b'}');
    if message.timestamp_us != NO_TIME {
        out.extend_from_slice(b",\"timestamp\":");
        times.push(out, message.timestamp_us);
    }
    out.extend_from_slice(b",\"pipeline\":");
    push_string(out, sender.pipeline);
    push_attributes(out, letter);
    push_bytes(out, "raw", letter.raw);
    out.push(b'}');
}

/// Key and headers, but for the header that is written anew when the letter is fed again.
fn push_attributes(out: &mut Vec<u8>, letter: &Letter<'_>) {
    let bytes = |(start, len): (u32, u32)| letter.arena.get(start as usize..start as usize + len as usize).unwrap_or_default();
    let key = bytes(letter.message.key);
    if !key.is_empty() {
        push_bytes(out, "key", key);
    }
    let (from, to) = letter.message.headers;
    let headers = letter.headers.get(from as usize..to as usize).unwrap_or_default().iter().filter(|header| bytes(header.name) != origin::HEADER.as_bytes());
    let mut open = false;
    for header in headers {
        out.extend_from_slice(if open { b"," } else { b",\"headers\":[" });
        open = true;
        out.extend_from_slice(b"{\"name\":");
        // Names are UTF-8: the consumer leaves out others.
        push_string(out, std::str::from_utf8(bytes(header.name)).unwrap_or_default());
        push_bytes(out, "value", bytes(header.value));
        out.push(b'}');
    }
    if open {
        out.push(b']');
    }
}

/// `,"<name>":"…"`, or `,"<name>_base64":"…"` where the bytes are not UTF-8.
fn push_bytes(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(b"\":");
            push_string(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_base64\":\"");
            push_base64(out, bytes);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ingest::batch::RawBatch;

    fn letter_of(raw: &[u8], identity: Option<&str>) -> String {
        let mut partitions = Partitions::default();
        let number = partitions.number("t", 3).unwrap();
        if let Some(identity) = identity {
            partitions.identify(number, identity);
        }
        let mut batch = RawBatch::new(0, 0, Vec::new());
        batch.push(raw, Some(b"k\xff"), number, 17, 1_000_000);
        batch.push_header("trace", b"xx");
        batch.push_header(origin::HEADER, b"c u 1 2 -");
        let message = &batch.messages[0];
        let letter = Letter {
            reason: "syntax",
            detail: "at byte 3",
            message,
            element: None,
            raw: &batch.arena[message.range()],
            arena: &batch.arena,
            headers: &batch.headers,
        };
        let sender = Sender { pipeline: "p", source: "s", cluster: "c", partitions: &partitions };
        let mut out = b"before".to_vec();
        push_letter(&mut out, &letter, &sender, &mut TimeText::default());
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn a_record_of_kafka_keeps_all_that_feeding_it_again_takes() {
        let found = letter_of(b"{\"a", Some("id"));
        let expected = r#"{"reason":"syntax","detail":"at byte 3","source":{"name":"s","topic":"t","partition":3,"offset":17,"topic_id":"id","cluster":"c"},"timestamp":"1970-01-01T00:00:01Z","pipeline":"p","key_base64":"a/8=","headers":[{"name":"trace","value":"xx"}],"raw":"{\"a"}"#;
        assert_eq!(found, expected);
        assert!(!letter_of(b"x", None).contains("topic_id"), "files have neither topic ids nor clusters");
    }
}
