//! `catchment playbook top`: what waits, why, since when, and for whom.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::runs::{Runs, Seen};
use crate::cli::Answer;
use crate::cli::environment::EnvironmentArgs;
use crate::cli::output::{Style, number, style};
use crate::cli::saying::{Pipe, now_us};
use crate::cli::text::{Cut, Grid, count, visible};
use crate::config::units::format_duration_ms;
use crate::error::Error;
use crate::respond::clock::iso_us;
use crate::respond::run::RunState;

/// Lines that are shown when nothing is said.
const LINES: usize = 40;
/// Groups that are told apart (count).
const GROUPS_MAX: usize = 10_000;

/// `playbook top`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The newest state of every run counts; all of the topic is read, which takes seconds per million records. A run that waits for several tasks stands in several lines.\n\nExamples:\n  catchment playbook top pipelines/soc\n  catchment playbook top pipelines/soc --playbook Phishing --json | jq '.[0]'\n\nExit codes: 0 printed; 2 could not be read."
)]
pub struct TopArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    /// Only runs of this playbook
    #[arg(long, value_name = "NAME")]
    pub playbook: Option<String>,
    /// Only runs for incidents of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub type_name: Option<String>,
    /// Lines at the most
    #[arg(long, value_name = "N", default_value_t = LINES)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
}

/// What runs that wait alike have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    playbook: String,
    state: &'static str,
    task: String,
    name: String,
    why: String,
    who: String,
}

/// Runs that wait alike.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    runs: u64,
    /// Since when the oldest waits, in microseconds, and its id.
    since_us: i64,
    oldest: String,
}

/// Runs the command.
pub fn run(args: &TopArgs) -> Result<Answer, Error> {
    let runs = Runs::of(Pipe::find(&args.pipeline, &args.environment)?)?;
    let fits =
        |run: &Seen| args.playbook.as_ref().is_none_or(|name| *name == run.playbook) && args.type_name.as_ref().is_none_or(|name| name == run.incident("type"));
    let lines = runs.newest("", |value, _| Seen::read(value).filter(|run| fits(run)).map(|run| (run.state, lines_of(&run))))?;
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let mut groups: BTreeMap<Group, Waiting> = BTreeMap::new();
    for (id, (state, lines)) in &lines {
        *states.entry(state.name()).or_default() += 1;
        for (group, since_us) in lines {
            if groups.len() >= GROUPS_MAX && !groups.contains_key(group) {
                continue;
            }
            let waiting = groups.entry(group.clone()).or_default();
            if waiting.runs == 0 || *since_us < waiting.since_us {
                (waiting.since_us, waiting.oldest) = (*since_us, id.clone());
            }
            waiting.runs += 1;
        }
    }
    let mut groups: Vec<(Group, Waiting)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, waiting)| waiting.since_us);
    if args.json {
        let told = groups.iter().map(|(group, waiting)| {
            let Group { playbook, state, task, name, why, who } = group;
            json!({ "playbook": playbook, "state": state, "task": task, "name": name, "why": why, "who": who,
                    "runs": waiting.runs, "since": iso_us(waiting.since_us), "oldest": waiting.oldest })
        });
        println!("{}", json!(told.collect::<Vec<_>>()));
        return Ok(Answer::Yes);
    }
    print!("{}", table(&groups, &states, args.limit, now_us()));
    Ok(Answer::Yes)
}

/// The groups that a run belongs to, and since when.
pub(super) fn lines_of(run: &Seen) -> Vec<(Group, i64)> {
    let group = |task: &str, name: &str, why: &str, who: &str| Group {
        playbook: run.playbook.clone(),
        state: run.state.name(),
        task: task.to_owned(),
        name: name.to_owned(),
        why: why.to_owned(),
        who: who.to_owned(),
    };
    if run.state.is_over() {
        return Vec::new();
    }
    if run.state == RunState::New {
        return vec![(group("", "", "its turn", ""), run.began_us)];
    }
    let mut found: Vec<(Group, i64)> =
        run.waits.iter().map(|waits| (group(&waits.task, &waits.name, waits.status.name(), &waits.who), waits.since_us)).collect();
    found.extend(run.calls().map(|command| (group("", "", &format!("the command {command}"), ""), run.began_us)));
    if found.is_empty() {
        found.push((group("", "", if run.reason.is_empty() { "its turn" } else { &run.reason }, ""), run.began_us));
    }
    found
}

