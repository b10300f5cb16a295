//! What was sent, by partition and offset: when it was meant to be sent, which of its
//! events must become incidents, and which have.
//!
//! Bounded memory: an event on its way takes [`BYTES_OPEN`] bytes. Offsets are kept in
//! chunks; a chunk whose events are all stored and all answered shrinks to a bit per message
//! (16 for messages of several events), enough to tell a duplicate from a stranger.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages of a chunk (count): small, so that one lost event keeps little memory.
const CHUNK: usize = 4096;
/// Bytes per message that is not answered yet.
pub const BYTES_OPEN: usize = 12;
/// Events of one message that are told apart (count): the bits of a mask; profiles put at most 12 together.
pub const ELEMENTS_MAX: usize = 16;
/// Unit of send times (microseconds): in 32 bits it lasts for almost twelve hours.
const TICK_US: u64 = 10;
/// Longest run (microseconds since its beginning) that send times can express.
pub const RUN_US_MAX: u64 = (u32::MAX as u64 - 1) * TICK_US;
/// An offset that is not ours, or not known yet.
const NOT_OURS: u32 = u32::MAX;
/// No event of the message has a group.
pub const NO_GROUP: u32 = u32::MAX;

/// A message that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// When it was meant to be sent, microseconds of the run's clock.
    pub intended_us: u64,
    /// Bit e: event e of the message must become an incident.
    pub expect: u16,
    /// The incident that the message's only event belongs to, or [`NO_GROUP`].
    pub group: u32,
}

/// What the book says about an incident that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first for its event, as it must be.
    First {
        /// When the event was meant to be sent, microseconds of the run's clock.
        intended_us: u64,
        /// The event's group, or [`NO_GROUP`].
        group: u32,
    },
    /// Its event has become an incident before.
    Again,
    /// Its event must not become an incident.
    Unexpected,
    /// The broker has not told us of such a record yet; ask again.
    Early,
    /// The event lies before everything we sent, or in a topic that we do not write.
    Foreign,
}

/// Where an event lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Topic.
    pub topic: String,
    /// Kafka partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Number of the event in its message.
    pub element: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)?;
        if self.element > 0 { write!(f, "#{}", self.element) } else { Ok(()) }
    }
}

#[derive(Debug)]
enum Chunk {
    Open(Box<Open>),
    /// All answered: the expected events of single-event messages.
    Bits(Box<[u64]>),
    /// The same where a message holds several events.
    Masks(Box<[u16]>),
}

#[derive(Debug)]
struct Open {
    intended: Vec<u32>,
    group: Vec<u32>,
    expect: Vec<u16>,
    seen: Vec<u16>,
    stored: usize,
    /// Expected incidents of stored messages that have not come.
    waiting: u32,
}

impl Open {
    fn new() -> Box<Open> {
        Box::new(Open { intended: vec![NOT_OURS; CHUNK], group: vec![NO_GROUP; CHUNK], expect: vec![0; CHUNK], seen: vec![0; CHUNK], stored: 0, waiting: 0 })
    }

    fn close(&self) -> Chunk {
        if self.expect.iter().any(|mask| *mask > 1) {
            return Chunk::Masks(self.expect.as_slice().into());
        }
        Chunk::Bits(self.expect.chunks(64).map(|masks| masks.iter().enumerate().fold(0, |bits, (at, mask)| bits | u64::from(*mask & 1) << at)).collect())
    }
}

#[derive(Debug)]
struct Shelf {
    topic: String,
    partition: i32,
    /// Where our records begin.
    base: i64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: Vec<Option<Chunk>>,
    stored: u64,
    end: i64,
}

/// The book of a run. Shared by the thread that sends and the one that reads.
#[derive(Debug)]
pub struct Book {
    shelves: Vec<Shelf>,
    exact: bool,
}

