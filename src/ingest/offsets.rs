//! Offset arithmetic, in one place: half-open intervals per partition, and the
//! rule that a committed offset is the *next* one to read (last + 1).

/// Half-open interval `[from, to)` of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Dense partition number.
    pub partition: u16,
    /// First offset covered.
    pub from: i64,
    /// One past the last offset covered: the offset to commit.
    pub to: i64,
}

/// The offsets that a batch covers: one interval per partition. Gaps inside an
/// interval are legal (transaction markers, compaction); going back is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(Vec<Interval>);

impl Offsets {
    /// Covers one more offset of a partition, which must lie beyond those covered before.
    pub fn add(&mut self, partition: u16, offset: i64) {
        // The partition of the message before is nearly always the same one.
        let hit = match self.0.last_mut() {
            Some(last) if last.partition == partition => Some(last),
            _ => self.0.iter_mut().find(|i| i.partition == partition),
        };
        match hit {
            Some(interval) => {
                debug_assert!(offset >= interval.to, "offsets of a partition only go forward");
                interval.to = interval.to.max(offset + 1);
            }
            None => self.0.push(Interval { partition, from: offset, to: offset + 1 }),
        }
    }

    /// The intervals, in the order in which partitions were first seen.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// True when nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
