//! Literals and numbers: their grammar, and what they are. Fast checks for nearly all, a slow one for the rest.

use super::index::PRIMITIVE;
use super::slot::{Kind, Slot};
use super::tokens::Tokens;

impl Tokens<'_> {
    /// Text of the primitive at token `i`: start and length.
    #[inline(always)]
    fn primitive(&self, i: usize) -> (u32, u32) {
        let start = self.position(i);
        let mut end = self.position(i + 1);
        while matches!(self.byte(end - 1), b' ' | b'\t' | b'\n' | b'\r') {
            end -= 1;
        }
        (start, end - start)
    }

    /// True when token `i`, whose kind is [`PRIMITIVE`], is a literal or a number as RFC 8259 has them.
    #[inline(always)]
    pub fn is_good_primitive(&self, i: usize) -> bool {
        let letter = self.byte(self.position(i)) > b'9';
        (if letter { self.is_literal_at(i) } else { self.is_decimal_at(i) }) || self.is_other_primitive(i)
    }

    /// Where the primitive at token `i` starts, and its length with the blanks after it.
    #[inline(always)]
    fn extent(&self, i: usize) -> (u32, u32) {
        let start = self.position(i);
        (start, self.position(i + 1) - start)
    }

    /// True when the primitive at token `i` is a literal and no blank follows.
    #[inline(always)]
    pub fn is_literal_at(&self, i: usize) -> bool {
        let (start, len) = self.extent(i);
        self.is_literal(start, len)
    }

    /// True when the primitive at token `i` is a number of at most 16 digits, and no blank follows.
    #[inline(always)]
    pub fn is_integer_at(&self, i: usize) -> bool {
        let (start, len) = self.extent(i);
        let (others, _) = self.digits(start);
        (others.trailing_zeros() == len) & ((len == 1) | (self.byte(start) != b'0'))
    }

    /// True when the primitive at token `i` is a number without an exponent, of at most 16 bytes besides the sign, and no blank follows.
    #[inline(always)]
    pub fn is_decimal_at(&self, i: usize) -> bool {
        let (start, len) = self.extent(i);
        let sign = u32::from(self.byte(start) == b'-');
        let (start, len) = (start + sign, len - sign);
        let (others, points) = self.digits(start);
        let whole = others.trailing_zeros();
        let point = points >> whole & 1;
        let places = ((others >> whole) >> 1).trailing_zeros();
        let leading_zero = (self.byte(start) == b'0') & (whole != 1);
        (whole + point * (1 + places) == len) & (whole != 0) & !leading_zero & ((point == 0) | (places != 0))
    }

    #[inline(never)]
    fn is_other_primitive(&self, i: usize) -> bool {
        let (start, len) = self.primitive(i);
        self.is_literal(start, len) || is_number(self.text(start, len))
    }

    /// True when token `i` is a primitive and a good one.
    #[inline(always)]
    pub fn is_primitive(&self, i: usize) -> bool {
        self.kind(i) == PRIMITIVE && self.is_good_primitive(i)
    }

    /// The primitive at token `i`, which is known to be good.
    #[inline(always)]
    pub fn good_primitive_slot(&self, i: usize) -> Slot {
        let (start, len) = self.primitive(i);
        let byte = self.byte(start);
        let mut kind = Kind::Number;
        kind = if byte == b't' { Kind::True } else { kind };
        kind = if byte == b'f' { Kind::False } else { kind };
        kind = if byte == b'n' { Kind::Null } else { kind };
        Slot::new(kind, start, len)
    }

    /// `true`, `false` or `null`.
    #[inline(always)]
    fn is_literal(&self, start: u32, len: u32) -> bool {
        const TRUE: u64 = u32::from_le_bytes(*b"true") as u64;
        const NULL: u64 = u32::from_le_bytes(*b"null") as u64;
        const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");
        let word = self.word(start);
        let four = word & 0xffff_ffff;
        (len == 4) & ((four == TRUE) | (four == NULL)) | (len == 5) & (word & 0xff_ffff_ffff == FALSE)
    }

    /// Of the 16 bytes from `start` on: those that are not digits (bits 16 and above are set), and the points.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn digits(&self, start: u32) -> (u32, u32) {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86-64; 16 bytes from an offset within the message, or just past it,
        // are in the padded arena.
        unsafe {
            let bytes = _mm_loadu_si128(self.bytes16(start).cast());
            let value = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
            let digits = _mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value);
            let points = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8));
            (!_mm_movemask_epi8(digits) as u32, _mm_movemask_epi8(points) as u32)
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn digits(&self, start: u32) -> (u32, u32) {
        // SAFETY: 16 bytes can be read there, see `bytes16`.
        digits_of(unsafe { &*self.bytes16(start) })
    }
}

/// [`Tokens::digits`] on any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn digits_of(bytes: &[u8; 16]) -> (u32, u32) {
    let (mut others, mut points) = (!0, 0);
    for (i, byte) in bytes.iter().enumerate() {
        others ^= u32::from(byte.is_ascii_digit()) << i;
        points |= u32::from(*byte == b'.') << i;
    }
    (others, points)
}

/// The number grammar of RFC 8259, for any length.
#[inline(never)]
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = fraction.get(places..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let places = digits(exponent);
        return places != 0 && places == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::{Index, Level, PADDING};
    use super::*;

    /// Indexes `text` and passes its tokens on.
    fn with_tokens(text: &str, look: impl FnOnce(Tokens<'_>)) {
        let mut arena = text.as_bytes().to_vec();
        arena.extend_from_slice(&[0; PADDING]);
        let mut index = Index::default();
        assert!(index.build(Level::detect(), &arena, 0, text.len()).is_ok());
        look(Tokens::new(&index, &arena, 0));
    }

    #[test]
    fn fast_and_slow_checks_of_numbers_agree() {
        let parts = ["", "-", "0", "1", "10", "01", "123456789", "12345678901234567", ".", ".5", ".50", "..", "e5", "E-7", "e", " ", "\n", "x", "é"];
        for a in parts {
            for b in parts {
                for c in parts {
                    let text = format!("{a}{b}{c}");
                    let number = text.trim_matches([' ', '\n']);
                    with_tokens(&format!("[{text},1]"), |tokens| {
                        let good = is_number(number.as_bytes());
                        // More than one token, if blanks are within.
                        let one = tokens.kind(1) == PRIMITIVE && tokens.kind(2) == b',';
                        assert_eq!(one && tokens.is_good_primitive(1), good, "{text}");
                        assert!(!one || good || !(tokens.is_integer_at(1) || tokens.is_decimal_at(1)), "{text}");
                        let mut bytes = [b']'; 16];
                        bytes.iter_mut().zip(text.bytes().chain(*b",1]")).for_each(|(to, from)| *to = from);
                        if text.len() < 13 {
                            let (others, points) = tokens.digits(1);
                            let (others_of, points_of) = digits_of(&bytes);
                            let seen = (1 << (text.len() + 2)) - 1;
                            assert_eq!((others & seen, points & seen), (others_of & seen, points_of & seen), "{text}");
                        }
                    });
                }
            }
        }
    }

    #[test]
    fn numbers() {
        for good in ["0", "-0", "1", "10", "1.5", "-1.50", "1e5", "1E+5", "0e-0", "123456789012345678901234567890"] {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "-01", "+1", "1.", ".5", "1.e1", "1e", "1e+", "0x1", "1a", "1.5.5", "1e5e5", "--1", "1-"] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }
}
