//! What others read from a running instance: metrics, later SQL, API and pages.

pub mod api;
pub mod latency;
pub mod metrics;
pub mod sql;
