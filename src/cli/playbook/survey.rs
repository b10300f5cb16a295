//! `catchment playbook survey`: every playbook with generated answers, as a table.

use std::path::PathBuf;

use super::super::Answer;
use super::super::output::{Style, number, percent, style, table};
use super::super::text::visible;
use super::Within;
use crate::error::Error;
use crate::respond::simulate::survey::Survey;
use crate::respond::world::brakes::Mode;

/// `playbook survey`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each playbook runs once a seed. Incidents, contexts, inputs, what commands yield and what people say are generated from what packs declare and from what playbooks read and compare. Commands, scripts and playbooks that are not there are answered for as well.\n\nExit codes: 0 at least 90 % of all runs end done or waiting for a person, and at least 80 % of all tasks are reached; 1 not so; 2 could not be done."
)]
pub struct SurveyArgs {
    /// Packs, directories of packs, files
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Runs of each playbook
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000), value_name = "N")]
    pub seeds: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// A line for each playbook
    #[arg(short, long)]
    pub verbose: bool,
}

/// Runs the command.
pub fn run(args: &SurveyArgs) -> Result<Answer, Error> {
    let within = Within { within: args.paths.clone(), config: None };
    let mut loaded = super::read(None, &within)?;
    loaded.world.declare_all();
    // Nothing happens in the world, so nothing has to be approved.
    loaded.world.brakes.mode = Mode::Run;
    let survey = Survey::run(&loaded.world, args.seeds, |_| {});
    let (reached, tasks) = survey.reached();
    let (done, runs) = (survey.count(&["completed", "waiting"]), survey.runs());
    let good = done * 10 >= runs * 9 && reached * 10 >= tasks * 8 && survey.count(&["endless", "stuck"]) == 0;
    if args.json {
        println!("{}", survey.to_json());
    } else {
        print(&survey, args.verbose);
        let (done, runs, reached, tasks) = (done as u64, runs as u64, reached as u64, tasks as u64);
        let line = format!(
            "{} playbooks, {} runs: {} done or waiting for a person; {} of {} tasks reached ({})",
            survey.rows.len(),
            number(runs),
            percent(done, runs),
            number(reached),
            number(tasks),
            percent(reached, tasks)
        );
        println!("{}", style(&line, if good { Style::Good } else { Style::Bad }));
    }
    Ok(if good { Answer::Yes } else { Answer::No })
}

fn print(survey: &Survey, verbose: bool) {
    if verbose {
        let mut rows = table(&["playbook", "tasks", "reached", "done", "waiting", "failed", "other"], &[1, 2, 3, 4, 5, 6]);
        for row in &survey.rows {
            let count = |ways: &[&str]| row.ended.iter().filter(|(way, _)| ways.contains(way)).map(|(_, count)| count).sum::<usize>();
            let counts = [
                row.tasks,
                row.reached.len(),
                count(&["completed"]),
                count(&["waiting"]),
                count(&["failed"]),
                count(&["endless", "stuck", "running", "new", "cancelled"]),
            ];
            rows.add_row(std::iter::once(visible(&row.playbook).into_owned()).chain(counts.iter().map(ToString::to_string)));
        }
        println!("{rows}");
    }
    let mut ends = table(&["runs", "ended"], &[0]);
    for way in ["completed", "waiting", "failed", "stuck", "endless"] {
        ends.add_row([number(survey.count(&[way]) as u64), way.to_owned()]);
    }
    println!("{ends}");
    let reasons = survey.reasons();
    if !reasons.is_empty() {
        let mut rows = table(&["runs", "failed because"], &[0]);
        for (reason, count) in reasons {
            rows.add_row([number(count as u64), visible(&reason).into_owned()]);
        }
        println!("{rows}");
    }
}
