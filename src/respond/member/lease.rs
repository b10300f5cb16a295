//! Owns until when calls may begin: the last commit that the group checked plus what is left of the
//! session, on a clock that goes on while the machine sleeps or the process stands still.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What is taken off the session: for a broker's clock that goes faster, and for the time between
/// looking at the lease and the first byte.
const MARGIN: Duration = Duration::from_secs(3);

/// A lease.
#[derive(Debug)]
pub struct Lease {
    until_us: AtomicI64,
    length_us: i64,
}

impl Lease {
    /// One that has not begun, for members whose session is so long.
    pub fn new(session: Duration) -> Lease {
        let length = session.saturating_sub(MARGIN).max(session / 4);
        Lease { until_us: AtomicI64::new(0), length_us: i64::try_from(length.as_micros()).unwrap_or(i64::MAX) }
    }

    /// A commit was checked by the group that was asked for at this time, by [`clock_us`].
    pub fn renew(&self, asked_us: i64) {
        self.until_us.fetch_max(asked_us.saturating_add(self.length_us), Ordering::AcqRel);
    }

    /// Nothing may begin until it is renewed.
    pub fn end(&self) {
        self.until_us.store(0, Ordering::Release);
    }

    /// True while calls may begin.
    pub fn holds(&self) -> bool {
        clock_us() < self.until_us.load(Ordering::Acquire)
    }

    /// True when it is time to renew it.
    pub fn is_half_over(&self) -> bool {
        clock_us() > self.until_us.load(Ordering::Acquire) - self.length_us / 2
    }
}

/// Microseconds since the machine was started, those included in which it slept.
pub fn clock_us() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[cfg(target_os = "linux")]
    let clock = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: the struct is ours and whole.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000) + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_and_is_only_made_longer() {
        let lease = Lease::new(Duration::from_secs(10));
        assert!(!lease.holds() && lease.is_half_over());
        let now = clock_us();
        lease.renew(now);
        assert!(lease.holds() && !lease.is_half_over());
        lease.renew(now - 60_000_000);
        assert!(lease.holds(), "an older commit does not shorten it");
        let other = Lease::new(Duration::from_secs(10));
        other.renew(now - 8_000_000);
        assert!(!other.holds(), "ten seconds less the margin");
        lease.end();
        assert!(!lease.holds());
    }
}
