//! Owns what `GenericPolling` and `ScheduleGenericPolling` are given, in both spellings.

use serde_json::{Map, Value};

use super::{Args, wrong};
use crate::respond::run::Failure;
use crate::respond::run::task::Generic;

const MINUTE_US: i64 = 60_000_000;
/// Ids that are polled for at once (count).
const IDS_MAX: usize = 1_000;
/// Minutes of an interval or a timeout at the most (31 days).
const MINUTES_MAX: f64 = 31.0 * 1_440.0;

/// True for the sub-playbook that the engine runs itself.
pub fn is_playbook(name: &str) -> bool {
    name.trim() == "GenericPolling"
}

/// From the inputs of the playbook, or the arguments of the script.
///
/// # Errors
/// What is missing or is no number.
pub fn from_arguments(given: &Map<String, Value>, now_us: i64) -> Result<Generic, Failure> {
    let args = Args::new(given.clone());
    let either = |a: &str, b: &str| args.some(a).or_else(|| args.some(b));
    let needed = |a: &str, b: &str| either(a, b).ok_or_else(|| wrong(format!("polling needs `{a}`")));
    let minutes = |name: &str, default: f64| match args.value(name) {
        Some(value) if !crate::expr::xsoar::value::is_empty(value) => args
            .number(name)
            .filter(|minutes| *minutes >= 0.0)
            .map(|minutes| minutes.min(MINUTES_MAX))
            .ok_or_else(|| wrong(format!("`{name}` is no number of minutes"))),
        _ => Ok(default),
    };
    let interval = minutes("Interval", 1.0)?.max(1.0 / 60.0);
    let timeout = minutes("Timeout", 10.0)?;
    let mut ids = args.texts("Ids");
    ids.truncate(IDS_MAX);
    let names = args.value("AdditionalPollingCommandArgNames").cloned().unwrap_or(Value::Null);
    let values = args.value("AdditionalPollingCommandArgValues").cloned().unwrap_or(Value::Null);
    Ok(Generic {
        command: needed("PollingCommandName", "pollingCommand")?,
        argument: needed("PollingCommandArgName", "pollingCommandArgName")?,
        others: crate::respond::run::pairs(&names, &values),
        dt: needed("dt", "dt")?,
        ids,
        interval_us: (interval * MINUTE_US as f64) as i64,
        until_us: now_us,
        deadline_us: now_us.saturating_add((timeout * MINUTE_US as f64) as i64),
    })
}

/// `!command name=value …`, as often as `times`, every `*/n` minutes.
///
/// # Errors
/// A command without a name.
pub fn from_entry(line: &str, cron: &str, times: f64, now_us: i64) -> Result<Generic, Failure> {
    let mut words = line.trim().trim_start_matches('!').split_whitespace();
    let command = words.next().ok_or_else(|| wrong("`command` is empty"))?.to_owned();
    let others = words.filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), Value::from(value.trim_matches('"')))).collect();
    let minutes = cron.split_whitespace().next().and_then(|first| first.strip_prefix("*/")).and_then(|n| n.parse::<i64>().ok()).unwrap_or(1).clamp(1, 1_440);
    let times = times.clamp(1.0, 1_000.0) as i64;
    let interval_us = minutes * MINUTE_US;
    Ok(Generic {
        command,
        argument: String::new(),
        others,
        // It is always pending: time ends it.
        dt: ".=\"again\"".to_owned(),
        ids: vec!["again".to_owned()],
        interval_us,
        until_us: now_us,
        deadline_us: now_us.saturating_add((times - 1) * interval_us + 1),
    })
}
