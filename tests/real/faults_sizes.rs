//! What is larger than its topic takes: incidents lose their event, then what is long in them;
//! dead letters lose a part of the message; index blocks are divided. Nothing is refused for ever.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exactly_once::{DRAIN, Scene};
use super::process::Home;
use super::{Input, require_kafka};

/// The least that a topic may take.
const LIMIT: usize = 128 << 10;

fn home(scene: &Scene<'_>) -> Home {
    let home = scene.home("a");
    let pipeline = scene.pipeline().replace("n: n }", "n: n, text: text }").replace("match: [k],", "match: [k], where: \"existing.text = new.text\",");
    assert!(pipeline.contains("text: text") && pipeline.contains("where"), "{pipeline}");
    home.write("pipeline.yaml", &pipeline);
    home
}

/// An event with a mapped text and an unmapped one of these sizes.
fn event(key: &str, n: u32, text: usize, pad: usize) -> Input {
    let value = format!(r#"{{"k":"{key}","n":{n},"text":"{}","pad":"{}"}}"#, "t".repeat(text), "p".repeat(pad));
    Input::new(key, value)
}

#[test]
fn real_fault_what_is_too_large_is_made_to_fit() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "large");
    for topic in ["incidents", "dead-letters", "index"] {
        kafka.configure(&scene.topic(topic), &[("max.message.bytes", &LIMIT.to_string())]);
    }
    kafka.configure(&scene.source, &[("max.message.bytes", "10000000")]);
    let home = home(&scene);
    let mut member = scene.start(&home, None);
    member.until_ready(DRAIN);
    let sizes = [("small", 10, 10), ("raw", 10, 70_000), ("labels", 10, 300_000), ("field", 300_000, 10), ("all", 500_000, 200_000)];
    // All in one partition and one batch, as far as that is for us to say.
    let one = |input: Input| Input { partition: Some(0), ..input };
    let many = (0..100).map(|n| one(event(&format!("many-{n}"), n, 20_000, 10)));
    let large = || sizes.iter().map(|(key, text, pad)| one(event(key, 1, *text, *pad)));
    // Neither of them is JSON: dead letters, as text and as base64.
    let broken = [Input::new("x", vec![b'x'; 400_000]), Input::new("y", vec![0xff; 400_000])];
    kafka.produce(&scene.source, large().chain(many).chain(broken));
    scene.drained();
    member.stop(DRAIN);
    // Repeats, after everything was restored from the topics.
    let mut member = scene.start(&home, None);
    let many = (0..100).map(|n| one(event(&format!("many-{n}"), n, 20_000, 10)));
    kafka.produce(&scene.source, large().chain(many));
    scene.drained();
    member.stop(DRAIN);

    let mut created: BTreeMap<String, Value> = BTreeMap::new();
    let mut attached: BTreeMap<String, u64> = BTreeMap::new();
    for row in kafka.read_settled(&scene.topic("incidents")) {
        let value = row.value.as_deref().unwrap();
        assert!(value.len() <= LIMIT);
        let fact: Value = serde_json::from_slice(value).unwrap();
        match fact["fact"].as_str().unwrap() {
            "created" => assert!(created.insert(fact["incident"]["id"].as_str().unwrap().to_owned(), fact["incident"].clone()).is_none()),
            _ => *attached.entry(fact["id"].as_str().unwrap().to_owned()).or_default() += fact["count"].as_u64().unwrap(),
        }
    }
    // What `where` compares was too long in two of them to be kept: their repeats cannot be told, and pass.
    assert_eq!(created.len(), 105 + 2);
    let flags = |key: &str| {
        let (id, incident) = created.iter().find(|(_, incident)| incident["k"] == key).unwrap();
        (incident.get("raw").is_some(), incident["raw_truncated"] == true, incident["fields_truncated"] == true, attached.get(id).copied().unwrap_or(0))
    };
    assert_eq!(flags("small"), (true, false, false, 1));
    assert_eq!(flags("raw"), (false, true, false, 1), "there is room for its label, not for its event too");
    assert_eq!(flags("labels"), (false, true, true, 1));
    assert_eq!(flags("many-7"), (true, false, false, 1));
    for key in ["field", "all"] {
        let (raw, raw_truncated, fields_truncated, _) = flags(key);
        assert_eq!((raw, raw_truncated, fields_truncated), (false, true, true), "{key}");
    }
    let letters = kafka.read_settled(&scene.topic("dead-letters"));
    assert_eq!(letters.len(), 2);
    for row in letters {
        let letter: Value = serde_json::from_slice(row.value.as_deref().unwrap()).unwrap();
        assert!(letter["raw_truncated"] == true && letter["source"]["offset"].is_i64() && row.value.unwrap().len() > LIMIT / 4);
    }
    let blocks = kafka.read_settled(&scene.topic("index"));
    assert!(blocks.iter().all(|row| row.value.as_ref().unwrap().len() <= LIMIT));
}

#[test]
fn real_fault_a_topic_that_takes_too_little_is_refused() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka, "little");
    kafka.configure(&scene.topic("index"), &[("max.message.bytes", "50000")]);
    let home = scene.home("a");
    let mut member = scene.start(&home, None);
    assert_eq!(member.wait(DRAIN).code(), Some(2), "{}", member.stderr());
    assert!(member.stderr().contains("max.message.bytes") && member.stderr().contains("131072"), "{}", member.stderr());
}
