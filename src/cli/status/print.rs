//! The report of `catchment status` for people and programs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{PARTITIONS_SHOWN, Part, Role, Status};
use crate::cli::output::{Style, number, style};
use crate::cli::text::{Cut, Grid, count, visible, wrap};
use crate::kafka::GroupState;

fn amount(n: i64) -> String {
    number(u64::try_from(n).unwrap_or(0))
}

/// `app.events 0-2, 5; other 1`
fn ranges(assigned: &[(String, i32)]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in assigned {
        topics.entry(topic).or_default().push(*partition);
    }
    let runs = |mut partitions: Vec<i32>| {
        partitions.sort_unstable();
        let mut runs: Vec<(i32, i32)> = Vec::new();
        for partition in partitions {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == partition => *last = partition,
                _ => runs.push((partition, partition)),
            }
        }
        let text = |(first, last): &(i32, i32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        runs.iter().map(text).collect::<Vec<_>>().join(",")
    };
    topics.into_iter().map(|(topic, partitions)| format!("{topic} {}", runs(partitions))).collect::<Vec<_>>().join("; ")
}

fn time(ms: Option<i64>) -> String {
    let time = ms.and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn offset(offset: Option<i64>) -> String {
    offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string())
}

/// Sum of what is known; `None` if nothing is.
fn lag(parts: &[&Part]) -> Option<i64> {
    parts.iter().filter_map(|part| part.lag()).reduce(|a, b| a.saturating_add(b))
}

/// For people. `all`: a line for each partition.
pub fn text(status: &Status, all: bool) -> String {
    let head = style(&format!("pipeline {} on {}", status.names.pipeline, status.bootstrap), Style::Head);
    let place = format!("(cluster {}, {})", status.cluster.id, count(status.cluster.brokers as u64, "broker", "brokers"));
    let mut text = format!("{head} {}\n", style(&place, Style::Dim));
    text.push_str(&versions(status));
    if !status.missing.is_empty() {
        let names: Vec<String> = status.missing.clone();
        text.push_str(&format!("{}: topics that do not exist\n{}\n", style("missing", Style::Bad), wrap(names, ", ", 2)));
        text.push_str("  `catchment topics PIPELINE` says more; with --create it makes what the pipeline writes\n");
    }
    for role in &status.roles {
        text.push_str(&one_role(status, role, all));
    }
    text.push_str(&dead_letters(status));
    text
}

fn versions(status: &Status) -> String {
    let running: BTreeSet<&str> = status.index.values().map(|block| block.version.as_str()).filter(|version| !version.is_empty()).collect();
    let here = &status.version;
    let last = match running.len() {
        0 => "nothing has been decided yet".to_owned(),
        1 if running.contains(here.as_str()) => "the same decided last".to_owned(),
        1 => format!("{} decided last", running.into_iter().next().unwrap_or_default()),
        _ => format!("decided last: {}", running.into_iter().collect::<Vec<_>>().join(", ")),
    };
    format!("version {here} here; {last}\n")
}

