//! Where a message that is fed again first came from: a header that says so, written by
//! `dead-letters replay`, honoured here. With it an event keeps the coordinates of its first
//! record, and so its incident the id that it would have had; feeding it twice makes no second one.
//!
//! `catchment-origin: <cluster> <topic id> <partition> <offset> <element or ->`

use super::batch::{Header, Message, Partitions};

/// The name of the header.
pub const HEADER: &str = "catchment-origin";

/// First coordinates of a message, or of one event of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First<'a> {
    /// Kafka's id of the cluster.
    pub cluster: &'a str,
    /// Kafka's id of the topic.
    pub topic_id: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Number of the event in its message; `None`: the message as a whole.
    pub element: Option<u16>,
}

impl First<'_> {
    /// The header's value.
    pub fn to_value(self) -> String {
        let First { cluster, topic_id, partition, offset, element } = self;
        let element = element.map_or_else(|| "-".to_owned(), |element| element.to_string());
        format!("{cluster} {topic_id} {partition} {offset} {element}")
    }

    /// Reads a header's value; `None` for anything that is none.
    pub fn parse(value: &[u8]) -> Option<First<'_>> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let first = First {
            cluster: words.next()?,
            topic_id: words.next()?,
            partition: words.next()?.parse().ok()?,
            offset: words.next()?.parse().ok()?,
            element: match words.next()? {
                "-" => None,
                element => Some(element.parse().ok()?),
            },
        };
        words.next().is_none().then_some(first)
    }
}

/// Gives messages that are fed again their first coordinates. The header must name this very
/// partition of this very topic, and an offset before the message's own: otherwise it is an event
/// of its own. So nobody who writes headers can take the id of an event that is yet to come.
pub fn restore(messages: &mut [Message], headers: &[Header], arena: &[u8], cluster: &str, partitions: &Partitions) {
    let bytes = |(start, len): (u32, u32)| arena.get(start as usize..start as usize + len as usize).unwrap_or_default();
    for message in messages {
        let Some(own) = headers.get(message.headers.0 as usize..message.headers.1 as usize) else { continue };
        let Some(header) = own.iter().rev().find(|header| bytes(header.name) == HEADER.as_bytes()) else { continue };
        let Some(first) = First::parse(bytes(header.value)) else { continue };
        let (_, partition) = partitions.name(message.partition);
        let same = first.cluster == cluster && first.topic_id == partitions.identity(message.partition) && first.partition == partition;
        if same && (0..message.offset).contains(&first.offset) {
            message.offset = first.offset;
            message.element = first.element;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ingest::batch::RawBatch;

    fn first() -> First<'static> {
        First { cluster: "c", topic_id: "t-id", partition: 3, offset: 17, element: Some(2) }
    }

    #[test]
    fn the_header_is_read_as_it_is_written() {
        for element in [None, Some(0), Some(u16::MAX)] {
            let first = First { element, ..first() };
            assert_eq!(First::parse(first.to_value().as_bytes()), Some(first));
        }
        for bad in ["", "c t 3 17", "c t 3 17 2 x", "c t x 17 2", "c t 3 17 65536", "c  t 3 17 2"] {
            assert_eq!(First::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(First::parse(b"\xff"), None);
    }

    fn restored(value: &str, own_offset: i64) -> (i64, Option<u16>) {
        let mut partitions = Partitions::default();
        let number = partitions.number("t", 3).unwrap();
        partitions.identify(number, "t-id");
        let mut batch = RawBatch::new(0, 0, Vec::new());
        batch.push(b"{}", None, number, own_offset, 0);
        batch.push_header("other", b"x");
        batch.push_header(HEADER, value.as_bytes());
        restore(&mut batch.messages, &batch.headers, &batch.arena, "c", &partitions);
        // What is committed is the record that was read.
        assert_eq!(batch.offsets.intervals()[0].from, own_offset);
        (batch.messages[0].offset, batch.messages[0].element)
    }

    #[test]
    fn only_an_earlier_offset_of_the_same_partition_is_taken() {
        assert_eq!(restored(&first().to_value(), 100), (17, Some(2)));
        assert_eq!(restored(&First { offset: 100, ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored(&First { offset: 101, ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored(&First { offset: -1, ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored(&First { partition: 4, ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored(&First { cluster: "d", ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored(&First { topic_id: "u", ..first() }.to_value(), 100), (100, None));
        assert_eq!(restored("nonsense", 100), (100, None));
    }
}
