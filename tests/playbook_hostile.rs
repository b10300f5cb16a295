//! Playbooks: files and values that are made to hurt. Nothing panics, nothing hangs, and what
//! values hold stays data.

use std::time::{Duration, Instant};

use catchment::config::Diagnostics;
use catchment::content;
use catchment::expr::xsoar::env::Env;
use catchment::expr::xsoar::model::{Argument, Place};
use catchment::expr::xsoar::prepare::{Options, prepare};
use catchment::load::rng::{Draw as _, StoryRng};
use catchment::respond::command::escape::{Escape, escaped};
use catchment::respond::run::{Output, RunState};
use catchment::respond::world::World;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::playbook_stage::{Script, external, play, playbook};

const GOOD: &str = include_str!("../pipelines/soc/playbooks/malware.yml");

/// Loads a text as a playbook and, if it is one, runs it with commands that answer nonsense.
fn load_and_run(text: &str, seed: u64) -> Option<RunState> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.yml"), text).unwrap();
    let mut out = Diagnostics::new();
    let content = std::sync::Arc::new(content::load(&[dir.path().to_owned()], None, &mut out));
    let mut world = World::of(content, out.files());
    let name = world.library.all().first()?.id.clone();
    external(&mut world, "http", |_| {});
    world.stand_in = true;
    let mut rng = StoryRng::new(seed, 1);
    let mut script = Script::default().on("http", move |_| {
        Ok(Output { context: json!({ "Seen": { "ParsedBody": { "hosts": rng.below(5) } } }).as_object().unwrap().clone(), ..Output::default() })
    });
    Some(play(&world, &name, &mut script).0.state)
}

#[test]
fn damaged_playbooks_fail_or_run_but_never_hang_or_panic() {
    let began = Instant::now();
    let lines: Vec<&str> = GOOD.lines().collect();
    let (mut ran, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut rng = StoryRng::new(seed, 7);
        let mut text: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(text.len() as u64) as usize;
            match rng.below(5) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, text[rng.below(text.len() as u64) as usize].clone()),
                2 => text[at] = text[at].replace(['\'', '"'], ""),
                3 => text[at] = text[at].replace("'5'", "'1'").replace("'6'", "'0'"),
                _ => text[at] = text[at].replace("${", "${.=((").replace("simple", "complex"),
            }
        }
        match load_and_run(&text.join("\n"), seed) {
            Some(_) => ran += 1,
            None => refused += 1,
        }
        assert!(began.elapsed() < Duration::from_secs(120), "seed {seed}");
    }
    assert!(ran > 20 && refused > 20, "{ran} ran, {refused} were refused: the damage is neither too small nor too large");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a value holds, in a URL it is one segment, in JSON one value.
    #[test]
    fn values_in_templates_stay_values(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let context = json!({ "v": text });
        let env = Env::new(&context);
        let with = |template: &str, escape| {
            let (prepared, _) = prepare(&Argument::Simple(template.to_owned()), Place::Text, &Options::default());
            escaped(&prepared, escape, &env).map(|value| match value { Value::String(text) => text, other => other.to_string() })
        };
        if text == "." || text == ".." {
            let refused = with("http://host.example/a/${v}/z", Escape::Url).is_err();
            prop_assert!(refused);
            return Ok(());
        }
        let with = |template: &str, escape| with(template, escape).unwrap();
        let url = url::Url::parse(&with("http://host.example/a/${v}/z", Escape::Url)).unwrap();
        prop_assert_eq!(url.host_str(), Some("host.example"));
        prop_assert!(url.query().is_none() && url.fragment().is_none());
        // An empty value and dots alone leave their place.
        prop_assert_eq!(url.path_segments().unwrap().count(), 3, "{}", url);
        let read: Value = serde_json::from_str(&with(r#"{"k": "${v}", "w": ${v}}"#, Escape::Json)).unwrap();
        prop_assert_eq!(&read["k"], &json!(text));
        prop_assert_eq!(&read["w"], &json!(text));
        prop_assert_eq!(read.as_object().unwrap().len(), 2);
    }

    /// Values that look like templates are not evaluated again.
    #[test]
    fn values_are_not_templates(text in "[${}a-z.=()]{0,30}") {
        let tasks = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n'1':\n  id: '1'\n  type: regular\n  task: {name: p, scriptName: Print}\n  scriptarguments: {value: {simple: 'x ${inputs.v}'}}\n  nexttasks: {}\n";
        let world = crate::playbook_stage::world(&[("p.yml", &playbook("p", "", tasks))]);
        let mut run = crate::playbook_stage::start("p", json!({ "id": "secret" }));
        run.given.insert("v".to_owned(), json!(text));
        let trace = catchment::respond::simulate::simulate(&mut run, &world, &mut Script::default(), 0);
        prop_assert_eq!(crate::playbook_stage::printed(&trace), format!("x {text}"));
    }
}
