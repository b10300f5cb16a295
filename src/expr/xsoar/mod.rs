//! The expressions of XSOAR content: mappers, classifiers, pre-process rules, playbook
//! arguments. Data model → prepared expression → a reference evaluator (row by row) and
//! columnar kernels (batch by batch), held equal by property tests.

pub mod clock;
pub mod columnar;
pub mod context;
pub mod dates;
pub mod env;
pub mod evaluate;
pub mod external;
pub mod fault;
pub mod filter;
pub mod js;
pub mod model;
pub mod path;
pub mod pattern;
pub mod prepare;
pub mod prepared;
pub mod read;
pub mod transform;
pub mod value;
