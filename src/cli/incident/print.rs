//! `incident show`: an incident for people, or as it is.

use std::io::Write;

use super::ShowArgs;
use super::place::Place;
use crate::cli::Answer;
use crate::cli::output::{Style, style};
use crate::cli::text::{Cut, clip, count, report_columns, visible, width};
use crate::error::Error;
use crate::incident::split::{elements, find, members, text};

/// Links that are listed; more are counted.
const LINKS_SHOWN: usize = 10;

/// Runs the command.
pub fn run(args: &ShowArgs) -> Result<Answer, Error> {
    let place = Place::find(&args.which)?;
    let (newest, _) = place.newest(None)?;
    let Some(record) = newest else {
        eprintln!("there is no incident {} in this pipeline", place.id);
        return Ok(Answer::No);
    };
    let mut out = std::io::stdout().lock();
    if args.which.json {
        out.write_all(&record.value)?;
        out.write_all(b"\n")?;
        return Ok(Answer::Yes);
    }
    let shown = std::str::from_utf8(&record.value).ok().and_then(readable);
    out.write_all(shown.ok_or_else(|| Error::environment("the newest record of this incident is no incident"))?.as_bytes())?;
    Ok(Answer::Yes)
}

/// The incident as lines; `None` for what is none.
fn readable(value: &str) -> Option<String> {
    let members = members(value)?;
    let say = |key: &str| find(&members, key).map(plain).unwrap_or_default();
    let status = say("status");
    let shown = style(&status, if status == "open" { Style::Warn } else { Style::Good });
    let mut out = format!("{} {shown}, version {}\n", style(&say("id"), Style::Head), say("version"));
    let mut rows: Vec<(String, String)> = Vec::new();
    for (key, token) in &members {
        let name = text(key)?;
        let shown = match &*name {
            "id" | "status" | "version" => continue,
            "raw" | "labels" => format!("{}; --json shows them", count(token.len() as u64, "byte", "bytes")),
            "attached" => attached(token).unwrap_or_else(|| plain(token)),
            "linked" => linked(token).unwrap_or_else(|| plain(token)),
            "closed" | "updated" | "last_rejected" => told(token).unwrap_or_else(|| plain(token)),
            "source" => source(token).unwrap_or_else(|| plain(token)),
            _ => plain(token),
        };
        rows.push((visible(&name).into_owned(), shown));
    }
    let wide = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(report_columns() / 3);
    for (name, shown) in rows {
        let pad = " ".repeat(wide.saturating_sub(width(&name)));
        for (number, line) in shown.lines().enumerate() {
            let head = if number == 0 { format!("{name}{pad}") } else { " ".repeat(wide) };
            out.push_str(&format!("  {head}  {line}\n"));
        }
    }
    Some(out)
}

/// A value on one line: texts without quotes, everything made harmless for a terminal.
fn plain(token: &str) -> String {
    let text = text(token).unwrap_or(token.into());
    clip(&visible(&text), report_columns(), Cut::End).into_owned()
}

/// `key value` of an object's members, joined.
fn told(token: &str) -> Option<String> {
    let said = members(token)?.into_iter().map(|(key, value)| match key {
        "\"at\"" => plain(value),
        "\"actor\"" => format!("by {}", plain(value)),
        _ => format!("{} {}", plain(key), plain(value)),
    });
    Some(said.collect::<Vec<_>>().join(", "))
}

fn source(token: &str) -> Option<String> {
    let members = members(token)?;
    let say = |key: &str| find(&members, key).map(plain);
    Some(format!("{}, {}/{}/{} element {}", say("name")?, say("topic")?, say("partition")?, say("offset")?, say("element")?))
}

fn attached(token: &str) -> Option<String> {
    let whole = members(token)?;
    let say = |key: &str| find(&whole, key).map(plain);
    let rules = members(find(&whole, "rules")?)?.into_iter().map(|(rule, count)| format!("{} {}", plain(rule), plain(count)));
    let events = if say("count")? == "1" { "event" } else { "events" };
    Some(format!("{} {events}, {} to {}\nby rule: {}", say("count")?, say("first")?, say("last")?, rules.collect::<Vec<_>>().join(", ")))
}

fn linked(token: &str) -> Option<String> {
    let links = elements(token)?;
    let mut lines = Vec::new();
    for link in links.iter().take(LINKS_SHOWN) {
        let members = members(link)?;
        lines.push(format!("{}, rule {}", plain(find(&members, "id")?), plain(find(&members, "rule")?)));
    }
    if links.len() > LINKS_SHOWN {
        lines.push(format!("and {} more", links.len() - LINKS_SHOWN));
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_well_and_does_no_harm() {
        let shown = readable(concat!(
            r#"{"id":"0f","type":"T\u001b[31m","severity":2,"n":1e999,"x":"\ud800","raw":{"a":1},"source":{"name":"s","topic":"t","partition":0,"offset":5,"element":0},"#,
            r#""status":"closed","version":4,"closed":{"actor":"cli:ann","at":"2026-03-02T08:00:00Z","reason":"done"},"#,
            r#""attached":{"count":2,"first":"a","last":"b","rules":{"dup":2},"samples":[]},"linked":[{"id":"1","rule":"story"}],"#,
            r#""updated":{"actor":"cli:ann","at":"2026-03-02T08:00:00Z","fact":"7"}}"#
        ))
        .unwrap();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        for line in [
            "version 4",
            "type      T\\u{1b}[31m",
            "n         1e999",
            "closed    by cli:ann, 2026-03-02T08:00:00Z, reason done",
            "2 events, a to b",
            "by rule: dup 2",
            "1, rule story",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        assert_eq!(readable("[]"), None);
        assert_eq!(readable("x"), None);
    }
}
