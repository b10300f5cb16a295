//! Functions from text to text: `regexp_extract`, `concat`, `concat_ws`, `md5`, `sha256`; `lower` and
//! `upper` in `case`.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringViewArray};
use md5::Md5;
use regex::{CaptureLocations, Regex};
use sha2::{Digest, Sha256};

use super::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::value::{Type, Value};

pub(super) mod args;
pub(super) mod case;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod views;

use args::{arity, constant_text};
use views::{Piece, TextWriter};

/// Longest text that `concat` and `concat_ws` build, in bytes: as much as one message may
/// have. Longer ones become NULL, so that one row cannot multiply itself in memory.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// `regexp_extract(x, 'regex' [, group])`: the group's text in the first match. Without a
/// group: the first group if the regex has one, else the whole match. No match, or a group
/// that took no part in it: NULL.
pub fn bind_regexp_extract(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, 3, "regexp_extract(path, '(\\w+)@', 1)")?;
    let pattern = constant_text(args, 1, "the regular expression", "'user=(\\w+)'")?.unwrap_or_default();
    let regex = Regex::new(pattern).map_err(|error| {
        // The crate's own message shows the pattern over several lines; the last one says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        Misuse::argument(1, format!("not a regular expression: {reason}")).hint("Rust regex syntax: (?i) folds case, no look-around, no back-references")
    })?;
    let groups = regex.captures_len() - 1;
    let group = match args.get(2) {
        None => usize::from(groups > 0),
        Some(Arg::Constant(Value::Number(number))) if number.fract() == 0.0 && (0.0..=groups as f64).contains(number) => *number as usize,
        Some(Arg::Constant(Value::Number(_))) => {
            return Err(Misuse::argument(2, format!("the regular expression has {groups} {}", if groups == 1 { "group" } else { "groups" }))
                .hint("0 is the whole match, 1 the first group"));
        }
        Some(Arg::Constant(Value::Text(name))) => match regex.capture_names().position(|n| n == Some(name)) {
            Some(group) => group,
            None => return Err(Misuse::argument(2, format!("the regular expression has no group named `{name}`")).hint("a named group is written (?<name>…)")),
        },
        Some(_) => return Err(Misuse::argument(2, "the group must be a constant number or name").hint("0 is the whole match, 1 the first group")),
    };
    Ok(bound(Arc::new(RegexpExtract { regex, group }), vec![(0, Type::Text)]))
}

/// `concat(a, …)`: the texts joined, NULL counting as empty.
pub fn bind_concat(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, usize::MAX, "concat(a, b, …)")?;
    let mut rows = Vec::new();
    let parts = parts(args, 0, &mut rows);
    Ok(bound(Arc::new(Concat { separator: Part::Constant(Some("".into())), parts }), rows))
}

/// `concat_ws(separator, a, …)`: the texts joined with the separator between them; a NULL
/// is left out together with its separator. A NULL separator gives NULL.
pub fn bind_concat_ws(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, usize::MAX, "concat_ws('/', a, b, …)")?;
    let mut rows = Vec::new();
    let separator = part(args.first(), 0, &mut rows);
    let parts = parts(args, 1, &mut rows);
    Ok(bound(Arc::new(Concat { separator, parts }), rows))
}

/// `md5(x)`: 32 lower-case hex digits.
pub fn bind_md5(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 1, "md5(x)")?;
    Ok(bound(Arc::new(Hash::Md5), vec![(0, Type::Text)]))
}

/// `sha256(x)`: 64 lower-case hex digits.
pub fn bind_sha256(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 1, "sha256(x)")?;
    Ok(bound(Arc::new(Hash::Sha256), vec![(0, Type::Text)]))
}

fn bound(function: Arc<dyn Function>, args: Vec<(usize, Type)>) -> Bound {
    Bound { function, args, returns: Type::Text, fallible: false, wants_record_time: false }
}

#[derive(Debug)]
struct RegexpExtract {
    regex: Regex,
    group: usize,
}

impl RegexpExtract {
    fn find<'t>(&self, text: &'t str, places: &mut CaptureLocations) -> Option<&'t str> {
        if self.group == 0 {
            return self.regex.find(text).map(|found| found.as_str());
        }
        self.regex.captures_read(places, text)?;
        let (start, end) = places.get(self.group)?;
        text.get(start..end)
    }
}

impl Function for RegexpExtract {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let mut places = self.regex.capture_locations();
        let found = match args.first() {
            Some(Value::Text(Cow::Borrowed(text))) => self.find(text, &mut places).map(Cow::Borrowed),
            Some(Value::Text(Cow::Owned(text))) => self.find(text, &mut places).map(|found| Cow::Owned(found.to_owned())),
            _ => None,
        };
        Ok(found.map_or(Value::Null, Value::Text))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut places = self.regex.capture_locations();
        Some(views::pieces(texts, |text| self.find(text, &mut places)))
    }
}

