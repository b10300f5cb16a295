//! `catchment dead-letters list`: which reasons, how often, where first and last, and a few
//! of the letters.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::input::{Input, RangeArgs};
use super::letter::Letter;
use super::report_bad;
use crate::cli::Answer;
use crate::cli::environment::{EnvironmentArgs, connect};
use crate::cli::load::require_pipeline;
use crate::cli::output::{Style, number, style};
use crate::cli::text::{Cut, Grid, clip, count, visible, width};
use crate::error::Error;
use crate::run::Names;

/// Different (reason, detail) pairs that are told apart (count).
pub const GROUPS_MAX: usize = 1_000;
/// Bytes of a message shown before and behind the place where it is wrong.
const AROUND_BYTES: usize = 60;
/// Columns of raw content in a line.
const RAW_COLUMNS: usize = 92;

/// `dead-letters list`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Places are file:line for messages from files, topic/partition@offset for records of Kafka, and #n for event n (0-based) of a message that holds several. In details, N stands for any number.\n\nMessages may hold what not everybody may read: their content is shown only with --show-raw.\n\nExamples:\n  catchment dead-letters list dead.ndjson\n  catchment dead-letters list --pipeline pipelines/soc --config catchment.yaml\n  catchment dead-letters list dead.ndjson --reason syntax --show-raw --limit 20\n\nExit codes: 0 done; 1 done, but some lines are no dead letters; 2 could not be done."
)]
pub struct ListArgs {
    /// Files with dead letters, as replay --dead-letters writes them (also compressed), or -
    #[arg(required_unless_present_any = ["pipeline", "topic"], conflicts_with_all = ["pipeline", "topic"], value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Instead of files: the topic of this pipeline
    #[arg(long, value_name = "PIPELINE")]
    pub pipeline: Option<PathBuf>,
    /// Instead of files: this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeArgs,
    /// Only letters of this reason
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Everything as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show what the messages hold, around the place where they are wrong
    #[arg(long)]
    pub show_raw: bool,
    /// Examples at the most, from as many reasons as there are
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub limit: usize,
}

#[derive(Default)]
struct Group {
    letters: u64,
    bytes: u64,
    first: String,
    last: String,
    examples: Vec<Example>,
}

struct Example {
    place: String,
    source: String,
    detail: String,
    bytes: usize,
    raw: Option<Window>,
}

/// A part of a message, and where in it the fault lies, in columns.
struct Window {
    text: String,
    fault: Option<usize>,
}

