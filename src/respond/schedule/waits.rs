//! Owns calls that are held back: beyond the rate of their command, or of a type that is paused.
//! What waits is small: the call itself is in the state of its run. Those of one command are as
//! fair as runs are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::fair::{Class, Fair};
use super::journal::RunRef;
use super::rate::Rates;
use crate::respond::run::Key;

/// Calls that wait.
pub struct Waits {
    /// Limits on commands.
    pub rates: Rates,
    by_command: HashMap<String, Lane>,
    held: usize,
}

struct Lane {
    calls: Fair<Arc<str>, (RunRef, Key)>,
    /// When the next may begin, as far as its rate goes.
    at_us: i64,
}

impl Waits {
    /// None yet.
    pub fn new(rates: Rates) -> Waits {
        Waits { rates, by_command: HashMap::new(), held: 0 }
    }

    /// Takes a call of a command, if one may begin and none waits; else when it is worth looking again.
    pub fn take(&mut self, command: &str, now_us: i64) -> Result<(), i64> {
        match self.by_command.get(&command.to_lowercase()) {
            Some(lane) => Err(lane.at_us),
            None => self.rates.take(command, now_us),
        }
    }

    /// A call waits, until a time at the least; 0: for something else.
    pub fn add(&mut self, class: Class, type_name: Arc<str>, at: RunRef, (command, key): (&str, Key), at_us: i64) {
        let lane = self.by_command.entry(command.to_lowercase()).or_insert_with(|| Lane { calls: Fair::new(usize::MAX), at_us });
        lane.calls.force(class, type_name, (at, key));
        self.held += 1;
    }

    /// A call that may begin now, of a type that is not paused.
    pub fn next(&mut self, paused: &BTreeSet<Arc<str>>, now_us: i64) -> Option<(RunRef, Key)> {
        let mut found = None;
        for (command, lane) in &mut self.by_command {
            if lane.at_us > now_us {
                continue;
            }
            let mut looked = lane.calls.len();
            let mut aside = Vec::new();
            while looked > 0 && found.is_none() {
                looked -= 1;
                let Some((class, type_name, call)) = lane.calls.pop(|_| true) else { break };
                if paused.contains("") || paused.contains(&type_name) {
                    aside.push((class, type_name, call));
                    continue;
                }
                match self.rates.take(command, now_us) {
                    Ok(()) => found = Some(call),
                    Err(at_us) => {
                        lane.at_us = at_us;
                        aside.push((class, type_name, call));
                        break;
                    }
                }
            }
            aside.into_iter().for_each(|(class, type_name, call)| lane.calls.force(class, type_name, call));
            if found.is_some() {
                break;
            }
        }
        self.by_command.retain(|_, lane| !lane.calls.is_empty());
        self.held -= usize::from(found.is_some());
        found
    }

    /// Only these stay.
    pub fn retain(&mut self, stays: impl Fn(&RunRef) -> bool) {
        self.by_command.values_mut().for_each(|lane| lane.calls.retain(|(at, _)| stays(at)));
        self.by_command.retain(|_, lane| !lane.calls.is_empty());
        self.held = self.by_command.values().map(|lane| lane.calls.len()).sum();
    }

    /// When the next may begin as far as its rate goes, in microseconds.
    pub fn next_us(&self) -> Option<i64> {
        self.by_command.values().map(|lane| lane.at_us).filter(|at| *at > 0).min()
    }

    /// How many wait.
    pub fn held(&self) -> usize {
        self.held
    }
}
