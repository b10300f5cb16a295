//! `catchment run`: a member of a pipeline's fleet on real Kafka.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;

use super::Answer;
use super::environment::EnvironmentArgs;
use super::load::{compile, require};
use super::output::{Style, colour_err, err_style};
use super::test::run_one;
use crate::archive::outputs::Outputs;
use crate::archive::upkeep::Keep;
use crate::archive::work::{ArchiveSpec, Rings};
use crate::config::environment::{self, Environment};
use crate::config::model::Pipeline;
use crate::error::Error;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::Options;
use crate::kafka::{Delivery, Settings};
use crate::keeper::{self, KeeperSpec};
use crate::respond::member::{self, Next, RespondSpec};
use crate::respond::setup::Setup;
use crate::run::health::Health;
use crate::run::ingest::writer::TxnCut;
use crate::run::ingest::{self, IngestSpec};
use crate::run::signals::Signals;
use crate::run::supervise::{Ended, supervise};
use crate::run::{Names, lock};
use crate::serve::api::ApiPort;
use crate::serve::metrics::MetricsPort;
use crate::serve::sql::catalog::Catalog;
use crate::serve::sql::session::Engine;
use crate::serve::sql::wire::{SqlPort, WireSpec};

/// How long a batch waits for more events, while a worker waits for it. The brokers gather them already
/// (`fetch.min.bytes`, `fetch.wait.max.ms`): what one answer of theirs brings is a batch, and to wait for
/// the next answer adds its whole time to every incident.
const BATCH_LINGER: Duration = Duration::from_millis(1);
/// How quickly signals are noticed.
const STEP: Duration = Duration::from_millis(50);

/// `run`
#[derive(Debug, Args)]
#[command(
    after_help = "The environment file says where the brokers are, how to log in, where to listen (metrics, health, reload), and how this member is called; docs/running.md describes it. Topics must exist: `catchment topics PIPELINE --create` makes them.\n\nSIGTERM and Ctrl-C drain and commit, a second one stops at once. SIGHUP (or POST /reload) checks and tests the pipeline anew and swaps it, or keeps the old one and says why.\n\nExamples:\n  catchment run pipelines/soc --brokers 127.0.0.1:9092\n  catchment run pipelines/soc --config /etc/catchment/catchment.yaml --role ingest\n\nExit codes: 0 stopped as asked; 2 could not run."
)]
pub struct RunArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Where the brokers are
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    /// What this process does: ingest, keeper, respond, archive; several with commas [default: ingest,keeper, respond if the
    /// pipeline has `playbooks`, and archive if the environment file has `archive`]
    #[arg(long, value_delimiter = ',', value_name = "ROLES")]
    pub role: Vec<Role>,
    /// Worker threads [default: limits.workers, else one per core]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<usize>,
}

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Events in, facts out.
    Ingest,
    /// Facts in, states of incidents out.
    Keeper,
    /// Facts in, playbooks run.
    Respond,
    /// Facts and states in, a Delta table out.
    Archive,
}

