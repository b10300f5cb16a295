//! Room: what the user wrote, in files, becomes what the rest of the program works with.
//!
//! [`load()`] reads a pipeline, [`environment::load`] the environment file. Both collect
//! every mistake instead of stopping at the first: [`Diagnostics`] holds them with the
//! text they point into, and renders them. The way of a file:
//! text → [`yaml`] → [`node`] → `sections` (all checks of one section) → [`model`] →
//! `check` (what spans sections). What an expression means is not known here: only that
//! it parses, and where it stands.

mod check;
pub mod diagnostic;
pub mod environment;
pub mod expr_text;
pub mod limits;
mod load;
pub mod lookup;
pub mod model;
pub mod node;
pub mod read;
mod read_expr;
mod render;
pub mod schema;
mod sections;
pub mod source_map;
pub mod suggest;
pub mod units;
pub mod yaml;
mod yaml_error;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use load::{load, load_text};
pub use model::*;
pub use sections::read_tests;
pub use source_map::{SourceMap, Span, Spanned};
