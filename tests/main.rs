//! All integration tests, in one binary: linking DataFusion takes longer than most of them run.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cli_planning;
mod config_environment;
mod config_mistakes;
mod config_mutations;
mod config_read;
mod decide_cases;
mod decide_index;
mod decide_model;
mod decide_reference;
mod decode_hostile;
mod decode_oracle;
mod decode_others;
mod decode_random;
mod decode_recordings;
mod decode_rows;
mod explain_sql;
mod expr_bench;
mod expr_conditions;
mod expr_generate;
mod expr_property;
mod expr_table;
mod golden_model;
mod kafka_embedded;
mod kafka_faults;
mod ledger;
mod load_generator;
mod one_batch;
mod panther;
mod poison;
mod replay_golden;
mod replay_run;
mod soc_recordings;
mod tidy;
