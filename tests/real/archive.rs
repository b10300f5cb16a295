//! The archive beside a pipeline that runs: killed between writing and committing, its rows are those of
//! the topics; and live queries under load see every incident once.
//!
//! `CATCHMENT_KILLS` (default 3) says how often it dies; `scripts/prove sql` sets it to 20.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::exactly_once::{DRAIN, Scene};
use super::faults::under_load;
use super::process::{Catchment, Home};
use super::{WAIT, require_kafka, until};

/// Where it dies, and at which hit: before the commit, after it, in between by the clock.
const DEATHS: [Option<&str>; 3] = [Some("archive_after_put:2"), Some("archive_after_commit:2"), None];
const FIRES_WITHIN: Duration = Duration::from_secs(40);

fn home(scene: &Scene<'_>) -> Home {
    // Commits come often here, so that many moments are hit.
    let more = "archive: { path: lake, commit: 500ms }\nlisten: { api: 127.0.0.1:0, sql: 127.0.0.1:0 }";
    let home = Home::new(scene.kafka, &format!("instance: a\n{more}"));
    home.write("pipeline.yaml", &scene.pipeline());
    home
}

fn start(home: &Home, failpoint: Option<&str>) -> Catchment {
    let variables: Vec<(&str, &str)> = failpoint.map(|value| ("CATCHMENT_FAILPOINT", value)).into_iter().collect();
    home.spawn("run", &["run", "pipeline.yaml", "--log", "info"], &variables)
}

/// The lines of a result; `None` if the query failed.
fn asked(home: &Home, options: &[&str], sql: &str) -> Option<Vec<String>> {
    let mut args = vec!["sql", "-o", "csv", sql];
    args.extend_from_slice(options);
    let output = home.run(&args);
    if !output.status.success() {
        println!("{sql}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect())
}

type Place = (String, i64, i64);

/// What of the topics must be in the archive: facts that create, and states but for those that only repeat such a fact.
fn in_topics(scene: &Scene<'_>) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for row in scene.kafka.read_settled(&scene.topic("incidents")) {
        if row.text().starts_with(r#"{"fact":"created""#) {
            places.insert(("created".to_owned(), i64::from(row.partition), row.offset));
        }
    }
    for row in scene.kafka.read_settled(&scene.topic("incident-state")) {
        if row.header("version") != Some(b"1") {
            places.insert(("state".to_owned(), i64::from(row.partition), row.offset));
        }
    }
    places
}

fn archived(home: &Home) -> (usize, BTreeSet<Place>) {
    let sql = "SELECT record_kind, record_partition, record_offset FROM incident_versions";
    let lines = asked(home, &["--archive", "lake"], sql).unwrap_or_default();
    let place = |line: &String| {
        let mut parts = line.split(',');
        let mut next = || parts.next().unwrap_or_default();
        (next().to_owned(), next().parse().unwrap(), next().parse().unwrap())
    };
    (lines.len(), lines.iter().map(place).collect())
}

#[test]
fn real_archive_killed_between_write_and_commit_holds_what_the_topics_do() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "archive");
    let kills: usize = std::env::var("CATCHMENT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    kafka.produce(&scene.source, (0..5_000).map(Scene::event));
    let home = home(&scene);
    under_load(&scene, 5_000, 3_000, || {
        for kill in 0..kills {
            let death = DEATHS[kill % DEATHS.len()];
            let mut member = start(&home, death);
            let since = Instant::now();
            match death {
                Some(point) => {
                    while member.status().is_none() && since.elapsed() < FIRES_WITHIN {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    assert!(member.ended_by(libc::SIGKILL), "{point} was not reached:\n{}", member.stderr());
                }
                None => {
                    member.until_ready(WAIT);
                    std::thread::sleep(Duration::from_millis(1_500 + 137 * kill as u64));
                    member.kill();
                }
            }
            println!("kill {}: {} after {:?}", kill + 1, death.unwrap_or("SIGKILL"), since.elapsed());
        }
    });
    let mut member = start(&home, None);
    member.until_ready(WAIT);
    scene.drained();
    kafka.until_read(&format!("{}.keeper", scene.name), &[&scene.topic("incidents")], DRAIN);
    let mut wanted = in_topics(&scene);
    assert!(wanted.len() > 1_000, "{} records", wanted.len());
    until("everything is archived", DRAIN, || {
        wanted = in_topics(&scene);
        archived(&home).1.len() >= wanted.len()
    });
    member.stop(WAIT);
    let (rows, places) = archived(&home);
    assert_eq!(rows, places.len(), "no record is there twice");
    assert_eq!(places, wanted, "the records of the topics, and no others");
    let counts = asked(&home, &["--archive", "lake"], "SELECT count(*), count(DISTINCT id) FROM incidents").unwrap();
    let created = wanted.iter().filter(|(kind, _, _)| kind == "created").count();
    assert_eq!(counts, [format!("{created},{created}")]);
    let ledger = asked(&home, &["--archive", "lake"], "SELECT sum(events) FILTER (WHERE outcome = 'read'), sum(events) FILTER (WHERE outcome IN ('incident', 'filtered', 'unclassified', 'dropped', 'attached', 'dead_letter')) FROM ledger").unwrap();
    let events = kafka.read(&scene.source).len();
    assert_eq!(ledger, [format!("{events},{events}")], "the ledger adds up to the events read");
}

#[test]
fn real_live_sql_sees_every_incident_once_while_it_is_written() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "livesql");
    let home = home(&scene);
    let mut member = start(&home, None);
    member.until_ready(WAIT);
    member.until_said("SQL: postgres://", WAIT);
    let said = member.stderr();
    let address = said.split("SQL: postgres://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    let mut seen = 0;
    under_load(&scene, 0, 2_000, || {
        let since = Instant::now();
        let mut asks = 0;
        while since.elapsed() < Duration::from_secs(15) {
            let rows = asked(&home, &["--connect", &address], "SELECT count(*), count(DISTINCT id), count(DISTINCT record_partition) FROM incidents").unwrap();
            let numbers: Vec<u64> = rows[0].split(',').map(|n| n.parse().unwrap()).collect();
            assert_eq!(numbers[0], numbers[1], "an incident is there twice");
            assert!(numbers[0] >= seen, "{} after {seen}: incidents were lost", numbers[0]);
            seen = numbers[0];
            asks += 1;
        }
        println!("{asks} queries; the last one saw {seen} incidents");
        assert!(asks > 3 && seen > 100);
    });
    scene.drained();
    // A second later all of it is there, committed or not.
    let created = in_topics(&scene).iter().filter(|(kind, _, _)| kind == "created").count();
    until("live SQL shows all that is in the topics", WAIT, || {
        asked(&home, &["--connect", &address], "SELECT count(*) FROM incidents").is_some_and(|rows| rows == [created.to_string()])
    });
    member.stop(WAIT);
}
