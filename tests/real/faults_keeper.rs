//! Brokers that hang, restart and die under keepers: they wait, say so, and go on; and two
//! processes that pretend to be one keeper.

use std::time::{Duration, Instant};

use super::exactly_once::DRAIN;
use super::faults::long;
use super::keeper::Place;
use super::keeper_kill::{check, home, while_said};
use super::process::{Catchment, Home};
use super::{Broker, require_kafka, unique, until};

fn start(home: &Home) -> Catchment {
    home.spawn("run", &["run", "pipeline.yaml", "--role", "keeper", "--log", "info"], &[])
}

fn ready(members: &mut [Catchment; 2], began: Instant, what: &str) {
    let since = Instant::now();
    members.iter_mut().for_each(|member| member.until_ready(DRAIN));
    println!("{:6.1} s: {what}; ready {:?} later", began.elapsed().as_secs_f64(), since.elapsed());
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn real_fault_brokers_that_hang_and_restart_do_not_end_the_keeper() {
    if !long() {
        println!("left out: CATCHMENT_LONG=1, or scripts/prove faults");
        return;
    }
    let Some(kafka) = Broker::private(1) else { return };
    let place = Place::named(&kafka, &unique("keeperhang"), 3, &[]);
    let homes = [home(&place, "a"), home(&place, "b")];
    let mut members = [start(&homes[0]), start(&homes[1])];
    members.iter_mut().for_each(|member| member.until_ready(DRAIN));
    let began = Instant::now();
    let said = while_said(&place, || {
        std::thread::sleep(Duration::from_secs(2));
        // Longer than the session and than a transaction may take.
        kafka.pause(1);
        println!("a broker that hangs: {}", members[0].until_troubled("the brokers do not answer", DRAIN));
        std::thread::sleep(Duration::from_secs(30).saturating_sub(began.elapsed()));
        kafka.resume(1);
        ready(&mut members, began, "the broker hung for 30 s");
        kafka.restart(1);
        ready(&mut members, began, "the broker was restarted");
        kafka.kill(1);
        std::thread::sleep(Duration::from_secs(15));
        kafka.restart(1);
        ready(&mut members, began, "the broker was killed and started");
    });
    place.until_read();
    members.iter_mut().for_each(|member| member.stop(DRAIN));
    check(&place, said);
}

#[test]
fn real_fault_two_processes_cannot_be_one_keeper() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::named(kafka, &unique("keepertwins"), 3, &[]);
    // Two state directories, as on two machines: only the brokers can tell.
    let homes = [home(&place, "a"), home(&place, "a")];
    let mut first = start(&homes[0]);
    first.until_ready(DRAIN);
    let mut second = start(&homes[1]);
    let said = while_said(&place, || {
        until("one of them ends", DRAIN, || first.status().is_some() || second.status().is_some());
    });
    let (mut ended, mut other) = if first.status().is_some() { (first, second) } else { (second, first) };
    assert_eq!(ended.wait(DRAIN).code(), Some(2), "{}", ended.stderr());
    assert!(ended.stderr().contains("another process runs as this member"), "{}", ended.stderr());
    other.until_ready(DRAIN);
    place.until_read();
    other.stop(DRAIN);
    check(&place, said);
}
