//! What expressions mean, by hand: each line is evaluated by both evaluators, over the event
//! of its block and in one batch with strangers.

use std::collections::HashMap;

use catchment::expr::value::Value;

use crate::decode_oracle::{Body, events};
use crate::expr_bench::{both, reference, typed};
use crate::expr_generate::{Dice, Node, event};

/// The generated tree of an event's text.
fn tree(text: &str) -> Node {
    fn convert(node: &crate::decode_oracle::Node, text: &str) -> Node {
        let written = text[node.start..node.end].to_owned();
        match &node.body {
            Body::Literal(_) if written == "null" => Node::Null,
            Body::Literal(_) => Node::Bool(written == "true"),
            Body::Number => Node::Number(written),
            Body::Text(content) => Node::Text(String::from_utf8(content.clone()).unwrap(), written),
            Body::Array(list) => Node::Array(list.iter().map(|node| convert(node, text)).collect()),
            Body::Object(members) => Node::Object(members.iter().map(|(key, node)| (String::from_utf8(key.clone()).unwrap(), convert(node, text))).collect()),
        }
    }
    convert(&events(text.as_bytes()).unwrap_or_else(|()| panic!("not JSON: {text}"))[0], text)
}

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => format!("'{text}'"),
        Value::Boolean(truth) => truth.to_string().to_uppercase(),
        Value::Duration(_) => format!("{}s", value.to_text().unwrap()),
        other => other.to_text().unwrap().into_owned(),
    }
}

