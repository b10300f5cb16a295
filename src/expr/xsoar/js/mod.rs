//! The subset of JavaScript that DT texts use: expressions, functions, simple statements.
//! No prototypes, no classes, no access to anything but its inputs; steps, bytes and
//! depth are bounded.

pub mod ast;
pub mod builtin;
pub mod execute;
mod function;
pub mod heap;
pub mod interpret;
pub mod lex;
pub mod list;
pub mod operate;
pub mod parse;
mod primary;
pub mod quick;
pub mod statement;
pub mod text;
