//! `catchment playbook check`: what is wrong with playbooks, and what they need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::Answer;
use super::super::output::{Style, style};
use super::super::text::visible;
use super::Within;
use crate::config::Diagnostic;
use crate::content::Kind;
use crate::error::Error;
use crate::respond::command;
use crate::respond::program::{Kind as Does, Program};
use crate::respond::world::{Ability, World};

/// `playbook check`
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every playbook can run here; 1 some cannot; 2 could not be done.")]
pub struct CheckArgs {
    /// Files, directories, packs
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The ways out: mail, credentials, scripts [default: respond.yaml beside the first path or above]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What there is to say about a playbook.
#[derive(Debug, Default)]
struct Findings {
    wrong: Vec<String>,
    doubtful: Vec<String>,
    needs: BTreeSet<String>,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<Answer, Error> {
    let loaded = super::read(args.paths.first().and_then(|path| path.to_str()), &Within { within: args.paths.clone(), config: args.config.clone() })?;
    let mut failed = false;
    let declared = declared(&args.paths);
    let broken: Vec<_> = loaded.content.items.iter().filter(|item| item.kind == Kind::Playbook && item.body.is_none()).map(|item| item.file).collect();
    for diagnostic in loaded.diagnostics.sorted() {
        if diagnostic.code == "unknown-field" && named(&loaded, diagnostic).is_some_and(|name| declared.contains(name)) {
            continue;
        }
        let of_playbook = |file: u32| loaded.content.items.iter().any(|item| item.kind == Kind::Playbook && item.file == file);
        if diagnostic.span.is_some_and(|span| of_playbook(span.file) && (broken.contains(&span.file) || diagnostic.code != "unused")) {
            println!("{}", visible(&loaded.diagnostics.plain_line(diagnostic)));
        }
    }
    failed |= !broken.is_empty();
    for program in loaded.world.library.all() {
        let findings = look(program, &loaded.world);
        let good = findings.wrong.is_empty();
        failed |= !good;
        println!("{} {}", style(if good { "ok   " } else { "wrong" }, if good { Style::Good } else { Style::Bad }), visible(&program.name));
        for line in &findings.wrong {
            println!("      {} {}", style("wrong", Style::Bad), visible(line));
        }
        for line in &findings.doubtful {
            println!("      {} {}", style("note", Style::Warn), visible(line));
        }
        if !findings.needs.is_empty() {
            println!("      needs {}", visible(&findings.needs.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    Ok(if failed { Answer::No } else { Answer::Yes })
}

/// What a diagnostic points at.
fn named<'l>(loaded: &'l super::Loaded, diagnostic: &Diagnostic) -> Option<&'l str> {
    let span = diagnostic.span?;
    loaded.diagnostics.files().file(span.file)?.text.get(span.start as usize..span.end as usize).map(|name| name.trim_matches(['\'', '"']))
}

/// Fields of the pipeline that the playbooks stand in: they are as good as those of packs.
fn declared(paths: &[PathBuf]) -> BTreeSet<String> {
    let above = |path: &PathBuf| path.canonicalize().ok()?.ancestors().take(3).find(|dir| dir.join("pipeline.yaml").is_file()).map(Path::to_owned);
    let fields = |dir: PathBuf| {
        let (pipeline, _) = crate::config::load(&dir);
        let mapped = |pipeline: &crate::config::Pipeline| {
            pipeline.map.iter().flat_map(|section| section.fields.iter().map(|(name, _)| name.value.clone())).collect::<Vec<_>>()
        };
        pipeline.map(|pipeline| mapped(&pipeline).into_iter().chain(pipeline.schema.fields.into_iter().map(|field| field.name)).collect::<Vec<_>>())
    };
    let dirs: BTreeSet<PathBuf> = paths.iter().filter_map(above).collect();
    dirs.into_iter().filter_map(fields).flatten().collect()
}

fn look(program: &Program, world: &World) -> Findings {
    let mut found = Findings::default();
    for node in &program.tasks {
        let missing = |what: String, skips: bool, found: &mut Findings| {
            if skips {
                found.doubtful.push(format!("task {}: {what} is not there, the task will be skipped", node.id));
            } else {
                found.wrong.push(format!("task {}: {what} is not there", node.id));
            }
        };
        match &node.kind {
            Does::Automation { brand, name, .. } => {
                found.needs.insert(name.clone());
                match world.ability(brand.as_deref(), name) {
                    Ability::Missing => missing(format!("`{name}`"), node.skip_unavailable, &mut found),
                    Ability::Builtin(builtin) => {
                        let given = |needed: &&str| node.arguments.iter().any(|(argument, _)| argument.eq_ignore_ascii_case(needed));
                        for needed in builtin.required.iter().filter(|needed| !given(needed)) {
                            found.wrong.push(format!("task {}: `{name}` needs the argument `{needed}`", node.id));
                        }
                    }
                    Ability::External(external) => {
                        let given = |needed: &&String| node.arguments.iter().any(|(argument, _)| argument.eq_ignore_ascii_case(needed));
                        for needed in external.required.iter().filter(|needed| !given(needed)) {
                            found.wrong.push(format!("task {}: `{name}` needs the argument `{needed}`", node.id));
                        }
                    }
                    Ability::StandIn => {}
                }
            }
            Does::Playbook(name) if command::generic::is_playbook(name) => {}
            Does::Playbook(name) => match world.library.find(name) {
                Some(sub) => {
                    found.needs.insert(format!("playbook {name}"));
                    let given = |key: &str| node.arguments.iter().any(|(argument, _)| argument == key);
                    for input in sub
                        .inputs
                        .iter()
                        .filter(|input| input.required && !given(&input.key) && matches!(input.value, crate::expr::xsoar::prepared::Prepared::Unset))
                    {
                        found.wrong.push(format!("task {}: the playbook `{name}` needs the input `{}`", node.id, input.key));
                    }
                }
                None => missing(format!("the playbook `{name}`"), node.skip_unavailable, &mut found),
            },
            Does::Condition(branches) => {
                let has = |label: &str| node.edges.iter().any(|(edge, _)| *edge == label.to_lowercase());
                for (label, _) in branches.iter().filter(|(label, _)| !has(label) && !has("#default#")) {
                    found.doubtful.push(format!("task {}: nothing follows the label `{label}`", node.id));
                }
            }
            _ => {}
        }
    }
    found
}
