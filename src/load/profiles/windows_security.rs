//! Windows Security: handles and packets by the thousand, and among them a logon that fails.

use super::super::profile::{Profile, Wrap};
use super::{HOST, HOST_SEVERE, LOGON, filtered, story, unclassified};

/// Windows Security log, with service installations of the System log.
pub const WINDOWS_SECURITY: Profile = Profile {
    name: "windows-security",
    about: "Windows Security log, with service installations of the System log",
    topic: "windows.events",
    key: "${host}",
    reads: "EventID",
    wrap: Wrap::One,
    shapes: include_str!("windows_security.shapes"),
    kinds: &[
        // Weights of the background: lines of the kind in the recordings, divided by ten.
        filtered("4658", 765, "windows-handle-noise"),
        filtered("4656", 388, "windows-handle-noise"),
        filtered("4690", 363, "windows-handle-noise"),
        filtered("4663", 203, "windows-handle-noise"),
        filtered("4661", 39, "windows-handle-noise"),
        filtered("5158", 327, "windows-filtering-platform-noise"),
        filtered("5156", 254, "windows-filtering-platform-noise"),
        filtered("5447", 197, "windows-filtering-platform-noise"),
        filtered("5154", 130, "windows-filtering-platform-noise"),
        filtered("4703", 119, "windows-session-noise"),
        filtered("4673", 78, "windows-session-noise"),
        filtered("4689", 32, "windows-session-noise"),
        filtered("4627", 29, "windows-session-noise"),
        filtered("4672", 26, "windows-session-noise"),
        filtered("4634", 22, "windows-session-noise"),
        unclassified("4688", 36),
        unclassified("4624", 32),
        story("4625", 40, "Windows Logon Failure", LOGON),
        story("4688-encoded", 20, "Suspicious PowerShell", HOST_SEVERE),
        story("4720", 10, "Account Created", HOST),
        story("4732", 8, "Privileged Group Change", HOST_SEVERE),
        story("7045", 8, "Suspicious Service Installed", HOST_SEVERE),
        story("1102", 4, "Event Log Cleared", HOST_SEVERE),
    ],
    story_share: 0.02,
};
