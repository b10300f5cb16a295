#![allow(clippy::unwrap_used)]

use chrono::{NaiveDate, TimeZone as _};
use proptest::prelude::*;

use super::*;
use crate::expr::function::text::testing::{bound, call, column_is_call, number, text, try_bind};

/// 2021-11-21T18:45:00Z: when the records of these tests were written.
const RECORD: i64 = 1_637_520_300_000_000;

/// `parse_time` with constants; the result as RFC 3339.
fn parse(constants: &[&str], input: &str) -> Option<String> {
    let constants: Vec<Arg> = constants.iter().map(|c| text(c)).collect();
    let value = call(&bound("parse_time", &constants), input, Some(RECORD)).ok()?;
    value.to_text().map(Cow::into_owned)
}

fn check(constants: &[&str], cases: &[(&str, Option<&str>)]) {
    for (input, expected) in cases {
        assert_eq!(parse(constants, input).as_deref(), *expected, "{input:?} by {constants:?}");
        let padded = format!(" {input}\t");
        assert_eq!(parse(constants, &padded).as_deref(), *expected, "{padded:?} by {constants:?}");
    }
}

#[test]
fn rfc_3339_and_relatives() {
    let cases = &[
        ("2021-05-03T10:11:12Z", Some("2021-05-03T10:11:12Z")),
        ("2021-05-03t10:11:12z", Some("2021-05-03T10:11:12Z")),
        ("2021-05-03 10:11:12Z", Some("2021-05-03T10:11:12Z")),
        ("2021-05-03_10:11:12Z", None),
        ("2021-05-03T10:11:12", Some("2021-05-03T10:11:12Z")),
        ("2021-05-03T10:11:12.5Z", Some("2021-05-03T10:11:12.500Z")),
        ("2021-05-03T10:11:12,123Z", Some("2021-05-03T10:11:12.123Z")),
        ("2021-05-03T10:11:12.1234567Z", Some("2021-05-03T10:11:12.123456Z")),
        ("2021-05-03T10:11:12.999999999999999999999Z", Some("2021-05-03T10:11:12.999999Z")),
        ("2021-05-03T10:11:12.Z", None),
        ("2021-05-03T10:11:12+02:00", Some("2021-05-03T08:11:12Z")),
        ("2021-05-03T10:11:12.25-0530", Some("2021-05-03T15:41:12.250Z")),
        ("2021-05-03T10:11:12+02", Some("2021-05-03T08:11:12Z")),
        ("2021-05-03T10:11:12 +0200", Some("2021-05-03T08:11:12Z")),
        ("2021-05-03T10:11:12+2", None),
        ("2021-05-03T10:11:12+24:00", None),
        ("2021-05-03T10:11:12+02:60", None),
        ("2021-05-03T10:11:12+02:000", None),
        ("2021-05-03T10:11:12Zulu", None),
        ("2021-05-03T10:11:12Z ", Some("2021-05-03T10:11:12Z")),
        ("2021-05-03T10:11Z", Some("2021-05-03T10:11:00Z")),
        ("2021-05-03 10:11", Some("2021-05-03T10:11:00Z")),
        ("2021-05-03", Some("2021-05-03T00:00:00Z")),
        ("2021-5-3 1:02:03", Some("2021-05-03T01:02:03Z")),
        ("2021-05-03T", None),
        ("2021-05", None),
        ("2021-05-03T10", None),
        ("2021-05-03T24:00:00Z", None),
        ("2021-05-03T10:60:00Z", None),
        ("2021-05-03T10:11:61Z", None),
        ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00Z")),
        ("2016-12-31T23:59:60.5Z", Some("2017-01-01T00:00:00.500Z")),
        ("2021-13-03T10:11:12Z", None),
        ("2021-00-03T10:11:12Z", None),
        ("2021-02-30T10:11:12Z", None),
        ("2021-02-29T10:11:12Z", None),
        ("2020-02-29T10:11:12Z", Some("2020-02-29T10:11:12Z")),
        ("1900-02-29T10:11:12Z", None),
        ("2000-02-29T10:11:12Z", Some("2000-02-29T10:11:12Z")),
        ("2021-04-31", None),
        ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00Z")),
        ("0000-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59.999999Z", Some("9999-12-31T23:59:59.999999Z")),
        ("9999-12-31T23:59:60Z", None),
        ("1969-12-31T23:59:59.75Z", Some("1969-12-31T23:59:59.750Z")),
        ("2021/05/03 10:11:12", Some("2021-05-03T10:11:12Z")),
        ("2021/05/03 10:11:12.123 +0200", Some("2021-05-03T08:11:12.123Z")),
        ("2021/05-03 10:11:12", None),
        ("2020-09-14 00:44:23 UTC", Some("2020-09-14T00:44:23Z")),
        ("2020-09-14 00:44:23.5 +0000 UTC", Some("2020-09-14T00:44:23.500Z")),
        ("2020-09-14 00:44:23 UTC+2", None),
        ("2020-09-14 00:44:23 GMT+02:00", Some("2020-09-13T22:44:23Z")),
        ("2020-09-14 00:44:23 PST", Some("2020-09-14T08:44:23Z")),
        ("2020-09-14 00:44:23 Europe/Berlin", Some("2020-09-13T22:44:23Z")),
        ("2020-09-14 00:44:23 Nowhere/Land", None),
        ("2020-09-14 00:44:23 IST", None),
        ("2020-09-14T00:44:23+02:00[Europe/Paris]", Some("2020-09-13T22:44:23Z")),
        ("2020-09-14 01:44:23 PM", Some("2020-09-14T13:44:23Z")),
        ("20210503T101112Z", Some("2021-05-03T10:11:12Z")),
        ("20210503T1011+0200", Some("2021-05-03T08:11:00Z")),
        ("20210503101112.5Z", Some("2021-05-03T10:11:12.500Z")),
        ("20210503101112", Some("2021-05-03T10:11:12Z")),
        ("20210503", Some("2021-05-03T00:00:00Z")),
        ("20211303", None), // no such month, and no number of seconds either
        ("18991231", Some("1970-08-08T19:20:31Z")),
        ("20991231", Some("2099-12-31T00:00:00Z")),
        ("21000101", Some("1970-09-01T01:21:41Z")),
        ("20210503.5", Some("1970-08-22T22:01:43.500Z")),
        ("16000101000000", Some("2477-01-08T08:30:00Z")),
        ("２０21-05-03T10:11:12Z", None),
        ("2021-05-03T10:11:1２Z", None),
    ];
    check(&[], cases);
    check(&["auto"], cases);
    let no_epoch: Vec<(&str, Option<&str>)> = cases.iter().copied().filter(|(input, _)| !expected_epoch(input)).collect();
    check(&["rfc3339"], &no_epoch);
}

