//! Playbooks: the way through the graph, errors, sub-playbooks, loops, waiting, people.

use catchment::respond::run::{FailureKind, Happened, Output, Poll, RunState};
use serde_json::json;

use crate::playbook_stage::{Script, began, external, fails, play, playbook, printed, says, world, writes};

fn task(id: &str, body: &str, next: &str) -> String {
    let body: String = body.lines().map(|line| format!("  {line}\n")).collect();
    format!("'{id}':\n  id: '{id}'\n{body}  nexttasks: {next}\n")
}

fn begin(next: &str) -> String {
    task("0", "type: start\ntask: {name: ''}", &format!("{{'#none#': [{next}]}}"))
}

fn script(id: &str, name: &str, arguments: &str, more: &str, next: &str) -> String {
    task(id, &format!("type: regular\ntask: {{name: {id}, scriptName: {name}}}\nscriptarguments: {arguments}\n{more}"), next)
}

fn command(id: &str, name: &str, arguments: &str, more: &str, next: &str) -> String {
    task(id, &format!("type: regular\ntask: {{name: {id}, script: '|||{name}', iscommand: true}}\nscriptarguments: {arguments}\n{more}"), next)
}

fn title(id: &str, next: &str) -> String {
    task(id, "type: title\ntask: {name: t}", next)
}

fn condition(id: &str, path: &str, value: &str, next: &str) -> String {
    let body = format!(
        "type: condition\ntask: {{name: c}}\nconditions:\n- label: 'Yes'\n  condition: [[{{operator: isEqualString, left: {{value: {{simple: {path}}}, iscontext: true}}, right: {{value: {{simple: '{value}'}}}}}}]]"
    );
    task(id, &body, next)
}

fn print(id: &str, value: &str) -> String {
    script(id, "Print", &format!("{{value: {{simple: '{value}'}}}}"), "", "{}")
}

#[test]
fn a_join_waits_for_what_is_resolved_and_runs_once() {
    let tasks = [
        begin("'1','2'"),
        condition("1", "incident.type", "T", "{yes: ['3'], '#default#': ['4']}"),
        title("2", "{'#none#': ['5']}"),
        title("3", "{'#none#': ['5']}"),
        title("4", "{'#none#': ['5', '6']}"),
        title("5", "{}"),
        // Behind what does not run: it does not run either.
        title("6", "{'#none#': ['7']}"),
        title("7", "{}"),
    ];
    let world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
    let (run, trace) = play(&world, "p", &mut Script::default());
    assert_eq!(run.state, RunState::Completed, "{}", run.reason);
    let began = began(&trace);
    assert_eq!(began.iter().filter(|task| *task == "5").count(), 1);
    assert!(["0", "1", "2", "3", "5"].iter().all(|task| began.contains(&(*task).to_owned())) && began.len() == 5, "{began:?}");
}

#[test]
fn errors_stop_go_on_or_take_their_own_way() {
    for (how, expected, state) in [
        ("", vec!["0", "1"], RunState::Failed),
        ("continueonerror: true", vec!["0", "1", "2"], RunState::Completed),
        ("continueonerror: true\ncontinueonerrortype: errorPath", vec!["0", "1", "3"], RunState::Completed),
    ] {
        let tasks = [begin("'1'"), command("1", "break", "{}", how, "{'#none#': ['2'], '#error#': ['3']}"), title("2", "{}"), title("3", "{}")];
        let mut world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
        external(&mut world, "break", |_| {});
        let (run, trace) = play(&world, "p", &mut Script::default().on("break", |_| fails("it broke")));
        assert_eq!((began(&trace), run.state), (expected.into_iter().map(str::to_owned).collect(), state), "{how}");
        assert!(trace.entries.iter().any(|entry| entry.kind == "error" && entry.text == "it broke"));
    }
}

#[test]
fn a_task_is_tried_again_after_its_pause_and_no_more_often_than_asked() {
    for (fails_first, state, calls) in [(2, RunState::Completed, 3), (9, RunState::Failed, 4)] {
        let tasks = [begin("'1'"), command("1", "flaky", "{retry-count: '3', retry-interval: '60'}", "", "{}")];
        let mut world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
        external(&mut world, "flaky", |_| {});
        let mut left = fails_first;
        let answer = move |_: &catchment::respond::run::Call| {
            left -= 1;
            if left >= 0 { fails("not yet") } else { says(json!("ok")) }
        };
        let (run, trace) = play(&world, "p", &mut Script::default().on("flaky", answer));
        assert_eq!((run.state, trace.calls.len()), (state, calls));
        assert_eq!(trace.took_us, i64::try_from(calls - 1).unwrap() * 60_000_000, "pauses are waited for");
    }
}

