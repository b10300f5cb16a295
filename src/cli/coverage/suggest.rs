//! Which field an unmapped path could fill: by its name, else by the look of its values.
//!
//! A suggestion is a guess for a person to judge. A name has to agree with its values: a
//! `sourceIPAddress` that never holds an address is no `src_ip`.

use std::collections::BTreeMap;

use super::profile::Leaf;
use super::shape::Look;
use super::usage::Usage;
use super::words::{essence, words};
use crate::config::schema::{FieldKind, Schema};

/// A field that has a value in this share of the incidents (percent) needs no other path.
pub const FILLED_PERCENT: u64 = 99;
/// A path that has a value in less than this share of the events (percent) is not suggested.
pub const FILL_MIN_PERCENT: u64 = 1;

/// What a path could be mapped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The field.
    pub field: String,
    /// The field is neither declared nor mapped anywhere yet.
    pub new: bool,
    /// Told by the name; else only by the look of the values.
    pub by_name: bool,
    /// The expression to write.
    pub expression: String,
}

/// What values must be for a name to count.
#[derive(Debug, Clone, Copy)]
enum Check {
    Any,
    Ip,
    Port,
    Time,
    Is(Look),
    Url,
    /// Text that is no address, hash or time.
    Word,
}

/// A path whose last key has one of `heads`, whose last keys have all of `with` and none of
/// `without`, and whose values pass, could be `field`. The first rule that holds decides.
struct Rule {
    field: &'static str,
    heads: &'static [&'static str],
    with: &'static [&'static str],
    without: &'static [&'static str],
    check: Check,
}

