//! The kill test: two members die by SIGKILL again and again while events keep coming, at random
//! moments, at the worst ones, both at once, with and without their local disk; and what committed
//! readers see afterwards is what a run without any accident would have written.
//!
//! `CATCHMENT_KILLS` (default 6) says how often; `scripts/prove kill` sets it to 60, and then
//! every failpoint must have fired.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::exactly_once::{DRAIN, Scene};
use super::faults::under_load;
use super::process::{Catchment, Home};
use super::require_kafka;

/// Where a process kills itself, and at which hit.
const FAILPOINTS: [&str; 5] = ["after_produce:3", "after_end_txn:2", "after_send_offsets:2", "during_restore:5", "in_revoke:1"];
/// From so many kills on every failpoint must have fired.
const ALL_FIRE_FROM: u32 = 30;
/// How long a failpoint may take to be reached.
const FIRES_WITHIN: Duration = Duration::from_secs(30);
/// After a session (10 s) the group gives the partitions of the dead to the living.
const SESSION_OVER: Duration = Duration::from_secs(13);

fn kills() -> u32 {
    std::env::var("CATCHMENT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

struct Killer<'a> {
    scene: &'a Scene<'a>,
    homes: [Home; 2],
    members: [Catchment; 2],
    /// By what, how often.
    deaths: BTreeMap<&'static str, u32>,
    began: Instant,
}

impl Killer<'_> {
    fn total(&self) -> u32 {
        self.deaths.values().sum()
    }

    fn note(&mut self, who: usize, by: &'static str) {
        *self.deaths.entry(by).or_default() += 1;
        let lag = self.scene.kafka.lag(&self.scene.group(), &self.scene.source);
        println!("{:7.1} s  kill {:2}: member {} by {by}; lag {lag}", self.began.elapsed().as_secs_f64(), self.total(), ["a", "b"][who]);
    }

    fn kill(&mut self, who: usize) {
        assert!(self.members[who].status().is_none(), "it ended by itself:\n{}", self.members[who].stderr());
        self.members[who].kill();
        self.note(who, "SIGKILL");
    }

    fn start(&mut self, who: usize, failpoint: Option<&str>) {
        self.members[who] = self.scene.start(&self.homes[who], failpoint);
    }

    /// Lets one die at a failpoint; it runs again afterwards.
    fn fail(&mut self, who: usize, failpoint: &'static str) {
        let other = 1 - who;
        self.kill(who);
        let revoked = failpoint.starts_with("in_revoke");
        if revoked {
            // It gives nothing back until another member comes: so that one goes first.
            self.kill(other);
            self.start(who, Some(failpoint));
            std::thread::sleep(SESSION_OVER);
            self.start(other, None);
        } else {
            self.start(who, Some(failpoint));
        }
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
        self.start(who, None);
    }
}

#[test]
fn real_killed_members_lose_and_repeat_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "kill");
    kafka.produce(&scene.source, (0..60_000).map(Scene::event));
    let homes = [scene.home("a"), scene.home("b")];
    let members = [scene.start(&homes[0], None), scene.start(&homes[1], None)];
    let mut killer = Killer { scene: &scene, homes, members, deaths: BTreeMap::new(), began: Instant::now() };
    let mut disks = 0;
    under_load(&scene, 60_000, 20_000, || {
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        let (mut round, mut failpoint) = (0, 0);
        while killer.total() < kills() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis(600 + (random >> 33) % 1_800));
            let who = round % 2;
            match round % 5 {
                1 | 3 => {
                    killer.fail(who, FAILPOINTS[failpoint % FAILPOINTS.len()]);
                    failpoint += 1;
                }
                0 => {
                    killer.kill(0);
                    killer.kill(1);
                    // The local disk is a cache: without it everything is in the topics.
                    std::fs::remove_dir_all(killer.homes[who].path().join("state")).unwrap();
                    disks += 1;
                    killer.start(0, None);
                    killer.start(1, None);
                }
                _ => {
                    killer.kill(who);
                    killer.start(who, None);
                }
            }
            round += 1;
        }
    });
    let since = Instant::now();
    scene.drained();
    println!(
        "{} kills in {:?}, {disks} times both at once and one without its disk; all was committed {:?} later",
        killer.total(),
        killer.began.elapsed(),
        since.elapsed()
    );
    killer.deaths.iter().for_each(|(by, times)| println!("{times:4} times by {by}"));
    killer.members.iter_mut().for_each(|member| member.stop(DRAIN));
    scene.check();
    println!("equal: ids, contents, counts, ledger");
    if kills() >= ALL_FIRE_FROM {
        FAILPOINTS.iter().for_each(|failpoint| assert!(killer.deaths.contains_key(failpoint), "{failpoint} never fired"));
    }
}
