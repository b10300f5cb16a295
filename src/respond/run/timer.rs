//! Owns SLA timers: what starting, pausing, stopping and time do to one. Pure; what changes
//! becomes a fact on the stream.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::respond::clock::iso_us;

const MINUTE_US: i64 = 60_000_000;

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Timer {
    /// Where it stands.
    pub state: TimerState,
    /// Minutes until it is breached; -1: no promise.
    pub sla_minutes: i64,
    /// Minutes before that at which it is at risk.
    pub risk_minutes: i64,
    /// When it was started first, in microseconds.
    pub started_us: i64,
    /// When it was paused last.
    pub paused_us: i64,
    /// Pauses so far, in microseconds.
    pub pauses_us: i64,
    /// When it was stopped.
    pub ended_us: i64,
    /// It was said that it is at risk.
    pub at_risk: bool,
    /// It was said that it is breached.
    pub breached: bool,
}

/// Where a timer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TimerState {
    /// Not started.
    #[default]
    Idle,
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It ended; only a reset lets it start again.
    Ended,
}

/// What became of a timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFact {
    /// The field, by cliName.
    pub field: String,
    /// `started`, `paused`, `at_risk`, `breached`, `stopped`, `reset`.
    pub what: String,
    /// When, in microseconds.
    pub at_us: i64,
    /// When it is breached if nothing happens, in microseconds; 0: never.
    pub due_us: i64,
}

impl Timer {
    /// A timer with a promise.
    pub fn new(sla_minutes: i64, risk_minutes: i64) -> Timer {
        Timer { sla_minutes, risk_minutes, ..Timer::default() }
    }

    /// When it is breached; 0: never.
    pub fn due_us(&self) -> i64 {
        if self.sla_minutes < 0 || self.started_us == 0 {
            0
        } else {
            self.started_us.saturating_add(self.sla_minutes.saturating_mul(MINUTE_US)).saturating_add(self.pauses_us)
        }
    }

    /// Does `start`, `pause`, `stop` or `reset`; what it is called as a fact, `None` if it changes nothing.
    pub fn act(&mut self, action: &str, at_us: i64) -> Result<Option<&'static str>, &'static str> {
        Ok(Some(match (action, self.state) {
            ("start", TimerState::Idle) => {
                self.state = TimerState::Running;
                self.started_us = at_us;
                "started"
            }
            ("start", TimerState::Paused) => {
                self.state = TimerState::Running;
                self.pauses_us = self.pauses_us.saturating_add(at_us.saturating_sub(self.paused_us).max(0));
                "started"
            }
            ("start", TimerState::Running) | ("pause", TimerState::Paused) | ("stop", TimerState::Ended) | ("reset", TimerState::Idle) => return Ok(None),
            ("start", TimerState::Ended) => return Err("the timer has ended: it needs a reset before it can start again"),
            ("pause", TimerState::Running) => {
                self.state = TimerState::Paused;
                self.paused_us = at_us;
                "paused"
            }
            ("pause", _) => return Err("only a running timer can be paused"),
            ("stop", _) => {
                if self.state == TimerState::Paused {
                    self.pauses_us = self.pauses_us.saturating_add(at_us.saturating_sub(self.paused_us).max(0));
                }
                self.state = TimerState::Ended;
                self.ended_us = at_us;
                "stopped"
            }
            ("reset", _) => {
                *self = Timer::new(self.sla_minutes, self.risk_minutes);
                "reset"
            }
            _ => return Err("a timer can be started, paused, stopped and reset"),
        }))
    }

    /// What time alone has done to it since it was looked at last.
    pub fn look(&mut self, now_us: i64) -> Option<&'static str> {
        let due = self.due_us();
        if self.state != TimerState::Running || due == 0 {
            return None;
        }
        if now_us >= due && !self.breached {
            self.breached = true;
            self.at_risk = true;
            return Some("breached");
        }
        if self.risk_minutes > 0 && now_us >= due.saturating_sub(self.risk_minutes.saturating_mul(MINUTE_US)) && !self.at_risk {
            self.at_risk = true;
            return Some("at_risk");
        }
        None
    }

    /// When it has to be looked at next; `None`: never.
    pub fn looks_at(&self) -> Option<i64> {
        let due = self.due_us();
        if self.state != TimerState::Running || due == 0 || self.breached {
            return None;
        }
        let risk = due.saturating_sub(self.risk_minutes.saturating_mul(MINUTE_US));
        Some(if self.risk_minutes > 0 && !self.at_risk { risk } else { due })
    }

    /// The value of its incident field.
    pub fn to_json(&self) -> Value {
        let date = |us: i64| if us == 0 { "0001-01-01T00:00:00Z".to_owned() } else { iso_us(us) };
        let total = match self.state {
            TimerState::Ended => self.ended_us.saturating_sub(self.started_us).saturating_sub(self.pauses_us).max(0) / 1_000_000,
            _ => 0,
        };
        json!({
            "runStatus": match self.state { TimerState::Idle => "idle", TimerState::Running => "running", TimerState::Paused => "paused", TimerState::Ended => "ended" },
            "sla": self.sla_minutes,
            "slaStatus": if self.sla_minutes < 0 { -1 } else if self.breached { 1 } else if self.at_risk { 2 } else { 0 },
            "startDate": date(self.started_us),
            "dueDate": date(self.due_us()),
            "endDate": date(self.ended_us),
            "lastPauseDate": date(self.paused_us),
            "accumulatedPause": self.pauses_us / 1_000_000,
            "totalDuration": total,
            "breachTriggered": self.breached,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pauses_move_the_end_and_an_ended_timer_needs_a_reset() {
        let mut timer = Timer::new(10, 2);
        assert_eq!(timer.act("start", 1_000_000).unwrap(), Some("started"));
        assert_eq!(timer.act("start", 2_000_000).unwrap(), None);
        assert_eq!(timer.looks_at(), Some(1_000_000 + 8 * MINUTE_US));
        assert_eq!(timer.act("pause", 60_000_000).unwrap(), Some("paused"));
        assert_eq!(timer.look(i64::MAX), None, "a paused timer is not breached");
        assert_eq!(timer.act("start", 120_000_000).unwrap(), Some("started"));
        assert_eq!(timer.due_us(), 1_000_000 + 11 * MINUTE_US);
        assert_eq!(timer.look(1_000_000 + 9 * MINUTE_US), Some("at_risk"));
        assert_eq!(timer.look(1_000_000 + 9 * MINUTE_US), None);
        assert_eq!(timer.look(1_000_000 + 11 * MINUTE_US), Some("breached"));
        assert_eq!(timer.act("stop", 1_000_000 + 12 * MINUTE_US).unwrap(), Some("stopped"));
        assert!(timer.act("start", 0).is_err());
        assert_eq!(timer.act("reset", 0).unwrap(), Some("reset"));
        assert_eq!(timer.act("start", 5).unwrap(), Some("started"));
    }
}
