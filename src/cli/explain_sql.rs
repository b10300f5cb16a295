//! A pipeline up to its rules as one DataFusion query: filters, classification, map.

use crate::expr::sql::{quoted, sql, text};
use crate::expr::typed::Typed;
use crate::ingest::plan::{DefaultPlan, OutField, Plan, SourcePlan};

/// The query over a table `events` that has one column per path in use, named as
/// [`crate::expr::compile::column_name`] says.
pub fn query(plan: &Plan, source: &SourcePlan) -> String {
    let occurred =
        source.layouts.iter().filter_map(|layout| layout.occurred.as_ref()).find(|field| !matches!(field.from, crate::ingest::plan::From::Section(..)));
    let bare = |typed: &Typed| sql(typed, &|_| "NULL".to_owned());
    let with_occurred =
        |typed: &Typed| sql(typed, &|name| if name == "occurred" { occurred.map_or("NULL".into(), |f| bare(&f.typed)) } else { "NULL".to_owned() });

    let mut lines = vec!["SELECT".to_owned(), "  \"_row\", \"_type\" AS \"type\"".to_owned()];
    for (name, star, types) in fields(plan, source) {
        let otherwise = star.map_or("NULL".to_owned(), |field| with_occurred(&field.typed));
        let expr = if types.is_empty() {
            otherwise
        } else {
            let branches: String = types.iter().map(|(name, field)| format!("\n    WHEN {} THEN {}", text(name), with_occurred(&field.typed))).collect();
            format!("CASE \"_type\"{branches}\n    ELSE {otherwise} END")
        };
        lines.push(format!("  , {expr} AS {}", quoted(&name)));
    }
    lines.push("FROM (".into());
    lines.push("  SELECT *, CASE".into());
    for (written, code) in plan.written.classify.iter().zip(&source.rule_types) {
        lines.push(format!("    WHEN {} THEN {}", bare(&written.typed), text(&plan.types[*code as usize])));
    }
    if let Some(key) = &plan.written.key {
        let key = bare(&key.typed);
        let mut entries: Vec<_> = source.table.iter().collect();
        entries.sort();
        for (value, code) in entries {
            lines.push(format!("    WHEN {key} = {} THEN {}", text(value), text(&plan.types[*code as usize])));
        }
    }
    let default = match plan.default {
        DefaultPlan::Type(code) => text(&plan.types[code as usize]),
        _ => "NULL".into(),
    };
    // A CASE needs a branch, even where a pipeline has none.
    lines.push(format!("    WHEN TRUE THEN {default} END AS \"_type\""));
    lines.push("  FROM events".into());
    let filters: Vec<String> =
        plan.filters.iter().zip(&plan.written.filters).filter(|(f, _)| !f.shadow).map(|(_, w)| format!("{} IS NOT TRUE", bare(&w.typed))).collect();
    if !filters.is_empty() {
        lines.push(format!("  WHERE {}", filters.join("\n    AND ")));
    }
    lines.push(") AS classified".into());
    lines.push("WHERE \"_type\" IS NOT NULL".into());
    lines.push("ORDER BY \"_row\"".into());
    lines.join("\n")
}

type Field<'a> = (String, Option<&'a OutField>, Vec<(&'a str, &'a OutField)>);

/// Every field: its definition in `"*"`, and those of the types that override it.
fn fields<'a>(plan: &'a Plan, source: &'a SourcePlan) -> Vec<Field<'a>> {
    let mut found: Vec<Field<'a>> = Vec::new();
    for (name, layout) in plan.types.iter().zip(&source.layouts) {
        for field in layout.all() {
            let number = found.iter().position(|(known, ..)| *known == *field.name).unwrap_or_else(|| {
                found.push((field.name.to_string(), None, Vec::new()));
                found.len() - 1
            });
            let own = field.section.starts_with(&**name) && !field.section.starts_with('*');
            if own {
                found[number].2.push((name, field));
            } else {
                found[number].1 = Some(field);
            }
        }
    }
    found
}
