//! The generator: same seed, same bytes; answers that add up; lines that parse; names
//! that the pipelines know; and the checked-in fixtures, which are its output.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use catchment::load::{Answers, Counts, Generator, GeneratorSpec, Message, Outcome, Profile, profiles};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything a spec generates, as NDJSON, and the answers to it.
fn generate(spec: GeneratorSpec) -> (Vec<u8>, Answers, u64) {
    let mut generator = Generator::new(spec).unwrap();
    let (mut message, mut answers, mut out) = (Message::default(), Answers::new(), Vec::new());
    while generator.next(&mut message) {
        answers.add_all(&message.outcomes);
        out.extend_from_slice(&message.payload);
        out.push(b'\n');
    }
    (out, answers, generator.made())
}

#[test]
fn every_profile_makes_json_of_its_own_number_of_events() {
    for profile in profiles::ALL {
        let (lines, answers, made) = generate(GeneratorSpec::plain(profile, 11, 1_500));
        assert_eq!(made, 1_500, "{}", profile.name);
        let counts = answers.counts();
        assert_eq!((counts.events, counts.total()), (1_500, 1_500), "{}", profile.name);
        assert!(counts.dead_letters.is_empty());
        let mut events = 0;
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_else(|e| panic!("{}: {e}: {}", profile.name, String::from_utf8_lossy(line)));
            events += value.get("Records").and_then(|r| r.as_array()).map_or(1, Vec::len);
        }
        assert_eq!(events, 1_500, "{}", profile.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let spec = |seed| GeneratorSpec { late_share: 0.05, burst_share: 0.1, ..GeneratorSpec::soc(seed, 20_000) };
    let (a, answers_a, _) = generate(spec(3));
    let (b, answers_b, _) = generate(spec(3));
    assert!(a == b);
    assert_eq!(answers_a.counts(), answers_b.counts());
    assert!(a != generate(spec(4)).0);
}

#[test]
fn the_soc_mix_holds_everything_that_goes_wrong() {
    let spec = GeneratorSpec { rate: 5, hostile_share: 0.02, ..GeneratorSpec::soc(1, 60_000) };
    let counts = generate(spec).1.counts();
    assert_eq!((counts.events, counts.total()), (60_000, 60_000));
    assert!(counts.incidents.len() >= 25, "{:?}", counts.incidents);
    for (what, names) in [
        ("filtered", vec!["sysmon-process-access-noise", "zeek-telemetry", "cloudtrail-read-noise"]),
        ("attached", vec!["logon-failures", "network-repeats", "host-repeats", "cloud-repeats", "mail-repeats", "actor-repeats"]),
        ("linked", vec!["mail-campaign", "mail-aftermath", "host-story"]),
        ("closed", vec!["known-scanner", "mail-aftermath"]),
        ("dropped", vec!["lab-hosts"]),
        ("dead_letters", vec!["syntax", "not_utf8", "depth", "control_character", "not_an_object", "empty"]),
    ] {
        let map = match what {
            "filtered" => &counts.filtered,
            "attached" => &counts.attached,
            "linked" => &counts.linked,
            "closed" => &counts.closed,
            "dropped" => &counts.dropped,
            _ => &counts.dead_letters,
        };
        for name in names {
            assert!(map.get(name).is_some_and(|n| *n > 0), "{what} {name}: {map:?}");
        }
    }
    assert!(counts.unclassified > 0);
}

#[test]
fn repeats_follow_the_share_that_is_asked_for() {
    for share in [0.0, 0.25, 0.9] {
        let spec = GeneratorSpec { duplicate_share: share, ..GeneratorSpec::plain(&profiles::BENCH, 2, 40_000) };
        let counts = generate(spec).1.counts();
        let attached = counts.attached.values().sum::<u64>() as f64 / 40_000.0;
        assert!((attached - share).abs() < 0.02, "{share}: {attached}");
    }
}

#[test]
fn bench_events_have_their_sizes() {
    let (lines, ..) = generate(GeneratorSpec::plain(&profiles::BENCH, 5, 2_000));
    assert!(lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).all(|l| l.len() == 525));
    let (lines, ..) = generate(GeneratorSpec::plain(&profiles::WINDOWS_BENCH, 5, 2_000));
    let mean = lines.len() / 2_000;
    assert!((2_500..2_700).contains(&mean), "{mean}");
}

