//! `catchment playbook run`.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::Answer as Said;
use super::{Within, trace};
use crate::cli::environment::EnvironmentArgs;
use crate::cli::incident::Which;
use crate::config::{Diagnostics, yaml};
use crate::error::Error;
use crate::respond::clock::now_us;
use crate::respond::local::{self, Watcher};
use crate::respond::outside::Outside;
use crate::respond::run::{Answer, Ask, Effect, Run, RunState};
use crate::respond::simulate::answers::Answers;
use crate::respond::simulate::generate::Generator;
use crate::respond::simulate::{Responder, simulate_whole};
use crate::respond::world::brakes::Mode;

/// `playbook run`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --simulate the playbook runs for real: requests and mails go out, scripts run. Commands with an effect then wait for a person unless respond.yaml says `mode: run`, or --mode does.\n\nExamples:\n  catchment playbook run playbooks/phishing.yml --file incident.json --simulate answers.yaml\n  catchment playbook run \"Phishing\" --in packs/ --file incident.json --simulate generate:7\n  catchment playbook run playbooks/phishing.yml --file incident.json --mode run --say 12=yes\n  catchment playbook run playbooks/phishing.yml --incident 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --pipeline pipelines/soc --mode simulate"
)]
pub struct RunArgs {
    /// The playbook: a file, or a name within --in
    pub playbook: String,
    /// The incident as JSON: a file, or -
    #[arg(long, value_name = "FILE", required_unless_present = "incident")]
    pub file: Option<PathBuf>,
    /// The incident of a running pipeline: its id
    #[arg(long, value_name = "ID", conflicts_with = "file", requires = "pipeline")]
    pub incident: Option<String>,
    /// The pipeline whose incident it is; the run stays in this process, and is not recorded there
    #[arg(long, value_name = "PIPELINE")]
    pub pipeline: Option<PathBuf>,
    /// Brokers, instead of those in the environment file
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub brokers: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub within: Within,
    /// Answers in the place of commands and people: a file, or generate[:SEED]
    #[arg(long, value_name = "ANSWERS")]
    pub simulate: Option<String>,
    /// An input in the place of what the playbook says
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// What commands with an effect do: run, ask, simulate
    #[arg(long, value_name = "MODE", value_parser = ["run", "ask", "simulate"])]
    pub mode: Option<String>,
    /// What a person says to a task: its id, and a label
    #[arg(long = "say", value_name = "TASK=LABEL")]
    pub say: Vec<String>,
    /// Write the run's state at the end as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
    /// Whole entries, not their first lines
    #[arg(short, long)]
    pub verbose: bool,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Said, Error> {
    let mut within = args.within.clone();
    let beside = args.pipeline.as_ref().map(|pipeline| pipeline.join("playbooks")).filter(|dir| within.within.is_empty() && dir.is_dir());
    within.within.extend(beside.filter(|_| !PathBuf::from(&args.playbook).is_file()));
    let mut loaded = super::read(Some(&args.playbook), &within)?;
    let id = loaded.id(&args.playbook)?;
    let Some(incident) = incident(args)? else { return Ok(Said::No) };
    if let Some(mode) = args.mode.as_deref().and_then(Mode::parse) {
        loaded.world.brakes.mode = mode;
        loaded.world.brakes.types.clear();
    }
    let number = incident.get("id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let mut run = Run::new(&number, &id, "by hand", incident);
    for pair in &args.inputs {
        let (name, value) = pair.split_once('=').ok_or_else(|| Error::user(format!("`{pair}` is not NAME=VALUE")))?;
        run.given.insert(name.to_owned(), crate::expr::xsoar::context::typed(serde_json::Value::from(value)));
    }
    let said: Vec<(String, String)> =
        args.say.iter().map(|pair| pair.split_once('=').map_or((pair.clone(), String::new()), |(task, label)| (task.to_owned(), label.to_owned()))).collect();
    match &args.simulate {
        Some(how) => {
            let trace = match how.strip_prefix("generate").map(|rest| rest.trim_start_matches(':').parse().unwrap_or(1)) {
                Some(seed) if !PathBuf::from(how).exists() => {
                    loaded.world.declare_all();
                    let mut generator = Generator::new(&loaded.world, &id, seed);
                    simulate_whole(&mut run, &loaded.world, &mut Both { said: &said, then: &mut generator }, now_us())
                }
                _ => {
                    let mut answers = answers(how)?;
                    loaded.world.stand_in = true;
                    simulate_whole(&mut run, &loaded.world, &mut Both { said: &said, then: &mut answers }, now_us())
                }
            };
            if !args.json {
                for effect in &trace.all {
                    trace::print(effect, args.verbose);
                }
            }
        }
        None => real(&mut run, loaded, &said, args)?,
    }
    if args.json {
        let state = serde_json::to_string(&run).map_err(|_| Error::bug("the state of the run is no JSON"))?;
        println!("{state}");
    } else {
        trace::end(&run);
    }
    Ok(if matches!(run.state, RunState::Failed | RunState::Cancelled) { Said::No } else { Said::Yes })
}

fn incident(args: &RunArgs) -> Result<Option<serde_json::Value>, Error> {
    match (&args.file, &args.incident, &args.pipeline) {
        (Some(file), _, _) => super::incident(file).map(Some),
        (None, Some(id), Some(pipeline)) => {
            let environment = EnvironmentArgs { config: None, brokers: args.brokers.clone() };
            super::incident_of(&Which { id: id.clone(), pipeline: pipeline.clone(), environment, json: false })
        }
        _ => Err(Error::user("name an incident: --file, or --incident and --pipeline")),
    }
}

fn answers(path: &str) -> Result<Answers, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::user(format!("cannot read {path}: {error}")))?;
    let mut out = Diagnostics::new();
    let file = out.add_file(path, text);
    let answers = yaml::read(file, &mut out).and_then(|node| Answers::read(&node, &mut out));
    match answers.filter(|_| !out.has_errors()) {
        Some(answers) => Ok(answers),
        None => {
            eprint!("{}", out.render(super::super::output::colour_err()));
            Err(Error::user(String::new()))
        }
    }
}

