//! Catchment: a flood of security events in, incidents out.

pub mod cli;
pub mod config;
pub mod error;
pub mod expr;
pub mod incident;
pub mod ingest;
pub mod kafka;
pub mod load;
pub mod serve;
