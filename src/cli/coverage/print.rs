//! The report for a person: an overview, the largest groups path by path, the keys of
//! what is not classified, and YAML to paste at the end, where the eye rests.

use super::report::{GroupReport, PathReport, Report};
use crate::cli::output::{Style, number, style};
use crate::cli::text::{Cut, Grid, clip, count, report_columns, visible, width, wrap};

/// Keys of unclassified events whose paths are shown (count), unless `--top 0` asks for all.
const KEYS_DETAILED: usize = 3;

/// What is shown.
pub struct View<'a> {
    /// Rows per list.
    pub top: usize,
    /// Only these types; all of their paths.
    pub types: &'a [String],
}

/// The report as text. `snippet` comes last.
pub fn text(report: &Report, view: &View<'_>, snippet: &str) -> String {
    let mut text = String::new();
    if view.types.is_empty() {
        text.push_str(&overview(report, view.top));
    }
    let chosen: Vec<&GroupReport> = match view.types {
        [] => report.groups.iter().filter(|group| group.type_name.is_some()).take(view.top).collect(),
        names => report.groups.iter().filter(|group| names.iter().any(|name| wanted(group, name))).collect(),
    };
    for group in &chosen {
        text.push_str(&one(group, if view.types.is_empty() { view.top } else { usize::MAX }));
    }
    if view.types.is_empty() {
        text.push_str(&keys(report, view.top));
        text.push_str(&telling(report, view.top));
        let all = if view.top == usize::MAX { usize::MAX } else { KEYS_DETAILED };
        for group in report.groups.iter().filter(|group| group.type_name.is_none()).take(all) {
            text.push_str(&one(group, view.top));
        }
    }
    if !snippet.is_empty() {
        text.push_str(&format!("\n{}\n", style("to paste into pipeline.yaml, after a look at names and conditions", Style::Head)));
        text.push_str(snippet);
    }
    text
}

/// `--type` names a type, or a part of what unclassified events are called.
pub fn wanted(group: &GroupReport, name: &str) -> bool {
    match &group.type_name {
        Some(known) => known.eq_ignore_ascii_case(name),
        None => group.title().to_lowercase().contains(&name.to_lowercase()),
    }
}

fn overview(report: &Report, top: usize) -> String {
    let typed: Vec<&GroupReport> = report.groups.iter().filter(|group| group.type_name.is_some()).collect();
    if typed.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(0)
        .text("type", 60, Cut::End)
        .text("source", 20, Cut::End)
        .number("events", 11)
        .number("incidents", 11)
        .number("paths", 5)
        .number("mapped", 6)
        .number("suggested", 9);
    for group in typed.iter().take(top) {
        let suggested = group.suggested();
        let plain = |text: String| (text, None);
        grid.styled([
            plain(group.title()),
            plain(group.source.to_string()),
            plain(number(group.events)),
            plain(number(group.incidents)),
            plain(number(group.paths.len() as u64)),
            plain(number(group.mapped() as u64)),
            (if suggested == 0 { String::new() } else { number(suggested as u64) }, Some(Style::Good)),
        ]);
    }
    let mut text = format!("\n{grid}");
    if typed.len() > top {
        let rest: u64 = typed.iter().skip(top).map(|group| group.events).sum();
        text.push_str(&more(
            &format!("{} with {}", count((typed.len() - top) as u64, "more type", "more types"), count(rest, "event", "events")),
            "--top 0 shows all",
        ));
    }
    text
}

fn more(what: &str, how: &str) -> String {
    format!("{}\n", style(&format!("… {what} ({how})"), Style::Dim))
}

fn one(group: &GroupReport, top: usize) -> String {
    let from = format!("{} from {}", count(group.events, "event", "events"), group.source);
    let title = group.title();
    let title = clip(&title, report_columns().saturating_sub(width(&from) + 2), Cut::Middle);
    let mut text = format!("\n{}  {}\n", style(&title, Style::Head), style(&from, Style::Dim));
    if group.incidents > 0 {
        text.push_str(&fields(group));
    }
    let mut grid =
        Grid::new(2).text("path", 60, Cut::Middle).number("fill", 5).text("type", 16, Cut::End).text("example", 32, Cut::End).text("mapped to", 30, Cut::End);
    for path in group.paths.iter().take(top) {
        let (reader, look) = reader(path);
        grid.styled([
            (path.path.clone(), None),
            (share(path.events, group.events), None),
            (path.kind.clone(), Some(Style::Dim)),
            (path.example.clone(), None),
            (reader, Some(look)),
        ]);
    }
    text.push_str(&grid.to_string());
    if group.paths.len() > top {
        let mapped = group.paths.iter().skip(top).filter(|path| !path.fields.is_empty()).count();
        text.push_str("  ");
        text.push_str(&more(
            &format!("{}, {mapped} of them mapped", count((group.paths.len() - top) as u64, "more path", "more paths")),
            "--type NAME shows all",
        ));
    }
    if group.lost > 0 {
        text.push_str(&format!("  {}\n", style(&format!("{} at further paths were not examined", count(group.lost, "value", "values")), Style::Warn)));
    }
    text
}

