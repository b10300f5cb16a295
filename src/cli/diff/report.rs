//! The changes for a person, and for `--json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Changes, Kind, Tally};
use crate::cli::output::{Style, number, percent, style};
use crate::cli::text::{Cut, Grid, clip, count, visible};

/// Rows of each table at the most; the rest are summed up (`--json` has them all).
const ROWS_MAX: usize = 25;

/// The report as text, without its head.
pub fn text(changes: &Changes, limit: usize) -> String {
    let mut text = String::new();
    if changes.changed == 0 {
        return format!("{}: all {} end as before, with the same type and fields\n", style("no change", Style::Good), count(changes.events, "event", "events"));
    }
    text.push_str(&format!(
        "{} of {} would change ({})\n",
        style(&number(changes.changed), Style::Warn),
        count(changes.events, "event", "events"),
        percent(changes.changed, changes.events)
    ));
    text.push_str(&endings(changes));
    text.push_str(&types(changes));
    text.push_str(&fields(changes));
    text.push_str(&per_type(changes));
    text.push_str(&examples(changes, limit));
    if changes.lost > 0 {
        text.push_str(&format!("{}\n", style(&format!("{} of further kinds were not told apart", count(changes.lost, "change", "changes")), Style::Warn)));
    }
    text
}

fn endings(changes: &Changes) -> String {
    let rows = sorted(changes, |kind| match kind {
        Kind::Ending(before, after, name) => Some((before.clone(), after.clone(), name.clone())),
        _ => None,
    });
    let mut grid = Grid::new(2).text("ended as", 60, Cut::End).text("would end as", 60, Cut::End).text("type", 60, Cut::End).number("events", 11);
    for ((before, after, name), tally) in rows.iter().take(ROWS_MAX) {
        grid.row([before.clone(), after.clone(), name.clone(), number(tally.events)]);
    }
    section("ends", &grid, rows.len())
}

fn types(changes: &Changes) -> String {
    let rows = sorted(changes, |kind| match kind {
        Kind::Type(before, after) => Some((before.clone(), after.clone())),
        _ => None,
    });
    let mut grid = Grid::new(2).text("was of type", 60, Cut::End).text("would be", 60, Cut::End).number("events", 11);
    for ((before, after), tally) in rows.iter().take(ROWS_MAX) {
        grid.row([before.clone(), after.clone(), number(tally.events)]);
    }
    section("types", &grid, rows.len())
}

fn fields(changes: &Changes) -> String {
    // One row per field; how many types it hits says more than each of them.
    let mut merged: BTreeMap<&str, (Tally, Vec<&str>)> = BTreeMap::new();
    for (kind, tally) in &changes.kinds {
        let Kind::Field(name, field) = kind else { continue };
        let (sum, types) = merged.entry(field).or_default();
        sum.events += tally.events;
        sum.gained += tally.gained;
        sum.lost += tally.lost;
        if sum.sample.is_none() {
            sum.sample.clone_from(&tally.sample);
        }
        types.push(name);
    }
    let mut rows: Vec<_> = merged.into_iter().collect();
    rows.sort_by(|a, b| a.0.starts_with("labels.").cmp(&b.0.starts_with("labels.")).then(b.1.0.events.cmp(&a.1.0.events)).then(a.0.cmp(b.0)));
    let mut grid = Grid::new(2).text("field", 30, Cut::End).text("type", 30, Cut::End).number("events", 11).number("gained", 11).number("lost", 11).text(
        "for example",
        43,
        Cut::End,
    );
    for (field, (tally, types)) in rows.iter().take(ROWS_MAX) {
        let types = match types.as_slice() {
            [one] => (*one).to_owned(),
            several => count(several.len() as u64, "type", "types"),
        };
        let blank = |n: u64| if n == 0 { String::new() } else { number(n) };
        let sample = tally.sample.as_ref().map(|(before, after)| format!("{} → {}", clip(before, 20, Cut::End), clip(after, 20, Cut::End))).unwrap_or_default();
        grid.row([(*field).to_owned(), types, number(tally.events), blank(tally.gained), blank(tally.lost), sample]);
    }
    section("fields of incidents on both sides", &grid, rows.len())
}

fn per_type(changes: &Changes) -> String {
    let mut rows: Vec<(&String, &u64)> = changes.types.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut grid = Grid::new(2).text("type", 60, Cut::End).number("changed events", 14);
    for (name, events) in rows.iter().take(ROWS_MAX) {
        grid.row([if name.is_empty() { "(none)".to_owned() } else { (*name).clone() }, number(**events)]);
    }
    section("per type", &grid, rows.len())
}

fn examples(changes: &Changes, limit: usize) -> String {
    let mut text = String::new();
    for example in changes.examples.iter().take(limit) {
        let element = if example.element > 0 { format!(" (event {} of the line)", example.element + 1) } else { String::new() };
        let place = visible(&example.place).into_owned();
        let place = clip(&place, 60, Cut::Start).into_owned();
        text.push_str(&format!("  {place}{element}  {}\n", style(&clip(&example.type_name, 34, Cut::End), Style::Dim)));
        for change in example.changes.iter().take(ROWS_MAX) {
            text.push_str(&format!("      {}\n", clip(change, 94, Cut::End)));
        }
        if example.changes.len() > ROWS_MAX {
            text.push_str(&format!("      … {} more\n", example.changes.len() - ROWS_MAX));
        }
    }
    if text.is_empty() { text } else { format!("\n{}\n{text}", style("examples", Style::Head)) }
}

fn section(title: &str, grid: &Grid, rows: usize) -> String {
    if grid.is_empty() {
        return String::new();
    }
    let more = if rows > ROWS_MAX { format!("  {}\n", style(&format!("… {} more (--json has all)", rows - ROWS_MAX), Style::Dim)) } else { String::new() };
    format!("\n{}\n{grid}{more}", style(title, Style::Head))
}

/// Kinds of one sort, the most frequent first.
fn sorted<K: Ord>(changes: &Changes, pick: impl Fn(&Kind) -> Option<K>) -> Vec<(K, &Tally)> {
    let mut rows: Vec<(K, &Tally)> = changes.kinds.iter().filter_map(|(kind, tally)| Some((pick(kind)?, tally))).collect();
    rows.sort_by(|a, b| b.1.events.cmp(&a.1.events).then_with(|| a.0.cmp(&b.0)));
    rows
}

/// For other programs: all kinds.
pub fn to_json(changes: &Changes, limit: usize) -> Value {
    let mut endings = Vec::new();
    let mut types = Vec::new();
    let mut fields = Vec::new();
    for (kind, tally) in &changes.kinds {
        match kind {
            Kind::Ending(before, after, name) => endings.push(json!({ "before": before, "after": after, "type": name, "events": tally.events })),
            Kind::Type(before, after) => types.push(json!({ "before": before, "after": after, "events": tally.events })),
            Kind::Field(name, field) => fields.push(json!({
                "type": name, "field": field, "events": tally.events, "gained": tally.gained, "lost": tally.lost,
                "before": tally.sample.as_ref().map(|(before, _)| before), "after": tally.sample.as_ref().map(|(_, after)| after),
            })),
        }
    }
    let examples: Vec<Value> = changes
        .examples
        .iter()
        .take(limit)
        .map(|example| json!({ "place": example.place, "element": example.element, "type": example.type_name, "changes": example.changes }))
        .collect();
    json!({
        "events": changes.events, "changed": changes.changed, "per_type": changes.types,
        "ends": endings, "types": types, "fields": fields, "changes_of_further_kinds": changes.lost, "examples": examples,
    })
}
