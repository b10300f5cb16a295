//! Comparisons with chrono, and of `column` with `call`, over arbitrary input.

#![allow(clippy::unwrap_used)]

use chrono::{NaiveDate, TimeZone as _};
use proptest::prelude::*;

use super::*;
use crate::expr::function::text::testing::{bound, call, column_is_call, text, try_bind};

#[test]
fn days_agree_with_chrono() {
    let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    for year in (0..=2500).chain([9998, 9999, 10_000]) {
        for month in 0..=16 {
            for day in [0, 1, 2, 28, 29, 30, 31, 32] {
                let expected =
                    NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| year < 10_000).map(|date| date.signed_duration_since(first).num_days());
                assert_eq!(moment::days(year, month, day), expected, "{year}-{month}-{day}");
            }
        }
    }
}

/// What chrono says a local time is, by the rule of [`zone`].
fn local_by_chrono(tz: chrono_tz::Tz, local: i64) -> i64 {
    let naive = DateTime::from_timestamp(local, 0).unwrap().naive_utc();
    match tz.from_local_datetime(&naive) {
        chrono::MappedLocalTime::Single(time) | chrono::MappedLocalTime::Ambiguous(time, _) => time.timestamp(),
        // In a gap: the offset of three hours before (no gap is that long in the zones below).
        chrono::MappedLocalTime::None => {
            let before = naive - chrono::TimeDelta::hours(3);
            local - (before.and_utc().timestamp() - tz.from_local_datetime(&before).earliest().unwrap().timestamp())
        }
    }
}

const ZONES: [chrono_tz::Tz; 8] = [
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Asia::Kolkata,
    chrono_tz::Africa::Casablanca,
    chrono_tz::America::Sao_Paulo,
    chrono_tz::Asia::Tehran,
    chrono_tz::UTC,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn zones_agree_with_chrono(which in 0..ZONES.len(), local in 0i64..4_102_358_400, near in prop::option::of((0usize..1000, -7200i64..7200))) {
        let tz = ZONES[which];
        let zone = Zone::named(tz);
        // Near a change of the clocks, where it matters.
        let local = match (near, &zone) {
            (Some((change, distance)), Zone::Named(table)) => table.change(change).filter(|at| *at > 86_400).map_or(local, |at| at + distance),
            _ => local,
        };
        prop_assert_eq!(zone.to_utc(local), local_by_chrono(tz, local));
        let (as_local, offset) = zone.to_local(local);
        let expected = tz.from_utc_datetime(&DateTime::from_timestamp(local, 0).unwrap().naive_utc());
        prop_assert_eq!(i64::from(offset), expected.naive_local().and_utc().timestamp() - local);
        prop_assert_eq!(as_local, local + i64::from(offset));
    }

    #[test]
    fn rfc_3339_agrees_with_chrono(seconds in -62_135_510_400i64..253_402_214_400, nanos in 0u32..1_000_000_000, offset in -1439i32..1440, digits in 0usize..=9) {
        let micros = seconds * 1_000_000 + i64::from(nanos / 1000);
        let time = DateTime::from_timestamp(seconds, nanos).unwrap().with_timezone(&FixedOffset::east_opt(offset * 60).unwrap());
        let precision = [chrono::SecondsFormat::Micros, chrono::SecondsFormat::Nanos][digits % 2];
        let written = time.to_rfc3339_opts(precision, true);
        let zone = Zone::Fixed(0);
        prop_assert_eq!(iso::common(written.as_bytes(), &zone), Some(micros), "{}", written);
        prop_assert_eq!(iso::general(written.as_bytes()).and_then(|moment| moment.micros(&zone, None)), Some(micros), "{}", written);
        for format in ["%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%a %b %e %H:%M:%S %z %Y", "%Y/%m/%d %H:%M:%S %z", "%m/%d/%Y %I:%M:%S %p %z", "%Y%m%dT%H%M%S%z"] {
            let written = time.format(format).to_string();
            prop_assert_eq!(auto::parse(&written, &zone, None), Some(seconds * 1_000_000), "{}", written);
        }
        prop_assert_eq!(epoch::parse(format!("{seconds}").as_bytes(), Some(Unit::Seconds)), Some(seconds * 1_000_000));
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one(input in "20[0-9]{2}[-/0]?[0-9]{2}[-/]?[0-9]{2}[Tt _][0-9]{2}:[0-9]{2}:?[0-9]{0,2}([.,][0-9]{0,9})?([Zz]|[+-][0-9]{2}:?[0-9]{0,2})?") {
        let zone = Zone::Fixed(3600);
        if let Some(micros) = iso::common(input.as_bytes(), &zone) {
            prop_assert_eq!(iso::general(input.as_bytes()).and_then(|moment| moment.micros(&zone, None)), Some(micros));
        }
    }

    #[test]
    fn column_gives_what_call_gives(texts in prop::collection::vec(prop::option::weighted(0.9, prop_oneof![
        "\\PC{0,30}", "[0-9]{0,20}(\\.[0-9]{0,10})?", "[-+/:., TZ0-9]{0,30}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:?[0-9]{2})?",
        "(Jan|Feb|Nov) [0-9]{1,2} [0-2][0-9]:[0-6][0-9]:[0-6][0-9]( 2[0-9]{3})?",
        "(Mon|Tue)?[, ]{0,2}[0-9]{1,2}[-/ ][A-Z][a-z]{2}[-/ ][0-9]{2,4}[: ][0-9]{1,2}:[0-9]{2}:[0-9]{2} ?([AP]M)? ?([+-][0-9]{0,6}|[A-Z]{3})?",
    ]), 12), record in prop::option::of(any::<i64>())) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        for constants in [vec![], vec![text("auto"), text("Europe/Berlin")], vec![text("rfc3339")], vec![text("syslog")], vec![text("epoch")], vec![text("epoch_ns")], vec![text("%b %d %H:%M:%S")], vec![text("%F %T%.f%z")]] {
            column_is_call(&bound("parse_time", &constants), std::slice::from_ref(&texts), record);
        }
    }

    #[test]
    fn format_time_does_no_harm(micros: i64, format in "%[-_0:.#]?[3-9]?[A-Za-z%+]|\\PC{0,8}") {
        if let Ok(bound) = try_bind("format_time", &[text(&format), text("Asia/Kolkata")]) {
            let _ = bound.function.call(&[Value::Time(micros)]);
        }
        let _ = try_bind("parse_time", &[text(&format), text(&format)]);
        if let Ok(bound) = try_bind("parse_time", &[text(&format)]) {
            let _ = call(&bound, &format, Some(micros));
            let _ = call(&bound, "12", Some(micros));
        }
    }
}
