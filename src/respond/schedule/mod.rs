//! Room: who is next, and what is kept. Runs are let in ([`coordinator`]), wait their turn
//! ([`fair`]), are stepped, and everything that a step said is committed to a [`journal`] before
//! anything of it begins. Those that are held back wait in `waits`. The driver runs calls on a bounded pool.

pub mod coordinator;
pub mod driver;
pub mod fair;
pub mod journal;
pub mod rate;
mod staged;
mod waits;
