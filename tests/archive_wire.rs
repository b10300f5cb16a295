//! The Postgres wire: `psql`, its backslash commands, logins, encryption, cancelling, live rows.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catchment::archive::ring::Topic;
use catchment::archive::table::Committed;
use catchment::serve::sql::catalog::Catalog;
use catchment::serve::sql::client::{Client, Remote};
use catchment::serve::sql::output::Format;
use catchment::serve::sql::session::{Bounds, Engine};
use catchment::serve::sql::wire::{SqlPort, WireSpec};

use super::archive_lake::{BOUNDS, Lake, Version, csv};

fn lake(dir: &Path) -> Lake {
    let mut lake = Lake::open(dir);
    for id in 1..=200u128 {
        lake.read(Topic::Facts, &Version { id, version: 1, host: format!("h{}", id % 7), severity: (id % 5) as u8, created: id as u32 });
    }
    assert!(matches!(lake.commit(), Committed::Yes));
    // Some of it is live.
    for id in 150..=220u128 {
        let topic = if id > 200 { Topic::Facts } else { Topic::States };
        lake.read(topic, &Version { id, version: if id > 200 { 1 } else { 2 }, host: format!("h{}", id % 5), severity: 3, created: id as u32 });
    }
    lake.cut();
    lake
}

fn spec() -> WireSpec {
    WireSpec { address: "127.0.0.1:0".parse().unwrap(), login: None, tls: None, connections: 4, threads: 2 }
}

fn port(lake: &Lake, spec: &WireSpec, bounds: Bounds) -> SqlPort {
    let engine = Engine::new(Catalog::new(&lake.location, Some(&*lake.rings), &lake.schema), None, bounds).unwrap();
    SqlPort::open(spec, Arc::new(engine)).unwrap()
}

fn remote(port: &SqlPort) -> Remote {
    Remote { host: "127.0.0.1".into(), port: port.address().port(), login: None, ca: None }
}

/// `psql` over this port; `None` (said loudly) where there is none.
fn psql(port: &SqlPort, options: &[&str], variables: &[(&str, &str)]) -> Option<Output> {
    let mut command = Command::new("psql");
    command.args(["-X", "-h", "127.0.0.1", "-p", &port.address().port().to_string(), "-d", "catchment"]).args(options);
    command.envs([("PGUSER", "catchment"), ("PGCONNECT_TIMEOUT", "20"), ("PGTZ", "UTC")]).envs(variables.iter().copied());
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "CI needs psql: {error}");
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "SKIPPED: no psql: {error}");
            None
        }
    }
}

/// As both say it: Postgres writes times and whole floats its own way.
fn alike(line: &str) -> String {
    static TIME: std::sync::LazyLock<regex::Regex> =
        std::sync::LazyLock::new(|| regex::Regex::new(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|\+00(?::00)?)?").unwrap());
    static WHOLE: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| regex::Regex::new(r"(^|,)(-?\d+)\.0(,|$)").unwrap());
    let line = TIME.replace_all(line, "$1 $2").replace(".000000", "");
    let line = WHOLE.replace_all(&line, "$1$2$3").into_owned();
    WHOLE.replace_all(&line, "$1$2$3").replace(",true", ",t").replace(",false", ",f")
}

#[test]
fn wire_psql_and_catchment_sql_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake, &spec(), BOUNDS);
    let queries: Vec<&str> = include_str!("sql/queries.sql").lines().filter(|line| !line.starts_with("--")).collect();
    assert!(queries.len() >= 30);
    let (mut there, mut here) = (Client::there(&remote(&port)).unwrap(), lake.client(true));
    for query in queries {
        let Some(output) = psql(&port, &["--csv", "-c", query], &[]) else { return };
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        let said: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().skip(1).map(alike).collect();
        for (who, client) in [("there", &mut there), ("here", &mut here)] {
            let ours: Vec<String> = csv(client, query).iter().map(|line| alike(line)).collect();
            assert_eq!(ours, said, "{query} ({who})");
        }
    }
}

