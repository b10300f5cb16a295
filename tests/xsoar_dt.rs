//! DT: a table of expressions of our own for every part of the language, and the DT texts of
//! the packs with values worked out by hand.

use catchment::expr::xsoar::fault::Budget;
use catchment::expr::xsoar::path::Dt;
use serde_json::{Value, json};

use crate::xsoar_packs::dt_texts;

fn eval(dt: &str, context: &Value) -> Value {
    let parsed = Dt::parse(dt).unwrap_or_else(|error| panic!("{dt}: {error:?}"));
    parsed.evaluate(context, &Budget::default()).unwrap_or_else(|fault| panic!("{dt}: {fault}"))
}

#[test]
fn xsoar_dt_language() {
    let context = json!({
        "File": [{"Name": "a.exe", "Size": 10, "Tags": ["x", "y"]}, {"Name": "b.pdf", "Size": 3, "Tags": ["z"]}, {"Name": null, "Size": "7"}],
        "IP": {"Address": "10.0.0.1", "Seen": ["d1"]},
        "One": [{"v": 5}],
        "Odd name": {"22": "answer", "Email/from": "me@x.org"},
        "Nested": [{"l": [{"k": 1}, {"k": 2}]}, {"l": [{"k": 3}]}],
        "n": 0, "t": "Some Text"
    });
    let table = [
        // Paths: members, fan-out and its flattening, indexes, ranges.
        ("File.Name", json!(["a.exe", "b.pdf"])),
        ("File.Tags", json!(["x", "y", "z"])),
        ("Nested.l.k", json!([1, 2, 3])),
        ("Nested.l.[1].k", json!(2)),
        ("File.[0].Name", json!("a.exe")),
        ("File.[0:1].Size", json!([10, 3])),
        ("File.[9].Name", json!(null)),
        ("File.[-1].Name", json!(null)),
        ("IP.[0].Address", json!("10.0.0.1")),
        ("IP.Seen", json!(["d1"])),
        ("One.v", json!(5)),
        ("Odd name.22", json!("answer")),
        ("Odd name.Email/from", json!("me@x.org")),
        ("file.Name", json!(null)),
        ("n", json!(0)),
        (".", context.clone()),
        // Selectors.
        ("File(val.Size > 5).Name", json!("a.exe")),
        ("File(val.Size >= 3 && .Name).Name", json!(["a.exe", "b.pdf"])),
        ("File(val.Name.indexOf('.') > 0).Size", json!([10, 3])),
        ("File(val.Size == 7).Size", json!("7")),
        ("File(val.Size === 7).Size", json!(null)),
        ("File(true).Size", json!([10, 3, "7"])),
        ("IP(val.Address).Address", json!("10.0.0.1")),
        ("File(val.Size > val1---One.[0].v).Name", json!("a.exe")),
        ("File(/\\.PDF$/i.test(val.Name)).Name", json!("b.pdf")),
        // Mutators.
        ("File.Name=val.toUpperCase()", json!(["A.EXE", "B.PDF"])),
        ("File(val.Size > 5).Name=val.split('.')[1]", json!("exe")),
        (".=[]", json!([])),
        (".=null", json!(null)),
        (".=val.n || 'none'", json!("none")),
        (".={a: val.n, 'b c': [1, 2].map(x => x * 2)}", json!({"a": 0, "b c": [2, 4]})),
        (".=val.missing.member", json!(null)),
        (".=function(v) { var s = 0; for (var i = 0; i < v.File.length; i++) { s += parseInt(v.File[i].Size); } return s; }(val)", json!(20)),
        ("t=f(val);function f(a) { out = ''; for (c of a.split(' ')) { out += c[0] } return out }", json!("ST")),
        ("t=`<${val.toLowerCase()}>`", json!("<some text>")),
        ("t=val.replace(/(\\w+) (\\w+)/, '$2 $1')", json!("Text Some")),
        ("t=val.match(/[A-Z]/g).join('-')", json!("S-T")),
        ("t=typeof val + typeof missing", json!("stringundefined")),
        (".=JSON.parse(JSON.stringify(val.One))[0].v + 1", json!(6)),
        (".=Object.keys(val.IP).sort((a, b) => a < b ? 1 : -1)", json!(["Seen", "Address"])),
        (".=[3, 1, 2].reduce((a, b) => Math.max(a, b), 0)", json!(3)),
        (".='5' * '2' + 1", json!(11)),
        (".=1 + '2'", json!("12")),
        (".=[1, [2, [3]]].toString()", json!("1,2,3")),
        (".=!!'' === false ? 'y' : 'n'", json!("y")),
        (".=(function() { try { null.x } catch (e) { return 'caught' } })()", json!("caught")),
        (".=(() => { switch (val.n) { case 1: return 'one'; case 0: return 'zero'; default: return 'more' } })()", json!("zero")),
        (".=[...new Set(['a', 'b', 'a'])].length", json!(2)),
        (".=((a, {b, c = 2}) => a)(1, {b: 1})", json!(1)),
    ];
    let mut failures = Vec::new();
    for (dt, expected) in table {
        if dt.contains("c = 2") {
            // Defaults inside a pattern are not part of the subset: refused, not misread.
            assert!(Dt::parse(dt).is_err());
            continue;
        }
        let got = eval(dt, &context);
        if got != expected {
            failures.push(format!("{dt}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A part of the text that no other DT text of the packs has, the context, the value.
fn packs_table() -> Vec<(&'static str, Value, Value)> {
    let mail = json!({"labels": {"Email/from": "eve@x.org"}});
    let name = json!("Ann");
    let files = json!([
        {"EntryID": "1", "Type": "PE32 executable", "Info": "application/x-msdos", "Extension": "EXE"},
        {"EntryID": "2", "Type": "RFC 822 mail text", "Info": "message", "Extension": "eml"},
        {"EntryID": "3", "Type": "ASCII text, with CRLF line", "Info": "text", "Extension": "eml"},
        {"EntryID": "4", "Type": "Zip archive", "Info": "application/zip", "Extension": "zip"},
    ]);
    let jobs = json!([{"ID": 1, "Type": "Volatile", "Result": "r1"}, {"ID": 2, "Type": "LegacyMemoryDump", "Result": "r2"}]);
    let modules = json!([{"brand": "carbonblack", "state": "active"}, {"brand": "carbonblack", "state": "off"}, {"brand": "SentinelOne", "state": "active"}, {"brand": "activedir"}, {"brand": "Cylance Protect"}]);
    let score = json!({"DBotScore": [{"Score": 1}, {"Score": 3}, {"Score": 2}]});
    let hunt = |fields: &str, values: Value| json!({fields: ["f1", "f2"], "File": {"SHA1": values, "MD5": values, "SHA256": values}, "IP": values, "DomainURL": values});
    let message = json!({"Subject": "s", "To": "t", "From": "f", "Body": "b", "HTML": "h", "Headers": "H", "CC": "c", "BCC": "bc"});
    vec![
        (
            "=val.Account.DisplayName && val.Email.Address === val.incident",
            json!({"Account": {"DisplayName": name}, "Email": {"Address": "eve@x.org"}, "incident": mail}),
            name.clone(),
        ),
        (
            "reporter = val.ReporterAddress",
            json!({"ReporterAddress": "r@x.org", "Account": [{"DisplayName": "Bob", "Email": {"Address": "q@x.org"}}, {"DisplayName": "Ann", "Email": {"Address": "r@x.org"}}]}),
            name.clone(),
        ),
        ("Account=val.DisplayName || val.Email", json!({"Account": [{"DisplayName": "Ann"}, {"Email": {"Address": "q@x.org"}}]}), json!(["Ann", "q@x.org"])),
        (
            "inputs={To: val['Email']",
            json!({"inputs": {"Email": "t", "Email/cc": "c", "Email/from": "f", "Email/subject": "s", "Email/text": "x", "Email/html": "h", "Email/headers": "H"}}),
            json!({"To": "t", "CC": "c", "From": "f", "Subject": "s", "Text": "x", "HTML": "h", "Headers": "H"}),
        ),
        ("inputs.File(val.Type.toLowerCase().indexOf('composite", json!({"inputs": {"File": files}}), json!(["2", "3"])),
        ("File(!(val.Type", json!({"File": files}), json!(["1", "4"])),
        (
            "PrismaAccess.Egress",
            json!({"PrismaAccess": {"Egress": {"IP": [{"Zone": "US West", "Address": "1.1.1.1"}, {"Zone": "France", "Address": "2.2.2.2"}, {"Zone": "Argentina", "Address": "3.3.3.3"}]}}}),
            json!(["1.1.1.1", "3.3.3.3"]),
        ),
        (
            "val.Gmail.filter",
            json!({"InReplyTo": "m2", "Gmail": [{"ID": 1, "Headers": [{"Name": "Message-ID", "Value": "m1"}]}, {"ID": 2, "Headers": [{"Name": "Message-ID", "Value": "m2"}]}]}),
            json!([{"ID": 2, "Headers": [{"Name": "Message-ID", "Value": "m2"}]}]),
        ),
        ("DBotScore.reduce", score, json!(3)),
        ("\"Volatile\"", json!({"Accessdata": {"Job": jobs}}), json!(1)),
        ("\"LegacyMemoryDump\").ID", json!({"Accessdata": {"Job": jobs}}), json!(2)),
        ("\"LegacyMemoryDump\").Result", json!({"Accessdata": {"Job": jobs}}), json!("r2")),
        (
            "ItemAttachments={To",
            json!({"EWS": {"Items": {"ItemAttachments": [{"toRecipients": "t", "subject": "s"}, {"sender": "f"}]}}}),
            json!([{"To": "t", "Subject": "s"}, {"From": "f"}]),
        ),
        ("val.state == 'active'", json!({"modules": modules}), json!({"brand": "carbonblack", "state": "active"})),
        (
            ".={Subject: val['EWS']",
            json!({"EWS": {"Items": {"subject": "s", "textBody": "b"}}, "Email": [{"HeadersMap": {"k": 1}}]}),
            json!({"Subject": "s", "Text": "b", "HeadersMap": {"k": 1}}),
        ),
        ("Gmail.Headers(val.Name", json!({"Gmail": [{"Headers": [{"Name": "In-Reply-To", "Value": "m1"}, {"Name": "To", "Value": "t"}]}]}), json!("m1")),
        (
            "OriginalEmail={Subject",
            json!({"OriginalEmail": message}),
            json!({"Subject": "s", "To": "t", "From": "f", "Text": "b", "HTML": "h", "Headers": "H", "CC": "c", "BCC": "bc"}),
        ),
        ("modules(val.brand==\"SentinelOne\")", json!({"modules": modules}), json!({"brand": "SentinelOne", "state": "active"})),
        (
            "modules(val.brand==\"carbonblack\")",
            json!({"modules": modules}),
            json!([{"brand": "carbonblack", "state": "active"}, {"brand": "carbonblack", "state": "off"}]),
        ),
        ("\"Cylance Protect\"", json!({"modules": modules}), json!({"brand": "Cylance Protect"})),
        ("modules.brand(val", json!({"modules": modules}), json!("activedir")),
        ("Object.keys(val.inputs)", json!({"inputs": {"a": [1, 2], "b": 3}}), json!([1, 2, 3])),
        ("inputs.File(['exe'", json!({"inputs": {"File": files}}), json!("1")),
        ("File(val.Extension == \"zip\")", json!({"File": files}), json!("4")),
        ("File(val.Extension.toLowerCase()", json!({"File": [{"Extension": "ZIP", "EntryID": "9"}, {"EntryID": "8"}]}), json!("9")),
        ("incident.labels(val.Brand", json!({"incident": {"labels": {"Brand": "QRadar"}}}), json!({"Brand": "QRadar"})),
        ("GetCorrelationLogs", json!({"inputs": {"GetCorrelationLogs": "TRUE"}}), json!("true")),
        ("epoDAT=val.substr(0", json!({"mcafee": {"epoDAT": "8901.0"}}), json!("8901")),
        ("newEpoDAT=val.substr(1", json!({"mcafee": {"newEpoDAT": "v8901.0"}}), json!("8901.")),
        (".=[]", json!({"a": 1}), json!([])),
        (
            "\"assetid\": aa.AssetID",
            json!({"AssetID": 1, "Name": "n", "AssetType": "t", "Vendor": "v", "More": 1}),
            json!({"assetid": 1, "name": "n", "assettype": "t", "vendor": "v"}),
        ),
        ("\"port scan\"", json!("Possible Port Scan seen"), json!("PortScan")),
        (
            "DomainURLFields",
            hunt("DomainURLFields", json!(["a", "b"])),
            json!(["\"f1\" ILIKE '%a%' OR \"f1\" ILIKE '%b%'", "\"f2\" ILIKE '%a%' OR \"f2\" ILIKE '%b%'"]),
        ),
        ("SHA1Fields", hunt("SHA1Fields", json!("a")), json!(["\"f1\"  = 'a'", "\"f2\"  = 'a'"])),
        ("MD5Fields", hunt("MD5Fields", json!(["a"])), json!(["\"f1\"  = 'a'", "\"f2\"  = 'a'"])),
        ("SHA256Fields", hunt("SHA256Fields", json!("a")), json!(["\"f1\" = 'a'", "\"f2\" = 'a'"])),
        ("IPFields", hunt("IPFields", json!(["1", "2"])), json!(["\"f1\" = '1' OR \"f1\" = '2'", "\"f2\" = '1' OR \"f2\" = '2'"])),
        (
            "cleanString",
            json!({"SiteID": 1, "AssetID": 2, "CVE": [{"ID": "C1", "CVSS": 5, "Description": "a\u{e9}b"}]}),
            json!("Site ID: 1\nAsset ID: 2\n\nC1 (Score: 5)\nDescription: ab\n\n"),
        ),
    ]
}

#[test]
fn xsoar_dt_texts_of_the_packs() {
    let table = packs_table();
    let mut failures = Vec::new();
    let texts = dt_texts();
    for text in &texts {
        // Two texts begin alike and differ in what they give.
        if text.starts_with("File(['exe'") {
            let context = json!({"File": [{"EntryID": "1", "Type": "PE32", "Info": "exe"}, {"EntryID": "2", "Type": "text", "Info": "text"}]});
            let expected = if text.ends_with(".EntryID") { json!("1") } else { context["File"][0].clone() };
            assert_eq!(eval(text, &context), expected, "{text}");
            continue;
        }
        // One text of the packs lacks its closing bracket: refused.
        if text.starts_with("LevenshteinDistance(") {
            assert!(Dt::parse(text).is_err(), "{text}");
            continue;
        }
        match table.iter().find(|(part, ..)| text.contains(part)) {
            Some((_, context, expected)) => {
                let got = eval(text, context);
                if got != *expected {
                    failures.push(format!("{text}\n  expected {expected}\n  got      {got}"));
                }
            }
            None => failures.push(format!("no entry in the table for {text}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{} DT texts", texts.len());
}

#[test]
fn xsoar_dt_port_scan_of_nothing() {
    let dt = ".=val && val.toLowerCase().indexOf('x') > -1 ? 'A' : 'B'";
    assert_eq!(eval(dt, &Value::Null), json!("B"));
}
