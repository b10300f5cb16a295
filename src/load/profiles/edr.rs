//! Endpoint protection: few events, and each detection counts.

use super::super::profile::{Profile, Wrap};
use super::{HOST_SEVERE, story, unclassified};

/// Endpoint detections and sensor audit events.
pub const EDR: Profile = Profile {
    name: "edr",
    about: "Endpoint detections and sensor audit events",
    topic: "edr.crowdstrike",
    key: "${agent}",
    reads: "AgentIdString",
    wrap: Wrap::One,
    shapes: include_str!("edr.shapes"),
    kinds: &[unclassified("audit", 100), story("detection", 100, "CrowdStrike Detection", HOST_SEVERE)],
    story_share: 0.08,
};
