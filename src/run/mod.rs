//! Wires rooms into a running member of a pipeline's fleet.

pub mod backfill;
pub mod beside;
pub mod failpoint;
pub mod fencing;
pub mod health;
pub mod ingest;
pub mod layout;
pub mod lock;
pub mod names;
pub mod orphans;
pub mod signals;
pub(crate) mod states;
pub mod supervise;

pub use names::Names;