/// Digits that only `'auto'` reads as a number.
fn expected_epoch(input: &str) -> bool {
    ["18991231", "21000101", "20210503.5", "16000101000000"].contains(&input)
}

#[test]
fn epochs_by_magnitude() {
    let cases = &[
        ("0", Some("1970-01-01T00:00:00Z")),
        ("1600044263", Some("2020-09-14T00:44:23Z")),
        ("1600044263.450123", Some("2020-09-14T00:44:23.450123Z")),
        ("1600044263.4501239", Some("2020-09-14T00:44:23.450123Z")),
        ("1600044263450", Some("2020-09-14T00:44:23.450Z")),
        ("1600044263450.5", Some("2020-09-14T00:44:23.450500Z")),
        ("1600044263450123", Some("2020-09-14T00:44:23.450123Z")),
        ("1600044263450123789", Some("2020-09-14T00:44:23.450123Z")),
        ("1.600044263e9", Some("2020-09-14T00:44:23Z")),
        ("-1", Some("1969-12-31T23:59:59Z")),
        ("-1.5", Some("1969-12-31T23:59:58.500Z")),
        ("-1600044263450", Some("1919-04-19T23:15:36.550Z")),
        ("+5", Some("1970-01-01T00:00:05Z")),
        ("99999999999", Some("5138-11-16T09:46:39Z")),
        ("99999999999999999999999", None),
        ("18446744073709551615", None),
        ("1.", None),
        ("1.5.5", None),
        ("-", None),
        ("1600044263 s", None),
        ("1e400", None),
        ("1e", None),
        ("0x10", None),
    ];
    check(&[], cases);
    check(&["epoch"], cases);
    check(&["epoch_s"], &[("100000000000", Some("5138-11-16T09:46:40Z")), ("20210503", Some("1970-08-22T22:01:43Z")), ("1600044263450", None)]);
    check(&["epoch_ms"], &[("1000", Some("1970-01-01T00:00:01Z")), ("-1", Some("1969-12-31T23:59:59.999Z")), ("1.5", Some("1970-01-01T00:00:00.001500Z"))]);
    check(&["epoch_us"], &[("1000", Some("1970-01-01T00:00:00.001Z")), ("1.9", Some("1970-01-01T00:00:00.000001Z"))]);
    check(&["epoch_ns"], &[("1999", Some("1970-01-01T00:00:00.000001Z")), ("9223372036854775807", Some("2262-04-11T23:47:16.854775Z"))]);
}

