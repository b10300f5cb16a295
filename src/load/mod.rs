//! Seeded load: a flood of invented events in the shapes of real products, and what
//! must become of each, known by construction.
//!
//! ```text
//! profiles/*.shapes ─▶ template ─▶ render ─▶ Message { topic, key, payload, timestamp, outcomes }
//! profiles/*.rs: kinds, weights, answers        ▲
//! story: what came before  ─────────────────────┤
//! hostile: poison and oddities ─────────────────┘          outcomes ─▶ Answers ─▶ compare(engine's Counts)
//! ```
//! The generator decides first what happens ("a new incident", "a repeat of story 17
//! within its window", "noise that filter X takes") and then writes the event that says
//! so. It never asks the engine, and shares no code with it. Same seed and spec, same bytes.

pub mod ahead;
pub mod answers;
pub mod audit;
pub mod book;
pub mod capacity;
pub mod cluster;
pub mod drive;
pub mod engine;
pub mod event;
pub mod facts;
pub mod generate;
mod gradual;
pub mod hostile;
pub mod latency;
pub mod ledger;
pub mod live;
pub mod pace;
pub mod profile;
pub mod profiles;
pub mod render;
pub mod rng;
pub mod scenario;
pub mod send;
pub mod spec;
pub mod stamp;
pub mod story;
pub mod tail;
pub mod template;
pub mod world;

pub use answers::{Answers, Counts, Difference};
pub use event::{Message, Outcome};
pub use generate::Generator;
pub use profile::Profile;
pub use spec::{GeneratorSpec, START_MS};
