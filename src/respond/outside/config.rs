//! Owns `respond.yaml`: what stands beside a pipeline and says which ways out there are, with
//! which secrets, and what is protected.

use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::node::Node;
use crate::config::read::{self, Fields};
use crate::respond::world::brakes::{Brakes, Mode, Protect};
use crate::respond::world::{OnUnknown, User};

/// Scripts, users, secrets of one file (count).
const ENTRIES_MAX: usize = 1_000;
/// Bytes of one HTTP answer by default.
pub const RESPONSE_BYTES: u64 = 1 << 20;
/// Seconds of one HTTP request by default.
pub const HTTP_SECONDS: u32 = 30;
/// Seconds of one script by default.
pub const SCRIPT_SECONDS: u32 = 60;
/// Bytes of memory of one script by default.
pub const SCRIPT_MEMORY: u64 = 512 << 20;

/// The ways out of playbooks.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Networks that may be reached although they are link-local, loopback or metadata services.
    pub allow: Vec<IpNet>,
    /// Bytes of one HTTP answer.
    pub response_bytes: u64,
    /// Seconds of one HTTP request, with its retries.
    pub http_timeout_s: u32,
    /// Certificates that are trusted besides the system's, as PEM.
    pub ca: Option<PathBuf>,
    /// Secrets that `auth` arguments name.
    pub credentials: Vec<Credential>,
    /// The mail server.
    pub mail: Option<MailServer>,
    /// Scripts of the user.
    pub scripts: Vec<ScriptSpec>,
    /// People.
    pub users: Vec<User>,
    /// What commands with an effect may do, and never touch.
    pub brakes: Brakes,
    /// Calls an hour, by command.
    pub rates: std::collections::HashMap<String, u32>,
    /// What a request that changes something means whose answer nobody knows.
    pub http_on_unknown: OnUnknown,
}

/// A way to log in.
#[derive(Clone)]
pub struct Credential {
    /// By which tasks name it.
    pub name: String,
    /// The hosts that get it; never any other.
    pub hosts: Vec<String>,
    /// How it is sent.
    pub kind: CredentialKind,
}

/// How a credential is sent.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum CredentialKind {
    Bearer(String),
    Basic { user: String, password: String },
    Header { name: String, value: String },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the secret.
        f.debug_struct("Credential").field("name", &self.name).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// A mail server.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub from: String,
    pub user: Option<(String, String)>,
    pub tls: MailTls,
}

impl std::fmt::Debug for MailServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailServer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// How mail is encrypted on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// From the start.
    Implicit,
    /// After STARTTLS, or not at all.
    Starttls,
    /// Not at all: for servers on loopback.
    None,
}

/// A script of the user: any executable.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ScriptSpec {
    pub name: String,
    pub file: PathBuf,
    pub arguments: Vec<String>,
    pub timeout_s: u32,
    pub memory: u64,
    pub execution: bool,
    pub on_unknown: OnUnknown,
    /// Variables that it gets: name, value.
    pub environment: Vec<(String, String)>,
}

impl Settings {
    /// What there is without a file.
    pub fn plain() -> Settings {
        Settings { response_bytes: RESPONSE_BYTES, http_timeout_s: HTTP_SECONDS, ..Settings::default() }
    }

