//! A role whose group took it for replaced: by another process of its name, or by itself.
//!
//! A broker that hung carries out its own old request to join after the one that followed it, and
//! then refuses the only member that there is. So the first times a role begins anew; when that
//! keeps happening another process must be the reason, and one of the two has to end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Error, Fault};

/// How often in a row a role may be taken for replaced before there must be a rival.
const TIMES_MAX: u32 = 3;
/// A role that ran so long was not fenced by a rival: those fence each other within seconds.
const WITHIN: Duration = Duration::from_secs(120);

/// How often in a row it happened to a role.
#[derive(Debug, Default)]
pub struct Fencing(AtomicU32);

impl Fencing {
    /// What it means that a role which `ran` so long was taken for replaced: something that
    /// passes, or an error that ends the process.
    pub fn judge(&self, ran: Duration) -> Error {
        if ran > WITHIN {
            self.0.store(0, Ordering::Relaxed);
        }
        let error = Error::from(crate::kafka::Error::Fenced);
        let rival = self.0.fetch_add(1, Ordering::Relaxed) + 1 >= TIMES_MAX;
        if rival { error } else { Error { fault: Fault::Environment, retry: true, ..error } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_time_in_a_row_is_a_rival() {
        let (fencing, soon) = (Fencing::default(), Duration::from_secs(1));
        assert!(fencing.judge(soon).retry && fencing.judge(soon).retry);
        assert_eq!(fencing.judge(soon).fault, Fault::User);
        // Long after that it may be the broker again.
        assert!(fencing.judge(WITHIN * 2).retry && fencing.judge(soon).retry);
        assert_eq!(fencing.judge(soon).fault, Fault::User);
    }
}
