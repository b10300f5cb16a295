//! `catchment topics`: what a pipeline needs on Kafka, compared with what is there, and made
//! where it is missing. Nothing that exists is ever changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Answer;
use super::environment::{EnvironmentArgs, connect};
use super::load::require_pipeline;
use crate::config::environment::Environment;
use crate::config::limits::PARTITIONS_MAX;
use crate::config::model::{self, Pipeline};
use crate::error::Error;
use crate::kafka::{Admin, Cluster, ConfigValue, NewTopic, Topic, source_topics};
use crate::run::Names;
use crate::run::layout::{Fix, Problem, Role, Wanted, Weight, compare, input, outputs, pairing};

mod acl;
mod print;

/// How long a topic that was just made may take to be known to the broker that is asked.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);

/// `topics`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints every topic that the pipeline reads or writes, what differs from how it must be and what to do about it, the consumer groups, the transactional ids, and the permissions that its user needs. --create makes missing topics that the pipeline writes; what exists is never changed or deleted. Topics that it reads are made only with --create-inputs.\n\nExamples:\n  catchment topics pipelines/soc --brokers 127.0.0.1:9092\n  catchment topics pipelines/soc --create\n  catchment topics pipelines/soc --format sh > topics.sh     for whoever may create topics\n\nExit codes: 0 everything that is needed is there; 1 something is missing or wrong; 2 could not be done."
)]
pub struct TopicsArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
    /// Make what is missing of the topics that the pipeline writes
    #[arg(long)]
    pub create: bool,
    /// Make missing input topics too, with so many partitions
    #[arg(long, value_name = "N", requires = "create", value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX as i64))]
    pub create_inputs: Option<i32>,
    /// Do not ask the brokers: print what is needed as if nothing were there
    #[arg(long, conflicts_with = "create")]
    pub offline: bool,
    /// table; json; sh: a script of Kafka's own tools
    #[arg(long, default_value = "table", value_parser = ["table", "json", "sh"])]
    pub format: String,
}

/// A topic's configuration.
type Configs = BTreeMap<String, ConfigValue>;

/// One topic: as it must be, as it is, and the difference.
struct Row {
    wanted: Wanted,
    /// The source that reads it.
    source: Option<String>,
    found: Option<(Topic, Configs)>,
    problems: Vec<Problem>,
    created: bool,
}

/// Everything that is printed.
struct Report<'a> {
    pipeline: &'a Pipeline,
    environment: &'a Environment,
    bootstrap: &'a str,
    /// `None` with `--offline`.
    cluster: Option<Cluster>,
    names: Names,
    rows: Vec<Row>,
    /// Patterns that find no topic, with the source's name.
    idle: Vec<(String, String)>,
}

impl Report<'_> {
    fn needed(&self) -> usize {
        self.rows.iter().flat_map(|row| &row.problems).filter(|problem| problem.weight == Weight::Needed).count()
    }
}

/// Runs the command.
pub fn run(args: &TopicsArgs) -> Result<Answer, Error> {
    let pipeline = require_pipeline(&args.pipeline)?;
    let (environment, bootstrap) = match args.offline {
        true => {
            let environment = args.environment.load(Some(&args.pipeline))?;
            let bootstrap = environment.bootstrap().unwrap_or_else(|| "localhost:9092".to_owned());
            (environment, bootstrap)
        }
        false => args.environment.require(Some(&args.pipeline))?,
    };
    let names = Names::of(&pipeline);
    let admin = if args.offline { None } else { Some(connect(&environment, &bootstrap)?) };
    let (rows, idle) = rows(args, &pipeline, &environment, &names, admin.as_ref())?;
    let report = Report {
        pipeline: &pipeline,
        environment: &environment,
        bootstrap: &bootstrap,
        cluster: admin.map(|admin| admin.cluster().clone()),
        names,
        rows,
        idle,
    };
    let text = match args.format.as_str() {
        "json" => format!("{:#}\n", print::json(&report)),
        "sh" => print::script(&report),
        _ => print::table(&report, args),
    };
    super::coverage::print(&text)?;
    Ok(if report.needed() == 0 || args.offline { Answer::Yes } else { Answer::No })
}

