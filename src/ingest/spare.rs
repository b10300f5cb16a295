//! Buffers for incidents that sinks gave back, for workers to fill again.

/// Buffers kept for reuse (count): as many as batches can be under way with a few workers, or in a
/// transaction behind a lag.
const SPARE_MAX: usize = 16;
/// Larger buffers are given back to the system, in bytes: one message of an attacker made them so.
const SPARE_BYTES_MAX: usize = 16 << 20;

/// Buffers that go round between workers and sinks: memory that was touched once is
/// cheaper than fresh memory, whose pages the kernel clears.
#[derive(Debug, Clone)]
pub struct Spare(crossbeam_channel::Sender<Vec<u8>>, crossbeam_channel::Receiver<Vec<u8>>);

impl Default for Spare {
    fn default() -> Spare {
        let (give, take) = crossbeam_channel::bounded(SPARE_MAX);
        Spare(give, take)
    }
}

impl Spare {
    /// Gives a buffer back; dropped where there are enough.
    pub fn give(&self, buffer: Vec<u8>) {
        if (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            let _ = self.0.try_send(buffer);
        }
    }

    /// An empty buffer, with room if somebody gave one back.
    pub fn take(&self) -> Vec<u8> {
        let mut buffer = self.1.try_recv().unwrap_or_default();
        buffer.clear();
        buffer
    }
}
