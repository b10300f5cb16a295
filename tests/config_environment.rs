//! The environment file: what it becomes, its mistakes, and that no secret is ever shown.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use catchment::config::Diagnostics;
use catchment::config::environment::{Delivery, Environment, Topics, Transaction, load_text};

fn read(text: &str, dir: &Path) -> (Environment, Diagnostics) {
    let (environment, out) = load_text("catchment.yaml", text, dir);
    (environment.unwrap(), out)
}

#[test]
fn everything() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "hunter2\n").unwrap();
    std::fs::write(dir.path().join("ca.pem"), "x").unwrap();
    let text = "
brokers: [kafka-1:9092, kafka-2:9092]
security:
  protocol: sasl_ssl
  mechanism: scram-sha-512
  username: catchment
  password: { file: password }
  ca: ca.pem
instance: node-1
topics: { partitions: 12, replication: 3 }
delivery: exactly_once
transaction: { linger: 5ms, bytes: 1MiB, rows: 5000, timeout: 30s }
state_dir: state
limits: { memory: 512MiB, workers: 4, message_bytes: 1MiB }
listen: { metrics: 127.0.0.1:9464, api: '[::1]:9465' }
kafka: { fetch.min.bytes: 65536, socket.keepalive.enable: true, client.rack: eu-1a, ssl.key.password: { file: password } }
";
    let (environment, out) = read(text, dir.path());
    assert!(out.is_empty(), "{}", out.plain());
    assert_eq!(environment.bootstrap().as_deref(), Some("kafka-1:9092,kafka-2:9092"));
    assert_eq!(environment.state_dir, dir.path().join("state"));
    assert_eq!((environment.limits.memory, environment.limits.workers), (512 << 20, Some(4)));
    assert_eq!((environment.instance.as_str(), environment.topics), ("node-1", Topics { partitions: 12, replication: 3 }));
    assert_eq!(environment.delivery, Delivery::ExactlyOnce);
    assert_eq!(environment.transaction, Transaction { linger_ms: 5, bytes: 1 << 20, rows: 5_000, timeout_ms: 30_000 });
    assert_eq!(environment.listen.api, "[::1]:9465".parse().ok());
    let shares = environment.limits.shares();
    assert_eq!(shares.fetch + shares.batches + shares.index + shares.candidates + shares.output + shares.keeper, 512 << 20);
    let properties: Vec<(String, String)> = environment.client_properties().into_iter().collect();
    let ca = dir.path().join("ca.pem").display().to_string();
    let expected = [
        ("client.rack", "eu-1a"),
        ("fetch.min.bytes", "65536"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "hunter2"),
        ("sasl.username", "catchment"),
        ("security.protocol", "sasl_ssl"),
        ("socket.keepalive.enable", "true"),
        ("ssl.ca.location", &ca),
        ("ssl.key.password", "hunter2"),
    ];
    assert_eq!(properties, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(!format!("{environment:?}").contains("hunter2"));
}