const fn rule(field: &'static str, heads: &'static [&'static str], with: &'static [&'static str], without: &'static [&'static str], check: Check) -> Rule {
    Rule { field, heads, with, without, check }
}

/// Words that make something else of a name.
const IDS: &[&str] =
    &["id", "signature", "type", "count", "group", "role", "session", "pool", "agent", "key", "version", "domain", "logon", "token", "guid", "number"];

/// Words of paths whose values belong to something else, whatever they are called.
const FOREIGN: &[&str] = &["tls", "ssl", "cert", "certificate", "x509", "header", "headers", "nat", "schema"];

const RULES: [Rule; 39] = [
    rule("src_ip", &["ip"], &["src"], &["dst", "nat"], Check::Ip),
    rule("dst_ip", &["ip"], &["dst"], &["src", "nat"], Check::Ip),
    rule("src_port", &["port"], &["src"], &["dst", "nat"], Check::Port),
    rule("dst_port", &["port"], &["dst"], &["src", "nat"], Check::Port),
    rule("src_ip", &["ip", "src"], &[], &["dst", "nat"], Check::Ip),
    rule("dst_ip", &["dst"], &[], &["src", "nat"], Check::Ip),
    rule("dst_port", &["port"], &[], &["src", "nat"], Check::Port),
    rule("parent_process", &["process"], &["parent"], &["id", "time", "user", "hash"], Check::Word),
    rule("parent_process", &["name", "path"], &["parent", "process"], IDS, Check::Word),
    rule("parent_command_line", &["cmd"], &["parent"], IDS, Check::Word),
    rule("command_line", &["cmd"], &[], IDS, Check::Word),
    rule("file_sha256", &["sha256"], &[], &[], Check::Is(Look::Sha256)),
    rule("file_sha1", &["sha1"], &[], &[], Check::Is(Look::Sha1)),
    rule("file_md5", &["md5"], &[], &[], Check::Is(Look::Md5)),
    rule(
        "process",
        &["process"],
        &[],
        &["id", "time", "user", "parent", "hash", "dst", "start", "type", "status", "logon", "tag", "scan", "registry", "container", "repository"],
        Check::Word,
    ),
    rule("process", &["name", "path"], &["process"], IDS, Check::Word),
    rule("user_agent", &["useragent"], &[], &["id", "version"], Check::Word),
    rule("sender_domain", &["domain"], &["sender"], &[], Check::Is(Look::Domain)),
    rule("sender", &["sender", "mail"], &["sender"], IDS, Check::Is(Look::Mail)),
    rule("recipient", &["recipient", "mail"], &["recipient"], IDS, Check::Is(Look::Mail)),
    rule("username", &["user"], &[], IDS, Check::Word),
    rule("username", &["name", "mail"], &["user"], IDS, Check::Word),
    rule("host", &["host"], &[], &["id", "type", "group", "version", "http", "url", "ip", "os"], Check::Word),
    rule("host", &["name"], &["host"], IDS, Check::Word),
    // A device alone is as often a kind of device.
    rule("host", &["name"], &["device"], IDS, Check::Word),
    rule("file_name", &["file"], &[], IDS, Check::Word),
    rule("file_name", &["name", "path"], &["file"], IDS, Check::Word),
    rule("url", &["url"], &[], &["id"], Check::Url),
    rule("technique", &["technique", "id"], &["technique"], &[], Check::Is(Look::Technique)),
    rule("rule_id", &["id", "signature"], &["rule"], &[], Check::Any),
    rule("rule_id", &["id"], &["signature"], &["user", "dst", "src"], Check::Any),
    rule("name", &["name", "signature"], &["alert"], &["id", "user"], Check::Word),
    rule("name", &["name"], &["rule"], &["id", "user"], Check::Word),
    rule("cloud_account", &["account", "id"], &["account", "id"], &["key"], Check::Any),
    rule("cloud_region", &["region"], &[], &["dns", "time"], Check::Word),
    rule("country", &["country"], &[], &["id"], Check::Word),
    rule("severity", &["severity"], &[], IDS, Check::Any),
    rule(
        "occurred",
        &["time"],
        &[],
        &["end", "modified", "update", "updated", "expire", "expiration", "last", "received", "ingest", "creation", "created", "start", "session", "zone"],
        Check::Time,
    ),
    rule("protocol", &["protocol"], &[], IDS, Check::Word),
];

/// Names that count only if they are the whole last key.
const WHOLE: [(&str, &str); 4] = [("subject", "subject"), ("action", "action"), ("outcome", "outcome"), ("domain", "domain")];

/// A field that can be suggested.
#[derive(Debug)]
struct Known {
    name: String,
    words: Vec<String>,
    kind: Option<FieldKind>,
}

/// The fields that a pipeline declares or maps.
#[derive(Debug)]
pub struct Suggester {
    known: Vec<Known>,
}

impl Suggester {
    /// From the schema and from all mapped fields.
    pub fn new<'a>(schema: &Schema, mapped: impl Iterator<Item = &'a str>) -> Suggester {
        let mut known: Vec<Known> =
            schema.fields.iter().map(|spec| Known { name: spec.name.clone(), words: words(&spec.name), kind: Some(spec.kind) }).collect();
        for name in mapped {
            if !known.iter().any(|field| field.name == name) {
                known.push(Known { name: name.to_owned(), words: words(name), kind: None });
            }
        }
        Suggester { known }
    }

    /// One suggestion or none per path of a group of `events`. `filled` tells whether a
    /// field needs no other path.
    pub fn suggest(&self, leaves: &[Leaf<'_>], events: u64, usage: &Usage, filled: &dyn Fn(&str) -> bool) -> Vec<Option<Suggestion>> {
        let mut found: Vec<Option<Suggestion>> = leaves
            .iter()
            .map(|leaf| {
                // Without an example all values are blank.
                let there = leaf.stat.example.is_some() && leaf.stat.events * 100 >= events * FILL_MIN_PERCENT;
                let free = there && usage.of(&leaf.canonical()).fields.is_empty();
                if free { self.of(leaf, filled) } else { None }
            })
            .collect();
        // One path per field: the best one.
        let mut best: BTreeMap<String, (usize, (bool, u64, usize))> = BTreeMap::new();
        for (number, (leaf, suggestion)) in leaves.iter().zip(&found).enumerate() {
            let Some(suggestion) = suggestion else { continue };
            let rank = (suggestion.by_name, leaf.stat.events, usize::MAX - leaf.steps.len());
            match best.get_mut(&suggestion.field) {
                Some(known) if known.1 >= rank => {}
                Some(known) => *known = (number, rank),
                None => {
                    best.insert(suggestion.field.clone(), (number, rank));
                }
            }
        }
        for (number, slot) in found.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|s| best.get(&s.field).is_some_and(|(chosen, _)| *chosen != number)) {
                *slot = None;
            }
        }
        found
    }

    fn of(&self, leaf: &Leaf<'_>, filled: &dyn Fn(&str) -> bool) -> Option<Suggestion> {
        let keys: Vec<&str> = leaf.steps.iter().rev().filter_map(|step| *step).take(3).collect();
        let last = words(keys.first()?);
        let mut all = last.clone();
        for key in keys.iter().skip(1) {
            words(key).into_iter().for_each(|word| {
                if !all.contains(&word) {
                    all.push(word);
                }
            });
        }
        let foreign = all.iter().any(|word| FOREIGN.contains(&word.as_str()));
        let name = if foreign { None } else { self.by_field_name(&keys, leaf).or_else(|| by_rule(&last, &all, leaf)) };
        let name = name.filter(|field| !filled(&self.named(field).0));
        let (field, by_name) = match name {
            Some(field) => (field, true),
            None if foreign => return None,
            None => (by_look(leaf, &all)?.to_owned(), false),
        };
        let (field, new) = self.named(&field);
        if filled(&field) {
            return None;
        }
        let path = leaf.expression();
        let expression = match field.as_str() {
            "occurred" => format!("parse_time({path}, 'auto', 'UTC')"),
            "severity" => format!("severity({path})"),
            _ => path,
        };
        Some(Suggestion { field, new, by_name, expression })
    }

    /// The path ends in the very words of a known field.
    fn by_field_name(&self, keys: &[&str], leaf: &Leaf<'_>) -> Option<String> {
        for len in (1..=keys.len()).rev() {
            let mut path: Vec<String> = Vec::new();
            for key in keys.iter().take(len).rev() {
                words(key).into_iter().for_each(|word| {
                    if !path.contains(&word) {
                        path.push(word);
                    }
                });
            }
            let path = essence(&path);
            let hit = self.known.iter().find(|field| essence(&field.words) == path && fits(field.kind, &field.name, leaf));
            if let Some(field) = hit {
                return Some(field.name.clone());
            }
        }
        None
    }

    /// The pipeline's own name for a common field, and whether it has none.
    fn named(&self, field: &str) -> (String, bool) {
        if self.known.iter().any(|known| known.name == field) || matches!(field, "occurred" | "severity") {
            return (field.to_owned(), false);
        }
        let wanted = words(field);
        let wanted = essence(&wanted);
        match self.known.iter().find(|known| essence(&known.words) == wanted) {
            Some(known) => (known.name.clone(), false),
            None => (field.to_owned(), true),
        }
    }
}

fn by_rule(last: &[String], all: &[String], leaf: &Leaf<'_>) -> Option<String> {
    let has = |list: &[String], word: &&str| list.iter().any(|known| known == word);
    if let [only] = last
        && let Some((_, field)) = WHOLE.iter().find(|(word, _)| word == only)
        && passes(Check::Word, leaf)
    {
        return Some((*field).to_owned());
    }
    let holds = |rule: &&Rule| {
        rule.heads.iter().any(|word| has(last, word))
            && rule.with.iter().all(|word| has(all, word))
            && !rule.without.iter().any(|word| has(all, word))
            && passes(rule.check, leaf)
    };
    RULES.iter().find(holds).map(|rule| rule.field.to_owned())
}

fn by_look(leaf: &Leaf<'_>, all: &[String]) -> Option<&'static str> {
    let dst = all.iter().any(|word| word == "dst");
    match leaf.stat.look() {
        Look::Ip => Some(if dst { "dst_ip" } else { "src_ip" }),
        Look::Sha256 => Some("file_sha256"),
        Look::Url => Some("url"),
        Look::Technique => Some("technique"),
        Look::Time if leaf.steps.len() == 1 => Some("occurred"),
        _ => None,
    }
}

fn passes(check: Check, leaf: &Leaf<'_>) -> bool {
    let look = leaf.stat.look();
    match check {
        Check::Any => true,
        Check::Ip => look == Look::Ip,
        Check::Port => leaf.stat.is_numeric() && look != Look::Epoch,
        Check::Time => matches!(look, Look::Time | Look::Epoch),
        Check::Is(wanted) => look == wanted,
        Check::Url => matches!(look, Look::Url | Look::Path),
        Check::Word => {
            leaf.stat.kind_words().first() == Some(&"string")
                && !matches!(look, Look::Ip | Look::Md5 | Look::Sha1 | Look::Sha256 | Look::Uuid | Look::Time | Look::Epoch | Look::Json | Look::Number)
        }
    }
}

/// Values that a declared field takes.
fn fits(kind: Option<FieldKind>, name: &str, leaf: &Leaf<'_>) -> bool {
    let kind = kind.or(match name {
        "occurred" => Some(FieldKind::Time),
        _ if name.ends_with("_ip") => Some(FieldKind::Ip),
        _ if name.ends_with("_port") => Some(FieldKind::Integer),
        _ => None,
    });
    match kind {
        Some(FieldKind::Ip) => passes(Check::Ip, leaf),
        Some(FieldKind::Time) => passes(Check::Time, leaf),
        Some(FieldKind::Number | FieldKind::Integer) => leaf.stat.is_numeric(),
        Some(FieldKind::Boolean) => leaf.stat.kind_words().first() == Some(&"boolean"),
        Some(FieldKind::Text) | None => {
            // A number is a fine text if it names something: an id, a code.
            let names = |word: &str| words(name).iter().any(|known| known == word);
            let number = leaf.stat.kind_words().first() == Some(&"number");
            !number || names("id") || names("code") || names("number") || name == "severity"
        }
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::coverage::profile::Profile;

    fn suggested(event: &str, known: &[&str]) -> Vec<String> {
        let mut profile = Profile::default();
        profile.add(event.as_bytes(), &mut 1000);
        let leaves: Vec<Leaf<'_>> = profile.leaves().collect();
        let suggester = Suggester::new(&Schema::default(), known.iter().copied());
        let found = suggester.suggest(&leaves, 1, &Usage::default(), &|_| false);
        leaves.iter().zip(found).filter_map(|(leaf, s)| s.map(|s| format!("{}={}{}", leaf.shown(), s.field, if s.new { "*" } else { "" }))).collect()
    }

    #[test]
    fn names_and_values_decide_together() {
        let cases: [(&str, &[&str], &[&str]); 13] = [
            (r#"{"sourceIPAddress":"1.2.3.4"}"#, &["src_ip"], &["sourceIPAddress=src_ip"]),
            (r#"{"sourceIPAddress":"ec2.amazonaws.com"}"#, &["src_ip"], &[]),
            (r#"{"client":{"ipAddress":"1.2.3.4","port":443}}"#, &[], &["client.ipAddress=src_ip*", "client.port=src_port*"]),
            (r#"{"DestinationIp":"::1","DestinationPort":"443"}"#, &["dest_ip"], &["DestinationIp=dest_ip", "DestinationPort=dst_port*"]),
            (r#"{"SubjectUserName":"bob","SubjectUserSid":"S-1-5","SubjectLogonId":"0x3e7"}"#, &["username"], &["SubjectUserName=username"]),
            (
                r#"{"userIdentity":{"userName":"bob","accountId":"123456789012"}}"#,
                &["user", "cloud_account"],
                &["userIdentity.userName=user", "userIdentity.accountId=cloud_account"],
            ),
            (r#"{"userAgent":"curl/8"}"#, &["user_agent"], &["userAgent=user_agent"]),
            (
                r#"{"id":{"orig_h":"10.0.0.1","resp_h":"10.0.0.2","resp_p":53}}"#,
                &["src_ip", "dst_ip", "dst_port"],
                &["id.orig_h=src_ip", "id.resp_h=dst_ip", "id.resp_p=dst_port"],
            ),
            (r#"{"eventTime":"2026-11-21T00:00:00Z"}"#, &[], &["eventTime=occurred"]),
            (r#"{"x":"10.0.0.1"}"#, &["src_ip"], &["x=src_ip"]),
            (r#"{"ticket":"a","my_ticket":"b"}"#, &["ticket"], &["ticket=ticket"]),
            (r#"{"srcip":"1.1.1.1","src":{"ip":"1.1.1.1"}}"#, &["src_ip"], &["srcip=src_ip"]),
            (r#"{"tls":{"subject":"CN=x"},"p_schema_version":4,"RuleName":"-","http":{"status":200}}"#, &["subject", "outcome", "name"], &[]),
        ];
        for (event, known, expected) in cases {
            assert_eq!(suggested(event, known), expected, "{event}");
        }
    }
}
