//! Ingest: source → decode → filter → classify → map → decide → emit, one batch at a time.

pub mod batch;
pub mod classify;
pub mod columns;
pub mod conditions;
pub mod control;
pub mod dead_letter;
pub mod decide;
pub mod decode;
pub mod emit;
pub mod facts_out;
pub mod files;
pub mod filter;
pub mod folder;
pub mod guard;
pub mod ledger;
pub mod map;
pub mod offsets;
pub mod output;
pub mod phase;
pub mod plan;
pub mod pool;
pub mod rule_input;
pub mod scene;
pub mod trial;
pub mod turnstile;
pub mod worker;
