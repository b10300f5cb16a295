//! Tables of texts and the times they stand for.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::expr::function::text::testing::{bound, call, number, text, try_bind};

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
    check(
        &["syslog"],
        &[("Nov  3 10:11:12", Some("2021-11-03T10:11:12Z")), ("2021-11-03T10:11:12.5Z", Some("2021-11-03T10:11:12.500Z")), ("1600044263", None)],
    );
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
    check(
        &["auto", "+02:00"],
        &[("2021-05-03T10:11:12", Some("2021-05-03T08:11:12Z")), ("2021-05-03T10:11:12Z", Some("2021-05-03T10:11:12Z")), ("0", Some("1970-01-01T00:00:00Z"))],
    );
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
    check(
        &["%d/%m/%Y %H:%M:%S"],
        &[("03/05/2021 10:11:12", Some("2021-05-03T10:11:12Z")), ("03/05/2021", None), ("03/05/2021 10:11:12 x", None), ("31/02/2021 10:11:12", None)],
    );
    check(&["%Y-%m-%d %H:%M:%S %z"], &[("2021-05-03 10:11:12 +0200", Some("2021-05-03T08:11:12Z"))]);
    check(
        &["%Y-%m-%d %H:%M:%S.%f"],
        &[("2021-05-03 10:11:12.5", Some("2021-05-03T10:11:12.500Z")), ("2021-05-03 10:11:12.123456", Some("2021-05-03T10:11:12.123456Z"))],
    );
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
