//! Known forms: events whose tokens are those of an event seen before need no walk.
//!
//! A form is the list of token kinds of an event together with the keys that the walk compared in it. What the walk
//! does depends on these and on nothing else but the texts of primitives: so of an event with equal kinds and
//! keys all values are where they were, and its grammar is good if its primitives are.

use super::index::PRIMITIVE;
use super::rows::Rows;
use super::slot::{Kind, Slot};
use super::tokens::Tokens;
use super::walk::Found;

/// Longest event that is kept as a form, in tokens. With [`FORM_KEY_BYTES_MAX`] this bounds what a form costs: below
/// 48 KiB, and 12 MiB for all forms of a decoder, even if somebody aims at it; usually 2 KiB each.
pub const FORM_TOKENS_MAX: usize = 1024;
/// Most bytes of all keys that a form compares.
pub const FORM_KEY_BYTES_MAX: usize = 8192;
/// Sets of forms; a form lives in the set that its hash names.
const SETS: usize = 64;
/// Forms in one set. All in all at most 256 forms, a few KiB each.
const WAYS: usize = 4;
/// Learning costs as much as many walks, so it must be earned: a known form found earns [`HIT`], an unknown one 1.
const LEARN: u32 = 256;
const HIT: u32 = 16;
/// What a new decoder has: enough to fill all sets.
const CREDIT: u32 = LEARN * (SETS * WAYS) as u32;
/// Forms seen once are remembered by 32 bits: only those that come again are kept.
const SEEN: usize = 4096;
/// Longest key, closing quote included, that is compared by parts: a load of sixteen bytes at its end must lie in
/// the padding that follows any message.
const KEY_MAX: usize = super::PADDING - 16;

/// The two halves of the product, xored.
#[inline(always)]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|i| words.get(i).map_or(0, |word| u64::from_le_bytes(*word)))
}

/// The forms that a decoder knows.
#[derive(Debug)]
pub(super) struct Forms {
    sets: Box<[[Option<Box<Form>>; WAYS]]>,
    seen: Box<[u32]>,
    credit: u32,
}

#[derive(Debug)]
struct Form {
    hash: u64,
    kinds: Box<[u8]>,
    keys: Box<[Part]>,
    /// Keys too long for parts: token and text with the closing quote.
    long_keys: Box<[(u32, Box<[u8]>)]>,
    /// Tokens of all primitives, by what they were in the event that was learned from: what to try first.
    literals: Box<[u32]>,
    integers: Box<[u32]>,
    others: Box<[u32]>,
    found: Places,
    top: Box<[Member]>,
    /// Numbers of their keys, see [`Rows::top_keys`].
    top_keys: Box<[u16]>,
}

/// A top-level member.
#[derive(Debug)]
struct Member {
    /// Token of the key.
    key: u32,
    /// The key's slot, but for its place.
    slot: Slot,
    value: Place,
}

/// Sixteen bytes of a key that must be there: at `offset` from the position of `token`, under `mask`.
#[derive(Debug)]
struct Part {
    token: u32,
    offset: u32,
    bytes: [u8; 16],
    mask: [u8; 16],
}

/// First token of a value and, of a container, the last.
#[derive(Debug, Clone, Copy)]
struct Place {
    first: u32,
    last: u32,
}

/// Values of paths: column number and place.
#[derive(Debug, Default)]
struct Places {
    strings: Vec<(u32, Place)>,
    primitives: Vec<(u32, Place)>,
    containers: Vec<(u32, Place)>,
}

impl Forms {
    pub fn new() -> Forms {
        let sets = (0..SETS).map(|_| [const { None }; WAYS]).collect();
        Forms { sets, seen: vec![0; SEEN].into(), credit: CREDIT }
    }

    /// The hash of the kinds of all tokens; `None` when there are too many for a form.
    #[inline(always)]
    pub fn hash(tokens: &Tokens<'_>) -> Option<u64> {
        let count = tokens.count();
        if count > FORM_TOKENS_MAX {
            return None;
        }
        // Two chains of widening multiplications.
        let (mut even, mut odd) = (count as u64, 0x9e37_79b9_7f4a_7c15u64);
        let mut mix = |part: &[u8; 32]| {
            let [a, b, c, d] = words(part);
            even = folded(even ^ a, b ^ 0xa076_1d64_78bd_642f);
            odd = folded(odd ^ c, d ^ 0xe703_7ed1_a0b4_28db);
        };
        let kinds = tokens.kinds();
        for part in kinds.as_chunks::<32>().0 {
            mix(part);
        }
        // What is left over, together with what was before it.
        match kinds.last_chunk::<32>() {
            Some(last) => mix(last),
            None => {
                let mut last = [0; 32];
                for (to, from) in last.iter_mut().zip(kinds) {
                    *to = *from;
                }
                mix(&last);
            }
        }
        Some(folded(even ^ 0x8ebc_6af0_9c88_c6e3, odd))
    }

