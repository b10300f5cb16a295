//! The encoded records of one batch, as they travel to the producer thread.

use std::ops::Range;

use crate::ingest::offsets::Offsets;

/// One record to produce. Ranges are byte ranges in [`OutputBatch::bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRecord {
    /// Index of the topic in `ProducerSpec::topics`.
    pub topic: u16,
    /// The key; an empty range = no key (partitions then take turns).
    pub key: Range<u32>,
    /// The Kafka partition; `None`: that of the key.
    pub partition: Option<i32>,
    /// The value.
    pub value: Range<u32>,
    /// Index range in [`OutputBatch::headers`].
    pub headers: Range<u32>,
    /// Kafka time of the event behind the record, microseconds since the epoch, or
    /// `i64::MIN`. Not sent: it comes back in `Delivered`, to measure latency with.
    pub origin_us: i64,
}

/// One header: ranges in [`OutputBatch::bytes`]. The name must be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutHeader {
    /// Name bytes.
    pub name: Range<u32>,
    /// Value bytes.
    pub value: Range<u32>,
}

/// What became of one `RawBatch`: its records and the offsets that may be
/// committed once they are stored. A batch without records still carries its
/// offsets. Batches are produced in the order of `seq`, without gaps.
#[derive(Debug, Default)]
pub struct OutputBatch {
    /// `RawBatch::seq`.
    pub seq: u64,
    /// `RawBatch::offsets`.
    pub offsets: Offsets,
    /// The records, in the order in which they are produced.
    pub records: Vec<OutRecord>,
    /// Headers of all records.
    pub headers: Vec<OutHeader>,
    /// Keys, values and headers, at most 4 GiB.
    pub bytes: Vec<u8>,
}

impl OutputBatch {
    /// Empties the batch and keeps its buffers, for the next use.
    pub fn clear(&mut self) {
        self.offsets = Offsets::default();
        self.records.clear();
        self.headers.clear();
        self.bytes.clear();
    }

    /// Copies a record in. False, and nothing is copied, when the batch would
    /// outgrow its 32-bit addresses. An encoder that writes in place fills
    /// [`OutputBatch::bytes`] and [`OutputBatch::records`] itself.
    pub fn push(&mut self, topic: u16, key: &[u8], value: &[u8], origin_us: i64) -> bool {
        if self.bytes.len() + key.len() + value.len() > u32::MAX as usize {
            return false;
        }
        let key = self.append(key);
        let value = self.append(value);
        let headers = self.headers.len() as u32;
        self.records.push(OutRecord { topic, key, partition: None, value, headers: headers..headers, origin_us });
        true
    }

    /// Adds a record whose key and value stand in [`OutputBatch::bytes`] already; they may overlap.
    /// False, and nothing is added, when the batch outgrew its 32-bit addresses.
    pub fn push_written(&mut self, topic: u16, key: Range<usize>, value: Range<usize>, origin_us: i64) -> bool {
        if self.bytes.len() > u32::MAX as usize {
            return false;
        }
        let [key, value] = [key, value].map(|range| range.start as u32..range.end as u32);
        let headers = self.headers.len() as u32;
        self.records.push(OutRecord { topic, key, partition: None, value, headers: headers..headers, origin_us });
        true
    }

    /// Gives the record pushed last a partition of its own.
    pub fn set_partition(&mut self, partition: i32) {
        if let Some(record) = self.records.last_mut() {
            record.partition = Some(partition);
        }
    }

    /// Adds a header to the record pushed last.
    pub fn push_header(&mut self, name: &str, value: &[u8]) {
        let header = OutHeader { name: self.append(name.as_bytes()), value: self.append(value) };
        self.headers.push(header);
        let end = self.headers.len() as u32;
        if let Some(record) = self.records.last_mut() {
            record.headers.end = end;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len() as u32
    }

    /// The bytes of a range, if they are there.
    pub(super) fn slice(&self, range: &Range<u32>) -> Option<&[u8]> {
        part(&self.bytes, range)
    }

    /// The headers of a record as name and value, if they are there.
    pub(super) fn headers_of<'a>(&'a self, record: &OutRecord) -> Option<Vec<(&'a str, &'a [u8])>> {
        let headers = self.headers.get(record.headers.start as usize..record.headers.end as usize)?;
        let pair = |header: &OutHeader| Some((std::str::from_utf8(self.slice(&header.name)?).ok()?, self.slice(&header.value)?));
        headers.iter().map(pair).collect()
    }
}

/// The bytes of a range, if they are there.
pub(super) fn part<'a>(bytes: &'a [u8], range: &Range<u32>) -> Option<&'a [u8]> {
    bytes.get(range.start as usize..range.end as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_and_headers_are_found_again() {
        let mut batch = OutputBatch::default();
        assert!(batch.push(0, b"k", b"value", 6));
        batch.push_header("id", b"42");
        assert!(batch.push(1, b"", b"x", i64::MIN));
        assert_eq!(batch.slice(&batch.records[0].value), Some(&b"value"[..]));
        assert_eq!(batch.headers_of(&batch.records[0]).unwrap(), [("id", &b"42"[..])]);
        assert!(batch.headers_of(&batch.records[1]).unwrap().is_empty());
        assert_eq!(batch.slice(&(0..100)), None);
        batch.clear();
        assert!(batch.records.is_empty() && batch.bytes.capacity() > 0);
    }
}
