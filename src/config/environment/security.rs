//! Owns `security:` of the environment file, and secrets: they come from a variable or a
//! file, never from the YAML itself, and are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::SECRET_BYTES_MAX;
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note};

/// A value that is not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How brokers are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// Encrypted or not, with a user or not.
    pub protocol: Protocol,
    /// Who we are, for the `sasl_*` protocols.
    pub sasl: Option<Sasl>,
    /// The authorities that brokers' certificates are checked against.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
}

/// Encrypted or not, with a user or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// Encrypted.
    Ssl,
    /// With a user.
    SaslPlaintext,
    /// Encrypted, with a user.
    SaslSsl,
}

/// A user of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is shown to the broker, in librdkafka's words.
    pub mechanism: &'static str,
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

const PROTOCOLS: [(&str, Protocol); 4] =
    [("plaintext", Protocol::Plaintext), ("ssl", Protocol::Ssl), ("sasl_plaintext", Protocol::SaslPlaintext), ("sasl_ssl", Protocol::SaslSsl)];
const MECHANISMS: [(&str, &str); 3] = [("plain", "PLAIN"), ("scram-sha-256", "SCRAM-SHA-256"), ("scram-sha-512", "SCRAM-SHA-512")];

impl Protocol {
    fn as_str(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("plaintext", |(word, _)| word)
    }

    fn has_user(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }
}

impl Security {
    /// The librdkafka properties that say the same. Secrets are among the values.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        let mut put = |key: &str, value: &str| properties.insert(key.to_owned(), value.to_owned());
        if self.protocol != Protocol::Plaintext {
            put("security.protocol", self.protocol.as_str());
        }
        if let Some(sasl) = &self.sasl {
            put("sasl.mechanism", sasl.mechanism);
            put("sasl.username", &sasl.username);
            put("sasl.password", sasl.password.expose());
        }
        let files = [("ssl.ca.location", &self.ca), ("ssl.certificate.location", &self.certificate), ("ssl.key.location", &self.key)];
        for (key, file) in files {
            if let Some(file) = file {
                put(key, &file.to_string_lossy());
            }
        }
        if let Some(password) = &self.key_password {
            put("ssl.key.password", password.expose());
        }
        properties
    }
}

/// True for a librdkafka property whose value may not stand in a file that is shared.
pub(super) fn is_secret(property: &str) -> bool {
    ["password", "secret", "passphrase", "key.pem", "token", "oauthbearer.config", "jaas"].iter().any(|part| property.to_ascii_lowercase().contains(part))
}

/// The text of an environment file with whatever looks like a secret written into it
/// replaced: messages show source lines, also those with a mistyped key. Nothing is lost,
/// since secrets are refused there anyway.
pub(super) fn masked(text: String) -> String {
    // A key with a telling part, and a value that is not `{ env: … }` or a block.
    const TELLING: &str = r#"(?i)([\w.-]*(?:pas+w|pwd|passphrase|secret|token|key\.pem|jaas|credential)[\w.-]*["']?[ \t]*:[ \t]+)([^\s{|>][^,}\r\n]*)"#;
    match regex::Regex::new(TELLING) {
        Ok(telling) => telling.replace_all(&text, "${1}xxxxxx").into_owned(),
        // Cannot happen, the pattern is fixed; but showing a secret is not the way out.
        Err(_) => String::new(),
    }
}

/// Reads the section; relative paths start from `dir`.
pub(super) fn read_security(node: &Node, dir: &Path, out: &mut Diagnostics) -> Security {
    let mut security = Security::default();
    let Some(mut fields) = Fields::open(node, "`security`", out) else { return security };
    let protocol = fields.need("protocol", "sasl_ssl", out).and_then(|node| read::choice(node, "`protocol`", &PROTOCOLS, out));
    let mechanism = fields.get("mechanism", out).and_then(|node| read::choice(node, "`mechanism`", &MECHANISMS, out));
    let username = fields.get("username", out).and_then(|node| read::text(node, "`username`", out));
    let password = fields.get("password", out).and_then(|node| read_secret(node, "`password`", dir, out));
    security.ca = read_path(&mut fields, "ca", dir, out);
    security.certificate = read_path(&mut fields, "certificate", dir, out);
    security.key = read_path(&mut fields, "key", dir, out);
    security.key_password = fields.get("key_password", out).and_then(|node| read_secret(node, "`key_password`", dir, out));
    if let Some(protocol) = protocol {
        security.protocol = protocol;
        together(&fields, protocol, out);
    }
    if let (Some(mechanism), Some(username), Some(password)) = (mechanism, username, password) {
        security.sasl = Some(Sasl { mechanism, username: username.value, password });
    }
    let notes = [
        Note::Elsewhere("user", "the key is `username`"),
        Note::Elsewhere("cert", "the key is `certificate`"),
        Note::Elsewhere("secret", "the key is `password`"),
    ];
    fields.close(&notes, out);
    security
}

