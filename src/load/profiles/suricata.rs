//! Suricata: alerts keyed by their source, in a stream of flow records.

use super::super::event::Outcome;
use super::super::profile::{Kind, Plan};
use super::super::profile::{Profile, Wrap};
use super::{NETWORK, dropped, filtered, story};

/// Suricata EVE: alerts, flows, lookups, handshakes.
pub const SURICATA: Profile = Profile {
    name: "suricata",
    about: "Suricata EVE: alerts, flows, lookups, handshakes",
    topic: "suricata.eve",
    key: "${src}",
    reads: "event_type",
    wrap: Wrap::One,
    shapes: include_str!("suricata.shapes"),
    kinds: &[
        filtered("alert-low", 30, "suricata-low-value"),
        filtered("dns", 30, "suricata-telemetry"),
        filtered("flow", 30, "suricata-telemetry"),
        filtered("tls", 10, "suricata-telemetry"),
        dropped("lab-alert", 1, "lab-hosts"),
        SCANNER,
        story("alert", 90, "Network IDS Alert", NETWORK),
    ],
    story_share: 0.05,
};

/// The known scanner: its alerts become incidents, created closed.
const SCANNER: Kind = Kind {
    name: "scanner-alert",
    weight: 12,
    plan: Plan::Story { first: Outcome::closed("Network IDS Alert", "known-scanner"), again: NETWORK, later: None, most: 0, single: false },
};
