//! Copies messages into the open batch of their source and decides when a
//! batch is complete: by bytes, by rows, or because it has waited long enough.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::ingest::batch::{ARENA_PADDING, RawBatch};
use crate::ingest::control::Control;

/// An arena that grew beyond this multiple of the byte limit (one huge message)
/// is not kept: recycled, it would hold its memory for ever.
const ARENA_KEEP_FACTOR: usize = 4;

/// When a batch is complete.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Bytes of payloads, keys and headers. Only a single message may exceed it.
    pub bytes: usize,
    /// Messages.
    pub rows: usize,
    /// Age of the batch's first message.
    pub linger: Duration,
}

/// One message, as the cutter needs it.
pub(super) struct Incoming<'a> {
    pub payload: &'a [u8],
    pub key: Option<&'a [u8]>,
    pub partition: u16,
    pub offset: i64,
    pub timestamp_us: i64,
    /// Bytes of headers that the caller will add.
    pub header_bytes: usize,
}

struct Open {
    batch: RawBatch,
    since: Instant,
}

/// The open batches, one per source, and the complete ones not yet taken.
pub(super) struct Cutter {
    cut: Cut,
    open: Vec<Option<Open>>,
    sealed: VecDeque<RawBatch>,
    arenas: Receiver<Vec<u8>>,
}

impl Cutter {
    /// A cutter for `sources` sources, which takes used arenas from `arenas`.
    pub fn new(cut: Cut, sources: usize, arenas: Receiver<Vec<u8>>) -> Cutter {
        let open = (0..sources).map(|_| None).collect();
        Cutter { cut, open, sealed: VecDeque::new(), arenas }
    }

    /// Copies a message in; `add_headers` may add its headers to the batch.
    /// False if the source is unknown.
    #[inline]
    pub fn add(&mut self, source: u16, message: &Incoming<'_>, add_headers: impl FnOnce(&mut RawBatch)) -> bool {
        let size = message.payload.len() + message.key.map_or(0, <[u8]>::len) + message.header_bytes;
        // Cutting before the limit is crossed keeps every arena within it.
        if let Some(Some(open)) = self.open.get(source as usize)
            && open.batch.bytes() + size > self.cut.bytes
        {
            self.seal(source as usize);
        }
        let Some(slot) = self.open.get_mut(source as usize) else { return false };
        let open = match slot {
            Some(open) => open,
            None => {
                let arena = fresh_arena(&self.arenas, self.cut.bytes);
                slot.insert(Open { batch: RawBatch::new(0, source, arena), since: Instant::now() })
            }
        };
        // An empty batch takes any message that librdkafka can deliver (below 2 GiB).
        let pushed = open.batch.push(message.payload, message.key, message.partition, message.offset, message.timestamp_us);
        if !pushed {
            return false;
        }
        if message.header_bytes > 0 {
            add_headers(&mut open.batch);
        }
        if open.batch.messages.len() >= self.cut.rows || open.batch.bytes() >= self.cut.bytes {
            self.seal(source as usize);
        }
        true
    }

    /// Seals the oldest batch whose first message is `linger` and `more` old; false if there is none.
    pub fn cut_lingering(&mut self, now: Instant, more: Duration) -> bool {
        let oldest = (0..self.open.len()).filter_map(|source| Some((self.open.get(source)?.as_ref()?.since, source))).min();
        match oldest {
            Some((since, source)) if now.saturating_duration_since(since) >= self.cut.linger + more => {
                self.seal(source);
                true
            }
            _ => false,
        }
    }

    /// Seals everything.
    pub fn cut_all(&mut self) {
        for source in 0..self.open.len() {
            self.seal(source);
        }
    }

    /// How long until a batch lingers too long; `None` when none is open.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        let due = |open: &Open| (open.since + self.cut.linger).saturating_duration_since(now);
        self.open.iter().flatten().map(due).min()
    }

    /// The oldest complete batch. Its number is given when it is handed on: what is forgotten leaves no gap.
    pub fn take(&mut self) -> Option<RawBatch> {
        self.sealed.pop_front()
    }

    fn seal(&mut self, source: usize) {
        if let Some(Open { mut batch, .. }) = self.open.get_mut(source).and_then(Option::take) {
            batch.seal();
            self.sealed.push_back(batch);
        }
    }

    /// Seals everything, and puts a control behind it.
    pub fn add_control(&mut self, control: Control) {
        self.cut_all();
        let mut batch = RawBatch::new(0, 0, Vec::new());
        batch.control = Some(control);
        self.sealed.push_back(batch);
    }

    /// Forgets all messages that were not taken yet; controls stay.
    pub fn forget_messages(&mut self) {
        self.open.iter_mut().for_each(|open| *open = None);
        self.sealed.retain(|batch| batch.control.is_some());
    }

    /// Gives back what was taken last and could not be handed on.
    pub fn untake(&mut self, batch: RawBatch) {
        self.sealed.push_front(batch);
    }
}