/// A pipeline that passed its checks.
#[derive(Clone)]
struct Loaded {
    pipeline: Arc<Pipeline>,
    plan: Arc<Plan>,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Answer, Error> {
    let (pipeline, plan) = require(&args.pipeline, &Options { arrival: None })?;
    let loaded = Loaded { pipeline: Arc::new(pipeline), plan: Arc::new(plan) };
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let names = Names::of(&loaded.pipeline);
    let _lock = lock::take(&environment.state_dir, &names.pipeline, &environment.instance)?;
    let signals = Signals::listen()?;
    let health = Arc::new(Health::default());
    let _metrics = environment.listen.metrics.map(MetricsPort::open).transpose()?;
    let api = environment.listen.api.map(|address| ApiPort::open(address, health.clone(), signals.reload.clone())).transpose()?;
    let wanted = match &args.role[..] {
        [] => {
            let respond = (!loaded.pipeline.playbooks.is_empty()).then_some(Role::Respond);
            let archive = environment.archive.is_some().then_some(Role::Archive);
            [Role::Ingest, Role::Keeper].into_iter().chain(respond).chain(archive).collect()
        }
        roles => roles.to_vec(),
    };
    let playbooks = wanted.contains(&Role::Respond).then(|| playbooks_of(&loaded.pipeline, &environment)).transpose()?.map(|setup| Arc::new(Next::new(setup)));
    let live = serve_sql(&environment, &loaded.pipeline, wanted.contains(&Role::Archive))?;
    let roles: Vec<&str> = wanted.iter().map(|role| role.name()).collect();
    eprintln!(
        "{} {} (version {}) as {}: {}; brokers {bootstrap}",
        err_style("running", Style::Head),
        loaded.plan.name,
        loaded.plan.version,
        environment.instance,
        roles.join(" and "),
    );
    if let Some(api) = &api {
        eprintln!("health: http://{}/readyz", api.address());
    }

    if let Some(port) = &live.port {
        eprintln!("SQL: postgres://{}/{}", port.address(), crate::serve::sql::session::DATABASE);
    }

    let member = Member { args, environment, bootstrap, names, health, stop: signals.stop.clone() };
    let current = Arc::new(std::sync::Mutex::new(loaded));
    let mut running = Vec::new();
    // Raised to have the ingest role begin anew with what is current.
    let swap = Arc::new(AtomicBool::new(false));
    for role in &wanted {
        running.push(match role {
            Role::Ingest => member.ingest(&current, &swap)?,
            Role::Keeper => member.keeper()?,
            Role::Respond => member.respond(playbooks.as_ref())?,
            Role::Archive => member.archive(&current, &live.rings)?,
        });
    }
    while !running.iter().any(JoinHandle::is_finished) {
        std::thread::sleep(STEP);
        if signals.reload.swap(false, Ordering::AcqRel) {
            reload(&member, &current, &swap, playbooks.as_deref());
        }
    }
    // One role's end is the end of all.
    signals.stop.store(true, Ordering::Release);
    let mut first = None;
    for role in running {
        let ended = role.join().unwrap_or_else(|_| Err(Error::bug("a role panicked")));
        first = first.or(ended.err());
    }
    match first {
        Some(error) => Err(error),
        None => Ok(Answer::Yes),
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Ingest => "ingest",
            Role::Keeper => "keeper",
            Role::Respond => "respond",
            Role::Archive => "archive",
        }
    }
}

/// What the roles of this process have in common.
struct Member<'a> {
    args: &'a RunArgs,
    environment: Environment,
    bootstrap: String,
    names: Names,
    health: Arc<Health>,
    stop: Arc<AtomicBool>,
}

type Running = JoinHandle<Result<(), Error>>;

