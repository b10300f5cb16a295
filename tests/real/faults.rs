//! Brokers that hang, restart, are killed, and lose a node, while events flow: members wait, say
//! so, and go on; what committed readers see is what a run without any accident writes.
//!
//! Each broker here is the test's own. `CATCHMENT_LONG=1` (`scripts/prove faults`) hangs longer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Broker;
use super::exactly_once::{DRAIN, Scene};
use super::process::Catchment;

/// True in the long form of the proofs.
pub(super) fn long() -> bool {
    std::env::var_os("CATCHMENT_LONG").is_some()
}

/// Feeds events at a steady pace while `work` does its work; all of them are stored when it returns.
pub(super) fn under_load<T>(scene: &Scene<'_>, from: u64, rate: u64, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let mut next = from;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                scene.kafka.produce(&scene.source, (next..next + rate / 5).map(Scene::event));
                next += rate / 5;
                std::thread::sleep(Duration::from_millis(200).saturating_sub(began.elapsed()));
            }
            next - from
        });
        // Also when the work panics: else the scope would wait for ever.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let fed = feeding.join().unwrap();
        println!("{}: {fed} events fed meanwhile", scene.name);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How long it takes from now until all that was fed is committed.
fn catches_up(scene: &Scene<'_>, member: &mut Catchment) -> Duration {
    let since = Instant::now();
    member.until_ready(DRAIN);
    scene.drained();
    since.elapsed()
}

#[test]
fn real_fault_a_broker_that_hangs_and_restarts_costs_nothing() {
    if !super::faults::long() {
        println!("left out: CATCHMENT_LONG=1, or scripts/prove faults");
        return;
    }
    let Some(kafka) = Broker::private(1) else { return };
    let scene = Scene::new(&kafka, "hang");
    kafka.produce(&scene.source, (0..5_000).map(Scene::event));
    let home = scene.home_with("a", "transaction: { linger: 20ms, timeout: 10s }");
    let mut member = scene.start(&home, None);
    member.until_ready(DRAIN);
    under_load(&scene, 5_000, 5_000, || {
        std::thread::sleep(Duration::from_secs(1));
        // Longer than the transaction's life and the session.
        let hang = Duration::from_secs(if long() { 30 } else { 12 });
        kafka.pause(1);
        std::thread::sleep(hang);
        kafka.resume(1);
        println!("the broker hung for {hang:?}; ready {:?} later", until_ready(&mut member));
        kafka.restart(1);
        println!("the broker was restarted; ready {:?} later", until_ready(&mut member));
        kafka.kill(1);
        if long() {
            member.until_troubled("broker", DRAIN);
            std::thread::sleep(Duration::from_secs(15));
        }
        kafka.restart(1);
        println!("the broker was killed and started; ready {:?} later", until_ready(&mut member));
    });
    println!("all is committed {:?} after the last event", catches_up(&scene, &mut member));
    member.stop(DRAIN);
    scene.check();
}

fn until_ready(member: &mut Catchment) -> Duration {
    let since = Instant::now();
    member.until_ready(DRAIN);
    since.elapsed()
}

#[test]
fn real_fault_three_nodes_lose_leaders_and_nothing_else() {
    if !long() {
        // Three brokers take a minute to start on a small machine.
        println!("left out: CATCHMENT_LONG=1, or scripts/prove faults");
        return;
    }
    let Some(kafka) = Broker::private(3) else { return };
    let scene = Scene::new(&kafka, "leader");
    kafka.produce(&scene.source, (0..5_000).map(Scene::event));
    let homes = [scene.home("a"), scene.home("b")];
    let mut members = [scene.start(&homes[0], None), scene.start(&homes[1], None)];
    members.iter_mut().for_each(|member| member.until_ready(DRAIN));
    under_load(&scene, 5_000, 5_000, || {
        // A node dies: its partitions, and perhaps both coordinators, move.
        kafka.kill(2);
        std::thread::sleep(Duration::from_secs(6));
        kafka.restart(2);
        // Leaders move back, nothing dies.
        kafka.tool(&["LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions"]);
        std::thread::sleep(Duration::from_secs(2));
        if long() {
            // An orderly restart of each, and then too few replicas: nobody may write until one is back.
            (1..=3).for_each(|node| kafka.restart(node));
            kafka.kill(1);
            kafka.kill(3);
            std::thread::sleep(Duration::from_secs(15));
            kafka.restart(1);
            kafka.restart(3);
        }
        kafka.kill(3);
        std::thread::sleep(Duration::from_secs(2));
    });
    println!("all is committed {:?} after the last event", catches_up(&scene, &mut members[0]));
    members.iter_mut().for_each(|member| member.stop(DRAIN));
    scene.check();
}
