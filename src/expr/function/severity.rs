//! `severity(x [, scale])`: what a product calls severe → the six levels of an incident:
//! 0 unknown, 0.5 informational, 1 low, 2 medium, 3 high, 4 critical.
//!
//! A word means the same in every scale; a number means what the scale says:
//!
//! | scale     | numbers                                                                     |
//! |-----------|-----------------------------------------------------------------------------|
//! | none      | the levels themselves: 0, 0.5, 1, 2, 3, 4                                   |
//! | `words`   | not read                                                                    |
//! | `p1-p5`   | 1 is the most urgent: 1 → 4, 2 → 3, 3 → 2, 4 → 1, 5 → 0.5                   |
//! | `0-10`    | as CVSS: 0 → 0.5, below 4 → 1, below 7 → 2, below 9 → 3, up to 10 → 4       |
//! | `0-100`   | 0 → 0.5, below 40 → 1, below 70 → 2, below 90 → 3, up to 100 → 4            |
//! | `syslog`  | RFC 5424: 0, 1, 2 → 4; 3 (error) → 3; 4 (warning) → 2; 5, 6, 7 → 0.5        |
//!
//! The words are in [`WORDS`]. Anything else fails: a level that was guessed is worse than one that is missing.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, Float64Builder};

use super::text::args::{arity, constant_text, one_of};
use super::text::case::letters;
use super::text::text_column;
use super::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::value::{Type, Value, parse_number};

/// The words and their levels; compared without regard to ASCII case, `_` or `-` may stand for a blank.
/// No word is longer than 16 bytes.
pub const WORDS: &[(f64, &[&str])] = &[
    (0.0, &["unknown", "undefined", "unspecified", "unclassified", "not classified", "not available", "n/a", "other"]),
    // `none` is what CVSS calls a score of 0.
    (
        0.5,
        &[
            "informational",
            "information",
            "informative",
            "info",
            "inform",
            "notice",
            "note",
            "notification",
            "none",
            "debug",
            "trace",
            "verbose",
            "normal",
            "ok",
            "benign",
            "very low",
            "lowest",
            "trivial",
            "p5",
            "sev5",
            "sev 5",
        ],
    ),
    (1.0, &["low", "lo", "minor", "p4", "sev4", "sev 4"]),
    (2.0, &["medium", "med", "moderate", "mid", "average", "warning", "warn", "elevated", "p3", "sev3", "sev 3"]),
    // An error is one line of a log, not yet an emergency: syslog has it right below critical.
    (3.0, &["high", "hi", "major", "error", "err", "important", "serious", "p2", "sev2", "sev 2"]),
    // `severe` is the top level of Microsoft Defender and of java.util.logging; `alert`, `emerg` and `panic` are syslog's.
    (
        4.0,
        &[
            "critical",
            "crit",
            "severe",
            "fatal",
            "emergency",
            "emerg",
            "alert",
            "panic",
            "disaster",
            "catastrophic",
            "very high",
            "highest",
            "urgent",
            "extreme",
            "blocker",
            "p1",
            "p0",
            "sev1",
            "sev0",
            "sev 1",
            "sev 0",
        ],
    ),
];

/// The scales that may be named.
const SCALES: [&str; 5] = ["words", "p1-p5", "0-10", "0-100", "syslog"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Levels,
    Words,
    Priority,
    Ten,
    Hundred,
    Syslog,
}

/// Binds `severity(x [, scale])`.
pub fn bind(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 2, "severity(path, '0-10')")?;
    let scale = match constant_text(args, 1, "the scale", "severity(score, '0-100')")? {
        None => Scale::Levels,
        Some(name) => match name.trim().to_ascii_lowercase().as_str() {
            "words" => Scale::Words,
            "p1-p5" => Scale::Priority,
            "0-10" | "cvss" => Scale::Ten,
            "0-100" => Scale::Hundred,
            "syslog" => Scale::Syslog,
            other => {
                let message = format!("`{other}` is not a severity scale");
                return Err(Misuse::argument(1, message).hint(format!("use {}, or no scale for words, p1 to p5 and the levels 0 to 4", one_of(&SCALES))));
            }
        },
    };
    Ok(Bound { function: Arc::new(Severity { scale }), args: vec![(0, Type::Text)], returns: Type::Number, fallible: true, wants_record_time: false })
}

#[derive(Debug)]
struct Severity {
    scale: Scale,
}

impl Severity {
    #[inline]
    fn level(&self, text: &str, words: &Words) -> Option<f64> {
        let text = text.as_bytes().trim_ascii();
        match text.first()? {
            b'0'..=b'9' | b'-' | b'+' | b'.' => self.of_number(text),
            _ => words.get(text),
        }
    }

