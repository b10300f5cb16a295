//! Owns the runs of one member: which wait, which are stepped, what is committed, what may begin.
//! One thread; nothing here waits.
//!
//! The order is always: step → commit → effects. A call begins after the state that names it is
//! committed and while the lease holds; what follows from its result is committed before it
//! begins in its turn.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::fair::{Class, Fair, Full};
use super::journal::{Journal, JournalError, Record};
use super::rate::Rates;
use crate::respond::run::{Answer, Ask, Call, Effect, Failure, Key, Output, Run, RunState, Transition, resume, step};
use crate::respond::world::World;

/// What a coordinator may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that wait for their turn (count); each costs its id and its place.
    pub queued: usize,
    /// Runs whose calls are under way at once (count): each holds its state.
    pub running: usize,
    /// Of these so many are kept for classes above medium.
    pub reserved: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { queued: 1_000_000, running: 64, reserved: 8 }
    }
}

/// What a queued run has: everything else is in the journal.
#[derive(Debug, Clone)]
struct Queued {
    run: u128,
    why: Why,
}

/// A million of them wait in 64 MB.
const _: () = assert!(size_of::<Queued>() <= 64);

/// Why a run wants its turn.
#[derive(Debug, Clone)]
enum Why {
    Begin,
    Due,
    Person(Box<Transition>),
}

/// A run in memory.
#[derive(Debug)]
struct Active {
    run: Run,
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
    pub run: String,
    /// The call.
    pub call: Call,
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
    active: HashMap<Box<str>, Active>,
    /// Runs that wait for a time.
    wakes: BinaryHeap<Reverse<(i64, Box<str>)>>,
    /// The earliest of these by run: later ones of the same run are stale.
    wake_of: HashMap<Box<str>, i64>,
    /// Types whose runs do not go on; "" is all.
    paused: BTreeSet<Arc<str>>,
    /// What was taken from the queue while it was paused.
    aside: VecDeque<(Class, Arc<str>, Queued)>,
    /// Calls beyond their rate: when, whose.
    delayed: BTreeMap<(i64, u64), Begin>,
    delays: u64,
    rates: Rates,
    staged: Vec<Record>,
    staged_calls: Vec<Begin>,
    asks: Vec<(String, Ask)>,
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
            delayed: BTreeMap::new(),
            delays: 0,
            rates,
            staged: Vec::new(),
            staged_calls: Vec::new(),
            asks: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// True where no more runs are let in for now: reading stops, and lag grows.
    pub fn is_full(&self) -> bool {
        self.fair.len() + self.aside.len() >= self.bounds.queued
    }

