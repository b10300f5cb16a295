//! Partitions as one stream in the order of time: each has a queue of records that were read ahead, and
//! the next record is the oldest of those at the heads, once every partition that goes on has one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Bytes at which a partition that is ahead of others is not fetched for now, and below which it is again.
const AHEAD_BYTES: usize = 4 << 20;
const BEHIND_BYTES: usize = 1 << 20;

/// A record that waits for its turn.
pub(super) struct Held {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub payload: Vec<u8>,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Vec::len) + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + 64
    }
}

/// One partition.
pub(super) struct Lane {
    pub topic: String,
    pub partition: i32,
    /// Its dense number.
    pub number: u16,
    pub source: u16,
    /// What is read next.
    pub next: i64,
    /// Records from here on are written.
    pub emit_from: i64,
    /// Where the time ends.
    pub until: i64,
    /// The broker has deleted what was before `next`.
    pub is_cut: bool,
    queue: VecDeque<Held>,
    bytes: usize,
    paused: bool,
}

impl Lane {
    /// A partition: from where it is read, from where on it is written, where it ends.
    pub fn new(topic: &str, partition: i32, number: u16, source: u16, (next, emit_from, until): (i64, i64, i64)) -> Lane {
        Lane { topic: topic.to_owned(), partition, number, source, next, emit_from, until, is_cut: false, queue: VecDeque::new(), bytes: 0, paused: false }
    }

    /// Offsets that are left to read.
    pub fn left(&self) -> u64 {
        u64::try_from(self.until - self.next).unwrap_or(0)
    }

    /// Nothing more is read.
    fn is_read(&self) -> bool {
        self.next >= self.until
    }
}

/// What is to be done about a partition's fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Same,
    Pause,
}

/// All partitions.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    places: HashMap<(String, i32), usize>,
    /// The heads of queues, oldest first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// Partitions that go on and have nothing in their queue.
    waited_for: usize,
    /// The latest time at which a partition begins of which older records are gone.
    pub cut_ms: Option<i64>,
}

impl Lanes {
    pub fn new(lanes: Vec<Lane>) -> Lanes {
        let places = lanes.iter().enumerate().map(|(at, lane)| ((lane.topic.clone(), lane.partition), at)).collect();
        let waited_for = lanes.iter().filter(|lane| !lane.is_read()).count();
        Lanes { lanes, places, heads: BinaryHeap::new(), waited_for, cut_ms: None }
    }

    /// Where to begin in each.
    pub fn starts(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.lanes.iter().filter(|lane| !lane.is_read()).map(|lane| (lane.topic.as_str(), lane.partition, lane.next))
    }

    /// A record was read.
    pub fn push(&mut self, topic: &str, partition: i32, record: Held) -> Flow {
        let Some(at) = self.place(topic, partition) else { return Flow::Same };
        let Some(lane) = self.lanes.get_mut(at) else { return Flow::Same };
        if record.offset < lane.next || lane.is_read() {
            return Flow::Same;
        }
        if record.offset >= lane.until {
            return self.ended(topic, partition, record.offset);
        }
        lane.next = record.offset + 1;
        if std::mem::take(&mut lane.is_cut) {
            self.cut_ms = self.cut_ms.max(Some(record.timestamp_ms));
        }
        lane.bytes += record.bytes();
        if lane.queue.is_empty() {
            self.heads.push(Reverse((record.timestamp_ms, at)));
            self.waited_for -= 1;
        }
        lane.queue.push_back(record);
        if lane.is_read() || (lane.bytes >= AHEAD_BYTES && !lane.paused) {
            lane.paused = true;
            return Flow::Pause;
        }
        Flow::Same
    }

    /// There is nothing before this offset any more.
    pub fn ended(&mut self, topic: &str, partition: i32, offset: i64) -> Flow {
        let Some(lane) = self.place(topic, partition).and_then(|at| self.lanes.get_mut(at)) else { return Flow::Same };
        if lane.is_read() || offset < lane.until {
            return Flow::Same;
        }
        lane.next = lane.until;
        if lane.queue.is_empty() {
            self.waited_for -= 1;
        }
        lane.paused = true;
        Flow::Pause
    }

