//! Other programs read the same: DuckDB, Polars and deltalake the files, asyncpg the port; and what Grafana asks of
//! the catalog is answered. `scripts/test` installs them for Python and names it in `CATCHMENT_TEST_PYTHON`.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use catchment::archive::ring::Topic;
use catchment::archive::table::Committed;
use catchment::serve::sql::catalog::Catalog;
use catchment::serve::sql::client::{Client, Remote};
use catchment::serve::sql::output::Format;
use catchment::serve::sql::session::Engine;
use catchment::serve::sql::wire::{SqlPort, WireSpec};

use super::archive_lake::{BOUNDS, Lake, Version};

fn lake(dir: &std::path::Path) -> Lake {
    let mut lake = Lake::open(dir);
    for round in 0..2u64 {
        for id in 1..=200u128 {
            let topic = if round == 0 { Topic::Facts } else { Topic::States };
            lake.read(topic, &Version { id, version: round + 1, host: format!("h{}", id % 7), severity: (id % 5) as u8, created: id as u32 });
        }
        assert!(matches!(lake.commit(), Committed::Yes));
    }
    lake
}

fn port(lake: &Lake) -> SqlPort {
    let engine = Engine::new(Catalog::new(&lake.location, Some(&*lake.rings), &lake.schema), None, BOUNDS).unwrap();
    let spec = WireSpec { address: "127.0.0.1:0".parse().unwrap(), login: None, tls: None, connections: 4, threads: 2 };
    SqlPort::open(&spec, Arc::new(engine)).unwrap()
}

#[test]
fn archive_is_read_by_python_libraries() {
    let Some(python) = std::env::var_os("CATCHMENT_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI needs Python with duckdb, polars, deltalake and asyncpg");
        let _ = writeln!(std::io::stderr(), "SKIPPED: no Python with duckdb, polars, deltalake and asyncpg: scripts/test installs one");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql/clients.py");
    let output = Command::new(python).arg(script).arg(dir.path()).arg(port.address().port().to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), ["duckdb 400 200", "polars 400 200", "deltalake 400 200", "asyncpg 400 200", "pool 400 200"]);
}

#[test]
fn wire_answers_what_grafana_asks() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake);
    let mut client = Client::there(&Remote { host: "127.0.0.1".into(), port: port.address().port(), login: None, ca: None }).unwrap();
    let questions = include_str!("sql/grafana.sql").split(";\n").filter(|question| question.lines().any(|line| !line.is_empty() && !line.starts_with("--")));
    let mut asked = 0;
    for question in questions {
        let word = question.lines().find_map(|line| line.strip_prefix("-- holds: "));
        let mut bytes = Vec::new();
        client.run(question, Format::Csv, &mut bytes, &mut |_| {}).unwrap_or_else(|error| panic!("{question}: {error}"));
        let said = String::from_utf8(bytes).unwrap();
        assert!(word.is_none_or(|word| said.contains(word)), "{question}: {said}");
        asked += 1;
    }
    assert!(asked >= 8, "{asked}");
}
