//! What a value looks like: an address, a hash, a time. Guesses, for suggestions only.

use std::net::IpAddr;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Look {
    Ip,
    Mac,
    Md5,
    Sha1,
    Sha256,
    Uuid,
    Mail,
    Url,
    Domain,
    Path,
    /// A date and a time, as text.
    Time,
    /// A number that is a time since 1970: seconds, milliseconds, microseconds or nanoseconds.
    Epoch,
    /// A text that holds a number.
    Number,
    /// JSON inside a text.
    Json,
    /// ATT&CK technique.
    Technique,
    Other,
}

impl Look {
    /// All looks, in the order of their numbers.
    pub const ALL: [Look; 16] = [
        Look::Ip,
        Look::Mac,
        Look::Md5,
        Look::Sha1,
        Look::Sha256,
        Look::Uuid,
        Look::Mail,
        Look::Url,
        Look::Domain,
        Look::Path,
        Look::Time,
        Look::Epoch,
        Look::Number,
        Look::Json,
        Look::Technique,
        Look::Other,
    ];

    /// A word for tables; empty where there is nothing to say.
    pub fn word(self) -> &'static str {
        match self {
            Look::Ip => "ip",
            Look::Mac => "mac",
            Look::Md5 => "md5",
            Look::Sha1 => "sha1",
            Look::Sha256 => "sha256",
            Look::Uuid => "uuid",
            Look::Mail => "mail",
            Look::Url => "url",
            Look::Domain => "domain",
            Look::Path => "path",
            Look::Time => "time",
            Look::Epoch => "epoch",
            Look::Number => "digits",
            Look::Json => "json",
            Look::Technique => "att&ck",
            Look::Other => "",
        }
    }

    /// The look of a text.
    pub fn of_text(text: &str) -> Look {
        let text = text.trim();
        let bytes = text.as_bytes();
        let all = |test: fn(&u8) -> bool| !bytes.is_empty() && bytes.iter().all(test);
        if text.contains(['.', ':']) && text.parse::<IpAddr>().is_ok() {
            return Look::Ip;
        }
        if all(u8::is_ascii_hexdigit) && bytes.iter().any(u8::is_ascii_alphabetic) {
            match bytes.len() {
                32 => return Look::Md5,
                40 => return Look::Sha1,
                64 => return Look::Sha256,
                _ => {}
            }
        }
        if text.parse::<f64>().is_ok_and(f64::is_finite) {
            return match of_number(text) {
                Look::Epoch => Look::Epoch,
                _ => Look::Number,
            };
        }
        if groups(text, &[8, 4, 4, 4, 12], '-') {
            return Look::Uuid;
        }
        if groups(text, &[2; 6], ':') || groups(text, &[2; 6], '-') {
            return Look::Mac;
        }
        if is_time(bytes) {
            return Look::Time;
        }
        if (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']')) {
            return Look::Json;
        }
        if let Some(rest) = text.strip_prefix('T').filter(|rest| rest.len() == 4 || (rest.len() == 8 && rest.as_bytes()[4] == b'.'))
            && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        {
            return Look::Technique;
        }
        if text.contains(char::is_whitespace) {
            // A path of Windows may hold blanks; the rest are sentences.
            return if is_drive(bytes) { Look::Path } else { Look::Other };
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return if scheme.len() < 12 && !rest.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) { Look::Url } else { Look::Other };
        }
        if let Some((name, host)) = text.trim_matches(['<', '>']).split_once('@') {
            return if !name.is_empty() && is_domain(host) { Look::Mail } else { Look::Other };
        }
        if is_drive(bytes) || text.starts_with("\\\\") || (text.starts_with('/') && bytes.len() > 1) {
            return Look::Path;
        }
        if is_domain(text) { Look::Domain } else { Look::Other }
    }
}

/// The look of a number, as written.
pub fn of_number(text: &str) -> Look {
    // 2001 to 2070, in s, ms, µs and ns.
    let Ok(mut number) = text.parse::<f64>() else { return Look::Other };
    for _ in 0..4 {
        if (9.8e8..3.2e9).contains(&number) {
            // A byte count may lie there too; the name of the path has to agree.
            return Look::Epoch;
        }
        number /= 1000.0;
    }
    Look::Other
}

fn groups(text: &str, lengths: &[usize], separator: char) -> bool {
    let text = text.trim_matches(['{', '}']);
    let mut parts = text.split(separator);
    lengths.iter().all(|len| parts.next().is_some_and(|part| part.len() == *len && part.bytes().all(|b| b.is_ascii_hexdigit()))) && parts.next().is_none()
}

fn is_drive(bytes: &[u8]) -> bool {
    matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

fn is_domain(text: &str) -> bool {
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let good = |label: &&str| !label.is_empty() && label.len() < 64 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    labels.len() > 1
        && labels.iter().all(good)
        && labels.last().is_some_and(|last| (2..=24).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_lowercase()))
}

/// `2026-11-21…`, `2026/11/21…`, `Nov 21 18:45:00`, `11/21/2026 …`, `/Date(…)/`.
fn is_time(bytes: &[u8]) -> bool {
    let digits = |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let at = |place: usize, set: &[u8]| bytes.get(place).is_some_and(|byte| set.contains(byte));
    let iso = digits(0, 4) && at(4, b"-/") && digits(5, 7) && at(7, b"-/") && digits(8, 10);
    let american = digits(0, 1) && bytes.len() >= 14 && bytes.contains(&b':') && bytes.iter().filter(|b| **b == b'/').count() == 2;
    let syslog = bytes.len() >= 15 && bytes[..3].iter().all(u8::is_ascii_alphabetic) && at(3, b" ") && at(9, b":") && at(12, b":");
    let common = digits(0, 2) && at(2, b"/") && at(6, b"/") && digits(7, 11) && at(11, b":");
    iso || american || syslog || common || bytes.starts_with(b"/Date(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_like_what_they_are() {
        let cases = [
            ("10.0.0.1", Look::Ip),
            ("fe80::1", Look::Ip),
            ("5", Look::Number),
            ("1763750700", Look::Epoch),
            ("1763750700123", Look::Epoch),
            ("d41d8cd98f00b204e9800998ecf8427e", Look::Md5),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", Look::Sha1),
            ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Look::Sha256),
            ("{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", Look::Uuid),
            ("00:1b:44:11:3a:b7", Look::Mac),
            ("bob@example.com", Look::Mail),
            ("https://example.com/x?y", Look::Url),
            ("www.example.com", Look::Domain),
            ("C:\\Program Files\\x.exe", Look::Path),
            ("/usr/bin/id", Look::Path),
            ("2026-11-21T18:45:00Z", Look::Time),
            ("2026-11-21 18:45:00.123", Look::Time),
            ("Nov 21 18:45:00 host", Look::Time),
            ("21/Nov/2026:18:45:00 +0000", Look::Time),
            ("{\"a\":1}", Look::Json),
            ("T1059.001", Look::Technique),
            ("T100", Look::Other),
            ("ConsoleLogin", Look::Other),
            ("s3.amazonaws.com", Look::Domain),
            ("cmd.EXE", Look::Other),
            ("hello world", Look::Other),
            ("", Look::Other),
            ("é", Look::Other),
        ];
        for (text, look) in cases {
            assert_eq!(Look::of_text(text), look, "{text}");
        }
        assert_eq!(of_number("443"), Look::Other);
        assert_eq!(of_number("1763750700.5"), Look::Epoch);
    }
}
