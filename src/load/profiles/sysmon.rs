//! Sysmon: the loudest product; two of three lines are one process opening another.

use super::super::profile::{Profile, Wrap};
use super::{HOST, HOST_SEVERE, dropped, filtered, story, unclassified};

/// Sysmon on Windows.
pub const SYSMON: Profile = Profile {
    name: "sysmon",
    about: "Sysmon on Windows",
    topic: "windows.events",
    key: "${machine}",
    reads: "EventID",
    wrap: Wrap::One,
    shapes: include_str!("sysmon.shapes"),
    kinds: &[
        // Weights of the background: lines of the kind in the recordings, divided by ten.
        filtered("10", 8378, "sysmon-process-access-noise"),
        filtered("12", 3573, "sysmon-registry-key-noise"),
        filtered("7", 2053, "sysmon-image-load-noise"),
        filtered("3", 124, "sysmon-hunting-only"),
        filtered("9", 77, "sysmon-hunting-only"),
        filtered("23", 51, "sysmon-hunting-only"),
        filtered("5", 38, "sysmon-hunting-only"),
        filtered("22", 11, "sysmon-hunting-only"),
        unclassified("13", 890),
        unclassified("11", 201),
        unclassified("18", 47),
        unclassified("1", 42),
        dropped("1-encoded-lab", 4, "lab-hosts"),
        story("10-lsass", 30, "LSASS Memory Access", HOST_SEVERE),
        story("1-encoded", 50, "Suspicious PowerShell", HOST_SEVERE),
        story("13-run-key", 20, "Autostart Persistence", HOST),
    ],
    story_share: 0.01,
};
