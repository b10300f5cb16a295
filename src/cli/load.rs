//! Pipeline on disk → compiled plan, with its mistakes printed: what every command does first.

use std::path::Path;

use super::output;
use crate::config::{Diagnostics, Pipeline, load};
use crate::error::Error;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Options, build};

/// Loads and compiles a pipeline. Mistakes are returned, not printed.
pub fn compile(path: &Path, options: &Options) -> (Option<(Pipeline, Plan)>, Diagnostics) {
    let (pipeline, mut diagnostics) = load(path);
    let Some(pipeline) = pipeline else { return (None, diagnostics) };
    let plan = build(&pipeline, options, &mut diagnostics);
    (plan.map(|plan| (pipeline, plan)), diagnostics)
}

/// Reads a pipeline without compiling it, or prints what is wrong with it: for commands that
/// only need its names.
pub fn require_pipeline(path: &Path) -> Result<Pipeline, Error> {
    let (pipeline, diagnostics) = load(path);
    match pipeline.filter(|_| !diagnostics.has_errors()) {
        Some(pipeline) => Ok(pipeline),
        None => {
            eprint!("{}", diagnostics.render(output::colour_err()));
            Err(Error::user(format!("{} cannot be used: {}", path.display(), diagnostics.summary())))
        }
    }
}

/// Loads and compiles a pipeline, or prints what is wrong with it.
pub fn require(path: &Path, options: &Options) -> Result<(Pipeline, Plan), Error> {
    let (compiled, diagnostics) = compile(path, options);
    match compiled {
        Some(compiled) => Ok(compiled),
        None => {
            eprint!("{}", diagnostics.render(output::colour_err()));
            Err(Error::user(format!("{} cannot run: {}", path.display(), diagnostics.summary())))
        }
    }
}