#[test]
fn a_sub_playbook_has_its_own_context_and_gives_what_it_declares() {
    let sub = playbook(
        "sub",
        "inputs:\n- {key: a, value: {simple: '${Outer}'}}\n- {key: b, value: {simple: default}}\noutputs:\n- {contextPath: Given.x}",
        &[
            begin("'1'"),
            script("1", "Set", "{key: {simple: Given.x}, value: {simple: '${inputs.a}-${inputs.b}-${Outer}'}}", "", "{'#none#': ['2']}"),
            script("2", "Set", "{key: {simple: Given.y}, value: {simple: hidden}}", "", "{}"),
        ]
        .concat(),
    );
    for (separate, expected) in [("true", "out-default-||hidden only inside"), ("false", "out-default-out|hidden|hidden only inside")] {
        let main = [
            begin("'1'"),
            script("1", "Set", "{key: {simple: Outer}, value: {simple: out}}", "", "{'#none#': ['2']}"),
            task("2", &format!("type: playbook\ntask: {{name: s, playbookName: sub}}\nseparatecontext: {separate}"), "{'#none#': ['3']}"),
            print("3", "${Given.x}|${Given.y}|hidden only inside"),
        ];
        let world = world(&[("p.yml", &playbook("p", "", &main.concat())), ("s.yml", &sub)]);
        let (run, trace) = play(&world, "p", &mut Script::default());
        assert_eq!(run.state, RunState::Completed, "{}", run.reason);
        assert_eq!(printed(&trace), expected);
    }
}

#[test]
fn what_is_not_there_fails_clearly_or_is_skipped() {
    for (what, skip, expected, state) in [
        ("task: {name: s, playbookName: nowhere}\ntype: playbook", true, vec!["0", "1", "3"], RunState::Completed),
        ("task: {name: s, playbookName: nowhere}\ntype: playbook", false, vec!["0", "1", "3"], RunState::Failed),
        ("task: {name: s, script: 'Acme|||nothing', iscommand: true}\ntype: regular", true, vec!["0", "1", "3"], RunState::Completed),
        ("task: {name: s, scriptName: NoSuchScript}\ntype: regular", false, vec!["0", "1", "3"], RunState::Failed),
    ] {
        let tasks = [begin("'3','1'"), task("1", &format!("{what}\nskipunavailable: {skip}"), "{'#none#': ['2']}"), title("2", "{}"), title("3", "{}")];
        let world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
        let (run, trace) = play(&world, "p", &mut Script::default());
        let mut began = began(&trace);
        began.sort();
        assert_eq!((began, run.state), (expected.into_iter().map(str::to_owned).collect(), state), "{what}");
        if state == RunState::Failed {
            assert!(run.reason.contains("is not there"), "{}", run.reason);
            assert!(trace.lines.iter().any(|line| line.what == Happened::Failed(FailureKind::Unknown)));
        }
    }
}

#[test]
fn an_error_inside_is_caught_by_the_task_outside() {
    let sub = playbook(
        "sub",
        "",
        &[begin("'1','2'"), script("1", "PrintErrorEntry", "{message: {simple: inner}}", "", "{}"), task("2", "type: regular\ntask: {name: m}", "{}")].concat(),
    );
    let main = [
        begin("'1'"),
        task(
            "1",
            "type: playbook\ntask: {name: s, playbookName: sub}\ncontinueonerror: true\ncontinueonerrortype: errorPath",
            "{'#none#': ['2'], '#error#': ['3']}",
        ),
        title("2", "{}"),
        print("3", "${task.1.error}"),
    ];
    let world = world(&[("p.yml", &playbook("p", "", &main.concat())), ("s.yml", &sub)]);
    let (run, trace) = play(&world, "p", &mut Script::default());
    assert_eq!(run.state, RunState::Completed, "{}", run.reason);
    assert!(printed(&trace).contains("inner"), "{}", printed(&trace));
}