/// All topics of the pipeline, made where that was asked for; and patterns that find none.
#[allow(clippy::type_complexity)]
fn rows(
    args: &TopicsArgs,
    pipeline: &Pipeline,
    environment: &Environment,
    names: &Names,
    admin: Option<&Admin>,
) -> Result<(Vec<Row>, Vec<(String, String)>), Error> {
    let written = names.own();
    let named = match admin {
        Some(admin) => admin.sources(&pipeline.sources, &written)?.into_iter().map(|(source, name, _)| (source, name)).collect(),
        None => source_topics(&pipeline.sources, &[], &written),
    };
    let inputs = named.iter().map(|(source, name)| {
        let source = pipeline.sources.get(usize::from(*source)).map(|source| source.name.value.clone());
        (input(name, args.create_inputs, &environment.topics), source)
    });
    let mut rows = settle(inputs.collect(), admin, args.create && args.create_inputs.is_some())?;
    let missing = rows.iter().any(|row| row.found.is_none());
    let partitions = rows.iter().filter_map(|row| row.found.as_ref()).map(|(topic, _)| topic.partitions).max().filter(|_| !missing);
    let outputs = outputs(pipeline, names, &environment.topics, partitions).into_iter().map(|wanted| (wanted, None)).collect();
    let mut outputs = settle(outputs, admin, args.create)?;
    let topic = |rows: &[Row], role| rows.iter().find(|row| row.wanted.role == role).and_then(|row| row.found.as_ref().map(|(topic, _)| topic.clone()));
    for role in [Role::States, Role::Runs] {
        if let (Some(facts), Some(states)) = (topic(&outputs, Role::Facts), topic(&outputs, role))
            && let Some(problem) = pairing(&facts, &states, role)
            && let Some(row) = outputs.iter_mut().find(|row| row.wanted.role == role)
        {
            row.problems.insert(0, problem);
        }
    }
    rows.append(&mut outputs);
    Ok((rows, if admin.is_some() { idle_patterns(pipeline, &named) } else { Vec::new() }))
}

fn idle_patterns(pipeline: &Pipeline, named: &[(u16, String)]) -> Vec<(String, String)> {
    let mut idle = Vec::new();
    for (number, source) in pipeline.sources.iter().enumerate() {
        for topic in &source.topics {
            if let model::Topic::Pattern(pattern) = &topic.value
                && let Ok(regex) = regex::Regex::new(pattern)
                && !named.iter().any(|(source, name)| usize::from(*source) == number && regex.is_match(name))
            {
                idle.push((pattern.clone(), source.name.value.clone()));
            }
        }
    }
    idle
}

/// Compares topics with what is there, after making those that are missing, with `create`.
fn settle(wanted: Vec<(Wanted, Option<String>)>, admin: Option<&Admin>, create: bool) -> Result<Vec<Row>, Error> {
    let row = |(wanted, source): (Wanted, Option<String>), found| Row { wanted, source, found, problems: Vec::new(), created: false };
    let Some(admin) = admin else { return Ok(wanted.into_iter().map(|one| row(one, None)).collect()) };
    let names: Vec<String> = wanted.iter().map(|(wanted, _)| wanted.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = look(admin, &names)?;
    let mut rows: Vec<Row> = wanted.into_iter().zip(found).map(|(one, found)| row(one, found)).collect();
    if create {
        make(admin, &mut rows)?;
    }
    for row in &mut rows {
        let compared = compare(&row.wanted, row.found.as_ref().map(|(topic, configs)| (topic, configs)));
        // Why it could not be made says more than that it is missing.
        if row.problems.is_empty() || row.found.is_some() {
            row.problems = compared;
        }
    }
    Ok(rows)
}

/// Topics and their configuration, in the order of the names.
fn look(admin: &Admin, names: &[&str]) -> Result<Vec<Option<(Topic, Configs)>>, Error> {
    let topics = admin.topics(names)?;
    let there: Vec<&str> = topics.iter().flatten().map(|topic| topic.name.as_str()).collect();
    let mut configs = admin.configs(&there)?.into_iter();
    Ok(topics.into_iter().map(|topic| topic.map(|topic| (topic, configs.next().unwrap_or_default()))).collect())
}

fn make(admin: &Admin, rows: &mut [Row]) -> Result<(), Error> {
    let missing: Vec<NewTopic> = rows.iter().filter(|row| row.found.is_none()).filter_map(|row| row.wanted.to_create()).collect();
    let mut made = Vec::new();
    for (name, result) in admin.create(&missing)? {
        let Some(row) = rows.iter_mut().find(|row| row.wanted.name == name) else { continue };
        match result {
            Ok(()) => {
                row.created = true;
                made.push(name);
            }
            // Somebody else was quicker.
            Err(error) if error.already_exists() => made.push(name),
            Err(error) => row.problems.push(Problem {
                weight: Weight::Needed,
                what: "exists".into(),
                wanted: "yes".into(),
                found: "no".into(),
                why: error.to_string(),
                fix: error.hint().map_or(Fix::Create, |hint| Fix::Advice(hint.to_owned())),
            }),
        }
    }
    let names: Vec<&str> = made.iter().map(String::as_str).collect();
    let since = Instant::now();
    let mut found = admin.topics(&names)?;
    while found.iter().any(Option::is_none) && since.elapsed() < APPEARS_WITHIN {
        std::thread::sleep(Duration::from_millis(50));
        found = admin.topics(&names)?;
    }
    for (name, found) in names.iter().zip(look(admin, &names)?) {
        if let Some(row) = rows.iter_mut().find(|row| row.wanted.name == *name) {
            row.found = found;
        }
    }
    Ok(())
}
