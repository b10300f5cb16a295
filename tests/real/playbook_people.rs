//! What people say to runs of playbooks, and what they see of them, on a real broker: brakes, answers, ends,
//! and the tables. Nobody runs playbooks here: the test writes states and entries as the role does.

use catchment::incident::fact::{What, read};
use catchment::incident::id::IncidentId;
use catchment::incident::order::{AnswerOrder, Order};
use catchment::respond::run::{Answer, Run, Transition, step};
use catchment::respond::world::World;
use catchment::run::names::Names;
use serde_json::{Value, json};

use super::{Broker, Home, Input, WAIT, require_kafka, unique, until};
use crate::playbook_stage::{START_US, playbook, world};

const ID: IncidentId = IncidentId(0x0f3a_d6c2_b1e8_4f6d_a2c0_7d3f_5b9e_1a44);
const FORM: &str = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n'1':\n  id: '1'\n  type: condition\n  task: {name: is it bad}\n  defaultassigneecomplex: {simple: ann}\n  nexttasks: {'yes': ['2'], 'no': ['2']}\n'2':\n  id: '2'\n  type: title\n  task: {name: end}\n  nexttasks: {}\n";

struct Scene<'a> {
    kafka: &'a Broker,
    names: Names,
    home: Home,
    world: World,
    partition: i32,
}