#[test]
fn events_of_one_story_share_their_kafka_key_and_time_goes_on() {
    let mut generator = Generator::new(GeneratorSpec { burst_share: 0.5, ..GeneratorSpec::soc(9, 30_000) }).unwrap();
    let mut message = Message::default();
    let mut last = i64::MIN;
    let mut keyed = 0;
    while generator.next(&mut message) {
        assert!(message.timestamp_ms >= last);
        last = message.timestamp_ms;
        let dead = matches!(message.outcomes.first(), Some(Outcome::DeadLetter(_)));
        if dead || message.outcomes.is_empty() {
            continue;
        }
        // Certificates, files and oddities of Zeek name no connection.
        if message.key.is_empty() && ["x509", "files", "weird"].contains(&message.kind) {
            continue;
        }
        assert!(!message.key.is_empty(), "{} {}", message.profile, message.kind);
        // The key is said in the event, too: that is what `keyed_by` means.
        let key = serde_json::to_string(&String::from_utf8_lossy(&message.key)).unwrap();
        let key = key.trim_matches('"').as_bytes();
        assert!(message.payload.windows(key.len()).any(|w| w == key), "{} {}", message.profile, message.kind);
        keyed += 1;
    }
    assert!(keyed > 20_000);
}

/// A name that no pipeline knows would be a wrong answer for ever.
#[test]
fn the_pipelines_know_every_name_in_the_answers() {
    for (pipeline, used) in [
        ("pipelines/soc", profiles::SOC_MIX.iter().map(|(p, _)| *p).collect::<Vec<&Profile>>()),
        ("fixtures/pipelines/bench", vec![&profiles::BENCH]),
        ("fixtures/pipelines/windows-bench", vec![&profiles::WINDOWS_BENCH]),
    ] {
        let text = fs::read_to_string(root().join(pipeline).join("pipeline.yaml")).unwrap();
        let spec = GeneratorSpec { mix: used.into_iter().map(|p| (p, 1)).collect(), story_share: Some(0.5), rate: 1, ..GeneratorSpec::soc(1, 30_000) };
        let counts = generate(spec).1.counts();
        let maps = [&counts.incidents, &counts.filtered, &counts.dropped, &counts.attached, &counts.linked, &counts.closed];
        let names: BTreeSet<&String> = maps.iter().flat_map(|m| m.keys()).collect();
        for name in names {
            assert!(text.contains(name.as_str()), "{pipeline} does not know `{name}`");
        }
    }
}

/// A checked-in file: what it is generated from.
fn fixtures() -> Vec<(String, GeneratorSpec)> {
    let mut all: Vec<(String, GeneratorSpec)> = profiles::ALL
        .into_iter()
        .map(|profile| {
            let events = match profile.name {
                "windows-powershell" | "windows-bench" => 3,
                "sysmon" | "windows-security" | "okta" | "edr" => 8,
                _ => 14,
            };
            let spec = GeneratorSpec { story_share: Some(0.6), rate: 1, ..GeneratorSpec::plain(profile, 1, events) };
            (profile.name.to_owned(), spec)
        })
        .collect();
    // Small events only: the bad bytes matter, not the good ones around them.
    let mix = vec![(&profiles::DUO, 1), (&profiles::WAF, 1), (&profiles::GITHUB, 1)];
    let spec = GeneratorSpec { mix, hostile_share: 1.0, ..GeneratorSpec::plain(&profiles::DUO, 1, 50) };
    all.push(("hostile".to_owned(), spec));
    all
}

/// Regenerate with `UPDATE_FIXTURES=1 cargo test load_generator`.
#[test]
fn the_fixtures_are_what_the_generator_makes() {
    let dir = root().join("fixtures/events");
    let mut bytes = 0;
    for (name, spec) in fixtures() {
        let (lines, answers, _) = generate(spec);
        bytes += lines.len();
        let (events, counts) = (dir.join(format!("{name}.ndjson")), dir.join(format!("{name}.answers.json")));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&events, &lines).unwrap();
            fs::write(&counts, serde_json::to_string_pretty(&answers.counts()).unwrap() + "\n").unwrap();
        }
        assert!(read(&events) == lines, "{} is not what the generator makes: see fixtures/README.md", events.display());
        let known: Counts = serde_json::from_slice(&read(&counts)).unwrap();
        assert!(answers.compare(&known).is_empty(), "{}", counts.display());
    }
    assert!(bytes < 200_000, "the fixtures are to stay small: {bytes} bytes");
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}; see fixtures/README.md", path.display()))
}
