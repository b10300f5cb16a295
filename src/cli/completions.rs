//! `catchment completions`: scripts that complete commands and options in a shell.

use clap::CommandFactory;

use super::Answer;
use super::args::Args;
use crate::error::Error;

/// `completions`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  catchment completions bash > ~/.local/share/bash-completion/completions/catchment\n  catchment completions zsh > ~/.zfunc/_catchment\n  catchment completions fish > ~/.config/fish/completions/catchment.fish"
)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Runs the command.
pub fn run(args: &CompletionsArgs) -> Result<Answer, Error> {
    clap_complete::generate(args.shell, &mut Args::command(), "catchment", &mut std::io::stdout());
    Ok(Answer::Yes)
}
