//! Finding one path in checked tokens, the slow and obviously right way.
//!
//! Used where the walk's one pass cannot tell: when a key that leads on comes twice in one object (the last
//! member wins, with all that is below it), and for the `explode` path of a message.

use crate::expr::path::Step;

use super::shape::FLAT_STEPS_MAX;
use super::slot::{Kind, Slot};
use super::text::unescape;
use super::tokens::Tokens;

/// A value: its first token and how many levels of nesting led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    rank: usize,
    token: usize,
}

impl Tokens<'_> {
    /// The token of the value at a path of the container that opens at token `i`, which the walk has checked.
    pub fn find(&self, i: usize, steps: &[Step]) -> Option<usize> {
        let joined_max = if steps.len() > FLAT_STEPS_MAX { 1 } else { FLAT_STEPS_MAX };
        self.best(i, steps, joined_max).map(|found| found.token)
    }

    /// The value at token `i`, which the walk has checked.
    pub fn checked_slot(&self, i: usize) -> Slot {
        self.slot(i, self.checked_end(i))
    }

    /// The token after the checked value at token `i`.
    pub fn checked_end(&self, mut i: usize) -> usize {
        let mut open = 0usize;
        loop {
            match self.kind(i) {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                // Past the last token: not in checked tokens.
                0 => return i,
                _ => {}
            }
            i += 1;
            if open == 0 {
                return i;
            }
        }
    }

    /// The match with the most nesting, of these the last in the text.
    fn best(&self, container: usize, steps: &[Step], joined_max: usize) -> Option<Match> {
        let next = |token: usize, rest: &[Step]| {
            if rest.is_empty() {
                return Some(Match { rank: 1, token });
            }
            let found = self.best(token, rest, joined_max)?;
            Some(Match { rank: found.rank + 1, token: found.token })
        };
        match steps.first()? {
            Step::Index(index) => next(self.element(container, *index)?, steps.get(1..)?),
            Step::Member(key) => next(self.member(container, key.as_bytes())?, steps.get(1..)?),
            Step::Computed(_) => None,
            Step::Key(_) => {
                let mut label = String::new();
                let mut best = None;
                for (i, step) in steps.iter().take(joined_max).enumerate() {
                    let Step::Key(key) = step else { break };
                    if i > 0 {
                        label.push('.');
                    }
                    label.push_str(key);
                    let found = self.member(container, label.as_bytes());
                    best = best.max(found.and_then(|token| next(token, steps.get(i + 1..).unwrap_or_default())));
                }
                best
            }
        }
    }

    /// The value of the last member of an object with this key.
    fn member(&self, object: usize, key: &[u8]) -> Option<usize> {
        if self.kind(object) != b'{' {
            return None;
        }
        let mut found = None;
        let mut i = object + 1;
        while self.kind(i) == b'"' {
            if self.key_is(i, key) {
                found = Some(i + 2);
            }
            // Past the value and the comma or brace behind it.
            i = self.checked_end(i + 2);
            if self.kind(i) != b',' {
                break;
            }
            i += 1;
        }
        found
    }

    fn key_is(&self, i: usize, key: &[u8]) -> bool {
        let slot = self.string_slot(i);
        let text = self.text(slot.start(), slot.len());
        if slot.kind() != Kind::StringEscaped {
            return text == key;
        }
        let mut content = Vec::new();
        unescape(text, &mut content);
        content == key
    }

    /// The element of an array at this index.
    fn element(&self, array: usize, index: u32) -> Option<usize> {
        if self.kind(array) != b'[' || self.kind(array + 1) == b']' {
            return None;
        }
        let mut i = array + 1;
        for _ in 0..index {
            i = self.checked_end(i);
            if self.kind(i) != b',' {
                return None;
            }
            i += 1;
        }
        Some(i)
    }
}
