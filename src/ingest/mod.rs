//! Ingest: source → decode → filter → classify → map → decide → emit, one batch at a time.

pub mod batch;
pub mod classify;
pub mod columns;
pub mod decide;
pub mod decode;
pub mod filter;
pub mod ledger;
pub mod map;
pub mod offsets;
pub mod phase;
pub mod plan;
pub mod rule_input;
pub mod scene;
