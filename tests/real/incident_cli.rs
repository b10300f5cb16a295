//! `catchment incident` against a keeper that runs: what a person sees, and the exit codes.

use catchment::incident::facts::push_created_head;
use catchment::incident::id::IncidentId;
use serde_json::Value;

use super::keeper::Place;
use super::{Broker, Home, Input, require_kafka, unique};

const ID: IncidentId = IncidentId(0x0f3a_d6c2_b1e8_4f6d_a2c0_7d3f_5b9e_1a44);

/// A home with a pipeline that declares `owner`, `score` and `tags`.
fn home(kafka: &Broker, name: &str) -> Home {
    let home = Home::new(kafka, "");
    let text = "source: { topics: [events], format: json }\nclassify: { default: T }\nmap: { '*': { host: host } }\n";
    home.write("pipeline/pipeline.yaml", &format!("name: {name}\n{text}"));
    home.write(
        "pipeline/schema/fields.yaml",
        "- { name: host, type: text }\n- { name: owner, type: text }\n- { name: score, type: integer }\n- { name: tags, type: list }\n",
    );
    home
}

/// Exit code, standard output, standard error.
fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let id = ID.to_string();
    let mut all = vec!["incident", args[0], id.as_str(), "--pipeline", "pipeline"];
    all.extend_from_slice(&args[1..]);
    let output = home.run(&all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn real_incident_commands_see_edit_and_are_refused() {
    let Some(kafka) = require_kafka() else { return };
    let place = Place::named(kafka, &unique("incident"), 3, &[]);
    let home = home(kafka, &place.names.pipeline);

    let (code, _, errors) = run(&home, &["show"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("no incident"), "{errors}");
    let output = home.run(&["incident", "show", "0f3a", "--pipeline", "pipeline"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it has 4 digits"));

    let mut fact = Vec::new();
    push_created_head(&mut fact, &ID.hex());
    fact.extend_from_slice(format!(r#"{{"id":"{ID}","type":"T","severity":2,"host":"a\u001bb","n":1e999,"status":"open","version":1}}}}"#).as_bytes());
    kafka.produce(&place.names.incidents, [Input::new(ID.hex(), fact)]);
    let dir = tempfile::tempdir().unwrap();
    let keeper = place.keeper("a", dir.path());
    place.until_read();

    let (code, shown, errors) = run(&home, &["show"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(shown.contains("version 1") && shown.contains("a\\u{1b}b") && shown.contains("1e999") && shown.contains("by ingest"), "{shown}");

    let (code, said, errors) = run(&home, &["set", "owner=ann", "score=7", "tags=[\"vip\"]", "severity=high", "--actor", "test", "--if-version", "1"]);
    assert_eq!((code, said.as_str()), (Some(0), "applied: the incident is now in version 2\n"), "{errors}");
    let (code, json, _) = run(&home, &["show", "--json"]);
    assert_eq!(code, Some(0));
    let state: Value = serde_json::from_str(&json.replace("1e999", "1")).unwrap();
    assert_eq!((&state["owner"], &state["score"], &state["tags"][0], &state["severity"]), (&"ann".into(), &7.into(), &"vip".into(), &3.into()));
    assert_eq!(state["updated"]["actor"], "test");

    let (code, said, _) = run(&home, &["set", "owner=bob", "--if-version", "1"]);
    assert_eq!((code, said.as_str()), (Some(1), "refused: there is a newer version, 2\n"));
    let (code, said, _) = run(&home, &["set", "owner=ann"]);
    assert_eq!((code, said.as_str()), (Some(0), "unchanged: it was so already, in version 2\n"));
    let (code, said, _) = run(&home, &["close", "--reason", "false positive", "--notes", "see \"here\"", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["outcome"], &told["version"]), (Some(0), &"applied".into(), &3.into()));
    let (_, shown, _) = run(&home, &["show"]);
    assert!(shown.contains("closed, version 3") && shown.contains("false positive") && shown.contains("last_rejected"), "{shown}");
    let (code, said, _) = run(&home, &["reopen"]);
    assert_eq!((code, said.as_str()), (Some(0), "applied: the incident is now in version 4\n"));

    for (args, words) in [
        (vec!["set", "ownr=ann"], "did you mean `owner`"),
        (vec!["set", "status=closed"], "filled by Catchment"),
        (vec!["set", "score=many"], "not a whole number"),
        (vec!["set", "severity=9"], "not a severity"),
        (vec!["set", "owner"], "FIELD=VALUE"),
        (vec!["set", "owner=a", "owner=b"], "given twice"),
    ] {
        let (code, said, errors) = run(&home, &args);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{args:?}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
    keeper.end();

    // Nobody answers; the fact is there all the same.
    let (code, _, errors) = run(&home, &["close", "--wait", "1"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("no keeper has answered") && errors.contains("--role keeper"), "{errors}");
    let (code, said, _) = run(&home, &["reopen", "--no-wait"]);
    assert_eq!((code, said.trim().len()), (Some(0), 32));
    let keeper = place.keeper("a", dir.path());
    place.until_read();
    let (incidents, _) = place.audit();
    assert_eq!((incidents[&ID].state.version, incidents[&ID].state.closed.is_none()), (6, true));
    keeper.end();
}
