//! `bench`: events of exactly 525 bytes and about 50 nodes for the throughput benches,
//! and `windows-bench`: events of 2.6 KB of which few fields are read. They are read by
//! `fixtures/pipelines/bench`, not by `pipelines/soc`.

use super::super::profile::{Kind, Memory, Profile, Wrap};
use super::{HOUR, story};

/// The rule of `fixtures/pipelines/bench` that attaches repeats.
const AGAIN: &[Memory] = &[Memory::attach("repeats", HOUR)];

const fn event(name: &'static str, type_name: &'static str) -> Kind {
    story(name, 1, type_name, AGAIN)
}

/// The events of the whole-replay bench.
pub const BENCH: Profile = Profile {
    name: "bench",
    about: "525-byte events of 20 kinds by `event_key`; repeats share rule_id, src_ip and username",
    topic: "bench.events",
    key: "${ip}",
    reads: "event_key",
    wrap: Wrap::One,
    shapes: include_str!("bench.shapes"),
    kinds: &[
        event("auth.fail", "Authentication Failure"),
        event("auth.lock", "Account Locked"),
        event("auth.admin", "Privileged Logon"),
        event("edr.malware", "Endpoint Malware"),
        event("edr.ransom", "Ransomware"),
        event("edr.tool", "Hacking Tool"),
        event("edr.script", "Suspicious Script"),
        event("net.scan", "Port Scan"),
        event("net.c2", "Command And Control"),
        event("net.exfil", "Data Exfiltration"),
        event("net.dns", "Suspicious DNS"),
        event("web.sqli", "SQL Injection"),
        event("web.xss", "Cross-Site Scripting"),
        event("web.path", "Path Traversal"),
        event("mail.phish", "Phishing"),
        event("mail.spam", "Spam Campaign"),
        event("cloud.policy", "Cloud Policy Change"),
        event("cloud.public", "Public Resource"),
        event("dlp.usb", "Removable Media"),
        event("dlp.upload", "Sensitive Upload"),
    ],
    story_share: 1.0,
};

/// Large events: Sysmon's "process accessed" of a credential dumper.
pub const WINDOWS_BENCH: Profile = Profile {
    name: "windows-bench",
    about: "2.6 KB Windows events of one kind, of which a pipeline reads a dozen fields",
    topic: "bench.windows",
    key: "${machine}",
    reads: "EventID",
    wrap: Wrap::One,
    shapes: include_str!("sysmon.shapes"),
    kinds: &[event("10-large", "Credential Dumping")],
    story_share: 1.0,
};
