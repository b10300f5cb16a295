//! Duo: second factors, mostly approved.

use super::super::profile::{Profile, Wrap};
use super::{ACTOR, story, unclassified};

/// Duo authentications.
pub const DUO: Profile = Profile {
    name: "duo",
    about: "Duo authentications",
    topic: "idp.duo",
    key: "${who}",
    reads: "result",
    wrap: Wrap::One,
    shapes: include_str!("duo.shapes"),
    kinds: &[unclassified("allowed", 100), story("fraud", 20, "Duo Anomalous Push Denied", ACTOR), story("bypass", 10, "Duo Bypass Code Used", ACTOR)],
    story_share: 0.1,
};
