//! Lookup tables: reading, searching by key, network and pattern, bounds, reloading.
#![allow(clippy::unwrap_used)]

use super::*;

fn find<'a>(data: &'a TableData, table: &LookupTable, key: &str, column: &str) -> Option<&'a str> {
    data.cell(data.find(key)?, table.column(column)?)
}

#[test]
fn exact_keys() {
    let text = "\u{feff}host, owner ,tier\nweb-1,alice,1\nweb-2,,2\nweb-1,bob,3\n,carol,4\n";
    let table = LookupTable::parse(text.as_bytes(), "host", LookupKind::Exact).unwrap();
    let data = table.current();
    assert_eq!(table.columns(), ["host", "owner", "tier"]);
    assert_eq!(find(&data, &table, "web-1", "owner"), Some("alice"), "the first row wins");
    assert_eq!(find(&data, &table, "web-2", "owner"), None, "an empty cell is no value");
    assert_eq!(find(&data, &table, "web-2", "tier"), Some("2"));
    assert_eq!(find(&data, &table, "WEB-1", "owner"), None);
    assert_eq!(find(&data, &table, "", "owner"), None);
    assert_eq!((data.rows(), data.repeated_keys, data.empty_keys), (4, 1, 1));
}

#[test]
fn the_smallest_network_wins() {
    let text = "net,zone\n0.0.0.0/0,internet\n10.0.0.0/8,inside\n10.1.2.99/24,lab\n10.1.2.3,printer\n2001:db8::/32,six\n";
    let table = LookupTable::parse(text.as_bytes(), "net", LookupKind::Cidr).unwrap();
    let data = table.current();
    for (key, zone) in [
        ("10.1.2.3", Some("printer")),
        ("::ffff:10.1.2.3", Some("printer")),
        ("10.1.2.4", Some("lab")),
        ("10.9.9.9", Some("inside")),
        ("8.8.8.8", Some("internet")),
        ("2001:db8::1", Some("six")),
        ("2001:db9::1", None),
        ("no address", None),
    ] {
        assert_eq!(find(&data, &table, key, "zone"), zone, "{key}");
    }
}

#[test]
fn the_first_pattern_wins() {
    let text = "pattern,kind\nlab-db*,database\nlab-*,lab\n*.example.com,corp\n*/etc/*,config\n";
    let table = LookupTable::parse(text.as_bytes(), "pattern", LookupKind::Glob).unwrap();
    let data = table.current();
    for (key, kind) in
        [("lab-db7", Some("database")), ("lab-x", Some("lab")), ("a.b.example.com", Some("corp")), ("/srv/etc/x/y", Some("config")), ("other", None)]
    {
        assert_eq!(find(&data, &table, key, "kind"), kind, "{key}");
    }
}

#[test]
fn mistakes_name_the_line() {
    let error = |text: &str, kind| LookupTable::parse(text.as_bytes(), "k", kind).unwrap_err().to_string();
    assert_eq!(error("k,v\na,1\nb\n", LookupKind::Exact), "line 3: 1 cells where the header has 2");
    assert_eq!(error("k\n10.0.0.0/8\n10.0.0.0/40\n", LookupKind::Cidr), "line 3: `10.0.0.0/40` is not an address or a network such as 10.0.0.0/8");
    assert_eq!(error("k\n[a\n", LookupKind::Glob), "line 2: `[a` is not a pattern: unclosed character class; missing ']'");
    assert_eq!(error("", LookupKind::Exact), "the file has no header line");
    assert_eq!(error("k,k\n", LookupKind::Exact), "the header names the column `k` twice");
    assert_eq!(error("key,v\n", LookupKind::Exact), "there is no column `k`");
    let not_utf8 = LookupTable::parse(b"k\n\xff\n", "k", LookupKind::Exact).unwrap_err();
    assert_eq!(not_utf8.to_string(), "line 2: the text is not UTF-8");
}

#[test]
fn reload_keeps_column_numbers_and_survives_bad_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "host,owner\na,alice\n").unwrap();
    let table = LookupTable::open(file.path(), "host", LookupKind::Exact).unwrap();
    let owner = table.column("owner").unwrap();
    assert!(!table.reload_if_changed().unwrap());
    std::fs::write(file.path(), "new,owner,host\nx,anna,a\n").unwrap();
    let old = table.current();
    assert!(table.reload_if_changed().unwrap());
    assert_eq!(old.cell(0, owner), Some("alice"), "readers keep what they hold");
    assert_eq!(table.current().cell(0, owner), Some("anna"));
    std::fs::write(file.path(), "host\na\n").unwrap();
    assert_eq!(table.reload().unwrap_err().to_string(), "the column `owner` is gone");
    assert_eq!(table.current().cell(0, owner), Some("anna"));
}
