//! Dead letters as they stand in files and on the topic: one JSON object each, as
//! `docs/formats.md` describes them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::incident::encode::base64;
use crate::ingest::decode::MESSAGE_BYTES_MAX;
use crate::ingest::files::open;
use crate::ingest::origin::First;
use crate::ingest::scene::NO_TIME;

/// Longest line of a file with dead letters, in bytes: the longest message with every byte
/// escaped to six, and what stands around it.
pub const LINE_BYTES_MAX: u64 = 6 * MESSAGE_BYTES_MAX as u64 + (1 << 20);

/// A dead letter.
#[derive(Debug, Deserialize)]
pub struct Letter {
    /// Why: the stable name.
    pub reason: String,
    /// More about it.
    #[serde(default)]
    pub detail: String,
    /// Where the message came from.
    pub source: Coordinates,
    /// The record's time, RFC 3339; files have none.
    timestamp: Option<String>,
    /// The pipeline that gave up on it.
    #[serde(default)]
    pub pipeline: String,
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
    /// The message was longer than the topic of dead letters takes.
    #[serde(default)]
    raw_truncated: bool,
    raw: Option<String>,
    raw_base64: Option<String>,
}

/// A header of the message.
#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Coordinates {
    /// The pipeline's source.
    pub name: String,
    /// Topic; in `replay` the file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset; in `replay` the 0-based line.
    pub offset: i64,
    /// Number of the event in the message; none: the message as a whole.
    pub element: Option<u16>,
    /// Kafka's id of the topic; files have none.
    pub topic_id: Option<String>,
    /// Kafka's id of the cluster; files have none.
    pub cluster: Option<String>,
}

impl Letter {
    /// Reads a line; the error says what is wrong with it, without any of its content.
    pub fn parse(line: &[u8]) -> Result<Letter, &'static str> {
        let letter: Letter = serde_json::from_slice(line).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "it lacks what a dead letter has (reason, source, raw)",
            _ => "it is not JSON",
        })?;
        let good = |text: &Option<String>| text.as_ref().is_none_or(|text| base64(text.as_bytes()).is_some());
        let base64_good = good(&letter.raw_base64);
        if letter.raw.is_none() && letter.raw_base64.is_none() {
            return Err("it lacks the message (raw or raw_base64)");
        }
        if !base64_good {
            return Err("its raw_base64 is not base64");
        }
        if !good(&letter.key_base64) || !letter.headers.iter().all(|header| good(&header.value_base64)) {
            return Err("its key or headers are not base64");
        }
        Ok(letter)
    }

    /// The letter, if it holds its message whole.
    pub fn whole(self) -> Result<Letter, &'static str> {
        if self.raw_truncated {
            return Err("its message was cut to what the topic takes: it stands whole at the coordinates of its source");
        }
        Ok(self)
    }

    /// The bytes: of the message, or of the one event.
    pub fn bytes(&self) -> Vec<u8> {
        either(self.raw.as_ref(), self.raw_base64.as_ref())
    }

    /// The message's key; empty if it had none.
    pub fn key(&self) -> Vec<u8> {
        either(self.key.as_ref(), self.key_base64.as_ref())
    }

    /// The message's headers.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.iter().map(|header| (header.name.clone(), either(header.value.as_ref(), header.value_base64.as_ref()))).collect()
    }

    /// The header that names the message's first coordinates; `None` for what came from files.
    pub fn origin(&self) -> Option<String> {
        let Coordinates { partition, offset, element, topic_id, cluster, .. } = &self.source;
        let first = First { cluster: cluster.as_deref()?, topic_id: topic_id.as_deref()?, partition: *partition, offset: *offset, element: *element };
        Some(first.to_value())
    }

    /// The record's time in microseconds, or [`NO_TIME`].
    pub fn timestamp_us(&self) -> i64 {
        let parsed = self.timestamp.as_deref().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        parsed.map_or(NO_TIME, |time| time.timestamp_micros())
    }

    /// The place for people. Records of Kafka have a time; without one it was a file.
    pub fn place(&self) -> String {
        let Coordinates { topic, partition, offset, element, .. } = &self.source;
        let message = match &self.timestamp {
            Some(_) => format!("{topic}/{partition}@{offset}"),
            None => format!("{topic}:{}", offset.saturating_add(1)),
        };
        match element {
            Some(element) if *element > 0 => format!("{message}#{element}"),
            _ => message,
        }
    }
}

/// Text, or what its base64 stands for.
fn either(text: Option<&String>, encoded: Option<&String>) -> Vec<u8> {
    match (text, encoded) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(encoded)) => base64(encoded.as_bytes()).unwrap_or_default(),
        (None, None) => Vec::new(),
    }
}

/// Takes a line and its number.
pub type EachLine<'a> = dyn FnMut(u64, &[u8]) -> Result<(), Error> + 'a;

/// Calls `each` with every line that is not empty and its 1-based number, until it fails.
pub fn lines(path: &Path, each: &mut EachLine<'_>) -> Result<(), Error> {
    let fail = |error: std::io::Error| Error::user(format!("cannot read {}: {error}", path.display()));
    let mut file = BufReader::with_capacity(1 << 18, open(path).map_err(fail)?);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(fail)? == 0 {
            return Ok(());
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            each(number, text)?;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_as_they_are_written() {
        let letter = Letter::parse(br#"{"reason":"syntax","detail":"at byte 3","source":{"name":"s","topic":"a/b.ndjson","partition":0,"offset":6},"pipeline":"p","raw":"{\"a\u0000"}"#).unwrap();
        assert_eq!((letter.bytes(), letter.place(), letter.timestamp_us()), (b"{\"a\0".to_vec(), "a/b.ndjson:7".into(), NO_TIME));
        let letter = Letter::parse(br#"{"reason":"not_utf8","source":{"name":"s","topic":"t","partition":2,"offset":6,"element":3},"timestamp":"1970-01-01T00:00:01Z","raw_base64":"/w=="}"#).unwrap();
        assert_eq!((letter.bytes(), letter.place(), letter.timestamp_us()), (vec![0xff], "t/2@6#3".into(), 1_000_000));
        let letter = Letter::parse(br#"{"reason":"x","source":{"name":"s","topic":"t","partition":2,"offset":6,"topic_id":"u","cluster":"c"},"key_base64":"/w==","headers":[{"name":"a","value":"b"}],"raw":"{}"}"#).unwrap();
        assert_eq!((letter.key(), letter.headers()), (vec![0xff], vec![("a".to_owned(), b"b".to_vec())]));
        assert_eq!(letter.origin().as_deref(), Some("c u 2 6 -"));
        for bad in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"reason":"x","source":{"name":"s","topic":"t","partition":2,"offset":6}}"#,
            r#"{"reason":"x","source":{"name":"s","topic":"t","partition":2,"offset":6},"raw_base64":"!"}"#,
        ] {
            assert!(Letter::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
