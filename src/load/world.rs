//! The invented organisation the events come from: hosts, people, addresses, and
//! prepared texts. Everything is a pure function of a number, so nothing is stored
//! and two events about the same number agree.

use std::sync::OnceLock;

use super::render::Subject;
use super::rng::{Draw as _, StoryRng, mix};
use super::stamp::{push_int, push_padded};
use super::template::Filler;

/// Bytes of each prepared text: large enough that slices differ, small enough for the L2 cache.
const POOL_BYTES: usize = 64 << 10;

/// What a template can ask the world for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// `ws-00417.corp.example`
    Host,
    /// `ws-00417`, the host without its domain
    HostShort,
    /// `WS-00417`
    HostUpper,
    /// `m.frey417`
    User,
    /// `M. Frey`
    Name,
    /// `m.frey417@corp.example`
    Email,
    /// An inside address, 10.0.0.0/9: the other half holds guests and the laboratory
    Ip,
    /// An outside address, 198.18.0.0/15 (reserved for benchmarks: nobody's)
    Outside,
    /// An address of the known scanner, 192.0.2.0/28
    Scanner,
    /// `lab-07.corp.example`, a machine of the laboratory
    LabHost,
    /// An address of the laboratory, 10.250.0.0/16
    LabIp,
    /// A mail domain of a stranger, one per story
    Stranger,
    /// A Windows SID of a domain user
    Sid,
    /// A cloud account: twelve digits
    Account,
    /// An `ether` address
    Mac,
}

impl Entity {
    /// The name used in templates.
    pub fn from_name(name: &str) -> Option<Entity> {
        Some(match name {
            "host" => Entity::Host,
            "hostshort" => Entity::HostShort,
            "HOST" => Entity::HostUpper,
            "user" => Entity::User,
            "name" => Entity::Name,
            "email" => Entity::Email,
            "ip" => Entity::Ip,
            "outside" => Entity::Outside,
            "scanner" => Entity::Scanner,
            "labhost" => Entity::LabHost,
            "labip" => Entity::LabIp,
            "stranger" => Entity::Stranger,
            "sid" => Entity::Sid,
            "account" => Entity::Account,
            "mac" => Entity::Mac,
            _ => return None,
        })
    }
}

const FAMILY: [&str; 24] = [
    "adler", "brandt", "castell", "dorn", "eriks", "frey", "gallo", "hartog", "ibarra", "jonker", "kessel", "lindt", "moreau", "novak", "oduya", "petrov",
    "quint", "rossi", "sander", "tanaka", "urban", "varga", "weiss", "zeman",
];
const INITIAL: &[u8; 20] = b"abcdefghijklmnoprstv";
const STRANGERS: [&str; 8] = ["parcel-desk", "invoice-hub", "sso-renew", "docu-share", "payroll-info", "mail-quota", "it-portal", "bank-alert"];

/// Appends entity `which` of a kind for a story.
pub fn push(entity: Entity, which: u32, subject: Subject, out: &mut Vec<u8>) {
    let story = subject.story;
    // The first of a kind carries the story's number, so that no two stories share
    // it; the others are drawn from it.
    let number = if which == 0 { story } else { mix(story ^ (u64::from(which) << 48)) % 4_000 };
    match entity {
        Entity::Host => {
            push_host(b"ws-", b"srv-", number, out);
            out.extend_from_slice(b".corp.example");
        }
        Entity::HostShort => push_host(b"ws-", b"srv-", number, out),
        Entity::HostUpper => push_host(b"WS-", b"SRV-", number, out),
        Entity::User => push_user(number, out),
        Entity::Name => {
            let (initial, family) = person(number);
            out.push(initial.to_ascii_uppercase());
            out.extend_from_slice(b". ");
            let (first, rest) = family.split_at(1);
            out.extend(first.bytes().map(|b| b.to_ascii_uppercase()));
            out.extend_from_slice(rest.as_bytes());
        }
        Entity::Email => {
            push_user(number, out);
            out.extend_from_slice(b"@corp.example");
        }
        Entity::Ip => {
            // A multiplication by an odd number permutes the 23 bits: no two numbers share an address.
            let bits = number.wrapping_mul(0x9e_3779) & 0x7f_ffff;
            out.extend_from_slice(b"10.");
            push_dotted(&[bits >> 16, bits >> 8 & 255, bits & 255], out);
        }
        Entity::Outside => {
            // 17 bits, permuted like the inside addresses: 131,072 strangers in a row differ.
            let bits = number.wrapping_mul(0x9e_3779) & 0x1_ffff;
            out.extend_from_slice(b"198.");
            push_dotted(&[18 + (bits >> 16), bits >> 8 & 255, bits & 255], out);
        }
        Entity::Scanner => {
            out.extend_from_slice(b"192.0.2.");
            push_int(1 + mix(number) % 14, out);
        }
        Entity::LabHost => {
            out.extend_from_slice(b"lab-");
            push_padded(1 + mix(number) % 40, 2, out);
            out.extend_from_slice(b".corp.example");
        }
        Entity::LabIp => {
            out.extend_from_slice(b"10.250.");
            push_dotted(&[mix(number) >> 8 & 255, mix(number) & 255], out);
        }
        Entity::Stranger => {
            let at = (mix(number ^ 0x0051) % STRANGERS.len() as u64) as usize;
            out.extend_from_slice(STRANGERS.get(at).copied().unwrap_or("mail").as_bytes());
            out.push(b'-');
            push_int(number, out);
            out.extend_from_slice(b".example");
        }
        Entity::Sid => {
            out.extend_from_slice(b"S-1-5-21-1804289383-846930886-1681692777-");
            push_int(1_000 + number % 90_000, out);
        }
        // Modulo a prime: no two accounts share a number.
        Entity::Account => {
            push_padded(100_000_000_000 + subject.account.wrapping_mul(7_919_933) % 799_999_999_979, 12, out);
        }
        Entity::Mac => {
            out.extend_from_slice(b"02");
            let mut bits = mix(number ^ 0x00ac);
            for _ in 0..5 {
                out.push(b':');
                for _ in 0..2 {
                    out.push(b"0123456789abcdef"[(bits & 15) as usize]);
                    bits >>= 4;
                }
            }
        }
    }
}

