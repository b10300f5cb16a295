//! Catchment: a flood of security events in, incidents out.
//!
//! # The way of the data
//!
//! | step | where | what happens |
//! |---|---|---|
//! | read | [`kafka`] (consumer), [`ingest::files`] | messages are copied into the arena of a batch; a batch is cut by rows, bytes or time and numbered |
//! | decode | [`ingest::decode`] | one SIMD pass checks all of the JSON; only the paths that the pipeline reads are recorded, as places in the arena |
//! | filter | [`ingest::filter`] | named filters take noise out, over the whole batch at once |
//! | classify | [`ingest::classify`] | rules, then the table, then the default give each row its type |
//! | map | [`ingest::map`] | fields of every type over all rows, a type's own fields over its rows |
//! | decide | [`ingest::turnstile`], [`ingest::decide`] | one batch after the other, row by row: create, drop, attach, link, close |
//! | emit | [`ingest::emit`], [`incident`] | incidents as JSON, straight into one buffer; what happened later as facts |
//! | write | [`kafka`] (producer), [`ingest::folder`] | facts to the topic and then the offsets; in `replay` incidents in their final state |
//!
//! Beside the way: [`config`] reads what the user wrote, [`content`] XSOAR content packs, [`expr`] is the language of expressions
//! and its compiler to DataFusion, [`ingest::plan`] joins both into what workers run, [`load`]
//! makes events whose answers are known, [`respond`] runs playbooks, [`run`] wires rooms into a running member, [`serve`]
//! shows metrics and answers SQL, [`archive`] keeps every version of every incident, [`cli`] is what a
//! person types.
//! `docs/architecture.md` tells the same at length, `docs/pipeline.md` what a pipeline may say.
//!
//! # Invariants
//!
//! - Every event ends as exactly one of: incident; filtered, dropped or attached by a named rule;
//!   dead letter. (The default `drop` of `classify` is such a rule: `unclassified`.) The ledger
//!   adds up to the events read.
//! - One poison row among 8,192 changes no other row.
//! - Decisions depend on the order of events only: not on how they are cut into batches, not on
//!   the number of workers, not on a wall clock.
//! - An offset is committed only after all that came of it is stored, in the order of batches.
//! - No planning, schema inference or lock per row on the data path. Buffers are reused, and what
//!   is allocated is allocated per batch (but for the values that `where` reads, and functions
//!   without a column form). No stage between reading and writing does IO.
//! - Only [`kafka`] names rdkafka. simd-json is an oracle of tests and benches, no dependency.
//!   Only [`archive`], [`serve`], [`expr`], `ingest::phase`, `ingest::conditions` and the plan's builder name DataFusion's
//!   planner and expressions; other rooms use its Arrow arrays.
//! - No value of an event appears in a log line or in the message of an error. (Entries of a war
//!   room are no logs: they hold what commands said.) No secret appears anywhere.
//! - Every queue, table, cache and buffer has a bound with its unit and its reason: in
//!   [`config::limits`], or as a constant beside the code that keeps it.
//! - No `unwrap` or `expect` on anything that input, network or disk can influence.

pub mod archive;
pub mod cli;
pub mod config;
pub mod content;
pub mod error;
pub mod expr;
pub mod incident;
pub mod ingest;
pub mod kafka;
pub mod keeper;
pub mod load;
mod prefetch;
pub mod respond;
pub mod run;
pub mod serve;
