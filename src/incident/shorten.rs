//! Objects made to fit: where an incident or a dead letter is larger than its topic takes, long
//! texts are cut and long lists and objects left out, until it fits. It is better to keep an
//! incident without its longest fields than to have none, and nothing may be refused for ever.

use std::borrow::Cow;

use super::body::join;
use super::split::{Member, members};

/// Texts are not cut below so many bytes: shorter they tell nothing.
const TEXT_BYTES_MIN: usize = 64;

/// Said of an incident that lost its event.
const RAW_TRUNCATED: Member<'static> = ("\"raw_truncated\"", "true");
/// Said of an incident whose fields were cut or left out.
const FIELDS_TRUNCATED: Member<'static> = ("\"fields_truncated\"", "true");
/// Members of an incident that tell what it is and where it comes from.
const INCIDENT_KEPT: [&str; 8] = ["\"id\"", "\"type\"", "\"severity\"", "\"occurred\"", "\"created\"", "\"source\"", "\"pipeline\"", "\"pipeline_version\""];
/// The same of a dead letter.
const LETTER_KEPT: [&str; 4] = ["\"reason\"", "\"source\"", "\"timestamp\"", "\"pipeline\""];

/// The body of an incident (without its closing brace) that is larger than `bytes_max`, made to
/// fit; `None` where that cannot be done.
pub fn incident(body: &str, bytes_max: usize) -> Option<String> {
    let whole = [body, "}"].concat();
    shorten(&whole, bytes_max, &INCIDENT_KEPT, &[RAW_TRUNCATED, FIELDS_TRUNCATED])
}

/// The same for a dead letter, which is a whole object.
pub fn letter(letter: &str, bytes_max: usize) -> Option<String> {
    let mut short = shorten(letter, bytes_max.checked_sub(1)?, &LETTER_KEPT, &[RAW_TRUNCATED])?;
    short.push('}');
    Some(short)
}

fn shorten(object: &str, bytes_max: usize, kept: &[&str], flags: &[Member<'static>]) -> Option<String> {
    let mut all: Vec<(&str, Cow<'_, str>)> = members(object)?.into_iter().map(|(key, value)| (key, Cow::Borrowed(value))).collect();
    all.retain(|(key, _)| !flags.iter().any(|(flag, _)| flag == key));
    let flagged: usize = flags.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    // Half of what is too long each time: most of what has room stays.
    let mut longest = bytes_max;
    loop {
        let bytes = all.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>() + 1 + flagged;
        if bytes <= bytes_max {
            let whole: Vec<Member<'_>> = all.iter().map(|(key, value)| (*key, &**value)).chain(flags.iter().copied()).collect();
            return Some(join(&whole));
        }
        if longest < TEXT_BYTES_MIN {
            return None;
        }
        all.retain_mut(|(key, value)| {
            if value.len() <= longest || kept.contains(key) {
                return true;
            }
            let cut = cut(value, longest, *key == "\"raw_base64\"");
            let text = cut.is_some();
            *value = Cow::Owned(cut.unwrap_or_default());
            text
        });
        longest /= 2;
    }
}

/// A string token cut to so many bytes, at a character; base64 at a whole group. `None` for other tokens.
fn cut(token: &str, bytes: usize, base64: bool) -> Option<String> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    let room = bytes.saturating_sub(2).min(inner.len());
    let mut end = 0;
    if base64 {
        end = room / 4 * 4;
    } else {
        let text = inner.as_bytes();
        let mut at = 0;
        // Half of a surrogate pair whose other half comes next.
        let mut half = None;
        while at < text.len() {
            let escape = text.get(at..).unwrap_or_default();
            let (next, high) = match escape {
                [b'\\', b'u', digits @ ..] => (6, matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..])),
                [b'\\', ..] => (2, false),
                _ => (inner.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8), false),
            };
            if at + next > room {
                break;
            }
            half = high.then_some(at);
            at += next;
            end = at;
        }
        end = half.unwrap_or(end);
    }
    inner.get(..end).map(|text| format!("\"{text}\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_and_what_tells_stays() {
        let body = format!(
            r#"{{"id":"1","type":"A","long":"{}","list":[{}1],"short":"x","labels":{{"a":"{}"}},"source":{{"offset":5}},"raw_truncated":true"#,
            "é".repeat(5_000),
            "1,".repeat(5_000),
            "y".repeat(5_000)
        );
        let short = incident(&body, 2_000).unwrap();
        assert!(short.len() <= 2_000 && short.len() > 1_000, "{}", short.len());
        let json: serde_json::Value = serde_json::from_str(&format!("{short}}}")).unwrap();
        assert_eq!((&json["id"], &json["short"], &json["source"]["offset"]), (&"1".into(), &"x".into(), &5.into()));
        assert_eq!((json.get("list"), json.get("labels")), (None, None));
        assert!(json["long"].as_str().unwrap().chars().all(|c| c == 'é'));
        assert_eq!((&json["raw_truncated"], &json["fields_truncated"]), (&true.into(), &true.into()));
        assert_eq!(incident(&body, 100), None, "what must stay does not fit");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let at = |token: &str, bytes| cut(token, bytes, false).unwrap();
        assert_eq!(at(r#""aébc""#, 5), r#""aé""#);
        assert_eq!(at(r#""aébc""#, 4), r#""a""#);
        assert_eq!(at(r#""a\nbc""#, 4), r#""a""#);
        assert_eq!(at(r#""a\nbc""#, 5), r#""a\n""#);
        assert_eq!(at(r#""a\u00e9bc""#, 8), r#""a""#);
        assert_eq!(at(r#""\ud83d\ude00x""#, 8), r#""""#, "not between the halves of a pair");
        assert_eq!(at(r#""\ud83d\ude00x""#, 14), r#""\ud83d\ude00""#);
        assert_eq!(cut(r#""QUJDREVG""#, 8, true).unwrap(), r#""QUJD""#);
        assert_eq!(cut("[1,2]", 3, false), None);
    }

    #[test]
    fn a_letter_keeps_its_coordinates() {
        let long = format!(r#"{{"reason":"json","source":{{"topic":"t","offset":7}},"pipeline":"p","raw":"{}"}}"#, "x".repeat(9_000));
        let short = letter(&long, 3_000).unwrap();
        let json: serde_json::Value = serde_json::from_str(&short).unwrap();
        assert!(short.len() <= 3_000 && json["raw"].as_str().unwrap().len() > 1_000);
        assert_eq!((&json["source"]["offset"], &json["raw_truncated"]), (&7.into(), &true.into()));
    }
}