/// One operand of a concatenation.
#[derive(Debug)]
enum Part {
    Constant(Option<Box<str>>),
    /// Position among the arguments passed per row.
    Row(usize),
}

/// The operand for a written argument; those computed per row are appended to `rows`.
fn part(arg: Option<&Arg>, index: usize, rows: &mut Vec<(usize, Type)>) -> Part {
    match arg {
        Some(Arg::Row) => {
            rows.push((index, Type::Text));
            Part::Row(rows.len() - 1)
        }
        Some(Arg::Constant(value)) => Part::Constant(value.to_text().map(|text| text.into())),
        None => Part::Constant(None),
    }
}

fn parts(args: &[Arg], from: usize, rows: &mut Vec<(usize, Type)>) -> Vec<Part> {
    args.iter().enumerate().skip(from).map(|(index, arg)| part(Some(arg), index, rows)).collect()
}

/// `concat` (empty separator) and `concat_ws`.
#[derive(Debug)]
struct Concat {
    separator: Part,
    parts: Vec<Part>,
}

/// Shows the pieces of one result to `push`, separators included; false where the result is
/// NULL, whatever has been pushed.
#[inline]
fn join<T: Copy>(separator: Option<T>, parts: impl Iterator<Item = Option<T>>, length: impl Fn(T) -> usize, mut push: impl FnMut(T)) -> bool {
    let Some(separator) = separator else { return false };
    let mut total = 0usize;
    let mut between = 0;
    for part in parts.flatten() {
        total = total.saturating_add(between).saturating_add(length(part));
        if total > TEXT_BYTES_MAX {
            return false;
        }
        if between > 0 {
            push(separator);
        }
        push(part);
        between = length(separator);
    }
    true
}

impl Function for Concat {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        fn text<'t>(part: &'t Part, args: &'t [Value<'_>]) -> Option<&'t str> {
            match part {
                Part::Constant(text) => text.as_deref(),
                Part::Row(slot) => args.get(*slot).and_then(Value::as_text),
            }
        }
        let mut joined = String::new();
        let parts = self.parts.iter().map(|part| text(part, args));
        let known = join(text(&self.separator, args), parts, str::len, |piece| joined.push_str(piece));
        Ok(if known { Value::Text(Cow::Owned(joined)) } else { Value::Null })
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let separator = Source::of(&self.separator, args)?;
        let sources: Vec<Source<'_>> = self.parts.iter().map(|part| Source::of(part, args)).collect::<Option<_>>()?;
        let rows = args.first()?.len();
        let mut writer = TextWriter::new(rows);
        for row in 0..rows {
            let parts = sources.iter().map(|source| source.text(row));
            let known = join(separator.text(row), parts, |piece| piece.len(), |piece| writer.push(piece));
            writer.end(known);
        }
        Some(writer.finish())
    }
}

/// Where the column loop reads an operand.
enum Source<'t> {
    Constant(Option<Piece<'t>>),
    Column(&'t StringViewArray),
}

impl<'t> Source<'t> {
    fn of(part: &'t Part, args: &'t [ArrayRef]) -> Option<Source<'t>> {
        Some(match part {
            Part::Constant(text) => Source::Constant(text.as_deref().map(Piece::of)),
            Part::Row(slot) => Source::Column(text_column(args, *slot)?),
        })
    }

    #[inline]
    fn text(&self, row: usize) -> Option<Piece<'t>> {
        match self {
            Source::Constant(piece) => *piece,
            Source::Column(column) => Piece::at(column, row),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    /// Longest hash in hex digits.
    const HEX_MAX: usize = 64;

    /// The hash in hex, written into `out`.
    fn hex<'o>(self, text: &str, out: &'o mut [u8; Hash::HEX_MAX]) -> &'o str {
        let (md5, sha256);
        let hash: &[u8] = match self {
            Hash::Md5 => {
                md5 = Md5::digest(text.as_bytes());
                &md5
            }
            Hash::Sha256 => {
                sha256 = Sha256::digest(text.as_bytes());
                &sha256
            }
        };
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        for (pair, byte) in out.chunks_exact_mut(2).zip(hash) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        // Hex digits are ASCII, so this never falls back.
        out.get(..2 * hash.len()).and_then(|hex| std::str::from_utf8(hex).ok()).unwrap_or_default()
    }
}

impl Function for Hash {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(text) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
        Ok(Value::Text(Cow::Owned(self.hex(text, &mut [0; Hash::HEX_MAX]).to_owned())))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut writer = TextWriter::new(texts.len());
        for text in texts {
            if let Some(text) = text {
                writer.push(Piece::of(self.hex(text, &mut [0; Hash::HEX_MAX])));
            }
            writer.end(text.is_some());
        }
        Some(writer.finish())
    }
}

/// The text column at a position; none where the caller passes another kind of array.
pub(super) fn text_column(args: &[ArrayRef], index: usize) -> Option<&StringViewArray> {
    args.get(index)?.as_any().downcast_ref()
}

#[cfg(test)]
mod tests;
