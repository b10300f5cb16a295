//! Playbooks: many runs at once. Floods, fairness, brakes, and members that die: each run ends
//! once, and no call is repeated whose result was committed before.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catchment::respond::run::{Call, Effect, Failure, Key, Output, Run, RunState, Transition, step};
use catchment::respond::schedule::coordinator::{Bounds, Coordinator, Taken};
use catchment::respond::schedule::driver::{Caller, Message, drive, inbox};
use catchment::respond::schedule::journal::{JournalError, Memory, RunRef};
use catchment::respond::schedule::rate::Rates;
use catchment::respond::world::{OnUnknown, World, incident_view};
use serde_json::json;

use crate::playbook_stage::{START_US, external, playbook, world};

const CALLS: &str = "'0':\n  id: '0'\n  type: start\n  task: {name: ''}\n  nexttasks: {'#none#': ['1']}\n'1':\n  id: '1'\n  type: regular\n  task: {name: one, script: '|||touch', iscommand: true}\n  scriptarguments: {id: {simple: '${incident.id}'}}\n  nexttasks: {'#none#': ['2']}\n'2':\n  id: '2'\n  type: regular\n  task: {name: two, script: '|||touch', iscommand: true}\n  scriptarguments: {id: {simple: '${incident.id}'}}\n  nexttasks: {}\n";

fn touching(how: OnUnknown) -> Arc<World> {
    let mut world = world(&[("p.yml", &playbook("p", "quiet: true", CALLS))]);
    external(&mut world, "touch", |external| external.on_unknown = how);
    Arc::new(world)
}

fn run(number: usize, type_name: &str, severity: f64) -> Run {
    let incident = json!({ "id": number.to_string(), "type": type_name, "severity": severity });
    Run::new(&number.to_string(), "p", "created", incident_view(incident))
}

fn taken(id: &str) -> Taken {
    Taken { run: RunRef { id: u128::from_str_radix(id, 16).unwrap(), partition: 0 }, hint: None }
}

/// A server that takes its time and counts.
struct Slow {
    takes: Duration,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// Incident → when it was touched first.
    first: Mutex<HashMap<String, Instant>>,
    keys: Mutex<HashMap<String, usize>>,
}

impl Slow {
    fn new(takes: Duration) -> Arc<Slow> {
        Arc::new(Slow { takes, under_way: AtomicUsize::new(0), most: AtomicUsize::new(0), first: Mutex::default(), keys: Mutex::default() })
    }
}

struct Server(Arc<Slow>);

impl Caller for Server {
    fn call(self: Arc<Self>, call: Call) -> Pin<Box<dyn Future<Output = Result<Output, Failure>> + Send>> {
        let slow = self.0.clone();
        Box::pin(async move {
            let now = slow.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            slow.most.fetch_max(now, Ordering::SeqCst);
            let id = call.arguments["id"].as_str().unwrap_or_default().to_owned();
            slow.first.lock().unwrap().entry(id).or_insert_with(Instant::now);
            *slow.keys.lock().unwrap().entry(call.idempotency_key.clone()).or_default() += 1;
            tokio::time::sleep(slow.takes).await;
            slow.under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(Output::default())
        })
    }
}

