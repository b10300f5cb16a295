//! YAML to paste into a pipeline: types for unclassified keys, fields for unmapped paths.

use super::keys::Key;
use super::report::{GroupReport, Report};
use super::suggest::Suggestion;
use crate::cli::text::{REPORT_COLUMNS, visible, width};
use crate::config::schema::Schema;

/// Longest expression that is written out in a `coalesce` with the one there is (characters).
const EXPRESSION_CHARS_MAX: usize = 90;

/// The snippet for the `top` largest keys and groups; empty if there is nothing to add.
pub fn snippet(report: &Report, schema: &Schema, has_key: bool, top: usize) -> String {
    let mut text = String::new();
    classify(report, schema, has_key, top, &mut text);
    map(report, top, &mut text);
    text
}

fn classify(report: &Report, schema: &Schema, has_key: bool, top: usize, text: &mut String) {
    let name = |proposed: String| {
        let fold = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
        schema.types.iter().find(|spec| fold(&spec.name) == fold(&proposed)).map_or(proposed, |spec| spec.name.clone())
    };
    let shown = || report.keys.iter().filter(|key| key.key != Key::None).take(top);
    let own: Vec<String> = shown()
        .filter_map(|key| match &key.key {
            Key::Own(value) => Some(line(&format!("    {}: {}", scalar(value), scalar(&name(key.key.type_name()))), key.events)),
            _ => None,
        })
        .collect();
    let mut rules: Vec<String> = shown()
        .filter_map(|key| match &key.key {
            Key::When { when, .. } => Some(rule(&name(key.key.type_name()), when, key.events)),
            _ => None,
        })
        .collect();
    if let Some(field) = report.telling.first() {
        rules.extend(field.values.iter().take(top).map(|(value, events)| {
            let when = format!("{} = '{}'", field.path, value.replace('\'', "''"));
            rule(&name(super::words::title(value)), &when, *events)
        }));
    }
    if own.is_empty() && rules.is_empty() {
        return;
    }
    text.push_str("classify:\n");
    if !rules.is_empty() {
        text.push_str("  rules:");
        text.push_str(if has_key { "             # tried before the table\n" } else { "\n" });
        rules.iter().for_each(|rule| text.push_str(rule));
    }
    if !own.is_empty() {
        text.push_str("  types:\n");
        own.iter().for_each(|entry| text.push_str(entry));
    }
    if !schema.types.is_empty() {
        text.push_str("# new types go into schema/types.yaml too\n");
    }
}

/// A rule on one line, or on two where it is long.
fn rule(name: &str, when: &str, events: u64) -> String {
    let one = line(&format!("  - {{ type: {}, when: {} }}", scalar(name), quoted(when)), events);
    if width(one.trim_end()) <= REPORT_COLUMNS { one } else { format!("{}    when: {}\n", line(&format!("  - type: {}", scalar(name)), events), quoted(when)) }
}

fn line(text: &str, events: u64) -> String {
    format!("{text}  # {}\n", crate::cli::text::count(events, "event", "events"))
}

/// A field to add, and the expression that the type has for it now.
type Addition<'a> = (&'a Suggestion, Option<&'a str>);

fn map(report: &Report, top: usize, text: &mut String) {
    let groups: Vec<&GroupReport> = report.groups.iter().filter(|group| group.type_name.is_some() && group.suggested() > 0).take(top).collect();
    let mut sections: Vec<(&str, Vec<Addition<'_>>)> = vec![("*", Vec::new())];
    for group in &groups {
        let Some(name) = group.type_name.as_deref() else { continue };
        // The same type from another source: one section only.
        if sections.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let mut own = Vec::new();
        for suggestion in group.paths.iter().filter_map(|path| path.suggestion.as_ref()).take(top) {
            let now = group.texts.iter().find(|(field, _)| **field == *suggestion.field).map(|(_, text)| &**text);
            let types = groups.iter().filter(|group| group.paths.iter().any(|path| path.suggestion.as_ref() == Some(suggestion))).count();
            // What several types lack, all may.
            let section = if types > 1 { &mut sections[0].1 } else { &mut own };
            if !section.iter().any(|(known, _)| *known == suggestion) {
                section.push((suggestion, now));
            }
        }
        sections.push((name, own));
    }
    sections.retain(|(_, additions)| !additions.is_empty());
    if sections.is_empty() {
        return;
    }
    text.push_str("map:\n");
    let mut new: Vec<&str> = Vec::new();
    for (name, additions) in &sections {
        text.push_str(&format!("  {}:\n", scalar(name)));
        let mut written: Vec<&str> = Vec::new();
        for (suggestion, now) in additions {
            let field = suggestion.field.as_str();
            if suggestion.new && !new.contains(&field) {
                new.push(field);
            }
            let whole = match now {
                None => Some(suggestion.expression.clone()),
                Some(now) => joined(now, &suggestion.expression),
            };
            let line = match whole {
                Some(whole) if !written.contains(&field) => format!("    {}: {}\n", scalar(field), expression(&whole)),
                _ => format!("    # {field}: add {} to its expression\n", visible(&suggestion.expression)),
            };
            written.push(field);
            text.push_str(&line);
        }
    }
    if !new.is_empty() {
        text.push_str(&format!("# fields that are new here: {}\n", new.join(", ")));
    }
}

/// The present expression with one more way to get a value; `None` if that is too long to read.
fn joined(now: &str, more: &str) -> Option<String> {
    if now.contains('\n') || now.chars().count() + more.chars().count() > EXPRESSION_CHARS_MAX {
        return None;
    }
    let open = now.strip_prefix("coalesce(").and_then(|rest| rest.strip_suffix(')')).filter(|inner| {
        // The last bracket closes the first one.
        let mut depth = 0i32;
        inner.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth >= 0
        })
    });
    Some(match open {
        Some(inner) => format!("coalesce({inner}, {more})"),
        None => format!("coalesce({now}, {more})"),
    })
}

/// An expression as a YAML value.
fn expression(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '(' | ')' | '\'' | '/' | ' ' | '-') || c == ',')
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if plain { text.to_owned() } else { quoted(text) }
}

/// A text as a YAML key or value: plain where it can be, so that it reads well.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ' ' | '/' | '-'))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { quoted(text) }
}

/// In double quotes, with JSON's escapes, which are YAML's too.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        let mut one = [0; 4];
        if visible(c.encode_utf8(&mut one)).len() == c.len_utf8() {
            shown.push(c);
        } else if u32::from(c) <= 0xffff {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push_str(&format!("\\U{:08x}", u32::from(c)));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_quoted_where_it_must_be() {
        assert_eq!(scalar("auth.fail"), "auth.fail");
        assert_eq!(scalar("Console Login"), "Console Login");
        assert_eq!(scalar("4624"), "\"4624\"");
        assert_eq!(scalar("no"), "\"no\"");
        assert_eq!(scalar("a: b # c"), "\"a: b # c\"");
        assert_eq!(scalar(""), "\"\"");
        assert_eq!(quoted("a\\b\"\u{1b}\u{202e}"), "\"a\\\\b\\\"\\u001b\\u202e\"");
        assert_eq!(expression("parse_time(ts, 'auto', 'UTC')"), "parse_time(ts, 'auto', 'UTC')");
        assert_eq!(joined("coalesce(a, lower(b))", "c").as_deref(), Some("coalesce(a, lower(b), c)"));
        assert_eq!(joined("coalesce(a, b) || lower(c)", "d").as_deref(), Some("coalesce(coalesce(a, b) || lower(c), d)"));
        assert_eq!(expression("a[0]"), "\"a[0]\"");
    }
}
