//! The expressions of XSOAR content: mappers, classifiers, pre-process rules, playbook
//! arguments. Data model → prepared expression → a reference evaluator (row by row) and
//! columnar kernels (batch by batch), held equal by property tests.

pub mod fault;
pub mod js;
pub mod model;
pub mod path;
pub mod pattern;
pub mod read;
pub mod value;