impl Member<'_> {
    fn ingest(&self, current: &Arc<std::sync::Mutex<Loaded>>, swap: &Arc<AtomicBool>) -> Result<Running, Error> {
        let limits = self.environment.limits;
        let workers = self.args.workers.or(limits.workers).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let transaction = self.environment.transaction;
        let spec = IngestSpec {
            plan: lock_of(current).plan.clone(),
            sources: Vec::new(),
            names: self.names.clone(),
            bootstrap: self.bootstrap.clone(),
            properties: self.environment.client_properties(),
            instance: self.environment.instance.clone(),
            delivery: match self.environment.delivery {
                environment::Delivery::ExactlyOnce => Delivery::ExactlyOnce,
                environment::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
            },
            cut: TxnCut {
                linger: Duration::from_millis(transaction.linger_ms),
                bytes: usize::try_from(transaction.bytes).unwrap_or(usize::MAX),
                rows: transaction.rows,
            },
            txn_timeout: Duration::from_millis(transaction.timeout_ms),
            batch_linger: BATCH_LINGER,
            workers,
            shares: limits.shares(),
            decode: DecodeLimits { message_bytes: usize::try_from(limits.message_bytes).unwrap_or(usize::MAX), ..DecodeLimits::default() },
            fencing: Arc::default(),
            seen: Arc::default(),
        };
        let health = self.health.role(Role::Ingest.name());
        let (stop, current, swap) = (self.stop.clone(), current.clone(), swap.clone());
        let role = move || {
            supervise("ingest", &stop, &health, || {
                swap.store(false, Ordering::Release);
                let loaded = lock_of(&current).clone();
                let names = Names::of(&loaded.pipeline);
                let spec = IngestSpec { plan: loaded.plan, sources: loaded.pipeline.sources.clone(), names, ..spec.clone() };
                match ingest::run(&spec, &stop, &swap, &health)? {
                    ingest::Ended::Stopped => Ok(Ended::Stopped),
                    ingest::Ended::Changed => Ok(Ended::Again),
                }
            })
        };
        Ok(std::thread::Builder::new().name("ingest".into()).spawn(role)?)
    }

    fn keeper(&self) -> Result<Running, Error> {
        if self.environment.delivery == environment::Delivery::AtLeastOnce {
            return Err(Error::user("the keeper needs transactions, which `delivery: at_least_once` does without")
                .hint("run it elsewhere, and here `--role ingest` only"));
        }
        let properties = self.environment.client_properties();
        let (names, instance, bootstrap) = (&self.names, &self.environment.instance, self.bootstrap.as_str());
        let timeout = Duration::from_millis(self.environment.transaction.timeout_ms);
        let shares = self.environment.limits.shares();
        let health = self.health.role(Role::Keeper.name());
        let spec = KeeperSpec {
            names: names.clone(),
            instance: instance.clone(),
            member: Settings::member(bootstrap, &names.keeper_group, instance).prefetch(shares.fetch / 4).with_user(&properties)?,
            transactional: Settings::transactional(bootstrap, &names.transactional_id("keeper", instance), timeout).with_user(&properties)?,
            reader: Settings::reader(bootstrap).with_user(&properties)?,
            admin: Settings::admin(bootstrap).with_user(&properties)?,
            store_dir: keeper::store_dir(&self.environment.state_dir, &names.pipeline, instance),
            memory_bytes: shares.keeper,
            health: health.clone(),
            fencing: Arc::default(),
        };
        let stop = self.stop.clone();
        let role = move || supervise("keeper", &stop, &health, || keeper::run(&spec, &stop).map(|_| Ended::Stopped));
        Ok(std::thread::Builder::new().name("keeper".into()).spawn(role)?)
    }

    fn respond(&self, playbooks: Option<&Arc<Next>>) -> Result<Running, Error> {
        if self.environment.delivery == environment::Delivery::AtLeastOnce {
            return Err(Error::user("playbooks need transactions, which `delivery: at_least_once` does without")
                .hint("run them elsewhere, and here `--role ingest` only"));
        }
        let next = playbooks.cloned().ok_or_else(|| Error::bug("the role `respond` has no playbooks"))?;
        let properties = self.environment.client_properties();
        let (names, instance, bootstrap) = (&self.names, &self.environment.instance, self.bootstrap.as_str());
        let limits = self.environment.limits;
        let shares = limits.shares();
        let health = self.health.role(Role::Respond.name());
        let member = Settings::member(bootstrap, &names.respond_group, instance).prefetch(shares.fetch / 4).with_user(&properties)?;
        let spec = RespondSpec {
            names: names.clone(),
            instance: instance.clone(),
            session: member.session(),
            member,
            transactional: Settings::transactional(
                bootstrap,
                &names.transactional_id("respond", instance),
                Duration::from_millis(self.environment.transaction.timeout_ms),
            )
            .with_user(&properties)?,
            reader: Settings::reader(bootstrap).with_user(&properties)?,
            admin: Settings::admin(bootstrap).with_user(&properties)?,
            store_dir: member::store_dir(&self.environment.state_dir, &names.pipeline, instance),
            // As much as the keeper has: both are caches of what is on disk.
            memory_bytes: shares.keeper,
            queued_runs_max: limits.queued_runs_max,
            running_runs_max: limits.running_runs_max,
            next,
            health: health.clone(),
            fencing: Arc::default(),
        };
        let stop = self.stop.clone();
        let role = move || supervise("respond", &stop, &health, || member::run(&spec, &stop).map(|_| Ended::Stopped));
        Ok(std::thread::Builder::new().name("respond".into()).spawn(role)?)
    }

    fn archive(&self, current: &Arc<std::sync::Mutex<Loaded>>, rings: &Arc<Rings>) -> Result<Running, Error> {
        let Some(archive) = &self.environment.archive else {
            return Err(Error::user("the role `archive` needs to know where to").hint("write archive: { path: … } into the environment file"));
        };
        let properties = self.environment.client_properties();
        let (names, instance, bootstrap) = (&self.names, &self.environment.instance, self.bootstrap.as_str());
        let health = self.health.role(Role::Archive.name());
        let spec = ArchiveSpec {
            names: names.clone(),
            member: Settings::member(bootstrap, &names.archive_group, instance).prefetch(self.environment.limits.shares().fetch / 4).with_user(&properties)?,
            admin: Settings::admin(bootstrap).with_user(&properties)?,
            location: super::sql::location(archive)?,
            schema: lock_of(current).pipeline.schema.clone(),
            commit_every: Duration::from_millis(archive.commit_ms),
            keep: Keep { incidents_days: archive.retention_days, older_days: archive.older_days },
            rings: rings.clone(),
            reading: health.reading.clone(),
        };
        let stop = self.stop.clone();
        let role = move || supervise("archive", &stop, &health, || crate::archive::work::run(&spec, &stop).map(|()| Ended::Stopped));
        Ok(std::thread::Builder::new().name("archive".into()).spawn(role)?)
    }
}

/// What live queries need of a process.
struct LiveSql {
    rings: Arc<Rings>,
    port: Option<SqlPort>,
}

