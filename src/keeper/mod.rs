//! The keeper.

pub mod store;
