//! PowerShell: events of 6 KB and more that a filter takes out.

use super::super::profile::{Profile, Wrap};
use super::filtered;

/// PowerShell logs: long texts, one line per pipeline step.
pub const WINDOWS_POWERSHELL: Profile = Profile {
    name: "windows-powershell",
    about: "PowerShell logs: long texts, one line per pipeline step",
    topic: "windows.events",
    key: "${host}",
    reads: "EventID",
    wrap: Wrap::One,
    shapes: include_str!("windows_powershell.shapes"),
    kinds: &[
        filtered("800", 937, "powershell-pipeline-noise"),
        filtered("4103", 757, "powershell-pipeline-noise"),
        filtered("4105", 147, "powershell-pipeline-noise"),
        filtered("4106", 146, "powershell-pipeline-noise"),
        filtered("600", 14, "powershell-pipeline-noise"),
    ],
    story_share: 0.0,
};
