//! Creation-time values of incidents, for `where existing.x`.
//!
//! One log per partition in the order of origins, in chunks: found by two binary
//! searches, forgotten chunk by chunk, oldest first, with the horizon or at the byte
//! bound. There is no hash table to grow and nothing big to copy.

use std::collections::VecDeque;

use super::Origin;
use super::slices::TIME_MAX_MS;

/// A chunk is closed at this many bytes of values: small beside any useful bound, so that
/// giving one up forgets little.
const CHUNK_BYTES: usize = 64 * 1024;
/// A chunk is closed at this many incidents (16 bytes each).
const CHUNK_INCIDENTS: usize = 4096;
/// Longest values of one incident that are kept (bytes); `where` over more is not answered.
pub const CANDIDATE_BYTES_MAX: usize = CHUNK_BYTES;
/// Expired chunks are looked for this many times a horizon.
const EXPIRIES: i64 = 64;

/// Where an incident's values end in its chunk.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: i64,
    end: u32,
    element: u16,
}

impl Mark {
    fn place(&self) -> (i64, u16) {
        (self.offset, self.element)
    }
}

#[derive(Debug, Default)]
struct Chunk {
    /// Number of the chunk in the order in which all were begun.
    number: u64,
    /// Greatest time of its incidents.
    latest: i64,
    marks: Vec<Mark>,
    values: Vec<u8>,
}

impl Chunk {
    fn bytes(&self) -> usize {
        size_of::<Chunk>() + self.marks.capacity() * size_of::<Mark>() + self.values.capacity()
    }

    fn is_full(&self, more: usize) -> bool {
        self.marks.len() >= CHUNK_INCIDENTS || self.values.len() + more > CHUNK_BYTES
    }

    fn first(&self) -> (i64, u16) {
        self.marks.first().map_or((i64::MAX, u16::MAX), Mark::place)
    }

    /// Capacities of marks and values with room for one incident more.
    fn capacities(&self, more: usize) -> (usize, usize) {
        let grown = |length: usize, capacity: usize, least: usize| {
            if length <= capacity { capacity } else { length.max(2 * capacity).max(least) }
        };
        (grown(self.marks.len() + 1, self.marks.capacity(), 8), grown(self.values.len() + more, self.values.capacity(), 64))
    }

    fn push(&mut self, origin: Origin, time: i64, values: &[u8]) {
        let (marks, bytes) = self.capacities(values.len());
        self.marks.reserve_exact(marks - self.marks.len());
        self.values.reserve_exact(bytes - self.values.len());
        self.latest = if self.marks.is_empty() { time } else { self.latest.max(time) };
        self.values.extend_from_slice(values);
        self.marks.push(Mark { offset: origin.offset, end: self.values.len() as u32, element: origin.element });
    }

    fn get(&self, origin: Origin) -> Option<&[u8]> {
        let at = self.marks.binary_search_by_key(&(origin.offset, origin.element), Mark::place).ok()?;
        let start = if at == 0 { 0 } else { self.marks.get(at - 1)?.end };
        self.values.get(start as usize..self.marks.get(at)?.end as usize)
    }
}

/// The candidate store of one shard.
#[derive(Debug)]
pub struct Candidates {
    reach: i64,
    bytes_max: usize,
    bytes: usize,
    /// Clock at which expired chunks are looked for again.
    look_at: i64,
    chunks_begun: u64,
    clock: i64,
    /// What expires after this clock, that of the last commit, is held. `i64::MAX`: nothing is.
    held: i64,
    /// Something went since `take_lost` that undoing would need.
    lost: bool,
    logs: Vec<(u16, VecDeque<Chunk>)>,
}

impl Candidates {
    /// Keeps values for `reach` ms behind the clock, in at most `bytes_max` bytes.
    pub fn new(reach: i64, bytes_max: usize) -> Candidates {
        let reach = reach.clamp(0, TIME_MAX_MS);
        Candidates { reach, bytes_max, bytes: 0, look_at: i64::MIN, chunks_begun: 0, clock: i64::MIN, held: i64::MAX, lost: false, logs: Vec::new() }
    }