impl<'a> Scene<'a> {
    fn new(kafka: &'a Broker) -> Scene<'a> {
        let name = unique("people");
        let names = Names::new(&name, None);
        let home = Home::new(kafka, "instance: a\narchive: { path: lake, commit: 500ms }\nlisten: { api: 127.0.0.1:0, sql: 127.0.0.1:0 }");
        let text = "source: { topics: [events], format: json }\nclassify: { default: T }\nmap: { '*': { host: host } }\nplaybooks: { T: playbooks/p.yml }\n";
        home.write("pipeline/pipeline.yaml", &format!("name: {name}\n{text}"));
        let ask = playbook("p", "", FORM);
        home.write("pipeline/playbooks/p.yml", &ask);
        for (topic, partitions, policy) in [
            (&names.incidents, 3, "delete"),
            (&names.incident_state, 3, "compact"),
            (&names.index, 3, "delete"),
            (&names.dead_letters, 3, "delete"),
            (&names.runs, 3, "compact"),
            (&names.war_room, 3, "delete"),
            (&names.respond_control, 1, "compact"),
        ] {
            kafka.create(topic, partitions, &[("cleanup.policy", policy)]);
        }
        let partition = catchment::kafka::partition_of(&ID.hex(), 3);
        Scene { kafka, names, home, world: world(&[("p.yml", &ask)]), partition }
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.home.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn write(&self, run: &Run) {
        let headers = [
            ("incident", ID.to_string()),
            ("playbook", run.playbook.clone()),
            ("state", run.state.name().to_owned()),
            ("updated", "2026-03-01T00:00:02Z".to_owned()),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
        let input = Input { partition: Some(self.partition), headers, ..Input::new(&run.id, serde_json::to_vec(run).unwrap()) };
        self.kafka.produce(&self.names.runs, [input]);
    }

    /// A run that waits for a decision.
    fn waiting(&self, trigger: &str) -> Run {
        let mut run = Run::new(&ID.to_string(), "p", trigger, json!({ "id": ID.to_string(), "type": "T", "severity": 2 }));
        step(&mut run, &self.world, START_US, Transition::Begin);
        self.write(&run);
        run
    }

    /// The last thing that was said to the role.
    fn said(&self) -> Option<(Option<String>, Order)> {
        let row = self.kafka.read_settled(&self.names.incidents).into_iter().max_by_key(|row| (row.timestamp_ms, row.offset))?;
        assert_eq!(row.partition, self.partition);
        let fact = read(Some(&row.key), row.value.as_deref().unwrap_or_default(), None).unwrap();
        let What::Order(order) = fact.what else { panic!("{}", row.text()) };
        Some((fact.actor.map(|actor| actor.to_string()), order))
    }
}

#[test]
fn real_playbook_brakes_are_written_and_told() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka);
    let newest = || {
        let rows = scene.kafka.read_settled(&scene.names.respond_control);
        rows.last().map(|row| (String::from_utf8(row.key.clone()).unwrap(), serde_json::from_str::<Value>(row.text()).unwrap())).unwrap()
    };
    let (code, said, _) = scene.run(&["respond", "status", "pipeline"]);
    assert!(code == Some(0) && said.contains("nothing was said"), "{said}");
    let (code, said, errors) = scene.run(&["respond", "simulate", "pipeline", "--actor", "bob"]);
    assert!(code == Some(0) && said.contains("in the mode `simulate`"), "{said}{errors}");
    let (key, value) = newest();
    assert_eq!((key.as_str(), &value["state"], &value["mode"], &value["actor"]), ("all", &json!("running"), &json!("simulate"), &json!("bob")));
    let (code, said, errors) = scene.run(&["respond", "pause", "pipeline"]);
    assert!(code == Some(0) && said.contains("stand still"), "{said}{errors}");
    assert_eq!((newest().1["state"].clone(), newest().1["mode"].clone()), (json!("paused"), json!("simulate")), "a pause says nothing about the mode");
    let (code, said, errors) = scene.run(&["respond", "pause", "pipeline", "--type", "TT"]);
    assert!(code == Some(0) && said.contains("`TT`") && errors.contains("no playbook of this pipeline"), "{said}{errors}");
    assert_eq!(newest().0, "type:TT");
    let (code, said, errors) = scene.run(&["respond", "resume", "pipeline"]);
    assert!(code == Some(0) && said.contains("as the files say") && errors.contains("`TT` still stand still"), "{said}{errors}");
    assert_eq!((newest().1["state"].clone(), newest().1["mode"].clone()), (json!("running"), Value::Null));
    let (code, said, _) = scene.run(&["respond", "status", "pipeline"]);
    assert!(code == Some(0) && said.lines().any(|line| line.contains("TT") && line.contains("paused")), "{said}");
    let (_, said, _) = scene.run(&["respond", "status", "pipeline", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["all"]["state"], &told["type:TT"]["state"]), (&json!("running"), &json!("paused")));
}

#[test]
fn real_playbook_people_see_what_waits_and_answer() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka);
    let (code, said, errors) = scene.run(&["playbook", "top", "pipeline"]);
    assert!(code == Some(0) && said.starts_with("nothing waits"), "{said}{errors}");
    let mut run = scene.waiting("one");
    let other = scene.waiting("two");
    let (code, said, errors) = scene.run(&["playbook", "top", "pipeline"]);
    assert!(code == Some(0) && said.contains("1 is it bad") && said.contains("waits for a person") && said.contains("ann"), "{said}{errors}");
    assert!(said.lines().all(|line| line.chars().count() <= 120), "{said}");
    let (_, said, _) = scene.run(&["playbook", "top", "pipeline", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&told[0]["runs"], &told[0]["task"], &told[0]["state"], &told[0]["since"]),
        (&json!(2), &json!("1"), &json!("waiting"), &json!("2026-03-01T00:00:00.000Z"))
    );

    let answer = |more: &[&str]| scene.run(&[&["playbook", "answer", "pipeline"], more].concat());
    let (code, _, errors) = answer(&["zz", "1"]);
    assert!(code == Some(2) && errors.contains("no run's id"), "{errors}");
    let (code, _, errors) = answer(&["0000000000000000", "1"]);
    assert!(code == Some(2) && errors.contains("there is no run"), "{errors}");
    let prefix: String = run.id.chars().take(10).collect();
    let (code, _, errors) = answer(&[&prefix, "2"]);
    assert!(code == Some(1) && errors.contains("1 is it bad (waits for a person"), "{errors}");
    let (code, _, errors) = answer(&[&prefix, "1", "--refuse"]);
    assert!(code == Some(2) && errors.contains("--refuse is for approvals"), "{errors}");
    assert_eq!(scene.said(), None, "nothing was said so far");
    let (code, _, errors) = answer(&[&prefix, "1", "--label", "yes", "--wait", "1"]);
    assert!(code == Some(2) && errors.contains("nobody has taken it up") && errors.contains("--role respond"), "{errors}");

    // Somebody runs it: the answer is taken up, and the command says what became of the run.
    let taken = std::thread::scope(|scope| {
        let command = scope
            .spawn(|| answer(&[&prefix, "is it bad", "--label", "yes", "--comment", "sure", "--answers", "a=1", "b=x y", "--actor", "bob", "--wait", "40"]));
        let mut order = None;
        until("the answer is there", WAIT, || {
            order = scene.said().filter(|(actor, _)| actor.as_deref() == Some("bob"));
            order.is_some()
        });
        let Some((_, Order::Answer(said))) = order else { panic!("no answer") };
        let AnswerOrder { task, frame, label, answers, comment, again, refuse, run: of } = said;
        assert_eq!((&*of, &*task, frame, &*label, &*comment, again, refuse), (run.id.as_str(), "1", Some(0), "yes", "sure", false, false));
        assert_eq!(serde_json::from_str::<Value>(&answers).unwrap(), json!({ "a": 1, "b": "x y" }));
        let answer = Answer { task: task.to_string(), frame, actor: "bob".to_owned(), label: label.to_string(), ..Answer::default() };
        step(&mut run, &scene.world, START_US + 1, Transition::Answer(answer));
        scene.write(&run);
        command.join().unwrap()
    });
    assert!(taken.0 == Some(0) && taken.1.contains("is completed"), "{taken:?}");

    let (code, _, errors) = scene.run(&["playbook", "cancel", "pipeline", &run.id, "--no-wait"]);
    assert!(code == Some(1) && errors.contains("is over: completed"), "{errors}");
    let (code, said, errors) = scene.run(&["playbook", "cancel", "pipeline", &other.id, "--no-wait"]);
    assert!(code == Some(0) && said.trim() == other.id, "{said}{errors}");
    assert_eq!(scene.said().map(|(_, order)| order), Some(Order::Cancel { run: other.id.as_str().into() }));
}

