//! What has to happen between two batches: to the indexes, or to nothing but the order.
//!
//! A control travels as a batch without messages. It takes its turn like any other, so
//! all batches cut before it are decided when it acts and none cut after; and its output
//! arrives in order, so whoever sees it has seen everything before.

use super::decide::Decider;

/// Acts on the indexes; returns the numbers of partitions that need something further.
pub type Act = Box<dyn FnOnce(&mut Decider) -> Vec<u16> + Send>;

/// Something to be done in the order of batches.
pub struct Control {
    /// Chosen by whoever sent it, to know it again.
    pub ticket: u64,
    /// What to do; `None`: only to be seen in order.
    pub act: Option<Act>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("ticket", &self.ticket).field("acts", &self.act.is_some()).finish()
    }
}

/// A control that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// Its ticket.
    pub ticket: u64,
    /// What it returned.
    pub partitions: Vec<u16>,
}
