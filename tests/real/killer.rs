//! Two members that die again and again: by SIGKILL at random moments, at failpoints, both at
//! once, without their disk; and that stand still for longer than their session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::process::{Catchment, Home};

/// How long a failpoint may take to be reached.
const FIRES_WITHIN: Duration = Duration::from_secs(30);
/// Longer than a session (10 s): the group has given the partitions to the other one.
const SESSION_OVER: Duration = Duration::from_secs(13);

/// Two processes with the same pipeline and roles.
pub(super) struct Killer {
    homes: [Home; 2],
    members: [Catchment; 2],
    roles: &'static str,
    /// By what, how often.
    pub(super) accidents: BTreeMap<&'static str, u32>,
    began: Instant,
}

impl Killer {
    /// Starts both. Each home has a `pipeline.yaml`, and an `instance` of its own.
    pub(super) fn start(homes: [Home; 2], roles: &'static str) -> Killer {
        let members = [0, 1].map(|who| spawn(&homes[who], roles, None));
        Killer { homes, members, roles, accidents: BTreeMap::new(), began: Instant::now() }
    }

    pub(super) fn members(&mut self) -> &mut [Catchment; 2] {
        &mut self.members
    }

    /// How often they died.
    pub(super) fn total(&self) -> u32 {
        self.accidents.values().sum()
    }

    fn note(&mut self, who: usize, by: &'static str) {
        *self.accidents.entry(by).or_default() += 1;
        println!("{:7.1} s  {:2}: member {} by {by}", self.began.elapsed().as_secs_f64(), self.total(), ["a", "b"][who]);
    }

    fn kill(&mut self, who: usize) {
        assert!(self.members[who].status().is_none(), "it ended by itself:\n{}", self.members[who].stderr());
        self.members[who].kill();
        self.note(who, "SIGKILL");
    }

    fn restart(&mut self, who: usize, failpoint: Option<&str>) {
        self.members[who] = spawn(&self.homes[who], self.roles, failpoint);
    }

    /// SIGKILL, and on with it.
    pub(super) fn one_dies(&mut self, who: usize) {
        self.kill(who);
        self.restart(who, None);
    }

    /// Both at once, and one loses its disk: all that counts is in the topics.
    pub(super) fn both_die(&mut self, without_disk: usize) {
        self.kill(0);
        self.kill(1);
        std::fs::remove_dir_all(self.homes[without_disk].path().join("state")).unwrap();
        self.restart(0, None);
        self.restart(1, None);
    }

    /// It kills itself at a failpoint.
    pub(super) fn one_fails(&mut self, who: usize, failpoint: &'static str) {
        self.kill(who);
        self.restart(who, Some(failpoint));
        let since = Instant::now();
        while self.members[who].status().is_none() && since.elapsed() < FIRES_WITHIN {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.members[who].status().is_some() {
            assert!(self.members[who].ended_by(libc::SIGKILL), "{failpoint}: it ended otherwise:\n{}", self.members[who].stderr());
            self.note(who, failpoint);
        } else {
            println!("          {failpoint} was not reached");
            self.kill(who);
        }
        self.restart(who, None);
    }

    /// SIGSTOP for longer than its session; the other one takes its partitions meanwhile.
    pub(super) fn one_sleeps(&mut self, who: usize) {
        self.members[who].pause();
        std::thread::sleep(SESSION_OVER);
        self.members[who].resume();
        *self.accidents.entry("SIGSTOP").or_default() += 1;
        println!("{:7.1} s  member {} slept for {SESSION_OVER:?}", self.began.elapsed().as_secs_f64(), ["a", "b"][who]);
    }

    /// Ends both in order.
    pub(super) fn stop(&mut self, limit: Duration) {
        self.members.iter_mut().for_each(|member| member.stop(limit));
        println!("{} accidents: {:?}", self.total(), self.accidents);
    }
}

fn spawn(home: &Home, roles: &str, failpoint: Option<&str>) -> Catchment {
    let variables: Vec<(&str, &str)> = failpoint.map(|value| ("CATCHMENT_FAILPOINT", value)).into_iter().collect();
    home.spawn("run", &["run", "pipeline.yaml", "--role", roles, "--log", "info"], &variables)
}

/// Numbers that look random and are the same each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A pause between two accidents.
    pub(super) fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(400 + self.below(1_200)));
    }
}