fn table(groups: &[(Group, Waiting)], states: &BTreeMap<&str, u64>, limit: usize, now_us: i64) -> String {
    let counted: Vec<String> = states.iter().map(|(state, runs)| format!("{} {state}", number(*runs))).collect();
    if groups.is_empty() {
        let rest = if counted.is_empty() { String::new() } else { format!(" ({})", counted.join(", ")) };
        return format!("{}{rest}\n", style("nothing waits", Style::Good));
    }
    let mut grid = Grid::new(0)
        .text("playbook", 32, Cut::End)
        .text("state", 9, Cut::End)
        .text("task", 36, Cut::End)
        .text("why", 32, Cut::End)
        .text("who", 20, Cut::End)
        .number("runs", 9)
        .number("oldest", 9)
        .text("run", 8, Cut::End);
    for (group, waiting) in groups.iter().take(limit) {
        let task = format!("{} {}", visible(&group.task), visible(&group.name));
        // A run that has not begun has no time of its own.
        let age = if waiting.since_us > 0 { short(now_us.saturating_sub(waiting.since_us) / 1_000) } else { String::new() };
        let look = if group.state == "failed" { Style::Bad } else { Style::Warn };
        let cells = [
            (visible(&group.playbook).into_owned(), None),
            (group.state.to_owned(), Some(look)),
            (task.trim().to_owned(), None),
            (visible(&group.why).into_owned(), None),
            (visible(&group.who).into_owned(), None),
            (number(waiting.runs), None),
            (age, None),
            (waiting.oldest.get(..8).unwrap_or_default().to_owned(), Some(Style::Dim)),
        ];
        grid.styled(cells);
    }
    let mut out = grid.to_string();
    if groups.len() > limit {
        out.push_str(&format!("and {} more\n", count((groups.len() - limit) as u64, "line", "lines")));
    }
    out.push_str(&format!("{}\n", style(&counted.join(", "), Style::Dim)));
    out
}

/// A time in its largest two units.
fn short(ms: i64) -> String {
    let unit = [86_400_000, 3_600_000, 60_000, 1_000].into_iter().find(|unit| ms >= *unit).unwrap_or(1_000);
    let fine = [3_600_000, 60_000, 1_000, 1_000][[86_400_000, 3_600_000, 60_000, 1_000].iter().position(|known| *known == unit).unwrap_or(3)];
    if ms < 1_000 { "now".to_owned() } else { format_duration_ms(ms / fine * fine) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_with_why_and_for_whom() {
        let state = json!({
            "id": "4ac0", "playbook": "P\u{1b}[2J", "state": "waiting", "began_us": 5, "incident": { "id": "1", "type": "T" },
            "waits": [{ "frame": 0, "task": "7", "name": "look", "status": "person", "since_us": 60_000_000, "who": "ann" }],
            "frames": { "0": { "playbook": "P", "turn": 0, "context": 0, "inputs": {}, "live": 2, "tasks": [
                {}, { "s": "running", "w": { "call": { "command": "block", "arguments": {} } } }] } },
        });
        let run = Seen::read(state.to_string().as_bytes()).unwrap();
        let lines = lines_of(&run);
        let whys: Vec<&str> = lines.iter().map(|(group, _)| group.why.as_str()).collect();
        assert_eq!(whys, ["waits for a person", "the command block"]);
        let groups = lines.into_iter().map(|(group, since_us)| (group, Waiting { runs: 1, since_us, oldest: "4ac00000000".into() })).collect::<Vec<_>>();
        let shown = table(&groups, &BTreeMap::from([("waiting", 1)]), 1, 60_000_000 + 3_725_000_000);
        assert!(!shown.contains('\u{1b}') && shown.contains("7 look") && shown.contains("ann"), "{shown}");
        assert!(shown.contains("1h2m ") && shown.contains("and 1 line more"), "{shown}");
        let over = json!({ "id": "4ac0", "playbook": "P", "state": "completed" });
        assert_eq!(lines_of(&Seen::read(over.to_string().as_bytes()).unwrap()), []);
        assert!(Seen::read(b"").is_none());
    }
}