    /// Reads a file; relative paths start at its directory.
    pub fn read(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Settings> {
        let mut fields = Fields::open(node, "the file", out)?;
        let mut settings = Settings::plain();
        if let Some(node) = fields.get("http", out) {
            http(node, dir, &mut settings, out);
        }
        if let Some(node) = fields.get("mail", out) {
            settings.mail = mail(node, out);
        }
        if let Some(node) = fields.get("credentials", out) {
            for (name, node) in read::entries(node, "`credentials`", ENTRIES_MAX, out) {
                settings.credentials.extend(credential(&name.value, node, out));
            }
        }
        if let Some(node) = fields.get("scripts", out) {
            for (name, node) in read::entries(node, "`scripts`", ENTRIES_MAX, out) {
                settings.scripts.extend(script(&name.value, node, dir, out));
            }
        }
        if let Some(node) = fields.get("users", out) {
            for (name, node) in read::entries(node, "`users`", ENTRIES_MAX, out) {
                settings.users.extend(user(&name.value, node, out));
            }
        }
        if let Some(node) = fields.get("mode", out)
            && let Some(mode) = read::choice(node, "`mode`", &MODES, out)
        {
            settings.brakes.mode = mode;
        }
        if let Some(node) = fields.get("rates", out) {
            for (name, node) in read::entries(node, "`rates`", ENTRIES_MAX, out) {
                let limit = read::whole_number(node, "calls an hour", 1, u64::from(u32::MAX), out).and_then(|limit| u32::try_from(limit).ok());
                settings.rates.extend(limit.map(|limit| (name.value.to_lowercase(), limit)));
            }
        }
        if let Some(node) = fields.get("protect", out) {
            let entries: Vec<String> = read::list(node, "`protect`", crate::respond::world::brakes::PROTECT_MAX, out)
                .iter()
                .filter_map(|node| read::text(node, "an entry", out))
                .map(|text| text.value)
                .collect();
            match Protect::new(entries.iter().map(String::as_str)) {
                Ok(protect) => settings.brakes.protect = protect,
                Err(why) => out.push(Diagnostic::error("protect", why).at(node.span)),
            }
        }
        fields.close(&[], out);
        Some(settings)
    }
}

const MODES: [(&str, Mode); 3] = [("ask", Mode::Ask), ("run", Mode::Run), ("simulate", Mode::Simulate)];
const UNKNOWN: [(&str, OnUnknown); 3] = [("retry", OnUnknown::Retry), ("ask", OnUnknown::Ask), ("fail", OnUnknown::Fail)];

fn http(node: &Node, dir: &Path, settings: &mut Settings, out: &mut Diagnostics) {
    let Some(mut fields) = Fields::open(node, "`http`", out) else { return };
    if let Some(node) = fields.get("allow", out) {
        for node in read::list(node, "`allow`", ENTRIES_MAX, out) {
            let Some(text) = read::text(node, "a network", out) else { continue };
            match text.value.parse::<IpNet>().or_else(|_| text.value.parse::<std::net::IpAddr>().map(IpNet::from)) {
                Ok(net) => settings.allow.push(net),
                Err(_) => out.push(Diagnostic::error("network", "an address, or a network like 10.0.0.0/8").at(node.span)),
            }
        }
    }
    if let Some(bytes) = fields.get("response_bytes", out).and_then(|node| read::bytes(node, "`response_bytes`", out)) {
        settings.response_bytes = bytes.clamp(1 << 10, 64 << 20);
    }
    if let Some(ms) = fields.get("timeout", out).and_then(|node| read::duration_ms(node, "`timeout`", 3_600_000, out)) {
        settings.http_timeout_s = u32::try_from(ms / 1_000).unwrap_or(HTTP_SECONDS).max(1);
    }
    if let Some(node) = fields.get("records", out) {
        let hosts = read::one_or_many(node).iter().filter_map(|node| read::text(node, "a host", out));
        settings.brakes.records = hosts.map(|host| host.value.to_lowercase()).collect();
    }
    if let Some(how) = fields.get("on_unknown", out).and_then(|node| read::choice(node, "`on_unknown`", &UNKNOWN, out)) {
        settings.http_on_unknown = how;
    }
    if let Some(path) = fields.get("ca", out).and_then(|node| read::text(node, "`ca`", out)) {
        settings.ca = Some(dir.join(path.value));
    }
    fields.close(&[], out);
}

/// `{ env: NAME }` or `{ file: path }`; a secret never stands in the file itself.
fn secret(node: &Node, out: &mut Diagnostics) -> Option<String> {
    if !matches!(node.value, crate::config::node::Value::Mapping(_)) {
        // Without its place: the line would show it.
        out.push(Diagnostic::error("secret", "a secret never stands in the file: write `{ env: NAME }` or `{ file: path }`"));
        return None;
    }
    let mut fields = Fields::open(node, "a secret", out)?;
    let variable = fields.get("env", out).and_then(|node| read::text(node, "`env`", out));
    let file = fields.get("file", out).and_then(|node| read::text(node, "`file`", out));
    fields.close(&[], out);
    let found = match (&variable, &file) {
        (Some(name), None) => std::env::var(&name.value).ok(),
        (None, Some(path)) => std::fs::read_to_string(&path.value)
            .ok()
            .filter(|text| text.len() as u64 <= crate::config::limits::SECRET_BYTES_MAX)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        _ => {
            out.push(Diagnostic::error("secret", "a secret comes from `{ env: NAME }` or `{ file: path }`").at(node.span));
            return None;
        }
    };
    if found.is_none() {
        out.push(Diagnostic::error("secret", "the secret cannot be read: the variable or the file is not there").at(node.span));
    }
    found
}

fn text(fields: &mut Fields<'_>, key: &'static str, out: &mut Diagnostics) -> Option<String> {
    fields.get(key, out).and_then(|node| read::text(node, "it", out)).map(|text| text.value)
}

fn credential(name: &str, node: &Node, out: &mut Diagnostics) -> Option<Credential> {
    let mut fields = Fields::open(node, "a credential", out)?;
    let hosts: Vec<String> = fields
        .need("hosts", "[api.example.com]", out)
        .map(|node| read::one_or_many(node).iter().filter_map(|node| read::text(node, "a host", out)).map(|host| host.value.to_lowercase()).collect())
        .unwrap_or_default();
    let bearer = fields.get("bearer", out).and_then(|node| secret(node, out));
    let user = text(&mut fields, "user", out);
    let password = fields.get("password", out).and_then(|node| secret(node, out));
    let header = text(&mut fields, "header", out);
    let value = fields.get("value", out).and_then(|node| secret(node, out));
    fields.close(&[], out);
    let kind = match (bearer, user, password, header, value) {
        (Some(token), None, None, None, None) => CredentialKind::Bearer(token),
        (None, Some(user), Some(password), None, None) => CredentialKind::Basic { user, password },
        (None, None, None, Some(name), Some(value)) => CredentialKind::Header { name, value },
        _ => {
            out.push(Diagnostic::error("credential", format!("the credential `{name}` is `bearer`, `user` and `password`, or `header` and `value`")));
            return None;
        }
    };
    Some(Credential { name: name.to_owned(), hosts, kind })
}

fn mail(node: &Node, out: &mut Diagnostics) -> Option<MailServer> {
    let mut fields = Fields::open(node, "`mail`", out)?;
    let host = fields.need("host", "mail.example.com", out).and_then(|node| read::text(node, "`host`", out))?.value;
    let from = fields.need("from", "soc@example.com", out).and_then(|node| read::text(node, "`from`", out))?.value;
    let choices = [("implicit", MailTls::Implicit), ("starttls", MailTls::Starttls), ("none", MailTls::None)];
    let tls = fields.get("tls", out).and_then(|node| read::choice(node, "`tls`", &choices, out)).unwrap_or(MailTls::Starttls);
    let default = if tls == MailTls::Implicit { 465 } else { 587 };
    let port = fields
        .get("port", out)
        .and_then(|node| read::whole_number(node, "`port`", 1, 65_535, out))
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(default);
    let user = text(&mut fields, "user", out);
    let password = fields.get("password", out).and_then(|node| secret(node, out));
    fields.close(&[], out);
    Some(MailServer { host, port, from, user: user.zip(password), tls })
}

fn script(name: &str, node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<ScriptSpec> {
    let mut fields = Fields::open(node, "a script", out)?;
    let file = fields.need("file", "scripts/lookup.py", out).and_then(|node| read::text(node, "`file`", out))?;
    let mut spec = ScriptSpec { name: name.to_owned(), file: dir.join(&file.value), timeout_s: SCRIPT_SECONDS, memory: SCRIPT_MEMORY, ..ScriptSpec::default() };
    if !spec.file.is_file() {
        out.push(Diagnostic::error("missing-file", format!("the script {} does not exist", file.value)).at(file.span));
    }
    if let Some(node) = fields.get("arguments", out) {
        spec.arguments = read::one_or_many(node).iter().filter_map(|node| read::text(node, "an argument", out)).map(|text| text.value).collect();
    }
    if let Some(ms) = fields.get("timeout", out).and_then(|node| read::duration_ms(node, "`timeout`", 86_400_000, out)) {
        spec.timeout_s = u32::try_from(ms / 1_000).unwrap_or(SCRIPT_SECONDS).max(1);
    }
    if let Some(bytes) = fields.get("memory", out).and_then(|node| read::bytes(node, "`memory`", out)) {
        spec.memory = bytes.max(16 << 20);
    }
    if let Some(yes) = fields.get("execution", out).and_then(|node| read::boolean(node, "`execution`", out)) {
        spec.execution = yes;
    }
    if let Some(word) = fields.get("on_unknown", out).and_then(|node| read::choice(node, "`on_unknown`", &UNKNOWN, out)) {
        spec.on_unknown = word;
    }
    if let Some(node) = fields.get("environment", out) {
        for (name, node) in read::entries(node, "`environment`", ENTRIES_MAX, out) {
            let value = match node.word() {
                Some(word) => Some(word.to_owned()),
                None => secret(node, out),
            };
            spec.environment.extend(value.map(|value| (name.value.clone(), value)));
        }
    }
    fields.close(&[], out);
    Some(spec)
}

fn user(name: &str, node: &Node, out: &mut Diagnostics) -> Option<User> {
    let mut fields = Fields::open(node, "a user", out)?;
    let email = text(&mut fields, "email", out).unwrap_or_default();
    let roles = fields
        .get("roles", out)
        .map(|node| read::one_or_many(node).iter().filter_map(|node| read::text(node, "a role", out)).map(|text| text.value).collect())
        .unwrap_or_default();
    let on_call = fields.get("on_call", out).and_then(|node| read::boolean(node, "`on_call`", out)).unwrap_or(false);
    fields.close(&[], out);
    Some(User { name: name.to_owned(), email, roles, online: true, on_call })
}