fn person(number: u64) -> (u8, &'static str) {
    let bits = mix(number ^ 0x7065);
    let initial = INITIAL[(bits % INITIAL.len() as u64) as usize];
    (initial, FAMILY[((bits >> 32) % FAMILY.len() as u64) as usize])
}

fn push_user(number: u64, out: &mut Vec<u8>) {
    let (initial, family) = person(number);
    out.push(initial);
    out.push(b'.');
    out.extend_from_slice(family.as_bytes());
    push_int(number, out);
}

fn push_host(desk: &[u8], server: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(if mix(number).is_multiple_of(8) { server } else { desk });
    push_padded(number, 5.max(digits(number)), out);
}

/// Decimal digits of a number.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |n| n as usize + 1)
}

fn push_dotted(numbers: &[u64], out: &mut Vec<u8>) {
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_int(*number, out);
    }
}

/// A prepared text, JSON-escaped and ASCII.
pub fn pool(filler: Filler) -> &'static [u8] {
    static WORDS: OnceLock<Vec<u8>> = OnceLock::new();
    static BASE64: OnceLock<Vec<u8>> = OnceLock::new();
    static TRACE: OnceLock<Vec<u8>> = OnceLock::new();
    match filler {
        Filler::Words => WORDS.get_or_init(words),
        Filler::Base64 => BASE64.get_or_init(base64),
        Filler::Trace => TRACE.get_or_init(trace),
    }
}

fn words() -> Vec<u8> {
    const WORDS: [&str; 32] = [
        "the",
        "request",
        "was",
        "made",
        "by",
        "service",
        "account",
        "for",
        "object",
        "with",
        "access",
        "from",
        "network",
        "session",
        "policy",
        "and",
        "process",
        "requested",
        "handle",
        "token",
        "key",
        "value",
        "user",
        "this",
        "computer",
        "is",
        "generated",
        "when",
        "a",
        "logon",
        "group",
        "changed",
    ];
    fill(b' ', |draw, out| out.extend_from_slice(WORDS[draw.below(32) as usize].as_bytes()))
}

fn base64() -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+A";
    fill(b'Q', |draw, out| out.push(LETTERS[draw.below(64) as usize]))
}

fn trace() -> Vec<u8> {
    const MODULES: [&str; 8] = [
        "C:\\\\Windows\\\\SYSTEM32\\\\ntdll.dll",
        "C:\\\\Windows\\\\System32\\\\KERNELBASE.dll",
        "C:\\\\Windows\\\\System32\\\\RPCRT4.dll",
        "c:\\\\windows\\\\system32\\\\lsm.dll",
        "C:\\\\Windows\\\\System32\\\\combase.dll",
        "C:\\\\Windows\\\\System32\\\\KERNEL32.DLL",
        "C:\\\\Windows\\\\System32\\\\sechost.dll",
        "C:\\\\Windows\\\\System32\\\\user32.dll",
    ];
    fill(b'|', |draw, out| {
        out.extend_from_slice(MODULES[draw.below(8) as usize].as_bytes());
        out.push(b'+');
        for _ in 0..draw.between(4, 5) {
            out.push(b"0123456789abcdef"[draw.below(16) as usize]);
        }
    })
}

/// Fills a pool with pieces; the stream is fixed, so the pool is the same in every run.
fn fill(between: u8, mut piece: impl FnMut(&mut StoryRng, &mut Vec<u8>)) -> Vec<u8> {
    let mut draw = StoryRng::new(0x706f_6f6c, u64::from(between));
    let mut out = Vec::with_capacity(POOL_BYTES + 64);
    while out.len() < POOL_BYTES {
        piece(&mut draw, &mut out);
        out.push(between);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn text(entity: Entity, which: u32, story: u64) -> String {
        let mut out = Vec::new();
        push(entity, which, Subject { story, account: story, occurred_ms: 0 }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_of_a_kind_is_the_storys_own() {
        for entity in [Entity::Host, Entity::User, Entity::Email, Entity::Ip, Entity::Stranger, Entity::HostUpper, Entity::Outside, Entity::Account] {
            let all: HashSet<String> = (0..50_000).map(|story| text(entity, 0, story)).collect();
            assert_eq!(all.len(), 50_000, "{entity:?}");
        }
    }

    #[test]
    fn shapes() {
        assert!(text(Entity::Host, 0, 417).ends_with("-00417.corp.example"));
        assert!(text(Entity::Ip, 0, 417).starts_with("10."));
        assert_eq!(text(Entity::Mac, 0, 417).len(), 17);
        assert_eq!(text(Entity::Account, 0, 417).len(), 12);
        assert_ne!(text(Entity::User, 1, 417), text(Entity::User, 0, 417));
        assert!(pool(Filler::Trace).is_ascii());
    }
}