#[test]
fn logs_and_mails() {
    check(
        &[],
        &[
            ("Nov  3 10:11:12", Some("2021-11-03T10:11:12Z")),
            ("Nov 03 10:11:12.345", Some("2021-11-03T10:11:12.345Z")),
            ("Nov 3 10:11:12:", Some("2021-11-03T10:11:12Z")),
            ("Dec 31 23:59:59", Some("2021-12-31T23:59:59Z")), // nearer ahead than a year back
            ("Jul  1 00:00:00", Some("2021-07-01T00:00:00Z")),
            ("Jan  2 10:11:12", Some("2022-01-02T10:11:12Z")),
            ("Feb 29 10:11:12", Some("2020-02-29T10:11:12Z")),
            ("Feb 30 10:11:12", None),
            ("Nov 3 10:11:12 +0200", Some("2021-11-03T08:11:12Z")),
            ("Nov 3 2019 10:11:12", Some("2019-11-03T10:11:12Z")),
            ("Nov 03 2019: 10:11:12", Some("2019-11-03T10:11:12Z")),
            ("Nov  3 10:11:12 2019 GMT", Some("2019-11-03T10:11:12Z")),
            ("Nov 3, 2019 @ 10:11:12.123", Some("2019-11-03T10:11:12.123Z")),
            ("November 3, 2019 10:11 PM", Some("2019-11-03T22:11:00Z")),
            ("Sept. 3, 2019", Some("2019-09-03T00:00:00Z")),
            ("Nov 3", None),
            ("No 3 10:11:12", None),
            ("Foo 3 10:11:12", None),
            ("Novembers 3 10:11:12", None),
            ("10/Oct/2000:13:55:36 -0700", Some("2000-10-10T20:55:36Z")),
            ("[10/Oct/2000:13:55:36 -0700]", Some("2000-10-10T20:55:36Z")),
            ("[10/Oct/2000:13:55:36 -0700", None),
            ("10/Foo/2000:13:55:36 -0700", None),
            ("Mon, 02 Jan 2006 15:04:05 -0700", Some("2006-01-02T22:04:05Z")),
            ("Mon, 2 Jan 2006 15:04:05 GMT", Some("2006-01-02T15:04:05Z")),
            ("Mon, 02 Jan 2006 15:04:05 -0700 (PDT)", Some("2006-01-02T22:04:05Z")),
            ("2 Jan 2006 15:04 EST", Some("2006-01-02T20:04:00Z")),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some("1994-11-06T08:49:37Z")),
            ("03-Nov-2021 10:11:12.123", Some("2021-11-03T10:11:12.123Z")),
            ("Mon Jan  2 15:04:05 2006", Some("2006-01-02T15:04:05Z")),
            ("Mon Jan 2 15:04:05.123456 2006", Some("2006-01-02T15:04:05.123456Z")),
            ("Mon Jan 02 15:04:05 UTC 2006", Some("2006-01-02T15:04:05Z")),
            ("Mon Jan 02 15:04:05 -0700 2006", Some("2006-01-02T22:04:05Z")),
            ("Mon Jan 02 15:04:05 CEST 2006", None),
            ("7/1/2020 12:30:00 PM", Some("2020-07-01T12:30:00Z")),
            ("7/1/2020 12:30:00 AM", Some("2020-07-01T00:30:00Z")),
            ("07/01/2020 1:30:00.25pm", Some("2020-07-01T13:30:00.250Z")),
            ("7/1/2020 13:30:00 PM", None),
            ("7/1/2020 0:30 PM", None),
            ("7/1/2020, 13:30", Some("2020-07-01T13:30:00Z")),
            ("7/1/2020", Some("2020-07-01T00:00:00Z")),
            ("13/4/2021 10:00:00", None),
            ("03-04-2021 10:00:00", None),
            ("05/03/2021-10:11:12.123456", Some("2021-05-03T10:11:12.123456Z")),
            ("/Date(1510000000000)/", Some("2017-11-06T20:26:40Z")),
            ("/Date(1510000000000+0100)/", Some("2017-11-06T20:26:40Z")),
            ("/Date(-1)/", Some("1969-12-31T23:59:59.999Z")),
            ("/Date()/", None),
            ("/Date(15+)/", None),
            ("/Date(1510000000000)", None),
            ("", None),
            ("yesterday", None),
            ("-", None),
            ("null", None),
            ("10:11:12", None),
        ],
    );
    check(&["syslog"], &[("Nov  3 10:11:12", Some("2021-11-03T10:11:12Z")), ("2021-11-03T10:11:12Z", None)]);
}

