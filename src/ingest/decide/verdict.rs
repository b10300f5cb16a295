//! What was decided about the rows of a batch; buffers are reused between batches.

use super::Origin;

/// The end of one row. Rules are numbers in the spec's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// An incident is created.
    Create {
        /// The rule that closes it at birth.
        close: Option<u16>,
        /// It has entries in [`Decided::links`].
        linked: bool,
    },
    /// The event ends here.
    Drop {
        /// The rule that dropped it.
        rule: u16,
    },
    /// The event ends as an attachment; its targets are in [`Decided::attaches`].
    Attach {
        /// The first rule that attached it: the one that counts.
        rule: u16,
    },
}

/// A row attached to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attach {
    /// Row of the batch.
    pub row: u32,
    /// The rule that says so.
    pub rule: u16,
    /// The incident.
    pub target: Origin,
}

/// A created row linked to an earlier incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Row of the batch.
    pub row: u32,
    /// The rule that says so.
    pub rule: u16,
    /// The earlier incident.
    pub target: Origin,
}

/// Decisions of one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// One per row.
    pub verdicts: Vec<Verdict>,
    /// In row order, then rule order.
    pub attaches: Vec<Attach>,
    /// In row order, then rule order.
    pub links: Vec<Link>,
    /// Rows that a rule could not compare because they are beyond its horizon.
    pub late: u64,
    /// Per rule: rows to which it would have applied (shadow rules only).
    pub shadow: Vec<u64>,
    /// Incidents that did not match because their values for `where` are gone.
    pub where_unknown: u64,
}

impl Decided {
    /// Empties the buffers and keeps their capacity.
    pub(crate) fn reset(&mut self, rules: usize) {
        self.verdicts.clear();
        self.attaches.clear();
        self.links.clear();
        self.late = 0;
        self.shadow.clear();
        self.shadow.resize(rules, 0);
        self.where_unknown = 0;
    }
}
