//! Hostile messages: what must end as a dead letter, and what only looks odd and
//! must be read like any other event. Each is made from a good message, so that the
//! good part's paths, sizes and nesting vary as they do in the flood around it.

use super::event::Outcome;
use super::rng::Draw;

/// Nesting of the message that is too deep: beyond the decoder's 128.
const TOO_DEEP: usize = 200;
/// Nesting of the message that is deep but legal; events themselves nest by less than 20.
const DEEP: usize = 100;
/// Events of the message that holds too many: the decoder's limit is 65,535.
const TOO_MANY: usize = 65_536;
/// One in so many hostile messages holds too many events (it is 128 KiB long).
const TOO_MANY_EVERY: u64 = 200;

/// Tokens that are not JSON, each put in as a member's value.
const NOT_JSON: [&[u8]; 30] = [
    b"01",
    b"-",
    b"+1",
    b".5",
    b"1.",
    b"1e",
    b"1e+",
    b"0x1F",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"undefined",
    b"True",
    b"nul",
    b"'a'",
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b"[1}",
    b"{\"a\":1]",
    b"{\"a\"}",
    b"{\"a\":}",
    b"{a:1}",
    b"{\"a\":1,}",
    b"{\"a\"::1}",
    b"\"\\x41\"",
    b"\"\\u12g4\"",
    b"\"\\u12\"",
    b"/* no */1",
    b"--1",
];

/// Bytes inside a string that are not UTF-8.
const NOT_UTF8: [&[u8]; 6] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x92", b"\x80", b"\xf5\x80\x80\x80"];

/// Bytes that a string may not hold raw (no line ends: the message may be a line).
const CONTROL: [u8; 5] = [0x00, 0x01, 0x08, 0x09, 0x1f];

/// JSON texts that are not objects.
const NOT_OBJECTS: [&[u8]; 8] = [b"[]", b"[{\"a\":1}]", b"\"text\"", b"42", b"-0.5e3", b"null", b"true", b"[[1,2],\"x\"]"];

/// Members that are odd and legal.
const ODD_MEMBERS: [&[u8]; 22] = [
    b"\"x_big\":123456789012345678901234567890123456789",
    b"\"x_huge\":1e400,\"x_tiny\":-1E-400",
    b"\"x_min\":-9223372036854775809,\"x_max\":18446744073709551616",
    b"\"x_zero\":-0,\"x_float\":0.1000000000000000055511151231257827",
    b"\"\":\"empty key\"",
    b"\" \":\"blank key\",\"\\t\":1",
    b"\"x.a.b\":1,\"x\":{\"a.b\":2,\"a\":{\"b\":3}}",
    b"\"x_nul\":\"a\\u0000b\",\"\\u0000\":\"NUL key\"",
    b"\"x_lone\":\"\\ud800\",\"x_pair\":\"\\ud83d\\ude00\"",
    b"\"x_reversed\":\"\\udc00\\ud800\"",
    b"\"x_text\":\"Gr\xc3\xbc\xc3\x9fe \xe2\x82\xac \xf0\x9f\x92\xa5 \xe6\xb8\xac\xe8\xa9\xa6\"",
    b"\"\xf0\x9f\x94\x91\":\"a key that is a key\"",
    b"\"x_key\\u002ewith\\\"escapes\\\\\":1",
    b"\"#\":1,\"@\":2,\"a/b\":3,\"a b\":4,\"$x\":5,\"[0]\":6",
    b"\"x_dup\":1,\"x_dup\":\"two\",\"x_dup\":{\"three\":3}",
    b"\"x_empty\":{},\"x_list\":[],\"x_deep_empty\":[[],{},[{}]]",
    b"\"x_mixed\":[1,\"a\",null,true,{\"k\":[]},1.5e3]",
    b"\"x_html\":\"<script>alert('x')<\\/script>\"",
    b"\"x_sql\":\"'; DROP TABLE incidents; --\"",
    b"\"x_quotes\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    b"\"x_json\":\"{\\\"EventID\\\":4625,\\\"nested\\\":[1,2,{}]}\"",
    b"\"x_backslashes\":\"\\\\\\\\\\\\\\\\\\\"\"",
];