fn serve_sql(environment: &Environment, pipeline: &Pipeline, archives: bool) -> Result<LiveSql, Error> {
    let rings = Arc::new(Rings::default());
    let Some(address) = environment.listen.sql else { return Ok(LiveSql { rings, port: None }) };
    let Some(archive) = &environment.archive else {
        return Err(Error::user("`listen.sql` has nothing to show without `archive`").hint("write archive: { path: … } into the environment file"));
    };
    let catalog = Catalog::new(&super::sql::location(archive)?, archives.then_some(&*rings), &pipeline.schema);
    let sql = &environment.sql;
    let threads = sql.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)));
    let engine = Arc::new(Engine::new(catalog, Some(pipeline), super::sql::bounds(sql, threads))?);
    let spec = WireSpec {
        address,
        login: sql.login.as_ref().map(|(user, password)| (user.clone(), password.expose().to_owned())),
        tls: sql.tls.clone(),
        connections: usize::try_from(sql.connections).unwrap_or(usize::MAX),
        threads,
    };
    Ok(LiveSql { rings, port: Some(SqlPort::open(&spec, engine)?) })
}

/// What the pipeline says about its playbooks.
fn playbooks_of(pipeline: &Pipeline, environment: &Environment) -> Result<Setup, Error> {
    let outputs = environment.archive.as_ref().map(|archive| super::sql::location(archive).and_then(|location| Ok(Outputs::open(&location)?)));
    Setup::of(pipeline, outputs.transpose()?)
}

fn lock_of(current: &std::sync::Mutex<Loaded>) -> std::sync::MutexGuard<'_, Loaded> {
    current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Loads the pipeline anew. Only one that passes its checks and its own tests takes the place
/// of the current one.
fn reload(member: &Member<'_>, current: &std::sync::Mutex<Loaded>, swap: &AtomicBool, playbooks: Option<&Next>) {
    let keep = |why: String| {
        tracing::error!("the pipeline is not reloaded, the old one goes on: {why}");
        eprintln!("{} {why}; the old pipeline goes on", err_style("not reloaded:", Style::Bad));
    };
    let (compiled, diagnostics) = compile(&member.args.pipeline, &Options { arrival: None });
    let Some((pipeline, plan)) = compiled else {
        eprint!("{}", diagnostics.render(colour_err()));
        return keep(diagnostics.summary());
    };
    let before = lock_of(current).clone();
    if pipeline.name.value != before.pipeline.name.value {
        return keep(format!(
            "its name changed from `{}` to `{}`, and with it all its topics: that takes a new start",
            before.pipeline.name.value, pipeline.name.value
        ));
    }
    if let Some(next) = playbooks {
        // Playbooks and respond.yaml are files of their own, so they may have changed all alone.
        match playbooks_of(&pipeline, &member.environment) {
            Ok(setup) => next.set(setup),
            Err(error) => return keep(error.message),
        }
    }
    if plan.version == before.plan.version {
        tracing::info!(version = %plan.version, "nothing in the pipeline has changed");
        eprintln!("nothing in the pipeline has changed (version {})", plan.version);
        return;
    }
    // Tests take the time of arrival from the event, so they have a plan of their own.
    let tests = compile(&member.args.pipeline, &Options { arrival: Some(crate::ingest::plan::build::Arrival::Occurred) }).0;
    let failed = match tests {
        None => return keep("it changed while it was read".to_owned()),
        Some((tested, plan)) => {
            let plan = Arc::new(plan);
            let fails = |test: &&crate::config::model::Test| run_one(&plan, test).map_or(true, |failures| !failures.is_empty());
            tested.tests.iter().filter(fails).map(|test| test.name.value.clone()).collect::<Vec<_>>()
        }
    };
    if !failed.is_empty() {
        return keep(format!("{} of its tests fail ({})", failed.len(), failed.join(", ")));
    }
    let rules = |plan: &Plan| plan.decide.rules.iter().filter(|rule| rule.matches).map(|rule| (rule.rule_key, rule.name.clone())).collect::<Vec<_>>();
    let (old, new) = (rules(&before.plan), rules(&plan));
    for (_, name) in new.iter().filter(|(key, _)| !old.iter().any(|(known, _)| known == key)) {
        tracing::warn!(rule = %name, "its `match` is new or has changed: it begins with an empty index");
        eprintln!("{} the `match` of rule `{name}` is new or has changed: it begins with an empty index", err_style("note:", Style::Warn));
    }
    tracing::info!(from = %before.plan.version, to = %plan.version, "the pipeline is reloaded");
    eprintln!("reloaded: version {} → {}", before.plan.version, plan.version);
    *lock_of(current) = Loaded { pipeline: Arc::new(pipeline), plan: Arc::new(plan) };
    swap.store(true, Ordering::Release);
}
