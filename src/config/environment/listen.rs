//! Owns `listen:`: the ports of a running member.

use std::net::SocketAddr;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::node::Node;
use crate::config::read::{self, Fields, Note, shortened};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listen {
    /// Prometheus metrics; `None`: not at all.
    pub metrics: Option<SocketAddr>,
    /// Health, readiness, reload; `None`: not at all.
    pub api: Option<SocketAddr>,
    /// SQL, over the Postgres wire; `None`: not at all.
    pub sql: Option<SocketAddr>,
}

pub(super) fn read_listen(node: &Node, out: &mut Diagnostics) -> Listen {
    let mut listen = Listen::default();
    let Some(mut fields) = Fields::open(node, "`listen`", out) else { return listen };
    let metrics = "metrics can be read from the network without authentication";
    listen.metrics = fields.get("metrics", out).and_then(|node| read_address(node, "metrics", 9464, Some(metrics), out));
    let api = "whoever reaches this port can reload the pipeline: it knows no users yet";
    listen.api = fields.get("api", out).and_then(|node| read_address(node, "api", 9465, Some(api), out));
    // What it needs on other addresses is checked where `sql` is known.
    listen.sql = fields.get("sql", out).and_then(|node| read_address(node, "sql", 5433, None, out));
    let ports = [("metrics", listen.metrics), ("api", listen.api), ("sql", listen.sql)];
    for (number, (key, address)) in ports.iter().enumerate() {
        if let Some(address) = address.filter(|address| address.port() != 0)
            && let Some((other, _)) = ports.iter().take(number).find(|(_, known)| *known == Some(address))
            && let Some(span) = fields.key_span(key)
        {
            out.push(Diagnostic::error("bad-value", format!("`{other}` and `{key}` both want {address}")).at(span).hint("give each a port of its own"));
        }
    }
    fields.close(&[Note::Later("web", "web pages come with a later step"), Note::Elsewhere("postgres", "the key is `sql`: sql: 127.0.0.1:5433")], out);
    listen
}

/// An address; `open` is the warning if more than this machine reaches it.
fn read_address(node: &Node, key: &str, usual: u16, open: Option<&str>, out: &mut Diagnostics) -> Option<SocketAddr> {
    let text = read::text(node, &format!("`{key}`"), out)?;
    match text.value.parse::<SocketAddr>() {
        Ok(address) => {
            if let Some(open) = open.filter(|_| !address.ip().is_loopback()) {
                out.push(Diagnostic::warning("open-port", open).at(text.span).hint("listen on 127.0.0.1, or let a firewall or proxy guard the port"));
            }
            Some(address)
        }
        Err(_) => {
            let hint = match text.value.parse::<u16>() {
                Ok(port) => format!("did you mean 127.0.0.1:{port}?"),
                Err(_) => format!("an address and a port, for example: 127.0.0.1:{usual}"),
            };
            let message = format!("`{}` is not an address to listen on", shortened(&text.value));
            out.push(Diagnostic::error("bad-value", message).at(text.span).hint(hint));
            None
        }
    }
}