/// Each line: `expression => value`.
fn hold(event_text: &str, lines: &str) {
    let lines: Vec<(&str, &str)> =
        lines.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("--")).map(|l| l.split_once(" => ").unwrap_or_else(|| panic!("{l}"))).collect();
    let stranger = |seed: u16| event(&mut Dice::new(&(0..200).map(|n: u16| n.wrapping_mul(seed).wrapping_add(seed >> 3)).collect::<Vec<_>>()));
    let events = [stranger(40_503), tree(event_text), stranger(25_717), Node::Object(Vec::new())];
    let mut failures = Vec::new();
    for (text, wanted) in lines {
        match both(&[text.trim().to_owned()], &events) {
            Ok(values) if show(&values[0][1]) == wanted.trim() => {}
            Ok(values) => failures.push(format!("{text}\n   found  {}\n   wanted {wanted}", show(&values[0][1]))),
            Err(error) => failures.push(error),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn three_valued_logic() {
    hold(
        r#"{"t":true,"f":false,"u":null,"s":"true","x":"other"}"#,
        "
        t AND t => TRUE
        t AND f => FALSE
        t AND u => NULL
        u AND t => NULL
        f AND u => FALSE
        u AND f => FALSE
        u AND u => NULL
        t OR u => TRUE
        u OR t => TRUE
        f OR u => NULL
        u OR f => NULL
        NOT u => NULL
        NOT t => FALSE
        NOT (f OR u) => NULL
        f AND u AND t => FALSE
        t OR u OR f => TRUE
        u = u => NULL
        u != 'a' => NULL
        u = NULL => NULL
        u IS NULL => TRUE
        missing IS NULL => TRUE
        u IS NOT NULL => FALSE
        exists(t) => TRUE
        exists(missing) => FALSE
        u IN ('a', 'b') => NULL
        x IN ('a', NULL) => NULL
        x IN ('other', NULL) => TRUE
        x NOT IN ('a', NULL) => NULL
        x NOT IN ('other', NULL) => FALSE
        x NOT IN ('a', 'b') => TRUE
        u LIKE '%' => NULL
        u NOT LIKE '%' => NULL
        u ~ 'a' => NULL
        u !~ 'a' => NULL
        u BETWEEN 1 AND 2 => NULL
        t IS TRUE => TRUE
        u IS TRUE => FALSE
        u IS NOT TRUE => TRUE
        f IS FALSE => TRUE
        u IS FALSE => FALSE
        s AND t => TRUE
        x AND t => NULL
        x IS TRUE => FALSE
        (u = 'a') IS NULL => TRUE
        ",
    );
}

#[test]
fn the_use_gives_a_path_its_type() {
    hold(
        r#"{"n":10,"s":"9","t":"abc","e":"1e1","sp":" 7 ","x":"0x10","nan":"NaN","inf":"inf","b":true,"bs":"FALSE","f":2.50,"o":{"k":1,"a":[1,"b"]},"l":[1,{"k":"v"}],"empty":"","big":1e400}"#,
        r#"
        n => '10'
        f => '2.50'
        b => 'true'
        o => '{"k": 1, "a": [1,"b"]}'
        l => '[1,{"k": "v"}]'
        l[1].k => 'v'
        l[7] => NULL
        o.a[1] => 'b'
        n > 9 => TRUE
        s > 10 => FALSE
        -- neither side has a type: text
        n > s => FALSE
        number(n) > number(s) => TRUE
        n = '10' => TRUE
        n = 10.0 => TRUE
        f = 2.5 => TRUE
        f = '2.5' => FALSE
        e = 10 => TRUE
        sp + 1 => 8
        sp = 7 => TRUE
        t + 1 => NULL
        t > 1 => NULL
        x = 16 => NULL
        nan = nan => TRUE
        number(nan) => NULL
        number(inf) => NULL
        number(big) => NULL
        big => '1e400'
        number(b) => NULL
        number(b::boolean) => 1
        number(empty) => NULL
        b => 'true'
        NOT b => FALSE
        b = TRUE => TRUE
        b = 'true' => TRUE
        bs = FALSE => TRUE
        NOT bs => TRUE
        boolean(n) => NULL
        n + s => 19
        n || s => '109'
        n IN (1, 10) => TRUE
        n IN ('1', '10') => TRUE
        s IN (9, 'x') => TRUE
        n BETWEEN 9 AND 11 => TRUE
        s BETWEEN 10 AND 11 => FALSE
        n::text || '!' => '10!'
        f::integer => 2
        CAST(e AS number) => 10
        CAST(t AS number) => NULL
        CAST(f AS text) => '2.50'
        text(number(f)) => '2.5'
        length(n) => 2
        CASE WHEN b THEN n ELSE s END => '10'
        CASE WHEN b THEN n ELSE 0 END => 10
        coalesce(missing, n) => '10'
        coalesce(missing, n, 0) => 10
        coalesce(t, 0) => 0
        number(t) = s => NULL
        s < number(n) => TRUE
        number(n) > s => TRUE
        boolean(number(n)) => TRUE
        parse_time('2026-01-01T00:00:00Z') - number(n) => 2025-12-31T23:59:50Z
        "#,
    );
}

#[test]
fn like_and_regex() {
    hold(
        r#"{"p":"100%","u":"a_b","ub":"axb","w":"C:\\Windows\\System32\\cmd.exe","m":"two\nlines","e":"","s":"Straße","smile":"a😀b","n":42,"q":"it's"}"#,
        r#"
        p LIKE '100\%' => TRUE
        p LIKE '100_' => TRUE
        p LIKE '100' => FALSE
        u LIKE 'a\_b' => TRUE
        ub LIKE 'a\_b' => FALSE
        ub LIKE 'a_b' => TRUE
        w LIKE '%\\cmd.exe' => TRUE
        w LIKE 'c:%' => FALSE
        w ILIKE 'c:%' => TRUE
        w ILIKE '%\\SYSTEM32\\%' => TRUE
        w LIKE '%cmd.exe%' => TRUE
        w NOT LIKE '%powershell%' => TRUE
        m LIKE 'two%' => TRUE
        m LIKE '%lines' => TRUE
        m LIKE 'two_lines' => TRUE
        e LIKE '' => TRUE
        e LIKE '%' => TRUE
        e LIKE '_' => FALSE
        smile LIKE 'a_b' => TRUE
        s ILIKE 'straSSe' => FALSE
        s ILIKE 'STRAße' => TRUE
        n LIKE '4%' => TRUE
        q = 'it''s' => TRUE
        q LIKE '%''%' => TRUE
        w ~ 'cmd' => TRUE
        w ~ '^cmd' => FALSE
        w ~ '(?i)windows\\system32' => TRUE
        w !~ '^D:' => TRUE
        m ~ '^two.lines$' => FALSE
        m ~ '(?s)^two.lines$' => TRUE
        regexp_extract(w, '(\w+)\.exe') => 'cmd'
        regexp_extract(w, 'nothing') => NULL
        regexp_replace(w, '.*\\', '') => 'cmd.exe'
        "#,
    );
}

#[test]
fn big_integers_are_compared_by_their_digits() {
    hold(
        r#"{"a":9007199254740993,"b":9007199254740992,"k":-9223372036854775808,"h":340282366920938463463374607431768211456,"t":"9007199254740993","u":18446744073709551615}"#,
        "
        a = 9007199254740993 => TRUE
        b = 9007199254740993 => FALSE
        a = 9007199254740992 => TRUE
        b != 9007199254740993 => TRUE
        t = 9007199254740993 => TRUE
        k = -9223372036854775808 => TRUE
        k = -9223372036854775807 => FALSE
        u = 18446744073709551615 => TRUE
        u = 18446744073709551616 => FALSE
        h = 340282366920938463463374607431768211456 => TRUE
        a IN (9007199254740993, 5) => TRUE
        b IN (9007199254740993, 5) => FALSE
        a NOT IN (9007199254740994) => TRUE
        a => '9007199254740993'
        h => '340282366920938463463374607431768211456'
        a > 9007199254740000 => TRUE
        k < 0 => TRUE
        ",
    );
}

#[test]
fn times() {
    hold(
        r#"{"z":"2026-03-02T08:11:09.120Z","o":"2026-03-02T09:11:09+01:00","plain":"2026-03-02 08:11:09","s":1772439069,"ms":1772439069120,"us":1772439069120000,"ns":"1772439069120000000","f":1772439069.5,"sys":"Mar  2 08:11:09","bad":"yesterday","feb":"2026-02-30T00:00:00Z","dmy":"02/03/2026 08:11","z2":"2026-03-02T08:12:09.120Z"}"#,
        "
        parse_time(z) => 2026-03-02T08:11:09.120Z
        parse_time(o) => 2026-03-02T08:11:09Z
        parse_time(plain) => 2026-03-02T08:11:09Z
        parse_time(plain, 'auto', 'Europe/Berlin') => 2026-03-02T07:11:09Z
        parse_time(plain, 'auto', '-05:00') => 2026-03-02T13:11:09Z
        parse_time(z, 'auto', 'Europe/Berlin') => 2026-03-02T08:11:09.120Z
        parse_time(s) => 2026-03-02T08:11:09Z
        parse_time(ms) => 2026-03-02T08:11:09.120Z
        parse_time(us) => 2026-03-02T08:11:09.120Z
        parse_time(ns) => 2026-03-02T08:11:09.120Z
        parse_time(f) => 2026-03-02T08:11:09.500Z
        parse_time(s, 'epoch_ms') => 1970-01-21T12:20:39.069Z
        -- the year is the one that is nearest to the record's (January 2026)
        parse_time(sys) => 2026-03-02T08:11:09Z
        parse_time(dmy, '%d/%m/%Y %H:%M') => 2026-03-02T08:11:00Z
        -- with slashes the month stands first, as the products do that write it
        parse_time(dmy) => 2026-02-03T08:11:00Z
        parse_time(bad) => NULL
        parse_time(feb) => NULL
        parse_time(missing) => NULL
        CAST(z AS time) => 2026-03-02T08:11:09.120Z
        parse_time(z2) - parse_time(z) => 60s
        parse_time(z2) - z => 60s
        (parse_time(z2) - parse_time(z)) > 59 => TRUE
        parse_time(z) + 60 = parse_time(z2) => TRUE
        parse_time(z) - 9.12 => 2026-03-02T08:11:00Z
        parse_time(z) > '2026-03-02T08:11:09Z' => TRUE
        parse_time(z) < '2026-03-02' => FALSE
        parse_time(z) BETWEEN '2026-03-01' AND '2026-03-03' => TRUE
        parse_time(bad) > '2026-01-01' => NULL
        parse_time(z) + 1e300 => NULL
        _timestamp => 2026-01-02T03:04:05.678901Z
        _timestamp - parse_time('2026-01-02T03:04:05Z') => 0.678901s
        format_time(parse_time(z), '%d.%m.%Y') => '02.03.2026'
        format_time(parse_time(z), '%H:%M', 'Asia/Tokyo') => '17:11'
        date_trunc('day', parse_time(z)) => 2026-03-02T00:00:00Z
        date_part('hour', parse_time(z)) => 8
        text(parse_time(z)) => '2026-03-02T08:11:09.120Z'
        coalesce(parse_time(bad), parse_time(s)) => 2026-03-02T08:11:09Z
        ",
    );
}

#[test]
fn severities() {
    hold(
        r#"{"w":"High","i":"informational","c":"CRITICAL","n":7,"t":"9.8","p":"P2","h":85,"e":3,"bad":"purple","neg":-1,"eleven":11}"#,
        "
        severity(w) => 3
        severity(i) => 0.5
        severity(c) => 4
        severity(w, '0-10') => 3
        severity(n, '0-10') => 3
        severity(t, '0-10') => 4
        severity(0, '0-10') => 0.5
        severity(p, 'p1-p5') => 3
        severity(p) => 3
        severity(2, 'p1-p5') => 3
        severity(h, '0-100') => 3
        severity(e, 'syslog') => 3
        severity(e) => 3
        severity(n, 'words') => NULL
        severity(bad) => NULL
        severity(neg, '0-10') => NULL
        severity(eleven, '0-10') => NULL
        severity(missing) => NULL
        coalesce(severity(bad), 0) => 0
        ",
    );
}

#[test]
fn choices() {
    hold(
        r#"{"a":"x","n":3,"u":null,"f":false,"k":"2"}"#,
        "
        coalesce(u, missing, a) => 'x'
        coalesce(u, missing) => NULL
        coalesce(u, 'd') => 'd'
        coalesce(NULL, n) => '3'
        nullif(a, 'x') => NULL
        nullif(a, 'y') => 'x'
        nullif(n, 3) => NULL
        nullif(n, 4) => '3'
        nullif(u, 'x') => NULL
        CASE WHEN u THEN 'u' WHEN f THEN 'f' ELSE 'e' END => 'e'
        CASE WHEN n > 2 THEN 'big' WHEN n > 1 THEN 'small' END => 'big'
        CASE WHEN n > 5 THEN 'big' END => NULL
        CASE a WHEN 'x' THEN 1 WHEN 'y' THEN 2 END => 1
        CASE n WHEN 1 THEN 'one' WHEN 3 THEN 'three' END => 'three'
        CASE k WHEN '2' THEN TRUE ELSE FALSE END => TRUE
        CASE u WHEN NULL THEN 'null' ELSE 'else' END => 'else'
        CASE WHEN TRUE THEN n ELSE 'none' END => '3'
        CASE WHEN a = 'x' THEN NULL ELSE 1 END => NULL
        ",
    );
}

#[test]
fn functions_are_total() {
    hold(
        r#"{"a":"abc","z":"0","n":-4,"e":"","j":"{\"a\":{\"b\":[1,\"two\"]},\"n\":null}","bad":"{\"a\":","l":["x","Y",3,null],"ip":"10.9.8.7","v6":"2001:db8::1","mapped":"::ffff:10.9.8.7","big":"999999999999999999999999","uni":"äöü😀"}"#,
        r#"
        1 / number(z) => NULL
        number(z) / number(z) => NULL
        5 % number(z) => NULL
        number(a) / 2 => NULL
        1e308 * 10 => NULL
        -n => 4
        -5 % 3 => -2
        7 / 2 => 3.5
        0.1 + 0.2 => 0.30000000000000004
        sqrt(n) => NULL
        ln(n) => NULL
        abs(n) => 4
        power(10, 400) => NULL
        round(2.5) => 3
        ceil(-0.5) = 0 => TRUE
        substr(a, 2) => 'bc'
        substr(a, 2, 1) => 'b'
        substr(a, 0) => 'abc'
        substr(a, 2, -1) => NULL
        substr(uni, 2, 2) => 'öü'
        length(uni) => 4
        octet_length(uni) => 10
        upper(uni) => 'ÄÖÜ😀'
        split_part(a, 'b', 2) => 'c'
        split_part(a, 'b', 9) => ''
        split_part(a, 'b', 0) => NULL
        repeat(a, 2) => 'abcabc'
        repeat(a, -1) => ''
        concat(a, missing, 'x') => 'abcx'
        concat_ws('-', a, missing, e, 'x') => 'abc--x'
        a || missing => NULL
        json_get(j, 'a.b[1]') => 'two'
        json_get(j, 'a.b') => '[1,"two"]'
        json_get(j, 'n') => NULL
        json_get(j, 'x.y') => NULL
        json_get(bad, 'a') => NULL
        json_get(a, 'a') => NULL
        number(json_get(j, 'a.b[0]')) + 1 => 2
        array_any(l, 'x') => TRUE
        array_any(l, 'y') => FALSE
        array_any(l, '3') => TRUE
        array_any(l, 3) => TRUE
        array_any(a, 'abc') => TRUE
        array_any(missing, 'x') => NULL
        array_any_like(l, 'Y%', 'q%') => TRUE
        array_any_like(l, 'q%') => FALSE
        array_length(l) => 4
        array_length(a) => 1
        array_length(missing) => NULL
        ip_in(ip, '10.0.0.0/8') => TRUE
        ip_in(ip, '192.168.0.0/16', '10.9.8.7/32') => TRUE
        ip_in(ip, '10.10.0.0/16') => FALSE
        ip_in(v6, '2001:db8::/32') => TRUE
        ip_in(a, '10.0.0.0/8') => NULL
        lookup('table', a, 'owner') => NULL
        lookup('table', upper(a), 'owner') => 'bob'
        lookup('table', upper(a), 'zone') => NULL
        lookup('table', 10, 'owner') => 'ä'
        md5(a) => '900150983cd24fb0d6963f7d28e17f72'
        sha256(e) => 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
        lower(text(number(a))) => NULL
        chr(number(big)) => NULL
        chr(65) => 'A'
        starts_with(a, 'ab') => TRUE
        contains(a, 'zz') => FALSE
        regexp_like(a, '^a.c$') => TRUE
        date_part('hour', parse_time(a)) => NULL
        "#,
    );
}

#[test]
fn paths_are_ours() {
    hold(
        r##"{"EventID":4625,"eventid":"lower","@timestamp":"t","from":"f","odd key":{"a-b":1},"a.b":"flat","a":{"c":1},"#text":"hash","user":{"name":"n","":"empty"},"x":{"y":2},"x.y":3,"select":"s","0":"zero","case":{"id":7},"":"none","Größe":5}"##,
        r##"
        EventID => '4625'
        eventid => 'lower'
        eventId => NULL
        @timestamp => 't'
        from => 'f'
        select => 's'
        "odd key"."a-b" => '1'
        "odd key"['a-b'] => '1'
        a.b => 'flat'
        a.c => '1'
        x.y => '2'
        "x.y" => '3'
        "#text" => 'hash'
        user.name => 'n'
        case.id => '7'
        event('user.name') => 'n'
        event('@timestamp') => 't'
        "0" => 'zero'
        Größe + 1 => 6
        "##,
    );
}

/// What must not type, with the reason.
#[test]
fn mistakes_are_told_when_compiling() {
    let cases: HashMap<&str, &str> = HashMap::from([
        ("lower(", "expected"),
        ("a == 1", "`==` is not an operator"),
        ("nosuch(a)", "no function `nosuch`"),
        ("now()", "another value each time"),
        ("random()", "another value each time"),
        ("a LIKE b", "single quotes"),
        ("a ~ '('", "regular expression"),
        ("a ~ '(?=x)'", "regular expression"),
        ("lookup('nope', a, 'x')", "no lookup table"),
        ("lookup('table', a, 'nope')", "no column"),
        ("severity(a, 'stars')", "scale"),
        ("parse_time(a, 'whenever')", "format"),
        ("parse_time(a, 'auto', 'Mars/Base')", "zone"),
        ("parse_time(a) * 2", "times can be subtracted"),
        ("parse_time(a) > 'soon'", "needed here"),
        ("ip_in(a, '10.0.0.0/99')", "10.0.0.0/99"),
        ("length(a) = 'x'", "needed here"),
        ("a IN ()", "at least one"),
        ("1e999", "out of range"),
    ]);
    for (text, wanted) in cases {
        match typed(text) {
            Ok(typed) => panic!("{text} types as {}", typed.ty.name()),
            Err(message) => assert!(message.contains(wanted), "{text}: {message}"),
        }
    }
}

/// `failed` tells a value that could not be read from one that was not there.
#[test]
fn failure_is_told_from_absence() {
    let event = tree(r#"{"bad":"purple","n":"x","z":0,"u":null}"#);
    let cases = [
        ("severity(bad)", true),
        ("severity(missing)", false),
        ("parse_time(n)", true),
        ("parse_time(u)", false),
        ("1 / number(z)", true),
        ("number(u) / 2", false),
        ("sqrt(-1 + number(z))", true),
        ("number(concat(n, ''))", true),
        ("json_get(n, 'a')", true),
        ("lookup('table', n, 'owner')", false),
        ("lower(u)", false),
    ];
    for (text, wanted) in cases {
        let typed = typed(text).unwrap();
        assert_eq!(reference(&typed, &event), (Value::Null, wanted), "{text}");
    }
}
