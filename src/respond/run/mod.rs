//! A run of a playbook: `step(run, world, time, transition) → effects`. No I/O, no clock, no
//! randomness: the same transitions lead to the same state and the same effects.
//!
//! - A step applies one transition and then starts all tasks that can start, up to a bound;
//!   what is left is asked for with [`Effect::More`].
//! - What has an effect outside is an [`Effect::Call`]. Whoever runs it commits the state before
//!   it begins, and comes back with [`Transition::Result`].
//! - A result that is not waited for (late, repeated, of a task that was given up) changes nothing.

pub mod effect;
mod finish;
mod frames;
mod loops;
mod person;
mod polling;
mod resume;
mod start;
pub mod state;
mod step;
pub mod task;
mod view;

pub use crate::incident::timer;
pub use effect::{Answer, Ask, Call, Edit, Effect, Entry, Failure, FailureKind, Happened, Output, Poll, Traced, Transition};
pub use person::REMINDER;
pub use polling::pairs;
pub use resume::resume;
pub use state::{Key, Run, RunState};
pub use step::{Step, step};
pub use task::Status;
