//! Formats written by hand (`'%d/%m/%Y %H:%M'`), by way of chrono. They are checked once, when
//! the pipeline is compiled.

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{NaiveDate, NaiveTime, Timelike};

use super::moment::in_range;
use super::zone::Zone;
use crate::expr::function::Misuse;
use crate::expr::value::{civil, days};

/// A format for reading.
#[derive(Debug)]
pub(super) struct Strptime {
    items: Box<[Item<'static>]>,
    /// The format has a year (or seconds since the epoch).
    pub has_year: bool,
}

/// The items of a format, for reading or writing; `index` is the argument's, for the message.
pub(super) fn items(format: &str, index: usize) -> Result<Box<[Item<'static>]>, Misuse> {
    if !format.contains('%') {
        return Err(Misuse::argument(index, format!("`{format}` is not a time format: it has no `%`")).hint("strftime directives: '%Y-%m-%d %H:%M:%S'"));
    }
    StrftimeItems::new(format).parse_to_owned().map(Into::into).map_err(|_| {
        let message = match culprit(format) {
            Some(directive) => format!("`{directive}` is not a directive of time formats"),
            None => format!("`{format}` is not a time format"),
        };
        Misuse::argument(index, message).hint("directives are those of strftime, such as %Y %m %d %b %H %I %M %S %.f %p %z %s; a percent sign is %%")
    })
}

/// The first directive that chrono does not know.
fn culprit(format: &str) -> Option<&str> {
    let mut at = format.find('%')?;
    loop {
        let rest = format.get(at..)?;
        if rest.starts_with("%%") {
            at += 2;
        } else {
            let end = rest.get(1..)?.find('%').map_or(format.len(), |next| at + 1 + next);
            if StrftimeItems::new(format.get(at..end)?).parse().is_err() {
                return rest.char_indices().nth(2).map_or(Some(rest), |(end, _)| rest.get(..end));
            }
            at = end;
        }
        at += format.get(at..)?.find('%')?;
    }
}

impl Strptime {
    /// Checks a format.
    pub(super) fn new(format: &str, index: usize) -> Result<Strptime, Misuse> {
        // `.%f` means a fraction elsewhere; chrono's plain `%f` counts nanoseconds, whatever the number of digits.
        let items = items(&format.replace(".%f", "%.f"), index)?;
        let mut has_year = false;
        for item in &items {
            match item {
                Item::Numeric(Numeric::Year | Numeric::IsoYear | Numeric::YearMod100 | Numeric::IsoYearMod100 | Numeric::Timestamp, _)
                | Item::Fixed(Fixed::RFC2822 | Fixed::RFC3339) => has_year = true,
                Item::Numeric(Numeric::Nanosecond, _) => {
                    return Err(Misuse::argument(index, "`%f` would read the digits of a fraction as nanoseconds")
                        .hint("`%.f` reads a fraction of any length with its point, `%3f`, `%6f` and `%9f` that many digits"));
                }
                Item::Fixed(Fixed::TimezoneName) => {
                    return Err(Misuse::argument(index, "`%Z` would pass over the name of the zone without looking at it")
                        .hint("write the name into the format and give the zone as third argument, or use 'auto'"));
                }
                _ => {}
            }
        }
        Ok(Strptime { items, has_year })
    }

    /// Microseconds since the epoch.
    pub(super) fn parse(&self, text: &str, zone: &Zone, record: Option<i64>) -> Option<i64> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text.trim_ascii(), self.items.iter()).ok()?;
        if let Some(seconds) = parsed.timestamp() {
            return in_range(seconds.checked_mul(1_000_000)?.checked_add(i64::from(parsed.nanosecond().unwrap_or(0) / 1000))?);
        }
        let time = time_of_day(&mut parsed)?;
        if self.has_year {
            return micros(parsed.to_naive_date().ok()?, time, &parsed, zone);
        }
        let record = record?;
        let (around, _, _) = civil(record.div_euclid(86_400_000_000));
        // As for syslog: February 29 may be eight years away, any other day is within one.
        (around - 8..=around + 8)
            .filter_map(|year| {
                let mut parsed = parsed.clone();
                parsed.set_year(year).ok()?;
                micros(parsed.to_naive_date().ok()?, time, &parsed, zone)
            })
            .min_by_key(|micros| micros.abs_diff(record))
    }
}

/// The time of day; midnight, or the full hour, where the format has no more.
fn time_of_day(parsed: &mut Parsed) -> Option<NaiveTime> {
    if parsed.hour_mod_12().is_none() && parsed.hour_div_12().is_none() {
        return Some(NaiveTime::MIN);
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    parsed.to_naive_time().ok()
}

fn micros(date: NaiveDate, time: NaiveTime, parsed: &Parsed, zone: &Zone) -> Option<i64> {
    use chrono::Datelike;
    let days = days(i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let local = days * 86_400 + i64::from(time.num_seconds_from_midnight());
    let seconds = match parsed.offset() {
        Some(offset) => local - i64::from(offset),
        None => zone.to_utc(local),
    };
    // In a leap second the nanoseconds go on counting beyond 10^9: it is the first of the next minute.
    in_range(seconds * 1_000_000 + i64::from(time.nanosecond() / 1000))
}