#[test]
fn real_playbook_runs_here_on_an_incident_from_there() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka);
    let id = ID.to_string();
    let run = |more: &[&str]| scene.run(&[&["playbook", "run", "p", "--incident", &id, "--pipeline", "pipeline"], more].concat());
    let (code, _, errors) = run(&[]);
    assert!(code == Some(1) && errors.contains("no incident"), "{errors}");
    let state = json!({ "id": id, "type": "T", "severity": 3, "host": "h1", "status": "open", "version": 4 });
    kafka.produce(&scene.names.incident_state, [Input { partition: Some(scene.partition), ..Input::new(ID.hex(), state.to_string()) }]);
    let (code, said, errors) = run(&["--say", "1=yes", "--json"]);
    let ended: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{errors}"));
    assert_eq!((code, &ended["state"], &ended["incident"]["host"]), (Some(0), &json!("completed"), &json!("h1")));
    let (code, _, errors) = run(&["--file", "x.json"]);
    assert_eq!(code, Some(2), "{errors}");
    assert_eq!(kafka.read_settled(&scene.names.runs), [], "nothing of it is recorded there");
    // Or it is asked for, and run there.
    let (code, said, errors) = scene.run(&["playbook", "start", "p", &id, "-p", "pipeline", "--mode", "ask", "--actor", "bob", "--no-wait"]);
    assert_eq!((code, said.trim().len()), (Some(0), 32), "{errors}");
    let row = kafka.read_settled(&scene.names.incidents).pop().unwrap();
    let fact: Value = serde_json::from_str(row.text()).unwrap();
    assert_eq!(
        (&fact["fact"], &fact["playbook"], &fact["mode"], &fact["incident"]["host"], &fact["actor"]),
        (&json!("start_run"), &json!("p"), &json!("ask"), &json!("h1"), &json!("bob"))
    );
    let trigger = format!("request {}", fact["fact_id"].as_str().unwrap());
    assert_eq!(said.trim(), Run::new(&id, "p", &trigger, Value::Null).id, "the id that the run will have");
    let (code, _, errors) = scene.run(&["playbook", "start", "p", &id, "-p", "pipeline", "--wait", "1"]);
    assert!(code == Some(2) && errors.contains("nobody has taken it up"), "{errors}");
    let (code, _, errors) = scene.run(&["playbook", "start", "p", "0f3ad6c2b1e84f6da2c07d3f5b9e1a45", "-p", "pipeline"]);
    assert!(code == Some(1) && errors.contains("no incident"), "{errors}");
}