fn fresh_arena(arenas: &Receiver<Vec<u8>>, bytes: usize) -> Vec<u8> {
    let wanted = bytes.saturating_add(ARENA_PADDING);
    match arenas.try_recv() {
        Ok(arena) if arena.capacity() <= wanted.saturating_mul(ARENA_KEEP_FACTOR) => arena,
        _ => Vec::with_capacity(wanted),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cutter(bytes: usize, rows: usize) -> (Cutter, crossbeam_channel::Sender<Vec<u8>>) {
        let (give, arenas) = crossbeam_channel::bounded(8);
        (Cutter::new(Cut { bytes, rows, linger: Duration::from_millis(5) }, 2, arenas), give)
    }

    fn add(cutter: &mut Cutter, source: u16, offset: i64, payload: &[u8]) {
        let message = Incoming { payload, key: Some(b"k"), partition: source, offset, timestamp_us: 7, header_bytes: 0 };
        assert!(cutter.add(source, &message, |_| {}));
    }

    #[test]
    fn cuts_by_rows() {
        let (mut cutter, _give) = cutter(1 << 20, 2);
        add(&mut cutter, 1, 0, b"a");
        add(&mut cutter, 0, 0, b"b");
        add(&mut cutter, 0, 1, b"c");
        add(&mut cutter, 1, 1, b"d");
        let (first, second) = (cutter.take().unwrap(), cutter.take().unwrap());
        assert_eq!((first.source, second.source), (0, 1));
        assert_eq!(first.messages.len(), 2);
        assert_eq!(&first.arena[first.messages[1].range()], b"c");
        assert_eq!(first.arena.len(), 4 + ARENA_PADDING);
        assert_eq!(second.offsets.intervals()[0].to, 2);
        assert!(cutter.take().is_none());
    }

    #[test]
    fn cuts_before_the_bytes_are_exceeded() {
        let (mut cutter, _give) = cutter(10, 100);
        add(&mut cutter, 0, 0, b"1234");
        add(&mut cutter, 0, 1, b"56789");
        assert_eq!(cutter.take().unwrap().bytes(), 5 + ARENA_PADDING);
        add(&mut cutter, 0, 2, &[b'x'; 100]);
        let sizes: Vec<_> = std::iter::from_fn(|| cutter.take()).map(|b| b.bytes() - ARENA_PADDING).collect();
        assert_eq!(sizes, [6, 101], "a huge message travels alone");
    }

    #[test]
    fn cuts_by_age() {
        let (mut cutter, _give) = cutter(1 << 20, 100);
        let now = Instant::now();
        assert!(cutter.due_in(now).is_none());
        add(&mut cutter, 0, 0, b"a");
        cutter.cut_lingering(now, Duration::ZERO);
        assert!(cutter.take().is_none());
        assert!(cutter.due_in(now).unwrap() > Duration::from_millis(4));
        cutter.cut_lingering(Instant::now() + Duration::from_millis(5), Duration::ZERO);
        assert_eq!(cutter.take().unwrap().messages.len(), 1);
    }

    #[test]
    fn reuses_arenas_but_not_oversized_ones() {
        let (mut cutter, give) = cutter(1024, 1);
        let arena = Vec::with_capacity(2048);
        let at = arena.as_ptr();
        give.send(arena).unwrap();
        give.send(Vec::with_capacity(1 << 20)).unwrap();
        add(&mut cutter, 0, 0, b"a");
        add(&mut cutter, 0, 1, b"b");
        assert_eq!(cutter.take().unwrap().arena.as_ptr(), at);
        assert!(cutter.take().unwrap().arena.capacity() < 4096);
    }

    #[test]
    fn an_unknown_source_is_refused() {
        let (mut cutter, _give) = cutter(1024, 1);
        let message = Incoming { payload: b"", key: None, partition: 0, offset: 0, timestamp_us: 0, header_bytes: 0 };
        assert!(!cutter.add(9, &message, |_| {}));
    }
}
