//! Transformers of dates.

use serde_json::{Value, json};

use super::Takes::Item;
use super::{Args, Transformer, made, row};
use crate::expr::xsoar::dates::{self, MONTHS, Moment, WEEKDAYS, days, flexible, go, offset_text, relative, strptime};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::js::builtin::parse_int;
use crate::expr::xsoar::value::{cast_text, number_value, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("TimeStampToDate", Item, &[], &[], |value, args, _| {
        timestamp_to_date(&text_of(value)).map(|date| Value::String(date.to_string())).map_or_else(|| args.raise("not a timestamp"), Ok)
    }),
    row("toUnix", Item, &[], &[], |value, args, env| Ok(number_value(read(value, args, env)?.utc_us().div_euclid(1_000_000) as f64))),
    row("dateToString", Item, &[], &["format"], date_to_string),
    row("FormattedDateToEpoch", Item, &[], &["formatter"], formatted_to_epoch),
    row("DateStringToISOFormat", Item, &[], &["dayfirst", "yearfirst", "fuzzy", "add_utc_timezone"], to_iso),
    row("BetweenDates", Item, &["begin_date", "end_date"], &[], between_dates),
    row("BetweenHours", Item, &["begin_time", "end_time"], &[], between_hours),
    row("ModifyDateTime", Item, &["variation"], &[], modify),
    row("TimeComponents", Item, &[], &["format", "time_zone"], components),
];

/// `parseInt`, seconds below 1e10, else milliseconds, as JavaScript prints dates.
pub fn timestamp_to_date(text: &str) -> Option<DateText> {
    // Digits alone are read at once; what else `parseInt` takes, it takes itself.
    if let Some(date) = digits_to_date(text.as_bytes(), &mut Day::default()) {
        return Some(date);
    }
    let number = parse_int(text, 0);
    let millis = if number < 1e10 { number * 1000.0 } else { number };
    // What JavaScript's dates hold: 100,000,000 days around 1970.
    if millis.is_nan() || millis.abs() > 8.64e15 {
        return None;
    }
    let millis = millis as i64;
    let (year, month, day) = dates::civil(millis.div_euclid(86_400_000));
    let of_day = millis.rem_euclid(86_400_000);
    let mut out = DateText::default();
    if (0..=9999).contains(&year) {
        out.pair(year / 100);
        out.pair(year % 100);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let year = year.abs();
        for part in [year / 10_000, year / 100 % 100, year % 100] {
            out.pair(part);
        }
    }
    for (mark, part) in [(b'-', month), (b'-', day), (b'T', of_day / 3_600_000), (b':', of_day / 60_000 % 60), (b':', of_day / 1000 % 60)] {
        out.push(mark);
        out.pair(part);
    }
    out.push(b'.');
    out.push(b'0' + (of_day % 1000 / 100) as u8);
    out.pair(of_day % 100);
    out.push(b'Z');
    Some(out)
}

/// A day as it is printed: times of alerts are close together.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    /// Days since 1970.
    number: u64,
    /// Year, month and day, and the mark before the time.
    text: [u8; 11],
}

impl Default for Day {
    fn default() -> Day {
        Day { number: 0, text: *b"1970-01-01T" }
    }
}

