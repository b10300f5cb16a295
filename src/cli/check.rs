//! `catchment check`: all mistakes of a pipeline at once.

use super::args::Check;
use super::environment::EnvironmentArgs;
use super::load::compile;
use super::{Answer, output};
use crate::archive::work::changed_fields;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::schema::Schema;
use crate::config::{self, Severity};
use crate::error::Error;
use crate::ingest::plan::build::Options;

/// Columns of the archive keep their types: a field that is declared otherwise now could not be written.
fn against_archive(args: &Check, schema: &Schema, diagnostics: &mut Diagnostics) {
    let environment = EnvironmentArgs { config: args.config.clone(), ..EnvironmentArgs::default() };
    let Some(file) = environment.file(Some(&args.pipeline)) else { return };
    let (Some(found), _) = config::environment::load(&file) else { return };
    let Some(archive) = found.archive else { return };
    let compared = super::sql::location(&archive).and_then(|location| changed_fields(&location, schema));
    match compared {
        Ok(changed) => {
            for changed in changed {
                let span = schema.field(&changed.field).map(|field| field.span);
                let mistake = Diagnostic::error("archived-type", changed.to_string());
                let mistake = span.into_iter().fold(mistake, |mistake, span| mistake.at(span));
                diagnostics.push(mistake.hint("a column keeps its type: give the field another name, or archive to a new place"));
            }
        }
        // What cannot be looked at now is found by the role that archives.
        Err(error) => diagnostics.push(Diagnostic::warning("archive", format!("the archive of {} could not be compared: {error}", file.display()))),
    }
}

/// Runs the command.
pub fn run(args: &Check) -> Result<Answer, Error> {
    let (compiled, mut diagnostics) = compile(&args.pipeline, &Options::default());
    if let Some((pipeline, _)) = &compiled {
        against_archive(args, &pipeline.schema, &mut diagnostics);
    }
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