    /// Appends the columns (and top-level members) of the event if it is of a known form and good.
    #[inline(always)]
    pub fn fill(&mut self, hash: u64, tokens: &Tokens<'_>, rows: &mut Rows) -> bool {
        let Some(set) = self.sets.get_mut((hash >> 32) as usize % SETS) else { return false };
        for way in 0..WAYS {
            let Some(Some(form)) = set.get(way) else { return false };
            if form.hash == hash && form.is_of(tokens) {
                form.fill(tokens, rows);
                self.credit = (self.credit + HIT).min(CREDIT);
                if way != 0 {
                    set.swap(way, way - 1);
                }
                return true;
            }
        }
        false
    }

    /// Remembers the form of an event that the walk has just filled `found` and the last row of `rows` from;
    /// `first` is the number of its first token to the walk.
    #[inline(never)]
    pub fn learn(&mut self, hash: u64, tokens: &Tokens<'_>, first: usize, found: &Found, rows: &Rows) {
        let Some(seen) = self.seen.get_mut(hash as usize % SEEN) else { return };
        let tag = (hash >> 12) as u32 | 1;
        let again = std::mem::replace(seen, tag) == tag;
        self.credit = (self.credit + 1).min(CREDIT);
        if !again || self.credit < LEARN {
            return;
        }
        self.credit -= LEARN;
        let (Some(form), Some(set)) = (Form::new(hash, tokens, first, found, rows), self.sets.get_mut((hash >> 32) as usize % SETS)) else {
            return;
        };
        // The last one, which was found least recently or never, makes room.
        set.rotate_right(1);
        if let Some(first) = set.first_mut() {
            *first = Some(Box::new(form));
        }
    }
}

impl Form {
    #[inline(always)]
    fn is_of(&self, tokens: &Tokens<'_>) -> bool {
        if *self.kinds != *tokens.kinds() {
            return false;
        }
        tokens.all_parts(&self.keys)
            && self.long_keys.iter().all(|(token, key)| **key == *tokens.text(tokens.position(*token as usize) + 1, key.len() as u32))
            && self.are_primitives_good(tokens)
    }

    #[inline(always)]
    fn are_primitives_good(&self, tokens: &Tokens<'_>) -> bool {
        // Plain loops: what iterators are given is not always inlined, and then lacks the CPU's features.
        for token in &self.literals {
            let i = *token as usize;
            if !tokens.is_literal_at(i) && !tokens.is_good_primitive(i) {
                return false;
            }
        }
        for token in &self.integers {
            let i = *token as usize;
            if !tokens.is_integer_at(i) && !tokens.is_good_primitive(i) {
                return false;
            }
        }
        for token in &self.others {
            let i = *token as usize;
            if !tokens.is_decimal_at(i) && !tokens.is_good_primitive(i) {
                return false;
            }
        }
        true
    }

    #[inline(always)]
    fn fill(&self, tokens: &Tokens<'_>, rows: &mut Rows) {
        let row = rows.events.len();
        let columns = &mut rows.columns;
        let mut push = |column: u32, slot: Slot| {
            if let Some(column) = columns.get_mut(column as usize) {
                column.push(row, slot);
            }
        };
        for (column, place) in &self.found.strings {
            push(*column, tokens.string_slot(place.first as usize));
        }
        for (column, place) in &self.found.primitives {
            push(*column, tokens.good_primitive_slot(place.first as usize));
        }
        for (column, place) in &self.found.containers {
            push(*column, tokens.container_slot(place.first as usize, place.last as usize + 1));
        }
        rows.top_keys.extend_from_slice(&self.top_keys);
        for member in &self.top {
            let key = member.slot.at(tokens.position(member.key as usize) + 1);
            rows.top.push((key, member.value.slot(tokens)));
        }
    }

