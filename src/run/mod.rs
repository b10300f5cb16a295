//! Wires rooms into a running member of a pipeline's fleet.

pub mod names;

pub use names::Names;