/// The same of digits alone, for years of four digits; `day` is what was printed before.
pub fn digits_to_date(digits: &[u8], day: &mut Day) -> Option<DateText> {
    // More are no time that is printed with such a year.
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut number = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    let millis = if number < 10_000_000_000 { number * 1000 } else { number };
    let (days, of_day) = (millis / 86_400_000, (millis % 86_400_000) as u32);
    if day.number != days {
        let (year, month, of_month) = dates::civil(days as i64);
        let mut text = DateText::default();
        let year = Some(year).filter(|year| *year <= 9999)?;
        for (number, mark) in [(year / 100, None), (year % 100, Some(b'-')), (month, Some(b'-')), (of_month, Some(b'T'))] {
            text.pair(number);
            mark.into_iter().for_each(|mark| text.push(mark));
        }
        *day = Day { number: days, text: *text.as_bytes().first_chunk()? };
    }
    let [seconds, millis] = [of_day / 1000, of_day % 1000];
    let [h, m, s, f] = [seconds / 3600, seconds / 60 % 60, seconds % 60, millis / 10].map(|two| [b'0' + (two / 10) as u8, b'0' + (two % 10) as u8]);
    let mut bytes = *b"1970-01-01T00:00:00.000Z...";
    bytes[..11].copy_from_slice(&day.text);
    bytes[11..13].copy_from_slice(&h);
    bytes[14..16].copy_from_slice(&m);
    bytes[17..19].copy_from_slice(&s);
    bytes[20..22].copy_from_slice(&f);
    bytes[22] = b'0' + (millis % 10) as u8;
    Some(DateText { bytes, len: 24 })
}

/// A date as JavaScript prints it, without an allocation: at most 27 characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct DateText {
    bytes: [u8; 27],
    len: usize,
}