#[test]
fn a_flood_ends_each_run_once_and_a_critical_one_behind_it_does_not_wait() {
    const FLOOD: usize = 3_000;
    let slow = Slow::new(Duration::from_millis(2));
    let bounds = Bounds { queued: 10_000, running: 16, reserved: 4, ..Bounds::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (waited, coordinator) = runtime.block_on(async {
        let mut coordinator = Coordinator::new(Memory { counts_only: true, ..Memory::default() }, touching(OnUnknown::Retry), bounds, Rates::default());
        for number in 0..FLOOD {
            coordinator.accept(&run(number, "Noise", 1.0), 0, START_US).unwrap();
        }
        let (tell, inbox) = inbox();
        let driver = tokio::spawn(drive(coordinator, Arc::new(Server(slow.clone())), tell.clone(), inbox));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let behind = Instant::now();
        tell.send(Message::Accept(Box::new(run(1_000_000, "Rare", 4.0)))).await.unwrap();
        tell.send(Message::Drain).await.unwrap();
        let (coordinator, done) = tokio::time::timeout(Duration::from_secs(120), driver).await.unwrap().unwrap();
        done.unwrap();
        (slow.first.lock().unwrap()["1000000"] - behind, coordinator)
    });
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    assert_eq!(coordinator.counts.completed as usize, FLOOD + 1, "{:?}", coordinator.counts);
    assert!(slow.most.load(Ordering::SeqCst) <= 16, "the pool is bounded");
    let keys = slow.keys.lock().unwrap();
    assert!(keys.len() == 2 * (FLOOD + 1) && keys.values().all(|count| *count == 1));
    assert!(coordinator.journal.states.values().all(|state| serde_json::from_slice::<Run>(state).unwrap().state == RunState::Completed));
}

/// Members die at any point between two commits: a call begins twice only if its result was not
/// committed before, and every run ends.
#[test]
fn members_that_die_lose_nothing_and_repeat_only_what_was_not_committed() {
    for seed in 0..40_u64 {
        let world = touching(OnUnknown::Retry);
        let mut journal = Memory::default();
        // What the outside saw: key → requests. And keys whose results are committed.
        let mut requests: HashMap<String, u32> = HashMap::new();
        let mut settled: HashSet<String> = HashSet::new();
        let mut random = seed;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let mut now = START_US;
        let mut first = true;
        for _life in 0..200 {
            let mut coordinator = Coordinator::new(
                std::mem::take(&mut journal),
                world.clone(),
                Bounds { queued: 100, running: 5, reserved: 1, ..Bounds::default() },
                Rates::default(),
            );
            if first {
                (0..30).for_each(|number| coordinator.accept(&run(number, ["A", "B"][number % 2], 2.0), 0, START_US).unwrap());
                first = false;
                coordinator.commit().unwrap();
            }
            let ids: Vec<String> = coordinator.journal.states.keys().cloned().collect();
            coordinator.take_over(ids.iter().map(|id| taken(id)), now);
            let mut answers: Vec<(RunRef, Key, String)> = Vec::new();
            let mut unsettled: Vec<String> = Vec::new();
            for _turn in 0..below(40) {
                now += 1_000;
                coordinator.pump(now);
                if below(12) == 0 {
                    break; // It dies with what is staged.
                }
                let begins = coordinator.commit().unwrap();
                settled.extend(unsettled.drain(..));
                for begin in begins {
                    let key = begin.call.idempotency_key.clone();
                    assert!(!settled.contains(&key), "seed {seed}: a call whose result was committed is repeated");
                    *requests.entry(key.clone()).or_default() += 1;
                    answers.push((begin.run, begin.call.key, key));
                }
                if !answers.is_empty() && below(3) > 0 {
                    let (run, key, id) = answers.swap_remove(below(answers.len() as u64) as usize);
                    coordinator.result(run, key, Ok(Output::default()), now);
                    unsettled.push(id);
                }
            }
            journal = coordinator.journal;
        }
        let mut coordinator = Coordinator::new(journal, world.clone(), Bounds { queued: 100, running: 50, reserved: 1, ..Bounds::default() }, Rates::default());
        let ids: Vec<String> = coordinator.journal.states.keys().cloned().collect();
        coordinator.take_over(ids.iter().map(|id| taken(id)), now);
        for _ in 0..1_000 {
            coordinator.pump(now);
            let begins = coordinator.commit().unwrap();
            if begins.is_empty() && coordinator.load() == (0, 0) {
                break;
            }
            for begin in begins {
                coordinator.result(begin.run, begin.call.key, Ok(Output::default()), now);
            }
        }
        let states: Vec<RunState> = coordinator.journal.states.values().map(|state| serde_json::from_slice::<Run>(state).unwrap().state).collect();
        assert!(states.len() == 30 && states.iter().all(|state| *state == RunState::Completed), "seed {seed}: {states:?}");
    }
}

#[test]
fn a_member_that_was_replaced_begins_nothing() {
    let mut coordinator = Coordinator::new(Memory::default(), touching(OnUnknown::Retry), Bounds::default(), Rates::default());
    coordinator.accept(&run(1, "A", 2.0), 0, START_US).unwrap();
    coordinator.pump(START_US);
    coordinator.journal.fenced = true;
    assert_eq!(coordinator.commit().unwrap_err(), JournalError::Fenced);
    assert!(!coordinator.may_begin());
}

#[test]
fn pausing_holds_runs_back_and_resuming_lets_them_go_on() {
    let mut coordinator = Coordinator::new(Memory::default(), touching(OnUnknown::Retry), Bounds::default(), Rates::default());
    coordinator.pause(Some("A"));
    for number in 0..10 {
        coordinator.accept(&run(number, ["A", "B"][number % 2], 2.0), 0, START_US).unwrap();
    }
    coordinator.pump(START_US);
    assert_eq!(coordinator.commit().unwrap().len(), 5, "only the other type begins");
    coordinator.resume(Some("A"));
    coordinator.pump(START_US);
    assert_eq!(coordinator.commit().unwrap().len(), 5);
    coordinator.pause(None);
    coordinator.accept(&run(99, "B", 4.0), 0, START_US).unwrap();
    coordinator.pump(START_US);
    assert!(coordinator.commit().unwrap().is_empty());
    coordinator.resume(None);
    coordinator.pump(START_US);
    assert_eq!(coordinator.commit().unwrap().len(), 1);
}

#[test]
fn reading_stops_when_the_queue_is_full_and_commands_keep_to_their_rates() {
    let rates = Rates::new(HashMap::from([("touch".to_owned(), 3)]));
    let mut coordinator =
        Coordinator::new(Memory::default(), touching(OnUnknown::Retry), Bounds { queued: 5, running: 64, reserved: 0, ..Bounds::default() }, rates);
    for number in 0..5 {
        coordinator.accept(&run(number, "A", 2.0), 0, START_US).unwrap();
    }
    assert!(coordinator.is_full() && coordinator.accept(&run(9, "A", 2.0), 0, START_US).is_err());
    coordinator.pump(START_US);
    assert!(!coordinator.is_full());
    assert_eq!(coordinator.commit().unwrap().len(), 3, "three an hour");
    let at = coordinator.next_us().unwrap();
    coordinator.pump(at - 2);
    assert!(at > START_US && coordinator.commit().unwrap().is_empty());
    coordinator.pump(at + 1);
    assert_eq!(coordinator.commit().unwrap().len(), 1, "the others wait, and are not lost");
}

/// What the engine costs by itself: steps of tasks that do nothing.
#[test]
fn pure_steps_are_fast() {
    let titles: String = (0..500)
        .map(|number| {
            format!(
                "'{number}':\n  id: '{number}'\n  type: {}\n  task: {{name: t}}\n  nexttasks: {{'#none#': ['{}']}}\n",
                if number == 0 { "start" } else { "title" },
                number + 1
            )
        })
        .collect();
    let last = "'500':\n  id: '500'\n  type: title\n  task: {name: t}\n  nexttasks: {}\n";
    let world = world(&[("p.yml", &playbook("p", "", &(titles + last)))]);
    let (began, mut tasks) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_millis(500) {
        let mut one = run(1, "T", 2.0);
        let mut next = Some(Transition::Begin);
        while let Some(transition) = next.take() {
            if step(&mut one, &world, START_US, transition).iter().any(|effect| matches!(effect, Effect::More)) {
                next = Some(Transition::More);
            }
        }
        assert_eq!(one.state, RunState::Completed);
        tasks += one.started;
    }
    let rate = tasks as f64 / began.elapsed().as_secs_f64();
    eprintln!("pure steps: {rate:.0} tasks a second on one core (development build)");
    assert!(rate > 2_000.0, "{rate}");
}

/// What waits for a time goes on by itself, also where that time is now.
#[test]
fn runs_that_sleep_wake() {
    for seconds in [0, 2] {
        let tasks = CALLS.replace(
            "'|||touch', iscommand: true}\n  scriptarguments: {id: {simple: '${incident.id}'}}\n  nexttasks: {'#none#': ['2']}",
            &format!("Sleep}}\n  scriptarguments: {{seconds: {{simple: '{seconds}'}}}}\n  nexttasks: {{'#none#': ['2']}}"),
        );
        let tasks = tasks.replace("script: Sleep", "scriptName: Sleep");
        let mut world = world(&[("p.yml", &playbook("p", "", &tasks))]);
        external(&mut world, "touch", |_| {});
        let mut coordinator = Coordinator::new(Memory::default(), Arc::new(world), Bounds::default(), Rates::default());
        coordinator.accept(&run(1, "A", 2.0), 0, START_US).unwrap();
        let mut begun = 0;
        for second in 0..4 {
            let now = START_US + second * 1_000_000;
            for _ in 0..3 {
                coordinator.pump(now);
                for begin in coordinator.commit().unwrap() {
                    begun += 1;
                    assert!(second >= seconds);
                    coordinator.result(begin.run, begin.call.key, Ok(Output::default()), now);
                }
            }
        }
        assert_eq!((begun, coordinator.counts.completed), (1, 1), "{seconds} s: {:?}", coordinator.counts);
    }
}
