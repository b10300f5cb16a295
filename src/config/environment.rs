//! Owns the environment file, `catchment.yaml`: what differs from machine to machine and
//! therefore does not stand in a pipeline.
//!
//! ```yaml
//! brokers: [kafka-1:9092, kafka-2:9092]
//! security:
//!   protocol: sasl_ssl                  # plaintext | ssl | sasl_plaintext | sasl_ssl
//!   mechanism: scram-sha-512            # plain | scram-sha-256 | scram-sha-512
//!   username: catchment
//!   password: { env: KAFKA_PASSWORD }   # or { file: /run/secrets/kafka }
//!   ca: /etc/ssl/kafka-ca.pem           # also: certificate, key, key_password
//! instance: node-1                      # unique among the members; default: the host's name
//! topics: { partitions: 6, replication: 3 }
//! delivery: exactly_once                # or at_least_once
//! transaction: { linger: 10ms, bytes: 4MiB, rows: 20000, timeout: 10s }
//! state_dir: /var/lib/catchment
//! limits: { memory: 1GiB, workers: 4, message_bytes: 64MiB }
//! listen: { metrics: 127.0.0.1:9464, api: 127.0.0.1:9465, sql: 127.0.0.1:5433 }
//! archive: { path: /var/lib/catchment/archive, commit: 10s, retention: 400d }   # or s3://bucket/prefix
//! sql: { user: soc, password: { env: SQL_PASSWORD }, memory: 512MiB, timeout: 60s }
//! kafka: { fetch.min.bytes: 65536 }     # any librdkafka property
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::{
    MEMORY_DEFAULT, MEMORY_MIN, MESSAGE_BYTES_DEFAULT, MemoryShares, QUEUED_RUNS_DEFAULT, QUEUED_RUNS_MAX, RUNNING_RUNS_DEFAULT, RUNNING_RUNS_MAX, WORKERS_MAX,
};
use super::load::read_yaml_file_as;
use super::node::{Node, Value, json_number};
use super::read::{self, Fields, Note, shortened};
use super::source_map::{SourceMap, Spanned};
use super::units;
use super::yaml;

mod archive;
mod delivery;
mod fleet;
mod listen;
pub mod security;
pub use archive::{Archive, Sql};
pub use delivery::{Delivery, Transaction};
pub use fleet::Topics;
pub use listen::Listen;
use security::{Secret, Security};

/// Everything that the environment file says; [`Environment::default`] if there is none.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The text of the file, for messages.
    pub files: Arc<SourceMap>,
    /// `host:port` of some brokers; empty if the file names none.
    pub brokers: Vec<String>,
    /// How to reach them.
    pub security: Security,
    /// What tells this member from others: in its transactional ids and its static member id.
    pub instance: String,
    /// How the topics that the pipeline writes are made.
    pub topics: Topics,
    /// What a crash may cost.
    pub delivery: Delivery,
    /// When a transaction is cut.
    pub transaction: Transaction,
    /// Where state is cached on local disk.
    pub state_dir: PathBuf,
    /// What may be used up.
    pub limits: Limits,
    /// Where to listen.
    pub listen: Listen,
    /// Where incidents are archived; `None`: nowhere.
    pub archive: Option<Archive>,
    /// How the archive may be queried.
    pub sql: Sql,
    /// Further librdkafka properties, in the order of the file.
    pub kafka: Vec<(Spanned<String>, Secret)>,
}

/// What may be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all buffers, tables and indexes share.
    pub memory: u64,
    /// Worker threads; `None`: as many as there are cores.
    pub workers: Option<usize>,
    /// Largest message in bytes; larger ones become dead letters.
    pub message_bytes: u64,
    /// Playbook runs of one member that wait for their turn (count); reading stops beyond that.
    pub queued_runs_max: usize,
    /// Playbook runs of one member whose calls are under way at once (count).
    pub running_runs_max: usize,
}

impl Limits {
    /// How the memory is divided.
    pub fn shares(&self) -> MemoryShares {
        MemoryShares::of(self.memory)
    }
}

impl Default for Environment {
    fn default() -> Environment {
        Environment {
            files: Arc::new(SourceMap::default()),
            brokers: Vec::new(),
            security: Security::default(),
            instance: fleet::host_name(),
            topics: Topics::default(),
            delivery: Delivery::default(),
            transaction: Transaction::default(),
            state_dir: PathBuf::from("state"),
            limits: Limits {
                memory: MEMORY_DEFAULT,
                workers: None,
                message_bytes: MESSAGE_BYTES_DEFAULT,
                queued_runs_max: QUEUED_RUNS_DEFAULT,
                running_runs_max: RUNNING_RUNS_DEFAULT,
            },
            listen: Listen::default(),
            archive: None,
            sql: Sql::default(),
            kafka: Vec::new(),
        }
    }
}

