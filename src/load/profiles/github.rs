//! GitHub: clones and builds, and rarely somebody who lifts a protection.

use super::super::profile::{Profile, Wrap};
use super::{ACTOR, story, unclassified};

/// GitHub organisation audit log.
pub const GITHUB: Profile = Profile {
    name: "github",
    about: "GitHub organisation audit log",
    topic: "github.audit",
    key: "${org}",
    reads: "action",
    wrap: Wrap::One,
    shapes: include_str!("github.shapes"),
    kinds: &[
        unclassified("clone", 85),
        unclassified("workflow", 9),
        unclassified("pull_request", 6),
        story("branch-protection", 20, "GitHub Branch Protection Disabled", ACTOR),
        story("ruleset", 25, "GitHub Ruleset Changed", ACTOR),
        story("visibility", 10, "GitHub Repository Visibility Changed", ACTOR),
    ],
    story_share: 0.06,
};