fn lock(shelf: &Shelf) -> MutexGuard<'_, Inner> {
    shelf.inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// A book for these partitions, `(topic, partition, first offset of ours)`. `exact` where
    /// it is known which event of a group becomes the incident: partitions keep keys in order.
    pub fn new(partitions: Vec<(String, i32, i64)>, exact: bool) -> Book {
        let shelf = |(topic, partition, base)| Shelf { topic, partition, base, inner: Mutex::new(Inner { end: base, ..Inner::default() }) };
        Book { shelves: partitions.into_iter().map(shelf).collect(), exact }
    }

    /// Number of a partition.
    pub fn shelf(&self, topic: &str, partition: i32) -> Option<usize> {
        self.shelves.iter().position(|shelf| shelf.partition == partition && shelf.topic == topic)
    }

    /// A message of ours lies at this offset.
    pub fn stored(&self, shelf: usize, offset: i64, sent: Sent) {
        let Some(shelf) = self.shelves.get(shelf) else { return };
        let mut inner = lock(shelf);
        let Some((number, at)) = place(offset, shelf.base) else { return };
        if inner.chunks.len() <= number {
            inner.chunks.resize_with(number + 1, || None);
        }
        inner.stored += 1;
        inner.end = inner.end.max(offset + 1);
        let Some(slot) = inner.chunks.get_mut(number) else { return };
        let Chunk::Open(open) = slot.get_or_insert_with(|| Chunk::Open(Open::new())) else { return };
        if let (Some(intended), Some(expect), Some(group)) = (open.intended.get_mut(at), open.expect.get_mut(at), open.group.get_mut(at)) {
            *intended = (sent.intended_us / TICK_US).min(u64::from(NOT_OURS - 1)) as u32;
            *expect = sent.expect;
            *group = sent.group;
            open.stored += 1;
            open.waiting += sent.expect.count_ones();
        }
        self.shrink(slot);
    }

    /// An incident came that was made of this event.
    pub fn created(&self, topic: &str, partition: i32, offset: i64, element: u16) -> Seen {
        let Some(shelf) = self.shelf(topic, partition).and_then(|number| self.shelves.get(number)) else { return Seen::Foreign };
        let Some((number, at)) = place(offset, shelf.base) else { return Seen::Foreign };
        let mut inner = lock(shelf);
        let Some(slot) = inner.chunks.get_mut(number) else { return Seen::Early };
        if usize::from(element) >= ELEMENTS_MAX {
            return Seen::Unexpected;
        }
        let bit = 1u16 << element;
        let seen = match slot {
            None => Seen::Early,
            // What is answered has been answered once.
            Some(Chunk::Bits(bits)) => answered(element == 0 && bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)),
            Some(Chunk::Masks(masks)) => answered(masks.get(at).is_some_and(|mask| mask & bit != 0)),
            Some(Chunk::Open(open)) => match (open.intended.get(at), open.expect.get(at), open.seen.get_mut(at), open.group.get(at)) {
                (Some(intended), Some(expect), Some(seen), Some(group)) if *intended != NOT_OURS => {
                    if expect & bit == 0 {
                        Seen::Unexpected
                    } else if *seen & bit != 0 {
                        Seen::Again
                    } else {
                        *seen |= bit;
                        open.waiting = open.waiting.saturating_sub(1);
                        Seen::First { intended_us: u64::from(*intended) * TICK_US, group: *group }
                    }
                }
                _ => Seen::Early,
            },
        };
        self.shrink(slot);
        seen
    }

    fn shrink(&self, slot: &mut Option<Chunk>) {
        if let Some(Chunk::Open(open)) = slot
            && self.exact
            && open.stored == CHUNK
            && open.waiting == 0
        {
            *slot = Some(open.close());
        }
    }

    /// Incidents that must have come and have not: how many, and the first `examples` of them.
    /// Only with `exact`; otherwise groups tell.
    pub fn missing(&self, examples: usize) -> (u64, Vec<Place>) {
        let (mut count, mut places) = (0, Vec::new());
        if !self.exact {
            return (0, places);
        }
        for shelf in &self.shelves {
            for (number, chunk) in lock(shelf).chunks.iter().enumerate() {
                let Some(Chunk::Open(open)) = chunk else { continue };
                count += u64::from(open.waiting);
                if open.waiting == 0 || places.len() >= examples {
                    continue;
                }
                for (at, (expect, seen)) in open.expect.iter().zip(&open.seen).enumerate() {
                    for element in (0..ELEMENTS_MAX as u16).filter(|element| (expect & !seen) >> element & 1 == 1) {
                        if places.len() < examples {
                            let offset = shelf.base + (number * CHUNK + at) as i64;
                            places.push(Place { topic: shelf.topic.clone(), partition: shelf.partition, offset, element });
                        }
                    }
                }
            }
        }
        (count, places)
    }

    /// Messages stored.
    pub fn total(&self) -> u64 {
        self.shelves.iter().map(|shelf| lock(shelf).stored).sum()
    }

    /// The partitions, each with where our records begin and end.
    pub fn ranges(&self) -> Vec<(String, i32, i64, i64)> {
        self.shelves.iter().map(|shelf| (shelf.topic.clone(), shelf.partition, shelf.base, lock(shelf).end)).collect()
    }

    /// True where it is known which event of a group becomes the incident.
    pub fn exact(&self) -> bool {
        self.exact
    }

    /// Bytes that the book takes.
    pub fn bytes(&self) -> usize {
        let chunk = |chunk: &Option<Chunk>| match chunk {
            None => 0,
            Some(Chunk::Open(_)) => CHUNK * BYTES_OPEN,
            Some(Chunk::Bits(bits)) => bits.len() * 8,
            Some(Chunk::Masks(masks)) => masks.len() * 2,
        };
        self.shelves.iter().map(|shelf| lock(shelf).chunks.iter().map(chunk).sum::<usize>()).sum()
    }
}

