//! Dead letters: what could not become an event or an incident, with the reason, the
//! coordinates and the bytes as they came.
//!
//! One JSON object each: `{"reason":…,"detail":…,"source":{"name","topic","partition","offset","element"},
//! "timestamp":…,"pipeline":…,"raw":"…"}`; `raw_base64` instead of `raw` where the bytes are not UTF-8.

use super::batch::{Message, Partitions};
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
}

/// Appends a letter as one JSON object.
pub fn push_letter(out: &mut Vec<u8>, letter: &Letter<'_>, pipeline: &str, source: &str, partitions: &Partitions, times: &mut TimeText) {
    out.extend_from_slice(b"{\"reason\":");
    push_string(out, letter.reason);
    if !letter.detail.is_empty() {
        out.extend_from_slice(b",\"detail\":");
        push_string(out, letter.detail);
    }
    let (topic, partition) = partitions.name(letter.message.partition);
    out.extend_from_slice(b",\"source\":{\"name\":");
    push_string(out, source);
    out.extend_from_slice(b",\"topic\":");
    push_string(out, topic);
    out.extend_from_slice(b",\"partition\":");
    push_integer(out, i64::from(partition));
    out.extend_from_slice(b",\"offset\":");
    push_integer(out, letter.message.offset);
    if let Some(element) = letter.element {
        out.extend_from_slice(b",\"element\":");
        push_integer(out, i64::from(element));
    }
    out.push(b'}');
    if letter.message.timestamp_us != NO_TIME {
        out.extend_from_slice(b",\"timestamp\":");
        times.push(out, letter.message.timestamp_us);
    }
    out.extend_from_slice(b",\"pipeline\":");
    push_string(out, pipeline);
    match std::str::from_utf8(letter.raw) {
        Ok(text) => {
            out.extend_from_slice(b",\"raw\":");
            push_string(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b",\"raw_base64\":\"");
            push_base64(out, letter.raw);
            out.push(b'"');
        }
    }
    out.push(b'}');
}
