//! The time of one index: its clock, how far back it reaches, and what was given up early.
//!
//! An index whose batches may be undone must not lose what was live at the last commit, though
//! the clock has moved since. So the floor below which slots are free can be *held* at that
//! of the commit; `live_from`, which decides, is never held.

use super::chain::Window;
use super::slices::{HELD_MAX, Live, REACH_MAX_MS, SLICES, Slices, TIME_MAX_MS};

/// Nothing is held.
const FREE: i64 = i64::MAX;

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
    /// [`FREE`], or `live_from` as of the last commit.
    held: i64,
    /// Something went since `take_lost` that undoing would need.
    lost: bool,
    clock: i64,
    /// How time is cut.
    pub slices: Slices,
    /// From the slice of `kept_from` to that of the clock, as of when the clock's slice turned.
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
            held: FREE,
            lost: false,
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
        self.set(clock);
        if self.clock >= self.turn {
            self.settle();
        }
    }

    #[inline]
    fn set(&mut self, clock: i64) {
        self.clock = clock.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        self.from = self.clock - self.reach;
        self.live_from = self.from.max(self.given_up);
    }

    /// Times before this may be forgotten: those that are neither live nor held.
    #[inline]
    pub fn kept_from(&self) -> i64 {
        self.live_from.min(self.held)
    }

    /// Gives up the times before one that is live, in favour of what is younger.
    pub fn give_up_before(&mut self, time: i64) {
        self.given_up = self.given_up.max(time);
        self.live_from = self.from.max(self.given_up);
        (self.held, self.lost) = (self.held.max(self.live_from), true);
        self.settle();
    }

    /// From now on, what is live now stays until a commit.
    pub fn hold(&mut self) {
        if self.held == FREE {
            self.held = self.live_from;
        }
    }

    /// What is not live at this clock, which was committed, may go.
    pub fn commit(&mut self, clock: i64) {
        if self.held != FREE {
            self.held = self.held.max((clock.clamp(-TIME_MAX_MS, TIME_MAX_MS) - self.reach).max(self.given_up));
            self.settle();
        }
    }

    /// Moves the clock back to that of the last commit.
    pub fn rewind(&mut self, clock: i64) {
        self.set(clock);
        self.settle();
    }

    /// Frees what is held and not live. False if there is no such thing.
    pub fn release(&mut self) -> bool {
        if self.held >= self.live_from {
            return false;
        }
        (self.held, self.lost) = (self.live_from, true);
        self.settle();
        true
    }

    /// Notes that something went that undoing would need.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// Whether something went since the last call.
    pub fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    #[inline(never)]
    fn settle(&mut self) {
        // A tag of one byte cannot tell any number of slices.
        if self.slices.of(self.clock) - self.slices.of(self.kept_from()) > SLICES + 1 + HELD_MAX {
            (self.held, self.lost) = (self.live_from, true);
        }
        self.live = Live::new(self.slices.of(self.kept_from()), self.slices.of(self.clock));
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