impl Environment {
    /// `host:port,host:port`, as librdkafka wants it; `None` if the file names no broker.
    pub fn bootstrap(&self) -> Option<String> {
        (!self.brokers.is_empty()).then(|| self.brokers.join(","))
    }

    /// All librdkafka properties of the file: those of `security`, then those of `kafka`,
    /// which win. Secrets are among the values: do not print them.
    pub fn client_properties(&self) -> BTreeMap<String, String> {
        let mut properties = self.security.properties();
        properties.extend(self.kafka.iter().map(|(key, value)| (key.value.clone(), value.expose().to_owned())));
        properties
    }
}

const ELSEWHERE: &str = "it belongs in a pipeline.yaml";
const NOTES: [Note; 9] = [
    Note::Elsewhere("partitions", "it stands under `topics`: topics: { partitions: 6 }"),
    Note::Elsewhere("replication", "it stands under `topics`: topics: { replication: 3 }"),
    Note::Elsewhere("linger", "it stands under `transaction`: transaction: { linger: 10ms }"),
    Note::Elsewhere("bootstrap", "the key is `brokers`"),
    Note::Elsewhere("memory", "it stands under `limits`: limits: { memory: 1GiB }"),
    Note::Elsewhere("workers", "it stands under `limits`: limits: { workers: 4 }"),
    Note::Elsewhere("sources", ELSEWHERE),
    Note::Elsewhere("classify", ELSEWHERE),
    Note::Elsewhere("map", ELSEWHERE),
];

/// Reads an environment file; relative paths start from its directory. Secrets are read
/// from their variables and files here. All mistakes are collected; look at
/// [`Diagnostics::has_errors`] before using what comes back.
pub fn load(path: &Path) -> (Option<Environment>, Diagnostics) {
    let mut out = Diagnostics::new();
    if !path.is_file() {
        out.push(
            Diagnostic::error("missing-file", format!("{} does not exist", path.display())).hint(
                "this is the environment file: brokers, security, instance, topics, delivery, transaction, state_dir, limits, listen, archive, sql, kafka",
            ),
        );
        return (None, out);
    }
    let dir = path.parent().unwrap_or(Path::new("")).to_owned();
    let environment = read_yaml_file_as(path, security::masked, &mut out).and_then(|node| read_environment(&node, &dir, &mut out));
    (environment, out)
}

/// Reads an environment from text; see [`load`].
pub fn load_text(name: &str, text: &str, dir: &Path) -> (Option<Environment>, Diagnostics) {
    let mut out = Diagnostics::new();
    let file = out.add_file(name, security::masked(text.to_owned()));
    let environment = yaml::read(file, &mut out).and_then(|node| read_environment(&node, dir, &mut out));
    (environment, out)
}

fn read_environment(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Environment> {
    let mut top = Fields::open(node, "the environment file", out)?;
    let mut environment = Environment::default();
    if let Some(node) = top.get("brokers", out) {
        environment.brokers = read_brokers(node, out);
    }
    if let Some(node) = top.get("security", out) {
        environment.security = security::read_security(node, dir, out);
    }
    if let Some(instance) = top.get("instance", out).and_then(|node| fleet::read_instance(node, out)) {
        environment.instance = instance;
    }
    if let Some(node) = top.get("topics", out) {
        environment.topics = fleet::read_topics(node, out);
    }
    if let Some(node) = top.get("delivery", out) {
        environment.delivery = delivery::read_delivery(node, out);
    }
    if let Some(node) = top.get("transaction", out) {
        environment.transaction = delivery::read_transaction(node, out);
    }
    if let Some(node) = top.get("state_dir", out)
        && let Some(text) = read::text(node, "`state_dir`", out)
    {
        environment.state_dir = dir.join(text.value);
    }
    if let Some(node) = top.get("limits", out) {
        read_limits(node, &mut environment.limits, out);
    }
    if let Some(node) = top.get("sql", out) {
        environment.sql = archive::read_sql(node, dir, out);
    }
    if let Some(node) = top.get("listen", out) {
        environment.listen = listen::read_listen(node, out);
        archive::check_open(&environment.listen, &environment.sql, node.span, out);
    }
    if let Some(node) = top.get("archive", out) {
        environment.archive = archive::read_archive(node, dir, out);
    }
    if let Some(node) = top.get("kafka", out) {
        environment.kafka = read_kafka(node, dir, out);
    }
    top.close(&NOTES, out);
    environment.files = out.files().clone();
    Some(environment)
}

fn read_brokers(node: &Node, out: &mut Diagnostics) -> Vec<String> {
    let mut brokers = Vec::new();
    for node in read::one_or_many(node) {
        let Some(text) = read::text(node, "a broker", out) else { continue };
        for broker in text.value.split(',').map(str::trim) {
            match check_broker(broker) {
                Ok(()) => brokers.push(broker.to_owned()),
                Err(hint) => {
                    let message = format!("`{}` is not a broker", shortened(broker));
                    out.push(Diagnostic::error("bad-value", message).at(text.span).hint(hint));
                }
            }
        }
    }
    brokers
}

/// Whether a text is `host:port`; else what to write.
pub fn check_broker(broker: &str) -> Result<(), String> {
    let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Ok(());
    }
    let host = broker.split(':').next().filter(|host| !host.is_empty()).unwrap_or("kafka");
    Err(format!("a broker is host:port, for example: {host}:9092"))
}