fn looped(stanza: &str, arguments: &str, sub_inputs: &str, sub_tasks: &[String]) -> (RunState, i64, String) {
    let sub = playbook("sub", &format!("inputs:\n{sub_inputs}\noutputs:\n- {{contextPath: Seen}}"), &sub_tasks.concat());
    let main = [
        begin("'1'"),
        script("1", "Set", "{key: {simple: List}, value: {simple: '[1,2,3,4]'}}", "", "{'#none#': ['2']}"),
        task("2", &format!("type: playbook\ntask: {{name: s, playbookName: sub}}\nscriptarguments: {arguments}\nloop: {stanza}"), "{'#none#': ['3']}"),
        print("3", "${Seen}"),
    ];
    let mut world = world(&[("p.yml", &playbook("p", "", &main.concat())), ("s.yml", &sub)]);
    external(&mut world, "enough", |_| {});
    let mut asked = 0;
    let (run, trace) = play(
        &world,
        "p",
        &mut Script::default().on("enough", move |_| {
            asked += 1;
            says(json!(if asked >= 3 { "yes" } else { "no" }))
        }),
    );
    (run.state, trace.took_us, printed(&trace))
}

#[test]
fn loops_run_for_each_until_something_holds_or_says_so() {
    let inputs = "- {key: x, value: {}}\n- {key: z, value: {simple: s}}";
    let see = [begin("'1'"), script("1", "Set", "{key: {simple: Seen}, value: {simple: '${inputs.x}${inputs.z}'}, append: {simple: 'true'}}", "", "{}")];
    let each = looped("{forEach: true, wait: 5}", "{x: {simple: '${List}'}}", inputs, &see);
    assert_eq!(each, (RunState::Completed, 15_000_000, "1s,2s,3s,4s".to_owned()), "a scalar is repeated; between turns it waits");
    let until = "{builtincondition: [[{operator: stringHasLength, left: {value: {complex: {root: Seen, transformers: [{operator: join}]}}, iscontext: true}, right: {value: {simple: '6'}}}]], max: 100, wait: 0}";
    let held = looped(until, "{x: {simple: a}}", inputs, &see);
    assert_eq!(held, (RunState::Completed, 0, "as,as,as".to_owned()), "the context goes on from turn to turn");
    let never = looped(
        "{builtincondition: [[{operator: isExists, left: {value: {simple: Never}, iscontext: true}}]], max: 3, wait: 0}",
        "{x: {simple: a}}",
        inputs,
        &see,
    );
    assert_eq!(never.2, "as,as,as", "at most so many turns");
    let said = looped("{iscommand: true, scriptId: enough, exitCondition: 'yes', max: 50, wait: 1}", "{x: {simple: b}}", inputs, &see);
    assert_eq!(said, (RunState::Completed, 2_000_000, "bs,bs,bs".to_owned()));
    let none = looped("{iscommand: false, exitCondition: '', wait: 1, max: 100}", "{x: {simple: '${List}'}}", inputs, &see);
    assert_eq!(none.2, "1,2,3,4s", "what every export has means no loop");
}

#[test]
fn a_command_that_is_not_done_is_asked_again_and_given_up_in_the_end() {
    for (polls, state) in [(3, RunState::Completed), (1_000, RunState::Failed)] {
        let tasks = [begin("'1'"), command("1", "detonate", "{}", "", "{}")];
        let mut world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
        external(&mut world, "detonate", |_| {});
        let mut left = polls;
        let answer = move |_: &catchment::respond::run::Call| {
            left -= 1;
            let poll = (left > 0).then(|| Poll { after_s: 30, arguments: serde_json::Map::new(), timeout_s: 300 });
            Ok(Output { poll, ..Output::default() })
        };
        let (run, trace) = play(&world, "p", &mut Script::default().on("detonate", answer));
        assert_eq!(run.state, state);
        assert!(trace.took_us <= 300_000_000 && trace.calls.len() <= 12, "{} {}", trace.took_us, trace.calls.len());
    }
}

#[test]
fn generic_polling_repeats_until_nothing_is_pending() {
    let tasks = [
        begin("'1'"),
        task(
            "1",
            "type: playbook\ntask: {name: poll, playbookName: GenericPolling}\nscriptarguments:\n  Ids: {simple: 'a,b'}\n  Interval: {simple: '2'}\n  Timeout: {simple: '60'}\n  PollingCommandName: {simple: status}\n  PollingCommandArgName: {simple: id}\n  dt: {simple: \"Job(val.Status != 'done').ID\"}\n  AdditionalPollingCommandArgNames: {simple: depth}\n  AdditionalPollingCommandArgValues: {simple: '7'}",
            "{'#none#': ['2']}",
        ),
        print("2", "${Job.Status}"),
    ];
    let mut world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
    external(&mut world, "status", |_| {});
    let mut round = 0;
    let answer = move |call: &catchment::respond::run::Call| {
        round += 1;
        assert_eq!(call.arguments.get("depth"), Some(&json!("7")));
        assert_eq!(call.arguments.get("id"), Some(&json!(if round < 3 { "a,b" } else { "b" })), "only what is pending is asked for");
        let status = |done: bool| if done { "done" } else { "running" };
        writes(json!({ "Job(val.ID == obj.ID)": [{ "ID": "a", "Status": status(round >= 2) }, { "ID": "b", "Status": status(round >= 4) }] }))
    };
    let (run, trace) = play(&world, "p", &mut Script::default().on("status", answer));
    assert_eq!((run.state, printed(&trace)), (RunState::Completed, "done,done".to_owned()), "{}", run.reason);
    assert_eq!((trace.calls.len(), trace.took_us), (4, 3 * 120_000_000));
}