fn answered(expected: bool) -> Seen {
    if expected { Seen::Again } else { Seen::Unexpected }
}

fn place(offset: i64, base: i64) -> Option<(usize, usize)> {
    let from = usize::try_from(offset.checked_sub(base)?).ok()?;
    Some((from / CHUNK, from % CHUNK))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn book(exact: bool) -> Book {
        Book::new(vec![("t".into(), 0, 100), ("t".into(), 1, 0)], exact)
    }

    fn sent(intended_us: u64, expect: u16) -> Sent {
        Sent { intended_us, expect, group: NO_GROUP }
    }

    #[test]
    fn each_expected_event_is_seen_once() {
        let book = book(true);
        let shelf = book.shelf("t", 0).unwrap();
        book.stored(shelf, 100, sent(1_000, 1));
        book.stored(shelf, 101, sent(2_000, 0));
        book.stored(shelf, 102, sent(3_000, 0b101));
        assert_eq!(book.created("t", 0, 100, 0), Seen::First { intended_us: 1_000, group: NO_GROUP });
        assert_eq!(book.created("t", 0, 100, 0), Seen::Again);
        assert_eq!(book.created("t", 0, 101, 0), Seen::Unexpected);
        assert_eq!(book.created("t", 0, 102, 2), Seen::First { intended_us: 3_000, group: NO_GROUP });
        assert_eq!(book.created("t", 0, 102, 1), Seen::Unexpected);
        assert_eq!(book.created("t", 0, 102, 40), Seen::Unexpected);
        assert_eq!(book.created("t", 0, 103, 0), Seen::Early);
        assert_eq!(book.created("t", 0, 99, 0), Seen::Foreign);
        assert_eq!(book.created("u", 0, 100, 0), Seen::Foreign);
        assert_eq!(book.missing(10), (1, vec![Place { topic: "t".into(), partition: 0, offset: 102, element: 0 }]));
        assert_eq!(book.total(), 3);
        assert_eq!(book.ranges(), [("t".into(), 0, 100, 103), ("t".into(), 1, 0, 0)]);
    }

    #[test]
    fn what_is_answered_shrinks_and_is_still_known() {
        for several in [false, true] {
            let book = book(true);
            let shelf = book.shelf("t", 1).unwrap();
            let expect = if several { 0b11 } else { 1 };
            for offset in 0..3 * CHUNK as i64 {
                book.stored(shelf, offset, sent(offset as u64 * 10, if offset % 2 == 0 { expect } else { 0 }));
            }
            let before = book.bytes();
            for offset in (0..3 * CHUNK as i64).step_by(2) {
                for element in 0..=u16::from(several) {
                    // One of the first chunk is lost.
                    if offset != 8 {
                        assert_eq!(book.created("t", 1, offset, element), Seen::First { intended_us: offset as u64 * 10, group: NO_GROUP });
                    }
                }
            }
            assert_eq!(before, 3 * CHUNK * BYTES_OPEN);
            let closed = if several { CHUNK * 2 } else { CHUNK / 8 };
            assert_eq!(book.bytes(), CHUNK * BYTES_OPEN + 2 * closed);
            assert_eq!(book.created("t", 1, 2 * CHUNK as i64, 0), Seen::Again);
            assert_eq!(book.created("t", 1, 2 * CHUNK as i64 + 1, 0), Seen::Unexpected);
            assert_eq!(book.missing(10).1[0].offset, 8);
        }
    }

    #[test]
    fn without_order_nothing_shrinks_and_nothing_is_called_missing() {
        let book = book(false);
        for offset in 0..CHUNK as i64 {
            book.stored(1, offset, Sent { intended_us: 0, expect: 1, group: 7 });
        }
        assert_eq!(book.created("t", 1, 5, 0), Seen::First { intended_us: 0, group: 7 });
        assert_eq!(book.missing(10), (0, vec![]));
        assert_eq!(book.bytes(), CHUNK * BYTES_OPEN);
    }
}
