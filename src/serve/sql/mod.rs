//! SQL over the archive: the same tables and the same plans for `catchment sql` and for the Postgres wire.
//!
//! | file | job |
//! |---|---|
//! | `catalog` | where tables come from; what a query pins |
//! | `tables` | tables as DataFusion wants them |
//! | `lookups` | the pipeline's lookup tables as tables |
//! | `session` | a session: settings, bounds, text → plan |
//! | `bound` | the time that a query may take |
//! | `filter` | a condition over rows as they come |
//! | `coded` | `GROUP BY` over values that repeat, by numbers |
//! | `like` | `LIKE` with several `%`, piece by piece |
//! | `text` | maps as JSON, for those who know no maps |
//! | `client`, `output` | who asks, here or from elsewhere; results as they leave |
//! | `wire`, `login`, `hook`, `extended` | the Postgres wire, who may use it, what is done with a statement, prepared ones |
//! | `described` | columns of tables as Postgres describes them |
//! | `repair` | questions about the catalog that go beyond what is known of it |

pub mod bound;
pub mod catalog;
pub mod client;
pub mod coded;
mod described;
mod extended;
pub mod filter;
pub mod hook;
pub mod like;
pub mod login;
pub mod lookups;
pub mod output;
pub mod repair;
pub mod session;
pub mod tables;
pub mod text;
pub mod wire;
