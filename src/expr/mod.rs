//! Expressions: text → syntax tree → typed tree → a reference evaluator (row by row)
//! and DataFusion physical expressions (batch by batch), held equal by property tests.

pub mod ast;
pub mod bounds;
pub mod check;
mod coerce;
pub mod compile;
pub mod convert;
pub mod function;
pub mod lex;
pub mod library;
pub mod parse;
pub mod path;
pub mod reference;
pub mod sql;
pub mod typed;
pub mod value;
pub mod xsoar;