/// Runs the command.
pub fn run(args: &ListArgs) -> Result<Answer, Error> {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    let (mut letters, mut bad, mut others) = (0u64, 0u64, 0u64);
    let mut known = std::collections::BTreeSet::new();
    let input = open(args)?;
    input.each(&mut |place, line| {
        let letter = match Letter::parse(line) {
            Ok(letter) => letter,
            Err(why) => {
                report_bad(place, why, &mut bad);
                return Ok(true);
            }
        };
        if known.len() < GROUPS_MAX {
            known.insert(letter.reason.clone());
        }
        if args.reason.as_ref().is_some_and(|reason| *reason != letter.reason) {
            return Ok(true);
        }
        letters += 1;
        let key = (letter.reason.clone(), without_numbers(&letter.detail));
        if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
            others += 1;
            return Ok(true);
        }
        add(groups.entry(key).or_default(), &letter, args);
        Ok(true)
    })?;
    if let Some(reason) = args.reason.as_ref().filter(|reason| !known.contains(*reason)) {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let error = Error::user(format!("no dead letter has the reason `{reason}`"));
        return Err(match crate::config::suggest::hint(reason, &names) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let mut rows: Vec<(&(String, String), &Group)> = groups.iter().collect();
    rows.sort_by(|a, b| b.1.letters.cmp(&a.1.letters).then(a.0.cmp(b.0)));
    let text = if args.json { format!("{:#}\n", to_json(&rows, letters, bad, others, args.limit)) } else { text(&rows, letters, others, args, &input) };
    crate::cli::coverage::print(&text)?;
    Ok(if bad == 0 { Answer::Yes } else { Answer::No })
}

fn add(group: &mut Group, letter: &Letter, args: &ListArgs) {
    let bytes = letter.bytes();
    group.letters += 1;
    group.bytes += bytes.len() as u64;
    let place = letter.place();
    if group.examples.len() < args.limit {
        let raw = args.show_raw.then(|| window(&bytes, fault(&letter.detail)));
        group.examples.push(Example { place: place.clone(), source: letter.source.name.clone(), detail: letter.detail.clone(), bytes: bytes.len(), raw });
    }
    if group.first.is_empty() {
        group.first.clone_from(&place);
    }
    group.last = place;
}

/// The detail with each number as N, so that equal mistakes are one group.
fn without_numbers(detail: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    for c in detail.chars() {
        quoted ^= c == '`';
        match c {
            // Names of fields stay as they are.
            c if c.is_ascii_digit() && !quoted => {
                if !text.ends_with('N') {
                    text.push('N');
                }
            }
            c => text.push(c),
        }
    }
    text
}

/// The byte at which the decoder gave up.
fn fault(detail: &str) -> Option<usize> {
    detail.strip_prefix("at byte ")?.parse().ok()
}

fn window(bytes: &[u8], fault: Option<usize>) -> Window {
    let at = fault.unwrap_or(0).min(bytes.len());
    let mut start = at.saturating_sub(AROUND_BYTES);
    // Not in the middle of a character.
    while start < at && bytes.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
        start += 1;
    }
    let end = (at + AROUND_BYTES).min(bytes.len());
    let part = |from: usize, to: usize| visible(&String::from_utf8_lossy(bytes.get(from..to).unwrap_or_default())).into_owned();
    let (mut before, after) = (part(start, at), part(at, end));
    if start > 0 {
        before.insert(0, '…');
    }
    // Both halves have to fit, the half before the fault foremost.
    let before = clip(&before, RAW_COLUMNS * 2 / 3, Cut::Start).into_owned();
    let room = RAW_COLUMNS.saturating_sub(width(&before));
    let rest = if end < bytes.len() { format!("{after}…") } else { after };
    let text = format!("{before}{}", clip(&rest, room, Cut::End));
    Window { fault: fault.map(|_| width(&before)), text }
}

fn text(rows: &[(&(String, String), &Group)], letters: u64, others: u64, args: &ListArgs, input: &Input) -> String {
    let mut text = format!("{}\n", style(&format!("{} in {}", count(letters, "dead letter", "dead letters"), input.describe()), Style::Head));
    if letters == 0 {
        return text;
    }
    let mut grid =
        Grid::new(0).text("reason", 24, Cut::End).number("letters", 11).text("detail", 60, Cut::End).text("first", 60, Cut::Start).text("last", 60, Cut::Start);
    for ((reason, detail), group) in rows {
        grid.row([
            visible(reason).into_owned(),
            number(group.letters),
            visible(detail).into_owned(),
            visible(&group.first).into_owned(),
            visible(&group.last).into_owned(),
        ]);
    }
    text.push_str(&format!("\n{grid}"));
    if others > 0 {
        text.push_str(&format!("… {} of further kinds\n", count(others, "letter", "letters")));
    }
    let examples = examples(rows, args.limit);
    if !examples.is_empty() {
        let hidden = if args.show_raw { "" } else { " (--show-raw shows what they hold)" };
        text.push_str(&format!("\n{}{}\n", style("examples", Style::Head), style(hidden, Style::Dim)));
    }
    for (reason, example) in examples {
        let place = visible(&example.place).into_owned();
        let what = format!("{} {}", visible(reason), visible(&example.detail));
        let size = count(example.bytes as u64, "byte", "bytes");
        text.push_str(&format!(
            "  {}  {}\n",
            clip(&place, 96usize.saturating_sub(4 + width(&what).min(60) + width(&size) + width(&example.source).min(20)), Cut::Start),
            style(&format!("{}, {size}, {}", clip(what.trim_end(), 60, Cut::End), clip(&visible(&example.source), 20, Cut::End)), Style::Dim)
        ));
        if let Some(raw) = &example.raw {
            text.push_str(&format!("      {}\n", raw.text));
            if let Some(column) = raw.fault {
                text.push_str(&format!("      {}{}\n", " ".repeat(column), style("^", Style::Bad)));
            }
        }
    }
    if let Input::Topic(input) = input {
        text.push_str(&format!("\n{}\n", style(&format!("exactly these: {}", input.options(&input.ends())), Style::Dim)));
    }
    text
}

