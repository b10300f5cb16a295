//! Columns that XSOAR expressions compute, beside those that the decoder finds: the same slots,
//! with the same meaning, so that all that follows takes them for values of the event.
//!
//! An expression is a chain of nodes: a read, then kernels, each from a column to a column. Equal
//! nodes are one node. A list on the way of a path is walked over its tokens (`fan.rs`). A row that
//! leaves the shape of a column goes through the reference evaluator; so do all rows of an expression
//! that is not columnar.

mod cell;
mod column;
mod external;
mod fan;
mod kernel;
mod plan;
mod run;
mod table_form;
mod table_keys;
mod text;
mod tokens;

pub use cell::text;
pub use kernel::{Kernel, Shape};
pub use plan::{Builder, Computed, Counters, Node, Output, When};
pub use run::{Runner, Times};