    fn of_number(&self, text: &[u8]) -> Option<f64> {
        let number = match text {
            [a] if a.is_ascii_digit() => f64::from(a - b'0'),
            [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => f64::from((a - b'0') * 10 + (b - b'0')),
            _ => parse_number(std::str::from_utf8(text).ok()?)?,
        };
        let steps = |low: f64, medium: f64, high: f64, max: f64| match number {
            n if !(0.0..=max).contains(&n) => None,
            0.0 => Some(0.5),
            n if n < low => Some(1.0),
            n if n < medium => Some(2.0),
            n if n < high => Some(3.0),
            _ => Some(4.0),
        };
        match self.scale {
            Scale::Levels => [0.0, 0.5, 1.0, 2.0, 3.0, 4.0].into_iter().find(|level| *level == number),
            Scale::Words => None,
            Scale::Priority => pick(number, &[f64::NAN, 4.0, 3.0, 2.0, 1.0, 0.5]),
            Scale::Ten => steps(4.0, 7.0, 9.0, 10.0),
            Scale::Hundred => steps(40.0, 70.0, 90.0, 100.0),
            Scale::Syslog => pick(number, &[4.0, 4.0, 4.0, 3.0, 2.0, 0.5, 0.5, 0.5]),
        }
    }
}

/// The level at a whole number; none where there is none (or NaN stands).
fn pick(number: f64, levels: &[f64]) -> Option<f64> {
    if number.fract() != 0.0 || number < 0.0 {
        return None;
    }
    levels.get(number as usize).copied().filter(|level| !level.is_nan())
}

impl Function for Severity {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        match args.first() {
            Some(Value::Text(text)) => self.level(text, &WORD_TABLE).map(Value::Number).ok_or(Failed),
            _ => Ok(Value::Null),
        }
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let words = &*WORD_TABLE;
        let mut levels = Float64Builder::with_capacity(texts.len());
        for text in texts {
            levels.append_option(text.and_then(|text| self.level(text, words)));
        }
        Some(Arc::new(levels.finish()))
    }
}

static WORD_TABLE: LazyLock<Words> = LazyLock::new(Words::new);

/// The words as a hash table over their (at most 16) bytes: a column of severities repeats a
/// few words, and a look-up needs neither allocation nor comparison of texts.
struct Words {
    slots: Box<[(u128, f64); Words::SLOTS]>,
}

impl Words {
    /// Slots of the table: a power of two, at most half full, so that a probe ends soon.
    const SLOTS: usize = 256;
    /// Longest word in bytes.
    const WORD_BYTES_MAX: usize = 16;

    fn new() -> Words {
        let mut words = Words { slots: Box::new([(0, 0.0); Words::SLOTS]) };
        for (level, list) in WORDS {
            for word in *list {
                // Products write `very high`, `very_high` and `Very-High`.
                for variant in [(*word).to_owned(), word.replace(' ', "_"), word.replace(' ', "-")] {
                    let Some(key) = Words::key(variant.as_bytes()) else { continue };
                    let free = Words::probe(key).find(|at| words.slots.get(*at).is_some_and(|slot| slot.0 == 0 || slot.0 == key));
                    if let Some(slot) = free.and_then(|at| words.slots.get_mut(at)) {
                        *slot = (key, *level);
                    }
                }
            }
        }
        words
    }

    /// The bytes of a word in lower case as a number, never 0; none for longer words and the empty one.
    #[inline]
    fn key(word: &[u8]) -> Option<u128> {
        // Loads of fixed size: copying a few bytes into a buffer would cost more than all the rest.
        let (low, high) = match word.len() {
            0 => return None,
            1..4 => (word.iter().rev().fold(0, |low, byte| low << 8 | u64::from(*byte)), 0),
            len @ 4..8 => {
                let (first, last) = (u32::from_le_bytes(*word.first_chunk()?), u32::from_le_bytes(*word.last_chunk()?));
                // The upper half without the bytes that `first` has already.
                (u64::from(first) | u64::from(last) >> (8 * (8 - len)) << 32, 0)
            }
            8 => (u64::from_le_bytes(*word.first_chunk()?), 0),
            len @ 9..=Words::WORD_BYTES_MAX => (u64::from_le_bytes(*word.first_chunk()?), u64::from_le_bytes(*word.last_chunk()?) >> (8 * (16 - len))),
            _ => return None,
        };
        let key = u128::from(to_lower(low)) | u128::from(to_lower(high)) << 64;
        (key != 0).then_some(key)
    }

    /// The slots to look at for a key, in order.
    #[inline]
    fn probe(key: u128) -> impl Iterator<Item = usize> {
        // Fibonacci hashing: the upper bits of the product depend on all bytes.
        let mixed = ((key as u64) ^ ((key >> 64) as u64).rotate_left(23)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let home = (mixed >> 56) as usize;
        (0..Words::SLOTS).map(move |step| (home + step) % Words::SLOTS)
    }

    #[inline]
    fn get(&self, word: &[u8]) -> Option<f64> {
        let key = Words::key(word)?;
        for at in Words::probe(key) {
            match self.slots.get(at) {
                Some((found, level)) if *found == key => return Some(*level),
                Some((0, _)) | None => return None,
                Some(_) => {}
            }
        }
        None
    }
}

/// Eight bytes with A to Z made a to z.
#[inline]
fn to_lower(bytes: u64) -> u64 {
    bytes | letters(bytes, b'A') >> 2
}

#[cfg(test)]
mod tests;