fn real(run: &mut Run, loaded: super::Loaded, said: &[(String, String)], args: &RunArgs) -> Result<(), Error> {
    let outside = Arc::new(Outside::new(loaded.settings).map_err(Error::user)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminal = Terminal { said, quiet: args.json, verbose: args.verbose };
    runtime.block_on(local::run(run, &loaded.world, &outside, &mut terminal));
    Ok(())
}

/// What was said on the command line comes first.
struct Both<'a> {
    said: &'a [(String, String)],
    then: &'a mut dyn Responder,
}

impl Responder for Both<'_> {
    fn call(&mut self, run: &Run, call: &crate::respond::run::Call) -> Result<crate::respond::run::Output, crate::respond::run::Failure> {
        self.then.call(run, call)
    }

    fn ask(&mut self, run: &Run, ask: &Ask) -> Option<Answer> {
        spoken(self.said, ask).or_else(|| self.then.ask(run, ask))
    }
}

fn spoken(said: &[(String, String)], ask: &Ask) -> Option<Answer> {
    let (_, label) = said.iter().find(|(task, _)| *task == ask.task || *task == ask.name)?;
    let actor = std::env::var("USER").unwrap_or_else(|_| "cli".to_owned());
    Some(Answer {
        task: ask.task.clone(),
        frame: Some(ask.key.frame),
        actor: format!("cli:{actor}"),
        label: label.clone(),
        refuse: ask.kind == "approval" && label == "no",
        ..Answer::default()
    })
}

struct Terminal<'a> {
    said: &'a [(String, String)],
    quiet: bool,
    verbose: bool,
}

impl Watcher for Terminal<'_> {
    fn effect(&mut self, _: &Run, effect: &Effect) {
        if !self.quiet {
            trace::print(effect, self.verbose);
        }
    }

    fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        spoken(self.said, ask)
    }
}