#[test]
fn wire_psql_knows_its_way_about() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake, &spec(), BOUNDS);
    // Every command that lists something; `psql` of another version may not know one, and says so itself.
    let mut known = 0;
    for line in include_str!("sql/backslash.txt").lines().filter(|line| !line.starts_with('#')) {
        let (command, word) = line.split_once('|').unwrap();
        let Some(output) = psql(&port, &["-c", command], &[]) else { return };
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if wrong.contains("invalid command") {
            continue;
        }
        known += 1;
        assert!(output.status.success() && said.contains(word) && !wrong.contains("ERROR"), "{command}: {said}{wrong}");
    }
    assert!(known > 40, "{known}");
    // Questions about data are answered, or it is said why not.
    for (sql, word) in [("SELECT idd FROM incidents", "idd"), ("SELECT nosuch(id) FROM incidents", "nosuch"), ("SELECT 1 FROM nosuch", "nosuch")] {
        let Some(output) = psql(&port, &["-c", sql], &[]) else { return };
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(word), "{sql}");
    }
    // What pools of connections say.
    let Some(output) =
        psql(&port, &["-c", "SELECT pg_advisory_unlock_all()", "-c", "CLOSE ALL", "-c", "UNLISTEN *", "-c", "RESET ALL", "-c", "DISCARD ALL"], &[])
    else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Some(output) = psql(&port, &["-c", "DELETE FROM incidents"], &[]) else { return };
    assert!(!output.status.success());
    let Some(output) = psql(&port, &["-c", "CREATE TABLE t AS SELECT 1 AS a"], &[]) else { return };
    assert!(!output.status.success());
}

#[test]
fn wire_prepared_statements_see_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = lake(dir.path());
    let port = port(&lake, &spec(), BOUNDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, statement) = runtime.block_on(async {
        let config = format!("host=127.0.0.1 port={} user=u dbname=catchment", port.address().port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statement = client.prepare("SELECT count(*) FROM incidents WHERE severity >= $1 AND host <> $2").await.unwrap();
        (client, statement)
    });
    let count = || runtime.block_on(client.query_one(&statement, &[&0.0f64, &"nobody"])).unwrap().get::<_, i64>(0);
    let before = count();
    (300..310u128).for_each(|id| lake.read(Topic::Facts, &Version { id, version: 1, host: "new".into(), severity: 1, created: 1 }));
    lake.cut();
    let live = count();
    assert!(matches!(lake.commit(), Committed::Yes));
    let counted = [before, live, count()];
    assert_eq!(counted, [220, 230, 230]);
}

/// Drivers ask prepared questions about the catalog: JDBC for the name of each type that it meets.
#[test]
fn wire_prepared_questions_about_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake, &spec(), BOUNDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = format!("host=127.0.0.1 port={} user=u dbname=catchment", port.address().port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let name = "SELECT n.nspname = ANY(current_schemas(true)), n.nspname, t.typname FROM pg_catalog.pg_type t \
                    JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1";
        let statement = client.prepare_typed(name, &[tokio_postgres::types::Type::INT4]).await.unwrap();
        let row = client.query_one(&statement, &[&1186i32]).await.unwrap();
        assert_eq!((row.get::<_, &str>(1), row.get::<_, &str>(2)), ("pg_catalog", "interval"));
        let lists = "SELECT typname FROM pg_catalog.pg_type WHERE typinput = 'pg_catalog.array_in'::regproc AND typname = $1";
        let found = client.query(lists, &[&"_int8"]).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(client.query(lists, &[&"int8"]).await.unwrap().is_empty());
        // What goes wrong while rows are made has its code in a prepared statement, too.
        let error = client.query("SELECT 1 / (version - version) FROM incidents WHERE severity >= $1", &[&0.0f64]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("22012"), "{error}");
    });
}