/// Makes a dead letter out of a good message (`payload` is replaced or spoilt).
/// `lines` leaves out what cannot be an NDJSON line.
pub fn poison(payload: &mut Vec<u8>, lines: bool, draw: &mut impl Draw) -> Outcome {
    if draw.below(TOO_MANY_EVERY) == 0 {
        payload.clear();
        for _ in 0..TOO_MANY {
            payload.extend_from_slice(b"{}");
        }
        return Outcome::DeadLetter("too_many_elements");
    }
    match draw.below(if lines { 8 } else { 9 }) {
        0 => {
            // Cut anywhere: without its last brace no message is whole.
            let mut keep = draw.between(1, payload.len().saturating_sub(1) as u64) as usize;
            // Not inside a letter: that would be another reason.
            while payload.get(keep).is_some_and(|byte| byte & 0xc0 == 0x80) {
                keep -= 1;
            }
            payload.truncate(keep);
            Outcome::DeadLetter("syntax")
        }
        1 | 2 => {
            member(payload, b"\"x_bad\":", pick(&NOT_JSON, draw), b"");
            Outcome::DeadLetter("syntax")
        }
        3 => {
            payload.extend_from_slice(pick(&[b"x".as_slice(), b"}", b",", b"\"", b":", b"}}"], draw));
            Outcome::DeadLetter("syntax")
        }
        4 => {
            member(payload, b"\"x_bytes\":\"a", pick(&NOT_UTF8, draw), b"b\"");
            Outcome::DeadLetter("not_utf8")
        }
        5 => {
            let at = draw.below(CONTROL.len() as u64) as usize;
            member(payload, b"\"x_control\":\"a", CONTROL.get(at..=at).unwrap_or_default(), b"b\"");
            Outcome::DeadLetter("control_character")
        }
        6 => {
            nested(payload, TOO_DEEP);
            Outcome::DeadLetter("depth")
        }
        7 => {
            payload.clear();
            payload.extend_from_slice(pick(&NOT_OBJECTS, draw));
            Outcome::DeadLetter("not_an_object")
        }
        _ => {
            payload.clear();
            payload.extend_from_slice(pick(&[b"".as_slice(), b" ", b"\n", b"\t \r\n "], draw));
            Outcome::DeadLetter("empty")
        }
    }
}

/// Makes a good message odd without changing what it says. `key` names a top-level
/// member that the pipeline reads: an earlier duplicate of it must lose.
pub fn twist(payload: &mut Vec<u8>, key: &str, draw: &mut impl Draw) {
    match draw.below(8) {
        0 => {
            let mut front = b"{\"".to_vec();
            front.extend_from_slice(key.as_bytes());
            front.extend_from_slice(pick(&[b"\":null,".as_slice(), b"\":\"gone\",", b"\":{\"a\":1},", b"\":-1,"], draw));
            payload.splice(..payload.len().min(1), front);
        }
        1 => nested(payload, DEEP),
        2 => {
            payload.splice(0..0, *b"\xef\xbb\xbf");
        }
        3 => {
            payload.splice(0..0, *b" \t ");
            payload.extend_from_slice(b"  \t");
        }
        _ => member(payload, pick(&ODD_MEMBERS, draw), b"", b""),
    }
}

/// Puts a member before the closing brace of the (last) object.
fn member(payload: &mut Vec<u8>, key: &[u8], value: &[u8], rest: &[u8]) {
    payload.pop();
    payload.push(b',');
    payload.extend_from_slice(key);
    payload.extend_from_slice(value);
    payload.extend_from_slice(rest);
    payload.push(b'}');
}

fn nested(payload: &mut Vec<u8>, depth: usize) {
    payload.pop();
    payload.extend_from_slice(b",\"x_deep\":");
    payload.resize(payload.len() + depth, b'[');
    payload.resize(payload.len() + depth, b']');
    payload.push(b'}');
}

fn pick<'a>(texts: &[&'a [u8]], draw: &mut impl Draw) -> &'a [u8] {
    texts.get(draw.below(texts.len() as u64) as usize).copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::rng::EventRng;

    const GOOD: &[u8] = br#"{"EventID":4625,"a":{"b":[1,2]}}"#;

    #[test]
    fn every_poison_is_refused_by_a_json_parser_or_is_no_object() {
        let mut rng = EventRng::new(3);
        let mut reasons = std::collections::HashSet::new();
        for _ in 0..5_000 {
            let mut payload = GOOD.to_vec();
            let outcome = poison(&mut payload, false, &mut rng);
            reasons.insert(outcome);
            let parsed = serde_json::from_slice::<serde_json::Value>(&payload);
            let right = match outcome {
                Outcome::DeadLetter("not_an_object") => parsed.is_ok_and(|v| !v.is_object()),
                // serde_json has the same limit of 128, and reads one value only.
                _ => parsed.is_err(),
            };
            assert!(right, "{outcome:?}: {}", String::from_utf8_lossy(&payload));
        }
        assert_eq!(reasons.len(), 7);
    }

    #[test]
    fn lines_hold_no_line_end_and_are_not_empty() {
        let mut rng = EventRng::new(4);
        for _ in 0..5_000 {
            let mut payload = GOOD.to_vec();
            poison(&mut payload, true, &mut rng);
            assert!(!payload.contains(&b'\n') && !payload.trim_ascii().is_empty());
        }
    }

    #[test]
    fn a_twisted_event_is_good_json_and_says_the_same() {
        let mut rng = EventRng::new(5);
        for _ in 0..2_000 {
            let mut payload = GOOD.to_vec();
            twist(&mut payload, "EventID", &mut rng);
            let text = String::from_utf8(payload).unwrap();
            let text = text.trim_start_matches('\u{feff}');
            // Lone surrogates and numbers beyond f64 are refused by serde_json, not by us.
            if text.contains("x_lone") || text.contains("x_reversed") || text.contains("x_huge") {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(value["EventID"], 4625, "{text}");
        }
    }
}
