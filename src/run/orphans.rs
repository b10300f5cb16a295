//! Notices partitions that a group at rest has left to nobody.
//!
//! In a cooperative rebalance a partition changes hands in two steps: first its owner gives it back,
//! then the group divides what is free. A static member that dies in between and comes back within
//! its session gets from the broker what it was to keep, the group never learns that it gave
//! the rest back, and nobody reads that until members come or go. So a member makes the
//! group divide anew, by joining again.

use crate::kafka::Admin;

/// So many looks in a row must find partitions that are nobody's before anybody does something: while
/// members come and go, they are for a moment.
const LOOKS: u32 = 2;

/// What one member has seen of its group.
pub struct Orphans {
    group: String,
    instance: String,
    looks: u32,
}

impl Orphans {
    /// Nothing was seen yet of this group, of which `instance` is our static id.
    pub fn new(group: &str, instance: &str) -> Orphans {
        Orphans { group: group.into(), instance: instance.into(), looks: 0 }
    }

    /// Looks once; call it every few seconds with all topics of the group and their numbers of
    /// partitions. True if we are to join again now. Who has the fewest partitions begins; a member
    /// whose joining changes nothing for the broker (it has none, and does not lead the group) is
    /// followed by the next one with the next look.
    pub fn look(&mut self, admin: &Admin, topics: &[(&str, i32)]) -> bool {
        // Brokers that do not answer, and a group that is just dividing, say nothing.
        let Ok(Some(shares)) = admin.division(&self.group) else {
            self.looks = 0;
            return false;
        };
        let members: Vec<(usize, &str)> = shares.iter().map(|share| (share.assigned.len(), share.instance.as_str())).collect();
        let taken = |topic: &str, partition: i32| shares.iter().any(|share| share.assigned.iter().any(|(t, p)| t == topic && *p == partition));
        let all_taken = topics.iter().all(|(topic, partitions)| (0..*partitions).all(|partition| taken(topic, partition)));
        let ours = self.turn(all_taken, members);
        if ours {
            tracing::warn!(group = self.group, "the group left partitions to nobody: joining again, so that they are divided anew");
        }
        ours
    }

    /// As [`Orphans::look`], knowing per member how many partitions it has, and its static id.
    fn turn(&mut self, all_taken: bool, mut members: Vec<(usize, &str)>) -> bool {
        members.sort_unstable();
        let Some(rank) = members.iter().position(|(_, instance)| *instance == self.instance).filter(|_| !all_taken) else {
            self.looks = 0;
            return false;
        };
        self.looks += 1;
        let round = LOOKS + u32::try_from(members.len()).unwrap_or(u32::MAX - LOOKS);
        let ours = self.looks == LOOKS + u32::try_from(rank).unwrap_or(0);
        self.looks %= round;
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_least_goes_first_and_the_others_follow() {
        let members = || vec![(2, "a"), (0, "c"), (1, "b")];
        let turns = |who: &str| {
            let mut orphans = Orphans::new("g", who);
            (1..=10).filter(|_| orphans.turn(false, members())).collect::<Vec<i32>>()
        };
        assert_eq!(turns("c"), [2, 7]);
        assert_eq!(turns("b"), [3, 8]);
        assert_eq!(turns("a"), [4, 9]);
        assert!(turns("stranger").is_empty());
    }

    #[test]
    fn a_moment_is_no_reason() {
        let mut orphans = Orphans::new("g", "a");
        for _ in 0..5 {
            assert!(!orphans.turn(false, vec![(0, "a")]));
            assert!(!orphans.turn(true, vec![(0, "a")]));
        }
    }
}