    /// Moves the clock; now and then forgets what is beyond the horizon.
    #[inline]
    pub fn advance(&mut self, clock: i64) {
        self.clock = clock;
        if clock >= self.look_at {
            self.look_at = clock.saturating_add(self.reach / EXPIRIES + 1);
            self.expire(clock.min(self.held).saturating_sub(self.reach));
        }
    }

    /// From now on, what has not expired stays until a commit.
    pub fn hold(&mut self) {
        if self.held == i64::MAX {
            self.held = self.clock;
        }
    }

    /// All up to this clock is committed.
    pub fn commit(&mut self, clock: i64) {
        if self.held != i64::MAX {
            self.held = self.held.max(clock);
        }
    }

    /// Moves the clock back to that of the last commit; what was kept since was taken back.
    pub fn rewind_clock(&mut self, clock: i64) {
        (self.clock, self.look_at) = (clock, i64::MIN);
    }

    /// Whether something went since the last call that taking back would need.
    pub fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Undoes the last `insert` of a partition.
    pub fn take_back(&mut self, origin: Origin) -> bool {
        let Ok(at) = self.logs.binary_search_by_key(&origin.partition, |log| log.0) else { return false };
        let log = &mut self.logs[at].1;
        let Some(chunk) = log.back_mut() else { return false };
        let Some(mark) = chunk.marks.pop_if(|mark| mark.place() == (origin.offset, origin.element)) else { return false };
        let start = chunk.marks.last().map_or(0, |mark| mark.end);
        chunk.values.truncate(start.min(mark.end) as usize);
        if chunk.marks.is_empty() {
            self.bytes -= log.pop_back().map_or(0, |chunk| chunk.bytes());
        }
        true
    }

    fn expire(&mut self, horizon: i64) {
        for (_, log) in &mut self.logs {
            while log.front().is_some_and(|chunk| chunk.latest < horizon) {
                self.bytes -= log.pop_front().map_or(0, |chunk| chunk.bytes());
            }
        }
    }

    /// Keeps the values of a created incident, whose origin lies behind all others of its
    /// partition. If it does not, the partition was rewound: what lies behind is forgotten.
    /// False if they are not kept.
    pub fn insert(&mut self, origin: Origin, time: i64, values: &[u8]) -> bool {
        if values.len() > CANDIDATE_BYTES_MAX {
            return false;
        }
        let at = match self.logs.binary_search_by_key(&origin.partition, |log| log.0) {
            Ok(at) => at,
            Err(at) => {
                self.logs.insert(at, (origin.partition, VecDeque::new()));
                at
            }
        };
        self.rewind(at, (origin.offset, origin.element));
        loop {
            let log = &mut self.logs[at].1;
            if log.back().is_none_or(|chunk| chunk.is_full(values.len())) {
                log.push_back(Chunk { number: self.chunks_begun, ..Chunk::default() });
                self.chunks_begun += 1;
                self.bytes += size_of::<Chunk>();
            }
            let Some(chunk) = log.back_mut() else { return false };
            let (marks, bytes) = chunk.capacities(values.len());
            let more = (marks - chunk.marks.capacity()) * size_of::<Mark>() + bytes - chunk.values.capacity();
            if self.bytes + more <= self.bytes_max {
                chunk.push(origin, time, values);
                self.bytes += more;
                return true;
            }
            let fresh = chunk.marks.is_empty() && self.bytes == size_of::<Chunk>();
            self.lost = true;
            if self.held < self.clock {
                self.held = self.clock;
                self.expire(self.clock.saturating_sub(self.reach));
                continue;
            }
            self.forget_oldest();
            if fresh {
                return false;
            }
        }
    }

    /// Whether an incident is not behind all others of its partition.
    pub fn is_behind(&self, origin: Origin) -> bool {
        let log = self.logs.binary_search_by_key(&origin.partition, |log| log.0).ok().and_then(|at| self.logs.get(at));
        let last = log.and_then(|log| log.1.back()?.marks.last());
        last.is_some_and(|last| last.place() >= (origin.offset, origin.element))
    }