#[test]
fn a_year_is_never_taken_from_the_clock() {
    for constants in [vec![], vec![text("syslog")], vec![text("%b %d %H:%M:%S")]] {
        let bound = bound("parse_time", &constants);
        assert!(bound.wants_record_time);
        assert_eq!(call(&bound, "Nov  3 10:11:12", None), Err(Failed));
        assert_eq!(call(&bound, "Nov  3 10:11:12", Some(0)).unwrap().to_text().unwrap(), "1969-11-03T10:11:12Z");
    }
    for format in ["rfc3339", "epoch", "epoch_ms", "%Y-%m-%d", "%s", "%D", "%c"] {
        assert!(!bound("parse_time", &[text(format)]).wants_record_time, "{format}");
    }
}

#[test]
fn zones() {
    check(&["auto", "+02:00"], &[("2021-05-03T10:11:12", Some("2021-05-03T08:11:12Z")), ("2021-05-03T10:11:12Z", Some("2021-05-03T10:11:12Z")), ("0", Some("1970-01-01T00:00:00Z"))]);
    check(
        &["auto", "Europe/Berlin"],
        &[
            ("2021-01-03T10:00:00", Some("2021-01-03T09:00:00Z")),
            ("2021-07-03 10:00:00", Some("2021-07-03T08:00:00Z")),
            ("2021-03-28T01:59:59", Some("2021-03-28T00:59:59Z")),
            ("2021-03-28T02:30:00", Some("2021-03-28T01:30:00Z")), // left out: 03:30 in summer time
            ("2021-03-28T03:00:00", Some("2021-03-28T01:00:00Z")),
            ("2021-10-31T02:30:00", Some("2021-10-31T00:30:00Z")), // twice: the first
            ("2021-10-31T03:00:00", Some("2021-10-31T02:00:00Z")),
            ("Nov  3 10:11:12", Some("2021-11-03T09:11:12Z")),
            ("10/Oct/2000:13:55:36", Some("2000-10-10T11:55:36Z")),
        ],
    );
    check(&["%d.%m.%Y %H:%M", "America/New_York"], &[("03.07.2021 10:00", Some("2021-07-03T14:00:00Z")), ("03.01.2021 10:00", Some("2021-01-03T15:00:00Z"))]);
    for zone in ["UTC", "Z", "GMT", "Etc/UTC", "+00:00", "+00", "-0000"] {
        check(&["auto", zone], &[("2021-05-03T10:11:12", Some("2021-05-03T10:11:12Z"))]);
    }
}

#[test]
fn formats_by_hand() {
    check(&["%d/%m/%Y %H:%M:%S"], &[("03/05/2021 10:11:12", Some("2021-05-03T10:11:12Z")), ("03/05/2021", None), ("03/05/2021 10:11:12 x", None), ("31/02/2021 10:11:12", None)]);
    check(&["%Y-%m-%d %H:%M:%S %z"], &[("2021-05-03 10:11:12 +0200", Some("2021-05-03T08:11:12Z"))]);
    check(&["%Y-%m-%d %H:%M:%S.%f"], &[("2021-05-03 10:11:12.5", Some("2021-05-03T10:11:12.500Z")), ("2021-05-03 10:11:12.123456", Some("2021-05-03T10:11:12.123456Z"))]);
    check(&["%Y%m%d%H%M%S%3f"], &[("20210503101112123", Some("2021-05-03T10:11:12.123Z"))]);
    check(&["%s"], &[("1600044263", Some("2020-09-14T00:44:23Z"))]);
    check(&["%F"], &[("2021-05-03", Some("2021-05-03T00:00:00Z"))]);
    check(&["%F %H"], &[("2021-05-03 07", Some("2021-05-03T07:00:00Z"))]);
    check(&["%F %I:%M %p"], &[("2021-05-03 07:30 PM", Some("2021-05-03T19:30:00Z"))]);
    check(&["%b %d %H:%M:%S"], &[("Jan  2 10:11:12", Some("2022-01-02T10:11:12Z")), ("Feb 29 00:00:00", Some("2020-02-29T00:00:00Z"))]);
    check(&["%F %T"], &[("2016-12-31 23:59:60", Some("2017-01-01T00:00:00Z"))]);
    check(&["%+"], &[("2021-05-03T10:11:12.5+02:00", Some("2021-05-03T08:11:12.500Z"))]);
}

