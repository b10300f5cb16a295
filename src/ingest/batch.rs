//! The unit of work: messages of one source copied into one arena.
//!
//! A batch carries its own provenance: the offsets that it covers and a token
//! that says what became of it. Nothing downstream keeps a second account.

use std::ops::Range;
use std::sync::Arc;

use super::control::Control;
use super::offsets::Offsets;

/// Bytes of zero padding after the last message, so that SIMD loads may run over.
pub const ARENA_PADDING: usize = 64;

/// One message of a batch: where its bytes are and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// First byte of the payload in the arena.
    pub start: u32,
    /// Payload length in bytes.
    pub len: u32,
    /// Dense number of the (topic, partition) pair, see [`Partitions`].
    pub partition: u16,
    /// Kafka offset; in `replay` the 0-based line number.
    pub offset: i64,
    /// Kafka timestamp in microseconds since the epoch; `i64::MIN` when there is none.
    pub timestamp_us: i64,
    /// The key's bytes in the arena; empty range = no key.
    pub key: (u32, u32),
    /// Index range in [`RawBatch::headers`].
    pub headers: (u32, u32),
    /// The payload is just this one event of the original message (a dead letter fed again):
    /// it is not exploded, and keeps its number.
    pub element: Option<u16>,
}

impl Message {
    /// The payload's range in the arena.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// One header of a message: name and value as ranges `(start, len)` in the arena.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Name bytes (UTF-8).
    pub name: (u32, u32),
    /// Value bytes.
    pub value: (u32, u32),
}

/// Messages of one source, in the order in which they were read.
#[derive(Debug)]
pub struct RawBatch {
    /// Cut number, 0-based and without gaps: the order in which batches are decided.
    pub seq: u64,
    /// Index of the source in the pipeline.
    pub source: u16,
    /// Payloads, keys and headers, followed by [`ARENA_PADDING`] zero bytes once sealed.
    pub arena: Vec<u8>,
    /// The messages.
    pub messages: Vec<Message>,
    /// Headers of all messages (usually empty).
    pub headers: Vec<Header>,
    /// The offsets this batch covers, as half-open intervals per partition.
    pub offsets: Offsets,
    /// Since which rewind of the input; what is left of an earlier one is not written.
    pub generation: u32,
    /// Something to be done in the order of batches; then there are no messages.
    pub control: Option<Control>,
}

impl RawBatch {
    /// An empty batch that reuses `arena`.
    pub fn new(seq: u64, source: u16, mut arena: Vec<u8>) -> RawBatch {
        arena.clear();
        RawBatch { seq, source, arena, messages: Vec::new(), headers: Vec::new(), offsets: Offsets::default(), generation: 0, control: None }
    }

    /// Copies one message in. Returns false, and copies nothing, when the arena
    /// would outgrow 32-bit addresses.
    pub fn push(&mut self, payload: &[u8], key: Option<&[u8]>, partition: u16, offset: i64, timestamp_us: i64) -> bool {
        let key = key.unwrap_or_default();
        if self.arena.len() + payload.len() + key.len() + ARENA_PADDING > u32::MAX as usize {
            return false;
        }
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(payload);
        let key_start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        let headers = self.headers.len() as u32;
        self.messages.push(Message {
            start,
            len: payload.len() as u32,
            partition,
            offset,
            timestamp_us,
            key: (key_start, key.len() as u32),
            headers: (headers, headers),
            element: None,
        });
        self.offsets.add(partition, offset);
        true
    }

    /// Copies in what a dead letter holds: a message, or with `element` one event of it. These
    /// come in any order and their offsets are not committed. Returns false as [`RawBatch::push`].
    pub fn push_again(&mut self, payload: &[u8], partition: u16, offset: i64, element: Option<u16>, timestamp_us: i64) -> bool {
        if self.arena.len() + payload.len() + ARENA_PADDING > u32::MAX as usize {
            return false;
        }
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(payload);
        let headers = self.headers.len() as u32;
        self.messages.push(Message {
            start,
            len: payload.len() as u32,
            partition,
            offset,
            timestamp_us,
            key: (start, 0),
            headers: (headers, headers),
            element,
        });
        true
    }

    /// Adds a message whose bytes are in the arena already, without key or headers.
    pub fn push_span(&mut self, start: u32, len: u32, partition: u16, offset: i64, timestamp_us: i64) {
        let headers = self.headers.len() as u32;
        self.messages.push(Message { start, len, partition, offset, timestamp_us, key: (start, 0), headers: (headers, headers), element: None });
        self.offsets.add(partition, offset);
    }

    /// Adds a header to the message pushed last.
    pub fn push_header(&mut self, name: &str, value: &[u8]) {
        let Some(message) = self.messages.last_mut() else { return };
        let at = self.arena.len() as u32;
        self.arena.extend_from_slice(name.as_bytes());
        let value_at = self.arena.len() as u32;
        self.arena.extend_from_slice(value);
        self.headers.push(Header { name: (at, name.len() as u32), value: (value_at, value.len() as u32) });
        message.headers.1 = self.headers.len() as u32;
    }

    /// Pads the arena; the batch is complete.
    pub fn seal(&mut self) {
        self.arena.extend_from_slice(&[0; ARENA_PADDING]);
    }

    /// Payload, key and header bytes so far.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }
}

/// Names of the (topic, partition) pairs behind the dense numbers of [`Message::partition`].
#[derive(Debug, Default, Clone)]
pub struct Partitions {
    names: Vec<(Arc<str>, i32)>,
    /// What stands for the topic in incident ids, where it is not its name.
    identities: Vec<Option<Arc<str>>>,
}

impl Partitions {
    /// The dense number of a pair, given out at first sight.
    /// `None` when more than 65,536 partitions are in use.
    pub fn number(&mut self, topic: &str, partition: i32) -> Option<u16> {
        if let Some(at) = self.names.iter().position(|(t, p)| *p == partition && **t == *topic) {
            return u16::try_from(at).ok();
        }
        let at = u16::try_from(self.names.len()).ok()?;
        self.names.push((topic.into(), partition));
        Some(at)
    }

    /// Adds a partition of its own (number 0 of `topic`), even where the name is known already.
    pub fn append(&mut self, topic: &str) -> Option<u16> {
        let at = u16::try_from(self.names.len()).ok()?;
        self.names.push((topic.into(), 0));
        Some(at)
    }

    /// Gives the topic of a partition an identity of its own for incident ids.
    pub fn identify(&mut self, number: u16, identity: &str) {
        let at = number as usize;
        if self.identities.len() <= at {
            self.identities.resize(at + 1, None);
        }
        self.identities[at] = Some(identity.into());
    }

    /// What stands for the topic in incident ids: Kafka's topic id where there is one (a topic
    /// that is deleted and made again yields other incidents), else its name.
    pub fn identity(&self, number: u16) -> &str {
        self.identities.get(number as usize).and_then(Option::as_deref).unwrap_or_else(|| self.name(number).0)
    }

    /// Topic and Kafka partition of a dense number.
    pub fn name(&self, number: u16) -> (&str, i32) {
        self.names.get(number as usize).map_or(("", -1), |(topic, partition)| (&**topic, *partition))
    }

    /// The same, to keep.
    pub fn shared_name(&self, number: u16) -> (Arc<str>, i32) {
        self.names.get(number as usize).map_or_else(|| ("".into(), -1), |(topic, partition)| (topic.clone(), *partition))
    }

    /// How many pairs are known.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when no pair is known yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
