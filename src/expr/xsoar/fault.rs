//! What can go wrong when a value is evaluated, and the bounds on the work of one evaluation.

use std::cell::Cell;

/// Why an expression has no value for a row. Never holds a value of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value is not of the type that the operator works on. The event or the pack is at fault; in the product the task fails.
    #[error("{operator}: the value cannot be read as {wanted}")]
    Cast {
        /// The operator.
        operator: &'static str,
        /// What it needs.
        wanted: &'static str,
    },
    /// An argument is missing or out of its range. The pack is at fault.
    #[error("{operator}: {what}")]
    Argument {
        /// The operator.
        operator: &'static str,
        /// What is wrong with the argument.
        what: &'static str,
    },
    /// The script behind the operator raises an error on such a value.
    #[error("{operator}: {what}")]
    Raised {
        /// The operator.
        operator: &'static str,
        /// The script's message.
        what: &'static str,
    },
    /// A pattern is not a regular expression, or one that is too large. The pack is at fault.
    #[error("{operator}: the pattern cannot be compiled")]
    Pattern {
        /// The operator.
        operator: &'static str,
    },
    /// The work on one value exceeds its bound: a loop, a huge repetition, deep recursion. The pack or the event is at fault.
    #[error("more than {limit} {unit} for one value")]
    Budget {
        /// The bound.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The expression could not be understood when it was prepared; the problem was reported then.
    #[error("the expression is not usable: {0}")]
    Unusable(String),
    /// A user's external script failed, timed out or answered with something else than JSON. May succeed when repeated.
    #[error("script `{name}`: {what}")]
    Script {
        /// The script.
        name: String,
        /// What happened.
        what: String,
    },
}

impl Fault {
    /// True where the same evaluation may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Fault::Script { .. })
    }
}

/// Steps of one evaluation: nodes visited, items tested, interpreter steps.
pub const STEPS_MAX: u64 = 2_000_000;
/// Bytes that one evaluation may create. An event is at most 64 MiB; fields are kilobytes.
pub const BYTES_MAX: u64 = 16 << 20;
/// Nested evaluations: arguments in arguments, list items in list items, calls in calls.
pub const DEPTH_MAX: u32 = 128;

/// The bounds on one evaluation, counted down as it goes.
#[derive(Debug)]
pub struct Budget {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<u32>,
    limits: (u64, u64),
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(STEPS_MAX, BYTES_MAX)
    }
}

impl Budget {
    /// A budget with its own bounds.
    pub fn new(steps: u64, bytes: u64) -> Budget {
        Budget { steps: Cell::new(steps), bytes: Cell::new(bytes), depth: Cell::new(0), limits: (steps, bytes) }
    }

    /// Everything is available again: for the next row.
    pub fn renew(&self) {
        self.steps.set(self.limits.0);
        self.bytes.set(self.limits.1);
        self.depth.set(0);
    }

    /// Takes steps.
    pub fn steps(&self, steps: usize) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(steps as u64).ok_or(Fault::Budget { limit: self.limits.0, unit: "steps" })?;
        self.steps.set(left);
        Ok(())
    }

    /// Takes bytes that are about to be created.
    pub fn bytes(&self, bytes: usize) -> Result<(), Fault> {
        let left = self.bytes.get().checked_sub(bytes as u64).ok_or(Fault::Budget { limit: self.limits.1, unit: "bytes" })?;
        self.bytes.set(left);
        Ok(())
    }

    /// Runs something one level deeper.
    pub fn deeper<T>(&self, run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let depth = self.depth.get();
        if depth >= DEPTH_MAX {
            return Err(Fault::Budget { limit: u64::from(DEPTH_MAX), unit: "levels" });
        }
        self.depth.set(depth + 1);
        let result = run();
        self.depth.set(depth);
        result
    }
}