#[test]
fn misuse() {
    let cases: &[(&str, &[Arg], Option<usize>, &str)] = &[
        ("parse_time", &[text("yyyy-MM-dd")], Some(1), "`yyyy-MM-dd` is not a time format"),
        ("parse_time", &[text("%Y-%Q")], Some(1), "`%Q` is not a directive of time formats"),
        ("parse_time", &[text("%%%Y-%")], Some(1), "`%` is not a directive of time formats"),
        ("parse_time", &[text("%é")], Some(1), "`%é` is not a directive of time formats"),
        ("parse_time", &[text("%H:%M:%S,%f")], Some(1), "`%f` would read the digits of a fraction as nanoseconds"),
        ("parse_time", &[text("%F %T %Z")], Some(1), "`%Z` would pass over the name of the zone without looking at it"),
        ("parse_time", &[number(3.0)], Some(1), "the format must be a text, found a number"),
        ("parse_time", &[Arg::Row], Some(1), "the format must be a constant, it cannot come from the event"),
        ("parse_time", &[text("auto"), text("Berlin")], Some(2), "`Berlin` is not a time zone"),
        ("parse_time", &[text("auto"), text("CEST")], Some(2), "`CEST` is not a time zone"),
        ("parse_time", &[text("auto"), text("+25:00")], Some(2), "`+25:00` is not a time zone"),
        ("parse_time", &[text("auto"), text("UTC"), text("x")], None, "takes 1 to 3 arguments, found 4"),
        ("format_time", &[], None, "takes 2 to 3 arguments, found 1"),
        ("format_time", &[text("date")], Some(1), "`date` is not a time format: it has no `%`"),
    ];
    for (name, constants, argument, message) in cases {
        let misuse = try_bind(name, constants).unwrap_err();
        assert_eq!((misuse.argument, misuse.message.as_str()), (*argument, *message), "{constants:?}");
        assert!(misuse.hint.is_some(), "{constants:?}");
    }
    assert_eq!(try_bind("parse_time", &[text("auto"), text("europe/berlin")]).unwrap_err().hint.as_deref(), Some("did you mean 'Europe/Berlin'?"));
    assert_eq!(try_bind("parse_time", &[text("auto"), text("new york")]).unwrap_err().hint.as_deref(), Some("did you mean 'America/New_York'?"));
}

#[test]
fn format_time_writes() {
    let write = |constants: &[Arg], micros: i64| {
        let bound = bound("format_time", constants);
        bound.function.call(&[Value::Time(micros)]).map(|value| value.as_text().map(str::to_owned))
    };
    assert_eq!(write(&[text("%Y-%m-%d %H:%M:%S%.3f")], RECORD), Ok(Some("2021-11-21 18:45:00.000".to_owned())));
    assert_eq!(write(&[text("%F %T %z"), text("Europe/Berlin")], RECORD), Ok(Some("2021-11-21 19:45:00 +0100".to_owned())));
    assert_eq!(write(&[text("%H"), text("Europe/Berlin")], 1_625_306_400_000_000), Ok(Some("12".to_owned())));
    assert_eq!(write(&[text("%A")], -1), Ok(Some("Wednesday".to_owned())));
    assert_eq!(write(&[text("%s")], -1), Ok(Some("-1".to_owned())));
    for micros in [i64::MIN, i64::MAX, i64::MAX - 86_400_000_000] {
        assert_eq!(write(&[text("%F %T"), text("+23:59")], micros), Err(Failed));
    }
    assert_eq!(bound("format_time", &[text("%F")]).function.call(&[Value::Null]), Ok(Value::Null));
}

#[test]
fn days_agree_with_chrono() {
    let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    for year in (0..=2500).chain([9998, 9999, 10_000]) {
        for month in 0..=16 {
            for day in [0, 1, 2, 28, 29, 30, 31, 32] {
                let expected = NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| year < 10_000).map(|date| date.signed_duration_since(first).num_days());
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
