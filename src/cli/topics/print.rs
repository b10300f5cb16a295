//! The report of `catchment topics` for people, programs and shells.

use serde_json::{Value, json};

use super::{Report, Row, TopicsArgs, acl};
use crate::cli::output::{Style, style};
use crate::cli::text::{Cut, Grid, count, wrap};
use crate::run::layout::{Fix, Problem, Weight};

fn copies(replication: i32) -> String {
    if replication > 0 { replication.to_string() } else { "default".to_owned() }
}

fn state(row: &Row, offline: bool) -> (String, Option<Style>) {
    let worst = row.problems.iter().map(|problem| problem.weight).max();
    match (worst, row.found.is_some()) {
        (_, false) if offline => ("not looked for".to_owned(), Some(Style::Dim)),
        (_, false) => ("missing".to_owned(), Some(Style::Bad)),
        (Some(Weight::Needed), true) => ("wrong".to_owned(), Some(Style::Bad)),
        (Some(Weight::Advice), true) => ("see below".to_owned(), Some(Style::Warn)),
        (None, true) if row.created => ("created".to_owned(), Some(Style::Good)),
        (None, true) => ("ok".to_owned(), Some(Style::Good)),
    }
}

/// For people.
pub fn table(report: &Report<'_>, args: &TopicsArgs) -> String {
    let offline = report.cluster.is_none();
    let place = match &report.cluster {
        Some(cluster) => format!("cluster {}, {}", cluster.id, count(cluster.brokers as u64, "broker", "brokers")),
        None => "not asked".to_owned(),
    };
    let head = style(&format!("pipeline {} on {}", report.names.pipeline, report.bootstrap), Style::Head);
    let mut text = format!("{head} {}\n\n", style(&format!("({place})"), Style::Dim));
    let mut grid = Grid::new(0).text("topic", 50, Cut::Start).text("holds", 28, Cut::End).number("partitions", 10).number("copies", 7).text("", 14, Cut::End);
    for row in &report.rows {
        let holds = row.source.as_ref().map_or_else(|| row.wanted.role.as_str().to_owned(), |source| format!("events of {source}"));
        let (partitions, replication) = match &row.found {
            Some((topic, _)) => (topic.partitions.to_string(), topic.replication.to_string()),
            None => (row.wanted.partitions.map_or_else(|| "?".to_owned(), |n| n.to_string()), copies(row.wanted.replication)),
        };
        grid.styled([(row.wanted.name.clone(), None), (holds, None), (partitions, None), (replication, None), state(row, offline)]);
    }
    text.push_str(&grid.to_string());
    for row in &report.rows {
        for problem in row.problems.iter().filter(|problem| problem.fix != Fix::Create || problem.found != "no" || problem.why.contains("failed")) {
            text.push_str(&explained(report, row, problem));
        }
    }
    if !report.idle.is_empty() {
        let patterns = report.idle.iter().map(|(pattern, source)| format!("{pattern} ({source})"));
        text.push_str(&format!("\n{}: patterns that no topic matches yet\n{}\n", style("note", Style::Warn), wrap(patterns, ", ", 2)));
    }
    let ids = |role: &str| report.names.transactional_id(role, &report.environment.instance);
    text.push_str(&format!("\n{}   {}\n", style("consumer groups", Style::Head), groups(report).join(", ")));
    text.push_str(&format!(
        "{} {} {}\n",
        style("transactional ids", Style::Head),
        writers(report).into_iter().map(ids).collect::<Vec<_>>().join(", "),
        style(&format!("(instance {})", report.environment.instance), Style::Dim)
    ));
    let user = acl::user(report);
    text.push_str(&format!(
        "\n{} {}\n",
        style("permissions", Style::Head),
        style("(where brokers check them; --format sh prints the whole commands)", Style::Dim)
    ));
    text.push_str(&format!("  kafka-acls.sh --bootstrap-server {} {} …\n", report.bootstrap, acl::adding(&user)));
    for acl in acl::needed(report) {
        text.push_str(&format!("{}\n", wrap(acl.arguments(), " ", 4)));
    }
    text.push_str(&format!("\n{}\n", verdict(report, args)));
    text
}

