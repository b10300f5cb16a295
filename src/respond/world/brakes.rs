//! Owns the brakes: which commands with an effect may run, wait for a person, or are only told;
//! and what they may never touch. Attackers write the events that arguments come from.

use std::collections::HashMap;
use std::net::IpAddr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::expr::xsoar::js::builtin::percent_decode;

/// Entries of protect lists (count): the networks, controllers and people of a large company.
pub const PROTECT_MAX: usize = 10_000;
/// Texts of one call that are compared with them (count).
const TEXTS_MAX: usize = 10_000;

/// What a playbook may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Mode {
    /// Commands with an effect wait for a person.
    #[default]
    Ask,
    /// They run.
    Run,
    /// They are told, and do not run.
    Simulate,
}

impl Mode {
    /// The stricter one of this and of what a run was asked for with; empty: nothing.
    pub fn stricter(self, asked: &str) -> Mode {
        match (self, Mode::parse(asked)) {
            (Mode::Simulate, _) | (_, Some(Mode::Simulate)) => Mode::Simulate,
            (Mode::Ask, _) | (_, Some(Mode::Ask)) => Mode::Ask,
            (Mode::Run, _) => Mode::Run,
        }
    }

    /// As it is written.
    pub fn parse(word: &str) -> Option<Mode> {
        Some(match word {
            "ask" => Mode::Ask,
            "run" => Mode::Run,
            "simulate" => Mode::Simulate,
            _ => return None,
        })
    }
}

/// All brakes of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Brakes {
    /// Where nothing else is said.
    pub mode: Mode,
    /// By type of incident.
    pub types: HashMap<String, Mode>,
    /// What may not be touched.
    pub protect: Protect,
    /// Servers that only write down what they are sent (tickets, notes): `host` or `host:port`.
    /// Requests to them have no effect of the kind that brakes are for.
    pub records: Vec<String>,
}

impl Brakes {
    /// What commands with an effect may do for incidents of a type.
    pub fn mode_of(&self, type_name: &str) -> Mode {
        self.types.get(type_name).copied().unwrap_or(self.mode)
    }
}

impl Brakes {
    /// True for a request to a server that only writes down.
    pub fn is_record(&self, url: &str) -> bool {
        let Ok(url) = url::Url::parse(url.trim()) else { return false };
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or(0));
        self.records.iter().any(|known| *known == host || *known == with_port)
    }
}

/// Own networks, controllers, people that no playbook may act against.
#[derive(Debug, Clone, Default)]
pub struct Protect {
    nets: Vec<(IpNet, String)>,
    words: HashMap<String, String>,
    globs: GlobSet,
    patterns: Vec<String>,
}

impl Protect {
    /// From entries: addresses, networks, names, patterns with `*`.
    ///
    /// # Errors
    /// The entry that cannot be read.
    pub fn new<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Protect, String> {
        let mut protect = Protect::default();
        let mut globs = GlobSetBuilder::new();
        for entry in entries.into_iter().take(PROTECT_MAX) {
            let entry = entry.trim();
            if let Some(net) = net_of(entry) {
                protect.nets.push((net, entry.to_owned()));
            } else if entry.contains('*') {
                let glob = GlobBuilder::new(&entry.to_lowercase()).literal_separator(false).build().map_err(|_| format!("`{entry}` is no pattern"))?;
                globs.add(glob);
                protect.patterns.push(entry.to_owned());
            } else if !entry.is_empty() {
                protect.words.insert(entry.to_lowercase(), entry.to_owned());
            }
        }
        protect.globs = globs.build().map_err(|_| "the patterns are too large".to_owned())?;
        Ok(protect)
    }

    /// The entry that some argument touches: a name, an address inside of a network, a network
    /// that holds a protected address.
    pub fn touched(&self, arguments: &Map<String, Value>) -> Option<&str> {
        if self.nets.is_empty() && self.words.is_empty() && self.patterns.is_empty() {
            return None;
        }
        let mut texts = Vec::new();
        collect(arguments.values(), &mut texts);
        texts.iter().find_map(|text| self.of(text))
    }

