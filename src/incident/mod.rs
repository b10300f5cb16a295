//! Incidents: ids, facts, the fold of facts to a state, and their JSON.

pub mod encode;
pub mod facts;
pub mod fold;
pub mod id;
pub mod time_text;
