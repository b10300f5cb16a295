//! The report of a load test, as a person reads it in a terminal.

use std::fmt::Write;

use super::output::{Style, number, style, table};
use crate::load::latency::Percentiles;
use crate::load::pace::short;
use crate::load::scenario::Report;

/// The whole report. `searched`: capacity was searched for.
pub fn text(report: &Report, searched: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, searched, &mut out);
    out
}

fn write(report: &Report, searched: bool, out: &mut String) -> std::fmt::Result {
    if searched {
        writeln!(out, "{}", style("Search for capacity", Style::Head))?;
        write!(out, "{}", steps(report))?;
        match report.capacity {
            Some(capacity) => writeln!(out, "  capacity: {} events/s with {} member(s)\n", number(capacity as u64), report.members)?,
            None => writeln!(out, "  no capacity was found\n")?,
        }
    }
    writeln!(out, "{}", style("What was sent", Style::Head))?;
    let wanted = report.rate.map_or_else(|| "as fast as possible".to_owned(), |rate| format!("{}/s wanted", short(rate)));
    writeln!(
        out,
        "  {} events in {} messages ({:.1} MB) in {:.1} s: {} events/s, {wanted}",
        number(report.events),
        number(report.messages),
        report.bytes as f64 / 1e6,
        report.seconds,
        number((report.events as f64 / report.seconds.max(1e-6)) as u64),
    )?;
    writeln!(out, "  handed over after its intended time: {}", times(&report.send_delay))?;
    if report.events_in_all != report.events {
        writeln!(out, "  {} events in the whole run", number(report.events_in_all))?;
    }

    writeln!(out, "\n{}", style("From intended time to committed incident", Style::Head))?;
    if report.latency.count == 0 {
        writeln!(out, "  no incident was seen")?;
    } else {
        writeln!(out, "  {}  ({} incidents)", times(&report.latency), number(report.latency.count))?;
        writeln!(out, "  {}", report.latency_line)?;
        let measured = report.per_second.iter().filter(|second| second.at >= report.measured_from);
        if let Some(worst) = measured.max_by_key(|second| second.p99_us).filter(|worst| worst.p99_us > 2 * report.latency.p99_us) {
            writeln!(out, "  slowest second: {} s after the beginning, p99 {}", worst.at, ms(worst.p99_us))?;
        }
    }

    writeln!(out, "\n{}", style("Lag", Style::Head))?;
    let most = report.lag_max.map_or_else(|| "not known".to_owned(), |lag| format!("{} events at most", number(lag)));
    let drained = if report.drained { format!("gone {:.1} s after the last event", report.drain_seconds) } else { style("not gone", Style::Bad) };
    writeln!(out, "  {most}; {drained}")?;
    for note in &report.notes {
        writeln!(out, "  {}: {note}", style("note", Style::Warn))?;
    }

    audit(report, out)?;
    next(report, searched, out)
}

fn steps(report: &Report) -> String {
    let mut rows = table(&["  events/s", "sent", "seconds", "most lag", "lag grew by", ""], &[0, 1, 2, 3, 4]);
    for step in &report.steps {
        let verdict = match (step.flat, step.sender_bound) {
            (true, false) if step.whole => style("flat, the whole time", Style::Good),
            (true, false) => style("flat", Style::Good),
            (true, true) => style("could not be sent", Style::Warn),
            (false, _) => style("too much", Style::Bad),
        };
        rows.add_row([
            number(step.rate as u64),
            number(step.sent as u64),
            format!("{:.0}", step.seconds),
            number(step.lag_max),
            number(step.growth.max(0.0) as u64),
            verdict,
        ]);
    }
    format!("{rows}\n")
}

fn audit(report: &Report, out: &mut String) -> std::fmt::Result {
    let audit = &report.audit;
    writeln!(out, "\n{}", style("Audit", Style::Head))?;
    let (created, attached, linked) = audit.facts;
    writeln!(
        out,
        "  read back: {} created facts, {} attached ({} events), {} linked; {} dead letters",
        number(created),
        number(attached),
        number(audit.found.attached.values().sum()),
        number(linked),
        number(audit.found.dead_letters.values().sum()),
    )?;
    if let Some(ledger) = &audit.ledger {
        writeln!(out, "  ledger: {} events, {} with an end; {} were sent", number(ledger.events), number(ledger.total()), number(audit.expected.events))?;
    }
    let lines = audit.lines();
    for line in &lines {
        writeln!(out, "  {}{line}", if line.starts_with(' ') { "" } else { "! " })?;
    }
    for note in &audit.notes {
        writeln!(out, "  {}: {note}", style("note", Style::Warn))?;
    }
    match (lines.is_empty(), report.drained) {
        (true, true) => writeln!(out, "  {}: every incident came exactly once, and all counts agree", style("good", Style::Good)),
        (true, false) => writeln!(out, "  {}: so far all is well, but not everything was committed", style("incomplete", Style::Warn)),
        (false, _) => writeln!(out, "  {}: what came out is not what must come out", style("wrong", Style::Bad)),
    }
}

fn next(report: &Report, searched: bool, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{}", style("What to try next", Style::Head))?;
    if !report.drained {
        writeln!(out, "  catchment status PIPELINE                 who reads, and how far behind")?;
    }
    if !report.audit.is_good() {
        writeln!(out, "  kcat, or your own consumer, at the coordinates above: what is there?")?;
        writeln!(out, "  catchment dead-letters list PIPELINE      why events did not become incidents")?;
    }
    if !searched {
        writeln!(out, "  catchment load PIPELINE --capacity        the highest rate at which lag stays flat")?;
    } else if let Some(capacity) = report.capacity {
        writeln!(out, "  catchment load PIPELINE --rate {:<9}  what happens when it is too much", short(capacity * 1.5))?;
    }
    writeln!(out, "  transaction.linger in catchment.yaml      trades latency for throughput")
}

fn times(of: &Percentiles) -> String {
    format!("p50 {}, p90 {}, p99 {}, p99.9 {}, max {}", ms(of.p50_us), ms(of.p90_us), ms(of.p99_us), ms(of.p999_us), ms(of.max_us))
}

fn ms(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..10_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
