//! Room: playbooks. A run is a state machine ([`run`]): one pure function takes its state and what
//! happened, and says what is to be done. [`command`] is what the engine can do itself,
//! [`outside`] what it does in the world, [`world`] what runs see of their surroundings.
//! [`simulate`] answers in the place of the world, [`schedule`] decides who is next,
//! [`local`] carries out effects inside of one process, [`member`] on Kafka; [`setup`] is what a
//! pipeline says about all that.

pub mod clock;
pub mod command;
pub mod limits;
pub mod local;
pub mod member;
pub mod merge;
pub mod outside;
pub mod program;
pub mod run;
pub mod schedule;
pub mod setup;
pub mod simulate;
pub mod world;
