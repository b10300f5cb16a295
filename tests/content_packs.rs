//! Content packs: our own, item by item; and every file of the recorded ones.

use std::path::{Path, PathBuf};

use catchment::config::Diagnostics;
use catchment::content::playbook::task::{Action, OnError, Until};
use catchment::content::report::{Report, Verdict};
use catchment::content::{Body, Content, Kind, Version, check, load};
use catchment::expr::xsoar::model::Argument;

use crate::decode_oracle::shared;

pub fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/packs/Brightwater")
}

fn read(path: &Path, version: Option<Version>) -> (Content, Diagnostics) {
    let mut out = Diagnostics::with_room(100_000);
    let content = load(&[path.to_owned()], version, &mut out);
    check::check(&content, &mut out);
    (content, out)
}

#[test]
fn our_own_pack_loads_whole() {
    let (content, out) = read(&own(), None);
    let report = Report::new(&content, &out);
    assert!(!report.failed(), "{}", out.plain());
    let counts: Vec<(Kind, usize)> = Kind::ALL.into_iter().map(|kind| (kind, content.of_kind(kind).count())).filter(|(_, count)| *count > 0).collect();
    let expected = [
        (Kind::Classifier, 1),
        (Kind::LegacyClassifier, 1),
        (Kind::IncomingMapper, 1),
        (Kind::OutgoingMapper, 1),
        (Kind::PreprocessRule, 3),
        (Kind::IncidentType, 2),
        (Kind::IncidentField, 5),
        (Kind::Layout, 1),
        (Kind::OldLayout, 1),
        (Kind::List, 2),
        (Kind::Playbook, 2),
        (Kind::Integration, 1),
        (Kind::Script, 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(content.packs.len(), 1);
    assert_eq!((content.packs[0].name.as_str(), content.packs[0].version.as_str()), ("Brightwater Sensor", "1.2.0"));
    // All that is odd about it is meant: the script of a disabled rule is nowhere, and one field cannot be mapped.
    let said: Vec<(&str, String)> = out.sorted().iter().map(|d| (d.code, out.files().place(d.span.unwrap()).rsplit('/').next().unwrap().to_owned())).collect();
    assert_eq!(
        said,
        [("not-mappable", "classifier-mapper-incoming-Brightwater.json:17:9".to_owned()), ("unknown-script", "preprocessrule-script.json:3:69".to_owned())],
        "{}",
        out.plain()
    );
}

#[test]
fn items_say_what_stands_in_their_files() {
    let (content, _) = read(&own(), None);
    let (_, classifier) = content.classifier("brightwater-classifier").unwrap();
    assert_eq!(classifier.types.len(), 3);
    assert_eq!(classifier.default_type.as_ref().unwrap().value, "Brightwater Event");
    // A legacy classifier is found by its id, although it is for older versions.
    let (item, legacy) = content.classifier("Brightwater").unwrap();
    assert!(!content.in_window(item));
    assert_eq!(legacy.brand.as_deref(), Some("Brightwater"));
    let (_, mapper) = content.mapper("Brightwater - Incoming Mapper").unwrap();
    assert!(mapper.common().unwrap().labels && !mapper.section("Brightwater Malware").unwrap().labels);
    let (_, incident_type) = content.incident_type("Brightwater Malware").unwrap();
    assert_eq!((incident_type.sla_minutes, incident_type.reminder_minutes, incident_type.autorun), (26 * 60, 4 * 60, true));
    for name in ["sourceip", "Source IP", "incident_sourceip", "Src IP", "srcip"] {
        assert_eq!(content.field(name).unwrap().1.cli_name, "sourceip", "{name}");
    }
    assert_eq!(content.list("Brightwater Ignored").unwrap().1.data, "S-1\nS-2\n");
    assert!(content.list("Brightwater Sites").unwrap().1.json);
    let rule = content.rule("brightwater-repeats").unwrap().1;
    assert_eq!((rule.period_ms, rule.new.tests.len(), rule.existing.tests.len()), (Some(6 * 3_600_000), 1, 2));
    assert_eq!(content.rule("brightwater-drop-tests").unwrap().1.period_ms, None);
    let Some(Body::Integration(integration)) = &content.find(&[Kind::Integration], "Brightwater").unwrap().body else { panic!() };
    assert_eq!(integration.display, "Brightwater Sensor");
    assert!(integration.fetches);
    assert_eq!(integration.commands[0].arguments[1].default.as_deref(), Some("50"));
    let Some(Body::Layout(layout)) = &content.find(&[Kind::Layout], "brightwater-layout").unwrap().body else { panic!() };
    let section = &layout.views[0].tabs[1].sections[1];
    assert_eq!(section.script.as_ref().unwrap().value, "BrightwaterTrend");
}

#[test]
fn playbooks_keep_their_tasks() {
    let (content, _) = read(&own(), None);
    let (_, playbook) = content.playbook("Brightwater - Investigation").unwrap();
    let action = |id: &str| &playbook.task(id).unwrap().action;
    assert_eq!(*action("0"), Action::Start);
    assert!(matches!(action("1"), Action::Condition(branches) if branches[0].label.value == "yes"));
    assert!(matches!(action("2"), Action::Command(command) if command.brand.as_deref() == Some("Brightwater") && command.name.value == "brightwater-lookup"));
    assert!(matches!(action("3"), Action::Playbook(name) if name.value == "Brightwater - Block"));
    assert!(matches!(action("4"), Action::Ask(message) if message.replies.len() == 2 && message.replies[0].value == "Yes"));
    assert!(matches!(action("5"), Action::Command(command) if command.is_builtin()));
    assert_eq!(*action("6"), Action::Manual);
    assert_eq!(playbook.task("6").unwrap().sla_minutes, 240);
    let lookup = playbook.task("2").unwrap();
    assert_eq!((lookup.on_error, lookup.skip_unavailable), (OnError::ErrorPath, true));
    // Unset, empty, a bare truth value: three things.
    let arguments: Vec<(&str, &Argument)> = lookup.arguments.iter().map(|(name, value)| (name.value.as_str(), &value.argument)).collect();
    assert_eq!(
        arguments,
        [
            ("hash", &Argument::Simple("${inputs.Hash}".into())),
            ("deep", &Argument::Unset),
            ("limit", &Argument::Simple(String::new())),
            ("verbose", &Argument::Simple("True".into()))
        ]
    );
    assert!(lookup.options.extend_context.is_some() && lookup.options.retry_count.is_some());
    assert_eq!(lookup.field_mapping[0].0.value, "Brightwater Score");
    let repeat = playbook.task("3").unwrap().repeat.as_ref().unwrap();
    assert_eq!((&repeat.until, repeat.wait_seconds), (&Until::ForEach, 1));
    assert_eq!(playbook.inputs[1].value.argument, Argument::Simple("careful".into()));
}

#[test]
fn the_version_that_is_meant_chooses() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, from: &str, to: &str, default: &str| {
        let text = format!(
            r#"{{"id":"c","name":"C","type":"classification","fromVersion":"{from}","toVersion":"{to}","defaultIncidentType":"{default}","keyTypeMap":{{}},"transformer":{{"simple":"a"}}}}"#
        );
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    write("one.json", "5.0.0", "5.9.9", "Old");
    write("two.json", "6.0.0", "7.9.9", "Middle");
    write("three.json", "8.0.0", "99.99.99", "New");
    for (version, expected) in [(Some("5.5.0"), "Old"), (Some("6.5"), "Middle"), (Some("9"), "New"), (None, "New")] {
        let (content, out) = read(dir.path(), version.map(|text| Version::parse(text).unwrap()));
        let (_, classifier) = content.classifier("c").unwrap();
        assert_eq!(classifier.default_type.as_ref().unwrap().value, expected, "{version:?}");
        assert!(!out.plain().contains("duplicate-name"), "{}", out.plain());
    }
}

#[test]
fn every_recorded_file_loads() {
    let Some(dir) = shared("xsoar/content") else { return };
    let (content, out) = read(&dir, None);
    let report = Report::new(&content, &out);
    let failed: Vec<&str> = report.lines.iter().filter(|line| line.verdict == Verdict::Fails).map(|line| report.file(line.item)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(report.loose.is_empty());
    // Counted with `find` and `grep`, not with our loader.
    let counts = [
        Kind::Classifier,
        Kind::LegacyClassifier,
        Kind::IncomingMapper,
        Kind::IncidentType,
        Kind::IncidentField,
        Kind::Layout,
        Kind::OldLayout,
        Kind::Playbook,
    ]
    .map(|kind| content.of_kind(kind).count());
    assert_eq!(counts, [16, 17, 16, 44, 314, 36, 59, 246]);
    assert_eq!(content.packs.len(), 285);
    let unknown: Vec<_> = out.iter().filter(|d| matches!(d.code, "unknown-key" | "unknown-operator" | "wrong-type")).map(|d| out.plain_line(d)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
