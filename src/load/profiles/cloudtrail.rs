//! CloudTrail: batches of records of one account, three of four of them reads.

use super::super::profile::{Profile, Wrap};
use super::{CLOUD, filtered, story, unclassified};

/// AWS CloudTrail, several records in a message.
pub const CLOUDTRAIL: Profile = Profile {
    name: "cloudtrail",
    about: "AWS CloudTrail, several records in a message",
    topic: "aws.cloudtrail",
    key: "${acct}",
    reads: "Records",
    wrap: Wrap::Records(12),
    shapes: include_str!("cloudtrail.shapes"),
    kinds: &[
        filtered("read-describe", 420, "cloudtrail-read-noise"),
        filtered("read-list", 280, "cloudtrail-read-noise"),
        filtered("read-bucket", 80, "cloudtrail-read-noise"),
        filtered("secret", 110, "cloudtrail-read-noise"),
        filtered("decrypt", 220, "cloudtrail-read-noise"),
        unclassified("write-parameter", 150),
        unclassified("assume", 30),
        unclassified("put-object", 60),
        story("console-no-mfa", 30, "AWS Console Login Without MFA", CLOUD),
        story("console-failure", 40, "AWS Console Login Failure", CLOUD),
        story("root-login", 6, "AWS Root Console Login", CLOUD),
        story("logging-off", 6, "AWS Logging Disabled", CLOUD),
        story("admin-policy", 10, "AWS Admin Policy Attached", CLOUD),
        story("denied", 40, "AWS Access Denied", CLOUD),
        story("public-bucket", 8, "AWS Resource Made Public", CLOUD),
    ],
    story_share: 0.03,
};