    /// Whether an incident of this time can still be asked for.
    pub fn wants(&self, time: i64) -> bool {
        time >= self.clock.saturating_sub(self.reach)
    }

    /// Forgets the incidents of a partition from a place on.
    fn rewind(&mut self, at: usize, place: (i64, u16)) {
        let log = &mut self.logs[at].1;
        while log.back().is_some_and(|chunk| chunk.first() >= place) {
            self.lost = true;
            self.bytes -= log.pop_back().map_or(0, |chunk| chunk.bytes());
        }
        if let Some(chunk) = log.back_mut()
            && chunk.marks.last().is_some_and(|last| last.place() >= place)
        {
            self.lost = true;
            let keep = chunk.marks.partition_point(|mark| mark.place() < place);
            chunk.marks.truncate(keep);
            chunk.values.truncate(chunk.marks.last().map_or(0, |mark| mark.end as usize));
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.logs.iter_mut().filter(|log| !log.1.is_empty());
        if let Some((_, log)) = oldest.min_by_key(|log| log.1.front().map(|chunk| chunk.number)) {
            self.bytes -= log.pop_front().map_or(0, |chunk| chunk.bytes());
        }
    }

    /// The values of an incident, unless they are gone.
    pub fn get(&self, origin: Origin) -> Option<&[u8]> {
        let at = self.logs.binary_search_by_key(&origin.partition, |log| log.0).ok()?;
        let log = &self.logs.get(at)?.1;
        let behind = log.partition_point(|chunk| chunk.first() <= (origin.offset, origin.element));
        log.get(behind.checked_sub(1)?)?.get(origin)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(partition: u16, offset: i64, element: u16) -> Origin {
        Origin { partition, offset, element }
    }

    #[test]
    fn values_are_found_until_they_expire() {
        let mut store = Candidates::new(1_000, 10 << 20);
        for at in 0..20_000i64 {
            store.advance(at);
            store.insert(origin((at % 3) as u16, at / 6, (at / 3 % 2) as u16), at, format!("value {at}").as_bytes());
        }
        let found = |at: i64| store.get(origin((at % 3) as u16, at / 6, (at / 3 % 2) as u16)).map(<[u8]>::to_vec);
        for at in 19_000..20_000 {
            assert_eq!(found(at).unwrap(), format!("value {at}").as_bytes());
        }
        assert_eq!(found(0), None);
        assert_eq!(store.get(origin(7, 0, 0)), None);
        assert_eq!(store.get(origin(0, 1 << 50, 0)), None);
    }

    #[test]
    fn the_bound_holds_and_the_newest_stay() {
        for bytes_max in [0, 100, 1_000, 100_000, 300_000] {
            let mut store = Candidates::new(i64::MAX, bytes_max);
            for at in 0..30_000i64 {
                store.insert(origin(0, at, 0), at, &[at as u8; 20]);
                assert!(store.bytes() <= bytes_max.max(size_of::<Chunk>()));
            }
            assert_eq!(store.get(origin(0, 29_999, 0)), (bytes_max >= 1_000).then_some(&[47u8; 20][..]), "bound {bytes_max}");
            let held: usize = store.logs.iter().flat_map(|log| &log.1).map(Chunk::bytes).sum();
            assert_eq!(held, store.bytes());
        }
    }

    #[test]
    fn a_rewind_forgets_what_lies_behind() {
        let mut store = Candidates::new(1 << 40, 10 << 20);
        for at in 0..10_000i64 {
            store.insert(origin(0, at, 0), at, &at.to_le_bytes());
        }
        store.insert(origin(0, 5_000, 0), 5_000, b"again");
        assert_eq!(store.get(origin(0, 5_000, 0)), Some(&b"again"[..]));
        assert_eq!(store.get(origin(0, 5_001, 0)), None);
        assert_eq!(store.get(origin(0, 4_999, 0)), Some(&4_999i64.to_le_bytes()[..]));
        store.insert(origin(0, 5_001, 3), 5_001, &[0; CANDIDATE_BYTES_MAX + 1]);
        assert_eq!(store.get(origin(0, 5_001, 3)), None);
    }
}