#[test]
fn wire_queries_can_be_cancelled_and_end_at_their_bound() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let endless = "SELECT count(*) FROM incidents a, incidents b, incidents c, incidents d WHERE a.host || b.host || c.host || d.host LIKE '%zz%'";
    let bounded = port(&lake, &spec(), Bounds { time: Duration::from_millis(800), ..BOUNDS });
    let mut client = Client::there(&remote(&bounded)).unwrap();
    let began = Instant::now();
    let said = client.run(endless, Format::Csv, &mut Vec::new(), &mut |_| {}).expect_err("it has a bound").message;
    assert!(said.contains("timeout") && began.elapsed() < Duration::from_secs(20), "{said} after {:?}", began.elapsed());
    assert_eq!(csv(&mut client, "SELECT count(*) FROM incidents"), ["220"]);

    let port = port(&lake, &spec(), BOUNDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = Instant::now();
    let error = runtime.block_on(async {
        let config = format!("host=127.0.0.1 port={} user=u dbname=catchment", port.address().port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let cancel = client.cancel_token();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
        });
        client.query(endless, &[]).await.expect_err("it was cancelled")
    });
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
    assert!(error.as_db_error().is_some_and(|error| error.message().contains("due to user request")), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn wire_passwords_and_encryption() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let login = Some(("ann".to_owned(), "se cret".to_owned()));
    // Open to the network only with both.
    let open = WireSpec { address: "0.0.0.0:0".parse().unwrap(), login: login.clone(), ..spec() };
    let engine = Engine::new(Catalog::new(&lake.location, None, &lake.schema), None, BOUNDS).unwrap();
    assert!(SqlPort::open(&open, Arc::new(engine)).is_err());

    let protected = port(&lake, &WireSpec { login: login.clone(), ..spec() }, BOUNDS);
    let ask = |login: Option<(&str, &str)>| {
        Client::there(&Remote { login: login.map(|(user, password)| (user.to_owned(), password.to_owned())), ..remote(&protected) })
    };
    assert_eq!(csv(&mut ask(Some(("ann", "se cret"))).unwrap(), "SELECT 1"), ["1"]);
    for login in [Some(("ann", "secret")), Some(("bob", "se cret")), None] {
        assert!(ask(login).is_err(), "{login:?}");
    }
    if let Some(output) = psql(&protected, &["-c", "SELECT 1"], &[("PGUSER", "ann"), ("PGPASSWORD", "wrong")]) {
        assert!(!output.status.success());
    }

    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        assert!(std::env::var("CI").is_err(), "CI needs openssl");
        eprintln!("SKIPPED: no openssl");
        return;
    }
    let open = WireSpec { address: "0.0.0.0:0".parse().unwrap(), login, tls: Some((certificate.clone(), key)), ..spec() };
    let port = port(&lake, &open, BOUNDS);
    let login = Some(("ann".to_owned(), "se cret".to_owned()));
    let mut client = Client::there(&Remote { login: login.clone(), ca: Some(certificate.clone()), ..remote(&port) }).unwrap();
    assert_eq!(csv(&mut client, "SELECT count(*) FROM incidents"), ["220"]);
    if let Some(output) = psql(
        &port,
        &["-At", "-c", "SELECT count(*) FROM incidents"],
        &[("PGUSER", "ann"), ("PGPASSWORD", "se cret"), ("PGSSLMODE", "verify-ca"), ("PGSSLROOTCERT", certificate.to_str().unwrap())],
    ) {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "220", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn wire_tells_whose_rows_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let feeds = |partitions: std::ops::Range<i32>| partitions.flat_map(|partition| [(Topic::Facts, partition), (Topic::States, partition)]).collect();
    lake.rings.incidents.reading(feeds(0..1), feeds(0..3));
    let port = port(&lake, &spec(), BOUNDS);
    let words = "2 partitions without the last seconds: other members hold them";

    for mut client in [Client::there(&remote(&port)).unwrap(), lake.client(true)] {
        let mut notes: Vec<String> = Vec::new();
        client.run("SELECT count(*) FROM incidents", Format::Csv, &mut std::io::sink(), &mut |answer| notes.extend(answer.notes)).unwrap();
        assert_eq!(notes, [words]);
        notes.clear();
        client.run("SELECT 1", Format::Csv, &mut std::io::sink(), &mut |answer| notes.extend(answer.notes)).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
    }
    if let Some(output) = psql(&port, &["-At", "-c", "SELECT count(*) FROM incidents WHERE id IN (SELECT id FROM incident_versions)"], &[]) {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "220");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}

#[test]
fn wire_names_what_goes_wrong_while_rows_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path());
    let port = port(&lake, &spec(), BOUNDS);
    let query = "\\set VERBOSITY sqlstate\nSELECT 1 / (length(id) - 32) FROM incidents;\nSELECT CAST(id AS bigint) FROM incidents;\n";
    let file = dir.path().join("wrong.sql");
    std::fs::write(&file, query).unwrap();
    if let Some(output) = psql(&port, &["-At", "-f", file.to_str().unwrap()], &[]) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("22012") && said.contains("22P02"), "{said}");
    }
}
