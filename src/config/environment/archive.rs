//! Owns `archive:` and `sql:`: where every version of every incident is kept, and how it may be queried.

use std::path::{Path, PathBuf};

use super::security::{self, Secret};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{
    ARCHIVE_COMMIT_MS_DEFAULT, ARCHIVE_COMMIT_MS_MAX, ARCHIVE_DAYS_MAX, SQL_CONNECTIONS_DEFAULT, SQL_CONNECTIONS_MAX, SQL_MEMORY_DEFAULT, SQL_MEMORY_MAX,
    SQL_MEMORY_MIN, SQL_TIMEOUT_MS_DEFAULT, SQL_TIMEOUT_MS_MAX, WORKERS_MAX,
};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note};
use crate::config::units;

const DAY_MS: i64 = 86_400_000;

/// Where incidents are archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// A directory, or `s3://bucket/prefix`.
    pub path: String,
    /// What a relative path starts from.
    pub base: PathBuf,
    /// Options of the S3 client, as object_store names them.
    pub s3: Vec<(String, Secret)>,
    /// Least time between two commits, in milliseconds.
    pub commit_ms: u64,
    /// Days that incidents are kept, by creation; `None`: for ever.
    pub retention_days: Option<u32>,
    /// Days that versions are kept of which there are newer ones; `None`: as long as their incident.
    pub older_days: Option<u32>,
}

/// How the archive may be queried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    /// Who may log in; `None`: whoever reaches the port, which must be a loopback address then.
    pub login: Option<(String, Secret)>,
    /// Certificate and key of the port, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Memory of one query, in bytes.
    pub memory: u64,
    /// Time of one query, in milliseconds.
    pub timeout_ms: u64,
    /// Connections at a time (count).
    pub connections: u64,
    /// Threads that queries share; `None`: half of the cores.
    pub threads: Option<usize>,
}

impl Default for Sql {
    fn default() -> Sql {
        Sql { login: None, tls: None, memory: SQL_MEMORY_DEFAULT, timeout_ms: SQL_TIMEOUT_MS_DEFAULT, connections: SQL_CONNECTIONS_DEFAULT, threads: None }
    }
}

