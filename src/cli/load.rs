//! Pipeline on disk → compiled plan, with its mistakes printed: what every command does first.

use std::path::Path;

use super::output;
use crate::config::{Diagnostic, Diagnostics, Pipeline, load};
use crate::error::Error;
use crate::ingest::plan::Plan;
use crate::ingest::plan::build::{Options, build};

/// Loads and compiles a pipeline. Mistakes are returned, not printed.
pub fn compile(path: &Path, options: &Options) -> (Option<(Pipeline, Plan)>, Diagnostics) {
    let (pipeline, mut diagnostics) = load(path);
    let Some(pipeline) = pipeline else { return (None, diagnostics) };
    not_run_yet(&pipeline, &mut diagnostics);
    let plan = build(&pipeline, options, &mut diagnostics);
    (plan.map(|plan| (pipeline, plan)), diagnostics)
}

/// Classifiers and mappers of content packs are read and resolved, and run in content tests; the
/// plan has no columns for them yet. Running without them would make other incidents.
fn not_run_yet(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    let classifiers = pipeline.classify.xsoar.iter().chain(pipeline.sources.iter().filter_map(|source| source.xsoar_classify.as_ref()));
    let mappers = pipeline.xsoar_map.iter().chain(pipeline.sources.iter().filter_map(|source| source.xsoar_map.as_ref()));
    for (what, id) in classifiers.map(|found| ("classifier", &found.id)).chain(mappers.map(|found| ("mapper", &found.id))) {
        let message = format!("the {what} `{}` loads, but pipelines do not run {what}s of content packs yet", id.value);
        diagnostics.push(Diagnostic::error("not-built-yet", message).at(id.span).hint("`catchment test` runs the tests that stand beside a pack"));
    }
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