/// Files, or the topic.
fn open(args: &ListArgs) -> Result<Input, Error> {
    if args.pipeline.is_none() && args.topic.is_none() {
        if !args.range.from.is_empty() || !args.range.until.is_empty() {
            return Err(Error::user("--from and --until name offsets of a topic, and these are files").hint("give --pipeline or --topic instead of files"));
        }
        return Ok(Input::Files(args.files.clone()));
    }
    let (environment, bootstrap) = args.environment.require(args.pipeline.as_deref())?;
    let name = match (&args.topic, &args.pipeline) {
        (Some(topic), _) => topic.clone(),
        (None, Some(pipeline)) => Names::of(&require_pipeline(pipeline)?).dead_letters,
        (None, None) => String::new(),
    };
    let admin = connect(&environment, &bootstrap)?;
    Ok(Input::Topic(super::topic_input(&admin, &bootstrap, &environment.client_properties(), &name, &args.range)?))
}

/// One of each group, then the second of each, until there are enough.
fn examples<'a>(rows: &[(&'a (String, String), &'a Group)], limit: usize) -> Vec<(&'a str, &'a Example)> {
    let rounds = rows.iter().map(|(_, group)| group.examples.len()).max().unwrap_or_default();
    let all = (0..rounds).flat_map(|round| rows.iter().filter_map(move |(key, group)| Some((key.0.as_str(), group.examples.get(round)?))));
    all.take(limit).collect()
}

fn to_json(rows: &[(&(String, String), &Group)], letters: u64, bad: u64, others: u64, limit: usize) -> Value {
    let groups: Vec<Value> = rows
        .iter()
        .map(|((reason, detail), group)| json!({ "reason": reason, "detail": detail, "letters": group.letters, "bytes": group.bytes, "first": group.first, "last": group.last }))
        .collect();
    let examples: Vec<Value> = examples(rows, limit)
        .into_iter()
        .map(|(reason, example)| {
            let mut value = json!({ "reason": reason, "detail": example.detail, "place": example.place, "source": example.source, "bytes": example.bytes });
            if let (Some(raw), Some(value)) = (&example.raw, value.as_object_mut()) {
                value.insert("raw".into(), json!(raw.text));
            }
            value
        })
        .collect();
    json!({ "letters": letters, "lines_that_are_none": bad, "letters_of_further_kinds": others, "groups": groups, "examples": examples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_is_under_the_caret() {
        let bytes = format!("{}{{\"a\":é tru}}{}", "x".repeat(100), "y".repeat(100)).into_bytes();
        let found = window(&bytes, Some(108));
        let column = found.fault.unwrap_or_default();
        assert!(found.text.chars().skip(column).collect::<String>().starts_with("tru}"), "{}", found.text);
        assert!(width(&found.text) <= RAW_COLUMNS && found.text.starts_with('…') && found.text.ends_with('…'));
        assert_eq!(window(b"\x1b[2J", Some(999)).text, "\\u{1b}[2J");
        assert_eq!(window(b"", None).text, "");
    }

    #[test]
    fn details_are_grouped_without_their_numbers() {
        assert_eq!(without_numbers("at byte 1234"), "at byte N");
        assert_eq!(without_numbers("the required field `ipv4_1` has no value"), "the required field `ipv4_1` has no value");
    }
}
