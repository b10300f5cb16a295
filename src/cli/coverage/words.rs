//! Names of paths and fields → words of one vocabulary: `SourceIp`, `src_ip` and
//! `sourceIPAddress` are all {src, ip}.

/// A word in other spellings → ours. Words that are not here stay as they are.
const SYNONYMS: [(&str, &[&str]); 30] = [
    ("src", &["source", "client", "remote", "caller", "orig", "origin", "originating", "attacker", "peer", "requester"]),
    ("dst", &["destination", "dest", "target", "resp", "responder", "server", "victim"]),
    ("ip", &["address", "addr", "ips", "ipv4", "ipv6", "addresses"]),
    ("port", &["ports"]),
    ("host", &["hostname", "computer", "machine", "workstation", "hosts"]),
    ("user", &["username", "users", "account", "login", "principal", "actor", "usr", "identity"]),
    ("cmd", &["command", "cmdline", "commandline"]),
    ("process", &["image", "proc", "exe", "executable", "processes"]),
    ("parent", &["ppid", "pp"]),
    ("file", &["filename", "files"]),
    ("mail", &["email", "emails", "mailbox"]),
    ("sender", &["from", "mailfrom", "envelopefrom"]),
    ("recipient", &["to", "rcpt", "recipients", "rcptto", "toaddresses"]),
    ("url", &["uri", "urls", "link"]),
    ("domain", &["fqdn"]),
    ("severity", &["sev", "level", "priority", "risk", "criticality"]),
    ("time", &["timestamp", "date", "datetime", "ts", "occurred", "occurredat", "createdat", "timegenerated"]),
    ("outcome", &["result", "status", "disposition"]),
    ("protocol", &["proto", "transport"]),
    ("country", &["countrycode", "geo"]),
    ("technique", &["techniques", "mitre", "attack"]),
    ("signature", &["sid", "detection"]),
    ("rule", &["rulename", "policy"]),
    ("name", &["title", "displayname", "caption"]),
    ("id", &["identifier", "guid", "uuid"]),
    ("useragent", &["ua"]),
    ("action", &["actiontaken", "act"]),
    ("path", &["filepath"]),
    ("hash", &["hashes", "checksum", "digest"]),
    ("sha256", &["sha2"]),
];

/// Names that are written without a sign between their words.
const GLUED: [(&str, &[&str]); 33] = [
    ("srcip", &["src", "ip"]),
    ("sourceip", &["src", "ip"]),
    ("clientip", &["src", "ip"]),
    ("remoteip", &["src", "ip"]),
    ("callerip", &["src", "ip"]),
    ("srcaddr", &["src", "ip"]),
    ("dstip", &["dst", "ip"]),
    ("destip", &["dst", "ip"]),
    ("destinationip", &["dst", "ip"]),
    ("targetip", &["dst", "ip"]),
    ("serverip", &["dst", "ip"]),
    ("dstaddr", &["dst", "ip"]),
    ("srcport", &["src", "port"]),
    ("sourceport", &["src", "port"]),
    ("sport", &["src", "port"]),
    ("spt", &["src", "port"]),
    ("dstport", &["dst", "port"]),
    ("destport", &["dst", "port"]),
    ("dport", &["dst", "port"]),
    ("dpt", &["dst", "port"]),
    ("ipaddress", &["ip"]),
    ("ipaddr", &["ip"]),
    ("srchost", &["src", "host"]),
    ("dsthost", &["dst", "host"]),
    ("computername", &["host"]),
    ("machinename", &["host"]),
    ("devicename", &["host"]),
    ("processname", &["process", "name"]),
    ("parentimage", &["parent", "process"]),
    ("eventtime", &["event", "time"]),
    ("accountname", &["user"]),
    ("loginname", &["user"]),
    ("accountid", &["account", "id"]),
];

