//! `catchment playbook answer`, `catchment playbook cancel`: what people say to runs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::runs::{Found, Runs, Seen};
use crate::cli::Answer;
use crate::cli::environment::EnvironmentArgs;
use crate::cli::output::{Style, style};
use crate::cli::saying::Pipe;
use crate::cli::text::visible;
use crate::error::Error;
use crate::incident::order::{ANSWERS_BYTES_MAX, AnswerOrder, COMMENT_BYTES_MAX, Order, WORD_BYTES_MAX};
use crate::respond::run::state::Waits;
use crate::respond::run::{RunState, Status};

/// Seconds that a command waits until the run goes on when nothing is said.
pub(super) const WAIT_SECONDS_DEFAULT: u64 = 10;
/// Time between two looks for that.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which run of which pipeline, and how.
#[derive(Debug, clap::Args)]
pub struct RunOf {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// The run: its id, or the beginning of it
    pub run: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
    /// Who does this [default: cli: and the name of the user]
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Do not wait until the run has gone on
    #[arg(long)]
    pub no_wait: bool,
    /// Longest wait until the run has gone on
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS_DEFAULT)]
    pub wait: u64,
}

/// `playbook answer`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The answer is a fact in the pipeline's topic of incidents: the role `respond` takes it up.\n\nExamples:\n  catchment playbook top pipelines/soc                                        what waits\n  catchment playbook answer pipelines/soc 4ac0 5 --label Yes                 a question, a decision, an approval\n  catchment playbook answer pipelines/soc 4ac0 7 --answers 0=7 1=\"by hand\"   a form\n  catchment playbook answer pipelines/soc 4ac0 4 --refuse --comment \"our own host\"\n  catchment playbook answer pipelines/soc 4ac0 6 --again                     a task that failed is tried again; without, it counts as done\n\nExit codes: 0 the run went on; 1 it waits for no such task, or still does; 2 could not be done, or nobody took it up."
)]
pub struct AnswerArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub of: RunOf,
    /// The task: its id in the playbook, or its name
    pub task: String,
    /// What is answered or decided; yes or no for approvals
    #[arg(long)]
    pub label: Option<String>,
    /// Answers to a form, by the ids of its questions
    #[arg(long, num_args = 1.., value_name = "QUESTION=VALUE")]
    pub answers: Vec<String>,
    /// A comment, for the war room
    #[arg(long)]
    pub comment: Option<String>,
    /// A task that failed is tried again, instead of counting as done
    #[arg(long)]
    pub again: bool,
    /// An approval is refused
    #[arg(long, conflicts_with = "again")]
    pub refuse: bool,
    /// Of several turns of the playbook this one
    #[arg(long, value_name = "N")]
    pub frame: Option<u32>,
}

/// `playbook cancel`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What the run did stays; calls that are under way come to their end, and nobody waits for them.\n\nExamples:\n  catchment playbook cancel pipelines/soc 4ac0\n\nExit codes: 0 the run is ended; 1 it was over already; 2 could not be done, or nobody took it up."
)]
pub struct CancelArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub of: RunOf,
}

/// Answers a task that waits.
pub fn answer(args: &AnswerArgs) -> Result<Answer, Error> {
    let bounded = |what: &str, text: &str, max: usize| match text.len() <= max {
        true => Ok(()),
        false => Err(Error::user(format!("{what} is longer than {max} bytes"))),
    };
    let (label, comment) = (args.label.clone().unwrap_or_default(), args.comment.clone().unwrap_or_default());
    bounded("the label", &label, WORD_BYTES_MAX)?;
    bounded("the comment", &comment, COMMENT_BYTES_MAX)?;
    let answers = Value::Object(answers(&args.answers)?).to_string();
    bounded("all answers together", &answers, ANSWERS_BYTES_MAX)?;
    let runs = Runs::of(Pipe::find(&args.of.pipeline, &args.of.environment)?)?;
    let found = runs.one(&args.of.run)?;
    let Some(waits) = meant(&found.run, args) else { return Ok(Answer::No) };
    if args.refuse && waits.status != Status::Approval || args.again && waits.status != Status::Failed {
        return Err(Error::user(format!("task {} {}", waits.task, waits.status.name())).hint("--refuse is for approvals, --again for tasks that failed"));
    }
    let order = AnswerOrder {
        run: found.run.id.as_str().into(),
        task: waits.task.as_str().into(),
        frame: Some(waits.frame),
        label: label.into(),
        answers: answers.into(),
        comment: comment.into(),
        again: args.again,
        refuse: args.refuse,
    };
    let (frame, task, since) = (waits.frame, waits.task.clone(), waits.since_us);
    let still =
        move |run: &Seen| run.waits.iter().any(|waits| waits.frame == frame && waits.task == task && waits.since_us == since && waits.status.is_for_people());
    said(&runs, &found, Order::Answer(order), &args.of, still)
}

