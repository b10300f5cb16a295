//! Floods of incidents with playbooks, against a server that is slow: every incident has one completed
//! run, memory stays what it was, a rare critical one behind the flood does not wait for it; and
//! members that are killed and that stand still repeat no call whose result is committed.
//!
//! `CATCHMENT_FLOOD` incidents (default 3,000), `CATCHMENT_KILLS` (default 4); `scripts/prove flood` and
//! `respond-kill` set them to 200,000 and 20.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer};

use super::process::Catchment;
use super::records::record;
use super::respond_stage::{Server, Stage, created, hex, now_ms, playbook, touch};
use super::{WAIT, require_kafka, until};

/// A request's time, and how many the server works on at once.
const TAKES: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 32;
/// A flood that is measured.
const LONG: u128 = 100_000;
/// Ids of critical incidents begin here.
const RARE: u128 = 1 << 100;

fn number(name: &str, default: u128) -> u128 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn stage<'b>(kafka: &'b super::Broker, server: &Server, partitions: i32) -> Stage<'b> {
    let (kind, lines) = touch(server, "/touch/${incident.id}");
    let tasks = playbook("Noise", &[(kind, &lines)]);
    Stage::new(kafka, "flood", partitions, &[("Noise", "run", tasks.clone()), ("Rare", "run", tasks.replace("Noise", "Rare"))])
}

/// MiB that a process holds.
fn resident(member: &Catchment) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", member.pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// A critical incident is created; when that was acknowledged, in milliseconds. The producer is there
/// already: a new one takes its time to connect.
fn critical(stage: &Stage<'_>, producer: &BaseProducer, id: u128) -> i64 {
    let (topic, fact) = (stage.topic("incidents"), created(id, "Rare", 4.0));
    producer.send(record(&topic, &fact)).map_err(|(error, _)| error).unwrap();
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
    now_ms()
}

/// Milliseconds from the committed facts of critical incidents to their first requests.
fn waited(server: &Server, committed: &[(u128, i64)]) -> Vec<i64> {
    let path = |id: &u128| format!("/touch/{}", hex(*id));
    until("all critical ones' requests", WAIT, || committed.iter().all(|(id, _)| server.first(&path(id)).is_some()));
    committed.iter().map(|(id, at)| server.first(&path(id)).unwrap() - at).collect()
}

fn percentile(times: &mut [i64], of: usize) -> i64 {
    times.sort_unstable();
    times[(times.len() * of).div_ceil(100).saturating_sub(1)]
}

#[test]
fn real_respond_flood_leaves_one_run_each_and_a_critical_one_does_not_wait() {
    let Some(kafka) = require_kafka() else { return };
    let flood = number("CATCHMENT_FLOOD", 3_000);
    let server = Server::start(TAKES, AT_ONCE);
    let stage = stage(kafka, &server, 1);
    let home = stage.home("a", "");
    let mut member = stage.start(&home, None);
    member.until_ready(WAIT);
    let producer: BaseProducer = kafka.client().set("linger.ms", "0").set("partitioner", "murmur2_random").create().unwrap();
    // Alone, after some to warm up.
    let mut rare = RARE;
    let mut next = || {
        rare += 1;
        std::thread::sleep(Duration::from_millis(250));
        (rare, critical(&stage, &producer, rare))
    };
    let alone: Vec<(u128, i64)> = (0..40).map(|_| next()).skip(20).collect();
    let mut alone = waited(&server, &alone);
    let before = resident(&member);
    let began = Instant::now();
    stage.create((1..=flood).map(|id| (id, "Noise".to_owned(), 1.0)));
    eprintln!("a burst of {flood} incidents in {:.1} s", began.elapsed().as_secs_f64());
    let (mut behind, mut most) = (Vec::new(), 0);
    // On an open schedule: one every quarter of a second, whatever became of those before.
    while (server.count() as u128) < flood + 39 + behind.len() as u128 && began.elapsed() < Duration::from_secs(1_800) {
        behind.push(next());
        most = most.max(resident(&member));
    }
    let count = behind.len();
    let behind = waited(&server, &behind);
    let rare = 40 + count as u128;
    stage.kafka.until_read(&format!("{}.respond", stage.name), &[&stage.topic("incidents")], WAIT);
    let drained = began.elapsed();
    member.stop(WAIT);
    let repeated = stage.audit(usize::try_from(flood + rare).unwrap(), &server);
    let first = behind.iter().take(5).copied().collect::<Vec<_>>();
    let (mut sorted, worst) = (behind.clone(), behind.iter().copied().max().unwrap_or(0));
    let (a50, a99, b50, b99) = (percentile(&mut alone, 50), percentile(&mut alone, 99), percentile(&mut sorted, 50), percentile(&mut sorted, 99));
    eprintln!(
        "all {} runs completed in {:.1} s, {:.0} a second; {repeated} calls repeated",
        flood + rare,
        drained.as_secs_f64(),
        (flood + rare) as f64 / drained.as_secs_f64()
    );
    eprintln!("memory: {before} MiB before, at most {most} MiB");
    eprintln!(
        "a critical one, created to first request: alone p50 {a50} ms, p99 {a99} ms; behind the flood ({} of them) p50 {b50} ms, p99 {b99} ms, worst {worst} ms, the first {first:?}",
        behind.len()
    );
    assert_eq!(repeated, 0, "nobody died");
    // The long form is a measurement. In the short one, on a machine with other work, no time says
    // anything but that nobody waited for the whole flood.
    if flood >= LONG {
        assert!(b99 <= (10 * a99).max(500), "p99 of {b99} ms");
    } else {
        assert!(i128::from(b50) < i128::try_from(drained.as_millis()).unwrap() / 4, "a critical one waits with the flood: {b50} ms of {drained:?}");
    }
    assert!(most <= before + 256, "memory grew from {before} to {most} MiB");
}

