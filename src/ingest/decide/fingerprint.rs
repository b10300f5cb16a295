//! Fingerprints: the match-field values of one row as one keyed 128-bit number.
//!
//! Keyed SipHash-1-3-128, so that whoever writes events cannot aim collisions at an
//! index, over the rule's key and the values, each behind its length ("ab","c"
//! differs from "a","bc"). A row is first laid out in whole words and hashed at once:
//! words that are written and read alike need not wait for each other.

use siphasher::sip128::SipHasher13;

/// The bits that an index keeps.
pub const FINGERPRINT_BITS: u32 = 112;
/// In a head's top byte: the length follows as a word of its own; shorter ones stand here.
const LONG: u64 = 254;
/// In a head's top byte: a NULL field (`nulls: match`).
const NULL: u64 = 255;

/// Words of scratch space that are kept when one giant row needed more.
const KEEP_WORDS: usize = 8 * 1024;

/// Turns match-field values into fingerprints. Holds scratch space: one per worker.
#[derive(Clone)]
pub struct Fingerprinter {
    keyed: SipHasher13,
    words: Vec<[u8; 8]>,
}

impl Fingerprinter {
    /// `key` must be the same for as long as an index lives, and secret.
    pub fn new(key: [u8; 16]) -> Fingerprinter {
        Fingerprinter { keyed: SipHasher13::new_with_key(&key), words: Vec::with_capacity(32) }
    }

    /// Begins a row under a rule, given by its [`rule_key`](super::rule_key).
    #[inline]
    pub fn begin(&mut self, rule: u64) {
        self.words.clear();
        self.words.push(rule.to_le_bytes());
    }

    /// Adds the next match field. `None` is a NULL, which differs from every text (a rule
    /// without `nulls: match` does not apply to such a row: give the decider 0 instead).
    #[inline]
    pub fn field(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else { return self.words.push((NULL << 56).to_le_bytes()) };
        let (whole, odd) = value.as_chunks::<8>();
        let length = value.len() as u64;
        self.words.reserve(whole.len() + 2);
        // Head: the length in the top byte, the odd bytes at the end of the value below.
        self.words.push((length.min(LONG) << 56 | tail(value, odd)).to_le_bytes());
        if length >= LONG {
            self.words.push(length.to_le_bytes());
            self.words.extend_from_slice(whole);
        } else {
            // A few words: a call to copy them would cost more than they do.
            for word in whole {
                self.words.push(*word);
            }
        }
    }

    /// The fingerprint of the fields since `begin`; its low 112 bits are never 0.
    #[inline]
    pub fn finish(&mut self) -> u128 {
        let hash = self.keyed.hash(self.words.as_flattened()).as_u128();
        if self.words.capacity() > KEEP_WORDS {
            self.words = Vec::with_capacity(32);
        }
        if hash & ((1 << FINGERPRINT_BITS) - 1) == 0 { hash | 1 } else { hash }
    }

    /// The fingerprint of one row.
    #[inline]
    pub fn fingerprint<'v>(&mut self, rule: u64, values: impl IntoIterator<Item = Option<&'v [u8]>>) -> u128 {
        self.begin(rule);
        for value in values {
            self.field(value);
        }
        self.finish()
    }
}

/// The up to seven bytes `odd` at the end of `value` as a number.
#[inline]
fn tail(value: &[u8], odd: &[u8]) -> u64 {
    match (value.last_chunk::<8>(), odd.first_chunk::<4>(), odd.last_chunk::<4>()) {
        // Nothing odd shifts by 64: 0.
        (Some(last), _, _) => u64::from_le_bytes(*last).checked_shr(64 - 8 * odd.len() as u32).unwrap_or(0),
        (None, Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (odd.len() - 4)),
        _ => odd.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)),
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

    fn of(rule: u64, values: &[Option<&str>]) -> u128 {
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
    fn a_row_leaves_no_trace_and_keys_differ() {
        let mut printer = Fingerprinter::new([7; 16]);
        printer.fingerprint(3, [Some(&vec![b'x'; 9 * KEEP_WORDS][..])]);
        assert!(printer.words.capacity() <= KEEP_WORDS);
        printer.field(Some(b"begun and left"));
        assert_eq!(printer.fingerprint(0, [Some(&b"a"[..])]), of(0, &[Some("a")]));
        assert_eq!(Fingerprinter::new([7; 16]).fingerprint(0, [Some(&b"a"[..])]), of(0, &[Some("a")]));
        assert_ne!(Fingerprinter::new([8; 16]).fingerprint(0, [Some(&b"a"[..])]), of(0, &[Some("a")]));
    }

    #[test]
    fn tails_are_the_odd_bytes() {
        let bytes: Vec<u8> = (1..=40).collect();
        for length in 0..bytes.len() {
            let odd = &bytes[length / 8 * 8..length];
            let mut expected = [0; 8];
            expected[..odd.len()].copy_from_slice(odd);
            assert_eq!(tail(&bytes[..length], odd), u64::from_le_bytes(expected), "{length} bytes");
        }
    }

    #[test]
    fn every_length_counts() {
        let text = "x".repeat(1_000);
        let mut seen = std::collections::HashSet::new();
        for length in 0..1_000 {
            assert!(seen.insert(of(0, &[Some(&text[..length])])));
            assert!(seen.insert(of(0, &[Some(&text[..length]), None])));
            assert!(seen.insert(of(0, &[Some(&text[..length]), Some("y")])));
            let mut changed = text[..length].to_owned();
            if changed.pop().is_some() {
                changed.push('z');
                assert!(seen.insert(of(0, &[Some(&changed)])));
            }
        }
    }
}