    fn of(&self, text: &str) -> Option<&str> {
        let whole = text.trim().to_lowercase();
        // What is encoded in a path or a parameter of a URL is meant as much.
        let decoded: String = if whole.contains(['/', '%', '=']) { percent_decode(&whole) } else { String::new() };
        // A list in one text, a URL, an address with a port: its parts count as well.
        let parts = whole.split([',', ';', ' ', '\n', '\t', '"', '\'', '<', '>', '(', ')', '|']).flat_map(|part| [part, host_of(part)]);
        let pieces = decoded.split(['/', '?', '&', '=', '#', ',', ' ']);
        std::iter::once(whole.as_str()).chain(parts).chain(pieces).filter(|part| !part.is_empty()).find_map(|part| self.part(part))
    }

    fn part(&self, part: &str) -> Option<&str> {
        if let Some(entry) = self.words.get(part) {
            return Some(entry);
        }
        if let Some(at) = self.globs.matches(part).first() {
            return self.patterns.get(*at).map(String::as_str);
        }
        let net = net_of(part).or_else(|| range_of(part))?;
        let overlaps = |known: &IpNet| known.contains(&net) || net.contains(known);
        self.nets.iter().find(|(known, _)| overlaps(known)).map(|(_, entry)| entry.as_str())
    }
}

fn net_of(text: &str) -> Option<IpNet> {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    // A mapped address is the address that it stands for.
    Some(match net {
        IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(IpAddr::V4(v4), v6.prefix_len().saturating_sub(96).min(32)).unwrap_or(net),
            None => net,
        },
        v4 => v4,
    })
}

/// `10.0.0.1-10.0.0.9`: the smallest network that holds both.
fn range_of(text: &str) -> Option<IpNet> {
    let (from, to) = text.split_once('-')?;
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from.parse().ok()?, to.parse().ok()?) else { return None };
    let prefix = (u32::from(from) ^ u32::from(to)).leading_zeros() as u8;
    IpNet::new(IpAddr::V4(from), prefix).ok()
}

/// The host of a URL, an address with a port, the name before the `@`.
fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(inner) = rest.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        return inner;
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') => host,
        _ => rest,
    }
}

fn collect<'v>(values: impl Iterator<Item = &'v Value>, texts: &mut Vec<String>) {
    let mut ahead: Vec<&Value> = values.collect();
    while let Some(value) = ahead.pop() {
        if texts.len() >= TEXTS_MAX {
            return;
        }
        match value {
            Value::String(text) => texts.push(text.clone()),
            Value::Number(number) => texts.push(number.to_string()),
            Value::Array(items) => ahead.extend(items),
            Value::Object(members) => {
                ahead.extend(members.values());
                texts.extend(members.keys().cloned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_protected_is_found_however_it_is_written() {
        let protect = Protect::new(["10.0.0.0/8", "dc01", "ceo@corp.example", "*.corp.example", "2001:db8::/32"]).unwrap();
        let touched = |value: Value| protect.touched(value.as_object().unwrap()).map(str::to_owned);
        for (value, entry) in [
            (json!({"ip": "10.1.2.3"}), Some("10.0.0.0/8")),
            (json!({"ip": ["8.8.8.8", " 10.1.2.3 "]}), Some("10.0.0.0/8")),
            (json!({"ip": "8.8.8.8,10.1.2.3"}), Some("10.0.0.0/8")),
            (json!({"net": "0.0.0.0/0"}), Some("10.0.0.0/8")),
            (json!({"net": "9.255.255.255-10.0.0.1"}), Some("10.0.0.0/8")),
            (json!({"ip": "::ffff:10.1.2.3"}), Some("10.0.0.0/8")),
            (json!({"url": "http://x@10.1.2.3:8080/a"}), Some("10.0.0.0/8")),
            (json!({"url": "https://[2001:db8::1]/"}), Some("2001:db8::/32")),
            (json!({"host": {"name": "DC01"}}), Some("dc01")),
            (json!({"user": "CEO@corp.example"}), Some("ceo@corp.example")),
            (json!({"host": "web.CORP.example"}), Some("*.corp.example")),
            (json!({"url": "https://edr.example/hosts/DC01/isolate"}), Some("dc01")),
            (json!({"url": "https://edr.example/block?ip=10%2E1.2.3"}), Some("10.0.0.0/8")),
            (json!({"body": "{\"address\": \"10.1.2.3\"}"}), Some("10.0.0.0/8")),
            (json!({"ip": "192.0.2.1", "host": "dc010", "n": 10}), None),
        ] {
            assert_eq!(touched(value.clone()).as_deref(), entry, "{value}");
        }
        assert!(Protect::new(["[*"]).is_err());
        assert_eq!(Protect::default().touched(json!({"a": "10.0.0.1"}).as_object().unwrap()), None);
    }
}
