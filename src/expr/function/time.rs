//! `parse_time(x [, format|'auto' [, zone]])` and `format_time(t, format [, zone])`.
//!
//! No wall clock anywhere: a text without a year is read with the time of its record.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::format::Item;
use chrono::{DateTime, FixedOffset};
use datafusion::arrow::array::{Array, ArrayRef, Int64Array, NullBufferBuilder};
use datafusion::arrow::buffer::ScalarBuffer;

use super::text::args::{arity, constant_text};
use super::text::text_column;
use super::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::value::{Type, Value};

mod auto;
mod epoch;
mod iso;
mod moment;
mod scan;
mod strptime;
mod zone;

use epoch::Unit;
use strptime::Strptime;
use zone::Zone;

/// Names that may stand for a format.
const FORMATS: &str = "'auto', 'rfc3339', 'syslog', 'epoch', 'epoch_s', 'epoch_ms', 'epoch_us', 'epoch_ns' or strftime directives such as '%d/%m/%Y %H:%M:%S'";

#[derive(Debug)]
enum Format {
    Auto,
    Rfc3339,
    Syslog,
    Epoch(Option<Unit>),
    Strptime(Strptime),
}

impl Format {
    fn of(name: &str) -> Result<Format, Misuse> {
        Ok(match name {
            "auto" => Format::Auto,
            "rfc3339" | "iso8601" => Format::Rfc3339,
            "syslog" => Format::Syslog,
            "epoch" => Format::Epoch(None),
            "epoch_s" => Format::Epoch(Some(Unit::Seconds)),
            "epoch_ms" => Format::Epoch(Some(Unit::Millis)),
            "epoch_us" => Format::Epoch(Some(Unit::Micros)),
            "epoch_ns" => Format::Epoch(Some(Unit::Nanos)),
            _ if !name.contains('%') => {
                return Err(Misuse::argument(1, format!("`{name}` is not a time format")).hint(format!("use {FORMATS}")));
            }
            _ => Format::Strptime(Strptime::new(name, 1)?),
        })
    }

    fn wants_record_time(&self) -> bool {
        match self {
            Format::Auto | Format::Syslog => true,
            Format::Strptime(format) => !format.has_year,
            Format::Rfc3339 | Format::Epoch(_) => false,
        }
    }
}

/// Binds `parse_time`.
pub fn bind_parse_time(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 1, 3, "parse_time(path, 'auto', 'Europe/Berlin')")?;
    let format = match constant_text(args, 1, "the format", "'auto' or '%d/%m/%Y %H:%M:%S'")? {
        None => Format::Auto,
        Some(name) => Format::of(name.trim())?,
    };
    let zone = constant_zone(args, 2)?;
    let wants_record_time = format.wants_record_time();
    let function = Arc::new(ParseTime { format, zone, wants_record_time });
    Ok(Bound { function, args: vec![(0, Type::Text)], returns: Type::Time, fallible: true, wants_record_time })
}

/// Binds `format_time`.
pub fn bind_format_time(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, 3, "format_time(occurred, '%Y-%m-%d %H:%M')")?;
    let format = constant_text(args, 1, "the format", "'%Y-%m-%d %H:%M'")?.unwrap_or_default();
    let function = FormatTime { items: strptime::items(format, 1)?, zone: constant_zone(args, 2)? };
    if function.format(0).is_none() {
        return Err(Misuse::argument(1, format!("`{format}` cannot be written")).hint("some directives, such as %#z, only read"));
    }
    // Only times that no calendar of chrono reaches cannot be written: years beyond ±262,143.
    Ok(Bound { function: Arc::new(function), args: vec![(0, Type::Time)], returns: Type::Text, fallible: true, wants_record_time: false })
}

fn constant_zone(args: &[Arg], index: usize) -> Result<Zone, Misuse> {
    let Some(name) = constant_text(args, index, "the time zone", "'Europe/Berlin' or '+02:00'")? else { return Ok(Zone::Fixed(0)) };
    Zone::parse(name.trim()).ok_or_else(|| {
        let hint = match zone::similar_name(name) {
            Some(similar) => format!("did you mean '{similar}'?"),
            None => "use 'UTC', an offset such as '+02:00', or an IANA name such as 'Europe/Berlin'".to_owned(),
        };
        Misuse::argument(index, format!("`{name}` is not a time zone")).hint(hint)
    })
}

#[derive(Debug)]
struct ParseTime {
    format: Format,
    zone: Zone,
    wants_record_time: bool,
}

impl ParseTime {
    /// `record`: the record's time in microseconds.
    #[inline]
    fn parse(&self, text: &str, record: Option<i64>) -> Option<i64> {
        match &self.format {
            Format::Auto => auto::parse(text, &self.zone, record),
            Format::Rfc3339 => auto::parse_iso(text, &self.zone),
            Format::Syslog => auto::parse_syslog(text, &self.zone, record),
            Format::Epoch(unit) => epoch::parse(text.as_bytes().trim_ascii(), *unit),
            Format::Strptime(format) => format.parse(text, &self.zone, record),
        }
    }
}

impl Function for ParseTime {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(text) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
        let record = match args.get(1) {
            Some(Value::Time(micros)) => Some(*micros),
            _ => None,
        };
        self.parse(text, record).map(Value::Time).ok_or(Failed)
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let records: Option<&Int64Array> = if self.wants_record_time { Some(args.get(1)?.as_any().downcast_ref()?) } else { None };
        let rows = texts.len();
        let mut times = Vec::with_capacity(rows);
        let mut nulls = NullBufferBuilder::new(rows);
        for (row, text) in texts.iter().enumerate() {
            let record = records.filter(|records| !records.is_null(row)).map(|records| records.value(row));
            let time = text.and_then(|text| self.parse(text, record));
            times.push(time.unwrap_or(0));
            nulls.append(time.is_some());
        }
        Some(Arc::new(Int64Array::new(ScalarBuffer::from(times), nulls.finish())))
    }
}

#[derive(Debug)]
struct FormatTime {
    items: Box<[Item<'static>]>,
    zone: Zone,
}

impl FormatTime {
    fn format(&self, micros: i64) -> Option<String> {
        let (_, offset) = self.zone.to_local(micros.div_euclid(1_000_000));
        let time = DateTime::from_timestamp_micros(micros)?.with_timezone(&FixedOffset::east_opt(offset)?);
        let mut text = String::new();
        write!(text, "{}", time.format_with_items(self.items.iter())).ok()?;
        Some(text)
    }
}

impl Function for FormatTime {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        match args.first() {
            Some(Value::Time(micros)) => self.format(*micros).map(|text| Value::Text(Cow::Owned(text))).ok_or(Failed),
            _ => Ok(Value::Null),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
