//! Owns `instance:` and `topics:`: what tells this member from others, and how the pipeline's
//! topics are made.

use std::ffi::CStr;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{INSTANCE_NAME_MAX, PARTITIONS_DEFAULT, PARTITIONS_MAX, REPLICATION_MAX};
use crate::config::node::Node;
use crate::config::read::{self, Fields, Note, shortened};

/// How the topics that the pipeline writes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topics {
    /// Partitions of `incidents` and `incident-state`: at the most so many members keep incidents.
    pub partitions: i32,
    /// Copies of each partition; -1: the brokers' default.
    pub replication: i32,
}

impl Default for Topics {
    fn default() -> Topics {
        Topics { partitions: PARTITIONS_DEFAULT, replication: -1 }
    }
}

pub(super) fn read_topics(node: &Node, out: &mut Diagnostics) -> Topics {
    let mut topics = Topics::default();
    let Some(mut fields) = Fields::open(node, "`topics`", out) else { return topics };
    let number =
        |node: &Node, what: &str, most: u64, out: &mut Diagnostics| read::whole_number(node, what, 1, most, out).and_then(|number| i32::try_from(number).ok());
    if let Some(partitions) = fields.get("partitions", out).and_then(|node| number(node, "`partitions`", PARTITIONS_MAX, out)) {
        topics.partitions = partitions;
    }
    if let Some(replication) = fields.get("replication", out).and_then(|node| number(node, "`replication`", REPLICATION_MAX, out)) {
        topics.replication = replication;
    }
    let notes = [
        Note::Elsewhere("replication_factor", "the key is `replication`"),
        Note::Elsewhere("retention", "how long topics keep follows from the pipeline: see `catchment topics`"),
    ];
    fields.close(&notes, out);
    topics
}

/// What instances are named with: the same characters as topics.
fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

pub(super) fn read_instance(node: &Node, out: &mut Diagnostics) -> Option<String> {
    let name = read::text(node, "`instance`", out)?;
    if name.value.is_empty() || name.value.len() > INSTANCE_NAME_MAX || !name.value.chars().all(is_legal) {
        out.push(
            Diagnostic::error("bad-value", format!("`{}` cannot be the name of an instance", shortened(&name.value)))
                .at(name.span)
                .hint(format!("names have letters, digits, `.`, `_` and `-`, and are at most {INSTANCE_NAME_MAX} long")),
        );
        return None;
    }
    Some(name.value)
}

/// The name of this machine, as an instance may be called.
pub(super) fn host_name() -> String {
    const HOST_NAME_BYTES: usize = 256; // POSIX: at most 255 and a zero
    let mut buffer = [0u8; HOST_NAME_BYTES];
    // SAFETY: the buffer is alive and one byte longer than what we admit to, so its end is a zero.
    let found = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), HOST_NAME_BYTES - 1) };
    let name = CStr::from_bytes_until_nul(&buffer).ok().filter(|_| found == 0).and_then(|name| name.to_str().ok()).unwrap_or_default();
    let name: String = name.chars().map(|c| if is_legal(c) { c } else { '-' }).take(INSTANCE_NAME_MAX).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_legal_name() {
        let name = host_name();
        assert!(!name.is_empty() && name.len() <= INSTANCE_NAME_MAX && name.chars().all(is_legal), "{name}");
    }
}
