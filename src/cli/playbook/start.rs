//! `catchment playbook start`: a playbook is asked for on an incident of a running pipeline, and run there.

use std::time::{Duration, Instant};

use super::answer::{LOOK_EVERY, WAIT_SECONDS_DEFAULT, nobody, told};
use super::runs::Runs;
use crate::cli::Answer;
use crate::cli::incident::{Which, id_of, newest};
use crate::cli::output::{Style, style};
use crate::cli::saying::{Pipe, new_id};
use crate::error::Error;
use crate::incident::order::{Order, WORD_BYTES_MAX};
use crate::respond::run::Run;

/// `playbook start`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The role `respond` runs it, as if the incident had just been created; the command waits until the run was accepted. `playbook run --incident` runs it in its own process instead.\n\nExamples:\n  catchment playbook start \"Brute Force\" 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 --pipeline pipelines/soc\n  catchment playbook start \"Brute Force\" 0f3ad6c2b1e84f6da2c07d3f5b9e1a44 -p pipelines/soc --mode simulate\n\nExit codes: 0 the run is there; 1 there is no such incident; 2 could not be done, or nobody took it up."
)]
pub struct StartArgs {
    /// The playbook: its name or id
    pub playbook: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,
    /// What commands with an effect do: run, ask, simulate; never more than the pipeline lets them
    #[arg(long, value_name = "MODE", value_parser = ["run", "ask", "simulate"])]
    pub mode: Option<String>,
    /// Who does this [default: cli: and the name of the user]
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Do not wait until the run was accepted; print its id
    #[arg(long)]
    pub no_wait: bool,
    /// Longest wait until the run was accepted
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS_DEFAULT)]
    pub wait: u64,
}

/// Runs the command.
pub fn run(args: &StartArgs) -> Result<Answer, Error> {
    if args.playbook.is_empty() || args.playbook.len() > WORD_BYTES_MAX {
        return Err(Error::user("that is no name of a playbook"));
    }
    let about = id_of(&args.which.id)?;
    let Some(incident) = newest(&args.which)? else {
        eprintln!("there is no incident {about} in this pipeline");
        return Ok(Answer::No);
    };
    let incident = String::from_utf8(incident).map_err(|_| Error::environment("the newest record of this incident is no incident"))?;
    let runs = Runs::of(Pipe::find(&args.which.pipeline, &args.which.environment)?)?;
    let partition = runs.partition(about);
    let mut from = runs.end(partition)?;
    let id = new_id();
    // As the role names it: what started it is this request.
    let run = Run::new(&about.to_string(), &args.playbook, &format!("request {id}"), serde_json::Value::Null).id;
    let order = Order::Start { playbook: args.playbook.as_str().into(), mode: args.mode.as_deref().map(Into::into), incident: incident.into() };
    runs.say_of(about, id, order, args.actor.as_deref())?;
    if args.no_wait {
        println!("{run}");
        return Ok(Answer::Yes);
    }
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let (newest, next) = runs.since(&run, partition, from)?;
        from = next;
        if let Some(seen) = newest {
            match args.which.json {
                true => println!("{}", serde_json::json!({ "run": run, "state": seen.state.name() })),
                false => println!("{}: the run {run} is {}", style("accepted", Style::Good), told(&seen)),
            }
            return Ok(Answer::Yes);
        }
        if Instant::now() >= until {
            return Err(nobody(args.wait));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
