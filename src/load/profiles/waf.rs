//! Web firewall: what it let through, and what it did not.

use super::super::profile::{Profile, Wrap};
use super::{NETWORK, story, unclassified};

/// Web firewall decisions.
pub const WAF: Profile = Profile {
    name: "waf",
    about: "Web firewall decisions",
    topic: "waf.aws",
    key: "${src}",
    reads: "webaclId",
    wrap: Wrap::One,
    shapes: include_str!("waf.shapes"),
    kinds: &[unclassified("allow", 100), story("sqli", 40, "WAF SQL Injection", NETWORK), story("blocked", 20, "WAF Request Blocked", NETWORK)],
    story_share: 0.05,
};
