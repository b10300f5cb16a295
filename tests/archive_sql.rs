//! Queries: what is refused, what ends at its bound, what formats hold.

use std::time::{Duration, Instant};

use catchment::archive::Location;
use catchment::archive::ring::Topic;
use catchment::archive::table::Committed;
use catchment::serve::sql::catalog::Catalog;
use catchment::serve::sql::client::Client;
use catchment::serve::sql::output::Format;
use catchment::serve::sql::session::{Bounds, Engine};

use super::archive_lake::{BOUNDS, Lake, Version, csv};

fn lake(dir: &std::path::Path) -> Lake {
    let mut lake = Lake::open(dir);
    for id in 1..=200u128 {
        lake.read(Topic::Facts, &Version { id, version: 1, host: format!("h{}", id % 7), severity: (id % 5) as u8, created: id as u32 });
    }
    assert!(matches!(lake.commit(), Committed::Yes));
    lake
}

fn refused(client: &mut Client, sql: &str) -> String {
    client.run(sql, Format::Csv, &mut Vec::new(), &mut |_| {}).expect_err(sql).message
}

#[test]
fn sql_sees_a_table_that_is_younger_than_its_session() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let schema = Lake::open(other.path()).schema;
    let catalog = Catalog::new(&Location::Directory(dir.path().to_owned()), None, &schema);
    let mut client = Client::here(&Engine::new(catalog, None, BOUNDS).unwrap()).unwrap();
    let (all, one) = ("SELECT count(*) FROM incidents", "SELECT count(*) FROM incidents WHERE id = '00000000000000000000000000000001'");
    assert_eq!((csv(&mut client, all), csv(&mut client, one)), (vec!["0".to_owned()], vec!["0".to_owned()]));
    drop(lake(dir.path()));
    assert_eq!((csv(&mut client, all), csv(&mut client, one)), (vec!["200".to_owned()], vec!["1".to_owned()]));
}

#[test]
fn sql_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = lake(dir.path()).client(false);
    let target = dir.path().join("stolen.csv");
    for sql in [
        "DELETE FROM incidents".to_owned(),
        "INSERT INTO war_room SELECT * FROM war_room".to_owned(),
        "UPDATE incidents SET severity = 0".to_owned(),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
        "DROP TABLE incidents".to_owned(),
        format!("COPY incidents TO '{}'", target.display()),
        "SET datafusion.execution.target_partitions = 1".to_owned(),
    ] {
        refused(&mut client, &sql);
    }
    assert!(!target.exists());
    // A file is no table.
    refused(&mut client, "SELECT * FROM '/etc/passwd'");
    assert_eq!(csv(&mut client, "SELECT count(*) FROM incidents"), ["200"]);
}

#[test]
fn sql_ends_at_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let mut client = lake.bounded(false, Bounds { time: Duration::from_millis(700), ..BOUNDS });
    let began = Instant::now();
    let cross = "SELECT count(*) FROM incidents a, incidents b, incidents c, incidents d, incidents e WHERE a.host || b.host || c.host || d.host || e.host LIKE '%z%z%'";
    assert!(refused(&mut client, cross).contains("timeout"));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let mut client = lake.bounded(false, Bounds { memory: 16 << 20, time: Duration::from_secs(60), ..BOUNDS });
    let hungry = "SELECT array_length(array_agg(a.id || b.id || c.id)) FROM incidents a, incidents b, incidents c";
    let said = refused(&mut client, hungry);
    assert!(said.contains("Resources exhausted") || said.contains("memory"), "{said}");
    // The next one is not hurt by it.
    assert_eq!(csv(&mut client, "SELECT count(*) FROM incidents WHERE host = 'h1'"), ["29"]);
}

#[test]
fn sql_formats() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = lake(dir.path()).client(false);
    let mut run = |format, sql: &str| {
        let (mut bytes, mut cells) = (Vec::new(), None);
        client.run(sql, format, &mut bytes, &mut |answer| cells = answer.cells).unwrap();
        (bytes, cells)
    };
    let sql = "SELECT id, severity, created, fields FROM incidents ORDER BY id LIMIT 2";
    let (json, _) = run(Format::Json, sql);
    let line: serde_json::Value = serde_json::from_slice(json.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((line["severity"].as_f64(), line["fields"]["extra"].as_str()), (Some(1.0), Some("e1")));
    let (csv, _) = run(Format::Csv, sql);
    assert_eq!(String::from_utf8(csv).unwrap().lines().nth(1), Some(r#"00000000000000000000000000000001,1.0,2026-03-01T00:01:00Z,"{""extra"":""e1""}""#));
    let (_, cells) = run(Format::Table, sql);
    assert_eq!(cells.map(|cells| (cells.count, cells.rows[1][1].clone(), cells.right)), Some((2, "2.0".to_owned(), vec![1])));
    let (arrow, _) = run(Format::Arrow, sql);
    assert!(arrow.len() > 200);
    let (parquet, _) = run(Format::Parquet, sql);
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    // A head also without rows, and several statements in one text.
    let (none, _) = run(Format::Csv, "SELECT id FROM incidents WHERE id = 'x'; SELECT 1 AS one");
    assert_eq!(String::from_utf8(none).unwrap(), "id\none\n1\n");
}