/// Ends a run.
pub fn cancel(args: &CancelArgs) -> Result<Answer, Error> {
    let runs = Runs::of(Pipe::find(&args.of.pipeline, &args.of.environment)?)?;
    let found = runs.one(&args.of.run)?;
    if found.run.state.is_over() {
        eprintln!("the run {} is over: {}", found.run.id, found.run.state.name());
        return Ok(Answer::No);
    }
    let order = Order::Cancel { run: found.run.id.as_str().into() };
    said(&runs, &found, order, &args.of, |run| !run.state.is_over())
}

/// The task that is meant, if the run waits for it; else says for what it waits.
fn meant<'r>(run: &'r Seen, args: &AnswerArgs) -> Option<&'r Waits> {
    let open = || run.waits.iter().filter(|waits| waits.status.is_for_people());
    let fits = |waits: &&Waits| args.frame.is_none_or(|frame| frame == waits.frame);
    let by_id = open().filter(fits).find(|waits| waits.task == args.task);
    if let Some(waits) = by_id.or_else(|| open().filter(fits).find(|waits| waits.name == args.task)) {
        return Some(waits);
    }
    match open().next() {
        None => eprintln!("the run {} waits for nobody: it is {}", run.id, run.state.name()),
        Some(_) => {
            eprintln!("the run {} does not wait for that task. It waits for:", run.id);
            open().for_each(|waits| eprintln!("  {} {} ({}, turn {})", visible(&waits.task), visible(&waits.name), waits.status.name(), waits.frame));
        }
    }
    None
}

fn answers(pairs: &[String]) -> Result<Map<String, Value>, Error> {
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=').ok_or_else(|| Error::user("an answer is written QUESTION=VALUE").hint("for example: 0=yes"))?;
        Ok((name.to_owned(), crate::expr::xsoar::context::typed(Value::from(value))))
    };
    pairs.iter().map(pair).collect()
}

/// Writes it, and waits until the run is no longer as it was.
fn said(runs: &Runs, found: &Found, order: Order, how: &RunOf, still: impl Fn(&Seen) -> bool) -> Result<Answer, Error> {
    let mut from = runs.end(found.partition)?;
    runs.say(found, order, how.actor.as_deref())?;
    if how.no_wait {
        println!("{}", found.run.id);
        return Ok(Answer::Yes);
    }
    let until = Instant::now() + Duration::from_secs(how.wait);
    let mut last = None;
    loop {
        let (newest, next) = runs.since(&found.run.id, found.partition, from)?;
        from = next;
        if let Some(run) = newest {
            if !still(&run) {
                println!("{}: the run {} is {}", style("done", Style::Good), run.id, told(&run));
                return Ok(Answer::Yes);
            }
            last = Some(run);
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    match last {
        Some(run) => {
            println!("{}: the run {} is {}; the war room says why", style("refused", Style::Bad), run.id, told(&run));
            Ok(Answer::No)
        }
        None => Err(nobody(how.wait)),
    }
}

/// Nobody took up what was said.
pub(super) fn nobody(seconds: u64) -> Error {
    let mut error = Error::environment(format!("nobody has taken it up within {seconds} s"));
    error.retry = false;
    error.hint("is the role running (`catchment run --role respond`), and are runs not paused (`catchment respond status`)? It is written, and counts as soon as somebody reads it")
}

/// Where a run stands.
pub(super) fn told(run: &Seen) -> String {
    match run.state {
        RunState::Failed if !run.reason.is_empty() => format!("failed: {}", visible(&run.reason)),
        RunState::Waiting => {
            let waits: Vec<String> = run.waits.iter().take(3).map(|waits| format!("{} {}", visible(&waits.task), visible(&waits.name))).collect();
            format!("waiting for {}", waits.join(", "))
        }
        state => state.name().to_owned(),
    }
}
