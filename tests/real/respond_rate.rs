//! What the engine costs by itself on a real broker: tasks that do nothing, with an intent and a
//! result of each on Kafka. CPU of this process, librdkafka's threads included; the broker is another.
//!
//! `CATCHMENT_TASKS` (default 4,000); `scripts/prove playbook-throughput` sets it to 1,000,000, and
//! prints the rate of pure steps beside it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catchment::kafka::Settings;
use catchment::respond::member::{Next, RespondSpec, run, store_dir};
use catchment::respond::run::{Call, Failure, Output};
use catchment::respond::schedule::driver::Caller;
use catchment::respond::setup::Setup;
use catchment::run::health::Health;
use catchment::run::names::Names;

use super::respond_stage::{Stage, playbook};
use super::{WAIT, require_kafka, until};
use crate::playbook_stage::{external, world};

/// Tasks of one run.
const TASKS: usize = 10;

struct Nothing(AtomicU64);

impl Caller for Nothing {
    fn call(self: Arc<Self>, _: Call) -> Pin<Box<dyn Future<Output = Result<Output, Failure>> + Send>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Output::default())))
    }
}

fn cpu() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the struct is ours.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[test]
fn real_respond_rate_of_tasks_that_do_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let tasks: usize = std::env::var("CATCHMENT_TASKS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let runs = tasks / TASKS;
    let line = "    task: { name: nothing, script: '|||nothing', iscommand: true }";
    let text = playbook("Noise", &vec![("regular", line); TASKS]);
    let stage = Stage::new(kafka, "rate", 4, &[("Noise", "run", text.clone())]);
    let mut world = world(&[("noise.yml", &text)]);
    external(&mut world, "nothing", |_| {});
    let caller = Arc::new(Nothing(AtomicU64::new(0)));
    let setup = Setup {
        starts: HashMap::from([("Noise".to_owned(), "Noise".to_owned())]),
        world,
        outside: Some(caller.clone()),
        texts: HashMap::new(),
        ..Setup::default()
    };
    let names = Names::new(&stage.name, None);
    let bootstrap = kafka.bootstrap();
    let dir = tempfile::tempdir().unwrap();
    let member = Settings::member(bootstrap, &names.respond_group, "a");
    let health = Arc::new(Health::default());
    let spec = RespondSpec {
        session: member.session(),
        member,
        transactional: Settings::transactional(bootstrap, &names.transactional_id("respond", "a"), Duration::from_secs(10)),
        reader: Settings::reader(bootstrap),
        admin: Settings::admin(bootstrap),
        store_dir: store_dir(dir.path(), &names.pipeline, "a"),
        names,
        instance: "a".to_owned(),
        memory_bytes: 64 << 20,
        queued_runs_max: 1_000_000,
        running_runs_max: 2_000,
        next: Arc::new(Next::new(setup)),
        health: health.role("respond"),
        fencing: Arc::default(),
    };
    stage.create((1..=runs as u128).map(|id| (id, "Noise".to_owned(), 1.0)));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || run(&spec, &stopped));
    until("it is ready", WAIT, || health.ready().is_ok());
    let (began, before, first) = (Instant::now(), cpu(), caller.0.load(Ordering::Relaxed));
    let wanted = (runs * TASKS) as u64;
    until("all tasks are done", Duration::from_secs(900), || caller.0.load(Ordering::Relaxed) >= wanted);
    let (took, spent, done) = (began.elapsed(), cpu() - before, wanted - first);
    stop.store(true, Ordering::Relaxed);
    let totals = thread.join().unwrap().unwrap();
    assert_eq!((totals.counts.completed, totals.counts.calls), (runs as u64, wanted));
    assert_eq!(stage.states().get("completed"), Some(&runs));
    eprintln!(
        "with intents and results on Kafka: {:.0} tasks a second and core ({done} in {:.1} s of CPU, {:.1} s, {} commits)",
        done as f64 / spent,
        spent,
        took.as_secs_f64(),
        totals.commits
    );
}
