//! `catchment explain`: which expressions of packs go row by row through the reference evaluator,
//! the most expensive first.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value as Json, json};

use super::output::{Style, style, table};
use crate::ingest::plan::SourcePlan;

/// The expressions that leave the columns, or never run as columns.
pub fn fallbacks(source: &SourcePlan) -> Vec<Json> {
    let computed = &source.computed;
    let one = |output: &crate::ingest::computed::Output| {
        let (rows, ns) = (output.counters.fallback.load(Relaxed), output.counters.fallback_ns.load(Relaxed));
        let why = output.not_columnar.as_ref().map_or_else(|| "the shape of this event".to_owned(), ToString::to_string);
        json!({ "expression": &*output.name, "why": why, "ns": (rows > 0).then(|| ns / rows) })
    };
    computed.fallbacks().into_iter().map(one).collect()
}

/// For people.
pub fn print(source: &SourcePlan, found: &[Json]) {
    let all = source.computed.outputs.len();
    if all == 0 {
        return;
    }
    println!("{} {} of {all} go row by row", style("expressions of packs", Style::Head), found.len());
    if found.is_empty() {
        return;
    }
    let mut rows = table(&["  expression", "µs an event", "why"], &[1]);
    for fallback in found {
        let cost = fallback["ns"].as_u64().map_or_else(|| "–".to_owned(), |ns| format!("{:.1}", ns as f64 / 1000.0));
        let text = |key: &str| fallback[key].as_str().unwrap_or_default().to_owned();
        rows.add_row([format!("  {}", text("expression")), cost, text("why")]);
    }
    println!("{rows}");
}
