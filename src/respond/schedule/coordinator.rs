//! Owns the runs of one member: which wait, which are stepped, what is committed, what may begin.
//! One thread; nothing here waits.
//!
//! The order is always: step → commit → effects. A call begins after the state that names it is
//! committed and while the lease holds; what follows from its result is committed before it
//! begins in its turn.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::fair::{Class, Fair, Full};
use super::journal::{About, Hint, Journal, JournalError, Record, RunRef};
use super::rate::Rates;
use super::staged::{Staged, call_entry, question_entry, result_entry};
use super::waits::Waits;
use crate::respond::limits::{STATE_DEPTH_MAX, nested};
use crate::respond::run::{Answer, Ask, Call, Effect, Entry, Failure, Key, Output, REMINDER, Run, RunState, Transition, step};
use crate::respond::world::World;

mod look;
mod takeover;

/// What a coordinator may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that wait for their turn (count); each costs its id and its place.
    pub queued: usize,
    /// Runs whose calls are under way at once (count): each holds its state.
    pub running: usize,
    /// Of these so many are kept for classes above medium.
    pub reserved: usize,
    /// Bytes of one state: what a record of the topic takes.
    pub state_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { queued: 1_000_000, running: 64, reserved: 8, state_bytes: 1_000_000 }
    }
}

/// What a queued run has: everything else is in the journal.
#[derive(Debug, Clone, Copy)]
struct Queued {
    run: RunRef,
    /// Since when it waits for this turn, in seconds since 1970.
    since_s: u32,
}

/// A million of them wait in 64 MB.
const _: () = assert!(size_of::<Queued>() <= 64);

/// A run in memory.
#[derive(Debug)]
struct Active {
    run: Run,
    at: RunRef,
    class: Class,
    type_name: Arc<str>,
    /// Calls under way.
    calls: usize,
    /// Transitions that came while it was there.
    ahead: VecDeque<Transition>,
}

/// A call that may begin now.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The run.
    pub run: RunRef,
    /// The call.
    pub call: Call,
}

/// A run of whoever had it before.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The run.
    pub run: RunRef,
    /// What is known about it without its state; `None`: look.
    pub hint: Option<Hint>,
}

/// What a member has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub accepted: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub calls: u64,
    pub steps: u64,
}

/// The runs of one member.
pub struct Coordinator<J> {
    /// What is kept.
    pub journal: J,
    world: Arc<World>,
    bounds: Bounds,
    fair: Fair<Arc<str>, Queued>,
    active: HashMap<u128, Active>,
    /// Runs that wait for a time.
    wakes: BinaryHeap<Reverse<(i64, RunRef)>>,
    /// The earliest of these by run: later ones of the same run are stale.
    wake_of: HashMap<u128, i64>,
    /// Types whose runs do not go on; "" is all.
    paused: BTreeSet<Arc<str>>,
    /// What was taken from the queue while it was paused.
    aside: VecDeque<(Class, Arc<str>, Queued)>,
    /// Calls that are committed and held back: beyond their rate, or paused.
    waits: Waits,
    staged: Staged,
    /// Calls that the next commit lets begin.
    intents: Vec<Begin>,
    /// No call begins: what is under way comes to its end.
    holding: bool,
    asks: Vec<(RunRef, Ask)>,
    /// Calls that were let begin and whose results did not come; results that came while their
    /// runs were not here.
    under_way: HashMap<(RunRef, Key), Option<Result<Output, Failure>>>,
    /// Results that the next commit keeps.
    applied: Vec<((RunRef, Key), Result<Output, Failure>)>,
    /// What was done.
    pub counts: Counts,
}

