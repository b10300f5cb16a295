//! `lower` and `upper`: DataFusion's results, without its allocation per row. What is ASCII and
//! fits into its view is changed there, eight bytes at a time.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};

use super::args::arity;
use super::views::{Piece, TextWriter};
use super::{bound, text_column};
use crate::expr::function::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::value::{Type, Value};

const ONES: u64 = 0x0101_0101_0101_0101;

/// To which case.
#[derive(Debug, Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

/// `lower(x)`: in lower case, by Unicode's rules.
pub fn bind_lower(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 1, "lower(x)")?;
    Ok(bound(Arc::new(Case::Lower), vec![(0, Type::Text)]))
}

/// `upper(x)`: in upper case, by Unicode's rules.
pub fn bind_upper(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 1, "upper(x)")?;
    Ok(bound(Arc::new(Case::Upper), vec![(0, Type::Text)]))
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Case::Lower => text.to_lowercase(),
            Case::Upper => text.to_uppercase(),
        }
    }

    /// Eight bytes with the ASCII letters in this case.
    #[inline]
    fn eight(self, bytes: u64) -> u64 {
        match self {
            Case::Lower => bytes | letters(bytes, b'A') >> 2,
            Case::Upper => bytes ^ letters(bytes, b'a') >> 2,
        }
    }

    /// The view of a short ASCII text in this case; none where it is not ASCII.
    #[inline]
    fn short(self, view: u128) -> Option<u128> {
        let (low, high) = ((view >> 32) as u64, (view >> 96) as u64);
        if (low | high) & (0x80 * ONES) != 0 {
            return None;
        }
        Some(u128::from(view as u32) | u128::from(self.eight(low)) << 32 | u128::from(self.eight(high)) << 96)
    }
}

/// The upper bit of every byte that is one of the 26 letters from `first` on.
#[inline]
pub(in crate::expr::function) fn letters(bytes: u64, first: u8) -> u64 {
    let low_bits = bytes & (0x7F * ONES);
    // The upper bit of each byte says: at least the first, and beyond the last.
    let from_first = low_bits + u64::from(0x80 - first) * ONES;
    let beyond_last = low_bits + u64::from(0x80 - 26 - first) * ONES;
    (from_first ^ beyond_last) & !bytes & (0x80 * ONES)
}

impl Function for Case {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(text) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
        Ok(Value::Text(Cow::Owned(self.of(text))))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut writer = TextWriter::new(texts.len());
        let mut buffer = String::new();
        for row in 0..texts.len() {
            let piece = Piece::at(texts, row);
            let short = match piece {
                Some(Piece::Short(view)) => self.short(view),
                _ => None,
            };
            match (piece, short) {
                (None, _) => {}
                (_, Some(view)) => writer.push(Piece::Short(view)),
                (Some(Piece::Long(text)), _) if text.is_ascii() => {
                    buffer.clear();
                    buffer.push_str(text);
                    match self {
                        Case::Lower => buffer.make_ascii_lowercase(),
                        Case::Upper => buffer.make_ascii_uppercase(),
                    }
                    writer.push(Piece::Long(&buffer));
                }
                (Some(_), _) => writer.push(Piece::of(&self.of(texts.value(row)))),
            }
            writer.end(piece.is_some());
        }
        Some(writer.finish())
    }
}
