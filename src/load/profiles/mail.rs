//! Mail: mostly clean.

use super::super::event::Outcome;
use super::super::profile::{Kind, Plan};
use super::super::profile::{Profile, Wrap};
use super::{MAIL_AFTERMATH, MAIL_AGAIN, MAIL_WAVE, story, unclassified};

/// Mail gateway messages with scores and threats.
pub const MAIL: Profile = Profile {
    name: "mail",
    about: "Mail gateway messages with scores and threats",
    topic: "mail.proofpoint",
    key: "${domain}",
    reads: "messageTime",
    wrap: Wrap::One,
    shapes: include_str!("mail.shapes"),
    kinds: &[
        unclassified("clean", 100),
        story("campaign", 10, "Mail Threat Campaign", MAIL_AGAIN),
        AFTERMATH,
        story("wave", 10, "Phishing Mail", MAIL_WAVE),
        story("phishing", 25, "Phishing Mail", MAIL_AGAIN),
        story("impostor", 8, "Impostor Mail", MAIL_AGAIN),
    ],
    story_share: 0.15,
};

/// A campaign, and later one milder mail of its domain: linked and closed.
const AFTERMATH: Kind = Kind {
    name: "campaign-ends",
    weight: 8,
    plan: Plan::Story {
        first: Outcome::incident("Mail Threat Campaign"),
        again: MAIL_AFTERMATH,
        later: Some("aftermath"),
        // A second mild one would be as severe as the first mild one, which the rules see.
        most: 2,
        single: false,
    },
};
