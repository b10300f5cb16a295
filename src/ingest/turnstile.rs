//! The turnstile: batches are decided in the order in which they were cut, whichever
//! worker holds them.
//!
//! Workers take batches from one queue in that order, so the batch whose turn it is
//! is always held by somebody, and nobody waits for ever. A worker that fails (its
//! ticket is dropped unused) ends the run for all.

use std::sync::{Condvar, Mutex, MutexGuard};

use super::control::{Acted, Control};
use super::decide::{BatchInput, DecideSpec, Decided, Decider, Notes, RowTimes, RuleInput, WhereSource};
use super::plan::Plan;
use super::worker::Ended;

/// Gives out turns to decide, and holds what deciding remembers.
pub struct Turnstile {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    next: u64,
    ended: bool,
    decider: Decider,
}

impl Turnstile {
    /// A turnstile whose first turn is that of batch 0.
    pub fn new(spec: DecideSpec) -> Turnstile {
        let state = State { next: 0, ended: false, decider: Decider::new(spec) };
        Turnstile { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// The ticket of a batch: used up by deciding.
    pub fn ticket(&self, seq: u64) -> Turn<'_> {
        Turn { turnstile: self, seq, used: false }
    }

    /// Ends the run: whoever waits gets [`Ended`].
    pub fn end(&self) {
        self.lock().ended = true;
        self.moved.notify_all();
    }

    /// All batches up to and including this one are committed: they are not undone any more.
    pub fn committed(&self, seq: u64) {
        self.lock().decider.commit(seq);
    }

    /// Sizes and horizons of the indexes.
    pub fn stats(&self) -> Vec<(u16, super::decide::Stats)> {
        self.lock().decider.stats()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The right, and the duty, to decide one batch.
pub struct Turn<'a> {
    turnstile: &'a Turnstile,
    seq: u64,
    used: bool,
}

impl<'a> Turn<'a> {
    /// Waits for the turn and decides. Returns how many rows had no time of their own. With
    /// `notes` it can be undone until [`Turnstile::committed`] says otherwise.
    pub fn decide(
        mut self,
        plan: &Plan,
        mut times: RowTimes<'_>,
        rules: &[RuleInput],
        mut values: impl WhereSource,
        decided: &mut Decided,
        notes: Option<&mut Notes>,
    ) -> Result<u64, Ended> {
        let mut state = self.wait()?;
        let unknown = state.decider.fill_in(&mut times);
        let times_ms: Vec<i64> = times
            .occurred
            .iter()
            .zip(times.created.iter())
            .map(|(occurred, created)| {
                let time = if plan.by_occurred {
                    *occurred.max(&created.saturating_sub(plan.late_max_us)).min(&created.saturating_add(plan.max_skew_us))
                } else {
                    *created
                };
                time.div_euclid(1000)
            })
            .collect();
        let mut input = BatchInput { origins: times.origins, times_ms: &times_ms, rules, values: &mut values };
        match notes {
            Some(notes) => state.decider.decide_noted(self.seq, &mut input, decided, notes),
            None => state.decider.decide(&mut input, decided),
        }
        self.pass(state);
        Ok(unknown)
    }

    /// Waits for the turn and carries out a control.
    pub fn act(mut self, control: Control) -> Result<Acted, Ended> {
        let mut state = self.wait()?;
        let partitions = control.act.map(|act| act(&mut state.decider)).unwrap_or_default();
        self.pass(state);
        Ok(Acted { ticket: control.ticket, partitions })
    }

    fn wait(&mut self) -> Result<MutexGuard<'a, State>, Ended> {
        let mut state = self.turnstile.lock();
        while state.next != self.seq {
            if state.ended {
                self.used = true;
                return Err(Ended);
            }
            state = self.turnstile.moved.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Ok(state)
    }

    fn pass(&mut self, mut state: MutexGuard<'a, State>) {
        state.next += 1;
        self.used = true;
        drop(state);
        self.turnstile.moved.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.turnstile.end();
        }
    }
}