    /// The next record in the order of time, with its partition's number, its source, and whether it is
    /// written; `None` while one has to be waited for, or at the end.
    pub fn pop(&mut self) -> Option<(Held, u16, u16, bool)> {
        if self.waited_for > 0 {
            return None;
        }
        let Reverse((_, at)) = self.heads.pop()?;
        let lane = self.lanes.get_mut(at)?;
        let record = lane.queue.pop_front()?;
        lane.bytes -= record.bytes();
        match lane.queue.front() {
            Some(next) => self.heads.push(Reverse((next.timestamp_ms, at))),
            None if !lane.is_read() => self.waited_for += 1,
            None => {}
        }
        let emits = record.offset >= lane.emit_from;
        Some((record, lane.number, lane.source, emits))
    }

    /// Partitions that are to be fetched again.
    pub fn resumed(&mut self) -> Vec<(String, i32)> {
        let behind = |lane: &&mut Lane| lane.paused && !lane.is_read() && lane.bytes < BEHIND_BYTES;
        self.lanes
            .iter_mut()
            .filter(behind)
            .map(|lane| {
                lane.paused = false;
                (lane.topic.clone(), lane.partition)
            })
            .collect()
    }

    /// Everything was read and handed on.
    pub fn is_done(&self) -> bool {
        self.waited_for == 0 && self.heads.is_empty()
    }

    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        self.places.get(&(topic.to_owned(), partition)).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn held(offset: i64, timestamp_ms: i64, bytes: usize) -> Held {
        Held { offset, timestamp_ms, payload: vec![b'x'; bytes], key: None, headers: Vec::new() }
    }

    fn lanes(ranges: &[(i64, i64, i64)]) -> Lanes {
        Lanes::new(ranges.iter().zip(0u16..).map(|(range, number)| Lane::new("t", i32::from(number), number, 0, *range)).collect())
    }

    #[test]
    fn in_the_order_of_time() {
        let mut lanes = lanes(&[(0, 1, 3), (5, 5, 7), (4, 4, 4)]);
        assert_eq!(lanes.starts().count(), 2);
        lanes.push("t", 0, held(0, 10, 1));
        assert!(lanes.pop().is_none(), "the other may be older");
        lanes.push("t", 1, held(5, 5, 1));
        let next = |lanes: &mut Lanes| lanes.pop().map(|(record, number, _, emits)| (number, record.offset, emits));
        assert_eq!(next(&mut lanes), Some((1, 5, true)));
        assert!(next(&mut lanes).is_none());
        // A gap up to the end: markers.
        assert_eq!(lanes.ended("t", 1, 7), Flow::Pause);
        assert_eq!(next(&mut lanes), Some((0, 0, false)));
        lanes.push("t", 0, held(1, 11, 1));
        assert_eq!(lanes.push("t", 0, held(2, 12, 1)), Flow::Pause, "all of it was read");
        lanes.push("t", 0, held(3, 13, 1));
        assert_eq!((next(&mut lanes), next(&mut lanes), next(&mut lanes)), (Some((0, 1, true)), Some((0, 2, true)), None));
        assert!(lanes.is_done());
    }

    #[test]
    fn who_is_ahead_waits() {
        let mut lanes = lanes(&[(0, 0, 100), (0, 0, 100)]);
        assert_eq!(lanes.push("t", 0, held(0, 1, AHEAD_BYTES)), Flow::Pause);
        assert!(lanes.resumed().is_empty());
        lanes.push("t", 1, held(0, 2, 1));
        assert!(lanes.pop().is_some());
        assert_eq!(lanes.resumed(), [("t".to_owned(), 0)]);
        assert!(lanes.resumed().is_empty());
    }
}
