//! `JsonToTable`: objects as a table in Markdown.

use serde_json::Value;

use super::{Args, made};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::value::{arg_texts, into_list, text_of};

/// Objects → Markdown, a row an object, the columns in the order of their first appearance.
pub fn json_to_table(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let parsed = match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(parsed) => parsed,
            Err(_) => return args.raise("the value is not JSON"),
        },
        other => other.clone(),
    };
    let rows = into_list(parsed);
    let mut headers = args.get("headers").map(arg_texts).unwrap_or_default();
    if headers.is_empty() {
        for key in rows.iter().filter_map(Value::as_object).flat_map(|members| members.keys()) {
            env.budget.steps(headers.len() + 1)?;
            if !headers.contains(key) {
                headers.push(key.clone());
            }
        }
    }
    env.budget.bytes((rows.len() + 2).saturating_mul(headers.len() * 4 + 2))?;
    let title = args.text_or("title", "Table")?;
    let cell = |value: Option<&Value>| value.map(text_of).unwrap_or_default().replace('|', "\\|").replace('\n', "<br>");
    let mut out = format!("### {title}\n|{}|\n|{}\n", headers.join("|"), "---|".repeat(headers.len()));
    for row in &rows {
        let cells: Vec<String> = headers.iter().map(|header| cell(row.get(header))).collect();
        let line = format!("| {} |\n", cells.join(" | "));
        env.budget.bytes(line.len())?;
        out.push_str(&line);
    }
    made(out, env)
}
