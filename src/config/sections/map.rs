//! Owns `map:`: which field of an incident is computed how.

use std::collections::HashSet;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{FIELDS_MAX, NAME_MAX, TYPES_MAX};
use crate::config::model::{ExprText, MapSection, XsoarMap};
use crate::config::node::{Node, Value};
use crate::config::read::{self, shortened};
use crate::config::read_expr::expression;
use crate::config::source_map::Spanned;

use super::content::{self, Imported};
use super::is_identifier;

/// Fields that Catchment fills itself, with where their value comes from.
pub const RESERVED_FIELDS: [(&str, &str); 19] = [
    ("id", "the id is derived from where the event stood in its topic"),
    ("type", "the type comes from `classify`"),
    ("created", "it is the time at which the incident was made"),
    ("status", "rules with `close` set it"),
    ("version", "every change of an incident counts it up"),
    ("labels", "`sink: { labels: … }` says what goes there"),
    ("raw", "`sink: { raw: true }` keeps the event"),
    ("source", "it tells topic, partition and offset; a name such as source_brand is free"),
    ("tenant", "`tenant` at the top of the pipeline sets it"),
    ("pipeline", "it is the name of the pipeline"),
    ("pipeline_version", "it is computed from the files of the pipeline"),
    ("attached", "rules with `drop_and_update` fill it"),
    ("linked", "rules with `link` fill it"),
    ("closed", "rules with `close` fill it"),
    ("updated", "the keeper says there who made the newest version"),
    ("last_rejected", "the keeper says there which edit it refused"),
    ("raw_truncated", "it says that an incident was too large to keep its event"),
    ("fields_truncated", "it says that an incident was too large to keep all of its fields"),
    ("_errors", "expressions that yield no value are listed there"),
];

/// Words of the expression language, and the two that `where` needs: a field of such a
/// name could not be used in a rule.
pub const KEYWORDS: [&str; 20] = [
    "and", "or", "not", "is", "null", "true", "false", "in", "between", "like", "ilike", "case", "when", "then", "else", "end", "cast", "try_cast", "new",
    "existing",
];

/// The sections, in the order of the file, and the mapper that `xsoar` names. (A type may be
/// named so, too: it has fields under it.)
pub fn read_map(node: &Node, imported: Option<&Imported>, out: &mut Diagnostics) -> (Vec<MapSection>, Option<XsoarMap>) {
    let mut sections = Vec::new();
    let mut xsoar = None;
    for (target, node) in read::entries(node, "`map`", TYPES_MAX + 1, out) {
        match &node.value {
            Value::Text { .. } if target.value == "xsoar" => {
                xsoar = content::need(imported, target, out).and_then(|imported| content::mapper(node, imported, out));
            }
            Value::Mapping(_) => sections.push(read_section(target, node, out)),
            // `"*":` with all its lines commented out.
            Value::Null { .. } => {}
            _ => {
                let name = shortened(&target.value);
                out.push(
                    Diagnostic::error("wrong-type", format!("`{name}` must be a type (or \"*\") with fields under it"))
                        .at(target.span)
                        .label(format!("has {}, not fields", node.kind()))
                        .hint(format!("fields of every type stand under \"*\": map: {{ \"*\": {{ {name}: … }} }}")),
                );
            }
        }
    }
    let names: HashSet<&str> = sections.iter().flat_map(|section| &section.fields).map(|(field, _)| field.value.as_str()).collect();
    if names.len() > FIELDS_MAX {
        out.push(Diagnostic::error("too-many", format!("more than {FIELDS_MAX} different fields")).at(node.head()));
    }
    (sections, xsoar)
}

fn read_section(target: &Spanned<String>, node: &Node, out: &mut Diagnostics) -> MapSection {
    let mut fields: Vec<(Spanned<String>, ExprText)> = Vec::new();
    for (field, node) in read::entries(node, "a section of `map`", FIELDS_MAX, out) {
        if !usable_field(field, out) {
            continue;
        }
        fields.push((field.clone(), expression(node, &format!("`{}`", field.value), out)));
    }
    MapSection { target: target.clone(), fields }
}

fn usable_field(field: &Spanned<String>, out: &mut Diagnostics) -> bool {
    let name = field.value.as_str();
    let shown = shortened(name);
    let problem = if let Some((_, why)) = RESERVED_FIELDS.iter().find(|(reserved, _)| *reserved == name) {
        Some((format!("`{shown}` is filled by Catchment"), Some(format!("{why}; choose another name"))))
    } else if name.starts_with('_') {
        Some((format!("`{shown}`: names with `_` in front belong to Catchment"), None))
    } else if !is_identifier(name) || name.len() > NAME_MAX {
        let better: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let better = better.trim_matches('_').to_lowercase();
        let hint = if is_identifier(&better) && better.len() <= NAME_MAX {
            format!("fields have letters, digits and `_`: {better}")
        } else {
            "fields have letters, digits and `_`".to_owned()
        };
        Some((format!("`{shown}` cannot be the name of a field"), Some(hint)))
    } else if KEYWORDS.contains(&name.to_lowercase().as_str()) {
        let hint = format!("a rule could not read it; another name, such as event_{}, can be read", name.to_lowercase());
        Some((format!("`{shown}` is a word of the expression language"), Some(hint)))
    } else {
        // These two mean something to rules and to the clock: one letter off is a mistake.
        let folded = name.to_lowercase();
        ["severity", "occurred"]
            .into_iter()
            .find(|field| *field != name && strsim::damerau_levenshtein(field, &folded) <= 1)
            .map(|field| (format!("`{shown}` must be written `{field}`"), Some(format!("did you mean `{field}`?"))))
    };
    match problem {
        Some((message, hint)) => {
            out.push(Diagnostic::error("field-name", message).at(field.span).maybe_hint(hint));
            false
        }
        None => true,
    }
}
