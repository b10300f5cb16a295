//! `catchment top`: what a running member does right now, in the terminal, from its metrics.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Answer;
use super::environment::EnvironmentArgs;
use super::output::{Style, number, style};
use super::text::{Cut, Grid};
use crate::error::Error;
use crate::run::signals::Signals;

mod samples;
use samples::Samples;

/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How quickly the end is noticed.
const STEP: Duration = Duration::from_millis(50);
/// Lines of a list.
const LINES: usize = 8;

/// `top`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the metrics of a member (`listen: { metrics: … }` in the environment file, or `demo --metrics`), and shows rates over the time between two looks.\n\nExamples:\n  catchment top\n  catchment top --metrics 127.0.0.1:9464 --every 5s\n  catchment top --once                               one look, two seconds long, for scripts\n\nExit codes: 0 stopped as asked; 2 could not be done."
)]
pub struct TopArgs {
    /// Where the member shows its metrics [default: as in the environment file]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Time between two looks
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub every: String,
    /// Show one look and end
    #[arg(long)]
    pub once: bool,
    /// The environment file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &TopArgs) -> Result<Answer, Error> {
    let every = crate::config::units::parse_duration_ms(&args.every).ok().and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms >= 100);
    let every = Duration::from_millis(every.ok_or_else(|| Error::user(format!("`{}` is no time between two looks: 2s, 500ms", args.every)))?);
    let address = match args.metrics {
        Some(address) => address,
        None => {
            let environment = EnvironmentArgs { config: args.config.clone(), brokers: Vec::new() }.load(None)?;
            let hint = "write listen: { metrics: 127.0.0.1:9464 } into catchment.yaml, or give --metrics";
            environment.listen.metrics.ok_or_else(|| Error::user("no member shows its metrics").hint(hint))?
        }
    };
    let source = Source { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?, client: reqwest::Client::new(), address };
    let signals = Signals::listen()?;
    let stopped = || signals.stop.load(std::sync::atomic::Ordering::Relaxed);
    let mut before = (source.look()?, Instant::now());
    let screen = std::io::stdout().is_terminal() && !args.once;
    loop {
        while before.1.elapsed() < every && !stopped() {
            std::thread::sleep(STEP);
        }
        if stopped() {
            return Ok(Answer::Yes);
        }
        let now = (source.look()?, Instant::now());
        let shown = page(&before.0, &now.0, now.1.duration_since(before.1), address);
        before = now;
        let mut out = std::io::stdout().lock();
        if screen {
            // From the top, over what was there; what is left below it goes.
            let page = shown.replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{page}\x1b[J")?;
        } else {
            out.write_all(shown.as_bytes())?;
        }
        out.flush()?;
        if args.once {
            return Ok(Answer::Yes);
        }
    }
}

struct Source {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    address: SocketAddr,
}

impl Source {
    fn look(&self) -> Result<Samples, Error> {
        let wrong = |error: reqwest::Error| {
            Error::environment(format!("{} does not show metrics: {}", self.address, error.without_url()))
                .hint("is a member running, with `listen: { metrics: … }`?")
        };
        let text = self.runtime.block_on(async {
            let answer = self.client.get(format!("http://{}/metrics", self.address)).timeout(ANSWER_WAIT).send().await?;
            answer.error_for_status()?.text().await
        });
        Ok(Samples::read(&text.map_err(wrong)?))
    }
}

