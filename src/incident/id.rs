//! Ids of incidents and of facts. An incident's is a hash of where the original event came from, so that a replay
//! yields the same incident and a recreated topic does not.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// Digits of an id as text.
pub const ID_BYTES: usize = 32;

/// An incident id, 128 bits, written as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncidentId(pub u128);

/// The key is public and fixed: ids must be the same everywhere. (Dedup fingerprints,
/// which attackers would like to aim, have a secret key.)
const KEY: [u8; 16] = *b"catchment id v1.";

/// Hashes everything but the event's own coordinates, once per partition and tenant.
#[derive(Debug, Clone)]
pub struct IdPrefix(SipHasher13);

impl IdPrefix {
    /// `topic_id`: Kafka's topic id (not its name) where there is one; in `replay` the file's name.
    pub fn new(tenant: &str, pipeline: &str, cluster: &str, topic_id: &str, partition: i32) -> IdPrefix {
        let mut hasher = SipHasher13::new_with_key(&KEY);
        for part in [tenant, pipeline, cluster, topic_id] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        hasher.write(&partition.to_le_bytes());
        IdPrefix(hasher)
    }

    /// The id of the incident made from one event.
    pub fn id(&self, offset: i64, element: u16) -> IncidentId {
        let mut hasher = self.0;
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        bytes[8..].copy_from_slice(&element.to_le_bytes());
        hasher.write(&bytes);
        IncidentId(hasher.finish128().as_u128())
    }
}

impl IncidentId {
    /// Reads 32 hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<IncidentId> {
        parse(text).map(IncidentId)
    }

    /// The 32 hex digits, in lower case.
    pub fn hex(self) -> [u8; ID_BYTES] {
        hex(self.0)
    }
}

impl std::fmt::Display for IncidentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The id of a fact, 128 bits, written as 32 hex digits: derived from what the fact says, or
/// random where a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactId(pub u128);

impl FactId {
    /// Reads 32 hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<FactId> {
        parse(text).map(FactId)
    }

    /// The 32 hex digits, in lower case.
    pub fn hex(self) -> [u8; ID_BYTES] {
        hex(self.0)
    }
}

impl std::fmt::Display for FactId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn parse(text: &str) -> Option<u128> {
    let digits = text.len() == ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u128::from_str_radix(text, 16).ok() } else { None }
}

fn hex(id: u128) -> [u8; ID_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; ID_BYTES];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id.to_be_bytes()) {
        pair[0] = DIGITS[(byte >> 4) as usize];
        pair[1] = DIGITS[(byte & 15) as usize];
    }
    text
}
