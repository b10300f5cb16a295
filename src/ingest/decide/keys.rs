//! Stable numbers for what outlives a process: a rule's index, and the values that `where`
//! reads. They depend on what is written in the pipeline and not on its order, so that
//! rules can be added and moved without voiding the indexes of others.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// No secret: the same everywhere and for ever, or what was persisted is not found again.
const KEY: [u8; 16] = *b"catchment index1";

/// The number of a rule's index: over its name, its match fields in order, and whether NULLs
/// of match fields equal each other (`nulls: match`).
pub fn rule_key<'a>(name: &str, fields: impl IntoIterator<Item = &'a str>, nulls_match: bool) -> u64 {
    let mut hash = Texts::new(b'r');
    hash.add(name);
    fields.into_iter().for_each(|field| hash.add(field));
    hash.0.write_u8(u8::from(nulls_match));
    hash.0.finish()
}

/// The number of a layout of captured values: over names and types of the fields in order.
pub fn where_key<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hash = Texts::new(b'w');
    for (name, kind) in fields {
        hash.add(name);
        hash.add(kind);
    }
    hash.0.finish()
}

/// Hashes texts, each behind its length.
struct Texts(SipHasher13);

impl Texts {
    fn new(kind: u8) -> Texts {
        let mut hash = SipHasher13::new_with_key(&KEY);
        hash.write_u8(kind);
        Texts(hash)
    }

    fn add(&mut self, text: &str) {
        self.0.write(&(text.len() as u64).to_le_bytes());
        self.0.write(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_change() {
        // Persisted: if one of these changes, every index of every user is void.
        assert_eq!(rule_key("repeats", ["host", "user"], false), 12_454_065_206_312_956_809);
        assert_eq!(where_key([("severity", "number")]), 14_435_011_190_795_473_228);
    }

    #[test]
    fn all_parts_count() {
        let base = rule_key("a", ["b", "c"], false);
        for other in [rule_key("a", ["c", "b"], false), rule_key("a", ["bc"], false), rule_key("ab", ["c"], false), rule_key("a", ["b", "c"], true)] {
            assert_ne!(base, other);
        }
        assert_ne!(where_key([("a", "b")]), rule_key("a", ["b"], false));
    }
}
