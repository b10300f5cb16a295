//! Incidents: ids, facts, the fold of facts to a state, and their JSON.

pub mod encode;
pub mod id;
