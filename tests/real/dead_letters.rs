//! Dead letters on a real cluster: written by a member, listed, and fed again.

use std::time::Duration;

use super::{Home, Input, require_kafka, unique, until};

const LONG: Duration = Duration::from_secs(120);

#[test]
fn real_dead_letters_are_fed_again_under_their_first_coordinates() {
    let Some(kafka) = require_kafka() else { return };
    let (name, events) = (unique("dead"), unique("dead-in"));
    kafka.create(&events, 2, &[]);
    let home = Home::new(kafka, "instance: one");
    let pipeline = |types: &str| {
        let text = format!(
            "name: {name}\nsource: {{ topics: [{events}], explode: all, start: earliest }}\nclassify: {{ key: kind, types: {{ {types} }}, default: dead_letter }}\nmap:\n  \"*\": {{ occurred: _timestamp, n: n }}\nsink: {{ raw: false, labels: none }}\n"
        );
        home.write("p/pipeline.yaml", &text);
    };
    pipeline("a: A");
    let run = |args: &[&str]| {
        let output = home.run(args);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    assert_eq!(run(&["topics", "p", "--create"]).0, Some(0));
    let input = |value: &str| Input {
        partition: Some(1),
        timestamp_ms: 1_700_000_000_000,
        headers: vec![("trace".into(), vec![0xff, 1])],
        ..Input::new("the key", value)
    };
    kafka.produce(
        &events,
        [
            input(r#"{"all":[{"kind":"a","n":1},{"kind":"b","n":2},{"kind":"b","n":3}]}"#),
            input(r#"{"kind":"a","n":"#),
            input(r#"{"all":[{"kind":"c","n":4}]}"#),
        ],
    );
    let mut member = home.spawn("one", &["run", "p", "--role", "ingest"], &[]);
    let letters = format!("{name}.dead-letters");
    let facts = format!("{name}.incidents");
    until("four dead letters", LONG, || kafka.read(&letters).len() == 4);
    assert_eq!(kafka.read(&facts).len(), 1);
    let rows = kafka.read(&letters);
    let keys: Vec<&str> = rows.iter().map(|row| std::str::from_utf8(&row.key).unwrap()).collect();
    for key in ["0/1", "0/2", "1/-", "2/0"] {
        assert!(keys.contains(&format!("{events}/1/{key}").as_str()), "{keys:?}");
    }
    let json: serde_json::Value = serde_json::from_str(rows.iter().find(|row| row.key.ends_with(b"/0/2")).unwrap().text()).unwrap();
    assert_eq!((&json["key"], &json["headers"][0]["value_base64"], &json["timestamp"]), (&"the key".into(), &"/wE=".into(), &"2023-11-14T22:13:20Z".into()));

    let (code, said) = run(&["dead-letters", "list", "--pipeline", "p"]);
    assert!(code == Some(0) && said.contains(&format!("4 dead letters in {letters}")) && said.contains("unclassified"), "{said}");
    let (_, said) = run(&["dead-letters", "list", "--topic", &letters, "--reason", "syntax", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["letters"], 1);

    // A pipeline that knows `b` takes those two; the others end as dead letters again.
    pipeline("a: A, b: B");
    member.reload();
    member.until_said("reloaded", LONG);
    let (code, said) = run(&["dead-letters", "replay", "p", "--reason", "unclassified", "--dry-run"]);
    assert!(code == Some(0) && said.contains("3 of 4 dead letters would be fed again"), "{said}");
    assert_eq!(kafka.watermarks(&events, 1).1, 3, "a dry run produces nothing");
    let (code, said) = run(&["dead-letters", "replay", "p", "--reason", "unclassified"]);
    assert!(code == Some(0) && said.contains("3 of 4 dead letters fed again"), "{said}");
    let again = said.lines().find_map(|line| line.split_once("exactly these again: ")).map(|(_, options)| options.to_owned()).unwrap();
    until("two more incidents and a letter", LONG, || kafka.read(&facts).len() == 3 && kafka.read(&letters).len() == 5);
    let sent = kafka.read(&events).split_off(3);
    assert!(sent.iter().all(|row| (row.partition, row.key.as_slice(), row.timestamp_ms) == (1, b"the key", 1_700_000_000_000)), "{sent:?}");
    assert!(sent.iter().all(|row| row.header("trace") == Some(&[0xff, 1]) && row.header("catchment-origin").is_some()));

    // The same letters once more, exactly: the same facts, for the same incidents.
    let before: Vec<(Vec<u8>, String)> = kafka.read(&facts).iter().map(|row| (row.key.clone(), row.text().to_owned())).collect();
    let options: Vec<&str> = again.split(' ').collect();
    let (code, said) = run(&[&["dead-letters", "replay", "p"], options.as_slice()].concat());
    assert!(code == Some(0) && said.contains("fed again"), "{said}");
    until("the same facts again", LONG, || kafka.read(&facts).len() == 5);
    let after: Vec<(Vec<u8>, String)> = kafka.read(&facts).iter().map(|row| (row.key.clone(), row.text().to_owned())).collect();
    let mut ids: Vec<&Vec<u8>> = after.iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "no incident is made twice");
    assert!(after.iter().all(|fact| before.contains(fact)), "a fact says the same again: {after:?}");
    let places: Vec<String> = after
        .iter()
        .map(|(_, fact)| serde_json::from_str::<serde_json::Value>(fact).unwrap()["incident"]["source"].clone())
        .map(|source| format!("{}/{}", source["offset"], source["element"]))
        .collect();
    assert!(places.contains(&"0/1".to_owned()) && places.contains(&"0/2".to_owned()), "{places:?}");

    let (code, said) = run(&["status", "p"]);
    assert!(code == Some(1) && said.contains("no member has run yet") && said.contains("one"), "the keeper does not run: {said}");
    member.stop(LONG);
    let (code, said) = run(&["status", "p", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["roles"][0]["lag"]), (Some(1), &0.into()), "{said}");
    let parts = json["roles"][0]["partitions"].as_array().unwrap();
    assert_eq!(
        (&parts[1]["committed"], &parts[1]["end"], parts[1]["index"]["to"].as_i64()),
        (&parts[1]["end"], &parts[1]["committed"], parts[1]["end"].as_i64())
    );
}