fn verdict(report: &Report<'_>, args: &TopicsArgs) -> String {
    if report.cluster.is_none() {
        return style("the brokers were not asked: nothing is known to be there", Style::Dim);
    }
    if report.needed() == 0 {
        return format!("{}: everything that the pipeline needs is there", style("ok", Style::Good));
    }
    let missing = |role_events: bool| report.rows.iter().filter(|row| row.found.is_none() && row.source.is_some() == role_events).count() as u64;
    let (inputs, outputs) = (missing(true), missing(false));
    let wrong = report.needed() as u64 - inputs - outputs;
    let mut parts = Vec::new();
    if inputs > 0 {
        parts.push(format!("{} missing", count(inputs, "input topic is", "input topics are")));
    }
    if outputs > 0 {
        parts.push(format!("{} missing", count(outputs, "topic that it writes is", "topics that it writes are")));
    }
    if wrong > 0 {
        parts.push(format!("{} wrong", count(wrong, "setting is", "settings are")));
    }
    let mut words = vec![style("not ready", Style::Bad)];
    words[0].push_str(": ");
    words[0].push_str(&parts.join(", "));
    if inputs > 0 {
        words.push("input topics are their producers' to make; for a trial: --create --create-inputs 6".to_owned());
    }
    if outputs > 0 && !args.create {
        words.push("make the others with: catchment topics … --create".to_owned());
    }
    let open = report.rows.iter().any(|row| row.found.is_none() && row.wanted.partitions.is_none() && row.source.is_none());
    if open && inputs > 0 {
        words.push("the index gets as many partitions as the largest input topic, so it comes after those".to_owned());
    }
    words.join("\n  ")
}

/// A problem and what to do about it.
fn explained(report: &Report<'_>, row: &Row, problem: &Problem) -> String {
    let (head, look) = match problem.weight {
        Weight::Needed => ("wrong", Style::Bad),
        Weight::Advice => ("note", Style::Warn),
    };
    let name = &row.wanted.name;
    let line = match (row.found.is_some(), problem.what.as_str()) {
        (false, _) => format!("{name} is missing: {}", problem.why),
        (true, what) => format!("{name}: {what} is {}, should be {}: {}", problem.found, problem.wanted, problem.why),
    };
    let wrapped = wrap(line.split(' '), " ", 2);
    let mut text = format!("\n{}: {}\n", style(head, look), wrapped.trim_start());
    match remedy(problem, name) {
        Some((tool, rest)) => text.push_str(&format!("  {tool} --bootstrap-server {} {rest}\n", report.bootstrap)),
        None => {
            if let Fix::Advice(advice) = &problem.fix {
                text.push_str(&format!("{}\n", wrap(advice.split(' '), " ", 2)));
            }
        }
    }
    text
}

/// The command that mends a problem: the tool, and what follows its options for the connection.
fn remedy(problem: &Problem, name: &str) -> Option<(&'static str, String)> {
    match &problem.fix {
        Fix::Configure(key, value) => Some(("kafka-configs.sh", format!("--alter --entity-type topics --entity-name {name} --add-config {key}={value}"))),
        Fix::Grow(partitions) => Some(("kafka-topics.sh", format!("--alter --topic {name} --partitions {partitions}"))),
        Fix::Create | Fix::Advice(_) => None,
    }
}

/// For a shell: what makes the missing topics, mends what differs and gives permissions.
pub fn script(report: &Report<'_>) -> String {
    let mut text = format!(
        "#!/bin/sh\n# Topics and permissions of the pipeline {}. Kafka's own tools must be on the PATH.\nset -eu\nBROKERS=\"${{BROKERS:-{}}}\"\n# For example: OPTIONS='--command-config admin.properties'\nOPTIONS=\"${{OPTIONS:-}}\"\n",
        report.names.pipeline, report.bootstrap
    );
    let call = |tool: &str, rest: &str| format!("{tool} --bootstrap-server \"$BROKERS\" $OPTIONS {rest}\n");
    text.push_str("\n# Topics that are missing\n");
    for row in report.rows.iter().filter(|row| row.found.is_none()) {
        let name = &row.wanted.name;
        let partitions = match row.wanted.partitions {
            Some(partitions) => partitions.to_string(),
            None if row.source.is_some() => {
                text.push_str(&format!("# {name}: its producers make it\n"));
                continue;
            }
            None => "\"${INPUT_PARTITIONS:?as many as the largest input topic has}\"".to_owned(),
        };
        let mut rest = format!("--create --if-not-exists --topic {name} --partitions {partitions}");
        if row.wanted.replication > 0 {
            rest.push_str(&format!(" --replication-factor {}", row.wanted.replication));
        }
        for property in &row.wanted.properties {
            rest.push_str(&format!(" --config {}={}", property.key, property.value));
        }
        text.push_str(&call("kafka-topics.sh", &rest));
    }
    let differing: Vec<(&Row, &Problem)> = report.rows.iter().flat_map(|row| row.problems.iter().map(move |problem| (row, problem))).collect();
    if differing.iter().any(|(row, _)| row.found.is_some()) {
        text.push_str("\n# What differs\n");
    }
    for (row, problem) in differing.iter().filter(|(row, _)| row.found.is_some()) {
        text.push_str(&format!("# {}: {} is {}, should be {}: {}\n", row.wanted.name, problem.what, problem.found, problem.wanted, problem.why));
        match (remedy(problem, &row.wanted.name), &problem.fix) {
            (Some((tool, rest)), _) => text.push_str(&call(tool, &rest)),
            (None, Fix::Advice(advice)) => text.push_str(&format!("# {advice}\n")),
            (None, _) => {}
        }
    }
    text.push_str("\n# Permissions\n");
    let user = acl::user(report);
    for acl in acl::needed(report) {
        text.push_str(&call("kafka-acls.sh", &format!("{} {}", acl::adding(&user), acl.arguments().join(" "))));
    }
    text
}

