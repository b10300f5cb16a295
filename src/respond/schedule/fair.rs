//! Owns who is next: classes of severity with guaranteed shares, and within a class the types of
//! incidents in turn, each as far as its deficit goes. What is queued is small, and bounded.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A class of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Severity 4.
    Critical,
    /// Severity 3.
    High,
    /// Severity 2, and unknown.
    Medium,
    /// Severity 1 and 0.5.
    Low,
}

/// Shares of the classes, of 15. A class that has nothing to do leaves its share to the others.
const SHARES: [u64; 4] = [8, 4, 2, 1];
/// The way that a class with share 1 goes in one turn.
const STRIDE: u64 = 8 * 4 * 2 * 1_000;
/// What a type may use in one turn, in units of cost. One start costs one.
const QUANTUM: i64 = 4;

impl Class {
    /// The class of a severity.
    pub fn of(severity: f64) -> Class {
        match severity {
            s if s >= 4.0 => Class::Critical,
            s if s >= 3.0 => Class::High,
            s if s > 0.0 && s < 2.0 => Class::Low,
            _ => Class::Medium,
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Class::Critical => "critical",
            Class::High => "high",
            Class::Medium => "medium",
            Class::Low => "low",
        }
    }

    /// The class of a name.
    pub fn parse(name: &str) -> Option<Class> {
        [Class::Critical, Class::High, Class::Medium, Class::Low].into_iter().find(|class| class.name() == name)
    }

    fn index(self) -> usize {
        match self {
            Class::Critical => 0,
            Class::High => 1,
            Class::Medium => 2,
            Class::Low => 3,
        }
    }
}

/// A queue that is fair.
#[derive(Debug)]
pub struct Fair<K, T> {
    lanes: [Lane<K, T>; 4],
    length: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Lane<K, T> {
    /// How far the class has come; the one that has come least far is next.
    pass: u64,
    length: usize,
    /// Types that have something, in turn.
    ring: VecDeque<K>,
    types: HashMap<K, Type<T>>,
}

#[derive(Debug)]
struct Type<T> {
    deficit: i64,
    /// It has got what this turn gives.
    served: bool,
    items: VecDeque<T>,
}

/// There is no room: whoever reads further has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<K: Hash + Eq + Clone, T> Fair<K, T> {
    /// A queue for so many items.
    pub fn new(capacity: usize) -> Fair<K, T> {
        let lane = || Lane { pass: 0, length: 0, ring: VecDeque::new(), types: HashMap::new() };
        Fair { lanes: [lane(), lane(), lane(), lane()], length: 0, capacity }
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True where nothing waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// True where one more has no room.
    pub fn is_full(&self) -> bool {
        self.length >= self.capacity
    }

    /// Adds an item behind those of its type.
    ///
    /// # Errors
    /// No room.
    pub fn push(&mut self, class: Class, type_name: K, item: T) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.force(class, type_name, item);
        Ok(())
    }

    /// Adds an item that was let in before: what is under way always has room.
    pub fn force(&mut self, class: Class, type_name: K, item: T) {
        let least = self.lanes.iter().filter(|lane| lane.length > 0).map(|lane| lane.pass).min();
        let Some(lane) = self.lanes.get_mut(class.index()) else { return };
        if lane.length == 0 {
            // Who was idle does not make up for that, and does not pay for it.
            lane.pass = lane.pass.max(least.unwrap_or(lane.pass));
        }
        let known = lane.types.entry(type_name.clone()).or_insert_with(|| Type { deficit: 0, served: false, items: VecDeque::new() });
        if known.items.is_empty() {
            lane.ring.push_back(type_name);
        }
        known.items.push_back(item);
        lane.length += 1;
        self.length += 1;
    }

    /// The next item of those classes that may be served, and its class.
    pub fn pop(&mut self, may: impl Fn(Class) -> bool) -> Option<(Class, K, T)> {
        let classes = [Class::Critical, Class::High, Class::Medium, Class::Low];
        let class = classes
            .into_iter()
            .filter(|class| may(*class) && self.lanes.get(class.index()).is_some_and(|lane| lane.length > 0))
            .min_by_key(|class| (self.lanes.get(class.index()).map_or(u64::MAX, |lane| lane.pass), class.index()))?;
        let share = SHARES.get(class.index()).copied().unwrap_or(1);
        let lane = self.lanes.get_mut(class.index())?;
        lane.pass += STRIDE / share;
        let (type_name, item) = lane.next()?;
        self.length -= 1;
        Some((class, type_name, item))
    }

    /// The first of each type.
    pub fn fronts(&self) -> impl Iterator<Item = &T> {
        self.lanes.iter().flat_map(|lane| lane.types.values().filter_map(|known| known.items.front()))
    }

