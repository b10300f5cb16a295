//! The time of one index: its clock, how far back it reaches, and what was given up early.

use super::chain::Window;
use super::slices::{Live, REACH_MAX_MS, Slices, TIME_MAX_MS};

/// Clock and horizon of an index. All times in ms.
#[derive(Debug)]
pub(super) struct Horizon {
    /// Greatest distance between a row and its target.
    within: i64,
    /// How far the horizon lies behind the clock by the rule.
    reach: i64,
    /// Times before this are beyond the horizon by the rule.
    from: i64,
    /// Times before this were given up for want of bytes.
    given_up: i64,
    /// Times before this are not live: the later of both.
    pub live_from: i64,
    clock: i64,
    /// How time is cut.
    pub slices: Slices,
    /// From the slice of `live_from` to that of the clock, as of when the clock's slice turned.
    /// The first may be over by now; only `live_from` is exact.
    pub live: Live,
    /// The clock at which its slice turns.
    turn: i64,
}

impl Horizon {
    /// For targets up to `within` away from rows up to `late_max` behind the clock; together at most 8.7 years.
    pub fn new(within: i64, late_max: i64) -> Horizon {
        let within = within.clamp(0, REACH_MAX_MS);
        let reach = (within + late_max.clamp(0, REACH_MAX_MS)).min(REACH_MAX_MS);
        Horizon {
            within,
            reach,
            from: i64::MIN,
            given_up: i64::MIN,
            live_from: i64::MIN,
            clock: i64::MIN,
            slices: Slices::new(reach),
            live: Live::new(0, 0),
            turn: i64::MIN,
        }
    }

    /// Moves the clock, which never goes back.
    #[inline]
    pub fn advance(&mut self, clock: i64) {
        if clock <= self.clock {
            return;
        }
        self.clock = clock.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        self.from = self.clock - self.reach;
        self.live_from = self.from.max(self.given_up);
        if self.clock >= self.turn {
            self.settle();
        }
    }

    /// Gives up the slices before one that is live, in favour of what is younger.
    pub fn give_up_before(&mut self, slice: i64) {
        self.given_up = self.given_up.max(self.slices.start(slice));
        self.live_from = self.from.max(self.given_up);
        self.settle();
    }

    #[inline(never)]
    fn settle(&mut self) {
        self.live = Live::new(self.slices.of(self.live_from), self.slices.of(self.clock));
        self.turn = self.slices.start(self.live.now + 1);
    }

    /// Whether a time is beyond the horizon that the rule gives.
    #[inline]
    pub fn is_late(&self, time: i64) -> bool {
        time < self.from
    }

    /// The times of live incidents that a row of this time may match.
    #[inline]
    pub fn window(&self, time: i64) -> Window {
        let time = time.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        Window { from: (time - self.within).max(self.live_from), to: time + self.within }
    }

    /// How far back it reaches now.
    pub fn reached(&self) -> i64 {
        if self.clock == i64::MIN { self.reach } else { (self.clock - self.live_from).max(0) }
    }
}
