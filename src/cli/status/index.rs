//! What the index topic says: up to which offset and which time each input partition is decided,
//! and by which version of the pipeline.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::ingest::decide::block;
use crate::kafka::{Admin, Range, Settings, Topic, read_ranges};

/// Offsets from the end at which a search for the newest blocks begins.
const TAIL: i64 = 64;
/// How much further back each next search looks.
const TAIL_GROWS: i64 = 16;
/// Where searching ends (offsets): further back only partitions without events have blocks.
const TAIL_MAX: i64 = TAIL * TAIL_GROWS * TAIL_GROWS;

/// The newest block of an input partition.
pub struct Block {
    /// The offset up to which it is decided.
    pub to: i64,
    /// The time of events that rules have come to, in milliseconds since 1970.
    pub clock_ms: Option<i64>,
    /// The version of the pipeline that wrote it.
    pub version: String,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: Option<i64>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// The newest block of each partition of these input topics, as far as there is one.
pub fn newest(admin: &Admin, reader: &Settings, index: &Topic, inputs: &[Topic]) -> Result<BTreeMap<(String, i32), Block>, Error> {
    let marks = admin.watermarks(&index.name, index.partitions)?;
    let names: BTreeMap<String, &str> = inputs.iter().map(|topic| (topic.identity(), topic.name.as_str())).collect();
    let wanted = |partition: i32| inputs.iter().filter(|topic| topic.partitions > partition).count();
    let mut found: BTreeMap<(String, i32), Block> = BTreeMap::new();
    let mut tail = TAIL;
    // Where each partition was looked at already.
    let mut seen: Vec<i64> = marks.iter().map(|(_, end)| *end).collect();
    while tail <= TAIL_MAX {
        let mut ranges = Vec::new();
        for ((partition, (begin, end)), seen) in (0..).zip(&marks).zip(&mut seen) {
            let from = (*end - tail).max(*begin);
            let known = found.keys().filter(|(_, number)| *number == partition).count();
            if from < *seen && known < wanted(partition) {
                ranges.push(Range { partition, from, to: *seen });
                *seen = from;
            }
        }
        if ranges.is_empty() {
            break;
        }
        let mut newer: BTreeMap<(String, i32), Block> = BTreeMap::new();
        read_ranges(reader, &index.name, &ranges, |record| {
            let key = std::str::from_utf8(record.key().unwrap_or_default()).ok().and_then(|key| key.rsplit_once('/'));
            if let Some((identity, partition)) = key
                && let (Some(name), Ok(partition)) = (names.get(identity), partition.parse::<i32>())
            {
                newer.insert(((*name).to_owned(), partition), read(record.payload(), record.timestamp_ms));
            }
            Ok::<bool, Error>(true)
        })?;
        for (place, block) in newer {
            // What was found before is nearer to the end.
            found.entry(place).or_insert(block);
        }
        tail *= TAIL_GROWS;
    }
    Ok(found)
}

/// The last of the blocks in a record.
fn read(mut bytes: &[u8], written_ms: Option<i64>) -> Block {
    let mut last = Block { to: 0, clock_ms: None, version: String::new(), written_ms, trouble: None };
    while !bytes.is_empty() {
        match block::Block::read(bytes) {
            Ok((block, rest)) => {
                last.to = block.header.to;
                last.clock_ms = block.clocks.map(|clocks| clocks.clock_ms).filter(|ms| *ms > i64::MIN).or(last.clock_ms);
                last.version = block.header.version.to_owned();
                bytes = rest;
            }
            Err(error) => {
                last.trouble = Some(error.to_string());
                break;
            }
        }
    }
    last
}
