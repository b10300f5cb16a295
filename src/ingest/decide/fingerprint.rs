//! Fingerprints: the match-field values of one row as one keyed 128-bit number.
//!
//! Keyed SipHash-1-3-128, so that whoever writes events cannot aim collisions at
//! an index. Values are length-prefixed ("ab","c" differs from "a","bc") and the
//! rule's number is mixed in.

use siphasher::sip128::SipHasher13;

/// Length mark of a NULL field (`nulls: match`); no value is that long.
const NULL_MARK: u32 = u32::MAX;
/// The bits that an index keeps.
pub const FINGERPRINT_BITS: u32 = 112;
/// A scratch buffer that one giant row left behind is given back beyond this (bytes).
const SCRATCH_KEEP_MAX: usize = 64 * 1024;

/// Turns match-field values into fingerprints. Holds a scratch buffer: one per worker.
#[derive(Clone)]
pub struct Fingerprinter {
    hasher: SipHasher13,
    scratch: Vec<u8>,
}

impl Fingerprinter {
    /// `key` must be the same for as long as an index lives, and secret.
    pub fn new(key: [u8; 16]) -> Fingerprinter {
        Fingerprinter { hasher: SipHasher13::new_with_key(&key), scratch: Vec::with_capacity(256) }
    }

    /// Begins a row.
    #[inline]
    pub fn begin(&mut self, rule: u16) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&rule.to_le_bytes());
    }

    /// Adds the next match field; `None` is NULL, which differs from every text.
    #[inline]
    pub fn field(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => {
                // A field beyond 4 GiB cannot exist: the arena has 32-bit addresses.
                self.scratch.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                self.scratch.extend_from_slice(bytes);
            }
            None => self.scratch.extend_from_slice(&NULL_MARK.to_le_bytes()),
        }
    }

    /// The fingerprint of the fields since `begin`; its low 112 bits are never 0.
    #[inline]
    pub fn finish(&mut self) -> u128 {
        let hash = self.hasher.hash(&self.scratch).as_u128();
        if self.scratch.capacity() > SCRATCH_KEEP_MAX {
            self.scratch = Vec::with_capacity(256);
        }
        if hash & ((1 << FINGERPRINT_BITS) - 1) == 0 { hash | 1 } else { hash }
    }

    /// The fingerprint of one row.
    #[inline]
    pub fn fingerprint<'v>(&mut self, rule: u16, values: impl IntoIterator<Item = Option<&'v [u8]>>) -> u128 {
        self.begin(rule);
        for value in values {
            self.field(value);
        }
        self.finish()
    }
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(rule: u16, values: &[Option<&str>]) -> u128 {
        Fingerprinter::new([7; 16]).fingerprint(rule, values.iter().map(|v| v.map(str::as_bytes)))
    }

    #[test]
    fn borders_rules_and_nulls_differ() {
        let all = [
            of(0, &[Some("ab"), Some("c")]),
            of(0, &[Some("a"), Some("bc")]),
            of(1, &[Some("ab"), Some("c")]),
            of(0, &[Some("abc")]),
            of(0, &[Some(""), None]),
            of(0, &[None, Some("")]),
            of(0, &[None, None]),
            of(0, &[]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_ne!(*one, 0);
            assert!(all[at + 1..].iter().all(|other| other != one), "case {at}");
        }
    }

    #[test]
    fn the_buffer_leaves_no_trace() {
        let mut printer = Fingerprinter::new([7; 16]);
        let long = vec![b'x'; 3 * SCRATCH_KEEP_MAX];
        printer.fingerprint(3, [Some(&long[..])]);
        assert!(printer.scratch.capacity() <= SCRATCH_KEEP_MAX);
        assert_eq!(printer.fingerprint(0, [Some(&b"a"[..])]), of(0, &[Some("a")]));
        assert_ne!(Fingerprinter::new([8; 16]).fingerprint(0, [Some(&b"a"[..])]), of(0, &[Some("a")]));
    }
}