impl<J: Journal> Coordinator<J> {
    /// A member without runs.
    pub fn new(journal: J, world: Arc<World>, bounds: Bounds, rates: Rates) -> Coordinator<J> {
        Coordinator {
            journal,
            world,
            fair: Fair::new(bounds.queued),
            bounds,
            active: HashMap::new(),
            wakes: BinaryHeap::new(),
            wake_of: HashMap::new(),
            paused: BTreeSet::new(),
            aside: VecDeque::new(),
            waits: Waits::new(rates),
            staged: Staged::default(),
            intents: Vec::new(),
            holding: false,
            asks: Vec::new(),
            under_way: HashMap::new(),
            applied: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// True where no more runs are let in for now: reading stops, and lag grows.
    pub fn is_full(&self) -> bool {
        self.fair.len() + self.aside.len() >= self.bounds.queued || self.active.len() >= self.bounds.running.saturating_mul(2)
    }

    /// True for a run that was let in before, whatever became of it.
    pub fn knows(&mut self, at: RunRef) -> bool {
        self.active.contains_key(&at.id) || self.staged.has(at) || self.journal.knows(at)
    }

    /// Lets a run in: it is committed with the next batch, and waits for its turn.
    ///
    /// # Errors
    /// No room.
    pub fn accept(&mut self, run: &Run, partition: i32, now_us: i64) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.admit(run, partition, now_us);
        Ok(())
    }

    /// Lets a run in that was read already, whether there is room or not.
    pub fn admit(&mut self, run: &Run, partition: i32, now_us: i64) {
        let at = RunRef::of(run, partition);
        let about = About::of(run);
        self.queue(about.class, about.type_name.clone(), at, now_us);
        self.staged.add(Record { about, state: encoded(run), ..Record::of(at) });
        self.counts.accepted += 1;
    }

    fn queue(&mut self, class: Class, type_name: Arc<str>, run: RunRef, now_us: i64) {
        self.fair.force(class, type_name, Queued { run, since_s: u32::try_from(now_us / 1_000_000).unwrap_or(0) });
    }

    /// A call ended.
    pub fn result(&mut self, at: RunRef, key: Key, result: Result<Output, Failure>, now_us: i64) {
        let Some(place) = self.under_way.get_mut(&(at, key)) else { return };
        let Some(active) = self.active.get_mut(&at.id) else {
            *place = Some(result);
            return;
        };
        self.under_way.remove(&(at, key));
        active.calls = active.calls.saturating_sub(1);
        active.ahead.push_back(Transition::Result { key, result: result.clone() });
        self.applied.push(((at, key), result));
        self.advance(at.id, now_us);
    }

    /// A person answers.
    pub fn answer(&mut self, at: RunRef, answer: Answer, now_us: i64) {
        self.poke(at, Transition::Answer(answer), now_us);
    }

    /// A person ends a run.
    pub fn cancel(&mut self, at: RunRef, actor: &str, now_us: i64) {
        self.poke(at, Transition::Cancel { actor: actor.to_owned() }, now_us);
    }

    /// Somebody else closed the incident of a run.
    pub fn closed(&mut self, at: RunRef, now_us: i64) {
        self.poke(at, Transition::Closed, now_us);
    }

    /// Somebody else changed the incident of a run.
    pub fn changed(&mut self, at: RunRef, fields: serde_json::Map<String, serde_json::Value>, now_us: i64) {
        self.poke(at, Transition::Fields(fields), now_us);
    }

    /// What people say takes effect with the very next commit, so that it is not said in vain; the
    /// calls that follow from it are held back like any other.
    fn poke(&mut self, at: RunRef, said: Transition, now_us: i64) {
        if !self.active.contains_key(&at.id) {
            let Some(run) = self.current(at).filter(|run| !run.is_done()) else { return };
            self.activate(at, run);
        }
        if let Some(active) = self.active.get_mut(&at.id) {
            active.ahead.push_back(said);
        }
        self.advance(at.id, now_us);
    }

    /// Runs of a type (`None`: all) do not go on; calls that are under way come to their end, and
    /// none begins.
    pub fn pause(&mut self, type_name: Option<&str>) {
        self.paused.insert(type_name.unwrap_or_default().into());
    }

    /// They go on, unless they are paused in another way, too.
    pub fn resume(&mut self, type_name: Option<&str>) {
        match type_name {
            Some(name) => drop(self.paused.remove(name)),
            None => self.paused.clear(),
        }
        self.set_paused(self.paused.clone());
    }

    /// What stands still from now on: types, "" for all.
    pub fn set_paused(&mut self, paused: BTreeSet<Arc<str>>) {
        self.paused = paused;
        for (class, name, queued) in std::mem::take(&mut self.aside) {
            self.fair.force(class, name, queued);
        }
    }

    fn is_paused(&self, type_name: &str) -> bool {
        is_paused(&self.paused, type_name)
    }

    /// Swaps the surroundings: brakes, commands, playbooks. Pinned versions must still be there.
    pub fn set_world(&mut self, world: Arc<World>) {
        self.world = world;
    }

    /// Other limits on commands.
    pub fn set_rates(&mut self, rates: Rates) {
        self.waits.rates = rates;
    }

    /// Lets calls begin that were held back, as far as nothing holds them any more.
    fn release(&mut self, now_us: i64) {
        while !self.holding
            && let Some((at, key)) = self.waits.next(&self.paused, now_us)
        {
            if !self.active.contains_key(&at.id) {
                let Some(run) = self.current(at).filter(|run| !run.is_done()) else { continue };
                self.activate(at, run);
            }
            let Some(mut active) = self.active.remove(&at.id) else { continue };
            active.run.held.remove(&key);
            let mut record = Record::of(at);
            // Unless it was given up meanwhile.
            if let Some(call) = active.run.call_of(key, &self.world) {
                active.calls += 1;
                record.entries.push(call_entry(&active.run, &call, now_us));
                self.intents.push(Begin { run: at, call });
            }
            self.keep(&mut active, record);
            self.park(active, false);
        }
    }

    /// No call begins from now on, or they do again: results come and are kept.
    pub fn hold(&mut self, on: bool) {
        self.holding = on;
    }

    /// Gives turns while there is room.
    pub fn pump(&mut self, now_us: i64) {
        self.release(now_us);
        while let Some(Reverse((time, _))) = self.wakes.peek() {
            if *time > now_us {
                break;
            }
            let Some(Reverse((time, at))) = self.wakes.pop() else { break };
            if self.wake_of.get(&at.id) != Some(&time) {
                continue;
            }
            self.wake_of.remove(&at.id);
            if let Some(active) = self.active.get_mut(&at.id) {
                active.ahead.push_back(Transition::Due);
                self.advance(at.id, now_us);
                continue;
            }
            let Some(run) = self.current(at).filter(|run| !run.is_done()) else { continue };
            match run.wakes_at() {
                Some(time) if time <= now_us => {
                    let about = About::of(&run);
                    self.queue(about.class, about.type_name, at, now_us);
                }
                // What it waited for went away; what it waits for now comes later.
                Some(time) => self.wake_at(at, time),
                None => {}
            }
        }
        let mut looked = self.fair.len();
        while looked > 0 {
            looked -= 1;
            let (free, reserved) = (self.bounds.running.saturating_sub(self.active.len()), self.bounds.reserved);
            let Some((class, type_name, queued)) = self.fair.pop(|class| if class <= Class::High { free > 0 } else { free > reserved }) else { break };
            if self.is_paused(&type_name) {
                self.aside.push_back((class, type_name, queued));
                continue;
            }
            let at = queued.run;
            if !self.active.contains_key(&at.id) {
                let Some(run) = self.current(at).filter(|run| !run.is_done()) else { continue };
                self.activate(at, run);
            }
            if let Some(active) = self.active.get_mut(&at.id) {
                active.ahead.push_back(if active.run.state == RunState::New { Transition::Begin } else { Transition::Due });
            }
            self.advance(at.id, now_us);
        }
    }

    fn activate(&mut self, at: RunRef, run: Run) {
        let about = About::of(&run);
        self.active.insert(at.id, Active { run, at, class: about.class, type_name: about.type_name, calls: 0, ahead: VecDeque::new() });
    }

    /// Steps a run as far as it goes, and stages what that says.
    fn advance(&mut self, id: u128, now_us: i64) {
        let Some(mut active) = self.active.remove(&id) else { return };
        let mut all = Vec::new();
        let mut audit = Vec::new();
        let mut steps = 0_i64;
        while let Some(transition) = active.ahead.pop_front() {
            self.counts.steps += 1;
            steps += 1;
            if let Transition::Result { key, result } = &transition {
                audit.extend(result_entry(&active.run, *key, result, now_us));
            }
            let effects = step(&mut active.run, &self.world, now_us, transition);
            if effects.iter().any(|effect| matches!(effect, Effect::More)) {
                active.ahead.push_back(Transition::More);
            }
            all.extend(effects);
        }
        self.fair.charge(active.class, &active.type_name, steps - 1);
        self.stage(&mut active, all, audit, now_us);
        self.park(active, false);
    }

    /// Keeps a run in memory while calls of it are under way.
    fn park(&mut self, active: Active, stays: bool) {
        if let Some(time) = active.run.wakes_at() {
            self.wake_at(active.at, time);
        }
        if active.calls > 0 || stays {
            self.active.insert(active.at.id, active);
        }
    }

    fn wake_at(&mut self, at: RunRef, time: i64) {
        // One that comes earlier already will look for the next.
        if self.wake_of.get(&at.id).is_none_or(|known| time < *known) {
            self.wake_of.insert(at.id, time);
            self.wakes.push(Reverse((time, at)));
        }
    }

    /// The newest state of a run: what is staged is not in the journal yet.
    fn current(&mut self, at: RunRef) -> Option<Run> {
        match self.staged.state(at) {
            Some(state) => serde_json::from_slice(state).ok(),
            None => self.journal.load(at),
        }
    }

    fn stage(&mut self, active: &mut Active, effects: Vec<Effect>, audit: Vec<Entry>, now_us: i64) {
        let mut record = Record { entries: audit, ..Record::of(active.at) };
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    let stands = self.holding || self.is_paused(&active.type_name);
                    let taken = if stands { Err(0) } else { self.waits.take(&call.command, now_us) };
                    if let Err(at_us) = taken {
                        // Its state says so, so that nobody ever wonders whether it was done.
                        active.run.held.insert(call.key);
                        self.waits.add(active.class, active.type_name.clone(), active.at, (&call.command, call.key), at_us);
                        continue;
                    }
                    active.calls += 1;
                    record.entries.push(call_entry(&active.run, &call, now_us));
                    self.intents.push(Begin { run: active.at, call });
                }
                Effect::Ask(ask) => {
                    // A reminder has its own entry.
                    if ask.kind != REMINDER {
                        record.entries.push(question_entry(&active.run, &ask, now_us));
                    }
                    self.asks.push((active.at, ask));
                }
                Effect::Entry(entry) => record.entries.push(entry),
                Effect::Edit(edit) => {
                    active.run.changes += 1;
                    if matches!(edit, crate::respond::run::Edit::Playbook { .. }) {
                        record.incident = Some(active.run.incident.clone());
                    }
                    record.edits.push((active.run.changes, edit));
                }
                Effect::Timer(fact) => {
                    active.run.changes += 1;
                    record.timers.push((active.run.changes, fact));
                }
                Effect::State(RunState::Completed) => self.counts.completed += 1,
                Effect::State(RunState::Failed) => self.counts.failed += 1,
                Effect::State(RunState::Cancelled) => self.counts.cancelled += 1,
                Effect::List(..) | Effect::Task(_) | Effect::State(_) | Effect::More => {}
            }
        }
        self.keep(active, record);
    }

    /// Stages a record with the state as it is now.
    fn keep(&mut self, active: &mut Active, mut record: Record) {
        record.state = encoded(&active.run);
        if record.state.len() > self.bounds.state_bytes || nested(&record.state) > STATE_DEPTH_MAX {
            active.run.too_large();
            self.counts.failed += 1;
            record.state = encoded(&active.run);
        }
        record.about = About::of(&active.run);
        self.staged.add(record);
    }

    /// Commits what was staged; what may begin then. After [`JournalError::Fenced`] nothing of this
    /// member counts any more.
    ///
    /// # Errors
    /// As the journal says. Nothing was written, and nothing begins; after one that may pass the
    /// same is committed with the next call.
    pub fn commit(&mut self) -> Result<Vec<Begin>, JournalError> {
        if !self.staged.is_empty() {
            self.journal.commit(self.staged.records())?;
            self.staged.clear();
            self.applied.clear();
        }
        let ready = std::mem::take(&mut self.intents);
        self.counts.calls += ready.len() as u64;
        self.under_way.extend(ready.iter().map(|begin| ((begin.run, begin.call.key), None)));
        Ok(ready)
    }
}

fn is_paused(paused: &BTreeSet<Arc<str>>, type_name: &str) -> bool {
    paused.contains("") || paused.contains(type_name)
}

/// A state as JSON; its members are texts and numbers, so it always is.
fn encoded(run: &Run) -> Vec<u8> {
    serde_json::to_vec(run).unwrap_or_default()
}
