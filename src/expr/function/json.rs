//! Functions over JSON text: `json_get` for JSON inside a string, and `array_any`,
//! `array_any_like`, `array_length` for the arrays of an event, which arrive as their raw text.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanBuilder, Float64Builder};

use super::text::args::{arity, constant_text};
use super::text::text_column;
use super::text::views::{Piece, TextWriter};
use super::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::parse::parse_path;
use crate::expr::path::Step;
use crate::expr::value::{Type, Value, parse_number};

mod like;
mod reader;

use like::Like;
use reader::{Reader, Way, is_json, token_text};

pub use reader::JSON_DEPTH_MAX;

/// `json_get(text, 'a.b[0]')`: the value at a path of JSON that stands inside a text. NULL where
/// there is none or where it is null; text that is not JSON fails. The path may begin with an
/// index (`[0].name`).
pub fn bind_get(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, 2, "json_get(requestParameters, 'bucket.name')")?;
    let text = constant_text(args, 1, "the path", "json_get(message, 'user.name')")?.unwrap_or_default();
    // The grammar of paths wants a key first: for `[0].name` one is put before and taken away again.
    let from_index = text.trim_start().starts_with('[');
    let path = if from_index { parse_path(&format!("_{}", text.trim_start())) } else { parse_path(text) };
    let path = path.map_err(|error| {
        let misuse = Misuse::argument(1, format!("`{text}` is not a path: {}", error.message));
        misuse.hint(error.hint.unwrap_or_else(|| "for example 'user.name' or 'Records[0].id'".to_owned()))
    })?;
    let steps: &[Step] = path.steps().get(usize::from(from_index)..).unwrap_or_default();
    Ok(bound(Arc::new(Get { way: Way::new(steps) }), vec![(0, Type::Text)], Type::Text, true))
}

/// `array_any(x, v, …)`: does the array have an element equal to one of the values? Elements are
/// compared as text, with a number as numbers. What is not an array counts as an array of one.
pub fn bind_array_any(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, usize::MAX, "array_any(groups, 'admins', 'operators')")?;
    let mut rows = vec![(0, Type::Text)];
    let mut wanted = Vec::with_capacity(args.len() - 1);
    for (index, arg) in args.iter().enumerate().skip(1) {
        wanted.push(match arg {
            Arg::Row => {
                rows.push((index, Type::Text));
                Wanted::Row(rows.len() - 1)
            }
            Arg::Constant(Value::Number(number)) => Wanted::Number(*number),
            Arg::Constant(value) => match value.to_text() {
                Some(text) => Wanted::Text((&*text).into()),
                None => return Err(Misuse::argument(index, "NULL equals nothing").hint("to find missing values write `path IS NULL`")),
            },
        });
    }
    Ok(bound(Arc::new(Any { wanted: wanted.into() }), rows, Type::Boolean, false))
}

/// `array_any_like(x, 'pattern%', …)`: does the array have an element like one of the patterns?
pub fn bind_array_any_like(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, usize::MAX, "array_any_like(domains, '%.example.com')")?;
    let patterns =
        (1..args.len()).map(|index| constant_text(args, index, "a pattern", "'%.example.com'").map(|text| Wanted::Like(Like::new(text.unwrap_or_default()))));
    let wanted = patterns.collect::<Result<Vec<_>, _>>()?;
    Ok(bound(Arc::new(Any { wanted: wanted.into() }), vec![(0, Type::Text)], Type::Boolean, false))
}

/// `array_length(x)`: the number of elements; 1 for what is not an array.
pub fn bind_array_length(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 1, "array_length(groups)")?;
    Ok(bound(Arc::new(Length), vec![(0, Type::Text)], Type::Number, false))
}

fn bound(function: Arc<dyn Function>, args: Vec<(usize, Type)>, returns: Type, fallible: bool) -> Bound {
    Bound { function, args, returns, fallible, wants_record_time: false }
}

#[derive(Debug)]
struct Get {
    way: Way,
}

impl Get {
    fn get<'t>(&self, text: &'t str) -> Result<Option<Cow<'t, str>>, Failed> {
        if is_json(text) { Ok(self.way.find(text).and_then(token_text)) } else { Err(Failed) }
    }
}

impl Function for Get {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let found = match args.first() {
            Some(Value::Text(Cow::Borrowed(text))) => self.get(text)?,
            Some(Value::Text(Cow::Owned(text))) => self.get(text)?.map(|found| Cow::Owned(found.into_owned())),
            _ => None,
        };
        Ok(found.map_or(Value::Null, Value::Text))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut writer = TextWriter::new(texts.len());
        for text in texts {
            let found = text.and_then(|text| self.get(text).ok().flatten());
            if let Some(found) = &found {
                writer.push(Piece::of(found));
            }
            writer.end(found.is_some());
        }
        Some(writer.finish())
    }
}

/// What an element is compared with.
#[derive(Debug)]
enum Wanted {
    Text(Box<str>),
    Number(f64),
    Like(Like),
    /// Position among the arguments passed per row.
    Row(usize),
}

#[derive(Debug)]
struct Any {
    wanted: Box<[Wanted]>,
}

impl Any {
    fn holds<'t>(&self, text: &str, row: impl Fn(usize) -> Option<&'t str>) -> bool {
        let element = |text: &str| {
            self.wanted.iter().any(|wanted| match wanted {
                Wanted::Text(wanted) => **wanted == *text,
                Wanted::Number(wanted) => parse_number(text) == Some(*wanted),
                Wanted::Like(pattern) => pattern.matches(text),
                Wanted::Row(slot) => row(*slot) == Some(text),
            })
        };
        let mut found = false;
        match each_element(text, |token| found = found || token_text(token).is_some_and(|text| element(&text))) {
            Some(()) => found,
            None => element(text),
        }
    }
}

/// Shows every element of an array; `None` where the text is not an array.
fn each_element(text: &str, mut see: impl FnMut(&str)) -> Option<()> {
    // Most texts that are no array are told by their first byte.
    if !text.trim_ascii_start().starts_with('[') {
        return None;
    }
    let mut reader = Reader::new(text);
    reader.elements(|reader| reader.value().map(&mut see))?;
    reader.end()
}

impl Function for Any {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(text) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
        Ok(Value::Boolean(self.holds(text, |slot| args.get(slot).and_then(Value::as_text))))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let columns = (0..args.len()).map(|index| text_column(args, index)).collect::<Option<Vec<_>>>()?;
        let texts = columns.first()?;
        let mut answers = BooleanBuilder::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let wanted = |slot: usize| columns.get(slot).filter(|column| !column.is_null(row)).map(|column| column.value(row));
            answers.append_option(text.map(|text| self.holds(text, wanted)));
        }
        Some(Arc::new(answers.finish()))
    }
}

#[derive(Debug)]
struct Length;

impl Length {
    fn of(text: &str) -> f64 {
        let mut count = 0u32;
        match each_element(text, |_| count = count.saturating_add(1)) {
            Some(()) => f64::from(count),
            None => 1.0,
        }
    }
}

impl Function for Length {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        Ok(args.first().and_then(Value::as_text).map_or(Value::Null, |text| Value::Number(Length::of(text))))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut lengths = Float64Builder::with_capacity(texts.len());
        for text in texts {
            lengths.append_option(text.map(Length::of));
        }
        Some(Arc::new(lengths.finish()))
    }
}

#[cfg(test)]
mod tests;