fn read_limits(node: &Node, limits: &mut Limits, out: &mut Diagnostics) {
    let Some(mut fields) = Fields::open(node, "`limits`", out) else { return };
    if let Some(node) = fields.get("memory", out)
        && let Some(bytes) = read::bytes(node, "`memory`", out)
    {
        if bytes < MEMORY_MIN {
            let message = format!("`memory` must be at least {}", units::format_bytes(MEMORY_MIN));
            out.push(Diagnostic::error("bad-value", message).at(node.span));
        } else {
            limits.memory = bytes;
        }
    }
    if let Some(node) = fields.get("workers", out) {
        let workers = read::whole_number(node, "`workers`", 1, WORKERS_MAX, out);
        limits.workers = workers.map(|workers| workers as usize);
    }
    for (key, value, most) in
        [("queued_runs_max", &mut limits.queued_runs_max, QUEUED_RUNS_MAX), ("running_runs_max", &mut limits.running_runs_max, RUNNING_RUNS_MAX)]
    {
        if let Some(node) = fields.get(key, out)
            && let Some(count) = read::whole_number(node, &format!("`{key}`"), 1, most, out)
        {
            *value = usize::try_from(count).unwrap_or(usize::MAX);
        }
    }
    if let Some(node) = fields.get("message_bytes", out)
        && let Some(bytes) = read::bytes(node, "`message_bytes`", out)
    {
        if bytes == 0 || bytes > MESSAGE_BYTES_DEFAULT {
            let message = format!("`message_bytes` must be from 1B to {}", units::format_bytes(MESSAGE_BYTES_DEFAULT));
            out.push(Diagnostic::error("bad-value", message).at(node.span));
        } else {
            limits.message_bytes = bytes;
        }
    }
    fields.close(&[], out);
}

/// Properties that have a key of their own, or that Catchment decides.
const PROPERTIES_ELSEWHERE: [(&str, &str); 8] = [
    ("bootstrap.servers", "write it as `brokers`"),
    ("metadata.broker.list", "write it as `brokers`"),
    ("security.protocol", "write it as security: { protocol: … }"),
    ("group.id", "it is derived from the name of the pipeline"),
    ("transactional.id", "it is derived from the name of the pipeline and `instance`"),
    ("group.instance.id", "write it as `instance`"),
    ("transaction.timeout.ms", "write it as transaction: { timeout: … }"),
    ("allow.auto.create.topics", "topics are made by `catchment topics --create`, never by the way"),
];

fn read_kafka(node: &Node, dir: &Path, out: &mut Diagnostics) -> Vec<(Spanned<String>, Secret)> {
    const PROPERTIES_MAX: usize = 500; // librdkafka knows about 200
    let mut properties = Vec::new();
    for (key, node) in read::entries(node, "`kafka`", PROPERTIES_MAX, out) {
        let name = key.value.as_str();
        if let Some((_, instead)) = PROPERTIES_ELSEWHERE.iter().find(|(property, _)| *property == name) {
            let message = format!("`{name}` cannot be set under `kafka`");
            out.push(Diagnostic::error("unknown-key", message).at(key.span).hint(*instead));
            continue;
        }
        let value = match &node.value {
            Value::Mapping(_) => security::read_secret(node, &format!("`{name}`"), dir, out),
            _ if security::is_secret(name) => {
                security::refuse_inline(node, name, out);
                None
            }
            Value::Boolean(truth) => Some(Secret::new(truth.to_string())),
            Value::Number(raw) => Some(Secret::new(json_number(raw))),
            Value::Null { .. } | Value::List(_) => {
                read::wrong_type(node, &format!("`{name}`"), "text, a number, true or false", out);
                None
            }
            Value::Text { text, .. } => Some(Secret::new(text.clone())),
        };
        if let Some(value) = value {
            properties.push((key.clone(), value));
        }
    }
    properties
}