/// What happened between two looks.
fn page(before: &Samples, now: &Samples, took: Duration, address: SocketAddr) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let rates = |name: &str| -> BTreeMap<String, f64> {
        now.labelled(name).into_iter().map(|(label, value)| (label.clone(), (value - before.one(name, &label)).max(0.0) / seconds)).collect()
    };
    // The sum of nothing is -0.
    let rate = |name: &str| rates(name).values().sum::<f64>() + 0.0;
    let per_second = |rate: f64| if rate > 0.0 && rate < 10.0 { format!("{rate:.1}/s") } else { format!("{}/s", number(rate.round() as u64)) };
    let mut text = format!("{} {address}\n\n", style("catchment top", Style::Head));
    let mut line = |parts: &[(&str, String)]| {
        let parts: Vec<String> = parts.iter().map(|(name, value)| format!("{} {value}", style(name, Style::Dim))).collect();
        text.push_str(&format!("  {}\n", parts.join("   ")));
    };
    let mb = |bytes: f64| format!("{:.1} MB/s", bytes / 1e6);
    line(&[
        ("events", per_second(rate("catchment_events_total"))),
        ("bytes", mb(rate("catchment_bytes_total"))),
        ("incidents", per_second(rate("catchment_incidents_total"))),
        ("filtered", per_second(rate("catchment_filtered_total"))),
        ("dropped", per_second(rate("catchment_dropped_total"))),
        ("attached", per_second(rate("catchment_attached_total"))),
        ("dead letters", per_second(rate("catchment_dead_letters_total"))),
    ]);
    let whole = |name: &str| number(now.sum(name).max(0.0).round() as u64);
    line(&[
        ("lag", whole("catchment_lag_messages")),
        ("keeper lag", whole("catchment_keeper_lag_records")),
        ("incidents kept", whole("catchment_keeper_incidents")),
        ("index", format!("{} keys, {:.1} MB", whole("catchment_index_keys"), now.sum("catchment_index_bytes") / 1e6)),
        ("archived", per_second(rate("catchment_archive_rows_total"))),
    ]);
    let mean = |name: &str| {
        let (sum, count) = (format!("{name}_sum"), format!("{name}_count"));
        let count = now.sum(&count) - before.sum(&count);
        let seconds = (now.sum(&sum) - before.sum(&sum)) / count;
        match count > 0.0 {
            true if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
            true => format!("{seconds:.1} s"),
            false => "-".to_owned(),
        }
    };
    line(&[("event → incident, mean", mean("catchment_event_to_incident_seconds")), ("fact → state, mean", mean("catchment_fact_to_state_seconds"))]);
    for (title, head, names) in [
        ("Types", "incidents", &["catchment_incidents_total"][..]),
        ("Filters and rules", "events", &["catchment_filtered_total", "catchment_dropped_total", "catchment_attached_total"]),
        ("Values that could not be read", "values", &["catchment_field_errors_total"]),
    ] {
        let mut all: Vec<(String, f64, f64)> = names
            .iter()
            .flat_map(|name| rates(name).into_iter().map(|(label, rate)| (label.clone(), rate, now.one(name, &label))))
            .filter(|(_, _, total)| *total > 0.0)
            .collect();
        all.sort_by(|one, other| other.1.total_cmp(&one.1).then(other.2.total_cmp(&one.2)));
        if all.is_empty() {
            continue;
        }
        let mut grid = Grid::new(2).text("name", 44, Cut::End).number("per second", 14).number(head, 16);
        for (label, rate, total) in all.iter().take(LINES) {
            grid.row([label.clone(), per_second(*rate), number(total.round() as u64)]);
        }
        text.push_str(&format!("\n{}\n{grid}", style(title, Style::Head)));
    }
    let mut costs: Vec<(String, f64)> = rates("catchment_expression_nanoseconds_total").into_iter().filter(|(_, rate)| *rate > 0.0).collect();
    costs.sort_by(|one, other| other.1.total_cmp(&one.1));
    if !costs.is_empty() {
        let mut grid = Grid::new(2).text("expression", 92, Cut::End).number("of a core", 10);
        for (expression, nanos) in costs.iter().take(LINES) {
            grid.row([expression.clone(), format!("{:.2} %", nanos / 1e7)]);
        }
        text.push_str(&format!("\n{}\n{grid}", style("Slowest expressions", Style::Head)));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_between_two_looks() {
        let look = |events: u32, ms: u32| {
            Samples::read(&format!(
                "# TYPE catchment_events_total counter\ncatchment_events_total{{source=\"a\"}} {events}\ncatchment_filtered_total{{filter=\"no \\\"ise\"}} {}\ncatchment_event_to_incident_seconds_sum {}\ncatchment_event_to_incident_seconds_count {events}\ncatchment_lag_messages 12\ncatchment_expression_nanoseconds_total{{expression=\"lower(\\\"host\\\")\"}} {}\n",
                events / 2,
                f64::from(ms) / 1e3,
                u64::from(ms) * 1_000
            ))
        };
        let text = page(&look(1_000, 0), &look(21_000, 40_000), Duration::from_secs(2), "127.0.0.1:1".parse().unwrap());
        let text = text.replace("\x1b[0m", "");
        assert!(text.contains("10,000/s") && text.contains("5,000/s") && text.contains("2.0 ms") && text.contains("no \"ise") && text.contains("12"), "{text}");
        // 40 ms in two seconds.
        assert!(text.contains("lower(\"host\")") && text.contains("2.00 %"), "{text}");
    }
}