#[test]
fn people_complete_decide_reply_and_fill_in() {
    let tasks = [
        begin("'1'"),
        task("1", "type: regular\ntask: {name: by hand}", "{'#none#': ['2']}"),
        task("2", "type: condition\ntask: {name: decide}", "{left: ['3'], right: ['9']}"),
        task(
            "3",
            "type: condition\ntask: {name: ask}\nmessage: {to: {simple: a@b.example}, subject: {simple: 'about ${incident.type}'}, methods: [email], replyOptions: ['Yes', 'No']}",
            "{'yes': ['4'], '#default#': ['9']}",
        ),
        task(
            "4",
            "type: collection\ntask: {name: Some form}\nform: {title: t, questions: [{id: '0', label: how many, type: number, required: true, fieldassociated: howmany}]}",
            "{'#none#': ['5']}",
        ),
        print("5", "${Some form.Answers.0} ${Some form.Answers.name} ${incident.howmany}"),
        title("9", "{}"),
    ];
    let world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
    let (run, trace) = play(&world, "p", &mut Script::default());
    assert_eq!((run.state, trace.open.len()), (RunState::Waiting, 1), "it waits, and holds nothing");
    let mut script = Script::default().says("1", "").says("2", "Left").says("3", "Yes").fills("4", json!({ "0": 7 }));
    let (run, trace) = play(&world, "p", &mut script);
    assert_eq!((run.state, printed(&trace)), (RunState::Completed, "7 ann 7".to_owned()), "{}", run.reason);
    assert!(!began(&trace).contains(&"9".to_owned()));
    let (run, trace) = play(&world, "p", &mut Script::default().says("1", "").says("2", "left").says("3", "no").fills("4", json!({})));
    assert_eq!(run.state, RunState::Completed);
    assert!(began(&trace).contains(&"9".to_owned()), "a reply without a way of its own takes the default");
    let (run, _) = play(&world, "p", &mut Script::default().says("1", "").says("2", "left").says("3", "yes").fills("4", json!({})));
    assert_eq!(run.state, RunState::Waiting, "a required question must be answered");
}

#[test]
fn fields_are_mapped_evidence_is_kept_and_quiet_tasks_are_quiet() {
    let tasks = [
        begin("'1'"),
        command(
            "1",
            "look",
            "{extend-context: {simple: 'Found=a.b::Whole=.'}}",
            "fieldMapping: [{incidentfield: Source IP, output: {simple: '${Look.ip}'}}]\nevidencedata: {description: {simple: 'seen ${Look.ip}'}}",
            "{'#none#': ['2']}",
        ),
        command("2", "look", "{ignore-outputs: {simple: 'true'}, extend-context: {simple: 'Only=a.b'}}", "quietmode: 1", "{'#none#': ['3']}"),
        print("3", "${Found}|${Only}|${Look.ip}|${incident.sourceip}"),
    ];
    let mut world = world(&[("p.yml", &playbook("p", "", &tasks.concat()))]);
    external(&mut world, "look", |_| {});
    let answer = |_: &catchment::respond::run::Call| {
        Ok(Output {
            context: json!({ "Look(val.ip == obj.ip)": { "ip": "198.51.100.7" } }).as_object().unwrap().clone(),
            contents: json!({ "a": { "b": 5 } }),
            readable: "looked".to_owned(),
            poll: None,
        })
    };
    let (run, trace) = play(&world, "p", &mut Script::default().on("look", answer));
    assert_eq!(run.state, RunState::Completed, "{}", run.reason);
    assert_eq!(printed(&trace), "5|5|198.51.100.7|198.51.100.7");
    let of = |kind: &str| trace.entries.iter().filter(|entry| entry.kind == kind).map(|entry| (entry.task.as_str(), entry.text.as_str())).collect::<Vec<_>>();
    assert_eq!(of("evidence"), [("1", "seen 198.51.100.7")]);
    assert_eq!(of("entry").iter().filter(|(_, text)| *text == "looked").count(), 1, "the quiet one says nothing");
}
