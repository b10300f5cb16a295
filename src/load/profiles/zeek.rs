//! Zeek: what the wire carried, and now and then a notice.

use super::super::profile::{Profile, Wrap};
use super::{NETWORK, filtered, story, unclassified};

/// Zeek logs: connections, files, certificates, notices.
pub const ZEEK: Profile = Profile {
    name: "zeek",
    about: "Zeek logs: connections, files, certificates, notices",
    topic: "zeek.logs",
    key: "${src}",
    reads: "@stream",
    wrap: Wrap::One,
    shapes: include_str!("zeek.shapes"),
    kinds: &[
        // Weights of the background: lines of the stream in the recordings.
        filtered("conn", 613, "zeek-telemetry"),
        filtered("files", 448, "zeek-telemetry"),
        filtered("ssl", 378, "zeek-telemetry"),
        filtered("x509", 378, "zeek-telemetry"),
        filtered("http", 62, "zeek-telemetry"),
        filtered("dns", 53, "zeek-telemetry"),
        filtered("kerberos", 35, "zeek-telemetry"),
        filtered("dpd", 12, "zeek-telemetry"),
        filtered("smb_files", 12, "zeek-telemetry"),
        filtered("weird", 12, "zeek-telemetry"),
        filtered("smb_mapping", 11, "zeek-telemetry"),
        unclassified("dce_rpc", 123),
        story("notice", 10, "Zeek Notice", NETWORK),
    ],
    story_share: 0.01,
};