/// What happens to a member.
#[derive(Debug)]
enum Accident {
    Kill,
    At(&'static str),
    Both,
}

#[test]
fn real_respond_killed_completes_each_run_and_repeats_nothing_that_is_committed() {
    let Some(kafka) = require_kafka() else { return };
    let kills = usize::try_from(number("CATCHMENT_KILLS", 4)).unwrap();
    let flood = number("CATCHMENT_FLOOD", 3_000);
    let server = Server::start(TAKES, AT_ONCE);
    let stage = stage(kafka, &server, 4);
    let homes = [stage.home("a", ""), stage.home("b", "")];
    let start = |who: usize, failpoint: Option<&str>| stage.start(&homes[who], failpoint);
    let mut members = [start(0, None), start(1, None)];
    members.iter_mut().for_each(|member| member.until_ready(WAIT));
    let accidents = [
        Accident::At("respond_after_commit:7"),
        Accident::Kill,
        Accident::At("respond_before_result:9"),
        Accident::At("respond_after_produce:5"),
        Accident::Both,
        Accident::At("during_restore:50"),
    ];
    let mut fed = 0_u128;
    let mut fired = 0;
    for kill in 0..kills {
        // Part of the flood comes with each accident.
        let until_id = flood * (kill as u128 + 1) / (kills as u128 + 1);
        stage.create((fed + 1..=until_id).map(|id| (id, "Noise".to_owned(), [1.0, 2.0, 4.0][(id % 3) as usize])));
        fed = until_id;
        let (who, accident) = (kill % 2, &accidents[kill % accidents.len()]);
        match accident {
            Accident::Kill => members[who].kill(),
            Accident::Both => members.iter_mut().for_each(Catchment::kill),
            Accident::At(point) => {
                members[who].kill();
                members[who] = start(who, Some(point));
                let since = Instant::now();
                while members[who].status().is_none() && since.elapsed() < Duration::from_secs(15) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                fired += usize::from(members[who].ended_by(9));
                members[who].kill();
            }
        }
        for (who, member) in members.iter_mut().enumerate() {
            if member.status().is_some() {
                *member = start(who, None);
            }
        }
        std::thread::sleep(Duration::from_millis(1_500));
    }
    stage.create((fed + 1..=flood).map(|id| (id, "Noise".to_owned(), 2.0)));
    // One stands still for longer than its session, in the midst of it: the other takes over; then it wakes.
    std::thread::sleep(Duration::from_secs(1));
    members[0].pause();
    std::thread::sleep(Duration::from_secs(14));
    members[0].resume();
    let total = usize::try_from(flood).unwrap();
    let since = Instant::now();
    let limit = Duration::from_secs(120 + flood as u64 / 100);
    while stage.states().get("completed") != Some(&total) {
        assert!(since.elapsed() < limit, "{:?} of {total}", stage.states());
        members.iter_mut().for_each(|member| assert!(member.status().is_none(), "{}", member.stderr()));
        std::thread::sleep(Duration::from_secs(2));
    }
    let repeated = stage.audit(total, &server);
    eprintln!(
        "{kills} kills ({fired} at failpoints), one that stood still for 14 s: {total} runs completed, {repeated} calls repeated, none after its result was committed"
    );
    members.iter_mut().for_each(|member| member.stop(WAIT));
}
