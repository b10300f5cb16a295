//! Owns limits on commands: so many calls an hour, by command. A call beyond that waits; it is
//! not lost and holds no worker.

use std::collections::HashMap;

const HOUR_US: i64 = 3_600_000_000;

/// Calls an hour.
#[derive(Debug, Default)]
pub struct Rates {
    limits: HashMap<String, u32>,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Calls that are free, in millionths.
    free: i64,
    at_us: i64,
}

impl Rates {
    /// Limits by command, in lower case.
    pub fn new(limits: HashMap<String, u32>) -> Rates {
        Rates { limits, buckets: HashMap::new() }
    }

    /// Takes a call of a command, or says when one is free.
    ///
    /// # Errors
    /// The time, in microseconds.
    pub fn take(&mut self, command: &str, now_us: i64) -> Result<(), i64> {
        let name = command.to_lowercase();
        let Some(limit) = self.limits.get(&name).map(|limit| i64::from((*limit).max(1))) else { return Ok(()) };
        let full = limit * 1_000_000;
        let bucket = self.buckets.entry(name).or_insert(Bucket { free: full, at_us: now_us });
        let passed = now_us.saturating_sub(bucket.at_us).clamp(0, HOUR_US);
        bucket.free = (bucket.free + (i128::from(passed) * i128::from(full) / i128::from(HOUR_US)) as i64).min(full);
        bucket.at_us = now_us;
        if bucket.free >= 1_000_000 {
            bucket.free -= 1_000_000;
            return Ok(());
        }
        let missing = 1_000_000 - bucket.free;
        Err(now_us + (i128::from(missing) * i128::from(HOUR_US) / i128::from(full)) as i64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_what_it_may() {
        let mut rates = Rates::new(HashMap::from([("block".to_owned(), 6)]));
        let mut now = 1_000_000_000;
        let first = (0..100).filter(|_| rates.take("BLOCK", now).is_ok()).count();
        assert_eq!(first, 6);
        let Err(at) = rates.take("block", now) else { panic!("the bucket is empty") };
        assert!(at > now && at <= now + HOUR_US / 6 + 2);
        now = at;
        assert!(rates.take("block", now).is_ok() && rates.take("block", now).is_err());
        assert!(rates.take("other", now).is_ok());
    }
}
