//! Incidents: ids, facts, the fold of facts to a state, and their JSON.
//!
//! | file | job |
//! |---|---|
//! | `id` | ids of incidents and of facts |
//! | `state` | the changing part: what may happen to it, samples, how it is written |
//! | `state_read` | reads it back |
//! | `body` | the part that is written once, and edits of it |
//! | `record` | both together, as a record of `incident-state` |
//! | `facts` | facts as JSON |
//! | `fact` | reads them back, from whomever |
//! | `fold` | what a fact makes of an incident |
//! | `timer` | SLA timers |
//! | `order` | what people tell the role `respond` |
//! | `split` | JSON taken apart into raw tokens |
//! | `shorten` | makes what is too large for its topic fit |
//! | `encode`, `time_text` | bytes of JSON |

pub mod body;
pub mod encode;
pub mod fact;
pub mod facts;
pub mod fold;
pub mod id;
pub mod order;
pub mod record;
pub mod shorten;
pub mod split;
pub mod state;
pub mod state_read;
pub mod time_text;
pub mod timer;
