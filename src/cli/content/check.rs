//! `catchment content check`: a line an item, the reasons below it, and sums.

use std::path::PathBuf;

use super::super::Answer;
use super::super::output::{Style, style};
use super::super::text::visible;
use super::{Meant, many};
use crate::content::expressions::{self, Tally};
use crate::content::report::{Line, Report, Verdict};
use crate::content::{Content, Kind};
use crate::error::Error;

/// `content check`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every JSON and YAML file below the path is looked at and told by its content, whatever it is called. An item loads, or warns (it works, but something in it is passed over or leads nowhere), or fails. Mistakes are told all at once.\n\nExit codes: 0 nothing fails; 1 something does; 2 could not be done."
)]
pub struct CheckArgs {
    /// Packs, directories of packs, files
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Only items that warn or fail
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub meant: Meant,
}

/// How many of the most frequent reasons the sums tell, each if it is given this often.
const FREQUENT: usize = 5;
const OFTEN: usize = 5;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<Answer, Error> {
    let (content, diagnostics) = super::read(&args.paths, &args.meant)?;
    let report = Report::new(&content, &diagnostics);
    let tally = expressions::tally(&content);
    if args.json {
        let mut json = report.to_json();
        if let Some(object) = json.as_object_mut() {
            object.insert("expressions".to_owned(), tally.to_json());
        }
        println!("{json}");
    } else {
        print(&report, &content, &tally, args.quiet);
    }
    Ok(if report.failed() { Answer::No } else { Answer::Yes })
}

fn print(report: &Report<'_>, content: &Content, tally: &Tally, quiet: bool) {
    for line in report.lines.iter().filter(|line| !quiet || line.verdict != Verdict::Loads) {
        item(report, content, line);
    }
    for diagnostic in &report.loose {
        let place = report.place(diagnostic);
        let colon = if place.is_empty() { "" } else { ": " };
        println!("{}  {place}{colon}{}", style("fails", Style::Bad), visible(&diagnostic.message));
    }
    if !report.lines.is_empty() {
        println!();
    }
    for kind in Kind::ALL {
        let [loads, warns, fails] = [Verdict::Loads, Verdict::Warns, Verdict::Fails].map(|verdict| report.count(Some(kind), verdict));
        if loads + warns + fails > 0 {
            println!("{:>6} {kind:<18} {loads:>5} load, {warns:>4} warn, {fails:>4} fail", loads + warns + fails);
        }
    }
    tally.lines().iter().for_each(|line| println!("{line}"));
    for (count, message) in report.frequent().into_iter().take(FREQUENT).filter(|(count, _)| *count >= OFTEN) {
        println!("{count:>6} times: {}", visible(message));
    }
    let mut reasons = report.lines.iter().flat_map(|line| &line.reasons);
    if reasons.any(|reason| matches!(reason.code, "unknown-type" | "unknown-field" | "unknown-script" | "dangling")) {
        println!("what is not in these packs may be in others: check those together that are used together");
    }
    let sum = format!(
        "{} in {}: {} load, {} warn, {} fail",
        many(report.lines.len(), "item"),
        many(content.packs.len(), "pack"),
        report.count(None, Verdict::Loads),
        report.count(None, Verdict::Warns),
        report.count(None, Verdict::Fails)
    );
    let others = if content.others > 0 { format!("; {} other files have no part in incidents", content.others) } else { String::new() };
    println!("{}{others}", style(&sum, if report.failed() { Style::Bad } else { Style::Good }));
}

fn item(report: &Report<'_>, content: &Content, line: &Line<'_>) {
    let tone = match line.verdict {
        Verdict::Loads => Style::Good,
        Verdict::Warns => Style::Warn,
        Verdict::Fails => Style::Bad,
    };
    let head = &line.item.head;
    let window = if content.in_window(line.item) { String::new() } else { format!(" (for {})", head.window) };
    println!("{}  {:<17} {}{window}  {}", style(line.verdict.as_str(), tone), line.item.kind, visible(&head.id), style(report.file(line.item), Style::Dim));
    for reason in &line.reasons {
        let hint = reason.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        println!("       {}: {}[{}]: {}{}", report.position(reason), reason.severity.as_str(), reason.code, visible(&reason.message), visible(&hint));
    }
}
