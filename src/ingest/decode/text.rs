//! From the text of a string to its content: escapes.

/// Appends the content of a string whose escapes are valid (those of a decoded
/// [`super::Kind::StringEscaped`] are). A surrogate escape without its other half reads as U+FFFD.
pub fn unescape(content: &[u8], out: &mut Vec<u8>) {
    out.reserve(content.len());
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let plain = match escape.get(1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                rest = unicode(escape, out);
                continue;
            }
            Some(other) => *other,
            None => b'\\',
        };
        out.push(plain);
        rest = escape.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Reads the `\uXXXX` (or surrogate pair) that `text` starts with; returns what follows it.
fn unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let first = hex4(text);
    let after = text.get(6..).unwrap_or_default();
    let (code, rest) = match first {
        Some(high @ 0xd800..=0xdbff) if after.starts_with(b"\\u") => match hex4(after) {
            Some(low @ 0xdc00..=0xdfff) => (Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), after.get(6..).unwrap_or_default()),
            _ => (None, after),
        },
        other => (other, after),
    };
    let c = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

/// The number in `\uXXXX`.
fn hex4(text: &[u8]) -> Option<u32> {
    text.get(2..6)?.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> String {
        let mut out = Vec::new();
        unescape(content.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(read(r#"a\"b\\c\/d\b\f\n\r\t"#), "a\"b\\c/d\u{8}\u{c}\n\r\t");
        assert_eq!(read(r"\u0041\u00e9\u20AC\u0000."), "A\u{e9}\u{20ac}\u{0}.");
        assert_eq!(read(r"x\ud834\udd1ey"), "x\u{1d11e}y");
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        assert_eq!(read(r"\ud800"), "\u{fffd}");
        assert_eq!(read(r"\ud800x\udc00"), "\u{fffd}x\u{fffd}");
        assert_eq!(read(r"\ud800\u0041"), "\u{fffd}A");
        assert_eq!(read(r"\ud800\ud834\udd1e"), "\u{fffd}\u{1d11e}");
        assert_eq!(read(r"\ud800\n"), "\u{fffd}\n");
    }
}