    /// Only these stay, each in its place.
    pub fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.length = 0;
        for lane in &mut self.lanes {
            lane.types.values_mut().for_each(|known| known.items.retain(&stays));
            lane.ring.retain(|name| lane.types.get(name).is_some_and(|known| !known.items.is_empty()));
            lane.types.retain(|_, known| !known.items.is_empty() || known.deficit < 0);
            lane.length = lane.types.values().map(|known| known.items.len()).sum();
            self.length += lane.length;
        }
    }

    /// What an item used beyond its start: its type waits longer for its next turn.
    pub fn charge(&mut self, class: Class, type_name: &K, cost: i64) {
        if let Some(known) = self.lanes.get_mut(class.index()).and_then(|lane| lane.types.get_mut(type_name)) {
            // One type is not punished for ever.
            known.deficit = (known.deficit - cost.max(0)).max(-1_000);
        }
    }

    /// How many wait, by class and type.
    pub fn waiting(&self) -> impl Iterator<Item = (Class, &K, usize)> {
        let classes = [Class::Critical, Class::High, Class::Medium, Class::Low];
        self.lanes
            .iter()
            .zip(classes)
            .flat_map(|(lane, class)| lane.types.iter().filter(|(_, known)| !known.items.is_empty()).map(move |(name, known)| (class, name, known.items.len())))
    }
}

impl<K: Hash + Eq + Clone, T> Lane<K, T> {
    fn next(&mut self) -> Option<(K, T)> {
        // Each type in the ring gets its quantum until one can pay for its first item. A deficit is
        // at most 1,000 behind, so that is soon.
        let rounds = self.ring.len().saturating_mul(1_000 / usize::try_from(QUANTUM).unwrap_or(1) + 2);
        for _ in 0..=rounds {
            let name = self.ring.front()?.clone();
            let known = self.types.get_mut(&name)?;
            if !known.served {
                known.served = true;
                known.deficit += QUANTUM;
            }
            if known.deficit < 1 {
                known.served = false;
                self.ring.rotate_left(1);
                continue;
            }
            known.deficit -= 1;
            let item = known.items.pop_front()?;
            self.length -= 1;
            if known.items.is_empty() {
                self.ring.pop_front();
                // What it did not use is not saved up.
                if known.deficit >= 0 {
                    self.types.remove(&name);
                } else {
                    known.served = false;
                }
            }
            return Some((name, item));
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_critical_one_behind_a_flood_is_next() {
        let mut fair = Fair::new(300_000);
        for number in 0..200_000 {
            fair.push(Class::Low, "noise", number).unwrap();
        }
        for _ in 0..1_000 {
            fair.pop(|_| true).unwrap();
        }
        fair.push(Class::Critical, "rare", -1).unwrap();
        let place = (0..).find(|_| fair.pop(|_| true).unwrap().2 == -1).unwrap();
        assert!(place <= 1, "{place}");
    }

    #[test]
    fn shares_hold_and_nobody_starves() {
        let mut fair = Fair::new(100_000);
        for number in 0..10_000 {
            fair.push(Class::Critical, "a", number).unwrap();
            fair.push(Class::Low, "b", number).unwrap();
        }
        let low = (0..900).filter(|_| fair.pop(|_| true).unwrap().0 == Class::Low).count();
        assert_eq!(low, 100);
    }

    #[test]
    fn types_take_turns_and_pay_for_what_they_use() {
        let mut fair = Fair::new(100_000);
        for number in 0..10_000 {
            fair.push(Class::Medium, "many", number).unwrap();
        }
        for number in 0..10 {
            fair.push(Class::Medium, "few", number).unwrap();
        }
        let first: Vec<&str> = (0..30).map(|_| fair.pop(|_| true).unwrap().1).collect();
        assert_eq!(first.iter().filter(|name| **name == "few").count(), 10, "{first:?}");
        for number in 0..100 {
            fair.push(Class::Medium, "cheap", number).unwrap();
        }
        fair.charge(Class::Medium, &"many", 200);
        let next: Vec<&str> = (0..100).map(|_| fair.pop(|_| true).unwrap().1).collect();
        assert!(next.iter().filter(|name| **name == "cheap").count() >= 99, "who used much waits");
    }

    #[test]
    fn it_is_bounded_and_keeps_the_order_of_a_type() {
        let mut fair = Fair::new(3);
        for number in 0..3 {
            fair.push(Class::High, "t", number).unwrap();
        }
        assert_eq!(fair.push(Class::High, "t", 3), Err(Full));
        assert_eq!((0..3).map(|_| fair.pop(|_| true).unwrap().2).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(fair.pop(|_| true).is_none() && fair.is_empty());
        fair.push(Class::Low, "t", 1).unwrap();
        assert!(fair.pop(|class| class == Class::Critical).is_none());
    }
}
