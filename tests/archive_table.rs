//! Commits of the archive: rivals, positions, growing columns, retention, other readers' files.

use catchment::archive::ArchiveError;
use catchment::archive::ring::Topic;
use catchment::archive::table::{Committed, Table};
use catchment::archive::upkeep::{Keep, retain};
use catchment::config::schema::FieldKind;

use super::archive_lake::{Lake, Version, csv, schema};

fn version(id: u128, created: u32) -> Version {
    Version { id, version: 1, host: "h".into(), severity: 2, created }
}

#[test]
fn archive_rows_of_a_rival_are_not_committed_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (Lake::open(dir.path()), Lake::open(dir.path()));
    // A member that stood still and lost its partition without knowing, and the one that took over.
    for lake in [&mut one, &mut other] {
        (1..=10).for_each(|id| lake.read(Topic::Facts, &version(id, 1)));
    }
    assert!(matches!(one.commit(), Committed::Yes));
    match other.commit() {
        Committed::Foreign(apps) => assert_eq!(apps, ["cluster/Facts/0"]),
        committed => panic!("{committed:?}"),
    }
    assert_eq!(csv(&mut one.client(false), "SELECT count(*) FROM incident_versions"), ["10"]);
    // Another partition's commit in between is no reason to give up.
    let mut third = Lake::open(dir.path());
    third.read(Topic::States, &Version { version: 2, ..version(3, 1) });
    one.read(Topic::Facts, &version(11, 1));
    assert!(matches!(third.commit(), Committed::Yes));
    assert!(matches!(one.commit(), Committed::Yes));
    assert_eq!(csv(&mut one.client(false), "SELECT count(*), sum(version) FROM incidents"), ["11,12"]);
}

#[test]
fn archive_columns_grow_and_keep_their_types() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = Lake::open(dir.path());
    lake.read(Topic::Facts, &version(1, 1));
    assert!(matches!(lake.commit(), Committed::Yes));
    // What was in the map gets a column of its own: from now on.
    let mut lake = Lake::with(dir.path(), schema(&[("extra", FieldKind::Text), ("host", FieldKind::Text)])).unwrap();
    lake.read(Topic::Facts, &version(2, 1));
    assert!(matches!(lake.commit(), Committed::Yes));
    let mut client = lake.client(false);
    assert_eq!(
        csv(&mut client, "SELECT id, extra, fields['extra'], host, port FROM incidents ORDER BY id"),
        ["00000000000000000000000000000001,,e1,h,", "00000000000000000000000000000002,e1,,h,"]
    );
    match Lake::with(dir.path(), schema(&[("host", FieldKind::Number)])) {
        Err(ArchiveError::Changed(fields)) => assert_eq!(fields.len(), 1),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn archive_days_leave_when_their_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = Lake::open(dir.path());
    (1..=4).for_each(|id| lake.read(Topic::Facts, &version(id, id as u32 * 1440)));
    assert!(matches!(lake.commit(), Committed::Yes));
    let table = lake.runtime.block_on(Table::open(&lake.location, "incident_versions", None)).unwrap();
    let mut compactor = catchment::archive::compact::Compactor::new(table).unwrap();
    lake.runtime.block_on(compactor.tail(true)).unwrap();
    let first = chrono::NaiveDate::from_ymd_opt(2026, 3, 4).unwrap();
    let days = u32::try_from(chrono::Utc::now().date_naive().signed_duration_since(first).num_days());
    // The days of 2 and 3 March are over, if this machine's clock is behind them.
    let Ok(days) = days else { return };
    let gone = lake.runtime.block_on(retain(compactor.table(), Keep { incidents_days: Some(days), older_days: None })).unwrap();
    assert_eq!(gone, 2);
    assert_eq!(csv(&mut lake.client(false), "SELECT date_trunc('day', created) FROM incidents ORDER BY 1"), ["2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"]);
}

#[test]
fn archive_that_is_empty_can_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path());
    let mut client = lake.client(false);
    for table in ["incidents", "incident_versions", "dead_letters", "ledger", "playbook_runs", "war_room"] {
        assert_eq!(csv(&mut client, &format!("SELECT count(*) FROM {table}")), ["0"], "{table}");
    }
}
