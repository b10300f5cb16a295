//! Catchment: a flood of security events in, incidents out.

pub mod config;
pub mod expr;
pub mod incident;
pub mod ingest;
