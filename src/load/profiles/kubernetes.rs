//! Kubernetes: a control plane that reads all day.

use super::super::event::Outcome;
use super::super::profile::{Kind, Plan};
use super::super::profile::{Profile, Wrap};
use super::{ACTOR, filtered, story, unclassified};

/// Kubernetes audit events of a managed cluster.
pub const KUBERNETES: Profile = Profile {
    name: "kubernetes",
    about: "Kubernetes audit events of a managed cluster",
    topic: "k8s.audit",
    key: "${who}",
    reads: "kind",
    wrap: Wrap::One,
    shapes: include_str!("kubernetes.shapes"),
    kinds: &[
        filtered("read", 80, "k8s-read-noise"),
        unclassified("write", 20),
        story("exec", 60, "Kubernetes Pod Exec", ACTOR),
        ANONYMOUS,
        story("wildcard", 10, "Kubernetes Role Wildcard", ACTOR),
    ],
    story_share: 0.03,
};

/// Everybody without a name is the same `system:anonymous` to the rules: one story.
const ANONYMOUS: Kind = Kind {
    name: "anonymous",
    weight: 10,
    plan: Plan::Story { first: Outcome::incident("Kubernetes Anonymous Access"), again: ACTOR, later: None, most: 0, single: true },
};
