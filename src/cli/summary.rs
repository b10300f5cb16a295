//! The summary of a run: where the events went, and what it cost.

use super::output::{Style, err_style, number, percent, table};
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;

/// Fewest events from which rates are told.
const RATES_FROM: u64 = 10_000;
/// Types listed at the most; the rest are summed up.
const TYPES_SHOWN: usize = 20;

/// Prints to standard error: standard output may carry incidents.
pub fn print(counts: &Counts, plan: &Plan, stats: &serde_json::Value) {
    eprint!("{}", ends(counts));
    eprint!("{}", types(counts, plan));
    eprint!("{}", deciders(counts, plan));
    let seconds = |key: &str| stats["seconds"][key].as_f64().unwrap_or_default();
    // A handful of events says nothing about speed: what is measured then is the start.
    if counts.events >= RATES_FROM {
        eprint!("{} events/s, {:.2} CPU s per million events, ", number(stats["events_per_second"].as_u64().unwrap_or_default()), seconds("cpu_per_million"));
    }
    eprintln!("{} MB at most, {:.1} s", stats["rss_bytes_max"].as_u64().unwrap_or_default() >> 20, seconds("wall"));
    if !counts.adds_up() {
        eprintln!("{}: {} events were read, but {} ended", err_style("the ledger does not add up", Style::Bad), number(counts.events), number(counts.ended()));
    }
}

/// Where all events went.
pub fn ends(counts: &Counts) -> String {
    let mut rows = table(&["events", "", ""], &[1, 2]);
    let ends = [
        ("incidents", counts.incidents_total()),
        ("filtered", counts.filtered_total()),
        ("unclassified", counts.unclassified),
        ("dropped", counts.dropped_total()),
        ("attached", counts.attached_total()),
        ("dead letters", counts.dead_total()),
    ];
    for (name, count) in ends {
        rows.add_row([name.to_owned(), number(count), percent(count, counts.events)]);
    }
    rows.add_row(["read".to_owned(), number(counts.events), String::new()]);
    format!("{rows}\n")
}

/// Incidents per type.
pub fn types(counts: &Counts, plan: &Plan) -> String {
    let mut types: Vec<(&str, u64)> = plan.types.iter().map(|t| &**t).zip(counts.incidents.iter().copied()).filter(|(_, n)| *n > 0).collect();
    if types.is_empty() {
        return String::new();
    }
    types.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut rows = table(&["incident type", "incidents"], &[1]);
    for (name, count) in types.iter().take(TYPES_SHOWN) {
        rows.add_row([(*name).to_owned(), number(*count)]);
    }
    if let Some(rest) = types.get(TYPES_SHOWN..).filter(|rest| !rest.is_empty()) {
        rows.add_row([format!("{} more types", rest.len()), number(rest.iter().map(|(_, n)| n).sum())]);
    }
    format!("{rows}\n")
}

/// What filters, rules, unreadable fields and dead letters did.
pub fn deciders(counts: &Counts, plan: &Plan) -> String {
    let mut rows = table(&["by", "did", "events"], &[2]);
    let mut any = false;
    let mut add = |by: &str, did: &str, count: u64| {
        if count > 0 {
            any = true;
            rows.add_row([by.to_owned(), did.to_owned(), number(count)]);
        }
    };
    for (number, filter) in plan.filters.iter().enumerate() {
        add(&filter.name, "filtered", counts.filtered[number]);
        add(&filter.name, "would have filtered (shadow)", counts.filter_shadow[number]);
    }
    for (number, rule) in plan.rules.iter().enumerate() {
        add(&rule.name, "dropped", counts.dropped[number]);
        add(&rule.name, "attached", counts.attached[number]);
        add(&rule.name, "linked", counts.linked[number]);
        add(&rule.name, "closed", counts.closed[number]);
        add(&rule.name, "would have applied (shadow)", counts.rule_shadow[number]);
    }
    add("rules", "late: beyond the horizon", counts.late);
    for (reason, count) in &counts.dead {
        add(reason, "dead letters", *count);
    }
    for (field, count) in &counts.field_errors {
        add(field, "values could not be read", *count);
    }
    if any { format!("{rows}\n") } else { String::new() }
}
