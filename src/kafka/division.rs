//! How a group at rest has divided its partitions among its members. Asked again and again by every
//! member, and therefore by the oldest and plainest requests: what librdkafka (2.12) does for
//! [`Admin::groups`] may end the process while a coordinator starts (an assertion in its queues).

use std::time::Duration;

use super::admin::Admin;
use super::error::Error;

/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(3);
/// Bytes that a broker puts behind a static id to make a member's id: a dash and a UUID.
const UUID_TAIL: usize = 37;

/// What one member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its static id (`group.instance.id`); of a member without one, its client id.
    pub instance: String,
    /// Topics and partitions.
    pub assigned: Vec<(String, i32)>,
}

impl Admin {
    /// The members of the group and what each has; `None` while partitions are divided anew, or
    /// without members.
    ///
    /// # Errors
    /// What the brokers answered, or an assignment that cannot be read.
    pub fn division(&self, group: &str) -> Result<Option<Vec<Share>>, Error> {
        let action = "asking who reads what";
        let list = self.plain_group(group, WAIT).map_err(|error| Error::from_kafka(action, error))?;
        let Some(found) = list.groups().iter().find(|found| found.name() == group && found.state() == "Stable") else { return Ok(None) };
        let share = |id: &str, assignment: &[u8]| {
            let instance = id.len().checked_sub(UUID_TAIL).and_then(|end| id.get(..end)).unwrap_or(id).to_owned();
            let assigned =
                read_assignment(assignment).ok_or_else(|| Error::Refused { action, reason: "an assignment of a form that is not known".to_owned() })?;
            Ok(Share { instance, assigned })
        };
        found.members().iter().map(|member| share(member.id(), member.assignment().unwrap_or_default())).collect::<Result<Vec<Share>, Error>>().map(Some)
    }
}

/// Reads `ConsumerProtocolAssignment` (Kafka's protocol, any version): a version, then topics, each
/// with its partitions, big-endian; what follows is user data. Nothing at all: no partitions.
fn read_assignment(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes.get(2..)?;
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        *rest = tail;
        usize::try_from(i32::from_be_bytes(*head)).ok()
    };
    let mut assigned = Vec::new();
    for _ in 0..number(&mut rest)? {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let topic = std::str::from_utf8(tail.get(..length)?).ok()?;
        rest = tail.get(length..)?;
        for _ in 0..number(&mut rest)? {
            assigned.push((topic.to_owned(), i32::try_from(number(&mut rest)?).ok()?));
        }
    }
    Some(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_broken_ones_refused() {
        let bytes = b"\0\x03\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07\0\x02bc\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff";
        let wanted = vec![("a".to_owned(), 0), ("a".to_owned(), 7), ("bc".to_owned(), 1)];
        assert_eq!(read_assignment(bytes), Some(wanted.clone()));
        assert_eq!(read_assignment(b""), Some(Vec::new()));
        assert_eq!(read_assignment(b"\0\x01\0\0\0\0\xff\xff\xff\xff"), Some(Vec::new()));
        // All but the user data is needed.
        for end in 1..bytes.len() - 4 {
            assert_eq!(read_assignment(&bytes[..end]), None, "{end}");
        }
        assert_eq!(read_assignment(b"\0\x01\xff\xff\xff\xff"), None);
    }
}
