//! Playbooks on the command line: run, show, check, test, survey.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

fn soc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/soc/playbooks")
}

/// Exit code, standard output, standard error.
fn catchment(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_catchment")).current_dir(dir).args(args).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn our_playbooks_check_and_their_tests_pass() {
    let (code, out, err) = catchment(&soc(), &["playbook", "check", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("ok    Brute Force") && out.contains("needs closeInvestigation, http"), "{out}");
    assert!(!format!("{out}{err}").contains("warning"), "fields of the pipeline are known: {out}{err}");
    let (code, out, err) = catchment(&soc(), &["playbook", "test", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("7 passed, 0 failed"), "{out}");
}

#[test]
fn a_playbook_is_shown_as_text() {
    let (code, out, err) = catchment(&soc(), &["playbook", "show", "malware.yml"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("playbook Contain Host") && out.contains("repeated for each item") && out.contains("→ 6"), "{out}");
    let (code, _, err) = catchment(&soc(), &["playbook", "show", "nothing-here"]);
    assert!(code == 2 && !err.is_empty(), "{err}");
}

#[test]
fn a_run_tells_what_happens_and_its_end_is_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("incident.json"), json!({ "id": "1", "type": "Phishing Mail", "severity": 2, "subject": "x", "body": "http://bad.example/x", "sender": "e@bad.example", "recipient": "a@corp.example" }).to_string()).unwrap();
    std::fs::write(
        dir.path().join("answers.yaml"),
        "approvals: 'yes'\ncommands:\n  http: { context: { 'Reputation(true)': { ParsedBody: { verdict: malicious } } } }\n  send-mail: {}\n",
    )
    .unwrap();
    let playbook = soc().join("phishing.yml").display().to_string();
    let run = |more: &[&str]| catchment(dir.path(), &[&["playbook", "run", &playbook, "--file", "incident.json", "--simulate", "answers.yaml"], more].concat());
    let (code, out, err) = run(&[]);
    assert!(code == 0 && out.contains("waits for a person") && out.trim_end().ends_with("waiting"), "{out}{err}");
    let (code, out, err) = run(&["--say", "5=Yes"]);
    assert!(code == 0 && out.contains("close: Resolved verdict: malicious") && out.trim_end().ends_with("completed"), "{out}{err}");
    let (code, out, _) = run(&["--say", "5=Yes", "--json"]);
    let state: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &state["state"], &state["incident"]["severity"]), (0, &json!("completed"), &json!(3)));
    // Without an answer for a command its task fails, and says which.
    std::fs::write(dir.path().join("answers.yaml"), "commands: {}\napprovals: 'yes'\n").unwrap();
    let (code, out, _) = run(&[]);
    assert!(code == 1 && out.contains("http"), "{out}");
    // Answers that are generated.
    let (code, out, err) = catchment(dir.path(), &["playbook", "run", &playbook, "--file", "incident.json", "--simulate", "generate:3"]);
    assert!(code <= 1 && !out.is_empty(), "{out}{err}");
    let (code, _, err) = catchment(dir.path(), &["playbook", "run", &playbook, "--file", "missing.json"]);
    assert!(code == 2 && err.contains("missing.json"), "{err}");
}

#[test]
fn what_a_playbook_lacks_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = "id: p\nname: p\nstarttaskid: '0'\ntasks:\n  '0':\n    id: '0'\n    type: start\n    task: {name: ''}\n    nexttasks: {'#none#': ['1', '2', '3']}\n  '1':\n    id: '1'\n    type: regular\n    task: {name: a, scriptName: NoSuchScript}\n    nexttasks: {}\n  '2':\n    id: '2'\n    type: playbook\n    task: {name: b, playbookName: nowhere}\n    skipunavailable: true\n    nexttasks: {}\n  '3':\n    id: '3'\n    type: regular\n    task: {name: c, script: '|||http', iscommand: true}\n    nexttasks: {}\n";
    std::fs::write(dir.path().join("p.yml"), text).unwrap();
    let (code, out, err) = catchment(dir.path(), &["playbook", "check", "p.yml"]);
    assert_eq!(code, 1, "{out}{err}");
    for said in [
        "task 1: `NoSuchScript` is not there",
        "task 2: the playbook `nowhere` is not there, the task will be skipped",
        "task 3: `http` needs the argument `url`",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    // A file of secrets is never quoted, and a secret in it is refused.
    std::fs::write(dir.path().join("respond.yaml"), "credentials:\n  api: { hosts: [h], bearer: hunter2-secret }\n").unwrap();
    let (code, out, err) = catchment(dir.path(), &["playbook", "check", "p.yml"]);
    assert!(code == 2 && err.contains("a secret never stands in the file") && !format!("{out}{err}").contains("hunter2"), "{out}{err}");
}

#[test]
fn a_survey_prints_its_table() {
    let dir = soc().display().to_string();
    let (_, out, err) = catchment(&soc(), &["playbook", "survey", &dir, "--seeds", "10", "--verbose"]);
    assert!(out.contains("4 playbooks, 40 runs") && out.contains("Endpoint Malware"), "{out}{err}");
    let (_, out, _) = catchment(&soc(), &["playbook", "survey", &dir, "--seeds", "3", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["runs"], json!(12));
}
