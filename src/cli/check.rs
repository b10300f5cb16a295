//! `catchment check`: all mistakes of a pipeline at once.

use super::args::Check;
use super::load::compile;
use super::{Answer, output};
use crate::config::Severity;
use crate::error::Error;
use crate::ingest::plan::build::Options;

/// Runs the command.
pub fn run(args: &Check) -> Result<Answer, Error> {
    let (compiled, diagnostics) = compile(&args.pipeline, &Options::default());
    match args.format.as_str() {
        "plain" => print!("{}", diagnostics.plain()),
        "json" => println!("{}", diagnostics.to_json()),
        _ => print!("{}", diagnostics.render(output::colour_out())),
    }
    let warnings = diagnostics.iter().any(|d| d.severity == Severity::Warning);
    let bad = diagnostics.has_errors() || (args.strict && warnings);
    if args.format == "pretty" {
        match &compiled {
            Some((pipeline, plan)) if !bad => {
                let paths = plan.sources.iter().map(|s| s.paths.len()).max().unwrap_or_default();
                let note = if warnings { format!(", {}", diagnostics.summary()) } else { String::new() };
                println!(
                    "{} {}: {} types, {} filters, {} rules, {} sources, {} event paths, {} tests (version {}){note}",
                    output::style("ok", output::Style::Good),
                    plan.name,
                    plan.types.len(),
                    plan.filters.len(),
                    plan.rules.len(),
                    plan.sources.len(),
                    paths,
                    pipeline.tests.len(),
                    plan.version,
                );
            }
            _ => println!("{}", output::style(&diagnostics.summary(), output::Style::Bad)),
        }
    }
    if compiled.is_none() && diagnostics.files().files().next().is_none() {
        // Nothing was read, so nothing was checked; why has been said above.
        return Err(Error::user(""));
    }
    Ok(if bad || compiled.is_none() { Answer::No } else { Answer::Yes })
}
