//! What the user typed → one function per command.
//!
//! Exit codes: 0 done; 1 done, and the answer is no (mistakes found, tests failed, counters
//! that do not add up); 2 could not be done.

pub mod args;
pub mod backfill;
pub mod check;
pub mod completions;
pub mod content;
pub mod coverage;
pub mod dead_letters;
pub mod demo;
pub mod diff;
pub mod environment;
pub mod explain;
mod explain_rows;
pub mod explain_sql;
pub mod generate;
pub mod incident;
pub mod load;
pub mod load_report;
pub mod load_run;
pub mod output;
pub mod playbook;
pub mod replay;
pub mod respond;
pub mod run;
pub mod samples;
mod saying;
pub mod sql;
pub mod status;
pub mod summary;
pub mod tap;
pub mod test;
pub mod test_content;
pub mod text;
pub mod top;
pub mod topics;

use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, Fault};

/// What a command says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Yes,
    /// Done, and the answer is no.
    No,
}

/// What a panic tells may hold values of events, which belong into no log: say where it was,
/// and no more. Whoever asks for a backtrace gets the whole.
///
/// And who pipes our output into `head` has seen enough: `println!` knows no other way to say it.
fn quiet_panics() {
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(0);
        }
        if wanted {
            return usual(info);
        }
        let at = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        eprintln!("internal error{at}: this is a bug of catchment, please report it");
    }));
}

/// Runs the program.
pub fn main() -> ExitCode {
    quiet_panics();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are not errors; clap prints to the right stream.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match output::init(&args).and_then(|()| run(&args)) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            report(&error);
            ExitCode::from(2)
        }
    }
}

fn run(args: &args::Args) -> Result<Answer, Error> {
    match &args.command {
        args::Command::Check(check) => check::run(check),
        args::Command::Content(content) => content::run(content),
        args::Command::Run(run) => run::run(run),
        args::Command::Replay(replay) => replay::run(replay),
        args::Command::Coverage(coverage) => coverage::run(coverage),
        args::Command::Diff(diff) => diff::run(diff),
        args::Command::Backfill(backfill) => backfill::run(backfill),
        args::Command::DeadLetters(dead_letters) => dead_letters::run(dead_letters),
        args::Command::Load(load) => load_run::run(load),
        args::Command::Demo(demo) => demo::run(demo),
        args::Command::Test(test) => test::run(test),
        args::Command::Incident(incident) => incident::run(incident),
        args::Command::Playbook(playbook) => playbook::run(playbook),
        args::Command::Respond(respond) => respond::run(respond),
        args::Command::Explain(explain) => explain::run(explain),
        args::Command::Generate(generate) => generate::run(generate),
        args::Command::Sql(sql) => sql::run(sql),
        args::Command::Tap(tap) => tap::run(tap),
        args::Command::Top(top) => top::run(top),
        args::Command::Status(status) => status::run(status),
        args::Command::Topics(topics) => topics::run(topics),
        args::Command::Completions(completions) => completions::run(completions),
    }
}

fn report(error: &Error) {
    if error.message.is_empty() {
        // What was wrong has been printed already.
        return;
    }
    let head = output::err_style("error", output::Style::Bad);
    eprintln!("{head}: {}", error.message);
    if let Some(hint) = &error.hint {
        eprintln!("  hint: {hint}");
    }
    if error.fault == Fault::Environment && error.retry {
        eprintln!("  trying again may help");
    }
}