fn one_role(status: &Status, role: &Role, all: bool) -> String {
    let parts: Vec<&Part> = role.parts.iter().collect();
    let look = match role.group.state {
        GroupState::Stable => Style::Good,
        GroupState::Rebalancing | GroupState::Unknown => Style::Warn,
        GroupState::Absent | GroupState::Empty => Style::Bad,
    };
    let state = match role.group.state {
        GroupState::Absent => "no member has run yet",
        GroupState::Empty => "no member runs",
        state => state.as_str(),
    };
    let members = role.group.members.len();
    let mut text = format!("\n{} {} {}", style(role.name, Style::Head), style(&format!("({})", role.group.name), Style::Dim), style(state, look));
    if members > 0 {
        text.push_str(&format!(", {}", count(members as u64, "member", "members")));
    }
    if let Some(lag) = lag(&parts) {
        text.push_str(&format!(", lag {}", amount(lag)));
    }
    text.push('\n');
    if members > 0 {
        let mut grid = Grid::new(2).text("member", 30, Cut::Middle).text("host", 24, Cut::End).text("partitions", 60, Cut::End);
        for member in &role.group.members {
            let name = member.instance.as_deref().unwrap_or(&member.client);
            let assigned = if member.assigned.is_empty() { "none".to_owned() } else { ranges(&member.assigned) };
            grid.row([visible(name).into_owned(), visible(&member.host).into_owned(), assigned]);
        }
        text.push_str(&format!("{grid}\n"));
    }
    if role.parts.is_empty() {
        return text;
    }
    let ingest = role.name == "ingest";
    let each = all || role.parts.len() <= PARTITIONS_SHOWN;
    let mut grid = Grid::new(2).text("topic", 34, Cut::Start).number(if each { "partition" } else { "partitions" }, 10);
    if each {
        grid = grid.number("committed", 14);
    }
    grid = grid.number("end", 14).number("lag", 12);
    grid = if ingest { grid.text("clock", 20, Cut::End) } else { grid };
    grid = if each { grid.text("member", 24, Cut::Middle) } else { grid };
    let clock = |part: &Part| status.index.get(&(part.topic.clone(), part.partition)).and_then(|block| block.clock_ms);
    if each {
        for part in &role.parts {
            let mut cells =
                vec![part.topic.clone(), part.partition.to_string(), offset(part.committed), part.end.to_string(), part.lag().map_or("-".into(), amount)];
            if ingest {
                cells.push(time(clock(part)));
            }
            cells.push(visible(part.member.as_deref().unwrap_or("-")).into_owned());
            grid.row(cells);
        }
    } else {
        let mut topics: Vec<&str> = role.parts.iter().map(|part| part.topic.as_str()).collect();
        topics.dedup();
        for topic in topics {
            let parts: Vec<&Part> = role.parts.iter().filter(|part| part.topic == topic).collect();
            let end: i64 = parts.iter().map(|part| part.end).sum();
            let mut cells = vec![topic.to_owned(), parts.len().to_string(), end.to_string(), lag(&parts).map_or("-".into(), amount)];
            if ingest {
                // The partition that is furthest behind.
                cells.push(time(parts.iter().filter_map(|part| clock(part)).min()));
            }
            grid.row(cells);
        }
    }
    text.push_str(&grid.to_string());
    if ingest {
        for ((topic, partition), block) in &status.index {
            if let Some(trouble) = &block.trouble {
                text.push_str(&format!("  {}: index of {topic}[{partition}]: {trouble}\n", style("wrong", Style::Bad)));
            }
        }
    }
    text
}

/// Records that dead letters may be: offsets also count markers of transactions.
fn kept(marks: &[(i64, i64)]) -> i64 {
    marks.iter().map(|(begin, end)| end - begin).sum()
}

fn dead_letters(status: &Status) -> String {
    let Some(marks) = &status.dead_letters else { return String::new() };
    let words = match kept(marks) {
        0 => "none".to_owned(),
        offsets => format!("up to {} kept (look at them with `catchment dead-letters list --pipeline PIPELINE`)", amount(offsets)),
    };
    format!("\n{} {} {words}\n", style("dead letters", Style::Head), style(&format!("({})", status.names.dead_letters), Style::Dim))
}

/// For programs.
pub fn json(status: &Status) -> Value {
    let part = |part: &Part| {
        let block = status.index.get(&(part.topic.clone(), part.partition));
        json!({
            "topic": part.topic, "partition": part.partition, "begin": part.begin, "committed": part.committed, "end": part.end,
            "lag": part.lag(), "member": part.member,
            "index": block.map(|block| json!({
                "to": block.to, "clock": block.clock_ms.map(|ms| time(Some(ms))), "pipeline_version": block.version,
                "written": block.written_ms.map(|ms| time(Some(ms))), "trouble": block.trouble })),
        })
    };
    let role = |role: &Role| {
        let parts: Vec<&Part> = role.parts.iter().collect();
        let members = role.group.members.iter().map(|member| {
            let assigned: Vec<Value> = member.assigned.iter().map(|(topic, partition)| json!({ "topic": topic, "partition": partition })).collect();
            json!({ "instance": member.instance, "client": member.client, "host": member.host, "assigned": assigned })
        });
        json!({
            "role": role.name, "group": role.group.name, "state": role.group.state.as_str(), "assignor": role.group.assignor,
            "lag": lag(&parts), "members": members.collect::<Vec<_>>(), "partitions": role.parts.iter().map(part).collect::<Vec<_>>(),
        })
    };
    json!({
        "pipeline": status.names.pipeline,
        "version": status.version,
        "brokers": status.bootstrap,
        "cluster": { "id": status.cluster.id, "brokers": status.cluster.brokers },
        "missing_topics": status.missing,
        "roles": status.roles.iter().map(role).collect::<Vec<_>>(),
        "dead_letters": status.dead_letters.as_ref().map(|marks| json!({ "topic": status.names.dead_letters, "offsets_kept": kept(marks) })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_as_ranges() {
        let all = [("b", 1), ("a", 5), ("a", 0), ("a", 2), ("a", 1)].map(|(topic, partition)| (topic.to_owned(), partition));
        assert_eq!(ranges(&all), "a 0-2,5; b 1");
    }
}