/// For programs.
pub fn json(report: &Report<'_>) -> Value {
    let user = acl::user(report);
    let rows: Vec<Value> = report
        .rows
        .iter()
        .map(|row| {
            let configs = |found: bool| -> Value {
                let all = row.wanted.properties.iter().map(|property| {
                    let value = match (&row.found, found) {
                        (Some((_, configs)), true) => json!(configs.get(property.key).map(|value| value.value.clone())),
                        _ => json!(property.value),
                    };
                    (property.key.to_owned(), value)
                });
                Value::Object(all.collect())
            };
            let problem = |problem: &Problem| {
                let command = remedy(problem, &row.wanted.name).map(|(tool, rest)| format!("{tool} --bootstrap-server {} {rest}", report.bootstrap));
                let advice = if let Fix::Advice(advice) = &problem.fix { Some(advice) } else { None };
                json!({ "needed": problem.weight == Weight::Needed, "what": problem.what, "wanted": problem.wanted, "found": problem.found,
                        "why": problem.why, "command": command, "advice": advice })
            };
            json!({
                "name": row.wanted.name,
                "holds": row.wanted.role.as_str(),
                "source": row.source,
                "created": row.created,
                "wanted": { "partitions": row.wanted.partitions, "replication": (row.wanted.replication > 0).then_some(row.wanted.replication), "configs": configs(false) },
                "found": row.found.as_ref().map(|(topic, _)| json!({
                    "id": topic.id.map(|id| id.to_string()), "partitions": topic.partitions, "replication": topic.replication, "configs": configs(true) })),
                "problems": row.problems.iter().map(problem).collect::<Vec<_>>(),
            })
        })
        .collect();
    let instance = &report.environment.instance;
    json!({
        "pipeline": report.names.pipeline,
        "version": report.pipeline.version,
        "brokers": report.bootstrap,
        "cluster": report.cluster.as_ref().map(|cluster| json!({ "id": cluster.id, "brokers": cluster.brokers })),
        "ready": report.cluster.is_some() && report.needed() == 0,
        "topics": rows,
        "idle_patterns": report.idle.iter().map(|(pattern, source)| json!({ "pattern": pattern, "source": source })).collect::<Vec<_>>(),
        "groups": groups(report),
        "instance": instance,
        "transactional_ids": writers(report).into_iter().map(|role| report.names.transactional_id(role, instance)).collect::<Vec<_>>(),
        "acls": acl::needed(report).iter().map(|acl| json!({
            "resource": acl.resource, "names": acl.names, "pattern": if acl.prefixed { "prefixed" } else { "literal" }, "operations": acl.operations,
            "command": format!("kafka-acls.sh --bootstrap-server {} {} {}", report.bootstrap, acl::adding(&user), acl.arguments().join(" ")) })).collect::<Vec<_>>(),
    })
}

/// The groups of the pipeline's members.
fn groups<'r>(report: &'r Report<'_>) -> Vec<&'r str> {
    let names = &report.names;
    let respond = report.pipeline.responds().then_some(names.respond_group.as_str());
    [names.ingest_group.as_str(), &names.keeper_group, &names.archive_group].into_iter().chain(respond).collect()
}

/// The roles that write, each with a transactional id.
fn writers(report: &Report<'_>) -> Vec<&'static str> {
    ["ingest", "keeper"].into_iter().chain(report.pipeline.responds().then_some("respond")).collect()
}