    fn new(hash: u64, tokens: &Tokens<'_>, first: usize, found: &Found, rows: &Rows) -> Option<Form> {
        let count = tokens.count();
        let (mut keys, mut long_keys, mut key_bytes) = (Vec::new(), Vec::new(), 0);
        for token in found.keys.iter().map(|token| token - first as u32) {
            let (start, len) = tokens.string(token as usize);
            let text = tokens.text(start, len + 1);
            key_bytes += text.len();
            if key_bytes > FORM_KEY_BYTES_MAX {
                return None;
            }
            if text.len() > KEY_MAX {
                long_keys.push((token, text.into()));
                continue;
            }
            for (i, part) in text.chunks(16).enumerate() {
                let (mut bytes, mut mask) = ([0; 16], [0; 16]);
                for ((to, mask), from) in bytes.iter_mut().zip(&mut mask).zip(part) {
                    (*to, *mask) = (*from, 0xff);
                }
                keys.push(Part { token, offset: 16 * i as u32 + 1, bytes, mask });
            }
        }
        let (mut literals, mut integers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for token in (0..count).filter(|i| tokens.kind(*i) == PRIMITIVE) {
            let list = match token {
                _ if tokens.is_literal_at(token) => &mut literals,
                _ if tokens.is_integer_at(token) => &mut integers,
                _ => &mut others,
            };
            list.push(token as u32);
        }
        let mut places = Places::default();
        for (column, slot) in (0u32..).zip(&found.slots) {
            match slot.kind() {
                Kind::Missing => {}
                Kind::String | Kind::StringEscaped => places.strings.push((column, Place::of(*slot, tokens)?)),
                Kind::Object | Kind::Array => places.containers.push((column, Place::of(*slot, tokens)?)),
                _ => places.primitives.push((column, Place::of(*slot, tokens)?)),
            }
        }
        let row = rows.top_ends.len().wrapping_sub(1);
        let top = rows.top_of(row).iter().map(|(key, value)| {
            let (key, slot) = (Place::of(*key, tokens)?.first, *key);
            Some(Member { key, slot, value: Place::of(*value, tokens)? })
        });
        let top_keys = rows.top_keys.get(rows.top_keys.len() - rows.top_of(row).len()..).unwrap_or_default();
        Some(Form {
            hash,
            kinds: tokens.kinds().into(),
            keys: keys.into(),
            long_keys: long_keys.into(),
            literals: literals.into(),
            integers: integers.into(),
            others: others.into(),
            found: places,
            top: top.collect::<Option<Vec<_>>>()?.into(),
            top_keys: top_keys.into(),
        })
    }
}

impl Place {
    fn of(slot: Slot, tokens: &Tokens<'_>) -> Option<Place> {
        let quote = u32::from(slot.kind().is_string());
        let first = tokens.token_at(slot.start() - quote)?;
        let last = match slot.kind() {
            Kind::Object | Kind::Array => tokens.token_at(slot.start() + slot.len() - 1)?,
            _ => first,
        };
        Some(Place { first, last })
    }

    #[inline(always)]
    fn slot(self, tokens: &Tokens<'_>) -> Slot {
        tokens.slot(self.first as usize, self.last as usize + 1)
    }
}

impl Tokens<'_> {
    /// True when all parts of keys are there.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn all_parts(&self, parts: &[Part]) -> bool {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86-64; the arrays have 16 bytes.
        unsafe {
            let mut different = _mm_setzero_si128();
            for part in parts {
                let there = self.bytes16(self.position(part.token as usize) + part.offset);
                let other = _mm_xor_si128(_mm_loadu_si128(there.cast()), _mm_loadu_si128(part.bytes.as_ptr().cast()));
                let other = _mm_and_si128(other, _mm_loadu_si128(part.mask.as_ptr().cast()));
                different = _mm_or_si128(different, other);
            }
            _mm_movemask_epi8(_mm_cmpeq_epi8(different, _mm_setzero_si128())) == 0xffff
        }
    }

    /// True when all parts of keys are there.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn all_parts(&self, parts: &[Part]) -> bool {
        // SAFETY: 16 bytes can be read there, see `bytes16`.
        parts.iter().all(|part| part.is(unsafe { &*self.bytes16(self.position(part.token as usize) + part.offset) }))
    }
}

impl Part {
    /// [`Tokens::all_parts`] for one part, on any machine.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn is(&self, there: &[u8; 16]) -> bool {
        let (there, bytes) = (u128::from_le_bytes(*there), u128::from_le_bytes(self.bytes));
        (there ^ bytes) & u128::from_le_bytes(self.mask) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::PADDING;
    use super::super::index::{Index, Level};
    use super::*;

    #[test]
    fn parts_of_keys_are_compared_alike_everywhere() {
        let text = br#"{"a key of some length":{"short":1}}"#;
        let mut arena = text.to_vec();
        arena.extend_from_slice(&[0; PADDING]);
        let mut index = Index::default();
        assert!(index.build(Level::detect(), &arena, 0, text.len()).is_ok());
        let tokens = Tokens::new(&index, &arena, 0);
        for (token, offset, key, same) in [
            (1, 1, &b"a key of some le"[..], true),
            (1, 17, b"ngth\"", true),
            (4, 1, b"short\"", true),
            (4, 1, b"shore\"", false),
            (1, 1, b"a key of some lE", false),
            (4, 1, b"shor\"", false),
        ] {
            let mut part = Part { token, offset, bytes: [0; 16], mask: [0; 16] };
            part.bytes.iter_mut().zip(&mut part.mask).zip(key).for_each(|((to, mask), from)| (*to, *mask) = (*from, 0xff));
            // SAFETY: 16 bytes can be read there, see `bytes16`.
            let there = unsafe { *tokens.bytes16(tokens.position(token as usize) + offset) };
            assert_eq!((part.is(&there), tokens.all_parts(&[part])), (same, same));
        }
    }
}
