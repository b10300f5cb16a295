//! Okta: sign-ins, and the few changes that matter.

use super::super::profile::{Profile, Wrap};
use super::{ACTOR, filtered, story, unclassified};

/// Okta system log.
pub const OKTA: Profile = Profile {
    name: "okta",
    about: "Okta system log",
    topic: "okta.system",
    key: "00u${id}",
    reads: "eventType",
    wrap: Wrap::One,
    shapes: include_str!("okta.shapes"),
    kinds: &[
        filtered("policy", 40, "okta-session-noise"),
        unclassified("sso", 40),
        unclassified("session", 20),
        unclassified("group", 8),
        story("admin-role", 10, "Okta Admin Role Granted", ACTOR),
        story("mfa-reset", 20, "Okta MFA Factor Reset", ACTOR),
        story("mfa-reset-all", 10, "Okta MFA All Factors Reset", ACTOR),
        story("locked", 40, "Okta Account Locked", ACTOR),
        story("threat", 10, "Okta Threat Detected", ACTOR),
        story("reported", 5, "Okta User Reported Suspicious Activity", ACTOR),
    ],
    story_share: 0.04,
};