/// Reports keys that the protocol needs, or has no use for.
fn together(fields: &Fields<'_>, protocol: Protocol, out: &mut Diagnostics) {
    let protocol_span = fields.key_span("protocol").unwrap_or(fields.head());
    for key in ["mechanism", "username", "password"] {
        match fields.key_span(key) {
            None if protocol.has_user() => {
                out.push(Diagnostic::error("missing-key", format!("`{}` needs `{key}`", protocol.as_str())).at(protocol_span).hint(match key {
                    "mechanism" => "for example: mechanism: scram-sha-512",
                    "username" => "for example: username: catchment",
                    _ => "for example: password: { env: KAFKA_PASSWORD }",
                }))
            }
            Some(span) if !protocol.has_user() => out.push(
                Diagnostic::error("bad-value", format!("`{key}` has no meaning with `{}`", protocol.as_str()))
                    .at(span)
                    .hint("a user needs sasl_ssl (or sasl_plaintext)"),
            ),
            _ => {}
        }
    }
    for key in ["ca", "certificate", "key", "key_password"] {
        if let Some(span) = fields.key_span(key)
            && !protocol.is_encrypted()
        {
            out.push(
                Diagnostic::error("bad-value", format!("`{key}` has no meaning with `{}`", protocol.as_str()))
                    .at(span)
                    .hint("encryption needs ssl or sasl_ssl"),
            );
        }
    }
    match (fields.key_span("certificate"), fields.key_span("key")) {
        (Some(span), None) => out.push(Diagnostic::error("missing-key", "`certificate` needs `key`").at(span)),
        (None, Some(span)) => out.push(Diagnostic::error("missing-key", "`key` needs `certificate`").at(span)),
        _ => {}
    }
    if protocol == Protocol::SaslPlaintext {
        out.push(
            Diagnostic::warning("open-port", "with sasl_plaintext anyone on the way can read along")
                .at(protocol_span)
                .hint("use sasl_ssl if the brokers offer it"),
        );
    }
}

fn read_path(fields: &mut Fields<'_>, key: &'static str, dir: &Path, out: &mut Diagnostics) -> Option<PathBuf> {
    let node = fields.get(key, out)?;
    let text = read::text(node, &format!("`{key}`"), out)?;
    let path = dir.join(&text.value);
    if !path.is_file() {
        out.push(Diagnostic::error("missing-file", format!("{} does not exist", path.display())).at(text.span));
        return None;
    }
    Some(path)
}

/// `{ env: NAME }` or `{ file: path }`.
pub(super) fn read_secret(node: &Node, what: &str, dir: &Path, out: &mut Diagnostics) -> Option<Secret> {
    // Anything else, also another key, may be the secret itself.
    let refers = match &node.value {
        Value::Mapping(entries) => entries.iter().all(|(key, _)| matches!(key.value.as_str(), "env" | "file")),
        _ => false,
    };
    if !refers {
        refuse_inline(node, what.trim_matches('`'), out);
        return None;
    }
    let mut fields = Fields::open(node, "a secret", out)?;
    let (env, file) = (fields.get("env", out), fields.get("file", out));
    let head = fields.head();
    fields.close(&[], out);
    match (env, file) {
        (Some(env), None) => {
            let name = read::text(env, "`env`", out)?;
            match std::env::var(&name.value) {
                Ok(value) if !value.is_empty() => Some(Secret(value)),
                _ => {
                    let message = format!("the environment variable {} is not set", name.value);
                    out.push(Diagnostic::error("secret", message).at(name.span).label(format!("holds {what}")));
                    None
                }
            }
        }
        (None, Some(file)) => {
            let path = read::text(file, "`file`", out)?;
            match read_file(&dir.join(&path.value)) {
                Ok(value) => Some(Secret(value)),
                Err(reason) => {
                    let message = format!("cannot read the secret from {}: {reason}", path.value);
                    out.push(Diagnostic::error("secret", message).at(path.span).label(format!("holds {what}")));
                    None
                }
            }
        }
        _ => {
            let message = format!("{what} needs either `env` or `file`");
            out.push(Diagnostic::error("secret", message).at(head).hint("{ env: NAME } or { file: path }"));
            None
        }
    }
}

/// Reports a secret that stands in the YAML; the value is not repeated.
pub(super) fn refuse_inline(node: &Node, what: &str, out: &mut Diagnostics) {
    out.push(
        // Without a span: the source line, which a message shows, is the secret itself.
        Diagnostic::error("secret", format!("{}: `{what}` may not stand in the file", out.files().place(node.span)))
            .hint(format!("write {what}: {{ env: NAME }} or {what}: {{ file: path }}; and change it, since it has been in a file")),
    );
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    // The system's words do not repeat what is in the file.
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.kind().to_string())?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("it is larger than {SECRET_BYTES_MAX} bytes"));
    }
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(secret.to_owned())
}
