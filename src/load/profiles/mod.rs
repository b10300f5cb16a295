//! One file per product: its kinds of events, how often each occurs, and what
//! `pipelines/soc` must make of it. The shapes are in the `.shapes` file beside it.

mod bench;
mod cloudtrail;
mod duo;
mod edr;
mod github;
mod kubernetes;
mod mail;
mod okta;
mod suricata;
mod sysmon;
mod waf;
mod windows_powershell;
mod windows_security;
mod zeek;

pub use bench::{BENCH, WINDOWS_BENCH};
pub use cloudtrail::CLOUDTRAIL;
pub use duo::DUO;
pub use edr::EDR;
pub use github::GITHUB;
pub use kubernetes::KUBERNETES;
pub use mail::MAIL;
pub use okta::OKTA;
pub use suricata::SURICATA;
pub use sysmon::SYSMON;
pub use waf::WAF;
pub use windows_powershell::WINDOWS_POWERSHELL;
pub use windows_security::WINDOWS_SECURITY;
pub use zeek::ZEEK;

use super::event::Outcome;
use super::profile::{Does, Kind, Memory, Plan, Profile};

/// All profiles.
pub const ALL: [&Profile; 15] = [
    &WINDOWS_SECURITY,
    &SYSMON,
    &WINDOWS_POWERSHELL,
    &CLOUDTRAIL,
    &OKTA,
    &DUO,
    &SURICATA,
    &ZEEK,
    &KUBERNETES,
    &GITHUB,
    &MAIL,
    &WAF,
    &EDR,
    &BENCH,
    &WINDOWS_BENCH,
];

/// The profiles of `pipelines/soc` and how much each adds to the flood, in messages.
pub const SOC_MIX: [(&Profile, u32); 13] = [
    (&SYSMON, 34),
    (&WINDOWS_SECURITY, 22),
    (&WINDOWS_POWERSHELL, 3),
    (&ZEEK, 12),
    (&SURICATA, 8),
    (&CLOUDTRAIL, 4),
    (&OKTA, 5),
    (&KUBERNETES, 4),
    (&WAF, 3),
    (&MAIL, 2),
    (&GITHUB, 1),
    (&DUO, 1),
    (&EDR, 3),
];

/// The profile of a name.
pub fn by_name(name: &str) -> Option<&'static Profile> {
    ALL.into_iter().find(|profile| profile.name == name)
}

/// Background that a filter takes out.
const fn filtered(name: &'static str, weight: u32, filter: &'static str) -> Kind {
    Kind { name, weight, plan: Plan::Noise(Outcome::Filtered(filter)) }
}

/// Background that no type fits.
const fn unclassified(name: &'static str, weight: u32) -> Kind {
    Kind { name, weight, plan: Plan::Noise(Outcome::Unclassified) }
}

/// Background that a rule drops.
const fn dropped(name: &'static str, weight: u32, rule: &'static str) -> Kind {
    Kind { name, weight, plan: Plan::Noise(Outcome::Dropped(rule)) }
}

/// Incidents, and the rules that find older ones of the same story.
const fn story(name: &'static str, weight: u32, type_name: &'static str, again: &'static [Memory]) -> Kind {
    let first = Outcome::incident(type_name);
    Kind { name, weight, plan: Plan::Story { first, again, later: None, most: 0, single: false } }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

// The rules of `pipelines/soc` that match older incidents. The pipeline says what they
// do; this says it a second time, on purpose.
/// Windows and endpoint types: same type and host.
const HOST: &[Memory] = &[Memory::attach("host-repeats", 30 * MINUTE)];
/// The same, for types of severity 3 and 4: later ones are linked to the host's oldest.
const HOST_SEVERE: &[Memory] = &[Memory::attach("host-repeats", 30 * MINUTE), Memory::link("host-story", 4 * HOUR)];
/// Failed logons of one account on one host.
const LOGON: &[Memory] = &[Memory::attach("logon-failures", 15 * MINUTE)];
/// Alerts of one signature and source.
const NETWORK: &[Memory] = &[Memory::attach("network-repeats", HOUR)];
/// Types with a cloud account: same type, account and user.
const CLOUD: &[Memory] = &[Memory::attach("cloud-repeats", HOUR)];
/// Types with a user name and nothing better.
const ACTOR: &[Memory] = &[Memory::attach("actor-repeats", HOUR)];
/// The same mail once more; later the domain is known.
const MAIL_AGAIN: &[Memory] = &[Memory::attach("mail-repeats", HOUR), Memory::link("mail-campaign", DAY)];
/// Another mail of the same domain, as severe as the last.
const MAIL_WAVE: &[Memory] = &[Memory::link("mail-campaign", DAY)];
/// Another mail of the same domain, less severe than all before.
const MAIL_AFTERMATH: &[Memory] = &[Memory { rule: "mail-aftermath", within_ms: DAY, does: Does::LinkAndClose, type_name: Some("Impostor Mail") }];