pub(super) fn read_archive(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Archive> {
    let mut archive =
        Archive { path: String::new(), base: dir.to_owned(), s3: Vec::new(), commit_ms: ARCHIVE_COMMIT_MS_DEFAULT, retention_days: None, older_days: None };
    if let Value::Text { text, .. } = &node.value {
        archive.path.clone_from(text);
        return Some(archive);
    }
    let mut fields = Fields::open(node, "`archive`", out)?;
    let path = fields.need("path", "path: archive", out).and_then(|node| read::text(node, "`path`", out));
    if let Some(node) = fields.get("s3", out) {
        for (key, node) in read::entries(node, "`s3`", 50, out) {
            let value = match &node.value {
                Value::Text { text, .. } if !key.value.contains("secret") && !key.value.contains("token") => Some(Secret::new(text.clone())),
                Value::Boolean(truth) => Some(Secret::new(truth.to_string())),
                _ => security::read_secret(node, &format!("`{}`", key.value), dir, out),
            };
            archive.s3.extend(value.map(|value| (key.value.clone(), value)));
        }
    }
    if let Some(node) = fields.get("commit", out)
        && let Some(ms) = read::duration_in(node, "`commit`", i64::try_from(ARCHIVE_COMMIT_MS_MAX).unwrap_or(i64::MAX), "s", out)
    {
        archive.commit_ms = u64::try_from(ms).unwrap_or(ARCHIVE_COMMIT_MS_DEFAULT);
        if archive.commit_ms < ARCHIVE_COMMIT_MS_DEFAULT {
            out.push(
                Diagnostic::warning("small-files", "commits this often make many small files")
                    .at(node.span)
                    .hint("live queries see incidents before they are committed: 10s is soon enough"),
            );
        }
    }
    archive.retention_days = fields.get("retention", out).and_then(|node| days(node, "`retention`", out));
    archive.older_days = fields.get("older", out).and_then(|node| days(node, "`older`", out));
    fields.close(&[Note::Elsewhere("dir", "the key is `path`"), Note::Elsewhere("url", "the key is `path`: path: s3://bucket/prefix")], out);
    archive.path = path?.value;
    Some(archive)
}

fn days(node: &Node, what: &str, out: &mut Diagnostics) -> Option<u32> {
    let ms = read::duration_in(node, what, i64::from(ARCHIVE_DAYS_MAX) * DAY_MS, "d", out)?;
    match u32::try_from(ms / DAY_MS) {
        Ok(days) if days > 0 => Some(days),
        _ => {
            out.push(Diagnostic::error("bad-value", format!("{what} must be at least a day")).at(node.span));
            None
        }
    }
}

pub(super) fn read_sql(node: &Node, dir: &Path, out: &mut Diagnostics) -> Sql {
    let mut sql = Sql::default();
    let Some(mut fields) = Fields::open(node, "`sql`", out) else { return sql };
    let head = fields.head();
    let user = fields.get("user", out).and_then(|node| read::name(node, "`user`", out));
    let password = fields.get("password", out).and_then(|node| security::read_secret(node, "`password`", dir, out));
    match (user, password) {
        (Some(user), Some(password)) => sql.login = Some((user.value, password)),
        (None, None) => {}
        _ => out.push(Diagnostic::error("missing-key", "`user` and `password` belong together").at(head)),
    }
    let mut file = |key: &'static str, out: &mut Diagnostics| {
        fields.get(key, out).and_then(|node| read::text(node, &format!("`{key}`"), out)).map(|text| dir.join(text.value))
    };
    match (file("certificate", out), file("key", out)) {
        (Some(certificate), Some(key)) => sql.tls = Some((certificate, key)),
        (None, None) => {}
        _ => out.push(Diagnostic::error("missing-key", "`certificate` and `key` belong together").at(head)),
    }
    if let Some(node) = fields.get("memory", out)
        && let Some(bytes) = read::bytes(node, "`memory`", out)
    {
        if (SQL_MEMORY_MIN..=SQL_MEMORY_MAX).contains(&bytes) {
            sql.memory = bytes;
        } else {
            let range = format!("{} to {}", units::format_bytes(SQL_MEMORY_MIN), units::format_bytes(SQL_MEMORY_MAX));
            out.push(Diagnostic::error("bad-value", format!("`memory` must be from {range}")).at(node.span));
        }
    }
    if let Some(node) = fields.get("timeout", out)
        && let Some(ms) = read::duration_in(node, "`timeout`", i64::try_from(SQL_TIMEOUT_MS_MAX).unwrap_or(i64::MAX), "s", out)
    {
        sql.timeout_ms = u64::try_from(ms).unwrap_or(SQL_TIMEOUT_MS_DEFAULT).max(1);
    }
    if let Some(connections) = fields.get("connections", out).and_then(|node| read::whole_number(node, "`connections`", 1, SQL_CONNECTIONS_MAX, out)) {
        sql.connections = connections;
    }
    if let Some(threads) = fields.get("threads", out).and_then(|node| read::whole_number(node, "`threads`", 1, WORKERS_MAX, out)) {
        sql.threads = usize::try_from(threads).ok();
    }
    fields.close(
        &[
            Note::Elsewhere("listen", "it stands under `listen`: listen: { sql: 127.0.0.1:5433 }"),
            Note::Elsewhere("port", "it stands under `listen`: listen: { sql: 127.0.0.1:5433 }"),
        ],
        out,
    );
    sql
}

/// Says what a port that more than this machine reaches lacks.
pub(super) fn check_open(listen: &super::Listen, sql: &Sql, span: crate::config::source_map::Span, out: &mut Diagnostics) {
    if listen.sql.is_some_and(|address| !address.ip().is_loopback()) && (sql.login.is_none() || sql.tls.is_none()) {
        out.push(
            Diagnostic::error("open-port", "SQL on a port that the network reaches needs a user and encryption")
                .at(span)
                .hint("write sql: { user: …, password: { env: … }, certificate: …, key: … }, or listen on 127.0.0.1"),
        );
    }
}
