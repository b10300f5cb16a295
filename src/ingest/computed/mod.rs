//! Columns that XSOAR expressions compute, beside those that the decoder finds: the same slots,
//! with the same meaning, so that all that follows takes them for values of the event.
//!
//! An expression is a chain of nodes: a read, then kernels, each from a column to a column. Equal
//! nodes are one node. A row that leaves the shape of a column (a list on the way of a path) goes
//! through the reference evaluator; so do all rows of an expression that is not columnar.

mod cell;
mod kernel;
mod plan;
mod run;

pub use kernel::Kernel;
pub use plan::{Builder, Computed, Counters, Node, Output, When};
pub use run::Runner;