#[test]
fn mistakes() {
    let text = "
brokers: [kafka, 'a:0', 'b:9092,c:9093', :9092]
security: { protocol: ssl, mechanism: plain, certificate: nowhere.pem }
limits: { memory: 10MiB, workers: 0, message_bytes: 1GiB, memroy: 1GiB }
listen: { metrics: 9464, api: 1.2.3.4:80, web: 127.0.0.1:80 }
kafka: { bootstrap.servers: x, a: [b], sasl.oauthbearer.client.secret: { env: CATCHMENT_TEST_UNSET } }
workers: 3
classify: {}
instance: node 1
topics: { partitions: 0, replication_factor: 3 }
delivery: once
transaction: { linger: 20, bytes: 1KiB, rows: many, timeout: 1s }
partitions: 4
";
    let (environment, out) = read(text, Path::new("/nonexistent"));
    assert_eq!(environment.brokers, ["b:9092", "c:9093"]);
    let lines: Vec<String> = out.plain().lines().map(|line| line.replace("catchment.yaml:", "")).collect();
    let expected = [
        "2:11: error[bad-value]: `kafka` is not a broker (a broker is host:port, for example: kafka:9092)",
        "2:18: error[bad-value]: `a:0` is not a broker (a broker is host:port, for example: a:9092)",
        "2:42: error[bad-value]: `:9092` is not a broker (a broker is host:port, for example: kafka:9092)",
        "3:28: error[bad-value]: `mechanism` has no meaning with `ssl` (a user needs sasl_ssl (or sasl_plaintext))",
        "3:46: error[missing-key]: `certificate` needs `key`",
        "3:59: error[missing-file]: /nonexistent/nowhere.pem does not exist",
        "4:19: error[bad-value]: `memory` must be at least 128MiB",
        "4:35: error[bad-value]: `workers` must be a whole number from 1 to 256",
        "4:53: error[bad-value]: `message_bytes` must be from 1B to 64MiB",
        "4:59: error[unknown-key]: unknown key `memroy` (did you mean `memory`?)",
        "5:20: error[bad-value]: `9464` is not an address to listen on (did you mean 127.0.0.1:9464?)",
        "5:31: warning[open-port]: whoever reaches this port can reload the pipeline: it knows no users yet (listen on 127.0.0.1, or let a firewall or proxy guard the port)",
        "5:43: error[not-built-yet]: `web` is not built yet (web pages come with a later step)",
        "6:10: error[unknown-key]: `bootstrap.servers` cannot be set under `kafka` (write it as `brokers`)",
        "6:36: error[wrong-type]: `a` must be text, a number, true or false, not a list",
        "6:79: error[secret]: the environment variable CATCHMENT_TEST_UNSET is not set",
        "7:1: error[unknown-key]: `workers` is not a key here (it stands under `limits`: limits: { workers: 4 })",
        "8:1: error[unknown-key]: `classify` is not a key here (it belongs in a pipeline.yaml)",
        "9:11: error[bad-value]: `node 1` cannot be the name of an instance (names have letters, digits, `.`, `_` and `-`, and are at most 100 long)",
        "10:23: error[bad-value]: `partitions` must be a whole number from 1 to 10000",
        "10:26: error[unknown-key]: `replication_factor` is not a key here (the key is `replication`)",
        "11:11: error[bad-value]: `delivery` must be `exactly_once` or `at_least_once`, not `once`",
        "12:24: error[bad-value]: `linger` must be a duration, and `20` is not: a unit is missing after 20 (write numbers with w, d, h, m, s or ms: 90s, 5m, 1h30m, 7d; did you mean 20ms?)",
        "12:35: error[bad-value]: `bytes` must be from 64KiB to 256MiB",
        "12:47: error[wrong-type]: `rows` must be a whole number, not text",
        "12:62: error[bad-value]: `timeout` must be at least 2s",
        "13:1: error[unknown-key]: `partitions` is not a key here (it stands under `topics`: topics: { partitions: 6 })",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn transactions_end_in_time() {
    let (environment, out) = read("transaction: { linger: 8s }", Path::new("."));
    assert_eq!(
        out.plain(),
        "catchment.yaml:1:16: error[bad-value]: `linger` (8s) is more than half of `timeout` (10s) (a transaction that is not committed in time is aborted by the brokers)\n"
    );
    assert_eq!(environment.transaction.timeout_ms, 10_000);
    let (environment, out) = read("delivery: at_least_once\ntransaction: { linger: 0ms }", Path::new("."));
    assert!(!out.has_errors() && out.plain().contains("warning[repeats]"), "{}", out.plain());
    assert_eq!((environment.delivery, environment.transaction.linger_ms), (Delivery::AtLeastOnce, 0));
    let (_, out) = read("kafka: { group.instance.id: x, transaction.timeout.ms: 5 }", Path::new("."));
    assert!(out.plain().contains("write it as `instance`") && out.plain().contains("transaction: { timeout"), "{}", out.plain());
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    for text in [
        "security: { protocol: sasl_ssl, mechanism: plain, username: u, password: hunter2 }",
        "security:\n  protocol: sasl_ssl\n  mechanism: plain\n  username: u\n  pasword: hunter2",
        "security:\n  protocol: sasl_ssl\n  password: hunter2\n  password: 'hunter2'",
        "security:\n  protocol: sasl_ssl\n  \"password\": \"hunter2\"",
        "security:\n  protocol: sasl_ssl\n  password: [hunter2]",
        "security:\n  protocol: sasl_ssl\n  password: { value: hunter2 }",
        "security:\n  protocol: sasl_ssl\n  password:\n    value: hunter2",
        "kafka: { sasl.password: [hunter2] }",
        "security:\n  protocol: sasl_ssl\n  password: |\n    hunter2\n   x: y",
        "kafka: { sasl.password: hunter2 }",
        "kafka: { ssl.key.pem: hunter2",
        "kafka:\n  sasl.jaas.config: hunter2 = \"hunter2\" ;",
    ] {
        let (environment, out) = load_text("catchment.yaml", text, Path::new("/nonexistent"));
        assert!(out.has_errors(), "{text}");
        let shown = format!("{}{}{}{environment:?}", out.plain(), out.render(false), out.to_json());
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn a_missing_file_says_what_it_is_for() {
    let (environment, out) = catchment::config::environment::load(Path::new("/nonexistent/catchment.yaml"));
    assert!(environment.is_none());
    assert_eq!(
        out.plain(),
        "error[missing-file]: /nonexistent/catchment.yaml does not exist (this is the environment file: brokers, security, instance, topics, delivery, transaction, state_dir, limits, listen, archive, sql, kafka)\n"
    );
}

#[test]
fn the_archive_and_sql() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "hunter2\n").unwrap();
    let text = "
archive: { path: lake, commit: 30s, retention: 400d, older: 90d }
sql: { user: soc, password: { file: password }, certificate: c.pem, key: k.pem, memory: 1GiB, timeout: 5s, connections: 3, threads: 2 }
listen: { sql: 0.0.0.0:5433 }
";
    let (environment, out) = read(text, dir.path());
    assert!(out.is_empty(), "{}", out.plain());
    let archive = environment.archive.unwrap();
    assert_eq!((archive.path.as_str(), archive.commit_ms, archive.retention_days, archive.older_days), ("lake", 30_000, Some(400), Some(90)));
    let sql = environment.sql;
    assert_eq!((sql.memory, sql.timeout_ms, sql.connections, sql.threads), (1 << 30, 5_000, 3, Some(2)));
    assert!(sql.login.is_some_and(|(user, password)| user == "soc" && password.expose() == "hunter2"));
    assert_eq!(sql.tls, Some((dir.path().join("c.pem"), dir.path().join("k.pem"))));

    let mistakes = |text: &str| load_text("catchment.yaml", text, dir.path()).1.plain();
    assert!(mistakes("listen: { sql: 0.0.0.0:5433 }\n").contains("needs a user and encryption"));
    assert!(mistakes("sql: { user: soc }\n").contains("belong together"));
    assert!(mistakes("sql: { user: soc, password: hunter2 }\n").contains("error") && !mistakes("sql: { user: soc, password: hunter2 }\n").contains("hunter2"));
    assert!(mistakes("sql: { memory: 1MiB }\n").contains("from 16"));
    assert!(mistakes("archive: { commit: 10s }\n").contains("path"));
    assert!(mistakes("archive: { path: x, retention: 1h }\n").contains("at least a day"));
    assert!(mistakes("listen: { sql: 127.0.0.1:5433, api: 127.0.0.1:5433 }\n").contains("both want"));
    // A path alone will do.
    assert_eq!(read("archive: s3://bucket/soc\n", dir.path()).0.archive.unwrap().path, "s3://bucket/soc");
}