#[test]
fn real_playbook_tables_hold_runs_and_the_war_room() {
    let Some(kafka) = require_kafka() else { return };
    let scene = Scene::new(kafka);
    let mut run = scene.waiting("one");
    let other = scene.waiting("two");
    let entry = |number: usize, text: &str| {
        let entry = json!({ "entry": format!("{number}@{}", run.id), "run": run.id, "incident": ID.to_string(), "playbook": "p", "playbook_version": "v", "at": "2026-03-01T00:00:01Z",
                            "actor": "playbook:p", "task": "1", "command": "", "kind": "question", "text": text });
        Input::new(ID.hex(), entry.to_string())
    };
    scene.kafka.produce(&scene.names.war_room, [entry(1, "first"), entry(2, "x'; DROP TABLE war_room; --")]);
    let mut member = scene.home.spawn("archive", &["run", "pipeline", "--role", "archive", "--log", "info"], &[]);
    member.until_ready(WAIT);
    let asked = |sql: &str| {
        let output = scene.home.run(&["sql", "-o", "csv", sql, "--archive", "lake"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    let states = "SELECT state, waiting_for, waiting_who, tasks FROM playbook_runs ORDER BY state, id";
    until("both runs are archived", WAIT, || asked(states).is_some_and(|rows| rows == ["waiting,1 is it bad,ann,2", "waiting,1 is it bad,ann,2"]));
    until("the war room is archived", WAIT, || asked("SELECT count(*) FROM war_room").is_some_and(|rows| rows == ["2"]));
    assert_eq!(asked("SELECT text FROM war_room WHERE entry LIKE '2@%'").unwrap(), ["x'; DROP TABLE war_room; --"]);
    // A run goes on: its row changes, and there is no second one. A member that dies reads nothing twice.
    member.kill();
    let answer = Answer { task: "1".to_owned(), actor: "ann".to_owned(), label: "yes".to_owned(), ..Answer::default() };
    step(&mut run, &scene.world, START_US + 1, Transition::Answer(answer));
    scene.write(&run);
    let mut member = scene.home.spawn("again", &["run", "pipeline", "--role", "archive", "--log", "info"], &[]);
    member.until_ready(WAIT);
    until("the newest state is archived", WAIT, || asked(states).is_some_and(|rows| rows == ["completed,,,3", "waiting,1 is it bad,ann,2"]));
    assert_eq!(asked("SELECT count(*), count(DISTINCT id) FROM playbook_runs").unwrap(), ["2,2"]);
    assert_eq!(asked("SELECT count(*) FROM war_room").unwrap(), ["2"]);
    let joined = "SELECT r.playbook, w.kind, count(*) FROM playbook_runs r JOIN war_room w ON w.run = r.id GROUP BY 1, 2";
    assert_eq!(asked(joined).unwrap(), ["p,question,2"]);
    let id = other.id;
    assert_eq!(
        asked(&format!("SELECT incident, type, severity, playbook_version <> '' FROM playbook_runs WHERE id = '{id}'")).unwrap(),
        [format!("{ID},T,2.0,true")]
    );
    member.stop(WAIT);
}