impl DateText {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Two digits.
    fn pair(&mut self, number: i64) {
        self.push(b'0' + (number / 10 % 10) as u8);
        self.push(b'0' + (number % 10) as u8);
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl std::fmt::Display for DateText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

fn read(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Moment, Fault> {
    moment(value, env).ok_or(Fault::Cast { operator: args.operator, wanted: "a date" })
}

/// A date of any layout, or an epoch number.
pub fn moment(value: &Value, env: &Env<'_>) -> Option<Moment> {
    match value {
        Value::Number(number) => dates::epoch(number.as_f64()?),
        Value::String(text) => dates::read(text, env.now_us),
        _ => None,
    }
}

fn date_to_string(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let moment = read(value, args, env)?;
    let layout = match args.text("format")? {
        Some(layout) if !layout.is_empty() => layout,
        _ => "02 Jan 06 15:04 MST".to_owned(),
    };
    env.budget.bytes(layout.len() * 9)?;
    made(go::format(moment, &layout), env)
}

fn formatted_to_epoch(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    let text = cast_text(value, args.operator)?;
    let format = args.text_or("formatter", "%Y-%m-%dT%H:%M:%S")?;
    match strptime::parse(&text, &format) {
        Some(moment) => Ok(Value::from(moment.utc_us().div_euclid(1_000_000))),
        None => args.raise("the date does not have the format"),
    }
}

fn to_iso(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = cast_text(value, args.operator)?;
    let options = flexible::Options {
        day_first: args.flag("dayfirst", true),
        year_first: args.flag("yearfirst", false),
        fuzzy: args.flag("fuzzy", true),
        now_us: env.now_us,
    };
    Ok(match flexible::parse(text.trim(), options) {
        Some(mut moment) => {
            if args.flag("add_utc_timezone", false) && moment.offset_s.is_none() {
                moment.offset_s = Some(0);
            }
            Value::String(moment.iso())
        }
        None => value.clone(),
    })
}

fn between_dates(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let at = read(value, args, env)?.utc_us();
    let bound = |name: &str| read(args.get(name).unwrap_or(&Value::Null), args, env).map(Moment::utc_us);
    Ok(Value::Bool(bound("begin_date")? <= at && at <= bound("end_date")?))
}

fn between_hours(value: &Value, args: &Args<'_>, _: &Env<'_>) -> Result<Value, Fault> {
    // Of which day a time is does not matter.
    let any_day = Env { now_us: Some(0), ..Env::new(&Value::Null) };
    let of_day = |value: &Value| read(value, args, &any_day).map(|moment| moment.local_us.rem_euclid(dates::DAY_US));
    let at = of_day(value)?;
    let bound = |name: &str| of_day(args.get(name).unwrap_or(&Value::Null));
    Ok(Value::Bool(bound("begin_time")? <= at && at <= bound("end_time")?))
}

fn modify(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = cast_text(value, args.operator)?;
    let moment = match text.trim().to_lowercase().as_str() {
        "now" => Some(Moment { local_us: env.now(args.operator)?, offset_s: None }),
        _ => moment(value, env),
    };
    let shift = relative::parse(&args.need_text("variation")?);
    let (Some(moment), Some(shift)) = (moment, shift) else { return args.raise("the date or the variation cannot be read") };
    match moment.shifted(shift) {
        Some(moved) if text.trim_end().ends_with('Z') => Ok(Value::String(Moment { offset_s: None, ..moved }.iso() + "Z")),
        Some(moved) => Ok(Value::String(moved.iso())),
        None => args.raise("the date is out of range"),
    }
}

fn components(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let moment = read(value, args, env)?;
    let p = moment.parts();
    let twelve = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    let month = MONTHS.get(p.month as usize - 1).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(moment.weekday()).copied().unwrap_or_default();
    let day_of_year = days(p.year, p.month, p.day) - days(p.year, 1, 1) + 1;
    let offset = moment.offset_s.unwrap_or(0);
    Ok(json!({
        "year": p.year, "year_4_digit": format!("{:04}", p.year),
        "month": p.month, "month_3_letter": &month[..3], "month_full_name": month, "month_2_digit": format!("{:02}", p.month),
        "day": p.day, "day_2_digit": format!("{:02}", p.day),
        "day_of_week_3_letter": &weekday[..3], "day_of_week_full_name": weekday, "day_of_week": (moment.weekday() + 1) % 7,
        "day_of_year": day_of_year, "day_of_year_3_digit": format!("{day_of_year:03}"),
        "hour": p.hour, "hour_12_clock": twelve, "hour_2_digit_24_clock": format!("{:02}", p.hour), "hour_2_digit_12_clock": format!("{twelve:02}"),
        "hour_of_day": p.hour, "minute": p.minute, "minute_2_digit": format!("{:02}", p.minute), "minute_of_day": p.hour * 60 + p.minute,
        "second": p.second, "second_2_digit": format!("{:02}", p.second), "second_of_day": p.hour * 3600 + p.minute * 60 + p.second,
        "second_of_hour": p.minute * 60 + p.second, "millisecond": p.micros / 1000,
        "period_12_clock": if p.hour < 12 { "AM" } else { "PM" },
        "time_zone_hhmm": offset_text(offset, ""), "time_zone_offset": offset, "time_zone_abbreviations": if offset == 0 { "UTC" } else { "" },
        "unix_epoch_time": moment.utc_us().div_euclid(1_000_000),
        "iso_8601": Moment { offset_s: Some(offset), ..moment }.iso(),
        "y-m-d": format!("{:04}-{:02}-{:02}", p.year, p.month, p.day),
        "yyyy-mm-dd": format!("{:04}-{:02}-{:02}", p.year, p.month, p.day),
        "h:m:s": format!("{:02}:{:02}:{:02}", p.hour, p.minute, p.second),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Day, digits_to_date, timestamp_to_date};

    #[test]
    fn digits_alone_are_the_same_date() {
        let mut day = Day::default();
        let times = [0i64, 1, 59, 86_399, 951_782_400, 1_582_934_400, 9_999_999_999, 10_000_000_000, 1_772_438_400_123, 4_107_542_399_999, 253_402_300_799_999];
        for time in times.into_iter().chain((0..2000).map(|n| n * 1_234_567_891)) {
            let text = time.to_string();
            let digits = digits_to_date(text.as_bytes(), &mut day).map(|date| date.as_bytes().to_vec());
            // A blank before it is read the long way.
            let long = timestamp_to_date(&format!(" {text}")).map(|date| date.as_bytes().to_vec());
            assert!(digits.is_some() && digits == long, "{text}");
        }
        for other in ["", "253402300800000", "1234567890123456", "-1", "1.5", "12a"] {
            assert!(digits_to_date(other.as_bytes(), &mut day).is_none(), "{other}");
        }
    }
}
