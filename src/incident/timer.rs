//! Owns SLA timers: what starting, pausing, stopping and time do to one. Pure; what changes
//! becomes a fact on the stream, and from these facts the keeper makes the incident's field.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::split::{find, members, text};
use super::time_text::read_time;
use crate::expr::value::push_time;

const MINUTE_US: i64 = 60_000_000;
/// A promise of more minutes than these (19 years) is none.
const SLA_MINUTES_MAX: i64 = 10_000_000;
/// Bytes of a timer as a field: what is longer is none.
const FIELD_BYTES_MAX: usize = 4 << 10;
/// What a date is that has not come yet, as in the product.
const NO_DATE: &str = "0001-01-01T00:00:00Z";

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

/// What can become of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TimerEvent {
    Started,
    Paused,
    AtRisk,
    Breached,
    Stopped,
    Reset,
}

impl TimerEvent {
    /// All of them.
    pub const ALL: [TimerEvent; 6] =
        [TimerEvent::Started, TimerEvent::Paused, TimerEvent::AtRisk, TimerEvent::Breached, TimerEvent::Stopped, TimerEvent::Reset];

    /// As facts say it.
    pub fn name(self) -> &'static str {
        match self {
            TimerEvent::Started => "started",
            TimerEvent::Paused => "paused",
            TimerEvent::AtRisk => "at_risk",
            TimerEvent::Breached => "breached",
            TimerEvent::Stopped => "stopped",
            TimerEvent::Reset => "reset",
        }
    }

    /// Reads it.
    pub fn parse(name: &str) -> Option<TimerEvent> {
        TimerEvent::ALL.into_iter().find(|event| event.name() == name)
    }
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
                if self.state == TimerState::Idle {
                    self.started_us = at_us;
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

    /// True while it runs or stands still, so that it can be stopped.
    pub fn is_going(&self) -> bool {
        matches!(self.state, TimerState::Running | TimerState::Paused)
    }

    /// Takes over what a fact says became of it; false where that is so already.
    ///
    /// # Errors
    /// What cannot happen to a timer in its state.
    pub fn told(&mut self, what: TimerEvent, at_us: i64, due_us: i64) -> Result<bool, &'static str> {
        let changed = match what {
            TimerEvent::Started => self.act("start", at_us)?.is_some(),
            TimerEvent::Paused => self.act("pause", at_us)?.is_some(),
            TimerEvent::Stopped => self.act("stop", at_us)?.is_some(),
            TimerEvent::Reset => self.act("reset", at_us)?.is_some(),
            TimerEvent::AtRisk | TimerEvent::Breached if self.state != TimerState::Running || self.sla_minutes < 0 => false,
            TimerEvent::AtRisk => !std::mem::replace(&mut self.at_risk, true),
            TimerEvent::Breached => {
                self.at_risk = true;
                !std::mem::replace(&mut self.breached, true)
            }
        };
        // Whoever looks after the timer knows its promise; pauses were rounded when they were written down.
        if changed && due_us != 0 && self.started_us != 0 {
            let promised = due_us.saturating_sub(self.started_us).saturating_sub(self.pauses_us).saturating_add(MINUTE_US / 2);
            self.sla_minutes = promised.div_euclid(MINUTE_US).clamp(0, SLA_MINUTES_MAX);
        } else if changed && what == TimerEvent::Started {
            // What promises nothing is neither at risk nor late.
            (self.sla_minutes, self.at_risk, self.breached) = (-1, false, false);
        }
        Ok(changed)
    }

    /// Reads the value of an incident field, as [`Timer::to_json`] writes it; `None` for what is no timer. When it
    /// is at risk stands elsewhere.
    pub fn read(token: &str, risk_minutes: i64) -> Option<Timer> {
        // Nearly all fields are not even objects.
        let members = members(Some(token).filter(|token| token.starts_with('{') && token.len() <= FIELD_BYTES_MAX)?)?;
        let number = |key: &str| find(&members, key).and_then(|token| token.parse::<i64>().ok());
        let date = |key: &str| find(&members, key).and_then(text).filter(|date| date != NO_DATE).and_then(|date| read_time(&date)).unwrap_or(0);
        let state = match text(find(&members, "runStatus")?)?.as_ref() {
            "idle" | "" => TimerState::Idle,
            "running" => TimerState::Running,
            "paused" => TimerState::Paused,
            "ended" => TimerState::Ended,
            _ => return None,
        };
        let status = number("slaStatus");
        Some(Timer {
            state,
            sla_minutes: number("sla").unwrap_or(-1).clamp(-1, SLA_MINUTES_MAX),
            risk_minutes,
            started_us: date("startDate"),
            paused_us: date("lastPauseDate"),
            pauses_us: number("accumulatedPause").unwrap_or(0).clamp(0, i64::from(u32::MAX)).saturating_mul(1_000_000),
            ended_us: date("endDate"),
            at_risk: matches!(status, Some(1 | 2)),
            breached: status == Some(1) || find(&members, "breachTriggered") == Some("true"),
        })
    }

    /// The value of its incident field.
    pub fn to_json(&self) -> Value {
        let date = |us: i64| {
            let mut text = String::new();
            if us == 0 {
                NO_DATE.clone_into(&mut text)
            } else {
                push_time(&mut text, us)
            }
            text
        };
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