    /// Lets a run in: it is committed with the next batch, and waits for its turn.
    ///
    /// # Errors
    /// No room.
    pub fn accept(&mut self, run: &Run) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        let (class, type_name) = place_of(run);
        self.staged.push(Record { run: run.id.clone(), state: encoded(run), ..Record::default() });
        self.fair.force(class, type_name, Queued { run: number(&run.id), why: Why::Begin });
        self.counts.accepted += 1;
        Ok(())
    }

    /// Takes over runs that were committed by whoever had them before. Calls whose results nobody
    /// knows are repeated, asked about, or failed, as their commands say.
    pub fn take_over(&mut self, ids: impl IntoIterator<Item = String>, now_us: i64) {
        for id in ids {
            let Some(mut run) = self.journal.load(&id) else { continue };
            if run.is_done() {
                continue;
            }
            let (class, type_name) = place_of(&run);
            if run.state == RunState::New {
                self.fair.force(class, type_name, Queued { run: number(&id), why: Why::Begin });
                continue;
            }
            let effects = resume(&mut run, &self.world, now_us);
            let mut active = Active { run, class, type_name, calls: 0, ahead: VecDeque::new() };
            self.stage(&mut active, effects);
            self.park(active);
        }
    }

    /// A call ended.
    pub fn result(&mut self, run: &str, key: Key, result: Result<Output, Failure>, now_us: i64) {
        if let Some(active) = self.active.get_mut(run) {
            active.calls = active.calls.saturating_sub(1);
            active.ahead.push_back(Transition::Result { key, result });
            self.advance(run, now_us);
        }
    }

    /// A person answers.
    pub fn answer(&mut self, run: &str, answer: Answer, now_us: i64) {
        self.poke(run, Why::Person(Box::new(Transition::Answer(answer))), now_us);
    }

    /// A person ends a run.
    pub fn cancel(&mut self, run: &str, actor: &str, now_us: i64) {
        self.poke(run, Why::Person(Box::new(Transition::Cancel { actor: actor.to_owned() })), now_us);
    }

    /// Somebody else closed the incident of a run.
    pub fn closed(&mut self, run: &str, now_us: i64) {
        self.poke(run, Why::Person(Box::new(Transition::Closed)), now_us);
    }

    fn poke(&mut self, id: &str, why: Why, now_us: i64) {
        if let Some(active) = self.active.get_mut(id) {
            active.ahead.push_back(transition(&why));
            return self.advance(id, now_us);
        }
        if let Some(run) = self.current(id).filter(|run| !run.is_done()) {
            let (class, type_name) = place_of(&run);
            self.fair.force(class, type_name, Queued { run: number(id), why });
        }
    }

    /// Runs of a type (`None`: all) do not go on; calls that are under way come to their end.
    pub fn pause(&mut self, type_name: Option<&str>) {
        self.paused.insert(type_name.unwrap_or_default().into());
    }

    /// They go on.
    pub fn resume(&mut self, type_name: Option<&str>) {
        match type_name {
            Some(name) => drop(self.paused.remove(name)),
            None => self.paused.clear(),
        }
        for (class, name, queued) in std::mem::take(&mut self.aside) {
            self.fair.force(class, name, queued);
        }
    }

    fn is_paused(&self, type_name: &str) -> bool {
        self.paused.contains("") || self.paused.contains(type_name)
    }

    /// Swaps the surroundings: brakes, commands, playbooks. Pinned versions must still be there.
    pub fn set_world(&mut self, world: Arc<World>) {
        self.world = world;
    }

    /// Gives turns while there is room.
    pub fn pump(&mut self, now_us: i64) {
        while let Some(Reverse((at, _))) = self.wakes.peek() {
            if *at > now_us {
                break;
            }
            let Some(Reverse((at, id))) = self.wakes.pop() else { break };
            if self.wake_of.get(&id) != Some(&at) {
                continue;
            }
            self.wake_of.remove(&id);
            if let Some(active) = self.active.get_mut(&id) {
                active.ahead.push_back(Transition::Due);
                self.advance(&id, now_us);
                continue;
            }
            let Some(run) = self.current(&id).filter(|run| !run.is_done()) else { continue };
            match run.wakes_at() {
                Some(at) if at <= now_us => {
                    let (class, type_name) = place_of(&run);
                    self.fair.force(class, type_name, Queued { run: number(&id), why: Why::Due });
                }
                // What it waited for went away; what it waits for now comes later.
                Some(at) => self.wake_at(id, at),
                None => {}
            }
        }
        let mut looked = self.fair.len();
        while looked > 0 {
            looked -= 1;
            let (free, reserved) = (self.bounds.running.saturating_sub(self.active.len()), self.bounds.reserved);
            let Some((class, type_name, queued)) = self.fair.pop(|class| if class <= Class::High { free > 0 } else { free > reserved }) else { break };
            if self.is_paused(&type_name) && !matches!(&queued.why, Why::Person(said) if matches!(**said, Transition::Cancel { .. })) {
                self.aside.push_back((class, type_name, queued));
                continue;
            }
            let id: Box<str> = format!("{:032x}", queued.run).into();
            if let Some(active) = self.active.get_mut(&id) {
                active.ahead.push_back(transition(&queued.why));
                self.advance(&id, now_us);
                continue;
            }
            let Some(run) = self.current(&id) else { continue };
            self.active.insert(id.clone(), Active { run, class, type_name, calls: 0, ahead: VecDeque::from([transition(&queued.why)]) });
            self.advance(&id, now_us);
        }
    }

    /// Steps a run as far as it goes, and stages what that says.
    fn advance(&mut self, id: &str, now_us: i64) {
        let Some(mut active) = self.active.remove(id) else { return };
        let mut all = Vec::new();
        let mut steps = 0_i64;
        while let Some(transition) = active.ahead.pop_front() {
            self.counts.steps += 1;
            steps += 1;
            let effects = step(&mut active.run, &self.world, now_us, transition);
            if effects.iter().any(|effect| matches!(effect, Effect::More)) {
                active.ahead.push_back(Transition::More);
            }
            all.extend(effects);
        }
        self.fair.charge(active.class, &active.type_name, steps - 1);
        self.stage(&mut active, all);
        self.park(active);
    }

    /// Keeps a run in memory while calls of it are under way.
    fn park(&mut self, active: Active) {
        if let Some(at) = active.run.wakes_at() {
            self.wake_at(active.run.id.as_str().into(), at);
        }
        if active.calls > 0 {
            self.active.insert(active.run.id.as_str().into(), active);
        }
    }

    fn wake_at(&mut self, id: Box<str>, at: i64) {
        // One that comes earlier already will look for the next.
        if self.wake_of.get(&id).is_none_or(|known| at < *known) {
            self.wake_of.insert(id.clone(), at);
            self.wakes.push(Reverse((at, id)));
        }
    }

    /// The newest state of a run: what is staged is not in the journal yet.
    fn current(&self, id: &str) -> Option<Run> {
        let staged = self.staged.iter().rev().find(|record| record.run == id).and_then(|record| serde_json::from_slice(&record.state).ok());
        staged.or_else(|| self.journal.load(id))
    }

    fn stage(&mut self, active: &mut Active, effects: Vec<Effect>) {
        let mut record = Record { run: active.run.id.clone(), state: encoded(&active.run), ..Record::default() };
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    active.calls += 1;
                    self.staged_calls.push(Begin { run: active.run.id.clone(), call });
                }
                Effect::Ask(ask) => self.asks.push((active.run.id.clone(), ask)),
                Effect::Entry(entry) => record.entries.push(entry),
                Effect::Edit(edit) => record.edits.push(edit),
                Effect::Timer(fact) => record.timers.push(fact),
                Effect::State(RunState::Completed) => self.counts.completed += 1,
                Effect::State(RunState::Failed) => self.counts.failed += 1,
                Effect::State(RunState::Cancelled) => self.counts.cancelled += 1,
                Effect::List(..) | Effect::Task(_) | Effect::State(_) | Effect::More => {}
            }
        }
        // Of a run that was stepped twice in one batch the last state counts.
        match self.staged.iter_mut().rev().take(64).find(|staged| staged.run == record.run) {
            Some(staged) => {
                staged.state = record.state;
                staged.entries.extend(record.entries);
                staged.edits.extend(record.edits);
                staged.timers.extend(record.timers);
            }
            None => self.staged.push(record),
        }
    }

    /// True where something waits to be committed.
    pub fn is_dirty(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Commits what was staged; what may begin then. After [`JournalError::Fenced`] nothing of this
    /// member counts any more.
    ///
    /// # Errors
    /// As the journal says. Nothing was written, and nothing begins; after one that may pass the
    /// same is committed with the next call.
    pub fn commit(&mut self, now_us: i64) -> Result<Vec<Begin>, JournalError> {
        if !self.staged.is_empty() {
            self.journal.commit(&self.staged)?;
            self.staged.clear();
        }
        let mut ready: Vec<Begin> = Vec::new();
        let later = self.delayed.split_off(&(now_us + 1, 0));
        let due = std::mem::replace(&mut self.delayed, later);
        for begin in due.into_values().chain(std::mem::take(&mut self.staged_calls)) {
            match self.rates.take(&begin.call.command, now_us) {
                Ok(()) => ready.push(begin),
                Err(at_us) => {
                    self.delays += 1;
                    self.delayed.insert((at_us, self.delays), begin);
                }
            }
        }
        self.counts.calls += ready.len() as u64;
        Ok(ready)
    }

    /// True while calls may begin: the lease holds.
    pub fn may_begin(&self, now_us: i64) -> bool {
        now_us < self.journal.lease_until_us()
    }

    /// Questions to people since the last time.
    pub fn asks(&mut self) -> Vec<(String, Ask)> {
        std::mem::take(&mut self.asks)
    }

    /// When something is to be done by itself, in microseconds.
    pub fn next_us(&self) -> Option<i64> {
        let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
        let delayed = self.delayed.keys().next().map(|(at, _)| *at);
        wake.into_iter().chain(delayed).min()
    }

    /// Runs that wait for their turn, and runs in memory.
    pub fn load(&self) -> (usize, usize) {
        (self.fair.len() + self.aside.len(), self.active.len())
    }

    /// What waits, by class and type.
    pub fn waiting(&self) -> Vec<(Class, String, usize)> {
        self.fair.waiting().map(|(class, name, count)| (class, name.to_string(), count)).collect()
    }
}

fn transition(why: &Why) -> Transition {
    match why {
        Why::Begin => Transition::Begin,
        Why::Due => Transition::Due,
        Why::Person(said) => (**said).clone(),
    }
}

/// The id of a run as a number: 32 hex digits.
fn number(id: &str) -> u128 {
    u128::from_str_radix(id, 16).unwrap_or_default()
}

/// The class and type of a run.
fn place_of(run: &Run) -> (Class, Arc<str>) {
    let severity = run.incident.get("severity").and_then(crate::expr::xsoar::value::as_number).unwrap_or(0.0);
    let type_name = run.incident.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    (Class::of(severity), type_name.into())
}

/// A state as JSON; its members are texts and numbers, so it always is.
fn encoded(run: &Run) -> Vec<u8> {
    serde_json::to_vec(run).unwrap_or_default()
}