/// Which fields incidents have, and which stay empty.
fn fields(group: &GroupReport) -> String {
    let mut full: Vec<String> = Vec::new();
    let mut part: Vec<String> = Vec::new();
    let mut empty: Vec<String> = Vec::new();
    for (name, filled) in &group.fields {
        match *filled {
            0 => empty.push(name.to_string()),
            n if n == group.incidents => full.push(name.to_string()),
            n => part.push(format!("{name} {}", share(n, group.incidents))),
        }
    }
    let mut text = String::new();
    for (label, names) in [("filled", full), ("partly", part), ("empty", empty)] {
        if !names.is_empty() {
            let lines = wrap(names, ", ", 10);
            text.push_str(&format!("  {}{}\n", style(&format!("{label:<8}"), Style::Dim), lines.trim_start()));
        }
    }
    text
}

fn reader(path: &PathReport) -> (String, Style) {
    match &path.suggestion {
        Some(suggestion) => {
            (format!("{} {}{}", if suggestion.by_name { "?" } else { "??" }, suggestion.field, if suggestion.new { " (new)" } else { "" }), Style::Good)
        }
        None if !path.fields.is_empty() => (path.fields.join(", "), Style::Dim),
        None if !path.others.is_empty() => (format!("– read by {}", path.others.join(", ")), Style::Dim),
        None => ("–".to_owned(), Style::Dim),
    }
}

/// A whole percentage that is neither 0 nor 100 by rounding.
fn share(part: u64, whole: u64) -> String {
    match part {
        0 => "0%".to_owned(),
        part if part >= whole => "100%".to_owned(),
        part => match part * 100 / whole.max(1) {
            0 => "<1%".to_owned(),
            percent => format!("{percent}%"),
        },
    }
}

fn keys(report: &Report, top: usize) -> String {
    if report.keys.is_empty() {
        return String::new();
    }
    let events: u64 = report.keys.iter().map(|key| key.events).sum::<u64>() + report.keys_lost;
    let mut text = format!(
        "\n{}  {}\n",
        style("not classified", Style::Head),
        style(&format!("{}, {}", count(events, "event", "events"), count(report.keys.len() as u64, "key", "keys")), Style::Dim)
    );
    let mut grid = Grid::new(2).number("events", 11).text("key", 90, Cut::Middle).text("first seen", 30, Cut::Start);
    for key in report.keys.iter().take(top) {
        grid.row([number(key.events), key.key.shown(), visible(&key.first).into_owned()]);
    }
    text.push_str(&grid.to_string());
    if report.keys.len() > top {
        let rest: u64 = report.keys.iter().skip(top).map(|key| key.events).sum();
        text.push_str("  ");
        text.push_str(&more(
            &format!("{} with {}", count((report.keys.len() - top) as u64, "more key", "more keys"), count(rest, "event", "events")),
            "--top 0 shows all",
        ));
    }
    if report.keys_lost > 0 {
        text.push_str(&format!("  {}\n", style(&format!("{} of further keys were not told apart", count(report.keys_lost, "event", "events")), Style::Warn)));
    }
    text
}

fn telling(report: &Report, top: usize) -> String {
    if report.telling.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style("where no field tells the kind, these have few values", Style::Head));
    let mut grid = Grid::new(2).text("path", 30, Cut::Middle).text("values", 66, Cut::End);
    for field in &report.telling {
        let mut values: Vec<String> = field.values.iter().take(top).map(|(value, events)| format!("{} ({})", visible(value), number(*events))).collect();
        if field.values.len() > top {
            values.push(format!("… {} more", field.values.len() - top));
        }
        grid.row([field.path.clone(), values.join(", ")]);
    }
    text.push_str(&grid.to_string());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        assert_eq!([share(0, 9), share(1, 1000), share(999, 1000), share(7, 7)], ["0%", "<1%", "99%", "100%"]);
    }
}