/// The words of a name, in order, each once.
pub fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        if !word.is_empty() && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    };
    let squashed: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    match () {
        // These two pairs mean something else than their words.
        () if squashed.ends_with("useragent") => add("useragent"),
        () if squashed.ends_with("commandline") && squashed.starts_with("parent") => ["parent", "cmd"].iter().for_each(|word| add(word)),
        () if squashed.ends_with("commandline") => add("cmd"),
        () if squashed.ends_with("accountid") => ["account", "id"].iter().for_each(|word| add(word)),
        () => {
            let parts = split(name);
            for (at, part) in parts.iter().enumerate() {
                // Zeek: `orig_h` and `resp_p` are an address and a port.
                let zeek = at.checked_sub(1).and_then(|at| parts.get(at)).is_some_and(|before| before == "orig" || before == "resp");
                match part.as_str() {
                    "h" if zeek => add("ip"),
                    "p" if zeek => add("port"),
                    _ => {}
                }
                // An `actor.login` is a user; a ConsoleLogin or last_login is something that was done.
                if part == "login" && parts.len() > 1 && parts.get(at + 1).is_none_or(|after| after != "name") {
                    add(part.as_str());
                    continue;
                }
                match GLUED.iter().find(|(glued, _)| glued == part) {
                    Some((_, parts)) => parts.iter().for_each(|word| add(word)),
                    None => add(SYNONYMS.iter().find(|(_, others)| others.contains(&part.as_str())).map_or(part.as_str(), |(word, _)| word)),
                }
            }
        }
    }
    found
}

/// Lower-case parts of a name: at signs, and where capitals begin.
fn split(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    let chars: Vec<char> = name.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            parts.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        let begins = c.is_uppercase()
            && (before.is_some_and(|b| b.is_lowercase() || b.is_ascii_digit())
                || (before.is_some_and(|b| b.is_uppercase()) && after.is_some_and(|a| a.is_lowercase())));
        if begins {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The words that tell fields apart, sorted: `user_name` is `user`, `file_sha256` is `sha256`.
pub fn essence(words: &[String]) -> Vec<&str> {
    let has = |word: &str| words.iter().any(|known| known == word);
    let filler = |word: &str| match word {
        "name" => has("user") || has("host") || has("process") || has("file"),
        "file" => has("sha256") || has("sha1") || has("md5"),
        "path" => has("process") || has("file"),
        "hash" => has("sha256") || has("sha1") || has("md5"),
        _ => false,
    };
    let mut left: Vec<&str> = words.iter().map(String::as_str).filter(|word| !filler(word)).collect();
    left.sort_unstable();
    left
}

/// A readable name made of any text: `ConsoleLogin` → `Console Login`.
pub fn title(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    let chars: Vec<char> = text.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_some_and(|b| b.is_lowercase())) {
            parts.push(std::mem::take(&mut part));
        }
        if c.is_alphanumeric() {
            part.push(*c);
        }
    }
    parts.push(part);
    let capital = |part: String| {
        let mut chars = part.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    parts.into_iter().filter(|part| !part.is_empty()).map(capital).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_the_same_words() {
        for name in ["SourceIp", "src_ip", "sourceIPAddress", "sourceip", "client.ipAddress", "ClientIP", "remote-addr"] {
            assert_eq!(words(name), ["src", "ip"], "{name}");
        }
        assert_eq!(words("id_orig_h"), ["id", "src", "ip", "h"]);
        assert_eq!(words("p_schema_version"), ["p", "schema", "version"]);
        assert_eq!(words("userName"), ["user", "name"]);
        assert_eq!(words("ClientRequestUserAgent"), ["useragent"]);
        assert_eq!(words("process.command_line"), ["cmd"]);
        assert_eq!(words("SHA256"), ["sha256"]);
        assert_eq!(words("TargetUserSid"), ["dst", "user", "signature"]);
        assert_eq!(essence(&words("user_name")), ["user"]);
        assert_eq!(essence(&words("file.hash.sha256")), ["sha256"]);
    }

    #[test]
    fn titles_are_readable() {
        assert_eq!(title("ConsoleLogin"), "Console Login");
        assert_eq!(title("auth.fail"), "Auth Fail");
        assert_eq!(title("S3_bucket-made_public"), "S3 Bucket Made Public");
        assert_eq!(title("--"), "");
    }
}
