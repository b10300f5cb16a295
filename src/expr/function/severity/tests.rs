//! Words and numbers in every scale.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::expr::function::text::testing::{bound, call, column_is_call, number, text, try_bind};

fn level(scale: Option<&str>, input: &str) -> Option<f64> {
    let constants: Vec<Arg> = scale.map(text).into_iter().collect();
    call(&bound("severity", &constants), input, None).ok().and_then(|value| value.as_number())
}

#[test]
fn every_word_has_its_level_in_every_scale() {
    let mut seen = std::collections::HashSet::new();
    for (expected, words) in WORDS {
        for word in *words {
            assert!(word.len() <= Words::WORD_BYTES_MAX && *word == word.to_ascii_lowercase(), "{word}");
            assert!(seen.insert(*word), "{word} stands twice");
            for scale in std::iter::once(None).chain(SCALES.into_iter().map(Some)) {
                assert_eq!(level(scale, word), Some(*expected), "{word} in {scale:?}");
                assert_eq!(level(scale, &format!(" {} ", word.to_uppercase().replace(' ', "_"))), Some(*expected), "{word} in {scale:?}");
            }
        }
    }
    let used = WORD_TABLE.slots.iter().filter(|slot| slot.0 != 0).count();
    assert!(used >= seen.len() && used * 2 <= Words::SLOTS, "{used} slots: the table is to be at most half full");
}

#[test]
fn keys_are_the_bytes_in_lower_case() {
    let all: Vec<u8> = (0..=255).collect();
    for word in all.windows(16).flat_map(|bytes| (1..=16).map(move |len| &bytes[..len])) {
        let mut padded = [0u8; 16];
        padded[..word.len()].copy_from_slice(&word.to_ascii_lowercase());
        let expected = u128::from_le_bytes(padded);
        assert_eq!(Words::key(word), (expected != 0).then_some(expected), "{word:?}");
    }
    assert_eq!(Words::key(&[b'a'; 17]), None);
    assert_eq!(Words::key(&[]), None);
}

#[test]
fn numbers_mean_what_the_scale_says() {
    type Case<'a> = (Option<&'a str>, &'a [(&'a str, Option<f64>)]);
    let cases: &[Case<'_>] = &[
        (
            None,
            &[
                ("0", Some(0.0)),
                ("0.5", Some(0.5)),
                ("1", Some(1.0)),
                ("2", Some(2.0)),
                ("3", Some(3.0)),
                ("4", Some(4.0)),
                ("4.0", Some(4.0)),
                ("5", None),
                ("-1", None),
                ("2.5", None),
                ("p1", Some(4.0)),
                ("P3", Some(2.0)),
                ("p6", None),
            ],
        ),
        (Some("words"), &[("3", None), ("High", Some(3.0)), ("Very-High", Some(4.0)), ("highest ", Some(4.0)), ("", None), ("  ", None), ("hig", None)]),
        (
            Some("p1-p5"),
            &[
                ("1", Some(4.0)),
                ("2", Some(3.0)),
                ("3", Some(2.0)),
                ("4", Some(1.0)),
                ("5", Some(0.5)),
                ("P1", Some(4.0)),
                ("p5", Some(0.5)),
                ("Sev-2", Some(3.0)),
                ("0", None),
                ("6", None),
                ("1.5", None),
            ],
        ),
        (
            Some("0-10"),
            &[
                ("0", Some(0.5)),
                ("0.0", Some(0.5)),
                ("0.1", Some(1.0)),
                ("3.9", Some(1.0)),
                ("4", Some(2.0)),
                ("6.9", Some(2.0)),
                ("7", Some(3.0)),
                ("8.99", Some(3.0)),
                ("9", Some(4.0)),
                ("10", Some(4.0)),
                ("10.1", None),
                ("-0.1", None),
                ("1e1", Some(4.0)),
                ("Critical", Some(4.0)),
            ],
        ),
        (
            Some("0-100"),
            &[
                ("0", Some(0.5)),
                ("1", Some(1.0)),
                ("39", Some(1.0)),
                ("40", Some(2.0)),
                ("70", Some(3.0)),
                ("89.9", Some(3.0)),
                ("90", Some(4.0)),
                ("100", Some(4.0)),
                ("101", None),
            ],
        ),
        (
            Some("syslog"),
            &[
                ("0", Some(4.0)),
                ("1", Some(4.0)),
                ("2", Some(4.0)),
                ("3", Some(3.0)),
                ("4", Some(2.0)),
                ("5", Some(0.5)),
                ("6", Some(0.5)),
                ("7", Some(0.5)),
                ("8", None),
                ("warning", Some(2.0)),
                ("ERR", Some(3.0)),
                ("emerg", Some(4.0)),
            ],
        ),
    ];
    for (scale, inputs) in cases {
        for (input, expected) in *inputs {
            assert_eq!(level(*scale, input), *expected, "{input:?} in {scale:?}");
        }
    }
}

#[test]
fn odd_input_fails_and_null_is_null() {
    for input in ["", "-", "--1", "1 high", "n/a ish", "\u{0}", "informational!", "an endless word that is no severity", "NaN", "inf", "0x3", "ＨＩＧＨ"] {
        for scale in std::iter::once(None).chain(SCALES.into_iter().map(Some)) {
            assert_eq!(level(scale, input), None, "{input:?} in {scale:?}");
        }
    }
    assert_eq!(bound("severity", &[]).function.call(&[Value::Null]), Ok(Value::Null));
}

#[test]
fn misuse() {
    let misuse = try_bind("severity", &[text("1-10")]).unwrap_err();
    assert_eq!((misuse.argument, misuse.message.as_str()), (Some(1), "`1-10` is not a severity scale"));
    assert!(misuse.hint.unwrap().starts_with("use 'words', 'p1-p5', '0-10', '0-100' or 'syslog'"));
    assert_eq!(try_bind("severity", &[number(10.0)]).unwrap_err().message, "the scale must be a text, found a number");
    assert_eq!(try_bind("severity", &[Arg::Row]).unwrap_err().argument, Some(1));
}

proptest! {
    #[test]
    fn column_gives_what_call_gives(texts in prop::collection::vec(prop::option::weighted(0.9, "\\PC{0,20}|[0-9]{1,3}(\\.[0-9])?|[Hh]igh|low|P[0-9]"), 12)) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        column_is_call(&bound("severity", &[]), std::slice::from_ref(&texts), None);
        for scale in SCALES {
            column_is_call(&bound("severity", &[text(scale)]), std::slice::from_ref(&texts), None);
        }
    }
}
